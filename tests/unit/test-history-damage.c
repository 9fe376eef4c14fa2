/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Files of the history that are damaged or not ours: each is put aside as it was, and told, and a new one
 * begun. What is on its way goes into that.
 */

#include <dirent.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
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
        {random_bytes, ""},     {no_header, ""},
        {bad_pages, ""},        {one_bad_page, ""},
        {half_of_it, ""},       {a_few_bytes, ""},
        {nothing_of_it, ""},    {some_text, ""},
        {a_directory, NULL},    {a_link, NULL},
        {another_database, ""}, {a_table_too_few, ""},
        {a_column_too_few, ""}, {an_index_too_few, ""},
        {a_log_alone, "-wal"},  {a_log_and_an_empty_file, "-wal", 2},
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
        ck_assert_int_eq(sqlite3_exec(db, "PRAGMA user_version = 3", NULL, NULL, NULL), SQLITE_OK);
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
        await(hw.n_told == 500);
        ck_assert_uint_eq(hw.n_stored, 500);
        ck_assert_uint_eq(hw.n_news, 1);
        ck_assert_int_eq(hw.news[0].type, HISTORY_PUT_ASIDE);
        /* Some had come before the damage was met. */
        n = sql_number(file_path(HISTORY_FILE), sql);
        n += sql_number(file_path(news_of(HISTORY_PUT_ASIDE)->file), sql);
        ck_assert_int_eq(n, 500);
}
END_TEST

static Suite *history_damage_suite(void)
{
        Suite *suite = suite_create("history-damage");
        TCase *tcase = tcase_create("history-damage");

        tcase_add_checked_fixture(tcase, history_world_setup, history_world_teardown);
        tcase_set_timeout(tcase, 120);
        tcase_add_loop_test(tcase, a_bad_file_is_put_aside, 0, (int) ELEMENTSOF(damages));
        tcase_add_test(tcase, a_newer_file_is_not_touched);
        tcase_add_test(tcase, of_bad_files_the_last_few_are_kept);
        tcase_add_test(tcase, damage_is_found_in_use);
        tcase_add_test(tcase, rows_that_meet_damage_are_stored);
        suite_add_tcase(suite, tcase);
        return suite;
}

int main(void)
{
        return unit_run(history_damage_suite());
}
