/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Prints `reset`, `check`, `inside` (the kernel's part of the daemon's resets) and `kernel` (root's own,
 * empty unless asked for). The user must be allowed to. */
void bench_reset(const char *address, const char *method, uid_t uid, size_t n_rounds, bool kernel);
/* Prints `alone` and `together` (from the last authorisation to the last verdict), `at_once` and
 * `accompanied`. */
void bench_parallel(const char *method, uid_t uid, size_t n_rounds, char **addresses, size_t n);
