/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "random-oracle.h"

#include <string.h>

bool oracle_is_above(const Tree *tree, int upper, size_t i)
{
        for (int p = tree->nodes[i].parent; p >= 0; p = tree->nodes[p].parent)
                if (p == upper)
                        return true;
        return false;
}

static bool is_one_of(const char *method, const char *words)
{
        const char *found = strstr(words, method);
        size_t n = strlen(method);

        return found && (found == words || found[-1] == ' ') && (found[n] == ' ' || found[n] == '\0');
}

static bool is_link(const char *method)
{
        return is_one_of(method, "bus cxl_bus subordinate vfio_hot slot rescan");
}

static bool is_function(const char *method)
{
        return is_one_of(method, "device_specific acpi flr af_flr pm");
}

static bool is_ours(const char *method)
{
        return is_one_of(method, "subordinate vfio_hot slot rescan");
}

void oracle_set(const Tree *tree, size_t target, const char *method, bool set[static NODES_MAX])
{
        bool whole[NODES_MAX] = {}; /* disturbed with all that hangs on it */
        bool grows = true;

        memset(set, 0, NODES_MAX * sizeof(bool));
        set[target] = true;
        for (size_t i = 0; i < tree->n; i++)
                if (tree->nodes[i].present && is_link(method) && tree->nodes[target].parent >= 0 &&
                    oracle_is_above(tree, tree->nodes[target].parent, i))
                        set[i] = true;
        while (grows) {
                grows = false;
                for (size_t i = 0; i < tree->n; i++) {
                        bool joins = tree->nodes[i].physfn >= 0 && set[tree->nodes[i].physfn];

                        for (size_t e = 0; e < tree->n_edges; e++)
                                for (unsigned end = 0; end < 2; end++)
                                        if (tree->edges[e][end] == i && set[tree->edges[e][1 - end]] &&
                                            tree->edges[e][0] != tree->edges[e][1])
                                                joins = whole[i] = true;
                        for (size_t j = 0; j < tree->n; j++)
                                joins = joins || (whole[j] && set[j] && oracle_is_above(tree, (int) j, i));
                        if (joins && tree->nodes[i].present && !set[i])
                                set[i] = grows = true;
                }
        }
}

bool oracle_is_claimed(const Tree *tree, const TreeClaim *held, size_t node)
{
        for (size_t j = 0; j < held->n; j++)
                if (held->node[j] == node && held->ids[j] == tree->nodes[node].id)
                        return true;
        return held->n == 0;
}

static const TreeClaim *claim_on(const Tree *tree, size_t node, ClaimKind kind)
{
        for (size_t i = 0; i < LEASES_MAX; i++)
                if (tree->held[i].used && tree->held[i].kind == kind &&
                    oracle_is_claimed(tree, &tree->held[i], node))
                        return &tree->held[i];
        return NULL;
}

static bool is_his(const TreeClaim *lease, const PlanAsker *asker)
{
        return lease->uid == asker->uid || strcmp(lease->id, asker->presented) == 0;
}

bool oracle_is_recovered(const Tree *tree, size_t node)
{
        for (size_t i = 0; i < tree->n; i++)
                if (tree->nodes[i].present && tree->nodes[i].recovering &&
                    (i == node ||
                     (tree->nodes[node].parent >= 0 && tree->nodes[i].parent == tree->nodes[node].parent)))
                        return true;
        return false;
}

const char *oracle_judge_claims(const Tree *tree, const PlanAsker *asker, const bool set[static NODES_MAX])
{
        for (size_t i = 0; i < tree->n; i++) {
                const TreeClaim *lease = set[i] ? claim_on(tree, i, CLAIM_LEASE) : NULL;

                if (lease && !is_his(lease, asker))
                        return "a member is leased by somebody else";
                if (set[i] && claim_on(tree, i, CLAIM_INHIBIT_BLOCK))
                        return "a member's reset is forbidden";
        }
        return NULL;
}

static bool is_presented(const Node *node, const PlanAsker *asker)
{
        for (size_t i = 0; i < asker->n_groups; i++)
                if (node->group[0] != '\0' && strcmp(asker->groups[i], node->group) == 0)
                        return true;
        return false;
}

static bool is_hosts(const Node *node)
{
        return node->driver[0] == '\0' || is_one_of(node->driver, "e1000e nvme");
}

static bool is_lost(const Node *node)
{
        return !node->is_bridge && is_one_of(node->driver, "e1000e");
}

static bool is_power(const char *method)
{
        return is_one_of(method, "slot rescan");
}

bool oracle_rebinds(const Tree *tree, const char *method, bool in_use, const bool set[static NODES_MAX])
{
        /* Whoever is removed loses its driver anyway. */
        for (size_t i = 0; i < tree->n && !is_power(method); i++) {
                const NodePolicy *policy = &tree->nodes[i].policy;

                if (set[i] && is_lost(&tree->nodes[i]) &&
                    (policy->rebinds_driver || (in_use && !policy->keeps_driver)))
                        return true;
        }
        return false;
}

/* True if a rule allows that the drivers of all who would lose their state are not asked. */
static bool spares_drivers(const Tree *tree, const bool set[static NODES_MAX])
{
        for (size_t i = 0; i < tree->n; i++)
                if (set[i] && is_lost(&tree->nodes[i]) && !tree->nodes[i].policy.keeps_driver &&
                    !tree->nodes[i].policy.rebinds_driver)
                        return false;
        return true;
}

bool oracle_delays(const Tree *tree, const bool set[static NODES_MAX], unsigned last_claim)
{
        for (size_t i = 0; i < LEASES_MAX; i++) {
                const TreeClaim *held = &tree->held[i];

                if (!held->used || held->kind != CLAIM_INHIBIT_DELAY || atoi(held->id) > (int) last_claim)
                        continue;
                for (size_t j = 0; j < tree->n; j++)
                        if (set[j] && oracle_is_claimed(tree, held, j))
                                return true;
        }
        return false;
}

static bool is_soft(HolderKind kind)
{
        return kind == HOLDER_PROCESS || kind == HOLDER_INTERFACE || kind == HOLDER_HIDDEN;
}

/* What is wrong with disturbing this one. */
static const char *judge_member(const Tree *tree, size_t i, const OracleCase *reset, bool is_for_xen,
                                bool spares)
{
        const PlanAsker *asker = reset->asker;
        const char *method = reset->method;
        const Node *node = &tree->nodes[i];
        const NodeQuarantine *quarantine = &node->quarantine[node->id - NODE_ID];
        bool in_use_granted = reset->granted & ACTION_RESET_IN_USE, in_use = reset->in_use && in_use_granted;
        bool is_hot = strcmp(method, "vfio_hot") == 0, is_vfio = strstr(node->driver, "vfio") != NULL;
        bool is_users_own = is_hot && is_presented(node, asker);

        if (!node->present)
                return "a member is not there";
        if (quarantine->in && (quarantine->job == 0 || quarantine->job != reset->job) &&
            !(reset->granted & ACTION_QUARANTINE))
                return "a member is in quarantine";
        if (node->tsm_bound)
                return "a member is bound to a trusted guest";
        if (node->is_bridge)
                return NULL;
        if (is_hot && !is_vfio)
                return "a member of a hot reset is not bound to VFIO";
        if (is_hot && asker->n_groups > 0 && !is_presented(node, asker))
                return "a group was not presented";
        if (is_vfio && node->enable_count > 0 && !is_users_own)
                return "a member is open through VFIO";
        if (node->driver[0] != '\0' && !node->is_known)
                return "nobody knows who uses a member";
        if (is_link(method) && is_for_xen && !node->is_bridge && is_hosts(node))
                return "the host keeps a member that is not for guests";
        if (is_lost(node) && !in_use && !(spares && in_use_granted))
                return "a member's driver would lose its state";
        for (size_t j = 0; j < node->n_holders; j++)
                if (is_soft(node->holders[j]) ? !in_use : !(is_users_own && node->holders[j] == HOLDER_VFIO))
                        return "a member is held";
        return NULL;
}

static bool is_owned(const Tree *tree, size_t i, const PlanAsker *asker)
{
        const Node *node = &tree->nodes[i];
        const TreeClaim *lease = claim_on(tree, i, CLAIM_LEASE);

        return node->is_bridge || (lease && is_his(lease, asker)) || is_presented(node, asker) ||
               (asker->uid != 0 && node->is_known && node->has_vfio_uid && node->vfio_uid == asker->uid);
}

/* What stands against it whoever asks. */
static const char *judge_place(const Tree *tree, size_t target, const char *method, size_t n_below)
{
        const Node *node = &tree->nodes[target];
        const Node *above = node->parent >= 0 ? &tree->nodes[node->parent] : NULL;

        if (node->is_bridge)
                return "the target is a bridge";
        if (!is_link(method) && !is_function(method))
                return "what the method disturbs is not known";
        if (!is_ours(method) && !reset_method_list_contains(&node->methods, method))
                return "the kernel does not list the method";
        if (is_ours(method) && node->physfn >= 0)
                return "the target is a virtual function";
        if (is_link(method) && !above)
                return "the target is on a root bus";
        if (is_link(method) && !is_ours(method) && n_below > 1)
                return "the kernel would refuse with siblings";
        if (strcmp(method, "subordinate") == 0 && !above->can_reset_subordinate)
                return "the bridge has no reset_subordinate";
        if (strcmp(method, "slot") == 0 && !node->has_slot)
                return "there is no slot";
        if (strcmp(method, "rescan") == 0 && !node->can_be_removed)
                return "the target cannot be removed";
        return NULL;
}

/* The function that makes this one, if it is there, or itself. */
static size_t physical_of(const Tree *tree, size_t i)
{
        int physfn = tree->nodes[i].physfn;

        return physfn >= 0 && tree->nodes[physfn].present ? (size_t) physfn : i;
}

static bool is_alias(const char *method)
{
        return is_one_of(method, "any function link recover");
}

/* What the rules of one member say. */
static const char *judge_rules(const Tree *tree, size_t i, const OracleCase *reset)
{
        const NodePolicy *policy = &tree->nodes[i].policy;
        bool is_ordered = reset_method_list_contains(&tree->nodes[reset->target].policy.order,
                                                     reset->method);

        if (reset_method_list_contains(&policy->forbid, reset->method))
                return "a rule forbids the method";
        if (policy->forbids_link && is_link(reset->method))
                return "a rule forbids that more than a function is reset";
        if (strcmp(policy->bad, reset->method) != 0)
                return NULL;
        if (!(reset->granted & ACTION_RESET_KNOWN_BAD))
                return "what does harm was not granted";
        return is_alias(reset->requested) && !is_ordered ? "what does harm was not named" : NULL;
}

static const char *judge_policy(const Tree *tree, const OracleCase *reset, const bool set[static NODES_MAX])
{
        const ResetMethodList *order = &tree->nodes[reset->target].policy.order;
        bool is_ordered = reset_method_list_contains(order, reset->method);
        const char *wrong = NULL;

        for (size_t i = 0; i < tree->n && !wrong; i++)
                if (i == reset->target || (set[i] && is_link(reset->method) && !tree->nodes[i].is_bridge))
                        wrong = judge_rules(tree, i, reset);
        if (wrong)
                return wrong;
        if (!is_alias(reset->requested))
                return strcmp(reset->requested, reset->method) != 0 ? "another method was asked for" : NULL;
        if (strcmp(reset->requested, "function") == 0 && !is_function(reset->method))
                return "nobody asked for more than the function";
        if (strcmp(reset->requested, "link") == 0 && !is_link(reset->method))
                return "a function alone was not asked for";
        if (strcmp(reset->method, "rescan") == 0 && !is_ordered && strcmp(reset->requested, "recover") != 0)
                return "nobody has named the last resort";
        return order->n > 0 && !is_ordered ? "the order has not this method" : NULL;
}

const char *oracle_judge(const Tree *tree, const OracleCase *reset, const bool set[static NODES_MAX])
{
        size_t target = reset->target;
        const char *method = reset->method;
        const PlanAsker *asker = reset->asker;
        unsigned granted = reset->granted;
        const TreeClaim *lease = claim_on(tree, target, CLAIM_LEASE);
        bool owned = true, spares = spares_drivers(tree, set);
        size_t n = 0, n_below = 0;
        const char *wrong = oracle_judge_claims(tree, asker, set);

        if (wrong)
                return wrong;
        for (size_t i = 0; i < tree->n; i++) {
                n_below += tree->nodes[i].present && tree->nodes[i].parent == tree->nodes[target].parent;
                if (!set[i])
                        continue;
                n++;
                if (oracle_is_recovered(tree, i))
                        return "the kernel recovers a member";
                owned = owned && is_owned(tree, i, asker);
                wrong = judge_member(tree, i, reset, strcmp(tree->nodes[target].driver, "pciback") == 0,
                                     spares);
                if (!wrong && strcmp(method, "vfio_hot") == 0 && tree->nodes[target].parent >= 0 &&
                    !oracle_is_above(tree, tree->nodes[target].parent, physical_of(tree, i)))
                        wrong = "a member of a hot reset is tied to it by an edge alone";
                if (wrong)
                        return wrong;
        }
        wrong = judge_place(tree, target, method, n_below);
        if (!wrong)
                wrong = judge_policy(tree, reset, set);
        if (wrong)
                return wrong;
        if (asker->lease[0] != '\0' && (!lease || strcmp(lease->id, asker->lease) != 0))
                return "the lease that was relied on is gone";
        if (granted == 0)
                return "nobody has granted it";
        if (n > 1 && !owned && !(granted & ACTION_RESET_SHARED))
                return "the reset of others was not granted";
        if (!owned && granted == ACTION_RESET_OWNED)
                return "granted as owned, and it is not";
        return NULL;
}

Footprint oracle_footprint(const Tree *tree, size_t target, const bool set[static NODES_MAX])
{
        Footprint footprint = {.target = (int) target, .bridge = tree->nodes[target].parent, .root_bus = -1};

        memcpy(footprint.set, set, sizeof(footprint.set));
        if (footprint.bridge < 0)
                footprint.root_bus = tree->nodes[target].address.bus;
        for (size_t i = 0; i < tree->n && footprint.bridge >= 0; i++)
                footprint.above[i] = oracle_is_above(tree, (int) i, (size_t) footprint.bridge);
        return footprint;
}

static bool conflicts_with(const Footprint *a, const Footprint *b)
{
        for (size_t i = 0; i < NODES_MAX; i++)
                if (a->set[i] && (b->set[i] || b->bridge == (int) i || b->above[i]))
                        return true;
        return a->bridge >= 0 ? a->bridge == b->bridge || b->above[a->bridge] : a->root_bus == b->root_bus;
}

bool oracle_conflict(const Footprint *a, const Footprint *b)
{
        return conflicts_with(a, b) || conflicts_with(b, a);
}
