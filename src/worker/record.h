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

/* Adds the method list that is about to be overwritten. */
int record_save_list(Record *record, const char *list);

/* Adds the result. */
int record_finish(Record *record, const WorkerResult *result);

/* Releases the lock; the files stay. */
Record *record_close(Record *record);
