/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Drivers off and on.
 *
 * A host driver that does not know resets loses what it has set up in the device, and finds out when it is
 * too late. So, if the request says so, it is taken off before the reset and put back after the
 * verification, and then probes a device that is as after power-on.
 */

#include "worker/way.h"

/* Takes the bound driver off, whichever it is, and looks whether it is off. Blocks as long as the driver
 * takes to let go. 0, -EBUSY if it is still there, -ENODEV if there was none or the device is gone, or what
 * writing said. */
int driver_unbind(const Device *device);

/* Has the driver probe the device, and looks whether it is bound. 0, -ENODEV if the driver is not there or
 * does not want the device, or what writing said (bind_store in the kernel). */
int driver_bind(int devices_fd, const Device *device, const char *driver);

/* Whether any driver is to be taken off. */
bool rebind_is_needed(const Reset *reset);

/* Notes which members another worker with the same request has left without the driver that they had. */
void rebind_recall(Reset *reset);
/* Puts those drivers back where no check of the result says that the device is not the one that the driver
 * knew. Whether any was put back. */
bool rebind_again(Reset *reset);

/* Takes the drivers off the members that need it, and looks again at all members as they are without. True
 * if there is nothing to do, too. False and the end if one cannot be taken off: those taken off before are
 * back then. */
bool rebind_off(Reset *reset);

/* Puts the drivers back that are off, also those that an earlier reset has left off (may_hand_back), and
 * takes off what the kernel has bound to a device that has come back in doubt. After a reset (`is_verified`)
 * only where nothing of the verification says that the device is not the one that the driver knew, and the
 * checks and the verdict of the result then tell of the drivers as well. What goes wrong is in the message.
 */
void rebind_on(Reset *reset, bool is_verified);
