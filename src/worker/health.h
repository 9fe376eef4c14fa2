/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Is the device alive, and as it was before?
 *
 * A Health is what was read of a whole reset set, and of the bridge above it, at one time. Comparing the one
 * from before the reset with the one from after it gives the checks and the verdict; nothing is read then,
 * so the comparison can be tested with made-up values.
 *
 * The checks of every member, in this order:
 *   answers  configuration space answers at all
 *   ids      vendor, device and subsystem are the same (not of virtual functions, whose ids read all ones)
 *   header   header type, class code and revision are the same
 *   command  the command register is the same
 *   bars     base addresses, and a bridge's bus numbers and windows, are the same (not of virtual functions)
 *   link     the link is up if it was, and no narrower; its speed is shown and may change
 *   aer      no fatal error was counted or noted since
 *   driver   the same driver is bound
 *   serial   another card is there, by its serial number; only told if that is so
 *   probe    the driver finds the device working, if it did before (probe.h)
 * A member that does not answer has only answers, aer, driver and probe; one that another device has taken
 * the place of only answers and ids. Of the bridge there are link and aer. A device that was removed and
 * found again was set up from nothing, so that its command and bars may differ.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/worker-protocol.h"
#include "worker/config-space.h"
#include "worker/device.h"
#include "worker/probe.h"

/* For each member; the bridge has fewer. */
#define HEALTH_CHECKS_PER_MEMBER 10U

typedef struct DeviceHealth {
        int error; /* configuration space could not be read: -ENODEV if the device is gone, or another errno
                    */
        ConfigAnswer answer;
        bool is_virtual;
        bool driver_is_off; /* we have taken its driver off; that is not compared */
        bool has_returned; /* it was removed since and found again */
        bool is_stranger; /* another device has its address now; of that nothing but the ids is known */
        bool is_limited; /* only the header could be seen, for lack of CAP_SYS_ADMIN */

        /* Valid if it answers. */
        uint16_t vendor;
        uint16_t device;
        uint32_t subsystem; /* vendor in the lower half; 0 for bridges */
        uint8_t header_type;
        uint32_t class_revision;
        uint16_t command;
        uint32_t bars[CONFIG_BARS_MAX];
        size_t n_bars;
        bool has_link;
        ConfigLink link;
        bool has_fatal_status;
        uint32_t fatal_status; /* the device's own register */
        char serial[CONFIG_SERIAL_MAX]; /* empty: it has none */

        /* From sysfs: the kernel's counters (aer_dev_*, and aer_rootport_* of a root port), and the driver.
         */
        bool has_fatal_count;
        uint64_t fatal_count;
        uint64_t nonfatal_count;
        bool has_port_fatal_count;
        uint64_t port_fatal_count;
        bool has_driver; /* whether it could be read, not whether one is bound */
        char driver[WORKER_DRIVER_MAX];

        ProbeResult probe;
        char probe_text[WORKER_VALUE_MAX];
} DeviceHealth;

typedef struct Health {
        DeviceHealth *members; /* in the order of the request */
        size_t n_members;
        DeviceHealth bridge; /* valid if has_bridge */
        bool has_bridge;
} Health;

/* Room for `n_members`. NULL if there is no memory. */
Health *health_new(size_t n_members);
Health *health_free(Health *health);

/* Reads one device. Never fails: what could not be read is part of the finding. May block for minutes, and
 * wakes the device (config_space_begin()). */
void health_read_device(const Device *device, DeviceHealth *ret);

/* Whether configuration space answered. */
bool health_answers(const DeviceHealth *health);

/* `answers`, `all ones`, `gone` and so on: how configuration space answered. */
const char *health_answer_to_string(const DeviceHealth *health);

/* Makes an empty list of checks with room for all that health_compare() can add. 0 or -ENOMEM. */
int health_prepare_result(const WorkerRequest *request, WorkerResult *result);

/* True if all that is wrong is that drivers are still at setting their devices up again: then it is worth
 * while to look once more. */
bool health_is_pending(const Health *before, const Health *after, const WorkerResult *result);

/* Adds a check to a prepared result. */
void health_add_check(WorkerResult *result, const PciAddress *device, const char *check, CheckResult outcome,
                      const char *before, const char *after);

/* Replaces the checks and the verdict of a prepared result by those of this comparison: dead if a member
 * does not answer, else degraded if any check failed, else ok. */
void health_compare(const WorkerRequest *request, const Health *before, const Health *after,
                    WorkerResult *result);

/* What was read, as it stands in checks. */
void health_describe_ids(const DeviceHealth *health, char value[static WORKER_VALUE_MAX]);
void health_describe_header(const DeviceHealth *health, char value[static WORKER_VALUE_MAX]);
void health_describe_link(const DeviceHealth *health, char value[static WORKER_VALUE_MAX]);
void health_describe_aer(const DeviceHealth *health, char value[static WORKER_VALUE_MAX]);

/* Dead if a member does not answer, else degraded if any check failed, else ok. */
Verdict health_judge(const WorkerResult *result);
