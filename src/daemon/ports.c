/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What the domain asks for through JobPorts, put to the part that can do it: sysfs and its pins, polkit by
 * way of the bus, looks at who uses devices, delays, workers, the journal. What is asked in turn is answered
 * to the job by its number: it may have ended meanwhile.
 */

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "daemon/daemon.h"
#include "daemon/domain/keep-off.h"
#include "daemon/domain/lane-task.h"
#include "daemon/system/journal.h"
#include "daemon/system/sysfs.h"
#include "daemon/system/worker.h"
#include "shared/cleanup.h"

DEFINE_CLEANUP(WorkerRecord *, worker_record_free);

/* So many workers may die of what the first one has left. */
#define MENDERS_MAX 3U

/* A running job and the call to its worker; or one that waits for a scan, and what it has asked. */
struct Run {
        Daemon *daemon;
        uint32_t job;
        WorkerCall *call;
        unsigned
                n_menders; /* which of those it is that come after a worker that died; 0: the first worker */
        SurveyQuestion *question;
        Run *prev, *next;
};

/* A job that gives others time to let go, or that looks again by itself. */
struct Delay {
        Daemon *daemon;
        uint32_t job;
        sd_event_source *timer;
        Delay *prev, *next;
};

static int port_refresh(void *userdata, Device *device)
{
        return sysfs_refresh(device);
}

static int port_pin(void *userdata, const PciAddress *address, uint64_t inode)
{
        return sysfs_pin(address, inode);
}

static void port_unpin(void *userdata, int pin)
{
        (void) close(pin);
}

static int port_authorize(void *userdata, Job *job)
{
        return bus_authorize(((Daemon *) userdata)->bus, job);
}

static void port_forget_authorization(void *userdata, Job *job)
{
        bus_forget_authorization(((Daemon *) userdata)->bus, job);
}

static void on_worker_phase(void *userdata, WorkerEventType type)
{
        Run *run = userdata;
        Job *job = jobs_find(run->daemon->jobs, run->job);

        if (job)
                job_worker_phase(job, type);
}

/* A reset that took its devices away has brought others back, or has left a driver off, of which udev has
 * not told yet. */
static void follow_members(Daemon *daemon, const Job *job)
{
        PciAddress *addresses = calloc(job->n_members, sizeof(PciAddress));
        size_t n = addresses ? job->n_members : 0;

        for (size_t i = 0; i < n; i++)
                addresses[i] = job->members[i].address;
        for (size_t i = 0; i < n; i++)
                udev_source_refresh(daemon->udev, &addresses[i]);
        free(addresses);
}

static void end_job(Daemon *daemon, uint32_t id, WorkerResult *result)
{
        Job *job = jobs_find(daemon->jobs, id);

        /* What the worker has done to nodes is not what somebody does with them afterwards. */
        watch_drain(daemon->watch);
        if (job && (reset_method_scope(job->method) != RESET_SCOPE_FUNCTION || job->rebind))
                follow_members(daemon, job);
        /* The record stays until the history has the rest: daemon_forget_record(). */
        if (job) {
                job_worker_done(job, result);
        } else {
                records_remove(daemon->records, id);
                worker_result_free(result);
        }
}

void daemon_forget_record(void *userdata, uint32_t job)
{
        records_remove(((Daemon *) userdata)->records, job);
}

static void on_worker_done(void *userdata, WorkerEvent *last, int error);

static int start_mender(Daemon *daemon, const WorkerRequest *of_the_dead, unsigned n)
{
        _cleanup_free_ Run *run = calloc(1, sizeof(Run));
        WorkerHandler handler = {.phase = on_worker_phase, .done = on_worker_done, .userdata = run};
        WorkerRequest request = *of_the_dead;
        int r;

        if (!run)
                return -ENOMEM;
        /* Descriptors that came with it are gone, and not needed. */
        request.operation = WORKER_MEND;
        request.n_fds = 0;
        run->daemon = daemon;
        run->job = request.job;
        run->n_menders = n;
        under_way_begin(daemon->under_way, &request);
        r = worker_call_start(daemon->event, daemon->worker_program, &request, NULL, &handler, &run->call);
        if (r < 0)
                return r;
        DL_APPEND(daemon->runs, run);
        (void) steal_pointer(run);
        return 0;
}

void daemon_mend(Daemon *daemon, const WorkerRequest *request)
{
        int r = start_mender(daemon, request, 1);

        if (r < 0) {
                journal_worker_failed(request->job, "that puts things back could not be started", r);
                end_job(daemon, request->job, NULL);
        }
}

/* The job's lane stays taken until somebody has put back what the worker has changed, and has looked at the
 * devices. `n_menders` have tried. */
static void mend_after(Daemon *daemon, uint32_t id, unsigned n_menders)
{
        _cleanup_(cleanup_worker_record_free) WorkerRecord *record = NULL;
        int r = records_read(daemon->records, id, &record);

        /* It has died when all was done. */
        if (r >= 0 && record->result) {
                end_job(daemon, id, steal_pointer(record->result));
                return;
        }
        if (r >= 0 && n_menders == 0)
                journal_left_behind(record);
        if (r >= 0 && n_menders < MENDERS_MAX)
                r = start_mender(daemon, record->request, n_menders + 1);
        else if (r >= 0)
                r = -EIO;
        if (r >= 0)
                return;
        /* It had no record yet, and so has done nothing. */
        if (r != -ENOENT)
                journal_not_mended(id, record, r);
        end_job(daemon, id, NULL);
}

static void on_worker_done(void *userdata, WorkerEvent *last, int error)
{
        WorkerResult *result = steal_pointer(last->result);
        Run *run = userdata;
        Daemon *daemon = run->daemon;
        unsigned n_menders = run->n_menders;
        uint32_t id = run->job;

        if (error < 0)
                journal_worker_failed(id, "ended without a result", error);
        DL_DELETE(daemon->runs, run);
        free(run);
        /* A refusal of the one that was to put things back is no result of the reset. */
        if (result && n_menders > 0 && result->outcome == WORKER_REFUSED)
                result = worker_result_free(result);
        if (result)
                end_job(daemon, id, result);
        else
                mend_after(daemon, id, n_menders);
}

void daemon_worker_died(Daemon *daemon, const Job *job)
{
        mend_after(daemon, job->id, 0);
}

static void on_scanned(void *userdata, int error)
{
        Run *asked = userdata;
        Daemon *daemon = asked->daemon;
        Job *job = jobs_find(daemon->jobs, asked->job);

        DL_DELETE(daemon->runs, asked);
        free(asked);
        if (job)
                job_scanned(job, error);
}

static int port_scan(void *userdata, Job *job, Device **devices, size_t n)
{
        _cleanup_free_ Run *asked = calloc(1, sizeof(Run));
        Daemon *daemon = userdata;
        int r;

        if (!asked)
                return -ENOMEM;
        asked->daemon = daemon;
        asked->job = job->id;
        r = survey_ask(daemon->survey, devices, n, on_scanned, asked, &asked->question);
        if (r <= 0)
                return r;
        DL_APPEND(daemon->runs, asked);
        (void) steal_pointer(asked);
        return 1;
}

/* A job that has ended wants to know nothing any more. */
static void forget_scan(Daemon *daemon, uint32_t job)
{
        Run *asked, *next;

        DL_FOREACH_SAFE (daemon->runs, asked, next) {
                if (asked->job != job || !asked->question)
                        continue;
                asked->question = survey_cancel(asked->question);
                DL_DELETE(daemon->runs, asked);
                free(asked);
        }
}

static void delay_free(Delay *delay)
{
        DL_DELETE(delay->daemon->delays, delay);
        sd_event_source_disable_unref(delay->timer);
        free(delay);
}

static int on_delay_over(sd_event_source *source, uint64_t usec, void *userdata)
{
        Delay *delay = userdata;
        Job *job = jobs_find(delay->daemon->jobs, delay->job);

        delay_free(delay);
        if (job)
                job_delay_over(job);
        return 0;
}

static void forget_delay(Daemon *daemon, uint32_t job)
{
        Delay *delay;

        DL_SEARCH_SCALAR(daemon->delays, delay, job, job);
        if (delay)
                delay_free(delay);
}

static int port_delay(void *userdata, Job *job, uint64_t usec)
{
        Delay *delay = calloc(1, sizeof(Delay));
        Daemon *daemon = userdata;
        int r;

        if (!delay)
                return -ENOMEM;
        /* Of an earlier rung, which was let go before its time. */
        forget_delay(daemon, job->id);
        delay->daemon = daemon;
        delay->job = job->id;
        DL_APPEND(daemon->delays, delay);
        r = sd_event_add_time_relative(daemon->event, &delay->timer, CLOCK_MONOTONIC, usec, 0, on_delay_over,
                                       delay);
        if (r < 0)
                delay_free(delay);
        return r;
}

static int port_start_worker(void *userdata, Job *job, const WorkerRequest *request)
{
        _cleanup_free_ Run *run = calloc(1, sizeof(Run));
        WorkerHandler handler = {.phase = on_worker_phase, .done = on_worker_done, .userdata = run};
        Daemon *daemon = userdata;
        const int *fds = NULL;
        unsigned n_fds = 0;
        int r = 0;

        if (!run)
                return -ENOMEM;
        run->daemon = daemon;
        run->job = job->id;
        if (request->n_fds > 0)
                r = bus_job_fds(job, &fds, &n_fds);
        if (r >= 0 && request->n_fds != n_fds)
                r = -EINVAL;
        records_secure_ids(daemon->records);
        /* What was done to nodes before is none of the reset's. */
        watch_drain(daemon->watch);
        for (size_t i = 0; i < request->n_members; i++)
                watch_listen(daemon->watch, &request->members[i].address);
        if (r >= 0)
                r = worker_call_start(daemon->event, daemon->worker_program, request, fds, &handler,
                                      &run->call);
        if (r < 0) {
                journal_worker_failed(job->id, "could not be started", r);
                return r;
        }
        under_way_begin(daemon->under_way, request);
        DL_APPEND(daemon->runs, run);
        (void) steal_pointer(run);
        return 0;
}

static void on_task_done(void *userdata, WorkerEvent *last, int error)
{
        Run *run = userdata;
        Daemon *daemon = run->daemon;
        uint32_t id = run->job;

        if (error < 0)
                journal_worker_failed(id, "that was to write a setting ended without a result", error);
        DL_DELETE(daemon->runs, run);
        free(run);
        lane_task_done(daemon->jobs, id, steal_pointer(last->result));
}

static int port_start_order(void *userdata, const WorkerRequest *request)
{
        _cleanup_free_ Run *run = calloc(1, sizeof(Run));
        const WorkerHandler handler = {
                .phase = on_worker_phase,
                .done = on_task_done,
                .userdata = run,
        };
        Daemon *daemon = userdata;
        int r;

        if (!run)
                return -ENOMEM;
        run->daemon = daemon;
        run->job = request->job;
        r = worker_call_start(daemon->event, daemon->worker_program, request, NULL, &handler, &run->call);
        if (r < 0) {
                journal_worker_failed(run->job, "could not be started", r);
                return r;
        }
        DL_APPEND(daemon->runs, run);
        (void) steal_pointer(run);
        return 0;
}

static void port_ordered(void *userdata, Device *device, const ResetMethodList *wanted, bool failed)
{
        const EffectivePolicy *policy = registry_policy_of(device);
        ResetMethodList refused = device_order_refused(device);

        journal_ordered(device, policy ? policy->origin[POLICY_KERNEL_ORDER] : NULL, wanted, &refused,
                        failed);
}

static void port_kept_off(void *userdata, const Device *device, WorkerHold action,
                          const WorkerResult *result)
{
        bool failed = !result || result->outcome != WORKER_DONE;

        if (action != HOLD_LOOK && (failed || result->written))
                journal_kept_off(device, action == HOLD_KEEP, failed,
                                 result ? result->message : "the worker died");
}

/* A reset may have bound a driver again, or shown which card it was. */
static void look_at_quarantined(const Daemon *daemon, const Job *job)
{
        /* At the start all are looked at, when everything is there. */
        for (size_t i = 0; daemon->bus && i < job->n_members; i++) {
                Device *device = registry_find(daemon->registry, &job->members[i].address);

                if (device)
                        jobs_keep_off(daemon->jobs, device);
        }
}

static void port_event(void *userdata, Job *job, JobEvent event)
{
        Daemon *daemon = userdata;

        switch (event) {
        case JOB_EVENT_REQUESTED:
                journal_requested(job);
                break;
        case JOB_EVENT_STARTED:
                journal_reset_started(job);
                /* Once for each reset that somebody was allowed. */
                if (job->workaround[0] && job->n_attempts == 0)
                        journal_workaround(job);
                break;
        case JOB_EVENT_FINISHED:
                forget_scan(daemon, job->id);
                forget_delay(daemon, job->id);
                journal_finished(job);
                releases_job_over(daemon->releases, job);
                break;
        case JOB_EVENT_ATTEMPT:
                attempt_log_note(daemon->log, job);
                look_at_quarantined(daemon, job);
                break;
        case JOB_EVENT_ANNOUNCED:
        case JOB_EVENT_CHANGED:
        case JOB_EVENT_PREPARE:
        case JOB_EVENT_RELAX:
                break;
        }
        if (daemon->bus)
                bus_job_event(daemon->bus, job, event);
        if (event == JOB_EVENT_FINISHED) {
                attempt_log_job_over(daemon->log, job);
                under_way_end(daemon->under_way, job->id);
        }
}

static uint64_t now_usec(clockid_t clock)
{
        struct timespec ts;

        (void) clock_gettime(clock, &ts);
        return (uint64_t) ts.tv_sec * 1000000U + (uint64_t) ts.tv_nsec / 1000U;
}

static uint64_t port_now_realtime(void *userdata)
{
        return now_usec(CLOCK_REALTIME);
}

static uint64_t port_now_boottime(void *userdata)
{
        return now_usec(CLOCK_BOOTTIME);
}

static uint32_t port_new_id(void *userdata)
{
        return records_new_job_id(((Daemon *) userdata)->records);
}

JobPorts daemon_ports(Daemon *daemon)
{
        return (JobPorts){
                .refresh = port_refresh,
                .scan = port_scan,
                .delay = port_delay,
                .pin = port_pin,
                .unpin = port_unpin,
                .authorize = port_authorize,
                .forget_authorization = port_forget_authorization,
                .start_worker = port_start_worker,
                .start_order = port_start_order,
                .ordered = port_ordered,
                .kept_off = port_kept_off,
                .event = port_event,
                .now_realtime = port_now_realtime,
                .now_boottime = port_now_boottime,
                .new_id = port_new_id,
                .userdata = daemon,
        };
}

void daemon_ports_done(Daemon *daemon)
{
        Run *run, *next;
        Delay *delay, *next_delay;

        DL_FOREACH_SAFE (daemon->delays, delay, next_delay)
                delay_free(delay);
        DL_FOREACH_SAFE (daemon->runs, run, next) {
                DL_DELETE(daemon->runs, run);
                worker_call_free(run->call);
                free(run);
        }
}
