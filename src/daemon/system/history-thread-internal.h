/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Between the thread of the history and its work, for these two files alone: history-thread.c has the queue
 * and the lock, history-work.c the store. The work is the thread's own: only the thread touches it, except
 * before it has begun and after its end. The lock is never held while the work does something.
 */

#include "daemon/system/history-thread.h"

typedef struct HistoryWork {
        HistoryThread *thread; /* that it is the work of */
        HistoryStore *store; /* owned */
        HistoryRow *kept[HISTORY_ROWS_MAX]; /* that could not be written, in their order; owned */
        size_t n_kept;
        uint64_t n_saved; /* of those kept, since the trouble began */
        int error; /* that was told and is not over; 0: all is well */
        uint64_t retry_usec; /* from one try to the next */
        uint64_t retry_at; /* on the clock of history_now_usec(): not before */
        bool loaded; /* the tries in the file have been told */
        bool more_to_prune; /* history_work_prune() has something to do */
} HistoryWork;

/* ---- history-thread.c ---- */

/* CLOCK_MONOTONIC in microseconds. */
uint64_t history_now_usec(void);

/* A call that carries nothing yet. The caller frees it with history_call_free(). NULL: out of memory. */
HistoryCall *history_call_new(HistoryItem type);

/* These take the lock themselves. */

/* Hands the call to the main loop, which owns it from here on. */
void history_thread_push(HistoryThread *thread, HistoryCall *call);
/* Puts a call that is not finished at the end of the queue, which owns it from here on, so that others have
 * their turn; one that was abandoned goes to the main loop. */
void history_thread_put_back(HistoryThread *thread, HistoryCall *call);
/* `n` rows are stored, or lost: there is room for others. Tells how many were refused, once there is plenty.
 */
void history_thread_rows_done(HistoryThread *thread, size_t n);

/* ---- history-work.c ---- */

/* Begins with all zero. Touches no disk. 0, or a negative errno of store_new(); in either case the caller
 * calls history_work_done(). */
int history_work_init(HistoryWork *work, HistoryThread *thread, const HistoryConfig *config);
/* Frees the rows that are kept, and the store. Also good for a work that is all zero. */
void history_work_done(HistoryWork *work);

/* What follows waits for the disk. Whoever waits for an answer gets it with history_thread_push(); trouble
 * and its end are told there too, once each. */

/* Sees to it that the file is open, and that the tries in it have been told, unless that failed just now.
 * 0, or the negative errno that store_open(), store_load() or store_settle() failed with; the next try is
 * due at `retry_at`. */
int history_work_open(HistoryWork *work);
/* Adds the rows of `n` calls, from 1 to STORE_BATCH_MAX, all of them ITEM_ADD, in one transaction. Takes the
 * calls over. Rows that cannot be written are kept, behind those that are, and their calls answered with the
 * error. There is room: the queue takes no more than HISTORY_ROWS_MAX rows in all. */
void history_work_add(HistoryWork *work, HistoryCall *const *calls, size_t n);
/* Writes the rows that are kept, as many as can be. The others stay, and the next try is due at `retry_at`.
 */
void history_work_retry(HistoryWork *work);
/* Answers a query or an import, or does a part of an export, and takes the call over. An export that has
 * more to write goes back into the queue. */
void history_work_serve(HistoryWork *work, HistoryCall *call);
/* Forgets some of the rows that are over the limits, and sets `more_to_prune` if there are others. An error
 * is not told: the next row that is added tries again. */
void history_work_prune(HistoryWork *work);
/* One last try for the rows that are kept, even if none is due; then closes the file. */
void history_work_end(HistoryWork *work);
