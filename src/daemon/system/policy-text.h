/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The text of one policy file while it is read: parsed as strictly as shared/json can, and every refusal
 * names the file, the line and the column.
 */

#include <json-c/json.h>

#include "shared/json-place.h"

/* The file, its rules, a rule, its settings, what is known, one piece of it, a word in that. */
#define POLICY_TEXT_DEPTH_MAX 7U
/* As much of a text of the file's as a message quotes. */
#define POLICY_TEXT_QUOTE_MAX 48U

typedef struct PolicyText {
        const char *path;
        const char *text; /* not terminated */
        size_t length;
        json_object *root; /* owned; an object */
        char **message; /* where a refusal is put */
} PolicyText;

/* Parses what `path`, `text` and `length` say; `message` must be set. 0, or -EBADMSG with a message, or
 * -ENOMEM without. */
int policy_text_parse(PolicyText *text);
void policy_text_done(PolicyText *text);

/* Makes the message `path: line L, column C: ` and the rest, and returns -EBADMSG; -ENOMEM without one. */
int __attribute__((format(printf, 3, 4)))
policy_text_refuse(const PolicyText *text, const JsonPlace *place, const char *format, ...);

/* The key of the object that is none of `known`, NULL at their end. NULL if there is none. */
const char *policy_text_unknown_key(json_object *object, const char *const known[]);

#define at_itself(c)     (&(const JsonPlace){.container = (c), .part = JSON_PART_ITSELF})
#define at_key(c, k)     (&(const JsonPlace){.container = (c), .part = JSON_PART_KEY, .key = (k)})
#define at_element(c, i) (&(const JsonPlace){.container = (c), .part = JSON_PART_ELEMENT, .index = (i)})
/* The object itself if it has no such key. */
#define at_value(c, k)                                                                                      \
        (&(const JsonPlace){                                                                                \
                .container = (c),                                                                           \
                .part = json_object_object_get_ex((c), (k), NULL) ? JSON_PART_VALUE : JSON_PART_ITSELF,     \
                .key = (k),                                                                                 \
        })
