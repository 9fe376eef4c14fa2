/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The way of resets, from the call to the proof.
 *
 *   submit ──► authorizing ──► queued ──► resetting ──► verifying ──► finished
 *                  ▲              │                         │
 *                  └──────────────┴── what was authorised ──┴── the rung failed: the next one
 *                                     is not so any more
 *
 * A job climbs its ladder rung by rung. Each rung is planned anew, authorised on its own, waits for its
 * lane, and is planned once more at the head of the queue: whoever was allowed to reset an idle device was
 * not allowed to reset one in use. The devices are pinned before the first question, so that what runs in
 * the end is what was asked about, and not a successor at the same address.
 *
 * The domain does nothing to the outside world: what it needs done it asks for through JobPorts, and hears
 * the outcome through the job_…() calls below.
 */

#include "daemon/domain/job.h"
#include "daemon/domain/proven.h"
#include "daemon/domain/registry.h"

/* Everything a client can make the daemon keep is bounded. */
#define JOBS_MAX                   1024U
#define JOBS_PER_UID_MAX           128U
#define AUTHORIZATIONS_MAX         256U
#define AUTHORIZATIONS_PER_UID_MAX 32U
/* A device whose facts change at every look would make polkit be asked for ever. */
#define JOB_QUESTIONS_PER_RUNG_MAX 4U

typedef enum JobEvent {
        JOB_EVENT_REQUESTED,
        JOB_EVENT_ANNOUNCED,
        JOB_EVENT_CHANGED, /* phase, method or set */
        JOB_EVENT_STARTED, /* the next thing is the write */
        JOB_EVENT_FINISHED, /* job->error is set; the job is freed on return */
} JobEvent;

/* What the domain needs from the world. None of these may call back into the job before it returns. */
typedef struct JobPorts {
        /* Reads the live facts of a device into device->live. */
        int (*refresh)(void *userdata, Device *device);
        /* Holds the device's directory fast and checks that it still has this inode. Returns a handle >= 0,
         * -ENODEV if it is another device, or another negative errno. */
        int (*pin)(void *userdata, const PciAddress *address, uint64_t inode);
        void (*unpin)(void *userdata, int pin);
        /* Asks polkit about job->actions, and answers through job_authorized(). */
        int (*authorize)(void *userdata, Job *job);
        void (*forget_authorization)(void *userdata, Job *job);
        /* Sends the request to a new worker, which reports through job_worker_phase() and job_worker_done().
         */
        int (*start_worker)(void *userdata, Job *job, const WorkerRequest *request);
        void (*event)(void *userdata, Job *job, JobEvent event);
        uint64_t (*now_realtime)(void *userdata);
        uint32_t (*new_id)(void *userdata);
        void *userdata;
} JobPorts;

/* `ports` is copied. What becomes of each attempt is noted in `proven`. */
int jobs_new(Registry *registry, Proven *proven, const JobPorts *ports, Jobs **ret);
/* Forgets all jobs without an event; workers go on by themselves. */
Jobs *jobs_free(Jobs *jobs);

Job *jobs_find(const Jobs *jobs, uint32_t id);
/* Iterates in no order that matters: NULL gives the first one. */
Job *jobs_next(const Jobs *jobs, const Job *job);

/* Takes a request on. Whatever becomes of it, a failure at once included, is told by JOB_EVENT_FINISHED.
 * Returns 0, or -ENOMEM, in which case there was no event. */
int jobs_submit(Jobs *jobs, Device *target, const JobRequest *request);

/* Takes on a reset that a worker is running for an earlier daemon: it holds its lane until
 * job_worker_done(). */
int jobs_adopt(Jobs *jobs, const WorkerRequest *request, Job **ret);

/* Polkit has answered. */
void job_authorized(Job *job, Grant grant);

/* The worker reports. `result` is taken over; NULL means that the worker ended without one. */
void job_worker_phase(Job *job, WorkerEventType type);
void job_worker_done(Job *job, WorkerResult *result);

/* The caller does not wait any more. The job goes on for itself, but climbs no further rung. */
void job_detach(Job *job);

/* Ends a job that has not begun, with this error for its caller. -EBUSY if it has begun: it goes on. */
int job_cancel(Job *job, ResetError reason);
