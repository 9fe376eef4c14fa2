/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What is done about devices that were let go. Nothing is kept about a release's job but the job itself: it
 * is found among the others, and what is over is judged by how it ended. It made the device clean; or
 * something was in the way, and it is tried again when that changes, or a few times if nobody would tell; or
 * nothing is left to try, and the device goes into quarantine.
 */

#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "daemon/domain/cleanliness.h"
#include "daemon/domain/job-internal.h"
#include "daemon/domain/release-internal.h"

/* So often the daemon tries again without having heard of anything. */
#define TRIES_MAX 3U

/* What ends by itself or by somebody's doing, so that it is worth waiting for. */
#define WHY_PASSING (WHY_IN_USE_MASK | WHY_LEASED | WHY_INHIBITED | WHY_TOPOLOGY_UNKNOWN | WHY_RECOVERING)

static void set_waiting(Releases *releases, Release *release, const char *what)
{
        release->state = RELEASE_WAITS;
        if (strcmp(release->waits, what) == 0)
                return;
        (void) snprintf(release->waits, sizeof(release->waits), "%s", what);
        releases->ports.waiting(releases->ports.userdata, release);
}

/* ---- what a job came to ---- */

/* Another card may have been in the same place, and its release is for when it is back. */
static bool is_job_of(const Job *job, const Release *release)
{
        const ClaimDevice *device = &release->record.device;

        return job->request.plan.release && pci_address_equal(&job->target.address, &device->address) &&
               job->target.vendor == device->vendor && job->target.device == device->device &&
               job->target.subsystem_vendor == device->subsystem_vendor &&
               job->target.subsystem_device == device->subsystem_device;
}

static Job *find_job(const Releases *releases, const Release *release)
{
        for (Job *job = jobs_next(releases->jobs, NULL); job; job = jobs_next(releases->jobs, job))
                if (is_job_of(job, release))
                        return job;
        return NULL;
}

/* A rung that could be taken if somebody let it. */
static const Attempt *passing_attempt(const Job *job)
{
        for (size_t i = 0; i < job->n_attempts; i++)
                if (job->attempts[i].outcome == ATTEMPT_UNUSABLE &&
                    (job->attempts[i].unusable & ~(unsigned) WHY_PASSING) == 0)
                        return &job->attempts[i];
        return NULL;
}

/* What stood in the way may be gone by now, and nobody tells of it. */
static bool is_worth_a_try(const Release *release, const Job *job)
{
        const Attempt *last = job->n_attempts > 0 ? &job->attempts[job->n_attempts - 1] : NULL;

        if (release->n_tries >= TRIES_MAX)
                return false;
        if (!last || job->error == RESET_CANCELLED)
                return job->error != RESET_NOT_USABLE;
        return last->outcome == ATTEMPT_REFUSED || last->outcome == ATTEMPT_DENIED;
}

/* Somebody has it open whom only the worker has seen. */
static bool is_in_use(const Job *job)
{
        const Attempt *last = job->n_attempts > 0 ? &job->attempts[job->n_attempts - 1] : NULL;

        return last && last->outcome == ATTEMPT_REFUSED && worker_why_is_use(last->why);
}

/* What became of each method, as far as there is room. */
static void print_attempts(const Job *job, char *text, size_t size)
{
        size_t n = 0;

        text[0] = '\0';
        for (size_t i = 0; i < job->n_attempts && n < size; i++) {
                const Attempt *attempt = &job->attempts[i];
                char why[96];

                attempt_why(attempt, why, sizeof(why));
                n += (size_t) snprintf(text + n, size - n, "%s%s: %s", i > 0 ? "; " : "", attempt->method,
                                       why[0] ? why : attempt_outcome_to_string(attempt->outcome));
        }
}

static void put_away(Releases *releases, Release *release, const Job *job)
{
        QuarantineRecord record = {
                .cause = QUARANTINE_UNCLEAN,
                .uid = release->record.uid,
                .since = job->queued_at,
        };
        char attempts[160];

        print_attempts(job, attempts, sizeof(attempts));
        (void) snprintf(record.reason, sizeof(record.reason),
                        "its last user has let go of it, and it could not be reset (%s%s)",
                        job->error == RESET_OK ? "somebody uses it in each reset; " : "",
                        attempts[0] ? attempts : "there is no method for it");
        (void) snprintf(record.method, sizeof(record.method), "%s", job_method_used(job));
        (void) quarantines_begin(releases->quarantines, release->device, &record, 0);
        releases_wake(releases);
}

static void wait_for(Releases *releases, Release *release, const Attempt *attempt)
{
        char why[96], text[RELEASE_WAITS_MAX];

        attempt_why(attempt, why, sizeof(why));
        (void) snprintf(text, sizeof(text), "%s cannot be used yet (%s)", attempt->method, why);
        set_waiting(releases, release, text);
}

static void judge(Releases *releases, Release *release, const Job *job)
{
        const Attempt *passing = passing_attempt(job);

        /* What is clean, or given to nobody any more, is seen to by releases_run(). */
        if (!release->device || release->device->quarantine || release->is_unwanted ||
            release->device->cleanliness == CLEANLINESS_CLEAN)
                return;
        if (passing && !job_has_written(job)) {
                wait_for(releases, release, passing);
        } else if (job->error == RESET_OK ? release->n_tries < TRIES_MAX
                                          : !job_has_written(job) && is_worth_a_try(release, job)) {
                /* Somebody has used it in a reset that went well, or has kept that from being made. */
                release->n_tries++;
                release_set_state(releases, release, RELEASE_READY);
        } else if (is_in_use(job)) {
                set_waiting(releases, release, "it is still in use");
        } else {
                put_away(releases, release, job);
        }
}

void releases_job_over(Releases *releases, const Job *job)
{
        Release *release;

        releases_wake(releases);
        DL_FOREACH (releases->list, release)
                if (release->record.pending && is_job_of(job, release)) {
                        judge(releases, release, job);
                        return;
                }
}

/* ---- doing ---- */

/* Of whom it will be told when he lets go. */
static bool waits_for_user(const Device *device)
{
        for (size_t i = 0; i < device->use.n_holders; i++)
                if (device->use.holders[i].silent)
                        return false;
        return device->use.n_holders > 0;
}

static int submit(Releases *releases, Release *release)
{
        JobRequest request = {
                .uid = release->record.uid,
                .method = "any",
                .by_policy = true,
                .plan = {.when_idle = true, .release = true, .outlasts_recovery = true},
        };

        release_note_rule(release);
        (void) snprintf(request.rule, sizeof(request.rule), "%s",
                        release->rule[0] ? release->rule : "on_release");
        return jobs_submit(releases->jobs, release->device, &request);
}

static size_t count_jobs(const Releases *releases)
{
        size_t n = 0;

        for (const Job *job = jobs_next(releases->jobs, NULL); job; job = jobs_next(releases->jobs, job))
                n += job->request.plan.release;
        return n;
}

/* Over without a reset: somebody in charge decides what becomes of it, or nobody wants one any more. */
static bool is_moot(const Release *release)
{
        return release->device && (release->device->quarantine || release->is_unwanted);
}

static void cancel_job(const Releases *releases, const Release *release)
{
        Job *job = find_job(releases, release);

        if (job)
                (void) job_cancel(job, RESET_CANCELLED);
}

static void advance(Releases *releases, Release *release)
{
        if (release->device->cleanliness == CLEANLINESS_CLEAN) {
                release_set_state(releases, release, RELEASE_DONE);
                cancel_job(releases, release);
                return;
        }
        if (release->state == RELEASE_DONE)
                release->state = RELEASE_READY;
        if (release->state != RELEASE_READY || find_job(releases, release))
                return;
        if (waits_for_user(release->device))
                set_waiting(releases, release, "it is still in use");
        else if (count_jobs(releases) < RELEASE_JOBS_MAX && submit(releases, release) < 0)
                set_waiting(releases, release, "memory is short");
}

static bool is_group_done(const Releases *releases, const Release *release)
{
        const Release *other;

        DL_FOREACH (releases->list, other)
                if (other->record.pending && other->device && other->state != RELEASE_DONE &&
                    release->record.lease[0] != '\0' &&
                    strcmp(release->record.lease, other->record.lease) == 0)
                        return false;
        return release->state == RELEASE_DONE;
}

void releases_run(Releases *releases)
{
        Release *release, *next;

        DL_FOREACH_SAFE (releases->list, release, next) {
                if (!release->record.pending || !is_moot(release))
                        continue;
                cancel_job(releases, release);
                release_end(releases, release);
        }
        DL_FOREACH (releases->list, release)
                if (release->record.pending && release->device)
                        advance(releases, release);
        DL_FOREACH_SAFE (releases->list, release, next)
                if (release->record.pending && release->device && is_group_done(releases, release))
                        release_end(releases, release);
}
