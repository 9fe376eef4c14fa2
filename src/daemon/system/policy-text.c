/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/system/policy-text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon/system/dropins.h"
#include "shared/cleanup.h"

static int refuse_at(const PolicyText *text, JsonPosition position, const char *rest)
{
        return dropin_refuse(text->message, -EBADMSG, text->path, "line %zu, column %zu: %s", position.line,
                             position.column, rest);
}

/* What is wrong although the grammar is right. */
static int refuse_fault(const PolicyText *text)
{
        JsonPosition position = {.line = 1, .column = 1};
        JsonFault fault;
        int r = json_fault_find(text->text, text->length, POLICY_TEXT_DEPTH_MAX, &fault, &position);

        if (r < 0)
                return r;
        if (fault == JSON_FAULT_KEY_TWICE)
                return refuse_at(text, position, "a key is there twice in one object");
        return refuse_at(text, position, "a number is no whole number");
}

int policy_text_parse(PolicyText *text)
{
        char rest[128];
        JsonPosition position;
        int r = json_text_parse(text->text, text->length, POLICY_TEXT_DEPTH_MAX, &position, &text->root);

        if (r != -EBADMSG)
                return r;
        if (position.line == 0)
                return refuse_fault(text);
        (void) snprintf(rest, sizeof(rest),
                        "here the text stops being one JSON object in UTF-8, nested at most %u deep",
                        POLICY_TEXT_DEPTH_MAX);
        return refuse_at(text, position, rest);
}

void policy_text_done(PolicyText *text)
{
        json_object_put(steal_pointer(text->root));
}

int policy_text_refuse(const PolicyText *text, const JsonPlace *place, const char *format, ...)
{
        JsonPosition position;
        _cleanup_free_ char *rest = NULL;
        va_list arguments;
        int n, r;

        va_start(arguments, format);
        n = vasprintf(&rest, format, arguments);
        va_end(arguments);
        if (n < 0) {
                rest = NULL;
                return -ENOMEM;
        }
        r = json_place_find(text->text, text->length, text->root, place, &position);
        /* A refusal without its place is still better than none. */
        if (r == -ENOENT)
                return dropin_refuse(text->message, -EBADMSG, text->path, "%s", rest);
        return r < 0 ? r : refuse_at(text, position, rest);
}

const char *policy_text_unknown_key(json_object *object, const char *const known[])
{
        json_object_object_foreach(object, key, value)
        {
                size_t i = 0;

                (void) value;
                while (known[i] && strcmp(known[i], key) != 0)
                        i++;
                if (!known[i])
                        return key;
        }
        return NULL;
}
