/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The history when the disk is full, fails or lies, when the directory cannot be written to, somebody holds
 * a lock or takes the file away, at kill -9 and power loss. What was told to be stored is there afterwards,
 * once; what was not is kept and comes later.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "history-world.h"
#include "shared/cleanup.h"

static const HistoryFilter everything = {.limit = HISTORY_LIMIT_MAX};

/* Disks that fail */

static const struct {
        atomic_int *fault;
        int code, error;
} faults[] = {
        {&fault_vfs.write_error, SQLITE_FULL, -ENOSPC},
        {&fault_vfs.write_error, SQLITE_IOERR_WRITE, -EIO},
        {&fault_vfs.sync_error, SQLITE_IOERR_FSYNC, -EIO},
        {&fault_vfs.sync_error, SQLITE_FULL, -ENOSPC},
};

START_TEST(rows_wait_until_the_disk_is_well)
{
        const int code = faults[_i].code, error = faults[_i].error;

        history_stop();
        hw.config.retry_usec = 20000;
        history_start();
        add_range(0, 20);
        atomic_store(faults[_i].fault, code);
        try_range(20, 40);
        await(hw.n_told == 20);
        ck_assert_uint_eq(hw.n_stored, 0);
        ck_assert_int_eq(hw.last_error, error);
        /* Over a few tries. */
        for (unsigned i = 40; i < 60; i++) {
                try_range(i, i + 1);
                await(hw.n_told == i - 19);
                ck_assert_int_eq(hw.last_error, error);
                (void) usleep(5000);
        }
        ck_assert_uint_eq(hw.n_stored, 0);
        ck_assert_uint_eq(hw.n_news, 1); /* once, however often it was tried */
        ck_assert_int_eq(hw.news[0].type, HISTORY_UNWRITABLE);
        ck_assert_int_eq(hw.news[0].error, error);
        ck_assert_str_ne(hw.news[0].text, "");
        if (error == -ENOSPC) {
                /* What is there can be read all the same. */
                ck_assert_int_eq(ask(&everything), 0);
                ck_assert_uint_eq(hw.n_found, 20);
        }

        atomic_store(faults[_i].fault, 0);
        await(hw.n_news == 2);
        ck_assert_int_eq(hw.news[1].type, HISTORY_WRITABLE);
        ck_assert_uint_eq(hw.news[1].count, 40);
        add_range(60, 61);
        ck_assert_int_eq(ask(&everything), 0);
        ck_assert_uint_eq(hw.n_found, 61);
        for (unsigned i = 0; i < 61; i++) {
                HistoryRow row = row_of(i);

                assert_same(&hw.found[60 - i], &row, true);
                ck_assert_int_eq(hw.found[60 - i].id, hw.found[60].id + i); /* in their order */
        }
        assert_proven_is_true();
}
END_TEST

/* Anybody can have resets refused, as many as he likes. That keeps no row of a real one out. */
START_TEST(refusals_leave_room)
{
        HistoryRow refused = row_of(0), real = row_of(1);
        unsigned n_refused = 0, n_real = 0;

        refused.written = false;
        real.written = true;
        atomic_store(&fault_vfs.blocked, true);
        while (try_one(&refused) == 0)
                n_refused++;
        ck_assert_uint_eq(n_refused, HISTORY_UNWRITTEN_MAX);
        while (try_one(&real) == 0)
                n_real++;
        ck_assert_uint_eq(n_real, HISTORY_ROWS_MAX - HISTORY_UNWRITTEN_MAX);
        atomic_store(&fault_vfs.blocked, false);
        await(hw.n_stored == n_refused + n_real);
}
END_TEST

START_TEST(what_waits_has_a_bound)
{
        HistoryRow row = row_of(0);
        unsigned n = 0;

        history_stop();
        hw.config.retry_usec = 20000;
        history_start();
        atomic_store(&fault_vfs.write_error, SQLITE_FULL);
        row.written = true;
        while (try_one(&row) == 0) {
                row = row_of(++n);
                row.written = true;
        }
        ck_assert_uint_eq(n, HISTORY_ROWS_MAX);
        await(hw.n_told == n);
        ck_assert_int_eq(try_one(&row), -ENOBUFS);
        await(count_news(HISTORY_ROWS_LOST) == 1);
        atomic_store(&fault_vfs.write_error, 0);
        await(count_news(HISTORY_WRITABLE) == 1);
        ck_assert_uint_eq(news_of(HISTORY_WRITABLE)->count, n);
        ck_assert_uint_eq(count_rows(), n);
        ck_assert_uint_eq(hw.n_stored, 0);
}
END_TEST

START_TEST(the_last_try_is_at_the_end)
{
        atomic_store(&fault_vfs.write_error, SQLITE_FULL);
        try_range(0, 100);
        await(hw.n_told == 100);
        atomic_store(&fault_vfs.write_error, 0);
        history_stop(); /* long before the next try */
        ck_assert_uint_eq(count_rows(), 100);
        ck_assert_uint_eq(count_news(HISTORY_ROWS_LOST), 0);

        history_start();
        atomic_store(&fault_vfs.write_error, SQLITE_FULL);
        hw.n_told = 0;
        try_range(100, 130);
        await(hw.n_told == 30);
        history_stop();
        ck_assert_uint_eq(count_news(HISTORY_ROWS_LOST), 1);
        ck_assert_uint_eq(news_of(HISTORY_ROWS_LOST)->count, 30);
        atomic_store(&fault_vfs.write_error, 0);
        ck_assert_uint_eq(count_rows(), 100);
        history_start();
}
END_TEST

/* Takes as long as SQLite waits for others. */
START_TEST(somebody_elses_lock_is_waited_for)
{
        sqlite3 *db;

        history_stop();
        hw.config.retry_usec = 20000;
        history_start();
        add_range(0, 3);
        ck_assert_int_eq(sqlite3_open_v2(file_path(HISTORY_FILE), &db, SQLITE_OPEN_READWRITE, "unix"),
                         SQLITE_OK);
        ck_assert_int_eq(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
        try_range(3, 5);
        await(hw.n_told == 2);
        ck_assert_int_eq(hw.last_error, -EBUSY);
        ck_assert_int_eq(ask(&everything), 0);
        ck_assert_uint_eq(hw.n_found, 3);
        ck_assert_int_eq(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
        (void) sqlite3_close(db);
        await(count_news(HISTORY_WRITABLE) == 1);
        ck_assert_uint_eq(count_rows(), 5);
        ck_assert_uint_eq(count_news(HISTORY_UNWRITABLE), 1);
}
END_TEST

static void close_directory(void)
{
        ck_assert_int_eq(chmod(hw.directory, 0500), 0);
}

static void open_directory_to_all(void)
{
        ck_assert_int_eq(chmod(hw.directory, 0777), 0);
}

static void far_away(void)
{
        (void) snprintf(hw.directory, sizeof(hw.directory), "%s/missing/history", hw.base);
}

static void make_parent(void)
{
        char parent[96];

        (void) snprintf(parent, sizeof(parent), "%s/missing", hw.base);
        ck_assert_int_eq(mkdir(parent, 0700), 0);
}

static void open_directory_to_us(void)
{
        ck_assert_int_eq(chmod(hw.directory, 0700), 0);
}

static const struct {
        void (*spoil)(void), (*mend)(void);
        int error;
        bool unprivileged;
} places[] = {
        {close_directory, open_directory_to_us, -EACCES, true},
        {open_directory_to_all, open_directory_to_us, -EPERM, false},
        {far_away, make_parent, -ENOENT, false},
};

/* Root may write everywhere. */
static void drop_privileges(void)
{
        if (geteuid() != 0)
                return;
        ck_assert_int_eq(chown(hw.base, 65534, 65534), 0);
        ck_assert_int_eq(chown(hw.directory, 65534, 65534), 0);
        ck_assert_int_eq(setresgid(65534, 65534, 65534), 0);
        ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
}

START_TEST(a_place_that_cannot_be_used)
{
        history_stop();
        ck_assert_int_eq(unlink(file_path(HISTORY_FILE)), 0);
        if (places[_i].unprivileged)
                drop_privileges();
        places[_i].spoil();
        hw.config.retry_usec = 20000;
        history_start();
        ck_assert_int_eq(hw.ready_error, places[_i].error);
        try_range(0, 10);
        await(hw.n_told == 10);
        ck_assert_uint_eq(hw.n_stored, 0);
        ck_assert_int_eq(hw.last_error, places[_i].error);
        ck_assert_int_eq(ask(&everything), places[_i].error);
        ck_assert_uint_eq(hw.n_news, 1);
        ck_assert_int_eq(hw.news[0].type, HISTORY_UNWRITABLE);
        ck_assert_str_ne(hw.news[0].text, "");

        places[_i].mend();
        await(hw.n_news == 2);
        ck_assert_int_eq(hw.news[1].type, HISTORY_WRITABLE);
        ck_assert_uint_eq(hw.news[1].count, 10);
        ck_assert_uint_eq(count_rows(), 10);
}
END_TEST

START_TEST(a_file_that_is_taken_away_is_noticed)
{
        char away[128];

        (void) snprintf(away, sizeof(away), "%s/backup.db", hw.base);
        add_range(0, 30);
        ck_assert_int_eq(rename(file_path(HISTORY_FILE), away), 0);
        add_range(30, 40);
        ck_assert_uint_eq(hw.n_news, 1);
        ck_assert_int_eq(hw.news[0].type, HISTORY_VANISHED);
        ck_assert_uint_eq(count_rows_in(away), 30);
        ck_assert_uint_eq(count_rows(), 10);
        /* Back again, under its feet. */
        ck_assert_int_eq(rename(away, file_path(HISTORY_FILE)), 0);
        add_range(40, 45);
        ck_assert_uint_eq(count_rows(), 35);
        ck_assert_uint_eq(hw.n_news, 2);
}
END_TEST

/* Ends without warning */

static int reports;

static void report(void *userdata, int64_t id, int error)
{
        uint32_t job = (uint32_t) (uintptr_t) userdata;

        if (error < 0 || write(reports, &job, sizeof(job)) != (ssize_t) sizeof(job))
                _exit(3);
}

/* Adds rows until it is killed, a few of them under way at any time. */
static void insert_for_ever(unsigned from)
{
        history_start();
        for (unsigned i = from;; i++) {
                HistoryRow row = row_of(i);
                int r;

                do {
                        r = history_add(hw.history, &row, report, (void *) (uintptr_t) i, NULL);
                        if (r == -ENOBUFS || i % 5 == 0)
                                history_run_once();
                } while (r == -ENOBUFS);
        }
}

/* Runs it in a process of its own, and kills that after so many reports. Returns the last job reported. */
static unsigned insert_and_kill(unsigned from, unsigned n_reports)
{
        uint32_t job = from;
        int pipes[2], status;
        ssize_t n = sizeof(job);
        pid_t child;

        ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
        child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0) {
                reports = pipes[1];
                /* The loop of a process is its own. */
                hw.event = NULL;
                if (sd_event_new(&hw.event) < 0)
                        _exit(2);
                insert_for_ever(from);
        }
        (void) close(pipes[1]);
        for (unsigned i = 0; i < n_reports && n == sizeof(job); i++)
                n = read(pipes[0], &job, sizeof(job));
        ck_assert_int_eq(kill(child, SIGKILL), 0);
        /* What it has said before it died counts. */
        while (n == sizeof(job))
                n = read(pipes[0], &job, sizeof(job));
        (void) close(pipes[0]);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFSIGNALED(status));
        return job;
}

START_TEST(kill_9_loses_no_row_that_was_stored)
{
        unsigned from = 1;

        history_stop();
        for (unsigned round = 0; round < 12; round++) {
                unsigned last = insert_and_kill(from, 3 + round * 37 % 200);
                char sql[128];

                ck_assert_uint_ge(last, from);
                history_start();
                ck_assert_int_eq(hw.ready_error, 0);
                assert_proven_is_true();
                (void) snprintf(sql, sizeof(sql), "SELECT count(*) FROM attempt WHERE job BETWEEN %u AND %u",
                                from, last);
                ck_assert_int_eq(sql_number(file_path(HISTORY_FILE), sql), last - from + 1);
                ck_assert_int_eq(sql_number(file_path(HISTORY_FILE),
                                            "SELECT count(*) - count(DISTINCT job) FROM "
                                            "attempt"),
                                 0);
                history_stop();
                from = (unsigned) sql_number(file_path(HISTORY_FILE), "SELECT max(job) FROM attempt") + 1;
        }
        ck_assert_uint_eq(hw.n_news, 0); /* and no file was damaged */
        history_start();
}
END_TEST

static void copy_file(const char *from, const char *to)
{
        size_t n;
        _cleanup_free_ char *text = read_file(from, &n);

        write_file(to, text, n);
}

/* What the disk holds for sure, as a file to be opened. */
static unsigned count_rows_after_power_loss(const char *durable)
{
        char from[256], to[256], wal[256];
        unsigned n;

        (void) snprintf(from, sizeof(from), "%s/%s", durable, HISTORY_FILE);
        (void) snprintf(to, sizeof(to), "%s/%s", hw.base, HISTORY_FILE);
        copy_file(from, to);
        (void) snprintf(from, sizeof(from), "%s/%s-wal", durable, HISTORY_FILE);
        (void) snprintf(wal, sizeof(wal), "%s-wal", to);
        if (access(from, F_OK) == 0)
                copy_file(from, wal);
        n = count_rows_in(to);
        ck_assert_int_eq(
                sql_number(to, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"),
                1);
        (void) unlink(to);
        (void) unlink(wal);
        return n;
}

/* All that was written since a file was last synced is lost. Over several checkpoints of the log. */
START_TEST(power_loss_loses_no_row_that_was_stored)
{
        char durable[80], copied[128];
        unsigned n_syncs;

        (void) snprintf(durable, sizeof(durable), "%s/durable", hw.base);
        (void) snprintf(copied, sizeof(copied), "%s/%s", durable, HISTORY_FILE);
        ck_assert_int_eq(mkdir(durable, 0700), 0);
        history_stop();
        copy_file(file_path(HISTORY_FILE), copied);
        atomic_store(&fault_vfs.durable, durable);
        history_start();
        n_syncs = atomic_load(&fault_vfs.n_syncs);
        for (unsigned i = 0; i < 400; i++) {
                add_range(i, i + 1);
                if (i % 7 == 0 || i > 390)
                        ck_assert_uint_eq(count_rows_after_power_loss(durable), i + 1);
        }
        /* One for each row, and some for checkpoints. */
        ck_assert_uint_gt(atomic_load(&fault_vfs.n_syncs) - n_syncs, 402);
        history_stop();
        ck_assert_uint_eq(count_rows_after_power_loss(durable), 400);
        history_start();
        atomic_store(&fault_vfs.durable, NULL);
}
END_TEST

/* A commit whose sync failed may be in the log all the same, but not on the disk: it is seen to. */
START_TEST(after_a_sync_that_failed_rows_are_on_the_disk)
{
        char durable[80], copied[128];

        (void) snprintf(durable, sizeof(durable), "%s/durable", hw.base);
        (void) snprintf(copied, sizeof(copied), "%s/%s", durable, HISTORY_FILE);
        ck_assert_int_eq(mkdir(durable, 0700), 0);
        history_stop();
        copy_file(file_path(HISTORY_FILE), copied);
        atomic_store(&fault_vfs.durable, durable);
        hw.config.retry_usec = 20000;
        history_start();
        add_range(0, 5);
        atomic_store(&fault_vfs.sync_error, SQLITE_IOERR_FSYNC);
        try_range(5, 6);
        await(hw.n_told == 1);
        ck_assert_int_eq(hw.last_error, -EIO);
        ck_assert_uint_eq(count_rows_after_power_loss(durable), 5);
        atomic_store(&fault_vfs.sync_error, 0);
        await(count_news(HISTORY_WRITABLE) == 1);
        ck_assert_uint_eq(count_rows_after_power_loss(durable), 6);
        ck_assert_uint_eq(count_rows(), 6);
        atomic_store(&fault_vfs.durable, NULL);
}
END_TEST

static Suite *history_faults_suite(void)
{
        Suite *suite = suite_create("history-faults");
        TCase *tcase = tcase_create("history-faults");

        tcase_add_checked_fixture(tcase, history_world_setup, history_world_teardown);
        tcase_set_timeout(tcase, 120);
        tcase_add_loop_test(tcase, rows_wait_until_the_disk_is_well, 0, (int) ELEMENTSOF(faults));
        tcase_add_test(tcase, what_waits_has_a_bound);
        tcase_add_test(tcase, refusals_leave_room);
        tcase_add_test(tcase, the_last_try_is_at_the_end);
        tcase_add_test(tcase, somebody_elses_lock_is_waited_for);
        tcase_add_loop_test(tcase, a_place_that_cannot_be_used, 0, (int) ELEMENTSOF(places));
        tcase_add_test(tcase, a_file_that_is_taken_away_is_noticed);
        tcase_add_test(tcase, kill_9_loses_no_row_that_was_stored);
        tcase_add_test(tcase, power_loss_loses_no_row_that_was_stored);
        tcase_add_test(tcase, after_a_sync_that_failed_rows_are_on_the_disk);
        suite_add_tcase(suite, tcase);
        return suite;
}

int main(void)
{
        return unit_run(history_faults_suite());
}
