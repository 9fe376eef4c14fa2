/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The history when things go wrong: files that are damaged or not ours, disks that are full, fail or lie, a
 * directory that cannot be written to, somebody who holds a lock, kill -9 and power loss. What was told to
 * be stored is there afterwards, once; what was not is kept and comes later; a bad file is put aside as it
 * was, and told.
 */

#include <dirent.h>
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

/* Files put aside */

typedef struct Aside {
        char names[32][256];
        unsigned n;
} Aside;

static Aside list_aside(void)
{
        DIR *dir = opendir(hw.directory);
        Aside aside = {};

        ck_assert_ptr_nonnull(dir);
        for (const struct dirent *entry; (entry = readdir(dir));)
                if (strncmp(entry->d_name, HISTORY_FILE ".", strlen(HISTORY_FILE ".")) == 0) {
                        ck_assert_uint_lt(aside.n, ELEMENTSOF(aside.names));
                        strcpy(aside.names[aside.n++], entry->d_name);
                }
        (void) closedir(dir);
        return aside;
}

/* Each spoils the files of a history that has stopped. */

static char *data;
static size_t length;

static void load_file(void)
{
        data = read_file(file_path(HISTORY_FILE), &length);
        ck_assert_uint_gt(length, 40000);
}

static void save_file(size_t n)
{
        write_file(file_path(HISTORY_FILE), data, n);
        free(steal_pointer(data));
}

static void random_bytes(void)
{
        unsigned seed = 99;

        load_file();
        for (size_t i = 0; i < length; i++)
                data[i] = (char) rand_r(&seed);
        save_file(length);
}

static void no_header(void)
{
        load_file();
        memset(data, 0, 100);
        save_file(length);
}

static void bad_pages(void)
{
        unsigned seed = 7;

        load_file();
        for (size_t i = 4096; i < length; i += 512)
                data[i] = (char) rand_r(&seed);
        save_file(length);
}

static void one_bad_page(void)
{
        load_file();
        memset(data + length - 2 * 4096, 0xee, 4096);
        save_file(length);
}

static void half_of_it(void)
{
        load_file();
        save_file(length / 2);
}

static void a_few_bytes(void)
{
        load_file();
        save_file(50);
}

static void nothing_of_it(void)
{
        load_file();
        save_file(0);
}

static void some_text(void)
{
        write_file(file_path(HISTORY_FILE), "# this is a text\n", 17);
}

static void a_directory(void)
{
        ck_assert_int_eq(unlink(file_path(HISTORY_FILE)), 0);
        ck_assert_int_eq(mkdir(file_path(HISTORY_FILE), 0700), 0);
}

static void a_link(void)
{
        ck_assert_int_eq(unlink(file_path(HISTORY_FILE)), 0);
        ck_assert_int_eq(symlink("/etc/passwd", file_path(HISTORY_FILE)), 0);
}

static void another_database(void)
{
        ck_assert_int_eq(unlink(file_path(HISTORY_FILE)), 0);
        write_file(file_path(HISTORY_FILE), "", 0);
        sql_run(file_path(HISTORY_FILE), "CREATE TABLE attempt(id INTEGER PRIMARY KEY)");
}

static void a_table_too_few(void)
{
        sql_run(file_path(HISTORY_FILE), "DROP TABLE attempt");
}

static void a_column_too_few(void)
{
        sql_run(file_path(HISTORY_FILE), "ALTER TABLE attempt DROP COLUMN origin");
}

static void an_index_too_few(void)
{
        sql_run(file_path(HISTORY_FILE), "DROP INDEX attempt_by_uid");
}

/* SQLite takes such a file for a new one, and throws its log away. */
static void a_log_and_an_empty_file(void)
{
        write_file(file_path(HISTORY_FILE), "", 0);
        write_file(file_path(HISTORY_FILE "-wal"), "log", 3);
}

/* With rows in the log: nobody knows where they belong. */
static void a_log_alone(void)
{
        ck_assert_int_eq(unlink(file_path(HISTORY_FILE)), 0);
        write_file(file_path(HISTORY_FILE "-wal"), "log", 3);
}

static const struct {
        void (*spoil)(void);
        const char *suffix; /* of the file to be found again */
        unsigned n_files; /* put aside; 0: one */
} damages[] = {
        {random_bytes, ""},
        {no_header, ""},
        {bad_pages, ""},
        {one_bad_page, ""},
        {half_of_it, ""},
        {a_few_bytes, ""},
        {nothing_of_it, ""},
        {some_text, ""},
        {a_directory, NULL},
        {a_link, NULL},
        {another_database, ""},
        {a_table_too_few, ""},
        {a_column_too_few, ""},
        {an_index_too_few, ""},
        {a_log_alone, "-wal"},
        {a_log_and_an_empty_file, "-wal", 2},
};

static void assert_same_file(const char *before, size_t n_before, const char *path)
{
        size_t n;
        _cleanup_free_ char *after = read_file(path, &n);

        ck_assert_uint_eq(n, n_before);
        ck_assert(memcmp(before, after, n) == 0);
}

/* It is one that works. */
static void assert_new_history(void)
{
        HistoryRow row = row_of(5);

        ck_assert_int_eq(ask(&everything), 0);
        ck_assert_uint_eq(hw.n_found, 0);
        ck_assert_int_gt(add_one(&row), 0);
        ck_assert_int_eq(ask(&everything), 0);
        ck_assert_uint_eq(hw.n_found, 1);
        history_restart();
        ck_assert_int_eq(ask(&everything), 0);
        ck_assert_uint_eq(hw.n_found, 1);
}

START_TEST(a_bad_file_is_put_aside)
{
        _cleanup_free_ char *before = NULL;
        size_t n_before = 0;
        char name[80];

        add_range(0, 300);
        history_stop();
        damages[_i].spoil();
        (void) snprintf(name, sizeof(name), "%s%s", HISTORY_FILE, damages[_i].suffix ?: "");
        if (damages[_i].suffix)
                before = read_file(file_path(name), &n_before);

        history_start();
        ck_assert_int_eq(hw.ready_error, 0);
        ck_assert_uint_eq(hw.n_news, 1);
        ck_assert_int_eq(hw.news[0].type, HISTORY_PUT_ASIDE);
        ck_assert_int_eq(hw.news[0].error, -EBADMSG);
        ck_assert_str_ne(hw.news[0].text, "");
        ck_assert_uint_eq(list_aside().n, damages[_i].n_files ?: 1);
        (void) snprintf(name, sizeof(name), "%s%s", hw.news[0].file, damages[_i].suffix ?: "");
        ck_assert(damages[_i].n_files > 1 || strcmp(list_aside().names[0], name) == 0);
        ck_assert_ptr_nonnull(strstr(name, "damaged-"));
        if (damages[_i].suffix)
                assert_same_file(before, n_before, file_path(name));
        assert_new_history();
        ck_assert_uint_eq(hw.n_news, 1);
}
END_TEST

/* An older program that is put back must not harm what a newer one has made. */
START_TEST(a_newer_file_is_not_touched)
{
        _cleanup_free_ char *before = NULL, *before_log = NULL;
        size_t n_before, n_before_log;
        char name[80];
        sqlite3 *db;

        add_range(0, 10);
        history_stop();
        /* With its version in the log alone: whoever closes it as usual moves it into the file. */
        ck_assert_int_eq(sqlite3_open_v2(file_path(HISTORY_FILE), &db, SQLITE_OPEN_READWRITE, "unix"),
                         SQLITE_OK);
        ck_assert_int_eq(sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL), SQLITE_OK);
        ck_assert_int_eq(sqlite3_exec(db, "PRAGMA user_version = 2", NULL, NULL, NULL), SQLITE_OK);
        (void) sqlite3_close(db);
        before = read_file(file_path(HISTORY_FILE), &n_before);
        before_log = read_file(file_path(HISTORY_FILE "-wal"), &n_before_log);
        ck_assert_uint_gt(n_before_log, 0);

        history_start();
        ck_assert_int_eq(hw.ready_error, 0);
        ck_assert_uint_eq(hw.n_news, 1);
        ck_assert_int_eq(hw.news[0].type, HISTORY_PUT_ASIDE);
        ck_assert_int_eq(hw.news[0].error, -EOPNOTSUPP);
        ck_assert_ptr_nonnull(strstr(hw.news[0].file, ".newer-"));
        assert_same_file(before, n_before, file_path(hw.news[0].file));
        (void) snprintf(name, sizeof(name), "%s-wal", hw.news[0].file);
        assert_same_file(before_log, n_before_log, file_path(name));
        assert_new_history();
        ck_assert_int_eq(sql_number(file_path(hw.news[0].file), "SELECT count(*) FROM attempt"), 10);
}
END_TEST

START_TEST(of_bad_files_the_last_few_are_kept)
{
        char names[6][64];

        for (unsigned i = 0; i < ELEMENTSOF(names); i++) {
                hw.n_news = 0;
                history_stop();
                some_text();
                history_start();
                ck_assert_uint_eq(hw.n_news, 1);
                strcpy(names[i], hw.news[0].file);
        }
        ck_assert_uint_eq(list_aside().n, HISTORY_ASIDE_MAX);
        for (unsigned i = 0; i < ELEMENTSOF(names); i++)
                ck_assert_int_eq(access(file_path(names[i]), F_OK),
                                 i < ELEMENTSOF(names) - HISTORY_ASIDE_MAX ? -1 : 0);
}
END_TEST

/* More than SQLite keeps in memory of a file. */
static void add_large_rows(void)
{
        HistoryRow row = row_of(0);

        row.checks = (char[4000]){};
        memset(row.checks, 'c', 3999);
        for (unsigned i = 0; i < 900; i++)
                ck_assert_int_eq(history_add(hw.history, &row, NULL, NULL, NULL), 0);
        history_restart();
        ck_assert_uint_eq(count_rows(), 900);
}

START_TEST(damage_is_found_in_use)
{
        add_large_rows();
        atomic_store(&fault_vfs.garble_reads, 1000000);
        ck_assert_int_eq(ask(&everything), -EBADMSG);
        await(hw.n_news == 1);
        ck_assert_int_eq(hw.news[0].type, HISTORY_PUT_ASIDE);
        atomic_store(&fault_vfs.garble_reads, 0);
        ck_assert_uint_eq(count_rows_in(file_path(hw.news[0].file)), 900);
        assert_new_history();
}
END_TEST

/* Disks that fail */

static unsigned n_told, n_stored;
static int last_error;

static void on_told(void *userdata, int64_t id, int error)
{
        n_told++;
        n_stored += id > 0;
        last_error = error;
}

static void try_range(unsigned from, unsigned to)
{
        for (unsigned i = from; i < to; i++) {
                HistoryRow row = row_of(i);

                note_row(&row);
                ck_assert_int_eq(history_add(hw.history, &row, on_told, NULL, NULL), 0);
        }
}

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
        await(n_told == 20);
        ck_assert_uint_eq(n_stored, 0);
        ck_assert_int_eq(last_error, error);
        /* Over a few tries. */
        for (unsigned i = 40; i < 60; i++) {
                try_range(i, i + 1);
                await(n_told == i - 19);
                ck_assert_int_eq(last_error, error);
                (void) usleep(5000);
        }
        ck_assert_uint_eq(n_stored, 0);
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

/* Rows that meet the damage are not lost: they are in the next file. */
START_TEST(rows_that_meet_damage_are_stored)
{
        const char *sql = "SELECT count(*) FROM attempt WHERE job >= 1000";
        int64_t n;

        hw.config.retry_usec = 20000;
        hw.config.limits.rows = 900; /* each row that comes makes it look for the oldest */
        add_large_rows();
        atomic_store(&fault_vfs.garble_reads, 1);
        try_range(1000, 1500);
        await(n_told == 500);
        ck_assert_uint_eq(n_stored, 500);
        ck_assert_uint_eq(hw.n_news, 1);
        ck_assert_int_eq(hw.news[0].type, HISTORY_PUT_ASIDE);
        /* Some had come before the damage was met. */
        n = sql_number(file_path(HISTORY_FILE), sql);
        n += sql_number(file_path(news_of(HISTORY_PUT_ASIDE)->file), sql);
        ck_assert_int_eq(n, 500);
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
        while (history_add(hw.history, &row, on_told, NULL, NULL) == 0)
                row = row_of(++n);
        ck_assert_uint_eq(n, HISTORY_ROWS_MAX);
        await(n_told == n);
        ck_assert_int_eq(history_add(hw.history, &row, on_told, NULL, NULL), -ENOBUFS);
        await(count_news(HISTORY_ROWS_LOST) == 1);
        atomic_store(&fault_vfs.write_error, 0);
        await(count_news(HISTORY_WRITABLE) == 1);
        ck_assert_uint_eq(news_of(HISTORY_WRITABLE)->count, n);
        ck_assert_uint_eq(count_rows(), n);
        ck_assert_uint_eq(n_stored, 0);
}
END_TEST

START_TEST(the_last_try_is_at_the_end)
{
        atomic_store(&fault_vfs.write_error, SQLITE_FULL);
        try_range(0, 100);
        await(n_told == 100);
        atomic_store(&fault_vfs.write_error, 0);
        history_stop(); /* long before the next try */
        ck_assert_uint_eq(count_rows(), 100);
        ck_assert_uint_eq(count_news(HISTORY_ROWS_LOST), 0);

        history_start();
        atomic_store(&fault_vfs.write_error, SQLITE_FULL);
        n_told = 0;
        try_range(100, 130);
        await(n_told == 30);
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
        await(n_told == 2);
        ck_assert_int_eq(last_error, -EBUSY);
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
        await(n_told == 10);
        ck_assert_uint_eq(n_stored, 0);
        ck_assert_int_eq(last_error, places[_i].error);
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
        ck_assert_uint_eq(list_aside().n, 0);
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
        await(n_told == 1);
        ck_assert_int_eq(last_error, -EIO);
        ck_assert_uint_eq(count_rows_after_power_loss(durable), 5);
        atomic_store(&fault_vfs.sync_error, 0);
        await(count_news(HISTORY_WRITABLE) == 1);
        ck_assert_uint_eq(count_rows_after_power_loss(durable), 6);
        ck_assert_uint_eq(count_rows(), 6);
        atomic_store(&fault_vfs.durable, NULL);
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

static Suite *history_faults_suite(void)
{
        Suite *suite = suite_create("history-faults");
        TCase *tcase = tcase_create("history-faults");

        tcase_add_checked_fixture(tcase, history_world_setup, history_world_teardown);
        tcase_set_timeout(tcase, 120);
        tcase_add_loop_test(tcase, a_bad_file_is_put_aside, 0, (int) ELEMENTSOF(damages));
        tcase_add_test(tcase, a_newer_file_is_not_touched);
        tcase_add_test(tcase, of_bad_files_the_last_few_are_kept);
        tcase_add_test(tcase, damage_is_found_in_use);
        tcase_add_test(tcase, rows_that_meet_damage_are_stored);
        tcase_add_loop_test(tcase, rows_wait_until_the_disk_is_well, 0, (int) ELEMENTSOF(faults));
        tcase_add_test(tcase, what_waits_has_a_bound);
        tcase_add_test(tcase, the_last_try_is_at_the_end);
        tcase_add_test(tcase, somebody_elses_lock_is_waited_for);
        tcase_add_loop_test(tcase, a_place_that_cannot_be_used, 0, (int) ELEMENTSOF(places));
        tcase_add_test(tcase, a_file_that_is_taken_away_is_noticed);
        tcase_add_test(tcase, kill_9_loses_no_row_that_was_stored);
        tcase_add_test(tcase, power_loss_loses_no_row_that_was_stored);
        tcase_add_test(tcase, after_a_sync_that_failed_rows_are_on_the_disk);
        tcase_add_test(tcase, rows_of_an_unset_clock_are_kept);
        suite_add_tcase(suite, tcase);
        return suite;
}

int main(void)
{
        return unit_run(history_faults_suite());
}
