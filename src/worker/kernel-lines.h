/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the kernel has said about a device, from the journal: evidence of what happened to it.
 *
 * Files of the journal are read, which may lie on the very disk that is behind a dead device. So this is an
 * operation of its own, which holds nothing that others wait for, and nobody waits for its end.
 */

#include "shared/worker-protocol.h"

/* The newest lines of this boot that the kernel has put down to the member or to its bridge (of an error on
 * their link it is the port that speaks, often without naming the device), oldest first, as checks with the name WORKER_LOG_CHECK: `before` is when, in seconds since boot,
 * `after` the line, cut to what fits. The outcome is `done`, or `failed` if there is no journal to be read.
 * `devices_fd` is not needed. 0 and a result, or -ENOMEM. */
int kernel_lines_run(int devices_fd, const WorkerRequest *request, WorkerResult **ret);
