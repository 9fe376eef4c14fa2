/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Workers, which go on by themselves whatever becomes of their daemon. Each locks its record, looks once
 * more who uses the devices, writes, verifies and tells; what it finds out is drawn, and some of it is bad.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storm.h"
#include "unit.h"

Run *run_of(uint32_t job)
{
        for (size_t i = 0; i < RUNS_MAX; i++)
                if (storm.runs[i].job == job)
                        return &storm.runs[i];
        return NULL;
}

static Node *node_at(const PciAddress *address)
{
        return (Node *) tree_node(&storm.tree, address);
}

void run_start(const Job *job, const Track *track, const WorkerRequest *request, const Footprint *footprint)
{
        Run *run = run_of(0);

        ck_assert_ptr_nonnull(run);
        *run = (Run){
                .job = job->id,
                .life = storm.life,
                .is_known = true,
                .target = track->target,
                .uid = track->asker.uid,
                .asker = track->asker,
                .is_aliased = strcmp(track->requested, request->method) != 0,
                .is_release = job->request.plan.release,
                .granted = track->granted,
                .request = *request,
                .footprint = *footprint,
                .n_members = request->n_members,
        };
        run->request.members = calloc(request->n_members, sizeof(WorkerMember));
        ck_assert_ptr_nonnull(run->request.members);
        for (size_t i = 0; i < request->n_members; i++) {
                const WorkerMember *member = &request->members[i];
                const Node *node = node_at(&member->address);
                const NodeQuarantine *quarantine = &node->quarantine[node->id - NODE_ID];

                run->request.members[i] = *member;
                run->members[i] = (RunMember){
                        .node = (size_t) (node - storm.tree.nodes),
                        .inode = member->inode,
                        .id = member->device,
                        .turn = quarantine->in ? quarantine->turn : 0,
                };
        }
        run->record_at = storm_in(1 * MSEC, 30 * MSEC);
        run->write_at = run->record_at + storm_while(1 * MSEC, 300 * MSEC);
        run->verify_at = run->write_at + storm_while(10 * MSEC, 8 * SEC);
        run->end_at = run->verify_at + storm_while(10 * MSEC, 4 * SEC);
}

static void run_free(Run *run)
{
        worker_result_free(run->early);
        free(run->request.members);
        *run = (Run){};
}

/* ---- what it finds ---- */

static bool takes_away(const Run *run)
{
        return strcmp(run->request.method, "slot") == 0 || strcmp(run->request.method, "rescan") == 0;
}

static bool is_presented(const Run *run, const Node *node)
{
        for (size_t i = 0; i < run->asker.n_groups; i++)
                if (strcmp(run->asker.groups[i], node->group) == 0)
                        return true;
        return false;
}

static bool is_held(const Run *run, const Node *node)
{
        bool is_users_own = run->request.n_fds > 0 && is_presented(run, node);

        for (size_t i = 0; i < node->n_holders; i++) {
                HolderKind kind = node->holders[i];

                if (kind == HOLDER_PROCESS || kind == HOLDER_INTERFACE || kind == HOLDER_HIDDEN) {
                        if (!run->request.allow_held)
                                return true;
                } else if (kind != HOLDER_VFIO || !is_users_own) {
                        return true;
                }
        }
        return false;
}

/* Its last look. NULL: it may write. */
static const char *look(const Run *run)
{
        for (size_t i = 0; i < run->n_members; i++) {
                const WorkerMember *member = &run->request.members[i];
                const Node *node = node_at(&member->address);

                if (strcmp(node->driver, member->driver) != 0)
                        return WORKER_WHY_DRIVER;
                if (member->must_be_disabled && node->enable_count > 0)
                        return WORKER_WHY_ENABLED;
                if (node->tsm_bound)
                        return WORKER_WHY_TSM;
                if (!node->is_bridge && is_held(run, node))
                        return WORKER_WHY_HELD;
        }
        return NULL;
}

static bool is_member(const Run *run, size_t node)
{
        for (size_t i = 0; i < run->n_members; i++)
                if (run->members[i].node == node)
                        return true;
        return false;
}

static bool has_changed(const Run *run)
{
        for (size_t i = 0; i < storm.tree.n; i++) {
                const Node *node = &storm.tree.nodes[i];

                if (node->present && node->physfn >= 0 && is_member(run, (size_t) node->physfn) &&
                    !is_member(run, i))
                        return true;
        }
        return false;
}

static bool is_gone(const Run *run)
{
        const Node *bridge = run->request.has_bridge ? node_at(&run->request.bridge.address) : NULL;

        for (size_t i = 0; i < run->n_members; i++) {
                const Node *node = node_at(&run->request.members[i].address);

                if (!node->present || node->inode != run->request.members[i].inode)
                        return true;
        }
        return bridge && (!bridge->present || bridge->inode != run->request.bridge.inode);
}

WorkerResult *result_new(WorkerOutcome outcome, const char *why)
{
        WorkerResult *result = calloc(1, sizeof(WorkerResult));

        ck_assert_ptr_nonnull(result);
        result->outcome = outcome;
        (void) snprintf(result->why, sizeof(result->why), "%s", why);
        return result;
}

static void add_check(WorkerResult *result, const PciAddress *device, const char *name, bool failed)
{
        WorkerCheck *check;

        result->checks = realloc(result->checks, (result->n_checks + 1) * sizeof(WorkerCheck));
        ck_assert_ptr_nonnull(result->checks);
        check = &result->checks[result->n_checks++];
        *check = (WorkerCheck){.device = *device, .result = failed ? CHECK_FAILED : CHECK_OK};
        (void) snprintf(check->check, sizeof(check->check), "%s", name);
}

Hardware *hardware_of(size_t node)
{
        Hardware *hardware = &storm.hardware[node];

        /* What is plugged in has had no power before. */
        if (hardware->inode != storm.tree.nodes[node].inode)
                *hardware = (Hardware){.inode = storm.tree.nodes[node].inode};
        return hardware;
}

Verdict result_add_health(WorkerResult *result, const PciAddress *device, Health health)
{
        static const Verdict verdicts[] = {
                [HEALTH_WELL] = VERDICT_OK,
                [HEALTH_CHANGED] = VERDICT_DEGRADED,
                [HEALTH_DEAD] = VERDICT_DEAD,
        };

        add_check(result, device, "answers", health == HEALTH_DEAD);
        add_check(result, device, "bars", health != HEALTH_WELL);
        if (result->verdict < verdicts[health])
                result->verdict = verdicts[health];
        return verdicts[health];
}

/* A reset that takes devices away knows them again by their place. */
static bool is_there(const Run *run, size_t i)
{
        const Node *node = &storm.tree.nodes[run->members[i].node];

        return node->present && (takes_away(run) || node->inode == run->request.members[i].inode);
}

/* Most come back from it well. */
static void draw_health(const Run *run)
{
        for (size_t i = 0; i < run->n_members; i++) {
                bool is_bad = !storm.is_calm && chance(&storm.tree, 4);

                if (is_there(run, i) && clean_is_reached(run, run->members[i].node))
                        hardware_of(run->members[i].node)->health = !is_bad ? HEALTH_WELL
                                                                    : chance(&storm.tree, 40)
                                                                            ? HEALTH_DEAD
                                                                            : HEALTH_CHANGED;
        }
}

/* What is verified after the write. */
static WorkerResult *draw_result(const Run *run)
{
        bool fails = !storm.is_calm && chance(&storm.tree, 20), doubts = chance(&storm.tree, 15);
        WorkerResult *result = result_new(fails ? WORKER_FAILED : WORKER_DONE, "");

        result->written = true;
        result->n_tries = 1;
        result->error = fails ? ENOTTY : 0;
        result->started_usec = run->write_at;
        result->finished_usec = run->verify_at;
        result->verdict = VERDICT_OK;
        if (!fails)
                draw_health(run);
        for (size_t i = 0; i < run->n_members; i++)
                (void) result_add_health(result, &run->request.members[i].address,
                                         is_there(run, i) ? hardware_of(run->members[i].node)->health
                                                          : HEALTH_DEAD);
        if (result->verdict == VERDICT_OK && ((doubts && !storm.is_calm) || fails))
                result->verdict = VERDICT_UNVERIFIED;
        return result;
}

/* ---- what it says ---- */

static bool has_failed(const WorkerResult *result, const PciAddress *device, bool *ret_dead)
{
        bool failed = false;

        *ret_dead = false;
        for (size_t i = 0; i < result->n_checks; i++)
                if (pci_address_equal(&result->checks[i].device, device) &&
                    result->checks[i].result == CHECK_FAILED) {
                        failed = true;
                        *ret_dead = *ret_dead || strcmp(result->checks[i].check, "answers") == 0;
                }
        return failed;
}

void put_in(NodeQuarantine *quarantine, uint32_t job, bool is_dead)
{
        if (!quarantine->in) {
                *quarantine = (NodeQuarantine){
                        .in = true, .job = job, .is_dead = is_dead, .turn = ++storm.n_quarantines};
        } else if (is_dead && !quarantine->is_dead && !quarantine->is_requested) {
                quarantine->is_dead = true;
                quarantine->is_unclean = false;
                if (quarantine->job != job)
                        quarantine->job = 0;
        }
}

/* Some methods only bring a device back, with all that was in it. */
static bool run_resets(const Run *run)
{
        return strcmp(run->request.method, RESET_METHOD_RESCAN) != 0 &&
               strcmp(run->request.method, RESET_METHOD_THAW) != 0;
}

/* Who goes into quarantine by this result, and who comes out. */
static void expect_quarantines(const Run *run, const WorkerResult *result, bool is_well, uint32_t job)
{
        for (size_t i = 0; i < run->n_members; i++) {
                Node *node = &storm.tree.nodes[run->members[i].node];
                NodeQuarantine *quarantine = &node->quarantine[node->id - NODE_ID];
                bool is_dead;

                if (!node->present || node->inode != run->members[i].inode)
                        continue;
                if (has_failed(result, &node->address, &is_dead)) {
                        put_in(quarantine, job, is_dead);
                } else if (is_well && quarantine->in && (run_resets(run) || !quarantine->is_unclean) &&
                           quarantine->turn == run->members[i].turn &&
                           (run->granted & ACTION_QUARANTINE || quarantine->job == job)) {
                        quarantine->in = false;
                        stats.lifted++;
                }
                if (is_well && !has_failed(result, &node->address, &is_dead))
                        errors_forget(run->members[i].node);
        }
}

static bool is_doubtful(const Run *run)
{
        const Node *target = &storm.tree.nodes[run->target];

        if (run->is_release && !run_resets(run))
                return true;
        return run->is_aliased && target->present && target->inode == run->members[0].inode &&
               strcmp(target->driver, "pciback") == 0 && strcmp(run->request.method, "pm") == 0;
}

/* `pm` leaves much on many devices: between two users it is the last that is tried. */
static bool leaves_nothing(const Run *run)
{
        return run_resets(run) && (run->is_release || strcmp(run->request.method, "pm") != 0);
}

/* The worker's socket is closed, so its slot is free before anybody hears of it. */
static void end(Run *gone, WorkerResult *result)
{
        Run run = *gone;
        Track *track = track_of(run.job);
        Job *job;
        bool is_well;

        gone->request.members = NULL;
        gone->early = NULL;
        run_free(gone);
        if (run.is_known) {
                job = jobs_find(storm.jobs, run.job);
                if (!job)
                        storm_wrong("job %u is lost: its worker has ended and nobody waits for that",
                                    run.job);
                is_well = result && result->outcome == WORKER_DONE && result->verdict == VERDICT_OK &&
                          !is_doubtful(&run);
                track->was_well = is_well;
                storm_note("job %u: worker says %s", run.job,
                           !result          ? "nothing"
                           : is_well        ? "well"
                           : result->why[0] ? result->why
                                            : verdict_to_string(result->verdict));
                if (result)
                        expect_quarantines(&run, result, is_well, run.job);
                if (run.written)
                        clean_after(&run, is_well && leaves_nothing(&run));
                job_worker_done(job, result);
                if (is_well && (!track->finished || track->error != RESET_OK))
                        storm_wrong("job %u was well, and nobody was told", run.job);
                if (!result && (!track->finished || track->error != RESET_FAILED))
                        storm_wrong("the worker of job %u has died, and nobody was told", run.job);
        } else {
                if (run.written)
                        clean_after(&run, false);
                worker_result_free(result);
        }
        free(run.request.members);
}

/* ---- its way ---- */

uint64_t run_due(const Run *run)
{
        if (run->job == 0 || run->end_at == NEVER)
                return NEVER;
        if (!run->recorded)
                return run->record_at;
        if (!run->written && !run->writing)
                return run->write_at;
        return run->writing ? run->verify_at : run->end_at;
}

/* Without a daemon the result stays in the record. */
static void end_or_wait(Run *run, WorkerResult *result)
{
        if (daemon_lives()) {
                end(run, result);
                return;
        }
        run->early = result;
        run->end_at = NEVER;
}

static void check_write(const Run *run)
{
        const char *why = oracle_judge_claims(&storm.tree, &run->asker, run->footprint.set);

        if (why)
                storm_wrong("job %u writes: %s", run->job, why);
        for (size_t i = 0; i < RUNS_MAX; i++) {
                const Run *other = &storm.runs[i];

                if (other != run && other->job != 0 && (other->writing || other->written) &&
                    other->end_at != NEVER && oracle_conflict(&other->footprint, &run->footprint))
                        storm_wrong("job %u writes while job %u does", run->job, other->job);
        }
}

static void begin_write(Run *run)
{
        const char *why = NULL;

        if (run->life != storm.life || !daemon_lives()) {
                end_or_wait(run, result_new(WORKER_REFUSED, WORKER_WHY_DENIED));
                return;
        }
        if (is_gone(run)) {
                end_or_wait(run, result_new(WORKER_GONE, ""));
                return;
        }
        why = has_changed(run) ? WORKER_WHY_SET : look(run);
        if (!why && hardware_of(run->target)->health == HEALTH_DEAD &&
            reset_method_scope(run->request.method) == RESET_SCOPE_FUNCTION)
                why = WORKER_WHY_DEAD;
        if (why) {
                WorkerResult *result = result_new(WORKER_REFUSED, why);

                if (strcmp(why, WORKER_WHY_DEAD) == 0) {
                        result->verdict = VERDICT_DEAD;
                        add_check(result, &run->request.members[0].address, "answers", true);
                }
                end_or_wait(run, result);
                return;
        }
        storm_note("job %u writes", run->job);
        check_write(run);
        run->writing = true;
        stats.written++;
        job_worker_phase(jobs_find(storm.jobs, run->job), WORKER_EVENT_RESETTING);
}

/* What such a reset does to its devices. */
static void take_away(const Run *run)
{
        for (size_t i = 0; i < run->n_members; i++)
                if (!storm.tree.nodes[run->members[i].node].is_bridge && chance(&storm.tree, 80))
                        tree_unplug(&storm.tree, run->members[i].node);
}

static void bring_back(const Run *run)
{
        size_t nodes[NODES_MAX], n = run->n_members;

        for (size_t i = 0; i < n; i++)
                nodes[i] = run->members[i].node;
        /* Twice, since one may hang on the next. */
        for (size_t i = 0; i < 2 * n; i++)
                if (chance(&storm.tree, 90))
                        (void) tree_plug(&storm.tree, nodes[i % n]);
}

void run_go_on(Run *run)
{
        uint32_t job = run->job;

        if (!run->recorded) {
                run->recorded = true;
        } else if (!run->written && !run->writing) {
                begin_write(run);
        } else if (run->writing) {
                run->writing = false;
                run->written = true;
                if (takes_away(run))
                        take_away(run);
                if (run->killed)
                        end_or_wait(run, NULL);
                else if (run->is_known)
                        job_worker_phase(jobs_find(storm.jobs, job), WORKER_EVENT_VERIFYING);
        } else {
                if (takes_away(run))
                        bring_back(run);
                end_or_wait(run, draw_result(run));
        }
}

/* The kernel closes its socket, but not before a write has returned. */
void run_kill(Run *run)
{
        if (run->end_at == NEVER)
                return;
        storm_note("the worker of job %u is killed", run->job);
        stats.worker_kills++;
        if (run->writing)
                run->killed = true;
        else
                end_or_wait(run, NULL);
}

void run_take_over(Run *run)
{
        Job *job;

        if (run->end_at == NEVER) {
                QuarantineRecord found;

                for (size_t i = 0; run->early && i < run->n_members; i++) {
                        const WorkerMember *member = &run->request.members[i];
                        Device *device = registry_find(storm.registry, &member->address);

                        /* As main.c does. */
                        if (device && device->facts.inode == member->inode &&
                            quarantine_judge(run->early, run->request.method, &member->address, &found))
                                (void) quarantines_begin(storm.quarantines, device, &found, 0);
                        run->members[i].inode = member->inode;
                }
                if (run->early)
                        expect_quarantines(run, run->early, false, 0);
                stats.unheard++;
                run_free(run);
                return;
        }
        /* One without a record finds its own daemon gone. */
        if (!run->recorded)
                return;
        *track_of(run->job) = (Track){
                .job = run->job,
                .is_adopted = true,
                .target = run->target,
                .asker = run->asker,
                .scan_at = NEVER,
                .answer_at = NEVER,
                .delay_at = NEVER,
                .deadline = NEVER,
        };
        ck_assert_int_eq(jobs_adopt(storm.jobs, &run->request, &job), 0);
        run->is_known = true;
        run->is_aliased = run->is_release = false;
        run->granted = 0;
        for (size_t i = 0; i < run->n_members; i++)
                run->members[i].inode = run->request.members[i].inode;
        /* The bridges above one that is gone are not known any more. */
        if (run->request.has_bridge && !node_at(&run->request.bridge.address)->present)
                memset(run->footprint.above, 0, sizeof(run->footprint.above));
        stats.adopted++;
        storm_note("job %u is taken on", run->job);
}

void runs_follow(size_t node)
{
        for (size_t i = 0; i < RUNS_MAX; i++) {
                Run *run = &storm.runs[i];
                const char *method = run->request.method;

                if (run->job == 0 || !run->is_known || reset_method_scope(method) == RESET_SCOPE_FUNCTION)
                        continue;
                for (size_t k = 0; k < run->n_members; k++)
                        if (run->members[k].node == node && run->members[k].id == storm.tree.nodes[node].id)
                                run->members[k].inode = storm.tree.nodes[node].inode;
        }
}
