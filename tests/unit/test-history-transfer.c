/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Rows on their way to another machine: they arrive as they went, once, marked as somebody else's; and a
 * file with one bad line leaves nothing behind.
 */

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "history-world.h"
#include "shared/cleanup.h"

#define HEAD                                                                                                \
        "{\"format\":\"pciresetd-history\",\"version\":2,\"signed_off_by\":\"Ann Admin "                    \
        "<ann@example.org>\"}\n"

static const HistoryFilter everything = {.limit = HISTORY_LIMIT_MAX};

/* What is changed in a line that was good: the first is found and replaced by the second. */
static const struct {
        const char *from, *to, *culprit;
} bad_lines[] = {
        {"{", "[", ""},
        {"}\n", "", ""},
        {"}\n", "} {}\n", ""},
        {"{", "{\"id\":7,", ""},
        {"{", "{\"uid\":7,", ""},
        {"{", "{\"source\":\"own\",", ""},
        {"{", "{\"job\":7,", ""},
        {"\"job\":", "\"jobb\":", "job"},
        {"\"time_usec\":17", "\"time_usec\":-17", "time_usec"},
        {"\"time_usec\":1790000007000021", "\"time_usec\":0", "time_usec"},
        {"\"time_usec\":17", "\"time_usec\":99999999999917", "time_usec"},
        {"\"time_usec\":17", "\"time_usec\":1.7", ""},
        {"\"vendor\":", "\"vendor\":99", "vendor"},
        {"\"class\":", "\"class\":999", "class"},
        {"\"error\":", "\"error\":4096", "error"},
        {"\"address\":\"0000:", "\"address\":\"00000:", "address"},
        {"\"method\":\"", "\"method\":\"X", "method"},
        {"\"verdict\":\"", "\"verdict\":\"un", "verdict"},
        {"\"outcome\":\"", "\"outcome\":\"un", "outcome"},
        {"\"written\":", "\"written\":1,\"x\":", "written"},
        {"\"kernel\":\"",
         "\"kernel\":\"0123456789012345678901234567890123456789012345678901234567890123456789", "kernel"},
        {"\"kernel\":\"", "\"kernel\":\"\\u0007", "kernel"},
        {"\"kernel\":\"", "\"kernel\":\"\xff", ""},
        {"\"kernel\":\"", "\"kernel\":\"\\u0000", ""},
        {"\"checks\":[", "\"checks\":[{}", "checks"},
        {"\"checks\":[", "\"checks\":[[[[[]]]]", ""},
        {"\"checks\":[]", "\"checks\":{}", "checks"},
};

static char *spoiled_line(int i, HistoryRow *row)
{
        _cleanup_free_ char *line = line_of(row);
        char *at = strstr(line, bad_lines[i].from), *spoiled = NULL;

        ck_assert_msg(at != NULL, "%s is not in %s", bad_lines[i].from, line);
        ck_assert_int_ge(asprintf(&spoiled, "%.*s%s%s", (int) (at - line), line, bad_lines[i].to,
                                  at + strlen(bad_lines[i].from)),
                         0);
        return spoiled;
}

START_TEST(bad_lines_are_refused)
{
        HistoryRow row = row_of(7), back;
        _cleanup_free_ char *line = spoiled_line(_i, &row);
        const char *culprit = NULL;

        ck_assert_int_eq(history_line_parse(line, strcspn(line, "\n"), &back, &culprit), -EBADMSG);
        ck_assert_str_eq(culprit, bad_lines[_i].culprit);
        history_row_done(&back);
}
END_TEST

/* From machine to machine */

static int exported = -EBADF;
static uint64_t n_exported;
static HistoryImport imported;

static void on_exported(void *userdata, int error, int fd, uint64_t n_rows)
{
        *(int *) userdata = error;
        exported = fd;
        n_exported = n_rows;
}

/* The caller frees the text. */
static char *export(const HistoryFilter *filter)
{
        int error = 1;
        char path[64], *text;
        size_t n;

        ck_assert_int_eq(
                history_export(hw.history, filter, "Ann Admin <ann@example.org>", on_exported, &error, NULL),
                0);
        await(error != 1);
        ck_assert_int_eq(error, 0);
        ck_assert_int_ge(exported, 0);
        ck_assert_int_eq(lseek(exported, 0, SEEK_CUR), 0);
        /* Nobody can change it, or make it wait. */
        ck_assert_int_eq(fcntl(exported, F_GET_SEALS),
                         F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%i", exported);
        text = read_file(path, &n);
        (void) close(exported);
        return text;
}

static void on_imported(void *userdata, int error, const HistoryImport *import)
{
        imported = *import;
        *(int *) userdata = error;
}

static int import_bytes(const char *text, size_t length)
{
        char *copy = malloc(length + 1);
        int error = 1;

        ck_assert_ptr_nonnull(copy);
        memcpy(copy, text, length);
        ck_assert_int_eq(history_import(hw.history, copy, length, 1000, on_imported, &error, NULL), 0);
        await(error != 1);
        return error;
}

static int import(const char *text)
{
        return import_bytes(text, strlen(text));
}

/* Another machine. */
static void move_on(void)
{
        history_stop();
        (void) snprintf(hw.directory, sizeof(hw.directory), "%s/elsewhere", hw.base);
        history_start();
}

static HistoryRow row_with_checks(unsigned i)
{
        HistoryRow row = row_of(i);
        WorkerCheck check = check_of(i, CHECK_FAILED);
        uint32_t left_out;

        ck_assert_int_eq(history_checks_format(&check, i % 2, &row.checks, &left_out), 0);
        return row;
}

START_TEST(rows_arrive_as_they_went)
{
        _cleanup_free_ char *text = NULL;
        HistoryFilter filter = {.has_source = true, .source = HISTORY_IMPORTED, .limit = HISTORY_LIMIT_MAX};

        for (unsigned i = 0; i < 700; i++) {
                HistoryRow row = row_with_checks(i);

                ck_assert_int_eq(history_add(hw.history, &row, NULL, NULL, NULL), 0);
                history_row_done(&row);
        }
        text = export(&everything);
        ck_assert_uint_eq(n_exported, 700);
        ck_assert(strncmp(text, HEAD, strlen(HEAD)) == 0);

        move_on();
        add_range(2000, 2010);
        ck_assert_int_eq(import(text), 0);
        ck_assert_uint_eq(imported.n_added, 700);
        ck_assert_uint_eq(imported.n_known, 0);
        ck_assert_str_eq(imported.origin, "Ann Admin <ann@example.org>");
        assert_proven_is_true();
        ck_assert_int_eq(ask(&filter), 0);
        ck_assert_uint_eq(hw.n_found, 700);
        for (unsigned i = 0; i < 700; i++) {
                HistoryRow row = row_with_checks(i);

                assert_same(&hw.found[699 - i], &row, false);
                ck_assert_uint_eq(hw.found[i].uid, HISTORY_UID_NONE);
                ck_assert_int_eq(hw.found[i].source, HISTORY_IMPORTED);
                ck_assert_str_eq(hw.found[i].origin, "Ann Admin <ann@example.org>");
                history_row_done(&row);
        }

        /* Once more changes nothing. */
        ck_assert_int_eq(import(text), 0);
        ck_assert_uint_eq(imported.n_added, 0);
        ck_assert_uint_eq(imported.n_known, 700);
        ck_assert_uint_eq(count_rows(), 710);
        assert_proven_is_true();
        history_restart();
        assert_proven_is_true();
}
END_TEST

START_TEST(ones_own_rows_are_known)
{
        _cleanup_free_ char *text = NULL;

        add_range(0, 30);
        text = export(&everything);
        ck_assert_int_eq(import(text), 0);
        ck_assert_uint_eq(imported.n_known, 30);
        ck_assert_uint_eq(count_rows(), 30);
        assert_proven_is_true();
}
END_TEST

/* The same address elsewhere is another device, the same uid another user. */
START_TEST(what_is_elsewhere_is_not_here)
{
        HistoryRow row = row_of(3);
        HistoryFilter at = {.has_address = true, .address = row.address},
                      whose = {.has_uid = true, .uid = row.uid},
                      what = {.has_hardware = true, .vendor = row.vendor, .device = row.device};
        _cleanup_free_ char *text = NULL;

        add_range(3, 4);
        text = export(&everything);
        move_on();
        ck_assert_int_eq(import(text), 0);
        ck_assert_int_eq(ask(&at), 0);
        ck_assert_uint_eq(hw.n_found, 0);
        ck_assert_int_eq(ask(&whose), 0);
        ck_assert_uint_eq(hw.n_found, 0);
        ck_assert_int_eq(ask(&what), 0);
        ck_assert_uint_eq(hw.n_found, 1);
        at.has_source = true;
        at.source = HISTORY_IMPORTED;
        ck_assert_int_eq(ask(&at), 0);
        ck_assert_uint_eq(hw.n_found, 0);
}
END_TEST

/* What the kernel has said is for root of this machine, and an export for everybody. */
START_TEST(lines_of_the_kernel_stay)
{
        _cleanup_free_ char *text = NULL;
        HistoryRow row = row_of(0);

        add_range(0, 2);
        row.event = HISTORY_EVIDENCE;
        row.time_usec++;
        ck_assert_int_gt(add_one(&row), 0);
        text = export(&everything);
        ck_assert_uint_eq(n_exported, 2);
        ck_assert_ptr_null(strstr(text, "evidence"));
}
END_TEST

START_TEST(a_part_can_be_exported)
{
        HistoryFilter filter = {.method = "flr", .has_verdict = true, .verdict = VERDICT_OK};
        _cleanup_free_ char *text = NULL;
        unsigned n_lines = 0;
        int64_t n;

        add_range(0, 900);
        n = sql_number(file_path(HISTORY_FILE),
                       "SELECT count(*) FROM attempt WHERE method = 'flr' AND verdict = 'ok'");
        text = export(&filter);
        for (const char *p = text; (p = strchr(p, '\n')); p++)
                n_lines++;
        ck_assert_int_gt(n, 0);
        ck_assert_int_eq(n_lines, n + 1);
        ck_assert_int_eq((int64_t) n_exported, n);
        ck_assert_ptr_null(strstr(text, "\"bus\""));
}
END_TEST

/* Others need not wait until it is through. */
static unsigned n_found_before;

static void on_found(void *userdata, int error, const HistoryRow *rows, size_t n)
{
        n_found_before += exported < 0;
}

START_TEST(an_export_lets_others_through)
{
        int error = 1;

        add_range(0, 1000);
        ck_assert_int_eq(history_export(hw.history, &everything, "", on_exported, &error, NULL), 0);
        ck_assert_int_eq(history_query(hw.history, &everything, on_found, NULL, NULL), 0);
        await(error != 1);
        ck_assert_uint_eq(n_found_before, 1);
        ck_assert_uint_eq(n_exported, 1000);
        (void) close(exported);
}
END_TEST

START_TEST(a_bad_line_leaves_nothing)
{
        HistoryRow row = row_of(7);
        _cleanup_free_ char *bad = spoiled_line(_i, &row), *text = NULL;
        HistoryRow good = row_of(8);
        _cleanup_free_ char *line = line_of(&good);

        add_range(100, 110);
        ck_assert_int_ge(asprintf(&text, HEAD "%s%s%s", line, bad, bad[strlen(bad) - 1] == '\n' ? line : ""),
                         0);
        ck_assert_int_eq(import(text), -EBADMSG);
        ck_assert_uint_eq(imported.line, 3);
        ck_assert_str_eq(imported.culprit, bad_lines[_i].culprit);
        ck_assert_uint_eq(imported.n_added, 0);
        ck_assert_uint_eq(count_rows(), 10);
        assert_proven_is_true();
        ck_assert_uint_eq(hw.n_news, 0); /* nor is it our file that is bad */
        /* And the next one comes in. */
        free(steal_pointer(text));
        ck_assert_int_ge(asprintf(&text, HEAD "%s", line), 0);
        ck_assert_int_eq(import(text), 0);
        ck_assert_uint_eq(count_rows(), 11);
}
END_TEST

static const struct {
        const char *text;
        size_t line;
} bad_files[] = {
        {"", 1},
        {"\n", 1},
        {"x", 1},
        {"{}\n", 1},
        {"{\"format\":\"pciresetd-history\",\"version\":3,\"signed_off_by\":\"\"}\n", 1},
        {"{\"format\":\"something else\",\"version\":1,\"signed_off_by\":\"\"}\n", 1},
        {"{\"format\":\"pciresetd-history\",\"version\":1}\n", 1},
        {"{\"format\":\"pciresetd-history\",\"version\":1,\"signed_off_by\":\"\",\"x\":1}\n", 1},
        {HEAD "\n", 2},
        {HEAD HEAD, 2},
};

START_TEST(a_bad_file_is_refused)
{
        ck_assert_int_eq(import(bad_files[_i].text), -EBADMSG);
        ck_assert_uint_eq(imported.line, bad_files[_i].line);
        ck_assert_uint_eq(count_rows(), 0);
}
END_TEST

START_TEST(an_empty_history_is_a_history)
{
        _cleanup_free_ char *text = export(&everything);

        ck_assert_str_eq(text, HEAD);
        ck_assert_int_eq(import(text), 0);
        ck_assert_uint_eq(imported.n_added, 0);
}
END_TEST

START_TEST(a_nul_is_no_end)
{
        ck_assert_int_eq(import_bytes(HEAD "\0", sizeof(HEAD)), -EBADMSG);
        ck_assert_uint_eq(imported.line, 2);
}
END_TEST

static void on_never(void *userdata, int error, const HistoryImport *import)
{
        ck_abort_msg("this was refused");
}

static void on_never_found(void *userdata, int error, const HistoryRow *rows, size_t n)
{
        ck_abort_msg("this was cancelled");
}

START_TEST(too_much_is_refused)
{
        char origin[HISTORY_ORIGIN_MAX + 1] = "", *text = malloc(1);
        HistoryCall *calls[HISTORY_TRANSFERS_MAX];
        int error = 1;

        ck_assert_int_eq(
                history_import(hw.history, text, HISTORY_IMPORT_MAX + 1, 1000, on_never, NULL, NULL),
                -EINVAL);
        memset(origin, 'o', HISTORY_ORIGIN_MAX);
        ck_assert_int_eq(history_export(hw.history, &everything, origin, on_exported, &error, NULL),
                         -EINVAL);
        ck_assert_int_eq(history_export(hw.history, &everything, "\xff", on_exported, &error, NULL),
                         -EINVAL);
        /* Two at a time. */
        atomic_store(&fault_vfs.blocked, true);
        ck_assert_int_eq(
                history_add(hw.history, &(HistoryRow){.time_usec = 1, .method = "flr"}, NULL, NULL, NULL),
                0);
        fault_vfs_await_blocked();
        for (unsigned i = 0; i < HISTORY_TRANSFERS_MAX; i++)
                ck_assert_int_eq(history_export(hw.history, &everything, "", on_exported, &error, NULL), 0);
        ck_assert_int_eq(history_export(hw.history, &everything, "", on_exported, &error, NULL), -ENOBUFS);
        /* Which anybody may do; imports are others' business. */
        for (unsigned i = 0; i < HISTORY_TRANSFERS_MAX; i++)
                ck_assert_int_eq(history_import(hw.history, strdup(""), 0, 1000, NULL, NULL, &calls[i]), 0);
        ck_assert_int_eq(history_import(hw.history, text, 1, 1000, on_never, NULL, NULL), -ENOBUFS);
        for (unsigned i = 0; i < HISTORY_TRANSFERS_MAX; i++)
                history_cancel(calls[i]);
        atomic_store(&fault_vfs.blocked, false);
        free(text); /* it was not taken */
        history_stop();
        history_start();
}
END_TEST

/* Who asks and leaves takes no place from others, however often; and what he has asked for is not made. */
START_TEST(places_of_those_who_left)
{
        HistoryRow row = row_of(0);
        HistoryCall *call;
        int error = 1;

        atomic_store(&fault_vfs.blocked, true);
        ck_assert_int_eq(history_add(hw.history, &row, NULL, NULL, NULL), 0);
        fault_vfs_await_blocked();
        for (unsigned i = 0; i < 2 * HISTORY_CALLS_MAX; i++) {
                ck_assert_int_eq(history_query(hw.history, &everything, on_never_found, NULL, &call), 0);
                ck_assert_ptr_null(history_cancel(call));
                ck_assert_int_eq(history_export(hw.history, &everything, "", on_exported, &error, &call), 0);
                ck_assert_ptr_null(history_cancel(call));
                /* The loop has to hear of it, while the disk still hangs. */
                history_run_once();
        }
        atomic_store(&fault_vfs.blocked, false);
        ck_assert_int_eq(ask(&everything), 0);
        ck_assert_uint_eq(hw.n_found, 1);
        ck_assert_int_eq(error, 1);
}
END_TEST

/* The disk fails in the middle. */
START_TEST(an_import_that_fails_leaves_nothing)
{
        _cleanup_free_ char *text = NULL;

        add_range(0, 500);
        text = export(&everything);
        move_on();
        add_range(1000, 1005);
        atomic_store(&fault_vfs.write_error, SQLITE_FULL);
        ck_assert_int_eq(import(text), -ENOSPC);
        ck_assert_uint_eq(imported.line, 0);
        atomic_store(&fault_vfs.write_error, 0);
        assert_proven_is_true();
        add_range(1005, 1010);
        ck_assert_uint_eq(count_rows(), 10);
        ck_assert_int_eq(import(text), 0);
        ck_assert_uint_eq(count_rows(), 510);
        assert_proven_is_true();
}
END_TEST

START_TEST(imports_keep_to_the_bounds)
{
        _cleanup_free_ char *text = NULL;

        add_range(0, 600);
        text = export(&everything);
        move_on();
        history_stop();
        hw.config.limits.rows = 100;
        history_start();
        add_range(1000, 1050);
        ck_assert_int_eq(import(text), 0);
        while (count_rows() > 100) /* in small steps, and by itself */
                (void) usleep(1000);
        ck_assert_int_eq(
                sql_number(file_path(HISTORY_FILE), "SELECT count(*) FROM attempt WHERE job >= 1000"), 50);
        ck_assert_int_eq(ask(&everything), 0);
        assert_proven_is_true();
}
END_TEST

static Suite *history_transfer_suite(void)
{
        Suite *suite = suite_create("history-transfer");
        TCase *tcase = tcase_create("history-transfer");

        unit_add_table(suite, bad_lines_are_refused, bad_lines);

        tcase_add_checked_fixture(tcase, history_world_setup, history_world_teardown);
        tcase_set_timeout(tcase, 120);
        tcase_add_test(tcase, rows_arrive_as_they_went);
        tcase_add_test(tcase, ones_own_rows_are_known);
        tcase_add_test(tcase, what_is_elsewhere_is_not_here);
        tcase_add_test(tcase, lines_of_the_kernel_stay);
        tcase_add_test(tcase, a_part_can_be_exported);
        tcase_add_test(tcase, an_export_lets_others_through);
        tcase_add_loop_test(tcase, a_bad_line_leaves_nothing, 0, (int) ELEMENTSOF(bad_lines));
        tcase_add_loop_test(tcase, a_bad_file_is_refused, 0, (int) ELEMENTSOF(bad_files));
        tcase_add_test(tcase, an_empty_history_is_a_history);
        tcase_add_test(tcase, a_nul_is_no_end);
        tcase_add_test(tcase, too_much_is_refused);
        tcase_add_test(tcase, places_of_those_who_left);
        tcase_add_test(tcase, an_import_that_fails_leaves_nothing);
        tcase_add_test(tcase, imports_keep_to_the_bounds);
        suite_add_tcase(suite, tcase);
        return suite;
}

int main(void)
{
        return unit_run(history_transfer_suite());
}
