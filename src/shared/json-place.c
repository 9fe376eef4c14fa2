/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "shared/json-place.h"

#include <errno.h>
#include <string.h>

/* White space, and what stands between values and says nothing that their places do not. */
#define BETWEEN " \t\r\n\v\f,:"

typedef struct Walk {
        const char *text;
        size_t at, length;
} Walk;

/* The next character that begins or ends a value, NUL at the end of the text. */
static char next(Walk *walk)
{
        while (walk->at < walk->length && walk->text[walk->at] != '\0' &&
               strchr(BETWEEN, walk->text[walk->at]))
                walk->at++;
        return walk->at < walk->length ? walk->text[walk->at] : '\0';
}

static void skip_string(Walk *walk)
{
        for (walk->at++; walk->at < walk->length && walk->text[walk->at] != '"'; walk->at++)
                if (walk->text[walk->at] == '\\')
                        walk->at++;
        walk->at++;
}

/* A number, or true, false or null. */
static void skip_word(Walk *walk)
{
        do
                walk->at++;
        while (walk->at < walk->length && walk->text[walk->at] != '\0' &&
               !strchr(BETWEEN "]}", walk->text[walk->at]));
}

DEFINE_CLEANUP(json_tokener *, json_tokener_free);

/* The string at which the walk is, as json-c reads it, and the walk goes behind it. NULL: no memory. */
static json_object *take_string(Walk *walk)
{
        _cleanup_(cleanup_json_tokener_free) json_tokener *tokener = json_tokener_new();
        size_t begin = walk->at, end;

        skip_string(walk);
        end = walk->at < walk->length ? walk->at : walk->length;
        return tokener ? json_tokener_parse_ex(tokener, walk->text + begin, (int) (end - begin)) : NULL;
}

/* ---- a place ---- */

static bool is_place(const JsonPlace *place, JsonPart part, const json_object *container)
{
        return place->part == part && place->container == container;
}

static int find(Walk *walk, json_object *value, const JsonPlace *place);

static int find_in_array(Walk *walk, json_object *array, const JsonPlace *place)
{
        size_t n = json_object_array_length(array);

        for (size_t i = 0; i < n && next(walk) != '\0'; i++) {
                int r;

                if (is_place(place, JSON_PART_ELEMENT, array) && place->index == i)
                        return 0;
                r = find(walk, json_object_array_get_idx(array, i), place);
                if (r != -ENOENT)
                        return r;
        }
        return -ENOENT;
}

static int find_in_object(Walk *walk, json_object *object, const JsonPlace *place)
{
        while (next(walk) == '"') {
                size_t begin = walk->at;
                _cleanup_json_ json_object *key = take_string(walk);
                json_object *value = NULL;
                bool is_it;
                int r;

                if (!key)
                        return -ENOMEM;
                is_it = place->key && strcmp(json_object_get_string(key), place->key) == 0;
                if (is_it && is_place(place, JSON_PART_KEY, object)) {
                        walk->at = begin;
                        return 0;
                }
                (void) next(walk);
                if (is_it && is_place(place, JSON_PART_VALUE, object))
                        return 0;
                if (!json_object_object_get_ex(object, json_object_get_string(key), &value))
                        return -ENOENT;
                r = find(walk, value, place);
                if (r != -ENOENT)
                        return r;
        }
        return -ENOENT;
}

/* 0, and the walk is at the place; -ENOENT, and it is behind the value. As deep as the tree. */
static int find(Walk *walk, json_object *value, const JsonPlace *place)
{
        char c = next(walk);
        int r;

        if (value && is_place(place, JSON_PART_ITSELF, value))
                return 0;
        if (c == '"') {
                skip_string(walk);
                return -ENOENT;
        }
        if (!json_object_is_type(value, json_type_object) && !json_object_is_type(value, json_type_array)) {
                skip_word(walk);
                return -ENOENT;
        }
        walk->at++;
        r = json_object_is_type(value, json_type_object) ? find_in_object(walk, value, place)
                                                         : find_in_array(walk, value, place);
        if (r == -ENOENT) {
                (void) next(walk);
                walk->at++;
        }
        return r;
}

int json_place_find(const char *text, size_t length, json_object *root, const JsonPlace *place,
                    JsonPosition *ret)
{
        Walk walk = {.text = text, .length = length};
        int r = find(&walk, root, place);

        if (r < 0)
                return r;
        *ret = json_position_at(text, walk.at);
        return 0;
}

/* ---- a fault ---- */

/* NaN, Infinity and what has a fraction or an exponent. */
static bool is_odd_number(const char *word, size_t length)
{
        if (*word == 't' || *word == 'f' || *word == 'n')
                return false;
        for (size_t i = 0; i < length; i++)
                if ((word[i] < '0' || word[i] > '9') && (i > 0 || word[i] != '-'))
                        return true;
        return false;
}

static int find_fault(Walk *walk, unsigned depth_left, JsonFault *ret);

static int find_fault_in_object(Walk *walk, unsigned depth_left, JsonFault *ret)
{
        _cleanup_json_ json_object *seen = json_object_new_object();
        int r = seen ? 0 : -ENOMEM;

        while (r >= 0 && *ret == JSON_FAULT_NONE && next(walk) == '"') {
                size_t begin = walk->at;
                _cleanup_json_ json_object *key = take_string(walk);

                if (!key)
                        return -ENOMEM;
                if (json_object_object_get_ex(seen, json_object_get_string(key), NULL)) {
                        walk->at = begin;
                        *ret = JSON_FAULT_KEY_TWICE;
                        return 0;
                }
                if (json_object_object_add(seen, json_object_get_string(key), NULL) < 0)
                        return -ENOMEM;
                r = find_fault(walk, depth_left, ret);
        }
        return r;
}

/* 0, and the walk is at the fault, or behind the value if there is none. */
static int find_fault(Walk *walk, unsigned depth_left, JsonFault *ret)
{
        char c = next(walk);
        size_t begin = walk->at;
        int r = 0;

        if (c == '"') {
                skip_string(walk);
                return 0;
        }
        if (c != '{' && c != '[') {
                skip_word(walk);
                if (c != '\0' && is_odd_number(walk->text + begin, walk->at - begin)) {
                        walk->at = begin;
                        *ret = JSON_FAULT_NUMBER;
                }
                return 0;
        }
        if (depth_left == 0) {
                walk->at = walk->length; /* the parser has refused such a text */
                return 0;
        }
        walk->at++;
        if (c == '{')
                r = find_fault_in_object(walk, depth_left - 1, ret);
        else
                while (r >= 0 && *ret == JSON_FAULT_NONE && next(walk) != ']' && walk->at < walk->length)
                        r = find_fault(walk, depth_left - 1, ret);
        if (r >= 0 && *ret == JSON_FAULT_NONE) {
                (void) next(walk);
                walk->at++;
        }
        return r;
}

int json_fault_find(const char *text, size_t length, unsigned depth_max, JsonFault *ret_fault,
                    JsonPosition *ret)
{
        Walk walk = {.text = text, .length = length};
        int r;

        *ret_fault = JSON_FAULT_NONE;
        r = find_fault(&walk, depth_max, ret_fault);
        if (r >= 0 && *ret_fault != JSON_FAULT_NONE)
                *ret = json_position_at(text, walk.at);
        return r;
}
