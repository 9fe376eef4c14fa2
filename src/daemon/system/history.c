/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The main loop's side: calls are made up and counted, and answers handed out. See history-thread.c for the
 * other. */

#include "daemon/system/history.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <utlist.h>

#include "daemon/system/history-thread.h"
#include "shared/utf8.h"

struct History {
        HistoryThread *thread;
        sd_event_source *io;
        HistoryHandler handler;
        size_t n_calls, n_exports, n_imports;
};

DEFINE_CLEANUP(HistoryCall *, history_call_free);

static void hand_out_answer(HistoryCall *call)
{
        switch (call->type) {
        case ITEM_ADD:
                call->handler.added(call->userdata, call->id, call->error);
                break;
        case ITEM_QUERY:
                call->handler.found(call->userdata, call->error, call->rows, call->n_rows);
                break;
        case ITEM_EXPORT:
                call->handler.exported(call->userdata, call->error,
                                       call->error < 0 ? -EBADF : steal_fd(call->export.fd),
                                       call->export.n_rows);
                break;
        case ITEM_IMPORT:
                call->handler.imported(call->userdata, call->error, &call->import);
                break;
        default:
                break;
        }
}

static void hand_out(History *history, HistoryCall *call)
{
        const HistoryHandler *handler = &history->handler;

        switch (call->type) {
        case ITEM_LEARNED:
                if (handler->learned)
                        handler->learned(handler->userdata, call->tries);
                break;
        case ITEM_FORGOTTEN:
                if (handler->forgotten)
                        handler->forgotten(handler->userdata, call->tries);
                break;
        case ITEM_NEWS:
                if (handler->news)
                        handler->news(handler->userdata, &call->news);
                break;
        case ITEM_READY:
                if (handler->ready)
                        handler->ready(handler->userdata, call->error);
                break;
        default:
                history->n_exports -= call->type == ITEM_EXPORT;
                history->n_imports -= call->type == ITEM_IMPORT;
                history->n_calls -= call->type != ITEM_ADD;
                if (call->type == ITEM_IMPORT && call->error >= 0 && handler->imported)
                        handler->imported(handler->userdata, &call->import, call->uid);
                if (call->wanted)
                        hand_out_answer(call);
        }
}

static int on_done(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        History *history = userdata;
        HistoryCall *calls = history_thread_take(history->thread), *call, *next;

        DL_FOREACH_SAFE (calls, call, next) {
                hand_out(history, call);
                history_call_free(call);
        }
        return 0;
}

int history_new(sd_event *event, const HistoryConfig *config, const HistoryHandler *handler, History **ret)
{
        History *history = calloc(1, sizeof(History));
        int r;

        if (!history)
                return -ENOMEM;
        history->handler = handler ? *handler : (HistoryHandler){};
        r = history_thread_new(config, &history->thread);
        if (r >= 0)
                r = sd_event_add_io(event, &history->io, history_thread_fd(history->thread), EPOLLIN,
                                    on_done, history);
        if (r < 0) {
                history_free(history);
                return r;
        }
        *ret = history;
        return 0;
}

History *history_free(History *history)
{
        HistoryNews news = {.type = HISTORY_ROWS_LOST, .error = -EIO};

        if (!history)
                return NULL;
        sd_event_source_disable_unref(history->io);
        if (history->thread)
                news.count = history_thread_stop(history->thread);
        if (news.count > 0 && history->handler.news)
                history->handler.news(history->handler.userdata, &news);
        free(history);
        return NULL;
}

static HistoryCall *new_call(HistoryItem type, void *userdata)
{
        HistoryCall *call = calloc(1, sizeof(HistoryCall));

        if (call) {
                call->type = type;
                call->export.fd = -EBADF;
                call->userdata = userdata;
                call->wanted = true;
        }
        return call;
}

/* Takes the call over, if it is accepted. */
static int put(History *history, HistoryCall **call, HistoryCall **ret)
{
        bool exports = (*call)->type == ITEM_EXPORT, imports = (*call)->type == ITEM_IMPORT,
             add = (*call)->type == ITEM_ADD;
        int r;

        if (!add && history->n_calls >= HISTORY_CALLS_MAX)
                return -ENOBUFS;
        if ((exports && history->n_exports >= HISTORY_TRANSFERS_MAX) ||
            (imports && history->n_imports >= HISTORY_TRANSFERS_MAX))
                return -ENOBUFS;
        (*call)->thread = history->thread;
        r = history_thread_put(history->thread, *call);
        if (r < 0)
                return r;
        if (ret)
                *ret = *call;
        (void) steal_pointer(*call);
        history->n_calls += !add;
        history->n_exports += exports;
        history->n_imports += imports;
        return 0;
}

int history_add(History *history, const HistoryRow *row, HistoryAdded handler, void *userdata,
                HistoryCall **ret)
{
        _cleanup_(cleanup_history_call_free) HistoryCall *call = new_call(ITEM_ADD, userdata);
        int r;

        if (!call)
                return -ENOMEM;
        call->row = calloc(1, sizeof(HistoryRow));
        if (!call->row)
                return -ENOMEM;
        r = history_row_copy(row, call->row);
        if (r < 0)
                return r;
        call->handler.added = handler;
        call->wanted = handler != NULL;
        return put(history, &call, ret);
}

static bool filter_is_valid(const HistoryFilter *filter)
{
        if (!memchr(filter->method, '\0', sizeof(filter->method)) ||
            (filter->method[0] != '\0' && !reset_method_name_is_valid(filter->method)))
                return false;
        if (filter->has_verdict && filter->verdict > VERDICT_DEAD)
                return false;
        if (filter->has_source && filter->source > HISTORY_IMPORTED)
                return false;
        return filter->limit <= HISTORY_LIMIT_MAX && filter->since_usec <= INT64_MAX &&
               filter->until_usec <= INT64_MAX;
}

int history_query(History *history, const HistoryFilter *filter, HistoryFound handler, void *userdata,
                  HistoryCall **ret)
{
        _cleanup_(cleanup_history_call_free) HistoryCall *call = NULL;

        if (!filter_is_valid(filter))
                return -EINVAL;
        call = new_call(ITEM_QUERY, userdata);
        if (!call)
                return -ENOMEM;
        call->filter = *filter;
        call->handler.found = handler;
        return put(history, &call, ret);
}

HistoryRow *history_take_rows(HistoryCall *call)
{
        return steal_pointer(call->rows);
}

int history_export(History *history, const HistoryFilter *filter, const char *signed_off_by,
                   HistoryExported handler, void *userdata, HistoryCall **ret)
{
        _cleanup_(cleanup_history_call_free) HistoryCall *call = NULL;

        if (!filter_is_valid(filter) || !utf8_is_valid(signed_off_by) ||
            strlen(signed_off_by) >= HISTORY_ORIGIN_MAX)
                return -EINVAL;
        call = new_call(ITEM_EXPORT, userdata);
        if (!call)
                return -ENOMEM;
        call->export.filter = *filter;
        memcpy(call->export.origin, signed_off_by, strlen(signed_off_by) + 1);
        call->handler.exported = handler;
        return put(history, &call, ret);
}

int history_import(History *history, char *text, size_t length, uint32_t uid, HistoryImported handler,
                   void *userdata, HistoryCall **ret)
{
        _cleanup_(cleanup_history_call_free) HistoryCall *call = NULL;
        int r;

        if (length > HISTORY_IMPORT_MAX)
                return -EINVAL;
        call = new_call(ITEM_IMPORT, userdata);
        if (!call)
                return -ENOMEM;
        call->text = text;
        call->length = length;
        call->uid = uid;
        call->import.culprit = "";
        call->handler.imported = handler;
        r = put(history, &call, ret);
        if (r < 0)
                (void) steal_pointer(call->text);
        return r;
}

HistoryCall *history_cancel(HistoryCall *call)
{
        if (!call)
                return NULL;
        call->wanted = false;
        if (call->type == ITEM_QUERY || call->type == ITEM_EXPORT)
                history_thread_abandon(call->thread, call);
        return NULL;
}
