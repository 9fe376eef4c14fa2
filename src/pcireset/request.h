/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What `reset` tells the daemon beside device and method, and `plan`, too, so that it answers for the same
 * request.
 */

#include "pcireset/context.h"

/* Appends the entries for how the reset is wanted, and the leases under which it is, to the dictionary of
 * options that is open in the call. An inherited lease that is none is told on stderr and left out. 0 or a
 * negative errno. */
int request_append(const Client *client, sd_bus_message *call);

/* Has the process inherited a lease? */
bool request_has_lease(void);
