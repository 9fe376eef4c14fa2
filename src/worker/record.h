/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The worker's record of its job, as shared/worker-protocol.h describes it, and the lock that says that the
 * worker lives.
 */

#include "shared/worker-record.h"

typedef struct Record Record;

/* Takes the lock of the request's job in `directory`, which must exist, and writes a record with the request
 * and the pid. The request must outlive the record. -EBUSY if another process holds the lock, -ENOMEM, or
 * what the file system said. */
int record_open(const char *directory, const WorkerRequest *request, Record **ret);

/* The same for what a worker that died has left: the record that is there is taken over with all that it has
 * saved. If there is none, since the machine was started anew, it begins with the request. */
int record_take_over(const char *directory, const WorkerRequest *request, Record **ret);

/* What the record holds; good as long as it is open and nothing is saved. */
const WorkerRecord *record_content(const Record *record);

/* Adds what the members are to be again, should they be taken away. */
int record_save_settings(Record *record, const WorkerSaved *saved, size_t n);

/* Adds the method list that is about to be overwritten. */
int record_save_list(Record *record, const char *list);

/* Adds that the bridge was allowed to sleep, and is about to be kept awake. */
int record_save_power(Record *record);

/* Adds the result. */
int record_finish(Record *record, const WorkerResult *result);

/* Releases the lock; the files stay. */
Record *record_close(Record *record);
