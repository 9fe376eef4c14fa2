/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Workers that are killed in the middle of a reset, and what has to be left of that in the end.
 */

#include <stddef.h>

#include "bus.h"
#include "resets.h"

/* What CARD can, as its list says before and after. */
#define METHODS "flr pm bus"

/* The jobs that are on record for the next daemon. */
size_t count_records(void);
/* The worker is nobody's child by now: as the first process of the sandbox the test inherits it. */
void wait_until_gone(int pid);
/* Kills it, and once it is gone releases what has kept it in the kernel. */
void worker_kill(int worker, int *hold);
/* Kills the daemon in the middle of the call, which is never answered then. */
void daemon_kill_amid(Call *running);

/* There is one job, alice's reset of CARD, which is in this phase; and a reset of FUNCTION1, which would be
 * in its way, does not begin. That one is waiting now: the caller finishes it. */
Call *conflict_start(const char *phase);

/* The instants at which a worker can be told to stay. */
typedef enum Instant {
        BEFORE_THE_FIRST_LIST,
        IN_THE_RESET,
        BEFORE_THE_LAST_LIST,
} Instant;

/* Has a reset of CARD by alice come so far. Returns what model_hold() does: the caller releases what is held
 * once the worker is dead, and finishes or abandons the call. */
int come_to(Instant instant, Call **ret_running, int *ret_worker);
/* Nothing is left behind, and the world knows what became of it: the one reset of CARD so far has failed
 * for this reason, `worker-died` or `machine-stopped`, and the next one works. */
void expect_mended(const char *why);
