/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What tests of releases have in common: a job world in which a rule wants every device to be reset after
 * its last user.
 */

#include "daemon/domain/admission.h"
#include "job-world.h"

#define PORT    "0000:00:01.0"
#define A       "0000:01:00.0"
#define SIBLING "0000:01:00.1"
#define B       "0000:02:00.0"

#define ALICE 1001U

extern const PolicySettings reset_on_release;

/* To be ended by job_world_done(). */
void release_bed_init(void);
Device *device_of(const char *address);

/* Alice takes a lease, or lets go of it; the daemon has had its moment since. */
void lease(const char *id, const char *addresses);
void let_go_of(const char *id);

/* Why she could not have a lease now. */
AdmissionObstacle obstacle(const char *address);
/* She could, and nobody is known to have had it. */
void check_free(const char *address, bool is_clean);
/* She could not before it is reset, */
void check_taken(const char *address);
/* which waits for this. */
void check_waits(const char *address, const char *what);
/* It is in quarantine for this reason, and nothing else is left of its user. */
void check_put_away(const char *address, const char *reason);
/* So many workers were sent out, the last one with this. */
void check_ran(size_t n, const char *what);
/* That one ends so. */
void last_is(WorkerOutcome outcome, int error, Verdict verdict);
void last_is_well(void);

/* Two functions with these methods, below a port that resets both. */
void make_pair(const char *methods);
