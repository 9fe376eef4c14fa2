/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What a job has been through: the attempts made so far, who was in their way, and what all of it adds up
 * to.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/domain/checkup.h"
#include "daemon/domain/cleanliness.h"
#include "daemon/domain/job-internal.h"
#include "shared/cleanup.h"

static const char *const outcome_names[] = {
        [ATTEMPT_DONE] = "done", [ATTEMPT_FAILED] = "failed", [ATTEMPT_REFUSED] = "refused",
        [ATTEMPT_GONE] = "gone", [ATTEMPT_DENIED] = "denied", [ATTEMPT_UNUSABLE] = "unusable",
};

static const char *const error_names[] = {
        [RESET_OK] = "done",
        [RESET_ACCESS_DENIED] = "AccessDenied",
        [RESET_INTERACTION_REQUIRED] = "InteractiveAuthorizationRequired",
        [RESET_INVALID_METHOD] = "InvalidMethod",
        [RESET_NOT_USABLE] = "NotUsable",
        [RESET_IN_USE] = "InUse",
        [RESET_LEASED] = "Leased",
        [RESET_INHIBITED] = "Inhibited",
        [RESET_DEVICE_GONE] = "DeviceGone",
        [RESET_DEVICE_DEAD] = "DeviceDead",
        [RESET_FAILED] = "ResetFailed",
        [RESET_TIMED_OUT] = "TimedOut",
        [RESET_CANCELLED] = "Cancelled",
        [RESET_LIMITS_EXCEEDED] = "LimitsExceeded",
        [RESET_POLICY_DENIED] = "PolicyDenied",
        [RESET_QUARANTINED] = "Quarantined",
        [RESET_RECOVERING] = "Recovering",
};

const char *attempt_outcome_to_string(AttemptOutcome outcome)
{
        return outcome_names[outcome];
}

const char *reset_error_to_string(ResetError error)
{
        return error_names[error];
}

Attempt *job_add_attempt(Job *job, AttemptOutcome outcome)
{
        size_t i = job->n_attempts < ELEMENTSOF(job->attempts) ? job->n_attempts++ : job->n_attempts - 1;
        Attempt *attempt = &job->attempts[i];

        *attempt = (Attempt){.outcome = outcome, .grant = GRANT_YES};
        memcpy(attempt->method, job->method, sizeof(attempt->method));
        return attempt;
}

/* Writes a try down where others look for it. */
static void remember(Job *job, const Attempt *attempt)
{
        Device *device = job_target_device(job);
        uint64_t duration = attempt->finished_usec - attempt->started_usec, now;

        if (!attempt->written)
                return;
        now = job->jobs->ports.now_realtime(job->jobs->ports.userdata);
        /* Also of a device that did not come back. */
        proven_note(job->jobs->proven, job->target.vendor, job->target.device, attempt->method,
                    attempt_proof(attempt), duration, now);
        if (!device)
                return;
        device->last_reset = (LastReset){
                .valid = true,
                .verdict = verdict_to_string(attempt->verdict),
                .duration_usec = duration,
                .finished_at = now,
                .job = job->id,
                .by_policy = job->request.by_policy,
        };
        memcpy(device->last_reset.method, attempt->method, sizeof(device->last_reset.method));
        registry_notify(job->jobs->registry, device, DEVICE_CHANGED_LAST_RESET);
}

bool job_is_doubtful(const Job *job)
{
        const Device *device = job_target_device(job);

        /* What comes after a user is to be a reset. */
        if (job->request.plan.release && !reset_method_resets(job->method))
                return true;
        return device && reset_alias_from_string(job->request.method) != RESET_ALIAS_NONE &&
               plan_is_doubtful(device, job->method);
}

/* True if nothing that a user has left is there any more once all is well. A release takes what may leave it
 * only after all else. */
static bool cleans(const Job *job, const char *method)
{
        return reset_method_resets(method) &&
               (job->request.plan.release || !reset_method_is_doubtful(method));
}

/* Somebody may have let it out and put it in again while the worker was at it. */
static bool is_about(const Job *job, const Quarantine *quarantine, const Device *device)
{
        for (size_t i = 0; i < job->n_members; i++)
                if (job->members[i].generation == device->generation)
                        return job->members[i].quarantine == quarantine->id;
        return false;
}

bool job_may_lift(const Job *job, const Device *device)
{
        const Quarantine *quarantine = device->quarantine;

        if (!quarantine || !is_about(job, quarantine, device) ||
            (quarantine->record.cause == QUARANTINE_UNCLEAN && !reset_method_resets(job->method)))
                return false;
        return job->actions & ACTION_QUARANTINE || quarantine->job == job->id;
}

static bool is_another_card(const WorkerResult *result, const PciAddress *member)
{
        for (size_t i = 0; i < result->n_checks; i++)
                if (pci_address_equal(&result->checks[i].device, member) &&
                    result->checks[i].result == CHECK_FAILED &&
                    strcmp(result->checks[i].check, "serial") == 0)
                        return true;
        return false;
}

/* Which card it is, as long as it lives to tell. */
static void take_serial(const Job *job, Device *device)
{
        const WorkerResult *result = job->result;

        for (size_t i = 0; i < result->n_serials; i++) {
                if (!pci_address_equal(&result->serials[i].device, &device->facts.address) ||
                    is_another_card(result, &device->facts.address))
                        continue;
                memcpy(device->serial, result->serials[i].serial, sizeof(device->serial));
                quarantines_identify(job->jobs->quarantines, device);
        }
}

/* The device is well, whatever the kernel has announced before. */
static void forget_error(const Job *job, Device *device)
{
        if (device->error_state == ERROR_STATE_NONE || device->error_state == ERROR_STATE_BEGIN_RECOVERY)
                return;
        device->error_state = ERROR_STATE_NONE;
        registry_notify(job->jobs->registry, device, DEVICE_CHANGED_ERROR_STATE);
}

/* What the worker has seen of each device decides on that device. */
static void judge_members(Job *job, const Attempt *attempt)
{
        Quarantines *quarantines = job->jobs->quarantines;
        bool is_well = attempt->outcome == ATTEMPT_DONE && attempt->verdict == VERDICT_OK;
        QuarantineRecord record;

        for (size_t i = 0; i < job->n_members; i++) {
                Device *device = job_member_device(job, &job->members[i]);

                if (device && attempt->outcome == ATTEMPT_DONE &&
                    strcmp(attempt->method, RESET_METHOD_THAW) == 0)
                        device->frozen = false;
                /* What has vanished is given to nobody, and what comes back is as the kernel made it. */
                if (!device)
                        continue;
                checkup_note(device, job->result, attempt->method, job->id,
                             job->jobs->ports.now_realtime(job->jobs->ports.userdata));
                take_serial(job, device);
                /* Whatever was there is perhaps not any more. */
                device->hold.looked = device->hold.left = false;
                if (quarantine_judge(job->result, attempt->method, &device->facts.address, &record)) {
                        record.uid = job->request.uid;
                        record.since = job->jobs->ports.now_realtime(job->jobs->ports.userdata);
                        (void) quarantines_begin(quarantines, device, &record, job->id);
                        continue;
                }
                if (is_well && job_may_lift(job, device))
                        (void) quarantines_end(quarantines, device, QUARANTINE_PROVED_WELL);
                if (is_well)
                        forget_error(job, device);
        }
}

/* Who has had the members since an earlier daemon's worker has written nobody has seen, unless this one was
 * there by then. */
static bool was_watched(const Job *job, const WorkerResult *result)
{
        return !job->adopted ||
               (job->watched_since > 0 && result && result->finished_usec >= job->watched_since);
}

/* The verdict is about all members. */
static void note_cleanliness(Job *job, const Attempt *attempt)
{
        bool is_proved = attempt->outcome == ATTEMPT_DONE && attempt->verdict == VERDICT_OK &&
                         cleans(job, attempt->method) && was_watched(job, job->result);
        const Device *target = job_target_device(job);

        for (size_t i = 0; i < job->n_members; i++) {
                Device *device = job_member_device(job, &job->members[i]);

                if ((device && cleanliness_take_touch(device, attempt->method)) || !attempt->written)
                        continue;
                if (device && target)
                        cleanliness_after_reset(target, attempt->method, device, is_proved);
                else if (device && device->cleanliness == CLEANLINESS_CLEAN)
                        /* The target has not come back from it, and who has stayed was disturbed. */
                        cleanliness_set(device, CLEANLINESS_UNKNOWN);
        }
}

void job_note_touches(Job *job)
{
        for (size_t i = 0; i < job->n_members; i++) {
                Device *device = job_member_device(job, &job->members[i]);

                if (device)
                        (void) cleanliness_take_touch(device, job->method);
        }
}

/* The first one of each device counts. Without memory for one the next worker goes by what it sees. */
static void note_images(Job *job, const WorkerResult *result)
{
        for (size_t i = 0; i < result->n_images; i++) {
                const WorkerImage *image = &result->images[i];
                WorkerImage *images;

                if (worker_image_find(job->images, job->n_images, &image->address))
                        continue;
                images = reallocarray(job->images, job->n_images + 1, sizeof(WorkerImage));
                if (!images)
                        return;
                job->images = images;
                job->images[job->n_images++] = *image;
        }
}

void job_note_result(Job *job, WorkerResult *result)
{
        static const AttemptOutcome outcomes[] = {
                [WORKER_DONE] = ATTEMPT_DONE,
                [WORKER_FAILED] = ATTEMPT_FAILED,
                [WORKER_REFUSED] = ATTEMPT_REFUSED,
                [WORKER_GONE] = ATTEMPT_GONE,
        };
        Attempt *attempt = job_add_attempt(job, result ? outcomes[result->outcome] : ATTEMPT_FAILED);

        worker_result_free(job->result);
        job->result = result;
        if (result && result->n_holders > 0) {
                free(job->holders);
                job->holders = steal_pointer(result->holders);
                job->n_holders = result->n_holders;
                result->n_holders = 0;
        }
        if (!result) {
                /* Whether it had begun to write is unknown: assume it. */
                attempt->written = true;
                attempt->error = EPIPE;
                (void) snprintf(attempt->why, sizeof(attempt->why), "%s", WORKER_WHY_DIED);
                remember(job, attempt);
                note_cleanliness(job, attempt);
                return;
        }
        note_images(job, result);
        memcpy(attempt->why, result->why, sizeof(attempt->why));
        attempt->error = result->error;
        attempt->written = result->written;
        attempt->verdict = result->verdict;
        if (attempt->outcome == ATTEMPT_DONE && job_is_doubtful(job)) {
                (void) snprintf(attempt->why, sizeof(attempt->why), "%s", JOB_WHY_DOUBTFUL);
                if (result->verdict == VERDICT_OK)
                        attempt->verdict = VERDICT_UNVERIFIED;
        }
        attempt->reset_method = result->reset_method;
        attempt->n_tries = result->n_tries;
        attempt->started_usec = result->started_usec;
        attempt->finished_usec = result->finished_usec;
        remember(job, attempt);
        judge_members(job, attempt);
        note_cleanliness(job, attempt);
}

const Device *job_quarantined_member(const Job *job)
{
        for (size_t i = 0; i < job->n_members; i++) {
                const Device *device = job_member_device(job, &job->members[i]);

                if (device && device->quarantine)
                        return device;
        }
        return NULL;
}

static const Attempt *last_written(const Job *job)
{
        for (size_t i = job->n_attempts; i > 0; i--)
                if (job->attempts[i - 1].written)
                        return &job->attempts[i - 1];
        return NULL;
}

bool job_has_written(const Job *job)
{
        return last_written(job) != NULL;
}

const char *job_method_used(const Job *job)
{
        const Attempt *attempt = last_written(job);

        return attempt ? attempt->method : "";
}

uint64_t job_duration_usec(const Job *job)
{
        const Attempt *attempt = last_written(job);

        return attempt ? attempt->finished_usec - attempt->started_usec : 0;
}

Verdict job_verdict(const Job *job)
{
        for (size_t i = job->n_attempts; i > 0; i--)
                if (job->attempts[i - 1].written || job->attempts[i - 1].verdict != VERDICT_UNVERIFIED)
                        return job->attempts[i - 1].verdict;
        return VERDICT_UNVERIFIED;
}

static void note_holders(Job *job, Device *const *devices, size_t n_devices)
{
        size_t n = 0;

        for (size_t i = 0; i < n_devices; i++)
                n += devices[i]->use.n_holders;
        free(job->holders);
        job->n_holders = 0;
        /* They are only told: without memory for them the refusal stands all the same. */
        job->holders = n > 0 ? calloc(n, sizeof(Holder)) : NULL;
        for (size_t i = 0; job->holders && i < n_devices; i++) {
                const DeviceUse *use = &devices[i]->use;

                if (use->n_holders == 0)
                        continue;
                memcpy(job->holders + job->n_holders, use->holders, use->n_holders * sizeof(Holder));
                job->n_holders += use->n_holders;
        }
}

void job_note_holders(Job *job, const Rung *rung)
{
        note_holders(job, rung->set, rung->n_set);
}

void job_note_waited_for(Job *job)
{
        _cleanup_free_ Device **devices = calloc(job->n_members, sizeof(Device *));
        size_t n = 0;

        for (size_t i = 0; devices && i < job->n_members; i++) {
                devices[n] = job_member_device(job, &job->members[i]);
                n += devices[n] != NULL;
        }
        note_holders(job, devices, n);
}

bool worker_why_is_use(const char *why)
{
        return strcmp(why, WORKER_WHY_DRIVER) == 0 || strcmp(why, WORKER_WHY_ENABLED) == 0 ||
               strcmp(why, WORKER_WHY_HELD) == 0 || strcmp(why, WORKER_WHY_TSM) == 0;
}

/* The error that a rung stands for which only somebody's say kept from being taken, RESET_OK for others. */
static ResetError obstacle(const Attempt *attempt)
{
        unsigned why = attempt->unusable;

        if (attempt->outcome == ATTEMPT_REFUSED)
                return worker_why_is_use(attempt->why) ? RESET_IN_USE : RESET_OK;
        if (attempt->outcome != ATTEMPT_UNUSABLE)
                return RESET_OK;
        /* Who uses the device is not to be seen while the kernel has it. */
        if (why & WHY_RECOVERING &&
            (why & ~(unsigned) (WHY_RECOVERING | WHY_IN_USE_MASK | WHY_LEASED | WHY_INHIBITED)) == 0)
                return RESET_RECOVERING;
        if ((why & ~(unsigned) WHY_IN_USE_MASK) == 0)
                return RESET_IN_USE;
        why &= ~(unsigned) WHY_IN_USE_MASK;
        if ((why & ~(unsigned) (WHY_LEASED | WHY_LEASE_GONE)) == 0)
                return RESET_LEASED;
        why &= ~(unsigned) (WHY_LEASED | WHY_LEASE_GONE);
        if ((why & ~(unsigned) WHY_INHIBITED) == 0)
                return RESET_INHIBITED;
        why &= ~(unsigned) WHY_INHIBITED;
        return (why & ~(unsigned) WHY_POLICY_MASK) == 0 ? RESET_POLICY_DENIED : RESET_OK;
}

/* A worker's reasons that will be as good the next time. */
static bool is_final(const char *why)
{
        static const char *const finals[] = {
                WORKER_WHY_DEAD,        WORKER_WHY_NO_SLOT,        WORKER_WHY_NOT_VFIO,
                WORKER_WHY_UNSUPPORTED, WORKER_WHY_METHOD_REFUSED,
        };

        for (size_t i = 0; i < ELEMENTSOF(finals); i++)
                if (strcmp(why, finals[i]) == 0)
                        return true;
        return false;
}

/* Might the rung have helped, if somebody had let it be tried? */
static bool was_withheld(const Attempt *attempt)
{
        switch (attempt->outcome) {
        case ATTEMPT_DENIED:
                return true;
        case ATTEMPT_UNUSABLE:
                return attempt->unusable & (WHY_IN_USE_MASK | WHY_LEASED | WHY_LEASE_GONE | WHY_INHIBITED |
                                            WHY_POLICY_MASK | WHY_NOT_OWNED);
        case ATTEMPT_REFUSED:
                return !is_final(attempt->why);
        case ATTEMPT_DONE:
        case ATTEMPT_FAILED:
        case ATTEMPT_GONE:
                break;
        }
        return false;
}

const Device *job_moved_target(const Job *job)
{
        const JobMember *target = &job->target;
        Registry *registry = job->jobs->registry;

        if (job_target_device(job) || !job->has_bridge || !job_has_written(job))
                return NULL;
        for (const Device *d = registry_next(registry, NULL); d; d = registry_next(registry, d)) {
                const DeviceFacts *facts = &d->facts;

                if (facts->has_parent && pci_address_equal(&facts->parent, &job->bridge.address) &&
                    facts->address.bus != target->address.bus &&
                    facts->address.device == target->address.device &&
                    facts->address.function == target->address.function && facts->vendor == target->vendor &&
                    facts->device == target->device && target->has_subsystem &&
                    facts->subsystem_vendor == target->subsystem_vendor &&
                    facts->subsystem_device == target->subsystem_device)
                        return d;
        }
        return NULL;
}

/* Did the ladder end at its end? One that has lost its device may have ended before: but whoever has taken
 * it away has scanned its bus for it, too, and there is nothing more in another scan. */
static bool is_at_the_end(const Job *job)
{
        if (!job_has_written(job) || job_target_device(job))
                return job->at >= job->n_ladder;
        for (size_t i = job->at + 1; i < job->n_ladder; i++)
                if (strcmp(job->ladder[i], RESET_METHOD_RESCAN) != 0)
                        return false;
        return !job_moved_target(job);
}

bool job_has_done_all(const Job *job)
{
        Verdict verdict = job_verdict(job);

        if (!job_is_recovery(job) || !job_is_wanted(job) || job->error == RESET_OK || !is_at_the_end(job))
                return false;
        if (verdict != VERDICT_DEAD && verdict != VERDICT_DEGRADED)
                return false;
        for (size_t i = 0; i < job->n_attempts; i++)
                if (was_withheld(&job->attempts[i]))
                        return false;
        return true;
}

void job_note_power_cycle(Job *job)
{
        Quarantines *quarantines = job->jobs->quarantines;

        for (size_t i = 0; i < job->n_members; i++) {
                Device *device = job_member_device(job, &job->members[i]);

                if (device)
                        (void) quarantines_add_reason(quarantines, device, QUARANTINE_NEEDS_POWER_CYCLE);
        }
}

ResetError job_conclude(const Job *job)
{
        const Attempt *denied = NULL;
        ResetError refused = RESET_OK;

        if (job_verdict(job) == VERDICT_DEAD)
                return RESET_DEVICE_DEAD;
        if (job_has_written(job))
                return job_target_device(job) ? RESET_FAILED : RESET_DEVICE_GONE;

        for (size_t i = 0; i < job->n_attempts; i++) {
                const Attempt *attempt = &job->attempts[i];

                if (attempt->outcome == ATTEMPT_DENIED && (!denied || attempt->grant == GRANT_CHALLENGE))
                        denied = attempt;
                if (refused == RESET_OK)
                        refused = obstacle(attempt);
        }
        /* That it may not be reset is known to whoever looks at its state; why polkit is to be asked is not.
         */
        if (denied && denied->actions & ACTION_QUARANTINE && denied->grant != GRANT_FAILED)
                return RESET_QUARANTINED;
        if (denied)
                return denied->grant == GRANT_CHALLENGE ? RESET_INTERACTION_REQUIRED : RESET_ACCESS_DENIED;
        return refused != RESET_OK ? refused : RESET_NOT_USABLE;
}
