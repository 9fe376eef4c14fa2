/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Drivers are kept off a device, and let at it again: by a worker of their own, and by the reset that has
 * proved the device to be well.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "reset-model.h"
#include "shared/cleanup.h"
#include "unit.h"
#include "worker/keep-off.h"

#define SERIAL "00-11-22-33-44-55-66-77"
#define OTHER  "00-11-22-33-44-55-66-78"

DEFINE_CLEANUP(WorkerRequest *, worker_request_free);

static char directory[96];
static WorkerResult *held;
static char hold_serial[WORKER_SERIAL_MAX];

static const char * override(void)
{
        return fake_attribute_get(&pci, CARD, "driver_override");
}

static void set_override(const char *text)
{
        fake_attribute_set(&pci, CARD, "driver_override", text);
}

static void set_serial(uint32_t low)
{
        const uint32_t header = PCI_EXT_CAP_ID_DSN | 1U << 16, high = 0x00112233, end = 0;

        fake_config_set(&pci, CARD, PCI_CFG_SPACE_EXP_SIZE - 4, &end, sizeof(end));
        fake_config_set(&pci, CARD, PCI_CFG_SPACE_SIZE, &header, sizeof(header));
        fake_config_set(&pci, CARD, PCI_CFG_SPACE_SIZE + 4, &low, sizeof(low));
        fake_config_set(&pci, CARD, PCI_CFG_SPACE_SIZE + 8, &high, sizeof(high));
}

static void hold(WorkerHold action)
{
        WorkerMember member = fake_device_member(&pci, CARD);
        WorkerRequest asked = {
                .operation = WORKER_HOLD,
                .method = WORKER_HOLD_METHOD,
                .action = action,
                .members = &member,
                .n_members = 1,
        };

        memcpy(asked.serial, hold_serial, sizeof(asked.serial));
        held = worker_result_free(held);
        ck_assert_int_eq(keep_off_run(pci.devices_fd, directory, &asked, &held), 0);
}

static void setup(void)
{
        model_setup();
        (void) snprintf(directory, sizeof(directory), "%s/kept-off", pci.root);
        hold_serial[0] = '\0';
}

static void teardown(void)
{
        held = worker_result_free(held);
        model_teardown();
}

static const struct {
        const char *before, *kept;
} overrides[] = {
        {"(null)\n", "pciresetd-quarantine:"},
        {"vfio-pci\n", "pciresetd-quarantine:vfio-pci"},
};

START_TEST(kept_and_released)
{
        set_override(overrides[_i].before);
        hold(HOLD_KEEP);
        ck_assert_int_eq(held->outcome, WORKER_DONE);
        ck_assert(held->written);
        ck_assert_str_eq(held->override, overrides[_i].kept);
        ck_assert_str_eq(override(), overrides[_i].kept);
        /* Another worker finds it as it is. */
        hold(HOLD_KEEP);
        ck_assert(!held->written);
        ck_assert_str_eq(held->override, overrides[_i].kept);

        hold(HOLD_RELEASE);
        ck_assert(held->written);
        ck_assert_int_eq(strncmp(override(), overrides[_i].before, strcspn(overrides[_i].before, "\n")), 0);
        ck_assert_ptr_null(strstr(held->override, "quarantine"));
        hold(HOLD_RELEASE);
        ck_assert(!held->written);
        hold(HOLD_KEEP);
        ck_assert(held->written);
}
END_TEST

START_TEST(a_look_writes_nothing)
{
        set_serial(0x44556677);
        hold(HOLD_LOOK);
        ck_assert_int_eq(held->outcome, WORKER_DONE);
        ck_assert(!held->written);
        ck_assert_uint_eq(held->n_serials, 1);
        ck_assert_str_eq(held->serials[0].serial, SERIAL);
        ck_assert_str_eq(action_log, "");
}
END_TEST

START_TEST(a_bound_driver_stays)
{
        fake_link_set(&pci, CARD, "driver", "e1000e");
        hold(HOLD_KEEP);
        ck_assert_int_eq(held->outcome, WORKER_DONE);
        ck_assert(!held->written);
        ck_assert_str_eq(action_log, "");
}
END_TEST

/* Now and after a restart. */
START_TEST(what_an_administrator_writes_stays)
{
        hold(HOLD_KEEP);
        set_override("vfio-pci\n");
        hold(HOLD_KEEP);
        ck_assert(!held->written);
        ck_assert_str_eq(held->override, "vfio-pci");
        hold(HOLD_RELEASE);
        ck_assert(!held->written);
        ck_assert_str_eq(override(), "vfio-pci\n");
}
END_TEST

/* The kernel has forgotten it together with the device. */
START_TEST(once_more_when_it_is_back)
{
        /* As the daemon does, so that no other one gets its inode number. */
        _cleanup_close_ int pin = openat(pci.devices_fd, CARD, O_PATH | O_CLOEXEC);

        hold(HOLD_KEEP);
        fake_device_remove(&pci, CARD);
        fake_device_add_below(&pci, CARD, PORT);
        ck_assert_str_eq(override(), "(null)\n");
        hold(HOLD_KEEP);
        ck_assert(held->written);
        ck_assert_str_eq(override(), "pciresetd-quarantine:");
}
END_TEST

static const struct {
        const char *wanted;
        bool kept;
} cards[] = {{"", true}, {SERIAL, true}, {OTHER, false}};

/* A worker was killed right before it wrote the override, or right after it. */
START_TEST(killed_in_the_middle)
{
        char path[160];

        hold(HOLD_KEEP);
        if (_i == 0)
                set_override("(null)\n");
        (void) snprintf(path, sizeof(path), "%s/" CARD, directory);
        ck_assert_int_eq(access(path, F_OK), 0);
        ck_assert_int_eq(truncate(path, 0), 0);
        hold(HOLD_KEEP);
        ck_assert_int_eq(held->written, _i == 0);
        ck_assert_str_eq(override(), "pciresetd-quarantine:");
        set_override("vfio-pci\n");
        hold(HOLD_KEEP);
        ck_assert_str_eq(override(), "vfio-pci\n");
}
END_TEST

START_TEST(only_the_card_that_is_meant)
{
        set_serial(0x44556677);
        (void) snprintf(hold_serial, sizeof(hold_serial), "%s", cards[_i].wanted);
        hold(HOLD_KEEP);
        ck_assert_int_eq(held->outcome, WORKER_DONE);
        ck_assert_int_eq(held->written, cards[_i].kept);
        ck_assert_str_eq(held->serials[0].serial, SERIAL);
}
END_TEST

/* A dead one tells nothing, and it is meant. */
START_TEST(a_dead_card)
{
        fake_config_fill(&pci, CARD, 0xff);
        (void) snprintf(hold_serial, sizeof(hold_serial), SERIAL);
        hold(HOLD_KEEP);
        ck_assert(held->written);
        ck_assert_uint_eq(held->n_serials, 0);
}
END_TEST

START_TEST(failures)
{
        char text[WORKER_DRIVER_MAX];

        kernel.override_error = -EINVAL;
        hold(HOLD_KEEP);
        ck_assert_int_eq(held->outcome, WORKER_FAILED);
        ck_assert_int_eq(held->error, EINVAL);
        kernel.override_error = 0;
        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        set_override(text);
        fake_device_remove(&pci, SIBLING);
        hold(HOLD_KEEP);
        ck_assert(!held->written);
        ck_assert_str_eq(override(), text);
        members[0] = fake_device_member(&pci, CARD);
        fake_device_remove(&pci, CARD);
        request = (WorkerRequest){.operation = WORKER_HOLD, .members = members, .n_members = 1};
        held = worker_result_free(held);
        ck_assert_int_eq(keep_off_run(pci.devices_fd, directory, &request, &held), 0);
        ck_assert_int_eq(held->outcome, WORKER_GONE);
}
END_TEST

/* ---- by a reset ---- */

static void keep_from(const char *driver)
{
        fake_driver_add(&pci, driver);
        set_override("pciresetd-quarantine:");
        members[0] = fake_device_member(&pci, CARD);
        members[0].may_hand_back = true;
        (void) snprintf(members[0].hand_back, sizeof(members[0].hand_back), "%s", driver);
}

START_TEST(proof_hands_back)
{
        keep_from("e1000e");
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_EXACT);
        ck_assert_str_eq(action_log, "save 'flr bus'; resetting; list 'flr'; reset " CARD
                                     "; verifying; override none; bind e1000e " CARD "; list 'flr bus'; ");
        expect_check(CARD, "driver", CHECK_OK);
        ck_assert_str_eq(find_check(CARD, "driver")->after, "e1000e");
        ck_assert_str_eq(override(), "(null)\n");
}
END_TEST

START_TEST(a_driver_that_does_not_come_back)
{
        keep_from("e1000e");
        kernel.bind_error = -EIO;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_DEGRADED, LIST_EXACT);
        expect_check(CARD, "driver", CHECK_FAILED);
        ck_assert_str_eq(find_check(CARD, "driver")->before, "e1000e");
        ck_assert_str_eq(find_check(CARD, "driver")->after, "");
        ck_assert_ptr_nonnull(strstr(result->message, "e1000e"));
}
END_TEST

static void it_changes(void)
{
        fake_config_set16(&pci, CARD, PCI_COMMAND, 0x0000);
}

static void it_dies(void)
{
        fake_config_fill(&pci, CARD, 0xff);
}

START_TEST(no_proof_hands_nothing_back)
{
        keep_from("e1000e");
        switch (_i) {
        case 0:
                kernel.on_reset = it_changes;
                break;
        case 1:
                kernel.on_reset = it_dies;
                break;
        case 2:
                kernel.reset_error = -ENOTTY;
                break;
        case 3:
                members[0].may_hand_back = false;
                members[0].hand_back[0] = '\0';
                break;
        case 4:
                /* It is as it was before, and that is not as the kernel knows it. */
                fake_attribute_set(&pci, CARD, "resource",
                                   "0x00000000fec00000 0x00000000fec1ffff 0x0000000000040200\n");
                break;
        }
        run();
        if (_i == 4) {
                expect_result(WORKER_DONE, "", 0, VERDICT_DEGRADED, LIST_EXACT);
                expect_check(CARD, "bars", CHECK_FAILED);
        }
        ck_assert_ptr_null(strstr(action_log, "bind"));
        ck_assert_ptr_null(strstr(action_log, "override"));
        ck_assert_str_eq(override(), "pciresetd-quarantine:");
}
END_TEST

/* What the kernel has bound to it as it was found. */
static void a_stranger_of_the_same_kind(void)
{
        const uint32_t bar = 0xdead0000;

        model_find(CARD);
        model_find(SIBLING);
        if (kernel.save_error == 0)
                fake_config_fill(&pci, CARD, 0xff);
        else
                fake_config_set(&pci, CARD, PCI_SUBSYSTEM_VENDOR_ID, &bar, sizeof(bar));
}

START_TEST(nothing_is_bound_to_what_is_in_doubt)
{
        fake_driver_add(&pci, "e1000e");
        fake_link_set(&pci, CARD, "driver", "e1000e");
        model_use_method("rescan");
        members[0] = fake_device_member(&pci, CARD);
        members[1] = fake_device_member(&pci, SIBLING);
        kernel.autoprobe = "e1000e";
        kernel.on_return = a_stranger_of_the_same_kind;
        kernel.save_error = _i;
        run();
        ck_assert_int_ne(result->verdict, VERDICT_OK);
        ck_assert_ptr_nonnull(strstr(action_log, "unbind e1000e " CARD));
        expect_check(CARD, "driver", CHECK_FAILED);
        ck_assert_str_eq(find_check(CARD, "driver")->after, "");
}
END_TEST

/* ---- what is said ---- */

START_TEST(serials_are_told)
{
        set_serial(0x44556677);
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_EXACT);
        ck_assert_uint_eq(result->n_serials, 1);
        ck_assert_str_eq(result->serials[0].serial, SERIAL);
        for (size_t i = 0; i < result->n_checks; i++)
                ck_assert_ptr_null(strstr(result->checks[i].after, "44-55"));
}
END_TEST

static void another_card(void)
{
        set_serial(0x44556678);
}

START_TEST(another_card_is_no_proof)
{
        set_serial(0x44556677);
        kernel.on_reset = another_card;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_DEGRADED, LIST_EXACT);
        expect_check(CARD, "serial", CHECK_FAILED);
        ck_assert_ptr_null(strstr(find_check(CARD, "serial")->after, "44"));
}
END_TEST

START_TEST(requests_come_through)
{
        WorkerRequest asked = {.operation = WORKER_HOLD,
                               .method = WORKER_HOLD_METHOD,
                               .action = (WorkerHold) _i,
                               .members = members,
                               .n_members = 1};
        _cleanup_(cleanup_worker_request_free) WorkerRequest *parsed = NULL;
        _cleanup_free_ char *line = NULL;
        char *bad;

        (void) snprintf(asked.serial, sizeof(asked.serial), SERIAL);
        ck_assert_int_eq(worker_request_format(&asked, &line), 0);
        ck_assert_int_eq(worker_request_parse(line, strlen(line) - 1, &parsed), 0);
        ck_assert_int_eq(parsed->action, _i);
        ck_assert_str_eq(parsed->serial, SERIAL);
        bad = strstr(line, "00-11");
        bad[2] = '/';
        parsed = worker_request_free(parsed);
        ck_assert_int_eq(worker_request_parse(line, strlen(line) - 1, &parsed), -EBADMSG);
        asked.n_members = 2;
        free(steal_pointer(line));
        ck_assert_int_eq(worker_request_format(&asked, &line), -EINVAL);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("keep-off");
        TCase *cases = tcase_create("all");

        tcase_add_checked_fixture(cases, setup, teardown);
        tcase_add_loop_test(cases, kept_and_released, 0, ELEMENTSOF(overrides));
        tcase_add_test(cases, a_look_writes_nothing);
        tcase_add_test(cases, a_bound_driver_stays);
        tcase_add_test(cases, what_an_administrator_writes_stays);
        tcase_add_test(cases, once_more_when_it_is_back);
        tcase_add_loop_test(cases, killed_in_the_middle, 0, 2);
        tcase_add_loop_test(cases, only_the_card_that_is_meant, 0, ELEMENTSOF(cards));
        tcase_add_test(cases, a_dead_card);
        tcase_add_test(cases, failures);
        tcase_add_test(cases, proof_hands_back);
        tcase_add_test(cases, a_driver_that_does_not_come_back);
        tcase_add_loop_test(cases, no_proof_hands_nothing_back, 0, 5);
        tcase_add_loop_test(cases, nothing_is_bound_to_what_is_in_doubt, 0, 2);
        tcase_add_test(cases, serials_are_told);
        tcase_add_test(cases, another_card_is_no_proof);
        tcase_add_loop_test(cases, requests_come_through, 0, 3);
        suite_add_tcase(suite, cases);
        return unit_run(suite);
}
