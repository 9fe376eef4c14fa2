/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The history: what became of every attempt to reset a device, kept over restarts, power loss and damage.
 *
 * It is one SQLite file. All work on it is done in a thread of its own, fed by a bounded queue, so the main
 * loop never waits for a disk; answers come back through the event loop, in the order of the calls, and
 * never before the call has returned.
 *
 *   - A row that was told to be stored is on disk: it survives kill -9 and power loss (history-file.c says
 * how).
 *   - Rows that cannot be written now (disk full, read-only, locked by somebody) are kept in memory and
 * tried again; this is told once. Over HISTORY_ROWS_MAX of them, further ones are refused, and such that
 * touched no device earlier: nobody can crowd out what says something about the hardware.
 *   - A file that is damaged, or not ours, or made by a newer version, is put aside under another name and a
 * new one begun; this is told each time. Of files put aside HISTORY_ASIDE_MAX of each kind are kept.
 *   - Rows are bounded by age, count and bytes, and what touched no device, which anybody can cause, has a
 * bound of its own; the oldest go, a few with each row that comes.
 *
 * Only `written` rows say something about the hardware. Those counts are told to the handler as a Proven:
 * all of the past at the start, then what was imported and what was forgotten. Rows added here are not,
 * since the domain counts them itself (domain/proven.h).
 *
 * Everything in here is called from the main thread.
 */

#include <systemd/sd-event.h>

#include "daemon/domain/proven.h"
#include "daemon/system/history-row.h"

#define HISTORY_DIR  "/var/lib/pciresetd"
#define HISTORY_FILE "history.db"

#define HISTORY_ROWS_MAX      1024U /* on their way to the disk; */
#define HISTORY_UNWRITTEN_MAX 768U /* as many, and none that touched no device comes in any more */
#define HISTORY_CALLS_MAX     64U /* questions, exports and imports under way */
#define HISTORY_TRANSFERS_MAX 2U /* of those, exports, and imports likewise */
#define HISTORY_LIMIT_DEFAULT 100U
#define HISTORY_LIMIT_MAX     1000U /* rows of one answer */
#define HISTORY_ASIDE_MAX     3U
#define HISTORY_IMPORT_MAX    (16U * 1024U * 1024U) /* bytes */
#define HISTORY_EXPORT_MAX    (64U * 1024U * 1024U) /* bytes */
/* How long the end of the daemon may wait for the disk. */
#define HISTORY_FLUSH_USEC UINT64_C(5000000)

typedef struct History History;
typedef struct HistoryCall HistoryCall;

/* Each 0 for its default. */
typedef struct HistoryLimits {
        uint64_t age_usec; /* five years */
        uint64_t rows; /* 200000 */
        uint64_t unwritten_rows; /* of those, such that touched no device: 20000 */
        uint64_t bytes; /* of the file: 256 MiB */
} HistoryLimits;

typedef struct HistoryConfig {
        const char *directory; /* made if it is missing; must belong to us and to nobody else */
        HistoryLimits limits;
        uint64_t retry_usec; /* between two tries to write what could not be written; 0: ten seconds */
} HistoryConfig;

typedef enum HistoryNewsType {
        HISTORY_PUT_ASIDE, /* the file could not be used; `file` is its name now, `text` why */
        HISTORY_VANISHED, /* the file was removed or replaced while it was in use */
        HISTORY_UNWRITABLE, /* rows are kept in memory: `error`, `text` */
        HISTORY_WRITABLE, /* again, and all of them are stored; `count` of them */
        HISTORY_ROWS_LOST, /* `count` rows found no room, or could not be written before the end */
} HistoryNewsType;

struct HistoryImport;

typedef struct HistoryNews {
        HistoryNewsType type;
        int error; /* negative errno; of a file put aside -EBADMSG: damaged or not ours, -EOPNOTSUPP: too new
                    */
        uint64_t count;
        char file[64];
        char text[256];
} HistoryNews;

/* All may be NULL. */
typedef struct HistoryHandler {
        /* Tries that the caller does not know yet: proven_merge(). */
        void (*learned)(void *userdata, const Proven *tries);
        /* Tries that were the oldest and are gone: proven_subtract(). */
        void (*forgotten)(void *userdata, const Proven *tries);
        void (*news)(void *userdata, const HistoryNews *news);
        /* For each import that went well, whether somebody waits for its answer or not. */
        void (*imported)(void *userdata, const struct HistoryImport *import, uint32_t uid);
        /* Once: the file was opened, and `learned` has told all of the past; or it could not be, negative
         * errno, and `learned` tells the past when it can. */
        void (*ready)(void *userdata, int error);
        void *userdata;
} HistoryHandler;

/* Zero means any. Rows that match all of them. */
typedef struct HistoryFilter {
        bool has_address;
        PciAddress address; /* only of rows of this machine: addresses elsewhere say nothing here */
        bool has_hardware;
        uint16_t vendor, device;
        char method[RESET_METHOD_NAME_MAX];
        bool has_verdict;
        Verdict verdict;
        bool has_uid;
        uint32_t uid; /* only of rows of this machine, too */
        bool has_source;
        HistorySource source;
        bool has_event;
        HistoryEvent event;
        uint64_t since_usec, until_usec; /* both included */
        unsigned limit; /* at most HISTORY_LIMIT_MAX; 0: HISTORY_LIMIT_DEFAULT. Not for exports */
} HistoryFilter;

/* What became of a row: stored for good under `id`, or `error`. With a negative errno other than -EINVAL it
 * is kept in memory and will be tried again, but nobody hears of it any more. */
typedef void (*HistoryAdded)(void *userdata, int64_t id, int error);
/* The newest rows first; they are borrowed, unless the handler takes them. -EBADMSG: the file was damaged,
 * and was put aside. */
typedef void (*HistoryFound)(void *userdata, int error, const HistoryRow *rows, size_t n);
/* `fd` is a sealed memfd at its beginning, which the handler takes; -EBADF after an error. -EFBIG: more than
 * HISTORY_EXPORT_MAX. */
typedef void (*HistoryExported)(void *userdata, int error, int fd, uint64_t n_rows);

typedef struct HistoryImport {
        size_t line; /* that is bad (-EBADMSG), counted from 1; 0 if the fault is in no line */
        const char *culprit; /* the key in it that is wrong, "" if no single one is; static */
        uint64_t n_added;
        uint64_t n_known; /* that were there already, and are not there twice */
        char origin[HISTORY_ORIGIN_MAX];
} HistoryImport;
/* After an error nothing at all was written. */
typedef void (*HistoryImported)(void *userdata, int error, const HistoryImport *import);

/* Starts the thread, which opens the file; whatever becomes of that is told by the handler. 0, -ENOMEM or
 * -errno. */
int history_new(sd_event *event, const HistoryConfig *config, const HistoryHandler *handler, History **ret);
/* Waits until rows on their way are on disk, at most HISTORY_FLUSH_USEC. Tells HISTORY_ROWS_LOST if some are
 * not; otherwise calls nobody any more. Accepts NULL, returns NULL. */
History *history_free(History *history);

/* Stores a copy of the row. `handler` and `ret` may be NULL. 0; -EINVAL for a row that cannot be stored;
 * -ENOBUFS if HISTORY_ROWS_MAX are waiting, or HISTORY_UNWRITTEN_MAX and this one touched no device;
 * -ENOMEM. */
int history_add(History *history, const HistoryRow *row, HistoryAdded handler, void *userdata,
                HistoryCall **ret);

/* Each: 0; -EINVAL for a filter or a text that makes no sense; -ENOBUFS if HISTORY_CALLS_MAX, or
 * HISTORY_TRANSFERS_MAX, are under way; -ENOMEM. `ret` may be NULL. They see all rows that were added
 * before. */
int history_query(History *history, const HistoryFilter *filter, HistoryFound handler, void *userdata,
                  HistoryCall **ret);
/* For the handler of a query, while it is called: the rows that it was told are its own from now on, to be
 * freed with history_rows_free(). */
HistoryRow *history_take_rows(HistoryCall *call);
/* Lines of JSON (history-row.h), the oldest row first, after a line that says what it is and who signs it
 * off:
 *   {"format":"pciresetd-history","version":2,"signed_off_by":"Ann Admin <ann@example.org>"} */
int history_export(History *history, const HistoryFilter *filter, const char *signed_off_by,
                   HistoryExported handler, void *userdata, HistoryCall **ret);
/* What history_export() has written somewhere, brought by `uid`. `text` is taken, unless an error is
 * returned. */
int history_import(History *history, char *text, size_t length, uint32_t uid, HistoryImported handler,
                   void *userdata, HistoryCall **ret);

/* The handler of this call will not be called. What is only asked for is not looked for any more, and leaves
 * its place to others; what is to be stored will be. Accepts NULL, returns NULL. */
HistoryCall *history_cancel(HistoryCall *call);
