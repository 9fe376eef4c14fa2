/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The way of a job through its phases: see the picture in jobs.h. Each step ends in exactly one of: a
 * question to polkit, a ticket in the lanes, a worker, or finish(). finish() frees the job, so it is
 * always the last thing a step does with it.
 */

#include "daemon/domain/jobs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/domain/job-internal.h"
#include "shared/cleanup.h"

DEFINE_CLEANUP(Plan *, plan_free);

int jobs_new(Registry *registry, Proven *proven, const JobPorts *ports, Jobs **ret)
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

static void start(Job *job);

static void tell(Job *job, JobEvent event)
{
        job->jobs->ports.event(job->jobs->ports.userdata, job, event);
}

/* Runs what the lanes let run. A job that ends at once calls this again: the outer loop goes on instead. */
static void dispatch(Jobs *jobs)
{
        Job *job;

        if (jobs->dispatching)
                return;
        jobs->dispatching = true;
        while ((job = lanes_take_ready(jobs->lanes)))
                start(job);
        jobs->dispatching = false;
}

static void relax(Job *job)
{
        job->request.plan.prepared = false;
        if (!job->prepared)
                return;
        job->prepared = false;
        tell(job, JOB_EVENT_RELAX);
}

/* Enters a phase of which others may know: the rung is authorised. */
static void show(Job *job, JobPhase phase)
{
        job->phase = phase;
        if (job->announced) {
                tell(job, JOB_EVENT_CHANGED);
        } else {
                job->announced = true;
                tell(job, JOB_EVENT_ANNOUNCED);
        }
        if (!job->prepared) {
                job->prepared = true;
                tell(job, JOB_EVENT_PREPARE);
        }
}

/* Gives back the lane and the marks on the devices; the next in line may go. */
static void leave_lane(Job *job)
{
        Jobs *jobs = job->jobs;

        job_unmark(job);
        job->ticket = lane_ticket_leave(job->ticket);
        dispatch(jobs);
}

static void finish(Job *job, ResetError error)
{
        Jobs *jobs = job->jobs;

        if (job->phase == JOB_AUTHORIZING)
                jobs->ports.forget_authorization(jobs->ports.userdata, job);
        job->error = error;
        job_unmark(job);
        relax(job);
        tell(job, JOB_EVENT_FINISHED);
        job_free(job);
        dispatch(jobs);
}

static void add_unusable(Job *job, unsigned why)
{
        Attempt *attempt = job_add_attempt(job, ATTEMPT_UNUSABLE);

        attempt->unusable = why;
}

/* Plans the rung at hand from fresh facts. Returns a positive number if it can be taken, 0 if not (the
 * attempt is then noted), -ENODEV if the target is gone. */
static int plan_rung(Job *job, Plan **ret)
{
        _cleanup_(cleanup_plan_free) Plan *plan = NULL;
        Device *target = job_target_device(job);
        const JobPorts *ports = &job->jobs->ports;
        int r;

        if (!target)
                return -ENODEV;
        r = plan_for_each_concerned(target, ports->refresh, ports->userdata);
        if (r < 0)
                return r;
        r = plan_make(target, job->ladder[job->at], &job->request.plan, &plan);
        if (r == -EINVAL) {
                /* An opaque name that the kernel does not list any more. */
                add_unusable(job, WHY_NOT_ADVERTISED | WHY_UNKNOWN_METHOD);
                return 0;
        }
        if (r < 0)
                return r;
        if (plan->rungs[0].why != 0) {
                add_unusable(job, plan->rungs[0].why);
                job_note_holders(job, &plan->rungs[0]);
                return 0;
        }
        *ret = steal_pointer(plan);
        return 1;
}

static void fail(Job *job, int error)
{
        finish(job, error == -ENODEV                       ? RESET_DEVICE_GONE
                    : error == -EMFILE || error == -ENFILE ? RESET_LIMITS_EXCEEDED
                                                           : RESET_FAILED);
}

/* Makes a planned rung the one at hand, relaxes those who were told of the last one, pins its devices, and
 * asks polkit. */
static void ask(Job *job, const Rung *rung)
{
        const JobPorts *ports = &job->jobs->ports;
        int r;

        if (job->n_questions++ >= JOB_QUESTIONS_PER_RUNG_MAX) {
                finish(job, RESET_ACCESS_DENIED);
                return;
        }
        relax(job);
        r = job_take_rung(job, rung);
        if (r < 0) {
                fail(job, r);
                return;
        }
        job->phase = JOB_AUTHORIZING;
        if (job->announced)
                tell(job, JOB_EVENT_CHANGED);

        r = ports->authorize(ports->userdata, job);
        if (r < 0)
                job_authorized(job, GRANT_FAILED);
}

/* Goes to the first rung from here that can be taken, or ends the job. */
static void climb(Job *job)
{
        for (; job->at < job->n_ladder; job->at++) {
                _cleanup_(cleanup_plan_free) Plan *plan = NULL;
                int r;

                job_set_method(job, job->ladder[job->at]);
                /* Who was told of the last rung has not been told of this one. */
                job->request.plan.prepared = false;
                r = plan_rung(job, &plan);
                if (r < 0) {
                        fail(job, r);
                        return;
                }
                if (r > 0) {
                        ask(job, &plan->rungs[0]);
                        return;
                }
                job->n_questions = 0;
        }
        finish(job, job_conclude(job));
}

static void step_on(Job *job)
{
        job->at++;
        job->n_questions = 0;
        /* Without a caller there is nobody whom a further rung could be granted to. */
        if (!job->request.client)
                job->at = job->n_ladder;
}

static void climb_on(Job *job)
{
        step_on(job);
        climb(job);
}

/* Has it found out who uses the devices, and goes on from there: with the rung that was authorised, or by
 * planning one. */
static void look(Job *job, bool resuming)
{
        const JobPorts *ports = &job->jobs->ports;
        _cleanup_free_ Device **devices = NULL;
        Device *target = job_target_device(job);
        size_t n;
        int r;

        if (!resuming && job->at >= job->n_ladder) {
                climb(job);
                return;
        }
        r = target ? plan_concerned(target, &devices, &n) : -ENODEV;
        if (r < 0) {
                fail(job, r);
                return;
        }
        if (!resuming)
                job->phase = JOB_AUTHORIZING;
        job->resuming = resuming;
        job->look_again = false;
        job->scanning = true;
        r = ports->scan(ports->userdata, job, devices, n);
        if (r <= 0)
                job_scanned(job, r);
}

/* Another driver makes forget who uses a device. */
static bool use_is_known(const Job *job)
{
        for (size_t i = 0; i < job->n_members; i++) {
                const Device *device = registry_find(job->jobs->registry, &job->members[i].address);

                if (device && !device->use.known && plan_needs_scan(device))
                        return false;
        }
        return true;
}

/* Looks at the rung at hand again. Returns true if it still is what was authorised; otherwise the job has
 * gone on in its own way (it looks or asks again, it climbs, or it is finished). */
static bool still_holds(Job *job)
{
        _cleanup_(cleanup_plan_free) Plan *plan = NULL;
        _cleanup_free_ char *fingerprint = NULL;
        int r;

        if (!use_is_known(job)) {
                if (job->ticket)
                        leave_lane(job);
                look(job, false);
                return false;
        }
        r = plan_rung(job, &plan);
        if (r > 0) {
                fingerprint = rung_fingerprint(&plan->rungs[0]);
                if (!fingerprint)
                        r = -ENOMEM;
        }
        if (r > 0 && strcmp(fingerprint, job->fingerprint) == 0) {
                job->busy = plan->rungs[0].busy;
                job->delayed = plan->rungs[0].delayed;
                return true;
        }

        if (job->ticket)
                leave_lane(job);
        if (r < 0)
                fail(job, r);
        else if (r == 0)
                climb_on(job);
        else
                ask(job, &plan->rungs[0]);
        return false;
}

static void enqueue(Job *job)
{
        Jobs *jobs = job->jobs;
        uint32_t id = job->id;
        int r;

        if (job->order == 0)
                job->order = ++jobs->last_order;
        job->phase = JOB_QUEUED;
        job_mark(job);
        /* First, since whoever is told looks at the job. */
        show(job, JOB_QUEUED);

        r = job_enter_lane(job);
        if (r < 0) {
                fail(job, r);
                return;
        }
        dispatch(jobs);

        job = jobs_find(jobs, id);
        if (job && job->request.no_wait && job->phase == JOB_QUEUED) {
                Attempt *attempt = job_add_attempt(job, ATTEMPT_REFUSED);

                (void) snprintf(attempt->why, sizeof(attempt->why), "busy");
                finish(job, RESET_NOT_USABLE);
        }
}

/* The rung is authorised and is still what was authorised: it is taken now, or once the way is free. */
static void proceed(Job *job)
{
        const JobPorts *ports = &job->jobs->ports;
        int r;

        if (job->delayed && !job->request.plan.prepared) {
                show(job, JOB_INHIBITED);
                r = ports->delay(ports->userdata, job, JOB_DELAY_USEC);
                if (r < 0)
                        fail(job, r);
                return;
        }
        job->request.plan.prepared = true;
        if (!job->busy) {
                enqueue(job);
                return;
        }
        /* What is known may be older than the wait: who has let go before it began wakes nobody. */
        if (job->phase != JOB_WAITING_IDLE) {
                show(job, JOB_WAITING_IDLE);
                job->look_again = true;
        }
        job->n_refusals = 0;
        if (job->look_again)
                look(job, true);
}

void job_scanned(Job *job, int error)
{
        _cleanup_free_ Device **devices = NULL;
        Device *target = job_target_device(job);
        size_t n;

        if (!job->scanning)
                return;
        job->scanning = false;
        if (error < 0 && target && plan_concerned(target, &devices, &n) >= 0)
                for (size_t i = 0; i < n; i++)
                        device_forget_use(devices[i]);
        if (!job->resuming)
                climb(job);
        else if (still_holds(job))
                proceed(job);
}

static void let_go_is_over(Job *job)
{
        job->request.plan.prepared = true;
        if (!job->scanning)
                look(job, true);
}

void job_delay_over(Job *job)
{
        if (job->phase == JOB_INHIBITED)
                let_go_is_over(job);
}

static bool is_delayed(const Job *job)
{
        for (size_t i = 0; i < job->n_members; i++) {
                const Device *device = registry_find(job->jobs->registry, &job->members[i].address);

                if (device && device->n_delaying > 0)
                        return true;
        }
        return false;
}

static bool waits_for(const Job *job, const Device *device)
{
        if (job->phase != JOB_INHIBITED && job->phase != JOB_WAITING_IDLE)
                return false;
        for (size_t i = 0; i < job->n_members; i++)
                if (pci_address_equal(&job->members[i].address, &device->facts.address))
                        return true;
        return false;
}

static void wake(Job *job)
{
        if (job->scanning)
                job->look_again = true;
        else if (job->phase == JOB_WAITING_IDLE)
                look(job, true);
        else if (!is_delayed(job))
                let_go_is_over(job);
}

void jobs_wake(Jobs *jobs, const Device *device)
{
        uint32_t ids[JOBS_MAX];
        size_t n = 0;

        /* A job that wakes may end, and others with it. */
        for (const Job *job = jobs->jobs; job && n < JOBS_MAX; job = job->hh.next)
                if (waits_for(job, device))
                        ids[n++] = job->id;
        for (size_t i = 0; i < n; i++) {
                Job *job = jobs_find(jobs, ids[i]);

                if (job && (job->phase == JOB_INHIBITED || job->phase == JOB_WAITING_IDLE))
                        wake(job);
        }
}

void jobs_device_added(Jobs *jobs, Device *device)
{
        for (Job *job = jobs->jobs; job; job = job->hh.next)
                job_follow(job, device);
}

void job_authorized(Job *job, Grant grant)
{
        Attempt *attempt;

        if (grant == GRANT_YES) {
                /* The question is answered: whoever ends the job now has nothing to take back. */
                if (still_holds(job))
                        proceed(job);
                return;
        }

        attempt = job_add_attempt(job, ATTEMPT_DENIED);
        attempt->grant = grant;
        attempt->actions = job->actions;
        /* Somebody who has just declined does not want the same dialog for the next method; and a polkit
         * that cannot be reached has no other answer for it. */
        if (grant == GRANT_DISMISSED || grant == GRANT_FAILED)
                finish(job, job_conclude(job));
        else
                climb_on(job);
}

/* The job is at the head of its lane. */
static void start(Job *job)
{
        const JobPorts *ports = &job->jobs->ports;
        WorkerRequest request = {};
        int r;

        if (!still_holds(job))
                return;
        if (job->busy) {
                /* Nobody knew when the job drew its ticket. */
                leave_lane(job);
                proceed(job);
                return;
        }

        r = job_make_worker_request(job, &request);
        if (r == -ENODEV) {
                fail(job, r);
                return;
        }
        if (r >= 0)
                r = ports->start_worker(ports->userdata, job, &request);
        free(request.members);
        if (r < 0) {
                Attempt *attempt = job_add_attempt(job, ATTEMPT_FAILED);

                attempt->error = -r;
                (void) snprintf(attempt->why, sizeof(attempt->why), "no-worker");
                finish(job, RESET_FAILED);
                return;
        }

        job_begin(job);
        job->started_at = ports->now_realtime(ports->userdata);
        tell(job, JOB_EVENT_CHANGED);
}

void job_worker_phase(Job *job, WorkerEventType type)
{
        if (type == WORKER_EVENT_RESETTING) {
                tell(job, JOB_EVENT_STARTED);
        } else if (type == WORKER_EVENT_VERIFYING && job->phase == JOB_RESETTING) {
                job->phase = JOB_VERIFYING;
                tell(job, JOB_EVENT_CHANGED);
        }
}

/* The worker has found somebody whom the job is ready to wait for. */
static bool has_to_wait(Job *job, const WorkerResult *result)
{
        return job->request.plan.when_idle && job->request.client && result->outcome == WORKER_REFUSED &&
               worker_why_is_use(result->why) && job->n_refusals++ < JOB_REFUSALS_MAX;
}

/* Between two rungs, or before the same one once more, the lane is free for others, and the job can be
 * cancelled again: the phase goes back. */
static void step_back(Job *job)
{
        job_unmark(job);
        job->phase = JOB_QUEUED;
        leave_lane(job);
}

void job_worker_done(Job *job, WorkerResult *result)
{
        if (result && has_to_wait(job, result)) {
                worker_result_free(result);
                step_back(job);
                look(job, true);
                return;
        }
        job_note_result(job, result);

        if (!result) {
                /* Nobody knows what was written: going on could do it twice. */
                finish(job, RESET_FAILED);
        } else if (result->outcome == WORKER_DONE && job_verdict(job) == VERDICT_OK) {
                finish(job, RESET_OK);
        } else if (result->outcome == WORKER_GONE) {
                finish(job, RESET_DEVICE_GONE);
        } else if (job->adopted) {
                finish(job, job_conclude(job));
        } else {
                step_back(job);
                step_on(job);
                look(job, false);
        }
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
        finish(job, reason);
        return 0;
}

/* Lists the methods that the request may try. Those that cannot be used are noted when their turn comes. */
static int make_ladder(Job *job, Device *target)
{
        _cleanup_(cleanup_plan_free) Plan *plan = NULL;
        const JobPorts *ports = &job->jobs->ports;
        int r;

        r = plan_for_each_concerned(target, ports->refresh, ports->userdata);
        if (r < 0)
                return r;
        r = plan_make(target, job->request.method, &job->request.plan, &plan);
        if (r < 0)
                return r;

        job->ladder = calloc(plan->n_rungs ? plan->n_rungs : 1, sizeof(*job->ladder));
        if (!job->ladder)
                return -ENOMEM;
        for (; job->n_ladder < plan->n_rungs; job->n_ladder++)
                memcpy(job->ladder[job->n_ladder], plan->rungs[job->n_ladder].method, RESET_METHOD_NAME_MAX);
        return 0;
}

int jobs_submit(Jobs *jobs, Device *target, const JobRequest *request)
{
        bool within_limits = jobs_within_limits(jobs, request->uid);
        Job *job;
        int r;

        r = job_new(jobs, request, target, &job);
        if (r < 0)
                return r;
        job->request.plan.asker.known = true;
        job->request.plan.asker.uid = request->uid;
        tell(job, JOB_EVENT_REQUESTED);

        if (!within_limits) {
                finish(job, RESET_LIMITS_EXCEEDED);
                return 0;
        }
        r = job_pin(job, &job->target);
        if (r >= 0)
                r = make_ladder(job, target);
        if (r == -EINVAL)
                finish(job, RESET_INVALID_METHOD);
        else if (r < 0)
                fail(job, r);
        else
                look(job, false);
        return 0;
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
        tell(job, JOB_EVENT_ANNOUNCED);
        *ret = job;
        return 0;
}
