/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Devices that a reset removes, and what they are to be again when they have come back: for the ways that
 * take power or the device itself away, and for those that take the link down, if the port's hotplug driver
 * takes that for an unplugging.
 *
 * With a device the kernel forgets what was set on it: which driver was to be bound (`driver_override`), and
 * the list of its reset methods.
 */

#include <stdint.h>

#include "shared/worker-record.h"
#include "worker/way.h"

typedef struct ComeBack ComeBack;

/* How long to wait. Only tests change it. */
typedef struct ComeBackTimes {
        uint64_t device_usec; /* for devices, from when they were to come back */
        uint64_t driver_usec; /* for their drivers, after that */
        uint64_t probe_usec; /* for a driver that the kernel may bind to one that had none */
        uint64_t leave_usec; /* after a reset of the link: for a hotplug driver to take devices away */
        uint64_t empty_usec; /* for a card in a slot that is empty: longer than this and there is none */
        uint64_t
                scan_usec; /* for devices, before the bus is scanned again, or after it if nobody is expected
                            */
} ComeBackTimes;

extern ComeBackTimes come_back_times;

/* Reads what is to be put back. False and the end if there is no memory or a device has gone. What cannot be
 * read is not put back. */
bool come_back_prepare(Reset *reset, ComeBack **ret);

/* The same from what another worker has saved, if it has. NULL if there is no memory. */
ComeBack *come_back_recall(const WorkerSaved *saved, size_t n_saved, size_t n_members);

/* Waits until each member is there again or another device has its address, and makes those that are what
 * they were. `is_expected` is false if the kernel has said that it did not bring them back: then they are
 * not waited for as long. For who is not there soon the bus below the bridge is scanned once more; what was
 * not found then is seen by the health check. Sets the result's `reset_method`. */
void come_back_follow(Reset *reset, ComeBack *state, bool is_expected);

/* For a reset of the link: looks whether a hotplug driver takes members away, and if one does, follows them
 * as come_back_follow() does. The result's `reset_method` is left alone if the target was not taken away. */
void come_back_watch(Reset *reset, ComeBack *state);

/* Whether the target, and with it the others, was in fact removed. */
bool come_back_is_removed(const Reset *reset);

ComeBack *come_back_free(ComeBack *state);
