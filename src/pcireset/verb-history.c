/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * `history`: what became of resets. First what that adds up to for each kind of device and method, with a
 * picture of the last outcomes, then the rows themselves, the newest first. Moving them from machine to
 * machine is history-file.c's.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pcireset/error-text.h"
#include "pcireset/history.h"
#include "pcireset/names.h"
#include "pcireset/table.h"
#include "pcireset/text.h"
#include "pcireset/verbs.h"
#include "pcireset/words.h"

/* Kinds of device times methods; more are not summed up, but shown. */
#define SUMS_MAX 64U
/* So many outcomes are in the picture. */
#define PICTURE_MAX 16U

/* Of one method on one kind of device. */
typedef struct Sum {
        uint64_t vendor, device;
        const char *method;
        uint64_t tries, ok, dead;
        uint64_t *durations; /* of those that went well */
        size_t n_durations;
        char picture[PICTURE_MAX]; /* the newest first: + well, ~ not as before, x dead, ? nothing proved */
        size_t n_picture;
} Sum;

typedef struct Sums {
        Sum sums[SUMS_MAX];
        size_t n;
} Sums;

static void sums_done(Sums *sums)
{
        for (size_t i = 0; i < sums->n; i++)
                free(sums->sums[i].durations);
}

/* ---- what it adds up to ---- */

static Sum *find_sum(Sums *sums, json_object *row)
{
        uint64_t vendor = json_get_unsigned(row, "vendor_id"), device = json_get_unsigned(row, "device_id");
        const char *method = json_get_string(row, "method");

        for (size_t i = 0; i < sums->n; i++) {
                Sum *sum = &sums->sums[i];

                if (sum->vendor == vendor && sum->device == device && strcmp(sum->method, method) == 0)
                        return sum;
        }
        if (sums->n == SUMS_MAX)
                return NULL;
        sums->sums[sums->n] = (Sum){.vendor = vendor, .device = device, .method = method};
        return &sums->sums[sums->n++];
}

static char outcome_sign(const char *verdict)
{
        if (strcmp(verdict, "ok") == 0)
                return '+';
        if (strcmp(verdict, "dead") == 0)
                return 'x';
        return strcmp(verdict, "degraded") == 0 ? '~' : '?';
}

static int add_row(Sums *sums, json_object *row, size_t n_rows)
{
        char sign = outcome_sign(json_get_string(row, "verdict"));
        Sum *sum = json_get_bool(row, "written") ? find_sum(sums, row) : NULL;

        if (!sum)
                return 0;
        sum->tries++;
        sum->dead += sign == 'x';
        if (sum->n_picture < PICTURE_MAX)
                sum->picture[sum->n_picture++] = sign;
        if (sign != '+')
                return 0;
        sum->ok++;
        if (!sum->durations)
                sum->durations = calloc(n_rows, sizeof(uint64_t));
        if (!sum->durations)
                return -ENOMEM;
        sum->durations[sum->n_durations++] = json_get_unsigned(row, "duration_usec");
        return 0;
}

static int compare(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return x < y ? -1 : x > y;
}

/* The oldest on the left, as people read. */
static void picture_cell(Table *table, const Sum *sum)
{
        static const struct {
                char sign;
                const char *utf8;
        } blocks[] = {{'+', "█"}, {'~', "▄"}, {'x', "✗"}, {'?', "·"}};
        char text[PICTURE_MAX * 4 + 1] = "";
        size_t n = 0;

        for (size_t i = sum->n_picture; i > 0; i--) {
                const char *block = NULL;

                for (size_t k = 0; k < ELEMENTSOF(blocks) && text_is_utf8(); k++)
                        if (blocks[k].sign == sum->picture[i - 1])
                                block = blocks[k].utf8;
                n += (size_t) snprintf(text + n, sizeof(text) - n, "%.*s", block ? 4 : 1,
                                       block ? block : &sum->picture[i - 1]);
        }
        table_cell(table,
                   sum->dead > 0           ? COLOUR_BAD
                   : sum->ok == sum->tries ? COLOUR_GOOD
                                           : COLOUR_BUSY,
                   "%s", text);
}

static void sum_row(Table *table, Sum *sum)
{
        char took[TEXT_DURATION_MAX] = "";

        if (sum->n_durations > 0) {
                qsort(sum->durations, sum->n_durations, sizeof(uint64_t), compare);
                (void) text_duration(sum->durations[sum->n_durations / 2], took);
        }
        table_cell(table, COLOUR_NONE, "%04" PRIx64 ":%04" PRIx64, sum->vendor, sum->device);
        table_text(table, sum->method);
        table_cell(table, COLOUR_NONE, "%" PRIu64, sum->tries);
        table_cell(table, COLOUR_NONE, "%" PRIu64, sum->ok);
        table_cell(table, sum->dead > 0 ? COLOUR_BAD : COLOUR_NONE, "%" PRIu64, sum->dead);
        table_text(table, took);
        picture_cell(table, sum);
}

static int print_sums(json_object *rows)
{
        static const char *const headers[] = {"HARDWARE", "METHOD", "TRIES",    "OK",
                                              "DEAD",     "MEDIAN", "OUTCOMES", NULL};
        _cleanup_(cleanup_table_free) Table *table = table_new(headers);
        _cleanup_(sums_done) Sums sums = {};
        int r = table ? 0 : -ENOMEM;

        for (size_t i = 0; i < json_length(rows) && r >= 0; i++)
                r = add_row(&sums, json_object_array_get_idx(rows, i), json_length(rows));
        if (r < 0 || sums.n == 0)
                return r;
        for (size_t i = 0; i < sums.n; i++)
                sum_row(table, &sums.sums[i]);
        r = table_print(table, stdout);
        if (r >= 0)
                (void) fputc('\n', stdout);
        return r;
}

/* ---- the rows ---- */

static Colour verdict_colour(const char *verdict)
{
        switch (outcome_sign(verdict)) {
        case '+':
                return COLOUR_GOOD;
        case 'x':
                return COLOUR_BAD;
        default:
                return COLOUR_BUSY;
        }
}

/* Why it came to nothing or what brought it about, or who vouches for it. */
static void remark_cell(Table *table, json_object *row)
{
        const char *why = json_get_string(row, "why"), *origin = json_get_string(row, "origin");
        const char *reason = json_get_string(row, "reason");
        const char *error = errno_name((int) json_get_signed(row, "errno"));

        if (strcmp(json_get_string(row, "source"), "imported") == 0)
                table_cell(table, COLOUR_DIM, "imported from %s%s%s", *origin ? origin : "somebody",
                           *why ? ": " : "", why);
        else if (*reason)
                table_cell(table, COLOUR_NONE, "%s: %s", why, reason);
        else if (*why || !error)
                table_text(table, why);
        else
                table_text(table, error);
}

/* Of what is no reset the event stands in place of the outcome. */
static void outcome_cells(Table *table, json_object *row)
{
        const char *verdict = json_get_string(row, "verdict"), *event = json_get_string(row, "event");
        bool is_reset = !*event || strcmp(event, "reset") == 0;

        if (!is_reset)
                verdict = "";
        table_text(table, json_get_string(row, "method"));
        table_text(table, is_reset ? json_get_string(row, "outcome") : event);
        table_cell(table, *verdict ? verdict_colour(verdict) : COLOUR_NONE, "%s", *verdict ? verdict : "-");
}

static int history_row(Table *table, json_object *row)
{
        bool has_uid = json_object_object_get_ex(row, "uid", NULL);
        _cleanup_free_ char *user = has_uid ? uid_to_name(json_get_unsigned(row, "uid")) : NULL;
        uint64_t duration = json_get_unsigned(row, "duration_usec");
        char time[TEXT_TIME_MAX], took[TEXT_DURATION_MAX] = "";

        if (has_uid && !user)
                return -ENOMEM;
        if (duration > 0)
                (void) text_duration(duration, took);
        table_cell(table, COLOUR_NONE, "%" PRId64, json_get_signed(row, "id"));
        table_text(table, text_time(json_get_unsigned(row, "time_usec"), time));
        table_text(table, json_get_string(row, "address"));
        outcome_cells(table, row);
        table_text(table, took);
        table_text(table, user ? user : "");
        remark_cell(table, row);
        return 0;
}

static int print_rows(json_object *rows)
{
        static const char *const headers[] = {"ID",      "TIME", "ADDRESS", "METHOD", "OUTCOME",
                                              "VERDICT", "TOOK", "USER",    "REMARK", NULL};
        _cleanup_(cleanup_table_free) Table *table = NULL;
        int r = 0;

        if (json_length(rows) == 0)
                return text_print_line(stdout, "The history knows of no such reset.");
        r = print_sums(rows);
        table = table_new(headers);
        if (!table)
                return -ENOMEM;
        for (size_t i = 0; i < json_length(rows) && r >= 0; i++)
                r = history_row(table, json_object_array_get_idx(rows, i));
        return r < 0 ? r : table_print(table, stdout);
}

/* ---- the call ---- */

static int append_hardware(const char *hardware, sd_bus_message *call)
{
        unsigned vendor, device;

        /* It was checked when it was read. */
        if (sscanf(hardware, "%x:%x", &vendor, &device) != 2)
                return -EINVAL;
        return sd_bus_message_append(call, "{sv}{sv}", "vendor_id", "q", (int) vendor, "device_id", "q",
                                     (int) device);
}

int history_append_filter(const Client *client, sd_bus_message *call)
{
        const HistoryFilter *filter = &client->filter;
        const struct {
                const char *key, *value;
        } texts[] = {
                {"address", *client->address ? client->address : NULL},
                {"method", filter->method},
                {"verdict", filter->verdict},
                {"source", filter->source},
        };
        uint64_t now = now_realtime_usec();
        int r = sd_bus_message_open_container(call, 'a', "{sv}");

        for (size_t i = 0; i < ELEMENTSOF(texts) && r >= 0; i++)
                if (texts[i].value)
                        r = sd_bus_message_append(call, "{sv}", texts[i].key, "s", texts[i].value);
        if (r >= 0 && filter->hardware)
                r = append_hardware(filter->hardware, call);
        if (r >= 0 && filter->age_usec > 0)
                r = sd_bus_message_append(call, "{sv}", "since_usec", "t",
                                          now > filter->age_usec ? now - filter->age_usec : 0);
        if (r >= 0 && filter->limit > 0)
                r = sd_bus_message_append(call, "{sv}", "limit", "t", filter->limit);
        return r < 0 ? r : sd_bus_message_close_container(call);
}

static int show(Client *client)
{
        _cleanup_message_ sd_bus_message *call = NULL;
        _cleanup_json_ json_object *rows = NULL;
        int r;

        r = client_new_call(client, NULL, ROOT_PATH, MANAGER_INTERFACE, "GetHistory", false, &call);
        if (r >= 0)
                r = history_append_filter(client, call);
        if (r >= 0)
                r = client_call_for_value(client, call, &rows);
        if (r != EXIT_OK)
                return r;
        return client->json ? json_print(stdout, rows, false) : print_rows(rows);
}

static int usage(const Client *client, const char *complaint)
{
        return report_failure(client, EXIT_USAGE, CLIENT_ERROR("Usage"), "See `pcireset --help`.", "%s",
                              complaint);
}

int verb_history(Client *client, char **arguments)
{
        PciAddress address;

        if (arguments[0] && strcmp(arguments[0], "import") == 0)
                return history_filter_is_empty(&client->filter) && !client->signed_off_by
                               ? history_import(client, arguments[1])
                               : usage(client,
                                       "`history import` takes a whole file: no option chooses from it");
        if (arguments[0] && strcmp(arguments[0], "export") == 0) {
                if (client->filter.limit > 0)
                        return usage(client, "--limit has no meaning for `history export`");
                if (!client->signed_off_by)
                        return usage(client, "whoever exports history vouches for it: "
                                             "--signed-off-by='NAME <MAIL>' is missing");
                arguments++;
        } else if (client->signed_off_by) {
                return usage(client, "--signed-off-by has a meaning for `history export` only");
        }
        if (arguments[0] && arguments[1])
                return usage(client, "`history` takes one address at most");
        if (arguments[0] && pci_address_parse_typed(arguments[0], &address) < 0)
                return report_failure(client, EXIT_USAGE, CLIENT_ERROR("Usage"), "See `pcireset --help`.",
                                      "\"%s\" is not the address of a PCI device, nor export or import",
                                      arguments[0]);
        if (arguments[0])
                (void) pci_address_format(&address, client->address);
        return client->signed_off_by ? history_export(client) : show(client);
}
