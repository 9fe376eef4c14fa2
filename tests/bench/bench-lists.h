/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stddef.h>

/* Prints `list` (ListDevices), `echo` (the same body sent back by a service of our own), `bytes` (as many of
 * them as one array) and `size`, how many bytes that is. */
void bench_list(size_t n_rounds);
/* Prints `idle` and `ping` (Ping, alone and while somebody else asks for the whole tree all the time),
 * `other` (of the echo, at the same time) and `tree` (GetManagedObjects alone). */
void bench_fairness(size_t n_calls);
