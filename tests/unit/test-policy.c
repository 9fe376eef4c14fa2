/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What a rule may have; and the merge of rules, against another that is too simple to be wrong.
 */

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "daemon/domain/policy.h"
#include "policy-bed.h"
#include "shared/cleanup.h"
#include "unit.h"

/* ---- what a rule may have ---- */

START_TEST(ids)
{
        static const struct {
                const char *id;
                bool valid;
        } table[] = {
                {"a", true},
                {"nvidia-assigned.2_X", true},
                {"", false},
                {"a b", false},
                {"a/b", false},
                {"\xc3\xa4", false},
                {"a\n", false},
                {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", true},
                {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", false},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                ck_assert_msg(policy_rule_id_is_valid(table[i].id) == table[i].valid, "%s", table[i].id);
}
END_TEST

START_TEST(lists)
{
        ResetMethodList methods = {};

        ck_assert_int_eq(policy_list_add(&methods, "flr"), 0);
        ck_assert_int_eq(policy_list_add(&methods, "flr"), -EEXIST);
        ck_assert_int_eq(policy_list_add(&methods, "fler"), -EINVAL);
        ck_assert_int_eq(policy_list_add(&methods, "any"), -EINVAL);
        ck_assert_int_eq(policy_list_add(&methods, ""), -EINVAL);
        ck_assert_uint_eq(methods.n, 1);
        methods.n = RESET_METHODS_MAX;
        ck_assert_int_eq(policy_list_add(&methods, "bus"), -E2BIG);
}
END_TEST

START_TEST(knowledge_has_a_source)
{
        PolicyRule rule = rule_new("a");
        char source[POLICY_SOURCE_MAX + 1];

        memset(source, 'x', sizeof(source));
        source[POLICY_SOURCE_MAX] = '\0';
        ck_assert_int_eq(policy_rule_add_known(&rule, "bus", true, "", NULL), -EINVAL);
        ck_assert_int_eq(policy_rule_add_known(&rule, "bus", true, source, NULL), -EINVAL);
        ck_assert_int_eq(policy_rule_add_known(&rule, "buss", true, "x", NULL), -EINVAL);
        ck_assert_int_eq(policy_rule_add_known(&rule, "bus", true, "x", "6.6.."), 0);
        ck_assert_int_eq(policy_rule_add_known(&rule, "bus", true, "x", "6.12..6.6"), -EINVAL);
        ck_assert_uint_eq(rule.n_known, 1);
        source[POLICY_SOURCE_MAX - 1] = '\0';
        for (size_t i = 1; i < POLICY_KNOWN_MAX; i++)
                ck_assert_int_eq(policy_rule_add_known(&rule, "bus", true, source, NULL), 0);
        ck_assert_int_eq(policy_rule_add_known(&rule, "bus", true, "x", NULL), -E2BIG);
        policy_rule_done(&rule);
}
END_TEST

START_TEST(ids_are_of_a_file)
{
        PolicyRule rule = rule_new("a");

        add(rule_new("a"));
        add(rule_new("b"));
        ck_assert_int_eq(policy_add(policy, &rule), -EEXIST);
        ck_assert_str_eq(rule.id, "a");
        free(rule.file);
        rule.file = strdup("/run/60.json");
        ck_assert_int_eq(policy_add(policy, &rule), 0);
        rule = rule_new("not good");
        ck_assert_int_eq(policy_add(policy, &rule), -EINVAL);
        policy_rule_done(&rule);
        ck_assert_uint_eq(policy_n_rules(policy), 3);
        ck_assert_str_eq(policy_rule(policy, 1)->id, "b");
        ck_assert_str_eq(policy_rule(policy, 2)->file, "/run/60.json");
}
END_TEST

START_TEST(rules_are_bounded)
{
        PolicyRule rule;
        char id[16];

        for (size_t i = 0; i < POLICY_RULES_MAX; i++) {
                (void) snprintf(id, sizeof(id), "%zu", i);
                add(rule_new(id));
        }
        rule = rule_new("more");
        ck_assert_int_eq(policy_add(policy, &rule), -E2BIG);
        policy_rule_done(&rule);
}
END_TEST

/* ---- the merge ---- */

START_TEST(defaults)
{
        PolicyRule rule = rule_new("other");
        const char *wanted;

        set_allow_link(&rule, false);
        ck_assert_int_eq(policy_match_set(&rule.match, POLICY_MATCH_DRIVER, "ahci", &wanted), 0);
        add(rule);
        merge();
        ck_assert(effective.settings.allow_link && !effective.settings.kernel_order &&
                  !effective.settings.require_clean);
        ck_assert_int_eq(effective.settings.driver, POLICY_DRIVER_REFUSE);
        ck_assert_int_eq(effective.settings.on_release, POLICY_ON_RELEASE_NONE);
        ck_assert_int_eq(effective.settings.on_error, POLICY_ON_ERROR_NOTIFY);
        ck_assert_uint_eq(effective.settings.set, 0);
        ck_assert_uint_eq(effective.settings.methods.n + effective.settings.forbid.n, 0);
        ck_assert_uint_eq(effective.settings.settle_usec + effective.settings.timeout_usec, 0);
        for (PolicyKey key = 0; key < POLICY_KEY_N; key++)
                ck_assert_ptr_null(effective.origin[key]);
        ck_assert_uint_eq(effective.n_findings, 0);
}
END_TEST

/* Random rules about random devices. What a key is, is made a text of, and each rule sets it to one that no
 * other rule has, as far as there are as many values. */
static const char *describe(const PolicySettings *s, PolicyKey key)
{
        static char text[2][RESET_METHOD_LIST_STRING_MAX];
        static unsigned turn;
        char *buffer = text[turn++ % 2];

        switch (key) {
        case POLICY_METHODS:
                return reset_method_list_format(&s->methods, buffer);
        case POLICY_FORBID:
                return reset_method_list_format(&s->forbid, buffer);
        case POLICY_ALLOW_LINK:
                return s->allow_link ? "true" : "false";
        case POLICY_DRIVER:
                return policy_driver_to_string(s->driver);
        case POLICY_KERNEL_ORDER:
                return s->kernel_order ? "true" : "false";
        case POLICY_ON_RELEASE:
                return policy_on_release_to_string(s->on_release);
        case POLICY_REQUIRE_CLEAN:
                return s->require_clean ? "true" : "false";
        case POLICY_ON_ERROR:
                return policy_on_error_to_string(s->on_error);
        case POLICY_SETTLE_USEC:
                (void) sprintf(buffer, "%llu", (unsigned long long) s->settle_usec);
                return buffer;
        case POLICY_TIMEOUT_USEC:
                (void) sprintf(buffer, "%llu", (unsigned long long) s->timeout_usec);
                return buffer;
        default:
                ck_abort();
        }
}

static unsigned seed;

static unsigned any(unsigned n)
{
        return (unsigned) rand_r(&seed) % n;
}

static ResetMethodList any_list(void)
{
        static const char *const names[] = {"flr", "pm", "bus", "slot", "rescan"};
        ResetMethodList result = {};

        for (unsigned i = any(4); i > 0; i--)
                (void) policy_list_add(&result, names[any(ELEMENTSOF(names))]);
        return result;
}

static void any_settings(PolicySettings *settings)
{
        *settings = (PolicySettings){
                .set = any(1U << POLICY_KEY_N),
                .methods = any_list(),
                .forbid = any_list(),
                .allow_link = any(2),
                .kernel_order = any(2),
                .require_clean = any(2),
                .driver = any(3),
                .on_release = any(2),
                .on_error = any(3),
                .settle_usec = any(1000),
                .timeout_usec = any(1000),
        };
}

static const char *const pool[POLICY_MATCH_N][3] = {
        [POLICY_MATCH_ADDRESS] = {"0000:01:*", "0000:0[12]:00.?", "*.1"},
        [POLICY_MATCH_MODALIAS] = {"pci:v000010DE*", "*bc01*", "*"},
        [POLICY_MATCH_DRIVER] = {"nvme", "", "vfio*"},
        [POLICY_MATCH_CLASS] = {"01*", "0108??", "030000"},
        [POLICY_MATCH_ASSIGNED] = {"true", "false", "true"},
        [POLICY_MATCH_KERNEL] = {"6.12.*", "6.*", "5.1?.*"},
};

static PolicyRule any_rule(size_t index)
{
        PolicyRule rule;
        char id[16];
        const char *wanted;

        (void) snprintf(id, sizeof(id), "r%zu", index);
        rule = rule_new(id);
        any_settings(&rule.settings);
        for (PolicyMatchKey key = 0; key < POLICY_MATCH_N; key++)
                if (any(4) == 0)
                        ck_assert_int_eq(policy_match_set(&rule.match, key, pool[key][any(3)], &wanted), 0);
        for (unsigned i = any(3); i > 0; i--)
                know(&rule, any(2) ? "flr" : "bus", any(2),
                     any(2) ? pool[POLICY_MATCH_KERNEL][any(3)] : NULL);
        return rule;
}

typedef struct Case {
        DeviceFacts facts;
        const char *kernel;
        char texts[POLICY_MATCH_N][96]; /* what the globs of each key are about */
} Case;

static Case any_case(void)
{
        static const char *const drivers[] = {"nvme", "", "vfio-pci", "nouveau"};
        static const char *const kernels[] = {"6.12.57", "6.6.1", "5.15.0", "5.4.0"};
        Case c = {.kernel = kernels[any(4)]};
        DeviceFacts *facts = &c.facts;

        facts->address.bus = (uint8_t) (1 + any(3));
        facts->address.function = (uint8_t) any(2);
        facts->vendor = any(2) ? 0x10de : 0x144d;
        facts->class = any(2) ? 0x010802 : 0x030000;
        (void) snprintf(facts->driver, sizeof(facts->driver), "%s", drivers[any(4)]);
        (void) sprintf(c.texts[POLICY_MATCH_ADDRESS], "0000:%02x:00.%x", facts->address.bus,
                       facts->address.function);
        (void) sprintf(c.texts[POLICY_MATCH_MODALIAS], "pci:v%08Xd00000000sv00000000sd00000000bc%s",
                       facts->vendor, facts->class == 0x010802 ? "01sc08i02" : "03sc00i00");
        (void) sprintf(c.texts[POLICY_MATCH_DRIVER], "%s", facts->driver);
        (void) sprintf(c.texts[POLICY_MATCH_CLASS], "%s", facts->class == 0x010802 ? "010802" : "030000");
        (void) sprintf(c.texts[POLICY_MATCH_ASSIGNED], "%s",
                       strcmp(facts->driver, "vfio-pci") == 0 ? "true" : "false");
        (void) sprintf(c.texts[POLICY_MATCH_KERNEL], "%s", c.kernel);
        return c;
}

/* Here all patterns are globs, and the shell's matcher decides. */
static bool is_about(const PolicyRule *rule, const Case *c)
{
        for (PolicyMatchKey key = 0; key < POLICY_MATCH_N; key++)
                if (rule->match.set & 1U << key &&
                    fnmatch(rule->match.patterns[key], c->texts[key], FNM_NOESCAPE) != 0)
                        return false;
        return true;
}

/* From the last rule to the first: the first that is found to set the key. */
static const PolicyRule *who_sets(const Case *c, PolicyKey key)
{
        for (size_t i = policy_n_rules(policy); i > 0; i--) {
                const PolicyRule *rule = policy_rule(policy, i - 1);

                if (is_about(rule, c) && rule->settings.set & 1U << key)
                        return rule;
        }
        return NULL;
}

/* The same, and within one rule bad before good, first before later. */
static const PolicyKnown *who_knows(const Case *c, const char *method)
{
        for (size_t i = policy_n_rules(policy); i > 0; i--) {
                const PolicyRule *rule = policy_rule(policy, i - 1);

                for (int bad = 1; bad >= 0 && is_about(rule, c); bad--)
                        for (size_t k = 0; k < rule->n_known; k++)
                                if (strcmp(rule->known[k].method, method) == 0 &&
                                    rule->known[k].bad == bad &&
                                    (rule->known[k].kernel[0] == '\0' ||
                                     fnmatch(rule->known[k].kernel, c->kernel, FNM_NOESCAPE) == 0))
                                        return &rule->known[k];
        }
        return NULL;
}

static void compare(const Case *c)
{
        static const PolicySettings unset = {.allow_link = true};
        size_t n_known = 0;

        for (PolicyKey key = 0; key < POLICY_KEY_N; key++) {
                const PolicyRule *rule = who_sets(c, key);

                ck_assert_ptr_eq(effective.origin[key], rule);
                ck_assert_int_eq((effective.settings.set >> key) & 1U, rule != NULL);
                ck_assert_str_eq(describe(&effective.settings, key),
                                 describe(rule ? &rule->settings : &unset, key));
        }
        for (int i = 0; i < 2; i++) {
                const PolicyKnown *known = who_knows(c, i ? "flr" : "bus");
                const PolicyFinding *finding = policy_finding(&effective, i ? "flr" : "bus");

                ck_assert_int_eq(finding != NULL, known != NULL);
                n_known += known != NULL;
                if (known)
                        ck_assert_ptr_eq(finding->known, known);
        }
        ck_assert_uint_eq(effective.n_findings, n_known);
}

START_TEST(merge_is_the_naive_one)
{
        unsigned n_set = 0;

        for (unsigned round = 0; round < 500; round++) {
                seed = (unsigned) _i * 1000 + round;
                for (unsigned i = 0, n = any(12); i < n; i++)
                        add(any_rule(i));
                for (int k = 0; k < 4; k++) {
                        Case c = any_case();
                        PolicySubject subject;

                        policy_subject_init(&subject, &c.facts, c.kernel);
                        policy_merge(policy, &subject, &effective);
                        compare(&c);
                        n_set += (unsigned) __builtin_popcount(effective.settings.set);
                }
                policy_free(policy);
                policy_bed_setup();
        }
        /* Of 20000 keys. */
        ck_assert_uint_gt(n_set, 2000);
        ck_assert_uint_lt(n_set, 18000);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("policy");
        TCase *tcase = tcase_create("policy");

        tcase_add_checked_fixture(tcase, policy_bed_setup, policy_bed_teardown);
        tcase_add_test(tcase, ids);
        tcase_add_test(tcase, lists);
        tcase_add_test(tcase, knowledge_has_a_source);
        tcase_add_test(tcase, ids_are_of_a_file);
        tcase_add_test(tcase, rules_are_bounded);
        tcase_add_test(tcase, defaults);
        tcase_add_loop_test(tcase, merge_is_the_naive_one, 0, 4);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
