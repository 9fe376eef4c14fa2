/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What the history forgets, in which order and how fast, and that what is told of tries is what is in the
 * file.
 */

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "history-world.h"
#include "shared/cleanup.h"

/* Bounds */

static void start_with(HistoryLimits limits)
{
        history_stop();
        hw.config.limits = limits;
        history_start();
}

/* Lets the thread come to an end with what it does by itself. */
static void settle(void)
{
        history_restart();
}

START_TEST(rows_are_bounded)
{
        start_with((HistoryLimits){.rows = 100});
        add_range(0, 300);
        ck_assert_uint_eq(count_rows(), 100);
        ck_assert_int_eq(sql_number(file_path(HISTORY_FILE), "SELECT min(job) FROM attempt"), 200);
        assert_proven_is_true();
}
END_TEST

/* What anybody can cause, by asking for what he may not have, must not push out what was learned of the
 * hardware. */
START_TEST(what_came_to_nothing_has_its_own_bound)
{
        start_with((HistoryLimits){.rows = 100, .unwritten_rows = 10});
        for (unsigned i = 0; i < 200; i++) {
                HistoryRow row = row_of(i);

                row.written = i < 50;
                (void) add_one(&row);
        }
        ck_assert_int_eq(
                sql_number(file_path(HISTORY_FILE), "SELECT count(*) FROM attempt WHERE written = 1"), 50);
        ck_assert_int_eq(
                sql_number(file_path(HISTORY_FILE), "SELECT count(*) FROM attempt WHERE written = 0"), 10);
        ck_assert_int_eq(
                sql_number(file_path(HISTORY_FILE), "SELECT min(job) FROM attempt WHERE written = 0"), 190);
        history_restart();
        (void) add_one(&(HistoryRow){.time_usec = 1, .method = "flr"});
        ck_assert_uint_eq(count_rows(), 60);
}
END_TEST

START_TEST(old_rows_go_a_few_at_a_time)
{
        const uint64_t day = UINT64_C(24) * 3600 * 1000000;
        struct timespec now;
        HistoryRow row;

        add_range(0, 200);
        (void) clock_gettime(CLOCK_REALTIME, &now);
        /* As if the clock were wrong by a century: all rows are far too old. */
        start_with((HistoryLimits){.age_usec = day});
        ck_assert_uint_eq(count_rows(), 200);
        row = row_of(300);
        row.time_usec = (uint64_t) now.tv_sec * 1000000U;
        (void) add_one(&row);
        ck_assert_uint_ge(count_rows(), 200 - 64);
        assert_proven_is_true();
        for (unsigned i = 0; i < 4; i++) {
                row.time_usec++;
                (void) add_one(&row);
        }
        ck_assert_uint_eq(count_rows(), 5);
        assert_proven_is_true();
}
END_TEST

START_TEST(bytes_are_bounded)
{
        const int64_t limit = 512 * 1024;
        struct stat st;

        start_with((HistoryLimits){.bytes = (uint64_t) limit});
        add_range(0, 2500);
        settle();
        ck_assert_int_eq(stat(file_path(HISTORY_FILE), &st), 0);
        /* What was added last may be beyond. */
        ck_assert_int_lt(st.st_size, limit + 128 * 1024);
        ck_assert_uint_gt(count_rows(), 300);
        ck_assert_int_eq(sql_number(file_path(HISTORY_FILE), "SELECT max(job) FROM attempt"), 2499);
        assert_proven_is_true();
}
END_TEST

START_TEST(a_smaller_bound_is_reached_without_a_word)
{
        add_range(0, 600);
        start_with((HistoryLimits){.rows = 50});
        add_range(600, 601);
        await(proven_get(hw.proven, 0x8086, 0x1000, "flr").tries < 5);
        history_stop();
        ck_assert_uint_eq(count_rows(), 50);
        history_start();
}
END_TEST

/* Tries */

/* Rows of a few kinds, whose times go back and forth. */
static HistoryRow random_row(unsigned *seed, unsigned i)
{
        HistoryRow row = row_of((unsigned) rand_r(seed) % 1000);

        row.time_usec = UINT64_C(1790000000000000) + (uint64_t) (rand_r(seed) % 100000) * 10000 + i;
        row.verdict = rand_r(seed) % 3 > 0 ? VERDICT_OK : row.verdict;
        row.duration_usec = (uint64_t) (rand_r(seed) % 100000);
        return row;
}

START_TEST(tries_are_counted_as_sql_counts_them)
{
        unsigned seed = 4711;

        start_with((HistoryLimits){.rows = 700});
        for (unsigned i = 0; i < 1500; i++) {
                HistoryRow row = random_row(&seed, i);

                note_row(&row);
                ck_assert_int_eq(history_add(hw.history, &row, NULL, NULL, NULL), 0);
                if (i % 250 == 249) {
                        ck_assert_int_eq(ask(&(HistoryFilter){.limit = 1}), 0);
                        assert_proven_is_true();
                }
                if (i % 500 == 499) {
                        history_restart();
                        assert_proven_is_true();
                }
        }
        ck_assert_uint_eq(count_rows(), 700);
        ck_assert_uint_gt(proven_get(hw.proven, 0x8086, 0x1001, "flr").ok, PROVEN_DURATIONS);
}
END_TEST

/* What was noted before the past was told is not forgotten, nor counted twice. */
START_TEST(the_past_is_added_to_the_present)
{
        Proven *past, *none;

        ck_assert_int_eq(proven_new(&past), 0);
        ck_assert_int_eq(proven_new(&none), 0);
        ck_assert(proven_is_empty(past));
        proven_note(past, 1, 2, "flr", VERDICT_OK, 100, 1000);
        proven_note(past, 1, 2, "flr", VERDICT_OK, 300, 3000);
        proven_note(past, 1, 2, "bus", VERDICT_DEAD, 1, 1);
        proven_note(none, 1, 2, "flr", VERDICT_OK, 200, 2000);
        proven_merge(none, past);
        ck_assert_uint_eq(proven_get(none, 1, 2, "flr").ok, 3);
        ck_assert_uint_eq(proven_get(none, 1, 2, "flr").median_usec, 200);
        ck_assert_uint_eq(proven_get(none, 1, 2, "bus").dead, 1);
        proven_subtract(none, past);
        ck_assert_uint_eq(proven_get(none, 1, 2, "flr").ok, 1);
        ck_assert_uint_eq(proven_get(none, 1, 2, "flr").median_usec, 300); /* the oldest went */
        proven_subtract(none, past);
        ck_assert(proven_is_empty(none));
        proven_free(past);
        proven_free(none);
}
END_TEST

/* The old clock of a machine without a battery is no age. */
START_TEST(rows_of_an_unset_clock_are_kept)
{
        HistoryRow row = row_of(0);

        history_stop();
        hw.config.limits.age_usec = UINT64_C(3600) * 1000000;
        history_start();
        row.time_usec = 5000000;
        (void) add_one(&row);
        (void) add_one(&row);
        ck_assert_uint_eq(count_rows(), 2);
}
END_TEST

static Suite *history_bounds_suite(void)
{
        Suite *suite = suite_create("history-bounds");
        TCase *tcase = tcase_create("history-bounds");

        unit_add(suite, the_past_is_added_to_the_present);
        tcase_add_checked_fixture(tcase, history_world_setup, history_world_teardown);
        tcase_set_timeout(tcase, 120);
        tcase_add_test(tcase, rows_are_bounded);
        tcase_add_test(tcase, what_came_to_nothing_has_its_own_bound);
        tcase_add_test(tcase, old_rows_go_a_few_at_a_time);
        tcase_add_test(tcase, bytes_are_bounded);
        tcase_add_test(tcase, a_smaller_bound_is_reached_without_a_word);
        tcase_add_test(tcase, tries_are_counted_as_sql_counts_them);
        tcase_add_test(tcase, rows_of_an_unset_clock_are_kept);
        suite_add_tcase(suite, tcase);
        return suite;
}

int main(void)
{
        return unit_run(history_bounds_suite());
}
