/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The daemon's end of a worker: one connected stream socket, one request, its events, its result.
 *
 * How the socket comes to be is a matter of worker_connect() alone. Today it starts the program itself; once
 * systemd does that by socket activation, it connects instead, and nothing else changes: the end of a worker
 * is the end of its socket, which the kernel closes however the worker ends, and never before a write that
 * hangs has returned.
 */

#include <systemd/sd-event.h>

#include "shared/worker-protocol.h"

typedef struct WorkerCall WorkerCall;

typedef struct WorkerHandler {
        /* Before the write and after it: WORKER_EVENT_RESETTING, WORKER_EVENT_VERIFYING. */
        void (*phase)(void *userdata, WorkerEventType type);
        /* Last. `last` has the result or the scan, and neither if the worker ended without one or talked
         * nonsense (`error` < 0). Whoever wants to keep what it has takes it out. The call is freed after
         * this returns. */
        void (*done)(void *userdata, WorkerEvent *last, int error);
        void *userdata;
} WorkerHandler;

/* Sends a request to a new worker, and copies of request->n_fds descriptors with it. Nothing blocks.
 * `program`: the worker's path. */
int worker_call_start(sd_event *event, const char *program, const WorkerRequest *request, const int *fds,
                      const WorkerHandler *handler, WorkerCall **ret);

/* Stops listening; the worker goes on by itself. Accepts NULL. */
WorkerCall *worker_call_free(WorkerCall *call);
