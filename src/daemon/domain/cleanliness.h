/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Cleanliness: whether what the last user of a device has left in it is proved to be gone.
 *
 * A user is who has a lease on it, has it open through VFIO, or a guest that it was given to; the host's own
 * drivers are none. What nobody has followed is unknown: at the daemon's start and when a device appears.
 * Bridges have no cleanliness: they are given to nobody without what is below them.
 */

#include "daemon/domain/device.h"

/* `unknown`, `dirty`, `clean` */
const char *cleanliness_to_string(Cleanliness cleanliness);

/* False for bridges, which stay unknown. */
bool cleanliness_applies(const Device *device);

/* True if somebody has it open through VFIO or a guest has it, as far as is known. */
bool cleanliness_is_given(const Device *device);

/* The device's lease, holders or driver may be others than before: it is dirty once it is given to somebody,
 * and once whoever has a lease on it uses it again after a reset. To be called after each such change. */
void cleanliness_follow(Device *device);

/* Somebody has opened or closed one of its nodes (`is_vfio`: of VFIO's), be it for a moment that no look has
 * seen. During a reset of it only those of VFIO's count, and once that ends: what the reset itself makes the
 * host do with others is no use. */
void cleanliness_touched(Device *device, bool is_vfio);

/* A worker has come back that was to reset the device by `method`. True if it was touched meanwhile, unless
 * the method opens nodes itself: then it is dirty, whatever the reset has proved. Tells the registry's
 * listener, who finds Device.touched_in_reset still set. */
bool cleanliness_take_touch(Device *device, const char *method);

/* Sets it; tells the registry's listener if that is news. */
void cleanliness_set(Device *device, Cleanliness cleanliness);

/* A reset of `target` by `method` has written, and `is_proved` says that all is well after it and that the
 * method leaves nothing behind. What it has reset of `member`, which is one of its set, is clean then,
 * unless somebody has it open at this moment. After one without proof nothing is known any more of what was
 * clean. */
void cleanliness_after_reset(const Device *target, const char *method, Device *member, bool is_proved);
