/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Which devices are clean, from what has happened to them: a reset that was proved, and since then nobody
 * who had them, by a lease, through VFIO or in a guest. The daemon may know less, but never more.
 */

#include <string.h>

#include "daemon/domain/cleanliness.h"
#include "storm.h"

static bool is_open(const Node *node)
{
        for (size_t i = 0; i < node->n_holders; i++)
                if (node->holders[i] == HOLDER_VFIO || node->holders[i] == HOLDER_GUEST)
                        return true;
        return false;
}

static bool is_leased(size_t node)
{
        for (size_t i = 0; i < LEASES_MAX; i++)
                if (storm.tree.held[i].used && storm.tree.held[i].kind == CLAIM_LEASE &&
                    oracle_is_claimed(&storm.tree, &storm.tree.held[i], node))
                        return true;
        return false;
}

/* Whoever watches nodes hears of each opening and each end of it, and then looks. */
static void tell_touched(size_t i, bool is_vfio)
{
        Device *device = daemon_lives() ? registry_find(storm.registry, &storm.tree.nodes[i].address) : NULL;

        if (!device)
                return;
        cleanliness_touched(device, is_vfio);
        if (is_vfio && device->n_resetting == 0)
                releases_touched(storm.releases, device);
        storm.survey_at[i] = storm_in(1 * MSEC, 500 * MSEC);
}

/* Who has opened a device in the middle of its reset is found by that look only. */
bool clean_must_be_known(size_t i)
{
        return storm.survey_at[i] == NEVER && !storm.trails[i].may_be_missed;
}

/* Whoever has had it is gone; if rules want it, nobody gets it before it was reset. */
static void follow_user(size_t i, bool leased, bool enabled)
{
        const Node *node = &storm.tree.nodes[i];
        Trail *trail = &storm.trails[i];
        bool was_used = trail->was_leased || trail->was_enabled || trail->was_open;

        if (leased)
                trail->let_go = false;
        else if (trail->was_leased || (was_used && (!node->present || !enabled)))
                trail->let_go = true;
        if (!node->present || node->inode != trail->inode || leased ||
            node->quarantine[node->id - NODE_ID].in)
                trail->was_heard = false;
        else if (is_open(node) && !trail->was_open && daemon_lives())
                trail->was_heard = true;
        /* One that goes away meanwhile may come back when rules are others. */
        if (!node->present || node->inode != trail->inode)
                trail->has_stayed = trail->must_be_reset = false;
        else if (leased && !trail->was_leased)
                trail->has_stayed = true;
        if (trail->has_stayed && trail->was_leased && !leased && !trail->is_clean) {
                trail->must_be_reset = true;
                trail->must_id = trail->id;
        }
        if (trail->must_be_reset && (!node->policy.resets_on_release || trail->is_clean || node->is_bridge ||
                                     node->quarantine[trail->must_id - NODE_ID].in))
                trail->must_be_reset = false;
}

/* What was left before the write has returned is gone with it. Of a reset through VFIO nobody can tell its
 * own openings from others. */
static void note_touch(size_t node)
{
        for (size_t i = 0; i < RUNS_MAX; i++) {
                Run *run = &storm.runs[i];

                if (run->job == 0 || !run->written || strcmp(run->request.method, "vfio_hot") == 0)
                        continue;
                for (size_t k = 0; k < run->n_members; k++)
                        if (run->members[k].node == node)
                                run->members[k].is_touched = true;
        }
}

void clean_looked(size_t i)
{
        const Node *node = &storm.tree.nodes[i];
        Trail *trail = &storm.trails[i];

        if (node->n_holders > 0 && is_leased(i) && count_resetting(i) == 0)
                trail->may_be_missed = false;
        if (!node->present || !trail->was_heard || is_open(node) || node->enable_count > 0 || is_leased(i))
                return;
        trail->was_heard = false;
        if (trail->is_clean || !node->policy.resets_on_release || node->is_bridge ||
            node->quarantine[node->id - NODE_ID].in)
                return;
        trail->must_be_reset = true;
        trail->must_id = node->id;
}

void clean_follow(void)
{
        for (size_t i = 0; i < storm.tree.n; i++) {
                const Node *node = &storm.tree.nodes[i];
                Trail *trail = &storm.trails[i];
                bool open = is_open(node), leased = is_leased(i);

                if (open || trail->was_open)
                        note_touch(i);
                if (open != trail->was_open)
                        tell_touched(i, true);
                else if (node->n_holders != trail->n_holders)
                        tell_touched(i, false);
                /* Nodes that are not VFIO's do not count then, but for the next look. */
                if (node->n_holders != trail->n_holders && count_resetting(i) > 0)
                        trail->may_be_missed = true;
                follow_user(i, leased, open || node->enable_count > 0);
                if (open || (leased && (!trail->was_leased || node->n_holders > 0)) || !node->present ||
                    node->inode != trail->inode)
                        trail->is_clean = false;
                if (trail->is_clean && node->n_holders == 0)
                        trail->may_be_missed = false;
                trail->was_open = open;
                trail->was_enabled = node->enable_count > 0;
                trail->id = node->id;
                trail->was_leased = leased;
                trail->n_holders = node->n_holders;
                trail->inode = node->inode;
        }
}

bool clean_is_reached(const Run *run, size_t i)
{
        const Tree *tree = &storm.tree;
        int bridge = tree->nodes[run->target].parent;
        size_t function = tree->nodes[i].physfn >= 0 ? (size_t) tree->nodes[i].physfn : i;

        return i == run->target || function == run->target ||
               (reset_method_scope(run->request.method) != RESET_SCOPE_FUNCTION && bridge >= 0 &&
                oracle_is_above(tree, bridge, function));
}

void clean_after(const Run *run, bool is_well)
{
        const Tree *tree = &storm.tree;

        for (size_t i = 0; i < run->n_members; i++) {
                const Node *node = &tree->nodes[run->members[i].node];
                Trail *trail = &storm.trails[run->members[i].node];

                if (!node->present || node->inode != run->members[i].inode)
                        continue;
                trail->inode = node->inode;
                if (node->n_holders > 0)
                        trail->may_be_missed = true;
                if (clean_is_reached(run, run->members[i].node))
                        trail->is_clean = is_well && !is_open(node) && !run->members[i].is_touched;
        }
}

void clean_audit(void)
{
        for (size_t i = 0; i < storm.tree.n; i++) {
                const Node *node = &storm.tree.nodes[i];
                const Device *device = registry_find(storm.registry, &node->address);

                if (device && device->cleanliness == CLEANLINESS_CLEAN && !device->touched_in_reset &&
                    !storm.trails[i].is_clean && clean_must_be_known(i))
                        storm_wrong("%s is clean, as far as the daemon knows", name_of(i));
                stats.clean += device && device->cleanliness == CLEANLINESS_CLEAN;
        }
}
