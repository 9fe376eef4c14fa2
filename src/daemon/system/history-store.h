/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The file of the history, for its thread (history-work.c) and for nobody else: all of this may block.
 *
 * history-file.c opens, makes and checks the file; history-aside.c puts it aside; history-store.c adds,
 * forgets and counts rows; history-query.c finds them; history-transfer.c moves them from and to other
 * machines.
 *
 * Functions return 0 or a negative errno: -EBADMSG for a file that was found damaged, was put aside and will
 * be begun anew by the next store_open(); -ENOSPC, -EROFS, -EACCES, -EBUSY, -EIO, -ENOMEM for what may pass.
 */

#include <sqlite3.h>

#include "daemon/system/history.h"

#define STORE_VERSION 2
/* One transaction adds so many rows at most, and takes away as many. */
#define STORE_BATCH_MAX 64U

typedef struct HistoryStore {
        char *directory;
        HistoryLimits limits;
        void (*tell)(void *userdata, const HistoryNews *news);
        void *userdata;

        int dirfd; /* while it is open */
        sqlite3 *db; /* NULL: closed */
        sqlite3_stmt *insert, *remove, *known, *pages;
        sqlite3_stmt *victims[3]; /* of StoreVictims */
        sqlite3_stmt *queries[512]; /* by what a filter asks for; made when first needed */
        uint64_t n_rows, n_unwritten;
        char text[256]; /* SQLite's words for the last error */
} HistoryStore;

typedef enum StoreVictims {
        VICTIMS_OLD, /* before a point in time */
        VICTIMS_ANY,
        VICTIMS_UNWRITTEN,
} StoreVictims;

int store_new(const HistoryConfig *config, void (*tell)(void *userdata, const HistoryNews *news),
              void *userdata, HistoryStore **ret);
HistoryStore *store_free(HistoryStore *store);

/* history-file.c */

/* Opens the file, if it is not open: makes one if there is none, and if it cannot be used puts it aside and
 * makes a new one. */
int store_open(HistoryStore *store);
void store_close(HistoryStore *store);
/* Closes a file that somebody has removed or replaced. */
void store_check_moved(HistoryStore *store);
/* Sees to it that what is in the log is on the disk, after an error that left this open. */
int store_settle(HistoryStore *store);
/* What `rc` of SQLite's means. A damaged file is closed and put aside. */
int store_failed(HistoryStore *store, int rc);
/* Runs statements without parameters or results. SQLite's code. */
int store_run(HistoryStore *store, const char *sql);
int store_prepare(HistoryStore *store, const char *sql, sqlite3_stmt **ret);
/* Steps a statement that returns no rows, and resets it. SQLite's code, SQLITE_OK for done. */
int store_step(sqlite3_stmt *statement);

/* history-aside.c */

/* Gives all files of the database another name, which tells the `kind` and the time, and tells everybody.
 * SQLite must have let go of them. */
int store_put_aside(HistoryStore *store, const char *kind, int error, const char *text);
void store_tell(HistoryStore *store, HistoryNewsType type, int error, const char *file, const char *text);
void store_set_text(HistoryStore *store, const char *text);

/* history-store.c */

/* Prepares what is needed, and counts the rows. SQLite's code. */
int store_begin_use(HistoryStore *store);
void store_end_use(HistoryStore *store);
/* Adds the rows in one transaction, which also forgets rows over the limits, as many as were added and a few
 * more. `again`: rows may be there already, since a try that failed may have come through in the end: an
 * error of the disk's says that it is not known what is on it. `ids` gets the id of each, or -EINVAL for one
 * that cannot be stored. `forgotten` gets the tries that are gone, and `ret_more` whether there are more of
 * them over the limits. */
int store_add(HistoryStore *store, HistoryRow *const *rows, size_t n, bool again, int64_t *ids,
              Proven *forgotten, bool *ret_more);
/* One more transaction that only forgets. */
int store_prune(HistoryStore *store, Proven *forgotten, bool *ret_more);
/* All tries in the file. */
int store_load(HistoryStore *store, Proven *ret);
/* A transaction: SQLite's code. store_end() commits if `rc` is SQLITE_OK, and otherwise, or if it cannot be
 * committed, undoes all of it. */
int store_begin(HistoryStore *store);
int store_end(HistoryStore *store, int rc);
/* Within one. SQLite's code. `ret_id` of a row that is not there is 0. */
int store_find(HistoryStore *store, const HistoryRow *row, int64_t *ret_id);
int store_insert(HistoryStore *store, const HistoryRow *row, int64_t *ret_id);
void store_note(Proven *proven, const HistoryRow *row);

/* history-query.c */

/* The caller frees the rows with history_rows_free(). */
int store_query(HistoryStore *store, const HistoryFilter *filter, HistoryRow **ret, size_t *ret_n);
/* Rows with an id over `after`, `limit` at most, in the order of their ids. */
int store_query_after(HistoryStore *store, const HistoryFilter *filter, int64_t after, unsigned limit,
                      HistoryRow **ret, size_t *ret_n);

/* history-transfer.c */

/* An export on its way. */
typedef struct StoreExport {
        HistoryFilter filter;
        char origin[HISTORY_ORIGIN_MAX];
        int fd; /* -EBADF: not begun */
        int64_t after;
        uint64_t n_rows, n_bytes;
} StoreExport;

/* Writes some more rows. 1: there are more of them, 0: that was the last one, and `fd` is sealed; -EFBIG. */
int store_export(HistoryStore *store, StoreExport *export);
void store_export_done(StoreExport *export);

/* All or nothing. `added` gets the tries that were not there before. -EBADMSG, with `ret->line` set, for a
 * bad line; with 0 there for a damaged file. */
int store_import(HistoryStore *store, const char *text, size_t length, Proven *added, HistoryImport *ret);
