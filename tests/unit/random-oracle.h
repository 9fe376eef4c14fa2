/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * An oracle that judges resets in a random machine.
 *
 * It never looks into the registry, and shares no code with the plan: reset sets come from walking parents
 * upwards for every function and from repeating that until nothing is added any more.
 */

#include "random-tree.h"

/* The kernel recovers the device, or another one below the same bridge. */
bool oracle_is_recovered(const Tree *tree, size_t node);

/* What a reset of the target by this method disturbs; true for members. */
void oracle_set(const Tree *tree, size_t target, const char *method, bool set[static NODES_MAX]);
/* A reset that is about to begin. */
typedef struct OracleCase {
        size_t target;
        const char *method; /* what runs, */
        const char *requested; /* and what was asked for */
        const PlanAsker *asker;
        bool in_use; /* was asked for, too */
        unsigned granted; /* of Action */
        uint32_t job;
} OracleCase;
/* NULL if it may run, else what is wrong with it. `set`: oracle_set() of its target and method. */
const char *oracle_judge(const Tree *tree, const OracleCase *reset, const bool set[static NODES_MAX]);
/* The same of leases and inhibitors alone. */
const char *oracle_judge_claims(const Tree *tree, const PlanAsker *asker, const bool set[static NODES_MAX]);
/* True if the claim is about the device that is there now. */
bool oracle_is_claimed(const Tree *tree, const TreeClaim *held, size_t node);
/* True if the bridge `upper` is on the way from `node` to its root bus. */
bool oracle_is_above(const Tree *tree, int upper, size_t node);
/* Do two resets disturb each other? */
typedef struct Footprint {
        bool set[NODES_MAX];
        int target, bridge; /* its index or -1 */
        int root_bus; /* of a function without a bridge, else -1 */
        bool above[NODES_MAX]; /* the bridges above that one */
} Footprint;
Footprint oracle_footprint(const Tree *tree, size_t target, const bool set[static NODES_MAX]);
bool oracle_conflict(const Footprint *a, const Footprint *b);
/* True if somebody who asked to be told before has done so by the claim of that number, and not taken it
 * back. */
bool oracle_delays(const Tree *tree, const bool set[static NODES_MAX], unsigned last_claim);
/* True if a host driver of the set would lose its state and is to be taken off for that time. */
bool oracle_rebinds(const Tree *tree, const char *method, bool in_use, const bool set[static NODES_MAX]);
