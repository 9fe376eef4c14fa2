/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What is to be done stands in a queue, which the thread takes from the front; what it has done goes into
 * another one, of which an eventfd tells the loop. Each step belongs to whoever has it, and only the queues
 * are shared.
 */

#include "daemon/system/quarantine-store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <utlist.h>

#include "daemon/system/file-replace.h"
#include "daemon/system/journal.h"
#include "daemon/system/quarantine-record.h"
#include "shared/cleanup.h"

/* One thing to do. Without a text a file is removed, without a name nothing is done. */
struct QuarantineWait {
        char name[QUARANTINE_NAME_MAX];
        char *text;
        int error; /* how it ended, of nothing how the one before it did */
        QuarantineStored stored; /* the loop's own, as the next */
        void *userdata;
        QuarantineWait *prev, *next;
};

struct QuarantineStore {
        char *directory;
        sd_event_source *io; /* owns the eventfd */
        int eventfd;
        bool is_running;
        pthread_t thread;
        int last_error; /* the thread's own */

        pthread_mutex_t mutex;
        pthread_cond_t wake, over;
        /* Under the mutex. */
        QuarantineWait *todo, *done;
        const QuarantineWait *current; /* what the thread is at */
        bool stop;
        bool has_ended;
        bool abandoned; /* the thread frees everything, when its disk answers */
};

DEFINE_CLEANUP(QuarantineStore *, quarantine_store_free);
DEFINE_CLEANUP(DIR *, closedir);

static void step_free(QuarantineWait *step)
{
        free(step->text);
        free(step);
}

/* ---- the thread ---- */

/* With the one above it, which systemd makes where it starts the daemon. */
static int make_directory(const char *path)
{
        _cleanup_free_ char *parent = strdup(path);

        if (!parent)
                return -ENOMEM;
        *strrchr(parent, '/') = '\0';
        if (mkdir(parent, 0700) < 0 && errno != EEXIST)
                return -errno;
        return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int open_directory(const QuarantineStore *store)
{
        int fd, r = make_directory(store->directory);

        if (r < 0)
                return r;
        fd = open(store->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        return fd < 0 ? -errno : fd;
}

static int carry_out(const QuarantineStore *store, const QuarantineWait *step)
{
        _cleanup_close_ int dirfd = open_directory(store);
        int r = 0;

        if (dirfd < 0)
                return dirfd;
        if (step->text)
                r = file_replace_at(dirfd, step->name, step->text, strlen(step->text));
        else if (unlinkat(dirfd, step->name, 0) < 0 && errno != ENOENT)
                r = -errno;
        /* The name is on the disk when the directory is. */
        if (r >= 0 && fsync(dirfd) < 0)
                r = -errno;
        return r;
}

static void free_steps(QuarantineWait **steps)
{
        QuarantineWait *step, *next;

        DL_FOREACH_SAFE (*steps, step, next)
                step_free(step);
        *steps = NULL;
}

/* What both sides have. */
static void store_free(QuarantineStore *store)
{
        free_steps(&store->todo);
        free_steps(&store->done);
        (void) pthread_cond_destroy(&store->wake);
        (void) pthread_cond_destroy(&store->over);
        (void) pthread_mutex_destroy(&store->mutex);
        free(store->directory);
        free(store);
}

static void *work(void *userdata)
{
        QuarantineStore *store = userdata;
        QuarantineWait *step;
        bool abandoned;

        (void) pthread_mutex_lock(&store->mutex);
        for (;;) {
                step = store->todo;
                if (store->abandoned || (!step && store->stop))
                        break;
                if (!step) {
                        (void) pthread_cond_wait(&store->wake, &store->mutex);
                        continue;
                }
                DL_DELETE(store->todo, step);
                store->current = step;
                (void) pthread_mutex_unlock(&store->mutex);

                if (step->name[0] != '\0')
                        store->last_error = carry_out(store, step);
                step->error = store->last_error;

                (void) pthread_mutex_lock(&store->mutex);
                DL_APPEND(store->done, step);
                store->current = NULL;
                /* Its number may be another file's by then. */
                if (!store->abandoned)
                        (void) eventfd_write(store->eventfd, 1);
        }
        store->has_ended = true;
        abandoned = store->abandoned;
        (void) pthread_cond_signal(&store->over);
        (void) pthread_mutex_unlock(&store->mutex);
        if (abandoned)
                store_free(store);
        return NULL;
}

/* ---- the loop ---- */

static void tell(QuarantineWait *step, bool may_call)
{
        if (step->name[0] != '\0' && step->error < 0)
                journal_quarantine_unstored(step->name, step->error);
        if (step->stored && may_call)
                step->stored(step->userdata, step->error);
        step_free(step);
}

static void tell_done(QuarantineStore *store, bool may_call)
{
        for (;;) {
                QuarantineWait *step;

                (void) pthread_mutex_lock(&store->mutex);
                step = store->done;
                if (step)
                        DL_DELETE(store->done, step);
                (void) pthread_mutex_unlock(&store->mutex);
                if (!step)
                        return;
                tell(step, may_call);
        }
}

static int on_done(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        eventfd_t count;

        (void) eventfd_read(fd, &count);
        tell_done(userdata, true);
        return 0;
}

int quarantine_store_new(sd_event *event, const char *directory, QuarantineStore **ret)
{
        _cleanup_(cleanup_quarantine_store_free) QuarantineStore *store = calloc(1, sizeof(QuarantineStore));
        _cleanup_close_ int fd = -EBADF;
        pthread_condattr_t attributes;
        int r;

        if (!store)
                return -ENOMEM;
        (void) pthread_mutex_init(&store->mutex, NULL);
        (void) pthread_condattr_init(&attributes);
        (void) pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        (void) pthread_cond_init(&store->wake, NULL);
        (void) pthread_cond_init(&store->over, &attributes);
        (void) pthread_condattr_destroy(&attributes);
        store->directory = strdup(directory);
        if (!store->directory)
                return -ENOMEM;
        fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0)
                return -errno;
        r = sd_event_add_io(event, &store->io, fd, EPOLLIN, on_done, store);
        if (r < 0)
                return r;
        (void) sd_event_source_set_io_fd_own(store->io, true);
        store->eventfd = steal_fd(fd);
        *ret = steal_pointer(store);
        return 0;
}

static void tell_unstored(const QuarantineWait *step)
{
        if (step->name[0] != '\0')
                journal_quarantine_unstored(step->name, -ETIMEDOUT);
}

/* Returns false if the disk hangs, and what is shared is the thread's alone from now on. */
static bool stop_thread(QuarantineStore *store)
{
        struct timespec until;
        const QuarantineWait *step;
        bool has_ended;
        int r = 0;

        (void) clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += (time_t) (QUARANTINE_FLUSH_USEC / 1000000);
        (void) pthread_mutex_lock(&store->mutex);
        store->stop = true;
        (void) pthread_cond_signal(&store->wake);
        while (!store->has_ended && r == 0)
                r = pthread_cond_timedwait(&store->over, &store->mutex, &until);
        has_ended = store->has_ended;
        if (!has_ended) {
                store->abandoned = true;
                if (store->current)
                        tell_unstored(store->current);
                DL_FOREACH (store->todo, step)
                        tell_unstored(step);
                (void) pthread_detach(store->thread);
        }
        (void) pthread_mutex_unlock(&store->mutex);
        if (has_ended)
                (void) pthread_join(store->thread, NULL);
        return has_ended;
}

QuarantineStore *quarantine_store_free(QuarantineStore *store)
{
        sd_event_source *io;

        if (!store)
                return NULL;
        /* Freed by the thread, perhaps. */
        io = store->io;
        if (!store->is_running || stop_thread(store)) {
                tell_done(store, false);
                store_free(store);
        }
        sd_event_source_disable_unref(io);
        return NULL;
}

/* Signals are the loop's business. */
static int start_thread(QuarantineStore *store)
{
        sigset_t all, before;
        int r;

        if (store->is_running)
                return 0;
        sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&store->thread, NULL, work, store);
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r != 0)
                return -r;
        store->is_running = true;
        return 0;
}

static int enqueue(QuarantineStore *store, QuarantineWait *step)
{
        int r = start_thread(store);

        if (r < 0) {
                step_free(step);
                return r;
        }
        (void) pthread_mutex_lock(&store->mutex);
        DL_APPEND(store->todo, step);
        (void) pthread_cond_signal(&store->wake);
        (void) pthread_mutex_unlock(&store->mutex);
        return 0;
}

static void enqueue_record(QuarantineStore *store, const QuarantineRecord *record, bool is_write)
{
        QuarantineWait *step = calloc(1, sizeof(QuarantineWait));
        char name[QUARANTINE_NAME_MAX];
        int r = step ? 0 : -ENOMEM;

        quarantine_name_format(record, name);
        if (r >= 0) {
                memcpy(step->name, name, sizeof(name));
                if (is_write)
                        r = quarantine_record_format(record, &step->text);
                if (r < 0)
                        step_free(step);
                else
                        r = enqueue(store, step);
        }
        if (r < 0)
                journal_quarantine_unstored(name, r);
}

void quarantine_store_write(QuarantineStore *store, const QuarantineRecord *record)
{
        enqueue_record(store, record, true);
}

void quarantine_store_remove(QuarantineStore *store, const QuarantineRecord *record)
{
        enqueue_record(store, record, false);
}

int quarantine_store_wait(QuarantineStore *store, QuarantineStored stored, void *userdata,
                          QuarantineWait **ret)
{
        QuarantineWait *step = calloc(1, sizeof(QuarantineWait));
        int r;

        if (!step)
                return -ENOMEM;
        step->stored = stored;
        step->userdata = userdata;
        r = enqueue(store, step);
        if (r < 0)
                return r;
        *ret = step;
        return 0;
}

QuarantineWait *quarantine_store_forget(QuarantineWait *wait)
{
        if (wait)
                wait->stored = NULL;
        return NULL;
}

/* ---- at the start ---- */

static int read_file(int dirfd, const char *name, QuarantineRecord *record)
{
        _cleanup_free_ char *text = malloc(QUARANTINE_FILE_MAX + 1);
        _cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        size_t length = 0;
        struct stat st;

        if (!text)
                return -ENOMEM;
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EBADMSG;
        /* One byte more than there may be. */
        while (length <= QUARANTINE_FILE_MAX) {
                ssize_t n = read(fd, text + length, QUARANTINE_FILE_MAX + 1 - length);

                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                length += (size_t) n;
        }
        return quarantine_record_parse(text, length, record);
}

static bool is_leftover(const char *name)
{
        size_t length = strlen(name), suffix = strlen(FILE_REPLACE_SUFFIX);

        return length > suffix && strcmp(name + length - suffix, FILE_REPLACE_SUFFIX) == 0;
}

static int load_one(int dirfd, const char *name, QuarantineRecord *record)
{
        int r;

        *record = (QuarantineRecord){};
        r = quarantine_name_parse(name, record);
        if (r < 0) {
                journal_quarantine_unreadable(name, r);
                return 0;
        }
        r = read_file(dirfd, name, record);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                journal_quarantine_unreadable(name, r);
                record->cause = QUARANTINE_UNREADABLE;
                (void) snprintf(record->reason, sizeof(record->reason),
                                "there was a reason, but its record is damaged (%s)", strerror(-r));
        }
        return 1;
}

int quarantine_store_load(QuarantineStore *store,
                          int (*found)(void *userdata, const QuarantineRecord *record), void *userdata)
{
        _cleanup_(cleanup_closedir) DIR *directory = opendir(store->directory);
        const struct dirent *entry;
        QuarantineRecord record;
        int r = 0;

        if (!directory)
                return errno == ENOENT ? 0 : -errno;
        while (r >= 0) {
                errno = 0;
                entry = readdir(directory);
                if (!entry)
                        return -errno;
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                if (is_leftover(entry->d_name)) {
                        (void) unlinkat(dirfd(directory), entry->d_name, 0);
                        continue;
                }
                r = load_one(dirfd(directory), entry->d_name, &record);
                if (r > 0)
                        r = found(userdata, &record);
        }
        return r;
}
