/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Whose claims refuse a reset: those on the reset sets of the methods that it asked for, as they are now.
 */

#include "daemon/domain/claims.h"
#include "daemon/domain/job.h"

/* The devices in whose way a lease of somebody else is, each once. The array is the caller's, the devices
 * are the registry's. Returns 0 or -ENOMEM, and then as well if nobody knows: none. */
int obstacles_leased(const Job *job, Device ***ret, size_t *ret_n);

/* The inhibitors that forbid it. The array is the caller's. As above. */
int obstacles_inhibitors(const Job *job, const Claims *claims, const Claim ***ret, size_t *ret_n);
