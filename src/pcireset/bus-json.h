/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * D-Bus values as JSON, and careful looks into the JSON: every type is checked, what is missing or of
 * another type reads as empty. The verbs work on JSON alone, so a daemon that is newer, older or mad can
 * make a field empty, and nothing worse.
 */

#include <json-c/json.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <systemd/sd-bus.h>

#include "shared/cleanup.h"

DEFINE_CLEANUP(json_object *, json_object_put);
#define _cleanup_json_ _cleanup_(cleanup_json_object_put)

/* Reads the next complete value of the message, whatever its type. Dictionaries become objects (keys that
 * are no strings are written as such), variants vanish, structs and arrays become arrays, file descriptors
 * null. Returns 1 and the value, 0 at the end of the message, or a negative errno. The caller puts the
 * value. */
int bus_json_read(sd_bus_message *message, json_object **ret);

/* Reads the next value and wraps it: an array of structs becomes an array of objects with the given keys, a
 * struct's member at a time. `keys` is NULL-terminated. A trailing dictionary without a key of its own is
 * merged into the object. 0 or a negative errno. */
int bus_json_read_rows(sd_bus_message *message, const char *const *keys, json_object **ret);

/* Adds a value to an object and owns it from then on, also on failure. `value` may be NULL if that means
 * that it could not be allocated. 0 or -ENOMEM. */
int json_add(json_object *object, const char *key, json_object *value);

/* The same for the end of an array. */
int json_append(json_object *array, json_object *value);

/* The same for a text, by format. */
int json_append_text(json_object *array, const char *format, va_list arguments)
        __attribute__((format(printf, 2, 0)));

/* A field of an object: "" / 0 / false / NULL if it is not there or not of that type. */
const char *json_get_string(json_object *object, const char *key);
uint64_t json_get_unsigned(json_object *object, const char *key);
int64_t json_get_signed(json_object *object, const char *key);
bool json_get_bool(json_object *object, const char *key);
json_object *json_get_array(json_object *object, const char *key);
json_object *json_get_dict(json_object *object, const char *key);

/* The length of an array, 0 for NULL and for everything that is none. */
size_t json_length(json_object *array);

/* An element that is a string, else "". */
const char *json_get_string_at(json_object *array, size_t i);

/* The strings of an array, joined. NULL: out of memory. The caller frees it. */
char *json_join(json_object *array, const char *separator);

/* Writes a document in many lines, or in one, with a newline at the end. What may act on a terminal is
 * written as \uXXXX, which is the same document. 0 or -ENOMEM. */
int json_print(FILE *stream, json_object *document, bool one_line);
