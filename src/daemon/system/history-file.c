/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The file itself: made, opened, judged.
 *
 * Durability. In WAL mode with synchronous=NORMAL a commit only writes to the log and syncs nothing: it
 * survives the death of the process, and a power loss may roll it back ("WAL mode does lose durability",
 * says SQLite's page on this pragma). With FULL the log is synced at the end of each commit, so what was
 * told to be stored is on disk. One sync for each reset, or each batch of them, in a thread where nobody
 * waits for it, is a small price. EXTRA is the same as FULL in WAL mode; where a file system cannot do WAL
 * and SQLite stays with a rollback journal, it also syncs the directory after the journal was removed,
 * without which the journal may come back and undo the commit.
 *
 * A new file is made under another name and renamed when its tables are in it. So a file that has the right
 * name and is empty is not one that we had no time to fill, but one that lost what was in it.
 *
 * A file is not changed before it was judged to be good: until then nothing is written into it, not even
 * what its log holds. One of a newer version can be taken back to where it came from.
 *
 * One of an older version is brought up to date in one transaction, which copies no rows: new columns come
 * last, and rows that are there read their default. SQLite writes the definition of such a column into the
 * text of the table, before the bracket that ends it, and that text is the one that a new file gets, too.
 */

#include "daemon/system/history-store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define NEW_FILE       HISTORY_FILE ".new"
#define APPLICATION_ID 1885565555 /* "pcrs" */
#define BUSY_MSEC      2000
#define LOG_SIZE_MAX   "4194304" /* of a log that is not in use */

#define TEXT(n)   #n
#define STRING(n) TEXT(n)

typedef struct Definition {
        const char *name, *sql;
} Definition;

/* Since version 2. */
#define EVENT  "event TEXT NOT NULL /* reset, quarantine, release, error */ DEFAULT 'reset'"
#define REASON "reason TEXT NOT NULL /* for people */ DEFAULT ''"

#define UNWRITTEN "CREATE INDEX attempt_unwritten ON attempt(time_usec) WHERE written = 0"

/* `.schema` shows this to administrators: it is how the columns are documented. */
#define ATTEMPT(more)                                                                                       \
        "CREATE TABLE attempt(\n"                                                                           \
        "  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"                                                         \
        "  time_usec INTEGER NOT NULL, -- since the epoch, when it ended\n"                                 \
        "  boot_id TEXT NOT NULL,\n"                                                                        \
        "  job INTEGER NOT NULL,\n"                                                                         \
        "  address TEXT NOT NULL,\n"                                                                        \
        "  vendor INTEGER NOT NULL,\n"                                                                      \
        "  device INTEGER NOT NULL,\n"                                                                      \
        "  subsystem_vendor INTEGER NOT NULL,\n"                                                            \
        "  subsystem_device INTEGER NOT NULL,\n"                                                            \
        "  revision INTEGER NOT NULL,\n"                                                                    \
        "  class INTEGER NOT NULL,\n"                                                                       \
        "  driver_before TEXT NOT NULL,\n"                                                                  \
        "  driver_after TEXT NOT NULL,\n"                                                                   \
        "  kernel TEXT NOT NULL,\n"                                                                         \
        "  firmware TEXT NOT NULL,\n"                                                                       \
        "  port TEXT NOT NULL, -- the bridges above, from the root\n"                                       \
        "  method TEXT NOT NULL,\n"                                                                         \
        "  set_size INTEGER NOT NULL,\n"                                                                    \
        "  outcome TEXT NOT NULL,\n"                                                                        \
        "  error INTEGER NOT NULL, -- errno\n"                                                              \
        "  why TEXT NOT NULL,\n"                                                                            \
        "  written INTEGER NOT NULL, -- 1: the device was touched\n"                                        \
        "  verdict TEXT NOT NULL,\n"                                                                        \
        "  checks TEXT NOT NULL, -- JSON\n"                                                                 \
        "  checks_left_out INTEGER NOT NULL,\n"                                                             \
        "  duration_usec INTEGER NOT NULL,\n"                                                               \
        "  uid INTEGER, -- NULL: unknown\n"                                                                 \
        "  rule TEXT NOT NULL,\n"                                                                           \
        "  policy TEXT NOT NULL,\n"                                                                         \
        "  source TEXT NOT NULL, -- own or imported\n"                                                      \
        "  origin TEXT NOT NULL -- of an imported row: who signed it off\n" more ") STRICT"

static const Definition schema[] = {
        {"attempt", ATTEMPT(", " EVENT ", " REASON)},
        {"attempt_by_time", "CREATE INDEX attempt_by_time ON attempt(time_usec)"},
        {"attempt_by_address", "CREATE INDEX attempt_by_address ON attempt(address, time_usec)"},
        {"attempt_by_hardware", "CREATE INDEX attempt_by_hardware ON attempt(vendor, device, time_usec)"},
        {"attempt_by_method", "CREATE INDEX attempt_by_method ON attempt(method, time_usec)"},
        {"attempt_by_verdict", "CREATE INDEX attempt_by_verdict ON attempt(verdict, time_usec)"},
        {"attempt_by_uid", "CREATE INDEX attempt_by_uid ON attempt(uid, time_usec)"},
        {"attempt_proven",
         "CREATE INDEX attempt_proven ON attempt(vendor, device, method, time_usec, verdict, "
         "duration_usec) WHERE written = 1"},
        {"attempt_unwritten", UNWRITTEN " AND event = 'reset'"},
};

/* Of version 1, what was otherwise; and what makes the second one of it. */
static const Definition schema_1[] = {
        {"attempt", ATTEMPT("")},
        {"attempt_unwritten", UNWRITTEN},
};
#define UPGRADE_1                                                                                           \
        "BEGIN IMMEDIATE; ALTER TABLE attempt ADD COLUMN " EVENT "; ALTER TABLE attempt ADD COLUMN " REASON \
        "; DROP INDEX attempt_unwritten; " UNWRITTEN                                                        \
        " AND event = 'reset'; PRAGMA user_version = 2; COMMIT"

/* Errors */

int store_failed(HistoryStore *store, int rc)
{
        int r;

        store_set_text(store, store->db ? sqlite3_errmsg(store->db) : sqlite3_errstr(rc));
        if (rc == SQLITE_IOERR_CORRUPTFS)
                return -EIO; /* another file on it would not be better */
        switch (rc & 0xff) {
        case SQLITE_OK:
        case SQLITE_DONE:
        case SQLITE_ROW:
                return 0;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
        case SQLITE_FORMAT:
                break;
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EBUSY;
        case SQLITE_READONLY:
                return -EROFS;
        case SQLITE_CANTOPEN:
        case SQLITE_PERM:
        case SQLITE_AUTH:
                return -EACCES;
        case SQLITE_NOMEM:
                return -ENOMEM;
        case SQLITE_CONSTRAINT:
        case SQLITE_TOOBIG:
        case SQLITE_MISMATCH:
                return -EINVAL;
        default:
                return -EIO;
        }
        /* What its log holds may be all that is left: it stays where it is. */
        (void) sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        store_end_use(store);
        (void) sqlite3_close(steal_pointer(store->db));
        r = store_put_aside(store, "damaged", -EBADMSG, store->text);
        store_close(store);
        return r < 0 ? r : -EBADMSG;
}

int store_run(HistoryStore *store, const char *sql)
{
        return sqlite3_exec(store->db, sql, NULL, NULL, NULL);
}

int store_prepare(HistoryStore *store, const char *sql, sqlite3_stmt **ret)
{
        return sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL);
}

int store_step(sqlite3_stmt *statement)
{
        int rc = sqlite3_step(statement);

        /* Tells the same error once more. */
        (void) sqlite3_reset(statement);
        return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Making */

static int fill(HistoryStore *store)
{
        int rc = store_run(store, "PRAGMA synchronous = EXTRA; BEGIN; PRAGMA application_id = " STRING(
                                          APPLICATION_ID) "; PRAGMA user_version = " STRING(STORE_VERSION));

        for (size_t i = 0; i < ELEMENTSOF(schema) && rc == SQLITE_OK; i++)
                rc = store_run(store, schema[i].sql);
        return rc == SQLITE_OK ? store_run(store, "COMMIT") : rc;
}

static int open_database(HistoryStore *store, const char *name)
{
        _cleanup_free_ char *path = NULL;
        int rc;

        if (asprintf(&path, "%s/%s", store->directory, name) < 0) {
                path = NULL;
                return SQLITE_NOMEM;
        }
        rc = sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
        if (store->db)
                (void) sqlite3_extended_result_codes(store->db, 1);
        return rc;
}

static int make(HistoryStore *store)
{
        _cleanup_close_ int fd = -EBADF;
        int rc, r = 0;

        (void) unlinkat(store->dirfd, NEW_FILE, 0);
        (void) unlinkat(store->dirfd, NEW_FILE "-journal", 0);
        fd = openat(store->dirfd, NEW_FILE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0) {
                r = -errno;
                store_set_text(store, "the file cannot be made");
                return r;
        }
        rc = open_database(store, NEW_FILE);
        if (rc == SQLITE_OK)
                rc = fill(store);
        if (rc != SQLITE_OK) {
                /* Nobody's data are in it, so there is nothing to put aside. */
                store_set_text(store, store->db ? sqlite3_errmsg(store->db) : sqlite3_errstr(rc));
                r = (rc & 0xff) == SQLITE_FULL ? -ENOSPC : -EIO;
        }
        (void) sqlite3_close(steal_pointer(store->db));
        if (r >= 0 && (fsync(fd) < 0 || renameat(store->dirfd, NEW_FILE, store->dirfd, HISTORY_FILE) < 0 ||
                       fsync(store->dirfd) < 0))
                r = -errno;
        if (r < 0)
                (void) unlinkat(store->dirfd, NEW_FILE, 0);
        return r;
}

/* Judging */

typedef enum Judgement {
        GOOD,
        OLD, /* good, and of an earlier version */
        MISSING,
        BAD,
        TOO_NEW,
} Judgement;

static int number_of(HistoryStore *store, const char *pragma, sqlite3_int64 *ret)
{
        sqlite3_stmt *statement = NULL;
        int rc = sqlite3_prepare_v2(store->db, pragma, -1, &statement, NULL);

        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        if (rc == SQLITE_ROW)
                *ret = sqlite3_column_int64(statement, 0);
        (void) sqlite3_finalize(statement);
        return rc == SQLITE_ROW ? SQLITE_OK : rc == SQLITE_OK || rc == SQLITE_DONE ? SQLITE_ERROR : rc;
}

/* Is this text the first column of the first row? */
static int says(HistoryStore *store, const char *sql, const char *parameter, const char *expected, bool *ret)
{
        sqlite3_stmt *statement = NULL;
        int rc = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);

        if (rc == SQLITE_OK && parameter)
                rc = sqlite3_bind_text(statement, 1, parameter, -1, SQLITE_STATIC);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        if (rc == SQLITE_ROW) {
                const unsigned char *text = sqlite3_column_text(statement, 0);

                *ret = text && strcmp((const char *) text, expected) == 0;
                if (text && !*ret)
                        store_set_text(store, (const char *) text);
        }
        (void) sqlite3_finalize(statement);
        if (rc == SQLITE_DONE) {
                *ret = false;
                return SQLITE_OK;
        }
        return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static const char *definition(const Definition *wanted, sqlite3_int64 version)
{
        for (size_t i = 0; i < ELEMENTSOF(schema_1) && version == 1; i++)
                if (strcmp(schema_1[i].name, wanted->name) == 0)
                        return schema_1[i].sql;
        return wanted->sql;
}

static int judge_schema(HistoryStore *store, sqlite3_int64 version, Judgement *ret)
{
        bool same = true;
        int rc = SQLITE_OK;

        for (size_t i = 0; i < ELEMENTSOF(schema) && rc == SQLITE_OK && same; i++)
                rc = says(store, "SELECT sql FROM sqlite_master WHERE name = ?1", schema[i].name,
                          definition(&schema[i], version), &same);
        if (rc == SQLITE_OK && !same) {
                store_set_text(store, "the tables are not those that they should be");
                *ret = BAD;
        }
        return rc;
}

static int judge_contents(HistoryStore *store, Judgement *ret)
{
        sqlite3_int64 application = 0, version = 0;
        bool ok = true;
        int rc;

        *ret = GOOD;
        rc = number_of(store, "PRAGMA application_id", &application);
        if (rc == SQLITE_OK)
                rc = number_of(store, "PRAGMA user_version", &version);
        if (rc != SQLITE_OK)
                return rc;
        if (application != APPLICATION_ID) {
                store_set_text(store, "this is no history");
                *ret = BAD;
        } else if (version > STORE_VERSION) {
                store_set_text(store, "a newer version has made it");
                *ret = TOO_NEW;
        } else {
                rc = judge_schema(store, version, ret);
                if (rc == SQLITE_OK && *ret == GOOD)
                        rc = says(store, "PRAGMA quick_check(1)", NULL, "ok", &ok);
                if (!ok)
                        *ret = BAD;
                if (*ret == GOOD && version == 1)
                        *ret = OLD;
        }
        return rc;
}

/* Before SQLite sees it: it would take an empty file for a new one, and throw a log away that has no file.
 */
static int judge_files(HistoryStore *store, Judgement *ret)
{
        struct stat st;

        *ret = GOOD;
        if (fstatat(store->dirfd, HISTORY_FILE, &st, AT_SYMLINK_NOFOLLOW) < 0) {
                if (errno != ENOENT)
                        return -errno;
                *ret = MISSING;
                if (faccessat(store->dirfd, HISTORY_FILE "-journal", F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
                    (fstatat(store->dirfd, HISTORY_FILE "-wal", &st, AT_SYMLINK_NOFOLLOW) >= 0 &&
                     st.st_size > 0)) {
                        store_set_text(store, "a log is there without its file");
                        *ret = BAD;
                }
        } else if (!S_ISREG(st.st_mode)) {
                store_set_text(store, "this is no file");
                *ret = BAD;
        } else if (st.st_size == 0) {
                store_set_text(store, "the file is empty");
                *ret = BAD;
        }
        return 0;
}

/* Opening */

static int open_directory(HistoryStore *store)
{
        struct stat st;

        if (mkdir(store->directory, 0700) < 0 && errno != EEXIST)
                return -errno;
        store->dirfd = open(store->directory, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (store->dirfd < 0 || fstat(store->dirfd, &st) < 0)
                return -errno;
        return st.st_uid == geteuid() && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0 ? 0 : -EPERM;
}

static int bring_up_to_date(HistoryStore *store)
{
        int rc = store_run(store, "PRAGMA synchronous = EXTRA; " UPGRADE_1);

        if (rc != SQLITE_OK && !sqlite3_get_autocommit(store->db))
                (void) store_run(store, "ROLLBACK");
        return rc;
}

static int set_up(HistoryStore *store)
{
        int rc = store_run(store,
                           "PRAGMA journal_mode = WAL; PRAGMA synchronous = EXTRA; "
                           "PRAGMA journal_size_limit = " LOG_SIZE_MAX "; PRAGMA temp_store = MEMORY; "
                           "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON");

        if (rc == SQLITE_OK)
                rc = store_begin_use(store);
        if (rc == SQLITE_OK)
                rc = sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
        return rc;
}

/* Opens what is there. 0: done, 1: what was there is put aside. */
static int try_open(HistoryStore *store)
{
        Judgement judgement;
        int rc, r;

        r = judge_files(store, &judgement);
        if (r >= 0 && judgement == MISSING) {
                r = make(store);
                judgement = GOOD;
        }
        if (r < 0)
                return r;
        if (judgement == BAD) {
                r = store_put_aside(store, "damaged", -EBADMSG, store->text);
                return r < 0 ? r : 1;
        }
        rc = open_database(store, HISTORY_FILE);
        if (rc == SQLITE_OK)
                rc = sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_busy_timeout(store->db, BUSY_MSEC);
        if (rc == SQLITE_OK)
                rc = judge_contents(store, &judgement);
        if (rc == SQLITE_OK && judgement == OLD) {
                rc = bring_up_to_date(store);
                judgement = GOOD;
        }
        if (rc == SQLITE_OK && judgement == GOOD)
                rc = set_up(store);
        if (rc != SQLITE_OK) {
                r = store_failed(store, rc);
                return r == -EBADMSG ? 1 : r;
        }
        if (judgement == GOOD)
                return 0;
        (void) sqlite3_close(steal_pointer(store->db));
        r = judgement == TOO_NEW ? store_put_aside(store, "newer", -EOPNOTSUPP, store->text)
                                 : store_put_aside(store, "damaged", -EBADMSG, store->text);
        return r < 0 ? r : 1;
}

int store_open(HistoryStore *store)
{
        int r;

        if (store->db)
                return 0;
        store_set_text(store, "");
        r = open_directory(store);
        /* The second time there is a new file. If that is bad too, the disk is. */
        for (unsigned i = 0; i < 2 && r >= 0; i++) {
                if (store->dirfd < 0)
                        r = open_directory(store);
                if (r >= 0)
                        r = try_open(store);
                if (r <= 0)
                        break;
        }
        if (r == 0)
                return 0;
        if (r < 0 && store->text[0] == '\0')
                store_set_text(store, strerror(-r));
        store_close(store);
        return r < 0 ? r : -EIO;
}

void store_close(HistoryStore *store)
{
        store_end_use(store);
        (void) sqlite3_close(steal_pointer(store->db));
        cleanup_close(&store->dirfd);
        store->dirfd = -EBADF;
}

void store_check_moved(HistoryStore *store)
{
        struct stat st;
        bool drained;
        int moved = 0;

        if (!store->db ||
            sqlite3_file_control(store->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) != SQLITE_OK || !moved)
                return;
        store_tell(store, HISTORY_VANISHED, -ENOENT, "",
                   "the file was removed or replaced while it was in use");
        /* What the log holds goes to where the file is now. Whatever has its name, the log does not belong
         * to. */
        drained = sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) ==
                  SQLITE_OK;
        (void) sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        store_end_use(store);
        (void) sqlite3_close(steal_pointer(store->db));
        if (!drained || fstatat(store->dirfd, HISTORY_FILE "-wal", &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            st.st_size == 0) {
                (void) unlinkat(store->dirfd, HISTORY_FILE "-wal", 0);
                (void) unlinkat(store->dirfd, HISTORY_FILE "-shm", 0);
        }
        store_close(store);
}

int store_settle(HistoryStore *store)
{
        int rc = sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);

        return rc == SQLITE_OK ? 0 : store_failed(store, rc);
}

HistoryStore *store_free(HistoryStore *store)
{
        if (!store)
                return NULL;
        store_close(store);
        free(store->directory);
        free(store);
        return NULL;
}

int store_new(const HistoryConfig *config, void (*told)(void *userdata, const HistoryNews *news),
              void *userdata, HistoryStore **ret)
{
        const uint64_t year = UINT64_C(365) * 24 * 3600 * 1000000;
        HistoryStore *store = calloc(1, sizeof(HistoryStore));

        if (!store)
                return -ENOMEM;
        store->dirfd = -EBADF;
        store->tell = told;
        store->userdata = userdata;
        store->directory = strdup(config->directory);
        if (!store->directory) {
                free(store);
                return -ENOMEM;
        }
        store->limits = (HistoryLimits){
                .age_usec = config->limits.age_usec ?: 5 * year,
                .rows = config->limits.rows ?: 200000,
                .unwritten_rows = config->limits.unwritten_rows ?: 20000,
                .bytes = config->limits.bytes ?: UINT64_C(256) * 1024 * 1024,
        };
        *ret = store;
        return 0;
}
