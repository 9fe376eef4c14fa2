/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The daemon has judged each reset; here its judgements are only sorted. An error that says nothing of the
 * device (somebody refused, a reset was not waited for to its end) never counts against the method.
 */

#include "pcireset/qualification.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pcireset/bus-names.h"
#include "pcireset/error-text.h"
#include "pcireset/names.h"
#include "pcireset/table.h"
#include "pcireset/text.h"

static const char *const outcomes[] = {"ok", "degraded", "dead", "failed", "refused"};

static const char *outcome_of(json_object *result, const char *error)
{
        const char *verdict = json_get_string(result, "verdict");

        if (strcmp(error, ERROR_PREFIX "DeviceDead") == 0)
                return "dead";
        if (!*error || strcmp(error, ERROR_PREFIX "ResetFailed") == 0) {
                if (strcmp(verdict, "degraded") == 0 || strcmp(verdict, "dead") == 0)
                        return strcmp(verdict, "dead") == 0 ? "dead" : "degraded";
                return !*error && strcmp(verdict, "ok") == 0 ? "ok" : "failed";
        }
        switch (error_exit_code(error)) {
        case EXIT_NOT_AUTHORIZED:
        case EXIT_NOT_NOW:
                return "refused";
        default:
                return "unknown";
        }
}

/* `0000:01:00.0 command: 0x0006 before, 0xffff after`, or "". NULL: out of memory. The caller frees it. */
static char *first_bad_check(json_object *result)
{
        json_object *checks = json_get_array(result, "checks");

        for (size_t i = 0; i < json_length(checks); i++) {
                json_object *check = json_object_array_get_idx(checks, i);
                const char *before = json_get_string(check, "before"),
                           *after = json_get_string(check, "after");
                _cleanup_free_ char *device = NULL;
                char *text;

                if (strcmp(json_get_string(check, "result"), "failed") != 0)
                        continue;
                device = device_path_to_address(json_get_string(check, "device"));
                if (!device)
                        return NULL;
                if (!*before && !*after)
                        return asprintf(&text, "%s %s", device, json_get_string(check, "check")) < 0 ? NULL
                                                                                                     : text;
                return asprintf(&text, "%s %s: %s before, %s after", device, json_get_string(check, "check"),
                                before, after) < 0
                               ? NULL
                               : text;
        }
        return strdup("");
}

static int copy_field(json_object *to, json_object *from, const char *key)
{
        json_object *value = NULL;

        if (!from || !json_object_object_get_ex(from, key, &value))
                return 0;
        return json_add(to, key, json_object_get(value));
}

const char *qualification_add_run(json_object *method, json_object *result, const char *error,
                                  const char *message)
{
        static const char *const kept[] = {"verdict", "duration_usec", "checks", "job", "history_id"};
        _cleanup_json_ json_object *run = json_object_new_object();
        _cleanup_free_ char *bad = first_bad_check(result);
        const char *outcome = outcome_of(result, error);
        int r;

        if (!run || !bad)
                return NULL;
        r = json_add(run, "outcome", json_object_new_string(outcome));
        if (r >= 0)
                r = json_add(run, "error", json_object_new_string(error));
        if (r >= 0)
                r = json_add(run, "message", json_object_new_string(message));
        if (r >= 0)
                r = json_add(run, "first_bad_check", json_object_new_string(bad));
        for (size_t i = 0; i < ELEMENTSOF(kept) && r >= 0; i++)
                r = copy_field(run, result, kept[i]);
        if (r >= 0)
                r = json_append(json_get_array(method, "runs"), steal_pointer(run));
        return r < 0 ? NULL : outcome;
}

static int compare(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return x < y ? -1 : x > y;
}

static int add_median(json_object *method, json_object *runs)
{
        _cleanup_free_ uint64_t *durations = calloc(json_length(runs) + 1, sizeof(uint64_t));
        uint64_t median = 0;
        size_t n = 0;

        if (!durations)
                return -ENOMEM;
        for (size_t i = 0; i < json_length(runs); i++) {
                json_object *run = json_object_array_get_idx(runs, i);

                if (strcmp(json_get_string(run, "outcome"), "ok") == 0)
                        durations[n++] = json_get_unsigned(run, "duration_usec");
        }
        if (n > 0) {
                qsort(durations, n, sizeof(*durations), compare);
                median = n % 2 ? durations[n / 2]
                               : durations[n / 2 - 1] + (durations[n / 2] - durations[n / 2 - 1]) / 2;
        }
        return json_add(method, "median_usec", json_object_new_uint64(median));
}

int qualification_summarize(json_object *method)
{
        json_object *runs = json_get_array(method, "runs");
        const char *bad = "";
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(outcomes) && r >= 0; i++) {
                uint64_t n = 0;

                for (size_t j = 0; j < json_length(runs); j++)
                        n += strcmp(json_get_string(json_object_array_get_idx(runs, j), "outcome"),
                                    outcomes[i]) == 0;
                r = json_add(method, outcomes[i], json_object_new_uint64(n));
        }
        for (size_t j = 0; j < json_length(runs) && !*bad; j++)
                bad = json_get_string(json_object_array_get_idx(runs, j), "first_bad_check");
        if (r >= 0)
                r = json_add(method, "first_bad_check", json_object_new_string(bad));
        return r < 0 ? r : add_median(method, runs);
}

uint64_t qualification_count(json_object *document, const char *outcome)
{
        json_object *methods = json_get_array(document, "methods");
        uint64_t n = 0;

        for (size_t i = 0; i < json_length(methods); i++)
                n += json_get_unsigned(json_object_array_get_idx(methods, i), outcome);
        return n;
}

static void print_row(Table *table, json_object *method)
{
        static const Colour colours[] = {COLOUR_GOOD, COLOUR_BUSY, COLOUR_BAD, COLOUR_BAD, COLOUR_BUSY};
        uint64_t median = json_get_unsigned(method, "median_usec");
        char duration[TEXT_DURATION_MAX] = "";

        table_cell(table, COLOUR_NONE, "%s", json_get_string(method, "method"));
        for (size_t i = 0; i < ELEMENTSOF(outcomes); i++) {
                uint64_t n = json_get_unsigned(method, outcomes[i]);

                table_cell(table, n > 0 ? colours[i] : COLOUR_DIM, "%" PRIu64, n);
        }
        if (median > 0)
                (void) text_duration(median, duration);
        table_text(table, duration);
        table_text(table, json_get_string(method, "first_bad_check"));
}

int qualification_print(FILE *stream, json_object *document)
{
        static const char *const headers[] = {"METHOD",  "OK",     "DEGRADED",        "DEAD", "FAILED",
                                              "REFUSED", "MEDIAN", "FIRST BAD CHECK", NULL};
        _cleanup_(cleanup_table_free) Table *table = table_new(headers);
        json_object *methods = json_get_array(document, "methods");

        if (!table)
                return -ENOMEM;
        for (size_t i = 0; i < json_length(methods); i++)
                print_row(table, json_object_array_get_idx(methods, i));
        return table_print(table, stream);
}
