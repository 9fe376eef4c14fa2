/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * json-c does the grammar; this file adds what it lets through.
 *
 * A first pass over the bytes checks the encoding, refuses NUL in all its spellings, and counts the colons
 * outside of strings. In a well-formed text that is the number of members written. json-c keeps one member
 * of each name, so if its tree holds fewer, a key was there twice. Numbers that do not fit are clamped by
 * json-c to the ends of its range; the ends are therefore refused as values.
 */

#include "shared/json.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "shared/utf8.h"

static bool is_control(unsigned char c)
{
        return c < 0x20 || c == 0x7f;
}

/* Returns the offset of the first unacceptable byte, `length` if there is none. */
static size_t scan_bytes(const char *text, size_t length, size_t *ret_members)
{
        bool in_string = false;
        size_t members = 0;

        for (size_t i = 0, n; i < length; i += n) {
                const char *p = text + i;

                n = utf8_sequence_length(p, length - i);
                if (n == 0 || *p == '\0')
                        return i;

                if (!in_string) {
                        if (*p == ':')
                                members++;
                        /* json-c takes these around keys even when it is told to be strict. */
                        if (*p == '\'')
                                return i;
                } else if (is_control((unsigned char) *p)) {
                        return i;
                } else if (*p == '\\') {
                        /* A NUL in a key would cut it short in json-c, and make two keys out of one. */
                        if (length - i >= 6 && memcmp(p, "\\u0000", 6) == 0)
                                return i;
                        n = 2; /* whatever is escaped, it does not end the string */
                        if (i + n > length || is_control((unsigned char) p[1]) ||
                            (unsigned char) p[1] >= 0x80)
                                return i;
                        continue;
                }

                if (*p == '"')
                        in_string = !in_string;
        }

        *ret_members = members;
        return length;
}

/* Counts all members of all objects in the tree. -EBADMSG if it holds a number with a fraction or an
 * exponent, NaN and Infinity included. The tokener has bounded the depth. */
static int scan_tree(json_object *value, size_t *members)
{
        int r;

        switch (json_object_get_type(value)) {
        case json_type_double:
                return -EBADMSG;

        case json_type_object: {
                json_object_object_foreach(value, key, child)
                {
                        (void) key;
                        (*members)++;
                        r = scan_tree(child, members);
                        if (r < 0)
                                return r;
                }
                return 0;
        }

        case json_type_array:
                for (size_t i = 0; i < json_object_array_length(value); i++) {
                        r = scan_tree(json_object_array_get_idx(value, i), members);
                        if (r < 0)
                                return r;
                }
                return 0;

        default:
                return 0;
        }
}

JsonPosition json_position_at(const char *text, size_t offset)
{
        JsonPosition position = {.line = 1, .column = 1};

        for (size_t i = 0; i < offset; i++)
                if (text[i] == '\n') {
                        position.line++;
                        position.column = 1;
                } else {
                        position.column++;
                }
        return position;
}

static void position_of(const char *text, size_t offset, JsonPosition *ret)
{
        if (ret)
                *ret = json_position_at(text, offset);
}

DEFINE_CLEANUP(json_tokener *, json_tokener_free);

int json_text_parse(const char *text, size_t length, unsigned depth_max, JsonPosition *ret_position,
                    json_object **ret)
{
        _cleanup_(cleanup_json_tokener_free) json_tokener *tokener = NULL;
        _cleanup_json_ json_object *object = NULL;
        size_t written = 0, kept = 0, bad, end;

        if (ret_position)
                *ret_position = (JsonPosition){};
        if (length > INT_MAX)
                return -EMSGSIZE;

        bad = scan_bytes(text, length, &written);
        if (bad < length) {
                position_of(text, bad, ret_position);
                return -EBADMSG;
        }

        tokener = json_tokener_new_ex((int) depth_max);
        if (!tokener)
                return -ENOMEM;
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);

        object = json_tokener_parse_ex(tokener, text, (int) length);
        end = json_tokener_get_parse_end(tokener);
        while (object && end < length && strchr(" \t\r\n", text[end]))
                end++;
        if (!object || end != length || !json_object_is_type(object, json_type_object)) {
                position_of(text, end, ret_position);
                return -EBADMSG;
        }

        if (scan_tree(object, &kept) < 0 || kept != written)
                return -EBADMSG;

        *ret = steal_pointer(object);
        return 0;
}

JsonReader json_reader_begin(json_object *object)
{
        JsonReader reader = {.object = object};

        if (!json_object_is_type(object, json_type_object))
                json_reader_fail(&reader, "");
        return reader;
}

void json_reader_fail(JsonReader *reader, const char *key)
{
        if (reader->error < 0)
                return;
        reader->error = -EBADMSG;
        reader->culprit = key;
}

/* The member, if it is there and of that type. */
static json_object *take(JsonReader *reader, const char *key, json_type type)
{
        json_object *value;

        if (reader->error < 0)
                return NULL;

        if (!json_object_object_get_ex(reader->object, key, &value) || !json_object_is_type(value, type)) {
                json_reader_fail(reader, key);
                return NULL;
        }

        reader->n_taken++;
        return value;
}

uint64_t json_read_unsigned(JsonReader *reader, const char *key, uint64_t min, uint64_t max)
{
        json_object *value = take(reader, key, json_type_int);
        uint64_t number;

        if (!value)
                return 0;

        number = json_object_get_uint64(value);
        /* UINT64_MAX is also what json-c makes of everything beyond. */
        if (json_object_get_int64(value) < 0 || number == UINT64_MAX || number < min || number > max) {
                json_reader_fail(reader, key);
                return 0;
        }
        return number;
}

bool json_read_boolean(JsonReader *reader, const char *key)
{
        json_object *value = take(reader, key, json_type_boolean);

        return value && json_object_get_boolean(value);
}

json_object *json_read_object(JsonReader *reader, const char *key)
{
        return take(reader, key, json_type_object);
}

json_object *json_read_array(JsonReader *reader, const char *key, size_t min, size_t max)
{
        json_object *value = take(reader, key, json_type_array);
        size_t n;

        if (!value)
                return NULL;

        n = json_object_array_length(value);
        if (n < min || n > max) {
                json_reader_fail(reader, key);
                return NULL;
        }
        return value;
}

const char *json_read_text(JsonReader *reader, const char *key, size_t size)
{
        json_object *value = take(reader, key, json_type_string);
        const char *text;
        size_t length;

        if (!value)
                return "";

        text = json_object_get_string(value);
        length = (size_t) json_object_get_string_len(value);
        if (length >= size) {
                json_reader_fail(reader, key);
                return "";
        }
        for (size_t i = 0; i < length; i++)
                if (is_control((unsigned char) text[i])) {
                        json_reader_fail(reader, key);
                        return "";
                }
        return text;
}

void json_read_text_to(JsonReader *reader, const char *key, char *buffer, size_t size)
{
        const char *text = json_read_text(reader, key, size);

        /* Texts from json-c end with a NUL that their length does not count. */
        memcpy(buffer, text, strlen(text) + 1);
}

size_t json_read_choice(JsonReader *reader, const char *key, const char *const *names, size_t n_names)
{
        const char *text = json_read_text(reader, key, SIZE_MAX);

        for (size_t i = 0; i < n_names && reader->error == 0; i++)
                if (strcmp(names[i], text) == 0)
                        return i;

        json_reader_fail(reader, key);
        return 0;
}

bool json_reader_has(const JsonReader *reader, const char *key)
{
        return reader->error == 0 && json_object_object_get_ex(reader->object, key, NULL);
}

bool json_read_null(JsonReader *reader, const char *key)
{
        json_object *value;

        if (reader->error < 0 || !json_object_object_get_ex(reader->object, key, &value) || value)
                return false;

        reader->n_taken++;
        return true;
}

int json_reader_finish(JsonReader *reader)
{
        if (reader->error == 0 && reader->n_taken != (size_t) json_object_object_length(reader->object))
                json_reader_fail(reader, "");
        return reader->error;
}

JsonWriter json_writer_begin(void)
{
        JsonWriter writer = {.object = json_object_new_object()};

        if (!writer.object)
                writer.error = -ENOMEM;
        return writer;
}

static void add(JsonWriter *writer, const char *key, json_object *value)
{
        if (writer->error == 0 && json_object_object_add(writer->object, key, value) < 0)
                writer->error = -ENOMEM;
        if (writer->error < 0)
                json_object_put(value);
}

void json_write_value(JsonWriter *writer, const char *key, json_object *value)
{
        if (!value && writer->error == 0)
                writer->error = -ENOMEM;
        add(writer, key, value);
}

void json_write_unsigned(JsonWriter *writer, const char *key, uint64_t value)
{
        json_write_value(writer, key, json_object_new_uint64(value));
}

void json_write_boolean(JsonWriter *writer, const char *key, bool value)
{
        json_write_value(writer, key, json_object_new_boolean(value));
}

void json_write_null(JsonWriter *writer, const char *key)
{
        add(writer, key, NULL); /* json-c has no object for null */
}

void json_write_text(JsonWriter *writer, const char *key, const char *text)
{
        _cleanup_free_ char *clean = strdup(text);

        json_write_value(writer, key, clean ? json_object_new_string(utf8_sanitize(clean)) : NULL);
}

int json_writer_finish(JsonWriter *writer, json_object **ret)
{
        if (writer->error < 0) {
                json_writer_done(writer);
                return writer->error;
        }

        *ret = steal_pointer(writer->object);
        return 0;
}

void json_writer_done(JsonWriter *writer)
{
        json_object_put(steal_pointer(writer->object));
}

int json_text_format(json_object *object, size_t max, char **ret)
{
        const char *text;
        size_t length;
        char *line;

        text = json_object_to_json_string_length(
                object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &length);
        if (!text)
                return -ENOMEM;
        if (length + 1 > max)
                return -EMSGSIZE;

        line = malloc(length + 2);
        if (!line)
                return -ENOMEM;
        memcpy(line, text, length);
        memcpy(line + length, "\n", 2);

        *ret = line;
        return 0;
}

/* Arrays */

int json_array_write(const void *elements, size_t n, size_t size, JsonWriteElement write, json_object **ret)
{
        _cleanup_json_ json_object *array = json_object_new_array();
        json_object *object;
        int r;

        if (!array)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                r = write((const char *) elements + i * size, &object);
                if (r < 0)
                        return r;
                if (json_object_array_add(array, object) < 0) {
                        json_object_put(object);
                        return -ENOMEM;
                }
        }
        *ret = steal_pointer(array);
        return 0;
}

int json_array_read(json_object *array, size_t size, JsonReadElement read, void **ret, size_t *ret_n)
{
        size_t n = json_object_array_length(array);
        int r;

        *ret_n = n;
        *ret = NULL;
        if (n == 0)
                return 0;
        *ret = calloc(n, size);
        if (!*ret)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                r = read(json_object_array_get_idx(array, i), (char *) *ret + i * size);
                if (r < 0)
                        return r;
        }
        return 0;
}
