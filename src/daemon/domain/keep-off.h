/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What workers do about a device in quarantine besides resets: they read its serial number, which tells
 * whether it is the one that is meant, and keep drivers off it, if a reset has left it dead or changed and
 * none is bound; and once it is out they let them at it again (worker/keep-off.h).
 *
 * A reset puts the same settings back, so this is a task in the device's lane (lane-task.h). What was done
 * is noted in the device.
 */

#include "daemon/domain/jobs.h"

/* The device is in quarantine or out of it, is new, has another driver or was reset: sees to it that drivers
 * are kept off it, or not. Cheap where there is nothing to do. */
void jobs_keep_off(Jobs *jobs, Device *device);
/* The same for all devices. */
void jobs_keep_off_all(Jobs *jobs);
