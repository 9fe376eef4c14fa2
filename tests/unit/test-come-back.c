/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Devices that a reset removes, and what they are when they have come back, or who has come instead: the
 * same whether a slot was switched or the bus scanned again.
 */

#include <errno.h>
#include <string.h>

#include <linux/pci_regs.h>

#include "reset-model.h"
#include "shared/cleanup.h"
#include "unit.h"
#include "worker/come-back.h"

static void only_the_card(void)
{
        model_find(CARD);
}

static void the_sibling_goes(void)
{
        fake_device_remove(&pci, SIBLING);
}

START_TEST(virtual_functions_go_with_theirs)
{
        model_use_method("rescan");
        fake_link_set(&pci, SIBLING, "physfn", CARD);
        kernel.on_return = only_the_card;
        kernel.on_removed = the_sibling_goes;
        run();
        ck_assert_str_eq(action_log, "resetting; remove " CARD "; rescan " PORT "; verifying; ");

        /* It is not waited for, and neither alive nor dead. */
        expect_result(WORKER_DONE, "", 0, VERDICT_DEGRADED, LIST_UNTOUCHED);
        expect_check(SIBLING, "answers", CHECK_SKIPPED);
        ck_assert_ptr_nonnull(strstr(result->message, "gone with its physical function"));

        /* By itself it cannot be removed. */
        members[0] = fake_device_member(&pci, CARD);
        fake_link_set(&pci, CARD, "physfn", PORT);
        request.n_members = 1;
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, 0, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log, "");
}
END_TEST

static const char *const removing_methods[] = {"slot", "rescan"};

static void use_removing_method(int i)
{
        if (i == 0)
                model_use_slot();
        else
                model_use_method("rescan");
}

static void nobody(void)
{
}

START_TEST(does_not_come_back)
{
        use_removing_method(_i);
        kernel.on_return = only_the_card;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_DEAD, LIST_UNTOUCHED);
        ck_assert_str_eq(find_check(SIBLING, "answers")->after, "gone");
        expect_check(CARD, "answers", CHECK_OK);
        ck_assert_ptr_nonnull(strstr(result->message, SIBLING));
}
END_TEST

START_TEST(nothing_comes_back)
{
        use_removing_method(_i);
        kernel.on_return = nobody;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_DEAD, LIST_LOST);
        ck_assert_str_eq(find_check(CARD, "answers")->after, "gone");
}
END_TEST

static unsigned n_returns;

static void not_at_once(void)
{
        if (++n_returns > 1) {
                model_find(CARD);
                model_find(SIBLING);
        }
}

/* The kernel has looked for them too early, or not at all: another scan finds them. */
START_TEST(found_by_another_scan)
{
        use_removing_method(_i);
        n_returns = 0;
        kernel.on_return = not_at_once;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_uint_eq(n_returns, 2);
        ck_assert_ptr_nonnull(strstr(action_log, "verifying; rescan " PORT "; "));
}
END_TEST

START_TEST(looked_for_once_more)
{
        use_removing_method(_i);
        kernel.on_return = nobody;
        run();
        ck_assert_str_eq(strstr(action_log, "verifying; "), "verifying; rescan " PORT "; ");
}
END_TEST

/* The kernel may find them after its write has returned. */
static void later(void)
{
        if (fork() == 0) {
                (void) usleep(150000);
                model_find(SIBLING);
                model_find(CARD);
                _exit(0);
        }
}

START_TEST(comes_back_later)
{
        use_removing_method(_i);
        come_back_times.device_usec = 20000000;
        kernel.on_return = later;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
}
END_TEST

static void a_stranger_comes(void)
{
        model_find(CARD);
        fake_attribute_set(&pci, CARD, "vendor", "0x10de\n");
        fake_attribute_set(&pci, CARD, "device", "0x2204\n");
        fake_attribute_set(&pci, CARD, "driver_override", "");
        fake_link_set(&pci, CARD, "driver", "nvidia");
        model_find(SIBLING);
}

START_TEST(stranger)
{
        members[0].must_be_disabled = true;
        use_removing_method(_i);
        fake_link_set(&pci, CARD, "driver", "vfio-pci");
        fake_attribute_set(&pci, CARD, "driver_override", "vfio-pci\n");
        fake_attribute_set(&pci, CARD, "reset_method", "bus\n");
        (void) strcpy(members[0].driver, "vfio-pci");
        kernel.on_return = a_stranger_comes;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_DEGRADED, LIST_LOST);
        expect_check(CARD, "ids", CHECK_FAILED);
        ck_assert_ptr_nonnull(strstr(result->message, "another device, 10de:2204"));

        /* It was not touched. */
        ck_assert_ptr_null(strstr(action_log, "bind"));
        ck_assert_ptr_null(strstr(action_log, "override"));
        ck_assert_ptr_null(strstr(action_log, "list"));
        ck_assert_str_eq(fake_attribute_get(&pci, CARD, "driver_override"), "");
        ck_assert_ptr_null(find_check(CARD, "command"));
}
END_TEST

static void another_board_comes(void)
{
        model_find(CARD);
        fake_attribute_set(&pci, CARD, "subsystem_vendor", "0x8086\n");
        fake_attribute_set(&pci, CARD, "subsystem_device", "0xa01f\n");
        model_find(SIBLING);
}

/* The same chip on another board is another device. */
START_TEST(stranger_of_the_same_make)
{
        use_removing_method(_i);
        fake_attribute_set(&pci, CARD, "subsystem_vendor", "0x8086\n");
        fake_attribute_set(&pci, CARD, "subsystem_device", "0xa01f\n");
        kernel.on_return = another_board_comes;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);

        members[0] = fake_device_member(&pci, CARD);
        members[1] = fake_device_member(&pci, SIBLING);
        fake_attribute_set(&pci, CARD, "subsystem_device", "0xa02f\n");
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_DEGRADED, LIST_LOST);
        expect_check(CARD, "ids", CHECK_FAILED);
}
END_TEST

static void bind_both(const char *driver)
{
        fake_link_set(&pci, CARD, "driver", driver);
        fake_link_set(&pci, SIBLING, "driver", driver);
        (void) strcpy(members[0].driver, driver);
        (void) strcpy(members[1].driver, driver);
}

START_TEST(driver_comes_back_by_itself)
{
        bind_both("e1000e");
        use_removing_method(_i);
        kernel.autoprobe = "e1000e";
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_ptr_null(strstr(action_log, "bind"));
        expect_check(CARD, "driver", CHECK_OK);
}
END_TEST

/* The kernel gives the device to whichever driver matches. */
START_TEST(driver_was_forced)
{
        bind_both("vfio-pci");
        fake_attribute_set(&pci, CARD, "driver_override", "vfio-pci\n");
        fake_attribute_set(&pci, SIBLING, "driver_override", "vfio-pci\n");
        use_removing_method(_i);
        kernel.autoprobe = "e1000e";
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_ptr_nonnull(strstr(action_log, "override vfio-pci; unbind e1000e " CARD
                                                 "; bind vfio-pci " CARD "; override vfio-pci; unbind"));
        ck_assert_str_eq(fake_attribute_get(&pci, CARD, "driver_override"), "vfio-pci");
}
END_TEST

START_TEST(driver_was_bound_by_hand)
{
        bind_both("vfio-pci");
        use_removing_method(_i);
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_ptr_nonnull(strstr(action_log, "bind vfio-pci " CARD "; bind vfio-pci " SIBLING));
}
END_TEST

START_TEST(there_was_no_driver)
{
        use_removing_method(_i);
        kernel.autoprobe = "e1000e";
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_ptr_nonnull(strstr(action_log, "unbind e1000e " CARD "; unbind e1000e " SIBLING));
}
END_TEST

START_TEST(driver_does_not_come_back)
{
        bind_both("vfio-pci");
        use_removing_method(_i);
        kernel.bind_error = -EINVAL;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_DEGRADED, LIST_UNTOUCHED);
        expect_check(CARD, "driver", CHECK_FAILED);
        ck_assert_ptr_nonnull(strstr(result->message, "driver was 'vfio-pci' and is ''"));
}
END_TEST

static void dead_on_arrival(void)
{
        model_find(CARD);
        model_find(SIBLING);
        fake_config_fill(&pci, CARD, 0xff);
}

START_TEST(no_driver_for_the_dead)
{
        bind_both("vfio-pci");
        use_removing_method(_i);
        kernel.on_return = dead_on_arrival;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_DEAD, LIST_UNTOUCHED);
        ck_assert_ptr_null(strstr(action_log, "bind vfio-pci " CARD));
        ck_assert_ptr_nonnull(strstr(action_log, "bind vfio-pci " SIBLING));
}
END_TEST

/* What an administrator has written into the list is written again. */
START_TEST(list_is_put_back)
{
        set_list("bus");
        use_removing_method(_i);
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_EXACT);
        ck_assert_str_eq(fake_attribute_get(&pci, CARD, "reset_method"), "bus\n");

        members[0] = fake_device_member(&pci, CARD);
        members[1] = fake_device_member(&pci, SIBLING);
        kernel.supported = "flr";
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_REDUCED);
}
END_TEST

/* The kernel sets the device up from nothing: nothing was garbled as with a reset in place. */
static void set_up_differently(void)
{
        dead_on_arrival();
        fake_device_remove(&pci, CARD);
        model_find(CARD);
        fake_config_set16(&pci, CARD, PCI_COMMAND, 0x0000);
        fake_config_set16(&pci, CARD, PCI_BASE_ADDRESS_0 + 2, 0xfed0);
}

START_TEST(may_be_set_up_differently)
{
        use_removing_method(_i);
        kernel.on_return = set_up_differently;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        expect_check(CARD, "command", CHECK_SKIPPED);
        expect_check(CARD, "bars", CHECK_SKIPPED);
        expect_check(SIBLING, "bars", CHECK_OK);
}
END_TEST

/* It is the cure. */
START_TEST(dead_target_comes_back)
{
        use_removing_method(_i);
        fake_config_fill(&pci, CARD, 0xff);
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
}
END_TEST

int main(void)
{
        const TTest *const removals[] = {
                does_not_come_back,        nothing_comes_back,
                found_by_another_scan,     looked_for_once_more,
                comes_back_later,          stranger,
                stranger_of_the_same_make, driver_comes_back_by_itself,
                driver_was_forced,         driver_was_bound_by_hand,
                there_was_no_driver,       driver_does_not_come_back,
                no_driver_for_the_dead,    list_is_put_back,
                may_be_set_up_differently, dead_target_comes_back,
        };
        Suite *suite = suite_create("come-back");
        TCase *tree = tcase_create("tree");

        tcase_add_checked_fixture(tree, model_setup, model_teardown);
        tcase_set_timeout(tree, 60);
        tcase_add_test(tree, virtual_functions_go_with_theirs);
        for (size_t i = 0; i < ELEMENTSOF(removals); i++)
                tcase_add_loop_test(tree, removals[i], 0, ELEMENTSOF(removing_methods));
        suite_add_tcase(suite, tree);
        return unit_run(suite);
}
