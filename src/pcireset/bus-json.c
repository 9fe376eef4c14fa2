/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * One recursive walk over a message, driven by the types that the message itself declares. The bus library
 * has checked the message by then (nesting included), so a type that is not understood here is a bug or
 * news.
 */

#include "pcireset/bus-json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "pcireset/text.h"

typedef union Basic {
        uint8_t byte;
        int boolean;
        int16_t int16;
        uint16_t uint16;
        int32_t int32;
        uint32_t uint32;
        int64_t int64;
        uint64_t uint64;
        double real;
        const char *string;
        int fd;
} Basic;

/* Every integer but UINT64 fits. */
static int64_t integer_value(char type, const Basic *value)
{
        switch (type) {
        case SD_BUS_TYPE_BYTE:
                return value->byte;
        case SD_BUS_TYPE_INT16:
                return value->int16;
        case SD_BUS_TYPE_UINT16:
                return value->uint16;
        case SD_BUS_TYPE_INT32:
                return value->int32;
        case SD_BUS_TYPE_UINT32:
                return value->uint32;
        default:
                return value->int64;
        }
}

static json_object *basic_to_json(char type, const Basic *value)
{
        switch (type) {
        case SD_BUS_TYPE_BOOLEAN:
                return json_object_new_boolean(value->boolean);
        case SD_BUS_TYPE_UINT64:
                return json_object_new_uint64(value->uint64);
        case SD_BUS_TYPE_DOUBLE:
                return json_object_new_double(value->real);
        case SD_BUS_TYPE_STRING:
        case SD_BUS_TYPE_OBJECT_PATH:
        case SD_BUS_TYPE_SIGNATURE:
                return json_object_new_string(value->string);
        default:
                return json_object_new_int64(integer_value(type, value));
        }
}

static int read_basic(sd_bus_message *message, char type, json_object **ret)
{
        Basic value = {};
        int r;

        r = sd_bus_message_read_basic(message, type, &value);
        if (r < 0)
                return r;

        /* JSON knows no such numbers, and a file descriptor says nothing outside of this process. */
        if (type == SD_BUS_TYPE_UNIX_FD || (type == SD_BUS_TYPE_DOUBLE && !isfinite(value.real))) {
                *ret = NULL;
                return 0;
        }

        *ret = basic_to_json(type, &value);
        return *ret ? 0 : -ENOMEM;
}

static int read_value(sd_bus_message *message, char type, const char *contents, json_object **ret);

/* Reads what is left of the container that was entered. */
static int read_elements(sd_bus_message *message, json_object *array)
{
        for (;;) {
                json_object *element = NULL;
                const char *contents;
                char type;
                int r;

                r = sd_bus_message_peek_type(message, &type, &contents);
                if (r <= 0)
                        return r;
                r = read_value(message, type, contents, &element);
                if (r < 0)
                        return r;
                if (json_object_array_add(array, element) < 0) {
                        json_object_put(element);
                        return -ENOMEM;
                }
        }
}

static int read_dictionary(sd_bus_message *message, const char *entry, json_object *object)
{
        int r;

        while ((r = sd_bus_message_enter_container(message, SD_BUS_TYPE_DICT_ENTRY, entry)) > 0) {
                _cleanup_json_ json_object *key = NULL;
                json_object *value = NULL;
                const char *contents;
                char type;

                r = sd_bus_message_peek_type(message, &type, &contents);
                if (r > 0)
                        r = read_value(message, type, contents, &key);
                if (r >= 0)
                        r = sd_bus_message_peek_type(message, &type, &contents);
                if (r > 0)
                        r = read_value(message, type, contents, &value);
                if (r < 0)
                        return r;

                if (json_object_object_add(object, key ? json_object_get_string(key) : "null", value) < 0) {
                        json_object_put(value);
                        return -ENOMEM;
                }
                r = sd_bus_message_exit_container(message);
                if (r < 0)
                        return r;
        }
        return r;
}

static int read_container(sd_bus_message *message, char type, const char *contents, json_object **ret)
{
        bool dictionary = type == SD_BUS_TYPE_ARRAY && contents[0] == SD_BUS_TYPE_DICT_ENTRY_BEGIN;
        _cleanup_json_ json_object *value = NULL;
        _cleanup_free_ char *entry = NULL;
        int r;

        value = dictionary ? json_object_new_object() : json_object_new_array();
        if (!value)
                return -ENOMEM;
        if (dictionary) {
                /* Without its braces. Copied, because the message may reuse the memory. */
                entry = strndup(contents + 1, strlen(contents) - 2);
                if (!entry)
                        return -ENOMEM;
        }

        r = sd_bus_message_enter_container(message, type, contents);
        if (r < 0)
                return r;
        r = dictionary ? read_dictionary(message, entry, value) : read_elements(message, value);
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(message);
        if (r < 0)
                return r;

        *ret = steal_pointer(value);
        return 0;
}

static int read_variant(sd_bus_message *message, const char *contents, json_object **ret)
{
        _cleanup_json_ json_object *value = NULL;
        const char *inner;
        char type;
        int r;

        r = sd_bus_message_enter_container(message, SD_BUS_TYPE_VARIANT, contents);
        if (r < 0)
                return r;
        r = sd_bus_message_peek_type(message, &type, &inner);
        if (r < 0)
                return r;
        if (r == 0)
                return -EBADMSG;
        r = read_value(message, type, inner, &value);
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(message);
        if (r < 0)
                return r;

        *ret = steal_pointer(value);
        return 0;
}

static int read_value(sd_bus_message *message, char type, const char *contents, json_object **ret)
{
        switch (type) {
        case SD_BUS_TYPE_VARIANT:
                return read_variant(message, contents, ret);
        case SD_BUS_TYPE_ARRAY:
        case SD_BUS_TYPE_STRUCT:
                return read_container(message, type, contents, ret);
        default:
                return read_basic(message, type, ret);
        }
}

int bus_json_read(sd_bus_message *message, json_object **ret)
{
        const char *contents;
        char type;
        int r;

        r = sd_bus_message_peek_type(message, &type, &contents);
        if (r <= 0)
                return r;
        r = read_value(message, type, contents, ret);
        return r < 0 ? r : 1;
}

/* Moves the members of a struct into an object. */
static int name_members(json_object *row, const char *const *keys, json_object *object)
{
        size_t i = 0;
        int r;

        for (; keys[i]; i++) {
                if (i >= json_length(row))
                        return -EBADMSG;
                r = json_add(object, keys[i], json_object_get(json_object_array_get_idx(row, i)));
                if (r < 0)
                        return r;
        }

        if (json_object_is_type(json_object_array_get_idx(row, i), json_type_object)) {
                json_object_object_foreach(json_object_array_get_idx(row, i), key, value)
                {
                        if (json_object_object_add(object, key, json_object_get(value)) < 0) {
                                json_object_put(value);
                                return -ENOMEM;
                        }
                }
        }
        return 0;
}

int bus_json_read_rows(sd_bus_message *message, const char *const *keys, json_object **ret)
{
        _cleanup_json_ json_object *raw = NULL, *rows = NULL;
        int r;

        r = bus_json_read(message, &raw);
        if (r < 0)
                return r;
        rows = json_object_new_array();
        if (!rows)
                return -ENOMEM;

        for (size_t i = 0; i < json_length(raw); i++) {
                json_object *row = json_object_array_get_idx(raw, i);
                json_object *object = json_object_new_object();

                if (!json_object_is_type(row, json_type_array)) {
                        json_object_put(object);
                        return -EBADMSG;
                }
                r = json_append(rows, object);
                if (r >= 0)
                        r = name_members(row, keys, object);
                if (r < 0)
                        return r;
        }

        *ret = steal_pointer(rows);
        return 0;
}

int json_add(json_object *object, const char *key, json_object *value)
{
        if (!value)
                return -ENOMEM;
        if (json_object_object_add(object, key, value) < 0) {
                json_object_put(value);
                return -ENOMEM;
        }
        return 0;
}

int json_append(json_object *array, json_object *value)
{
        if (!value)
                return -ENOMEM;
        if (json_object_array_add(array, value) < 0) {
                json_object_put(value);
                return -ENOMEM;
        }
        return 0;
}

int json_append_text(json_object *array, const char *format, va_list arguments)
{
        _cleanup_free_ char *text = NULL;

        return vasprintf(&text, format, arguments) < 0 ? -ENOMEM
                                                       : json_append(array, json_object_new_string(text));
}

static json_object *field(json_object *object, const char *key, json_type type)
{
        json_object *value;

        if (!json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, type))
                return NULL;
        return value;
}

const char *json_get_string(json_object *object, const char *key)
{
        json_object *value = field(object, key, json_type_string);

        return value ? json_object_get_string(value) : "";
}

uint64_t json_get_unsigned(json_object *object, const char *key)
{
        json_object *value = field(object, key, json_type_int);

        return value ? json_object_get_uint64(value) : 0;
}

int64_t json_get_signed(json_object *object, const char *key)
{
        json_object *value = field(object, key, json_type_int);

        return value ? json_object_get_int64(value) : 0;
}

bool json_get_bool(json_object *object, const char *key)
{
        json_object *value = field(object, key, json_type_boolean);

        return value && json_object_get_boolean(value);
}

json_object *json_get_array(json_object *object, const char *key)
{
        return field(object, key, json_type_array);
}

json_object *json_get_dict(json_object *object, const char *key)
{
        return field(object, key, json_type_object);
}

size_t json_length(json_object *array)
{
        return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

const char *json_get_string_at(json_object *array, size_t i)
{
        json_object *value = i < json_length(array) ? json_object_array_get_idx(array, i) : NULL;

        return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

char *json_join(json_object *array, const char *separator)
{
        char *joined = NULL;
        size_t size;
        FILE *stream = open_memstream(&joined, &size);

        if (!stream)
                return NULL;
        for (size_t i = 0; i < json_length(array); i++)
                (void) fprintf(stream, "%s%s", i > 0 ? separator : "", json_get_string_at(array, i));
        if (fclose(stream) != 0) {
                free(joined);
                return NULL;
        }
        return joined;
}

int json_print(FILE *stream, json_object *document, bool one_line)
{
        const char *p = json_object_to_json_string_ext(
                document, JSON_C_TO_STRING_NOSLASHESCAPE |
                                  (one_line ? JSON_C_TO_STRING_PLAIN
                                            : (JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED)));

        if (!p)
                return -ENOMEM;

        /* json-c escapes C0 inside of strings; outside of strings there is only layout. */
        while (*p) {
                uint32_t character;
                size_t length = text_decode(p, &character);

                if (length == 0) { /* no D-Bus string, but an argument may have been repeated */
                        (void) fputs("\\ufffd", stream);
                        length = 1;
                } else if (character < 0x20 || !text_is_hostile(character)) {
                        (void) fwrite(p, 1, length, stream);
                } else if (character > 0xffff) {
                        (void) fprintf(stream, "\\u%04" PRIx32 "\\u%04" PRIx32,
                                       0xd800 + ((character - 0x10000) >> 10),
                                       0xdc00 + ((character - 0x10000) & 0x3ff));
                } else {
                        (void) fprintf(stream, "\\u%04" PRIx32, character);
                }
                p += length;
        }
        (void) fputc('\n', stream);
        return 0;
}
