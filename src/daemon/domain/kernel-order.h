/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Has the kernel's own list of methods follow the policy (`kernel_order`), so that resets that nobody asks
 * us for do: those of VFIO, of pciback and of guests.
 *
 * A worker that resets a device narrows the same list and puts it back, so this is a task in the device's
 * lane (lane-task.h). What the kernel refuses is noted in the device,
 * and is not tried again before something changes: the policy, the driver, or the device.
 */

#include "daemon/domain/jobs.h"

/* The policy, the device's driver, or the device is new: sees to it that its list is right. Cheap where no
 * rule says `kernel_order`. */
void jobs_order(Jobs *jobs, Device *device);
/* The same for all devices. */
void jobs_order_all(Jobs *jobs);
