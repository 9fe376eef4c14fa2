/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Reading and judging are kept apart: the upper half of this file fills a DeviceHealth from a device, the
 * lower half compares two of them.
 *
 * A device that did not answer before the reset and answers after it has been brought back, but the kernel
 * has saved garbage before and restored it after (pci_save_state reads what everybody reads). Nothing is
 * known about how its registers were, so its command register counts as changed and the verdict is no better
 * than degraded. Unless it was removed and found again: then the kernel has set it up from nothing.
 */

#include "worker/health.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/attribute.h"

Health *health_free(Health *health)
{
        if (!health)
                return NULL;
        free(health->members);
        free(health);
        return NULL;
}

DEFINE_CLEANUP(Health *, health_free);

Health *health_new(size_t n_members)
{
        _cleanup_(cleanup_health_free) Health *health = calloc(1, sizeof(*health));

        if (!health)
                return NULL;
        health->members = calloc(n_members, sizeof(*health->members));
        if (!health->members)
                return NULL;
        health->n_members = n_members;
        return steal_pointer(health);
}

static void read_registers(ConfigSpace *config, DeviceHealth *health)
{
        health->is_limited = config->size <= CONFIG_SPACE_UNPRIVILEGED;
        health->vendor = config_space_get16(config, PCI_VENDOR_ID);
        health->device = config_space_get16(config, PCI_DEVICE_ID);
        if (config_space_header_type(config) == PCI_HEADER_TYPE_NORMAL)
                health->subsystem = config_space_get32(config, PCI_SUBSYSTEM_VENDOR_ID);
        health->header_type = config_space_get8(config, PCI_HEADER_TYPE);
        health->class_revision = config_space_get32(config, PCI_CLASS_REVISION);
        health->command = config_space_get16(config, PCI_COMMAND);
        health->n_bars = config_space_bars(config, health->bars);
        health->has_link = config_space_link(config, &health->link);
        health->has_fatal_status = config_space_fatal_errors(config, &health->fatal_status);
        if (!config_space_serial(config, health->serial))
                health->serial[0] = '\0';
}

static int read_config(const Device *device, DeviceHealth *health)
{
        _cleanup_close_ int fd = -EBADF;
        ConfigSpace config;
        int r;

        fd = openat(device->fd, "config", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;

        r = config_space_begin(&config, fd);
        if (r < 0)
                return r;

        health->answer = config_space_answer(&config, device->is_virtual);
        if (health->answer == CONFIG_ANSWERS)
                read_registers(&config, health);
        return config.error;
}

/* Finds the line `name count` in a table of AER counters (aer_stats_dev_attr in the kernel). */
static bool find_count(const char *table, const char *name, uint64_t *ret)
{
        size_t length = strlen(name);

        for (const char *line = table; line; line = strchr(line, '\n')) {
                if (*line == '\n')
                        line++;
                if (strncmp(line, name, length) == 0 && line[length] == ' ')
                        return sscanf(line + length, "%" SCNu64, ret) == 1;
        }
        return false;
}

static bool read_count(const Device *device, const char *attribute, const char *name, uint64_t *ret)
{
        char table[ATTRIBUTE_MAX];

        return attribute_read(device->fd, attribute, table, sizeof(table)) >= 0 &&
               find_count(table, name, ret);
}

void health_read_device(const Device *device, DeviceHealth *ret)
{
        *ret = (DeviceHealth){.is_virtual = device->is_virtual,
                              .driver_is_off = device->driver_is_off,
                              .has_returned = device->has_returned};
        if (device->is_stranger) {
                ret->is_stranger = true;
                ret->vendor = device->stranger_vendor;
                ret->device = device->stranger_device;
                return;
        }

        ret->error = read_config(device, ret);
        if (ret->error < 0 && device_is_gone(device))
                ret->error = -ENODEV;

        ret->has_fatal_count = read_count(device, "aer_dev_fatal", "TOTAL_ERR_FATAL", &ret->fatal_count) &&
                               read_count(device, "aer_dev_nonfatal", "TOTAL_ERR_NONFATAL",
                                          &ret->nonfatal_count);
        ret->has_port_fatal_count = attribute_read_unsigned(device->fd, "aer_rootport_total_err_fatal",
                                                            UINT64_MAX, &ret->port_fatal_count) == 0;
        ret->has_driver = device_read_driver(device, ret->driver, sizeof(ret->driver)) == 0;
        ret->probe = probe_read(device, ret->probe_text);
}

bool health_answers(const DeviceHealth *health)
{
        return health->error == 0 && health->answer == CONFIG_ANSWERS;
}

const char *health_answer_to_string(const DeviceHealth *health)
{
        if (health->error == -ENODEV)
                return "gone";
        if (health->error < 0)
                return "unreadable";

        switch (health->answer) {
        case CONFIG_ANSWERS:
                return "answers";
        case CONFIG_ALL_ONES:
                return "all ones";
        case CONFIG_NOT_READY:
                return "not ready";
        case CONFIG_EMPTY:
                return "zeros";
        }
        return "unreadable";
}

int health_prepare_result(const WorkerRequest *request, WorkerResult *result)
{
        result->checks = calloc((request->n_members + 1) * HEALTH_CHECKS_PER_MEMBER, sizeof(WorkerCheck));
        result->n_checks = 0;
        return result->checks ? 0 : -ENOMEM;
}

void health_add_check(WorkerResult *result, const PciAddress *device, const char *check, CheckResult outcome,
                      const char *before, const char *after)
{
        WorkerCheck *entry = &result->checks[result->n_checks++];

        *entry = (WorkerCheck){.device = *device, .result = outcome};
        (void) snprintf(entry->check, sizeof(entry->check), "%s", check);
        (void) snprintf(entry->before, sizeof(entry->before), "%s", before);
        (void) snprintf(entry->after, sizeof(entry->after), "%s", after);
}

/* What one comparison needs: the two findings about one device, and where the checks go. */
typedef struct Comparison {
        const PciAddress *address;
        const DeviceHealth *before;
        const DeviceHealth *after;
        bool can_vanish; /* by this reset devices are removed, and virtual functions with them */
        WorkerResult *result;
} Comparison;

typedef char Value[WORKER_VALUE_MAX];

static void add(const Comparison *c, const char *check, CheckResult outcome, const char *before,
                const char *after)
{
        health_add_check(c->result, c->address, check, outcome, before, after);
}

/* For checks that are nothing but the equality of what is shown. */
static void add_equality(const Comparison *c, const char *check, const char *before, const char *after)
{
        add(c, check, strcmp(before, after) == 0 ? CHECK_OK : CHECK_FAILED, before, after);
}

void health_describe_ids(const DeviceHealth *health, char value[static WORKER_VALUE_MAX])
{
        (void) snprintf(value, WORKER_VALUE_MAX, "%04x:%04x %04x:%04x", health->vendor, health->device,
                        health->subsystem & 0xffff, health->subsystem >> 16);
}

void health_describe_header(const DeviceHealth *health, char value[static WORKER_VALUE_MAX])
{
        (void) snprintf(value, WORKER_VALUE_MAX, "type 0x%02x, class 0x%06x, revision 0x%02x",
                        health->header_type, health->class_revision >> 8, health->class_revision & 0xff);
}

static void describe_bars(const DeviceHealth *health, Value value)
{
        size_t used = 0;

        value[0] = '\0';
        for (size_t i = 0; i < health->n_bars && used < WORKER_VALUE_MAX; i++)
                used += (size_t) snprintf(value + used, WORKER_VALUE_MAX - used, "%s0x%08x",
                                          i > 0 ? " " : "", health->bars[i]);
}

void health_describe_link(const DeviceHealth *health, char value[static WORKER_VALUE_MAX])
{
        static const char *const speeds[] = {"unknown speed", "2.5 GT/s", "5 GT/s", "8 GT/s",
                                             "16 GT/s",       "32 GT/s",  "64 GT/s"};
        const ConfigLink *link = &health->link;

        if (!health_answers(health))
                (void) snprintf(value, WORKER_VALUE_MAX, "%s", health_answer_to_string(health));
        else if (!health->has_link)
                (void) snprintf(value, WORKER_VALUE_MAX, health->is_limited ? "not visible" : "none");
        else
                (void) snprintf(value, WORKER_VALUE_MAX, "x%u, %s%s", link->width,
                                speeds[link->speed < ELEMENTSOF(speeds) ? link->speed : 0],
                                !link->reports_active ? ""
                                : link->active        ? ", up"
                                                      : ", down");
}

void health_describe_aer(const DeviceHealth *health, char value[static WORKER_VALUE_MAX])
{
        size_t used = 0;

        value[0] = '\0';
        if (health->has_fatal_count)
                used += (size_t) snprintf(value, WORKER_VALUE_MAX, "fatal %" PRIu64 ", nonfatal %" PRIu64,
                                          health->fatal_count, health->nonfatal_count);
        if (health->has_port_fatal_count)
                used += (size_t) snprintf(value + used, WORKER_VALUE_MAX - used, "%sbelow fatal %" PRIu64,
                                          used > 0 ? ", " : "", health->port_fatal_count);
        if (health->has_fatal_status)
                (void) snprintf(value + used, WORKER_VALUE_MAX - used, "%spending 0x%08x",
                                used > 0 ? ", " : "", health->fatal_status);
}

static void compare_link(const Comparison *c)
{
        const ConfigLink *before = &c->before->link, *after = &c->after->link;
        CheckResult outcome = CHECK_OK;
        Value text_before, text_after;

        if (c->before->is_limited || !health_answers(c->before) || !c->before->has_link)
                outcome = CHECK_SKIPPED;
        else if (!health_answers(c->after) || !c->after->has_link || after->width < before->width)
                outcome = CHECK_FAILED;
        else if (before->reports_active && before->active && !after->active)
                outcome = CHECK_FAILED;

        health_describe_link(c->before, text_before);
        health_describe_link(c->after, text_after);
        add(c, "link", outcome, text_before, text_after);
}

/* A counter that has vanished was reset together with what it counted: that is no proof. */
static bool count_has_risen(bool has_before, uint64_t before, bool has_after, uint64_t after)
{
        return has_before && (!has_after || after > before);
}

static void compare_aer(const Comparison *c)
{
        const DeviceHealth *before = c->before, *after = c->after;
        CheckResult outcome = CHECK_OK;
        Value text_before, text_after;

        if (count_has_risen(before->has_fatal_count, before->fatal_count, after->has_fatal_count,
                            after->fatal_count) ||
            count_has_risen(before->has_port_fatal_count, before->port_fatal_count,
                            after->has_port_fatal_count, after->port_fatal_count) ||
            (before->has_fatal_status && after->has_fatal_status &&
             after->fatal_status & ~before->fatal_status))
                outcome = CHECK_FAILED;
        else if (before->is_limited || after->is_limited ||
                 !(before->has_fatal_count || before->has_port_fatal_count || before->has_fatal_status))
                outcome = CHECK_SKIPPED;

        health_describe_aer(before, text_before);
        health_describe_aer(after, text_after);
        add(c, "aer", outcome, text_before, text_after);
}

static void compare_driver(const Comparison *c)
{
        if (c->before->driver_is_off)
                add(c, "driver", CHECK_SKIPPED, c->before->driver, "taken off");
        else if (c->before->has_driver && c->after->has_driver)
                add_equality(c, "driver", c->before->driver, c->after->driver);
        else
                add(c, "driver", CHECK_FAILED, c->before->driver, "unreadable");
}

/* Whether the probe of a device can be compared: it worked before, and its driver is still there. */
static bool has_probe(const DeviceHealth *before, const DeviceHealth *after)
{
        return before->probe == PROBE_WORKS && !before->driver_is_off && !after->driver_is_off &&
               !after->is_stranger;
}

/* An interface that was set down or renamed since has nothing to tell any more. */
static void compare_probe(const Comparison *c)
{
        if (c->before->probe != PROBE_WORKS)
                return;
        if (!has_probe(c->before, c->after) || c->after->probe == PROBE_NONE)
                add(c, "probe", CHECK_SKIPPED, c->before->probe_text, "not to be asked");
        else
                add(c, "probe", c->after->probe == PROBE_WORKS ? CHECK_OK : CHECK_FAILED,
                    c->before->probe_text, c->after->probe_text);
}

static void compare_ids(const Comparison *c, const WorkerMember *member)
{
        Value before, after;

        health_describe_ids(c->before, before);
        health_describe_ids(c->after, after);

        if (c->after->is_virtual)
                add(c, "ids", CHECK_SKIPPED, before, after);
        else if (health_answers(c->before))
                add_equality(c, "ids", before, after);
        else
                /* Then the ids that the kernel read when it found the device must do. */
                add(c, "ids",
                    c->after->vendor == member->vendor && c->after->device == member->device ? CHECK_OK
                                                                                             : CHECK_FAILED,
                    health_answer_to_string(c->before), after);
}

/* The numbers themselves are not for everybody. */
static void compare_serials(const Comparison *c)
{
        if (c->before->serial[0] != '\0' && c->after->serial[0] != '\0' &&
            strcmp(c->before->serial, c->after->serial) != 0)
                add(c, "serial", CHECK_FAILED, "one card", "another card");
}

/* For registers that the kernel and the driver set up anew in a device that was removed and found again:
 * nothing follows from a difference then. */
static void add_setup(const Comparison *c, const char *check, const char *before, const char *after)
{
        if (c->after->has_returned && strcmp(before, after) != 0)
                add(c, check, CHECK_SKIPPED, before, after);
        else
                add_equality(c, check, before, after);
}

static void compare_registers(const Comparison *c)
{
        Value before, after;

        if (!health_answers(c->before)) {
                (void) snprintf(after, sizeof(after), "0x%04x", c->after->command);
                add(c, "command", c->after->has_returned ? CHECK_SKIPPED : CHECK_FAILED,
                    health_answer_to_string(c->before), after);
                return;
        }

        health_describe_header(c->before, before);
        health_describe_header(c->after, after);
        add_equality(c, "header", before, after);

        (void) snprintf(before, sizeof(before), "0x%04x", c->before->command);
        (void) snprintf(after, sizeof(after), "0x%04x", c->after->command);
        add_setup(c, "command", before, after);

        describe_bars(c->before, before);
        describe_bars(c->after, after);
        if (c->after->is_virtual)
                add(c, "bars", CHECK_SKIPPED, before, after);
        else
                add_setup(c, "bars", before, after);
}

/* Another device where this one was: not one that does not answer, but not this one either. */
static void compare_stranger(const Comparison *c)
{
        Value before, after;

        health_describe_ids(c->before, before);
        (void) snprintf(after, sizeof(after), "another device, %04x:%04x", c->after->vendor,
                        c->after->device);
        add(c, "answers", CHECK_SKIPPED, health_answer_to_string(c->before), "another device");
        add(c, "ids", CHECK_FAILED, before, after);
}

/* The driver of the physical function makes the virtual ones, if it is told to. */
static bool went_with_its_physical_function(const Comparison *c)
{
        return c->after->is_virtual && !c->after->has_returned && c->after->error == -ENODEV &&
               c->can_vanish;
}

static void compare_vanished(const Comparison *c)
{
        Value before;

        health_describe_ids(c->before, before);
        add(c, "answers", CHECK_SKIPPED, health_answer_to_string(c->before), "gone");
        add(c, "ids", CHECK_FAILED, before, "gone with its physical function");
}

static void compare_member(const Comparison *c, const WorkerMember *member)
{
        bool answers = health_answers(c->after);

        if (c->after->is_stranger) {
                compare_stranger(c);
                return;
        }
        if (went_with_its_physical_function(c)) {
                compare_vanished(c);
                return;
        }

        add(c, "answers", answers ? CHECK_OK : CHECK_FAILED, health_answer_to_string(c->before),
            health_answer_to_string(c->after));
        if (answers) {
                compare_ids(c, member);
                compare_serials(c);
                compare_registers(c);
                compare_link(c);
        }
        compare_aer(c);
        compare_driver(c);
        compare_probe(c);
}

bool health_is_pending(const Health *before, const Health *after, const WorkerResult *result)
{
        bool pending = false;

        for (size_t i = 0; i < result->n_checks; i++)
                if (result->checks[i].result == CHECK_FAILED &&
                    strcmp(result->checks[i].check, "probe") != 0)
                        return false;
        for (size_t i = 0; i < after->n_members; i++) {
                if (!has_probe(&before->members[i], &after->members[i]))
                        continue;
                if (after->members[i].probe == PROBE_FAILED)
                        return false;
                pending |= after->members[i].probe == PROBE_PENDING;
        }
        return pending;
}

Verdict health_judge(const WorkerResult *result)
{
        Verdict verdict = VERDICT_OK;

        for (size_t i = 0; i < result->n_checks; i++) {
                const WorkerCheck *check = &result->checks[i];

                if (check->result != CHECK_FAILED)
                        continue;
                if (strcmp(check->check, "answers") == 0)
                        return VERDICT_DEAD;
                verdict = VERDICT_DEGRADED;
        }
        return verdict;
}

void health_compare(const WorkerRequest *request, const Health *before, const Health *after,
                    WorkerResult *result)
{
        bool can_vanish = reset_method_scope(request->method) == RESET_SCOPE_POWER ||
                          request->slot[0] != '\0';

        result->n_checks = 0;
        for (size_t i = 0; i < request->n_members; i++)
                can_vanish |= after->members[i].has_returned;

        for (size_t i = 0; i < request->n_members; i++) {
                Comparison c = {
                        .address = &request->members[i].address,
                        .before = &before->members[i],
                        .after = &after->members[i],
                        .can_vanish = can_vanish,
                        .result = result,
                };

                compare_member(&c, &request->members[i]);
        }

        if (request->has_bridge) {
                Comparison c = {
                        .address = &request->bridge.address,
                        .before = &before->bridge,
                        .after = &after->bridge,
                        .result = result,
                };

                compare_link(&c);
                compare_aer(&c);
        }

        result->verdict = health_judge(result);
}
