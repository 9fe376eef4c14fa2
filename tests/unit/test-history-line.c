/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Rows as lines of JSON, and the checks in them: whatever can be stored comes back.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "history-world.h"
#include "shared/cleanup.h"

/* Checks */

static void assert_same_check(const WorkerCheck *a, const WorkerCheck *b)
{
        ck_assert(pci_address_equal(&a->device, &b->device));
        ck_assert_str_eq(a->check, b->check);
        ck_assert_int_eq(a->result, b->result);
        ck_assert_str_eq(a->before, b->before);
        ck_assert_str_eq(a->after, b->after);
}

START_TEST(checks_come_back)
{
        WorkerCheck checks[20], *back = NULL;
        _cleanup_free_ char *text = NULL;
        uint32_t left_out = 1;
        size_t n = 0;

        for (unsigned i = 0; i < ELEMENTSOF(checks); i++)
                checks[i] = check_of(i, (CheckResult) (i % 3));
        ck_assert_int_eq(history_checks_format(checks, ELEMENTSOF(checks), &text, &left_out), 0);
        ck_assert_uint_eq(left_out, 0);
        ck_assert_int_eq(history_checks_parse(text, &back, &n), 0);
        ck_assert_uint_eq(n, ELEMENTSOF(checks));
        for (unsigned i = 0; i < n; i++)
                assert_same_check(&checks[i], &back[i]);
        free(back);
}
END_TEST

START_TEST(no_checks_are_none)
{
        WorkerCheck *back = NULL;
        _cleanup_free_ char *text = NULL;
        uint32_t left_out = 1;
        size_t n = 1;

        ck_assert_int_eq(history_checks_format(NULL, 0, &text, &left_out), 0);
        ck_assert_str_eq(text, "[]");
        ck_assert_uint_eq(left_out, 0);
        ck_assert_int_eq(history_checks_parse(text, &back, &n), 0);
        ck_assert_uint_eq(n, 0);
        ck_assert_int_eq(history_checks_parse(NULL, &back, &n), 0);
        ck_assert_uint_eq(n, 0);
        ck_assert_ptr_null(back);
}
END_TEST

/* Of hundreds of devices, those count that failed. */
START_TEST(of_too_many_checks_the_failed_ones_are_kept)
{
        static WorkerCheck checks[WORKER_CHECKS_MAX];
        WorkerCheck *back = NULL;
        _cleanup_free_ char *text = NULL;
        uint32_t left_out = 0;
        size_t n = 0;

        for (unsigned i = 0; i < ELEMENTSOF(checks); i++)
                checks[i] = check_of(i % 256, i % 1000 == 999 ? CHECK_FAILED : CHECK_OK);
        ck_assert_int_eq(history_checks_format(checks, ELEMENTSOF(checks), &text, &left_out), 0);
        ck_assert_uint_lt(strlen(text), HISTORY_CHECKS_MAX);
        ck_assert_int_eq(history_checks_parse(text, &back, &n), 0);
        ck_assert_uint_eq(n + left_out, ELEMENTSOF(checks));
        ck_assert_uint_gt(n, 50);
        for (unsigned i = 0; i < 8; i++)
                assert_same_check(&back[i], &checks[i * 1000 + 999]);
        assert_same_check(&back[8], &checks[0]);
        free(back);
}
END_TEST

static const char *const bad_checks[] = {
        "{}",
        "[",
        "[1]",
        "[{}]",
        "[]}",
        "[],\"x\":[]",
        "[{\"device\":\"0000:01:00.0\",\"check\":\"ids\",\"result\":\"fine\",\"before\":\"\",\"after\":\"\"}"
        "]",
};

START_TEST(bad_checks_are_refused)
{
        WorkerCheck *back = NULL;
        size_t n = 0;

        ck_assert_int_eq(history_checks_parse(bad_checks[_i], &back, &n), -EBADMSG);
        ck_assert_ptr_null(back);
        ck_assert_uint_eq(n, 0);
}
END_TEST

/* Lines */

START_TEST(lines_come_back)
{
        for (unsigned i = 0; i < 50; i++) {
                WorkerCheck check = check_of(i, CHECK_FAILED);
                _cleanup_free_ char *line = NULL;
                HistoryRow row = row_of(i), back;
                const char *culprit;
                uint32_t left_out;

                ck_assert_int_eq(history_checks_format(&check, i % 2, &row.checks, &left_out), 0);
                line = line_of(&row);
                ck_assert_ptr_null(strstr(line, "uid"));
                ck_assert_int_eq(history_line_parse(line, strlen(line), &back, &culprit), 0);
                assert_same(&row, &back, false);
                ck_assert_uint_eq(back.uid, HISTORY_UID_NONE);
                ck_assert_int_eq(back.source, HISTORY_IMPORTED);
                history_row_done(&row);
                history_row_done(&back);
        }
}
END_TEST

START_TEST(the_longest_line_fits)
{
        static WorkerCheck checks[WORKER_CHECKS_MAX];
        HistoryRow row = row_of(0), back;
        _cleanup_free_ char *line = NULL;

        memset(row.driver_before, '"', sizeof(row.driver_before) - 1);
        memset(row.driver_after, '\\', sizeof(row.driver_after) - 1);
        memset(row.kernel, '"', sizeof(row.kernel) - 1);
        memset(row.firmware, '"', sizeof(row.firmware) - 1);
        memset(row.port, '"', sizeof(row.port) - 1);
        memset(row.why, '"', sizeof(row.why) - 1);
        memset(row.rule, '"', sizeof(row.rule) - 1);
        memset(row.policy, '"', sizeof(row.policy) - 1);
        for (unsigned i = 0; i < ELEMENTSOF(checks); i++) {
                checks[i] = check_of(i % 256, CHECK_FAILED);
                memset(checks[i].before, '"', i % sizeof(checks[i].before));
        }
        ck_assert_int_eq(
                history_checks_format(checks, ELEMENTSOF(checks), &row.checks, &row.checks_left_out), 0);
        line = line_of(&row);
        ck_assert_int_eq(history_line_parse(line, strlen(line) - 1, &back, NULL), 0);
        assert_same(&row, &back, false);
        history_row_done(&row);
        history_row_done(&back);
}
END_TEST

static Suite *history_line_suite(void)
{
        Suite *suite = suite_create("history-line");

        unit_add(suite, checks_come_back);
        unit_add(suite, no_checks_are_none);
        unit_add(suite, of_too_many_checks_the_failed_ones_are_kept);
        unit_add(suite, lines_come_back);
        unit_add(suite, the_longest_line_fits);
        unit_add_table(suite, bad_checks_are_refused, bad_checks);
        return suite;
}

int main(void)
{
        return unit_run(history_line_suite());
}
