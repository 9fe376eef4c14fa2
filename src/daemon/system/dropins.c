/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * First the names are collected from all folders, the one of highest rank first, so that a name that is
 * known already is one that was replaced. Then the names are sorted, and only now are files opened.
 *
 * A file that was listed and is gone when it is opened is an error like others. It comes to the same as a
 * link into nowhere, and starting once more is cheap.
 */

#include "daemon/system/dropins.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "shared/cleanup.h"
#include "shared/utf8.h"

#define SUFFIX ".json"

typedef struct Dropin {
        char *name;
        const char *directory;
} Dropin;

typedef struct Dropins {
        Dropin files[DROPINS_MAX];
        size_t n;
} Dropins;

static void dropins_done(Dropins *dropins)
{
        for (size_t i = 0; i < dropins->n; i++)
                free(dropins->files[i].name);
}

static void cleanup_closedir(DIR **d)
{
        if (*d)
                (void) closedir(*d);
}

int dropin_refuse(char **ret_message, int error, const char *path, const char *format, ...)
{
        _cleanup_free_ char *rest = NULL;
        va_list arguments;
        int n;

        *ret_message = NULL;
        va_start(arguments, format);
        n = vasprintf(&rest, format, arguments);
        va_end(arguments);
        if (n < 0) {
                rest = NULL;
                return -ENOMEM;
        }
        if (asprintf(ret_message, "%s: %s", path, rest) < 0) {
                *ret_message = NULL;
                return -ENOMEM;
        }
        utf8_sanitize(*ret_message);
        return error;
}

static bool is_wanted(const char *name)
{
        size_t length = strlen(name);

        return name[0] != '.' && length > strlen(SUFFIX) &&
               strcmp(name + length - strlen(SUFFIX), SUFFIX) == 0;
}

static bool is_replaced(const Dropins *dropins, const char *name)
{
        for (size_t i = 0; i < dropins->n; i++)
                if (strcmp(dropins->files[i].name, name) == 0)
                        return true;
        return false;
}

static int add_name(Dropins *dropins, const char *directory, const char *name, char **ret_message)
{
        if (!is_wanted(name) || is_replaced(dropins, name))
                return 0;
        if (dropins->n == DROPINS_MAX)
                return dropin_refuse(ret_message, -E2BIG, directory, "there are more than %u policy files",
                                     DROPINS_MAX);
        dropins->files[dropins->n].name = strdup(name);
        if (!dropins->files[dropins->n].name)
                return -ENOMEM;
        dropins->files[dropins->n++].directory = directory;
        return 0;
}

static int add_directory(Dropins *dropins, const char *path, char **ret_message)
{
        _cleanup_(cleanup_closedir) DIR *directory = opendir(path);
        struct dirent *entry;
        int r = 0;

        if (!directory && errno == ENOENT)
                return 0;
        if (!directory)
                return dropin_refuse(ret_message, -errno, path, "the folder cannot be opened: %s",
                                     strerror(errno));
        while (r >= 0 && (errno = 0, entry = readdir(directory)))
                r = add_name(dropins, path, entry->d_name, ret_message);
        if (r >= 0 && errno != 0)
                r = dropin_refuse(ret_message, -errno, path, "the folder cannot be read: %s",
                                  strerror(errno));
        return r;
}

static int compare_names(const void *a, const void *b)
{
        return strcmp(((const Dropin *) a)->name, ((const Dropin *) b)->name);
}

static bool is_dev_null(const struct stat *st)
{
        return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

/* As much as fits, one byte beyond the bound included, by which a file is known as too large. */
static ssize_t read_all(int fd, char *buffer, size_t size)
{
        size_t length = 0;

        while (length < size) {
                ssize_t n = read(fd, buffer + length, size - length);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                length += (size_t) n;
        }
        return (ssize_t) length;
}

/* The text of a file; NULL if it is replaced by nothing. */
static int read_file(const char *path, char **ret_text, size_t *ret_length, char **ret_message)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        _cleanup_free_ char *text = NULL;
        struct stat st;
        ssize_t n;

        *ret_text = NULL;
        if (fd < 0 || fstat(fd, &st) < 0)
                return dropin_refuse(ret_message, -errno, path, "cannot be opened: %s", strerror(errno));
        if (is_dev_null(&st))
                return 0;
        if (!S_ISREG(st.st_mode))
                return dropin_refuse(ret_message, -EBADMSG, path, "is neither a file nor /dev/null");

        text = malloc(DROPIN_SIZE_MAX + 1);
        if (!text)
                return -ENOMEM;
        n = read_all(fd, text, DROPIN_SIZE_MAX + 1);
        if (n < 0)
                return dropin_refuse(ret_message, (int) n, path, "cannot be read: %s", strerror((int) -n));
        if (n > (ssize_t) DROPIN_SIZE_MAX)
                return dropin_refuse(ret_message, -EFBIG, path, "is larger than %u bytes", DROPIN_SIZE_MAX);
        if (n == 0)
                return dropin_refuse(ret_message, -EBADMSG, path,
                                     "is empty; to replace a file by nothing, link it to /dev/null");
        *ret_text = steal_pointer(text);
        *ret_length = (size_t) n;
        return 0;
}

int dropin_read(const char *path, DropinReader reader, void *userdata, char **ret_message)
{
        _cleanup_free_ char *text = NULL;
        size_t length = 0;
        int r;

        *ret_message = NULL;
        r = read_file(path, &text, &length, ret_message);
        if (r < 0 || !text)
                return r;
        return reader(userdata, path, text, length, ret_message);
}

static int hand_on(const Dropin *dropin, DropinReader reader, void *userdata, char **ret_message)
{
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s/%s", dropin->directory, dropin->name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        return dropin_read(path, reader, userdata, ret_message);
}

int dropins_read(const char *const directories[], DropinReader reader, void *userdata, char **ret_message)
{
        _cleanup_(dropins_done) Dropins dropins = {};
        int r = 0;

        *ret_message = NULL;
        for (size_t i = 0; directories[i] && r >= 0; i++)
                r = add_directory(&dropins, directories[i], ret_message);
        if (r < 0)
                return r;
        qsort(dropins.files, dropins.n, sizeof(Dropin), compare_names);
        for (size_t i = 0; i < dropins.n && r >= 0; i++)
                r = hand_on(&dropins.files[i], reader, userdata, ret_message);
        return r;
}
