/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Where in a text something stands that is wrong with its values.
 *
 * json-c keeps no positions. They are not needed until a text is refused, and then the text is walked once
 * more, in step with the tree that json-c has made of it: so each place is that of a value as json-c has
 * read it, and there is no second grammar that could understand the text in another way. The walk needs to
 * know no more than where strings end and what brackets are, since json_text_parse() has accepted the text.
 * Keys are looked up in the tree by name, after json-c has decoded them; no order of members is relied on.
 */

#include <stddef.h>

#include "shared/json.h"

typedef enum JsonPart {
        JSON_PART_ITSELF, /* the bracket that opens the container */
        JSON_PART_KEY, /* a key of an object */
        JSON_PART_VALUE, /* the value of a key */
        JSON_PART_ELEMENT, /* an element of an array */
} JsonPart;

typedef struct JsonPlace {
        const json_object *container; /* an object or an array of the tree */
        JsonPart part;
        const char *key;
        size_t index;
} JsonPlace;

/* Finds a place in the text of which json_text_parse() has made `root`. 0; -ENOENT if it is not there, which
 * means that container and root are not of one tree, or that the text is another; -ENOMEM. Takes time in
 * proportion to the text. */
int json_place_find(const char *text, size_t length, json_object *root, const JsonPlace *place,
                    JsonPosition *ret);

typedef enum JsonFault {
        JSON_FAULT_NONE,
        JSON_FAULT_KEY_TWICE, /* a key that its object has already: the second is the place */
        JSON_FAULT_NUMBER, /* a number with a fraction or an exponent, or none at all (NaN) */
} JsonFault;

/* What json_text_parse() refuses without a place, in a text of good grammar: the first such fault and where
 * it is. 0, which may mean JSON_FAULT_NONE, or -ENOMEM. */
int json_fault_find(const char *text, size_t length, unsigned depth_max, JsonFault *ret_fault,
                    JsonPosition *ret);
