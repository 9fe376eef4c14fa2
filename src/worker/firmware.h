/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Which firmware a device runs: what resets a device well with one version may not with another.
 */

#include "worker/device.h"

/* What the bound driver tells about it, "" if it tells nothing. Some drivers read a register for that. */
void firmware_read(const Device *device, char *buffer, size_t size);
