/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Whatever waits for a disk happens in this thread: here are its queue and its life, in history-work.c what
 * it does with the store.
 *
 * The thread may hang in the kernel for as long as a disk hangs. The main loop never waits for its lock
 * longer than it takes to put an element into a list. The thread wakes up to try again only as long as there
 * is something to write.
 */

#include "daemon/system/history-thread-internal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>
#include <utlist.h>

struct HistoryThread {
        pthread_t thread;
        pthread_mutex_t lock; /* of what follows */
        pthread_cond_t wake, over;
        HistoryCall *queue, *done;
        size_t n_rows; /* in the queue, at work, and kept */
        size_t n_refused; /* since there was no room */
        bool stopping, ended, abandoned;
        int fd;

        HistoryWork work; /* the thread's own */
};

HistoryCall *history_call_free(HistoryCall *call)
{
        if (!call)
                return NULL;
        if (call->row)
                history_row_done(call->row);
        free(call->row);
        history_rows_free(call->rows, call->n_rows);
        store_export_done(&call->export);
        proven_free(call->tries);
        free(call->text);
        free(call);
        return NULL;
}

uint64_t history_now_usec(void)
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

void history_thread_push(HistoryThread *thread, HistoryCall *call)
{
        (void) pthread_mutex_lock(&thread->lock);
        add_done(thread, call);
        (void) pthread_mutex_unlock(&thread->lock);
}

void history_thread_put_back(HistoryThread *thread, HistoryCall *call)
{
        (void) pthread_mutex_lock(&thread->lock);
        if (call->abandoned)
                add_done(thread, call);
        else
                DL_APPEND(thread->queue, call);
        (void) pthread_mutex_unlock(&thread->lock);
}

HistoryCall *history_call_new(HistoryItem type)
{
        HistoryCall *call = calloc(1, sizeof(HistoryCall));

        if (call) {
                call->type = type;
                call->export.fd = -EBADF;
                call->wanted = true;
        }
        return call;
}

/* Under the lock. */
static void tell_lost(HistoryThread *thread, uint64_t count)
{
        HistoryCall *call = history_call_new(ITEM_NEWS);

        if (!call)
                return;
        call->news = (HistoryNews){.type = HISTORY_ROWS_LOST, .error = -ENOBUFS, .count = count};
        add_done(thread, call);
}

void history_thread_rows_done(HistoryThread *thread, size_t n)
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
                history_work_add(&thread->work, calls, n);
        else if (stopping)
                history_thread_push(thread, calls[0]); /* nobody waits for it any more */
        else
                history_work_serve(&thread->work, calls[0]);
}

/* Under the lock; false: it is over. */
static bool wait_for_work(HistoryThread *thread)
{
        struct timespec until = to_timespec(thread->work.retry_at);

        if (thread->stopping)
                return false;
        if (thread->work.n_kept > 0)
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
                bool retry = n == 0 && thread->work.n_kept > 0 &&
                             history_now_usec() >= thread->work.retry_at;

                if (n == 0 && !retry && (stopping || !thread->work.more_to_prune)) {
                        alive = wait_for_work(thread);
                        continue;
                }
                (void) pthread_mutex_unlock(&thread->lock);
                if (n > 0)
                        serve_batch(thread, calls, n, stopping);
                else if (retry)
                        history_work_retry(&thread->work);
                else
                        history_work_prune(&thread->work);
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
        history_work_done(&thread->work);
        cleanup_close(&thread->fd);
        (void) pthread_cond_destroy(&thread->wake);
        (void) pthread_cond_destroy(&thread->over);
        (void) pthread_mutex_destroy(&thread->lock);
        free(thread);
}

static void tell_ready(HistoryThread *thread, int error)
{
        HistoryCall *call = history_call_new(ITEM_READY);

        if (!call)
                return;
        call->error = error;
        history_thread_push(thread, call);
}

static void *run(void *userdata)
{
        HistoryThread *thread = userdata;
        bool abandoned;

        tell_ready(thread, history_work_open(&thread->work));
        work(thread);
        history_work_end(&thread->work);

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
        thread->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        r = thread->fd < 0 ? -errno : 0;
        if (r >= 0)
                r = history_work_init(&thread->work, thread, config);
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
        const struct timespec until = to_timespec(history_now_usec() + HISTORY_FLUSH_USEC);
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
               thread->n_rows < (history_row_is_idle(call->row) ? HISTORY_UNWRITTEN_MAX : HISTORY_ROWS_MAX);
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
