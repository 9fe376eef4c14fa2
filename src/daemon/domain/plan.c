/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/domain/plan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared/cleanup.h"

static const char *const WHY_NAMES[] = {
        "not-advertised",   "unknown-method", "bridge",    "root-bus", "siblings",
        "topology-unknown", "driver-bound",   "vfio-open", "pciback",  "tsm-bound",
};

static const char *const ACTION_NAMES[] = {
        ACTION_PREFIX "reset",
        ACTION_PREFIX "reset-shared",
        ACTION_PREFIX "reset-in-use",
};

static const char *next_name(const char *const *names, size_t n, unsigned bits, unsigned *cursor)
{
        while (*cursor < n) {
                unsigned bit = (*cursor)++;

                if (bits & 1U << bit)
                        return names[bit];
        }
        return NULL;
}

const char *why_next(unsigned why, unsigned *cursor)
{
        return next_name(WHY_NAMES, ELEMENTSOF(WHY_NAMES), why, cursor);
}

const char *action_next(unsigned actions, unsigned *cursor)
{
        return next_name(ACTION_NAMES, ELEMENTSOF(ACTION_NAMES), actions, cursor);
}

/* Walks a subtree without its root, in the manner of a book: a device, then all below it. */
static Device *next_below(const Device *top, Device *device)
{
        if (device->first_child)
                return device->first_child;
        while (device != top) {
                if (device->next_sibling)
                        return device->next_sibling;
                device = device->parent;
        }
        return NULL;
}

/* The target and what a function reset takes along. A link reset is usable only where the target is alone
 * below its bridge, so that the use of others never decides. */
int plan_for_each_concerned(Device *target, int (*refresh)(void *userdata, Device *device), void *userdata)
{
        int r = refresh(userdata, target);

        if (r < 0)
                return r;
        for (Device *vf = target->first_vf; vf && r >= 0; vf = vf->next_vf)
                r = refresh(userdata, vf);
        return r;
}

static int add_to_set(Rung *rung, size_t *allocated, Device *device)
{
        if (rung->n_set == *allocated) {
                size_t n = *allocated ? *allocated * 2 : 4;
                Device **set = reallocarray(rung->set, n, sizeof(Device *));

                if (!set)
                        return -ENOMEM;
                rung->set = set;
                *allocated = n;
        }
        rung->set[rung->n_set++] = device;
        return 0;
}

/* The reset set: for a function its virtual functions come along (an FLR of the physical function clears VF
 * Enable); for a link everything below the bridge does. */
static int fill_set(Rung *rung, Device *target)
{
        size_t allocated = 0;
        int r = add_to_set(rung, &allocated, target);

        if (rung->scope == RESET_SCOPE_LINK && target->parent) {
                Device *top = target->parent;

                for (Device *d = next_below(top, top); d && r >= 0; d = next_below(top, d))
                        if (d != target)
                                r = add_to_set(rung, &allocated, d);
                return r;
        }

        for (Device *vf = target->first_vf; vf && r >= 0; vf = vf->next_vf)
                r = add_to_set(rung, &allocated, vf);
        return r;
}

unsigned plan_member_use(const Device *member)
{
        unsigned use = member->live.tsm_bound ? WHY_TSM_BOUND : 0;

        /* The port driver of a bridge is no user of the devices below it. */
        if (member->facts.is_bridge)
                return use;

        switch (driver_kind(member->facts.driver)) {
        case DRIVER_NONE:
                break;
        case DRIVER_ASSIGNABLE:
                /* VFIO enables a device when it is opened, and disables it at the last close. */
                if (member->live.enable_count > 0)
                        use |= WHY_VFIO_OPEN;
                break;
        case DRIVER_PCIBACK:
                use |= WHY_PCIBACK;
                break;
        case DRIVER_HOST:
                use |= WHY_DRIVER_BOUND;
                break;
        }
        return use;
}

/* What the tree says about a method, whoever uses the devices. */
static unsigned judge_topology(const Rung *rung, const Device *target)
{
        unsigned why = 0;

        if (rung->scope == RESET_SCOPE_UNKNOWN)
                why |= WHY_UNKNOWN_METHOD;
        if (!reset_method_list_contains(&target->live.methods, rung->method))
                why |= WHY_NOT_ADVERTISED;
        if (target->facts.is_bridge)
                why |= WHY_BRIDGE;
        if (target->facts.has_parent && !target->parent)
                why |= WHY_TOPOLOGY_UNKNOWN;
        if (rung->scope == RESET_SCOPE_LINK) {
                /* The kernel probes `bus` before the siblings exist and lists it for function 0 of a
                 * multifunction card, but pci_parent_bus_reset() then refuses it. */
                if (!target->facts.has_parent)
                        why |= WHY_ROOT_BUS;
                else if (!device_is_alone_below_parent(target))
                        why |= WHY_SIBLINGS;
        }
        return why;
}

static void judge(Rung *rung, const Device *target, const PlanOptions *options)
{
        unsigned use = 0;

        for (size_t i = 0; i < rung->n_set; i++)
                use |= plan_member_use(rung->set[i]);

        rung->actions = 0;
        if (use & WHY_DRIVER_BOUND) {
                if (options->in_use)
                        use &= ~(unsigned) WHY_DRIVER_BOUND;
                rung->actions |= ACTION_RESET_IN_USE;
        }
        if (rung->n_set > 1)
                rung->actions |= ACTION_RESET_SHARED;
        if (rung->actions == 0)
                rung->actions = ACTION_RESET;

        rung->why = judge_topology(rung, target) | use;
}

static int add_rung(Plan *plan, Device *target, const char *method, const PlanOptions *options)
{
        Rung *rung = &plan->rungs[plan->n_rungs++];
        int r;

        (void) snprintf(rung->method, sizeof(rung->method), "%s", method);
        rung->scope = reset_method_scope(method);
        rung->bridge = target->parent;
        rung->expected_usec = reset_method_expected_usec(method);

        r = fill_set(rung, target);
        if (r < 0)
                return r;
        judge(rung, target, options);
        return 0;
}

/* The methods of one scope, in the kernel's order. */
static int add_scope(Plan *plan, Device *target, ResetScope scope, const PlanOptions *options)
{
        const ResetMethodList *list = &target->live.methods;
        int r = 0;

        for (size_t i = 0; i < list->n && r >= 0; i++)
                if (reset_method_scope(list->names[i]) == scope)
                        r = add_rung(plan, target, list->names[i], options);
        return r;
}

DEFINE_CLEANUP(Plan *, plan_free);

int plan_make(Device *target, const char *method, const PlanOptions *options, Plan **ret)
{
        _cleanup_(cleanup_plan_free) Plan *plan = calloc(1, sizeof(Plan));
        ResetAlias alias = reset_alias_from_string(method);
        int r = 0;

        if (!plan)
                return -ENOMEM;
        if (alias == RESET_ALIAS_NONE && (!reset_method_name_is_valid(method) ||
                                          (reset_method_scope(method) == RESET_SCOPE_UNKNOWN &&
                                           !reset_method_list_contains(&target->live.methods, method))))
                return -EINVAL;

        plan->rungs = calloc(RESET_METHODS_MAX, sizeof(Rung));
        if (!plan->rungs)
                return -ENOMEM;

        if (alias == RESET_ALIAS_NONE)
                r = add_rung(plan, target, method, options);
        if (r >= 0 && (alias == RESET_ALIAS_ANY || alias == RESET_ALIAS_FUNCTION))
                r = add_scope(plan, target, RESET_SCOPE_FUNCTION, options);
        if (r >= 0 && (alias == RESET_ALIAS_ANY || alias == RESET_ALIAS_LINK))
                r = add_scope(plan, target, RESET_SCOPE_LINK, options);
        if (r < 0)
                return r;

        *ret = steal_pointer(plan);
        return 0;
}

Plan *plan_free(Plan *plan)
{
        if (!plan)
                return NULL;
        for (size_t i = 0; i < plan->n_rungs; i++)
                free(plan->rungs[i].set);
        free(plan->rungs);
        free(plan);
        return NULL;
}

char *rung_fingerprint(const Rung *rung)
{
        _cleanup_free_ char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        fprintf(f, "%s %#x", rung->method, rung->actions);
        for (size_t i = 0; i < rung->n_set; i++)
                fprintf(f, " %llx=%s", (unsigned long long) rung->set[i]->generation,
                        rung->set[i]->facts.driver);
        /* fclose() reports what open_memstream() could not allocate. */
        return fclose(f) == 0 ? steal_pointer(text) : NULL;
}
