/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A large tree of PCI functions, and what it costs the daemon to know it.
 */

#include <sys/types.h>

/* Makes functions in the sandbox's /sys until there are `n`: a port and 63 functions with drivers below it,
 * again and again. */
void tree_grow(unsigned n);

/* The daemon alone, which is ready when the first returns. */
pid_t tree_daemon_start(void);
void tree_daemon_stop(pid_t pid);

/* Each returns a JSON object, which the caller frees. */
char *tree_measure_start(void);
char *tree_measure_memory(void);
char *tree_measure_burst(void);
