/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Workers that write a setting and reset nothing: the kernel's list of methods, and drivers kept off what is
 * in quarantine. They leave no record; one that has not written when its daemon goes writes nothing.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/domain/lane-task.h"
#include "storm.h"
#include "unit.h"

static NodeQuarantine *quarantine_of(size_t i)
{
        Node *node = &storm.tree.nodes[i];

        return &node->quarantine[node->id - NODE_ID];
}

/* ---- what begins is judged ---- */

/* What a reset writes, too, nobody else writes meanwhile. */
static void check_alone(const Task *task)
{
        for (size_t i = 0; i < RUNS_MAX; i++) {
                const Run *run = &storm.runs[i];

                if (run->job != 0 && (run->is_known || run->writing) &&
                    oracle_conflict(&run->footprint, &task->footprint))
                        storm_wrong("a setting of %s is written while job %u is at work",
                                    name_of(task->node), run->job);
        }
        for (size_t i = 0; i < TASKS_MAX; i++) {
                const Task *other = &storm.tasks[i];

                if (other != task && other->id != 0 && other->life == storm.life &&
                    oracle_conflict(&other->footprint, &task->footprint))
                        storm_wrong("two settings of %s are written at once", name_of(task->node));
        }
}

static void check_hold(const Task *task)
{
        const NodeQuarantine *quarantine = quarantine_of(task->node);
        const Node *node = &storm.tree.nodes[task->node];

        switch (task->action) {
        case HOLD_KEEP:
                if (!quarantine->in || quarantine->is_requested || quarantine->is_unclean ||
                    quarantine->is_error || node->driver[0] != '\0')
                        storm_wrong("drivers are to be kept off %s, and need not be", name_of(task->node));
                break;
        case HOLD_RELEASE:
                if (quarantine->in)
                        storm_wrong("drivers are let at %s, which is in quarantine", name_of(task->node));
                break;
        case HOLD_LOOK:
                break;
        }
}

bool tasks_conflict(const Footprint *footprint)
{
        for (size_t i = 0; i < TASKS_MAX; i++)
                if (storm.tasks[i].id != 0 && storm.tasks[i].life == storm.life &&
                    oracle_conflict(&storm.tasks[i].footprint, footprint))
                        return true;
        return false;
}

size_t tasks_count(void)
{
        size_t n = 0;

        for (size_t i = 0; i < TASKS_MAX; i++)
                n += storm.tasks[i].id != 0 && storm.tasks[i].life == storm.life;
        return n;
}

static Task *free_task(void)
{
        for (size_t i = 0; i < TASKS_MAX; i++)
                if (storm.tasks[i].id == 0)
                        return &storm.tasks[i];
        return NULL;
}

int task_start(void *userdata, const WorkerRequest *request)
{
        const WorkerMember *member = &request->members[0];
        Task *task = free_task();
        bool set[NODES_MAX] = {};

        ck_assert_ptr_nonnull(task);
        ck_assert_uint_eq(request->n_members, 1);
        *task = (Task){
                .id = request->job,
                .life = storm.life,
                .is_hold = request->operation == WORKER_HOLD,
                .action = request->action,
                .list = request->list,
                .node = (size_t) (tree_node(&storm.tree, &member->address) - storm.tree.nodes),
                .inode = member->inode,
                .write_at = storm_in(1 * MSEC, 200 * MSEC),
        };
        task->end_at = task->write_at + storm_while(1 * MSEC, 100 * MSEC);
        set[task->node] = true;
        task->footprint = oracle_footprint(&storm.tree, task->node, set);
        storm_note("a worker %s %s",
                   !task->is_hold                 ? "orders methods of"
                   : task->action == HOLD_KEEP    ? "keeps drivers off"
                   : task->action == HOLD_RELEASE ? "lets drivers at"
                                                  : "looks at",
                   name_of(task->node));
        check_alone(task);
        if (task->is_hold)
                check_hold(task);
        stats.tasks++;
        if (!storm.is_calm && chance(&storm.tree, 2)) {
                hardware_of(task->node)->is_excused = true;
                *task = (Task){};
                return -EAGAIN;
        }
        return 0;
}

/* ---- what it does ---- */

static void keep_off(Task *task, WorkerResult *result)
{
        Node *node = &storm.tree.nodes[task->node];
        KeptOff *file = &storm.kept_off[task->node];

        if (node->is_kept_off && !(file->exists && file->inode == node->inode))
                *file = (KeptOff){.exists = true, .inode = node->inode};
        if (node->driver[0] != '\0' || node->is_kept_off || (file->exists && file->inode == node->inode))
                return;
        *file = (KeptOff){.exists = true};
        /* It may die between any two. */
        if (task->dies && chance(&storm.tree, 50))
                return;
        node->is_kept_off = result->written = true;
        stats.kept_off++;
        if (!task->dies || chance(&storm.tree, 50))
                file->inode = node->inode;
}

static void let_at(const Task *task, WorkerResult *result)
{
        Node *node = &storm.tree.nodes[task->node];

        if (task->dies && chance(&storm.tree, 50))
                return;
        result->written = node->is_kept_off;
        stats.let_at += node->is_kept_off;
        node->is_kept_off = false;
        if (!task->dies || chance(&storm.tree, 50))
                storm.kept_off[task->node].exists = false;
}

static bool is_listed(const ResetMethodList *list, const char *name)
{
        return reset_method_list_contains(list, name);
}

ResetMethodList methods_common(const ResetMethodList *list, const ResetMethodList *supported)
{
        ResetMethodList common = {};

        for (size_t i = 0; i < list->n; i++)
                if (is_listed(supported, list->names[i]))
                        memcpy(common.names[common.n++], list->names[i], RESET_METHOD_NAME_MAX);
        return common;
}

bool methods_same(const ResetMethodList *a, const ResetMethodList *b)
{
        bool same = a->n == b->n;

        for (size_t i = 0; i < a->n && same; i++)
                same = strcmp(a->names[i], b->names[i]) == 0;
        return same;
}

static void order(const Task *task, WorkerResult *result)
{
        Node *node = &storm.tree.nodes[task->node];
        const ResetMethodList *supported = &storm.supported[task->node];

        if (task->dies && chance(&storm.tree, 50))
                return;
        node->methods = task->list.n == 1 && strcmp(task->list.names[0], "default") == 0
                                ? *supported
                                : methods_common(&task->list, supported);
        result->reset_method = LIST_EXACT;
        stats.ordered++;
}

static void write_setting(Task *task)
{
        const Node *node = &storm.tree.nodes[task->node];

        task->written = true;
        /* The daemon that asked has gone. */
        if (task->life != storm.life || !daemon_lives()) {
                *task = (Task){};
                return;
        }
        task->dies = !storm.is_calm && chance(&storm.tree, 5);
        task->result = result_new(WORKER_DONE, "");
        if (!node->present || node->inode != task->inode)
                task->result->outcome = WORKER_GONE;
        else if (!task->is_hold)
                order(task, task->result);
        else if (task->action == HOLD_KEEP)
                keep_off(task, task->result);
        else if (task->action == HOLD_RELEASE)
                let_at(task, task->result);
        if (task->result->outcome == WORKER_DONE && task->is_hold && node->is_kept_off)
                (void) snprintf(task->result->override, sizeof(task->result->override), "%s",
                                WORKER_OVERRIDE_PREFIX);
}

uint64_t task_due(const Task *task)
{
        return task->id == 0 ? NEVER : task->written ? task->end_at : task->write_at;
}

void task_go_on(Task *going)
{
        const Task task = *going;
        WorkerResult *result = task.result;

        if (!task.written) {
                write_setting(going);
                return;
        }
        *going = (Task){};
        if (task.life != storm.life || !daemon_lives()) {
                worker_result_free(result);
                return;
        }
        if (task.dies) {
                storm_note("the worker at a setting of %s dies", name_of(task.node));
                result = worker_result_free(result);
                hardware_of(task.node)->is_excused = true;
        }
        lane_task_done(storm.jobs, task.id, result);
}

void tasks_forget(void)
{
        for (size_t i = 0; i < TASKS_MAX; i++) {
                worker_result_free(storm.tasks[i].result);
                storm.tasks[i] = (Task){};
        }
}

/* Whoever does something to a device by hand has the last word. */
void administrator_overrides(size_t i)
{
        Node *node = &storm.tree.nodes[i];

        if (!node->present || !node->is_kept_off)
                return;
        storm_note("somebody lets drivers at %s by hand", name_of(i));
        node->is_kept_off = false;
        hardware_of(i)->is_excused = true;
        tree_bind(&storm.tree, i, NULL);
}

void task_ordered(void *userdata, Device *device, const ResetMethodList *wanted, bool failed)
{
}

/* ---- audits ---- */

void tasks_audit(void)
{
        for (size_t i = 0; i < storm.tree.n; i++) {
                const Node *node = &storm.tree.nodes[i];

                if (!node->present || !node->is_kept_off)
                        continue;
                if (!storm.kept_off[i].exists)
                        storm_wrong("drivers are kept off %s, and the next daemon would not know",
                                    name_of(i));
                if (node->driver[0] != '\0')
                        storm_wrong("%s has a driver although drivers are kept off it", name_of(i));
        }
}

/* The list, by the rules alone. */
static bool may_be_listed(const NodePolicy *policy, const char *name)
{
        bool is_link = reset_method_scope(name) == RESET_SCOPE_LINK;

        return !is_listed(&policy->forbid, name) && !(policy->forbids_link && is_link);
}

static void check_order(size_t i)
{
        const Node *node = &storm.tree.nodes[i];
        const NodePolicy *policy = &node->policy;
        ResetMethodList wanted = {};

        if (!policy->used || !policy->orders_kernel)
                return;
        for (size_t k = 0; k < node->methods.n; k++)
                if (!may_be_listed(policy, node->methods.names[k]))
                        storm_wrong("the kernel resets %s by %s, which a rule forbids", name_of(i),
                                    node->methods.names[k]);
        for (size_t k = 0; k < policy->order.n; k++)
                if (may_be_listed(policy, policy->order.names[k]))
                        memcpy(wanted.names[wanted.n++], policy->order.names[k], RESET_METHOD_NAME_MAX);
        wanted = methods_common(&wanted, &storm.supported[i]);
        if (policy->order.n > 0 && !methods_same(&wanted, &node->methods))
                storm_wrong("the kernel's methods of %s are not in the order that a rule wants", name_of(i));
        stats.in_order++;
}

void tasks_check_at_rest(bool is_fresh)
{
        for (size_t i = 0; i < storm.tree.n; i++) {
                const Node *node = &storm.tree.nodes[i];
                const Device *device = registry_find(storm.registry, &node->address);
                bool is_excused = !is_fresh && hardware_of(i)->is_excused;

                if (!device || node->is_bridge || is_excused)
                        continue;
                if (node->is_kept_off && !quarantine_of(i)->in)
                        storm_wrong("drivers are kept off %s, which is not in quarantine", name_of(i));
                if (device->hold.kept != node->is_kept_off)
                        storm_wrong("drivers are%s kept off %s, as far as the daemon knows",
                                    device->hold.kept ? "" : " not", name_of(i));
                if (quarantine_of(i)->in && node->driver[0] == '\0' && !node->is_kept_off &&
                    quarantine_keeps_drivers_off(&device->quarantine->record) && !device->hold.left)
                        storm_wrong("%s is in quarantine, and any driver may have it", name_of(i));
                if (is_fresh)
                        check_order(i);
        }
}
