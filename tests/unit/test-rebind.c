/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Who uses the devices, found by the last look; and drivers that are taken off for a reset and put back.
 */

#include <errno.h>
#include <string.h>

#include <linux/pci_regs.h>

#include "reset-model.h"
#include "shared/cleanup.h"
#include "unit.h"

static const Holder mount = {
        .device = {.bus = 1},
        .kind = HOLDER_MOUNT,
        .what = "/dev/nvme0n1p1 on /mnt",
};
static const Holder process = {
        .device = {.bus = 1, .function = 1},
        .kind = HOLDER_PROCESS,
        .pid = 812,
        .uid = 1000,
        .command = "secret-game",
        .what = "/dev/dri/card0",
};
static const Holder vfio = {.device = {.bus = 1}, .kind = HOLDER_VFIO, .pid = 7, .what = "/dev/vfio/7"};

static void hold(const Holder *holders, size_t n)
{
        kernel.holders = holders;
        kernel.n_holders = n;
}

START_TEST(nobody_holds_it)
{
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_EXACT);
        /* Before the method is selected, and before the reset is written. */
        ck_assert_int_eq(n_scans, 2);
        ck_assert_int_eq(n_claims, 1);
}
END_TEST

/* Whatever the way: nothing is written, nothing announced. */
static const char *const methods[] = {"flr", "subordinate", "rescan", "slot"};

static void use_method(int i)
{
        model_use_method(methods[i]);
        if (strcmp(methods[i], "slot") == 0) {
                fake_slot_add(&pci, "3", "0000:01:00\n");
                (void) strcpy(request.slot, "3");
        }
}

static void expect_held(void)
{
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_HELD, EBUSY, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_ptr_null(strstr(action_log, "resetting"));
        ck_assert_ptr_null(strstr(action_log, "reset "));
}

START_TEST(held)
{
        use_method(_i);
        hold(&mount, 1);
        expect_held();
        ck_assert_uint_eq(result->n_holders, 1);
        ck_assert_int_eq(result->holders[0].kind, HOLDER_MOUNT);
        ck_assert_ptr_nonnull(strstr(result->message, CARD ": a file system of it is mounted"));
        ck_assert_ptr_nonnull(strstr(result->message, "/dev/nvme0n1p1 on /mnt"));

        /* That is never lifted. */
        request.allow_held = true;
        expect_held();
}
END_TEST

START_TEST(soft_holders)
{
        const Holder both[] = {process, mount};

        use_method(_i);
        hold(&process, 1);
        expect_held();
        /* Who it is goes into the result, and not into what everybody may read. */
        ck_assert_str_eq(result->holders[0].command, "secret-game");
        ck_assert_ptr_null(strstr(result->message, "secret"));
        ck_assert_ptr_null(strstr(result->message, "/dev/dri"));
        ck_assert_ptr_nonnull(strstr(result->message, SIBLING));

        request.allow_held = true;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK,
                      strcmp(request.method, "flr") == 0 ? LIST_EXACT : LIST_UNTOUCHED);
        ck_assert_uint_eq(result->n_holders, 0);

        /* Only those in the way are told. */
        if (_i < 2) {
                hold(both, 2);
                expect_held();
                ck_assert_uint_eq(result->n_holders, 1);
                ck_assert_int_eq(result->holders[0].kind, HOLDER_MOUNT);
        }
}
END_TEST

/* Through sysfs a reset goes past VFIO, and the guest's mappings stay. */
START_TEST(vfio_users)
{
        use_method(_i);
        hold(&vfio, 1);
        request.allow_held = true;
        expect_held();
}
END_TEST

/* What could not be looked at proves nothing. */
START_TEST(scan_that_fails)
{
        use_method(_i);
        kernel.scan_error = EACCES;
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_UNREADABLE, EACCES, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_ptr_null(strstr(action_log, "resetting"));
}
END_TEST

static void the_card_is_unplugged(void)
{
        fake_device_remove(&pci, CARD);
}

static void the_card_is_replaced(void)
{
        fake_device_remove(&pci, CARD);
        fake_device_add_below(&pci, CARD, PORT);
}

/* It could not be looked at since it is gone, whatever that gave. */
START_TEST(gone_during_the_scan)
{
        static const int errors[] = {ENODEV, EIO};

        use_method(_i);
        for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
                kernel.scan_error = errors[i];
                kernel.on_scan = i == 0 ? the_card_is_replaced : the_card_is_unplugged;
                members[0].inode = fake_device_member(&pci, CARD).inode;
                run();
                expect_result(WORKER_GONE, "", ENODEV, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
                ck_assert_ptr_nonnull(strstr(result->message, CARD));
                ck_assert_ptr_null(strstr(action_log, "resetting"));
        }
}
END_TEST

/* All are there: then ENODEV is as bad as any other. */
START_TEST(scan_that_fails_with_enodev)
{
        use_method(_i);
        kernel.scan_error = ENODEV;
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_UNREADABLE, ENODEV, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
}
END_TEST

/* Between two tries somebody may have come. */
START_TEST(held_between_two_tries)
{
        model_use_method("subordinate");
        request.retry_usec = 10000000;
        kernel.n_busy = 2;
        kernel.n_scans_before = 2;
        hold(&mount, 1);
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_HELD, EBUSY, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log, "save power; resetting; control on; reset_subordinate " PORT
                                     "; reset_subordinate " PORT "; control auto; ");
}
END_TEST

static void bind(const char *address, int i, const char *driver)
{
        fake_link_set(&pci, address, "driver", driver);
        members[i] = fake_device_member(&pci, address);
        request.driver = WORKER_DRIVER_REBIND;
}

/* What a driver sets up in its device goes with it. */
static void driver_lets_go(void)
{
        fake_config_set16(&pci, CARD, PCI_COMMAND, 0x0400);
}

START_TEST(rebind)
{
        bind(CARD, 0, "e1000e");
        kernel.on_unbind = driver_lets_go;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_EXACT);
        ck_assert_str_eq(action_log,
                         "save 'flr bus'; resetting; unbind e1000e " CARD "; list 'flr'; reset " CARD
                         "; verifying; bind e1000e " CARD "; list 'flr bus'; ");
        expect_check(CARD, "driver", CHECK_OK);
        expect_check(CARD, "command", CHECK_OK);
        ck_assert_int_eq(n_scans, 2);
        ck_assert_int_eq(n_claims, 1);
}
END_TEST

static const char *const kept_drivers[] = {"nvme",     "vfio-pci", "uio_pci_generic",
                                           "pci-stub", "pciback",  NULL};

START_TEST(drivers_that_stay)
{
        bind(CARD, 0, kept_drivers[_i]);
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_EXACT);
        ck_assert_ptr_null(strstr(action_log, "bind"));
        ck_assert_int_eq(n_scans, 2);
}
END_TEST

START_TEST(not_asked_for)
{
        bind(CARD, 0, "e1000e");
        request.driver = WORKER_DRIVER_KEEP;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_EXACT);
        ck_assert_ptr_null(strstr(action_log, "bind"));
}
END_TEST

START_TEST(rebind_all)
{
        model_use_method("subordinate");
        bind(CARD, 0, "e1000e");
        bind(SIBLING, 1, "snd_hda_intel");
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log,
                         "save power; resetting; unbind e1000e " CARD "; unbind snd_hda_intel " SIBLING
                         "; control on; reset_subordinate " PORT "; verifying; bind e1000e " CARD
                         "; bind snd_hda_intel " SIBLING "; control auto; ");
}
END_TEST

/* Removal takes drivers along by itself. */
START_TEST(no_rebind_with_removal)
{
        bind(CARD, 0, "e1000e");
        bind(SIBLING, 1, "e1000e");
        model_use_method("rescan");
        kernel.autoprobe = "e1000e";
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_ptr_null(strstr(action_log, "bind"));
}
END_TEST

static void the_next_one_stays(void)
{
        kernel.unbind_error = -EBUSY;
}

START_TEST(unbind_fails)
{
        model_use_method("subordinate");
        bind(CARD, 0, "e1000e");
        bind(SIBLING, 1, "e1000e");
        kernel.on_unbind = the_next_one_stays;
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_UNBIND, EBUSY, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log, "save power; resetting; unbind e1000e " CARD "; unbind e1000e " SIBLING
                                     "; bind e1000e " CARD "; ");
        ck_assert_ptr_nonnull(strstr(result->message, SIBLING));
}
END_TEST

START_TEST(unbind_without_effect)
{
        bind(CARD, 0, "e1000e");
        kernel.unbind_does_nothing = true;
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_UNBIND, EBUSY, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_ptr_null(strstr(action_log, "reset 0"));
}
END_TEST

/* Another one is bound in the meantime, or holds a node. */
static void a_driver_comes(void)
{
        fake_link_set(&pci, SIBLING, "driver", "snd_hda_intel");
}

START_TEST(used_after_the_unbind)
{
        bind(CARD, 0, "e1000e");
        request.n_members = 2;
        kernel.on_unbind = a_driver_comes;
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_DRIVER, EBUSY, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log,
                         "save 'flr bus'; resetting; unbind e1000e " CARD "; bind e1000e " CARD "; ");
}
END_TEST

START_TEST(held_after_the_unbind)
{
        bind(CARD, 0, "e1000e");
        kernel.n_scans_before = 1;
        hold(&process, 1);
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_HELD, EBUSY, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log,
                         "save 'flr bus'; resetting; unbind e1000e " CARD "; bind e1000e " CARD "; ");
}
END_TEST

/* A refusal of the kernel after the unbind. */
START_TEST(method_refused)
{
        bind(CARD, 0, "e1000e");
        kernel.list_error = -EINVAL;
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_METHOD_REFUSED, EINVAL, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log, "save 'flr bus'; resetting; unbind e1000e " CARD
                                     "; list 'flr'; bind e1000e " CARD "; ");
}
END_TEST

static void virtual_functions(const char *target)
{
        fake_link_set(&pci, CARD, "virtfn0", target);
        fake_link_set(&pci, SIBLING, "physfn", CARD);
        request.n_members = 2;
}

START_TEST(virtual_functions_would_go)
{
        bind(CARD, 0, "ixgbe");
        virtual_functions(SIBLING);
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_UNBIND, 0, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_ptr_null(strstr(action_log, "unbind"));
        ck_assert_ptr_null(strstr(action_log, "reset 0"));
}
END_TEST

static void the_card_dies(void)
{
        fake_config_fill(&pci, CARD, 0xff);
}

/* No driver goes to a device that is dead, and the other one gets its own back. */
START_TEST(dead_stays_without)
{
        model_use_method("subordinate");
        bind(CARD, 0, "e1000e");
        bind(SIBLING, 1, "e1000e");
        kernel.on_reset = the_card_dies;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_DEAD, LIST_UNTOUCHED);
        ck_assert_ptr_null(strstr(action_log, "; bind e1000e " CARD));
        ck_assert_ptr_nonnull(strstr(action_log, "; bind e1000e " SIBLING));
        ck_assert_ptr_nonnull(strstr(result->message, CARD ": its driver e1000e stays off"));
        expect_check(CARD, "driver", CHECK_FAILED);
        expect_check(SIBLING, "driver", CHECK_OK);
}
END_TEST

static void the_card_moves(void)
{
        fake_config_set16(&pci, CARD, PCI_BASE_ADDRESS_0 + 2, 0x1234);
}

START_TEST(doubtful_stays_without)
{
        bind(CARD, 0, "e1000e");
        kernel.on_reset = the_card_moves;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_DEGRADED, LIST_EXACT);
        ck_assert_ptr_null(strstr(action_log, "; bind"));
        ck_assert_ptr_nonnull(strstr(result->message, "its driver e1000e stays off"));
}
END_TEST

START_TEST(bind_fails)
{
        bind(CARD, 0, "e1000e");
        kernel.bind_error = -ENODEV;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_DEGRADED, LIST_EXACT);
        expect_check(CARD, "driver", CHECK_FAILED);
        ck_assert_ptr_nonnull(strstr(result->message, "its driver e1000e cannot be bound again"));
}
END_TEST

START_TEST(reset_that_does_nothing)
{
        bind(CARD, 0, "e1000e");
        kernel.reset_error = -ENOTTY;
        run();
        expect_result(WORKER_FAILED, "", ENOTTY, VERDICT_UNVERIFIED, LIST_EXACT);
        ck_assert_ptr_nonnull(strstr(action_log, "; bind e1000e " CARD));
}
END_TEST

int main(void)
{
        const TTest *const tests[] = {
                nobody_holds_it,
                held_between_two_tries,
                rebind,
                not_asked_for,
                rebind_all,
                no_rebind_with_removal,
                unbind_fails,
                unbind_without_effect,
                used_after_the_unbind,
                held_after_the_unbind,
                method_refused,
                virtual_functions_would_go,
                dead_stays_without,
                doubtful_stays_without,
                bind_fails,
                reset_that_does_nothing,
        };
        const TTest *const of_each_way[] = {held,
                                            soft_holders,
                                            vfio_users,
                                            scan_that_fails,
                                            gone_during_the_scan,
                                            scan_that_fails_with_enodev};
        Suite *suite = suite_create("rebind");
        TCase *tree = tcase_create("tree");

        tcase_add_checked_fixture(tree, model_setup, model_teardown);
        tcase_set_timeout(tree, 60);
        for (size_t i = 0; i < ELEMENTSOF(tests); i++)
                tcase_add_test(tree, tests[i]);
        for (size_t i = 0; i < ELEMENTSOF(of_each_way); i++)
                tcase_add_loop_test(tree, of_each_way[i], 0, ELEMENTSOF(methods));
        tcase_add_loop_test(tree, drivers_that_stay, 0, ELEMENTSOF(kept_drivers));
        suite_add_tcase(suite, tree);
        return unit_run(suite);
}
