/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * EEH, the error handling of powerpc machines (arch/powerpc/kernel/eeh_sysfs.c): devices are in
 * partitionable endpoints, and one that has made an error is isolated: its endpoint is frozen, reads give
 * all ones and writes are lost, until the kernel, or whoever writes to `eeh_pe_state`, thaws it.
 *
 * `eeh_pe_state` reads as two words in hexadecimal: what the firmware says of the endpoint, for which it is
 * asked, and the kernel's flags.
 */

#include <stdbool.h>

#include "shared/worker-protocol.h"

#define EEH_STATE "eeh_pe_state"

/* `text` gets what was read. 1: frozen; 0: not; -ENOENT: the device is in no endpoint, or this is no such
 * machine; -EBADMSG or another negative errno: it cannot be found out. */
int eeh_read(int device_fd, char text[static WORKER_VALUE_MAX]);
