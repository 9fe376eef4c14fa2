/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What comes after a worker that was killed: its settings are put back, and somebody looks at the devices.
 */

#include "shared/worker-record.h"
#include "worker/reset.h"

/* `request` is the one that the other worker had, `record` what that has left (which may be nothing). Of
 * `events` the phase VERIFYING is told. Nothing is reset, and nobody is asked whether he uses the devices:
 * what is written makes them what they were. Blocks as reset_run(). 0 and a result (worker-protocol.h says
 * what is in it), or -ENOMEM. */
int mend_run(int devices_fd, const WorkerRequest *request, const WorkerRecord *record,
             const ResetEvents *events, WorkerResult **ret);
