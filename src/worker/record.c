/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A record is always written as a whole, beside the old one, and renamed over it: whoever reads it sees the
 * one or the other, also if the worker is killed in between. Nothing is synced, since it lives in /run and
 * is worth nothing after the next boot.
 *
 * The lock has a file of its own because the record's is replaced. The daemon removes both, so a worker that
 * waited at the lock file may have locked one that is not there any more: it looks, and starts again.
 *
 * Only a record that is taken over when there is no room for a second one is written to where it is.
 */

#include "worker/record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "shared/cleanup.h"
#include "shared/write-all.h"
#include "worker/clock.h"

#define NAME_MAX_LENGTH 32U
#define FILE_MODE       0640

/* The daemon takes the lock for a moment to see whether it is free, and the worker of the job's method
 * before may have said its last word and not be gone yet. */
#define LOCK_TRIES      20
#define LOCK_RETRY_USEC (10 * USEC_PER_MSEC)

struct Record {
        int directory_fd;
        int lock_fd;
        char name[NAME_MAX_LENGTH];
        char temporary_name[NAME_MAX_LENGTH];
        WorkerRecord content; /* its pointers are borrowed, and only read, */
        WorkerRecord *taken_over; /* maybe from here */
        WorkerSaved *saved; /* or from here */
};

DEFINE_CLEANUP(Record *, record_close);

Record *record_close(Record *record)
{
        if (!record)
                return NULL;
        cleanup_close(&record->lock_fd);
        cleanup_close(&record->directory_fd);
        worker_record_free(record->taken_over);
        free(record->saved);
        free(record);
        return NULL;
}

/* 0 if the lock is held and is that of the file that has the name, -ESTALE if the file is gone. */
static int lock_once(int directory_fd, const char *name, int *ret)
{
        _cleanup_close_ int fd = -EBADF;
        struct stat locked, named;

        fd = openat(directory_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
        if (fd < 0)
                return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? -EBUSY : -errno;

        if (fstat(fd, &locked) < 0)
                return -errno;
        if (fstatat(directory_fd, name, &named, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? -ESTALE : -errno;
        if (locked.st_dev != named.st_dev || locked.st_ino != named.st_ino)
                return -ESTALE;

        *ret = steal_fd(fd);
        return 0;
}

static int lock(int directory_fd, uint32_t job, int *ret)
{
        char name[NAME_MAX_LENGTH];
        int r;

        (void) snprintf(name, sizeof(name), "%" PRIu32 ".lock", job);
        for (int i = 0;; i++) {
                r = lock_once(directory_fd, name, ret);
                if ((r != -ESTALE && r != -EBUSY) || i == LOCK_TRIES)
                        return r == -ESTALE ? -EBUSY : r;
                if (r == -EBUSY)
                        sleep_usec(LOCK_RETRY_USEC);
        }
}

static int replace_file(const Record *record, const char *text)
{
        _cleanup_close_ int fd = -EBADF;
        int r;

        /* What another worker for this job left behind is removed and not written to: the directory may
         * belong to somebody with fewer rights. */
        if (unlinkat(record->directory_fd, record->temporary_name, 0) < 0 && errno != ENOENT)
                return -errno;
        fd = openat(record->directory_fd, record->temporary_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                    FILE_MODE);
        if (fd < 0)
                return -errno;

        r = write_all(fd, text, strlen(text));
        if (r >= 0 &&
            renameat(record->directory_fd, record->temporary_name, record->directory_fd, record->name) < 0)
                r = -errno;
        if (r < 0)
                (void) unlinkat(record->directory_fd, record->temporary_name, 0);
        return r;
}

/* Formats and writes what the record holds now. */
static int save(const Record *record)
{
        _cleanup_free_ char *text = NULL;
        int r;

        r = worker_record_format(&record->content, &text);
        if (r < 0)
                return r;
        return replace_file(record, text);
}

/* As many bytes as the old text has, or as many more as the file's last page has room for, take nothing that
 * the file does not have already. All that is another one is the pid. */
static int overwrite_file(const Record *record, const char *text)
{
        size_t length = strlen(text), page = (size_t) sysconf(_SC_PAGESIZE), size;
        _cleanup_free_ char *padded = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        ssize_t n;

        fd = openat(record->directory_fd, record->name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        size = (size_t) st.st_size;
        if (length > (size + page - 1) / page * page)
                return -ENOSPC;
        if (size < length)
                size = length;
        padded = malloc(size);
        if (!padded)
                return -ENOMEM;
        /* What follows a text of JSON may be blank. */
        memset(padded, '\n', size);
        memcpy(padded, text, length);
        n = pwrite(fd, padded, size, 0);
        return n < 0 ? -errno : (size_t) n == size ? 0 : -ENOSPC;
}

/* Whoever puts right what another worker has left must not fail for want of room. */
static int save_taken_over(const Record *record)
{
        _cleanup_free_ char *text = NULL;
        int r;

        r = worker_record_format(&record->content, &text);
        if (r < 0)
                return r;
        r = replace_file(record, text);
        return r == -ENOSPC || r == -EDQUOT ? overwrite_file(record, text) : r;
}

static int begin(const char *directory, const WorkerRequest *request, Record **ret)
{
        _cleanup_(cleanup_record_close) Record *record = malloc(sizeof(*record));
        int r;

        if (!record)
                return -ENOMEM;
        *record = (Record){
                .lock_fd = -EBADF,
                .content.pid = (uint32_t) getpid(),
                .content.request = (WorkerRequest *) request,
        };
        (void) snprintf(record->name, sizeof(record->name), "%" PRIu32 ".json", request->job);
        (void) snprintf(record->temporary_name, sizeof(record->temporary_name), "%" PRIu32 ".tmp",
                        request->job);

        record->directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (record->directory_fd < 0)
                return -errno;
        r = lock(record->directory_fd, request->job, &record->lock_fd);
        if (r < 0)
                return r;

        *ret = steal_pointer(record);
        return 0;
}

int record_open(const char *directory, const WorkerRequest *request, Record **ret)
{
        _cleanup_(cleanup_record_close) Record *record = NULL;
        int r;

        r = begin(directory, request, &record);
        if (r >= 0)
                r = save(record);
        if (r < 0)
                return r;

        *ret = steal_pointer(record);
        return 0;
}

/* What is written there now. -ENOENT: nothing. */
static int load(const Record *record, WorkerRecord **ret)
{
        _cleanup_free_ char *text = malloc(WORKER_RECORD_MAX);
        _cleanup_close_ int fd = -EBADF;
        size_t length = 0;
        ssize_t n;

        if (!text)
                return -ENOMEM;
        fd = openat(record->directory_fd, record->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        while (length < WORKER_RECORD_MAX &&
               (n = read(fd, text + length, WORKER_RECORD_MAX - length)) != 0) {
                if (n < 0)
                        return -errno;
                length += (size_t) n;
        }
        return worker_record_parse(text, length, ret);
}

int record_take_over(const char *directory, const WorkerRequest *request, Record **ret)
{
        _cleanup_(cleanup_record_close) Record *record = NULL;
        int r;

        r = begin(directory, request, &record);
        if (r < 0)
                return r;
        r = load(record, &record->taken_over);
        if (r >= 0) {
                uint32_t pid = record->content.pid;

                record->content = *record->taken_over;
                record->content.pid = pid;
                record->content.result = NULL;
        } else if (r != -ENOENT) {
                return r;
        }
        r = record->taken_over ? save_taken_over(record) : save(record);
        if (r < 0)
                return r;

        *ret = steal_pointer(record);
        return 0;
}

const WorkerRecord *record_content(const Record *record)
{
        return &record->content;
}

int record_save_settings(Record *record, const WorkerSaved *saved, size_t n)
{
        WorkerSaved *copy = calloc(n, sizeof(WorkerSaved));

        if (!copy)
                return -ENOMEM;
        memcpy(copy, saved, n * sizeof(WorkerSaved));
        free(record->saved);
        record->saved = copy;
        record->content.saved = copy;
        record->content.n_saved = n;
        return save(record);
}

int record_save_list(Record *record, const char *list)
{
        size_t length = strlen(list);

        if (length >= sizeof(record->content.saved_reset_method))
                return -EMSGSIZE;
        memcpy(record->content.saved_reset_method, list, length + 1);
        record->content.has_saved_reset_method = true;
        return save(record);
}

int record_save_power(Record *record)
{
        record->content.bridge_sleeps = true;
        return save(record);
}

int record_finish(Record *record, const WorkerResult *result)
{
        record->content.result = (WorkerResult *) result;
        return save(record);
}
