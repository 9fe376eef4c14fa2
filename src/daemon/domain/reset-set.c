/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A set grows in three steps: what goes along with the target itself, what the scope of the method reaches
 * beside it, and at last what administrators have tied to any member so far. Sets are small, so members are
 * searched one by one.
 */

#include "daemon/domain/reset-set.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/domain/registry.h"

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

static bool set_contains(const ResetSet *set, const Device *device)
{
        for (size_t i = 0; i < set->n; i++)
                if (set->devices[i] == device)
                        return true;
        return false;
}

int reset_set_add(ResetSet *set, Device *device)
{
        if (set_contains(set, device))
                return 0;
        if (set->n == set->n_allocated) {
                size_t n = set->n_allocated ? set->n_allocated * 2 : 4;
                Device **devices = reallocarray(set->devices, n, sizeof(Device *));

                if (!devices)
                        return -ENOMEM;
                set->devices = devices;
                set->n_allocated = n;
        }
        set->devices[set->n++] = device;
        return 0;
}

/* A function takes its virtual functions along: an FLR of the physical function clears VF Enable. */
static int set_add_function(ResetSet *set, Device *device)
{
        int r = reset_set_add(set, device);

        for (Device *vf = device->first_vf; vf && r >= 0; vf = vf->next_vf)
                r = reset_set_add(set, vf);
        return r;
}

static int set_add_below(ResetSet *set, Device *top)
{
        int r = 0;

        for (Device *d = next_below(top, top); d && r >= 0; d = next_below(top, d))
                r = set_add_function(set, d);
        return r;
}

/* What administrators have declared to go along with a member, and what goes along with that. */
static int set_close_over_edges(ResetSet *set)
{
        int r = 0;

        for (size_t i = 0; i < set->n && r >= 0; i++) {
                const Device *member = set->devices[i];
                size_t cursor = 0;
                Device *other;

                while (r >= 0 && (other = registry_next_edge(member->registry, member, &cursor))) {
                        r = set_add_function(set, other);
                        if (r >= 0)
                                r = set_add_below(set, other);
                }
        }
        return r;
}

/* What EEH thaws together. */
static int set_add_endpoint(ResetSet *set, Device *target)
{
        int r = 0;

        for (Device *d = registry_next(target->registry, NULL); d && r >= 0;
             d = registry_next(target->registry, d))
                if (device_shares_endpoint(d, target))
                        r = set_add_function(set, d);
        return r;
}

int reset_set_fill(ResetSet *set, Device *target, ResetScope scope, bool whole_endpoint)
{
        int r = set_add_function(set, target);

        if (r >= 0 && whole_endpoint && target->facts.has_endpoint)
                r = set_add_endpoint(set, target);
        if (r >= 0 && (scope == RESET_SCOPE_LINK || scope == RESET_SCOPE_POWER) && target->parent)
                r = set_add_below(set, target->parent);
        return r < 0 ? r : set_close_over_edges(set);
}
