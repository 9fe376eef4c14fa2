/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/domain/policy-edit.h"

#include <errno.h>
#include <string.h>

#include "shared/cleanup.h"

DEFINE_CLEANUP(Policy *, policy_free);

const PolicyRule *policy_find(const Policy *policy, const char *file, const char *id)
{
        for (size_t i = 0; i < policy_n_rules(policy); i++) {
                const PolicyRule *rule = policy_rule(policy, i);

                if (strcmp(rule->file, file) == 0 && strcmp(rule->id, id) == 0)
                        return rule;
        }
        return NULL;
}

static bool is_same_match(const PolicyMatch *a, const PolicyMatch *b)
{
        if (a->set != b->set)
                return false;
        for (PolicyMatchKey key = 0; key < POLICY_MATCH_N; key++)
                if (a->set & 1U << key && strcmp(a->patterns[key], b->patterns[key]) != 0)
                        return false;
        return true;
}

const PolicyRule *policy_find_match(const Policy *policy, const char *file, const PolicyMatch *match)
{
        for (size_t i = 0; i < policy_n_rules(policy); i++) {
                const PolicyRule *rule = policy_rule(policy, i);

                if (strcmp(rule->file, file) == 0 && is_same_match(&rule->match, match))
                        return rule;
        }
        return NULL;
}

size_t policy_count(const Policy *policy, const char *file)
{
        size_t n = 0;

        for (size_t i = 0; i < policy_n_rules(policy); i++)
                n += strcmp(policy_rule(policy, i)->file, file) == 0;
        return n;
}

static int add_copy(Policy *policy, const PolicyRule *rule)
{
        PolicyRule copy = *rule;
        int r;

        copy.file = strdup(rule->file);
        copy.known = rule->n_known > 0 ? calloc(rule->n_known, sizeof(PolicyKnown)) : NULL;
        r = copy.file && (copy.known || rule->n_known == 0) ? 0 : -ENOMEM;
        if (r >= 0 && rule->n_known > 0)
                memcpy(copy.known, rule->known, rule->n_known * sizeof(PolicyKnown));
        if (r >= 0)
                r = policy_add(policy, &copy);
        policy_rule_done(&copy);
        return r;
}

int policy_edit(const Policy *policy, const PolicyRule *without, const PolicyRule *rule, const char *last,
                Policy **ret)
{
        _cleanup_(cleanup_policy_free) Policy *edited = policy_new();
        bool is_last = rule && strcmp(rule->file, last) == 0;
        int r = 0;

        if (!edited)
                return -ENOMEM;
        for (size_t i = 0; i < policy_n_rules(policy) && r >= 0; i++) {
                const PolicyRule *old = policy_rule(policy, i);

                if (rule && !is_last && strcmp(old->file, last) == 0) {
                        r = add_copy(edited, rule);
                        rule = NULL;
                }
                if (r >= 0 && old != without)
                        r = add_copy(edited, old);
        }
        if (r >= 0 && rule)
                r = add_copy(edited, rule);
        if (r < 0)
                return r;
        *ret = steal_pointer(edited);
        return 0;
}

void policy_settings_merge(PolicySettings *to, const PolicySettings *from)
{
        for (PolicyKey key = 0; key < POLICY_KEY_N; key++)
                if (from->set & 1U << key)
                        policy_settings_take(to, from, key);
        to->set |= from->set;
}
