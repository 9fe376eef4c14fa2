/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Tasks: what a worker does to a device that is no reset, and nobody's job. It writes a setting of the
 * device that a reset writes, too, so it takes the device's lane like one, and waits for resets as they wait
 * for it.
 *
 * A kind of task embeds LaneTask as its first member. When its turn has come it looks what is to be done;
 * that ends in a worker or in lane_task_end().
 */

#include "daemon/domain/jobs.h"

typedef struct LaneTask LaneTask;

typedef struct LaneTaskKind {
        size_t size; /* of what begins with the LaneTask */
        /* The device's turn has come. */
        void (*run)(LaneTask *task, Device *device);
        /* Its worker has ended; `result` NULL: it died. Not told of a device that has gone. The task ends
         * after this by itself. */
        void (*done)(LaneTask *task, Device *device, const WorkerResult *result);
        /* Looks whether there is something to do, and asks for a task then: called at the end of one that is
         * to look again. */
        void (*look)(Jobs *jobs, Device *device);
} LaneTaskKind;

struct LaneTask {
        Jobs *jobs;
        const LaneTaskKind *kind;
        uint32_t id; /* of the worker's request; 0: it waits */
        PciAddress address;
        uint64_t generation; /* of the device */
        LaneTicket *ticket;
        bool again; /* something may have changed since it has looked */
        LaneTask *prev, *next;
};

/* Has a task of this kind done for the device. One that waits, or that a worker is at, looks (again).
 * Without memory there is none. */
void lane_task_ask(Jobs *jobs, const Device *device, const LaneTaskKind *kind);

/* Sends the request, whose member and number are filled in. As JobPorts.start_order; after an error the task
 * goes on. */
int lane_task_start_worker(LaneTask *task, const Device *device, WorkerRequest *request);

/* The task is over and freed, and the lane free for others. */
void lane_task_end(LaneTask *task);

/* The worker of JobPorts.start_order has ended; `result` is taken over, NULL: it died. */
void lane_task_done(Jobs *jobs, uint32_t id, WorkerResult *result);

/* For the lanes' owner: runs it, if what the lanes gave is a task. */
bool lane_task_run(Jobs *jobs, void *taken);
void lane_tasks_free(Jobs *jobs);
