/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The registry: whatever comes in whatever order, its tree and its news are those of the machine. */

#include <string.h>

#include "unit.h"
#include "world.h"

static World world;
static struct {
        unsigned added, removed, changed;
        unsigned changes;
} heard;

static void on_added(void *userdata, Device *device)
{
        heard.added++;
}

static void on_removed(void *userdata, Device *device)
{
        heard.removed++;
        /* Gone for those who look, still there for those who tell. */
        ck_assert_ptr_ne(registry_find(world.registry, &device->facts.address), device);
}

static void on_changed(void *userdata, Device *device, unsigned changes)
{
        heard.changed++;
        heard.changes |= changes;
}

static void setup(void)
{
        RegistryListener listener = {.added = on_added, .removed = on_removed, .changed = on_changed};

        world_init(&world);
        registry_set_listener(world.registry, &listener);
        memset(&heard, 0, sizeof(heard));
}

static void teardown(void)
{
        world_done(&world);
}

START_TEST(children_find_their_parent)
{
        Device *port = world_add_bridge(&world, "0000:00:01.0", NULL);
        Device *nic = world_add(&world, "0000:01:00.0", "0000:00:01.0", "", "flr");

        ck_assert_ptr_eq(nic->parent, port);
        ck_assert_ptr_eq(port->first_child, nic);
        ck_assert(device_is_alone_below_parent(nic));
        ck_assert(device_is_below(nic, port));
        ck_assert(!device_is_below(port, nic));
}
END_TEST

START_TEST(children_wait_for_their_parent)
{
        Device *second, *vf, *port, *nic;

        vf = world_add_vf(&world, "0000:01:00.4", "0000:00:01.0", "0000:01:00.0", "flr");
        nic = world_add(&world, "0000:01:00.0", "0000:00:01.0", "", "flr");
        second = world_add(&world, "0000:01:00.1", "0000:00:01.0", "", "flr");
        ck_assert_ptr_eq(vf->physfn, nic);
        ck_assert_ptr_null(nic->parent);

        port = world_add_bridge(&world, "0000:00:01.0", NULL);
        ck_assert_ptr_eq(nic->parent, port);
        ck_assert_ptr_eq(second->parent, port);
        ck_assert_ptr_eq(vf->parent, port);
        ck_assert(!device_is_alone_below_parent(nic));
        ck_assert(!device_is_alone_below_parent(second));
        ck_assert(!device_is_alone_below_parent(vf));
        ck_assert_ptr_eq(nic->first_vf, vf);
}
END_TEST

START_TEST(orphans_are_adopted_again)
{
        Device *nic, *port;
        PciAddress address = at("0000:00:01.0");

        world_add_bridge(&world, "0000:00:01.0", NULL);
        nic = world_add(&world, "0000:01:00.0", "0000:00:01.0", "", "flr");
        world_add(&world, "0000:01:00.1", "0000:00:01.0", "", "flr");
        registry_remove(world.registry, &address, 0);
        ck_assert_ptr_null(nic->parent);

        port = world_add_bridge(&world, "0000:00:01.0", NULL);
        ck_assert_ptr_eq(nic->parent, port);
        address = at("0000:01:00.1");
        registry_remove(world.registry, &address, 0);
        ck_assert(device_is_alone_below_parent(nic));
}
END_TEST

START_TEST(news_only_when_something_is_new)
{
        world_add(&world, "0000:01:00.0", NULL, "nvme", "flr");
        ck_assert_uint_eq(heard.added, 1);
        world_bind(&world, "0000:01:00.0", "nvme");
        ck_assert_uint_eq(heard.changed, 0);
        world_bind(&world, "0000:01:00.0", "vfio-pci");
        ck_assert_uint_eq(heard.changed, 1);
        ck_assert_uint_eq(heard.changes, DEVICE_CHANGED_DRIVER);
        ck_assert_uint_eq(heard.removed, 0);
}
END_TEST

START_TEST(who_loses_its_driver_is_not_in_use_any_more)
{
        world_add(&world, "0000:01:00.0", NULL, "e1000e", "flr");
        world_hold(&world, "0000:01:00.0", HOLDER_NETWORK);
        world_bind(&world, "0000:01:00.0", "");
        ck_assert(!device_is_in_use(world_find(&world, "0000:01:00.0")));
        ck_assert_uint_eq(heard.changes, DEVICE_CHANGED_DRIVER | DEVICE_CHANGED_USE);
}
END_TEST

START_TEST(a_successor_is_another_device)
{
        uint64_t generation = world_add(&world, "0000:01:00.0", NULL, "", "flr")->generation;
        Device *successor = world_replace(&world, "0000:01:00.0");

        ck_assert_uint_ne(successor->generation, generation);
        ck_assert_uint_eq(heard.added, 2);
        ck_assert_uint_eq(heard.removed, 1);
        ck_assert_uint_eq(registry_count(world.registry), 1);
}
END_TEST

START_TEST(a_late_removal_spares_the_successor)
{
        Device *first = world_add(&world, "0000:01:00.0", NULL, "", "flr");
        uint64_t inode = first->facts.inode;
        PciAddress address = first->facts.address;

        world_replace(&world, "0000:01:00.0");
        registry_remove(world.registry, &address, inode);
        ck_assert_ptr_nonnull(world_find(&world, "0000:01:00.0"));
}
END_TEST

START_TEST(a_scan_removes_what_it_does_not_see)
{
        DeviceFacts facts = world_add(&world, "0000:01:00.0", NULL, "", "flr")->facts;

        world_add(&world, "0000:02:00.0", NULL, "", "flr");
        registry_scan_begin(world.registry);
        ck_assert_int_eq(registry_apply(world.registry, &facts), 0);
        world_add(&world, "0000:03:00.0", NULL, "", "flr");
        registry_scan_end(world.registry);

        ck_assert_ptr_nonnull(world_find(&world, "0000:01:00.0"));
        ck_assert_ptr_null(world_find(&world, "0000:02:00.0"));
        ck_assert_ptr_nonnull(world_find(&world, "0000:03:00.0"));
        ck_assert_uint_eq(heard.removed, 1);
}
END_TEST

START_TEST(devices_come_in_the_order_of_addresses)
{
        const char *addresses[] = {"0000:02:00.0", "0000:01:00.1", "0001:00:00.0", "0000:01:00.0",
                                   "0000:00:1f.7"};
        const Device *last = NULL;
        unsigned n = 0;

        for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
                world_add(&world, addresses[i], NULL, "", "flr");
        for (Device *d = registry_next(world.registry, NULL); d; d = registry_next(world.registry, d)) {
                if (last)
                        ck_assert_int_lt(pci_address_compare(&last->facts.address, &d->facts.address), 0);
                last = d;
                n++;
        }
        ck_assert_uint_eq(n, 5);
}
END_TEST

/* What the tree must be, computed the slow way. */
static void check_tree(void)
{
        for (Device *d = registry_next(world.registry, NULL); d; d = registry_next(world.registry, d)) {
                unsigned n = 0;

                ck_assert_ptr_eq(d->parent, d->facts.has_parent
                                                    ? registry_find(world.registry, &d->facts.parent)
                                                    : NULL);
                ck_assert_ptr_eq(d->physfn, d->facts.has_physfn
                                                    ? registry_find(world.registry, &d->facts.physfn)
                                                    : NULL);
                for (Device *c = d->first_child; c; c = c->next_sibling) {
                        ck_assert_ptr_eq(c->parent, d);
                        n++;
                }
                for (Device *c = registry_next(world.registry, NULL); c;
                     c = registry_next(world.registry, c))
                        n -= c->parent == d;
                ck_assert_uint_eq(n, 0);
        }
}

/* Random comings and goings on a fixed set of places. */
START_TEST(the_tree_is_always_right)
{
        srandom((unsigned) _i + 1);
        for (unsigned step = 0; step < 400; step++) {
                unsigned place = (unsigned) random() % 24, parent = place / 3;
                PciAddress address = {.bus = (uint8_t) place};
                DeviceFacts facts = {
                        .address = address,
                        .inode = (uint64_t) random() % 3 + 1,
                        .has_parent = place > 0,
                        .parent = {.bus = (uint8_t) parent},
                        .has_physfn = place > 3 && random() % 4 == 0,
                        .physfn = {.bus = (uint8_t) (place - 1)},
                };

                if (random() % 3 == 0)
                        registry_remove(world.registry, &address, 0);
                else
                        ck_assert_int_eq(registry_apply(world.registry, &facts), 0);
                check_tree();
        }
        ck_assert_uint_eq(heard.added - heard.removed, registry_count(world.registry));
}
END_TEST

START_TEST(the_last_look_says_who_uses_it)
{
        Device *nic = world_add(&world, "0000:01:00.0", NULL, "vfio-pci", "flr");
        WorkerUse use = {.device = nic->facts.address};
        WorkerScan scan = {.uses = &use, .n_uses = 1};
        Holder holder = {.device = nic->facts.address, .kind = HOLDER_VFIO};

        /* A plan has read how often it is open, and nobody has looked who that is. */
        device_forget_use(nic);
        nic->live.enable_count = 1;
        ck_assert(device_is_in_use(nic));
        scan.holders = &holder;
        scan.n_holders = 1;
        ck_assert_int_eq(device_set_use(nic, &scan), 1);
        ck_assert(device_is_in_use(nic));

        /* Then it was closed: no plan has read the count again, but somebody has looked. */
        scan.n_holders = 0;
        ck_assert_int_eq(device_set_use(nic, &scan), 1);
        ck_assert(!device_is_in_use(nic));
        device_forget_use(nic);
        ck_assert(device_is_in_use(nic));
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("registry");
        TCase *tcase = tcase_create("registry");

        tcase_set_timeout(tcase, 60);
        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, children_find_their_parent);
        tcase_add_test(tcase, children_wait_for_their_parent);
        tcase_add_test(tcase, orphans_are_adopted_again);
        tcase_add_test(tcase, news_only_when_something_is_new);
        tcase_add_test(tcase, who_loses_its_driver_is_not_in_use_any_more);
        tcase_add_test(tcase, a_successor_is_another_device);
        tcase_add_test(tcase, a_late_removal_spares_the_successor);
        tcase_add_test(tcase, a_scan_removes_what_it_does_not_see);
        tcase_add_test(tcase, devices_come_in_the_order_of_addresses);
        tcase_add_test(tcase, the_last_look_says_who_uses_it);
        tcase_add_loop_test(tcase, the_tree_is_always_right, 0, 10);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
