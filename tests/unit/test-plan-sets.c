/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Reset sets: what goes along with a device, by where it stands and by what the method does. Every method
 * of the same scope has the same set, so each row says two of them.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/domain/plan.h"
#include "unit.h"
#include "world.h"

static World world;

/*
 * 00:01.0 port ── 01:00.0 switch ─┬─ 02:00.0 downstream ── 03:00.0, 03:00.1
 *                                 ├─ 02:01.0 downstream ── 04:00.0 with functions 04:00.1, 04:10.0
 *                                 └─ 02:02.0 downstream (empty)
 * 00:02.0 port ── 05:00.0 bridge to a conventional bus ─┬─ 06:00.0
 *                                                       ├─ 06:01.0
 *                                                       └─ 06:02.0 bridge ── 07:00.0
 * 00:03.0 port with a slot ── 08:00.0
 * 00:1d.0, 00:1d.1 on the root bus
 * 09:00.0 below a bridge that is not known
 */
static void setup(void)
{
        static const char *const all[] = {"0000:03:00.0", "0000:03:00.1", "0000:04:00.0", "0000:06:00.0",
                                          "0000:06:01.0", "0000:07:00.0", "0000:08:00.0"};

        world_init(&world);
        world_add_bridge(&world, "0000:00:01.0", NULL);
        world_add_bridge(&world, "0000:01:00.0", "0000:00:01.0");
        world_add_bridge(&world, "0000:02:00.0", "0000:01:00.0");
        world_add_bridge(&world, "0000:02:01.0", "0000:01:00.0");
        world_add_bridge(&world, "0000:02:02.0", "0000:01:00.0");
        world_add(&world, "0000:03:00.0", "0000:02:00.0", "", "flr bus");
        world_add(&world, "0000:03:00.1", "0000:02:00.0", "", "flr bus");
        world_add(&world, "0000:04:00.0", "0000:02:01.0", "", "flr bus");
        world_add_vf(&world, "0000:04:00.1", "0000:02:01.0", "0000:04:00.0", "flr");
        world_add_vf(&world, "0000:04:10.0", "0000:02:01.0", "0000:04:00.0", "flr");
        world_add_bridge(&world, "0000:00:02.0", NULL);
        world_add_bridge(&world, "0000:05:00.0", "0000:00:02.0");
        world_add(&world, "0000:06:00.0", "0000:05:00.0", "", "pm bus");
        world_add(&world, "0000:06:01.0", "0000:05:00.0", "", "pm bus");
        world_add_bridge(&world, "0000:06:02.0", "0000:05:00.0");
        world_add(&world, "0000:07:00.0", "0000:06:02.0", "", "pm bus");
        world_add_bridge(&world, "0000:00:03.0", NULL);
        world_add(&world, "0000:08:00.0", "0000:00:03.0", "", "flr bus");
        world_add(&world, "0000:00:1d.0", NULL, "", "pm");
        world_add(&world, "0000:00:1d.1", NULL, "", "pm");
        world_add(&world, "0000:09:00.0", "0000:00:05.0", "", "flr bus");
        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
                world_offer_all(&world, all[i], "7");
}

static void teardown(void)
{
        world_done(&world);
}

static const char *const function_methods[] = {"device_specific", "acpi", "flr", "af_flr", "pm"};
static const char *const link_methods[] = {"bus", "cxl_bus", "subordinate", "vfio_hot", "slot", "rescan"};

#define SWITCH_SET                                                                                          \
        "0000:01:00.0 0000:02:00.0 0000:02:01.0 0000:02:02.0 0000:03:00.0 0000:03:00.1 0000:04:00.0 "       \
        "0000:04:00.1 0000:04:10.0"
#define PF_SET "0000:04:00.0 0000:04:00.1 0000:04:10.0"

static const struct {
        const char *device;
        const char *edges; /* pairs, all of them with blanks between them */
        const char *function, *link;
} sets[] = {
        {"0000:03:00.0", "", "0000:03:00.0", "0000:03:00.0 0000:03:00.1"},
        {"0000:03:00.1", "", "0000:03:00.1", "0000:03:00.1 0000:03:00.0"},
        {"0000:04:00.0", "", PF_SET, PF_SET},
        {"0000:04:10.0", "", "0000:04:10.0", PF_SET},
        /* Below the port stands the whole switch. */
        {"0000:01:00.0", "", "0000:01:00.0", SWITCH_SET},
        {"0000:02:02.0", "", "0000:02:02.0",
         "0000:02:02.0 0000:02:00.0 0000:02:01.0 0000:03:00.0 0000:03:00.1 " PF_SET},
        {"0000:06:00.0", "", "0000:06:00.0", "0000:06:00.0 0000:06:01.0 0000:06:02.0 0000:07:00.0"},
        {"0000:07:00.0", "", "0000:07:00.0", "0000:07:00.0"},
        {"0000:08:00.0", "", "0000:08:00.0", "0000:08:00.0"},
        /* On a root bus nothing hangs below the same bridge, and neither does below an unknown one. */
        {"0000:00:1d.0", "", "0000:00:1d.0", "0000:00:1d.0"},
        {"0000:09:00.0", "", "0000:09:00.0", "0000:09:00.0"},

        /* A board with two functions, named either way, and twice. */
        {"0000:08:00.0", "0000:08:00.0 0000:03:00.0", "0000:08:00.0 0000:03:00.0",
         "0000:08:00.0 0000:03:00.0"},
        {"0000:03:00.0", "0000:08:00.0 0000:03:00.0", "0000:08:00.0 0000:03:00.0",
         "0000:08:00.0 0000:03:00.0 0000:03:00.1"},
        {"0000:08:00.0", "0000:08:00.0 0000:07:00.0 0000:07:00.0 0000:08:00.0", "0000:08:00.0 0000:07:00.0",
         "0000:08:00.0 0000:07:00.0"},
        /* From rail to rail. */
        {"0000:08:00.0", "0000:08:00.0 0000:07:00.0 0000:07:00.0 0000:00:1d.1 0000:00:1d.1 0000:08:00.0",
         "0000:08:00.0 0000:07:00.0 0000:00:1d.1", "0000:08:00.0 0000:07:00.0 0000:00:1d.1"},
        /* What hangs below the other end goes along: virtual functions, and all below a bridge. */
        {"0000:08:00.0", "0000:08:00.0 0000:04:00.0", "0000:08:00.0 " PF_SET, "0000:08:00.0 " PF_SET},
        {"0000:08:00.0", "0000:08:00.0 0000:06:02.0", "0000:08:00.0 0000:06:02.0 0000:07:00.0",
         "0000:08:00.0 0000:06:02.0 0000:07:00.0"},
        /* An edge of a function that only goes along counts as well. */
        {"0000:04:00.0", "0000:04:10.0 0000:08:00.0", PF_SET " 0000:08:00.0", PF_SET " 0000:08:00.0"},
        {"0000:04:00.1", "0000:04:10.0 0000:08:00.0", "0000:04:00.1", PF_SET " 0000:08:00.0"},
        /* Edges of others, to itself, and to what is not there. */
        {"0000:08:00.0", "0000:03:00.0 0000:07:00.0", "0000:08:00.0", "0000:08:00.0"},
        {"0000:08:00.0", "0000:08:00.0 0000:08:00.0", "0000:08:00.0", "0000:08:00.0"},
        {"0000:08:00.0", "0000:08:00.0 0000:99:00.0", "0000:08:00.0", "0000:08:00.0"},
};

static void add_edges(const char *text)
{
        char copy[512], *saved = NULL;

        (void) snprintf(copy, sizeof(copy), "%s", text);
        for (const char *a = strtok_r(copy, " ", &saved); a; a = strtok_r(NULL, " ", &saved)) {
                PciAddress ends[2] = {at(a), at(strtok_r(NULL, " ", &saved))};

                ck_assert_int_eq(registry_add_edge(world.registry, &ends[0], &ends[1]), 0);
        }
}

static void check_method(Device *device, const char *method, const char *expected)
{
        PlanOptions options = {};
        Plan *plan;

        ck_assert_int_eq(plan_make(device, method, &options, &plan), 0);
        ck_assert_uint_eq(plan->n_rungs, 1);
        ck_assert_ptr_eq(plan->rungs[0].set[0], device);
        world_check_set(plan->rungs[0].set, plan->rungs[0].n_set, expected);
        plan_free(plan);
}

START_TEST(each_set)
{
        Device *device = world_find(&world, sets[_i].device), **concerned;
        size_t n;

        add_edges(sets[_i].edges);
        for (size_t i = 0; i < sizeof(function_methods) / sizeof(function_methods[0]); i++)
                check_method(device, function_methods[i], sets[_i].function);
        for (size_t i = 0; i < sizeof(link_methods) / sizeof(link_methods[0]); i++)
                check_method(device, link_methods[i], sets[_i].link);

        /* Whoever refreshes what is concerned has refreshed every set, and the bridge above. */
        ck_assert_int_eq(plan_concerned(device, &concerned, &n), 0);
        ck_assert_ptr_eq(concerned[0], device);
        world_check_set(concerned, device->parent ? n - 1 : n, sets[_i].link);
        if (device->parent)
                ck_assert_ptr_eq(concerned[n - 1], device->parent);
        free(concerned);
}
END_TEST

/* Edges are by address: they hold for whoever sits there. */
START_TEST(edges_outlast_devices)
{
        add_edges("0000:08:00.0 0000:07:00.0");
        world_replace(&world, "0000:07:00.0");
        check_method(world_find(&world, "0000:08:00.0"), "flr", "0000:08:00.0 0000:07:00.0");
        registry_remove(world.registry, &(PciAddress){.bus = 7}, 0);
        check_method(world_find(&world, "0000:08:00.0"), "flr", "0000:08:00.0");
}
END_TEST

/* What the facts offer of our own methods, in order. */
static const struct {
        const char *device;
        const char *driver;
        const char *without; /* a letter for each fact that is taken away: s(ubordinate) p(ower) g(roup)
                                r(emove) */
        const char *names;
} offers[] = {
        {"0000:08:00.0", "", "", "subordinate slot rescan"},
        {"0000:08:00.0", "vfio-pci", "", "subordinate vfio_hot slot rescan"},
        {"0000:08:00.0", "vfio-pci", "g", "subordinate slot rescan"},
        {"0000:08:00.0", "pci-stub", "", "subordinate slot rescan"},
        {"0000:08:00.0", "mlx5_vfio_pci", "s", "vfio_hot slot rescan"},
        {"0000:08:00.0", "vfio-pci", "p", "subordinate vfio_hot rescan"},
        {"0000:08:00.0", "e1000e", "r", "subordinate slot"},
        /* Xen: the slot is gentler than the bus. */
        {"0000:08:00.0", "pciback", "", "slot subordinate rescan"},
        {"0000:08:00.0", "pciback", "p", "subordinate rescan"},
        {"0000:08:00.0", "", "sprg", ""},
        {"0000:04:00.1", "", "", "subordinate"},
        {"0000:00:1d.0", "vfio-pci", "", ""},
        {"0000:09:00.0", "vfio-pci", "", ""},
        {"0000:02:00.0", "", "", ""},
        {"0000:01:00.0", "vfio-pci", "", ""},
};

static void take_away(Device *device, const char *what)
{
        if (strchr(what, 's'))
                device->parent->facts.can_reset_subordinate = false;
        if (strchr(what, 'p'))
                device->facts.slot[0] = '\0';
        if (strchr(what, 'g'))
                device->facts.iommu_group[0] = '\0';
        if (strchr(what, 'r'))
                device->facts.can_be_removed = false;
}

START_TEST(each_offer)
{
        Device *device = world_find(&world, offers[_i].device);
        const char *names[PLAN_OWN_METHODS_MAX];
        char text[256] = "", *p = text;
        size_t n;

        world_bind(&world, offers[_i].device, offers[_i].driver);
        take_away(device, offers[_i].without);
        n = plan_own_methods(device, names);
        for (size_t i = 0; i < n; i++)
                p += sprintf(p, "%s%s", i > 0 ? " " : "", names[i]);
        ck_assert_str_eq(text, offers[_i].names);
}
END_TEST

/* What is not offered is not advertised, and nothing of ours is for a virtual function. */
START_TEST(each_offer_is_judged)
{
        for (size_t i = 2; i < sizeof(link_methods) / sizeof(link_methods[0]); i++) {
                Device *device = world_find(&world, offers[_i].device);
                PlanOptions options = {};
                bool offered;
                Plan *plan;

                world_bind(&world, offers[_i].device, offers[_i].driver);
                take_away(device, offers[_i].without);
                offered = strstr(offers[_i].names, link_methods[i]) != NULL;
                ck_assert_int_eq(plan_make(device, link_methods[i], &options, &plan), 0);
                ck_assert_int_eq(!(plan->rungs[0].why & WHY_NOT_ADVERTISED), offered);
                ck_assert_int_eq(!!(plan->rungs[0].why & WHY_VIRTUAL), device->facts.has_physfn);
                ck_assert_int_eq(!!(plan->rungs[0].why & WHY_BRIDGE), device->facts.is_bridge);
                ck_assert_int_eq(!!(plan->rungs[0].why & WHY_ROOT_BUS), !device->facts.has_parent);
                ck_assert_int_eq(!!(plan->rungs[0].why & WHY_TOPOLOGY_UNKNOWN),
                                 device->facts.has_parent && !device->parent);
                plan_free(plan);
        }
}
END_TEST

static const struct {
        const char *device;
        const char *driver;
        const char *alias;
        const char *methods;
} ladders[] = {
        {"0000:08:00.0", "", "any", "flr bus subordinate slot"},
        {"0000:08:00.0", "", "link", "bus subordinate slot"},
        {"0000:08:00.0", "", "function", "flr"},
        {"0000:08:00.0", "vfio-pci", "any", "flr bus subordinate vfio_hot slot"},
        /* In Xen's order: function, slot, bus. */
        {"0000:08:00.0", "pciback", "any", "flr slot bus subordinate"},
        {"0000:08:00.0", "pciback", "link", "slot bus subordinate"},
        {"0000:04:10.0", "", "any", "flr subordinate"},
        {"0000:00:1d.0", "", "any", "pm"},
        /* Never but by its name. */
        {"0000:08:00.0", "", "rescan", "rescan"},
};

START_TEST(each_ladder)
{
        PlanOptions options = {};
        char text[256] = "", *p = text;
        Plan *plan;

        world_bind(&world, ladders[_i].device, ladders[_i].driver);
        ck_assert_int_eq(
                plan_make(world_find(&world, ladders[_i].device), ladders[_i].alias, &options, &plan), 0);
        for (size_t i = 0; i < plan->n_rungs; i++)
                p += sprintf(p, "%s%s", i > 0 ? " " : "", plan->rungs[i].method);
        ck_assert_str_eq(text, ladders[_i].methods);
        plan_free(plan);
}
END_TEST

/* What some kernels' pciback can do comes before what is left to the kernel, and what proves nothing last.
 */
static const struct {
        bool do_flr, reset_device;
        const char *kernels, *driver, *alias, *methods;
} guest_ladders[] = {
        {false, false, "flr pm bus", "pciback", "any", "flr slot bus subordinate pm"},
        {true, false, "flr pm bus", "pciback", "any", "flr do_flr slot bus subordinate pm"},
        {false, true, "flr pm bus", "pciback", "any", "flr reset_device slot bus subordinate pm"},
        {true, true, "", "pciback", "any", "do_flr reset_device slot subordinate"},
        {true, true, "pm", "pciback", "function", "do_flr pm"},
        {true, true, "pm bus", "pciback", "link", "reset_device slot bus subordinate"},
        {false, false, "flr pm bus", "", "any", "flr pm bus subordinate slot"},
};

START_TEST(each_ladder_of_a_guest)
{
        Device *device = world_find(&world, "0000:08:00.0");
        char text[256] = "", *p = text;
        PlanOptions options = {};
        Plan *plan;

        world_bind(&world, "0000:08:00.0", guest_ladders[_i].driver);
        device->facts.has_do_flr = guest_ladders[_i].do_flr;
        device->facts.has_reset_device = guest_ladders[_i].reset_device;
        ck_assert_int_eq(reset_method_list_parse(guest_ladders[_i].kernels, &device->live.methods), 0);
        ck_assert_int_eq(plan_make(device, guest_ladders[_i].alias, &options, &plan), 0);
        for (size_t i = 0; i < plan->n_rungs; i++) {
                p += sprintf(p, "%s%s", i > 0 ? " " : "", plan->rungs[i].method);
                ck_assert_uint_eq(plan->rungs[i].why & WHY_NOT_ADVERTISED, 0);
        }
        ck_assert_str_eq(text, guest_ladders[_i].methods);
        plan_free(plan);
}
END_TEST

/* A link reset for a guest spares what the host may want. */
static const struct {
        const char *target, *other, *method;
        bool refused;
} neighbours[] = {
        {"pciback", "pciback", "subordinate", false},
        {"pciback", "vfio-pci", "subordinate", false},
        {"pciback", "uio_pci_generic", "subordinate", false},
        {"pciback", "pci-stub", "subordinate", false},
        {"pciback", "", "subordinate", true},
        {"pciback", "e1000e", "subordinate", true},
        /* That it knows resets does not help. */
        {"pciback", "nvme", "subordinate", true},
        {"pciback", "nvme", "slot", true},
        {"pciback", "nvme", "rescan", true},
        {"pciback", "nvme", "flr", false},
        {"vfio-pci", "nvme", "subordinate", false},
        {"", "", "subordinate", false},
};

START_TEST(each_neighbour)
{
        for (unsigned in_use = 0; in_use < 2; in_use++) {
                PlanOptions options = {.in_use = in_use};
                Plan *plan;

                world_bind(&world, "0000:03:00.0", neighbours[_i].target);
                world_bind(&world, "0000:03:00.1", neighbours[_i].other);
                ck_assert_int_eq(plan_make(world_find(&world, "0000:03:00.0"), neighbours[_i].method,
                                           &options, &plan),
                                 0);
                ck_assert_int_eq(!!(plan->rungs[0].why & WHY_NOT_ASSIGNABLE), neighbours[_i].refused);
                plan_free(plan);
        }
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("plan-sets");
        TCase *tcase = tcase_create("plan-sets");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_loop_test(tcase, each_set, 0, sizeof(sets) / sizeof(sets[0]));
        tcase_add_test(tcase, edges_outlast_devices);
        tcase_add_loop_test(tcase, each_offer, 0, sizeof(offers) / sizeof(offers[0]));
        tcase_add_loop_test(tcase, each_offer_is_judged, 0, sizeof(offers) / sizeof(offers[0]));
        tcase_add_loop_test(tcase, each_ladder, 0, sizeof(ladders) / sizeof(ladders[0]));
        tcase_add_loop_test(tcase, each_ladder_of_a_guest, 0,
                            sizeof(guest_ladders) / sizeof(guest_ladders[0]));
        tcase_add_loop_test(tcase, each_neighbour, 0, sizeof(neighbours) / sizeof(neighbours[0]));
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
