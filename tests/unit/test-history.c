/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The history while all is well: rows go in and come out as they were, questions find what a slow look at
 * all rows finds, and nobody waits for the disk. What it forgets is in test-history-bounds.c, what goes
 * wrong in test-history-faults.c and test-history-damage.c.
 */

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "history-world.h"
#include "shared/cleanup.h"

static const HistoryFilter everything = {.limit = HISTORY_LIMIT_MAX};

/* Rows */

static void fill(char *text, size_t size, char c)
{
        memset(text, c, size - 1);
        text[size - 1] = '\0';
}

static HistoryRow largest_row(void)
{
        HistoryRow row = {
                .time_usec = INT64_MAX,
                .job = UINT32_MAX,
                .address = {.domain = UINT32_MAX, .bus = 255, .device = 31, .function = 7},
                .vendor = UINT16_MAX,
                .device = UINT16_MAX,
                .subsystem_vendor = UINT16_MAX,
                .subsystem_device = UINT16_MAX,
                .revision = UINT8_MAX,
                .class = 0xffffff,
                .set_size = UINT32_MAX,
                .outcome = ATTEMPT_UNUSABLE,
                .error = 4095,
                .written = true,
                .verdict = VERDICT_DEAD,
                .checks_left_out = UINT32_MAX,
                .duration_usec = INT64_MAX,
                .uid = UINT32_MAX - 1,
                .source = HISTORY_IMPORTED,
        };

        fill(row.boot_id, sizeof(row.boot_id), 'b');
        fill(row.driver_before, sizeof(row.driver_before), '"');
        fill(row.driver_after, sizeof(row.driver_after), '\\');
        fill(row.kernel, sizeof(row.kernel), 'k');
        fill(row.firmware, sizeof(row.firmware), '\'');
        fill(row.port, sizeof(row.port), '/');
        fill(row.method, sizeof(row.method), 'm');
        fill(row.why, sizeof(row.why), 'w');
        fill(row.rule, sizeof(row.rule), ';');
        fill(row.policy, sizeof(row.policy), 'p');
        fill(row.origin, sizeof(row.origin), 'o');
        return row;
}

START_TEST(rows_come_back_as_they_went)
{
        HistoryRow rows[] = {row_of(1), largest_row(), {.time_usec = 1, .method = "flr", .uid = 0}};
        char checks[HISTORY_CHECKS_MAX];

        fill(checks, sizeof(checks), '7');
        rows[1].checks = checks;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                rows[i].id = add_one(&rows[i]);
        history_restart();
        ck_assert_int_eq(ask(&everything), 0);
        ck_assert_uint_eq(hw.n_found, ELEMENTSOF(rows));
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                for (size_t j = 0; j < hw.n_found; j++)
                        if (hw.found[j].id == rows[i].id)
                                assert_same(&hw.found[j], &rows[i], true);
        /* The newest first. */
        ck_assert_int_eq(hw.found[0].id, rows[1].id);
        ck_assert_int_eq(hw.found[1].id, rows[0].id);
        ck_assert_int_eq(hw.found[2].id, rows[2].id);
}
END_TEST

START_TEST(nobody_is_no_uid)
{
        HistoryRow row = row_of(0);
        HistoryFilter filter = {.has_uid = true, .uid = HISTORY_UID_NONE};

        row.uid = HISTORY_UID_NONE;
        (void) add_one(&row);
        ck_assert_int_eq(ask(&everything), 0);
        ck_assert_uint_eq(hw.n_found, 1);
        ck_assert_uint_eq(hw.found[0].uid, HISTORY_UID_NONE);
        ck_assert_int_eq(ask(&filter), 0);
        ck_assert_uint_eq(hw.n_found, 0);
}
END_TEST

START_TEST(texts_are_made_fit)
{
        HistoryRow row = row_of(0);

        strcpy(row.driver_before, "a\nb\x1b[31m");
        strcpy(row.firmware, "\xff\xfe");
        strcpy(row.kernel, "6.18-größe");
        (void) add_one(&row);
        ck_assert_int_eq(ask(&everything), 0);
        ck_assert_str_eq(hw.found[0].driver_before, "a?b?[31m");
        ck_assert_str_eq(hw.found[0].firmware, "??");
        ck_assert_str_eq(hw.found[0].kernel, "6.18-größe");
}
END_TEST

/* Each spoils a row that was good. */
static void no_time(HistoryRow *row)
{
        row->time_usec = 0;
}
static void far_time(HistoryRow *row)
{
        row->time_usec = (uint64_t) INT64_MAX + 1;
}
static void no_method(HistoryRow *row)
{
        row->method[0] = '\0';
}
static void odd_method(HistoryRow *row)
{
        strcpy(row->method, "'; DROP TABLE");
}
static void endless_text(HistoryRow *row)
{
        memset(row->rule, 'x', sizeof(row->rule));
}
static void large_errno(HistoryRow *row)
{
        row->error = 4096;
}
static void large_class(HistoryRow *row)
{
        row->class = 0x1000000;
}
static void odd_verdict(HistoryRow *row)
{
        row->verdict = (Verdict) 4;
}
static void odd_outcome(HistoryRow *row)
{
        row->outcome = (AttemptOutcome) 6;
}
static void odd_address(HistoryRow *row)
{
        row->address.device = 32;
}
static void long_checks(HistoryRow *row)
{
        static char checks[HISTORY_CHECKS_MAX + 1];

        fill(checks, sizeof(checks), '[');
        row->checks = checks;
}

static void (*const spoilers[])(HistoryRow *row) = {
        no_time,     far_time,    no_method,   odd_method,  endless_text, large_errno,
        large_class, odd_verdict, odd_outcome, odd_address, long_checks,
};

START_TEST(a_row_that_makes_no_sense_is_refused)
{
        HistoryRow row = row_of(0);

        spoilers[_i](&row);
        ck_assert_int_eq(history_add(hw.history, &row, NULL, NULL, NULL), -EINVAL);
        row = row_of(1);
        (void) add_one(&row);
        ck_assert_uint_eq(count_rows(), 1);
}
END_TEST

/* Questions */

static bool matches(const HistoryFilter *filter, const HistoryRow *row)
{
        if (filter->has_address && !pci_address_equal(&filter->address, &row->address))
                return false;
        if (filter->has_hardware && (filter->vendor != row->vendor || filter->device != row->device))
                return false;
        if (filter->method[0] != '\0' && strcmp(filter->method, row->method) != 0)
                return false;
        if (filter->has_verdict && filter->verdict != row->verdict)
                return false;
        if (filter->has_uid && filter->uid != row->uid)
                return false;
        if (filter->has_source && filter->source != row->source)
                return false;
        if ((filter->has_uid || filter->has_address) && row->source != HISTORY_OWN)
                return false;
        return row->time_usec >= filter->since_usec &&
               (filter->until_usec == 0 || row->time_usec <= filter->until_usec);
}

static HistoryRow row_with_source(unsigned i)
{
        HistoryRow row = row_of(i);

        row.source = i % 5 == 1 ? HISTORY_IMPORTED : HISTORY_OWN;
        return row;
}

/* All combinations of what can be asked for, the values from a row that is there, or nearly. */
static HistoryFilter filter_like(unsigned mask, unsigned i)
{
        HistoryRow row = row_with_source(i);
        HistoryFilter filter = {
                .has_address = mask & 1,
                .address = row.address,
                .has_hardware = mask & 2,
                .vendor = row.vendor,
                .device = row.device,
                .has_verdict = mask & 8,
                .verdict = row.verdict,
                .has_uid = mask & 16,
                .uid = row.uid,
                .has_source = mask & 32,
                .source = row.source,
                .since_usec = mask & 64 ? row_of(i / 2).time_usec : 0,
                .until_usec = mask & 128 ? row_of(i + 40).time_usec : 0,
                .limit = i % 3 == 0 ? 5 : HISTORY_LIMIT_MAX,
        };

        if (mask & 4)
                memcpy(filter.method, row.method, sizeof(filter.method));
        return filter;
}

START_TEST(questions_find_what_a_slow_look_finds)
{
        const unsigned n_rows = 400;
        unsigned n_hits = 0;

        for (unsigned i = 0; i < n_rows; i++) {
                HistoryRow row = row_with_source(i);

                ck_assert_int_eq(history_add(hw.history, &row, NULL, NULL, NULL), 0);
        }
        for (unsigned mask = 0; mask < 256; mask++)
                for (unsigned like = mask; like < n_rows; like += 123) {
                        HistoryFilter filter = filter_like(mask, like);
                        size_t n = 0;

                        ck_assert_int_eq(ask(&filter), 0);
                        for (unsigned i = n_rows; i-- > 0;) {
                                HistoryRow row = row_with_source(i);

                                if (n == filter.limit || !matches(&filter, &row))
                                        continue;
                                ck_assert_uint_lt(n, hw.n_found);
                                assert_same(&hw.found[n++], &row, true);
                        }
                        ck_assert_uint_eq(n, hw.n_found);
                        n_hits += n > 0;
                }
        ck_assert_uint_gt(n_hits, 300); /* nothing found everywhere would prove little */
}
END_TEST

START_TEST(answers_are_bounded)
{
        HistoryFilter filter = {};

        add_range(0, HISTORY_LIMIT_MAX + 1);
        ck_assert_int_eq(ask(&filter), 0);
        ck_assert_uint_eq(hw.n_found, HISTORY_LIMIT_DEFAULT);
        ck_assert_int_eq(ask(&everything), 0);
        ck_assert_uint_eq(hw.n_found, HISTORY_LIMIT_MAX);
        ck_assert_uint_eq(hw.found[0].job, HISTORY_LIMIT_MAX);
}
END_TEST

static void on_never(void *userdata, int error, const HistoryRow *rows, size_t n)
{
        ck_abort_msg("nobody wanted to know");
}

static const HistoryFilter bad_filters[] = {
        {.limit = HISTORY_LIMIT_MAX + 1},
        {.method = "no method"},
        {.has_verdict = true, .verdict = (Verdict) 7},
        {.has_source = true, .source = (HistorySource) 2},
        {.since_usec = UINT64_MAX},
        {.until_usec = UINT64_MAX},
};

START_TEST(a_filter_that_makes_no_sense_is_refused)
{
        ck_assert_int_eq(history_query(hw.history, &bad_filters[_i], on_never, NULL, NULL), -EINVAL);
}
END_TEST

static char order[16];

static void on_added_in_order(void *userdata, int64_t id, int error)
{
        ck_assert_int_eq(error, 0);
        strcat(order, userdata);
}

static void on_found_in_order(void *userdata, int error, const HistoryRow *rows, size_t n)
{
        char text[4];

        ck_assert_int_eq(error, 0);
        (void) snprintf(text, sizeof(text), "%zu", n);
        strcat(order, text);
}

START_TEST(everything_goes_in_order)
{
        HistoryRow row = row_of(0);
        HistoryCall *call = NULL;

        (void) history_add(hw.history, &row, on_added_in_order, (char *) "a", NULL);
        (void) history_add(hw.history, &row, on_added_in_order, (char *) "b", NULL);
        (void) history_query(hw.history, &everything, on_found_in_order, NULL, NULL);
        (void) history_add(hw.history, &row, on_added_in_order, (char *) "c", NULL);
        (void) history_add(hw.history, &row, on_added_in_order, (char *) "x", &call);
        (void) history_query(hw.history, &everything, on_found_in_order, NULL, NULL);
        ck_assert_ptr_null(history_cancel(call));
        (void) history_query(hw.history, &everything, on_never, NULL, &call);
        history_cancel(call);
        (void) history_add(hw.history, &row, on_added_in_order, (char *) "d", NULL);
        ck_assert_str_eq(order, "");
        await(strlen(order) == 6);
        ck_assert_str_eq(order, "ab2c4d");
}
END_TEST

/* The thread */

static bool has_deferred;

static int on_defer(sd_event_source *source, void *userdata)
{
        has_deferred = true;
        return 0;
}

static unsigned n_answers;

static void count_answer(void *userdata, int64_t id, int error)
{
        ck_assert_int_eq(error, 0);
        n_answers++;
}

static void count_found(void *userdata, int error, const HistoryRow *rows, size_t n)
{
        ck_assert_int_eq(error, 0);
        n_answers++;
}

/* While the disk hangs, calls return, the loop runs, and no more is kept than may be. */
START_TEST(a_disk_that_hangs_stops_nobody)
{
        HistoryRow row = row_of(0);
        unsigned n_added = 0, n_asked = 0;

        atomic_store(&fault_vfs.blocked, true);
        ck_assert_int_eq(history_add(hw.history, &row, count_answer, NULL, NULL), 0);
        fault_vfs_await_blocked();
        n_added = 1;
        while (history_add(hw.history, &row, count_answer, NULL, NULL) == 0)
                n_added++;
        ck_assert_uint_eq(n_added, HISTORY_ROWS_MAX);
        for (unsigned i = 0; i < 5; i++)
                ck_assert_int_eq(history_add(hw.history, &row, on_added_in_order, (char *) "", NULL),
                                 -ENOBUFS);
        while (history_query(hw.history, &everything, count_found, NULL, NULL) == 0)
                n_asked++;
        ck_assert_uint_eq(n_asked, HISTORY_CALLS_MAX);
        ck_assert_int_ge(sd_event_add_defer(hw.event, NULL, on_defer, NULL), 0);
        await(has_deferred);
        await(count_news(HISTORY_ROWS_LOST) == 1); /* told at once, and once */
        ck_assert_uint_eq(news_of(HISTORY_ROWS_LOST)->count, 1);
        ck_assert_uint_eq(n_answers, 0);

        atomic_store(&fault_vfs.blocked, false);
        await(n_answers == n_added + n_asked);
        ck_assert_uint_eq(count_rows(), n_added);
        await(count_news(HISTORY_ROWS_LOST) == 2);
        ck_assert_uint_eq(hw.news[1].count, 5);
        ck_assert_int_eq(history_add(hw.history, &row, NULL, NULL, NULL), 0);
}
END_TEST

START_TEST(rows_on_their_way_are_there_after_the_end)
{
        for (unsigned i = 0; i < 500; i++) {
                HistoryRow row = row_of(i);

                ck_assert_int_eq(history_add(hw.history, &row, NULL, NULL, NULL), 0);
        }
        history_stop();
        ck_assert_uint_eq(hw.n_news, 0);
        ck_assert_uint_eq(count_rows(), 500);
        history_start();
}
END_TEST

static unsigned count_threads(void)
{
        DIR *dir = opendir("/proc/self/task");
        unsigned n = 0;

        ck_assert_ptr_nonnull(dir);
        for (const struct dirent *entry; (entry = readdir(dir));)
                n += entry->d_name[0] != '.';
        (void) closedir(dir);
        return n;
}

/* Takes HISTORY_FLUSH_USEC. */
START_TEST(a_disk_that_hangs_cannot_stop_the_end)
{
        HistoryRow row = row_of(0);

        atomic_store(&fault_vfs.blocked, true);
        ck_assert_int_eq(history_add(hw.history, &row, NULL, NULL, NULL), 0);
        fault_vfs_await_blocked();
        ck_assert_int_eq(history_add(hw.history, &row, NULL, NULL, NULL), 0);
        history_stop();
        ck_assert_uint_eq(hw.n_news, 1);
        ck_assert_int_eq(hw.news[0].type, HISTORY_ROWS_LOST);
        ck_assert_uint_eq(hw.news[0].count, 2);
        ck_assert_uint_eq(count_threads(), 2);
        /* In the end it goes all the same, and lets go of everything: the sanitizer looks. */
        atomic_store(&fault_vfs.blocked, false);
        while (count_threads() > 1)
                (void) usleep(1000);
        ck_assert_uint_eq(count_rows(), 2);
        history_start();
}
END_TEST

START_TEST(signals_are_the_main_loops)
{
        DIR *dir = opendir("/proc/self/task");
        unsigned n = 0;

        ck_assert_ptr_nonnull(dir);
        for (const struct dirent *entry; (entry = readdir(dir));) {
                _cleanup_free_ char *text = malloc(8192);
                const char *line;
                char path[300];
                FILE *file;

                if (entry->d_name[0] == '.' || atoi(entry->d_name) == getpid())
                        continue;
                (void) snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
                file = fopen(path, "re");
                ck_assert_ptr_nonnull(file);
                text[fread(text, 1, 8191, file)] = '\0';
                (void) fclose(file);
                line = strstr(text, "SigBlk:\t");
                ck_assert_ptr_nonnull(line);
                ck_assert(strtoull(line + 8, NULL, 16) & (1ULL << (SIGTERM - 1)));
                n++;
        }
        (void) closedir(dir);
        ck_assert_uint_eq(n, 1);
}
END_TEST

/* What is in it is nobody's business but root's. */
START_TEST(only_we_can_read_it)
{
        static const char *const names[] = {HISTORY_FILE, HISTORY_FILE "-wal", "."};
        struct stat st;

        add_range(0, 1);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                ck_assert_int_eq(stat(file_path(names[i]), &st), 0);
                ck_assert_uint_eq(st.st_mode & 077U, 0);
        }
}
END_TEST

static Suite *history_suite(void)
{
        Suite *suite = suite_create("history");
        TCase *tcase = tcase_create("history");

        tcase_add_checked_fixture(tcase, history_world_setup, history_world_teardown);
        tcase_set_timeout(tcase, 120);
        tcase_add_test(tcase, rows_come_back_as_they_went);
        tcase_add_test(tcase, nobody_is_no_uid);
        tcase_add_test(tcase, texts_are_made_fit);
        tcase_add_loop_test(tcase, a_row_that_makes_no_sense_is_refused, 0, (int) ELEMENTSOF(spoilers));
        tcase_add_test(tcase, questions_find_what_a_slow_look_finds);
        tcase_add_test(tcase, answers_are_bounded);
        tcase_add_loop_test(tcase, a_filter_that_makes_no_sense_is_refused, 0,
                            (int) ELEMENTSOF(bad_filters));
        tcase_add_test(tcase, everything_goes_in_order);
        tcase_add_test(tcase, a_disk_that_hangs_stops_nobody);
        tcase_add_test(tcase, rows_on_their_way_are_there_after_the_end);
        tcase_add_test(tcase, a_disk_that_hangs_cannot_stop_the_end);
        tcase_add_test(tcase, signals_are_the_main_loops);
        tcase_add_test(tcase, only_we_can_read_it);
        suite_add_tcase(suite, tcase);
        return suite;
}

int main(void)
{
        return unit_run(history_suite());
}
