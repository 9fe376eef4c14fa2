/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A reset that has outlived its daemon: the next daemon is waited for, the job followed there to its end,
 * and how it ended read from the history.
 */

#include "pcireset/client.h"

typedef struct Rejoin Rejoin;

/* Begins to wait for a daemon, and for the end of the job. `job` is its number, 0: not known; then it is
 * one of this user's since then (CLOCK_REALTIME in microseconds). `deadline`: until when, in
 * CLOCK_MONOTONIC; for the daemon not that long. `done` is told once whether the history has a row.
 * 0 or a negative errno. */
int rejoin_new(Client *client, sd_event *event, uint64_t job, uint64_t since, uint64_t deadline,
               void (*done)(void *userdata, bool found), void *userdata, Rejoin **ret);
/* Accepts NULL. */
Rejoin *rejoin_free(Rejoin *rejoin);

/* As the result of the call: borrowed. `why` says more of a failure. */
json_object *rejoin_result(const Rejoin *rejoin);
/* The name of the error that the call would have got, "" if none. */
const char *rejoin_error(const Rejoin *rejoin);
