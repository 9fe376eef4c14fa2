/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Whether a worker lives is asked of the lock on its lock file, not of its pid, which may be somebody else's
 * by now. Only after the lock was seen taken is the pid turned into a pidfd, and then the lock is asked once
 * more: if it is still taken, the pid was still the worker's when the pidfd was opened.
 */

#include "daemon/system/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/system/journal.h"
#include "shared/cleanup.h"
#include <utlist.h>

/* Job ids are set aside on disk in blocks, so that not each job costs a write. */
#define ID_FILE  "next-id"
#define ID_BLOCK 1024U

typedef struct Follower Follower;

struct Follower {
        Records *records;
        uint32_t id;
        void *job;
        sd_event_source *io;
        Follower *prev, *next;
};

struct Records {
        sd_event *event;
        int dirfd;
        RecordHandler handler;
        Follower *followers;
        uint32_t next_id, ids_end;
        bool ids_unsaved; /* the last ones are not set aside on disk */
};

DEFINE_CLEANUP(Records *, records_free);
DEFINE_CLEANUP(WorkerRecord *, worker_record_free);

static void record_name(uint32_t id, const char *suffix, char name[static 32])
{
        (void) snprintf(name, 32, "%u%s", id, suffix);
}

void records_remove(Records *records, uint32_t job)
{
        char name[32];

        record_name(job, ".json", name);
        (void) unlinkat(records->dirfd, name, 0);
        record_name(job, ".tmp", name);
        (void) unlinkat(records->dirfd, name, 0);
        record_name(job, ".lock", name);
        (void) unlinkat(records->dirfd, name, 0);
}

int records_read(Records *records, uint32_t id, WorkerRecord **ret)
{
        _cleanup_free_ char *text = malloc(WORKER_RECORD_MAX);
        _cleanup_close_ int fd = -EBADF;
        char name[32];
        ssize_t n;

        if (!text)
                return -ENOMEM;
        record_name(id, ".json", name);
        fd = openat(records->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        n = read(fd, text, WORKER_RECORD_MAX);
        if (n < 0)
                return -errno;
        return worker_record_parse(text, (size_t) n, ret);
}

/* What a worker that is gone has left: a result that nobody heard, or settings that it could not put back.
 */
static void take_up_left(Records *records, uint32_t id)
{
        _cleanup_(cleanup_worker_record_free) WorkerRecord *record = NULL;
        int r = records_read(records, id, &record);
        bool stays = false;

        if (r >= 0) {
                journal_left_behind(record);
                if (records->handler.unheard)
                        stays = records->handler.unheard(records->handler.userdata, record);
        } else if (r != -ENOENT) {
                journal_record_unusable("of the last reset", r);
        }
        if (!stays)
                records_remove(records, id);
}

/* 1: a worker holds the lock, 0: nobody does. */
static int is_locked(Records *records, uint32_t id)
{
        _cleanup_close_ int fd = -EBADF;
        char name[32];

        record_name(id, ".lock", name);
        fd = openat(records->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        if (flock(fd, LOCK_SH | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? 1 : -errno;
        return 0;
}

static void follower_free(Follower *follower)
{
        DL_DELETE(follower->records->followers, follower);
        sd_event_source_disable_unref(follower->io);
        free(follower);
}

static int on_ended(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        _cleanup_(cleanup_worker_record_free) WorkerRecord *record = NULL;
        Follower *follower = userdata;
        Records *records = follower->records;
        void *job = follower->job;
        WorkerResult *result = NULL;

        if (records_read(records, follower->id, &record) >= 0)
                result = steal_pointer(record->result);
        follower_free(follower);
        records->handler.ended(records->handler.userdata, job, result);
        return 0;
}

/* Watches a process from now on. 0 if it has ended before it could be watched. */
static int follow(Records *records, uint32_t id, uint32_t pid, Follower **ret)
{
        _cleanup_free_ Follower *follower = calloc(1, sizeof(Follower));
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!follower)
                return -ENOMEM;
        fd = (int) syscall(SYS_pidfd_open, (pid_t) pid, 0);
        if (fd < 0)
                return errno == ESRCH ? 0 : -errno;
        r = is_locked(records, id);
        if (r <= 0)
                return r;

        r = sd_event_add_io(records->event, &follower->io, fd, EPOLLIN, on_ended, follower);
        if (r < 0)
                return r;
        (void) sd_event_source_set_io_fd_own(follower->io, true);
        (void) steal_fd(fd);
        follower->records = records;
        follower->id = id;
        DL_APPEND(records->followers, follower);
        *ret = steal_pointer(follower);
        return 1;
}

static int take_up(Records *records, uint32_t id)
{
        _cleanup_(cleanup_worker_record_free) WorkerRecord *record = NULL;
        Follower *follower = NULL;
        int r;

        r = is_locked(records, id);
        if (r > 0)
                r = records_read(records, id, &record);
        if (r >= 0 && record)
                r = follow(records, id, record->pid, &follower);
        if (r < 0)
                return r;
        if (!follower) {
                take_up_left(records, id);
                return 0;
        }
        r = records->handler.running(records->handler.userdata, record, &follower->job);
        if (r < 0)
                follower_free(follower);
        return r;
}

static int load_next_id(Records *records)
{
        _cleanup_close_ int fd = openat(records->dirfd, ID_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        char text[16] = "";

        if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
                records->next_id = (uint32_t) strtoul(text, NULL, 10);
        if (records->next_id == 0)
                records->next_id = 1;
        records->ids_end = records->next_id;
        return 0;
}

static int store_next_id(Records *records, uint32_t value)
{
        _cleanup_close_ int fd = openat(records->dirfd, ID_FILE ".new",
                                        O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        int r = 0;

        if (fd < 0)
                return -errno;
        if (dprintf(fd, "%u\n", value) < 0 ||
            renameat(records->dirfd, ID_FILE ".new", records->dirfd, ID_FILE) < 0) {
                r = -errno;
                (void) unlinkat(records->dirfd, ID_FILE ".new", 0);
        }
        return r;
}

static void save_ids(Records *records)
{
        int r = store_next_id(records, records->ids_end);

        if (r < 0 && !records->ids_unsaved)
                journal_record_unusable(ID_FILE, r);
        records->ids_unsaved = r < 0;
}

void records_secure_ids(Records *records)
{
        if (records->ids_unsaved)
                save_ids(records);
}

uint32_t records_new_job_id(Records *records)
{
        if (records->next_id == records->ids_end) {
                /* 0 is no id. After four thousand million jobs the numbers begin again. */
                if (records->next_id > UINT32_MAX - ID_BLOCK)
                        records->next_id = 1;
                records->ids_end = records->next_id + ID_BLOCK;
                save_ids(records);
        }
        return records->next_id++;
}

/* A daemon that was killed while it removed a record may have left the lock, and a worker that was killed
 * while it wrote its first one the beginning. */
static void remove_remains(Records *records, uint32_t id)
{
        char name[32];

        record_name(id, ".json", name);
        if (faccessat(records->dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT &&
            is_locked(records, id) == 0)
                records_remove(records, id);
}

static int scan(Records *records)
{
        int fd = openat(records->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        struct dirent *entry;

        if (!dir)
                return -errno;
        while ((entry = readdir(dir))) {
                unsigned long id;
                char *end;
                int r;

                errno = 0;
                id = strtoul(entry->d_name, &end, 10);
                if (errno != 0 || id > UINT32_MAX || end == entry->d_name)
                        continue;
                if (strcmp(end, ".lock") == 0 || strcmp(end, ".tmp") == 0)
                        remove_remains(records, (uint32_t) id);
                if (strcmp(end, ".json") != 0)
                        continue;
                r = take_up(records, (uint32_t) id);
                if (r < 0)
                        journal_record_unusable(entry->d_name, r);
        }
        (void) closedir(dir);
        return 0;
}

int records_new(sd_event *event, const char *directory, const RecordHandler *handler, Records **ret)
{
        _cleanup_(cleanup_records_free) Records *records = calloc(1, sizeof(Records));
        int r;

        if (!records)
                return -ENOMEM;
        records->event = sd_event_ref(event);
        records->handler = *handler;
        if (mkdir(directory, 0700) < 0 && errno != EEXIST) {
                records->dirfd = -EBADF;
                return -errno;
        }
        records->dirfd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (records->dirfd < 0)
                return -errno;

        r = load_next_id(records);
        if (r >= 0)
                r = scan(records);
        if (r < 0)
                return r;
        *ret = steal_pointer(records);
        return 0;
}

Records *records_free(Records *records)
{
        Follower *follower, *next;

        if (!records)
                return NULL;
        DL_FOREACH_SAFE (records->followers, follower, next)
                follower_free(follower);
        if (records->dirfd >= 0)
                (void) close(records->dirfd);
        sd_event_unref(records->event);
        free(records);
        return NULL;
}
