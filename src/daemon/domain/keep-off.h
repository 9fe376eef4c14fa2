/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What workers do about a device in quarantine besides resets: they read its serial number, which tells
 * whether it is the one that is meant, and keep drivers off it, if a reset has left it dead or changed and
 * none is bound; and once it is out they let them at it again (worker/keep-off.h).
 *
 * A reset puts the same settings back, so such a worker takes the device's lane like one. What it has done
 * is noted in the device.
 */

#include "daemon/domain/jobs.h"

/* One that waits for its lane, or that a worker is at. */
typedef struct KeepOff KeepOff;

/* The device is in quarantine or out of it, is new, has another driver or was reset: sees to it that drivers
 * are kept off it, or not. Cheap where there is nothing to do. */
void jobs_keep_off(Jobs *jobs, Device *device);
/* The same for all devices. */
void jobs_keep_off_all(Jobs *jobs);

/* The worker of JobPorts.start_order has ended; `result` is taken over, NULL: it died. */
void jobs_keep_off_done(Jobs *jobs, uint32_t id, WorkerResult *result);

/* For the lanes' owner: runs it, if what the lanes gave is one. */
bool jobs_run_keep_off(Jobs *jobs, void *taken);
void jobs_free_keep_offs(Jobs *jobs);
