/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Which resets are under way, on disk: should the machine go down in the middle of one, the next boot knows
 * which devices to look at.
 *
 * The records of workers (shared/worker-record.h) are in /run and gone by then. One file holds the requests
 * of all jobs that a worker has, and the boot that they are of; it is replaced as a whole by a thread, and
 * is not there while nothing is under way. Nobody waits for it: a reset that takes the machine down within
 * the first milliseconds may not be in it.
 *
 *   {"version":1,"boot_id":"2f…","requests":[{…as the worker gets it…},…]}
 */

#include <systemd/sd-event.h>

#include "shared/worker-protocol.h"

#define UNDER_WAY_FILE "/var/lib/pciresetd/under-way.json"

typedef struct UnderWay UnderWay;

/* `path` is UNDER_WAY_FILE but in tests. 0 or a negative errno. */
int under_way_new(sd_event *event, const char *path, UnderWay **ret);
/* Accepts NULL. What is being written is not waited for. */
UnderWay *under_way_free(UnderWay *under_way);

/* Hands over what an earlier boot has left. A file that cannot be read is told in the journal. Blocks as the
 * disk does. */
void under_way_load(UnderWay *under_way, void (*found)(void *userdata, const WorkerRequest *request),
                    void *userdata);
/* Brings the file up to date with what has begun by now, whatever is in it. */
void under_way_sync(UnderWay *under_way);

/* A worker has this request, which takes the place of an earlier one of the same job. Without memory it is
 * missing. */
void under_way_begin(UnderWay *under_way, const WorkerRequest *request);
/* The job has ended. */
void under_way_end(UnderWay *under_way, uint32_t job);
