/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What happened on a kind of hardware, and what becomes of the ladder by that. */

#include <stdio.h>
#include <string.h>

#include "daemon/domain/plan.h"
#include "unit.h"
#include "world.h"

#define TARGET "0000:01:00.0"
#define BRIDGE "0000:00:01.0"

static World world;
static Proven *proven;

static void setup(void)
{
        world_init(&world);
        world_add_bridge(&world, BRIDGE, NULL);
        world_add(&world, TARGET, BRIDGE, "", "acpi flr pm bus");
        ck_assert_int_eq(proven_new(&proven), 0);
}

static void teardown(void)
{
        proven_free(proven);
        world_done(&world);
}

static void note(const char *method, Verdict verdict)
{
        const Device *target = world_find(&world, TARGET);

        proven_note(proven, target->facts.vendor, target->facts.device, method, verdict, 1000, 1);
}

static void check_ladder(const char *alias, const Proven *known, const char *expected)
{
        const PlanOptions options = {.proven = known};
        char seen[128] = "";
        Plan *plan;

        ck_assert_int_eq(plan_make(world_find(&world, TARGET), alias, &options, &plan), 0);
        for (size_t i = 0; i < plan->n_rungs; i++) {
                size_t n = strlen(seen);

                (void) snprintf(seen + n, sizeof(seen) - n, "%s%s", i > 0 ? " " : "", plan->rungs[i].method);
        }
        ck_assert_str_eq(seen, expected);
        plan_free(plan);
}

/* What was noted, as M+ (well), M? (nothing proved) or M! (dead), and the ladders after that. */
static const struct {
        const char *notes, *any, *function;
} cases[] = {
        {"", "acpi flr pm bus", "acpi flr pm"},
        {"acpi+ bus+", "acpi flr pm bus", "acpi flr pm"},
        {"acpi?", "flr pm bus acpi", "flr pm acpi"},
        {"acpi!", "flr pm bus acpi", "flr pm acpi"},
        {"acpi? acpi+", "acpi flr pm bus", "acpi flr pm"},
        {"acpi+ acpi! acpi?", "acpi flr pm bus", "acpi flr pm"},
        {"bus? flr?", "acpi pm flr bus", "acpi pm flr"},
        {"acpi? flr! pm? bus?", "acpi flr pm bus", "acpi flr pm"},
};

START_TEST(what_never_worked_comes_last)
{
        char notes[64], *saved = NULL;

        (void) snprintf(notes, sizeof(notes), "%s", cases[_i].notes);
        for (char *word = strtok_r(notes, " ", &saved); word; word = strtok_r(NULL, " ", &saved)) {
                char *mark = word + strlen(word) - 1, what = *mark;

                *mark = '\0';
                note(word, what == '+' ? VERDICT_OK : what == '!' ? VERDICT_DEAD : VERDICT_UNVERIFIED);
        }
        check_ladder("any", proven, cases[_i].any);
        check_ladder("function", proven, cases[_i].function);
        check_ladder("any", NULL, "acpi flr pm bus");
}
END_TEST

START_TEST(other_hardware_says_nothing)
{
        const Device *target = world_find(&world, TARGET);

        proven_note(proven, target->facts.vendor, (uint16_t) (target->facts.device + 1), "acpi",
                    VERDICT_DEAD, 1000, 1);
        check_ladder("any", proven, "acpi flr pm bus");
}
END_TEST

/* Whoever writes an order knows better; forbidding something is no order. */
START_TEST(an_order_is_followed)
{
        Policy *policy = policy_new();
        PolicyRule rule = {.file = strdup("/etc/50.json"), .id = "r"};

        ck_assert_ptr_nonnull(policy);
        note("flr", VERDICT_UNVERIFIED);
        rule.settings.set = 1U << (_i == 0 ? POLICY_METHODS : POLICY_FORBID);
        ck_assert_int_eq(reset_method_list_parse(_i == 0 ? "flr bus pm" : "acpi",
                                                 _i == 0 ? &rule.settings.methods : &rule.settings.forbid),
                         0);
        ck_assert_int_eq(policy_add(policy, &rule), 0);
        registry_set_policy(world.registry, policy, "6.12.57");
        /* Last is what the policy keeps out. */
        check_ladder("any", proven, _i == 0 ? "flr bus pm acpi" : "pm bus flr acpi");
}
END_TEST

START_TEST(failing)
{
        static const struct {
                ProvenFacts facts;
                bool failing;
        } table[] = {
                {{}, false},
                {{.tries = 1}, true},
                {{.tries = 3, .dead = 3}, true},
                {{.tries = 100, .ok = 1, .dead = 99}, false},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                ck_assert_int_eq(proven_is_failing(&table[i].facts), table[i].failing);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("plan-proven");
        TCase *tcase = tcase_create("plan-proven");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_loop_test(tcase, what_never_worked_comes_last, 0, (int) ELEMENTSOF(cases));
        tcase_add_test(tcase, other_hardware_says_nothing);
        tcase_add_loop_test(tcase, an_order_is_followed, 0, 2);
        tcase_add_test(tcase, failing);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
