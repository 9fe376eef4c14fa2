/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The text has what the document has, in the order in which a reader wants it: the device, what its resets
 * come to, what is above it, what its registers say, what the kernel said.
 */

#include "pcireset/report-text.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "pcireset/text.h"
#include "pcireset/words.h"

#define LABEL_WIDTH 22

static int print_heading(const char *text)
{
        return text_print_line(stdout, "%s", "") < 0 ? -ENOMEM : text_print_line(stdout, "== %s", text);
}

/* Values that are no lists, and not empty; those of an object within as `LastReset.method`. */
static int print_fields(json_object *object, const char *indent)
{
        json_object_object_foreach(object, key, value)
        {
                _cleanup_free_ char *deeper = NULL;

                if (json_object_is_type(value, json_type_object)) {
                        if (asprintf(&deeper, "%s%s.", indent, key) < 0 || print_fields(value, deeper) < 0)
                                return -ENOMEM;
                        continue;
                }
                if (!value || json_object_is_type(value, json_type_array) || !*json_object_get_string(value))
                        continue;
                if (text_print_line(stdout, "%s%-*s %s", indent, LABEL_WIDTH - (int) strlen(indent), key,
                                    json_object_get_string(value)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int print_strings(json_object *list, const char *indent)
{
        int r = 0;

        for (size_t i = 0; i < json_length(list) && r >= 0; i++)
                r = text_print_line(stdout, "%s%s", indent, json_get_string_at(list, i));
        return r;
}

static int print_capabilities(json_object *capabilities, const char *indent)
{
        char deeper[16];
        int r = 0;

        (void) snprintf(deeper, sizeof(deeper), "%s    ", indent);
        for (size_t i = 0; i < json_length(capabilities) && r >= 0; i++) {
                json_object *capability = json_object_array_get_idx(capabilities, i);

                r = text_print_line(stdout, "%s[%s] %s", indent, json_get_string(capability, "offset"),
                                    json_get_string(capability, "name"));
                if (r >= 0)
                        r = print_strings(json_get_array(capability, "facts"), deeper);
        }
        return r;
}

static int print_method(json_object *method)
{
        json_object *proven = json_get_dict(method, "proven");
        _cleanup_free_ char *why = json_join(json_get_array(method, "why"), " ");
        const char *known = json_get_string(method, "known");
        char median[TEXT_DURATION_MAX];

        if (!why)
                return -ENOMEM;
        return text_print_line(
                stdout,
                "%-16s advertised %-3s usable %-3s proven: %" PRIu64 " tries, %" PRIu64 " ok, %" PRIu64
                " dead, median %s%s%s%s%s",
                json_get_string(method, "name"), json_get_bool(method, "advertised") ? "yes" : "no",
                json_get_bool(method, "usable") ? "yes" : "no", json_get_unsigned(proven, "tries"),
                json_get_unsigned(proven, "ok"), json_get_unsigned(proven, "dead"),
                text_duration(json_get_unsigned(proven, "median_usec"), median), *why ? ", " : "", why,
                *known ? ", known to be " : "", known);
}

static int print_methods(json_object *methods)
{
        int r = json_length(methods) == 0
                        ? 0
                        : print_heading("Methods: as advertised, and as proven on this kind of device");

        for (size_t i = 0; i < json_length(methods) && r >= 0; i++)
                r = print_method(json_object_array_get_idx(methods, i));
        return r;
}

static int print_topology(json_object *bridges)
{
        int r = json_length(bridges) == 0 ? 0 : print_heading("Bridges above, up to the root");

        for (size_t i = 0; i < json_length(bridges) && r >= 0; i++) {
                json_object *bridge = json_object_array_get_idx(bridges, i);

                r = print_fields(bridge, "");
                if (r >= 0)
                        r = print_capabilities(json_get_array(bridge, "capabilities"), "  ");
                if (r >= 0 && i + 1 < json_length(bridges))
                        r = text_print_line(stdout, "%s", "");
        }
        return r;
}

static int print_config(json_object *document)
{
        json_object *config = json_get_dict(document, "config");
        int r;

        if (!config)
                return 0;
        r = print_heading("Configuration space");
        if (r >= 0)
                r = print_fields(config, "");
        return r < 0 ? r : print_strings(json_get_array(config, "hex"), "");
}

/* What is no reset. */
static int print_event(json_object *row)
{
        const char *method = json_get_string(row, "method");
        char time[TEXT_TIME_MAX];

        return text_print_line(
                stdout, "%s %s: %s, %s%s%s, kernel %s", text_time(json_get_unsigned(row, "time_usec"), time),
                json_get_string(row, "address"), json_get_string(row, "event"), json_get_string(row, "why"),
                *method ? " after " : "", method, json_get_string(row, "kernel"));
}

static int print_row(json_object *row)
{
        const char *event = json_get_string(row, "event");
        const char *why = json_get_string(row, "why"),
                   *error = errno_name((int) json_get_signed(row, "errno"));
        char time[TEXT_TIME_MAX], took[TEXT_DURATION_MAX];

        if (*event && strcmp(event, "reset") != 0)
                return print_event(row);
        return text_print_line(stdout, "%s %s %s: %s, %s in %s, kernel %s%s%s%s%s",
                               text_time(json_get_unsigned(row, "time_usec"), time),
                               json_get_string(row, "address"), json_get_string(row, "method"),
                               json_get_string(row, "outcome"), json_get_string(row, "verdict"),
                               text_duration(json_get_unsigned(row, "duration_usec"), took),
                               json_get_string(row, "kernel"), error ? ", " : "", error ? error : "",
                               *why ? ", " : "", why);
}

static int print_history(json_object *rows)
{
        int r = print_heading("History of this kind of device, the newest first");

        for (size_t i = 0; i < json_length(rows) && r >= 0; i++)
                r = print_row(json_object_array_get_idx(rows, i));
        return r;
}

static int print_named(json_object *document, const char *key, const char *heading)
{
        json_object *object = json_get_dict(document, key);
        int r = object ? print_heading(heading) : 0;

        return r < 0 || !object ? r : print_fields(object, "");
}

static int print_list(json_object *document, const char *key, const char *heading)
{
        json_object *list = json_get_array(document, key);
        int r = list ? print_heading(heading) : 0;

        return r < 0 ? r : print_strings(list, "");
}

int report_print(json_object *document)
{
        json_object *capabilities = json_get_array(document, "capabilities"),
                    *history = json_get_array(document, "history");
        char time[TEXT_TIME_MAX];
        int r;

        r = text_print_line(stdout, "Report about %s by pcireset %s, %s",
                            json_get_string(document, "address"), json_get_string(document, "pcireset"),
                            text_time(json_get_unsigned(document, "time_usec"), time));
        if (r >= 0)
                r = print_named(document, "function", "Function");
        if (r >= 0)
                r = print_named(document, "daemon", "What pciresetd tells of it");
        if (r >= 0)
                r = print_methods(json_get_array(document, "methods"));
        if (r >= 0 && history)
                r = print_history(history);
        if (r >= 0)
                r = print_topology(json_get_array(document, "topology"));
        if (r >= 0 && json_length(capabilities) > 0)
                r = print_heading("Capabilities");
        if (r >= 0)
                r = print_capabilities(capabilities, "");
        if (r >= 0)
                r = print_config(document);
        if (r >= 0)
                r = print_list(document, "kernel_log", "What the kernel has said about it since boot");
        if (r >= 0)
                r = print_named(document, "system", "Machine");
        if (r >= 0)
                r = print_named(document, "serials", "Serial numbers");
        return r < 0 ? r : print_list(document, "notes", "Notes");
}
