/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * GetHistory: what became of resets, over restarts.
 *
 * Everybody may see what happened to which device; who asked for it is told to himself and to root only, as
 * with processes that use a device. So whoever wants the rows of one user has to be that user, or root.
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "daemon/bus/calls.h"
#include "daemon/bus/job-facts.h"
#include "daemon/bus/message.h"
#include "daemon/bus/options.h"
#include "daemon/bus/path.h"
#include "daemon/bus/pending.h"
#include "daemon/system/history.h"
#include "shared/cleanup.h"
#include "shared/utf8.h"

/* The largest answer is thousands of checks, and others want to be served meanwhile: so many rows go into it
 * at a time. */
#define ROWS_AT_A_TIME 16U

typedef struct HistoryQuery {
        PendingCall pending;
        HistoryFilter filter;
        HistoryCall *call; /* until there is an answer, */
        HistoryRow *rows; /* which is written then */
        size_t n_rows, n_written;
        sd_bus_message *reply;
        sd_event_source *writer;
} HistoryQuery;

/* ---- a row ---- */

/* What the kernel has said is for those who may read its log anyway. */
static int append_row_checks(sd_bus_message *message, const HistoryRow *row, uint32_t viewer_uid)
{
        bool is_for_root = row->event == HISTORY_EVIDENCE;
        _cleanup_free_ WorkerCheck *checks = NULL;
        size_t n = 0;
        int r;

        /* What is no list of checks any more is none. */
        r = history_checks_parse(row->checks, &checks, &n);
        if (r == -ENOMEM)
                return r;
        r = open_array_entry(message, "checks", "a{sv}");
        for (size_t i = 0; i < n && r >= 0 && (!is_for_root || viewer_uid == 0); i++)
                r = append_check(message, &checks[i]);
        if (r >= 0)
                r = close_array_entry(message);
        return r < 0 ? r : append_entry(message, "checks_left_out", "u", row->checks_left_out);
}

static int append_hardware(sd_bus_message *message, const HistoryRow *row)
{
        char address[PCI_ADDRESS_STRING_MAX];

        return sd_bus_message_append(
                message, "{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}", "address", "s",
                pci_address_format(&row->address, address), "vendor_id", "q", row->vendor, "device_id", "q",
                row->device, "subsystem_vendor_id", "q", row->subsystem_vendor, "subsystem_device_id", "q",
                row->subsystem_device, "revision", "y", row->revision, "class", "u", row->class,
                "driver_before", "s", row->driver_before, "driver_after", "s", row->driver_after, "firmware",
                "s", row->firmware, "port", "s", row->port);
}

static int append_outcome(sd_bus_message *message, const HistoryRow *row)
{
        return sd_bus_message_append(
                message, "{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}", "method", "s", row->method, "set_size", "u",
                row->set_size, "outcome", "s", attempt_outcome_to_string(row->outcome), "errno", "i",
                (int) row->error, "why", "s", row->why, "written", "b", (int) row->written, "verdict", "s",
                verdict_to_string(row->verdict), "duration_usec", "t", row->duration_usec);
}

static int append_row(sd_bus_message *message, const HistoryRow *row, uint32_t viewer_uid)
{
        bool shows_uid = row->uid != HISTORY_UID_NONE && (viewer_uid == 0 || viewer_uid == row->uid);
        int r = sd_bus_message_open_container(message, 'a', "{sv}");

        if (r >= 0)
                r = sd_bus_message_append(message, "{sv}{sv}{sv}{sv}{sv}", "id", "x", row->id, "time_usec",
                                          "t", row->time_usec, "boot_id", "s", row->boot_id, "job", "u",
                                          row->job, "kernel", "s", row->kernel);
        if (r >= 0)
                r = append_hardware(message, row);
        if (r >= 0)
                r = append_outcome(message, row);
        if (r >= 0)
                r = append_row_checks(message, row, viewer_uid);
        if (r >= 0 && shows_uid)
                r = append_entry(message, "uid", "u", row->uid);
        if (r >= 0)
                r = sd_bus_message_append(message, "{sv}{sv}", "event", "s",
                                          history_event_to_string(row->event), "reason", "s", row->reason);
        if (r >= 0)
                r = sd_bus_message_append(message, "{sv}{sv}{sv}{sv}", "rule", "s", row->rule, "policy", "s",
                                          row->policy, "source", "s", history_source_to_string(row->source),
                                          "origin", "s", row->origin);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

/* ---- the answer ---- */

static void fail(HistoryQuery *query, int error)
{
        pending_refuse(&query->pending, SD_BUS_ERROR_FAILED, HISTORY_UNREADABLE_TEXT ": %s",
                       strerror(-error));
}

/* Returns 1 if that was the last of them, and the answer is on its way. */
static int write_some(HistoryQuery *query)
{
        int r = 0;

        for (unsigned i = 0; i < ROWS_AT_A_TIME && query->n_written < query->n_rows && r >= 0; i++)
                r = append_row(query->reply, &query->rows[query->n_written++], query->pending.uid);
        if (r < 0 || query->n_written < query->n_rows)
                return r < 0 ? r : 0;
        r = sd_bus_message_close_container(query->reply);
        if (r >= 0)
                r = sd_bus_message_send(query->reply);
        return r < 0 ? r : 1;
}

static int on_turn(sd_event_source *source, void *userdata)
{
        HistoryQuery *query = userdata;
        int r = write_some(query);

        if (r < 0)
                fail(query, r);
        else if (r > 0)
                pending_end(&query->pending);
        return 0;
}

static int begin_answer(HistoryQuery *query)
{
        int r = sd_bus_message_new_method_return(query->pending.message, &query->reply);

        if (r >= 0)
                r = sd_bus_message_open_container(query->reply, 'a', "a{sv}");
        if (r >= 0)
                r = sd_event_add_defer(sd_bus_get_event(query->pending.bus->bus), &query->writer, on_turn,
                                       query);
        return r < 0 ? r : sd_event_source_set_enabled(query->writer, SD_EVENT_ON);
}

/* ---- the call ---- */

static void on_found(void *userdata, int error, const HistoryRow *rows, size_t n)
{
        HistoryQuery *query = userdata;
        int r = error;

        if (r >= 0) {
                query->rows = history_take_rows(query->call);
                query->n_rows = n;
        }
        query->call = NULL;
        if (r >= 0)
                r = begin_answer(query);
        if (r < 0)
                fail(query, r);
}

int history_filter_check(const HistoryFilter *filter, uint32_t viewer_uid, sd_bus_error *error)
{
        if (!filter->has_uid || viewer_uid == 0 || filter->uid == viewer_uid)
                return 0;
        return sd_bus_error_setf(error, SD_BUS_ERROR_ACCESS_DENIED,
                                 "Who asked for which reset is told to root only; your own uid is %u. Leave "
                                 "'uid' out to see what happened, without who asked for it.",
                                 viewer_uid);
}

static void identified(PendingCall *pending)
{
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        HistoryQuery *query = (HistoryQuery *) pending;
        History *history = attempt_log_history(pending->bus->log);
        int r = history_filter_check(&query->filter, pending->uid, &error);

        if (r < 0) {
                pending_fail(pending, &error, r);
                return;
        }
        r = history ? history_query(history, &query->filter, on_found, query, &query->call) : -ENODATA;
        if (r == -ENOBUFS)
                pending_refuse(pending, BUS_ERROR_PREFIX "LimitsExceeded",
                               "Too many questions to the history are waiting. Wait until some have ended "
                               "and ask again.");
        else if (r < 0)
                fail(query, r);
}

static void release(PendingCall *pending)
{
        HistoryQuery *query = (HistoryQuery *) pending;

        query->call = history_cancel(query->call);
        history_rows_free(query->rows, query->n_rows);
        sd_bus_message_unref(query->reply);
        sd_event_source_disable_unref(query->writer);
}

/* ---- the filter ---- */

/* What a caller has written, before it is known to make sense. */
typedef struct FilterTexts {
        const char *address, *method, *verdict, *source, *event;
        uint16_t vendor, device;
        uint32_t uid;
        uint64_t limit;
} FilterTexts;

enum {
        OPTION_ADDRESS,
        OPTION_METHOD,
        OPTION_VERDICT,
        OPTION_SOURCE,
        OPTION_EVENT,
        OPTION_VENDOR,
        OPTION_DEVICE,
        OPTION_UID,
        OPTION_SINCE,
        OPTION_UNTIL,
        OPTION_LIMIT,
        N_OPTIONS,
};

static int bad_value(sd_bus_error *error, const char *key, const char *value, const char *must)
{
        char quoted[QUOTED_MAX];

        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "Option '%s' is '%s', %s.", key,
                                 utf8_quote(value, quoted, sizeof(quoted)), must);
}

static int verdict_from_string(const char *text, Verdict *ret)
{
        for (Verdict verdict = VERDICT_UNVERIFIED; verdict <= VERDICT_DEAD; verdict++)
                if (strcmp(verdict_to_string(verdict), text) == 0) {
                        *ret = verdict;
                        return 0;
                }
        return -EINVAL;
}

static int take_texts(const Option *options, const FilterTexts *texts, HistoryFilter *filter,
                      sd_bus_error *error)
{
        filter->has_address = options[OPTION_ADDRESS].seen;
        if (filter->has_address && pci_address_parse(texts->address, &filter->address) < 0)
                return bad_value(error, "address", texts->address, "it must be like 0000:01:00.0");
        if (options[OPTION_METHOD].seen) {
                if (!reset_method_name_is_valid(texts->method))
                        return bad_value(error, "method", texts->method, "which is not a method's name");
                memcpy(filter->method, texts->method, strlen(texts->method) + 1);
        }
        filter->has_verdict = options[OPTION_VERDICT].seen;
        if (filter->has_verdict && verdict_from_string(texts->verdict, &filter->verdict) < 0)
                return bad_value(error, "verdict", texts->verdict,
                                 "it must be one of ok, degraded, dead, unverified");
        filter->has_source = options[OPTION_SOURCE].seen;
        if (filter->has_source && history_source_from_string(texts->source, &filter->source) < 0)
                return bad_value(error, "source", texts->source, "it must be own or imported");
        filter->has_event = options[OPTION_EVENT].seen;
        if (filter->has_event && history_event_from_string(texts->event, &filter->event) < 0)
                return bad_value(error, "event", texts->event,
                                 "it must be one of reset, quarantine, release, error");
        return 0;
}

static int take_numbers(const Option *options, const FilterTexts *texts, HistoryFilter *filter,
                        sd_bus_error *error)
{
        filter->has_hardware = options[OPTION_VENDOR].seen;
        filter->vendor = texts->vendor;
        filter->device = texts->device;
        if (options[OPTION_VENDOR].seen != options[OPTION_DEVICE].seen)
                return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
                                        "Options 'vendor_id' and 'device_id' go together: give both or "
                                        "none.");
        filter->has_uid = options[OPTION_UID].seen;
        filter->uid = texts->uid;
        filter->limit = (unsigned) texts->limit;
        return 0;
}

int history_filter_read(sd_bus_message *message, const Device *device, HistoryFilter *ret,
                        sd_bus_error *error)
{
        FilterTexts texts = {.limit = HISTORY_LIMIT_DEFAULT};
        HistoryFilter filter = {};
        Option options[N_OPTIONS] = {
                [OPTION_ADDRESS] = {"address", "s", &texts.address},
                [OPTION_METHOD] = {"method", "s", &texts.method},
                [OPTION_VERDICT] = {"verdict", "s", &texts.verdict},
                [OPTION_SOURCE] = {"source", "s", &texts.source},
                [OPTION_EVENT] = {"event", "s", &texts.event},
                [OPTION_VENDOR] = {"vendor_id", "q", &texts.vendor},
                [OPTION_DEVICE] = {"device_id", "q", &texts.device},
                [OPTION_UID] = {"uid", "u", &texts.uid},
                [OPTION_SINCE] = {"since_usec", "t", &filter.since_usec, 0, INT64_MAX},
                [OPTION_UNTIL] = {"until_usec", "t", &filter.until_usec, 1, INT64_MAX},
                [OPTION_LIMIT] = {"limit", "t", &texts.limit, 1, HISTORY_LIMIT_MAX},
        };
        int r = options_read(message, options, N_OPTIONS, error);

        if (r >= 0)
                r = take_texts(options, &texts, &filter, error);
        if (r >= 0)
                r = take_numbers(options, &texts, &filter, error);
        if (r < 0)
                return r;
        if (device && (filter.has_address || filter.has_hardware))
                return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
                                        "A device's own history takes no 'address', 'vendor_id' or "
                                        "'device_id'. Ask the manager for others.");
        if (device) {
                filter.has_address = filter.has_hardware = true;
                filter.address = device->facts.address;
                filter.vendor = device->facts.vendor;
                filter.device = device->facts.device;
        }
        *ret = filter;
        return 0;
}

int handle_get_history(Bus *bus, sd_bus_message *message, const Device *device, sd_bus_error *error)
{
        static const PendingKind kind = {
                .size = sizeof(HistoryQuery),
                .room = PENDING_HISTORY,
                .identified = identified,
                .release = release,
        };
        HistoryFilter filter;
        PendingCall *pending;
        int r;

        r = history_filter_read(message, device, &filter, error);
        if (r >= 0)
                r = pending_new(bus, &kind, message, &pending, error);
        if (r < 0)
                return r;
        ((HistoryQuery *) pending)->filter = filter;
        return pending_begin(pending);
}
