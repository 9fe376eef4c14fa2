/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A history in a directory of its own, and its caller: an event loop and a Proven that is kept as the daemon
 * keeps its one.
 */

#include "daemon/system/history.h"
#include "fault-vfs.h"
#include "unit.h"

#define NEWS_MAX  64U
#define FOUND_MAX HISTORY_LIMIT_MAX

typedef struct HistoryWorld {
        char base[64]; /* removed at the end, with all that is in it */
        char directory[96]; /* of the history: `base`/history */
        HistoryConfig config;
        sd_event *event;
        History *history;
        Proven *proven;
        bool is_ready;
        int ready_error;
        HistoryNews news[NEWS_MAX];
        unsigned n_news;
        HistoryRow found[FOUND_MAX];
        size_t n_found;
        unsigned n_waiting; /* answers that have not come */
        unsigned n_told, n_stored; /* of try_one(): answers, and those that came with an id */
        int last_error;
} HistoryWorld;

extern HistoryWorld hw;

/* Makes the directory and starts the history; the disk is in order. */
void history_world_setup(void);
void history_world_teardown(void);

void history_start(void);
void history_stop(void);
void history_restart(void);

/* Runs the loop until this is true. */
#define await(condition)                                                                                    \
        do {                                                                                                \
                while (!(condition))                                                                        \
                        history_run_once();                                                                 \
        } while (0)
void history_run_once(void);

/* A row that differs with `i`, for each hardware id one of a few. */
HistoryRow row_of(unsigned i);
WorkerCheck check_of(unsigned i, CheckResult result);
/* As JSON, with its newline; the caller frees it. */
char *line_of(const HistoryRow *row);
/* Two rows are the same, `local` fields included or not. */
void assert_same(const HistoryRow *a, const HistoryRow *b, bool local);

/* Adds a row and waits for its id; notes it in the Proven, as the daemon would. */
int64_t add_one(const HistoryRow *row);
/* Adds rows `from` to `to`, without the last, and waits for all of them. */
void add_range(unsigned from, unsigned to);
/* Adds a row, and counts the answer. What history_add() says. */
int try_one(const HistoryRow *row);
void try_range(unsigned from, unsigned to);
/* 900 rows, more than SQLite keeps in memory of a file; none of them is in memory afterwards. */
void add_large_rows(void);
void note_row(const HistoryRow *row);

/* Asks, waits, and puts the answer into `found`. Returns its error. */
int ask(const HistoryFilter *filter);
/* How many rows there are. Reads the file behind the history's back. */
unsigned count_rows_in(const char *path);
unsigned count_rows(void);
/* One number from the file. */
int64_t sql_number(const char *path, const char *sql);
/* Runs SQL on a file that nobody uses. */
void sql_run(const char *path, const char *sql);

const char *file_path(const char *name);
/* The first news of this type, NULL: none. */
const HistoryNews *news_of(HistoryNewsType type);
unsigned count_news(HistoryNewsType type);

/* The whole file; the caller frees it. */
char *read_file(const char *path, size_t *ret_length);
void write_file(const char *path, const void *data, size_t length);

/* What the history has told of tries is what is in the file. */
void assert_proven_is_true(void);
