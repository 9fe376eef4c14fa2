/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Who uses a device: drivers, VFIO, Xen, trusted guests. GetMethods, Plan and Reset must all say the same.
 */

#include "harness/fixture.h"
#include "harness/usage.h"

/* ---- drivers ---- */

static const struct {
        const char *label, *driver;
        unsigned enable;
        bool in_use;
        const char *why; /* NULL: it may be reset */
        const char *action; /* then by this action */
} driver_cases[] = {
        {"no driver", NULL, 0, false, NULL, "org.pciresetd1.reset"},
        {"no driver, but enabled once", NULL, 1, false, NULL, "org.pciresetd1.reset"},
        {"vfio-pci, idle", "vfio-pci", 0, false, NULL, "org.pciresetd1.reset"},
        {"vfio-pci, open", "vfio-pci", 1, false, "vfio-open", NULL},
        {"vfio-pci, open twice", "vfio-pci", 2, false, "vfio-open", NULL},
        {"vfio-pci, open, in_use", "vfio-pci", 1, true, "vfio-open", NULL},
        {"vfio-pci, idle, in_use", "vfio-pci", 0, true, NULL, "org.pciresetd1.reset"},
        {"pci-stub, idle", "pci-stub", 0, false, NULL, "org.pciresetd1.reset"},
        {"pci-stub, enabled", "pci-stub", 1, false, "vfio-open", NULL},
        {"pciback", "pciback", 0, false, "guest", NULL},
        {"pciback, enabled", "pciback", 1, false, "guest", NULL},
        {"pciback, in_use", "pciback", 0, true, "guest", NULL},
        {"a host driver", "e1000e", 1, false, "driver-bound", NULL},
        {"a host driver that enabled nothing", "e1000e", 0, false, "driver-bound", NULL},
        {"a host driver, in_use", "e1000e", 1, true, NULL, "org.pciresetd1.reset-in-use"},
        {"a driver that sounds like VFIO", "vfio-pci-lookalike", 0, false, "driver-bound", NULL},
        {"nobody knows it", "whatever", 0, false, "driver-bound", NULL},
};

START_TEST(drivers)
{
        MockDevice card = mock_card;

        card.driver = driver_cases[_i].driver;
        card.enable = driver_cases[_i].enable;
        sysfs_add(&mock_port);
        sysfs_add(&card);
        fixture_start();
        if (driver_cases[_i].why)
                expect_unusable(CARD, "flr", driver_cases[_i].in_use, driver_cases[_i].why, "InUse");
        else
                expect_usable(CARD, "flr", driver_cases[_i].in_use, driver_cases[_i].action);
}
END_TEST

static const char *const pciback_files[] = {"do_flr", "reset_device"};

/* No kernel that can be installed here has them: a file of the name is all that the daemon goes by. */
START_TEST(what_pciback_can_do)
{
        _cleanup_free_ char *file = textf("/sys/bus/pci/drivers/pciback/%s", pciback_files[_i]);
        _cleanup_reply_ Reply *other = NULL;
        MockDevice card = mock_card;

        card.driver = "pciback";
        sysfs_add(&mock_port);
        sysfs_add(&card);
        file_write(file, "", 0);
        fixture_start();
        expect_unusable(CARD, pciback_files[_i], false, "guest", "InUse");
        other = reset(alice, CARD, pciback_files[1 - _i], NULL);
        expect_error(other, "NotUsable", "the kernel does not list it");
}
END_TEST

START_TEST(refusal_tells_what_to_do)
{
        MockDevice card = mock_card;
        _cleanup_reply_ Reply *reply = NULL;

        card.driver = "e1000e";
        sysfs_add(&mock_port);
        sysfs_add(&card);
        fixture_start();
        reply = reset(alice, CARD, "any", NULL);
        expect_error(reply, "InUse", "driver");
        expect_error(reply, "InUse", "in_use");
        ck_assert_uint_eq(reply_length(reply, "1.attempts"), 3);
}
END_TEST

/* alice may reset what is idle, not what is in use. */
START_TEST(in_use_is_another_permission)
{
        MockDevice card = mock_card;
        _cleanup_reply_ Reply *reply = NULL, *idle = NULL;

        polkit_start(
                "polkit.addRule(function(action, subject) {\n"
                "    return action.id == 'org.pciresetd1.reset' ? polkit.Result.YES : polkit.Result.NO;\n"
                "});\n");
        card.driver = "e1000e";
        sysfs_add(&mock_port);
        sysfs_add(&card);
        fixture_start();
        reply = reset(alice, CARD, "flr", "in_use", "b", 1, NULL);
        expect_error(reply, ERROR_ACCESS_DENIED, "reset-in-use");
        expect_nothing_written();
        hotplug_unbind(CARD);
        client_barrier(bob);
        idle = reset(alice, CARD, "flr", "in_use", "b", 1, NULL);
        expect_success(idle);
}
END_TEST

/* A network driver without an interface that could be seen counts as a user: the interface may be elsewhere.
 */
START_TEST(plan_tells_holders_and_losses)
{
        MockDevice card = mock_card;
        _cleanup_reply_ Reply *plan = NULL, *aware = NULL;

        card.driver = "e1000e";
        sysfs_add(&mock_port);
        sysfs_add(&card);
        fixture_start();
        plan = get_plan(CARD, "flr", true);
        ck_assert_str_eq(reply_string(plan, "0.rungs.0.holders.0.kind"), "hidden");
        ck_assert_str_eq(reply_string(plan, "0.rungs.0.holders.0.what"), "e1000e");
        ck_assert_str_eq(reply_string(plan, "0.rungs.0.holders.0.device"), device_path(CARD));
        ck_assert_str_eq(reply_string(plan, "0.rungs.0.lost.0"), CARD " e1000e");
        /* nvme knows resets and brings its device up again. */
        hotplug_unbind(CARD);
        hotplug_bind(CARD, "nvme");
        client_barrier(bob);
        aware = get_plan(CARD, "flr", false);
        ck_assert_uint_eq(reply_length(aware, "0.rungs.0.lost"), 0);
}
END_TEST

/* A driver that knows resets does not stand in the way of one. */
START_TEST(aware_driver_keeps_its_device)
{
        const MockDevice disk = {
                .address = CARD, .parent = PORT, .methods = "flr", .class = 0x010802, .driver = "nvme"};
        ModelEvent event;

        sysfs_add(&mock_port);
        sysfs_add(&disk);
        fixture_start();
        expect_usable(CARD, "flr", false, "org.pciresetd1.reset");
        /* It was not taken off. */
        ck_assert(!model_event("unbind", CARD, 0, &event));
        ck_assert_uint_eq(model_count("begin", CARD), 1);
}
END_TEST

START_TEST(plan_changes_nothing)
{
        static const char *const methods[] = {"any", "function", "link", "flr", "pm", "bus"};

        mock_polkit_start(MOCK_POLKIT_YES);
        fixture_devices();
        fixture_start();
        for (size_t i = 0; i < ELEMENTSOF(methods); i++) {
                _cleanup_reply_ Reply *by_address = get_plan(CARD, methods[i], i % 2 == 0);
                _cleanup_reply_ Reply *by_object = call(bob, device_path(CARD), DEVICE_INTERFACE, "Plan",
                                                        "sa{sv}", methods[i], 0);

                expect_success(by_object);
        }
        ck_assert_uint_eq(mock_polkit_requests(), 0);
        expect_nothing_written();
}
END_TEST

START_TEST(plan_has_the_ladder)
{
        _cleanup_reply_ Reply *plan = NULL;
        static const char *const rungs[] = {"pm", "flr", "bus"};
        MockDevice card = mock_card;

        card.methods = "bus pm flr";
        sysfs_add(&mock_port);
        sysfs_add(&card);
        fixture_start();
        plan = get_plan(CARD, "any", false);
        ck_assert_uint_eq(reply_length(plan, "0.rungs"), ELEMENTSOF(rungs));
        for (size_t i = 0; i < ELEMENTSOF(rungs); i++) {
                _cleanup_free_ char *place = textf("0.rungs.%zu.method", i);

                ck_assert_str_eq(reply_string(plan, place), rungs[i]);
        }
        ck_assert_int_eq(reply_number(plan, "0.rungs.1.expected_usec"), 100000);
}
END_TEST

/* ---- looked at until the last moment ---- */

/* The worker waits for configuration space, which somebody else's reset blocks; meanwhile the use changes.
 */
static const struct {
        const char *label;
        const char *before, *after;
        unsigned enable;
        const char *why;
} late_cases[] = {
        {"a host driver comes", NULL, "e1000e", 0, "driver-changed"},
        {"VFIO opens", "vfio-pci", "vfio-pci", 1, "in-use"},
        {"another driver", "vfio-pci", "pciback", 0, "driver-changed"},
};

static void start_before(int i)
{
        MockDevice card = mock_card;

        card.driver = late_cases[i].before;
        sysfs_add(&mock_port);
        sysfs_add(&card);
        fixture_start();
}

/* The use changes while the reset stands still, which is then refused. */
static Reply *change_and_go_on(int i, int *hold, Call *running)
{
        Reply *reply;

        if (late_cases[i].after != late_cases[i].before) {
                if (late_cases[i].before)
                        sysfs_unbind(CARD);
                sysfs_bind(CARD, late_cases[i].after);
        }
        sysfs_set(CARD, "enable", "%u", late_cases[i].enable);
        model_release(hold);
        reply = call_finish(running);
        expect_error(reply, "InUse", CARD);
        return reply;
}

START_TEST(use_changes_before_the_write)
{
        _cleanup_reply_ Reply *reply = NULL;
        Call *running;
        int hold;

        start_before(_i);
        hold = model_hold_reads(CARD);
        running = reset_start(alice, CARD, "flr", NULL);
        (void) model_wait("touch", CARD, 0);
        reply = change_and_go_on(_i, &hold, running);
        ck_assert_str_eq(reply_string(reply, "1.attempts.0.outcome"), "refused");
        ck_assert_str_eq(reply_string(reply, "1.attempts.0.why"), late_cases[_i].why);
        expect_nothing_written();
}
END_TEST

/* The last moment of all: the method is selected, the next thing is the write. */
START_TEST(use_changes_after_the_selection)
{
        _cleanup_reply_ Reply *reply = NULL;
        _cleanup_free_ char *list = NULL;
        Call *running;
        int hold;

        start_before(_i);
        hold = model_hold_list(CARD);
        running = reset_start(alice, CARD, "flr", NULL);
        (void) model_wait("listing", CARD, 0);
        reply = change_and_go_on(_i, &hold, running);
        ck_assert_uint_eq(model_count("begin", CARD), 0);
        list = sysfs_get(CARD, "reset_method");
        ck_assert_str_eq(list, "flr pm bus");
}
END_TEST

START_TEST(trusted_guest_has_it)
{
        fixture_devices();
        directory_make("%s/tsm", sysfs_path(CARD));
        sysfs_set(CARD, "tsm/bound", "0000:01:00.0");
        fixture_start();
        expect_unusable(CARD, "flr", true, "tsm-bound", "InUse");
}
END_TEST

START_TEST(trusted_guest_had_it)
{
        fixture_devices();
        directory_make("%s/tsm", sysfs_path(CARD));
        sysfs_set(CARD, "tsm/bound", "%s", "");
        fixture_start();
        expect_usable(CARD, "flr", false, "org.pciresetd1.reset");
}
END_TEST

int main(void)
{
        TestProgram program = program_new("usage");

        program_add_table(&program, drivers, driver_cases);
        program_add_table(&program, what_pciback_can_do, pciback_files);
        program_add(&program, refusal_tells_what_to_do);
        program_add(&program, in_use_is_another_permission);
        program_add(&program, plan_tells_holders_and_losses);
        program_add(&program, aware_driver_keeps_its_device);
        program_add(&program, plan_changes_nothing);
        program_add(&program, plan_has_the_ladder);
        program_add_table(&program, use_changes_before_the_write, late_cases);
        program_add_table(&program, use_changes_after_the_selection, late_cases);
        program_add(&program, trusted_guest_has_it);
        program_add(&program, trusted_guest_had_it);
        return program_run(&program);
}
