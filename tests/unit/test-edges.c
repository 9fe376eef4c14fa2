/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Edges from policy files: which files count, what they declare, and that nothing in them is passed over:
 * whatever is wrong is an error that says where. With real folders.
 */

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/system/dropins.h"
#include "daemon/system/edges.h"
#include "daemon/system/policy-load.h"
#include "shared/cleanup.h"
#include "unit.h"
#include "world.h"

#define A "0000:01:00.0"
#define B "0000:02:00.0"
#define C "0000:03:00.0"
#define D "0000:04:00.0"

/* Of rank: the highest first. */
static char base[] = "/tmp/test-edges.XXXXXX";
static char paths[3][64];
static const char *directories[] = {paths[0], paths[1], paths[2], NULL};
static World world;
static char *message;

static void setup(void)
{
        static const char *const devices[] = {A, B, C, D};

        ck_assert_ptr_nonnull(mkdtemp(base));
        for (size_t i = 0; i < 3; i++) {
                (void) snprintf(paths[i], sizeof(paths[i]), "%s/%zu", base, i);
                ck_assert_int_eq(mkdir(paths[i], 0755), 0);
        }
        world_init(&world);
        for (size_t i = 0; i < ELEMENTSOF(devices); i++)
                (void) world_add(&world, devices[i], NULL, "", "flr");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        return remove(path);
}

static void teardown(void)
{
        free(message);
        world_done(&world);
        (void) nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *path_of(size_t directory, const char *name)
{
        static char path[256];

        (void) snprintf(path, sizeof(path), "%s/%s", paths[directory], name);
        return path;
}

static void put_bytes(size_t directory, const char *name, const char *data, size_t size)
{
        FILE *file = fopen(path_of(directory, name), "we");

        ck_assert_ptr_nonnull(file);
        ck_assert_uint_eq(fwrite(data, 1, size, file), size);
        ck_assert_int_eq(fclose(file), 0);
}

static void put(size_t directory, const char *name, const char *text)
{
        put_bytes(directory, name, text, strlen(text));
}

static void put_edge(size_t directory, const char *name, const char *a, const char *b)
{
        char text[128];

        (void) snprintf(text, sizeof(text), "{\"edges\": [{\"devices\": [\"%s\", \"%s\"]}]}\n", a, b);
        put(directory, name, text);
}

static int load(void)
{
        free(message);
        message = NULL;
        return policy_load(directories, world.registry, NULL, &message);
}

static bool are_tied(const char *a, const char *b)
{
        Device *device = world_find(&world, a), *other;
        size_t cursor = 0;

        while ((other = registry_next_edge(world.registry, device, &cursor)))
                if (other == world_find(&world, b))
                        return true;
        return false;
}

/* It fails, and the message has both words. */
static void expect_refused(int error, const char *place, const char *rule)
{
        ck_assert_int_eq(load(), error);
        ck_assert_ptr_nonnull(message);
        ck_assert_msg(strstr(message, place), "no '%s' in: %s", place, message);
        ck_assert_msg(strstr(message, rule), "no '%s' in: %s", rule, message);
        for (const char *p = message; *p; p++)
                ck_assert_int_ge((unsigned char) *p, ' ');
}

/* ---- which files ---- */

START_TEST(nothing_is_declared)
{
        ck_assert_int_eq(load(), 0);
        ck_assert_ptr_null(message);
        ck_assert_int_eq(rmdir(paths[0]) | rmdir(paths[1]) | rmdir(paths[2]), 0);
        ck_assert_int_eq(load(), 0);
        ck_assert(!are_tied(A, B));
}
END_TEST

START_TEST(folders_add_up)
{
        put_edge(0, "50-a.json", A, B);
        put_edge(1, "50-b.json", B, C);
        put_edge(2, "50-c.json", C, D);
        ck_assert_int_eq(load(), 3);
        ck_assert(are_tied(A, B) && are_tied(B, A) && are_tied(B, C) && are_tied(C, D));
        ck_assert(!are_tied(A, C) && !are_tied(A, D));
}
END_TEST

START_TEST(higher_rank_replaces)
{
        put_edge(0, "50.json", A, B);
        put(1, "50.json", "broken");
        put(2, "50.json", "broken");
        put_edge(1, "60.json", B, C);
        put_edge(2, "60.json", A, D);
        ck_assert_int_eq(load(), 2);
        ck_assert(are_tied(A, B) && are_tied(B, C) && !are_tied(A, D));
}
END_TEST

START_TEST(null_replaces_by_nothing)
{
        put_edge(2, "50.json", A, B);
        put_edge(2, "60.json", B, C);
        put_edge(2, "70.json", C, D);
        ck_assert_int_eq(symlink("/dev/null", path_of(0, "50.json")), 0);
        put(0, "60.json", "{}\n");
        ck_assert_int_eq(load(), 1);
        ck_assert(!are_tied(A, B) && !are_tied(B, C) && are_tied(C, D));
}
END_TEST

/* The first in the order of names is read first, whichever folder it is in. */
START_TEST(order_is_by_name)
{
        put(2, "10.json", "first");
        put(0, "20.json", "second");
        expect_refused(-EBADMSG, path_of(2, "10.json"), "line 1");
        ck_assert_int_eq(unlink(path_of(2, "10.json")), 0);
        put(2, "30.json", "third");
        expect_refused(-EBADMSG, path_of(0, "20.json"), "line 1");
}
END_TEST

START_TEST(other_names_do_not_count)
{
        static const char *const names[] = {".json",   ".50.json", "50.json~", "50.json.dpkg-old",
                                            "50.JSON", "README",   "50json"};

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                put(0, names[i], "broken");
        ck_assert_int_eq(load(), 0);
}
END_TEST

START_TEST(links_are_followed)
{
        put_edge(2, "elsewhere", A, B);
        ck_assert_int_eq(symlink("../2/elsewhere", path_of(0, "50.json")), 0);
        ck_assert_int_eq(load(), 1);
        ck_assert(are_tied(A, B));
}
END_TEST

/* ---- what cannot be read ---- */

START_TEST(no_file)
{
        ck_assert_int_eq(mkdir(path_of(1, "50.json"), 0755), 0);
        expect_refused(-EBADMSG, path_of(1, "50.json"), "neither a file");
        ck_assert_int_eq(rmdir(path_of(1, "50.json")), 0);
        /* Which nobody writes to. */
        ck_assert_int_eq(mkfifo(path_of(1, "50.json"), 0644), 0);
        expect_refused(-EBADMSG, path_of(1, "50.json"), "neither a file");
        ck_assert_int_eq(unlink(path_of(1, "50.json")), 0);
        ck_assert_int_eq(symlink("/dev/zero", path_of(1, "50.json")), 0);
        expect_refused(-EBADMSG, path_of(1, "50.json"), "neither a file");
        ck_assert_int_eq(unlink(path_of(1, "50.json")), 0);
        ck_assert_int_eq(symlink("nowhere", path_of(1, "50.json")), 0);
        expect_refused(-ENOENT, path_of(1, "50.json"), "cannot be opened");
}
END_TEST

START_TEST(no_folder)
{
        ck_assert_int_eq(rmdir(paths[1]), 0);
        put(2, "plain", "text");
        ck_assert_int_eq(symlink("2/plain", paths[1]), 0);
        expect_refused(-ENOTDIR, paths[1], "folder");
}
END_TEST

/* As a crash leaves it. Not the same as a file that was replaced by nothing. */
START_TEST(empty_file)
{
        put_edge(2, "50.json", A, B);
        put(0, "50.json", "");
        expect_refused(-EBADMSG, path_of(0, "50.json"), "/dev/null");
}
END_TEST

static void put_padded(size_t size)
{
        char *text = malloc(size);
        static const char edge[] = "{\"edges\":[{\"devices\":[\"" A "\",\"" B "\"]}]}";

        ck_assert_ptr_nonnull(text);
        memset(text, ' ', size);
        memcpy(text, edge, strlen(edge));
        put_bytes(0, "50.json", text, size);
        free(text);
}

START_TEST(size_is_bounded)
{
        put_padded(DROPIN_SIZE_MAX + 1);
        expect_refused(-EFBIG, path_of(0, "50.json"), "larger than 1048576");
        ck_assert(!are_tied(A, B));
        put_padded(DROPIN_SIZE_MAX);
        ck_assert_int_eq(load(), 1);
        ck_assert(are_tied(A, B));
}
END_TEST

START_TEST(number_of_files_is_bounded)
{
        for (size_t i = 0; i < DROPINS_MAX; i++) {
                char name[32];

                (void) snprintf(name, sizeof(name), "%03zu.json", i);
                put(i % 2, name, "{}");
        }
        ck_assert_int_eq(load(), 0);
        put(2, "zz.json", "{}");
        expect_refused(-E2BIG, paths[2], "256");
}
END_TEST

/* ---- what they say ---- */

/* Each with each: the second may not be there, and the others are tied all the same. */
START_TEST(many_devices)
{
        put(0, "50.json",
            "{\"edges\": [{\"reason\": \"one board\", \"devices\": [\"" A "\", \"0000:99:00.0\", \"" C
            "\", \"" D "\"]}]}");
        ck_assert_int_eq(load(), 6);
        ck_assert(are_tied(A, C) && are_tied(A, D) && are_tied(C, D) && !are_tied(A, B));
        (void) world_add(&world, "0000:99:00.0", NULL, "", "flr");
        ck_assert(are_tied(A, "0000:99:00.0") && are_tied("0000:99:00.0", D));
}
END_TEST

START_TEST(the_same_again)
{
        put_edge(0, "50.json", A, B);
        put(1, "60.json",
            "{\"edges\": [{\"devices\":[\"" B "\",\"" A "\"]}, {\"devices\":[\"" A "\",\"" B "\"]}]}");
        ck_assert_int_eq(load(), 3);
        ck_assert(are_tied(A, B));
}
END_TEST

/* `many` groups of as many devices as there may be, and one more edge if `and_one`. */
static void put_groups(size_t many, bool and_one)
{
        FILE *file = fopen(path_of(0, "50.json"), "we");

        ck_assert_ptr_nonnull(file);
        (void) fprintf(file, "{\"edges\":[");
        for (size_t i = 0; i < many; i++) {
                (void) fprintf(file, "%s{\"devices\":[", i ? "," : "");
                for (size_t j = 0; j < EDGE_DEVICES_MAX; j++)
                        (void) fprintf(file, "%s\"%04zx:10:%02zx.0\"", j ? "," : "", i, j);
                (void) fprintf(file, "]}");
        }
        for (size_t i = 0;
             i < EDGE_PAIRS_MAX - many * (EDGE_DEVICES_MAX * (EDGE_DEVICES_MAX - 1) / 2) + and_one; i++)
                (void) fprintf(file, ",{\"devices\":[\"" A "\",\"" B "\"]}");
        (void) fprintf(file, "]}\n");
        ck_assert_int_eq(fclose(file), 0);
}

START_TEST(number_of_pairs_is_bounded)
{
        put_groups(8, false);
        ck_assert_int_eq(load(), EDGE_PAIRS_MAX);
        put_groups(8, true);
        expect_refused(-EBADMSG, path_of(0, "50.json"), "4096");
}
END_TEST

#define PAIR "[\"" A "\",\"" B "\"]"
#define TEN  "xxxxxxxxxx"
#define LONG                                                                                                \
        TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN \
                "x"                                                                                         \
                "xxxx"
#define DEVICE33                                                                                            \
        "\"0:0\",\"0:0\",\"0:0\",\"0:0\",\"0:0\",\"0:0\",\"0:0\",\"0:0\",\"0:0\",\"0:0\",\"0:0\","          \
        "\"0:0\",\"0:0\",\"0:0\",\"0:0\",\"0:0\",\"0:0\",\"0:0\",\"0:0\",\"0:0\",\"0:0\",\"0:0\","          \
        "\"0:0\",\"0:0\",\"0:0\",\"0:0\",\"0:0\",\"0:0\",\"0:0\",\"0:0\",\"0:0\",\"0:0\",\"0:0\""

static const struct {
        const char *text;
        const char *place, *rule;
        size_t size; /* 0: up to its NUL */
} wrong[] = {
        /* no JSON */
        {"x", "line 1, column 1", "JSON object"},
        {" \n\n", "line 3, column 1", "JSON object"},
        {"[]", "line 1", "JSON object"},
        {"{\n  \"edges\": [\n    {\"devices\": " PAIR " \"reason\": \"\"}\n]}", "line 3, column 49", "JSON"},
        {"{\"edges\": []} {}", "line 1, column 15", "JSON object"},
        {"{\"edges\": [],}", "line 1, column 14", "JSON object"},
        {"{\"edges\": [{\"devices\": " PAIR "}]", "line 1", "JSON object"},
        {"{} // a comment", "line 1, column 4", "JSON object"},
        {"{\n\"edges\": []}\0", "line 2, column 13", "JSON object", 15},
        {"{\"edges\": [{\"devices\": " PAIR ", \"reason\": \"\\u0000\"}]}", "line 1", "JSON object"},
        {"{\"edges\": [{\"devices\": " PAIR ", \"reason\": \"\xff\"}]}", "line 1", "UTF-8"},
        {"{\"edges\": [[[[[[[]]]]]]]}", "line 1", "nested"},
        /* keys */
        {"{\"edges\": [], \"edges\": []}", "line 1, column 15", "a key is there twice"},
        {"{\"edges\": [{\"devices\": " PAIR ", \"devices\": " PAIR "}]}",
         "50.json: ", "a key is there twice"},
        {"{\"edge\": []}", "unknown key \"edge\"", "\"edges\" only"},
        {"{\"edges\": [], \"rules\": []}", "unknown key \"rules\"", "\"edges\" only"},
        {"{\"a\\nb\\u001b[1m\": []}", "unknown key \"a", "\"edges\" only"},
        {"{\"edges\": [{\"devices\": " PAIR ", \"why\": \"\"}]}", "edges[0]: unknown key \"why\"", "reason"},
        /* types */
        {"{\"edges\": {}}", "\"edges\"", "must be a list"},
        {"{\"edges\": null}", "\"edges\"", "must be a list"},
        {"{\"edges\": [{\"devices\": " PAIR "}, " PAIR "]}", "edges[1]", "not an object"},
        {"{\"edges\": [null]}", "edges[0]", "not an object"},
        {"{\"edges\": [{}]}", "edges[0]: \"devices\"", "list of 2 to 32"},
        {"{\"edges\": [{\"devices\": \"" A "\"}]}", "edges[0]: \"devices\"", "list of 2 to 32"},
        {"{\"edges\": [{\"devices\": []}]}", "edges[0]: \"devices\"", "list of 2 to 32"},
        {"{\"edges\": [{\"devices\": [\"" A "\"]}]}", "edges[0]: \"devices\"", "list of 2 to 32"},
        {"{\"edges\": [{\"devices\": [" DEVICE33 "]}]}", "edges[0]: \"devices\"", "list of 2 to 32"},
        {"{\"edges\": [{\"devices\": " PAIR ", \"reason\": 1}]}", "edges[0]: \"reason\"", "text"},
        {"{\"edges\": [{\"devices\": " PAIR ", \"reason\": null}]}", "edges[0]: \"reason\"", "text"},
        {"{\"edges\": [{\"devices\": " PAIR ", \"reason\": \"a\\nb\"}]}", "edges[0]: \"reason\"", "control"},
        {"{\"edges\": [{\"devices\": " PAIR ", \"reason\": \"" LONG "x\"}]}", "edges[0]: \"reason\"", "255"},
        /* addresses */
        {"{\"edges\": [{\"devices\": [\"" A "\", 2]}]}", "edges[0].devices[1]", "by address"},
        {"{\"edges\": [{\"devices\": [\"" A "\", \"02:00.0\"]}]}", "devices[1]: \"02:00.0\"",
         "0000:01:00.0"},
        {"{\"edges\": [{\"devices\": [\"0000:0A:00.0\", \"" A "\"]}]}", "devices[0]: \"0000:0A",
         "lower case"},
        {"{\"edges\": [{\"devices\": [\"" A "\", \"*\"]}]}", "devices[1]: \"*\"", "address"},
        {"{\"edges\": [{\"devices\": [\"" A "\", \"" B " \"]}]}", "edges[0].devices[1]", "address"},
        {"{\"edges\": [{\"devices\": [\"" A "\", \"" LONG "\"]}]}", "edges[0].devices[1]", "address"},
        {"{\"edges\": [{\"devices\": [\"" A "\", \"" B "\", \"" A "\"]}]}", "edges[0].devices[2]", "[0]"},
};

START_TEST(is_refused)
{
        put_bytes(1, "50.json", wrong[_i].text, wrong[_i].size ? wrong[_i].size : strlen(wrong[_i].text));
        expect_refused(-EBADMSG, path_of(1, "50.json"), "");
        expect_refused(-EBADMSG, wrong[_i].place, wrong[_i].rule);
        ck_assert_uint_lt(strlen(message), 400);
}
END_TEST

START_TEST(longest_reason)
{
        put(0, "50.json", "{\"edges\": [{\"devices\": " PAIR ", \"reason\": \"" LONG "\"}]}");
        ck_assert_uint_eq(strlen(LONG), EDGE_REASON_MAX - 1);
        ck_assert_int_eq(load(), 1);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("edges");
        TCase *tcase = tcase_create("edges");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, nothing_is_declared);
        tcase_add_test(tcase, folders_add_up);
        tcase_add_test(tcase, higher_rank_replaces);
        tcase_add_test(tcase, null_replaces_by_nothing);
        tcase_add_test(tcase, order_is_by_name);
        tcase_add_test(tcase, other_names_do_not_count);
        tcase_add_test(tcase, links_are_followed);
        tcase_add_test(tcase, no_file);
        tcase_add_test(tcase, no_folder);
        tcase_add_test(tcase, empty_file);
        tcase_add_test(tcase, size_is_bounded);
        tcase_add_test(tcase, number_of_files_is_bounded);
        tcase_add_test(tcase, many_devices);
        tcase_add_test(tcase, the_same_again);
        tcase_add_test(tcase, number_of_pairs_is_bounded);
        tcase_add_test(tcase, longest_reason);
        tcase_add_loop_test(tcase, is_refused, 0, (int) ELEMENTSOF(wrong));
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
