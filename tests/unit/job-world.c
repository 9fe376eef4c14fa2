/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "job-world.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/domain/cleanliness.h"

#define PIN 100

JobWorld seen;

static int refresh(void *userdata, Device *device)
{
        return 0;
}

static int scan(void *userdata, Job *job, Device **devices, size_t n)
{
        seen.n_scans++;
        seen.scanning = job;
        if (seen.on_scan)
                seen.on_scan();
        return seen.scan_result;
}

static int delay(void *userdata, Job *job, uint64_t usec)
{
        seen.n_delays++;
        seen.delayed = job;
        seen.delay_usec = usec;
        return seen.delay_result;
}

static int pin(void *userdata, const PciAddress *address, uint64_t inode)
{
        Device *device = registry_find(seen.world.registry, address);

        if (!device || device->facts.inode != inode)
                return -ENODEV;
        if (seen.pins_left == 0)
                return -EMFILE;
        seen.pins_left--;
        seen.pins++;
        return PIN;
}

static void unpin(void *userdata, int handle)
{
        ck_assert_int_eq(handle, PIN);
        seen.pins--;
}

static int authorize(void *userdata, Job *job)
{
        seen.asked[seen.n_asked++ % SEEN_MAX] = job;
        return 0;
}

static void forget_authorization(void *userdata, Job *job)
{
        seen.forgotten++;
}

static int start_worker(void *userdata, Job *job, const WorkerRequest *request)
{
        char address[PCI_ADDRESS_STRING_MAX];

        (void) snprintf(seen.ran[seen.n_ran], sizeof(seen.ran[0]), "%s %s",
                        pci_address_format(&request->members[0].address, address), request->method);
        seen.running[seen.n_ran++] = job;
        seen.request = *request;
        seen.first = request->members[0];
        seen.command = request->n_images > 0 ? request->images[0].command : 0;
        seen.request.members = NULL;
        seen.request.images = NULL;
        return 0;
}

static int start_order(void *userdata, const WorkerRequest *request)
{
        ck_assert(request->operation == WORKER_ORDER || request->operation == WORKER_HOLD);
        ck_assert_uint_eq(request->n_members, 1);
        seen.order = *request;
        seen.ordered = request->members[0];
        seen.order.members = NULL;
        seen.n_orders++;
        return seen.order_result;
}

static void ordered(void *userdata, Device *device, const ResetMethodList *wanted, bool failed)
{
        seen.n_told++;
        seen.order_failed = failed;
}

static void event(void *userdata, Job *job, JobEvent what)
{
        bool *prepared = &seen.prepared[job->id];

        switch (what) {
        case JOB_EVENT_ANNOUNCED:
                seen.announced++;
                break;
        case JOB_EVENT_PREPARE:
                ck_assert(!*prepared);
                *prepared = true;
                seen.n_prepared++;
                break;
        case JOB_EVENT_RELAX:
                ck_assert(*prepared);
                *prepared = false;
                seen.n_relaxed++;
                break;
        case JOB_EVENT_FINISHED:
                releases_job_over(seen.releases, job);
                ck_assert(!*prepared);
                /* Each was told once. */
                ck_assert_uint_eq(seen.attempts[job->id], job->n_attempts);
                seen.finished++;
                seen.error = job->error;
                seen.last = *job;
                break;
        case JOB_EVENT_ATTEMPT:
                ck_assert_uint_eq(++seen.attempts[job->id], job->n_attempts);
                break;
        case JOB_EVENT_REQUESTED:
        case JOB_EVENT_CHANGED:
        case JOB_EVENT_STARTED:
                break;
        }
}

static uint64_t now_realtime(void *userdata)
{
        return 1;
}

static uint64_t now_boottime(void *userdata)
{
        return seen.now_boottime;
}

static uint32_t new_id(void *userdata)
{
        return ++seen.last_id;
}

static void wake(void *userdata)
{
        seen.is_due = true;
}

static bool is_same(const ClaimDevice *a, const ClaimDevice *b)
{
        return pci_address_equal(&a->address, &b->address) && a->vendor == b->vendor &&
               a->device == b->device;
}

static int store(void *userdata, const ReleaseRecord *record, bool keep)
{
        size_t i = 0;

        if (seen.store_result < 0)
                return seen.store_result;
        while (i < seen.n_stored && !is_same(&seen.stored[i].device, &record->device))
                i++;
        if (keep) {
                ck_assert_uint_lt(i, SEEN_MAX);
                seen.stored[i] = *record;
                seen.n_stored += i == seen.n_stored;
        } else if (i < seen.n_stored) {
                seen.stored[i] = seen.stored[--seen.n_stored];
        }
        return 0;
}

static void waiting(void *userdata, const Release *release)
{
        ck_assert_str_ne(release->waits, "");
        seen.n_waits++;
}

static void make_releases(void)
{
        const ReleasePorts ports = {.wake = wake, .store = store, .waiting = waiting};

        ck_assert_int_eq(
                releases_new(seen.world.registry, seen.jobs, seen.quarantines, &ports, &seen.releases), 0);
}

void job_world_settle(void)
{
        while (seen.is_due) {
                seen.is_due = false;
                releases_run(seen.releases);
        }
}

void job_world_restart_releases(void)
{
        ReleaseRecord stored[SEEN_MAX];
        size_t n = seen.n_stored;

        memcpy(stored, seen.stored, sizeof(stored));
        for (Device *d = registry_next(seen.world.registry, NULL); d;
             d = registry_next(seen.world.registry, d)) {
                d->release = NULL;
                d->released = d->was_leased = false;
                d->cleanliness = CLEANLINESS_UNKNOWN;
                device_forget_use(d);
        }
        releases_free(seen.releases);
        make_releases();
        for (size_t i = 0; i < n; i++)
                ck_assert_int_eq(releases_restore(seen.releases, &stored[i]), 0);
        for (Device *d = registry_next(seen.world.registry, NULL); d;
             d = registry_next(seen.world.registry, d)) {
                cleanliness_follow(d);
                releases_follow(seen.releases, d);
        }
}

void job_world_rule(const char *address, const PolicySettings *settings)
{
        PolicyRule rule = {.file = strdup("/etc/50.json"), .settings = *settings};
        Policy *policy = policy_new();
        const char *wanted;

        (void) snprintf(rule.id, sizeof(rule.id), "a-rule");
        if (address)
                ck_assert_int_eq(policy_match_set(&rule.match, POLICY_MATCH_ADDRESS, address, &wanted), 0);
        ck_assert_int_eq(policy_add(policy, &rule), 0);
        registry_change_policy(seen.world.registry, policy);
        releases_policy_changed(seen.releases);
}

Admission job_world_judge(ClaimKind kind, uint32_t uid, const char *address)
{
        const Device *device = world_find(&seen.world, address);
        ClaimDevice named = claim_device(device);
        ClaimRecord record = {.kind = kind, .uid = uid, .devices = &named, .n_devices = 1};

        return admission_judge(seen.claims, seen.jobs, seen.world.registry, &record, &device->generation);
}

static void on_added(void *userdata, Device *device)
{
        claims_device_added(seen.claims, device);
        quarantines_device_added(seen.quarantines, device);
        jobs_device_added(seen.jobs, device);
        cleanliness_follow(device);
        releases_follow(seen.releases, device);
}

static void on_removed(void *userdata, Device *device)
{
        releases_device_removed(seen.releases, device);
        jobs_wake(seen.jobs, device);
}

static void on_changed(void *userdata, Device *device, unsigned changes)
{
        if (changes & (DEVICE_CHANGED_USE | DEVICE_CHANGED_CLAIMS | DEVICE_CHANGED_DRIVER))
                cleanliness_follow(device);
        if (changes & (DEVICE_CHANGED_USE | DEVICE_CHANGED_CLAIMS | DEVICE_CHANGED_DRIVER |
                       DEVICE_CHANGED_QUARANTINE | DEVICE_CHANGED_CLEANLINESS))
                releases_follow(seen.releases, device);
        if (changes & (DEVICE_CHANGED_USE | DEVICE_CHANGED_CLAIMS | DEVICE_CHANGED_DRIVER))
                jobs_wake(seen.jobs, device);
}

void job_world_init(void)
{
        const RegistryListener listener = {.added = on_added, .removed = on_removed, .changed = on_changed};
        const JobPorts ports = {
                .refresh = refresh,
                .scan = scan,
                .delay = delay,
                .pin = pin,
                .unpin = unpin,
                .authorize = authorize,
                .forget_authorization = forget_authorization,
                .start_worker = start_worker,
                .start_order = start_order,
                .ordered = ordered,
                .event = event,
                .now_realtime = now_realtime,
                .now_boottime = now_boottime,
                .new_id = new_id,
        };

        seen = (JobWorld){.pins_left = -1};
        world_init(&seen.world);
        ck_assert_int_eq(claims_new(seen.world.registry, &seen.claims), 0);
        ck_assert_int_eq(proven_new(&seen.proven), 0);
        ck_assert_int_eq(quarantines_new(seen.world.registry, &seen.quarantines), 0);
        ck_assert_int_eq(jobs_new(seen.world.registry, seen.proven, seen.quarantines, &ports, &seen.jobs),
                         0);
        make_releases();
        registry_set_listener(seen.world.registry, &listener);

        world_add_bridge(&seen.world, "0000:00:01.0", NULL);
        world_add(&seen.world, "0000:01:00.0", "0000:00:01.0", "", "acpi flr bus");
        world_add_bridge(&seen.world, "0000:00:02.0", NULL);
        world_add(&seen.world, "0000:02:00.0", "0000:00:02.0", "", "flr");
}

void job_world_done(void)
{
        /* Whatever happened, nothing stays held. */
        for (Job *job; (job = jobs_next(seen.jobs, NULL));)
                if (job_has_begun(job))
                        job_worker_done(job, NULL);
                else
                        ck_assert_int_eq(job_cancel(job, RESET_CANCELLED), 0);
        ck_assert_int_eq(seen.pins, 0);
        ck_assert_uint_eq(seen.n_prepared, seen.n_relaxed);
        for (Device *d = registry_next(seen.world.registry, NULL); d;
             d = registry_next(seen.world.registry, d)) {
                ck_assert_uint_eq(d->n_queued, 0);
                ck_assert_uint_eq(d->n_resetting, 0);
        }
        releases_free(seen.releases);
        jobs_free(seen.jobs);
        registry_set_listener(seen.world.registry, NULL);
        claims_free(seen.claims);
        quarantines_free(seen.quarantines);
        proven_free(seen.proven);
        world_done(&seen.world);
}

void submit_request(const char *address, const char *method, JobRequest request)
{
        request.client = &seen;
        if (request.uid == 0)
                request.uid = 1001;
        (void) snprintf(request.method, sizeof(request.method), "%s", method);
        ck_assert_int_eq(jobs_submit(seen.jobs, world_find(&seen.world, address), &request), 0);
}

void submit_as(uint32_t uid, const char *address, const char *method, bool in_use, bool no_wait)
{
        submit_request(address, method,
                       (JobRequest){.uid = uid, .plan = {.in_use = in_use}, .no_wait = no_wait});
}

void submit(const char *address, const char *method)
{
        submit_request(address, method, (JobRequest){});
}

void submit_patient(const char *address, const char *method)
{
        submit_request(address, method, (JobRequest){.plan = {.when_idle = true}});
}

void answer(Grant grant)
{
        ck_assert_uint_gt(seen.n_asked, 0);
        job_authorized(seen.asked[(seen.n_asked - 1) % SEEN_MAX], grant);
}

static WorkerResult *new_result(WorkerOutcome outcome)
{
        WorkerResult *result = calloc(1, sizeof(WorkerResult));

        ck_assert_ptr_nonnull(result);
        result->outcome = outcome;
        return result;
}

void worker_says(size_t i, WorkerOutcome outcome, int error, Verdict verdict)
{
        WorkerResult *result = new_result(outcome);

        result->error = error;
        result->verdict = verdict;
        result->written = outcome == WORKER_DONE || outcome == WORKER_FAILED;
        result->started_usec = 100;
        result->finished_usec = 300;
        job_worker_done(seen.running[i], result);
}

void worker_refuses(size_t i, const char *why)
{
        WorkerResult *result = new_result(WORKER_REFUSED);

        (void) snprintf(result->why, sizeof(result->why), "%s", why);
        job_worker_done(seen.running[i], result);
}

void hold(const char *address, HolderKind kind)
{
        world_hold(&seen.world, address, kind);
        registry_notify(seen.world.registry, world_find(&seen.world, address), DEVICE_CHANGED_USE);
}

void let_go(const char *address)
{
        world_let_go(&seen.world, address);
        registry_notify(seen.world.registry, world_find(&seen.world, address), DEVICE_CHANGED_USE);
}

void unplug(const char *address)
{
        PciAddress parsed = at(address);

        registry_remove(seen.world.registry, &parsed, 0);
}

Job *only_job(void)
{
        Job *job = jobs_next(seen.jobs, NULL);

        ck_assert_ptr_nonnull(job);
        ck_assert_ptr_null(jobs_next(seen.jobs, job));
        return job;
}

void check_phase(JobPhase phase)
{
        ck_assert_str_eq(job_phase_to_string(only_job()->phase), job_phase_to_string(phase));
        ck_assert_uint_eq(seen.n_ran, 0);
        ck_assert_uint_eq(seen.finished, 0);
}

void check_ran_well(void)
{
        ck_assert_uint_eq(seen.n_ran, 1);
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        ck_assert_uint_eq(seen.finished, 1);
        ck_assert_int_eq(seen.error, RESET_OK);
}

void check_refused(ResetError error)
{
        ck_assert_uint_eq(seen.n_ran, 0);
        ck_assert_uint_eq(seen.finished, 1);
        ck_assert_str_eq(reset_error_to_string(seen.error), reset_error_to_string(error));
}
