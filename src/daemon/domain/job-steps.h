/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The steps of a job's way (see the picture in jobs.h), by the file that takes them; those that come from
 * outside are in jobs.h. Each step ends in exactly one of: a scan, a question to polkit, waiting for others,
 * a ticket in the lanes, a worker, or job_finish(). That frees the job, so it is always the last thing that
 * a step does with it, and whoever calls a step of another file does not look at the job afterwards, unless
 * it says otherwise here.
 */

#include "daemon/domain/job-internal.h"

/* ---- jobs.c: what is told, and the end ---- */

/* Through JobPorts.event. The job goes on, here and after the next two. */
void job_tell(Job *job, JobEvent event);
/* Enters a phase of which others may know: the rung is authorised. */
void job_show(Job *job, JobPhase phase);
/* Whoever was told to let go for the rung at hand hears that it does not come, or is over. */
void job_relax(Job *job);

/* Tells the end and frees the job; the next in line may go. */
void job_finish(Job *job, ResetError error);
/* The same with the error that a negative errno stands for. */
void job_fail(Job *job, int error);

/* ---- job-climb.c: to the next rung, and polkit's word for it ---- */

/* Lists the methods that the request may try. Those that cannot be used are noted when their turn comes.
 * The job goes on. Returns 0, -EINVAL if there is no such method, or another negative errno. */
int job_make_ladder(Job *job, Device *target);
/* Makes the next rung the one at hand, without taking it. The job goes on. */
void job_step_on(Job *job);
/* Has it found out who uses the devices, and goes on from there: with the rung that was authorised, or by
 * planning one. */
void job_look(Job *job, bool resuming);
/* Looks at the rung at hand again. Returns true if it still is what was authorised; otherwise the job has
 * gone on in its own way (it looks or asks again, it climbs, or it is finished). */
bool job_still_holds(Job *job);

/* ---- job-wait.c: until others have let go ---- */

/* The rung is authorised and is still what was authorised: it is taken now, or once the way is free. */
void job_proceed(Job *job);

/* ---- job-run.c: through the lanes to the worker ---- */

/* Runs what the lanes let run. A job that ends at once calls this again: the outer loop goes on instead. */
void jobs_dispatch(Jobs *jobs);
/* Queues the job for the rung at hand; it may run at once. */
void job_enqueue(Job *job);
/* Gives back the lane and the marks on the devices; the next in line may go. The job goes on. */
void job_leave_lane(Job *job);
