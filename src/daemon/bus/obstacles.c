/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * An attempt keeps why it was refused, not by whom, since that changes while a job waits. It is looked up
 * when the refusal is told: the job is planned once more, and the rungs that are still refused for that
 * reason say which devices it is about.
 */

#include "daemon/bus/obstacles.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/domain/plan.h"
#include "shared/cleanup.h"

DEFINE_CLEANUP(Plan *, plan_free);

static bool is_listed(Device *const *devices, size_t n, const Device *device)
{
        for (size_t i = 0; i < n; i++)
                if (devices[i] == device)
                        return true;
        return false;
}

static bool is_foreign(const Claim *lease, const PlanAsker *asker)
{
        return lease->record.uid != asker->uid && strcmp(lease->record.id, asker->presented) != 0;
}

static bool is_refused_for(const Device *device, unsigned why, const PlanAsker *asker)
{
        return why == WHY_LEASED ? device->lease && is_foreign(device->lease, asker)
                                 : device->n_blocking > 0;
}

/* The devices by which a rung is refused for this reason: WHY_LEASED or WHY_INHIBITED. */
static int find_devices(const Job *job, unsigned why, Device ***ret, size_t *ret_n)
{
        _cleanup_(cleanup_plan_free) Plan *plan = NULL;
        _cleanup_free_ Device **devices = NULL;
        Device *target = job_target_device(job);
        size_t size = 0, n = 0;
        int r;

        *ret = NULL;
        *ret_n = 0;
        if (!target)
                return 0;
        r = plan_make(target, job->request.method, &job->request.plan, &plan);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        for (size_t i = 0; i < plan->n_rungs; i++)
                size += plan->rungs[i].why & why ? plan->rungs[i].n_set : 0;
        if (size == 0)
                return 0;
        devices = calloc(size, sizeof(Device *));
        if (!devices)
                return -ENOMEM;
        for (size_t i = 0; i < plan->n_rungs; i++) {
                const Rung *rung = &plan->rungs[i];

                for (size_t k = 0; rung->why & why && k < rung->n_set; k++)
                        if (is_refused_for(rung->set[k], why, &job->request.plan.asker) &&
                            !is_listed(devices, n, rung->set[k]))
                                devices[n++] = rung->set[k];
        }
        *ret = steal_pointer(devices);
        *ret_n = n;
        return 0;
}

int obstacles_leased(const Job *job, Device ***ret, size_t *ret_n)
{
        return find_devices(job, WHY_LEASED, ret, ret_n);
}

static bool concerns(const Claim *claim, Device *const *devices, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (claim_names(claim, devices[i]))
                        return true;
        return false;
}

int obstacles_inhibitors(const Job *job, const Claims *claims, const Claim ***ret, size_t *ret_n)
{
        _cleanup_free_ Device **devices = NULL;
        _cleanup_free_ const Claim **found = NULL;
        size_t n_devices, n = 0;
        int r = find_devices(job, WHY_INHIBITED, &devices, &n_devices);

        *ret = NULL;
        *ret_n = 0;
        if (r < 0 || n_devices == 0)
                return r;
        found = calloc(claims_count(claims), sizeof(Claim *));
        if (!found)
                return -ENOMEM;
        for (const Claim *claim = claims_next(claims, NULL); claim; claim = claims_next(claims, claim))
                if (claim->record.kind == CLAIM_INHIBIT_BLOCK && concerns(claim, devices, n_devices))
                        found[n++] = claim;
        *ret = steal_pointer(found);
        *ret_n = n;
        return 0;
}
