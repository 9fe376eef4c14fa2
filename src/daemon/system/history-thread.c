/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Whatever waits for a disk happens here.
 *
 * Rows that are in the queue together go into one transaction, so one sync is enough for them. When they
 * cannot be written they are kept, in their order, and later ones wait behind them; their callers are told
 * at once, so that nobody waits for a disk to become free. The thread wakes up to try again only as long as
 * there is something to write.
 *
 * The thread may hang in the kernel for as long as a disk hangs. The main loop never waits for its lock
 * longer than it takes to put an element into a list.
 */

#include "daemon/system/history-thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <utlist.h>

#define RETRY_USEC UINT64_C(10000000)

struct HistoryThread {
        pthread_t thread;
        pthread_mutex_t lock; /* of what follows */
        pthread_cond_t wake, over;
        HistoryCall *queue, *done;
        size_t n_rows; /* in the queue, at work, and kept */
        size_t n_refused; /* since there was no room */
        bool stopping, ended, abandoned;
        int fd;

        /* The thread's own. */
        HistoryStore *store;
        HistoryRow *kept[HISTORY_ROWS_MAX];
        size_t n_kept;
        uint64_t n_saved; /* of those kept, since the trouble began */
        int error; /* that was told and is not over */
        uint64_t retry_usec, retry_at;
        bool loaded, more_to_prune;
};

HistoryCall *history_call_free(HistoryCall *call)
{
        if (!call)
                return NULL;
        if (call->row)
                history_row_done(call->row);
        free(call->row);
        store_rows_free(call->rows, call->n_rows);
        store_export_done(&call->export);
        proven_free(call->tries);
        free(call->text);
        free(call);
        return NULL;
}

static uint64_t now_usec(void)
{
        struct timespec ts = {};

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000U + (uint64_t) ts.tv_nsec / 1000U;
}

static struct timespec to_timespec(uint64_t usec)
{
        return (struct timespec){.tv_sec = (time_t) (usec / 1000000U),
                                 .tv_nsec = (long) (usec % 1000000U) * 1000};
}

/* Telling */

static void add_done(HistoryThread *thread, HistoryCall *call)
{
        const uint64_t one = 1;

        DL_APPEND(thread->done, call);
        (void) !write(thread->fd, &one, sizeof(one));
}

static void push(HistoryThread *thread, HistoryCall *call)
{
        (void) pthread_mutex_lock(&thread->lock);
        add_done(thread, call);
        (void) pthread_mutex_unlock(&thread->lock);
}

static HistoryCall *new_item(HistoryItem type)
{
        HistoryCall *call = calloc(1, sizeof(HistoryCall));

        if (call) {
                call->type = type;
                call->export.fd = -EBADF;
                call->wanted = true;
        }
        return call;
}

static void tell(void *userdata, const HistoryNews *news)
{
        HistoryCall *call = new_item(ITEM_NEWS);

        if (!call)
                return;
        call->news = *news;
        push(userdata, call);
}

static void tell_trouble(HistoryThread *thread, HistoryNewsType type, int error, uint64_t count)
{
        HistoryNews news = {.type = type, .error = error, .count = count};

        if (error < 0)
                (void) snprintf(news.text, sizeof(news.text), "%s", thread->store->text);
        tell(thread, &news);
}

/* Takes the tries over. */
static void tell_tries(HistoryThread *thread, HistoryItem type, Proven *tries)
{
        HistoryCall *call = tries && !proven_is_empty(tries) ? new_item(type) : NULL;

        if (!call) {
                proven_free(tries);
                return;
        }
        call->tries = tries;
        push(thread, call);
}

/* Under the lock. */
static void tell_lost(HistoryThread *thread, uint64_t count)
{
        HistoryCall *call = new_item(ITEM_NEWS);

        if (!call)
                return;
        call->news = (HistoryNews){.type = HISTORY_ROWS_LOST, .error = -ENOBUFS, .count = count};
        add_done(thread, call);
}

static void rows_done(HistoryThread *thread, size_t n)
{
        (void) pthread_mutex_lock(&thread->lock);
        thread->n_rows -= n;
        /* The first one that found no room was told. */
        if (thread->n_refused > 0 && thread->n_rows <= HISTORY_ROWS_MAX / 2) {
                if (thread->n_refused > 1)
                        tell_lost(thread, thread->n_refused - 1);
                thread->n_refused = 0;
        }
        (void) pthread_mutex_unlock(&thread->lock);
}

/* Trouble and its end */

static void note_trouble(HistoryThread *thread, int error)
{
        thread->retry_at = now_usec() + thread->retry_usec;
        if (thread->error == 0)
                tell_trouble(thread, HISTORY_UNWRITABLE, error, 0);
        thread->error = error;
        /* A fresh look at the file is the best thing to begin the next try with, unless the file is known to
         * be well: then what is in it can be read meanwhile. */
        if (error != -EBUSY && error != -ENOSPC && error != -ENOMEM)
                store_close(thread->store);
}

static void note_end(HistoryThread *thread)
{
        if (thread->error == 0 || thread->n_kept > 0)
                return;
        tell_trouble(thread, HISTORY_WRITABLE, 0, thread->n_saved);
        thread->error = 0;
        thread->n_saved = 0;
}

static int load(HistoryThread *thread)
{
        Proven *tries = NULL;
        int r;

        if (thread->loaded)
                return 0;
        r = proven_new(&tries);
        if (r >= 0)
                r = store_load(thread->store, tries);
        if (r < 0) {
                proven_free(tries);
                return r;
        }
        thread->loaded = true;
        tell_tries(thread, ITEM_LEARNED, tries);
        return 0;
}

/* Sees to it that the file is open, unless that failed just now. */
static int need_store(HistoryThread *thread)
{
        int r;

        store_check_moved(thread->store);
        if (thread->store->db)
                return 0;
        if (thread->error < 0 && now_usec() < thread->retry_at)
                return thread->error;
        r = store_open(thread->store);
        if (r >= 0)
                r = load(thread);
        /* What could not be read is put aside, and there is a new file, with nothing in it. */
        if (r == -EBADMSG)
                r = store_open(thread->store);
        /* A sync that failed may have left rows in the log that are not on the disk, and that no later sync
         * takes there: they are written once more, to another place. */
        if (r >= 0 && thread->error == -EIO)
                r = store_settle(thread->store);
        if (r < 0)
                store_close(thread->store);
        if (r < 0)
                note_trouble(thread, r);
        else
                note_end(thread);
        return r;
}

/* Rows */

static int write_rows(HistoryThread *thread, HistoryRow *const *rows, size_t n, bool again, int64_t *ids)
{
        Proven *forgotten = NULL;
        int r = -EBADMSG;

        /* A file that turns out to be damaged is put aside, and the rows go into the next one. */
        for (unsigned i = 0; i < 2 && r == -EBADMSG; i++) {
                r = need_store(thread);
                if (r < 0)
                        return r;
                forgotten = proven_free(forgotten);
                r = proven_new(&forgotten);
                if (r >= 0)
                        r = store_add(thread->store, rows, n, again, ids, forgotten, &thread->more_to_prune);
        }
        if (r < 0) {
                proven_free(forgotten);
                note_trouble(thread, r);
                return r;
        }
        tell_tries(thread, ITEM_FORGOTTEN, forgotten);
        return 0;
}

static void add_rows(HistoryThread *thread, HistoryCall *const *calls, size_t n)
{
        HistoryRow *rows[STORE_BATCH_MAX];
        int64_t ids[STORE_BATCH_MAX];
        int r = thread->n_kept > 0 ? thread->error : 0;

        for (size_t i = 0; i < n; i++)
                rows[i] = calls[i]->row;
        if (r == 0)
                r = write_rows(thread, rows, n, false, ids);
        for (size_t i = 0; i < n; i++) {
                if (r < 0) {
                        thread->kept[thread->n_kept++] = steal_pointer(calls[i]->row);
                        calls[i]->error = r;
                } else if (ids[i] < 0) {
                        calls[i]->error = (int) ids[i];
                } else {
                        calls[i]->id = ids[i];
                }
                push(thread, calls[i]);
        }
        if (r < 0)
                return;
        rows_done(thread, n);
        note_end(thread);
}

static void retry_rows(HistoryThread *thread)
{
        int64_t ids[STORE_BATCH_MAX];

        while (thread->n_kept > 0) {
                size_t n = thread->n_kept < STORE_BATCH_MAX ? thread->n_kept : STORE_BATCH_MAX, n_bad = 0;

                if (write_rows(thread, thread->kept, n, true, ids) < 0)
                        return;
                for (size_t i = 0; i < n; i++) {
                        n_bad += ids[i] < 0;
                        history_row_done(thread->kept[i]);
                        free(thread->kept[i]);
                }
                thread->n_kept -= n;
                memmove(thread->kept, thread->kept + n, thread->n_kept * sizeof(thread->kept[0]));
                thread->n_saved += n - n_bad;
                if (n_bad > 0)
                        tell_trouble(thread, HISTORY_ROWS_LOST, 0, n_bad);
                rows_done(thread, n);
        }
        note_end(thread);
}

/* Everything else */

static void serve_import(HistoryThread *thread, HistoryCall *call)
{
        Proven *added = NULL;

        call->error = proven_new(&added);
        if (call->error >= 0)
                call->error = store_import(thread->store, call->text, call->length, added, &call->import);
        free(steal_pointer(call->text));
        if (call->error < 0) {
                proven_free(added);
                return;
        }
        thread->more_to_prune = true;
        tell_tries(thread, ITEM_LEARNED, added);
}

static void serve(HistoryThread *thread, HistoryCall *call)
{
        call->error = need_store(thread);
        if (call->error >= 0 && call->type == ITEM_QUERY)
                call->error = store_query(thread->store, &call->filter, &call->rows, &call->n_rows);
        else if (call->error >= 0 && call->type == ITEM_IMPORT)
                serve_import(thread, call);
        else if (call->error >= 0 && call->type == ITEM_EXPORT)
                call->error = store_export(thread->store, &call->export);

        (void) pthread_mutex_lock(&thread->lock);
        if (call->type == ITEM_EXPORT && call->error == 1 && !call->abandoned)
                DL_APPEND(thread->queue, call);
        else
                add_done(thread, call);
        (void) pthread_mutex_unlock(&thread->lock);
}

static void prune(HistoryThread *thread)
{
        Proven *forgotten = NULL;
        int r;

        thread->more_to_prune = false;
        if (!thread->store->db || proven_new(&forgotten) < 0)
                return;
        r = store_prune(thread->store, forgotten, &thread->more_to_prune);
        if (r >= 0) {
                tell_tries(thread, ITEM_FORGOTTEN, forgotten);
                return;
        }
        proven_free(forgotten);
        thread->more_to_prune = false; /* the next row tries again */
}

/* The loop */

/* Takes what can be served at once from the head of the queue. Under the lock. */
static size_t take_batch(HistoryThread *thread, HistoryCall **calls)
{
        size_t n = 0;

        while (thread->queue && n < STORE_BATCH_MAX) {
                HistoryCall *call = thread->queue;

                if (n > 0 && call->type != ITEM_ADD)
                        break;
                DL_DELETE(thread->queue, call);
                calls[n++] = call;
                if (call->type != ITEM_ADD)
                        break;
        }
        return n;
}

static void serve_batch(HistoryThread *thread, HistoryCall **calls, size_t n, bool stopping)
{
        if (calls[0]->type == ITEM_ADD)
                add_rows(thread, calls, n);
        else if (stopping)
                push(thread, calls[0]); /* nobody waits for it any more */
        else
                serve(thread, calls[0]);
}

/* Under the lock; false: it is over. */
static bool wait_for_work(HistoryThread *thread)
{
        struct timespec until = to_timespec(thread->retry_at);

        if (thread->stopping)
                return false;
        if (thread->n_kept > 0)
                (void) pthread_cond_timedwait(&thread->wake, &thread->lock, &until);
        else
                (void) pthread_cond_wait(&thread->wake, &thread->lock);
        return true;
}

static void work(HistoryThread *thread)
{
        HistoryCall *calls[STORE_BATCH_MAX];
        bool alive = true;

        (void) pthread_mutex_lock(&thread->lock);
        while (alive) {
                bool stopping = thread->stopping;
                size_t n = take_batch(thread, calls);
                bool retry = n == 0 && thread->n_kept > 0 && now_usec() >= thread->retry_at;

                if (n == 0 && !retry && (stopping || !thread->more_to_prune)) {
                        alive = wait_for_work(thread);
                        continue;
                }
                (void) pthread_mutex_unlock(&thread->lock);
                if (n > 0)
                        serve_batch(thread, calls, n, stopping);
                else if (retry)
                        retry_rows(thread);
                else
                        prune(thread);
                (void) pthread_mutex_lock(&thread->lock);
        }
        (void) pthread_mutex_unlock(&thread->lock);
}

static void free_list(HistoryCall *calls)
{
        HistoryCall *call, *next;

        DL_FOREACH_SAFE (calls, call, next)
                history_call_free(call);
}

static void thread_free(HistoryThread *thread)
{
        free_list(thread->queue);
        free_list(thread->done);
        for (size_t i = 0; i < thread->n_kept; i++) {
                history_row_done(thread->kept[i]);
                free(thread->kept[i]);
        }
        store_free(thread->store);
        cleanup_close(&thread->fd);
        (void) pthread_cond_destroy(&thread->wake);
        (void) pthread_cond_destroy(&thread->over);
        (void) pthread_mutex_destroy(&thread->lock);
        free(thread);
}

static void tell_ready(HistoryThread *thread, int error)
{
        HistoryCall *call = new_item(ITEM_READY);

        if (!call)
                return;
        call->error = error;
        push(thread, call);
}

static void *run(void *userdata)
{
        HistoryThread *thread = userdata;
        bool abandoned;

        tell_ready(thread, need_store(thread));
        work(thread);
        /* What is still kept gets one last try. */
        thread->retry_at = 0;
        retry_rows(thread);
        store_close(thread->store);

        (void) pthread_mutex_lock(&thread->lock);
        thread->ended = true;
        abandoned = thread->abandoned;
        (void) pthread_cond_signal(&thread->over);
        (void) pthread_mutex_unlock(&thread->lock);
        if (abandoned)
                thread_free(thread);
        return NULL;
}

/* The main loop's side */

static int start(HistoryThread *thread)
{
        sigset_t all, old;
        int r;

        /* Signals are the main loop's. */
        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &old);
        r = pthread_create(&thread->thread, NULL, run, thread);
        (void) pthread_sigmask(SIG_SETMASK, &old, NULL);
        if (r != 0)
                return -r;
        (void) pthread_setname_np(thread->thread, "history");
        return 0;
}

int history_thread_new(const HistoryConfig *config, HistoryThread **ret)
{
        HistoryThread *thread = calloc(1, sizeof(HistoryThread));
        pthread_condattr_t attributes;
        int r;

        if (!thread)
                return -ENOMEM;
        (void) pthread_mutex_init(&thread->lock, NULL);
        (void) pthread_condattr_init(&attributes);
        (void) pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        (void) pthread_cond_init(&thread->wake, &attributes);
        (void) pthread_cond_init(&thread->over, &attributes);
        (void) pthread_condattr_destroy(&attributes);
        thread->retry_usec = config->retry_usec ?: RETRY_USEC;
        thread->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        r = thread->fd < 0 ? -errno : 0;
        if (r >= 0)
                r = store_new(config, tell, thread, &thread->store);
        if (r >= 0)
                r = start(thread);
        if (r < 0) {
                thread_free(thread);
                return r;
        }
        *ret = thread;
        return 0;
}

uint64_t history_thread_stop(HistoryThread *thread)
{
        const struct timespec until = to_timespec(now_usec() + HISTORY_FLUSH_USEC);
        uint64_t n_left;
        bool ended;
        int r = 0;

        (void) pthread_mutex_lock(&thread->lock);
        thread->stopping = true;
        (void) pthread_cond_signal(&thread->wake);
        while (!thread->ended && r == 0)
                r = pthread_cond_timedwait(&thread->over, &thread->lock, &until);
        ended = thread->ended;
        thread->abandoned = !ended;
        n_left = thread->n_rows;
        (void) pthread_mutex_unlock(&thread->lock);
        if (ended) {
                (void) pthread_join(thread->thread, NULL);
                thread_free(thread);
        } else {
                (void) pthread_detach(thread->thread);
        }
        return n_left;
}

int history_thread_fd(const HistoryThread *thread)
{
        return thread->fd;
}

static bool has_room(const HistoryThread *thread, const HistoryCall *call)
{
        return call->type != ITEM_ADD ||
               thread->n_rows < (call->row->written ? HISTORY_ROWS_MAX : HISTORY_UNWRITTEN_MAX);
}

int history_thread_put(HistoryThread *thread, HistoryCall *call)
{
        int r = 0;

        (void) pthread_mutex_lock(&thread->lock);
        if (!has_room(thread, call)) {
                if (thread->n_refused++ == 0)
                        tell_lost(thread, 1);
                r = -ENOBUFS;
        } else {
                thread->n_rows += call->type == ITEM_ADD;
                DL_APPEND(thread->queue, call);
                (void) pthread_cond_signal(&thread->wake);
        }
        (void) pthread_mutex_unlock(&thread->lock);
        return r;
}

void history_thread_abandon(HistoryThread *thread, HistoryCall *call)
{
        HistoryCall *queued;

        (void) pthread_mutex_lock(&thread->lock);
        call->abandoned = true;
        DL_FOREACH (thread->queue, queued) {
                if (queued != call)
                        continue;
                DL_DELETE(thread->queue, call);
                add_done(thread, call);
                break;
        }
        (void) pthread_mutex_unlock(&thread->lock);
}

HistoryCall *history_thread_take(HistoryThread *thread)
{
        HistoryCall *calls;
        uint64_t count;

        (void) !read(thread->fd, &count, sizeof(count));
        (void) pthread_mutex_lock(&thread->lock);
        calls = steal_pointer(thread->done);
        (void) pthread_mutex_unlock(&thread->lock);
        return calls;
}
