/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Workers of an earlier daemon: found by the records they keep, followed until they end.
 *
 * A worker outlives the daemon that started it. Its record says what it does, its lock that it still lives.
 * Lanes stay taken until it has ended, which its pidfd tells without polling. A worker that was killed
 * leaves a record without a result, for the one that puts back what is saved there. A record stays until
 * records_remove(): when the history has what became of the job.
 */

#include <systemd/sd-event.h>

#include "shared/worker-record.h"

typedef struct Records Records;

typedef struct RecordHandler {
        /* A worker that still runs. What is returned in `ret_job` comes back in `ended`. A negative return
         * leaves the worker unfollowed. */
        int (*running)(void *userdata, const WorkerRecord *record, void **ret_job);
        /* It has ended; `result` is handed over, NULL if it left none. The record stays. */
        void (*ended)(void *userdata, void *job, WorkerResult *result);
        /* One that ended while nobody listened, with a result, which the handler may take out, or without.
         * The record stays if it returns true. May be NULL. */
        bool (*unheard)(void *userdata, WorkerRecord *record);
        void *userdata;
} RecordHandler;

/* Looks through the records once and follows those that are alive; of the others the handler is told.
 * `directory` is WORKER_RECORD_DIR but in tests; it is made if it is missing. */
int records_new(sd_event *event, const char *directory, const RecordHandler *handler, Records **ret);
Records *records_free(Records *records);

/* Removes the record of a job, if there is one. */
void records_remove(Records *records, uint32_t job);
/* What a worker that is gone has written: 0, -ENOENT if it had not come so far, or another negative errno.
 */
int records_read(Records *records, uint32_t job, WorkerRecord **ret);

/* A job id that no job has had since the machine was started, over restarts of the daemon too. If there is
 * no room to set it aside, that is for records_secure_ids(). */
uint32_t records_new_job_id(Records *records);
/* Before a worker begins: sets aside what could not be when its id was drawn. Where there is no room for
 * that there is none for the worker's record either, and it refuses. */
void records_secure_ids(Records *records);
