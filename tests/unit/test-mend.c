/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What a worker puts back that comes after one which was killed, at each of the instants at which that can
 * have been.
 */

#include <errno.h>
#include <string.h>

#include <linux/pci_regs.h>

#include "reset-model.h"
#include "shared/cleanup.h"
#include "unit.h"
#include "worker/mend.h"

static WorkerRecord record;
static WorkerSaved saved[2];

static int on_save(const char *list, void *userdata)
{
        ck_abort_msg("nothing is saved once more");
}

static void on_phase(WorkerEventType phase, void *userdata)
{
        ck_assert_int_eq(phase, WORKER_EVENT_VERIFYING);
        note("verifying");
}

static void mend(void)
{
        const ResetEvents events = {.save_list = on_save, .phase = on_phase};

        result = worker_result_free(result);
        action_log[0] = '\0';
        request.operation = WORKER_MEND;
        record.request = &request;
        ck_assert_int_eq(mend_run(pci.devices_fd, &request, &record, &events, &result), 0);
        ck_assert_ptr_null(strstr(action_log, "reset 0000"));
}

static void setup(void)
{
        model_setup();
        record = (WorkerRecord){};
        memset(saved, 0, sizeof(saved));
}

static void expect_died(Verdict verdict)
{
        ck_assert_int_eq(result->outcome, WORKER_FAILED);
        ck_assert_str_eq(result->why, WORKER_WHY_DIED);
        ck_assert_msg(result->verdict == verdict, "%s: %s", verdict_to_string(result->verdict),
                      result->message);
        ck_assert(result->written);
        ck_assert_ptr_nonnull(strstr(result->message, CARD ": the worker died while it was reset by "));
}

static void save_list(const char *list)
{
        record.has_saved_reset_method = true;
        (void) snprintf(record.saved_reset_method, sizeof(record.saved_reset_method), "%s", list);
}

START_TEST(nothing_was_changed)
{
        mend();
        expect_died(VERDICT_UNVERIFIED);
        ck_assert_str_eq(action_log, "verifying; ");
        expect_check(CARD, "answers", CHECK_OK);
        expect_check(CARD, "ids", CHECK_OK);
        ck_assert_int_eq(result->reset_method, LIST_UNTOUCHED);
}
END_TEST

START_TEST(list_is_put_back)
{
        save_list("flr bus");
        set_list("flr");
        mend();
        expect_died(VERDICT_UNVERIFIED);
        ck_assert_str_eq(action_log, "list 'flr bus'; verifying; ");
        ck_assert_str_eq(fake_attribute_get(&pci, CARD, "reset_method"), "flr bus\n");
        ck_assert_int_eq(result->reset_method, LIST_EXACT);
}
END_TEST

/* It was not narrowed yet, or is back already; or somebody has written another one since. */
static const char *const lists[] = {"flr bus", "bus", "bus flr"};

START_TEST(list_of_others_stays)
{
        save_list("flr bus");
        set_list(lists[_i]);
        mend();
        expect_died(VERDICT_UNVERIFIED);
        ck_assert_str_eq(action_log, "verifying; ");
        ck_assert_int_eq(result->reset_method, LIST_UNTOUCHED);
}
END_TEST

START_TEST(list_that_is_refused)
{
        save_list("flr bus");
        set_list("flr");
        kernel.list_error = -EIO;
        mend();
        expect_died(VERDICT_UNVERIFIED);
        ck_assert_int_eq(result->reset_method, LIST_LOST);
        ck_assert_ptr_nonnull(strstr(result->message, "it was: flr bus"));
}
END_TEST

static void use_driver(const char *device, WorkerMember *member)
{
        fake_link_set(&pci, device, "driver", "r8169");
        *member = fake_device_member(&pci, device);
        (void) strcpy(member->driver, "r8169");
        fake_link_set(&pci, device, "driver", NULL);
}

START_TEST(driver_is_put_back)
{
        use_driver(CARD, &members[0]);
        request.driver = WORKER_DRIVER_REBIND;
        mend();
        expect_died(VERDICT_UNVERIFIED);
        ck_assert_str_eq(action_log, "verifying; bind r8169 " CARD "; ");
        expect_check(CARD, "driver", CHECK_OK);
}
END_TEST

/* It was not to be taken off, so whoever did that was somebody else. */
START_TEST(driver_that_others_took_off)
{
        use_driver(CARD, &members[0]);
        mend();
        ck_assert_str_eq(action_log, "verifying; ");
}
END_TEST

START_TEST(driver_stays_off_what_is_dead)
{
        use_driver(CARD, &members[0]);
        request.driver = WORKER_DRIVER_REBIND;
        fake_config_fill(&pci, CARD, 0xff);
        mend();
        expect_died(VERDICT_DEAD);
        ck_assert_str_eq(action_log, "verifying; ");
        expect_check(CARD, "answers", CHECK_FAILED);
}
END_TEST

START_TEST(dead)
{
        save_list("flr bus");
        set_list("flr");
        fake_config_fill(&pci, CARD, 0xff);
        mend();
        expect_died(VERDICT_DEAD);
        ck_assert_str_eq(fake_attribute_get(&pci, CARD, "reset_method"), "flr bus\n");
}
END_TEST

/* No record is left of a worker of an earlier boot. */
START_TEST(machine_went_down)
{
        request.machine_stopped = true;
        mend();
        ck_assert_int_eq(result->outcome, WORKER_FAILED);
        ck_assert_str_eq(result->why, WORKER_WHY_STOPPED);
        ck_assert_int_eq(result->verdict, VERDICT_UNVERIFIED);
        ck_assert_ptr_nonnull(strstr(result->message, CARD ": the machine went down while it was reset by "));
        expect_check(CARD, "answers", CHECK_OK);
        ck_assert_str_eq(action_log, "verifying; ");
}
END_TEST

START_TEST(gone)
{
        fake_device_remove(&pci, CARD);
        mend();
        ck_assert_int_eq(result->outcome, WORKER_GONE);
        /* Something may have been, of others in the set, too. */
        ck_assert(result->written);
        ck_assert_str_eq(action_log, "");
}
END_TEST

/* Another device has its place: its list is none of ours. */
START_TEST(replaced)
{
        save_list("flr bus");
        members[0].inode++;
        set_list("flr");
        mend();
        ck_assert_int_eq(result->outcome, WORKER_GONE);
        ck_assert_str_eq(action_log, "");
}
END_TEST

static void save_settings(void)
{
        saved[0] = (WorkerSaved){.driver_override = "vfio-pci", .has_list = true};
        ck_assert_int_eq(reset_method_list_parse("bus", &saved[0].list), 0);
        record.saved = saved;
        record.n_saved = 2;
}

static void expect_settings(void)
{
        expect_died(VERDICT_UNVERIFIED);
        ck_assert_str_eq(fake_attribute_get(&pci, CARD, "reset_method"), "bus\n");
        ck_assert_str_eq(fake_attribute_get(&pci, CARD, "driver_override"), "vfio-pci");
        expect_check(CARD, "answers", CHECK_OK);
        expect_check(SIBLING, "answers", CHECK_OK);
}

START_TEST(slot_was_off)
{
        model_use_slot();
        fake_slot_switch(&pci, "3", false);
        fake_device_remove(&pci, CARD);
        fake_device_remove(&pci, SIBLING);
        save_settings();
        mend();
        ck_assert_int_eq(strncmp(action_log, "slot 3 1; ", strlen("slot 3 1; ")), 0);
        expect_settings();
}
END_TEST

START_TEST(slot_was_on)
{
        model_use_slot();
        fake_slot_switch(&pci, "3", true);
        mend();
        expect_died(VERDICT_UNVERIFIED);
        ck_assert_str_eq(action_log, "verifying; ");
}
END_TEST

START_TEST(devices_were_removed)
{
        model_use_method("rescan");
        fake_device_remove(&pci, CARD);
        fake_device_remove(&pci, SIBLING);
        save_settings();
        mend();
        ck_assert_int_eq(strncmp(action_log, "rescan " PORT "; ", strlen("rescan " PORT "; ")), 0);
        expect_settings();
}
END_TEST

START_TEST(none_was_removed_yet)
{
        model_use_method("rescan");
        save_settings();
        mend();
        expect_died(VERDICT_UNVERIFIED);
        ck_assert_str_eq(action_log, "verifying; ");
}
END_TEST

/* A bridge that was kept awake, or not yet; one that somebody has set since is left alone. */
static const struct {
        const char *control;
        bool is_saved;
        const char *log, *after;
} bridges[] = {
        {"on\n", true, "control auto; verifying; ", "auto"},
        {"auto\n", true, "verifying; ", "auto\n"},
        {"on\n", false, "verifying; ", "on\n"},
        {NULL, true, "verifying; ", NULL},
};

START_TEST(bridge_may_sleep_again)
{
        model_use_method("subordinate");
        record.bridge_sleeps = bridges[_i].is_saved;
        if (bridges[_i].control)
                fake_attribute_set(&pci, PORT, "power/control", bridges[_i].control);
        else
                fake_attribute_remove(&pci, PORT, "power/control");
        mend();
        expect_died(VERDICT_UNVERIFIED);
        ck_assert_str_eq(action_log, bridges[_i].log);
        if (bridges[_i].after)
                ck_assert_str_eq(fake_attribute_get(&pci, PORT, "power/control"), bridges[_i].after);
}
END_TEST

/* Also when the device itself has gone, which changes nothing of the bridge. */
START_TEST(bridge_of_what_is_gone)
{
        model_use_method("subordinate");
        record.bridge_sleeps = true;
        fake_attribute_set(&pci, PORT, "power/control", "on\n");
        fake_device_remove(&pci, CARD);
        mend();
        ck_assert_int_eq(result->outcome, WORKER_GONE);
        ck_assert_str_eq(fake_attribute_get(&pci, PORT, "power/control"), "auto");
}
END_TEST

/* Found again already, and not set up. */
START_TEST(devices_were_found)
{
        model_use_method("rescan");
        members[0].inode++;
        members[1].inode++;
        save_settings();
        mend();
        expect_settings();
}
END_TEST

int main(void)
{
        const TTest *const tests[] = {
                nothing_was_changed,
                list_is_put_back,
                list_that_is_refused,
                driver_is_put_back,
                driver_that_others_took_off,
                driver_stays_off_what_is_dead,
                dead,
                machine_went_down,
                gone,
                replaced,
                slot_was_off,
                slot_was_on,
                devices_were_removed,
                none_was_removed_yet,
                devices_were_found,
                bridge_of_what_is_gone,
        };
        Suite *suite = suite_create("mend");
        TCase *tree = tcase_create("tree");

        tcase_add_checked_fixture(tree, setup, model_teardown);
        tcase_set_timeout(tree, 60);
        for (size_t i = 0; i < ELEMENTSOF(tests); i++)
                tcase_add_test(tree, tests[i]);
        tcase_add_loop_test(tree, list_of_others_stays, 0, ELEMENTSOF(lists));
        tcase_add_loop_test(tree, bridge_may_sleep_again, 0, ELEMENTSOF(bridges));
        suite_add_tcase(suite, tree);
        return unit_run(suite);
}
