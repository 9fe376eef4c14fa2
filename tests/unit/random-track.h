/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What somebody in a random machine asked for and was granted, kept apart from the daemon's job; and whether
 * what a worker is told to do is just that.
 */

#include "daemon/domain/jobs.h"
#include "random-oracle.h"

/* A request, from the test's side. */
typedef struct Track {
        bool finished, prepared, delay_is_over, asks, scans, waits;
        size_t target;
        PlanAsker asker;
        bool in_use;
        char requested[RESET_METHOD_NAME_MAX];
        unsigned granted; /* of Action */
        unsigned last_claim; /* when it was granted */
        unsigned queued_at; /* the step */
        char method[RESET_METHOD_NAME_MAX];
        uint64_t inodes[NODES_MAX]; /* what it was granted for */
        size_t n_inodes;
} Track;

/* The job is granted as it is now. */
void track_grant(Track *track, const Tree *tree, const Job *job);
/* NULL if the worker is told of the set, of the devices that are there now, and of what was granted, nothing
 * else; else what is wrong. `set`: oracle_set() of its target and method. */
const char *track_judge(const Track *track, const Tree *tree, const WorkerRequest *request,
                        const bool set[static NODES_MAX]);
