/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What the kernel expects of a device is in sysfs: `resource` has the addresses that it wrote into the base
 * address registers, `enable` counts those who wanted them decoded, `class`, `revision` and the subsystem
 * are as they were read when the device was found.
 */

#include "worker/checkup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/driver.h"
#include "worker/attribute.h"
#include "worker/eeh.h"
#include "worker/health.h"

/* The flags in the third column of `resource` (include/linux/ioport.h). */
#define RESOURCE_FIXED    UINT64_C(0x00000010) /* addresses that are not in the register: legacy IDE, EA */
#define RESOURCE_IO       UINT64_C(0x00000100)
#define RESOURCE_MEMORY   UINT64_C(0x00000200)
#define RESOURCE_64       UINT64_C(0x00100000)
#define RESOURCE_DISABLED UINT64_C(0x10000000)
#define RESOURCE_UNSET    UINT64_C(0x20000000)

/* A host bridge that translates moves whole windows. */
#define TRANSLATION_MEMORY UINT64_C(0x1000000)
#define TRANSLATION_IO     UINT64_C(0x1000)

DEFINE_CLEANUP(WorkerResult *, worker_result_free);

typedef char Value[WORKER_VALUE_MAX];

typedef struct Bar {
        bool is_assigned;
        bool is_io;
        bool is_wide;
        uint64_t start;
} Bar;

typedef struct Checkup {
        const Device *device;
        const PciAddress *address;
        DeviceHealth health;
        Bar bars[CONFIG_BARS_MAX];
        WorkerResult *result;
} Checkup;

static void add(const Checkup *checkup, const char *check, CheckResult outcome, const char *expected,
                const char *found)
{
        health_add_check(checkup->result, checkup->address, check, outcome, expected, found);
}

/* The base addresses are the first lines of `resource`, one for each register (resource_show in the kernel).
 */
static void read_bars(const Device *device, const DeviceHealth *health, Bar bars[static CONFIG_BARS_MAX])
{
        size_t n = (health->header_type & 0x7f) == PCI_HEADER_TYPE_NORMAL ? 6 : 2;
        char table[ATTRIBUTE_MAX];
        const char *line = table;

        if (attribute_read(device->fd, "resource", table, sizeof(table)) < 0)
                return;
        for (size_t i = 0; i < n && line; i++) {
                uint64_t start, end, flags;

                if (sscanf(line, "%" SCNx64 " %" SCNx64 " %" SCNx64, &start, &end, &flags) != 3)
                        return;
                bars[i] = (Bar){
                        .is_assigned = start != 0 && flags & (RESOURCE_IO | RESOURCE_MEMORY) &&
                                       !(flags & (RESOURCE_FIXED | RESOURCE_DISABLED | RESOURCE_UNSET)),
                        .is_io = flags & RESOURCE_IO,
                        .is_wide = flags & RESOURCE_64,
                        .start = start,
                };
                line = strchr(line, '\n');
                line = line ? line + 1 : NULL;
        }
}

static uint64_t bar_in_register(const DeviceHealth *health, const Bar *bars, size_t i)
{
        const uint32_t *registers = health->bars;
        uint64_t low = registers[i] & (bars[i].is_io ? PCI_BASE_ADDRESS_IO_MASK : PCI_BASE_ADDRESS_MEM_MASK);

        low &= UINT32_MAX;
        return bars[i].is_wide && i + 1 < health->n_bars ? low | (uint64_t) registers[i + 1] << 32 : low;
}

static CheckResult compare_bars(const DeviceHealth *health, const Bar *bars, Value expected, Value found)
{
        /* By how much addresses have moved, of memory and of I/O. */
        uint64_t moved[2] = {0, 0};
        bool is_known[2] = {false, false}, is_lost = false, is_same = true, is_even = true;
        size_t used_expected = 0, used_found = 0, n_assigned = 0;

        expected[0] = found[0] = '\0';
        for (size_t i = 0; i < health->n_bars && i < CONFIG_BARS_MAX; i++) {
                const Bar *bar = &bars[i];
                uint64_t value, distance;

                if (!bar->is_assigned)
                        continue;
                value = bar_in_register(health, bars, i);
                distance = value - bar->start;
                is_lost |= value == 0;
                is_same &= distance == 0;
                is_even &= (!is_known[bar->is_io] || moved[bar->is_io] == distance) &&
                           distance % (bar->is_io ? TRANSLATION_IO : TRANSLATION_MEMORY) == 0;
                moved[bar->is_io] = distance;
                is_known[bar->is_io] = true;
                if (used_expected < WORKER_VALUE_MAX)
                        used_expected += (size_t) snprintf(expected + used_expected,
                                                           WORKER_VALUE_MAX - used_expected, "%s0x%" PRIx64,
                                                           n_assigned > 0 ? " " : "", bar->start);
                if (used_found < WORKER_VALUE_MAX)
                        used_found += (size_t) snprintf(found + used_found, WORKER_VALUE_MAX - used_found,
                                                        "%s0x%" PRIx64, n_assigned > 0 ? " " : "", value);
                n_assigned++;
        }

        if (n_assigned == 0 || health->is_virtual)
                return CHECK_SKIPPED;
        return is_same ? CHECK_OK : is_lost || !is_even ? CHECK_FAILED : CHECK_SKIPPED;
}

bool checkup_has_lost_bars(const Device *device, const DeviceHealth *health,
                           char expected[static WORKER_VALUE_MAX], char found[static WORKER_VALUE_MAX])
{
        Bar bars[CONFIG_BARS_MAX] = {};

        if (!health_answers(health) || health->is_stranger)
                return false;
        read_bars(device, health, bars);
        return compare_bars(health, bars, expected, found) == CHECK_FAILED;
}

static void check_bars(Checkup *checkup)
{
        Value expected, found;
        CheckResult outcome = compare_bars(&checkup->health, checkup->bars, expected, found);
        bool has_none = outcome == CHECK_SKIPPED && (expected[0] == '\0' || checkup->health.is_virtual);

        add(checkup, "bars", outcome, has_none ? "none" : expected, has_none ? "none" : found);
}

static void check_command(Checkup *checkup)
{
        const uint16_t command = checkup->health.command;
        uint16_t decoding = 0;
        CheckResult outcome;
        Value expected, found;
        uint64_t count;

        for (size_t i = 0; i < CONFIG_BARS_MAX; i++)
                if (checkup->bars[i].is_assigned)
                        decoding |= checkup->bars[i].is_io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
        (void) snprintf(found, sizeof(found), "0x%04x", command);
        if (attribute_read_unsigned(checkup->device->fd, "enable", UINT32_MAX, &count) < 0) {
                add(checkup, "command", CHECK_SKIPPED, "unknown", found);
                return;
        }
        (void) snprintf(expected, sizeof(expected), count > 0 ? "enabled" : "not enabled");
        if (count == 0 || decoding == 0 || !checkup->health.has_driver ||
            driver_kind(checkup->health.driver) != DRIVER_HOST)
                outcome = CHECK_SKIPPED;
        else
                outcome = command & decoding ? CHECK_OK : CHECK_FAILED;
        add(checkup, "command", outcome, expected, found);
}

static void check_ids(Checkup *checkup)
{
        const WorkerMember *member = checkup->device->expected;
        DeviceHealth kernel = {.vendor = member->vendor, .device = member->device};
        uint64_t vendor, device;
        Value expected, found;

        kernel.subsystem = checkup->health.subsystem;
        if ((checkup->health.header_type & 0x7f) == PCI_HEADER_TYPE_NORMAL &&
            attribute_read_unsigned(checkup->device->fd, "subsystem_vendor", UINT16_MAX, &vendor) == 0 &&
            attribute_read_unsigned(checkup->device->fd, "subsystem_device", UINT16_MAX, &device) == 0)
                kernel.subsystem = (uint32_t) (vendor | device << 16);
        health_describe_ids(&kernel, expected);
        health_describe_ids(&checkup->health, found);
        if (checkup->health.is_virtual)
                add(checkup, "ids", CHECK_SKIPPED, expected, found);
        else
                add(checkup, "ids", strcmp(expected, found) == 0 ? CHECK_OK : CHECK_FAILED, expected, found);
}

/* The class is shown and not compared: the kernel corrects it for some devices (its header quirks). */
static void check_header(Checkup *checkup)
{
        bool is_bridge = device_has_bridge_class(checkup->device);
        DeviceHealth kernel = {.header_type = is_bridge ? PCI_HEADER_TYPE_BRIDGE : PCI_HEADER_TYPE_NORMAL};
        uint64_t revision = checkup->health.class_revision & 0xff;
        CheckResult outcome = CHECK_OK;
        Value expected, found;

        (void) attribute_read_unsigned(checkup->device->fd, "revision", UINT8_MAX, &revision);
        kernel.class_revision = checkup->device->expected->class << 8 | (uint32_t) revision;
        health_describe_header(&kernel, expected);
        health_describe_header(&checkup->health, found);
        if (((checkup->health.header_type & 0x7f) != PCI_HEADER_TYPE_NORMAL) != is_bridge ||
            (checkup->health.class_revision & 0xff) != revision)
                outcome = CHECK_FAILED;
        add(checkup, "header", outcome, expected, found);
}

static void check_link(Checkup *checkup)
{
        const ConfigLink *link = &checkup->health.link;
        Value found;

        health_describe_link(&checkup->health, found);
        if (!health_answers(&checkup->health) || !checkup->health.has_link || !link->reports_active)
                add(checkup, "link", CHECK_SKIPPED, "", found);
        else
                add(checkup, "link", link->active ? CHECK_OK : CHECK_FAILED, "up", found);
}

static void check_aer(Checkup *checkup)
{
        const DeviceHealth *health = &checkup->health;
        Value found;

        health_describe_aer(health, found);
        add(checkup, "aer", health->has_fatal_status && health->fatal_status == 0 ? CHECK_OK : CHECK_SKIPPED,
            "", found);
}

static void check_probe(Checkup *checkup)
{
        if (checkup->health.probe == PROBE_NONE)
                return;
        add(checkup, "probe",
            checkup->health.probe == PROBE_WORKS    ? CHECK_OK
            : checkup->health.probe == PROBE_FAILED ? CHECK_FAILED
                                                    : CHECK_SKIPPED,
            "", checkup->health.probe_text);
}

static void check_eeh(Checkup *checkup)
{
        Value text = "";
        int r = eeh_read(checkup->device->fd, text);

        if (r == -ENOENT)
                return;
        add(checkup, "eeh",
            r > 0    ? CHECK_FAILED
            : r == 0 ? CHECK_OK
                     : CHECK_SKIPPED,
            "", r < 0 ? "unreadable" : text);
}

static void check_member(Checkup *checkup)
{
        bool answers = health_answers(&checkup->health);

        add(checkup, "answers", answers ? CHECK_OK : CHECK_FAILED, "",
            health_answer_to_string(&checkup->health));
        if (answers) {
                read_bars(checkup->device, &checkup->health, checkup->bars);
                check_ids(checkup);
                check_header(checkup);
                check_command(checkup);
                check_bars(checkup);
                check_link(checkup);
        }
        check_aer(checkup);
        check_probe(checkup);
        check_eeh(checkup);
}

static void check_bridge(Checkup *checkup)
{
        check_link(checkup);
        check_aer(checkup);
}

static int look_at(const Device *device, void (*check)(Checkup *checkup), WorkerResult *result)
{
        Checkup checkup = {.device = device, .address = &device->expected->address, .result = result};

        health_read_device(device, &checkup.health);
        if (checkup.health.error == -ENODEV)
                return -ENODEV;
        check(&checkup);
        return 0;
}

int checkup_member(const Device *device, WorkerResult *result)
{
        return look_at(device, check_member, result);
}

int checkup_bridge(const Device *device, WorkerResult *result)
{
        return look_at(device, check_bridge, result);
}

/* -ENODEV: it is gone. */
static int look(int devices_fd, const WorkerMember *member, void (*check)(Checkup *checkup),
                WorkerResult *result)
{
        Device device = {.fd = -EBADF};
        int r;

        r = device_open(devices_fd, member, &device);
        if (r < 0)
                return r;
        r = look_at(&device, check, result);
        device_close(&device);
        return r;
}

static int look_at_all(int devices_fd, const WorkerRequest *request, WorkerResult *result,
                       const WorkerMember **ret)
{
        int r;

        for (size_t i = 0; i < request->n_members; i++) {
                *ret = &request->members[i];
                r = look(devices_fd, *ret, check_member, result);
                if (r < 0)
                        return r;
        }
        *ret = &request->bridge;
        return request->has_bridge ? look(devices_fd, *ret, check_bridge, result) : 0;
}

int checkup_run(int devices_fd, const WorkerRequest *request, WorkerResult **ret)
{
        _cleanup_(cleanup_worker_result_free) WorkerResult *result = calloc(1, sizeof(WorkerResult));
        char name[PCI_ADDRESS_STRING_MAX];
        const WorkerMember *last;
        int r;

        if (!result)
                return -ENOMEM;
        r = health_prepare_result(request, result);
        if (r < 0)
                return r;
        r = look_at_all(devices_fd, request, result, &last);
        if (r < 0) {
                result->outcome = r == -ENODEV ? WORKER_GONE : WORKER_FAILED;
                result->error = -r;
                (void) snprintf(result->message, sizeof(result->message),
                                "%s: the device cannot be opened: %s",
                                pci_address_format(&last->address, name), strerror(-r));
        } else {
                result->outcome = WORKER_DONE;
                result->verdict = health_judge(result);
        }
        *ret = steal_pointer(result);
        return 0;
}
