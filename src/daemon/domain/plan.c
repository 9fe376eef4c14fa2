/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * How a rung is judged: what the tree says about its method, then who uses the members of its reset set
 * (reset-set.c) and who has a say in them, then the rules (plan-policy.c). Each of them only adds reasons,
 * so that a client sees all that stands in the way and not just the first.
 */

#include "daemon/domain/plan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/domain/plan-policy.h"
#include "daemon/domain/quarantine.h"
#include "daemon/domain/registry.h"
#include "daemon/domain/reset-set.h"
#include "shared/cleanup.h"

static const char *const WHY_NAMES[] = {
        "not-advertised",   "unknown-method", "bridge",
        "root-bus",         "siblings",       "topology-unknown",
        "virtual-function", "not-vfio",       "not-owned",
        "driver-bound",     "held",           "vfio-open",
        "storage-in-use",   "network-in-use", "guest",
        "tsm-bound",        "use-unknown",    "leased",
        "lease-gone",       "inhibited",      "edges",
        "not-assignable",   "forbidden",      "link-forbidden",
        "not-listed",       "known-bad",      "recovering",
        "not-released",     "frozen",         "not-frozen",
};

static const char *const ACTION_NAMES[] = {
        ACTION_PREFIX "reset",       ACTION_PREFIX "reset-shared",    ACTION_PREFIX "reset-in-use",
        ACTION_PREFIX "reset-owned", ACTION_PREFIX "reset-known-bad", ACTION_PREFIX "quarantine",
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

int plan_concerned(Device *target, Device ***ret, size_t *ret_n)
{
        ResetSet set = {};
        int r = reset_set_fill(&set, target, RESET_SCOPE_LINK, true);

        /* Of the bridge its live facts. */
        if (r >= 0 && target->parent)
                r = reset_set_add(&set, target->parent);
        if (r < 0) {
                free(set.devices);
                return r;
        }
        *ret = set.devices;
        *ret_n = set.n;
        return 0;
}

int plan_for_each_concerned(Device *target, int (*refresh)(void *userdata, Device *device), void *userdata)
{
        _cleanup_free_ Device **devices = NULL;
        size_t n;
        int r = plan_concerned(target, &devices, &n);

        for (size_t i = 0; i < n && r >= 0; i++)
                r = refresh(userdata, devices[i]);
        return r;
}

static bool is_thaw(const char *method)
{
        return strcmp(method, RESET_METHOD_THAW) == 0;
}

static bool is_presented(const PlanAsker *asker, const Device *member)
{
        for (size_t i = 0; i < asker->n_groups; i++)
                if (asker->groups[i][0] != '\0' && strcmp(asker->groups[i], member->facts.iommu_group) == 0)
                        return true;
        return false;
}

static bool is_bound_to_vfio(const Device *device)
{
        return driver_kind(device->facts.driver) == DRIVER_ASSIGNABLE &&
               strstr(device->facts.driver, "vfio") != NULL;
}

bool plan_needs_scan(const Device *device)
{
        return !device->facts.is_bridge && (device->facts.driver[0] != '\0' || device->facts.has_endpoint);
}

bool plan_member_loses(const Device *member)
{
        return !member->facts.is_bridge && driver_kind(member->facts.driver) == DRIVER_HOST &&
               !driver_is_reset_aware(member->facts.driver);
}

static unsigned holder_bit(HolderKind kind)
{
        switch (kind) {
        case HOLDER_ROOT:
        case HOLDER_MOUNT:
        case HOLDER_SWAP:
        case HOLDER_BLOCK:
                return WHY_STORAGE;
        case HOLDER_NETWORK:
                return WHY_NETWORK;
        case HOLDER_GUEST:
                return WHY_GUEST;
        case HOLDER_VFIO:
                return WHY_VFIO_OPEN;
        case HOLDER_PROCESS:
        case HOLDER_INTERFACE:
        case HOLDER_HIDDEN:
                break;
        }
        return WHY_HELD;
}

/* How a member is used. A VFIO user who is to be reset through his own descriptors is no obstacle to that.
 */
static unsigned member_use(const Device *member, bool is_vfio_users_own)
{
        unsigned use = member->live.tsm_bound ? WHY_TSM_BOUND : 0;

        /* The port driver of a bridge is no user of the devices below it. */
        if (member->facts.is_bridge)
                return use;
        for (size_t i = 0; i < member->use.n_holders; i++)
                use |= holder_bit(member->use.holders[i].kind);
        /* VFIO enables a device when it is opened, and disables it at the last close. */
        if (driver_kind(member->facts.driver) == DRIVER_ASSIGNABLE && member->live.enable_count > 0)
                use |= WHY_VFIO_OPEN;
        if (is_vfio_users_own)
                use &= ~(unsigned) WHY_VFIO_OPEN;
        if (plan_member_loses(member))
                use |= WHY_DRIVER_BOUND;
        if (!member->use.known && plan_needs_scan(member))
                use |= WHY_USE_UNKNOWN;
        return use;
}

static bool is_leased_by(const Claim *lease, const PlanAsker *asker)
{
        if (asker->known && lease->record.uid == asker->uid)
                return true;
        return asker->presented[0] != '\0' && strcmp(asker->presented, lease->record.id) == 0;
}

/* What the daemon does by itself it does to what was let go, and to a virtual function with its physical
 * one. Whoever still uses a member may let go of it later. */
static unsigned member_release(const Device *member, const PlanOptions *options)
{
        const Quarantine *quarantine = member->quarantine;

        if (member->facts.is_bridge)
                return 0;
        if (member->lease)
                return WHY_LEASED;
        if (quarantine && (quarantine->job == 0 || quarantine->job != options->job))
                return WHY_NOT_RELEASED;
        return member->released || device_is_in_use(member) || (member->physfn && member->physfn->released)
                       ? 0
                       : WHY_NOT_RELEASED;
}

/* Who else has a say in it. */
static unsigned member_claims(const Device *member, const PlanAsker *asker)
{
        unsigned why = 0;

        if (member->lease && !is_leased_by(member->lease, asker))
                why |= WHY_LEASED;
        if (member->n_blocking > 0)
                why |= WHY_INHIBITED;
        return why;
}

/* VFIO's groups are of all their devices, one that has stayed with the host's driver included: whoever may
 * have the group was not given that one. */
static bool may_be_owned_by_group(const Device *member)
{
        DriverKind kind = driver_kind(member->facts.driver);

        return kind == DRIVER_ASSIGNABLE || kind == DRIVER_NONE;
}

bool plan_vfio_user(const Device *member, uint32_t *ret_uid)
{
        if (!plan_needs_scan(member) || !may_be_owned_by_group(member) || !member->use.has_vfio_uid ||
            member->use.vfio_uid == 0)
                return false;
        *ret_uid = member->use.vfio_uid;
        return true;
}

/* Whether the caller has taken the member for himself: this selects the action, and lifts no refusal. */
static bool is_owned(const Device *member, const PlanAsker *asker)
{
        if (member->facts.is_bridge)
                return true;
        if (member->lease && is_leased_by(member->lease, asker))
                return true;
        if (!may_be_owned_by_group(member))
                return false;
        if (is_presented(asker, member))
                return true;
        return asker->known && asker->uid != 0 && member->use.has_vfio_uid &&
               member->use.vfio_uid == asker->uid;
}

/* What a link reset of the kernel's own needs: the target alone below its bridge. It probes `bus` before the
 * siblings exist and lists it for function 0 of a multifunction card, but pci_parent_bus_reset() then
 * refuses. */
static unsigned judge_kernels(const Rung *rung, const Device *target)
{
        unsigned why = 0;

        if (rung->scope == RESET_SCOPE_UNKNOWN)
                why |= WHY_UNKNOWN_METHOD;
        if (!reset_method_list_contains(&target->live.methods, rung->method))
                why |= WHY_NOT_ADVERTISED;
        if (rung->scope == RESET_SCOPE_LINK && target->parent && !device_is_alone_below_parent(target))
                why |= WHY_SIBLINGS;
        return why;
}

/* True if only an edge ties the member to a set of what is below the bridge. */
static bool is_tied(const Device *member, const Device *bridge)
{
        if (member->facts.has_physfn && member->physfn)
                member = member->physfn;
        return bridge && !device_is_below(member, bridge);
}

/* The hot reset of VFIO is of the devices that the kernel knows of, and wants their groups, no more and no
 * less: with another one in the set there is no way to do it. */
static unsigned judge_ours(const Rung *rung, const Device *target, const PlanAsker *asker)
{
        const char *names[PLAN_OWN_METHODS_MAX];
        size_t n = plan_own_methods(target, names);
        unsigned why = WHY_NOT_ADVERTISED;

        for (size_t i = 0; i < n; i++)
                if (strcmp(names[i], rung->method) == 0)
                        why = 0;
        if (target->facts.has_physfn && rung->scope != RESET_SCOPE_FUNCTION)
                why |= WHY_VIRTUAL;
        if (strcmp(rung->method, RESET_METHOD_VFIO_HOT) != 0)
                return why;
        for (size_t i = 0; i < rung->n_set; i++) {
                const Device *member = rung->set[i];

                if (is_tied(member, target->parent))
                        why |= WHY_EDGES;
                if (member->facts.is_bridge)
                        continue;
                if (!is_bound_to_vfio(member))
                        why |= WHY_NOT_VFIO;
                if (plan_misses_group(asker, member))
                        why |= WHY_NOT_OWNED;
        }
        return why;
}

bool plan_misses_group(const PlanAsker *asker, const Device *member)
{
        return asker->n_groups > 0 && is_bound_to_vfio(member) && !is_presented(asker, member);
}

bool plan_is_kept_by_host(const Device *member)
{
        DriverKind kind = driver_kind(member->facts.driver);

        return !member->facts.is_bridge && (kind == DRIVER_NONE || kind == DRIVER_HOST);
}

bool plan_is_doubtful(const Device *target, const char *method)
{
        return driver_kind(target->facts.driver) == DRIVER_PCIBACK && reset_method_is_doubtful(method);
}

/* As the drivers of Xen hosts that reset links do: not unless everything below is for guests. */
static unsigned judge_pciback(const Rung *rung, const Device *target)
{
        if (driver_kind(target->facts.driver) != DRIVER_PCIBACK || rung->scope == RESET_SCOPE_FUNCTION)
                return 0;
        for (size_t i = 0; i < rung->n_set; i++)
                if (plan_is_kept_by_host(rung->set[i]))
                        return WHY_NOT_ASSIGNABLE;
        return 0;
}

/* What the tree says about a method, whoever uses the devices. */
static unsigned judge_topology(const Rung *rung, const Device *target, const PlanAsker *asker)
{
        unsigned why = reset_method_is_ours(rung->method) ? judge_ours(rung, target, asker)
                                                          : judge_kernels(rung, target);

        why |= judge_pciback(rung, target);
        if (is_thaw(rung->method) && !target->frozen)
                why |= WHY_NOT_FROZEN;
        /* A reset of the link goes to the firmware, which knows of the freeze. */
        if (!is_thaw(rung->method) && rung->scope == RESET_SCOPE_FUNCTION)
                for (size_t i = 0; i < rung->n_set; i++)
                        why |= rung->set[i]->frozen ? WHY_FROZEN : 0;
        if (target->facts.is_bridge)
                why |= WHY_BRIDGE;
        if (target->facts.has_parent && !target->parent)
                why |= WHY_TOPOLOGY_UNKNOWN;
        if (rung->scope != RESET_SCOPE_FUNCTION && rung->scope != RESET_SCOPE_UNKNOWN &&
            !target->facts.has_parent)
                why |= WHY_ROOT_BUS;
        return why;
}

size_t plan_own_methods(const Device *target, const char *names[static PLAN_OWN_METHODS_MAX])
{
        bool slot_first = driver_kind(target->facts.driver) == DRIVER_PCIBACK;
        bool has_slot = target->parent && target->facts.slot[0] != '\0';
        size_t n = 0;

        if (target->facts.is_bridge)
                return 0;
        if (target->facts.has_endpoint)
                names[n++] = RESET_METHOD_THAW;
        if (target->facts.has_do_flr)
                names[n++] = RESET_METHOD_DO_FLR;
        if (target->parent && target->facts.has_reset_device)
                names[n++] = RESET_METHOD_RESET_DEVICE;
        if (has_slot && slot_first)
                names[n++] = RESET_METHOD_SLOT;
        if (target->parent && target->parent->facts.can_reset_subordinate)
                names[n++] = RESET_METHOD_SUBORDINATE;
        if (target->parent && is_bound_to_vfio(target) && target->facts.iommu_group[0] != '\0')
                names[n++] = RESET_METHOD_VFIO_HOT;
        if (has_slot && !slot_first)
                names[n++] = RESET_METHOD_SLOT;
        if (target->parent && target->facts.can_be_removed)
                names[n++] = RESET_METHOD_RESCAN;
        return n;
}

/* Whoever may reset what is in quarantine may do so because it is: no word of the owner's is needed beside.
 * A job climbs on when it has left a device changed itself. */
static bool is_kept_away(const Device *member, const PlanOptions *options)
{
        const Quarantine *quarantine = member->quarantine;

        return quarantine && (quarantine->job == 0 || quarantine->job != options->job);
}

/* What the caller may be granted, and what has to end before that. */
static void judge_use(Rung *rung, const PlanOptions *options)
{
        const PlanAsker *asker = &options->asker;
        bool through_vfio = strcmp(rung->method, RESET_METHOD_VFIO_HOT) == 0, owned = true;
        bool quarantined = false;
        unsigned why = 0, lifted = WHY_DRIVER_BOUND | WHY_HELD;

        for (size_t i = 0; i < rung->n_set; i++) {
                const Device *member = rung->set[i];

                why |= member_use(member, through_vfio && is_presented(asker, member));
                why |= member_claims(member, asker);
                if (options->release)
                        why |= member_release(member, options);
                owned = owned && is_owned(member, asker);
                rung->delayed = rung->delayed || member->n_delaying > 0;
                quarantined = quarantined || is_kept_away(member, options);
                if (device_is_recovering(member))
                        why |= WHY_RECOVERING;
        }

        rung->actions = quarantined ? ACTION_QUARANTINE : 0;
        if (why & (WHY_DRIVER_BOUND | (options->in_use ? WHY_HELD : 0)))
                rung->actions |= ACTION_RESET_IN_USE;
        if (options->in_use) {
                rung->rebind = why & WHY_DRIVER_BOUND && plan_rebinds(rung, true);
                why &= ~lifted;
        } else if (why & WHY_DRIVER_BOUND && !plan_refuses_drivers(rung)) {
                rung->rebind = plan_rebinds(rung, false);
                why &= ~(unsigned) WHY_DRIVER_BOUND;
        }
        if (rung->n_set > 1 && !owned)
                rung->actions |= ACTION_RESET_SHARED;
        if (rung->actions == 0)
                rung->actions = owned ? ACTION_RESET_OWNED : ACTION_RESET;

        if (options->when_idle || (rung->delayed && !options->prepared)) {
                rung->busy = why & WHY_WAITABLE_MASK;
                why &= ~(unsigned) WHY_WAITABLE_MASK;
        }
        if (options->outlasts_recovery) {
                rung->busy |= why & WHY_RECOVERING;
                why &= ~(unsigned) WHY_RECOVERING;
        }
        rung->why |= why;
}

static void judge(Rung *rung, const Device *target, const PlanOptions *options)
{
        const PlanAsker *asker = &options->asker;

        rung->why = judge_topology(rung, target, asker);
        judge_use(rung, options);
        if (asker->lease[0] != '\0' &&
            (!target->lease || strcmp(target->lease->record.id, asker->lease) != 0))
                rung->why |= WHY_LEASE_GONE;
}

static int add_rung(Plan *plan, Device *target, const char *method, const PlanOptions *options)
{
        Rung *rung = &plan->rungs[plan->n_rungs++];
        ResetSet set = {};
        int r;

        (void) snprintf(rung->method, sizeof(rung->method), "%s", method);
        rung->scope = reset_method_scope(method);
        rung->bridge = target->parent;
        rung->expected_usec = reset_method_expected_usec(method);

        r = reset_set_fill(&set, target, rung->scope, is_thaw(method));
        rung->set = set.devices;
        rung->n_set = set.n;
        if (r < 0)
                return r;
        judge(rung, target, options);
        return plan_judge_policy(rung, options);
}

/* Each of the ladder's names becomes a rung, which is judged by itself. */
static int add_alias(Plan *plan, Device *target, ResetAlias alias, const PlanOptions *options)
{
        PlanOptions aliased = *options;
        PlanLadder ladder;
        int r = plan_ladder(target, alias, options, &ladder);

        aliased.aliased = true;
        aliased.recovers = alias == RESET_ALIAS_RECOVER;
        for (size_t i = 0; i < ladder.n && r >= 0; i++)
                r = add_rung(plan, target, ladder.names[i], &aliased);
        plan->workaround = ladder.workaround;
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

        plan->rungs = calloc(alias == RESET_ALIAS_NONE ? 1 : PLAN_RUNGS_MAX, sizeof(Rung));
        if (!plan->rungs)
                return -ENOMEM;

        if (alias == RESET_ALIAS_NONE)
                r = add_rung(plan, target, method, options);
        else
                r = add_alias(plan, target, alias, options);
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
        uint32_t uid;

        if (!f)
                return NULL;
        fprintf(f, "%s %#x %d \"%s\"", rung->method, rung->actions, rung->rebind,
                rung->n_set > 0 ? rung->set[0]->owner : "");
        /* polkit was told of him. Of a guest it was, too, but with one there is no reset. */
        if (rung->n_set > 0 && plan_vfio_user(rung->set[0], &uid))
                fprintf(f, " of %u", uid);
        for (size_t i = 0; i < rung->n_set; i++) {
                const Quarantine *quarantine = rung->set[i]->quarantine;

                fprintf(f, " %llx=%s", (unsigned long long) rung->set[i]->generation,
                        rung->set[i]->facts.driver);
                /* Its proof would lift this one, and no other. */
                if (quarantine)
                        fprintf(f, " in %s %llu", quarantine_cause_to_string(quarantine->record.cause),
                                (unsigned long long) quarantine->id);
        }
        if (rung->bridge)
                fprintf(f, " below %llx", (unsigned long long) rung->bridge->generation);
        /* fclose() reports what open_memstream() could not allocate. */
        return fclose(f) == 0 ? steal_pointer(text) : NULL;
}
