/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * From the lanes to the hardware: a job draws its ticket, is handed to a worker at the head of its lane, and
 * goes on by what the worker reports.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/domain/job-steps.h"
#include "daemon/domain/jobs.h"
#include "daemon/domain/lane-task.h"
#include "shared/cleanup.h"

/* The job is at the head of its lane. */
static void start(Job *job)
{
        const JobPorts *ports = &job->jobs->ports;
        WorkerRequest request = {};
        int r;

        if (job_is_needless(job)) {
                job_finish(job, RESET_OK);
                return;
        }
        if (!job_still_holds(job))
                return;
        if (job->busy) {
                /* Nobody knew when the job drew its ticket. */
                job_leave_lane(job);
                job_proceed(job);
                return;
        }

        r = job_make_worker_request(job, &request);
        if (r >= 0)
                job->seen = job_target_device(job)->facts;
        if (r == -ENODEV) {
                job_fail(job, r);
                return;
        }
        if (r >= 0)
                r = ports->start_worker(ports->userdata, job, &request);
        free(request.members);
        free(request.images);
        if (r < 0) {
                Attempt *attempt = job_add_attempt(job, ATTEMPT_FAILED);

                attempt->error = -r;
                (void) snprintf(attempt->why, sizeof(attempt->why), "no-worker");
                job_tell(job, JOB_EVENT_ATTEMPT);
                job_finish(job, RESET_FAILED);
                return;
        }

        job_mark_recovering(job);
        job_begin(job);
        job->started_at = request.started_at;
        job_tell(job, JOB_EVENT_CHANGED);
}

void jobs_dispatch(Jobs *jobs)
{
        void *taken;

        if (jobs->dispatching)
                return;
        jobs->dispatching = true;
        while ((taken = lanes_take_ready(jobs->lanes)))
                if (!lane_task_run(jobs, taken))
                        start(taken);
        jobs->dispatching = false;
}

void job_leave_lane(Job *job)
{
        Jobs *jobs = job->jobs;

        job_unmark(job);
        job->ticket = lane_ticket_leave(job->ticket);
        jobs_dispatch(jobs);
}

const Job *job_in_the_way(const Job *job)
{
        const void *found = job->phase == JOB_QUEUED && job->ticket ? lane_ticket_in_the_way(job->ticket)
                                                                    : NULL;

        /* The daemon's own work on a device takes turns with jobs. */
        for (const Job *other = job->jobs->jobs; other; other = other->hh.next)
                if (other == found)
                        return other;
        return NULL;
}

void job_enqueue(Job *job)
{
        Jobs *jobs = job->jobs;
        uint32_t id = job->id;
        int r;

        if (job->order == 0)
                job->order = ++jobs->last_order;
        job->phase = JOB_QUEUED;
        job_mark(job);
        /* First, since whoever is told looks at the job. */
        job_show(job, JOB_QUEUED);

        r = job_enter_lane(job);
        if (r < 0) {
                job_fail(job, r);
                return;
        }
        jobs_dispatch(jobs);

        job = jobs_find(jobs, id);
        if (job && job->request.no_wait && job->phase == JOB_QUEUED) {
                Attempt *attempt = job_add_attempt(job, ATTEMPT_REFUSED);

                (void) snprintf(attempt->why, sizeof(attempt->why), "busy");
                job_tell(job, JOB_EVENT_ATTEMPT);
                job_finish(job, RESET_NOT_USABLE);
        }
}

void job_worker_phase(Job *job, WorkerEventType type)
{
        if (type == WORKER_EVENT_RESETTING) {
                job_tell(job, JOB_EVENT_STARTED);
        } else if (type == WORKER_EVENT_VERIFYING && job->phase == JOB_RESETTING) {
                job->phase = JOB_VERIFYING;
                job_tell(job, JOB_EVENT_CHANGED);
        }
}

/* The worker has found somebody whom the job is ready to wait for. */
static bool has_to_wait(Job *job, const WorkerResult *result)
{
        return job->request.plan.when_idle && job_is_wanted(job) && result->outcome == WORKER_REFUSED &&
               worker_why_is_use(result->why) && job->n_refusals++ < JOB_REFUSALS_MAX;
}

/* Whoever was taken away and is not back, no further rung brings back; but it would leave them out, and its
 * success would hide the loss. */
static bool has_lost_member(const Job *job, const WorkerResult *result)
{
        for (size_t i = 0; result->written && i < job->n_members; i++)
                if (!job_member_device(job, &job->members[i]))
                        return true;
        return false;
}

/* Between two rungs, or before the same one once more, the lane is free for others, and the job can be
 * cancelled again: the phase goes back. */
static void step_back(Job *job)
{
        job_unmark(job);
        job->phase = JOB_QUEUED;
        job_leave_lane(job);
}

void job_worker_done(Job *job, WorkerResult *result)
{
        if (result && has_to_wait(job, result)) {
                worker_result_free(result);
                job_note_touches(job);
                step_back(job);
                job_look(job, true);
                return;
        }
        job_note_result(job, result);
        job_tell(job, JOB_EVENT_ATTEMPT);

        if (!result) {
                /* Nobody knows what was written: going on could do it twice. */
                job_finish(job, RESET_FAILED);
        } else if (result->outcome == WORKER_DONE && job_verdict(job) == VERDICT_OK) {
                job_finish(job, RESET_OK);
        } else if (result->outcome == WORKER_GONE) {
                job_finish(job, RESET_DEVICE_GONE);
        } else if (job->adopted || strcmp(result->why, WORKER_WHY_DIED) == 0 ||
                   has_lost_member(job, result)) {
                /* After a worker that died nobody knows what was written, either; nor after a boot, whose
                 * jobs are adopted. */
                job_finish(job, job_conclude(job));
        } else {
                step_back(job);
                job_step_on(job);
                job_look(job, false);
        }
}
