/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The reset set: every device that a reset disturbs. For a function that is what goes along with it, for a
 * link or a slot everything below the bridge.
 */

#include "daemon/domain/device.h"

typedef struct ResetSet {
        Device **devices; /* each once; the array is the caller's to free(), also after a failure */
        size_t n, n_allocated;
} ResetSet;

/* Adds one device, without what goes along with it. 0 or -ENOMEM. */
int reset_set_add(ResetSet *set, Device *device);

/* Fills an empty set with what a reset of this scope disturbs, the target first. `whole_endpoint`: with it
 * goes what shares its partitionable endpoint, which EEH thaws together. 0 or -ENOMEM. */
int reset_set_fill(ResetSet *set, Device *target, ResetScope scope, bool whole_endpoint);
