/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What the thread of the history does with the store.
 *
 * Rows that are in the queue together go into one transaction, so one sync is enough for them. When they
 * cannot be written they are kept, in their order, and later ones wait behind them; their callers are told
 * at once, so that nobody waits for a disk to become free.
 */

#include "daemon/system/history-thread-internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define RETRY_USEC UINT64_C(10000000)

/* Telling */

static void tell(void *userdata, const HistoryNews *news)
{
        HistoryCall *call = history_call_new(ITEM_NEWS);
        HistoryWork *work = userdata;

        if (!call)
                return;
        call->news = *news;
        history_thread_push(work->thread, call);
}

static void tell_trouble(HistoryWork *work, HistoryNewsType type, int error, uint64_t count)
{
        HistoryNews news = {.type = type, .error = error, .count = count};

        if (error < 0)
                (void) snprintf(news.text, sizeof(news.text), "%s", work->store->text);
        tell(work, &news);
}

/* Takes the tries over. */
static void tell_tries(HistoryWork *work, HistoryItem type, Proven *tries)
{
        HistoryCall *call = tries && !proven_is_empty(tries) ? history_call_new(type) : NULL;

        if (!call) {
                proven_free(tries);
                return;
        }
        call->tries = tries;
        history_thread_push(work->thread, call);
}

/* Trouble and its end */

static void note_trouble(HistoryWork *work, int error)
{
        work->retry_at = history_now_usec() + work->retry_usec;
        if (work->error == 0)
                tell_trouble(work, HISTORY_UNWRITABLE, error, 0);
        work->error = error;
        /* A fresh look at the file is the best thing to begin the next try with, unless the file is known to
         * be well: then what is in it can be read meanwhile. */
        if (error != -EBUSY && error != -ENOSPC && error != -ENOMEM)
                store_close(work->store);
}

static void note_end(HistoryWork *work)
{
        if (work->error == 0 || work->n_kept > 0)
                return;
        tell_trouble(work, HISTORY_WRITABLE, 0, work->n_saved);
        work->error = 0;
        work->n_saved = 0;
}

static int load(HistoryWork *work)
{
        Proven *tries = NULL;
        int r;

        if (work->loaded)
                return 0;
        r = proven_new(&tries);
        if (r >= 0)
                r = store_load(work->store, tries);
        if (r < 0) {
                proven_free(tries);
                return r;
        }
        work->loaded = true;
        tell_tries(work, ITEM_LEARNED, tries);
        return 0;
}

int history_work_open(HistoryWork *work)
{
        int r;

        store_check_moved(work->store);
        if (work->store->db)
                return 0;
        if (work->error < 0 && history_now_usec() < work->retry_at)
                return work->error;
        r = store_open(work->store);
        if (r >= 0)
                r = load(work);
        /* What could not be read is put aside, and there is a new file, with nothing in it. */
        if (r == -EBADMSG)
                r = store_open(work->store);
        /* A sync that failed may have left rows in the log that are not on the disk, and that no later sync
         * takes there: they are written once more, to another place. */
        if (r >= 0 && work->error == -EIO)
                r = store_settle(work->store);
        if (r < 0)
                store_close(work->store);
        if (r < 0)
                note_trouble(work, r);
        else
                note_end(work);
        return r;
}

/* Rows */

static int write_rows(HistoryWork *work, HistoryRow *const *rows, size_t n, bool again, int64_t *ids)
{
        Proven *forgotten = NULL;
        int r = -EBADMSG;

        /* A file that turns out to be damaged is put aside, and the rows go into the next one. */
        for (unsigned i = 0; i < 2 && r == -EBADMSG; i++) {
                r = history_work_open(work);
                if (r < 0)
                        return r;
                forgotten = proven_free(forgotten);
                r = proven_new(&forgotten);
                if (r >= 0)
                        r = store_add(work->store, rows, n, again, ids, forgotten, &work->more_to_prune);
        }
        if (r < 0) {
                proven_free(forgotten);
                note_trouble(work, r);
                return r;
        }
        tell_tries(work, ITEM_FORGOTTEN, forgotten);
        return 0;
}

void history_work_add(HistoryWork *work, HistoryCall *const *calls, size_t n)
{
        HistoryRow *rows[STORE_BATCH_MAX];
        int64_t ids[STORE_BATCH_MAX];
        int r = work->n_kept > 0 ? work->error : 0;

        for (size_t i = 0; i < n; i++)
                rows[i] = calls[i]->row;
        if (r == 0)
                r = write_rows(work, rows, n, false, ids);
        for (size_t i = 0; i < n; i++) {
                if (r < 0) {
                        work->kept[work->n_kept++] = steal_pointer(calls[i]->row);
                        calls[i]->error = r;
                } else if (ids[i] < 0) {
                        calls[i]->error = (int) ids[i];
                } else {
                        calls[i]->id = ids[i];
                }
        }
        /* Whoever hears of it may add the next one at once. */
        if (r >= 0)
                history_thread_rows_done(work->thread, n);
        for (size_t i = 0; i < n; i++)
                history_thread_push(work->thread, calls[i]);
        if (r >= 0)
                note_end(work);
}

void history_work_retry(HistoryWork *work)
{
        int64_t ids[STORE_BATCH_MAX];

        while (work->n_kept > 0) {
                size_t n = work->n_kept < STORE_BATCH_MAX ? work->n_kept : STORE_BATCH_MAX, n_bad = 0;

                if (write_rows(work, work->kept, n, true, ids) < 0)
                        return;
                for (size_t i = 0; i < n; i++) {
                        n_bad += ids[i] < 0;
                        history_row_done(work->kept[i]);
                        free(work->kept[i]);
                }
                work->n_kept -= n;
                memmove(work->kept, work->kept + n, work->n_kept * sizeof(work->kept[0]));
                work->n_saved += n - n_bad;
                if (n_bad > 0)
                        tell_trouble(work, HISTORY_ROWS_LOST, 0, n_bad);
                history_thread_rows_done(work->thread, n);
        }
        note_end(work);
}

/* Everything else */

static void serve_import(HistoryWork *work, HistoryCall *call)
{
        Proven *added = NULL;

        call->error = proven_new(&added);
        if (call->error >= 0)
                call->error = store_import(work->store, call->text, call->length, added, &call->import);
        free(steal_pointer(call->text));
        if (call->error < 0) {
                proven_free(added);
                return;
        }
        work->more_to_prune = true;
        tell_tries(work, ITEM_LEARNED, added);
}

void history_work_serve(HistoryWork *work, HistoryCall *call)
{
        call->error = history_work_open(work);
        if (call->error >= 0 && call->type == ITEM_QUERY)
                call->error = store_query(work->store, &call->filter, &call->rows, &call->n_rows);
        else if (call->error >= 0 && call->type == ITEM_IMPORT)
                serve_import(work, call);
        else if (call->error >= 0 && call->type == ITEM_EXPORT)
                call->error = store_export(work->store, &call->export);

        if (call->type == ITEM_EXPORT && call->error == 1)
                history_thread_put_back(work->thread, call);
        else
                history_thread_push(work->thread, call);
}

void history_work_prune(HistoryWork *work)
{
        Proven *forgotten = NULL;
        int r;

        work->more_to_prune = false;
        if (!work->store->db || proven_new(&forgotten) < 0)
                return;
        r = store_prune(work->store, forgotten, &work->more_to_prune);
        if (r >= 0) {
                tell_tries(work, ITEM_FORGOTTEN, forgotten);
                return;
        }
        proven_free(forgotten);
        work->more_to_prune = false; /* the next row tries again */
}

void history_work_end(HistoryWork *work)
{
        work->retry_at = 0;
        history_work_retry(work);
        store_close(work->store);
}

int history_work_init(HistoryWork *work, HistoryThread *thread, const HistoryConfig *config)
{
        work->thread = thread;
        work->retry_usec = config->retry_usec ?: RETRY_USEC;
        return store_new(config, tell, work, &work->store);
}

void history_work_done(HistoryWork *work)
{
        for (size_t i = 0; i < work->n_kept; i++) {
                history_row_done(work->kept[i]);
                free(work->kept[i]);
        }
        store_free(work->store);
}
