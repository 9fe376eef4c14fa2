/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A rule is about a device, and a reset of a link disturbs several. So what rules forbid counts for each
 * device of such a set, as the kernel's own list of devices that no bus reset may reach does: whoever has
 * forbidden it for one function has not allowed it through the one beside it. Orders are the target's alone.
 */

#include "daemon/domain/plan-policy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/domain/registry.h"

/* ---- the ladder ---- */

/* What the device offers, gentlest first. */
typedef struct Offer {
        const char *names[RESET_METHODS_MAX + PLAN_OWN_METHODS_MAX];
        size_t n;
        bool thorough; /* for the next user */
} Offer;

/* As in Xen's toolstack: a guest's device is left to its driver where that knows how, and the slot is
 * gentler than the bus above it. */
static bool goes_before_kernels(const Device *target, const char *method)
{
        return driver_kind(target->facts.driver) == DRIVER_PCIBACK &&
               (strcmp(method, RESET_METHOD_RESET_DEVICE) == 0 || strcmp(method, RESET_METHOD_SLOT) == 0);
}

/* Between two users, too, what may leave everything as it was comes last. */
static bool is_doubtful(const Device *target, const char *method, const Offer *offer)
{
        return plan_is_doubtful(target, method) || (offer->thorough && reset_method_is_doubtful(method));
}

static void offer_kernels(const Device *target, ResetScope scope, bool doubtful, Offer *offer)
{
        const ResetMethodList *list = &target->live.methods;

        for (size_t i = 0; i < list->n; i++)
                if (reset_method_scope(list->names[i]) == scope && !reset_method_is_ours(list->names[i]) &&
                    is_doubtful(target, list->names[i], offer) == doubtful)
                        offer->names[offer->n++] = list->names[i];
}

static void offer_own(const Device *target, ResetScope scope, bool before_kernels, Offer *offer)
{
        const char *names[PLAN_OWN_METHODS_MAX];
        size_t n = plan_own_methods(target, names);

        for (size_t i = 0; i < n; i++)
                if (reset_method_scope(names[i]) == scope && strcmp(names[i], RESET_METHOD_THAW) != 0 &&
                    goes_before_kernels(target, names[i]) == before_kernels)
                        offer->names[offer->n++] = names[i];
}

/* The methods of one scope: the kernel's in its order, then ours. */
static void offer_scope(const Device *target, ResetScope scope, Offer *offer)
{
        offer_own(target, scope, true, offer);
        offer_kernels(target, scope, false, offer);
        offer_own(target, scope, false, offer);
}

static bool is_meant(ResetAlias alias, const char *method)
{
        ResetScope scope = reset_method_scope(method);

        return alias == RESET_ALIAS_ANY || alias == RESET_ALIAS_RECOVER ||
               (alias == RESET_ALIAS_FUNCTION && scope == RESET_SCOPE_FUNCTION) ||
               (alias == RESET_ALIAS_LINK && scope == RESET_SCOPE_LINK);
}

static void add_name(PlanLadder *ladder, ResetAlias alias, const char *method)
{
        if (is_meant(alias, method))
                (void) snprintf(ladder->names[ladder->n++], RESET_METHOD_NAME_MAX, "%s", method);
}

static bool is_failing(const Device *target, const Proven *proven, const char *method)
{
        ProvenFacts facts = proven_get(proven, target->facts.vendor, target->facts.device, method);

        return proven_is_failing(&facts);
}

/* Methods that a reset may use. What the kernel advertises and has never worked is tried last, whatever its
 * scope: nobody is helped by waiting for it once more. Whoever has written an order knows better; but
 * between two users what may leave everything as it was comes last in an order, too: it would end the ladder
 * before a reset was made. */
static void add_steps(const Device *target, const EffectivePolicy *effective, const PolicyOrder *order,
                      ResetAlias alias, const PlanOptions *options, PlanLadder *ladder)
{
        bool is_ordered = effective->settings.methods.n > 0, sorts = options->proven && !is_ordered;
        bool parts = options->release && is_ordered;

        for (int later = 0; later <= (sorts || parts); later++)
                for (size_t i = 0; i < order->n_steps; i++) {
                        const char *method = order->steps[i].method;
                        bool is_later = (sorts && is_failing(target, options->proven, method)) ||
                                        (parts && reset_method_is_doubtful(method));

                        if (is_later == later)
                                add_name(ladder, alias, method);
                }
}

static bool is_last_resort(const EffectivePolicy *effective, const char *method)
{
        return reset_method_scope(method) == RESET_SCOPE_POWER &&
               !reset_method_list_contains(&effective->settings.methods, method);
}

/* What the policy leaves out comes last, to be told. Last resorts that no order names are left out of all
 * ladders but that of a recovery: there they are the rungs above all others, and what rules say against
 * them is told as well. */
static void add_left_out(const EffectivePolicy *effective, const PolicyOrder *order, ResetAlias alias,
                         PlanLadder *ladder)
{
        bool recovers = alias == RESET_ALIAS_RECOVER;

        for (size_t i = 0; recovers && i < order->n_left_out; i++)
                if (order->left_out[i].why == POLICY_WHY_LAST_RESORT)
                        add_name(ladder, alias, order->left_out[i].method);
        for (size_t i = 0; i < order->n_left_out; i++)
                if (recovers ? order->left_out[i].why != POLICY_WHY_LAST_RESORT
                             : !is_last_resort(effective, order->left_out[i].method))
                        add_name(ladder, alias, order->left_out[i].method);
}

int plan_ladder(Device *target, ResetAlias alias, const PlanOptions *options, PlanLadder *ret)
{
        const EffectivePolicy *effective = registry_policy_of(target);
        PolicyOrder order;
        Offer offer = {.thorough = options->release};

        ret->n = 0;
        ret->workaround = NULL;
        if (!effective)
                return -ENOMEM;
        offer_scope(target, RESET_SCOPE_FUNCTION, &offer);
        offer_scope(target, RESET_SCOPE_LINK, &offer);
        offer_scope(target, RESET_SCOPE_POWER, &offer);
        /* Last, whatever its scope: it is better than nothing, and not said to be more. */
        offer_kernels(target, RESET_SCOPE_FUNCTION, true, &offer);

        /* It is no reset, so no alias means it but the one that wants the device back. */
        if (alias == RESET_ALIAS_RECOVER && target->frozen)
                add_name(ret, alias, RESET_METHOD_THAW);
        policy_order(effective, offer.names, offer.n, &order);
        add_steps(target, effective, &order, alias, options, ret);
        add_left_out(effective, &order, alias, ret);
        ret->workaround = order.workaround;
        return 0;
}

/* ---- drivers ---- */

/* Out of memory counts as no rule. */
static PolicyDriver driver_policy(Device *member)
{
        const EffectivePolicy *policy = registry_policy_of(member);

        return policy ? policy->settings.driver : POLICY_DRIVER_REFUSE;
}

bool plan_refuses_drivers(const Rung *rung)
{
        for (size_t i = 0; i < rung->n_set; i++)
                if (plan_member_loses(rung->set[i]) && driver_policy(rung->set[i]) == POLICY_DRIVER_REFUSE)
                        return true;
        return false;
}

bool plan_rebinds(const Rung *rung, bool in_use)
{
        /* Removal takes every driver off by itself. */
        if (rung->scope == RESET_SCOPE_POWER || strcmp(rung->method, RESET_METHOD_SLOT) == 0)
                return false;
        for (size_t i = 0; i < rung->n_set; i++) {
                PolicyDriver policy = driver_policy(rung->set[i]);

                if (plan_member_loses(rung->set[i]) &&
                    (policy == POLICY_DRIVER_REBIND || (in_use && policy == POLICY_DRIVER_REFUSE)))
                        return true;
        }
        return false;
}

/* ---- one rung ---- */

static unsigned to_why(PolicyWhy why)
{
        switch (why) {
        case POLICY_WHY_FORBIDDEN:
                return WHY_FORBIDDEN;
        case POLICY_WHY_LINK:
                return WHY_LINK_FORBIDDEN;
        case POLICY_WHY_KNOWN_BAD:
                return WHY_KNOWN_BAD;
        case POLICY_WHY_UNKNOWN:
                return WHY_UNKNOWN_METHOD;
        case POLICY_WHY_NOT_ADVERTISED:
                return WHY_NOT_ADVERTISED;
        case POLICY_WHY_NOT_LISTED:
        case POLICY_WHY_LAST_RESORT:
                break;
        }
        return WHY_NOT_LISTED;
}

static void take_reason(Rung *rung, unsigned *bits, PolicyWhy why, const PolicyRule *rule)
{
        *bits |= to_why(why);
        /* The first one is enough to go by. */
        if (!rung->rule)
                rung->rule = rule;
}

/* What is known to do harm to one of the set is an order's business only if that order is the target's. */
static void take_finding(Rung *rung, const EffectivePolicy *effective, bool is_ordered)
{
        const PolicyFinding *finding = policy_finding(effective, rung->method);

        if (!finding || !finding->known->bad)
                return;
        rung->actions |= ACTION_RESET_KNOWN_BAD;
        if (!is_ordered)
                take_reason(rung, &rung->left_out, POLICY_WHY_KNOWN_BAD, finding->rule);
}

int plan_judge_policy(Rung *rung, const PlanOptions *options)
{
        bool disturbs_others = rung->scope == RESET_SCOPE_LINK || rung->scope == RESET_SCOPE_POWER;
        const EffectivePolicy *target = registry_policy_of(rung->set[0]);
        bool is_ordered = target && reset_method_list_contains(&target->settings.methods, rung->method);
        const PolicyRule *rule;
        PolicyWhy why;

        for (size_t i = 0; i < rung->n_set && (i == 0 || disturbs_others); i++) {
                const EffectivePolicy *effective = registry_policy_of(rung->set[i]);

                if (!effective)
                        return -ENOMEM;
                if (i > 0 && rung->set[i]->facts.is_bridge)
                        continue;
                if (policy_allows_by_name(effective, rung->method, &why, &rule) < 0)
                        take_reason(rung, &rung->why, why, rule);
                take_finding(rung, effective, is_ordered);
        }
        rung->finding = policy_finding(target, rung->method);
        /* The order comes after what forbids: to be left out of it is the least of the reasons. A last
         * resort is in no ladder unless an order named it when the ladder was made; it may name it no more.
         */
        if (!(rung->why & WHY_POLICY_MASK) &&
            policy_allows_in_ladder(target, rung->method, &why, &rule) < 0 &&
            (why != POLICY_WHY_LAST_RESORT || (options->aliased && !options->recovers)) &&
            why != POLICY_WHY_UNKNOWN)
                take_reason(rung, &rung->left_out, why, rule);
        if (options->aliased)
                rung->why |= rung->left_out;
        return 0;
}
