/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A file that cannot be used gets another name, and stays for whoever wants to look into it or take it back:
 * the database with its log, since the log alone may hold the last rows. The newest few are kept.
 */

#include "daemon/system/history-store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "shared/utf8.h"

/* Of the files that make up a database. The index of the log holds nothing that is not in the log. */
static const char *const suffixes[] = {"", "-wal", "-journal"};
#define INDEX_FILE HISTORY_FILE "-shm"

void store_tell(HistoryStore *store, HistoryNewsType type, int error, const char *file, const char *text)
{
        HistoryNews news = {.type = type, .error = error};

        (void) snprintf(news.file, sizeof(news.file), "%s", file);
        (void) utf8_quote(text, news.text, sizeof(news.text));
        store->tell(store->userdata, &news);
}

void store_set_text(HistoryStore *store, const char *text)
{
        (void) utf8_quote(text, store->text, sizeof(store->text));
}

static bool exists(HistoryStore *store, const char *name)
{
        return faccessat(store->dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A name for all files of the database that none of them has yet, and that sorts after those given before.
 */
static int choose_name(HistoryStore *store, const char *kind, char *name, size_t size)
{
        struct timespec now = {};
        char stamp[32];
        struct tm tm;

        (void) clock_gettime(CLOCK_REALTIME, &now);
        if (!gmtime_r(&now.tv_sec, &tm) || strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%S", &tm) == 0)
                return -EOVERFLOW;
        (void) snprintf(name, size, HISTORY_FILE ".%s-%s.%06ldZ", kind, stamp, now.tv_nsec / 1000);
        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
                char full[128];

                (void) snprintf(full, sizeof(full), "%s%s", name, suffixes[i]);
                if (exists(store, full))
                        return -EEXIST;
        }
        return 0;
}

/* The length of the part that all files of one database have in common. */
static size_t stem(const char *name)
{
        size_t length = strlen(name);

        for (size_t i = 1; i < ELEMENTSOF(suffixes); i++) {
                size_t n = strlen(suffixes[i]);

                if (length > n && strcmp(name + length - n, suffixes[i]) == 0)
                        return length - n;
        }
        return length;
}

static bool is_aside(const char *name, const char *kind)
{
        const size_t n = strlen(HISTORY_FILE ".");

        return strncmp(name, HISTORY_FILE ".", n) == 0 && strncmp(name + n, kind, strlen(kind)) == 0 &&
               name[n + strlen(kind)] == '-';
}

/* Names have the time in them, so that they sort by it. Removes all but the last ones, and never `keep`,
 * whatever the clock said. */
static void remove_oldest(HistoryStore *store, const char *kind, const char *keep)
{
        struct dirent **entries = NULL;
        char last[sizeof(entries[0]->d_name)] = "";
        unsigned n_kept = 1;
        int fd = fcntl(store->dirfd, F_DUPFD_CLOEXEC, 3);
        int n = fd < 0 ? -1 : scandirat(fd, ".", &entries, NULL, alphasort);

        for (int i = n - 1; i >= 0; i--) {
                const char *name = entries[i]->d_name;
                size_t length = stem(name);

                if (is_aside(name, kind) && !(strlen(keep) == length && strncmp(name, keep, length) == 0)) {
                        if (strlen(last) != length || strncmp(name, last, length) != 0) {
                                (void) snprintf(last, sizeof(last), "%.*s", (int) length, name);
                                n_kept++;
                        }
                        if (n_kept > HISTORY_ASIDE_MAX)
                                (void) unlinkat(store->dirfd, name, 0);
                }
                free(entries[i]);
        }
        free(entries);
        cleanup_close(&fd);
}

/* SQLite makes an empty log when it opens the file. */
static void remove_empty_log(HistoryStore *store)
{
        struct stat st;

        if (fstatat(store->dirfd, HISTORY_FILE "-wal", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode) && st.st_size == 0)
                (void) unlinkat(store->dirfd, HISTORY_FILE "-wal", 0);
}

/* Gives all files of the database another name. SQLite has let go of them. */
int store_put_aside(HistoryStore *store, const char *kind, int error, const char *text)
{
        char name[64], from[64], to[128];
        int r;

        remove_empty_log(store);
        r = choose_name(store, kind, name, sizeof(name));
        for (size_t i = 0; i < ELEMENTSOF(suffixes) && r >= 0; i++) {
                (void) snprintf(from, sizeof(from), HISTORY_FILE "%s", suffixes[i]);
                (void) snprintf(to, sizeof(to), "%s%s", name, suffixes[i]);
                if (renameat(store->dirfd, from, store->dirfd, to) < 0 && errno != ENOENT)
                        r = -errno;
        }
        if (r >= 0 && unlinkat(store->dirfd, INDEX_FILE, 0) < 0 && errno != ENOENT)
                r = -errno;
        if (r >= 0 && fsync(store->dirfd) < 0)
                r = -errno;
        if (r < 0) {
                store_set_text(store, "the file cannot be used, and cannot be put aside");
                return r;
        }
        remove_oldest(store, kind, name);
        store_tell(store, HISTORY_PUT_ASIDE, error, name, text);
        return 0;
}
