/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "history-world.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/cleanup.h"

HistoryWorld hw;

static void on_learned(void *userdata, const Proven *tries)
{
        proven_merge(hw.proven, tries);
}

static void on_forgotten(void *userdata, const Proven *tries)
{
        proven_subtract(hw.proven, tries);
}

static void on_news(void *userdata, const HistoryNews *news)
{
        ck_assert_uint_lt(hw.n_news, NEWS_MAX);
        hw.news[hw.n_news++] = *news;
}

static void on_ready(void *userdata, int error)
{
        ck_assert(!hw.is_ready);
        hw.is_ready = true;
        hw.ready_error = error;
}

void history_start(void)
{
        const HistoryHandler handler = {
                .learned = on_learned, .forgotten = on_forgotten, .news = on_news, .ready = on_ready};

        hw.is_ready = false;
        ck_assert_int_eq(proven_new(&hw.proven), 0);
        hw.config.directory = hw.directory;
        ck_assert_int_eq(history_new(hw.event, &hw.config, &handler, &hw.history), 0);
        await(hw.is_ready);
}

void history_stop(void)
{
        hw.history = history_free(hw.history);
        hw.proven = proven_free(hw.proven);
}

void history_restart(void)
{
        history_stop();
        history_start();
}

void history_world_setup(void)
{
        hw = (HistoryWorld){.base = "/tmp/test-history.XXXXXX"};
        ck_assert_ptr_nonnull(mkdtemp(hw.base));
        (void) snprintf(hw.directory, sizeof(hw.directory), "%s/history", hw.base);
        ck_assert_int_ge(sd_event_new(&hw.event), 0);
        fault_vfs_install();
        history_start();
        ck_assert_int_eq(hw.ready_error, 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        return remove(path);
}

static void forget_found(void)
{
        for (size_t i = 0; i < hw.n_found; i++)
                history_row_done(&hw.found[i]);
        hw.n_found = 0;
}

void history_world_teardown(void)
{
        history_stop();
        forget_found();
        sd_event_unref(hw.event);
        (void) nftw(hw.base, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void history_run_once(void)
{
        ck_assert_int_ge(sd_event_run(hw.event, UINT64_MAX), 0);
}

/* Rows */

HistoryRow row_of(unsigned i)
{
        static const char *const methods[] = {"flr", "bus", "pm", "subordinate"};
        HistoryRow row = {
                .time_usec = UINT64_C(1790000000000000) + i * UINT64_C(1000003),
                .boot_id = "0123456789abcdef0123456789abcdef",
                .job = i,
                .address = {.domain = 0,
                            .bus = (uint8_t) (i % 7),
                            .device = (uint8_t) (i % 3),
                            .function = 0},
                .vendor = 0x8086,
                .device = (uint16_t) (0x1000 + i % 5),
                .subsystem_vendor = 0x1af4,
                .subsystem_device = 0x1100,
                .revision = 3,
                .class = 0x020000,
                .driver_before = "igb",
                .driver_after = "vfio-pci",
                .kernel = "6.18.0-test",
                .firmware = "1.2.3",
                .port = "0000:00:01.0/0000:01:00.0",
                .set_size = 1 + i % 4,
                .outcome = i % 11 == 0 ? ATTEMPT_FAILED : ATTEMPT_DONE,
                .error = i % 11 == 0 ? ENOTTY : 0,
                .written = i % 13 != 12,
                .verdict = (Verdict) (i / 3 % 4),
                .duration_usec = 1000 + i * UINT64_C(7919) % 100000,
                .uid = 1000 + i % 3,
                .rule = "40-site.json:2",
                .policy = "7",
                .source = HISTORY_OWN,
        };

        (void) snprintf(row.method, sizeof(row.method), "%s", methods[i % ELEMENTSOF(methods)]);
        return row;
}

WorkerCheck check_of(unsigned i, CheckResult result)
{
        WorkerCheck check = {
                .device = {.bus = (uint8_t) i, .device = 3}, .check = "command", .result = result};

        (void) snprintf(check.before, sizeof(check.before), "0x%04x", i);
        (void) snprintf(check.after, sizeof(check.after), "\"%u\\", i);
        return check;
}

char *line_of(const HistoryRow *row)
{
        char *line = NULL;

        ck_assert_int_eq(history_line_format(row, &line), 0);
        ck_assert_int_eq(line[strlen(line) - 1], '\n');
        ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
        return line;
}

void assert_same(const HistoryRow *a, const HistoryRow *b, bool local)
{
        ck_assert_uint_eq(a->time_usec, b->time_usec);
        ck_assert_str_eq(a->boot_id, b->boot_id);
        ck_assert_uint_eq(a->job, b->job);
        ck_assert(pci_address_equal(&a->address, &b->address));
        ck_assert_uint_eq(a->vendor, b->vendor);
        ck_assert_uint_eq(a->device, b->device);
        ck_assert_uint_eq(a->subsystem_vendor, b->subsystem_vendor);
        ck_assert_uint_eq(a->subsystem_device, b->subsystem_device);
        ck_assert_uint_eq(a->revision, b->revision);
        ck_assert_uint_eq(a->class, b->class);
        ck_assert_str_eq(a->driver_before, b->driver_before);
        ck_assert_str_eq(a->driver_after, b->driver_after);
        ck_assert_str_eq(a->kernel, b->kernel);
        ck_assert_str_eq(a->firmware, b->firmware);
        ck_assert_str_eq(a->port, b->port);
        ck_assert_str_eq(a->method, b->method);
        ck_assert_uint_eq(a->set_size, b->set_size);
        ck_assert_int_eq(a->outcome, b->outcome);
        ck_assert_uint_eq(a->error, b->error);
        ck_assert_str_eq(a->why, b->why);
        ck_assert_int_eq(a->written, b->written);
        ck_assert_int_eq(a->verdict, b->verdict);
        ck_assert_str_eq(a->checks ?: "[]", b->checks ?: "[]");
        ck_assert_uint_eq(a->checks_left_out, b->checks_left_out);
        ck_assert_uint_eq(a->duration_usec, b->duration_usec);
        ck_assert_str_eq(a->rule, b->rule);
        ck_assert_str_eq(a->policy, b->policy);
        ck_assert_int_eq(a->event, b->event);
        if (!local)
                return;
        ck_assert_uint_eq(a->uid, b->uid);
        ck_assert_int_eq(a->source, b->source);
        ck_assert_str_eq(a->origin, b->origin);
        ck_assert_str_eq(a->reason, b->reason);
}

void note_row(const HistoryRow *row)
{
        if (row->written)
                proven_note(hw.proven, row->vendor, row->device, row->method, row->verdict,
                            row->duration_usec, row->time_usec);
}

static void on_added(void *userdata, int64_t id, int error)
{
        ck_assert_int_eq(error, 0);
        ck_assert_int_gt(id, 0);
        *(int64_t *) userdata = id;
        hw.n_waiting--;
}

int64_t add_one(const HistoryRow *row)
{
        int64_t id = 0;

        note_row(row);
        hw.n_waiting++;
        ck_assert_int_eq(history_add(hw.history, row, on_added, &id, NULL), 0);
        await(id != 0);
        return id;
}

void add_range(unsigned from, unsigned to)
{
        int64_t id = 0;

        for (unsigned i = from; i < to; i++) {
                HistoryRow row = row_of(i);

                note_row(&row);
                hw.n_waiting++;
                ck_assert_int_eq(history_add(hw.history, &row, on_added, &id, NULL), 0);
                if (hw.n_waiting >= HISTORY_UNWRITTEN_MAX)
                        await(hw.n_waiting == 0);
        }
        await(hw.n_waiting == 0);
}

static void on_told(void *userdata, int64_t id, int error)
{
        hw.n_told++;
        hw.n_stored += id > 0;
        hw.last_error = error;
}

int try_one(const HistoryRow *row)
{
        return history_add(hw.history, row, on_told, NULL, NULL);
}

void try_range(unsigned from, unsigned to)
{
        for (unsigned i = from; i < to; i++) {
                HistoryRow row = row_of(i);

                note_row(&row);
                ck_assert_int_eq(try_one(&row), 0);
        }
}

void add_large_rows(void)
{
        HistoryRow row = row_of(0);

        row.checks = (char[4000]){};
        memset(row.checks, 'c', 3999);
        for (unsigned i = 0; i < 900; i++)
                ck_assert_int_eq(history_add(hw.history, &row, NULL, NULL, NULL), 0);
        history_restart();
        ck_assert_uint_eq(count_rows(), 900);
}

static void on_found(void *userdata, int error, const HistoryRow *rows, size_t n)
{
        forget_found();
        ck_assert_uint_le(n, FOUND_MAX);
        for (size_t i = 0; i < n; i++)
                ck_assert_int_eq(history_row_copy(&rows[i], &hw.found[hw.n_found++]), 0);
        *(int *) userdata = error;
}

int ask(const HistoryFilter *filter)
{
        int error = 1;

        ck_assert_int_eq(history_query(hw.history, filter, on_found, &error, NULL), 0);
        await(error != 1);
        return error;
}

/* Behind its back */

static sqlite3 *open_file(const char *path)
{
        sqlite3 *db = NULL;

        ck_assert_int_eq(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "unix"), SQLITE_OK);
        return db;
}

int64_t sql_number(const char *path, const char *sql)
{
        sqlite3 *db = open_file(path);
        sqlite3_stmt *statement = NULL;
        int64_t number;

        ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK, "%s: %s", sql,
                      sqlite3_errmsg(db));
        ck_assert_msg(sqlite3_step(statement) == SQLITE_ROW, "%s: %s", sql, sqlite3_errmsg(db));
        number = sqlite3_column_int64(statement, 0);
        (void) sqlite3_finalize(statement);
        (void) sqlite3_close(db);
        return number;
}

void sql_run(const char *path, const char *sql)
{
        sqlite3 *db = open_file(path);

        ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s: %s", sql,
                      sqlite3_errmsg(db));
        (void) sqlite3_close(db);
}

unsigned count_rows_in(const char *path)
{
        return (unsigned) sql_number(path, "SELECT count(*) FROM attempt");
}

unsigned count_rows(void)
{
        return count_rows_in(file_path(HISTORY_FILE));
}

const char *file_path(const char *name)
{
        static char path[256];

        (void) snprintf(path, sizeof(path), "%s/%s", hw.directory, name);
        return path;
}

const HistoryNews *news_of(HistoryNewsType type)
{
        for (unsigned i = 0; i < hw.n_news; i++)
                if (hw.news[i].type == type)
                        return &hw.news[i];
        return NULL;
}

unsigned count_news(HistoryNewsType type)
{
        unsigned n = 0;

        for (unsigned i = 0; i < hw.n_news; i++)
                n += hw.news[i].type == type;
        return n;
}

char *read_file(const char *path, size_t *ret_length)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct stat st;
        char *data;

        ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
        ck_assert_int_eq(fstat(fd, &st), 0);
        data = malloc((size_t) st.st_size + 1);
        ck_assert_ptr_nonnull(data);
        ck_assert_int_eq(read(fd, data, (size_t) st.st_size), st.st_size);
        data[st.st_size] = '\0';
        *ret_length = (size_t) st.st_size;
        return data;
}

void write_file(const char *path, const void *data, size_t length)
{
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(write(fd, data, length), (ssize_t) length);
}

/* The same facts, as SQL counts them. Which of two good tries that ended in the same microsecond is the
 * later one, nobody can say, so tests do not make such. */
static const char summary_sql[] =
        "WITH good AS (SELECT vendor, device, method, duration_usec, row_number() OVER (PARTITION BY "
        "vendor, device, "
        "method ORDER BY time_usec DESC) AS age FROM attempt WHERE written = 1 AND verdict = 'ok'), "
        "last AS (SELECT vendor, device, method, duration_usec, row_number() OVER (PARTITION BY vendor, "
        "device, "
        "method ORDER BY duration_usec) - 1 AS place, count(*) OVER (PARTITION BY vendor, device, method) "
        "AS n "
        "FROM good WHERE age <= 15) "
        "SELECT vendor, device, method, count(*), sum(verdict = 'ok'), sum(verdict = 'dead'), "
        "(SELECT duration_usec FROM last WHERE last.vendor = attempt.vendor AND last.device = "
        "attempt.device AND "
        "last.method = attempt.method AND place = n / 2) "
        "FROM attempt WHERE written = 1 GROUP BY vendor, device, method";

void assert_proven_is_true(void)
{
        sqlite3 *db = open_file(file_path(HISTORY_FILE));
        sqlite3_stmt *statement = NULL;
        uint64_t tries = 0, all = 0;

        ck_assert_msg(sqlite3_prepare_v2(db, summary_sql, -1, &statement, NULL) == SQLITE_OK, "%s",
                      sqlite3_errmsg(db));
        while (sqlite3_step(statement) == SQLITE_ROW) {
                const char *method = (const char *) sqlite3_column_text(statement, 2);
                ProvenFacts facts = proven_get(hw.proven, (uint16_t) sqlite3_column_int(statement, 0),
                                               (uint16_t) sqlite3_column_int(statement, 1), method);

                ck_assert_uint_eq(facts.tries, (uint64_t) sqlite3_column_int64(statement, 3));
                ck_assert_uint_eq(facts.ok, (uint64_t) sqlite3_column_int64(statement, 4));
                ck_assert_uint_eq(facts.dead, (uint64_t) sqlite3_column_int64(statement, 5));
                ck_assert_uint_eq(facts.median_usec, (uint64_t) sqlite3_column_int64(statement, 6));
                tries += facts.tries;
        }
        (void) sqlite3_finalize(statement);
        (void) sqlite3_close(db);
        /* And nothing else is known, of the kinds that row_of() makes. */
        for (uint16_t device = 0x1000; device < 0x1005; device++)
                for (unsigned i = 0; i < 4; i++)
                        all += proven_get(hw.proven, 0x8086, device, row_of(i).method).tries;
        ck_assert_uint_eq(all, tries);
}
