/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * All jobs, and the two ends of the way of each: how it is taken on and how it is ended. The steps between
 * are in job-climb.c, job-wait.c and job-run.c.
 */

#include "daemon/domain/jobs.h"

#include <errno.h>
#include <stdio.h>

#include "daemon/domain/job-steps.h"
#include "daemon/domain/lane-task.h"
#include "shared/cleanup.h"

int jobs_new(Registry *registry, Proven *proven, Quarantines *quarantines, const JobPorts *ports, Jobs **ret)
{
        _cleanup_free_ Jobs *jobs = calloc(1, sizeof(Jobs));
        int r;

        if (!jobs)
                return -ENOMEM;
        r = lanes_new(&jobs->lanes);
        if (r < 0)
                return r;
        jobs->registry = registry;
        jobs->proven = proven;
        jobs->quarantines = quarantines;
        jobs->ports = *ports;
        *ret = steal_pointer(jobs);
        return 0;
}

Jobs *jobs_free(Jobs *jobs)
{
        Job *job, *next;

        if (!jobs)
                return NULL;
        HASH_ITER (hh, jobs->jobs, job, next)
                job_free(job);
        lane_tasks_free(jobs);
        lanes_free(jobs->lanes);
        free(jobs);
        return NULL;
}

Job *jobs_find(const Jobs *jobs, uint32_t id)
{
        Job *job;

        HASH_FIND(hh, jobs->jobs, &id, sizeof(id), job);
        return job;
}

Job *jobs_next(const Jobs *jobs, const Job *job)
{
        return job ? job->hh.next : jobs->jobs;
}

/* May this uid have one more job, and one more question to polkit? */
static bool is_within_limits(const Jobs *jobs, const JobRequest *request)
{
        size_t n_uid = 0, n_asking = 0, n_asking_uid = 0;

        /* Those of the policy's have bounds of their own, and ask nobody. */
        if (request->by_policy)
                return true;
        for (const Job *job = jobs->jobs; job; job = job->hh.next) {
                bool asks = job->phase == JOB_AUTHORIZING && !job->request.by_policy;
                bool is_his = job->request.uid == request->uid && !job->request.by_policy;

                n_uid += is_his;
                n_asking += asks;
                n_asking_uid += asks && is_his;
        }
        return HASH_COUNT(jobs->jobs) < JOBS_MAX && n_uid < JOBS_PER_UID_MAX &&
               n_asking < AUTHORIZATIONS_MAX && n_asking_uid < AUTHORIZATIONS_PER_UID_MAX;
}

void job_tell(Job *job, JobEvent event)
{
        job->jobs->ports.event(job->jobs->ports.userdata, job, event);
}

void job_relax(Job *job)
{
        job->request.plan.prepared = false;
        if (!job->prepared)
                return;
        job->prepared = false;
        job_tell(job, JOB_EVENT_RELAX);
}

void job_show(Job *job, JobPhase phase)
{
        job->phase = phase;
        if (job->announced) {
                job_tell(job, JOB_EVENT_CHANGED);
        } else {
                job->announced = true;
                job_tell(job, JOB_EVENT_ANNOUNCED);
        }
        if (!job->prepared) {
                job->prepared = true;
                job_tell(job, JOB_EVENT_PREPARE);
        }
}

void job_finish(Job *job, ResetError error)
{
        Jobs *jobs = job->jobs;

        if (job->phase == JOB_AUTHORIZING)
                jobs->ports.forget_authorization(jobs->ports.userdata, job);
        job->error = error;
        job->needs_power_cycle = job_has_done_all(job);
        if (job->needs_power_cycle)
                job_note_power_cycle(job);
        job_unmark(job);
        job_unmark_recovering(job);
        job_relax(job);
        job_tell(job, JOB_EVENT_FINISHED);
        job_free(job);
        jobs_dispatch(jobs);
}

void job_fail(Job *job, int error)
{
        job_finish(job, error == -ENODEV                       ? RESET_DEVICE_GONE
                        : error == -EMFILE || error == -ENFILE ? RESET_LIMITS_EXCEEDED
                                                               : RESET_FAILED);
}

int jobs_submit(Jobs *jobs, Device *target, const JobRequest *request)
{
        bool within_limits = is_within_limits(jobs, request);
        Job *job;
        int r;

        r = job_new(jobs, request, target, &job);
        if (r < 0)
                return r;
        job->request.plan.job = job->id;
        job->request.plan.proven = jobs->proven;
        /* What nobody has called for has nothing of its own, whoever it is done after. */
        job->request.plan.asker.known = !request->by_policy;
        job->request.plan.asker.uid = request->uid;
        job->request.plan.aliased = reset_alias_from_string(request->method) != RESET_ALIAS_NONE;
        job->request.plan.recovers = reset_alias_from_string(request->method) == RESET_ALIAS_RECOVER;
        job_tell(job, JOB_EVENT_REQUESTED);

        if (!within_limits) {
                job_finish(job, RESET_LIMITS_EXCEEDED);
                return 0;
        }
        r = job_pin(job, &job->target);
        if (r >= 0)
                r = job_make_ladder(job, target);
        if (r == -EINVAL)
                job_finish(job, RESET_INVALID_METHOD);
        else if (r < 0)
                job_fail(job, r);
        else
                job_look(job, false);
        return 0;
}

static bool is_being_recovered(const Jobs *jobs, const Device *device)
{
        for (const Job *job = jobs->jobs; job; job = job->hh.next)
                if (job_is_recovery(job) && job_target_device(job) == device)
                        return true;
        return false;
}

static size_t count_recoveries(const Jobs *jobs)
{
        size_t n = 0;

        for (const Job *job = jobs->jobs; job; job = job->hh.next)
                n += job->request.by_policy && !job->request.plan.release;
        return n;
}

int jobs_recover(Jobs *jobs, Device *device, const char *rule)
{
        JobRequest request = {
                .method = "recover",
                .by_policy = true,
                /* Whoever has it open is left alone until he lets go of it. */
                .plan = {.when_idle = true, .outlasts_recovery = true},
        };

        if (is_being_recovered(jobs, device))
                return -EALREADY;
        if (count_recoveries(jobs) >= RECOVERIES_MAX)
                return -EBUSY;
        (void) snprintf(request.rule, sizeof(request.rule), "%s", rule);
        return jobs_submit(jobs, device, &request);
}

int jobs_adopt(Jobs *jobs, const WorkerRequest *request, Job **ret)
{
        Job *job;
        int r;

        if (jobs_find(jobs, request->job))
                return -EBADMSG;
        r = job_new_adopted(jobs, request, &job);
        if (r < 0)
                return r;
        lane_ticket_take(job->ticket);
        job_mark(job);
        job_tell(job, JOB_EVENT_ANNOUNCED);
        *ret = job;
        return 0;
}

void jobs_device_added(Jobs *jobs, Device *device)
{
        for (Job *job = jobs->jobs; job; job = job->hh.next)
                job_follow(job, device);
}

void job_detach(Job *job)
{
        job->request.client = NULL;
}

int job_cancel(Job *job, ResetError reason)
{
        if (job_has_begun(job))
                return -EBUSY;
        if (job->phase == JOB_WAITING_IDLE)
                job_note_waited_for(job);
        job_finish(job, reason);
        return 0;
}
