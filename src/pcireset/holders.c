/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What a row lacks is left out with its preposition, so that one sentence serves for processes, mounts,
 * leases and whatever comes.
 */

#include "pcireset/holders.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "pcireset/names.h"
#include "pcireset/text.h"
#include "pcireset/words.h"

char *holder_what(json_object *holder)
{
        const char *what = json_get_string(holder, "what"), *name = json_get_string(holder, "name"),
                   *who = json_get_string(holder, "who"), *why = json_get_string(holder, "why");
        uint64_t count = json_get_unsigned(holder, "count");
        char *text = NULL;

        if (count > 0)
                return asprintf(&text, "%" PRIu64 " of other users", count) < 0 ? NULL : text;
        if (*who)
                return asprintf(&text, "%s%s%s%s", who, *why ? " (" : "", why, *why ? ")" : "") < 0 ? NULL
                                                                                                    : text;
        return strdup(*what ? what : name);
}

/* A uid means nothing in a row that is about no process and about nobody's claim. */
static bool has_user(json_object *holder)
{
        return json_object_object_get_ex(holder, "uid", NULL) &&
               (json_get_unsigned(holder, "pid") > 0 || *json_get_string(holder, "who"));
}

char *holder_to_text(json_object *holder)
{
        _cleanup_free_ char *device = device_path_to_address(json_get_string(holder, "device")),
                            *what = holder_what(holder),
                            *user = uid_to_name(json_get_unsigned(holder, "uid"));
        const char *command = json_get_string(holder, "command"), *unit = json_get_string(holder, "unit");
        uint64_t pid = json_get_unsigned(holder, "pid");
        char number[24] = "", *text = NULL;

        if (!device || !what || !user)
                return NULL;
        if (pid > 0)
                (void) snprintf(number, sizeof(number), " %" PRIu64, pid);
        if (!has_user(holder))
                user[0] = '\0';

        return asprintf(&text, "%s%s%s%s%s%s%s%s%s%s%s%s%s", device, *device ? " " : "",
                        json_get_string(holder, "kind"), number, *command ? " (" : "", command,
                        *command ? ")" : "", *user ? " of " : "", user, *unit ? " in " : "", unit,
                        *what ? ": " : "", what) < 0
                       ? NULL
                       : text;
}

/* Were there more than could be told? */
static bool are_truncated(json_object *holders)
{
        for (size_t i = 0; i < json_length(holders); i++)
                if (json_get_bool(json_object_array_get_idx(holders, i), "truncated"))
                        return true;
        return false;
}

int print_holders(FILE *stream, const char *first, const char *next, json_object *holders)
{
        int r = 0;

        for (size_t i = 0; i < json_length(holders) && r >= 0; i++) {
                _cleanup_free_ char *text = holder_to_text(json_object_array_get_idx(holders, i));

                if (!text)
                        return -ENOMEM;
                r = text_print_line(stream, "%s%s", i == 0 ? first : next, text);
        }
        if (r >= 0 && are_truncated(holders))
                r = text_print_line(stream, "%sand more, which are not listed", next);
        return r;
}

/* Has an earlier row the same kind? */
static bool explained(json_object *holders, size_t n, const char *kind)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(json_get_string(json_object_array_get_idx(holders, i), "kind"), kind) == 0)
                        return true;
        return false;
}

int print_holder_kinds(FILE *stream, json_object *holders)
{
        int r = 0;

        for (size_t i = 0; i < json_length(holders) && r >= 0; i++) {
                json_object *holder = json_object_array_get_idx(holders, i);
                const char *kind = json_get_string(holder, "kind");

                if (!explained(holders, i, kind))
                        r = text_print_line(stream, "%s: %s", kind,
                                            kind_to_words(kind, json_get_bool(holder, "hard")));
        }
        if (r >= 0 && are_truncated(holders))
                r = text_print_line(stream, "There are more than these, none of a harder kind.");
        return r;
}
