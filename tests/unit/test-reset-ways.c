/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Resets that do not go through `reset`: of all below a bridge, of a slot's power, and by removing devices
 * and finding them again.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <linux/pci_regs.h>

#include "reset-model.h"
#include "shared/cleanup.h"
#include "unit.h"

#define THIRD "0000:01:00.2"

START_TEST(subordinate)
{
        model_use_method("subordinate");
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log, "save power; resetting; control on; reset_subordinate " PORT
                                     "; verifying; control auto; ");
        ck_assert_str_eq(fake_attribute_get(&pci, PORT, "power/control"), "auto");
        ck_assert_uint_eq(result->n_checks, 18);
}
END_TEST

START_TEST(bridge_that_does_not_sleep)
{
        model_use_method("subordinate");
        fake_attribute_set(&pci, PORT, "power/control", "on\n");
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log, "resetting; reset_subordinate " PORT "; verifying; ");

        /* or knows no sleep at all */
        fake_attribute_remove(&pci, PORT, "power/control");
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
}
END_TEST

static unsigned n_tries(void)
{
        unsigned n = 0;

        for (const char *p = action_log; (p = strstr(p, "reset_subordinate")); p++)
                n++;
        return n;
}

START_TEST(locks_are_waited_for)
{
        model_use_method("subordinate");
        request.retry_usec = 10000000;
        kernel.n_busy = 4;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_uint_eq(n_tries(), 5);
        ck_assert_uint_eq(result->n_tries, 5);
        ck_assert_ptr_nonnull(strstr(action_log, "; verifying; control auto; "));
}
END_TEST

START_TEST(locks_are_not_waited_for_for_ever)
{
        model_use_method("subordinate");
        request.retry_usec = 50000;
        kernel.n_busy = 1000;
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_LOCKED, EAGAIN, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert(!result->written);
        ck_assert_uint_eq(result->n_tries, n_tries());
        /* After 10 and 20 ms; then it would be 40 more. */
        ck_assert_uint_ge(n_tries(), 2);
        ck_assert_uint_le(n_tries(), 3);

        request.retry_usec = 0;
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_LOCKED, EAGAIN, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_uint_eq(n_tries(), 1);
}
END_TEST

static void a_driver_is_bound(void)
{
        fake_link_set(&pci, SIBLING, "driver", "e1000e");
}

/* Who held the lock may have been one who came to use the device. */
START_TEST(locks_and_then_a_user)
{
        model_use_method("subordinate");
        request.retry_usec = 10000000;
        kernel.n_busy = 1;
        kernel.on_busy = a_driver_is_bound;
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_DRIVER, EBUSY, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_uint_eq(n_tries(), 1);
        ck_assert_ptr_nonnull(strstr(action_log, "control auto"));
}
END_TEST

START_TEST(bridge_without_what_it_needs)
{
        model_use_method("subordinate");
        request.has_bridge = false;
        expect_untouched(WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, 0);
        request.has_bridge = true;

        fake_attribute_remove(&pci, PORT, "reset_subordinate");
        expect_untouched(WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, ENOENT);
        fake_attribute_set(&pci, PORT, "reset_subordinate", "");

        /* Old kernels fall over a bridge without a bus. */
        fake_attribute_remove(&pci, PORT, "pci_bus/0000:01");
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, ENOENT, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_uint_eq(n_tries(), 0);
        fake_attribute_remove(&pci, PORT, "pci_bus");
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, ENOENT, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_uint_eq(n_tries(), 0);
}
END_TEST

static void a_third_function_appears(WorkerEventType phase)
{
        if (phase == WORKER_EVENT_RESETTING && !fake_device_exists(&pci, THIRD))
                fake_device_add_below(&pci, THIRD, PORT);
}

static void the_bridge_goes(void)
{
        fake_device_remove(&pci, CARD);
        fake_device_remove(&pci, SIBLING);
        fake_device_remove(&pci, PORT);
}

START_TEST(bridge_that_goes)
{
        model_use_method("subordinate");
        kernel.on_reset = the_bridge_goes;
        kernel.reset_error = -ENODEV;
        run();
        expect_result(WORKER_GONE, "", ENODEV, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_ptr_nonnull(strstr(result->message, PORT));
}
END_TEST

static const char *const link_methods[] = {"subordinate", "slot", "rescan"};

static void use_link_method(int i)
{
        if (strcmp(link_methods[i], "slot") == 0)
                model_use_slot();
        else
                model_use_method(link_methods[i]);
}

/* None of these ways spares a device that hangs there too. */
START_TEST(set_is_all_below_the_bridge)
{
        use_link_method(_i);
        request.n_members = 1;
        expect_untouched(WORKER_REFUSED, WORKER_WHY_SET, EBUSY);
        ck_assert_ptr_nonnull(strstr(result->message, SIBLING));

        /* however late it came, */
        request.n_members = 2;
        kernel.on_phase = a_third_function_appears;
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_SET, EBUSY, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_ptr_null(strstr(action_log, "reset_subordinate"));
        ck_assert_ptr_null(strstr(action_log, "slot"));
        ck_assert_ptr_null(strstr(action_log, "remove"));
        fake_device_remove(&pci, THIRD);

        /* and however deep it hangs */
        kernel.on_phase = NULL;
        fake_device_add_below(&pci, "0000:02:00.0", SIBLING);
        expect_untouched(WORKER_REFUSED, WORKER_WHY_SET, EBUSY);
        ck_assert_ptr_nonnull(strstr(result->message, "0000:02:00.0"));
}
END_TEST

START_TEST(every_member_is_looked_at)
{
        use_link_method(_i);
        fake_link_set(&pci, SIBLING, "driver", "e1000e");
        expect_untouched(WORKER_REFUSED, WORKER_WHY_DRIVER, EBUSY);
        fake_link_set(&pci, SIBLING, "driver", NULL);
        members[1].must_be_disabled = true;
        fake_attribute_set(&pci, SIBLING, "enable", "1\n");
        expect_untouched(WORKER_REFUSED, WORKER_WHY_ENABLED, EBUSY);
}
END_TEST

START_TEST(slot)
{
        model_use_slot();
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log, "resetting; slot 3 0; slot 3 1; verifying; ");
        expect_check(SIBLING, "answers", CHECK_OK);
        ck_assert_uint_eq(result->n_checks, 18);
}
END_TEST

static const struct {
        const char *address;
        bool good;
} slot_addresses[] = {
        {"0000:01:00\n", true}, {"0000:01\n", true}, {"0000:01:01\n"},   {"0000:02:00\n"},
        {"0000:02\n"},          {"0001:01:00\n"},    {"0000:01:00.0\n"}, {"\n"},
};

START_TEST(slot_of_another)
{
        model_use_slot();
        fake_slot_add(&pci, "3", slot_addresses[_i].address);
        if (slot_addresses[_i].good) {
                run();
                expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        } else {
                expect_untouched(WORKER_REFUSED, WORKER_WHY_NO_SLOT, 0);
        }
}
END_TEST

START_TEST(no_slot)
{
        model_use_slot();
        (void) strcpy(request.slot, "4");
        expect_untouched(WORKER_REFUSED, WORKER_WHY_NO_SLOT, ENOENT);
        (void) strcpy(request.slot, "3");
        request.has_bridge = false;
        expect_untouched(WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, 0);
}
END_TEST

START_TEST(slot_that_stays)
{
        model_use_slot();

        /* "already off": nothing was done, and it is not switched on by us */
        kernel.off_error = -ENODEV;
        run();
        expect_result(WORKER_FAILED, "", ENODEV, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log, "resetting; slot 3 0; verifying; ");

        /* off and on without any effect */
        kernel.off_error = 0;
        kernel.nothing_is_removed = true;
        run();
        expect_result(WORKER_FAILED, "", EIO, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log, "resetting; slot 3 0; slot 3 1; verifying; ");
}
END_TEST

static void nobody(void)
{
}

/* What another scan finds all the same was not reset by that. */
START_TEST(slot_that_cannot_be_switched_on)
{
        model_use_slot();
        kernel.on_error = -EIO;
        run();
        expect_result(WORKER_FAILED, "", EIO, VERDICT_OK, LIST_UNTOUCHED);
}
END_TEST

START_TEST(slot_that_stays_off)
{
        model_use_slot();
        kernel.on_error = -EIO;
        kernel.on_return = nobody;
        run();
        expect_result(WORKER_FAILED, "", EIO, VERDICT_DEAD, LIST_LOST);
        ck_assert_str_eq(find_check(CARD, "answers")->after, "gone");
        ck_assert_str_eq(find_check(SIBLING, "answers")->after, "gone");
}
END_TEST

static const struct {
        const char *service, *driver;
        bool has_controller, good;
} power_controllers[] = {
        {":pcie004", "pciehp", true, true},
        {":pcie204", "pciehp", true, true},
        {":pcie004", "pciehp", false, false},
        {":pcie204", "pciehp", false, false},
        /* Somebody else switches it. */
        {":pcie004", NULL, false, true},
        {":pcie002", "pcie_pme", false, true},
};

/* Without a power controller the device goes and comes back and was not reset. */
START_TEST(slot_without_power)
{
        char service[64], link[64];

        model_use_slot();
        (void) snprintf(service, sizeof(service), PORT "%s", power_controllers[_i].service);
        (void) snprintf(link, sizeof(link), "%s/driver", service);
        fake_directory_add(&pci, PORT, service);
        if (power_controllers[_i].driver)
                fake_link_set(&pci, PORT, link, power_controllers[_i].driver);
        fake_config_set16(&pci, PORT, 0x40 + PCI_EXP_SLTCAP,
                          PCI_EXP_SLTCAP_HPC |
                                  (power_controllers[_i].has_controller ? PCI_EXP_SLTCAP_PCP : 0));
        if (!power_controllers[_i].good) {
                expect_untouched(WORKER_REFUSED, WORKER_WHY_NO_SLOT, 0);
                ck_assert_ptr_nonnull(strstr(result->message, "slot 3 has no power controller"));
                return;
        }
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
}
END_TEST

static void the_card_is_back(void)
{
        kernel.on_error = 0;
}

/* What the kernel did not find at once is there a moment later. */
START_TEST(slot_that_takes_its_time)
{
        model_use_slot();
        kernel.on_error = -ENODEV;
        kernel.on_failed_on = the_card_is_back;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log, "resetting; slot 3 0; slot 3 1; slot 3 1; verifying; ");
}
END_TEST

static void somebody_presses_the_button(void)
{
        model_find(CARD);
        model_find(SIBLING);
}

START_TEST(slot_that_is_switched_on_by_hand)
{
        model_use_slot();
        kernel.on_error = -ENODEV;
        kernel.on_failed_on = somebody_presses_the_button;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log, "resetting; slot 3 0; slot 3 1; verifying; ");
}
END_TEST

START_TEST(rescan)
{
        model_use_method("rescan");
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log,
                         "resetting; remove " CARD "; remove " SIBLING "; rescan " PORT "; verifying; ");
}
END_TEST

static void the_deep_one_too(void)
{
        model_find(CARD);
        model_find(SIBLING);
        fake_device_add_below(&pci, "0000:02:00.0", SIBLING);
}

/* What is below another member goes with it and comes with it. */
START_TEST(rescan_removes_only_what_is_on_top)
{
        model_use_method("rescan");
        fake_device_add_below(&pci, "0000:02:00.0", SIBLING);
        members[2] = fake_device_member(&pci, "0000:02:00.0");
        request.n_members = 3;
        kernel.on_return = the_deep_one_too;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log,
                         "resetting; remove " CARD "; remove " SIBLING "; rescan " PORT "; verifying; ");
}
END_TEST

static const char *const pciback_files[] = {"do_flr", "reset_device"};

static void use_driver(const char *driver, const char *file)
{
        for (size_t i = 0; i < 2; i++) {
                const char *address = i == 0 ? CARD : SIBLING;

                fake_link_set(&pci, address, "driver", driver);
                (void) snprintf(members[i].driver, sizeof(members[i].driver), "%s", driver);
        }
        fake_driver_file_add(&pci, driver, file);
        model_use_method(file);
        if (strcmp(file, "do_flr") == 0)
                request.n_members = 1;
}

START_TEST(pciback_resets)
{
        char expected[128];

        use_driver("pciback", pciback_files[_i]);
        (void) snprintf(expected, sizeof(expected), "resetting; %s pciback " CARD "; verifying; ",
                        pciback_files[_i]);
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log, expected);

        kernel.reset_error = -ENOTTY;
        run();
        expect_result(WORKER_FAILED, "", ENOTTY, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
}
END_TEST

/* A file of this name means nothing to another driver, and most kernels have none. */
START_TEST(pciback_cannot)
{
        use_driver("e1000e", pciback_files[_i]);
        expect_untouched(WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, 0);
        use_driver("pciback", "slots");
        (void) strcpy(request.method, pciback_files[_i]);
        expect_untouched(WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, ENOENT);
}
END_TEST

/* It may go up to the bus by itself. */
START_TEST(pciback_disturbs_all_below_the_bridge)
{
        use_driver("pciback", "reset_device");
        request.n_members = 1;
        expect_untouched(WORKER_REFUSED, WORKER_WHY_SET, EBUSY);
        request.n_members = 2;
        kernel.on_phase = a_third_function_appears;
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_SET, EBUSY, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_ptr_null(strstr(action_log, "reset_device"));
}
END_TEST

int main(void)
{
        const TTest *const tests[] = {
                subordinate,
                bridge_that_does_not_sleep,
                locks_are_waited_for,
                locks_are_not_waited_for_for_ever,
                locks_and_then_a_user,
                bridge_without_what_it_needs,
                bridge_that_goes,
                slot,
                no_slot,
                slot_that_stays,
                slot_that_stays_off,
                slot_that_cannot_be_switched_on,
                slot_that_takes_its_time,
                slot_that_is_switched_on_by_hand,
                rescan,
                rescan_removes_only_what_is_on_top,
                pciback_disturbs_all_below_the_bridge,
        };
        Suite *suite = suite_create("reset-ways");
        TCase *tree = tcase_create("tree");

        tcase_add_checked_fixture(tree, model_setup, model_teardown);
        tcase_set_timeout(tree, 60);
        for (size_t i = 0; i < ELEMENTSOF(tests); i++)
                tcase_add_test(tree, tests[i]);
        tcase_add_loop_test(tree, set_is_all_below_the_bridge, 0, ELEMENTSOF(link_methods));
        tcase_add_loop_test(tree, every_member_is_looked_at, 0, ELEMENTSOF(link_methods));
        tcase_add_loop_test(tree, pciback_resets, 0, ELEMENTSOF(pciback_files));
        tcase_add_loop_test(tree, pciback_cannot, 0, ELEMENTSOF(pciback_files));
        tcase_add_loop_test(tree, slot_of_another, 0, ELEMENTSOF(slot_addresses));
        tcase_add_loop_test(tree, slot_without_power, 0, ELEMENTSOF(power_controllers));
        suite_add_tcase(suite, tree);
        return unit_run(suite);
}
