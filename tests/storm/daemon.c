/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * One life of a daemon. It starts as main.c starts it: rules, devices, claims, quarantines, workers. Its end
 * is that of kill -9: all that it knew is freed, and nobody is told.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/domain/cleanliness.h"
#include "daemon/domain/keep-off.h"
#include "daemon/domain/kernel-order.h"
#include "storm.h"
#include "unit.h"

/* ---- the ports ---- */

/* In the middle of a reset the list is not the device's own. */
static int refresh(void *userdata, Device *device)
{
        const ResetMethodList methods = device->live.methods;

        tree_refresh(&storm.tree, device);
        if (device->n_resetting > 0)
                device->live.methods = methods;
        return 0;
}

static size_t index_of(const Device *device)
{
        return (size_t) (tree_node(&storm.tree, &device->facts.address) - storm.tree.nodes);
}

/* A look at these that fails makes the daemon forget what it knew; the survey makes up for it. */
static void look(Device **devices, size_t n, bool fails)
{
        for (size_t i = 0; i < n; i++) {
                if (!fails) {
                        tree_scan(&storm.tree, devices[i]);
                        continue;
                }
                storm.tree.nodes[index_of(devices[i])].is_known = false;
                storm.survey_at[index_of(devices[i])] = storm_in(1 * MSEC, 2 * SEC);
        }
}

static int scan(void *userdata, Job *job, Device **devices, size_t n)
{
        unsigned how = pick(&storm.tree, 100);

        if (how < 3 && !storm.is_calm) {
                look(devices, n, true);
                return -EIO;
        }
        if (how < 60) {
                track_of(job->id)->scan_at = storm_in(1 * MSEC, 400 * MSEC);
                return 1;
        }
        look(devices, n, false);
        return 0;
}

void track_scanned(Track *track)
{
        Job *job = jobs_find(storm.jobs, track->job);
        Device *target = job_target_device(job), **devices;
        bool fails = !storm.is_calm && chance(&storm.tree, 3);
        size_t n;

        track->scan_at = NEVER;
        storm_note("job %u: it was looked who uses them%s", job->id, fails ? ", in vain" : "");
        if (target && plan_concerned(target, &devices, &n) >= 0) {
                look(devices, n, fails);
                free(devices);
        }
        job_scanned(job, fails ? -EIO : 0);
}

static int delay(void *userdata, Job *job, uint64_t usec)
{
        track_of(job->id)->delay_at = storm.now + usec;
        return 0;
}

void track_delayed(Track *track)
{
        Job *job = jobs_find(storm.jobs, track->job);

        track->delay_at = NEVER;
        if (job->phase == JOB_INHIBITED)
                track->delay_is_over = true;
        storm_note("job %u: a pause is over", job->id);
        job_delay_over(job);
}

static int pin(void *userdata, const PciAddress *address, uint64_t inode)
{
        const Node *node = tree_node(&storm.tree, address);

        if (!node->present || node->inode != inode)
                return -ENODEV;
        if (!storm.is_calm && chance(&storm.tree, 1))
                return -EMFILE;
        storm.pins++;
        return 1000;
}

static void unpin(void *userdata, int handle)
{
        ck_assert_int_eq(handle, 1000);
        storm.pins--;
}

static int authorize(void *userdata, Job *job)
{
        Track *track = track_of(job->id);

        track->granted = 0;
        if (!storm.is_calm && chance(&storm.tree, 1))
                return -EIO;
        /* Most answers come at once, others when somebody has typed a password. */
        track->answer_at = chance(&storm.tree, 80) ? storm_in(1 * MSEC, 20 * MSEC)
                                                   : storm_in(1 * SEC, 40 * SEC);
        return 0;
}

static void forget_authorization(void *userdata, Job *job)
{
        track_of(job->id)->answer_at = NEVER;
}

static void note_granted(Track *track, const Job *job)
{
        track->granted = job->actions;
        memcpy(track->method, job->method, sizeof(track->method));
        track->n_inodes = job->n_members;
        for (size_t i = 0; i < job->n_members; i++)
                track->inodes[i] = job->members[i].inode;
}

void track_answered(Track *track)
{
        Job *job = jobs_find(storm.jobs, track->job);
        bool yes = storm.is_calm || chance(&storm.tree, 85);

        track->answer_at = NEVER;
        if (job->request.by_policy)
                storm_wrong("polkit is asked about job %u, which is the daemon's own", job->id);
        storm_note("job %u: polkit says %s to %#x for %s", job->id, yes ? "yes" : "no", job->actions,
                   job->method);
        if (yes) {
                track->last_claim = storm.tree.last_claim;
                track->delay_is_over = false;
                note_granted(track, job);
        }
        job_authorized(job, yes ? GRANT_YES : (Grant) (1 + pick(&storm.tree, 4)));
}

/* ---- what begins is judged ---- */

static bool was_granted_for(const Track *track, uint64_t inode)
{
        for (size_t i = 0; i < track->n_inodes; i++)
                if (track->inodes[i] == inode)
                        return true;
        return false;
}

/* The members that the worker is told of are the set, and are what was granted. */
static void check_members(const Track *track, const WorkerRequest *request, const bool set[static NODES_MAX])
{
        const Tree *tree = &storm.tree;
        size_t n = 0;

        for (size_t i = 0; i < tree->n; i++) {
                n += set[i];
                if (set[i] && !was_granted_for(track, tree->nodes[i].inode))
                        storm_wrong("job %u: %s is in the set and was not granted", track->job, name_of(i));
        }
        if (n != request->n_members || n != track->n_inodes || strcmp(track->method, request->method) != 0)
                storm_wrong("job %u: what runs is not what was granted", track->job);
        for (size_t i = 0; i < n; i++) {
                const Node *node = tree_node(tree, &request->members[i].address);

                if (!set[node - tree->nodes] || node->inode != request->members[i].inode ||
                    strcmp(node->driver, request->members[i].driver) != 0)
                        storm_wrong("job %u: the worker is told of another device or driver than %s",
                                    track->job, name_of((size_t) (node - tree->nodes)));
        }
}

static void check_request(const Track *track, const WorkerRequest *request, const bool set[static NODES_MAX])
{
        const Tree *tree = &storm.tree;
        int bridge = tree->nodes[track->target].parent;

        if (request->allow_held != (track->in_use && track->granted & ACTION_RESET_IN_USE))
                storm_wrong("job %u: the worker may do other than what was granted", track->job);
        if ((request->driver == WORKER_DRIVER_REBIND) !=
            oracle_rebinds(tree, request->method, track->in_use, set))
                storm_wrong("job %u: drivers are handled otherwise than they must be", track->job);
        if (request->has_bridge != (bridge >= 0) ||
            (bridge >= 0 && request->bridge.inode != tree->nodes[bridge].inode))
                storm_wrong("job %u: the worker is told of another bridge", track->job);
        if (!track->prepared)
                storm_wrong("job %u: nobody was told before", track->job);
        if (oracle_delays(tree, set, track->last_claim) && !track->delay_is_over)
                storm_wrong("job %u: who asked to be told before had no time", track->job);
}

/* Workers that run, written or not, must not be in each other's way: any of them may write now. */
static void check_conflicts(const Track *track, const Footprint *footprint)
{
        for (size_t i = 0; i < RUNS_MAX; i++) {
                const Run *run = &storm.runs[i];

                if (run->job != 0 && (run->is_known || run->writing) &&
                    oracle_conflict(&run->footprint, footprint))
                        storm_wrong("job %u begins while job %u, which it disturbs, is at work", track->job,
                                    run->job);
        }
        if (tasks_conflict(footprint))
                storm_wrong("job %u begins while a setting of a member is written", track->job);
}

static void count(const Job *job, const Track *track)
{
        stats.started++;
        stats.queued_behind += storm.now > track->queued_at;
        stats.several += job->n_members > 1;
        stats.in_use += !!(track->granted & ACTION_RESET_IN_USE);
        stats.shared += !!(track->granted & ACTION_RESET_SHARED);
        stats.owned += track->granted == ACTION_RESET_OWNED;
        stats.released += job->request.plan.release;
        stats.quarantined += !!(track->granted & ACTION_QUARANTINE);
}

static int start_worker(void *userdata, Job *job, const WorkerRequest *request)
{
        Track *track = track_of(job->id);
        bool set[NODES_MAX];
        OracleCase reset = {
                .target = track->target,
                .method = request->method,
                .requested = track->requested,
                .asker = &track->asker,
                .in_use = track->in_use,
                .job = job->id,
        };
        Footprint footprint;
        const char *why;

        /* The rule is all that grants it. */
        if (job->request.by_policy)
                note_granted(track, job);
        reset.granted = track->granted;

        storm_note("job %u begins: %s of %s, %zu devices", job->id, request->method, name_of(track->target),
                   request->n_members);
        oracle_set(&storm.tree, track->target, request->method, set);
        why = oracle_judge(&storm.tree, &reset, set);
        if (!why && job->request.plan.release)
                why = release_judge(set);
        if (!why && job->request.by_policy)
                why = own_judge(job, track->target, set);
        stats.own_begun += job->request.by_policy && !job->request.plan.release;
        if (why)
                storm_wrong("job %u begins (%s of %s for uid %u): %s", job->id, request->method,
                            name_of(track->target), track->asker.uid, why);
        footprint = oracle_footprint(&storm.tree, track->target, set);
        check_conflicts(track, &footprint);
        check_members(track, request, set);
        check_request(track, request, set);
        count(job, track);
        if (!storm.is_calm && chance(&storm.tree, 1))
                return -EAGAIN;
        run_start(job, track, request, &footprint);
        track->has_begun = true;
        return 0;
}

static void finish(Track *track, const Job *job)
{
        storm_note("job %u ends: %s", job->id, reset_error_to_string(job->error));
        /* What was to be reset after its user may be clean by somebody else's reset. */
        if (job->error == RESET_OK && !track->was_well &&
            !(job->request.plan.release && storm.trails[track->target].is_clean))
                storm_wrong("job %u is told to be well, and its worker has not said so", job->id);
        track->finished = true;
        track->error = job->error;
        track->scan_at = track->answer_at = track->delay_at = NEVER;
        stats.finished++;
        stats.ok += job->error == RESET_OK;
        stats.errors[job->error]++;
}

/* One that no user has asked for. */
static void note_own(Track *track, const Job *job)
{
        if (track->job != 0 && !track->finished)
                storm_wrong("job %u has never ended", track->job);
        *track = (Track){
                .job = job->id,
                .target = (size_t) (tree_node(&storm.tree, &job->target.address) - storm.tree.nodes),
                .asker = job->request.plan.asker,
                .in_use = job->request.plan.in_use,
                .scan_at = NEVER,
                .answer_at = NEVER,
                .delay_at = NEVER,
                .deadline = NEVER,
        };
        /* Nobody's lease is its own. */
        track->asker.uid = UINT32_MAX;
        memcpy(track->requested, job->request.method, sizeof(track->requested));
        storm_note("job %u: the daemon itself wants %s of %s", job->id, job->request.method,
                   name_of(track->target));
}

static void look_at_quarantined(const Job *job)
{
        for (size_t i = 0; i < job->n_members; i++) {
                Device *device = registry_find(storm.registry, &job->members[i].address);

                if (device)
                        jobs_keep_off(storm.jobs, device);
        }
}

static void event(void *userdata, Job *job, JobEvent what)
{
        Track *track = track_of(job->id);

        if (what == JOB_EVENT_REQUESTED && job->request.by_policy)
                note_own(track, job);
        if (track->finished)
                storm_wrong("job %u ends twice", job->id);
        if ((what == JOB_EVENT_PREPARE && track->prepared) ||
            (what == JOB_EVENT_RELAX && !track->prepared) || (what == JOB_EVENT_FINISHED && track->prepared))
                storm_wrong("job %u: to be told before and to be told after are no pairs", job->id);
        if (job->phase == JOB_QUEUED && (what == JOB_EVENT_ANNOUNCED || what == JOB_EVENT_CHANGED))
                track->queued_at = storm.now;
        track->prepared = what == JOB_EVENT_PREPARE || (track->prepared && what != JOB_EVENT_RELAX);
        /* A job of the daemon's own asks nobody: what is there when others are told is what it was made for.
         */
        if (what == JOB_EVENT_PREPARE && job->request.by_policy) {
                track->last_claim = storm.tree.last_claim;
                track->delay_is_over = false;
        }
        if (what == JOB_EVENT_ATTEMPT && storm.is_started)
                look_at_quarantined(job);
        if (what != JOB_EVENT_FINISHED)
                return;
        finish(track, job);
        releases_job_over(storm.releases, job);
}

static uint64_t now_realtime(void *userdata)
{
        return storm.now;
}

static uint32_t new_id(void *userdata)
{
        return ++storm.last_job;
}

/* ---- what becomes different ---- */

static void on_added(void *userdata, Device *device)
{
        claims_device_added(storm.claims, device);
        quarantines_device_added(storm.quarantines, device);
        jobs_device_added(storm.jobs, device);
        runs_follow(index_of(device));
        cleanliness_follow(device);
        releases_follow(storm.releases, device);
        jobs_order(storm.jobs, device);
        device->hold.kept = device->hold.noted = storm.kept_off[index_of(device)].exists;
        jobs_keep_off(storm.jobs, device);
        storm.survey_at[index_of(device)] = storm_in(1 * MSEC, 500 * MSEC);
}

static void on_removed(void *userdata, Device *device)
{
        releases_device_removed(storm.releases, device);
        jobs_wake(storm.jobs, device);
}

static void on_changed(void *userdata, Device *device, unsigned changes)
{
        if (changes & DEVICE_CHANGED_DRIVER) {
                storm.tree.nodes[index_of(device)].is_known = false;
                storm.survey_at[index_of(device)] = storm_in(1 * MSEC, 500 * MSEC);
        }
        if (changes & (DEVICE_CHANGED_USE | DEVICE_CHANGED_CLAIMS | DEVICE_CHANGED_DRIVER))
                cleanliness_follow(device);
        if (changes & (DEVICE_CHANGED_USE | DEVICE_CHANGED_CLAIMS | DEVICE_CHANGED_DRIVER |
                       DEVICE_CHANGED_QUARANTINE | DEVICE_CHANGED_CLEANLINESS | DEVICE_CHANGED_ERROR_STATE))
                releases_follow(storm.releases, device);
        if (changes & DEVICE_CHANGED_CLEANLINESS && device->touched_in_reset)
                storm.survey_at[index_of(device)] = storm_in(1 * MSEC, 500 * MSEC);
        if (changes & (DEVICE_CHANGED_USE | DEVICE_CHANGED_CLAIMS | DEVICE_CHANGED_DRIVER |
                       DEVICE_CHANGED_ERROR_STATE))
                jobs_wake(storm.jobs, device);
        if (changes & DEVICE_CHANGED_DRIVER) {
                jobs_order(storm.jobs, device);
                device->hold.left = false;
        }
        if (changes & (DEVICE_CHANGED_DRIVER | DEVICE_CHANGED_QUARANTINE))
                jobs_keep_off(storm.jobs, device);
}

static QuarantineRecord *find_stored(const QuarantineRecord *record)
{
        for (size_t i = 0; i < storm.n_stored; i++)
                if (strcmp(storm.stored[i].port, record->port) == 0 &&
                    storm.stored[i].device.device == record->device.device)
                        return &storm.stored[i];
        return NULL;
}

static NodeQuarantine *quarantine_of(const QuarantineRecord *record)
{
        Node *node = (Node *) tree_node(&storm.tree, &record->device.address);

        return &node->quarantine[record->device.device - NODE_ID];
}

static void on_quarantine(void *userdata, const QuarantineRecord *record, QuarantineEvent what)
{
        QuarantineRecord *stored = find_stored(record);

        storm_note("quarantine of %s, card %#x: event %d",
                   name_of((size_t) (tree_node(&storm.tree, &record->device.address) - storm.tree.nodes)),
                   record->device.device, what);
        /* What could not be made clean: that it could not is the daemon's own finding. */
        if (what == QUARANTINE_BEGUN && record->cause == QUARANTINE_UNCLEAN)
                *quarantine_of(record) = (NodeQuarantine){
                        .in = true, .is_unclean = true, .turn = ++storm.n_quarantines};
        if (what == QUARANTINE_BEGUN || what == QUARANTINE_CHANGED || what == QUARANTINE_PINNED) {
                if (!stored) {
                        ck_assert_uint_lt(storm.n_stored, STORED_MAX);
                        stored = &storm.stored[storm.n_stored++];
                }
                *stored = *record;
        } else {
                ck_assert_ptr_nonnull(stored);
                *stored = storm.stored[--storm.n_stored];
        }
}

/* ---- its start and its end ---- */

static void set_up(void)
{
        const JobPorts ports = {
                .refresh = refresh,
                .scan = scan,
                .delay = delay,
                .pin = pin,
                .unpin = unpin,
                .authorize = authorize,
                .forget_authorization = forget_authorization,
                .start_worker = start_worker,
                .start_order = task_start,
                .ordered = task_ordered,
                .event = event,
                .now_realtime = now_realtime,
                .now_boottime = now_realtime,
                .new_id = new_id,
        };

        ck_assert_int_eq(registry_new(&storm.registry), 0);
        ck_assert_int_eq(claims_new(storm.registry, &storm.claims), 0);
        ck_assert_int_eq(quarantines_new(storm.registry, &storm.quarantines), 0);
        ck_assert_int_eq(proven_new(&storm.proven), 0);
        ck_assert_int_eq(jobs_new(storm.registry, storm.proven, storm.quarantines, &ports, &storm.jobs), 0);
        storm.tree.registry = storm.registry;
        storm.tree.claims = storm.claims;
}

static void take_over_claims(void)
{
        for (size_t i = 0; i < LEASES_MAX; i++) {
                const TreeClaim *held = &storm.tree.held[i];
                ClaimDevice devices[3];
                ClaimRecord record = {
                        .kind = held->kind, .uid = held->uid, .devices = devices, .n_devices = held->n};
                const Claim *claim;

                if (!held->used)
                        continue;
                memcpy(record.id, held->id, sizeof(record.id));
                for (size_t k = 0; k < held->n; k++)
                        devices[k] = (ClaimDevice){.address = storm.tree.nodes[held->node[k]].address,
                                                   .vendor = 0x8086,
                                                   .device = held->ids[k]};
                ck_assert_int_eq(claims_add(storm.claims, &record, &claim), 0);
        }
}

static void take_over_quarantines(void)
{
        const QuarantineListener listener = {.event = on_quarantine};
        char boot[QUARANTINE_BOOT_MAX];

        for (size_t i = 0; i < storm.n_stored; i++)
                ck_assert_int_eq(quarantines_restore(storm.quarantines, &storm.stored[i]), 0);
        quarantines_set_listener(storm.quarantines, &listener);
        (void) snprintf(boot, sizeof(boot), "boot-%u", storm.boot);
        quarantines_pin(storm.quarantines, boot);
        for (size_t i = 0; i < storm.tree.n; i++)
                for (size_t k = 0; k < NODE_IDS; k++)
                        storm.tree.nodes[i].quarantine[k].job = 0;
}

static void take_over_resets(void)
{
        for (size_t i = 0; i < RUNS_MAX; i++)
                if (storm.runs[i].job != 0)
                        run_take_over(&storm.runs[i]);
}

void daemon_start(void)
{
        const RegistryListener listener = {.added = on_added, .removed = on_removed, .changed = on_changed};

        storm.life++;
        storm.start_at = NEVER;
        storm_note("daemon %u starts", storm.life);
        set_up();
        rules_give();
        tree_tell_all(&storm.tree);
        take_over_claims();
        take_over_quarantines();
        releases_begin();
        restart_audit();
        take_over_resets();
        restart_resets();
        errors_begin();
        registry_set_listener(storm.registry, &listener);
        for (Device *d = registry_next(storm.registry, NULL); d; d = registry_next(storm.registry, d)) {
                cleanliness_follow(d);
                releases_follow(storm.releases, d);
        }
        for (size_t i = 0; i < storm.tree.n; i++) {
                storm.tree.nodes[i].is_known = false;
                storm.survey_at[i] = storm_in(1 * MSEC, 2 * SEC);
        }
        storm.is_started = true;
        jobs_order_all(storm.jobs);
        restart_kept_off();
        jobs_keep_off_all(storm.jobs);
}

void daemon_kill(void)
{
        storm_note("daemon %u is killed", storm.life);
        stats.kills++;
        storm.is_started = false;
        errors_end();
        registry_set_listener(storm.registry, NULL);
        storm.releases = releases_free(storm.releases);
        storm.release_at = NEVER;
        storm.jobs = jobs_free(storm.jobs);
        storm.claims = claims_free(storm.claims);
        storm.quarantines = quarantines_free(storm.quarantines);
        storm.registry = registry_free(storm.registry);
        storm.proven = proven_free(storm.proven);
        storm.tree.registry = NULL;
        storm.tree.claims = NULL;
        if (storm.pins != 0)
                storm_wrong("%ld devices are still held fast after the end", storm.pins);
        memset(storm.tracks, 0, sizeof(storm.tracks));
        memset(storm.asks, 0, sizeof(storm.asks));
        for (size_t i = 0; i < RUNS_MAX; i++)
                storm.runs[i].is_known = false;
        for (size_t i = 0; i < storm.tree.n; i++)
                storm.survey_at[i] = NEVER;
        storm.start_at = storm_in(10 * MSEC, 20 * SEC);
}
