/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Is the device healthy, with nothing to compare it with but what the kernel knows of it?
 *
 * After a reset two findings of the worker's own are compared (health.h). Nobody has looked before the
 * kernel recovered a device from an error, or before a user asked how a device is. Then configuration space
 * is held against what the kernel has cached since it found the device and set it up, which no error
 * changes.
 *
 * The checks of every member, in this order; `before` of a check is what the kernel says, `after` what was
 * read: answers  configuration space answers at all ids      vendor and device are those of the request, the
 * subsystem's those in sysfs (not of virtual functions) header   bridge or not, and the revision command
 * memory or I/O decoding is on if the kernel counts the device as enabled and a host driver is bound; else
 *            nothing follows from the register, since whoever has the device may set it as he likes
 *   bars     the base addresses are those in `resource`; all moved by one large distance is what a host
 * bridge that translates looks like, and proves nothing (not of virtual functions) link     a link that says
 * whether it is up says that it is aer      counters and the fatal errors that are noted, as evidence: they
 * may be old probe    the driver does not call the device dead (probe.h) eeh      the partitionable endpoint
 * is not frozen (powerpc, else absent) Of the bridge there are link and aer. A member that does not answer
 * has only answers, aer, probe and eeh.
 */

#include "shared/worker-protocol.h"
#include "worker/device.h"
#include "worker/health.h"

/* Of one device that is open, or a bridge: adds its checks to a prepared result. -ENODEV if it
 * is gone, and then it adds none. */
int checkup_member(const Device *device, WorkerResult *result);
int checkup_bridge(const Device *device, WorkerResult *result);

/* The verdict is dead, degraded or ok as after a reset. The outcome is `done` with the checks, or `gone`.
 * Nothing is written; blocks as long as somebody resets a member. `devices_fd` is the directory of all
 * devices. 0 and a result, or -ENOMEM. */
int checkup_run(int devices_fd, const WorkerRequest *request, WorkerResult **ret);

/* Whether base addresses are not what the kernel has given the device, as they are after an error that has
 * reset it: then a reset that leaves all as it was has put nothing right. Both texts are filled in if so. */
bool checkup_has_lost_bars(const Device *device, const DeviceHealth *health,
                           char expected[static WORKER_VALUE_MAX], char found[static WORKER_VALUE_MAX]);
