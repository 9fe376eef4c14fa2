/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "daemon/bus/context.h"

/* Every call passes here first: what has no rule is refused, and what would change something needs a reply.
 */
int guard_install(Bus *bus);
