/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What became of resets: per hardware id and method, how often a method was tried, how often the device was
 * proved well afterwards, how often dead, and how long it took.
 *
 * "Supported" is what the kernel says; this is what happened. Kept in memory, bounded. What was before the
 * daemon's start comes from the history (system/history.h) and is merged in; what the history has forgotten
 * is subtracted again.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/worker-protocol.h"

typedef struct Proven Proven;

typedef struct ProvenFacts {
        uint64_t tries;
        uint64_t ok;
        uint64_t dead;
        uint64_t median_usec; /* of the last PROVEN_DURATIONS good ones, 0: none */
} ProvenFacts;

/* It was tried on this hardware and has never worked. */
static inline bool proven_is_failing(const ProvenFacts *facts)
{
        return facts->tries > 0 && facts->ok == 0;
}

#define PROVEN_DURATIONS 15U
/* Kinds of device times methods; further ones are not remembered. */
#define PROVEN_MAX 4096U

int proven_new(Proven **ret);
Proven *proven_free(Proven *proven);
bool proven_is_empty(const Proven *proven);

/* Notes one try that ended at `finished_at` (CLOCK_REALTIME, microseconds): which durations are the last
 * ones is a matter of when they ended, not of when they were noted. Memory that cannot be had loses the
 * note, nothing else. */
void proven_note(Proven *proven, uint16_t vendor, uint16_t device, const char *method, Verdict verdict,
                 uint64_t duration_usec, uint64_t finished_at);

/* Adds what `other` knows: afterwards it is as if all notes had been made here. */
void proven_merge(Proven *proven, const Proven *other);

/* Takes away what `other` counts. Its tries must be the oldest of those noted, since of durations no more
 * are kept than there are good tries left. */
void proven_subtract(Proven *proven, const Proven *other);

/* All zero if nothing is known. */
ProvenFacts proven_get(const Proven *proven, uint16_t vendor, uint16_t device, const char *method);
