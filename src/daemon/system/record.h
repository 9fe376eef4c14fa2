/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Workers of an earlier daemon: found by the records they keep, followed until they end.
 *
 * A worker outlives the daemon that started it. Its record says what it does, its lock that it still lives.
 * Lanes stay taken until it has ended, which its pidfd tells without polling.
 */

#include <systemd/sd-event.h>

#include "shared/worker-record.h"

typedef struct Records Records;

typedef struct RecordHandler {
        /* A worker that still runs. What is returned in `ret_job` comes back in `ended`. A negative return
         * leaves the worker unfollowed. */
        int (*running)(void *userdata, const WorkerRecord *record, void **ret_job);
        /* It has ended; `result` is handed over and NULL if it left none. */
        void (*ended)(void *userdata, void *job, WorkerResult *result);
        /* One that ended while nobody listened; record->result is NULL if it left none. May be NULL. */
        void (*unheard)(void *userdata, const WorkerRecord *record);
        void *userdata;
} RecordHandler;

/* Looks through the records once and follows those that are alive; the others are removed. `directory` is
 * WORKER_RECORD_DIR but in tests; it is made if it is missing. */
int records_new(sd_event *event, const char *directory, const RecordHandler *handler, Records **ret);
Records *records_free(Records *records);

/* Removes the record of a job whose result has been received. */
void records_remove(Records *records, uint32_t job);
/* The same for a worker that was not heard out: what it left is told to the journal first. */
void records_remove_unheard(Records *records, uint32_t job);

/* A job id that no job has had since the machine was started, over restarts of the daemon too. */
uint32_t records_new_job_id(Records *records);
