/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Has the kernel's own list of methods follow the policy (`kernel_order`), so that resets that nobody asks
 * us for do: those of VFIO, of pciback and of guests.
 *
 * A worker that resets a device narrows the same list and puts it back. So an order takes the device's lane
 * like a reset, and waits for resets as they wait for it. What the kernel refuses is noted in the device,
 * and is not tried again before something changes: the policy, the driver, or the device.
 */

#include "daemon/domain/jobs.h"

/* One that waits for its lane, or that a worker is at. */
typedef struct KernelOrder KernelOrder;

/* The policy, the device's driver, or the device is new: sees to it that its list is right. Cheap where no
 * rule says `kernel_order`. */
void jobs_order(Jobs *jobs, Device *device);
/* The same for all devices. */
void jobs_order_all(Jobs *jobs);

/* The worker of JobPorts.start_order has ended; `result` is taken over, NULL: it died. */
void jobs_order_done(Jobs *jobs, uint32_t id, WorkerResult *result);

/* For the lanes' owner: runs the order, if what the lanes gave is one. */
bool jobs_run_order(Jobs *jobs, void *taken);
void jobs_free_orders(Jobs *jobs);
