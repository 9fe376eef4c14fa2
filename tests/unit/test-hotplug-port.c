/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Resets of the link below a hotplug port whose driver takes them for an unplugging: it removes the devices
 * and finds them again, in its own time. Here a child of the test does.
 */

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "reset-model.h"
#include "shared/cleanup.h"
#include "unit.h"
#include "worker/come-back.h"

#define THIRD   "0000:02:00.0"
#define SERVICE PORT ":pcie004"
#define A_WHILE 60000U
#define FOREVER UINT64_C(600000000) /* longer than a test may take */

/* What the driver does with the devices; without `finds` nobody comes. */
static struct {
        void (*removes)(void);
        bool lets_go_of_driver; /* before, and takes its time */
        bool empties_slot;
        void (*finds)(void);
} hotplug;

static void both(void)
{
        model_find(SIBLING);
        model_find(CARD);
}

static void both_go(void)
{
        fake_device_remove(&pci, SIBLING);
        fake_device_remove(&pci, CARD);
}

static void sibling_goes(void)
{
        fake_device_remove(&pci, SIBLING);
}

static void let_go_of_drivers(void)
{
        fake_link_set(&pci, CARD, "driver", NULL);
        fake_link_set(&pci, SIBLING, "driver", NULL);
        (void) usleep(A_WHILE);
}

static void remove_devices(void)
{
        if (hotplug.lets_go_of_driver)
                let_go_of_drivers();
        if (hotplug.empties_slot)
                fake_config_set16(&pci, PORT, 0x40 + PCI_EXP_SLTSTA, 0);
        hotplug.removes();
}

static void find_devices(void)
{
        (void) usleep(A_WHILE);
        if (hotplug.finds)
                hotplug.finds();
}

/* Both after the write has returned. */
static void link_flaps(void)
{
        if (fork() == 0) {
                (void) usleep(A_WHILE);
                remove_devices();
                find_devices();
                _exit(0);
        }
}

/* The one during the write, the other after it. */
static void link_flaps_at_once(void)
{
        remove_devices();
        if (fork() == 0) {
                find_devices();
                _exit(0);
        }
}

static void setup(void)
{
        model_setup();
        come_back_times.device_usec = FOREVER;
        come_back_times.leave_usec = 400000;
        fake_directory_add(&pci, PORT, SERVICE);
        fake_link_set(&pci, PORT, SERVICE "/driver", "pciehp");
        fake_config_set16(&pci, PORT, 0x40 + PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_PDS);
        memset(&hotplug, 0, sizeof(hotplug));
        hotplug.removes = both_go;
        hotplug.finds = both;
        kernel.on_reset = link_flaps;
        model_use_method("subordinate");
}

static void teardown(void)
{
        while (wait(NULL) > 0)
                ;
        model_teardown();
}

static void bind_both(const char *driver, const char *override)
{
        fake_link_set(&pci, CARD, "driver", driver);
        fake_link_set(&pci, SIBLING, "driver", driver);
        fake_attribute_set(&pci, CARD, "driver_override", override);
        fake_attribute_set(&pci, SIBLING, "driver_override", override);
        (void) strcpy(members[0].driver, driver);
        (void) strcpy(members[1].driver, driver);
}

START_TEST(nothing_happens)
{
        kernel.on_reset = NULL;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log, "save power; resetting; control on; reset_subordinate " PORT
                                     "; verifying; control auto; ");
        ck_assert_uint_eq(result->n_checks, 18);
}
END_TEST

static void (*const flaps[])(void) = {link_flaps, link_flaps_at_once};

START_TEST(is_followed)
{
        set_list("bus");
        bind_both("vfio-pci", "vfio-pci\n");
        kernel.on_reset = flaps[_i];
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_EXACT);
        expect_check(CARD, "answers", CHECK_OK);
        expect_check(SIBLING, "driver", CHECK_OK);
        ck_assert_str_eq(fake_attribute_get(&pci, CARD, "reset_method"), "bus\n");
        ck_assert_str_eq(fake_attribute_get(&pci, CARD, "driver_override"), "vfio-pci");
        ck_assert_str_eq(fake_attribute_get(&pci, SIBLING, "driver_override"), "vfio-pci");
}
END_TEST

static void third_goes(void)
{
        fake_device_remove(&pci, THIRD);
}

static void third_comes(void)
{
        fake_device_add_below(&pci, THIRD, SIBLING);
}

/* The link below a port of a switch goes down with the one above. */
START_TEST(port_below)
{
        fake_attribute_remove(&pci, PORT, SERVICE "/driver");
        fake_attribute_set(&pci, SIBLING, "class", "0x060400\n");
        fake_directory_add(&pci, SIBLING, SIBLING ":pcie204");
        fake_link_set(&pci, SIBLING, SIBLING ":pcie204/driver", "pciehp");
        fake_device_add_below(&pci, THIRD, SIBLING);
        members[1] = fake_device_member(&pci, SIBLING);
        members[2] = fake_device_member(&pci, THIRD);
        request.n_members = 3;
        hotplug.removes = third_goes;
        hotplug.finds = third_comes;
        kernel.on_reset = link_flaps_at_once;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        expect_check(THIRD, "answers", CHECK_OK);
}
END_TEST

/* Nobody brings a device back that went from below another port. */
START_TEST(port_without_hotplug)
{
        fake_attribute_remove(&pci, PORT, SERVICE "/driver");
        kernel.on_reset = link_flaps_at_once;
        hotplug.finds = NULL;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_DEAD, LIST_UNTOUCHED);
        ck_assert_str_eq(find_check(CARD, "answers")->after, "gone");
}
END_TEST

START_TEST(lets_go_of_drivers_first)
{
        bind_both("e1000e", "(null)\n");
        hotplug.lets_go_of_driver = true;
        kernel.autoprobe = "e1000e";
        /* It goes long after it was looked for. */
        come_back_times.leave_usec = 90000;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_ptr_null(strstr(action_log, "bind"));
}
END_TEST

/* The kernel marks what it removes, and waits for it no longer: that says nothing about the reset. */
START_TEST(the_kernel_did_not_wait)
{
        kernel.reset_error = -ENOTTY;
        run();
        expect_result(WORKER_FAILED, "", ENOTTY, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_ptr_nonnull(strstr(result->message, "took the reset for an unplugging"));
        expect_check(CARD, "answers", CHECK_OK);
}
END_TEST

START_TEST(one_of_two)
{
        hotplug.removes = sibling_goes;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);

        /* The other one's list is still the way's own affair. */
        members[1] = fake_device_member(&pci, SIBLING);
        (void) strcpy(request.method, "bus");
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_EXACT);
        ck_assert_ptr_nonnull(strstr(action_log, "verifying; list 'flr bus'; "));
}
END_TEST

/* `bus` leaves its method alone in a list that goes with the device: what is written again is what was there
 * before. */
START_TEST(list_of_a_kernel_method)
{
        set_list("bus flr");
        (void) strcpy(request.method, "bus");
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_EXACT);
        ck_assert_str_eq(action_log, "save 'bus flr'; resetting; list 'bus'; reset " CARD
                                     "; verifying; list 'bus flr'; ");
        ck_assert_str_eq(fake_attribute_get(&pci, CARD, "reset_method"), "bus flr\n");
}
END_TEST

/* A driver that we have taken off was bound again by the kernel, or is by us, and once. */
START_TEST(driver_that_was_taken_off)
{
        bind_both("e1000e", "(null)\n");
        request.driver = WORKER_DRIVER_REBIND;
        kernel.autoprobe = _i == 0 ? "e1000e" : NULL;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        expect_check(CARD, "driver", CHECK_OK);
        if (_i == 0)
                ck_assert_ptr_null(strstr(action_log, "; bind"));
        else
                ck_assert_ptr_nonnull(strstr(action_log, "; bind e1000e " CARD "; bind e1000e " SIBLING));
}
END_TEST

static void a_stranger_comes(void)
{
        both_go();
        both();
        fake_attribute_set(&pci, CARD, "vendor", "0x10de\n");
}

START_TEST(stranger)
{
        bind_both("vfio-pci", "vfio-pci\n");
        kernel.on_reset = a_stranger_comes;
        (void) strcpy(request.method, _i == 0 ? "subordinate" : "bus");
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_DEGRADED, LIST_LOST);
        expect_check(CARD, "ids", CHECK_FAILED);
        ck_assert_ptr_null(strstr(action_log, "bind vfio-pci " CARD));
        ck_assert_str_eq(fake_attribute_get(&pci, CARD, "driver_override"), "(null)\n");
        ck_assert_str_eq(fake_attribute_get(&pci, CARD, "reset_method"), "flr bus\n");
}
END_TEST

static void nobody(void)
{
}

/* It was pulled for good: nobody waits for it as long as for one that is slow. */
START_TEST(pulled)
{
        hotplug.empties_slot = true;
        hotplug.finds = NULL;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_DEAD, LIST_LOST);
        ck_assert_str_eq(find_check(CARD, "answers")->after, "gone");
        ck_assert_ptr_null(strstr(action_log, "rescan"));
}
END_TEST

START_TEST(does_not_come_back)
{
        hotplug.finds = NULL;
        kernel.on_return = _i == 0 ? nobody : NULL;
        come_back_times.device_usec = 300000;
        run();
        /* Unless another scan finds it. */
        expect_result(WORKER_DONE, "", 0, _i == 0 ? VERDICT_DEAD : VERDICT_OK,
                      _i == 0 ? LIST_LOST : LIST_UNTOUCHED);
        ck_assert_ptr_nonnull(strstr(action_log, "rescan " PORT "; "));
}
END_TEST

static void virtual_ones_stay_away(void)
{
        model_find(CARD);
}

START_TEST(virtual_function)
{
        fake_link_set(&pci, SIBLING, "physfn", CARD);
        hotplug.finds = virtual_ones_stay_away;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_DEGRADED, LIST_UNTOUCHED);
        expect_check(SIBLING, "answers", CHECK_SKIPPED);
}
END_TEST

/* A reset of a function takes no link down. */
START_TEST(function_method)
{
        (void) strcpy(request.method, "flr");
        kernel.on_reset = link_flaps_at_once;
        hotplug.finds = NULL;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_DEAD, LIST_LOST);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("hotplug-port");
        TCase *port = tcase_create("port");

        tcase_add_checked_fixture(port, setup, teardown);
        tcase_set_timeout(port, 60);
        tcase_add_test(port, nothing_happens);
        tcase_add_loop_test(port, is_followed, 0, ELEMENTSOF(flaps));
        tcase_add_test(port, port_below);
        tcase_add_test(port, port_without_hotplug);
        tcase_add_test(port, lets_go_of_drivers_first);
        tcase_add_test(port, the_kernel_did_not_wait);
        tcase_add_test(port, one_of_two);
        tcase_add_test(port, list_of_a_kernel_method);
        tcase_add_loop_test(port, driver_that_was_taken_off, 0, 2);
        tcase_add_loop_test(port, stranger, 0, 2);
        tcase_add_test(port, pulled);
        tcase_add_loop_test(port, does_not_come_back, 0, 2);
        tcase_add_test(port, virtual_function);
        tcase_add_test(port, function_method);
        suite_add_tcase(suite, port);
        return unit_run(suite);
}
