/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The thread of the history, and the two lists between it and the main loop: what is to be done, and what
 * was.
 */

#include "daemon/system/history-store.h"

typedef enum HistoryItem {
        ITEM_ADD,
        ITEM_QUERY,
        ITEM_EXPORT,
        ITEM_IMPORT,
        /* What the thread has to say unasked. */
        ITEM_LEARNED,
        ITEM_FORGOTTEN,
        ITEM_NEWS,
        ITEM_READY,
} HistoryItem;

typedef struct HistoryThread HistoryThread;

/* A request on its way there and back. It belongs to one side at a time; the last part is the main loop's
 * always. */
struct HistoryCall {
        HistoryItem type;
        HistoryRow *row; /* to be added */
        HistoryFilter filter;
        StoreExport export;
        char *text;
        size_t length;

        int error;
        int64_t id;
        HistoryRow *rows;
        size_t n_rows;
        HistoryImport import;
        Proven *tries;
        HistoryNews news;
        HistoryCall *prev, *next;
        bool abandoned; /* under the thread's lock: it need not be done */

        union {
                HistoryAdded added;
                HistoryFound found;
                HistoryExported exported;
                HistoryImported imported;
        } handler;
        bool wanted; /* the handler is to be called */
        void *userdata;
        uint32_t uid; /* of an import: whose */
        HistoryThread *thread; /* that has it */
};

HistoryCall *history_call_free(HistoryCall *call);

int history_thread_new(const HistoryConfig *config, HistoryThread **ret);
/* Waits until all rows are on disk, at most HISTORY_FLUSH_USEC, and gives up the thread, which ends when it
 * can. Returns how many rows are not stored. */
uint64_t history_thread_stop(HistoryThread *thread);

/* Readable when there is something to take. */
int history_thread_fd(const HistoryThread *thread);
/* Takes the call over: 0, or -ENOBUFS for a row that is too many (history.h), and then it is not taken. */
int history_thread_put(HistoryThread *thread, HistoryCall *call);
/* Nobody waits for it: it comes back without an answer, at once if it has not begun. */
void history_thread_abandon(HistoryThread *thread, HistoryCall *call);
/* All that was done meanwhile, in its order. */
HistoryCall *history_thread_take(HistoryThread *thread);
