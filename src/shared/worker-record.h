/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The record. WORKER_RECORD_DIR/<job>.json holds the request, the worker's pid and, from before the first
 * write on, the old `reset_method`; before it replies the worker adds the result. While it lives it holds an
 * exclusive flock() on <job>.lock beside it. A daemon that was restarted finds there what is still running
 * and what ended while nobody listened. A record without a result whose lock is free belongs to a worker
 * that was killed: what it did is unknown, and `saved_reset_method`, if there is one, was perhaps not put
 * back. Then a worker with the operation `mend` takes the record over: the pid is its own from then on, and
 * what is saved stays.
 *
 * The directory is made by the daemon (or its unit). The files are written by the worker alone (to a
 * temporary file <job>.tmp, then renamed over) and removed by the daemon once it has read the result: it
 * takes the lock first, then removes the record, then the lock file.
 *
 *   {"version":2,"pid":4242,"saved_reset_method":"flr bus"|null,"request":{…},"result":{…}|null}
 *
 * Of a reset that may take devices away there is one more key, with one element for each member, in their
 * order: "saved":[{"reset_method":"flr bus"|null,"driver_override":"vfio-pci"},…]
 * And of one that keeps a sleeping bridge awake meanwhile there is "bridge_sleeps":true: its `power/control`
 * was `auto`, and is to be that again.
 */

#include "shared/worker-protocol.h"

#define WORKER_RECORD_DIR "/run/pciresetd/jobs"

/* What the kernel forgets of a device that is taken away. */
typedef struct WorkerSaved {
        char driver_override[WORKER_DRIVER_MAX]; /* empty: none */
        bool has_list;
        ResetMethodList list; /* that was in `reset_method` */
} WorkerSaved;

typedef struct WorkerRecord {
        uint32_t pid;
        bool has_saved_reset_method;
        char saved_reset_method[RESET_METHOD_LIST_STRING_MAX]; /* of the target, while it is narrowed */
        WorkerSaved *saved; /* of each member of the request, or NULL */
        size_t n_saved;
        bool bridge_sleeps; /* it may again, once the reset is over */
        WorkerRequest *request;
        WorkerResult *result; /* NULL while it runs, and for ever if the worker was killed */
} WorkerRecord;

int worker_record_parse(const char *text, size_t length, WorkerRecord **ret);
int worker_record_format(const WorkerRecord *record, char **ret);
WorkerRecord *worker_record_free(WorkerRecord *record);
