/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What a job tries one after the other is held against how the devices were before the first of it: what one
 * method has changed is not how a device is to be after the next. Each worker tells how its devices were,
 * and the daemon hands that to the next worker of the same job.
 *
 * Not all of it is good for ever. Errors are counted anew for each method, since the next one is not to
 * blame for those. The command register, and how the driver found the device, are the driver's doing: they
 * count as long as the same one is bound. A device that was taken away and found again was set up from
 * nothing, so that only what it is and its link are still compared.
 */

#include "worker/way.h"

/* Notes in the result how the members and the bridge are (reset->before), and has reset->before say how they
 * were before the first method. For after all that is to know how they are now. The result has room for all
 * of them. */
void image_begin(Reset *reset);

/* The same for one member of which reset->before was read anew. */
void image_renew(const Reset *reset, size_t member);
