/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/domain/admission.h"

#include "daemon/domain/cleanliness.h"
#include "daemon/domain/release.h"

static Device *device_at(const Registry *registry, const ClaimRecord *record, const uint64_t *generations,
                         size_t index)
{
        Device *device = registry_find(registry, &record->devices[index].address);

        return device && device->generation == generations[index] ? device : NULL;
}

static bool is_about(const ClaimRecord *record, const Job *job)
{
        for (size_t i = 0; i < record->n_devices; i++)
                for (size_t k = 0; k < job->n_members; k++)
                        if (pci_address_equal(&record->devices[i].address, &job->members[k].address))
                                return true;
        return record->n_devices == 0;
}

/* Who resets what he has a lease on knows about it; of what the daemon does by itself its uid's owner does
 * not. */
static bool is_asked_for_by(const Job *job, uint32_t uid)
{
        return !job->request.by_policy && job->request.uid == uid;
}

/* Those who only want to be told before a reset are told before the next one. */
static const Job *find_running(const Jobs *jobs, const ClaimRecord *record)
{
        if (record->kind == CLAIM_INHIBIT_DELAY)
                return NULL;
        for (const Job *job = jobs_next(jobs, NULL); job; job = jobs_next(jobs, job))
                if (job_has_begun(job) && is_about(record, job) &&
                    (record->kind != CLAIM_LEASE || !is_asked_for_by(job, record->uid)))
                        return job;
        return NULL;
}

static const Device *find_releasing(const Registry *registry, const ClaimRecord *record,
                                    const uint64_t *generations)
{
        for (size_t i = 0; i < record->n_devices; i++) {
                Device *device = device_at(registry, record, generations, i);

                if (release_is_pending(device) || release_is_owed(device, record->uid))
                        return device;
        }
        return NULL;
}

/* One of which a rule wants to be clean, and that is not. */
static Admission find_not_clean(const Registry *registry, const ClaimRecord *record,
                                const uint64_t *generations)
{
        for (size_t i = 0; i < record->n_devices; i++) {
                Device *device = device_at(registry, record, generations, i);
                const EffectivePolicy *policy = registry_policy_of(device);

                if (policy && (!policy->settings.require_clean || !cleanliness_applies(device) ||
                               (device->cleanliness == CLEANLINESS_CLEAN && !device->touched_in_reset)))
                        continue;
                return (Admission){
                        .obstacle = ADMISSION_NOT_CLEAN,
                        .device = device,
                        .rule = policy ? policy->origin[POLICY_REQUIRE_CLEAN] : NULL,
                };
        }
        return (Admission){};
}

Admission admission_judge(const Claims *claims, const Jobs *jobs, const Registry *registry,
                          const ClaimRecord *record, const uint64_t *generations)
{
        bool is_lease = record->kind == CLAIM_LEASE;
        const Device *device;
        const Job *job;

        if (!claims_within_limits(claims, record->uid, record->n_devices))
                return (Admission){.obstacle = ADMISSION_LIMITS};
        for (size_t i = 0; i < record->n_devices; i++)
                if (!device_at(registry, record, generations, i))
                        return (Admission){.obstacle = ADMISSION_GONE, .index = i};
        for (size_t i = 0; is_lease && i < record->n_devices; i++) {
                device = device_at(registry, record, generations, i);
                if (device->quarantine)
                        return (Admission){.obstacle = ADMISSION_QUARANTINED, .device = device};
                if (device_is_recovering(device))
                        return (Admission){.obstacle = ADMISSION_RECOVERING, .device = device};
                if (device->frozen)
                        return (Admission){.obstacle = ADMISSION_FROZEN, .device = device};
        }
        device = is_lease ? claims_find_conflict(claims, record) : NULL;
        if (device)
                return (Admission){.obstacle = ADMISSION_LEASED, .device = device};
        device = is_lease ? find_releasing(registry, record, generations) : NULL;
        if (device)
                return (Admission){.obstacle = ADMISSION_RELEASING, .device = device};
        job = find_running(jobs, record);
        if (job)
                return (Admission){.obstacle = ADMISSION_RESETTING, .job = job};
        return is_lease ? find_not_clean(registry, record, generations) : (Admission){};
}
