/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Has workers look how devices are, without a reset (the operation `health`).
 *
 * A look may hang, since the kernel lets nobody at the configuration space of a device that is being reset.
 * So whoever asks waits for so long and no longer; the worker goes on, and what it finds in the end still
 * counts.
 */

#include <systemd/sd-event.h>

#include "daemon/domain/registry.h"
#include "shared/worker-protocol.h"

/* Workers at the same time, those that nobody waits for any more included. */
#define CHECKUPS_MAX          4U
#define CHECKUP_PATIENCE_USEC (UINT64_C(15) * 1000 * 1000)

typedef struct Checkups Checkups;

/* The answer, once, about the device that had this generation. 0: device->checkup has it. -ENODEV: the
 * device is gone. -ETIMEDOUT, or another negative errno: it could not be found out. */
typedef void (*CheckupHandler)(void *userdata, uint64_t generation, int error);

/* `worker_program` must stay valid. */
int checkups_new(sd_event *event, Registry *registry, const char *worker_program, Checkups **ret);
/* Workers that run go on by themselves. Handlers are not called any more. */
Checkups *checkups_free(Checkups *checkups);

/* Sends a worker out. The handler is never called before this returns. 0, -EBUSY (too many are out already,
 * or one is out for this device), or another negative errno. */
int checkups_ask(Checkups *checkups, const Device *device, CheckupHandler handler, void *userdata);
