/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * One reset, from the request to the result.
 */

#include "shared/worker-protocol.h"

struct WorkerSaved;

/* What has to happen elsewhere while the reset goes on. */
typedef struct ResetEvents {
        /* The list in `reset_method` is about to be overwritten; `list` is what it says now. Nothing is
         * written unless this returns 0. */
        int (*save_list)(const char *list, void *userdata);

        /* Members may be taken away, and are to be this again: `n` of them. Nothing is written unless this
         * returns 0. */
        int (*save_settings)(const struct WorkerSaved *saved, size_t n, void *userdata);

        /* The bridge may sleep (`power/control` is `auto`), and is about to be kept awake. Nothing is
         * written unless this returns 0. */
        int (*save_power)(void *userdata);

        /* A phase begins: WORKER_EVENT_RESETTING or WORKER_EVENT_VERIFYING. Must not block. */
        void (*phase)(WorkerEventType phase, void *userdata);

        void *userdata;
} ResetEvents;

/* Does what the request says to the devices listed in the directory `devices_fd`, beside which are those of
 * drivers and slots as in /sys/bus/pci. `group_fds` are the request's `n_fds` VFIO groups, which stay the
 * caller's. Blocks for as long as the
 * kernel does, which may be minutes. Returns 0 and what came of it, which the caller frees; or -ENOMEM, and
 * then nothing was written. */
int reset_run(int devices_fd, const WorkerRequest *request, const int *group_fds, const ResetEvents *events,
              WorkerResult **ret);

/* A result that says that nothing was done: `why` is one of WORKER_WHY_…, `error` a positive errno or 0, and
 * the message is for people. NULL if there is no memory. */
WorkerResult *reset_refusal_new(const char *why, int error, const char *message);
