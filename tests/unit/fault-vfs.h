/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A disk with faults, between SQLite and the real one. Becomes SQLite's default; may be told from any thread
 * what to do wrong.
 */

#include <stdatomic.h>

typedef struct FaultVfs {
        atomic_int write_error; /* SQLite's code for each write, 0: they succeed */
        atomic_int sync_error;
        atomic_int garble_reads; /* so many more reads give what was not written */
        atomic_bool blocked; /* a sync does not return */
        atomic_uint n_blocked; /* threads that are held */
        atomic_uint n_syncs;
        /* Where a copy of each file goes when it is synced: what would be left after a power loss. NULL:
         * nowhere. */
        const char *_Atomic durable;
} FaultVfs;

extern FaultVfs fault_vfs;

void fault_vfs_install(void);

/* Waits until a thread is held in a sync. */
void fault_vfs_await_blocked(void);
