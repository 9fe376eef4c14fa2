/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Above all what must be refused although json-c would take it.
 */

#include <errno.h>
#include <string.h>

#include "shared/json.h"
#include "unit.h"

#define DEPTH 4

/* A table entry for texts with NULs in them. */
#define TEXT(s)                                                                                             \
        {                                                                                                   \
                s, sizeof(s) - 1                                                                            \
        }

typedef struct Text {
        const char *text;
        size_t length;
} Text;

static const Text good[] = {
        TEXT("{}"),
        TEXT(" \t\r\n{ } \n"),
        TEXT("{\"a\":1}"),
        TEXT("{\"a\":-1,\"b\":true,\"c\":null,\"d\":\"\",\"e\":[],\"f\":{}}"),
        TEXT("{\"a\":{\"a\":{\"a\":1}}}"),
        TEXT("{\"a\":[{\"b\":1},{\"b\":2}]}"),
        TEXT("{\"a:b\":\"c:d\"}"),
        TEXT("{\"a\":\"\\\":\\\"\"}"),
        TEXT("{\"a\\\\\":\":\"}"),
        TEXT("{\"a\":\"\\u003a\"}"),
        TEXT("{\"a\":\"\\\\u0000\"}"),
        TEXT("{\"a\":\"gr\xc3\xbc\xc3\x9f\"}"),
        TEXT("{\"a\":\"\xf0\x9f\x90\xa7\"}"),
        TEXT("{\"a\":18446744073709551615}"),
};

START_TEST(accepts)
{
        _cleanup_json_ json_object *object = NULL;
        JsonPosition position;

        ck_assert_int_eq(json_text_parse(good[_i].text, good[_i].length, DEPTH, &position, &object), 0);
        ck_assert(json_object_is_type(object, json_type_object));
}
END_TEST

static const Text bad[] = {
        TEXT(""),
        TEXT(" "),
        TEXT("\n"),
        TEXT("null"),
        TEXT("1"),
        TEXT("\"a\""),
        TEXT("[]"),
        TEXT("[{}]"),
        TEXT("{"),
        TEXT("}"),
        TEXT("{}}"),
        TEXT("{}{}"),
        TEXT("{} x"),
        TEXT("{},"),
        TEXT("{\"a\"}"),
        TEXT("{\"a\":}"),
        TEXT("{\"a\":1,}"),
        TEXT("{,\"a\":1}"),
        TEXT("{\"a\":1 \"b\":2}"),
        TEXT("{\"a\":[1,]}"),
        TEXT("{\"a\":[1 2]}"),
        TEXT("{a:1}"),
        TEXT("{'a':1}"),
        TEXT("{\"a\":'b'}"),
        TEXT("{\"a\":1}//"),
        TEXT("/**/{\"a\":1}"),
        TEXT("{/*:*/\"a\":1}"),
        TEXT("{\"a\":True}"),
        TEXT("{\"a\":NULL}"),
        TEXT("{\"a\":tru}"),
        /* the same key twice, openly, spelled differently, and further down */
        TEXT("{\"a\":1,\"a\":1}"),
        TEXT("{\"a\":1,\"\\u0061\":2}"),
        TEXT("{\"b\":[{\"a\":{\"c\":1},\"a\":1}]}"),
        TEXT("{\"a\":{\"b\":1,\"c\":2},\"a\":{\"b\":1}}"),
        TEXT("{'a\"':1,'a\"':2}"),
        /* numbers that are no integers */
        TEXT("{\"a\":1.0}"),
        TEXT("{\"a\":1e3}"),
        TEXT("{\"a\":-0.0}"),
        TEXT("{\"a\":NaN}"),
        TEXT("{\"a\":Infinity}"),
        TEXT("{\"a\":-Infinity}"),
        TEXT("{\"a\":[1,2.5]}"),
        TEXT("{\"a\":0x10}"),
        TEXT("{\"a\":+1}"),
        TEXT("{\"a\":1-2}"),
        TEXT("{\"a\":--1}"),
        TEXT("{\"a\":-}"),
        TEXT("{\"a\":01}"),
        /* NULs and control characters */
        TEXT("\0"),
        TEXT("{}\0"),
        TEXT("{\"a\":1}\0{\"b\":1}"),
        TEXT("{\"a\0\":1}"),
        TEXT("{\"a\":\"\0\"}"),
        TEXT("{\"a\\u0000b\":1}"),
        TEXT("{\"a\":\"\\u0000\"}"),
        TEXT("{\"a\":\"\\\0\"}"),
        TEXT("{\"a\":\"\n\"}"),
        TEXT("{\"a\":\"\x7f\"}"),
        /* UTF-8: stray bytes, overlong, surrogates, beyond the end, cut short */
        TEXT("{\"a\":\"\x80\"}"),
        TEXT("{\"a\":\"\xff\"}"),
        TEXT("{\"a\":\"\xc0\xaf\"}"),
        TEXT("{\"a\":\"\xe0\x80\xaf\"}"),
        TEXT("{\"a\":\"\xed\xa0\x80\"}"),
        TEXT("{\"a\":\"\xf4\x90\x80\x80\"}"),
        TEXT("{\"a\":\"\xf8\x88\x80\x80\x80\"}"),
        TEXT("{\"a\":\"\xc3\"}"),
        TEXT("{\"a\":\"\xe2\x82\"}"),
        TEXT("{\"a\":\"\xe2\x82"),
        TEXT("{\"a\":\"\\"),
        TEXT("{\"a\":\"\\\xc3\xbc\"}"),
        TEXT("\xef\xbb\xbf{}"),
        /* too deep */
        TEXT("{\"a\":{\"a\":{\"a\":{\"a\":1}}}}"),
        TEXT("{\"a\":[[[[1]]]]}"),
};

START_TEST(refuses)
{
        /* In a buffer of its own, so that a sanitizer sees a read past the end. */
        _cleanup_free_ char *text = malloc(bad[_i].length + 1);
        json_object *object = NULL;

        memcpy(text, bad[_i].text, bad[_i].length);
        text = realloc(text, bad[_i].length > 0 ? bad[_i].length : 1);
        ck_assert_int_eq(json_text_parse(text, bad[_i].length, DEPTH, NULL, &object), -EBADMSG);
        ck_assert_ptr_null(object);
}
END_TEST

START_TEST(says_where)
{
        static const char text[] = "{\n  \"a\": 1,\n  \"b\": ?\n}";
        json_object *object;
        JsonPosition position;

        ck_assert_int_eq(json_text_parse(text, sizeof(text) - 1, DEPTH, &position, &object), -EBADMSG);
        ck_assert_uint_eq(position.line, 3);
        ck_assert_uint_eq(position.column, 8);

        ck_assert_int_eq(json_text_parse("{\"\xff\"", 4, DEPTH, &position, &object), -EBADMSG);
        ck_assert_uint_eq(position.line, 1);
        ck_assert_uint_eq(position.column, 3);
}
END_TEST

START_TEST(survives_nesting)
{
        size_t length = 1 << 20;
        _cleanup_free_ char *text = malloc(length);
        json_object *object;

        memset(text, '[', length);
        memcpy(text, "{\"a\":", 5);
        ck_assert_int_eq(json_text_parse(text, length, 32, NULL, &object), -EBADMSG);
}
END_TEST

static json_object *parse(const char *text)
{
        json_object *object;

        ck_assert_int_eq(json_text_parse(text, strlen(text), 8, NULL, &object), 0);
        return object;
}

START_TEST(reads)
{
        static const char *const colours[] = {"red", "green"};
        _cleanup_json_ json_object *object = parse(
                "{\"n\":7,\"max\":18446744073709551614,\"b\":true,\"t\":\"text\",\"c\":\"green\","
                "\"o\":{},\"l\":[1,2],\"z\":null}");
        JsonReader reader = json_reader_begin(object);
        char buffer[5];

        ck_assert_uint_eq(json_read_unsigned(&reader, "n", 7, 7), 7);
        ck_assert_uint_eq(json_read_unsigned(&reader, "max", 0, UINT64_MAX), UINT64_MAX - 1);
        ck_assert(json_read_boolean(&reader, "b"));
        json_read_text_to(&reader, "t", buffer, sizeof(buffer));
        ck_assert_str_eq(buffer, "text");
        ck_assert_uint_eq(json_read_choice(&reader, "c", colours, 2), 1);
        ck_assert_ptr_nonnull(json_read_object(&reader, "o"));
        ck_assert_ptr_nonnull(json_read_array(&reader, "l", 2, 2));
        ck_assert(json_reader_has(&reader, "z"));
        ck_assert(!json_reader_has(&reader, "y"));
        ck_assert(json_read_null(&reader, "z"));
        ck_assert_int_eq(json_reader_finish(&reader), 0);
}
END_TEST

START_TEST(notices_leftovers)
{
        _cleanup_json_ json_object *object = parse("{\"a\":1,\"b\":2}");
        JsonReader reader = json_reader_begin(object);

        (void) json_read_unsigned(&reader, "a", 0, 9);
        ck_assert_int_eq(json_reader_finish(&reader), -EBADMSG);
}
END_TEST

START_TEST(keeps_the_first_error)
{
        _cleanup_json_ json_object *object = parse("{\"a\":10,\"b\":\"x\"}");
        JsonReader reader = json_reader_begin(object);

        ck_assert_uint_eq(json_read_unsigned(&reader, "a", 0, 9), 0);
        ck_assert_str_eq(json_read_text(&reader, "b", 9), "");
        ck_assert(!json_reader_has(&reader, "b"));
        ck_assert_str_eq(reader.culprit, "a");
        ck_assert_int_eq(json_reader_finish(&reader), -EBADMSG);
}
END_TEST

/* Each value is read as an unsigned from 1 to 100, a text of up to 3 bytes, an array of up to 1, and so on;
 * only those named may succeed. */
static const struct {
        const char *value;
        bool is_unsigned, is_boolean, is_text, is_array, is_object, is_null;
} values[] = {
        {"1", .is_unsigned = true},
        {"100", .is_unsigned = true},
        {"0"},
        {"101"},
        {"-1"},
        {"-9223372036854775808"},
        {"-99999999999999999999"},
        {"18446744073709551615"},
        {"99999999999999999999999999"},
        {"\"1\"", .is_text = true},
        {"\"\"", .is_text = true},
        {"\"abc\"", .is_text = true},
        {"\"abcd\""},
        {"\"\\n\""},
        {"\"\\u001b\""},
        {"\"\\u007f\""},
        {"true", .is_boolean = true},
        {"[]", .is_array = true},
        {"[1]", .is_array = true},
        {"[1,2]"},
        {"{}", .is_object = true},
        {"null", .is_null = true},
};

START_TEST(holds_to_types)
{
        _cleanup_json_ json_object *object = NULL;
        char text[64];
        JsonReader reader;

        (void) snprintf(text, sizeof(text), "{\"k\":%s}", values[_i].value);
        object = parse(text);

#define TRY(read, wanted)                                                                                   \
        reader = json_reader_begin(object);                                                                 \
        (void) read;                                                                                        \
        ck_assert_msg((json_reader_finish(&reader) == 0) == (wanted), "%s: %s", text, #read)

        TRY(json_read_unsigned(&reader, "k", 1, 100), values[_i].is_unsigned);
        TRY(json_read_boolean(&reader, "k"), values[_i].is_boolean);
        TRY(json_read_text(&reader, "k", 4), values[_i].is_text);
        TRY(json_read_array(&reader, "k", 0, 1), values[_i].is_array);
        TRY(json_read_object(&reader, "k"), values[_i].is_object);
        TRY(json_read_null(&reader, "k"), values[_i].is_null);
#undef TRY
}
END_TEST

/* json-c makes 0 of what is negative and its own ends of what does not fit; neither may pass for a number.
 */
START_TEST(holds_to_numbers)
{
        static const char *const beyond[] = {
                "{\"k\":-1}",
                "{\"k\":-9223372036854775808}",
                "{\"k\":-99999999999999999999}",
                "{\"k\":18446744073709551616}",
                "{\"k\":99999999999999999999999}",
        };

        for (size_t i = 0; i < ELEMENTSOF(beyond); i++) {
                _cleanup_json_ json_object *object = parse(beyond[i]);
                JsonReader reader = json_reader_begin(object);

                (void) json_read_unsigned(&reader, "k", 0, UINT64_MAX);
                ck_assert_msg(json_reader_finish(&reader) == -EBADMSG, "%s", beyond[i]);
        }
}
END_TEST

START_TEST(reads_no_member_of_nothing)
{
        _cleanup_json_ json_object *array = json_object_new_array();
        JsonReader reader = json_reader_begin(NULL);

        (void) json_read_unsigned(&reader, "a", 0, 1);
        ck_assert_int_eq(json_reader_finish(&reader), -EBADMSG);

        reader = json_reader_begin(array);
        ck_assert(!json_read_null(&reader, "a"));
        ck_assert_int_eq(json_reader_finish(&reader), -EBADMSG);
}
END_TEST

START_TEST(writes)
{
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();
        _cleanup_json_ json_object *object = NULL;
        _cleanup_free_ char *text = NULL;

        json_write_unsigned(&writer, "n", UINT64_MAX - 1);
        json_write_boolean(&writer, "b", false);
        json_write_null(&writer, "z");
        json_write_text(&writer, "t", "a/b\"\\\n\x1b\x7f");
        json_write_text(&writer, "u", "\xc3\xbc");
        json_write_text(&writer, "v", "\xc3.\xff");
        ck_assert_int_eq(json_writer_finish(&writer, &object), 0);
        ck_assert_int_eq(json_text_format(object, 200, &text), 0);
        ck_assert_str_eq(text, "{\"n\":18446744073709551614,\"b\":false,\"z\":null,\"t\":\"a/b\\\"\\\\???\","
                               "\"u\":\"\xc3\xbc\",\"v\":\"?.?\"}\n");
}
END_TEST

START_TEST(writes_no_more_than_allowed)
{
        _cleanup_json_ json_object *object = parse("{\"a\":1}");
        _cleanup_free_ char *text = NULL;

        ck_assert_int_eq(json_text_format(object, 7, &text), -EMSGSIZE);
        ck_assert_int_eq(json_text_format(object, 8, &text), 0);
        ck_assert_str_eq(text, "{\"a\":1}\n");
}
END_TEST

START_TEST(writer_remembers_a_failure)
{
        JsonWriter writer = json_writer_begin();
        json_object *object = NULL;

        json_write_value(&writer, "a", NULL);
        json_write_unsigned(&writer, "b", 1);
        ck_assert_int_eq(json_writer_finish(&writer, &object), -ENOMEM);
        ck_assert_ptr_null(object);
        ck_assert_ptr_null(writer.object);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("json");

        unit_add_table(suite, accepts, good);
        unit_add_table(suite, refuses, bad);
        unit_add(suite, says_where);
        unit_add(suite, survives_nesting);
        unit_add(suite, reads);
        unit_add(suite, notices_leftovers);
        unit_add(suite, keeps_the_first_error);
        unit_add_table(suite, holds_to_types, values);
        unit_add(suite, holds_to_numbers);
        unit_add(suite, reads_no_member_of_nothing);
        unit_add(suite, writes);
        unit_add(suite, writes_no_more_than_allowed);
        unit_add(suite, writer_remembers_a_failure);
        return unit_run(suite);
}
