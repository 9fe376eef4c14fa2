/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Drivers off and on.
 */

#include "worker/device.h"

/* Takes the bound driver off, whichever it is, and looks whether it is off. Blocks as long as the driver
 * takes to let go. 0, -EBUSY if it is still there, -ENODEV if there was none or the device is gone, or what
 * writing said. */
int driver_unbind(const Device *device);

/* Has the driver probe the device, and looks whether it is bound. 0, -ENODEV if the driver is not there or
 * does not want the device, or what writing said (bind_store in the kernel). */
int driver_bind(int devices_fd, const Device *device, const char *driver);
