/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The plan: for each method of each device what it would disturb, whether it may be used, and who is asked.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/domain/plan.h"
#include "unit.h"
#include "world.h"

static World world;

/*
 * 00:01.0 port ── 01:00.0 alone, NVMe
 * 00:02.0 port ── 02:00.0, 02:00.1 a card with two functions
 * 00:03.0 port ── 03:00.0 switch ── 04:00.0 downstream ── 05:00.0
 *                                └─ 04:01.0 downstream (empty)
 * 00:04.0 port ── 06:00.0 with virtual functions 06:00.1 and 06:00.2
 * 00:1f.0 on the root bus
 * 07:00.0 below a bridge that is not known
 */
static void setup(void)
{
        world_init(&world);
        world_add_bridge(&world, "0000:00:01.0", NULL);
        world_add(&world, "0000:01:00.0", "0000:00:01.0", "", "flr bus");
        world_add_bridge(&world, "0000:00:02.0", NULL);
        world_add(&world, "0000:02:00.0", "0000:00:02.0", "", "pm bus");
        world_add(&world, "0000:02:00.1", "0000:00:02.0", "", "pm");
        world_add_bridge(&world, "0000:00:03.0", NULL);
        reset_method_list_parse("flr bus",
                                &world_add_bridge(&world, "0000:03:00.0", "0000:00:03.0")->live.methods);
        world_add_bridge(&world, "0000:04:00.0", "0000:03:00.0");
        world_add_bridge(&world, "0000:04:01.0", "0000:03:00.0");
        world_add(&world, "0000:05:00.0", "0000:04:00.0", "", "acpi flr d3cold bus");
        world_add_bridge(&world, "0000:00:04.0", NULL);
        world_add(&world, "0000:06:00.0", "0000:00:04.0", "", "flr bus");
        world_add_vf(&world, "0000:06:00.1", "0000:00:04.0", "0000:06:00.0", "flr");
        world_add_vf(&world, "0000:06:00.2", "0000:00:04.0", "0000:06:00.0", "flr");
        world_add(&world, "0000:00:1f.0", NULL, "", "pm bus");
        world_add(&world, "0000:07:00.0", "0000:00:05.0", "", "flr bus");
}

static void teardown(void)
{
        world_done(&world);
}

#define USE WHY_DRIVER_BOUND

static const struct {
        const char *device;
        const char *method;
        const char *driver; /* bound first, NULL: none */
        unsigned enable_count;
        bool in_use;
        unsigned why;
        unsigned actions; /* if usable */
        const char *set;
} rungs[] = {
        {"0000:01:00.0", "flr", NULL, 0, false, 0, ACTION_RESET, "0000:01:00.0"},
        {"0000:01:00.0", "bus", NULL, 0, false, 0, ACTION_RESET, "0000:01:00.0"},
        {"0000:01:00.0", "pm", NULL, 0, false, WHY_NOT_ADVERTISED, 0, "0000:01:00.0"},
        /* Who uses it. */
        {"0000:01:00.0", "flr", "nvme", 1, false, 0, ACTION_RESET, "0000:01:00.0"},
        {"0000:01:00.0", "flr", "nvme", 1, true, 0, ACTION_RESET, "0000:01:00.0"},
        {"0000:01:00.0", "flr", "e1000e", 1, false, USE, 0, "0000:01:00.0"},
        {"0000:01:00.0", "flr", "e1000e", 1, true, 0, ACTION_RESET_IN_USE, "0000:01:00.0"},
        {"0000:01:00.0", "flr", "vfio-pci", 0, false, 0, ACTION_RESET, "0000:01:00.0"},
        {"0000:01:00.0", "flr", "vfio-pci", 1, false, WHY_VFIO_OPEN, 0, "0000:01:00.0"},
        {"0000:01:00.0", "flr", "vfio-pci", 1, true, WHY_VFIO_OPEN, 0, "0000:01:00.0"},
        {"0000:01:00.0", "flr", "mlx5_vfio_pci", 0, false, 0, ACTION_RESET, "0000:01:00.0"},
        {"0000:01:00.0", "flr", "mlx5_vfio_pci", 2, true, WHY_VFIO_OPEN, 0, "0000:01:00.0"},
        {"0000:01:00.0", "flr", "pci-stub", 0, false, 0, ACTION_RESET, "0000:01:00.0"},
        {"0000:01:00.0", "flr", "pciback", 0, false, 0, ACTION_RESET, "0000:01:00.0"},
        {"0000:01:00.0", "flr", "pciback", 1, true, 0, ACTION_RESET, "0000:01:00.0"},
        {"0000:01:00.0", "flr", NULL, 1, false, 0, ACTION_RESET, "0000:01:00.0"},
        {"0000:01:00.0", "flr", "virtio-pci", 0, false, USE, 0, "0000:01:00.0"},
        {"0000:01:00.0", "flr", "vfio-pcix", 0, false, USE, 0, "0000:01:00.0"},
        /* `bus` is listed for function 0 of a card, and cannot work. */
        {"0000:02:00.0", "bus", NULL, 0, false, WHY_SIBLINGS, 0, "0000:02:00.0 0000:02:00.1"},
        {"0000:02:00.0", "pm", NULL, 0, false, 0, ACTION_RESET, "0000:02:00.0"},
        {"0000:02:00.1", "bus", NULL, 0, false, WHY_SIBLINGS | WHY_NOT_ADVERTISED, 0,
         "0000:02:00.1 0000:02:00.0"},
        /* Bridges never, whatever they list. */
        {"0000:03:00.0", "flr", NULL, 0, false, WHY_BRIDGE, 0, "0000:03:00.0"},
        {"0000:03:00.0", "bus", NULL, 0, true, WHY_BRIDGE, 0,
         "0000:03:00.0 0000:04:00.0 0000:05:00.0 0000:04:01.0"},
        {"0000:05:00.0", "bus", NULL, 0, false, 0, ACTION_RESET, "0000:05:00.0"},
        {"0000:05:00.0", "d3cold", NULL, 0, false, WHY_UNKNOWN_METHOD, 0, "0000:05:00.0"},
        /* A physical function takes its virtual ones along. */
        {"0000:06:00.0", "flr", NULL, 0, false, 0, ACTION_RESET_SHARED,
         "0000:06:00.0 0000:06:00.1 0000:06:00.2"},
        {"0000:06:00.0", "flr", "igb", 1, true, 0, ACTION_RESET_IN_USE | ACTION_RESET_SHARED,
         "0000:06:00.0 0000:06:00.1 0000:06:00.2"},
        {"0000:06:00.0", "bus", NULL, 0, false, WHY_SIBLINGS, 0, "0000:06:00.0 0000:06:00.1 0000:06:00.2"},
        {"0000:06:00.1", "flr", NULL, 0, false, 0, ACTION_RESET, "0000:06:00.1"},
        {"0000:00:1f.0", "pm", NULL, 0, false, 0, ACTION_RESET, "0000:00:1f.0"},
        {"0000:00:1f.0", "bus", NULL, 0, false, WHY_ROOT_BUS, 0, "0000:00:1f.0"},
        {"0000:07:00.0", "flr", NULL, 0, false, WHY_TOPOLOGY_UNKNOWN, 0, "0000:07:00.0"},
};

static void check_set(const Rung *rung, const char *expected)
{
        char text[PCI_ADDRESS_STRING_MAX], set[512] = "", *p = set;

        for (size_t i = 0; i < rung->n_set; i++)
                p += sprintf(p, "%s%s", i > 0 ? " " : "",
                             pci_address_format(&rung->set[i]->facts.address, text));
        ck_assert_str_eq(set, expected);
}

START_TEST(each_rung)
{
        PlanOptions options = {.in_use = rungs[_i].in_use};
        Device *device;
        Plan *plan;

        if (rungs[_i].driver)
                world_bind(&world, rungs[_i].device, rungs[_i].driver);
        device = world_find(&world, rungs[_i].device);
        device->live.enable_count = rungs[_i].enable_count;

        ck_assert_int_eq(plan_make(device, rungs[_i].method, &options, &plan), 0);
        ck_assert_uint_eq(plan->n_rungs, 1);
        ck_assert_msg(plan->rungs[0].why == rungs[_i].why, "%s %s: why is %#x, expected %#x",
                      rungs[_i].device, rungs[_i].method, plan->rungs[0].why, rungs[_i].why);
        if (rungs[_i].why == 0)
                ck_assert_uint_eq(plan->rungs[0].actions, rungs[_i].actions);
        check_set(&plan->rungs[0], rungs[_i].set);
        plan_free(plan);
}
END_TEST

/* A virtual function in use stops its physical function. */
START_TEST(members_count_too)
{
        PlanOptions options = {};
        Plan *plan;

        world_bind(&world, "0000:06:00.2", "vfio-pci");
        world_find(&world, "0000:06:00.2")->live.enable_count = 1;
        ck_assert_int_eq(plan_make(world_find(&world, "0000:06:00.0"), "flr", &options, &plan), 0);
        ck_assert_uint_eq(plan->rungs[0].why, WHY_VFIO_OPEN);
        plan_free(plan);

        world_find(&world, "0000:06:00.2")->live.enable_count = 0;
        world_find(&world, "0000:06:00.1")->live.tsm_bound = true;
        ck_assert_int_eq(plan_make(world_find(&world, "0000:06:00.0"), "flr", &options, &plan), 0);
        ck_assert_uint_eq(plan->rungs[0].why, WHY_TSM_BOUND);
        plan_free(plan);
}
END_TEST

static const struct {
        const char *device;
        const char *alias;
        const char *methods; /* NULL: refused */
} ladders[] = {
        {"0000:05:00.0", "any", "acpi flr bus"},
        {"0000:05:00.0", "function", "acpi flr"},
        {"0000:05:00.0", "link", "bus"},
        {"0000:02:00.1", "link", ""},
        {"0000:05:00.0", "d3cold", "d3cold"},
        {"0000:01:00.0", "d3cold", NULL},
        {"0000:01:00.0", "", NULL},
        {"0000:01:00.0", "FLR", NULL},
        {"0000:01:00.0", "flr bus", NULL},
        {"0000:01:00.0", "default", NULL},
        {"0000:01:00.0", "\n", NULL},
};

START_TEST(each_ladder)
{
        PlanOptions options = {};
        char methods[256] = "", *p = methods;
        Plan *plan = NULL;
        int r = plan_make(world_find(&world, ladders[_i].device), ladders[_i].alias, &options, &plan);

        if (!ladders[_i].methods) {
                ck_assert_int_eq(r, -EINVAL);
                ck_assert_ptr_null(plan);
                return;
        }
        ck_assert_int_eq(r, 0);
        for (size_t i = 0; i < plan->n_rungs; i++)
                p += sprintf(p, "%s%s", i > 0 ? " " : "", plan->rungs[i].method);
        ck_assert_str_eq(methods, ladders[_i].methods);
        plan_free(plan);
}
END_TEST

static char *fingerprint(const char *address, bool in_use)
{
        PlanOptions options = {.in_use = in_use};
        char *text;
        Plan *plan;

        ck_assert_int_eq(plan_make(world_find(&world, address), "flr", &options, &plan), 0);
        text = rung_fingerprint(&plan->rungs[0]);
        ck_assert_ptr_nonnull(text);
        plan_free(plan);
        return text;
}

/* An answer of polkit's holds as long as the fingerprint: it must change with all that matters. */
START_TEST(fingerprints)
{
        char *before = fingerprint("0000:06:00.0", true), *after;

        after = fingerprint("0000:06:00.0", true);
        ck_assert_str_eq(before, after);
        free(after);

        world_bind(&world, "0000:06:00.1", "vfio-pci");
        after = fingerprint("0000:06:00.0", true);
        ck_assert_str_ne(before, after);
        free(before);
        before = after;

        /* Another user of the target's VFIO node: it was he who was told to polkit. */
        world_bind(&world, "0000:06:00.0", "vfio-pci");
        free(before);
        before = fingerprint("0000:06:00.0", true);
        world_find(&world, "0000:06:00.0")->use.has_vfio_uid = true;
        world_find(&world, "0000:06:00.0")->use.vfio_uid = 1001;
        after = fingerprint("0000:06:00.0", true);
        ck_assert_str_ne(before, after);
        free(before);
        before = after;
        world_find(&world, "0000:06:00.0")->use.vfio_uid = 1002;
        after = fingerprint("0000:06:00.0", true);
        ck_assert_str_ne(before, after);
        free(before);
        before = after;

        world_replace(&world, "0000:06:00.2");
        after = fingerprint("0000:06:00.0", true);
        ck_assert_str_ne(before, after);
        free(before);
        before = after;

        world_add_vf(&world, "0000:06:00.3", "0000:00:04.0", "0000:06:00.0", "flr");
        after = fingerprint("0000:06:00.0", true);
        ck_assert_str_ne(before, after);
        free(before);
        free(after);
}
END_TEST

START_TEST(codes)
{
        unsigned cursor = 0;

        ck_assert_str_eq(why_next(WHY_NOT_ADVERTISED | WHY_TSM_BOUND, &cursor), "not-advertised");
        ck_assert_str_eq(why_next(WHY_NOT_ADVERTISED | WHY_TSM_BOUND, &cursor), "tsm-bound");
        ck_assert_ptr_null(why_next(WHY_NOT_ADVERTISED | WHY_TSM_BOUND, &cursor));
        cursor = 0;
        ck_assert_str_eq(action_next(ACTION_RESET_IN_USE, &cursor), "org.pciresetd1.reset-in-use");
        ck_assert_ptr_null(action_next(ACTION_RESET_IN_USE, &cursor));
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("plan");
        TCase *tcase = tcase_create("plan");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_loop_test(tcase, each_rung, 0, sizeof(rungs) / sizeof(rungs[0]));
        tcase_add_loop_test(tcase, each_ladder, 0, sizeof(ladders) / sizeof(ladders[0]));
        tcase_add_test(tcase, members_count_too);
        tcase_add_test(tcase, fingerprints);
        tcase_add_test(tcase, codes);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
