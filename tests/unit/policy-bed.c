/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "policy-bed.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

Policy *policy;
EffectivePolicy effective;

void policy_bed_setup(void)
{
        policy = policy_new();
        ck_assert_ptr_nonnull(policy);
}

void policy_bed_teardown(void)
{
        policy_free(policy);
}

PolicyRule rule_new(const char *id)
{
        PolicyRule rule = {.file = strdup("/etc/50.json")};

        ck_assert_ptr_nonnull(rule.file);
        (void) snprintf(rule.id, sizeof(rule.id), "%s", id);
        return rule;
}

void add(PolicyRule rule)
{
        ck_assert_int_eq(policy_add(policy, &rule), 0);
        ck_assert_ptr_null(rule.file);
}

static ResetMethodList list(const char *names)
{
        ResetMethodList all, result = {};

        ck_assert_int_eq(reset_method_list_parse(names, &all), 0);
        for (size_t i = 0; i < all.n; i++)
                ck_assert_int_eq(policy_list_add(&result, all.names[i]), 0);
        return result;
}

void set_methods(PolicyRule *rule, const char *names)
{
        rule->settings.set |= 1U << POLICY_METHODS;
        rule->settings.methods = list(names);
}

void set_forbid(PolicyRule *rule, const char *names)
{
        rule->settings.set |= 1U << POLICY_FORBID;
        rule->settings.forbid = list(names);
}

void set_allow_link(PolicyRule *rule, bool allow)
{
        rule->settings.set |= 1U << POLICY_ALLOW_LINK;
        rule->settings.allow_link = allow;
}

void know(PolicyRule *rule, const char *method, bool bad, const char *kernel)
{
        ck_assert_int_eq(policy_rule_add_known(rule, method, bad, "https://example.org/thread", kernel), 0);
}

void merge(void)
{
        const DeviceFacts facts = {.driver = "nvme", .class = 0x010802};
        PolicySubject subject;

        policy_subject_init(&subject, &facts, "6.12.57");
        policy_merge(policy, &subject, &effective);
}
