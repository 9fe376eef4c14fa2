/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What else hangs on a device: siblings, bridges, virtual functions. GetMethods, Plan and Reset must all say
 * the same.
 */

#include <string.h>

#include "harness/fixture.h"
#include "harness/resets.h"
#include "harness/usage.h"

#define VF0 "0000:01:10.0"
#define VF1 "0000:01:10.2"

/* ---- siblings and bridges ---- */

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
        hold = reset_hold(&running);
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
        TestProgram program = program_new("topology");

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
