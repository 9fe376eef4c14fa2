/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The lease that a process has inherited from `pcireset run`: two environment variables, and the descriptor
 * that one of them names.
 */

#define LEASE_ID_VARIABLE "PCIRESET_LEASE"
#define LEASE_FD_VARIABLE "PCIRESET_LEASE_FD"

/* The descriptor of the inherited lease, -ENOENT if there is none, or -EBADF if the environment names one
 * that is not open here or is no lease. It stays the caller's. */
int lease_fd_inherited(void);
