/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Questions to the history. For each combination of what a filter can ask for there is one prepared
 * statement, made when first needed. Which index it uses is decided here and not by SQLite, which knows
 * nothing about the rows: the one that leaves the fewest as a rule.
 */

#include "daemon/system/history-store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

typedef enum Ask {
        ASK_ADDRESS = 1 << 0,
        ASK_HARDWARE = 1 << 1,
        ASK_METHOD = 1 << 2,
        ASK_VERDICT = 1 << 3,
        ASK_UID = 1 << 4,
        ASK_TIME = 1 << 5,
        ASK_SOURCE = 1 << 6,
        ASK_EVENT = 1 << 7,
        ASK_AFTER = 1 << 8, /* by id instead, the oldest first */
} Ask;

_Static_assert(ELEMENTSOF(((HistoryStore *) NULL)->queries) == ASK_AFTER << 1, "one statement for each");

/* In the order in which their indexes are preferred. */
static const struct {
        Ask ask;
        const char *index, *term;
} terms[] = {
        {ASK_ADDRESS, "attempt_by_address", "address = ?1"},
        {ASK_HARDWARE, "attempt_by_hardware", "vendor = ?2 AND device = ?3"},
        {ASK_UID, "attempt_by_uid", "uid = ?4"},
        {ASK_VERDICT, "attempt_by_verdict", "verdict = ?5"},
        {ASK_METHOD, "attempt_by_method", "method = ?6"},
        {ASK_TIME, "attempt_by_time", "time_usec BETWEEN ?7 AND ?8"},
        {ASK_SOURCE, "attempt_by_time", "source = ?9"},
        {ASK_EVENT, "attempt_by_time", "event = ?12"},
        {ASK_AFTER, NULL, "id > ?10"},
};

static unsigned asks_of(const HistoryFilter *filter)
{
        unsigned asks = 0;

        if (filter->has_address)
                asks |= ASK_ADDRESS;
        if (filter->has_hardware)
                asks |= ASK_HARDWARE;
        if (filter->method[0] != '\0')
                asks |= ASK_METHOD;
        if (filter->has_verdict)
                asks |= ASK_VERDICT;
        if (filter->has_uid)
                asks |= ASK_UID;
        if (filter->since_usec > 0 || filter->until_usec > 0)
                asks |= ASK_TIME;
        if (filter->has_source || filter->has_address || filter->has_uid)
                asks |= ASK_SOURCE;
        if (filter->has_event)
                asks |= ASK_EVENT;
        return asks;
}

static int prepare(HistoryStore *store, unsigned asks)
{
        char sql[2 * HISTORY_COLUMNS_TEXT_MAX + 256U], columns[HISTORY_COLUMNS_TEXT_MAX],
                where[HISTORY_COLUMNS_TEXT_MAX] = "";
        const char *index = NULL;
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(terms); i++) {
                if (!(asks & terms[i].ask))
                        continue;
                n += (size_t) snprintf(where + n, sizeof(where) - n, "%s%s", n > 0 ? " AND " : " WHERE ",
                                       terms[i].term);
                if (!index)
                        index = terms[i].index;
        }
        if (!index)
                index = "attempt_by_time";
        history_row_columns(columns);
        if (asks & ASK_AFTER)
                (void) snprintf(sql, sizeof(sql),
                                "SELECT %s FROM attempt NOT INDEXED%s ORDER BY id LIMIT ?11", columns,
                                where);
        else
                (void) snprintf(
                        sql, sizeof(sql),
                        "SELECT %s FROM attempt INDEXED BY %s%s ORDER BY time_usec DESC, id DESC LIMIT ?11",
                        columns, index, where);
        return store_prepare(store, sql, &store->queries[asks]);
}

static HistorySource source_of(const HistoryFilter *filter)
{
        return filter->has_source ? filter->source : HISTORY_OWN;
}

/* A parameter that a statement has not is out of range, and only the last one is there for sure. */
static int bind(sqlite3_stmt *statement, unsigned asks, const HistoryFilter *filter, int64_t after,
                unsigned limit)
{
        const uint64_t until = filter->until_usec ?: INT64_MAX;
        char address[PCI_ADDRESS_STRING_MAX];
        int rc = sqlite3_bind_int64(statement, 11, limit);

        if (rc == SQLITE_OK && asks & ASK_ADDRESS)
                rc = sqlite3_bind_text(statement, 1, pci_address_format(&filter->address, address), -1,
                                       SQLITE_TRANSIENT);
        if (rc == SQLITE_OK && asks & ASK_HARDWARE)
                rc = sqlite3_bind_int64(statement, 2, filter->vendor);
        if (rc == SQLITE_OK && asks & ASK_HARDWARE)
                rc = sqlite3_bind_int64(statement, 3, filter->device);
        if (rc == SQLITE_OK && asks & ASK_UID)
                rc = sqlite3_bind_int64(statement, 4, filter->uid);
        if (rc == SQLITE_OK && asks & ASK_VERDICT)
                rc = sqlite3_bind_text(statement, 5, verdict_to_string(filter->verdict), -1, SQLITE_STATIC);
        if (rc == SQLITE_OK && asks & ASK_METHOD)
                rc = sqlite3_bind_text(statement, 6, filter->method, -1, SQLITE_TRANSIENT);
        if (rc == SQLITE_OK && asks & ASK_TIME)
                rc = sqlite3_bind_int64(statement, 7, (sqlite3_int64) filter->since_usec);
        if (rc == SQLITE_OK && asks & ASK_TIME)
                rc = sqlite3_bind_int64(statement, 8, (sqlite3_int64) until);
        if (rc == SQLITE_OK && asks & ASK_SOURCE)
                rc = sqlite3_bind_text(statement, 9, history_source_to_string(source_of(filter)), -1,
                                       SQLITE_STATIC);
        if (rc == SQLITE_OK && asks & ASK_AFTER)
                rc = sqlite3_bind_int64(statement, 10, after);
        if (rc == SQLITE_OK && asks & ASK_EVENT)
                rc = sqlite3_bind_text(statement, 12, history_event_to_string(filter->event), -1,
                                       SQLITE_STATIC);
        return rc;
}

static int make_room(HistoryRow **rows, size_t n, size_t *n_allocated)
{
        size_t wanted = *n_allocated > 0 ? 2 * *n_allocated : 16;
        HistoryRow *larger;

        if (n < *n_allocated)
                return 0;
        larger = reallocarray(*rows, wanted, sizeof(HistoryRow));
        if (!larger)
                return -ENOMEM;
        *rows = larger;
        *n_allocated = wanted;
        return 0;
}

/* SQLite's code, and SQLITE_NOMEM if the rows find no room. */
static int fetch(sqlite3_stmt *statement, HistoryRow **rows, size_t *n)
{
        size_t n_allocated = 0;
        int rc;

        while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
                if (make_room(rows, *n, &n_allocated) < 0)
                        return SQLITE_NOMEM;
                if (history_row_read(statement, &(*rows)[(*n)++]) < 0)
                        return SQLITE_NOMEM;
        }
        return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int run(HistoryStore *store, unsigned asks, const HistoryFilter *filter, int64_t after,
               unsigned limit, HistoryRow **ret, size_t *ret_n)
{
        HistoryRow *rows = NULL;
        size_t n = 0;
        int rc = SQLITE_OK;

        if (!store->queries[asks])
                rc = prepare(store, asks);
        if (rc == SQLITE_OK)
                rc = bind(store->queries[asks], asks, filter, after, limit);
        if (rc == SQLITE_OK)
                rc = fetch(store->queries[asks], &rows, &n);
        (void) sqlite3_reset(store->queries[asks]);
        if (rc != SQLITE_OK) {
                history_rows_free(rows, n);
                return store_failed(store, rc);
        }
        *ret = rows;
        *ret_n = n;
        return 0;
}

/* Rows of other machines only, by what means something on this one alone. */
static bool is_contradiction(const HistoryFilter *filter)
{
        return (filter->has_address || filter->has_uid) && source_of(filter) != HISTORY_OWN;
}

int store_query_after(HistoryStore *store, const HistoryFilter *filter, int64_t after, unsigned limit,
                      HistoryRow **ret, size_t *ret_n)
{
        *ret = NULL;
        *ret_n = 0;
        if (is_contradiction(filter))
                return 0;
        return run(store, asks_of(filter) | ASK_AFTER, filter, after, limit, ret, ret_n);
}

int store_query(HistoryStore *store, const HistoryFilter *filter, HistoryRow **ret, size_t *ret_n)
{
        *ret = NULL;
        *ret_n = 0;
        if (is_contradiction(filter))
                return 0;
        return run(store, asks_of(filter), filter, 0,
                   filter->limit > 0 ? filter->limit : HISTORY_LIMIT_DEFAULT, ret, ret_n);
}
