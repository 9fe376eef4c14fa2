/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What proved that a device was well or was not, in one column. A reset of hundreds of devices has thousands
 * of checks, and a row has room for some eighty.
 */

#include "daemon/system/history-row.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared/json.h"
#include "shared/worker-wire.h"

/* An object around the array, the array, a check, what is in there. */
#define DEPTH_MAX 4U

static int format_some(const WorkerCheck *checks, size_t n, char **ret)
{
        _cleanup_json_ json_object *array = NULL;
        const char *text;
        int r;

        r = json_array_write(checks, n, sizeof(WorkerCheck), worker_check_write, &array);
        if (r < 0)
                return r;
        text = json_object_to_json_string_ext(array,
                                              JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
        *ret = text ? strdup(text) : NULL;
        return *ret ? 0 : -ENOMEM;
}

/* Failed ones first, else as they were. */
static WorkerCheck *by_weight(const WorkerCheck *checks, size_t n)
{
        WorkerCheck *sorted = calloc(n + 1, sizeof(WorkerCheck));
        size_t n_sorted = 0;

        for (size_t i = 0; sorted && i < n; i++)
                if (checks[i].result == CHECK_FAILED)
                        sorted[n_sorted++] = checks[i];
        for (size_t i = 0; sorted && i < n; i++)
                if (checks[i].result != CHECK_FAILED)
                        sorted[n_sorted++] = checks[i];
        return sorted;
}

int history_checks_format(const WorkerCheck *checks, size_t n, char **ret, uint32_t *ret_left_out)
{
        /* The shortest has some 80 bytes, so no more than this many fit anyway. */
        const size_t n_most = HISTORY_CHECKS_MAX / 64U;
        _cleanup_free_ WorkerCheck *sorted = NULL;
        size_t n_kept = n;

        while (n_kept > 0) {
                _cleanup_free_ char *text = NULL;
                int r;

                if (n_kept <= n_most) {
                        r = format_some(sorted ? sorted : checks, n_kept, &text);
                        if (r < 0)
                                return r;
                        if (strlen(text) < HISTORY_CHECKS_MAX) {
                                *ret = steal_pointer(text);
                                *ret_left_out = (uint32_t) (n - n_kept);
                                return 0;
                        }
                }
                if (!sorted)
                        sorted = by_weight(checks, n);
                if (!sorted)
                        return -ENOMEM;
                n_kept = n_kept > n_most ? n_most : n_kept - 1;
        }
        *ret = strdup("[]");
        *ret_left_out = (uint32_t) n;
        return *ret ? 0 : -ENOMEM;
}

int history_checks_read(json_object *array, WorkerCheck **ret, size_t *ret_n)
{
        void *checks = NULL;
        size_t n = 0;
        int r = json_array_read(array, sizeof(WorkerCheck), worker_check_read, &checks, &n);

        if (r < 0) {
                free(checks);
                return r;
        }
        *ret = checks;
        *ret_n = n;
        return 0;
}

int history_checks_parse(const char *text, WorkerCheck **ret, size_t *ret_n)
{
        static const char head[] = "{\"checks\":";
        _cleanup_json_ json_object *object = NULL;
        _cleanup_free_ char *whole = NULL;
        json_object *array;
        JsonReader reader;
        int r;

        if (!text)
                text = "[]";
        if (asprintf(&whole, "%s%s}", head, text) < 0) {
                whole = NULL;
                return -ENOMEM;
        }
        r = json_text_parse(whole, strlen(whole), DEPTH_MAX, NULL, &object);
        if (r < 0)
                return r;
        reader = json_reader_begin(object);
        array = json_read_array(&reader, "checks", 0, HISTORY_CHECKS_MAX);
        r = json_reader_finish(&reader);
        return r < 0 ? r : history_checks_read(array, ret, ret_n);
}
