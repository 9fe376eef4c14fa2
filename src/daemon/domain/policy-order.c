/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The ladder that a policy makes of what a device offers.
 *
 * Each method is judged by itself, so that GetMethods and the ladder cannot disagree; the order then only
 * arranges those that have passed. What rules forbid holds for all ways to ask, what an order leaves out
 * only for `any`.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/domain/policy.h"
#include "shared/cleanup.h"

#define ADVERTISED_MAX (2U * RESET_METHODS_MAX)

static const char *const why_names[] = {
        [POLICY_WHY_FORBIDDEN] = "forbidden",           [POLICY_WHY_LINK] = "link-forbidden",
        [POLICY_WHY_NOT_LISTED] = "not-listed",         [POLICY_WHY_KNOWN_BAD] = "known-bad",
        [POLICY_WHY_LAST_RESORT] = "last-resort",       [POLICY_WHY_UNKNOWN] = "unknown-method",
        [POLICY_WHY_NOT_ADVERTISED] = "not-advertised",
};

const char *policy_why_to_string(PolicyWhy why)
{
        return why_names[why];
}

static bool has_order(const EffectivePolicy *effective)
{
        return effective->settings.set & 1U << POLICY_METHODS;
}

static int refuse(PolicyWhy why, const PolicyRule *rule, PolicyWhy *ret_why, const PolicyRule **ret_rule)
{
        *ret_why = why;
        *ret_rule = rule;
        return -EPERM;
}

/* What rules say against the method, whatever its scope. */
static int judge_rules(const EffectivePolicy *effective, const char *method, PolicyWhy *ret_why,
                       const PolicyRule **ret_rule)
{
        const PolicySettings *settings = &effective->settings;
        ResetScope scope = reset_method_scope(method);

        if (reset_method_list_contains(&settings->forbid, method))
                return refuse(POLICY_WHY_FORBIDDEN, effective->origin[POLICY_FORBID], ret_why, ret_rule);
        if (!settings->allow_link && (scope == RESET_SCOPE_LINK || scope == RESET_SCOPE_POWER))
                return refuse(POLICY_WHY_LINK, effective->origin[POLICY_ALLOW_LINK], ret_why, ret_rule);
        return 0;
}

int policy_allows_by_name(const EffectivePolicy *effective, const char *method, PolicyWhy *ret_why,
                          const PolicyRule **ret_rule)
{
        if (reset_method_scope(method) == RESET_SCOPE_UNKNOWN)
                return refuse(POLICY_WHY_UNKNOWN, NULL, ret_why, ret_rule);
        return judge_rules(effective, method, ret_why, ret_rule);
}

/* What speaks against a method that nobody named, neither the caller nor an order. */
static int judge_unnamed(const EffectivePolicy *effective, const char *method, PolicyWhy *ret_why,
                         const PolicyRule **ret_rule)
{
        const PolicyFinding *finding = policy_finding(effective, method);

        if (has_order(effective))
                return refuse(POLICY_WHY_NOT_LISTED, effective->origin[POLICY_METHODS], ret_why, ret_rule);
        if (finding && finding->known->bad)
                return refuse(POLICY_WHY_KNOWN_BAD, finding->rule, ret_why, ret_rule);
        return 0;
}

int policy_allows_in_ladder(const EffectivePolicy *effective, const char *method, PolicyWhy *ret_why,
                            const PolicyRule **ret_rule)
{
        int r = policy_allows_by_name(effective, method, ret_why, ret_rule);

        if (r < 0 || reset_method_list_contains(&effective->settings.methods, method))
                return r;
        r = judge_unnamed(effective, method, ret_why, ret_rule);
        if (r >= 0 && reset_method_scope(method) == RESET_SCOPE_POWER)
                r = refuse(POLICY_WHY_LAST_RESORT, NULL, ret_why, ret_rule);
        return r;
}

static void leave_out(PolicyOrder *order, const char *method, PolicyWhy why, const PolicyRule *rule)
{
        PolicyLeftOut *left_out = &order->left_out[order->n_left_out++];

        left_out->why = why;
        left_out->rule = rule;
        (void) snprintf(left_out->method, sizeof(left_out->method), "%s", method);
}

static void add_step(const EffectivePolicy *effective, const char *method, PolicyOrder *order)
{
        PolicyStep *step = &order->steps[order->n_steps++];

        step->finding = policy_finding(effective, method);
        (void) snprintf(step->method, sizeof(step->method), "%s", method);
}

static bool is_among(const char *const *names, size_t n, const char *name)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(names[i], name) == 0)
                        return true;
        return false;
}

/* Into the ladder, or to what is left out. */
static void place(const EffectivePolicy *effective, const char *method, PolicyOrder *order)
{
        const PolicyRule *rule;
        PolicyWhy why;

        if (policy_allows_in_ladder(effective, method, &why, &rule) < 0)
                leave_out(order, method, why, rule);
        else
                add_step(effective, method, order);
}

/* The ladder without any rule, but for its end: the rule that made the first difference. */
static const PolicyRule *find_workaround(const EffectivePolicy *effective, const char *const *advertised,
                                         size_t n_advertised, const PolicyOrder *order)
{
        size_t at = 0;

        for (size_t i = 0; i < n_advertised; i++) {
                ResetScope scope = reset_method_scope(advertised[i]);
                const PolicyRule *rule;
                PolicyWhy why;

                if (scope == RESET_SCOPE_UNKNOWN || scope == RESET_SCOPE_POWER)
                        continue;
                if (at < order->n_steps && strcmp(order->steps[at].method, advertised[i]) == 0) {
                        at++;
                        continue;
                }
                return policy_allows_in_ladder(effective, advertised[i], &why, &rule) < 0
                               ? rule
                               : effective->origin[POLICY_METHODS];
        }
        return at < order->n_steps ? effective->origin[POLICY_METHODS] : NULL;
}

void policy_order(const EffectivePolicy *effective, const char *const *advertised, size_t n_advertised,
                  PolicyOrder *ret)
{
        const ResetMethodList *methods = &effective->settings.methods;

        *ret = (PolicyOrder){};
        if (n_advertised > ADVERTISED_MAX)
                n_advertised = ADVERTISED_MAX;
        for (size_t i = 0; i < methods->n; i++)
                if (is_among(advertised, n_advertised, methods->names[i]))
                        place(effective, methods->names[i], ret);
                else
                        leave_out(ret, methods->names[i], POLICY_WHY_NOT_ADVERTISED,
                                  effective->origin[POLICY_METHODS]);
        for (size_t i = 0; i < n_advertised; i++)
                if (!reset_method_list_contains(methods, advertised[i]))
                        place(effective, advertised[i], ret);
        ret->workaround = find_workaround(effective, advertised, n_advertised, ret);
}

int policy_kernel_order(const EffectivePolicy *effective, const ResetMethodList *kernels,
                        ResetMethodList *ret)
{
        const ResetMethodList *from = has_order(effective) ? &effective->settings.methods : kernels;
        bool ordered = has_order(effective);
        const PolicyRule *rule;
        PolicyWhy why;

        *ret = (ResetMethodList){};
        if (!effective->settings.kernel_order)
                return 0;
        for (size_t i = 0; i < from->n; i++) {
                const char *name = from->names[i];

                if (!reset_method_list_contains(kernels, name) ||
                    judge_rules(effective, name, &why, &rule) < 0 ||
                    (!ordered && judge_unnamed(effective, name, &why, &rule) < 0))
                        continue;
                memcpy(ret->names[ret->n++], name, RESET_METHOD_NAME_MAX);
        }
        return 1;
}
