/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * How a job with an authorised rung waits for others: for those who want to let go first, and for all users
 * if its caller said so. It sleeps until it is woken, and looks again then. Of some users nobody announces
 * the end (Holder.silent): as long as one of these is in the way, it also looks by itself from time to time,
 * after pauses that become longer.
 */

#include "daemon/domain/job-steps.h"
#include "daemon/domain/jobs.h"
#include "daemon/domain/release.h"
#include "shared/cleanup.h"

static bool waits_in_silence(const Job *job)
{
        for (size_t i = 0; i < job->n_members; i++) {
                const Device *device = registry_find(job->jobs->registry, &job->members[i].address);

                for (size_t k = 0; device && k < device->use.n_holders; k++)
                        if (device->use.holders[k].silent)
                                return true;
        }
        return false;
}

/* Sleeps until it is woken. */
static void rest(Job *job)
{
        const JobPorts *ports = &job->jobs->ports;
        int r;

        job->looks_by_itself = waits_in_silence(job);
        if (!job->looks_by_itself)
                return;
        r = ports->delay(ports->userdata, job, job->pause_usec);
        if (r < 0)
                job_fail(job, r);
}

void job_proceed(Job *job)
{
        const JobPorts *ports = &job->jobs->ports;
        int r;

        if (job->delayed && !job->request.plan.prepared) {
                job_show(job, JOB_INHIBITED);
                r = ports->delay(ports->userdata, job, JOB_DELAY_USEC);
                if (r < 0)
                        job_fail(job, r);
                return;
        }
        job->request.plan.prepared = true;
        if (!job->busy) {
                job_enqueue(job);
                return;
        }
        /* What is known may be older than the wait: who has let go before it began wakes nobody. */
        if (job->phase != JOB_WAITING_IDLE) {
                job_show(job, JOB_WAITING_IDLE);
                job->look_again = true;
                job->looks_by_itself = false;
                job->pause_usec = JOB_PAUSE_USEC;
        }
        job->n_refusals = 0;
        if (job->look_again)
                job_look(job, true);
        else
                rest(job);
}

static void let_go_is_over(Job *job)
{
        job->request.plan.prepared = true;
        if (!job->scanning)
                job_look(job, true);
}

static void pause_is_over(Job *job)
{
        job->looks_by_itself = false;
        job->pause_usec *= 2;
        if (job->pause_usec > JOB_PAUSE_USEC_MAX)
                job->pause_usec = JOB_PAUSE_USEC_MAX;
        /* One that has begun already ends in the next pause. */
        if (!job->scanning)
                job_look(job, true);
}

void job_delay_over(Job *job)
{
        if (job->phase == JOB_INHIBITED)
                let_go_is_over(job);
        else if (job->phase == JOB_WAITING_IDLE && job->looks_by_itself)
                pause_is_over(job);
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

/* The kernel recovers all that is below a bridge together, and the job waits until it has. */
static bool is_recovered_with(const Job *job, const PciAddress *member, const Device *device)
{
        const Device *other = job->busy & WHY_RECOVERING ? registry_find(job->jobs->registry, member) : NULL;

        return other && other->facts.has_parent && device->facts.has_parent &&
               pci_address_equal(&other->facts.parent, &device->facts.parent);
}

static bool waits_for(const Job *job, const Device *device)
{
        if (job->phase != JOB_INHIBITED && job->phase != JOB_WAITING_IDLE)
                return false;
        for (size_t i = 0; i < job->n_members; i++)
                if (pci_address_equal(&job->members[i].address, &device->facts.address) ||
                    is_recovered_with(job, &job->members[i].address, device))
                        return true;
        return false;
}

static void wake(Job *job)
{
        if (job->scanning)
                job->look_again = true;
        else if (job->phase == JOB_WAITING_IDLE)
                job_look(job, true);
        else if (!is_delayed(job))
                let_go_is_over(job);
}

void jobs_wake(Jobs *jobs, const Device *device)
{
        /* The daemon's own are beside the limit. */
        uint32_t ids[JOBS_MAX + RECOVERIES_MAX + RELEASE_JOBS_MAX];
        size_t n = 0;

        /* A job that wakes may end, and others with it. */
        for (const Job *job = jobs->jobs; job && n < ELEMENTSOF(ids); job = job->hh.next)
                if (waits_for(job, device))
                        ids[n++] = job->id;
        for (size_t i = 0; i < n; i++) {
                Job *job = jobs_find(jobs, ids[i]);

                if (job && (job->phase == JOB_INHIBITED || job->phase == JOB_WAITING_IDLE))
                        wake(job);
        }
}
