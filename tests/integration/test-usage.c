/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Who uses a device and what else hangs on it: drivers, VFIO, Xen, trusted guests, siblings, bridges,
 * virtual functions. GetMethods, Plan and Reset must all say the same.
 */

#include <signal.h>
#include <string.h>

#include "harness/fixture.h"

#define VF0 "0000:01:10.0"
#define VF1 "0000:01:10.2"

/* The facts that GetMethods tells about one method. */
static json_object *method_facts(const Reply *methods, const char *name)
{
        json_object *list = reply_at(methods, "0");

        for (size_t i = 0; i < json_object_array_length(list); i++) {
                json_object *entry = json_object_array_get_idx(list, i);

                if (strcmp(json_object_get_string(json_at(entry, "0")), name) == 0)
                        return json_at(entry, "1");
        }
        ck_abort_msg("GetMethods does not tell about %s", name);
}

static bool has_text(json_object *array, const char *text)
{
        for (size_t i = 0; i < json_object_array_length(array); i++)
                if (strcmp(json_object_get_string(json_object_array_get_idx(array, i)), text) == 0)
                        return true;
        return false;
}

static Reply *get_methods(const char *address, bool in_use)
{
        Reply *reply = in_use ? manager_call(bob, "GetMethods", "sa{sv}", address, 1, "in_use", "b", 1)
                              : manager_call(bob, "GetMethods", "sa{sv}", address, 0);

        expect_success(reply);
        return reply;
}

static Reply *get_plan(const char *address, const char *method, bool in_use)
{
        Reply *reply = in_use ? manager_call(bob, "Plan", "ssa{sv}", address, method, 1, "in_use", "b", 1)
                              : manager_call(bob, "Plan", "ssa{sv}", address, method, 0);

        expect_success(reply);
        return reply;
}

/* All three must agree: not usable for this reason, and refused with this error. */
static void expect_unusable(const char *address, const char *method, bool in_use, const char *why,
                            const char *error)
{
        /* In this order: GetMethods tells what was last seen. */
        _cleanup_reply_ Reply *plan = get_plan(address, method, in_use),
                              *methods = get_methods(address, in_use);
        _cleanup_reply_ Reply *reply = reset(alice, address, method, "in_use", "b", in_use, NULL);
        json_object *facts = method_facts(methods, method);

        ck_assert(json_object_get_boolean(json_at(facts, "advertised")));
        ck_assert(!json_object_get_boolean(json_at(facts, "usable")));
        ck_assert(has_text(json_at(facts, "why"), why));
        ck_assert(!json_object_get_boolean(reply_at(plan, "0.rungs.0.usable")));
        ck_assert(has_text(reply_at(plan, "0.rungs.0.why"), why));
        expect_error(reply, error, address);
        ck_assert_ptr_nonnull(strstr(reply_string(reply, "1.attempts.0.why"), why));
        expect_nothing_written();
}

static void expect_usable(const char *address, const char *method, bool in_use, const char *action)
{
        /* In this order: GetMethods tells what was last seen. */
        _cleanup_reply_ Reply *plan = get_plan(address, method, in_use),
                              *methods = get_methods(address, in_use);
        _cleanup_reply_ Reply *reply = reset(alice, address, method, "in_use", "b", in_use, NULL);
        json_object *facts = method_facts(methods, method);

        ck_assert(json_object_get_boolean(json_at(facts, "usable")));
        ck_assert_uint_eq(json_object_array_length(json_at(facts, "why")), 0);
        ck_assert(json_object_get_boolean(reply_at(plan, "0.rungs.0.usable")));
        ck_assert(has_text(reply_at(plan, "0.rungs.0.actions"), action));
        expect_success(reply);
        ck_assert_str_eq(reply_string(reply, "0.method"), method);
        /* What was planned is what was disturbed. */
        ck_assert_int_eq(
                json_object_equal(reply_at(plan, "0.rungs.0.reset_set"), reply_at(reply, "0.reset_set")), 1);
}

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

START_TEST(use_changes_before_the_write)
{
        MockDevice card = mock_card;
        _cleanup_reply_ Reply *reply = NULL;
        Call *running;
        int hold;

        card.driver = late_cases[_i].before;
        sysfs_add(&mock_port);
        sysfs_add(&card);
        fixture_start();
        hold = model_hold_reads(CARD);
        running = reset_start(alice, CARD, "flr", NULL);
        (void) model_wait("touch", CARD, 0);
        if (late_cases[_i].after != late_cases[_i].before) {
                if (late_cases[_i].before)
                        sysfs_unbind(CARD);
                sysfs_bind(CARD, late_cases[_i].after);
        }
        sysfs_set(CARD, "enable", "%u", late_cases[_i].enable);
        model_release(&hold);
        reply = call_finish(running);
        expect_error(reply, "InUse", CARD);
        ck_assert_str_eq(reply_string(reply, "1.attempts.0.outcome"), "refused");
        ck_assert_str_eq(reply_string(reply, "1.attempts.0.why"), late_cases[_i].why);
        expect_nothing_written();
}
END_TEST

/* The last moment of all: the method is selected, the next thing is the write. */
START_TEST(use_changes_after_the_selection)
{
        MockDevice card = mock_card;
        _cleanup_reply_ Reply *reply = NULL;
        _cleanup_free_ char *list = NULL;
        Call *running;
        int hold;

        card.driver = late_cases[_i].before;
        sysfs_add(&mock_port);
        sysfs_add(&card);
        fixture_start();
        hold = model_hold_list(CARD);
        running = reset_start(alice, CARD, "flr", NULL);
        (void) model_wait("listing", CARD, 0);
        if (late_cases[_i].after != late_cases[_i].before) {
                if (late_cases[_i].before)
                        sysfs_unbind(CARD);
                sysfs_bind(CARD, late_cases[_i].after);
        }
        sysfs_set(CARD, "enable", "%u", late_cases[_i].enable);
        model_release(&hold);
        reply = call_finish(running);
        expect_error(reply, "InUse", CARD);
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

/* ---- topology ---- */

static void add_multifunction(const char *driver_of_second)
{
        const MockDevice first = {
                .address = CARD, .parent = PORT, .methods = "flr bus", .multifunction = true};
        const MockDevice second = {.address = "0000:01:00.1",
                                   .parent = PORT,
                                   .methods = "flr",
                                   .multifunction = true,
                                   .driver = driver_of_second};

        sysfs_add(&mock_port);
        sysfs_add(&first);
        sysfs_add(&second);
        fixture_start();
}

/* The kernel lists it, from a time when the second function was not there yet, and refuses it. */
START_TEST(bus_of_a_multifunction_card)
{
        add_multifunction(NULL);
        expect_unusable(CARD, "bus", false, "siblings", "NotUsable");
        expect_unusable(CARD, "bus", true, "siblings", "NotUsable");
}
END_TEST

START_TEST(functions_of_a_multifunction_card)
{
        add_multifunction("e1000e");
        /* The neighbour's driver does not matter to a function's own reset. */
        expect_usable(CARD, "flr", false, "org.pciresetd1.reset");
        ck_assert_uint_eq(model_count("begin", "0000:01:00.1"), 0);
}
END_TEST

START_TEST(ladder_stops_before_the_siblings)
{
        _cleanup_reply_ Reply *reply = NULL;

        add_multifunction(NULL);
        model_fail(CARD, NULL, 25 /* ENOTTY */);
        reply = reset(alice, CARD, "any", NULL);
        expect_error(reply, "ResetFailed", "other functions");
        expect_methods_run(CARD, "flr");
        ck_assert_str_eq(reply_string(reply, "1.attempts.1.why"), "siblings");
}
END_TEST

static const char *const bridge_methods[] = {"pm", "bus", "flr"};

START_TEST(bridges_are_never_reset)
{
        const MockDevice port = {
                .address = PORT, .is_bridge = true, .driver = "pcieport", .methods = "flr pm bus"};

        sysfs_add(&port);
        sysfs_add(&mock_card);
        fixture_start();
        expect_unusable(PORT, bridge_methods[_i], false, "bridge", "NotUsable");
        expect_unusable(PORT, bridge_methods[_i], true, "bridge", "NotUsable");
}
END_TEST

/* Its class lies. sysfs tells all the same; and if it did not, the worker would still see the header. */
static const bool sysfs_tells[] = {true, false};

START_TEST(bridge_in_disguise)
{
        const MockDevice port = {.address = PORT, .is_bridge = true, .class = 0x088000, .methods = "pm"};
        _cleanup_reply_ Reply *reply = NULL;

        sysfs_add(&port);
        sysfs_add(&mock_card);
        if (!sysfs_tells[_i]) {
                _cleanup_free_ char *path = textf("%s/secondary_bus_number", sysfs_path(PORT));

                ck_assert_int_eq(unlink(path), 0);
        }
        fixture_start();
        reply = reset(alice, PORT, "pm", NULL);
        expect_error(reply, "NotUsable", PORT);
        expect_nothing_written();
}
END_TEST

START_TEST(root_bus_has_no_bridge_above)
{
        const MockDevice integrated = {.address = "0000:00:02.0", .methods = "flr bus"};

        sysfs_add(&integrated);
        fixture_start();
        expect_unusable("0000:00:02.0", "bus", false, "root-bus", "NotUsable");
        expect_usable("0000:00:02.0", "flr", false, "org.pciresetd1.reset");
}
END_TEST

/* ---- virtual functions ---- */

static void add_sriov(const char *pf_driver, const char *vf_driver, unsigned vf_enable)
{
        const MockDevice pf = {.address = CARD, .parent = PORT, .methods = "flr bus", .driver = pf_driver};
        const MockDevice vf0 = {.address = VF0,
                                .parent = PORT,
                                .methods = "flr",
                                .physfn = CARD,
                                .driver = vf_driver,
                                .enable = vf_enable};
        const MockDevice vf1 = {.address = VF1, .parent = PORT, .methods = "flr", .physfn = CARD};

        sysfs_add(&mock_port);
        sysfs_add(&pf);
        sysfs_add(&vf0);
        sysfs_add(&vf1);
        fixture_start();
}

START_TEST(physical_function_takes_its_virtual_ones_along)
{
        _cleanup_reply_ Reply *reply = NULL, *plan = NULL;

        add_sriov(NULL, NULL, 0);
        plan = get_plan(CARD, "flr", false);
        ck_assert_uint_eq(reply_length(plan, "0.rungs.0.reset_set"), 3);
        ck_assert_str_eq(reply_string(plan, "0.rungs.0.reset_set.0"), device_path(CARD));
        ck_assert(has_text(reply_at(plan, "0.rungs.0.reset_set"), device_path(VF0)));
        ck_assert(has_text(reply_at(plan, "0.rungs.0.reset_set"), device_path(VF1)));
        ck_assert(has_text(reply_at(plan, "0.rungs.0.actions"), "org.pciresetd1.reset-shared"));
        reply = reset(alice, CARD, "flr", NULL);
        expect_success(reply);
        ck_assert_uint_eq(reply_length(reply, "0.reset_set"), 3);
        ck_assert_uint_eq(model_count("begin", NULL), 1);
        expect_methods_run(CARD, "flr");
}
END_TEST

static const struct {
        const char *driver;
        unsigned enable;
        bool in_use;
        const char *why; /* NULL: usable */
} vf_cases[] = {
        {"vfio-pci", 1, false, "vfio-open"},
        {"vfio-pci", 1, true, "vfio-open"},
        {"vfio-pci", 0, false, NULL},
        {"iavf", 1, false, "driver-bound"},
        {"iavf", 1, true, NULL},
        {"pciback", 0, true, "guest"},
};

START_TEST(use_of_a_virtual_function_counts)
{
        add_sriov(NULL, vf_cases[_i].driver, vf_cases[_i].enable);
        if (vf_cases[_i].why)
                expect_unusable(CARD, "flr", vf_cases[_i].in_use, vf_cases[_i].why, "InUse");
        else
                expect_usable(CARD, "flr", vf_cases[_i].in_use,
                              vf_cases[_i].in_use ? "org.pciresetd1.reset-in-use"
                                                  : "org.pciresetd1.reset-shared");
}
END_TEST

START_TEST(virtual_function_alone)
{
        _cleanup_reply_ Reply *physfn = NULL;

        add_sriov("ixgbe", "vfio-pci", 0);
        physfn = get_property(bob, device_path(VF0), DEVICE_INTERFACE, "PhysicalFunction");
        ck_assert_str_eq(reply_string(physfn, "0"), device_path(CARD));
        expect_usable(VF0, "flr", false, "org.pciresetd1.reset");
        ck_assert_uint_eq(model_count("begin", CARD), 0);
        ck_assert_uint_eq(model_count("begin", VF0), 1);
}
END_TEST

START_TEST(virtual_functions_are_siblings_for_the_bus)
{
        add_sriov(NULL, NULL, 0);
        expect_unusable(CARD, "bus", false, "siblings", "NotUsable");
}
END_TEST

static json_object *find_failed(const Reply *reply, const char *address, const char *check)
{
        json_object *checks = reply_at(reply, "1.checks");

        for (size_t i = 0; i < json_object_array_length(checks); i++) {
                json_object *entry = json_object_array_get_idx(checks, i);

                if (strcmp(json_object_get_string(json_at(entry, "device")), device_path(address)) == 0 &&
                    strcmp(json_object_get_string(json_at(entry, "check")), check) == 0 &&
                    strcmp(json_object_get_string(json_at(entry, "result")), "failed") == 0)
                        return entry;
        }
        return NULL;
}

START_TEST(damaged_virtual_function_is_seen)
{
        const uint16_t off = 0;
        _cleanup_reply_ Reply *reply = NULL;
        Call *running;
        int hold;

        add_sriov(NULL, NULL, 0);
        /* The reset of the physical function leaves the virtual one without bus mastering. */
        hold = model_hold(CARD);
        running = reset_start(alice, CARD, "flr", NULL);
        (void) model_wait("begin", CARD, 0);
        sysfs_config_write(VF0, CONFIG_COMMAND, &off, sizeof(off));
        model_release(&hold);
        reply = call_finish(running);
        expect_error(reply, "ResetFailed", CARD);
        ck_assert_str_eq(reply_string(reply, "1.verdict"), "degraded");
        ck_assert_ptr_nonnull(find_failed(reply, VF0, "command"));
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
        program_add(&program, bus_of_a_multifunction_card);
        program_add(&program, functions_of_a_multifunction_card);
        program_add(&program, ladder_stops_before_the_siblings);
        program_add_table(&program, bridges_are_never_reset, bridge_methods);
        program_add_table(&program, bridge_in_disguise, sysfs_tells);
        program_add(&program, root_bus_has_no_bridge_above);
        program_add(&program, physical_function_takes_its_virtual_ones_along);
        program_add_table(&program, use_of_a_virtual_function_counts, vf_cases);
        program_add(&program, virtual_function_alone);
        program_add(&program, virtual_functions_are_siblings_for_the_bus);
        program_add(&program, damaged_virtual_function_is_seen);
        return program_run(&program);
}
