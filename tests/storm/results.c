/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * How devices truly are after a reset, what a worker puts back and says of them, and what the daemon is to
 * make of that: who goes into quarantine by it, and who comes out.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/driver.h"
#include "storm.h"
#include "unit.h"

/* ---- how they are ---- */

Hardware *hardware_of(size_t node)
{
        Hardware *hardware = &storm.hardware[node];

        /* What is plugged in has had no power before. */
        if (hardware->inode != storm.tree.nodes[node].inode)
                *hardware = (Hardware){.inode = storm.tree.nodes[node].inode};
        return hardware;
}

bool result_is_there(const Run *run, size_t i)
{
        const Node *node = &storm.tree.nodes[run->members[i].node];

        return node->present && (run_takes_away(run) || node->inode == run->request.members[i].inode);
}

/* Most come back from it well. */
static void draw_health(const Run *run)
{
        for (size_t i = 0; i < run->n_members; i++) {
                bool is_bad = !storm.is_calm && chance(&storm.tree, 4);

                if (result_is_there(run, i) && clean_is_reached(run, run->members[i].node))
                        hardware_of(run->members[i].node)->health = !is_bad ? HEALTH_WELL
                                                                    : chance(&storm.tree, 40)
                                                                            ? HEALTH_DEAD
                                                                            : HEALTH_CHANGED;
        }
}

/* ---- what is said ---- */

WorkerResult *result_new(WorkerOutcome outcome, const char *why)
{
        WorkerResult *result = calloc(1, sizeof(WorkerResult));

        ck_assert_ptr_nonnull(result);
        result->outcome = outcome;
        (void) snprintf(result->why, sizeof(result->why), "%s", why);
        return result;
}

void result_add_check(WorkerResult *result, const PciAddress *device, const char *name, bool failed)
{
        WorkerCheck *check;

        result->checks = realloc(result->checks, (result->n_checks + 1) * sizeof(WorkerCheck));
        ck_assert_ptr_nonnull(result->checks);
        check = &result->checks[result->n_checks++];
        *check = (WorkerCheck){.device = *device, .result = failed ? CHECK_FAILED : CHECK_OK};
        (void) snprintf(check->check, sizeof(check->check), "%s", name);
}

Verdict result_add_health(WorkerResult *result, const PciAddress *device, Health health)
{
        static const Verdict verdicts[] = {
                [HEALTH_WELL] = VERDICT_OK,
                [HEALTH_CHANGED] = VERDICT_DEGRADED,
                [HEALTH_DEAD] = VERDICT_DEAD,
        };

        result_add_check(result, device, "answers", health == HEALTH_DEAD);
        result_add_check(result, device, "bars", health != HEALTH_WELL);
        if (result->verdict < verdicts[health])
                result->verdict = verdicts[health];
        return verdicts[health];
}

static void add_checks(const Run *run, WorkerResult *result)
{
        for (size_t i = 0; i < run->n_members; i++)
                (void) result_add_health(result, &run->request.members[i].address,
                                         result_is_there(run, i) ? hardware_of(run->members[i].node)->health
                                                                 : HEALTH_DEAD);
}

/* ---- what is put back ---- */

static bool is_only(const ResetMethodList *list, const char *method)
{
        return list->n == 1 && strcmp(list->names[0], method) == 0;
}

/* What somebody else has written meanwhile stays. */
static void put_list_back(const Run *run)
{
        Node *node = &storm.tree.nodes[run->target];

        if (run->has_list && result_is_there(run, 0) && is_only(&node->methods, run->request.method))
                node->methods = methods_common(&run->list, &storm.supported[run->target]);
}

static void fail_driver(WorkerResult *result, const WorkerMember *member, const char *driver)
{
        WorkerCheck *check;

        result_add_check(result, &member->address, "driver", true);
        check = &result->checks[result->n_checks - 1];
        (void) snprintf(check->before, sizeof(check->before), "%s", driver);
        if (result->verdict < VERDICT_DEGRADED)
                result->verdict = VERDICT_DEGRADED;
}

/* A driver that was taken off comes back to what can be trusted. */
static void put_driver_back(Run *run, size_t i, WorkerResult *result)
{
        size_t node = run->members[i].node;
        const WorkerMember *member = &run->request.members[i];

        if (!run->members[i].is_off || !result_is_there(run, i) || storm.tree.nodes[node].driver[0] != '\0')
                return;
        run->members[i].is_off = false;
        if (hardware_of(node)->health == HEALTH_WELL && (storm.is_calm || !chance(&storm.tree, 15))) {
                tree_bind(&storm.tree, node, member->driver);
        } else {
                (void) snprintf(storm.left_off[node], sizeof(storm.left_off[node]), "%s", member->driver);
                fail_driver(result, member, member->driver);
                stats.left_off++;
        }
}

/* All is well: drivers may have it again, and one that an earlier reset has left off comes back. */
static void hand_back(const Run *run, size_t i, WorkerResult *result)
{
        size_t node = run->members[i].node;
        const WorkerMember *member = &run->request.members[i];

        if (!member->may_hand_back || !result_is_there(run, i))
                return;
        if (storm.tree.nodes[node].is_kept_off)
                storm.kept_off[node].exists = false;
        storm.tree.nodes[node].is_kept_off = false;
        if (member->hand_back[0] == '\0')
                return;
        if (strcmp(storm.left_off[node], member->hand_back) != 0)
                storm_wrong("%s is given the driver '%s', and '%s' was taken off it", name_of(node),
                            member->hand_back, storm.left_off[node]);
        if (storm.is_calm || !chance(&storm.tree, 10)) {
                tree_bind(&storm.tree, node, member->hand_back);
                stats.handed_back++;
        } else {
                fail_driver(result, member, member->hand_back);
        }
}

WorkerResult *result_draw(Run *run)
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
        add_checks(run, result);
        if (result->verdict == VERDICT_OK && ((doubts && !storm.is_calm) || fails))
                result->verdict = VERDICT_UNVERIFIED;
        for (size_t i = 0; i < run->n_members && result->verdict == VERDICT_OK; i++)
                hand_back(run, i, result);
        for (size_t i = 0; i < run->n_members; i++)
                put_driver_back(run, i, result);
        put_list_back(run);
        return result;
}

/* Nobody knows what was written; how the devices are can be seen. */
WorkerResult *result_of_mender(Run *run)
{
        WorkerResult *result;

        stats.mended++;
        result = result_new(result_is_there(run, 0) ? WORKER_FAILED : WORKER_GONE,
                            result_is_there(run, 0) ? WORKER_WHY_DIED : "");
        result->written = true;
        if (result->outcome == WORKER_GONE)
                return result;
        result->error = EPIPE;
        put_list_back(run);
        add_checks(run, result);
        for (size_t i = 0; i < run->n_members; i++)
                put_driver_back(run, i, result);
        if (result->verdict == VERDICT_OK)
                result->verdict = VERDICT_UNVERIFIED;
        return result;
}

/* ---- what follows from it ---- */

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
                quarantine->is_unclean = quarantine->is_error = false;
                if (quarantine->job != job)
                        quarantine->job = 0;
        }
}

/* Some methods only bring a device back, with all that was in it. */
bool run_resets(const Run *run)
{
        return strcmp(run->request.method, RESET_METHOD_RESCAN) != 0 &&
               strcmp(run->request.method, RESET_METHOD_THAW) != 0;
}

/* Who goes into quarantine by this result, and who comes out. */
void result_expect(const Run *run, const WorkerResult *result, bool is_well, uint32_t job)
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

bool run_is_doubtful(const Run *run)
{
        const Node *target = &storm.tree.nodes[run->target];

        if (run->is_release && !run_resets(run))
                return true;
        return run->is_aliased && target->present && target->inode == run->members[0].inode &&
               strcmp(target->driver, "pciback") == 0 && strcmp(run->request.method, "pm") == 0;
}

/* `pm` leaves much on many devices: between two users it is the last that is tried. */
bool run_leaves_nothing(const Run *run)
{
        return run_resets(run) && (run->is_release || strcmp(run->request.method, "pm") != 0);
}
