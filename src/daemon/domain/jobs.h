/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The way of resets, from the call to the proof.
 *
 *  submit ─► authorizing ─► inhibited ─► waiting_idle ─► queued ─► resetting ─► verifying ─► finished
 *                 ▲      (if somebody    (if asked for:    │                         │
 *                 │      wants to let    holders have      │                         │
 *                 │      go first)       to let go)        │                         │
 *                 └────────────────────────────────────────┴─── what was authorised ─┴─ the rung failed:
 *                                                               is not so any more      the next one
 *
 * Before a rung is planned it is found out who uses the devices (JobPorts.scan); the worker looks once more
 * right before it writes. A job climbs its ladder rung by rung. Each rung is planned anew, authorised on its
 * own, waits for its lane, and is planned once more at the head of the queue: whoever was allowed to reset
 * an idle device was not allowed to reset one in use. The devices are pinned before the first question, so
 * that what runs in the end is what was asked about, and not a successor at the same address.
 *
 * The domain does nothing to the outside world: what it needs done it asks for through JobPorts, and hears
 * the outcome through the job_…() calls below.
 */

#include "daemon/domain/job.h"
#include "daemon/domain/proven.h"
#include "daemon/domain/quarantine.h"
#include "daemon/domain/registry.h"

/* `ports` is copied. What becomes of each attempt is noted in `proven`, and what it has left behind decides
 * who goes into quarantine and who comes out. */
int jobs_new(Registry *registry, Proven *proven, Quarantines *quarantines, const JobPorts *ports,
             Jobs **ret);
/* Forgets all jobs without an event; workers go on by themselves. */
Jobs *jobs_free(Jobs *jobs);

Job *jobs_find(const Jobs *jobs, uint32_t id);
/* Iterates in no order that matters: NULL gives the first one. */
Job *jobs_next(const Jobs *jobs, const Job *job);

/* Takes a request on, of a client's or (by_policy) of the daemon's own. Whatever becomes of it, a failure at
 * once included, is told by JOB_EVENT_FINISHED. Returns 0, or -ENOMEM, in which case there was no event. */
int jobs_submit(Jobs *jobs, Device *target, const JobRequest *request);

/* Brings the device back, since a rule wants that: the ladder of `recover`, as a job of the daemon's own,
 * which waits until whoever uses the device has let go. `rule`: for the journal and the history
 * (policy_rule_text()). Its end is told by JOB_EVENT_FINISHED, as that of any other. 0, -EALREADY if there
 * is a job that does so already, -EBUSY if too many devices are being brought back, or -ENOMEM. */
int jobs_recover(Jobs *jobs, Device *device, const char *rule);

/* Takes on a reset that a worker is running for an earlier daemon: it holds its lane until
 * job_worker_done(). */
int jobs_adopt(Jobs *jobs, const WorkerRequest *request, Job **ret);

/* It was found out who uses the devices; negative errno if not, in which case their use is unknown. */
void job_scanned(Job *job, int error);
/* The time for letting go is over. */
void job_delay_over(Job *job);

/* The use, the claims, the driver or the error state of a device have changed, or it was removed: jobs that
 * wait for that look again. */
void jobs_wake(Jobs *jobs, const Device *device);
/* A device has appeared: a reset under way that takes devices away may have been waiting for it. Before
 * anybody else is told. */
void jobs_device_added(Jobs *jobs, Device *device);

/* Polkit has answered. */
void job_authorized(Job *job, Grant grant);

/* The worker reports. `result` is taken over; NULL means that the worker ended without one. */
void job_worker_phase(Job *job, WorkerEventType type);
void job_worker_done(Job *job, WorkerResult *result);

/* The caller does not wait any more. The job goes on for itself, but climbs no further rung. */
void job_detach(Job *job);

/* Ends a job that has not begun, with this error for its caller. -EBUSY if it has begun: it goes on. */
int job_cancel(Job *job, ResetError reason);
