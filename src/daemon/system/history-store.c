/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Rows in and out of the file.
 *
 * Each transaction that adds rows also takes some away if there are too many: as many as came and a few
 * more, so that nothing ever takes long. Rows that are too old go only this way: a clock that is wrong at
 * boot, and tells a far future, costs a few rows for each one that comes, and not all of them at once.
 *
 * The oldest by time go first, whatever the order in which they came. So what is forgotten of a kind of
 * hardware are always its oldest tries, and proven_subtract() comes to the same as a count over the rows
 * that are left.
 */

#include "daemon/system/history-store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* 2020-01-01. What is older than this program was dated by a clock that was not set, and its age is not
 * known. */
#define PLAUSIBLE_USEC INT64_C(1577836800000000)

/* Forgotten at once, beyond as many as were added. */
#define PRUNE_STEP 64U

#define IDLE "written = 0 AND event = 'reset'" /* history_row_is_idle() */
#define VICTIM                                                                                              \
        "SELECT id, vendor, device, method, verdict, written, duration_usec, time_usec, event = 'reset' "   \
        "FROM attempt "

static const char *const victims_sql[] = {
        [VICTIMS_OLD] = VICTIM
        "INDEXED BY attempt_by_time WHERE time_usec BETWEEN ?3 AND ?2 ORDER BY time_usec, id LIMIT ?1",
        [VICTIMS_ANY] = VICTIM "INDEXED BY attempt_by_time ORDER BY time_usec, id LIMIT ?1",
        [VICTIMS_UNWRITTEN] = VICTIM "INDEXED BY attempt_unwritten WHERE " IDLE
                                     " ORDER BY time_usec, id LIMIT ?1",
};

static int count_rows(HistoryStore *store)
{
        sqlite3_stmt *statement = NULL;
        int rc = sqlite3_prepare_v2(
                store->db,
                "SELECT (SELECT count(*) FROM attempt), (SELECT count(*) FROM attempt INDEXED "
                "BY attempt_unwritten WHERE " IDLE ")",
                -1, &statement, NULL);

        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        if (rc == SQLITE_ROW) {
                store->n_rows = (uint64_t) sqlite3_column_int64(statement, 0);
                store->n_unwritten = (uint64_t) sqlite3_column_int64(statement, 1);
        }
        (void) sqlite3_finalize(statement);
        return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int prepare_insert(HistoryStore *store)
{
        char columns[HISTORY_COLUMNS_TEXT_MAX], sql[HISTORY_COLUMNS_TEXT_MAX + 256U];
        size_t n;

        n = (size_t) snprintf(sql, sizeof(sql), "INSERT INTO attempt(%s) VALUES(?",
                              history_row_columns(columns));
        for (unsigned i = 1; i < HISTORY_ROW_COLUMNS; i++)
                n += (size_t) snprintf(sql + n, sizeof(sql) - n, ",?");
        (void) snprintf(sql + n, sizeof(sql) - n, ")");
        return store_prepare(store, sql, &store->insert);
}

int store_begin_use(HistoryStore *store)
{
        int rc = prepare_insert(store);

        if (rc == SQLITE_OK)
                rc = store_prepare(store, "DELETE FROM attempt WHERE id = ?1", &store->remove);
        if (rc == SQLITE_OK)
                rc = store_prepare(
                        store,
                        "SELECT id FROM attempt INDEXED BY attempt_by_time WHERE time_usec = ?1 AND "
                        "boot_id = ?2 AND job = ?3 AND address = ?4 AND method = ?5 AND event = ?6",
                        &store->known);
        if (rc == SQLITE_OK)
                rc = store_prepare(
                        store,
                        "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, "
                        "pragma_freelist_count, pragma_page_size",
                        &store->pages);
        for (size_t i = 0; i < ELEMENTSOF(victims_sql) && rc == SQLITE_OK; i++)
                rc = store_prepare(store, victims_sql[i], &store->victims[i]);
        return rc == SQLITE_OK ? count_rows(store) : rc;
}

static void finalize(sqlite3_stmt **statement)
{
        (void) sqlite3_finalize(steal_pointer(*statement));
}

void store_end_use(HistoryStore *store)
{
        finalize(&store->insert);
        finalize(&store->remove);
        finalize(&store->known);
        finalize(&store->pages);
        for (size_t i = 0; i < ELEMENTSOF(store->victims); i++)
                finalize(&store->victims[i]);
        for (size_t i = 0; i < ELEMENTSOF(store->queries); i++)
                finalize(&store->queries[i]);
}

int store_begin(HistoryStore *store)
{
        return store_run(store, "BEGIN IMMEDIATE");
}

int store_end(HistoryStore *store, int rc)
{
        if (rc == SQLITE_OK)
                rc = store_run(store, "COMMIT");
        /* Some failures have undone it already. */
        if (rc != SQLITE_OK && !sqlite3_get_autocommit(store->db))
                (void) store_run(store, "ROLLBACK");
        return rc;
}

int store_find(HistoryStore *store, const HistoryRow *row, int64_t *ret_id)
{
        char address[PCI_ADDRESS_STRING_MAX];
        sqlite3_stmt *statement = store->known;
        int rc = sqlite3_bind_int64(statement, 1, (sqlite3_int64) row->time_usec);

        if (rc == SQLITE_OK)
                rc = sqlite3_bind_text(statement, 2, row->boot_id, -1, SQLITE_STATIC);
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_int64(statement, 3, row->job);
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_text(statement, 4, pci_address_format(&row->address, address), -1,
                                       SQLITE_STATIC);
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_text(statement, 5, row->method, -1, SQLITE_STATIC);
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_text(statement, 6, history_event_to_string(row->event), -1, SQLITE_STATIC);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        *ret_id = rc == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
        (void) sqlite3_reset(statement);
        (void) sqlite3_clear_bindings(statement);
        return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int store_insert(HistoryStore *store, const HistoryRow *row, int64_t *ret_id)
{
        int rc = history_row_bind(store->insert, row);

        if (rc == SQLITE_OK)
                rc = store_step(store->insert);
        (void) sqlite3_clear_bindings(store->insert);
        if (rc == SQLITE_OK)
                *ret_id = sqlite3_last_insert_rowid(store->db);
        return rc;
}

void store_note(Proven *proven, const HistoryRow *row)
{
        if (row->written)
                proven_note(proven, row->vendor, row->device, row->method, row->verdict, row->duration_usec,
                            row->time_usec);
}

/* Forgetting */

static Verdict verdict_of(const char *text)
{
        for (Verdict verdict = VERDICT_UNVERIFIED; verdict <= VERDICT_DEAD; verdict++)
                if (text && strcmp(verdict_to_string(verdict), text) == 0)
                        return verdict;
        return VERDICT_UNVERIFIED;
}

/* The columns from `at` on: vendor, device, method, verdict. */
static void note_columns(Proven *proven, sqlite3_stmt *statement, int at, uint64_t duration_usec,
                         uint64_t time_usec)
{
        const char *method = (const char *) sqlite3_column_text(statement, at + 2);

        if (method)
                proven_note(proven, (uint16_t) sqlite3_column_int64(statement, at),
                            (uint16_t) sqlite3_column_int64(statement, at + 1), method,
                            verdict_of((const char *) sqlite3_column_text(statement, at + 3)), duration_usec,
                            time_usec);
}

typedef struct Pruned {
        uint64_t n, n_unwritten;
} Pruned;

static int remove_row(HistoryStore *store, sqlite3_int64 id)
{
        int rc = sqlite3_bind_int64(store->remove, 1, id);

        return rc == SQLITE_OK ? store_step(store->remove) : rc;
}

static int remove_victims(HistoryStore *store, StoreVictims which, uint64_t limit, uint64_t before,
                          Proven *forgotten, Pruned *pruned)
{
        sqlite3_int64 ids[PRUNE_STEP + STORE_BATCH_MAX];
        sqlite3_stmt *statement = store->victims[which];
        size_t n = 0;
        int rc;

        if (limit > ELEMENTSOF(ids))
                limit = ELEMENTSOF(ids);
        rc = sqlite3_bind_int64(statement, 1, (sqlite3_int64) limit);
        if (rc == SQLITE_OK && which == VICTIMS_OLD)
                rc = sqlite3_bind_int64(statement, 2, (sqlite3_int64) before);
        if (rc == SQLITE_OK && which == VICTIMS_OLD)
                rc = sqlite3_bind_int64(statement, 3, PLAUSIBLE_USEC);
        while (rc == SQLITE_OK && n < limit && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
                ids[n++] = sqlite3_column_int64(statement, 0);
                if (sqlite3_column_int64(statement, 5) != 0)
                        note_columns(forgotten, statement, 1, (uint64_t) sqlite3_column_int64(statement, 6),
                                     (uint64_t) sqlite3_column_int64(statement, 7));
                else if (sqlite3_column_int64(statement, 8) != 0)
                        pruned->n_unwritten++;
                rc = SQLITE_OK;
        }
        (void) sqlite3_reset(statement);
        if (rc == SQLITE_DONE)
                rc = SQLITE_OK;
        for (size_t i = 0; i < n && rc == SQLITE_OK; i++)
                rc = remove_row(store, ids[i]);
        pruned->n += n;
        return rc;
}

static int over_bytes(HistoryStore *store, bool *ret)
{
        int rc = sqlite3_step(store->pages);

        if (rc == SQLITE_ROW)
                *ret = (uint64_t) sqlite3_column_int64(store->pages, 0) > store->limits.bytes;
        (void) sqlite3_reset(store->pages);
        return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static uint64_t excess(uint64_t number, uint64_t limit)
{
        return number > limit ? number - limit : 0;
}

static uint64_t too_old(HistoryStore *store)
{
        struct timespec now = {};
        uint64_t usec;

        (void) clock_gettime(CLOCK_REALTIME, &now);
        usec = (uint64_t) now.tv_sec * 1000000U;
        return excess(usec, store->limits.age_usec);
}

/* `n_rows` and `n_unwritten` are what the transaction has made of them so far. */
static int prune(HistoryStore *store, bool old_ones, uint64_t n_rows, uint64_t n_unwritten,
                 Proven *forgotten, Pruned *pruned, bool *ret_more)
{
        bool over = false;
        int rc = SQLITE_OK;

        if (old_ones)
                rc = remove_victims(store, VICTIMS_OLD, PRUNE_STEP, too_old(store), forgotten, pruned);
        if (rc == SQLITE_OK && n_unwritten - pruned->n_unwritten > store->limits.unwritten_rows)
                rc = remove_victims(store, VICTIMS_UNWRITTEN,
                                    n_unwritten - pruned->n_unwritten - store->limits.unwritten_rows, 0,
                                    forgotten, pruned);
        if (rc == SQLITE_OK && n_rows - pruned->n > store->limits.rows)
                rc = remove_victims(store, VICTIMS_ANY, n_rows - pruned->n - store->limits.rows, 0,
                                    forgotten, pruned);
        if (rc == SQLITE_OK)
                rc = over_bytes(store, &over);
        if (rc == SQLITE_OK && over)
                rc = remove_victims(store, VICTIMS_ANY, PRUNE_STEP + STORE_BATCH_MAX, 0, forgotten, pruned);
        if (rc == SQLITE_OK && over)
                rc = over_bytes(store, &over);
        *ret_more = over || n_rows - pruned->n > store->limits.rows ||
                    n_unwritten - pruned->n_unwritten > store->limits.unwritten_rows;
        return rc;
}

/* After a commit. If somebody else removes rows, ours are counted too high, and nothing is found to be
 * removed. */
static void take_counts(HistoryStore *store, uint64_t n_rows, uint64_t n_unwritten, const Pruned *pruned,
                        bool *more)
{
        store->n_rows = n_rows - pruned->n;
        store->n_unwritten = n_unwritten - pruned->n_unwritten;
        if (pruned->n == 0 && *more) {
                *more = false;
                (void) count_rows(store);
        }
}

int store_prune(HistoryStore *store, Proven *forgotten, bool *ret_more)
{
        Pruned pruned = {};
        int rc;

        rc = store_begin(store);
        if (rc == SQLITE_OK)
                rc = prune(store, false, store->n_rows, store->n_unwritten, forgotten, &pruned, ret_more);
        rc = store_end(store, rc);
        if (rc != SQLITE_OK)
                return store_failed(store, rc);
        take_counts(store, store->n_rows, store->n_unwritten, &pruned, ret_more);
        return 0;
}

/* Adding */

/* A row that cannot be stored must not keep the others out. */
static bool is_fault_of_row(int rc)
{
        return (rc & 0xff) == SQLITE_CONSTRAINT || (rc & 0xff) == SQLITE_TOOBIG ||
               (rc & 0xff) == SQLITE_MISMATCH;
}

int store_add(HistoryStore *store, HistoryRow *const *rows, size_t n, bool again, int64_t *ids,
              Proven *forgotten, bool *ret_more)
{
        uint64_t n_rows = store->n_rows, n_unwritten = store->n_unwritten;
        Pruned pruned = {};
        int rc;

        *ret_more = false;
        rc = store_begin(store);
        for (size_t i = 0; i < n && rc == SQLITE_OK; i++) {
                ids[i] = 0;
                if (again)
                        rc = store_find(store, rows[i], &ids[i]);
                if (rc != SQLITE_OK || ids[i] > 0)
                        continue;
                rc = store_insert(store, rows[i], &ids[i]);
                if (is_fault_of_row(rc)) {
                        ids[i] = -EINVAL;
                        rc = SQLITE_OK;
                        continue;
                }
                n_rows++;
                n_unwritten += history_row_is_idle(rows[i]) ? 1 : 0;
        }
        if (rc == SQLITE_OK)
                rc = prune(store, true, n_rows, n_unwritten, forgotten, &pruned, ret_more);
        rc = store_end(store, rc);
        if (rc != SQLITE_OK)
                return store_failed(store, rc);
        take_counts(store, n_rows, n_unwritten, &pruned, ret_more);
        return 0;
}

/* Counting */

int store_load(HistoryStore *store, Proven *ret)
{
        sqlite3_stmt *statement = NULL;
        int rc = sqlite3_prepare_v2(
                store->db,
                "SELECT vendor, device, method, verdict, duration_usec, time_usec FROM attempt "
                "INDEXED BY attempt_proven WHERE written = 1 "
                "ORDER BY vendor, device, method, time_usec",
                -1, &statement, NULL);

        while (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
                note_columns(ret, statement, 0, (uint64_t) sqlite3_column_int64(statement, 4),
                             (uint64_t) sqlite3_column_int64(statement, 5));
                rc = SQLITE_OK;
        }
        (void) sqlite3_finalize(statement);
        return rc == SQLITE_DONE ? 0 : store_failed(store, rc);
}
