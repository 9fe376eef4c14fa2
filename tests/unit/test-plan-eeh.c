/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Devices in partitionable endpoints (EEH): who is thawed together, what a frozen one may still be asked
 * for, and where `thaw` stands in a ladder.
 */

#include <stdio.h>
#include <string.h>

#include "daemon/domain/plan.h"
#include "unit.h"
#include "world.h"

#define CARD      "0000:01:00.0"
#define SIBLING   "0000:01:00.1"
#define ELSEWHERE "0000:02:00.0" /* in the same endpoint, below another bridge */
#define STRANGER  "0001:02:00.0" /* of the same endpoint's address in another domain */
#define OTHER     "0000:02:00.1" /* in another endpoint */

static World world;

static Device *device(const char *address)
{
        return world_find(&world, address);
}

static void put(const char *address, uint32_t endpoint)
{
        device(address)->facts.has_endpoint = true;
        device(address)->facts.endpoint = endpoint;
}

static void setup(void)
{
        static const char *const addresses[] = {CARD, SIBLING, ELSEWHERE, STRANGER, OTHER};

        world_init(&world);
        world_add_bridge(&world, "0000:00:01.0", NULL);
        world_add_bridge(&world, "0000:00:02.0", NULL);
        world_add(&world, CARD, "0000:00:01.0", "", "flr bus");
        world_add(&world, SIBLING, "0000:00:01.0", "", "flr");
        world_add(&world, ELSEWHERE, "0000:00:02.0", "", "flr");
        world_add(&world, OTHER, "0000:00:02.0", "", "flr");
        world_add(&world, STRANGER, NULL, "", "flr");
        for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
                device(addresses[i])->use.known = true;
        put(CARD, 0x100);
        put(ELSEWHERE, 0x100);
        put(STRANGER, 0x100);
        put(OTHER, 0x200);
        device(CARD)->frozen = device(ELSEWHERE)->frozen = true;
        device("0000:00:01.0")->facts.can_reset_subordinate = true;
}

static void teardown(void)
{
        world_done(&world);
}

static Plan *plan(const char *address, const char *method)
{
        PlanOptions options = {.aliased = reset_alias_from_string(method) != RESET_ALIAS_NONE};
        Plan *plan;

        ck_assert_int_eq(plan_make(device(address), method, &options, &plan), 0);
        return plan;
}

static void expect_why(const char *address, const char *method, unsigned why)
{
        Plan *made = plan(address, method);

        ck_assert_uint_eq(made->n_rungs, 1);
        ck_assert_msg(made->rungs[0].why == why, "%s of %s: %#x", method, address, made->rungs[0].why);
        plan_free(made);
}

START_TEST(the_whole_endpoint_is_thawed)
{
        Plan *made = plan(CARD, "thaw");

        world_check_set(made->rungs[0].set, made->rungs[0].n_set, CARD " " ELSEWHERE);
        ck_assert_uint_eq(made->rungs[0].why, 0);
        /* It is somebody else's affair, too. */
        ck_assert_uint_eq(made->rungs[0].actions, ACTION_RESET_SHARED);
        plan_free(made);
        device(ELSEWHERE)->live.tsm_bound = true;
        expect_why(CARD, "thaw", WHY_TSM_BOUND);
}
END_TEST

START_TEST(what_is_frozen_is_not_reset)
{
        expect_why(CARD, "flr", WHY_FROZEN);
        expect_why(SIBLING, "flr", 0);
        expect_why(OTHER, "flr", 0);
        /* The firmware takes part in that of a link. */
        expect_why(CARD, "subordinate", 0);
        expect_why(OTHER, "thaw", WHY_NOT_FROZEN);
        expect_why(SIBLING, "thaw", WHY_NOT_ADVERTISED | WHY_NOT_FROZEN);
        device(CARD)->frozen = false;
        expect_why(CARD, "flr", 0);
        expect_why(CARD, "thaw", WHY_NOT_FROZEN);
}
END_TEST

static bool has_rung(const Plan *made, const char *method, size_t *ret)
{
        for (*ret = 0; *ret < made->n_rungs; ++*ret)
                if (strcmp(made->rungs[*ret].method, method) == 0)
                        return true;
        return false;
}

/* It is no reset, so nobody gets it who asks for one. */
START_TEST(only_a_recovery_thaws_by_itself)
{
        static const char *const others[] = {"any", "function", "link"};
        Plan *made = plan(CARD, "recover");
        size_t at;

        ck_assert(has_rung(made, "thaw", &at));
        ck_assert_uint_eq(at, 0);
        plan_free(made);
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
                made = plan(CARD, others[i]);
                ck_assert(!has_rung(made, "thaw", &at));
                plan_free(made);
        }
        made = plan(OTHER, "recover");
        ck_assert(!has_rung(made, "thaw", &at));
        plan_free(made);
}
END_TEST

static bool is_among(Device *const *devices, size_t n, const char *address)
{
        for (size_t i = 0; i < n; i++)
                if (devices[i] == device(address))
                        return true;
        return false;
}

/* Who is thawed is looked at before. */
START_TEST(the_endpoint_is_of_concern)
{
        Device **devices;
        size_t n;

        ck_assert_int_eq(plan_concerned(device(CARD), &devices, &n), 0);
        ck_assert(is_among(devices, n, ELSEWHERE) && !is_among(devices, n, OTHER) &&
                  !is_among(devices, n, STRANGER));
        free(devices);
        ck_assert(plan_needs_scan(device(CARD)) && !plan_needs_scan(device(SIBLING)));
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("plan-eeh");

        unit_add_fixture(suite, setup, teardown, the_whole_endpoint_is_thawed);
        unit_add_fixture(suite, setup, teardown, what_is_frozen_is_not_reset);
        unit_add_fixture(suite, setup, teardown, only_a_recovery_thaws_by_itself);
        unit_add_fixture(suite, setup, teardown, the_endpoint_is_of_concern);
        return unit_run(suite);
}
