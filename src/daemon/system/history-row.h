/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * One row of the history: what became of one attempt to reset one device, or what else has happened to it,
 * and all that is worth knowing about it years later, on another machine.
 *
 * A row has four forms: this struct, a row of the table `attempt`, the parameters of a statement, and a line
 * of JSON in a file that goes from machine to machine. One table of fields in history-row.c makes each of
 * the other.
 *
 * A line holds every field but those that mean something on one machine only or are given by the store:
 * `id`, `uid`, `source` and `origin`; and `reason`, in which people wrote what was for their colleagues.
 *   {"time_usec":1795000000000000,"boot_id":"2f…","job":7,"address":"0000:01:00.0","vendor":32902,"device":4307,…,
 *    "method":"flr",…,"outcome":"done","verdict":"ok",…,"checks":[{"device":…,"check":…,…},…]}
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/domain/job.h"
#include "shared/cleanup.h"
#include "shared/worker-protocol.h"

/* Bytes with NUL. */
#define HISTORY_BOOT_ID_MAX  33U /* as sd_id128_to_string() writes it */
#define HISTORY_DRIVER_MAX   WORKER_DRIVER_MAX
#define HISTORY_KERNEL_MAX   65U /* as uname() gives it */
#define HISTORY_FIRMWARE_MAX 64U
#define HISTORY_PORT_MAX     256U
#define HISTORY_WHY_MAX      256U
#define HISTORY_REASON_MAX   256U
#define HISTORY_RULE_MAX     128U
#define HISTORY_POLICY_MAX   72U
#define HISTORY_ORIGIN_MAX   128U
/* The checks of one row as JSON, with NUL: room for those of a handful of devices. */
#define HISTORY_CHECKS_MAX 8192U
/* One row as a line of JSON, newline included. */
#define HISTORY_LINE_MAX (16U * 1024U)

/* Nobody's uid. */
#define HISTORY_UID_NONE UINT32_MAX

typedef enum HistorySource {
        HISTORY_OWN, /* it happened on this machine */
        HISTORY_IMPORTED, /* somebody says that it happened on his */
} HistorySource;

/* What a row is about. */
typedef enum HistoryEvent {
        HISTORY_RESET, /* an attempt to reset the device */
        HISTORY_QUARANTINE, /* it was put into quarantine; `why` is the cause, `checks` the evidence */
        HISTORY_RELEASE, /* and let out; `why`: well-again (proved by a reset), by-hand, or no-room */
        HISTORY_EVIDENCE, /* what the kernel has said about a device in quarantine is in `checks`: for root */
        HISTORY_ERROR, /* the kernel or its driver told of an error; `why` says which */
} HistoryEvent;

typedef struct HistoryRow {
        int64_t id; /* given by the store, never given again; 0 before */
        uint64_t time_usec; /* when the attempt ended: CLOCK_REALTIME */
        char boot_id[HISTORY_BOOT_ID_MAX];
        uint32_t job;
        PciAddress address;
        uint16_t vendor, device, subsystem_vendor, subsystem_device;
        uint8_t revision;
        uint32_t class;
        char driver_before[HISTORY_DRIVER_MAX], driver_after[HISTORY_DRIVER_MAX]; /* empty: none bound */
        char kernel[HISTORY_KERNEL_MAX]; /* its release */
        char firmware[HISTORY_FIRMWARE_MAX]; /* the device's; empty: cannot be read */
        char port[HISTORY_PORT_MAX]; /* the bridges above, from the root, with `/` between them */
        char method[RESET_METHOD_NAME_MAX];
        uint32_t set_size;
        AttemptOutcome outcome;
        uint32_t error; /* positive errno, 0: none */
        char why[HISTORY_WHY_MAX];
        bool written; /* the device was touched; only such rows say something about the hardware */
        Verdict verdict;
        char *checks; /* a JSON array, see history_checks_format(); owned; NULL: none */
        uint32_t checks_left_out; /* for which there was no room */
        uint64_t duration_usec; /* of the write */
        uint32_t uid; /* who asked, HISTORY_UID_NONE: unknown */
        char rule[HISTORY_RULE_MAX]; /* of the policy, that chose the method; empty: none */
        char policy[HISTORY_POLICY_MAX]; /* the policy's version */
        HistorySource source;
        char origin[HISTORY_ORIGIN_MAX]; /* of an imported row: who has signed it off */
        HistoryEvent event; /* of others than a reset the method may be empty, the outcome is `done`, and the
                             * verdict, which is one on a method, `unverified` */
        char reason[HISTORY_REASON_MAX]; /* for people, one line; empty: none */
} HistoryRow;

/* True for a row that says nothing of a device, and that anybody can cause: an attempt that came to nothing.
 */
bool history_row_is_idle(const HistoryRow *row);

void history_row_done(HistoryRow *row);
/* An array of rows, and itself. Accepts NULL. */
void history_rows_free(HistoryRow *rows, size_t n);

/* Copies the row, and makes its texts fit to be stored: whatever a device or a driver is called. 0, -ENOMEM,
 * or -EINVAL for one that cannot be stored: a method or a time that is none, checks over their bound. */
int history_row_copy(const HistoryRow *from, HistoryRow *ret);

/* The checks of an attempt as JSON, in a new string, for HistoryRow.checks. If there are too many of them,
 * those that did not fail are left out first, and `ret_left_out` tells how many are missing. 0 or -ENOMEM.
 */
int history_checks_format(const WorkerCheck *checks, size_t n, char **ret, uint32_t *ret_left_out);
/* And back. The caller frees `ret`; NULL for none. 0, -EBADMSG or -ENOMEM. `text` may be NULL. */
int history_checks_parse(const char *text, WorkerCheck **ret, size_t *ret_n);

/* As history_checks_parse(), from an array within something larger. */
struct json_object;
int history_checks_read(struct json_object *array, WorkerCheck **ret, size_t *ret_n);

/* A line with its newline, in a new string: 0, -ENOMEM. */
int history_line_format(const HistoryRow *row, char **ret);
/* Takes what history_line_format() writes, or has written before there were other events than resets, and
 * nothing else, one line without its newline: 0, -EBADMSG, and
 * in `ret_culprit` (static, may be NULL) the key that is wrong, "" if no single one is, or -ENOMEM. The row
 * is done with history_row_done(), in any case. */
int history_line_parse(const char *line, size_t length, HistoryRow *ret, const char **ret_culprit);

const char *history_event_to_string(HistoryEvent event); /* reset quarantine release error */
int history_event_from_string(const char *text, HistoryEvent *ret); /* 0, -EINVAL */
const char *history_source_to_string(HistorySource source); /* own imported */
int history_source_from_string(const char *text, HistorySource *ret); /* 0, -EINVAL */

/* For SQL. The names of all columns, with commas between. Returns `buffer`. */
#define HISTORY_ROW_COLUMNS      33
#define HISTORY_COLUMNS_TEXT_MAX 512U
const char *history_row_columns(char buffer[static HISTORY_COLUMNS_TEXT_MAX]);

struct sqlite3_stmt;
/* Binds parameters 1 to HISTORY_ROW_COLUMNS, borrowing the row until the statement is done; `id` as NULL, so
 * that the store gives one. Returns SQLite's code. */
int history_row_bind(struct sqlite3_stmt *statement, const HistoryRow *row);
/* Reads a row from columns 0 and following. Whoever wrote the file, the row is one that could be stored. 0
 * or -ENOMEM; history_row_done() in any case. */
int history_row_read(struct sqlite3_stmt *statement, HistoryRow *ret);
