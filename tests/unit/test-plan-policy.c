/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What rules make of a plan: the ladder of each alias, what may still be asked for by name, and whose rules
 * count for a reset that disturbs several devices.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/domain/plan.h"
#include "unit.h"
#include "world.h"

#define TARGET "0000:01:00.0"
#define OTHER  "0000:01:00.1"
#define BRIDGE "0000:00:01.0"

static World world;
static Policy *policy;

/* A card with two functions below one port, which can reset all below it. */
static void setup(void)
{
        world_init(&world);
        world_add_bridge(&world, BRIDGE, NULL);
        world_add(&world, TARGET, BRIDGE, "", "acpi flr pm bus");
        world_add(&world, OTHER, BRIDGE, "", "flr");
        world_offer_all(&world, TARGET, "7");
        policy = policy_new();
        ck_assert_ptr_nonnull(policy);
}

static void teardown(void)
{
        policy_free(policy);
        world_done(&world);
}

/* One rule in the words of the table below: `on` is an address or NULL. */
typedef struct Words {
        const char *on, *methods, *forbid, *bad, *good;
        bool no_link;
} Words;

static void read_list(PolicySettings *settings, PolicyKey key, const char *names, ResetMethodList *list)
{
        if (!names)
                return;
        settings->set |= 1U << key;
        ck_assert_int_eq(reset_method_list_parse(names, list), 0);
}

static void add_rule(const Words *words, unsigned number)
{
        PolicyRule rule = {.file = strdup("/etc/50.json")};
        const char *wanted;

        ck_assert_ptr_nonnull(rule.file);
        (void) snprintf(rule.id, sizeof(rule.id), "r%u", number);
        if (words->on)
                ck_assert_int_eq(policy_match_set(&rule.match, POLICY_MATCH_ADDRESS, words->on, &wanted), 0);
        read_list(&rule.settings, POLICY_METHODS, words->methods, &rule.settings.methods);
        read_list(&rule.settings, POLICY_FORBID, words->forbid, &rule.settings.forbid);
        if (words->no_link)
                rule.settings.set |= 1U << POLICY_ALLOW_LINK;
        if (words->bad)
                ck_assert_int_eq(policy_rule_add_known(&rule, words->bad, true, "https://x", NULL), 0);
        if (words->good)
                ck_assert_int_eq(policy_rule_add_known(&rule, words->good, false, "https://x", NULL), 0);
        ck_assert_int_eq(policy_add(policy, &rule), 0);
}

static void rules_hold(void)
{
        registry_set_policy(world.registry, policy, "6.12.57");
        policy = NULL;
}

/* "METHOD" of each rung, with "!" and the rule's id before the methods that cannot be used. */
static void describe(const Plan *plan, char *buffer, size_t size)
{
        size_t n = 0;

        buffer[0] = '\0';
        for (size_t i = 0; i < plan->n_rungs && n < size; i++) {
                const Rung *rung = &plan->rungs[i];

                n += (size_t) snprintf(buffer + n, size - n, "%s%s%s%s%s", i > 0 ? " " : "",
                                       rung->why & WHY_POLICY_MASK ? "!" : "", rung->method,
                                       rung->rule ? ":" : "", rung->rule ? rung->rule->id : "");
        }
}

typedef struct Case {
        Words rules[3];
        const char *method, *ladder; /* `any` unless said otherwise */
        const char *workaround; /* the rule's id */
} Case;

static const Case cases[] = {
        /* Without rules, and with those that say nothing about it. */
        {.ladder = "acpi flr pm bus subordinate slot"},
        {.rules = {{.on = OTHER, .methods = "bus"}}, .ladder = "acpi flr pm bus subordinate slot"},

        /* An order, to the letter; what it has not comes after it and is not used. */
        {.rules = {{.methods = "bus flr"}},
         .ladder = "bus flr !acpi:r0 !pm:r0 !subordinate:r0 !slot:r0",
         .workaround = "r0"},
        {.rules = {{.methods = "bus flr"}},
         .method = "link",
         .ladder = "bus !subordinate:r0 !slot:r0",
         .workaround = "r0"},
        {.rules = {{.methods = "bus flr"}},
         .method = "function",
         .ladder = "flr !acpi:r0 !pm:r0",
         .workaround = "r0"},
        {.rules = {{.methods = "flr"}, {.methods = "pm"}},
         .ladder = "pm !acpi:r1 !flr:r1 !bus:r1 !subordinate:r1 !slot:r1",
         .workaround = "r1"},
        /* A last resort, since it is named. */
        {.rules = {{.methods = "rescan"}},
         .ladder = "rescan !acpi:r0 !flr:r0 !pm:r0 !bus:r0 !subordinate:r0 !slot:r0",
         .workaround = "r0"},
        /* By name it may still be had. */
        {.rules = {{.methods = "bus"}}, .method = "flr", .ladder = "flr:r0"},

        /* What is forbidden, by name too. */
        {.rules = {{.forbid = "flr acpi"}},
         .ladder = "pm bus subordinate slot !acpi:r0 !flr:r0",
         .workaround = "r0"},
        {.rules = {{.forbid = "flr"}}, .method = "flr", .ladder = "!flr:r0"},
        {.rules = {{.forbid = "flr"}, {.forbid = "pm"}}, .method = "flr", .ladder = "flr"},
        {.rules = {{.methods = "flr pm"}, {.forbid = "flr"}},
         .ladder = "pm !flr:r1 !acpi:r0 !bus:r0 !subordinate:r0 !slot:r0",
         .workaround = "r0"},

        /* Nothing but the function; of a reset of the link each device has a say. */
        {.rules = {{.no_link = true}},
         .ladder = "acpi flr pm !bus:r0 !subordinate:r0 !slot:r0",
         .workaround = "r0"},
        {.rules = {{.no_link = true}}, .method = "rescan", .ladder = "!rescan:r0"},
        {.rules = {{.on = OTHER, .no_link = true}}, .method = "subordinate", .ladder = "!subordinate:r0"},
        {.rules = {{.on = OTHER, .forbid = "slot"}}, .method = "slot", .ladder = "!slot:r0"},
        {.rules = {{.on = OTHER, .forbid = "flr"}}, .method = "flr", .ladder = "flr"},
        /* The port is no device of anybody's. */
        {.rules = {{.on = BRIDGE, .no_link = true}}, .method = "subordinate", .ladder = "subordinate"},

        /* What is known to do harm: not by itself, but by name, or if an order names it. */
        {.rules = {{.bad = "flr"}}, .ladder = "acpi pm bus subordinate slot !flr:r0", .workaround = "r0"},
        {.rules = {{.bad = "flr"}}, .method = "flr", .ladder = "flr:r0"},
        {.rules = {{.bad = "flr"}, {.methods = "flr"}},
         .ladder = "flr !acpi:r1 !pm:r1 !bus:r1 !subordinate:r1 !slot:r1",
         .workaround = "r1"},
        {.rules = {{.bad = "flr"}, {.good = "flr"}}, .ladder = "acpi flr pm bus subordinate slot"},
        {.rules = {{.on = OTHER, .bad = "slot"}}, .method = "link", .ladder = "bus subordinate !slot:r0"},
};

START_TEST(ladders)
{
        const Case *c = &cases[_i];
        const PlanOptions options = {};
        char seen[256];
        Plan *plan;

        for (unsigned i = 0; i < ELEMENTSOF(c->rules); i++)
                if (c->rules[i].methods || c->rules[i].forbid || c->rules[i].bad || c->rules[i].good ||
                    c->rules[i].no_link)
                        add_rule(&c->rules[i], i);
        rules_hold();
        ck_assert_int_eq(
                plan_make(world_find(&world, TARGET), c->method ? c->method : "any", &options, &plan), 0);
        describe(plan, seen, sizeof(seen));
        ck_assert_str_eq(seen, c->ladder);
        ck_assert_str_eq(plan->workaround ? plan->workaround->id : "", c->workaround ? c->workaround : "");
        plan_free(plan);
}
END_TEST

/* The action that goes with it, for whatever is disturbed. */
/* A ladder is made once; by the time of its last rung the rules may be others. */
START_TEST(last_resort_that_is_named_no_more)
{
        static const Words words = {.on = TARGET, .methods = "flr rescan"};
        PlanOptions options = {.aliased = true};
        Plan *plan;

        ck_assert_int_eq(plan_make(world_find(&world, TARGET), "rescan", &options, &plan), 0);
        ck_assert_uint_eq(plan->rungs[0].why & WHY_POLICY_MASK, WHY_NOT_LISTED);
        plan_free(plan);

        options.aliased = false;
        ck_assert_int_eq(plan_make(world_find(&world, TARGET), "rescan", &options, &plan), 0);
        ck_assert_uint_eq(plan->rungs[0].why & WHY_POLICY_MASK, 0);
        plan_free(plan);

        options.aliased = true;
        add_rule(&words, 0);
        rules_hold();
        ck_assert_int_eq(plan_make(world_find(&world, TARGET), "rescan", &options, &plan), 0);
        ck_assert_uint_eq(plan->rungs[0].why & WHY_POLICY_MASK, 0);
        plan_free(plan);
}
END_TEST

START_TEST(known_bad_has_its_action)
{
        static const struct {
                Words rules[2];
                const char *method;
                unsigned actions;
        } table[] = {
                {{{.bad = "flr"}}, "flr", ACTION_RESET | ACTION_RESET_KNOWN_BAD},
                {{{.bad = "flr"}}, "pm", ACTION_RESET},
                {{{.bad = "flr"}, {.methods = "flr"}}, "flr", ACTION_RESET | ACTION_RESET_KNOWN_BAD},
                {{{.bad = "flr"}, {.good = "flr"}}, "flr", ACTION_RESET},
                {{{.on = OTHER, .bad = "flr"}}, "flr", ACTION_RESET},
                {{{.on = OTHER, .bad = "subordinate"}},
                 "subordinate",
                 ACTION_RESET_SHARED | ACTION_RESET_KNOWN_BAD},
        };
        const PlanOptions options = {};
        Plan *plan;

        for (unsigned i = 0; i < ELEMENTSOF(table[_i].rules); i++)
                if (table[_i].rules[i].bad || table[_i].rules[i].good || table[_i].rules[i].methods)
                        add_rule(&table[_i].rules[i], i);
        rules_hold();
        ck_assert_int_eq(plan_make(world_find(&world, TARGET), table[_i].method, &options, &plan), 0);
        ck_assert_uint_eq(plan->rungs[0].why & ~(unsigned) WHY_SIBLINGS, 0);
        ck_assert_uint_eq(plan->rungs[0].actions, table[_i].actions);
        plan_free(plan);
}
END_TEST

typedef struct Drivers {
        const char *target, *other; /* what rules say, NULL: nothing */
        bool is_other_bound, in_use;
        const char *method;
        bool usable, rebinds;
} Drivers;

static const Drivers drivers[] = {
        {NULL, NULL, false, false, "flr", false, false},
        {NULL, NULL, false, true, "flr", true, true},
        {"refuse", NULL, false, false, "flr", false, false},
        {"rebind", NULL, false, false, "flr", true, true},
        {"keep", NULL, false, false, "flr", true, false},
        /* Kept, even if the caller would have it taken off. */
        {"keep", NULL, false, true, "flr", true, false},
        {"rebind", NULL, false, true, "flr", true, true},
        /* It goes by itself. */
        {"rebind", NULL, false, false, "slot", true, false},
        /* Each of the set has its own rule, and the strictest counts. */
        {"rebind", NULL, true, false, "subordinate", false, false},
        {"rebind", "keep", true, false, "subordinate", true, true},
        {"keep", "keep", true, false, "subordinate", true, false},
        {"keep", NULL, true, true, "subordinate", true, true},
        {"keep", NULL, true, false, "flr", true, false},
};

static void set_driver(const char *address, const char *value, unsigned number)
{
        PolicyRule rule = {.file = strdup("/etc/50.json")};
        const char *wanted;

        (void) snprintf(rule.id, sizeof(rule.id), "r%u", number);
        ck_assert_int_eq(policy_match_set(&rule.match, POLICY_MATCH_ADDRESS, address, &wanted), 0);
        rule.settings.set = 1U << POLICY_DRIVER;
        rule.settings.driver = (PolicyDriver) policy_driver_from_string(value);
        ck_assert_int_eq(policy_add(policy, &rule), 0);
}

/* What to do with a host driver that does not know resets. The action is that of a device in use. */
START_TEST(drivers_are_kept_or_rebound)
{
        const Drivers *c = &drivers[_i];
        const PlanOptions options = {.in_use = c->in_use};
        Plan *plan;

        world_bind(&world, TARGET, "e1000e");
        world_find(&world, TARGET)->use.known = true;
        if (c->is_other_bound) {
                world_bind(&world, OTHER, "e1000e");
                world_find(&world, OTHER)->use.known = true;
        }
        if (c->target)
                set_driver(TARGET, c->target, 0);
        if (c->other)
                set_driver(OTHER, c->other, 1);
        rules_hold();
        ck_assert_int_eq(plan_make(world_find(&world, TARGET), c->method, &options, &plan), 0);
        ck_assert_uint_eq(plan->rungs[0].why, c->usable ? 0 : WHY_DRIVER_BOUND);
        ck_assert(plan->rungs[0].rebind == c->rebinds || !c->usable);
        ck_assert(plan->rungs[0].actions & ACTION_RESET_IN_USE);
        plan_free(plan);
}
END_TEST

/* A rule about the driver is none about those who use the device. */
START_TEST(drivers_and_holders)
{
        const PlanOptions options = {};
        Plan *plan;

        world_bind(&world, TARGET, "e1000e");
        world_hold(&world, TARGET, HOLDER_INTERFACE);
        set_driver(TARGET, "rebind", 0);
        rules_hold();
        ck_assert_int_eq(plan_make(world_find(&world, TARGET), "flr", &options, &plan), 0);
        ck_assert_uint_eq(plan->rungs[0].why, WHY_HELD);
        plan_free(plan);
}
END_TEST

/* Another driver may be another rule's business; so may another policy. */
START_TEST(follows_driver_and_policy)
{
        PolicyRule rule = {.file = strdup("/etc/50.json"), .id = "assigned"};
        const char *wanted;
        Device *device = world_find(&world, TARGET);

        ck_assert_int_eq(policy_match_set(&rule.match, POLICY_MATCH_ASSIGNED, "true", &wanted), 0);
        read_list(&rule.settings, POLICY_METHODS, "bus", &rule.settings.methods);
        ck_assert_int_eq(policy_add(policy, &rule), 0);
        rules_hold();
        ck_assert_uint_eq(registry_policy_of(device)->settings.methods.n, 0);
        world_bind(&world, TARGET, "vfio-pci");
        ck_assert_uint_eq(registry_policy_of(device)->settings.methods.n, 1);
        world_bind(&world, TARGET, "");
        ck_assert_uint_eq(registry_policy_of(device)->settings.methods.n, 0);
        world_bind(&world, TARGET, "vfio-pci");
        registry_set_policy(world.registry, policy_new(), "6.12.57");
        ck_assert_uint_eq(registry_policy_of(device)->settings.methods.n, 0);
}
END_TEST

/* What is the same for all is there once, and stays with those for which it still holds. */
START_TEST(is_shared)
{
        PolicyRule rule = {.file = strdup("/etc/50.json"), .id = "assigned"};
        Device *target = world_find(&world, TARGET), *bridge = world_find(&world, BRIDGE);
        const EffectivePolicy *plain;
        const char *wanted;

        ck_assert_int_eq(policy_match_set(&rule.match, POLICY_MATCH_ASSIGNED, "true", &wanted), 0);
        read_list(&rule.settings, POLICY_METHODS, "bus", &rule.settings.methods);
        ck_assert_int_eq(policy_add(policy, &rule), 0);
        rules_hold();
        plain = registry_policy_of(bridge);
        ck_assert_ptr_eq(registry_policy_of(target), plain);
        world_bind(&world, TARGET, "vfio-pci");
        ck_assert_ptr_ne(registry_policy_of(target), plain);
        ck_assert_uint_eq(registry_policy_of(target)->settings.methods.n, 1);
        ck_assert_ptr_eq(registry_policy_of(bridge), plain);
        ck_assert_uint_eq(plain->settings.methods.n, 0);
        world_bind(&world, TARGET, "");
        ck_assert_ptr_eq(registry_policy_of(target), plain);
}
END_TEST

/* Rules and edges change over together. */
START_TEST(is_taken_over_whole)
{
        const PciAddress a = at(TARGET), b = at(BRIDGE);
        Registry *read;
        size_t cursor = 0;

        ck_assert_int_eq(registry_add_edge(world.registry, &a, &b), 0);
        add_rule(&(Words){.forbid = "flr"}, 0);
        rules_hold();
        ck_assert_int_eq(registry_new(&read), 0);
        policy = policy_new();
        add_rule(&(Words){.forbid = "pm"}, 0);
        registry_set_policy(read, policy, "6.12.57");
        policy = NULL;
        registry_take_policy(world.registry, read);
        registry_free(read);
        ck_assert_ptr_null(registry_next_edge(world.registry, world_find(&world, TARGET), &cursor));
        ck_assert_str_eq(registry_policy_of(world_find(&world, TARGET))->settings.forbid.names[0], "pm");
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("plan-policy");
        TCase *plans = tcase_create("plans");

        tcase_add_checked_fixture(plans, setup, teardown);
        tcase_add_loop_test(plans, ladders, 0, (int) ELEMENTSOF(cases));
        tcase_add_test(plans, last_resort_that_is_named_no_more);
        tcase_add_loop_test(plans, known_bad_has_its_action, 0, 6);
        tcase_add_loop_test(plans, drivers_are_kept_or_rebound, 0, (int) ELEMENTSOF(drivers));
        tcase_add_test(plans, drivers_and_holders);
        tcase_add_test(plans, follows_driver_and_policy);
        tcase_add_test(plans, is_shared);
        tcase_add_test(plans, is_taken_over_whole);
        suite_add_tcase(suite, plans);
        return unit_run(suite);
}
