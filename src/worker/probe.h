/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the bound driver says of its device, by the device's class: whether it works, and not only whether it
 * answers.
 *
 *   NVMe controllers (class 0x010802)   `live`: the driver has seen CSTS.RDY and the controller answers its
 *                                       commands (drivers/nvme/host/core.c: nvme_ctrl_state)
 *   network controllers (class 0x02)    `carrier` of each interface that is up, in this network namespace
 *
 * Without a driver nobody has set such a device up, and there is nothing to ask.
 */

#include "worker/device.h"

typedef enum ProbeResult {
        PROBE_NONE, /* nothing can be asked */
        PROBE_WORKS,
        PROBE_PENDING, /* not yet: the driver is at it */
        PROBE_FAILED,
} ProbeResult;

/* `text` gets what was found, for people. */
ProbeResult probe_read(const Device *device, char text[static WORKER_VALUE_MAX]);
