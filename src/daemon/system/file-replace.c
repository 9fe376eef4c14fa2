/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The new text goes into a file beside the old one and to the disk, before its name takes the old one's
 * place; then the folder goes to the disk. What an earlier try has left behind is overwritten.
 */

#include "daemon/system/file-replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/cleanup.h"
#include "shared/write-all.h"

static int open_folder(const char *path, const char **ret_name)
{
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *folder = slash ? strndup(path, (size_t) (slash - path)) : NULL;
        int fd;

        if (!slash || slash == path || slash[1] == '\0')
                return -EINVAL;
        if (!folder)
                return -ENOMEM;
        if (mkdir(folder, 0700) < 0 && errno != EEXIST)
                return -errno;
        fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *ret_name = slash + 1;
        return fd < 0 ? -errno : fd;
}

/* Some file systems tell only at the end that there was no room. */
static int write_beside(int folder, const char *name, const char *text, size_t length)
{
        int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600), r;

        if (fd < 0)
                return -errno;
        r = write_all(fd, text, length);
        if (r >= 0 && fsync(fd) < 0)
                r = -errno;
        if (close(fd) < 0 && r >= 0)
                r = -errno;
        return r;
}

int file_replace_at(int folder, const char *name, const char *text, size_t length)
{
        _cleanup_free_ char *beside = NULL;
        int r;

        if (asprintf(&beside, "%s" FILE_REPLACE_SUFFIX, name) < 0) {
                beside = NULL;
                return -ENOMEM;
        }
        r = write_beside(folder, beside, text, length);
        if (r >= 0 && renameat(folder, beside, folder, name) < 0)
                r = -errno;
        if (r < 0)
                (void) unlinkat(folder, beside, 0);
        return r;
}

int file_replace(const char *path, const char *text, size_t length)
{
        _cleanup_close_ int folder = -EBADF;
        const char *name = NULL;
        int r;

        folder = open_folder(path, &name);
        if (folder < 0)
                return folder;
        if (text)
                r = file_replace_at(folder, name, text, length);
        else
                r = unlinkat(folder, name, 0) < 0 && errno != ENOENT ? -errno : 0;
        if (r >= 0 && fsync(folder) < 0)
                r = errno;
        return r;
}
