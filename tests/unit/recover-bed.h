/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What tests of recoveries have in common: a job world in which A has every rung of the ladder, and workers
 * that find it dead.
 */

#include "job-world.h"

#define A  "0000:01:00.0"
#define A1 "0000:01:00.1"
#define B  "0000:02:00.0"

/* To be ended by job_world_done(). */
void recover_bed_init(void);

/* The last job has ended so. */
void check_error(ResetError error);
/* What clients are told of the device. */
void check_state(const char *address, const char *state);
/* Why it is in quarantine, "" if it is not. */
const char *reason_of(const char *address);

/* The last worker has found A like this. */
void finds(WorkerOutcome outcome, Verdict verdict);
/* It is dead: before a reset of the function, after any other. */
void find_dead(void);
/* The methods of all workers that ran, with blanks between them: static buffer. */
const char *rungs_taken(void);
