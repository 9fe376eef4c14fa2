/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "harness/fixture.h"

/* In a sandbox with devices: makes a crowd of processes and asks who has a node of CARD open. The times in
 * microseconds as JSON, which the caller frees: {"processes":…,"descriptors":…,"scan":[…],"fuser":[…],
 * "lsof":[…]}. */
char *holders_measure(void);
