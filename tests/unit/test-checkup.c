/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A device is held against what sysfs says of it: each test changes one thing in a healthy device and looks
 * for the one check that must notice, and for the others that must not.
 */

#include <errno.h>
#include <string.h>

#include <linux/pci_regs.h>

#include "fake-pci.h"
#include "shared/cleanup.h"
#include "unit.h"
#include "worker/checkup.h"

#define DEVICE "0000:01:00.0"
#define BRIDGE "0000:00:1c.0"

DEFINE_CLEANUP(WorkerResult *, worker_result_free);

static FakePci pci;
static WorkerMember members[2];
static WorkerRequest request;
static WorkerResult *result;

/* One register of memory, one of I/O. */
static const char resource[] = "0x00000000febc0000 0x00000000febdffff 0x0000000000040200\n"
                               "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
                               "0x000000000000c000 0x000000000000c01f 0x0000000000040101\n"
                               "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
                               "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
                               "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
                               "0x00000000feb80000 0x00000000febbffff 0x000000000004e200\n";

static void setup(void)
{
        fake_pci_begin(&pci);
        fake_bridge_add(&pci, BRIDGE);
        fake_device_add(&pci, DEVICE);
        fake_attribute_set(&pci, DEVICE, "resource", resource);
        fake_attribute_set(&pci, DEVICE, "revision", "0x00\n");
        fake_attribute_set(&pci, DEVICE, "subsystem_vendor", "0x0000\n");
        fake_attribute_set(&pci, DEVICE, "subsystem_device", "0x0000\n");
        fake_attribute_set(&pci, DEVICE, "enable", "1\n");
        fake_config_set16(&pci, DEVICE, PCI_COMMAND, 0x0407);
        fake_config_set16(&pci, DEVICE, PCI_BASE_ADDRESS_2, 0xc001);
        fake_driver_add(&pci, "e1000e");
        fake_link_set(&pci, DEVICE, "driver", "e1000e");
        members[0] = fake_device_member(&pci, DEVICE);
        request = (WorkerRequest){.operation = WORKER_HEALTH,
                                  .method = WORKER_HEALTH_METHOD,
                                  .members = members,
                                  .n_members = 1,
                                  .bridge = fake_device_member(&pci, BRIDGE),
                                  .has_bridge = true};
}

static void teardown(void)
{
        result = worker_result_free(result);
        fake_pci_end(&pci);
}

static void look(void)
{
        result = worker_result_free(result);
        ck_assert_int_eq(checkup_run(pci.devices_fd, &request, &result), 0);
}

static const WorkerCheck *find(const char *check)
{
        for (size_t i = 0; i < result->n_checks; i++)
                if (strcmp(result->checks[i].check, check) == 0)
                        return &result->checks[i];
        return NULL;
}

static void expect(const char *check, CheckResult outcome)
{
        const WorkerCheck *found = find(check);

        ck_assert_msg(found, "no check %s", check);
        ck_assert_msg(found->result == outcome, "%s is %s: %s, %s", check,
                      check_result_to_string(found->result), found->before, found->after);
}

/* Of all checks this one alone, or none, fails. */
static void expect_failed(const char *check, Verdict verdict)
{
        ck_assert_int_eq(result->outcome, WORKER_DONE);
        ck_assert_str_eq(verdict_to_string(result->verdict), verdict_to_string(verdict));
        for (size_t i = 0; i < result->n_checks; i++)
                ck_assert_msg((result->checks[i].result == CHECK_FAILED) ==
                                      (check && strcmp(result->checks[i].check, check) == 0),
                              "%s: %s, %s", result->checks[i].check, result->checks[i].before,
                              result->checks[i].after);
}

START_TEST(a_healthy_device)
{
        look();
        expect_failed(NULL, VERDICT_OK);
        expect("answers", CHECK_OK);
        expect("ids", CHECK_OK);
        expect("header", CHECK_OK);
        expect("command", CHECK_OK);
        expect("bars", CHECK_OK);
        ck_assert_str_eq(find("bars")->after, "0xfebc0000 0xc000");
        ck_assert_ptr_null(find("eeh"));
}
END_TEST

/* What a fatal error leaves of a device whose driver has not set it up again. */
START_TEST(lost_addresses)
{
        fake_config_set16(&pci, DEVICE, PCI_BASE_ADDRESS_0 + 2, 0);
        look();
        expect_failed("bars", VERDICT_DEGRADED);
        ck_assert_str_eq(find("bars")->before, "0xfebc0000 0xc000");
        ck_assert_str_eq(find("bars")->after, "0x0 0xc000");
}
END_TEST

START_TEST(another_address)
{
        fake_config_set16(&pci, DEVICE, PCI_BASE_ADDRESS_0 + 2, 0xfeb0);
        look();
        expect_failed("bars", VERDICT_DEGRADED);
}
END_TEST

START_TEST(a_bridge_that_translates)
{
        fake_config_set16(&pci, DEVICE, PCI_BASE_ADDRESS_0 + 2, 0x7ebc);
        look();
        expect_failed(NULL, VERDICT_OK);
        expect("bars", CHECK_SKIPPED);
}
END_TEST

START_TEST(a_wide_address)
{
        fake_attribute_set(&pci, DEVICE, "resource",
                           "0x0000003800000000 0x000000380000ffff 0x0000000000140204\n"
                           "0x0000000000000000 0x0000000000000000 0x0000000000000000\n");
        fake_config_set16(&pci, DEVICE, PCI_BASE_ADDRESS_0, 4);
        fake_config_set16(&pci, DEVICE, PCI_BASE_ADDRESS_0 + 2, 0);
        fake_config_set16(&pci, DEVICE, PCI_BASE_ADDRESS_1, 0x38);
        look();
        expect_failed(NULL, VERDICT_OK);
        expect("bars", CHECK_OK);
        fake_config_set16(&pci, DEVICE, PCI_BASE_ADDRESS_1, 0);
        look();
        expect_failed("bars", VERDICT_DEGRADED);
}
END_TEST

/* Addresses that were never assigned, or are not in the register. */
static const char *const unassigned[] = {
        "0x00000000febc0000 0x00000000febdffff 0x0000000020040200\n",
        "0x00000000febc0000 0x00000000febdffff 0x0000000000000210\n",
        "0x0000000000000000 0x000000000001ffff 0x0000000000040200\n",
        "not a resource\n",
        "",
};

START_TEST(nothing_is_expected)
{
        fake_attribute_set(&pci, DEVICE, "resource", unassigned[_i]);
        fake_config_set16(&pci, DEVICE, PCI_BASE_ADDRESS_0 + 2, 0);
        look();
        expect_failed(NULL, VERDICT_OK);
        expect("bars", CHECK_SKIPPED);
}
END_TEST

START_TEST(decoding_is_off)
{
        fake_config_set16(&pci, DEVICE, PCI_COMMAND, 0x0404);
        look();
        expect_failed("command", VERDICT_DEGRADED);
}
END_TEST

/* Nobody has enabled it, or whoever has it open may set the register as he likes. */
START_TEST(decoding_may_be_off)
{
        fake_config_set16(&pci, DEVICE, PCI_COMMAND, 0);
        fake_attribute_set(&pci, DEVICE, "enable", "0\n");
        look();
        expect_failed(NULL, VERDICT_OK);
        expect("command", CHECK_SKIPPED);

        fake_attribute_set(&pci, DEVICE, "enable", "1\n");
        fake_driver_add(&pci, "vfio-pci");
        fake_link_set(&pci, DEVICE, "driver", "vfio-pci");
        look();
        expect_failed(NULL, VERDICT_OK);
        fake_link_set(&pci, DEVICE, "driver", NULL);
        look();
        expect_failed(NULL, VERDICT_OK);
}
END_TEST

START_TEST(all_ones)
{
        static const uint8_t ones[64] = {[0 ... 63] = 0xff};

        fake_config_set(&pci, DEVICE, 0, ones, sizeof(ones));
        look();
        expect_failed("answers", VERDICT_DEAD);
        ck_assert_ptr_null(find("bars"));
}
END_TEST

START_TEST(other_ids)
{
        fake_attribute_set(&pci, DEVICE, "subsystem_device", "0x1234\n");
        look();
        expect_failed("ids", VERDICT_DEGRADED);
}
END_TEST

START_TEST(another_revision)
{
        fake_attribute_set(&pci, DEVICE, "revision", "0x03\n");
        look();
        expect_failed("header", VERDICT_DEGRADED);
}
END_TEST

/* A virtual function's own registers are empty where its physical one's count. */
START_TEST(a_virtual_function)
{
        fake_link_set(&pci, DEVICE, "physfn", "0000:01:01.0");
        fake_config_set16(&pci, DEVICE, PCI_VENDOR_ID, 0xffff);
        fake_config_set16(&pci, DEVICE, PCI_DEVICE_ID, 0xffff);
        fake_config_set16(&pci, DEVICE, PCI_BASE_ADDRESS_0 + 2, 0);
        look();
        expect_failed(NULL, VERDICT_OK);
        expect("ids", CHECK_SKIPPED);
        expect("bars", CHECK_SKIPPED);
}
END_TEST

static const struct {
        const char *state;
        CheckResult outcome;
        Verdict verdict;
} endpoints[] = {
        {"0x00000078 0x00000000\n", CHECK_OK, VERDICT_OK},
        {"0x00000000 0x00000001\n", CHECK_FAILED, VERDICT_DEGRADED},
        {"0x00000078 0x00000103\n", CHECK_FAILED, VERDICT_DEGRADED},
        {"00000000 00000001\n", CHECK_FAILED, VERDICT_DEGRADED}, /* before Linux 4.19 */
        {"\n", CHECK_SKIPPED, VERDICT_OK},
};

START_TEST(a_partitionable_endpoint)
{
        fake_attribute_set(&pci, DEVICE, "eeh_pe_state", endpoints[_i].state);
        look();
        expect("eeh", endpoints[_i].outcome);
        ck_assert_int_eq(result->verdict, endpoints[_i].verdict);
}
END_TEST

START_TEST(it_is_gone)
{
        members[0].inode++;
        look();
        ck_assert_int_eq(result->outcome, WORKER_GONE);
        ck_assert_int_eq(result->n_checks, 0);
        members[0].inode--;
        fake_device_remove(&pci, DEVICE);
        look();
        ck_assert_int_eq(result->outcome, WORKER_GONE);
}
END_TEST

/* The whole room for checks is used at most, whatever the members have. */
START_TEST(two_members)
{
        fake_device_add(&pci, "0000:01:00.1");
        fake_attribute_set(&pci, DEVICE, "eeh_pe_state", "0x00000078 0x00000000\n");
        fake_attribute_set(&pci, "0000:01:00.1", "eeh_pe_state", "0x00000078 0x00000001\n");
        members[1] = fake_device_member(&pci, "0000:01:00.1");
        request.n_members = 2;
        look();
        expect("eeh", CHECK_OK);
        ck_assert_int_eq(result->verdict, VERDICT_DEGRADED);
        ck_assert_str_eq(result->checks[result->n_checks - 1].check, "aer");
        ck_assert_int_eq(result->checks[result->n_checks - 1].device.device, 0x1c);
}
END_TEST

START_TEST(a_request_of_it)
{
        _cleanup_free_ char *line = NULL;
        WorkerRequest *parsed = NULL;

        ck_assert_int_eq(worker_request_format(&request, &line), 0);
        ck_assert_int_eq(worker_request_parse(line, strlen(line) - 1, &parsed), 0);
        ck_assert_int_eq(parsed->operation, WORKER_HEALTH);
        worker_request_free(parsed);
        (void) strcpy(request.method, "flr");
        free(line);
        line = NULL;
        ck_assert_int_eq(worker_request_format(&request, &line), -EINVAL);
        (void) strcpy(request.method, WORKER_HEALTH_METHOD);
        request.n_fds = 1;
        ck_assert_int_eq(worker_request_format(&request, &line), -EINVAL);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("checkup");

        unit_add_fixture(suite, setup, teardown, a_healthy_device);
        unit_add_fixture(suite, setup, teardown, lost_addresses);
        unit_add_fixture(suite, setup, teardown, another_address);
        unit_add_fixture(suite, setup, teardown, a_bridge_that_translates);
        unit_add_fixture(suite, setup, teardown, a_wide_address);
        unit_add_table_fixture(suite, setup, teardown, nothing_is_expected, unassigned);
        unit_add_fixture(suite, setup, teardown, decoding_is_off);
        unit_add_fixture(suite, setup, teardown, decoding_may_be_off);
        unit_add_fixture(suite, setup, teardown, all_ones);
        unit_add_fixture(suite, setup, teardown, other_ids);
        unit_add_fixture(suite, setup, teardown, another_revision);
        unit_add_fixture(suite, setup, teardown, a_virtual_function);
        unit_add_table_fixture(suite, setup, teardown, a_partitionable_endpoint, endpoints);
        unit_add_fixture(suite, setup, teardown, it_is_gone);
        unit_add_fixture(suite, setup, teardown, two_members);
        unit_add_fixture(suite, setup, teardown, a_request_of_it);
        return unit_run(suite);
}
