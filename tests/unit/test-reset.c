/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Resets by the kernel's own methods, and what holds for every way.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "reset-model.h"
#include "shared/cleanup.h"
#include "unit.h"
#include "worker/clock.h"

#define FULL_LOG "save 'flr bus'; resetting; list 'flr'; reset " CARD "; verifying; list 'flr bus'; "

START_TEST(well)
{
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_EXACT);
        ck_assert_str_eq(action_log, FULL_LOG);
        ck_assert_str_eq(fake_attribute_get(&pci, CARD, "reset_method"), "flr bus\n");
        ck_assert_uint_eq(result->n_checks, 10);
}
END_TEST

START_TEST(list_that_needs_no_change)
{
        set_list("flr");
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log, "resetting; reset " CARD "; verifying; ");
}
END_TEST

/* The list is the administrator's: a method that is not in it is not put in to be run. */
START_TEST(list_without_the_method)
{
        static const char *const lists[] = {"", "bus", "flr_too bus"};

        for (size_t i = 0; i < ELEMENTSOF(lists); i++) {
                set_list(lists[i]);
                run();
                expect_result(WORKER_REFUSED, WORKER_WHY_METHOD_REFUSED, 0, VERDICT_UNVERIFIED,
                              LIST_UNTOUCHED);
                ck_assert_str_eq(action_log, "");
                ck_assert_str_eq(fake_attribute_get(&pci, CARD, "reset_method"), current_list);
        }
}
END_TEST

START_TEST(on_a_root_bus)
{
        request.has_bridge = false;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_EXACT);
        ck_assert_uint_eq(result->n_checks, 8);
}
END_TEST

START_TEST(settles)
{
        uint64_t started = now_usec();

        request.settle_usec = 200000;
        run();
        ck_assert_uint_ge(now_usec() - started, 200000);
        /* The time that the reset took is the kernel's alone. */
        ck_assert_uint_lt(result->finished_usec - result->started_usec, 100000);
}
END_TEST

/* Lists that cannot be put back as they were. */
static void check_restore(const char *old, const char *supported, ListRestored restored, const char *now)
{
        char text[64];

        set_list(old);
        kernel.supported = supported;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, restored);
        (void) snprintf(text, sizeof(text), "%s%s", now, *now ? "\n" : "");
        ck_assert_str_eq(fake_attribute_get(&pci, CARD, "reset_method"), text);
}

START_TEST(list_reduced)
{
        /* `bus` was there from the time before the sibling was found. */
        check_restore("flr bus", "flr", LIST_REDUCED, "flr");
        ck_assert_str_eq(action_log, "save 'flr bus'; resetting; list 'flr'; reset " CARD
                                     "; verifying; list 'flr bus'; list 'default'; list 'flr'; ");

        /* The order is the administrator's, and a method that was removed stays removed. */
        check_restore("bus pm flr", "flr pm", LIST_REDUCED, "pm flr");
        check_restore("bus flr", "acpi flr pm", LIST_REDUCED, "flr");
        check_restore("flr bus flr", "flr pm", LIST_REDUCED, "flr flr");
}
END_TEST

START_TEST(list_default)
{
        /* The selection, the old list (refused) and `default`; then no more. */
        kernel.fail_list_after = 3;
        check_restore("flr bus", "flr pm", LIST_DEFAULT, "flr pm");
}
END_TEST

START_TEST(list_lost)
{
        kernel.fail_list_after = 1;
        check_restore("flr bus", "flr bus", LIST_LOST, "flr");
        kernel.fail_list_after = 0;
        kernel.default_error = -EINVAL;
        check_restore("flr bus", "flr", LIST_LOST, "flr");
}
END_TEST

static void somebody_writes_a_list(void)
{
        set_list("bus");
}

START_TEST(list_of_somebody_else_stays)
{
        kernel.on_reset = somebody_writes_a_list;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_str_eq(fake_attribute_get(&pci, CARD, "reset_method"), "bus\n");
}
END_TEST

START_TEST(method_refused)
{
        kernel.supported = "bus";
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_METHOD_REFUSED, EINVAL, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log, "save 'flr bus'; resetting; list 'flr'; ");
        ck_assert_str_eq(fake_attribute_get(&pci, CARD, "reset_method"), "flr bus\n");
        kernel.list_error = -ENXIO;
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_METHOD_REFUSED, ENXIO, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
}
END_TEST

START_TEST(not_saved_not_written)
{
        kernel.save_error = -ENOSPC;
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_RECORD, ENOSPC, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log, "save 'flr bus'; ");
}
END_TEST

START_TEST(list_that_is_not_understood)
{
        set_list("flr,bus");
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_UNREADABLE, EBADMSG, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log, "");
}
END_TEST

START_TEST(no_files_to_write)
{
        fake_attribute_remove(&pci, CARD, "reset_method");
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, ENOENT, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        set_list("flr bus");
        fake_attribute_remove(&pci, CARD, "reset");
        expect_untouched(WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, ENOENT);
}
END_TEST

START_TEST(use_is_looked_at)
{
        fake_link_set(&pci, CARD, "driver", "e1000e");
        expect_untouched(WORKER_REFUSED, WORKER_WHY_DRIVER, EBUSY);
        fake_link_set(&pci, CARD, "driver", NULL);

        members[0].must_be_disabled = true;
        fake_attribute_set(&pci, CARD, "enable", "2\n");
        expect_untouched(WORKER_REFUSED, WORKER_WHY_ENABLED, EBUSY);
        fake_attribute_set(&pci, CARD, "enable", "0\n");

        /* of every member */
        request.n_members = 2;
        fake_link_set(&pci, SIBLING, "driver", "e1000e");
        expect_untouched(WORKER_REFUSED, WORKER_WHY_DRIVER, EBUSY);
        ck_assert_ptr_nonnull(strstr(result->message, SIBLING));
        fake_link_set(&pci, SIBLING, "driver", NULL);
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_EXACT);
}
END_TEST

static void a_driver_is_bound(void)
{
        fake_link_set(&pci, SIBLING, "driver", "e1000e");
}

static void a_driver_is_bound_in_phase(WorkerEventType phase)
{
        (void) phase;
        a_driver_is_bound();
}

/* The last look comes after everything else that takes time. */
START_TEST(use_is_looked_at_again)
{
        request.n_members = 2;
        kernel.on_phase = a_driver_is_bound_in_phase;
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_DRIVER, EBUSY, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log, "save 'flr bus'; resetting; ");
        fake_link_set(&pci, SIBLING, "driver", NULL);

        kernel.on_phase = NULL;
        kernel.on_select = a_driver_is_bound;
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_DRIVER, EBUSY, VERDICT_UNVERIFIED, LIST_EXACT);
        ck_assert_str_eq(action_log, "save 'flr bus'; resetting; list 'flr'; list 'flr bus'; ");
        ck_assert_str_eq(fake_attribute_get(&pci, CARD, "reset_method"), "flr bus\n");
}
END_TEST

START_TEST(another_device)
{
        members[0].inode++;
        expect_untouched(WORKER_GONE, "", ENODEV);
        members[0].inode--;
        request.n_members = 2;
        members[1].device++;
        expect_untouched(WORKER_GONE, "", ENODEV);
        ck_assert_ptr_nonnull(strstr(result->message, SIBLING));
        members[1].device--;
        request.bridge.inode++;
        expect_untouched(WORKER_GONE, "", ENODEV);
        ck_assert_ptr_nonnull(strstr(result->message, PORT));
}
END_TEST

START_TEST(bridge_as_target)
{
        members[0] = fake_device_member(&pci, PORT);
        request.has_bridge = false;
        fake_attribute_set(&pci, PORT, "reset", "");
        expect_untouched(WORKER_REFUSED, WORKER_WHY_BRIDGE, 0);

        /* By its header, whatever its class says. */
        members[0] = fake_device_member(&pci, CARD);
        fake_config_set(&pci, CARD, PCI_HEADER_TYPE, &(uint8_t){0x81}, 1);
        expect_untouched(WORKER_REFUSED, WORKER_WHY_BRIDGE, 0);
}
END_TEST

/* The driver of a bridge above the set is nobody's business. */
START_TEST(bridge_above)
{
        fake_link_set(&pci, PORT, "driver", NULL);
        request.bridge.must_be_disabled = true;
        fake_attribute_set(&pci, PORT, "enable", "1\n");
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_EXACT);
}
END_TEST

START_TEST(dead_target)
{
        static const struct {
                uint8_t byte;
                const char *text;
        } readings[] = {{0xff, "all ones"}, {0x00, "zeros"}};

        for (size_t i = 0; i < ELEMENTSOF(readings); i++) {
                fake_config_fill(&pci, CARD, readings[i].byte);
                run();
                expect_result(WORKER_REFUSED, WORKER_WHY_DEAD, 0, VERDICT_DEAD, LIST_UNTOUCHED);
                ck_assert_str_eq(action_log, "");
                ck_assert_uint_eq(result->n_checks, 1);
                ck_assert_str_eq(result->checks[0].before, readings[i].text);
        }

        fake_config_set16(&pci, CARD, PCI_VENDOR_ID, 0x0001);
        fake_config_set16(&pci, CARD, PCI_DEVICE_ID, 0xffff);
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_DEAD, 0, VERDICT_DEAD, LIST_UNTOUCHED);
}
END_TEST

static void the_card_comes_to_life(void)
{
        fake_config_fill(&pci, CARD, 0);
        fake_config_set16(&pci, CARD, PCI_VENDOR_ID, 0x8086);
        fake_config_set16(&pci, CARD, PCI_DEVICE_ID, 0x10d3);
}

START_TEST(dead_target_and_a_link_reset)
{
        (void) strcpy(request.method, "bus");
        fake_config_fill(&pci, CARD, 0xff);
        kernel.on_reset = the_card_comes_to_life;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_DEGRADED, LIST_EXACT);
        ck_assert_str_eq(result->checks[0].before, "all ones");
        ck_assert_str_eq(result->checks[0].after, "answers");
}
END_TEST

static void the_sibling_comes_to_life(void)
{
        const uint8_t zeros[4] = {0};

        fake_config_fill(&pci, SIBLING, 0xff);
        fake_config_set(&pci, SIBLING, PCI_COMMAND, zeros, sizeof(zeros));
}

/* A virtual function may be brought back by the reset of its physical one. */
START_TEST(dead_member)
{
        fake_link_set(&pci, SIBLING, "physfn", CARD);
        fake_config_fill(&pci, SIBLING, 0xff);
        request.n_members = 2;
        kernel.on_reset = the_sibling_comes_to_life;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_DEGRADED, LIST_EXACT);

        fake_config_fill(&pci, SIBLING, 0xff);
        kernel.on_reset = NULL;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_DEAD, LIST_EXACT);
        ck_assert_ptr_nonnull(strstr(result->message, SIBLING));
}
END_TEST

static void the_card_dies(void)
{
        fake_config_fill(&pci, CARD, 0xff);
}

START_TEST(dies)
{
        kernel.on_reset = the_card_dies;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_DEAD, LIST_EXACT);
        ck_assert_str_eq(action_log, FULL_LOG);
        ck_assert_ptr_nonnull(strstr(result->message, "all ones"));
}
END_TEST

static void the_card_loses_its_command(void)
{
        fake_config_set16(&pci, CARD, PCI_COMMAND, 0);
}

START_TEST(comes_back_different)
{
        kernel.on_reset = the_card_loses_its_command;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_DEGRADED, LIST_EXACT);
        ck_assert_ptr_nonnull(strstr(result->message, "command was '0x0406' and is '0x0000'"));
}
END_TEST

/* In another process, since the worker sleeps between its looks. */
static void the_card_comes_back_late(void)
{
        the_card_loses_its_command();
        if (fork() == 0) {
                (void) usleep(300000);
                fake_config_set16(&pci, CARD, PCI_COMMAND, 0x0406);
                _exit(0);
        }
}

START_TEST(comes_back_late)
{
        kernel.on_reset = the_card_comes_back_late;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_EXACT);
}
END_TEST

START_TEST(fails)
{
        static const struct {
                int error;
                Verdict verdict;
        } failures[] = {
                {ENOTTY, VERDICT_UNVERIFIED}, /* proves nothing either way */
                {EINVAL, VERDICT_OK},
                {EIO, VERDICT_OK},
                {ENODEV, VERDICT_OK}, /* the device is still there: an IOMMU domain said so */
        };

        for (size_t i = 0; i < ELEMENTSOF(failures); i++) {
                kernel.reset_error = -failures[i].error;
                kernel.on_reset = NULL;
                run();
                expect_result(WORKER_FAILED, "", failures[i].error, failures[i].verdict, LIST_EXACT);
                ck_assert_str_eq(action_log, FULL_LOG);

                kernel.on_reset = the_card_loses_its_command;
                run();
                expect_result(WORKER_FAILED, "", failures[i].error, VERDICT_DEGRADED, LIST_EXACT);
                fake_config_set16(&pci, CARD, PCI_COMMAND, 0x0406);
        }

        kernel.on_reset = the_card_dies;
        run();
        expect_result(WORKER_FAILED, "", ENODEV, VERDICT_DEAD, LIST_EXACT);
}
END_TEST

static void the_card_is_unplugged(void)
{
        fake_device_remove(&pci, CARD);
}

static void the_card_is_replaced(void)
{
        the_card_is_unplugged();
        fake_device_add_below(&pci, CARD, PORT);
}

static void the_card_is_replaced_in_phase(WorkerEventType phase)
{
        if (phase == WORKER_EVENT_RESETTING)
                the_card_is_replaced();
}

/* Whenever the card is exchanged, its successor is not touched. */
static void expect_successor_untouched(void)
{
        ck_assert_str_eq(fake_attribute_get(&pci, CARD, "reset_method"), "flr bus\n");
        ck_assert_str_eq(fake_attribute_get(&pci, CARD, "reset"), "");
}

START_TEST(replaced_before_the_first_write)
{
        kernel.on_phase = the_card_is_replaced_in_phase;
        run();
        expect_result(WORKER_GONE, "", ENODEV, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log, "save 'flr bus'; resetting; ");
        expect_successor_untouched();
}
END_TEST

START_TEST(replaced_before_the_reset)
{
        kernel.on_select = the_card_is_replaced;
        run();
        expect_result(WORKER_GONE, "", ENODEV, VERDICT_UNVERIFIED, LIST_LOST);
        ck_assert_str_eq(action_log, "save 'flr bus'; resetting; list 'flr'; ");
        expect_successor_untouched();
}
END_TEST

/* The write itself meets a device that has just been removed. */
START_TEST(replaced_under_the_reset)
{
        kernel.on_reset = the_card_is_replaced;
        kernel.reset_error = -ENODEV;
        run();
        expect_result(WORKER_GONE, "", ENODEV, VERDICT_UNVERIFIED, LIST_LOST);
        expect_successor_untouched();
}
END_TEST

START_TEST(unplugged_after_the_reset)
{
        kernel.on_reset = the_card_is_unplugged;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_DEAD, LIST_LOST);
        ck_assert_str_eq(result->checks[0].after, "gone");
}
END_TEST

START_TEST(counts_errors)
{
        fake_attribute_set(&pci, CARD, "aer_dev_fatal", "DLP 0\nTOTAL_ERR_FATAL 4\n");
        fake_attribute_set(&pci, CARD, "aer_dev_nonfatal", "TLP 1\nTOTAL_ERR_NONFATAL 1\n");
        fake_attribute_set(&pci, PORT, "aer_rootport_total_err_fatal", "7\n");
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_EXACT);
        ck_assert_str_eq(result->checks[6].check, "aer");
        ck_assert_str_eq(result->checks[6].after, "fatal 4, nonfatal 1");
        ck_assert_str_eq(result->checks[9].after, "below fatal 7");
}
END_TEST

/* An error has cleared them before the reset, which leaves them as they were: that is not well. */
START_TEST(bars_that_were_lost_before)
{
        const WorkerCheck *bars;

        fake_attribute_set(&pci, CARD, "resource",
                           "0x00000000febc0000 0x00000000febdffff 0x0000000000040200\n");
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_EXACT);
        fake_config_set16(&pci, CARD, PCI_BASE_ADDRESS_0 + 2, 0);
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_DEGRADED, LIST_EXACT);
        bars = &result->checks[4];
        ck_assert_str_eq(bars->check, "bars");
        ck_assert_int_eq(bars->result, CHECK_FAILED);
        ck_assert_str_eq(bars->before, "0xfebc0000");
        ck_assert_str_eq(bars->after, "0x0");
}
END_TEST

START_TEST(refusals)
{
        result = reset_refusal_new(WORKER_WHY_BUSY, EBUSY, "0000: no");
        expect_result(WORKER_REFUSED, WORKER_WHY_BUSY, EBUSY, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
}
END_TEST

int main(void)
{
        const TTest *const tests[] = {
                well,
                list_that_needs_no_change,
                list_without_the_method,
                on_a_root_bus,
                settles,
                list_reduced,
                list_default,
                list_lost,
                list_of_somebody_else_stays,
                method_refused,
                not_saved_not_written,
                list_that_is_not_understood,
                no_files_to_write,
                use_is_looked_at,
                use_is_looked_at_again,
                another_device,
                bridge_as_target,
                bridge_above,
                dead_target,
                dead_target_and_a_link_reset,
                dead_member,
                dies,
                comes_back_different,
                comes_back_late,
                fails,
                replaced_before_the_first_write,
                replaced_before_the_reset,
                replaced_under_the_reset,
                unplugged_after_the_reset,
                counts_errors,
                bars_that_were_lost_before,
                refusals,
        };
        Suite *suite = suite_create("reset");
        TCase *tree = tcase_create("tree");

        tcase_add_checked_fixture(tree, model_setup, model_teardown);
        tcase_set_timeout(tree, 60);
        for (size_t i = 0; i < ELEMENTSOF(tests); i++)
                tcase_add_test(tree, tests[i]);
        suite_add_tcase(suite, tree);
        return unit_run(suite);
}
