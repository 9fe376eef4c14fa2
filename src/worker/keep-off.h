/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Drivers are kept off a device in quarantine.
 *
 * While `driver_override` names a driver that nobody has, the kernel binds none: not when one is loaded, not
 * by `drivers_probe`, not by `bind` (pci_match_device in the kernel). What was written there before stands
 * behind the prefix, so that it can be put back by whoever finds it, whatever became of those who wrote it.
 * The kernel forgets both together when the device is removed.
 */

#include "shared/worker-protocol.h"
#include "worker/device.h"

/* Does what request->action says to its one member. `devices_fd` is the directory of all devices;
 * `directory` is WORKER_KEPT_OFF_DIR, made if it is missing. 0 and a result, or -ENOMEM. */
int keep_off_run(int devices_fd, const char *directory, const WorkerRequest *request, WorkerResult **ret);

/* Puts back what `driver_override` was before. 1 if that was done, 0 if drivers are not kept off the device,
 * or what reading and writing said. */
int keep_off_end(const Device *device);
