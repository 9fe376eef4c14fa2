/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The kernel's list follows the policy: what is written, when, and when not; what is put back; and that a
 * reset and an order never are at the same device.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/domain/kernel-order.h"
#include "daemon/domain/lane-task.h"
#include "job-world.h"
#include "unit.h"

#define TARGET "0000:01:00.0" /* acpi flr bus */
#define OTHER  "0000:02:00.0" /* flr */

static void setup(void)
{
        job_world_init();
}

static void teardown(void)
{
        job_world_done();
}

typedef struct Words {
        const char *methods, *forbid;
        bool assigned_only;
} Words;

static void set_list(PolicySettings *settings, PolicyKey key, const char *names, ResetMethodList *list)
{
        if (!names)
                return;
        settings->set |= 1U << key;
        ck_assert_int_eq(reset_method_list_parse(names, list), 0);
}

/* The policy from now on: each of the rules with kernel_order. */
static void hold_to(const Words *words, size_t n)
{
        Policy *policy = policy_new();

        for (size_t i = 0; i < n; i++) {
                PolicyRule rule = {.file = strdup("/etc/50.json")};
                const char *wanted;

                (void) snprintf(rule.id, sizeof(rule.id), "r%zu", i);
                rule.settings.set = 1U << POLICY_KERNEL_ORDER;
                rule.settings.kernel_order = true;
                set_list(&rule.settings, POLICY_METHODS, words[i].methods, &rule.settings.methods);
                set_list(&rule.settings, POLICY_FORBID, words[i].forbid, &rule.settings.forbid);
                if (words[i].assigned_only)
                        ck_assert_int_eq(
                                policy_match_set(&rule.match, POLICY_MATCH_ASSIGNED, "true", &wanted), 0);
                ck_assert_int_eq(policy_add(policy, &rule), 0);
        }
        registry_set_policy(seen.world.registry, policy, "6.12.57");
}

static Device *device(const char *address)
{
        return world_find(&seen.world, address);
}

static void expect_list(const char *names)
{
        char text[RESET_METHOD_LIST_STRING_MAX];

        ck_assert_str_eq(reset_method_list_format(&seen.order.list, text), names);
}

/* The worker ends, and the device's list reads so; NULL: as it was to. */
static void worker_ends(const char *reads)
{
        WorkerResult *result = calloc(1, sizeof(WorkerResult));
        Device *target = registry_find(seen.world.registry, &seen.ordered.address);

        ck_assert_ptr_nonnull(target);
        if (reads)
                ck_assert_int_eq(reset_method_list_parse(reads, &target->live.methods), 0);
        else
                target->live.methods = seen.order.list;
        lane_task_done(seen.jobs, seen.order.job, result);
}

START_TEST(nothing_without_a_rule)
{
        jobs_order_all(seen.jobs);
        ck_assert_uint_eq(seen.n_orders, 0);
        hold_to(&(Words){.methods = "acpi flr bus"}, 1);
        /* It reads so already. */
        jobs_order(seen.jobs, device(TARGET));
        ck_assert_uint_eq(seen.n_orders, 0);
}
END_TEST

static const struct {
        Words words;
        const char *list;
} cases[] = {
        {{.methods = "bus flr"}, "bus flr"},
        {{.methods = "subordinate bus slot"}, "bus"},
        {{.methods = "bus flr", .forbid = "bus"}, "flr"},
        {{.forbid = "flr"}, "acpi bus"},
        {{.forbid = "flr acpi bus"}, ""},
        /* It may support it: the kernel says so when it is written. */
        {{.methods = "pm flr"}, "pm flr"},
};

START_TEST(what_is_written)
{
        hold_to(&cases[_i].words, 1);
        jobs_order(seen.jobs, device(TARGET));
        ck_assert_uint_eq(seen.n_orders, 1);
        expect_list(cases[_i].list);
        worker_ends(NULL);
        ck_assert_uint_eq(seen.n_told, 1);
        ck_assert_uint_eq(device_order_refused(device(TARGET)).n, 0);
        jobs_order(seen.jobs, device(TARGET));
        ck_assert_uint_eq(seen.n_orders, 1);
}
END_TEST

/* Reported once, and not tried again before something changes. */
START_TEST(refusals_are_kept)
{
        hold_to(&(Words){.methods = "pm flr"}, 1);
        jobs_order(seen.jobs, device(TARGET));
        worker_ends("flr");
        ck_assert_str_eq(device_order_refused(device(TARGET)).names[0], "pm");
        jobs_order(seen.jobs, device(TARGET));
        jobs_order_all(seen.jobs);
        ck_assert_uint_eq(seen.n_told, 1);
        /* Of the other one it was another matter. */
        ck_assert_uint_eq(seen.n_orders, 2);
        expect_list("pm flr");
        worker_ends("flr");
        /* Somebody else has written it since: it is made right. */
        ck_assert_int_eq(reset_method_list_parse("acpi flr bus", &device(TARGET)->live.methods), 0);
        jobs_order(seen.jobs, device(TARGET));
        ck_assert_uint_eq(seen.n_orders, 3);
        worker_ends("flr");
        hold_to(&(Words){.methods = "bus"}, 1);
        jobs_order(seen.jobs, device(TARGET));
        expect_list("bus");
        worker_ends(NULL);
        ck_assert_uint_eq(device_order_refused(device(TARGET)).n, 0);
}
END_TEST

START_TEST(a_dead_worker_is_not_sent_again)
{
        hold_to(&(Words){.methods = "bus"}, 1);
        jobs_order(seen.jobs, device(TARGET));
        lane_task_done(seen.jobs, seen.order.job, NULL);
        ck_assert(seen.order_failed);
        jobs_order(seen.jobs, device(TARGET));
        ck_assert_uint_eq(seen.n_orders, 1);
        ck_assert_uint_eq(device_order_refused(device(TARGET)).n, 1);
}
END_TEST

/* One policy by default, another for assignment; and none at all, after which it is as it was. */
START_TEST(follows_the_driver)
{
        const Words words[] = {{.methods = "flr bus"}, {.methods = "bus", .assigned_only = true}};

        hold_to(words, 2);
        jobs_order(seen.jobs, device(TARGET));
        expect_list("flr bus");
        worker_ends(NULL);
        world_bind(&seen.world, TARGET, "vfio-pci");
        jobs_order(seen.jobs, device(TARGET));
        expect_list("bus");
        worker_ends(NULL);
        world_bind(&seen.world, TARGET, "");
        jobs_order(seen.jobs, device(TARGET));
        expect_list("flr bus");
        worker_ends(NULL);
        hold_to(NULL, 0);
        jobs_order(seen.jobs, device(TARGET));
        expect_list("acpi flr bus");
        worker_ends(NULL);
        ck_assert_uint_eq(seen.n_orders, 4);
        jobs_order(seen.jobs, device(TARGET));
        ck_assert_uint_eq(seen.n_orders, 4);
}
END_TEST

/* Who has written it before us nobody knows: the kernel's default is put back. */
START_TEST(earlier_daemons_order)
{
        hold_to(&(Words){.methods = "acpi flr bus"}, 1);
        jobs_order(seen.jobs, device(TARGET));
        hold_to(NULL, 0);
        jobs_order(seen.jobs, device(TARGET));
        ck_assert_uint_eq(seen.n_orders, 1);
        expect_list("default");
}
END_TEST

/* The list that a worker has narrowed for a reset is not touched, and none is narrowed while it is written.
 */
START_TEST(waits_for_a_reset)
{
        submit(TARGET, "flr");
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_ran, 1);
        hold_to(&(Words){.methods = "bus"}, 1);
        jobs_order(seen.jobs, device(TARGET));
        ck_assert_uint_eq(seen.n_orders, 0);
        /* Of another device it can be written meanwhile. */
        jobs_order(seen.jobs, device(OTHER));
        ck_assert_uint_eq(seen.n_orders, 1);
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        ck_assert_uint_eq(seen.n_orders, 2);
        expect_list("bus");
}
END_TEST

START_TEST(a_reset_waits_for_it)
{
        hold_to(&(Words){.methods = "bus flr"}, 1);
        jobs_order(seen.jobs, device(TARGET));
        submit(TARGET, "flr");
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_ran, 0);
        worker_ends(NULL);
        ck_assert_uint_eq(seen.n_ran, 1);
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
}
END_TEST

/* What changes while the worker is at it counts afterwards. */
START_TEST(changes_meanwhile)
{
        hold_to(&(Words){.methods = "bus"}, 1);
        jobs_order(seen.jobs, device(TARGET));
        hold_to(&(Words){.methods = "flr"}, 1);
        jobs_order(seen.jobs, device(TARGET));
        ck_assert_uint_eq(seen.n_orders, 1);
        worker_ends(NULL);
        ck_assert_uint_eq(seen.n_orders, 2);
        expect_list("flr");
        /* And one that is gone is gone. */
        unplug(TARGET);
        lane_task_done(seen.jobs, seen.order.job, NULL);
        ck_assert_uint_eq(seen.n_told, 1);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("kernel-order");
        TCase *orders = tcase_create("orders");

        tcase_add_checked_fixture(orders, setup, teardown);
        tcase_add_test(orders, nothing_without_a_rule);
        tcase_add_loop_test(orders, what_is_written, 0, (int) ELEMENTSOF(cases));
        tcase_add_test(orders, refusals_are_kept);
        tcase_add_test(orders, a_dead_worker_is_not_sent_again);
        tcase_add_test(orders, follows_the_driver);
        tcase_add_test(orders, earlier_daemons_order);
        tcase_add_test(orders, waits_for_a_reset);
        tcase_add_test(orders, a_reset_waits_for_it);
        tcase_add_test(orders, changes_meanwhile);
        suite_add_tcase(suite, orders);
        return unit_run(suite);
}
