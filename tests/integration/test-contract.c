/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What the daemon promises in dbus/ and policy/, held against what runs.
 */

#include <string.h>

#include "harness/fixture.h"
#include "harness/introspection.h"
#include "harness/resets.h"

/* ---- introspection ---- */

static const char *const interfaces[] = {MANAGER_INTERFACE, DEVICE_INTERFACE, JOB_INTERFACE};

START_TEST(introspection_equals_the_file)
{
        _cleanup_free_ char *file = textf("%s/dbus/%s.xml", tested_path("PCIRESETD_SOURCE"), interfaces[_i]);
        _cleanup_free_ char *promised_xml = file_read(file, NULL), *promised = NULL, *job = NULL,
                            *xml = NULL;
        _cleanup_free_ char *found = NULL;
        Call *running;
        int hold;

        ck_assert_ptr_nonnull(promised_xml);
        promised = introspection_describe(promised_xml, interfaces[_i]);
        ck_assert_ptr_nonnull(promised);

        hold = start_with_job(&running, &job);
        xml = introspect(_i == 0 ? MANAGER_PATH : _i == 1 ? device_path(CARD) : job);
        found = introspection_describe(xml, interfaces[_i]);
        ck_assert_ptr_nonnull(found);
        ck_assert_str_eq(found, promised);
        finish_job(&hold, running);
}
END_TEST

START_TEST(tree_is_walkable)
{
        _cleanup_free_ char *root = NULL, *devices = NULL, *jobs = NULL, *job = NULL;
        Call *running;
        int hold = start_with_job(&running, &job);

        root = introspect(MANAGER_PATH);
        ck_assert_ptr_nonnull(strstr(root, "<interface name=\"org.freedesktop.DBus.ObjectManager\">"));
        ck_assert_ptr_nonnull(strstr(root, "<node name=\"device\"/>"));
        ck_assert_ptr_nonnull(strstr(root, "<node name=\"job\"/>"));
        devices = introspect(MANAGER_PATH "/device");
        ck_assert_ptr_nonnull(strstr(devices, strrchr(device_path(CARD), '/') + 1));
        jobs = introspect(MANAGER_PATH "/job");
        ck_assert_ptr_nonnull(strstr(jobs, strrchr(job, '/') + 1));
        finish_job(&hold, running);
}
END_TEST

/* ---- properties ---- */

static const struct {
        const char *name, *value, *signature; /* the value as JSON */
} device_properties[] = {
        {"Address", "\"0000:01:00.0\"", "s"},
        {"VendorId", "4318", "q"},
        {"DeviceId", "7940", "q"},
        {"SubsystemVendorId", "4660", "q"},
        {"SubsystemDeviceId", "22136", "q"},
        {"Class", "196608", "u"},
        {"Revision", "161", "y"},
        {"VendorName", NULL, "s"},
        {"DeviceName", NULL, "s"},
        {"Driver", "\"vfio-pci\"", "s"},
        {"IommuGroup", "\"17\"", "s"},
        {"Parent", "\"/org/pciresetd1/device/_30000_3a00_3a04_2e0\"", "o"},
        {"PhysicalFunction", "\"/\"", "o"},
        {"Methods", "[\"flr\",\"bus\"]", "as"},
        {"State", "\"idle\"", "s"},
        {"Cleanliness", "\"unknown\"", "s"},
        {"Owner", "\"\"", "s"},
        {"Lease", "\"\"", "s"},
        {"InUse", "false", "b"},
        {"LastReset", "{}", "a{sv}"},
        {"Quarantine", "{}", "a{sv}"},
        {"Generation", NULL, "t"},
        {"ErrorState", "\"\"", "s"},
};

static void add_rich_device(void)
{
        const MockDevice gpu = {
                .address = CARD,
                .parent = PORT,
                .vendor = 0x10de,
                .device = 0x1f04,
                .subsystem_vendor = 0x1234,
                .subsystem_device = 0x5678,
                .class = 0x030000,
                .revision = 0xa1,
                .methods = "flr bus",
                .driver = "vfio-pci",
                .iommu_group = "17",
        };

        sysfs_add(&mock_port);
        sysfs_add(&gpu);
}

START_TEST(device_properties_are_true)
{
        _cleanup_reply_ Reply *all = NULL;

        add_rich_device();
        fixture_start();
        for (size_t i = 0; i < ELEMENTSOF(device_properties); i++) {
                const char *name = device_properties[i].name;
                _cleanup_reply_ Reply *reply = get_property(bob, device_path(CARD), DEVICE_INTERFACE, name);
                const char *value;

                expect_success(reply);
                value = json_object_to_json_string_ext(
                        reply_at(reply, "0"), JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
                if (device_properties[i].value)
                        ck_assert_msg(strcmp(value, device_properties[i].value) == 0, "%s is %s", name,
                                      value);
        }
        /* Methods is read live, so it is left out of what is read all at once. */
        all = call(bob, device_path(CARD), "org.freedesktop.DBus.Properties", "GetAll", "s",
                   DEVICE_INTERFACE);
        expect_success(all);
        ck_assert_int_eq(json_object_object_length(reply_at(all, "0")),
                         (int) ELEMENTSOF(device_properties) - 1);
        ck_assert_ptr_null(json_at(all->body, "0.Methods"));
}
END_TEST

START_TEST(properties_cannot_be_set)
{
        const char *name = device_properties[_i].name, *type = device_properties[_i].signature;
        Client *const clients[] = {(add_rich_device(), fixture_start(), alice), observer};

        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                sd_bus_message *message = call_message(clients[i], device_path(CARD),
                                                       "org.freedesktop.DBus.Properties", "Set", "ss",
                                                       DEVICE_INTERFACE, name);
                _cleanup_reply_ Reply *reply = NULL;
                int r = sd_bus_message_open_container(message, 'v', type);

                if (r >= 0)
                        r = strcmp(type, "s") == 0 || strcmp(type, "o") == 0
                                    ? sd_bus_message_append(message, type, "/")
                            : strcmp(type, "t") == 0 ? sd_bus_message_append(message, type, UINT64_C(1))
                            : *type == 'a'           ? sd_bus_message_append(message, type, 0)
                                                     : sd_bus_message_append(message, type, 1);
                if (r >= 0)
                        r = sd_bus_message_close_container(message);
                ck_assert_int_ge(r, 0);
                reply = call_finish(call_send(clients[i], message));
                ck_assert_ptr_nonnull(reply->error);
                ck_assert_str_eq(reply->error, "org.freedesktop.DBus.Error.PropertyReadOnly");
        }
        expect_nothing_written();
}
END_TEST

START_TEST(methods_are_read_live)
{
        _cleanup_reply_ Reply *reply = NULL;

        fixture_devices();
        fixture_start();
        sysfs_set(CARD, "reset_method", "bus");
        reply = get_property(bob, device_path(CARD), DEVICE_INTERFACE, "Methods");
        ck_assert_uint_eq(reply_length(reply, "0"), 1);
        ck_assert_str_eq(reply_string(reply, "0.0"), "bus");
}
END_TEST

START_TEST(list_equals_sysfs)
{
        _cleanup_reply_ Reply *list = NULL, *objects = NULL;
        static const char *const expected[] = {"0000:00:02.0", PORT, PORT2, CARD, CARD2, "10000:e1:00.0"};
        const MockDevice first = {.address = "0000:00:02.0", .class = 0x030000, .driver = "i915"};
        const MockDevice last = {.address = "10000:e1:00.0", .methods = "flr", .class = 0x010802};

        sysfs_add(&last);
        fixture_devices();
        sysfs_add(&first);
        fixture_start();
        list = manager_call(bob, "ListDevices", NULL);
        expect_success(list);
        ck_assert_str_eq(list->signature, "a(sossss)");
        ck_assert_uint_eq(reply_length(list, "0"), ELEMENTSOF(expected));
        objects = call(bob, MANAGER_PATH, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", NULL);
        expect_success(objects);
        for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
                json_object *row = json_object_array_get_idx(reply_at(list, "0"), i);
                _cleanup_reply_ Reply *device = manager_call(bob, "GetDevice", "s", expected[i]);
                _cleanup_free_ char *place = textf("0.%s", device_path(expected[i]));
                json_object *object = NULL;

                ck_assert_str_eq(json_object_get_string(json_at(row, "0")), expected[i]);
                ck_assert_str_eq(json_object_get_string(json_at(row, "1")), device_path(expected[i]));
                ck_assert_str_eq(json_object_get_string(json_at(row, "3")), "idle");
                ck_assert_str_eq(reply_string(device, "0"), device_path(expected[i]));
                ck_assert(json_object_object_get_ex(reply_at(objects, "0"), device_path(expected[i]),
                                                    &object));
                ck_assert(json_object_object_get_ex(object, DEVICE_INTERFACE, &object));
                ck_assert_str_eq(json_object_get_string(json_at(object, "Driver")),
                                 json_object_get_string(json_at(row, "2")));
        }
        ck_assert_str_eq(reply_string(list, "0.0.2"), "i915");
        ck_assert_str_eq(reply_string(list, "0.1.2"), "pcieport");
}
END_TEST

/* ---- plain busctl ---- */

static const struct {
        const char *label;
        const char *argv[12];
        uid_t uid;
        int status;
        const char *output;
} busctl_cases[] = {
        {"list",
         {"busctl", "--system", "call", SERVICE, MANAGER_PATH, MANAGER_INTERFACE, "ListDevices"},
         UID_BOB,
         0,
         "a(sossss) 4 \"0000:00:04.0\""},
        {"get",
         {"busctl", "--system", "call", SERVICE, MANAGER_PATH, MANAGER_INTERFACE, "GetDevice", "s", CARD},
         UID_BOB,
         0,
         "o \"/org/pciresetd1/device/_30000_3a01_3a00_2e0\""},
        {"get json",
         {"busctl", "--json=short", "call", SERVICE, MANAGER_PATH, MANAGER_INTERFACE, "GetDevice", "s",
          CARD},
         UID_BOB,
         0,
         "{\"type\":\"o\",\"data\":[\"/org/pciresetd1/device/_30000_3a01_3a00_2e0\"]}"},
        {"methods",
         {"busctl", "call", SERVICE, MANAGER_PATH, MANAGER_INTERFACE, "GetMethods", "sa{sv}", CARD, "0"},
         UID_BOB,
         0,
         "a(sa{sv}) 3 \"flr\""},
        {"jobs",
         {"busctl", "call", SERVICE, MANAGER_PATH, MANAGER_INTERFACE, "ListJobs", "a{sv}", "0"},
         UID_BOB,
         0,
         "aa{sv} 0"},
        {"version",
         {"busctl", "get-property", SERVICE, MANAGER_PATH, MANAGER_INTERFACE, "Version"},
         UID_BOB,
         0,
         "s \""},
        {"tree", {"busctl", "tree", SERVICE}, UID_BOB, 0, "/org/pciresetd1/device/_30000_3a01_3a00_2e0"},
        {"introspect", {"busctl", "introspect", SERVICE, MANAGER_PATH}, UID_BOB, 0, ".Reset"},
        {"property",
         {"busctl", "get-property", SERVICE, "/org/pciresetd1/device/_30000_3a01_3a00_2e0", DEVICE_INTERFACE,
          "Methods"},
         UID_BOB,
         0,
         "as 3 \"flr\" \"pm\" \"bus\""},
        {"plan",
         {"busctl", "call", SERVICE, MANAGER_PATH, MANAGER_INTERFACE, "Plan", "ssa{sv}", CARD, "any", "0"},
         UID_BOB,
         0,
         "a{sv} 2 \"rungs\""},
        {"alice resets",
         {"busctl", "--timeout=600", "call", SERVICE, MANAGER_PATH, MANAGER_INTERFACE, "Reset", "ssa{sv}",
          CARD, "flr", "0"},
         UID_ALICE,
         0,
         "\"verdict\" s \"ok\""},
        {"alice resets the object",
         {"busctl", "--timeout=600", "call", SERVICE, "/org/pciresetd1/device/_30000_3a01_3a00_2e0",
          DEVICE_INTERFACE, "Reset", "sa{sv}", "flr", "0"},
         UID_ALICE,
         0,
         "\"verdict\" s \"ok\""},
        {"bob is refused",
         {"busctl", "--timeout=600", "call", SERVICE, MANAGER_PATH, MANAGER_INTERFACE, "Reset", "ssa{sv}",
          CARD, "flr", "0"},
         UID_BOB,
         1,
         "ccess denied"},
        {"bob is refused with a dialog allowed",
         {"busctl", "--allow-interactive-authorization=yes", "call", SERVICE, MANAGER_PATH,
          MANAGER_INTERFACE, "Reset", "ssa{sv}", CARD, "flr", "0"},
         UID_BOB,
         1,
         "ccess denied"},
        {"alice without a dialog allowed",
         {"busctl", "--allow-interactive-authorization=no", "call", SERVICE, MANAGER_PATH, MANAGER_INTERFACE,
          "Reset", "ssa{sv}", CARD, "flr", "0"},
         UID_ALICE,
         0,
         "\"verdict\" s \"ok\""},
        {"no such device",
         {"busctl", "call", SERVICE, MANAGER_PATH, MANAGER_INTERFACE, "Reset", "ssa{sv}", "0000:77:00.0",
          "flr", "0"},
         UID_ALICE,
         1,
         "0000:77:00.0"},
};

START_TEST(busctl)
{
        _cleanup_free_ char *output = NULL;
        int status;

        fixture_devices();
        fixture_start();
        status = process_run(busctl_cases[_i].uid, busctl_cases[_i].argv, &output);
        ck_assert_msg(status == busctl_cases[_i].status, "%s: status %d: %s", busctl_cases[_i].label, status,
                      output);
        ck_assert_msg(strstr(output, busctl_cases[_i].output), "%s: %s", busctl_cases[_i].label, output);
        if (status != 0 || busctl_cases[_i].uid == UID_BOB)
                expect_nothing_written();
        else
                expect_methods_run(CARD, "flr");
}
END_TEST

/* ---- polkit's file ---- */

static const char *const actions[] = {"reset", "reset-shared", "reset-in-use", "manage-jobs"};

START_TEST(policy_file_keeps_nothing)
{
        _cleanup_free_ char *path = textf("%s/policy/org.pciresetd1.policy",
                                          tested_path("PCIRESETD_SOURCE"));
        _cleanup_free_ char *text = file_read(path, NULL), *action = NULL;
        char *at, *end;

        ck_assert_ptr_nonnull(text);
        /* A kept authorisation is kept for the action, whatever the device was. */
        for (at = text; (at = strstr(at, "_keep")); at++) {
                const char *open = at, *comment_end;

                while (open > text && strncmp(open, "<!--", 4) != 0)
                        open--;
                comment_end = strstr(open, "-->");
                ck_assert_msg(open > text && comment_end && comment_end > at,
                              "%s lets polkit keep authorisations", path);
        }
        action = textf("<action id=\"org.pciresetd1.%s\">", actions[_i]);
        at = strstr(text, action);
        ck_assert_msg(at, "%s is not in %s", action, path);
        end = strstr(at, "</action>");
        ck_assert_ptr_nonnull(end);
        *end = '\0';
        ck_assert_ptr_null(strstr(at, ">yes<"));
        ck_assert_ptr_nonnull(strstr(at, "<message>"));
        ck_assert_ptr_nonnull(strstr(at, "<allow_any>auth_admin</allow_any>"));
}
END_TEST

START_TEST(polkit_knows_the_actions)
{
        const char *argv[] = {"pkaction", "--action-id", NULL, "--verbose", NULL};
        _cleanup_free_ char *id = textf("org.pciresetd1.%s", actions[_i]), *output = NULL;

        polkit_start(polkit_rules_default);
        argv[2] = id;
        ck_assert_int_eq(process_run(UID_BOB, argv, &output), 0);
        ck_assert_ptr_nonnull(strstr(output, "implicit any:      auth_admin\n"));
}
END_TEST

/* ---- the process ---- */

START_TEST(there_is_one_daemon)
{
        const char *argv[] = {tested_path("PCIRESETD"), NULL};
        Process *second;

        fixture_devices();
        fixture_start();
        second = process_start("second", 0, argv, NULL);
        ck_assert_int_ne(process_wait(second), 0);
        client_barrier(bob);
}
END_TEST

START_TEST(only_root_may_be_the_service)
{
        const char *argv[] = {tested_path("PCIRESETD"), NULL};
        Process *impostor = process_start("impostor", UID_ALICE, argv, NULL);

        ck_assert_int_ne(process_wait(impostor), 0);
        ck_assert(!name_is_owned(SERVICE));
}
END_TEST

START_TEST(bad_arguments_are_refused)
{
        static const char *const arguments[] = {"--nonsense", "word", "--worker"};

        for (size_t i = 0; i < ELEMENTSOF(arguments); i++) {
                const char *argv[] = {tested_path("PCIRESETD"), arguments[i], NULL};
                _cleanup_free_ char *output = NULL;

                ck_assert_int_eq(process_run(0, argv, &output), 1);
                ck_assert_str_ne(output, "");
        }
}
END_TEST

START_TEST(machine_without_pci)
{
        _cleanup_reply_ Reply *list = NULL;

        fixture_start();
        list = manager_call(bob, "ListDevices", NULL);
        ck_assert_uint_eq(reply_length(list, "0"), 0);
}
END_TEST

int main(void)
{
        TestProgram program = program_new("contract");

        program_add_table(&program, introspection_equals_the_file, interfaces);
        program_add(&program, tree_is_walkable);
        program_add(&program, device_properties_are_true);
        program_add_table(&program, properties_cannot_be_set, device_properties);
        program_add(&program, methods_are_read_live);
        program_add(&program, list_equals_sysfs);
        program_add_table(&program, busctl, busctl_cases);
        program_add_table(&program, policy_file_keeps_nothing, actions);
        program_add_table(&program, polkit_knows_the_actions, actions);
        program_add(&program, there_is_one_daemon);
        program_add(&program, only_root_may_be_the_service);
        program_add(&program, bad_arguments_are_refused);
        program_add(&program, machine_without_pci);
        return program_run(&program);
}
