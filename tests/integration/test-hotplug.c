/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Devices that come, go and change while the daemon runs: what clients are told, and that it is what sysfs
 * says, also when events were lost, came late, or came in an order of their own.
 */

#include <dirent.h>
#include <signal.h>
#include <string.h>

#include "harness/fixture.h"
#include "harness/resets.h"

#define FRESH "0000:03:00.0"

static const MockDevice fresh = {.address = FRESH, .methods = "flr", .driver = "nvme", .class = 0x010802};

static void start(void)
{
        fixture_devices();
        fixture_start();
        signals_watch(observer);
}

static int64_t generation(const char *address)
{
        _cleanup_reply_ Reply *reply = get_property(bob, device_path(address), DEVICE_INTERFACE,
                                                    "Generation");

        expect_success(reply);
        return reply_number(reply, "0");
}

/* The daemon's list and what is below /sys/bus/pci/devices: the same addresses, the same drivers. */
static bool list_equals_sysfs(void)
{
        _cleanup_reply_ Reply *list = manager_call(bob, "ListDevices", NULL);
        size_t n = reply_length(list, "0"), n_sysfs = 0;
        DIR *directory = opendir("/sys/bus/pci/devices");

        ck_assert_ptr_nonnull(directory);
        for (struct dirent *entry; (entry = readdir(directory));)
                n_sysfs += entry->d_name[0] != '.';
        (void) closedir(directory);
        if (n != n_sysfs)
                return false;
        for (size_t i = 0; i < n; i++) {
                json_object *row = json_object_array_get_idx(reply_at(list, "0"), i);
                const char *address = json_object_get_string(json_at(row, "0"));
                _cleanup_free_ char *path = textf("/sys/bus/pci/devices/%s/driver", address), *driver = NULL;

                driver = realpath(path, NULL);
                if (strcmp(json_object_get_string(json_at(row, "2")),
                           driver ? strrchr(driver, '/') + 1 : "") != 0)
                        return false;
        }
        return true;
}

/* ---- coming and going ---- */

START_TEST(device_comes)
{
        _cleanup_reply_ Reply *device = NULL, *reply = NULL;
        const Signal *signal;
        json_object *facts = NULL;

        start();
        hotplug_add(&fresh);
        signal = signal_wait("InterfacesAdded", MANAGER_PATH, device_path(FRESH));
        ck_assert(json_object_object_get_ex(json_at(signal->body, "1"), DEVICE_INTERFACE, &facts));
        ck_assert_str_eq(json_object_get_string(json_at(facts, "Address")), FRESH);
        ck_assert_int_eq(json_object_get_int(json_at(facts, "Class")), 0x010802);
        ck_assert_str_eq(json_object_get_string(json_at(facts, "Driver")), "nvme");
        device = manager_call(bob, "GetDevice", "s", FRESH);
        ck_assert_str_eq(reply_string(device, "0"), device_path(FRESH));
        ck_assert(list_equals_sysfs());
        ck_assert_uint_eq(signal_count("InterfacesAdded", NULL, NULL), 1);

        reply = reset(alice, FRESH, "flr", "in_use", "b", 1, NULL);
        expect_success(reply);
}
END_TEST

START_TEST(device_goes)
{
        _cleanup_reply_ Reply *device = NULL, *property = NULL, *list = NULL;
        const Signal *signal;

        start();
        hotplug_remove(CARD);
        signal = signal_wait("InterfacesRemoved", MANAGER_PATH, device_path(CARD));
        ck_assert_str_eq(json_object_get_string(json_at(signal->body, "1.0")), DEVICE_INTERFACE);
        device = manager_call(bob, "GetDevice", "s", CARD);
        expect_error(device, "NoSuchDevice", CARD);
        property = get_property(bob, device_path(CARD), DEVICE_INTERFACE, "Driver");
        ck_assert_ptr_nonnull(property->error);
        list = manager_call(bob, "ListDevices", NULL);
        ck_assert_uint_eq(reply_length(list, "0"), 3);
}
END_TEST

START_TEST(device_comes_back_as_a_new_one)
{
        int64_t before;

        start();
        before = generation(CARD);
        hotplug_remove(CARD);
        hotplug_add(&mock_card);
        (void) signal_wait("InterfacesAdded", MANAGER_PATH, device_path(CARD));
        ck_assert_int_ne(generation(CARD), before);
        ck_assert_int_lt(signal_index(signal_find("InterfacesRemoved", MANAGER_PATH, device_path(CARD))),
                         signal_index(signal_find("InterfacesAdded", MANAGER_PATH, device_path(CARD))));
}
END_TEST

/* Gone and back before the first event is looked at. */
START_TEST(device_is_replaced_faster_than_events)
{
        MockDevice other = mock_card;
        _cleanup_reply_ Reply *id = NULL;
        int64_t before;

        start();
        before = generation(CARD);
        other.device = 0x1533;
        process_signal(daemon_process(), SIGSTOP);
        hotplug_remove(CARD);
        hotplug_add(&other);
        process_signal(daemon_process(), SIGCONT);
        (void) signal_wait("InterfacesRemoved", MANAGER_PATH, device_path(CARD));
        (void) signal_wait("InterfacesAdded", MANAGER_PATH, device_path(CARD));
        client_barrier(bob);
        ck_assert_int_ne(generation(CARD), before);
        id = get_property(bob, device_path(CARD), DEVICE_INTERFACE, "DeviceId");
        ck_assert_int_eq(reply_number(id, "0"), 0x1533);
}
END_TEST

START_TEST(generations_are_unique)
{
        int64_t seen[] = {0, 0, 0, 0};

        start();
        seen[0] = generation(PORT);
        seen[1] = generation(PORT2);
        seen[2] = generation(CARD);
        seen[3] = generation(CARD2);
        for (size_t i = 0; i < ELEMENTSOF(seen); i++)
                for (size_t j = 0; j < i; j++)
                        ck_assert_int_ne(seen[i], seen[j]);
}
END_TEST

START_TEST(subtree_goes_with_its_bridge)
{
        start();
        hotplug_remove(CARD);
        hotplug_remove(PORT);
        (void) signal_wait("InterfacesRemoved", MANAGER_PATH, device_path(CARD));
        (void) signal_wait("InterfacesRemoved", MANAGER_PATH, device_path(PORT));
        ck_assert(list_equals_sysfs());
}
END_TEST

/* Only the bridge's event has come so far. */
START_TEST(bridge_goes_first)
{
        _cleanup_free_ char *parent = NULL;

        start();
        {
                _cleanup_free_ char *port = strdup(sysfs_path(PORT) + 4),
                                    *card = strdup(sysfs_path(CARD) + 4);

                sysfs_remove(PORT);
                uevent_at("remove", port, NULL);
                (void) signal_wait("InterfacesRemoved", MANAGER_PATH, device_path(PORT));
                parent = get_property_string(bob, device_path(CARD), DEVICE_INTERFACE, "Parent");
                uevent_at("remove", card, NULL);
        }
        (void) signal_wait("InterfacesRemoved", MANAGER_PATH, device_path(CARD));
        ck_assert(list_equals_sysfs());
}
END_TEST

START_TEST(child_comes_first)
{
        _cleanup_free_ char *parent = NULL;
        _cleanup_reply_ Reply *reply = NULL;

        fixture_start();
        signals_watch(observer);
        sysfs_add(&mock_port);
        sysfs_add(&mock_card);
        uevent("add", CARD, NULL);
        uevent("add", PORT, NULL);
        (void) signal_wait("InterfacesAdded", MANAGER_PATH, device_path(PORT));
        parent = get_property_string(bob, device_path(CARD), DEVICE_INTERFACE, "Parent");
        ck_assert_str_eq(parent, device_path(PORT));
        reply = reset(alice, CARD, "bus", NULL);
        expect_success(reply);
}
END_TEST

START_TEST(add_event_twice)
{
        int64_t before;

        start();
        before = generation(CARD);
        uevent("add", CARD, NULL);
        uevent("add", CARD, NULL);
        hotplug_bind(CARD, "e1000e");
        (void) signal_wait("PropertiesChanged", device_path(CARD), "e1000e");
        ck_assert_int_eq(generation(CARD), before);
        ck_assert_uint_eq(signal_count("InterfacesAdded", NULL, NULL), 0);
}
END_TEST

/* ---- changes ---- */

START_TEST(driver_comes_and_goes)
{
        _cleanup_free_ char *bound = NULL, *unbound = NULL;
        const Signal *signal;

        start();
        hotplug_bind(CARD, "vfio-pci");
        signal = signal_wait("PropertiesChanged", device_path(CARD), "vfio-pci");
        ck_assert_str_eq(json_object_get_string(json_at(signal->body, "0")), DEVICE_INTERFACE);
        ck_assert_str_eq(json_object_get_string(json_at(signal->body, "1.Driver")), "vfio-pci");
        bound = get_property_string(bob, device_path(CARD), DEVICE_INTERFACE, "Driver");
        ck_assert_str_eq(bound, "vfio-pci");
        hotplug_unbind(CARD);
        (void) signal_wait("PropertiesChanged", device_path(CARD), "\"Driver\":\"\"");
        unbound = get_property_string(bob, device_path(CARD), DEVICE_INTERFACE, "Driver");
        ck_assert_str_eq(unbound, "");
}
END_TEST

static const struct {
        const char *event, *state;
} error_cases[] = {
        {"BEGIN_RECOVERY", "begin-recovery"},
        {"SUCCESSFUL_RECOVERY", "successful-recovery"},
        {"FAILED_RECOVERY", "failed-recovery"},
};

START_TEST(error_events)
{
        _cleanup_free_ char *properties = textf("ERROR_EVENT=%s\nDEVICE_ONLINE=0", error_cases[_i].event);
        _cleanup_free_ char *state = NULL;

        start();
        uevent("change", CARD, properties);
        (void) signal_wait("PropertiesChanged", device_path(CARD), error_cases[_i].state);
        state = get_property_string(bob, device_path(CARD), DEVICE_INTERFACE, "ErrorState");
        ck_assert_str_eq(state, error_cases[_i].state);
        /* A change of another kind does not undo it. */
        uevent("change", CARD, NULL);
        hotplug_bind(CARD, "e1000e");
        (void) signal_wait("PropertiesChanged", device_path(CARD), "e1000e");
        free(state);
        state = get_property_string(bob, device_path(CARD), DEVICE_INTERFACE, "ErrorState");
        ck_assert_str_eq(state, error_cases[_i].state);
}
END_TEST

START_TEST(virtual_functions_come)
{
        const MockDevice vf = {.address = "0000:01:10.0", .parent = PORT, .methods = "flr", .physfn = CARD};
        _cleanup_free_ char *physfn = NULL;
        _cleanup_reply_ Reply *plan = NULL;

        start();
        hotplug_add(&vf);
        uevent("change", CARD, NULL);
        (void) signal_wait("InterfacesAdded", MANAGER_PATH, device_path("0000:01:10.0"));
        physfn = get_property_string(bob, device_path("0000:01:10.0"), DEVICE_INTERFACE, "PhysicalFunction");
        ck_assert_str_eq(physfn, device_path(CARD));
        plan = manager_call(bob, "Plan", "ssa{sv}", CARD, "flr", 0);
        ck_assert_uint_eq(reply_length(plan, "0.rungs.0.reset_set"), 2);
}
END_TEST

/* The link to the physical function is made after the device: a change event tells. */
START_TEST(physical_function_is_known_later)
{
        const MockDevice vf = {.address = "0000:01:10.0", .parent = PORT, .methods = "flr"};
        _cleanup_free_ char *link = NULL, *target = NULL;

        start();
        hotplug_add(&vf);
        (void) signal_wait("InterfacesAdded", MANAGER_PATH, device_path("0000:01:10.0"));
        target = strdup(sysfs_path(CARD));
        link = textf("%s/physfn", sysfs_path("0000:01:10.0"));
        ck_assert_int_eq(symlink(target, link), 0);
        uevent("change", "0000:01:10.0", NULL);
        (void) signal_wait("PropertiesChanged", device_path("0000:01:10.0"), "PhysicalFunction");
}
END_TEST

START_TEST(iommu_group_changes)
{
        _cleanup_free_ char *link = NULL, *group = NULL;

        start();
        directory_make("/sys/kernel/iommu_groups/42/devices");
        link = textf("%s/iommu_group", sysfs_path(CARD));
        ck_assert_int_eq(symlink("/sys/kernel/iommu_groups/42", link), 0);
        uevent("change", CARD, NULL);
        (void) signal_wait("PropertiesChanged", device_path(CARD), "IommuGroup");
        group = get_property_string(bob, device_path(CARD), DEVICE_INTERFACE, "IommuGroup");
        ck_assert_str_eq(group, "42");
}
END_TEST

/* A change that changes nothing is no news. */
START_TEST(silence_about_nothing)
{
        start();
        for (int i = 0; i < 10; i++)
                uevent("change", CARD, NULL);
        hotplug_bind(CARD2, "e1000e");
        (void) signal_wait("PropertiesChanged", device_path(CARD2), "e1000e");
        /* The first look at the device, which is news, may come at any time. */
        ck_assert_uint_eq(signal_count("PropertiesChanged", device_path(CARD), NULL),
                          signal_count("PropertiesChanged", device_path(CARD), "InUse"));
}
END_TEST

/* ---- odd events and odd devices ---- */

static const char *const odd_paths[] = {
        "/devices/pci0000:00/0000:00:1f.0", "/devices/pci0000:00/nonsense",
        "/devices/pci0000:00/0000:00:1f.9", "/devices/virtual/x",
        "/devices/pci0000:00/..",
};

START_TEST(events_about_nothing)
{
        static const char *const actions[] = {"add",    "remove", "change", "bind",
                                              "unbind", "move",   "online", "nonsense"};

        start();
        for (size_t i = 0; i < ELEMENTSOF(actions); i++)
                uevent_at(actions[i], odd_paths[_i], "DRIVER=x");
        hotplug_bind(CARD, "e1000e");
        (void) signal_wait("PropertiesChanged", device_path(CARD), "e1000e");
        ck_assert(list_equals_sysfs());
        ck_assert_uint_eq(signal_count("InterfacesAdded", NULL, NULL), 0);
        ck_assert_uint_eq(signal_count("InterfacesRemoved", NULL, NULL), 0);
}
END_TEST

/* An event says that something happened; what is there now is read from sysfs. */
START_TEST(lying_events)
{
        _cleanup_free_ char *driver = NULL;

        start();
        uevent("remove", CARD, NULL);
        uevent("bind", CARD, "DRIVER=e1000e");
        uevent("unbind", PORT, NULL);
        hotplug_bind(CARD2, "e1000e");
        (void) signal_wait("PropertiesChanged", device_path(CARD2), "e1000e");
        ck_assert(list_equals_sysfs());
        driver = get_property_string(bob, device_path(CARD), DEVICE_INTERFACE, "Driver");
        ck_assert_str_eq(driver, "");
}
END_TEST

static const struct {
        const char *attribute, *text; /* NULL: the attribute is missing */
} odd_attributes[] = {
        {"modalias", NULL},
        {"modalias", ""},
        {"modalias", "nonsense"},
        {"modalias", "usb:v8086p10D3d0000dc09dsc00dp00ic09isc00ip00in00"},
        {"modalias", "pci:v00008086d000010D3sv00008086sd000010D3bc02sc00"},
        {"modalias", "pci:v00123456d000010D3sv00008086sd000010D3bc02sc00i00"},
        {"modalias", "pci:v00008086d000010D3sv00008086sd000110D3bc02sc00i00"},
        {"modalias", "pci:v-0008086d000010D3sv00008086sd000010D3bc02sc00i00"},
        {"revision", NULL},
        {"revision", "0x100"},
        {"revision", "-1"},
};

START_TEST(unreadable_device_does_not_hide_the_others)
{
        _cleanup_reply_ Reply *list = NULL, *reply = NULL;
        _cleanup_free_ char *path = NULL;

        fixture_devices();
        path = textf("%s/%s", sysfs_path(CARD), odd_attributes[_i].attribute);
        if (odd_attributes[_i].text)
                file_print(path, "%s\n", odd_attributes[_i].text);
        else
                ck_assert_int_eq(unlink(path), 0);
        fixture_start();
        list = manager_call(bob, "ListDevices", NULL);
        ck_assert_uint_eq(reply_length(list, "0"), 3);
        reply = reset(alice, CARD2, "flr", NULL);
        expect_success(reply);
}
END_TEST

START_TEST(odd_names_of_drivers)
{
        /* What is no UTF-8 would end the connection of whoever sends it over the bus. */
        static const char *const names[] = {"dr\xff\xfeiver", "x'\"<>&",
                                            "a-name-that-is-longer-than-what-any-driver-of"
                                            "-the-kernel-has-been-called-until-now"};

        start();
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_reply_ Reply *list = NULL, *reply = NULL;

                hotplug_bind(CARD, names[i]);
                client_barrier(bob);
                list = manager_call(bob, "ListDevices", NULL);
                expect_success(list);
                reply = reset(alice, CARD, "flr", NULL);
                expect_error(reply, "InUse", CARD);
                hotplug_unbind(CARD);
                client_barrier(bob);
        }
        expect_nothing_written();
}
END_TEST

/* ---- too much at once ---- */

/* The receiver sleeps until its socket is full: the kernel drops what does not fit, and says ENOBUFS. */
static void overflow(void)
{
        process_signal(daemon_process(), SIGSTOP);
        while (!uevents_were_dropped())
                for (int i = 0; i < 10000; i++)
                        uevent("change", PORT, NULL);
}

START_TEST(lost_events)
{
        const MockDevice later = {.address = "0000:04:00.0", .methods = "flr"};
        _cleanup_reply_ Reply *reply = NULL;

        start();
        overflow();
        /* None of these is told to anybody. */
        hotplug_remove(CARD);
        hotplug_add(&fresh);
        hotplug_bind(CARD2, "e1000e");
        process_signal(daemon_process(), SIGCONT);
        (void) signal_wait("InterfacesRemoved", MANAGER_PATH, device_path(CARD));
        (void) signal_wait("InterfacesAdded", MANAGER_PATH, device_path(FRESH));
        (void) signal_wait("PropertiesChanged", device_path(CARD2), "e1000e");
        ck_assert(list_equals_sysfs());
        ck_assert_uint_ge(journal_count("MESSAGE_ID", "849a3b49fe6a4f53b64920ebf4d06fe9", NULL), 1);

        /* And it is not deaf afterwards. */
        hotplug_add(&later);
        (void) signal_wait("InterfacesAdded", MANAGER_PATH, device_path("0000:04:00.0"));
        reply = reset(alice, "0000:04:00.0", "flr", NULL);
        expect_success(reply);
}
END_TEST

START_TEST(lost_replacement)
{
        int64_t before;

        start();
        before = generation(CARD);
        overflow();
        hotplug_remove(CARD);
        hotplug_add(&mock_card);
        process_signal(daemon_process(), SIGCONT);
        (void) signal_wait("InterfacesAdded", MANAGER_PATH, device_path(CARD));
        ck_assert_int_ne(generation(CARD), before);
}
END_TEST

/* All is read again while a reset runs whose device hangs whoever reads its `uevent` or `config`. */
START_TEST(lost_events_during_a_reset)
{
        _cleanup_reply_ Reply *list = NULL, *reply = NULL;
        Call *running;
        int hold;

        start();
        hold = reset_hold(&running);
        overflow();
        hotplug_add(&fresh);
        process_signal(daemon_process(), SIGCONT);
        (void) signal_wait("InterfacesAdded", MANAGER_PATH, device_path(FRESH));
        list = manager_call(bob, "ListDevices", NULL);
        expect_success(list);
        ck_assert(!call_done(running));
        model_release(&hold);
        reply = call_finish(running);
        expect_success(reply);
}
END_TEST

START_TEST(many_devices)
{
        enum { N = 400 };
        char addresses[N][16];
        _cleanup_reply_ Reply *objects = NULL;

        fixture_devices();
        for (unsigned i = 0; i < N; i++) {
                MockDevice device = {.methods = "flr"};

                (void) snprintf(addresses[i], sizeof(addresses[i]), "0001:%02x:%02x.%u", i / 32, i % 32, 0U);
                device.address = addresses[i];
                sysfs_add(&device);
        }
        fixture_start();
        signals_watch(observer);
        ck_assert(list_equals_sysfs());
        objects = call(bob, MANAGER_PATH, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", NULL);
        expect_success(objects);
        ck_assert_int_eq(json_object_object_length(reply_at(objects, "0")), N + 4);
        for (unsigned i = 0; i < N; i++)
                hotplug_remove(addresses[i]);
        wait_until(signal_count("InterfacesRemoved", MANAGER_PATH, NULL) == N);
        ck_assert(list_equals_sysfs());
}
END_TEST

/* A machine whose devices come and go all the time, looked at when it is quiet again. */
START_TEST(storm)
{
        unsigned seed = 20260101;

        start();
        for (int i = 0; i < 400; i++) {
                bool there = access("/sys/bus/pci/devices/" FRESH, F_OK) == 0;

                seed = seed * 1103515245 + 12345;
                switch (seed >> 16 & 3) {
                case 0:
                        if (there)
                                hotplug_remove(FRESH);
                        else
                                hotplug_add(&fresh);
                        break;
                case 1:
                        hotplug_unbind(CARD);
                        hotplug_bind(CARD, "e1000e");
                        break;
                case 2:
                        hotplug_unbind(CARD);
                        break;
                default:
                        hotplug_remove(CARD2);
                        hotplug_add(&mock_card2);
                        break;
                }
        }
        wait_until(list_equals_sysfs());
}
END_TEST

int main(void)
{
        TestProgram program = program_new("hotplug");

        program_add(&program, device_comes);
        program_add(&program, device_goes);
        program_add(&program, device_comes_back_as_a_new_one);
        program_add(&program, device_is_replaced_faster_than_events);
        program_add(&program, generations_are_unique);
        program_add(&program, subtree_goes_with_its_bridge);
        program_add(&program, bridge_goes_first);
        program_add(&program, child_comes_first);
        program_add(&program, add_event_twice);
        program_add(&program, driver_comes_and_goes);
        program_add_table(&program, error_events, error_cases);
        program_add(&program, virtual_functions_come);
        program_add(&program, physical_function_is_known_later);
        program_add(&program, iommu_group_changes);
        program_add(&program, silence_about_nothing);
        program_add_table(&program, events_about_nothing, odd_paths);
        program_add(&program, lying_events);
        program_add_table(&program, unreadable_device_does_not_hide_the_others, odd_attributes);
        program_add(&program, odd_names_of_drivers);
        program_add(&program, lost_events);
        program_add(&program, lost_replacement);
        program_add(&program, lost_events_during_a_reset);
        program_add(&program, many_devices);
        program_add(&program, storm);
        return program_run(&program);
}
