/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "harness/fixture.h"

/* In a sandbox in which a daemon runs and has reset CARD: makes its history long, and asks it and the
 * sqlite3 shell the same. The times in microseconds as JSON, which the caller frees:
 * {"rows":…,"answered":…,"history":[…],"shell":[…]}. */
char *history_measure(void);
