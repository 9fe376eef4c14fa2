/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Rows of what is no reset, and histories that were made when there were none of them.
 */

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "daemon/system/quarantine-log.h"
#include "history-world.h"
#include "shared/cleanup.h"

DEFINE_CLEANUP(Registry *, registry_free);

static const HistoryFilter everything = {.limit = HISTORY_LIMIT_MAX};

/* As version 1 has made it. */
static const char version_1[] =
        "PRAGMA journal_mode = WAL; PRAGMA application_id = 1885565555; PRAGMA user_version = 1;\n"
        "CREATE TABLE attempt(\n"
        "  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
        "  time_usec INTEGER NOT NULL, -- since the epoch, when it ended\n"
        "  boot_id TEXT NOT NULL,\n"
        "  job INTEGER NOT NULL,\n"
        "  address TEXT NOT NULL,\n"
        "  vendor INTEGER NOT NULL,\n"
        "  device INTEGER NOT NULL,\n"
        "  subsystem_vendor INTEGER NOT NULL,\n"
        "  subsystem_device INTEGER NOT NULL,\n"
        "  revision INTEGER NOT NULL,\n"
        "  class INTEGER NOT NULL,\n"
        "  driver_before TEXT NOT NULL,\n"
        "  driver_after TEXT NOT NULL,\n"
        "  kernel TEXT NOT NULL,\n"
        "  firmware TEXT NOT NULL,\n"
        "  port TEXT NOT NULL, -- the bridges above, from the root\n"
        "  method TEXT NOT NULL,\n"
        "  set_size INTEGER NOT NULL,\n"
        "  outcome TEXT NOT NULL,\n"
        "  error INTEGER NOT NULL, -- errno\n"
        "  why TEXT NOT NULL,\n"
        "  written INTEGER NOT NULL, -- 1: the device was touched\n"
        "  verdict TEXT NOT NULL,\n"
        "  checks TEXT NOT NULL, -- JSON\n"
        "  checks_left_out INTEGER NOT NULL,\n"
        "  duration_usec INTEGER NOT NULL,\n"
        "  uid INTEGER, -- NULL: unknown\n"
        "  rule TEXT NOT NULL,\n"
        "  policy TEXT NOT NULL,\n"
        "  source TEXT NOT NULL, -- own or imported\n"
        "  origin TEXT NOT NULL -- of an imported row: who signed it off\n"
        ") STRICT;\n"
        "CREATE INDEX attempt_by_time ON attempt(time_usec);\n"
        "CREATE INDEX attempt_by_address ON attempt(address, time_usec);\n"
        "CREATE INDEX attempt_by_hardware ON attempt(vendor, device, time_usec);\n"
        "CREATE INDEX attempt_by_method ON attempt(method, time_usec);\n"
        "CREATE INDEX attempt_by_verdict ON attempt(verdict, time_usec);\n"
        "CREATE INDEX attempt_by_uid ON attempt(uid, time_usec);\n"
        "CREATE INDEX attempt_proven ON attempt(vendor, device, method, time_usec, verdict, "
        "duration_usec) WHERE written = 1;\n"
        "CREATE INDEX attempt_unwritten ON attempt(time_usec) WHERE written = 0;\n";

static const char rows_1[] =
        "INSERT INTO attempt VALUES(7, 1790000000000000, 'b', 1, '0000:01:00.0', 32902, 4096, 1, 2, 3, "
        "131072, 'igb', 'igb', 'k', 'f', 'p', 'flr', 1, 'done', 0, '', 1, 'ok', '[]', 0, 1000, 1000, 'r', "
        "'1', 'own', '');"
        "INSERT INTO attempt VALUES(9, 1790000000000001, 'b', 2, '0000:01:00.0', 32902, 4096, 1, 2, 3, "
        "131072, 'igb', 'igb', 'k', 'f', 'p', 'bus', 1, 'refused', 0, 'held', 0, 'unverified', '[]', 0, 0, "
        "1000, '', '1', 'own', '');"
        /* The ids that were given to rows which are gone are not given again. */
        "UPDATE sqlite_sequence SET seq = 40 WHERE name = 'attempt';";

static HistoryRow release_row(void)
{
        HistoryRow row = row_of(0);

        row.event = HISTORY_RELEASE;
        row.method[0] = '\0';
        row.written = false;
        row.outcome = ATTEMPT_DONE;
        row.error = 0;
        row.time_usec++;
        (void) snprintf(row.why, sizeof(row.why), "by-hand");
        (void) snprintf(row.reason, sizeof(row.reason), "a new fan");
        return row;
}

START_TEST(events_come_back)
{
        static const HistoryFilter releases = {.has_event = true, .event = HISTORY_RELEASE},
                                   resets = {.has_event = true, .event = HISTORY_RESET};
        HistoryRow row = release_row();

        add_range(0, 1);
        ck_assert_int_gt(add_one(&row), 0);
        ck_assert_int_eq(ask(&releases), 0);
        ck_assert_uint_eq(hw.n_found, 1);
        assert_same(&hw.found[0], &row, true);
        ck_assert_int_eq(ask(&resets), 0);
        ck_assert_uint_eq(hw.n_found, 1);
        ck_assert_int_eq(hw.found[0].event, HISTORY_RESET);
        ck_assert_int_eq(ask(&everything), 0);
        ck_assert_uint_eq(hw.n_found, 2);
        history_restart();
        assert_proven_is_true();
}
END_TEST

START_TEST(a_reset_has_a_method)
{
        HistoryRow row = release_row();

        row.event = HISTORY_RESET;
        ck_assert_int_eq(history_add(hw.history, &row, NULL, NULL, NULL), -EINVAL);
}
END_TEST

/* The reason was written for people here. */
START_TEST(lines_of_events)
{
        HistoryRow row = release_row(), back;
        _cleanup_free_ char *line = line_of(&row);

        ck_assert_ptr_null(strstr(line, "fan"));
        ck_assert_int_eq(history_line_parse(line, strlen(line), &back, NULL), 0);
        row.reason[0] = '\0';
        assert_same(&row, &back, false);
        ck_assert_str_eq(back.reason, "");
        history_row_done(&back);
}
END_TEST

START_TEST(lines_without_events)
{
        static const char key[] = ",\"event\":\"reset\"";
        HistoryRow row = row_of(3), back;
        _cleanup_free_ char *line = line_of(&row);
        char *at = strstr(line, key);

        ck_assert_ptr_nonnull(at);
        memmove(at, at + strlen(key), strlen(at + strlen(key)) + 1);
        ck_assert_int_eq(history_line_parse(line, strlen(line), &back, NULL), 0);
        assert_same(&row, &back, false);
        history_row_done(&back);
}
END_TEST

/* What anybody can cause pushes out none that say what became of a device. */
START_TEST(refused_resets_push_out_no_events)
{
        HistoryRow row = release_row(), refused;

        history_stop();
        hw.config.limits.unwritten_rows = 3;
        history_start();
        row.time_usec = UINT64_C(1789000000000000);
        ck_assert_int_gt(add_one(&row), 0);
        for (unsigned i = 0; i < 20; i++) {
                refused = row_of(i);
                refused.written = false;
                (void) add_one(&refused);
        }
        ck_assert_int_eq(ask(&everything), 0);
        ck_assert_uint_eq(hw.n_found, 4);
        ck_assert_int_eq(hw.found[3].event, HISTORY_RELEASE);
}
END_TEST

static void make_old(void)
{
        history_stop();
        ck_assert_int_eq(remove(file_path(HISTORY_FILE)), 0);
        (void) remove(file_path(HISTORY_FILE "-wal"));
        (void) remove(file_path(HISTORY_FILE "-shm"));
        write_file(file_path(HISTORY_FILE), "", 0);
        sql_run(file_path(HISTORY_FILE), version_1);
        sql_run(file_path(HISTORY_FILE), rows_1);
}

START_TEST(an_old_file_is_brought_up_to_date)
{
        HistoryRow row = release_row();

        make_old();
        for (int i = 0; i < 2; i++) {
                history_start();
                ck_assert_int_eq(hw.ready_error, 0);
                ck_assert_uint_eq(hw.n_news, 0);
                ck_assert_int_eq(ask(&everything), 0);
                ck_assert_uint_eq(hw.n_found, (size_t) 2 + i);
                ck_assert_int_eq(hw.found[i].id, 9);
                ck_assert_str_eq(hw.found[i].why, "held");
                ck_assert_int_eq(hw.found[i].event, HISTORY_RESET);
                ck_assert_str_eq(hw.found[i].reason, "");
                ck_assert_int_eq(hw.found[i + 1].id, 7);
                ck_assert_uint_eq(proven_get(hw.proven, 0x8086, 0x1000, "flr").ok, 1);
                if (i == 0)
                        ck_assert_int_eq(add_one(&row), 41);
                history_stop();
        }
        history_start();
        ck_assert_int_eq(sql_number(file_path(HISTORY_FILE), "PRAGMA user_version"), 2);
}
END_TEST

/* Without room for it the file stays what it was, and is brought up to date when there is some. */
START_TEST(an_old_file_waits_for_room)
{
        make_old();
        fault_vfs.write_error = SQLITE_FULL;
        history_start();
        ck_assert_int_eq(hw.ready_error, -ENOSPC);
        history_stop();
        fault_vfs.write_error = 0;
        ck_assert_int_eq(sql_number(file_path(HISTORY_FILE), "PRAGMA user_version"), 1);
        ck_assert_uint_eq(count_rows(), 2);
        history_start();
        ck_assert_int_eq(hw.ready_error, 0);
        ck_assert_int_eq(ask(&everything), 0);
        ck_assert_uint_eq(hw.n_found, 2);
        ck_assert_uint_eq(count_news(HISTORY_PUT_ASIDE), 0);
}
END_TEST

/* Tables that only look old. */
START_TEST(a_wrong_old_file_is_put_aside)
{
        make_old();
        sql_run(file_path(HISTORY_FILE), "DROP INDEX attempt_by_uid");
        history_start();
        ck_assert_int_eq(hw.ready_error, 0);
        ck_assert_uint_eq(count_news(HISTORY_PUT_ASIDE), 1);
        ck_assert_int_eq(ask(&everything), 0);
        ck_assert_uint_eq(hw.n_found, 0);
}
END_TEST

/* What the rows of these events show of the kernel's words. */
static const struct {
        QuarantineEvent event;
        HistoryEvent row;
        const char *shown, *hidden;
} said[] = {
        {QUARANTINE_BEGUN, HISTORY_QUARANTINE, "bars", "00:1b:21"},
        {QUARANTINE_CHANGED, HISTORY_QUARANTINE, "bars", "00:1b:21"},
        {QUARANTINE_EVIDENCE, HISTORY_EVIDENCE, "00:1b:21", "bars"},
};

/* Whoever may read the history may not read the kernel's log, which has serial numbers and the like. */
START_TEST(the_kernels_words_are_in_rows_of_their_own)
{
        const QuarantineRecord record = {
                .cause = QUARANTINE_DEAD,
                .reason = "dead; it needs a cold power cycle",
                .method = "flr",
                .checks = {{.check = "bars", .result = CHECK_FAILED},
                           {.check = WORKER_LOG_CHECK,
                            .result = CHECK_SKIPPED,
                            .after = "eth0: 00:1b:21:3c"}},
                .n_checks = 2,
        };
        _cleanup_(cleanup_registry_free) Registry *registry = NULL;
        AttemptLog *log;

        ck_assert_int_eq(registry_new(&registry), 0);
        history_stop();
        ck_assert_int_eq(proven_new(&hw.proven), 0);
        ck_assert_int_eq(attempt_log_new(hw.event, &hw.config, hw.proven, registry, &log), 0);
        quarantine_log_event(log, registry, &record, said[_i].event);
        attempt_log_free(log);
        hw.proven = proven_free(hw.proven);
        history_start();
        ck_assert_int_eq(ask(&everything), 0);
        ck_assert_uint_eq(hw.n_found, 1);
        ck_assert_int_eq(hw.found[0].event, said[_i].row);
        ck_assert_ptr_nonnull(strstr(hw.found[0].checks, said[_i].shown));
        ck_assert_ptr_null(strstr(hw.found[0].checks, said[_i].hidden));
}
END_TEST

static Suite *history_events_suite(void)
{
        Suite *suite = suite_create("history-events");
        TCase *cases = tcase_create("all");

        tcase_add_checked_fixture(cases, history_world_setup, history_world_teardown);
        tcase_add_test(cases, events_come_back);
        tcase_add_test(cases, a_reset_has_a_method);
        tcase_add_test(cases, lines_of_events);
        tcase_add_test(cases, lines_without_events);
        tcase_add_test(cases, refused_resets_push_out_no_events);
        tcase_add_test(cases, an_old_file_is_brought_up_to_date);
        tcase_add_test(cases, an_old_file_waits_for_room);
        tcase_add_test(cases, a_wrong_old_file_is_put_aside);
        tcase_add_loop_test(cases, the_kernels_words_are_in_rows_of_their_own, 0, (int) ELEMENTSOF(said));
        suite_add_tcase(suite, cases);
        return suite;
}

int main(void)
{
        return unit_run(history_events_suite());
}
