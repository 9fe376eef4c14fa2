/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Workers, which go on by themselves whatever becomes of their daemon. Each locks its record, looks once
 * more who uses the devices, writes, verifies and tells; what it finds out is drawn, and some of it is bad.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/driver.h"
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

/* Its proof lets a member out, and drivers at it. */
static void check_hand_back(const Run *run)
{
        for (size_t i = 0; i < run->n_members; i++) {
                const Node *node = &storm.tree.nodes[run->members[i].node];
                const NodeQuarantine *quarantine = &node->quarantine[node->id - NODE_ID];
                bool lifts = quarantine->in && (run_resets(run) || !quarantine->is_unclean) &&
                             (run->granted & ACTION_QUARANTINE || quarantine->job == run->job) &&
                             !run_is_doubtful(run);

                if (run->request.members[i].may_hand_back != lifts)
                        storm_wrong("job %u may%s let drivers at %s", run->job, lifts ? " not" : "",
                                    name_of(run->members[i].node));
        }
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
        check_hand_back(run);
        run->record_at = storm_in(1 * MSEC, 30 * MSEC);
        run->write_at = run->record_at + storm_while(1 * MSEC, 300 * MSEC);
        run->verify_at = run->write_at + storm_while(10 * MSEC, 8 * SEC);
        run->end_at = run->verify_at + storm_while(10 * MSEC, 4 * SEC);
}

void run_free(Run *run)
{
        worker_result_free(run->early);
        free(run->request.members);
        *run = (Run){};
}

bool run_takes_away(const Run *run)
{
        return reset_method_scope(run->request.method) == RESET_SCOPE_POWER;
}

/* ---- what it finds ---- */

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
                          !run_is_doubtful(&run);
                track->was_well = is_well;
                storm_note("job %u: worker says %s", run.job,
                           !result          ? "nothing"
                           : is_well        ? "well"
                           : result->why[0] ? result->why
                                            : verdict_to_string(result->verdict));
                if (result)
                        result_expect(&run, result, is_well, run.job);
                if (run.written && !run.is_old)
                        clean_after(&run, is_well && run_leaves_nothing(&run));
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
        if (run->n_menders > 0)
                return run->end_at;
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
        run->is_old = true;
        if (run->written)
                clean_after(run, result && result->outcome == WORKER_DONE && result->verdict == VERDICT_OK &&
                                         run_leaves_nothing(run));
}

/* ---- after one that died ---- */

static void mend(Run *run)
{
        if (run->n_menders == MENDERS_MAX || (!storm.is_calm && chance(&storm.tree, 2))) {
                for (size_t i = 0; i < run->n_members; i++)
                        hardware_of(run->members[i].node)->is_excused = true;
                end(run, NULL);
                return;
        }
        run->n_menders++;
        run->writing = run->killed = run->is_dead = false;
        run->end_at = storm_in(20 * MSEC, 4 * SEC);
        storm_note("job %u: worker %u puts things back", run->job, run->n_menders);
}

/* The next daemon finds its record, unless this one sends somebody. */
static void die(Run *run)
{
        if (daemon_lives() && run->recorded && run->is_known) {
                mend(run);
        } else if (daemon_lives() && !run->recorded) {
                end(run, NULL);
        } else {
                run->is_dead = true;
                run->end_at = NEVER;
        }
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

static bool needs_rebind(const Run *run, size_t i)
{
        const char *driver = run->request.members[i].driver;

        return run->request.driver == WORKER_DRIVER_REBIND && !run_takes_away(run) &&
               !storm.tree.nodes[run->members[i].node].is_bridge && driver_kind(driver) == DRIVER_HOST &&
               !driver_is_reset_aware(driver);
}

/* They would be lost with its driver. */
static bool has_virtual_functions(size_t node)
{
        for (size_t i = 0; i < storm.tree.n; i++)
                if (storm.tree.nodes[i].present && storm.tree.nodes[i].physfn == (int) node)
                        return true;
        return false;
}

static const char *look_at_drivers(const Run *run)
{
        for (size_t i = 0; i < run->n_members; i++)
                if (needs_rebind(run, i) && has_virtual_functions(run->members[i].node))
                        return WORKER_WHY_UNBIND;
        return NULL;
}

/* The record has what they were. */
static void change_settings(Run *run)
{
        Node *target = &storm.tree.nodes[run->target];

        for (size_t i = 0; i < run->n_members; i++) {
                size_t node = run->members[i].node;

                run->members[i].was_kept_off = storm.tree.nodes[node].is_kept_off;
                run->members[i].list = storm.tree.nodes[node].methods;
                if (!needs_rebind(run, i))
                        continue;
                run->members[i].is_off = true;
                tree_bind(&storm.tree, node, "");
                stats.rebound++;
        }
        run->has_list = !run_takes_away(run) && !reset_method_is_ours(run->request.method);
        if (!run->has_list)
                return;
        run->list = target->methods;
        target->methods = (ResetMethodList){.n = 1};
        memcpy(target->methods.names[0], run->request.method, RESET_METHOD_NAME_MAX);
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
        if (!why)
                why = look_at_drivers(run);
        if (why) {
                WorkerResult *result = result_new(WORKER_REFUSED, why);

                if (strcmp(why, WORKER_WHY_DEAD) == 0) {
                        result->verdict = VERDICT_DEAD;
                        result_add_check(result, &run->request.members[0].address, "answers", true);
                }
                end_or_wait(run, result);
                return;
        }
        storm_note("job %u writes", run->job);
        check_write(run);
        run->writing = true;
        stats.written++;
        change_settings(run);
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
        size_t n = run->n_members;

        /* Twice, since one may hang on the next. */
        for (size_t i = 0; i < 2 * n; i++) {
                const RunMember *member = &run->members[i % n];
                Node *node = &storm.tree.nodes[member->node];

                if (node->present || !chance(&storm.tree, 90))
                        continue;
                tree_unlist(member->node);
                if (member->was_kept_off)
                        node->driver[0] = '\0';
                if (!tree_plug(&storm.tree, member->node) || node->id != member->id)
                        continue;
                node->is_kept_off = member->was_kept_off;
                node->methods = methods_common(&member->list, &storm.supported[member->node]);
        }
}

void run_go_on(Run *run)
{
        uint32_t job = run->job;

        if (run->n_menders > 0) {
                if (run_takes_away(run))
                        bring_back(run);
                end_or_wait(run, result_of_mender(run));
        } else if (!run->recorded) {
                run->recorded = true;
        } else if (!run->written && !run->writing) {
                begin_write(run);
        } else if (run->writing) {
                run->writing = false;
                run->written = true;
                if (run_takes_away(run))
                        take_away(run);
                if (run->killed)
                        die(run);
                else if (run->is_known)
                        job_worker_phase(jobs_find(storm.jobs, job), WORKER_EVENT_VERIFYING);
        } else {
                if (run_takes_away(run))
                        bring_back(run);
                end_or_wait(run, result_draw(run));
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
                die(run);
}

static void adopt(Run *run)
{
        Job *job;

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
        /* The list in sysfs is not the device's own. */
        if (run->has_list && !run->early)
                restart_list(run);
        ck_assert_int_eq(jobs_adopt(storm.jobs, &run->request, &job), 0);
        if (!run->early && !run->is_dead)
                job->watched_since = storm.now;
        run->is_known = true;
        run->is_aliased = run->is_release = false;
        run->granted = 0;
        for (size_t i = 0; i < run->n_members; i++)
                run->members[i].inode = run->request.members[i].inode;
        /* The bridges above one that is gone are not known any more. */
        if (run->request.has_bridge && !node_at(&run->request.bridge.address)->present)
                memset(run->footprint.above, 0, sizeof(run->footprint.above));
        storm_note("job %u is taken on", run->job);
}

/* What is written down before a worker begins tells the next boot of it, until its end is in the history. */
void run_interrupt(Run *run)
{
        /* It was over. */
        if (run->early) {
                run_free(run);
                return;
        }
        run->is_interrupted = run->is_dead = run->recorded = true;
        run->writing = run->killed = run->has_list = run->is_known = false;
        run->end_at = NEVER;
        run->n_menders = 0;
}

/* As it is known now. Returns false if it is not there any more. */
static bool find_again(WorkerMember *member)
{
        const Device *device = registry_find(storm.registry, &member->address);

        if (!device || device->facts.device != member->device)
                return false;
        member->inode = device->facts.inode;
        member->driver[0] = '\0';
        member->must_be_disabled = false;
        return true;
}

static bool find_members_again(Run *run)
{
        WorkerRequest *request = &run->request;
        bool set[NODES_MAX] = {};
        size_t n = 0;

        for (size_t i = 0; i < run->n_members; i++) {
                if (!find_again(&request->members[i])) {
                        if (i == 0)
                                return false;
                        continue;
                }
                request->members[n] = request->members[i];
                run->members[n] = (RunMember){
                        .node = run->members[i].node,
                        .inode = request->members[i].inode,
                        .id = run->members[i].id,
                };
                set[run->members[n++].node] = true;
        }
        request->n_members = run->n_members = n;
        request->has_bridge = request->has_bridge && find_again(&request->bridge);
        request->machine_stopped = true;
        request->driver = WORKER_DRIVER_KEEP;
        request->n_fds = 0;
        request->job = run->job = ++storm.last_job;
        run->footprint = oracle_footprint(&storm.tree, run->target, set);
        return true;
}

void run_take_over(Run *run)
{
        WorkerResult *early = run->early;

        if (run->is_interrupted && !find_members_again(run)) {
                run_free(run);
                return;
        }
        stats.interrupted += run->is_interrupted;
        run->is_interrupted = false;

        /* One without a record finds its own daemon gone. */
        if (!run->recorded) {
                if (run->end_at == NEVER)
                        run_free(run);
                return;
        }
        adopt(run);
        if (early) {
                stats.unheard++;
                run->early = NULL;
                end(run, early);
        } else if (run->is_dead) {
                mend(run);
        } else {
                stats.adopted++;
        }
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
