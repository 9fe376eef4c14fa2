/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Strict JSON on top of json-c.
 *
 * For texts that somebody else wrote and that decide what happens to hardware: messages between the
 * programs, policy files. A text is either exactly what was expected or it is refused as a whole:
 *
 *   - json_text_parse() takes one JSON object in well-formed UTF-8 and nothing else: no comments, no NUL, no
 *     key twice in one object (json-c would silently keep the last), no fractions or exponents (every
 *     number in this program is an integer), no depth beyond the caller's bound.
 *   - A JsonReader takes the members of one object by name, type and range, and knows at the end whether
 *     one was missing, wrong, or left over. Errors are sticky, so a reader is used without looking
 *     until json_reader_finish().
 *   - A JsonWriter builds an object the same way: errors are sticky until json_writer_finish().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#include "shared/cleanup.h"

DEFINE_CLEANUP(json_object *, json_object_put);
#define _cleanup_json_ _cleanup_(cleanup_json_object_put)

/* A place in a text, for people: both count from 1, columns are bytes. */
typedef struct JsonPosition {
        size_t line;
        size_t column;
} JsonPosition;

/* The place of a byte of a text that is at least as long. */
JsonPosition json_position_at(const char *text, size_t offset);

/* Parses a text that is one JSON object, white space around it allowed, nested no deeper than `depth_max`
 * levels (the object itself is the first). Returns 0 and a new reference; -EBADMSG, and where the text stops
 * being acceptable in `ret_position` (which may be NULL; 0:0 if the fault has no one place, as a key that is
 * there twice, see json-place.h); -EMSGSIZE for a text over INT_MAX bytes; -ENOMEM. */
int json_text_parse(const char *text, size_t length, unsigned depth_max, JsonPosition *ret_position,
                    json_object **ret);

typedef struct JsonReader {
        json_object *object; /* borrowed */
        int error; /* of the first failure: -EBADMSG */
        const char *
                culprit; /* the key of the first failure, as the caller spelled it or as the object has it */
        size_t n_taken;
} JsonReader;

/* Reads `object`, which is not owned. Anything but a JSON object is an error of the reader. */
JsonReader json_reader_begin(json_object *object);

/* Each takes the member `key`, which must be there, of the type and within the bounds given. Every key may
 * be taken once. After a failure they return 0, false, "" or NULL. */
uint64_t json_read_unsigned(JsonReader *reader, const char *key, uint64_t min, uint64_t max);
bool json_read_boolean(JsonReader *reader, const char *key);
json_object *json_read_object(JsonReader *reader, const char *key);
json_object *json_read_array(JsonReader *reader, const char *key, size_t min, size_t max);

/* A text without control characters that fits into `size` bytes with its NUL. Valid as long as the object.
 */
const char *json_read_text(JsonReader *reader, const char *key, size_t size);

/* As json_read_text(), copied into the caller's buffer. */
void json_read_text_to(JsonReader *reader, const char *key, char *buffer, size_t size);

/* A text that is one of `names`: its index. After a failure 0. */
size_t json_read_choice(JsonReader *reader, const char *key, const char *const *names, size_t n_names);

/* True if the member is there; null counts as there. For members that may be absent. */
bool json_reader_has(const JsonReader *reader, const char *key);

/* True if the member is there and null; it is then taken. For members that may be null. */
bool json_read_null(JsonReader *reader, const char *key);

/* Notes a failure that only the caller can see. The first failure wins. */
void json_reader_fail(JsonReader *reader, const char *key);

/* 0 if every member that the object has was taken and all were right, else -EBADMSG. */
int json_reader_finish(JsonReader *reader);

typedef struct JsonWriter {
        json_object *object; /* owned until json_writer_finish() */
        int error;
} JsonWriter;

JsonWriter json_writer_begin(void);

void json_write_unsigned(JsonWriter *writer, const char *key, uint64_t value);
void json_write_boolean(JsonWriter *writer, const char *key, bool value);
void json_write_null(JsonWriter *writer, const char *key);

/* Goes through utf8_sanitize(), so the result can always be read back. */
void json_write_text(JsonWriter *writer, const char *key, const char *text);

/* Takes the reference, even on failure. A NULL value, as an allocation that failed left it, is -ENOMEM. */
void json_write_value(JsonWriter *writer, const char *key, json_object *value);

/* 0 and the object, or the first error (-ENOMEM), and the writer is empty. */
int json_writer_finish(JsonWriter *writer, json_object **ret);

/* Releases what json_writer_finish() has not handed out. */
void json_writer_done(JsonWriter *writer);
#define _cleanup_json_writer_ _cleanup_(json_writer_done)

/* The object as one line with its newline, in a new string. 0, -ENOMEM, or -EMSGSIZE if it is longer than
 * `max` bytes (newline included, NUL not). */
int json_text_format(json_object *object, size_t max, char **ret);

/* A new array of what `write` makes of `n` elements, which are `size` bytes each, at `elements`. 0 or what
 * `write` returned, -ENOMEM. */
typedef int (*JsonWriteElement)(const void *element, json_object **ret);
int json_array_write(const void *elements, size_t n, size_t size, JsonWriteElement write, json_object **ret);

/* The elements of an array, each as `read` takes it, in one allocation that the caller frees; NULL for an
 * empty one. After a failure, which is what `read` returned or -ENOMEM, it is set too: what was read so
 * far, the rest zero. */
typedef int (*JsonReadElement)(json_object *object, void *ret);
int json_array_read(json_object *array, size_t size, JsonReadElement read, void **ret, size_t *ret_n);
