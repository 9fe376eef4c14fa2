/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Places of values in texts, and of faults that json-c does not tell the place of.
 */

#include "shared/json-place.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"

#define DEPTH 8

static json_object *parse(const char *text)
{
        json_object *root = NULL;

        ck_assert_msg(json_text_parse(text, strlen(text), DEPTH, NULL, &root) == 0, "%s", text);
        return root;
}

/* Each `@` is taken out; the first was where the place is to be found. */
static size_t take_out_mark(const char *marked, char *text)
{
        size_t at = strcspn(marked, "@");

        memcpy(text, marked, at);
        strcpy(text + at, marked + at + 1);
        return at;
}

/* ---- places ---- */

static const struct {
        const char *text; /* with a mark */
        const char *path; /* json-c's pointer to the container; empty: the root */
        JsonPart part;
        const char *key;
        size_t index;
} places[] = {
        {"@{}", "", JSON_PART_ITSELF, NULL, 0},
        {" \n\t @{\"a\":1}", "", JSON_PART_ITSELF, NULL, 0},
        {"{@\"a\": 1}", "", JSON_PART_KEY, "a", 0},
        {"{\"a\": @1}", "", JSON_PART_VALUE, "a", 0},
        {"{\"a\"\n :\n @null}", "", JSON_PART_VALUE, "a", 0},
        {"{\"a\": -1, \"b\" :@true}", "", JSON_PART_VALUE, "b", 0},
        {"{\"a\": \"}]\\\"{,:\", \"b\":@\"\"}", "", JSON_PART_VALUE, "b", 0},
        {"{\"a\": \"\\\\\", \"b\":@\"\"}", "", JSON_PART_VALUE, "b", 0},
        {"{\"a\": [1, @{}, 3]}", "/a", JSON_PART_ELEMENT, NULL, 1},
        {"{\"a\": [null, false, @null]}", "/a", JSON_PART_ELEMENT, NULL, 2},
        {"{\"a\": [[], [[]], {}, [1,2,@3]]}", "/a/3", JSON_PART_ELEMENT, NULL, 2},
        {"{\"a\": @[1]}", "/a", JSON_PART_ITSELF, NULL, 0},
        {"{\"a\": {\"a\": {@\"a\": 1}}}", "/a/a", JSON_PART_KEY, "a", 0},
        {"{\"x\": {\"a\": 1}, \"y\": {\"a\": @1}}", "/y", JSON_PART_VALUE, "a", 0},
        {"{\"x\": [{\"a\": 1}, {\"b\": {}, \"a\": @{}}]}", "/x/1", JSON_PART_VALUE, "a", 0},
        {"{\"\\u0062\": 1, @\"\\u0061\": 2, \"c\": 3}", "", JSON_PART_KEY, "a", 0},
        {"{\"\": [], \"a\":\r\n\r\n@[]}", "", JSON_PART_VALUE, "a", 0},
        {"{\"\xc3\xa4\": 1, @\"b\": 1}", "", JSON_PART_KEY, "b", 0},
        {"{\"n\": null, \"m\": [null], \"o\": {\"p\": null}, \"a\":@null}", "", JSON_PART_VALUE, "a", 0},
        {"{\"n\": 12345678901234567890123, \"a\":@7}", "", JSON_PART_VALUE, "a", 0},
};

START_TEST(place)
{
        char text[256];
        size_t at = take_out_mark(places[_i].text, text);
        _cleanup_json_ json_object *root = parse(text);
        JsonPlace wanted = {.part = places[_i].part, .key = places[_i].key, .index = places[_i].index};
        JsonPosition position, expected = json_position_at(text, at);
        json_object *container = root;

        if (places[_i].path[0] != '\0')
                ck_assert_int_eq(json_pointer_get(root, places[_i].path, &container), 0);
        wanted.container = container;
        ck_assert_int_eq(json_place_find(text, strlen(text), root, &wanted, &position), 0);
        ck_assert_uint_eq(position.line, expected.line);
        ck_assert_uint_eq(position.column, expected.column);
}
END_TEST

START_TEST(place_that_is_not_there)
{
        static const char text[] = "{\"a\": [1, {\"b\": 2}]}";
        _cleanup_json_ json_object *root = parse(text), *other = parse(text);
        JsonPosition position;

        ck_assert_int_eq(json_place_find(text, strlen(text), root,
                                         &(JsonPlace){.container = root, .part = JSON_PART_KEY, .key = "b"},
                                         &position),
                         -ENOENT);
        ck_assert_int_eq(
                json_place_find(text, strlen(text), root, &(JsonPlace){.container = other}, &position),
                -ENOENT);
        /* A text that is not the tree's: cut at any place, or without its brackets. */
        for (size_t length = 0; length < strlen(text); length++)
                (void) json_place_find(text, length, root, &(JsonPlace){.container = other}, &position);
        ck_assert_int_eq(json_place_find("\"\\", 2, root, &(JsonPlace){.container = other}, &position),
                         -ENOENT);
}
END_TEST

/* Walks a tree and asks for the place of everything in it. */
static void find_all(const char *text, json_object *root, json_object *value)
{
        JsonPosition position;

        if (json_object_is_type(value, json_type_array))
                for (size_t i = 0; i < json_object_array_length(value); i++) {
                        JsonPlace element = {.container = value, .part = JSON_PART_ELEMENT, .index = i};

                        ck_assert_int_eq(json_place_find(text, strlen(text), root, &element, &position), 0);
                        find_all(text, root, json_object_array_get_idx(value, i));
                }
        if (!json_object_is_type(value, json_type_object))
                return;
        json_object_object_foreach(value, key, child)
        {
                JsonPlace member = {.container = value, .part = JSON_PART_VALUE, .key = key};
                size_t at;

                ck_assert_int_eq(json_place_find(text, strlen(text), root, &member, &position), 0);
                /* Random texts are one line, and every number in them is another. */
                at = position.column - 1;
                if (json_object_is_type(child, json_type_int))
                        ck_assert_int_eq(atoi(text + at), json_object_get_int(child));
                find_all(text, root, child);
        }
}

static unsigned seed, counter;

static void print_random(FILE *f, unsigned depth)
{
        static const char *const words[] = {"null", "true", "\"\"", "\"{\\\"[\\\\\"", "[]", "{}"};
        unsigned kind = (unsigned) rand_r(&seed) % 4, n = (unsigned) rand_r(&seed) % 4;

        if (depth == 0 || kind == 0) {
                fputs(words[(unsigned) rand_r(&seed) % ELEMENTSOF(words)], f);
        } else if (kind == 1) {
                fprintf(f, "%u", counter++);
        } else {
                fputc(kind == 2 ? '{' : '[', f);
                for (unsigned i = 0; i < n; i++) {
                        fputs(i > 0 ? " , " : " ", f);
                        if (kind == 2)
                                fprintf(f, "\"k\\\"%u\" :", counter++);
                        print_random(f, depth - 1);
                }
                fputc(kind == 2 ? '}' : ']', f);
        }
}

START_TEST(random_texts)
{
        for (seed = 1; seed < 300; seed++) {
                _cleanup_free_ char *text = NULL;
                _cleanup_json_ json_object *root = NULL;
                size_t size;
                FILE *f = open_memstream(&text, &size);
                unsigned first = seed;

                fputs("{\"root\": ", f);
                print_random(f, DEPTH - 2);
                fputs("}", f);
                ck_assert_int_eq(fclose(f), 0);
                root = parse(text);
                find_all(text, root, root);
                seed = first;
        }
}
END_TEST

/* ---- faults ---- */

static const struct {
        const char *text; /* with a mark; without one there is no fault */
        JsonFault fault;
} faults[] = {
        {"{}", JSON_FAULT_NONE},
        {"{\"a\": [1, -2, null, true, false, \"1.5\"], \"b\": {\"a\": 1}}", JSON_FAULT_NONE},
        {"{\"a\": 1, @\"a\": 1}", JSON_FAULT_KEY_TWICE},
        {"{\"a\": 1, \"b\": {}, @\"\\u0061\": 1, \"b\": 1}", JSON_FAULT_KEY_TWICE},
        {"{\"b\": {\"a\": 1}, \"c\": [{\"a\": 1,\n @\"a\": 1}]}", JSON_FAULT_KEY_TWICE},
        {"{\"a\": null, @\"a\": null}", JSON_FAULT_KEY_TWICE},
        {"{\"a\": @1.5}", JSON_FAULT_NUMBER},
        {"{\"a\": [1, @1e3]}", JSON_FAULT_NUMBER},
        {"{\"a\": [1, [@NaN]]}", JSON_FAULT_NUMBER},
        {"{\"a\": @-Infinity}", JSON_FAULT_NUMBER},
        {"{\"a\": @0.0, \"a\": 1}", JSON_FAULT_NUMBER},
        {"{\"a\": 1, @\"a\": 0.5}", JSON_FAULT_KEY_TWICE},
};

START_TEST(fault)
{
        char text[256];
        bool marked = strchr(faults[_i].text, '@') != NULL;
        size_t at = marked ? take_out_mark(faults[_i].text, text) : 0;
        JsonPosition position = {}, expected = {};
        json_object *root = NULL;
        JsonFault found;

        if (marked)
                expected = json_position_at(text, at);
        else
                strcpy(text, faults[_i].text);
        ck_assert_int_eq(json_fault_find(text, strlen(text), DEPTH, &found, &position), 0);
        ck_assert_int_eq(found, faults[_i].fault);
        ck_assert_uint_eq(position.line, expected.line);
        ck_assert_uint_eq(position.column, expected.column);
        /* The parser is of the same opinion, and gives no place. */
        ck_assert_int_eq(json_text_parse(text, strlen(text), DEPTH, &position, &root),
                         marked ? -EBADMSG : 0);
        ck_assert_uint_eq(position.line, 0);
        json_object_put(root);
}
END_TEST

/* Of no good grammar: nothing is promised but an end. */
START_TEST(broken_texts)
{
        static const char *const texts[] = {
                "",   "{",  "[[[[[[[[[[[[[[",     "{\"a", "{\"a\\",          "\"",
                "{]", "[}", "{\"a\" \"b\" \"c\"", ",,,",  "{\"a\":{\"a\":{", "]]]]"};

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                JsonPosition position;
                JsonFault found;

                (void) json_fault_find(texts[i], strlen(texts[i]), DEPTH, &found, &position);
        }
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("json-place");

        unit_add_table(suite, place, places);
        unit_add(suite, place_that_is_not_there);
        unit_add(suite, random_texts);
        unit_add_table(suite, fault, faults);
        unit_add(suite, broken_texts);
        return unit_run(suite);
}
