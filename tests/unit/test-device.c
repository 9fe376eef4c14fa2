/* SPDX-License-Identifier: GPL-2.0-or-later */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "fake-pci.h"
#include "shared/cleanup.h"
#include "unit.h"
#include "worker/attribute.h"
#include "worker/device.h"

#define CARD "0000:01:00.0"
#define PORT "0000:00:1c.0"

static FakePci pci;
static WorkerMember member;
static Device device;

static void setup(void)
{
        fake_pci_begin(&pci);
        fake_device_add(&pci, CARD);
        member = fake_device_member(&pci, CARD);
        device = (Device){.fd = -EBADF};
}

static void teardown(void)
{
        device_close(&device);
        fake_pci_end(&pci);
}

START_TEST(opens_what_was_meant)
{
        ck_assert_int_eq(device_open(pci.devices_fd, &member, &device), 0);
        ck_assert_str_eq(device.name, CARD);
        ck_assert(!device.is_virtual);
        ck_assert(!device_is_gone(&device));
        ck_assert(!device_has_bridge_class(&device));
        device_close(&device);
        ck_assert_int_lt(device.fd, 0);
        device_close(&device);
}
END_TEST

START_TEST(refuses_any_other)
{
        member.inode++;
        ck_assert_int_eq(device_open(pci.devices_fd, &member, &device), -ENODEV);
        member.inode--;
        member.vendor++;
        ck_assert_int_eq(device_open(pci.devices_fd, &member, &device), -ENODEV);
        member.vendor--;
        member.device++;
        ck_assert_int_eq(device_open(pci.devices_fd, &member, &device), -ENODEV);
        member.device--;
        member.class ++;
        ck_assert_int_eq(device_open(pci.devices_fd, &member, &device), -ENODEV);
        member.class --;
        member.address.function = 1;
        ck_assert_int_eq(device_open(pci.devices_fd, &member, &device), -ENODEV);
        ck_assert_int_lt(device.fd, 0);
}
END_TEST

START_TEST(refuses_what_it_cannot_compare)
{
        fake_attribute_set(&pci, CARD, "class", "network\n");
        ck_assert_int_eq(device_open(pci.devices_fd, &member, &device), -EBADMSG);
        fake_attribute_remove(&pci, CARD, "class");
        ck_assert_int_eq(device_open(pci.devices_fd, &member, &device), -ENODEV);
}
END_TEST

/* As the daemon, which holds the first device open while the second takes its place. */
START_TEST(a_successor_at_the_same_address)
{
        _cleanup_close_ int held = openat(pci.devices_fd, CARD, O_RDONLY | O_DIRECTORY);
        char driver[WORKER_DRIVER_MAX];

        ck_assert_int_eq(device_open(pci.devices_fd, &member, &device), 0);
        fake_device_remove(&pci, CARD);
        ck_assert(device_is_gone(&device));
        fake_device_add(&pci, CARD);
        fake_link_set(&pci, CARD, "driver", "e1000e");

        /* The one that was pinned stays gone, */
        ck_assert(device_is_gone(&device));
        ck_assert_int_eq(device_read_driver(&device, driver, sizeof(driver)), -ENODEV);
        ck_assert_int_eq(attribute_open_for_write(device.fd, "reset"), -ENOENT);
        device_close(&device);
        /* and the new one is not taken for it. */
        ck_assert_int_eq(device_open(pci.devices_fd, &member, &device), -ENODEV);
}
END_TEST

START_TEST(virtual_functions)
{
        fake_link_set(&pci, CARD, "physfn", "0000:01:00.1");
        ck_assert_int_eq(device_open(pci.devices_fd, &member, &device), 0);
        ck_assert(device.is_virtual);
}
END_TEST

START_TEST(bridges)
{
        fake_bridge_add(&pci, PORT);
        member = fake_device_member(&pci, PORT);
        ck_assert_int_eq(device_open(pci.devices_fd, &member, &device), 0);
        ck_assert(device_has_bridge_class(&device));
        member.class = 0x060700;
        ck_assert(device_has_bridge_class(&device));
        member.class = 0x060940;
        ck_assert(device_has_bridge_class(&device));
        member.class = 0x060000; /* a host bridge is an ordinary function */
        ck_assert(!device_has_bridge_class(&device));
}
END_TEST

START_TEST(drivers)
{
        static const char name[] =
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        char driver[WORKER_DRIVER_MAX];

        ck_assert_int_eq(device_open(pci.devices_fd, &member, &device), 0);
        ck_assert_int_eq(device_read_driver(&device, driver, sizeof(driver)), 0);
        ck_assert_str_eq(driver, "");
        fake_link_set(&pci, CARD, "driver", "vfio-pci");
        ck_assert_int_eq(device_read_driver(&device, driver, sizeof(driver)), 0);
        ck_assert_str_eq(driver, "vfio-pci");
        fake_link_set(&pci, CARD, "driver", name);
        ck_assert_int_eq(device_read_driver(&device, driver, sizeof(driver)), -EMSGSIZE);
}
END_TEST

static const WorkerRequest request = {.members = &member, .n_members = 1};

static void expect_use(int wanted, const char *wanted_why)
{
        const char *why = "";

        ck_assert_int_eq(device_check_use(&device, &request, &why), wanted);
        ck_assert_str_eq(why, wanted_why);
}

START_TEST(use_by_drivers)
{
        ck_assert_int_eq(device_open(pci.devices_fd, &member, &device), 0);
        expect_use(0, "");
        fake_link_set(&pci, CARD, "driver", "vfio-pci");
        expect_use(-EBUSY, WORKER_WHY_DRIVER);
        (void) strcpy(member.driver, "vfio-pci");
        expect_use(0, "");
        fake_link_set(&pci, CARD, "driver", NULL);
        expect_use(-EBUSY, WORKER_WHY_DRIVER);
}
END_TEST

START_TEST(use_of_an_enabled_device)
{
        ck_assert_int_eq(device_open(pci.devices_fd, &member, &device), 0);
        fake_attribute_set(&pci, CARD, "enable", "1\n");
        expect_use(0, "");
        member.must_be_disabled = true;
        expect_use(-EBUSY, WORKER_WHY_ENABLED);
        fake_attribute_set(&pci, CARD, "enable", "0\n");
        expect_use(0, "");

        /* What cannot be known is not allowed. */
        fake_attribute_set(&pci, CARD, "enable", "\n");
        expect_use(-EBADMSG, WORKER_WHY_UNREADABLE);
        fake_attribute_set(&pci, CARD, "enable", "-1\n");
        expect_use(-EBADMSG, WORKER_WHY_UNREADABLE);
        fake_attribute_remove(&pci, CARD, "enable");
        expect_use(-ENOENT, WORKER_WHY_UNREADABLE);
}
END_TEST

START_TEST(use_by_confidential_guests)
{
        ck_assert_int_eq(device_open(pci.devices_fd, &member, &device), 0);
        ck_assert_int_eq(mkdirat(device.fd, "tsm", 0755), 0);
        expect_use(0, "");
        fake_attribute_set(&pci, CARD, "tsm/bound", "\n");
        expect_use(0, "");
        fake_attribute_set(&pci, CARD, "tsm/bound", "tsm0\n");
        expect_use(-EBUSY, WORKER_WHY_TSM);
}
END_TEST

/* Virtual functions made since the set was looked at are not authorised. */
START_TEST(virtual_functions_that_are_no_members)
{
        WorkerMember set[3] = {};
        WorkerRequest all = {.members = set, .n_members = 2};
        const char *why = "";

        ck_assert_int_eq(device_open(pci.devices_fd, &member, &device), 0);
        set[0] = member;
        ck_assert_int_eq(pci_address_parse("0000:01:10.0", &set[1].address), 0);
        ck_assert_int_eq(pci_address_parse("0000:01:10.2", &set[2].address), 0);

        fake_link_set(&pci, CARD, "virtfn0", "0000:01:10.0");
        ck_assert_int_eq(device_check_use(&device, &all, &why), 0);
        fake_link_set(&pci, CARD, "virtfn1", "0000:01:10.2");
        ck_assert_int_eq(device_check_use(&device, &all, &why), -EBUSY);
        ck_assert_str_eq(why, WORKER_WHY_SET);
        all.n_members = 3;
        ck_assert_int_eq(device_check_use(&device, &all, &why), 0);
        expect_use(-EBUSY, WORKER_WHY_SET);
        fake_link_set(&pci, CARD, "virtfn1", "nonsense");
        ck_assert_int_eq(device_check_use(&device, &all, &why), -EBUSY);
}
END_TEST

START_TEST(use_of_what_is_gone)
{
        ck_assert_int_eq(device_open(pci.devices_fd, &member, &device), 0);
        fake_device_remove(&pci, CARD);
        expect_use(-ENODEV, "");
}
END_TEST

static const struct {
        const char *text;
        int result;
        uint64_t value;
} numbers[] = {
        {"0\n", 0, 0},
        {"1", 0, 1},
        {"0x10d3\n", 0, 0x10d3},
        {"0xff\n", 0, 0xff},
        {"65535\n", 0, 0xffff},
        {"65536\n", -ERANGE, 0},
        {"99999999999999999999999\n", -ERANGE, 0},
        {"", -EBADMSG, 0},
        {"\n", -EBADMSG, 0},
        {" 1\n", -EBADMSG, 0},
        {"-1\n", -EBADMSG, 0},
        {"+1\n", -EBADMSG, 0},
        {"1 \n", -EBADMSG, 0},
        {"1\n2\n", -EBADMSG, 0},
        {"0x\n", -EBADMSG, 0},
        {"a\n", -EBADMSG, 0},
        {"0000000000000000000000000000000000000000000001\n", -EMSGSIZE, 0},
};

START_TEST(attributes_that_are_numbers)
{
        uint64_t value = 0;

        ck_assert_int_eq(device_open(pci.devices_fd, &member, &device), 0);
        fake_attribute_set(&pci, CARD, "number", numbers[_i].text);
        ck_assert_int_eq(attribute_read_unsigned(device.fd, "number", 0xffff, &value), numbers[_i].result);
        ck_assert_uint_eq(value, numbers[_i].value);
}
END_TEST

START_TEST(attributes)
{
        char text[8];
        int fd;

        ck_assert_int_eq(device_open(pci.devices_fd, &member, &device), 0);
        fake_attribute_set(&pci, CARD, "text", "1234567\n");
        ck_assert_int_eq(attribute_read(device.fd, "text", text, sizeof(text)), -EMSGSIZE);
        fake_attribute_set(&pci, CARD, "text", "123456\n");
        ck_assert_int_eq(attribute_read(device.fd, "text", text, sizeof(text)), 6);
        ck_assert_str_eq(text, "123456");
        fake_attribute_set(&pci, CARD, "text", "");
        ck_assert_int_eq(attribute_read(device.fd, "text", text, sizeof(text)), 0);
        ck_assert_int_eq(attribute_read(device.fd, "absent", text, sizeof(text)), -ENOENT);

        /* Opening alone changes nothing. */
        fd = attribute_open_for_write(device.fd, "text");
        ck_assert_int_ge(fd, 0);
        ck_assert_str_eq(fake_attribute_get(&pci, CARD, "text"), "");
        ck_assert_int_eq(attribute_write(fd, "ab\n"), 0);
        (void) close(fd);
        fd = attribute_open_for_write(device.fd, "text");
        ck_assert_str_eq(fake_attribute_get(&pci, CARD, "text"), "ab\n");
        (void) close(fd);

        /* An attribute is no link, wherever it leads. */
        fake_link_set(&pci, CARD, "link", "../../../tmp");
        ck_assert_int_eq(attribute_open_for_write(device.fd, "link"), -ELOOP);
        ck_assert_int_eq(attribute_read(device.fd, "link", text, sizeof(text)), -ELOOP);
        ck_assert_int_eq(attribute_read_link(device.fd, "text", text, sizeof(text)), -EINVAL);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("device");
        TCase *tree = tcase_create("tree");

        tcase_add_checked_fixture(tree, setup, teardown);
        tcase_add_test(tree, opens_what_was_meant);
        tcase_add_test(tree, refuses_any_other);
        tcase_add_test(tree, refuses_what_it_cannot_compare);
        tcase_add_test(tree, a_successor_at_the_same_address);
        tcase_add_test(tree, virtual_functions);
        tcase_add_test(tree, bridges);
        tcase_add_test(tree, drivers);
        tcase_add_test(tree, use_by_drivers);
        tcase_add_test(tree, use_of_an_enabled_device);
        tcase_add_test(tree, use_by_confidential_guests);
        tcase_add_test(tree, virtual_functions_that_are_no_members);
        tcase_add_test(tree, use_of_what_is_gone);
        tcase_add_loop_test(tree, attributes_that_are_numbers, 0, (int) ELEMENTSOF(numbers));
        tcase_add_test(tree, attributes);
        suite_add_tcase(suite, tree);
        return unit_run(suite);
}
