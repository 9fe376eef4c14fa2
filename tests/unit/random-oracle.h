/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * An oracle that judges resets in a random machine.
 *
 * It never looks into the registry, and shares no code with the plan: reset sets come from walking parents
 * upwards for every function and from repeating that until nothing is added any more.
 */

#include "random-tree.h"

/* What a reset of the target by this method disturbs; true for members. */
void oracle_set(const Tree *tree, size_t target, const char *method, bool set[static NODES_MAX]);
/* NULL if this reset may run with these actions granted, else what is wrong with it. */
const char *oracle_judge(const Tree *tree, size_t target, const char *method, const PlanAsker *asker,
                         unsigned granted, const bool set[static NODES_MAX]);
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
/* True if a host driver of the set would lose its state. */
bool oracle_loses(const Tree *tree, const bool set[static NODES_MAX]);
