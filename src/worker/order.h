/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Has `reset_method` read what the policy wants, so that resets which VFIO, pciback or guests bring about
 * follow it too. Nothing is reset; the kernel probes the device for each name that is written.
 */

#include "shared/worker-protocol.h"

/* Nothing is written if the list reads so already. What the kernel refuses is left out. `devices_fd` is the
 * directory of all devices. 0 and a result, or -ENOMEM. */
int order_run(int devices_fd, const WorkerRequest *request, WorkerResult **ret);
