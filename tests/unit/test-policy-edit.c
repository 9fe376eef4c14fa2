/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Rules are added to and taken from a copy, in their place among the others.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/domain/policy-edit.h"
#include "unit.h"

#define DROPIN  "/etc/50.json"
#define STORED  "/var/policy.json"
#define RUNTIME "/run/policy.json"

static Policy *policy;

static PolicyRule make(const char *file, const char *id, const char *address)
{
        PolicyRule rule = {.file = strdup(file)};
        const char *wanted;

        ck_assert_ptr_nonnull(rule.file);
        (void) snprintf(rule.id, sizeof(rule.id), "%s", id);
        ck_assert_int_eq(policy_match_set(&rule.match, POLICY_MATCH_ADDRESS, address, &wanted), 0);
        ck_assert_int_eq(policy_rule_add_known(&rule, "flr", true, "https://x", NULL), 0);
        return rule;
}

static void setup(void)
{
        static const char *const rules[][3] = {
                {DROPIN, "a", "0000:01:00.0"}, {DROPIN, "b", "0000:02:00.0"},  {STORED, "c", "0000:01:00.0"},
                {STORED, "d", "0000:02:00.0"}, {RUNTIME, "e", "0000:01:00.0"},
        };

        policy = policy_new();
        for (size_t i = 0; i < 5; i++) {
                PolicyRule rule = make(rules[i][0], rules[i][1], rules[i][2]);

                ck_assert_int_eq(policy_add(policy, &rule), 0);
        }
}

static void teardown(void)
{
        policy_free(policy);
}

/* The ids in order. The old ones must not have changed. */
static void check(Policy *edited, const char *ids)
{
        char seen[32] = "", before[32] = "";

        for (size_t i = 0; i < policy_n_rules(edited); i++)
                (void) strcat(seen, policy_rule(edited, i)->id);
        for (size_t i = 0; i < policy_n_rules(policy); i++)
                (void) strcat(before, policy_rule(policy, i)->id);
        ck_assert_str_eq(seen, ids);
        ck_assert_str_eq(before, "abcde");
        for (size_t i = 0; i < policy_n_rules(edited); i++)
                ck_assert_uint_eq(policy_rule(edited, i)->n_known, 1);
        policy_free(edited);
}

START_TEST(adds_in_its_place)
{
        PolicyRule stored = make(STORED, "x", "0000:03:00.0"), last = make(RUNTIME, "y", "0000:03:00.0");
        Policy *edited;

        ck_assert_int_eq(policy_edit(policy, NULL, &stored, RUNTIME, &edited), 0);
        check(edited, "abcdxe");
        ck_assert_int_eq(policy_edit(policy, NULL, &last, RUNTIME, &edited), 0);
        check(edited, "abcdey");
        ck_assert_int_eq(policy_edit(policy, NULL, &stored, "/none", &edited), 0);
        check(edited, "abcdex");
        policy_rule_done(&stored);
        policy_rule_done(&last);
}
END_TEST

START_TEST(takes_away_and_replaces)
{
        const PolicyRule *old = policy_find(policy, STORED, "c");
        PolicyRule again = make(STORED, "c", "0000:01:00.0");
        Policy *edited;

        ck_assert_ptr_nonnull(old);
        ck_assert_int_eq(policy_edit(policy, old, NULL, RUNTIME, &edited), 0);
        check(edited, "abde");
        /* What is set last wins over what was stored before. */
        ck_assert_int_eq(policy_edit(policy, old, &again, RUNTIME, &edited), 0);
        check(edited, "abdce");
        policy_rule_done(&again);
}
END_TEST

START_TEST(finds)
{
        PolicyRule wanted = make(STORED, "z", "0000:02:00.0");

        ck_assert_ptr_null(policy_find(policy, STORED, "a"));
        ck_assert_str_eq(policy_find_match(policy, STORED, &wanted.match)->id, "d");
        ck_assert_str_eq(policy_find_match(policy, DROPIN, &wanted.match)->id, "b");
        ck_assert_ptr_null(policy_find_match(policy, RUNTIME, &wanted.match));
        ck_assert_ptr_null(policy_find_match(policy, STORED, &(PolicyMatch){}));
        ck_assert_uint_eq(policy_count(policy, STORED), 2);
        policy_rule_done(&wanted);
}
END_TEST

START_TEST(merges_settings)
{
        PolicySettings to = {.set = 1U << POLICY_SETTLE_USEC | 1U << POLICY_ALLOW_LINK,
                             .settle_usec = 5,
                             .allow_link = true},
                       from = {.set = 1U << POLICY_SETTLE_USEC | 1U << POLICY_TIMEOUT_USEC,
                               .settle_usec = 7,
                               .timeout_usec = 9};

        policy_settings_merge(&to, &from);
        ck_assert_uint_eq(to.settle_usec, 7);
        ck_assert_uint_eq(to.timeout_usec, 9);
        ck_assert(to.allow_link);
        ck_assert_uint_eq(to.set,
                          1U << POLICY_SETTLE_USEC | 1U << POLICY_ALLOW_LINK | 1U << POLICY_TIMEOUT_USEC);
}
END_TEST

START_TEST(versions)
{
        PolicyRule rule = make(STORED, "x", "0000:03:00.0");
        char first[POLICY_VERSION_MAX], again[POLICY_VERSION_MAX], other[POLICY_VERSION_MAX];
        Policy *edited, *empty = policy_new();

        ck_assert_str_eq(policy_version(empty, other), "");
        ck_assert_uint_eq(strlen(policy_version(policy, first)), POLICY_VERSION_MAX - 1);
        ck_assert_int_eq(policy_edit(policy, NULL, NULL, RUNTIME, &edited), 0);
        ck_assert_str_eq(policy_version(edited, again), first);
        policy_free(edited);
        ck_assert_int_eq(policy_edit(policy, NULL, &rule, RUNTIME, &edited), 0);
        ck_assert_str_ne(policy_version(edited, other), first);
        policy_free(edited);
        rule.settings.set = 1U << POLICY_SETTLE_USEC;
        rule.settings.settle_usec = 1;
        ck_assert_int_eq(policy_edit(policy, NULL, &rule, RUNTIME, &edited), 0);
        ck_assert_str_ne(policy_version(edited, again), other);
        policy_free(edited);
        policy_free(empty);
        policy_rule_done(&rule);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("policy-edit");
        TCase *cases = tcase_create("edit");

        tcase_add_checked_fixture(cases, setup, teardown);
        tcase_add_test(cases, adds_in_its_place);
        tcase_add_test(cases, takes_away_and_replaces);
        tcase_add_test(cases, finds);
        tcase_add_test(cases, merges_settings);
        tcase_add_test(cases, versions);
        suite_add_tcase(suite, cases);
        return unit_run(suite);
}
