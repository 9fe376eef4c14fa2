/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Who uses devices now: the answer to the operation `scan`, and the last look before a reset.
 */

#include "shared/worker-protocol.h"

/* Where to look, for tests. */
typedef struct HoldersRoots {
        const char *proc;
        const char *sys;
        const char *dev;
        const char *run; /* the databases of udev and logind */
} HoldersRoots;

/* Exclusive opens of the members' disks that nobody has claimed. As long as they are kept nobody can mount
 * them, swap to them or stack anything on them, in whichever namespace. Begin with {}. */
typedef struct HoldersClaims {
        int *fds;
        size_t n_fds;
} HoldersClaims;

/* Finds the holders, nodes and, if `request->owners`, owners of the request's members; of these only address
 * and inode count. Waits for no reset of anybody.
 *
 * `roots` is NULL for the machine's own. With `claims` the exclusive opens stay open for the caller, else
 * each is closed at once. A claim keeps a device that is removed half alive and its number taken, so whoever
 * is about to take off a driver or to remove a device gives the claims back before.
 *
 * Returns 0 or -ENOMEM. What else goes wrong is told in the scan's `error`, and then it proves nothing about
 * any device: there may be holders that were not found. The caller frees the scan. */
int holders_scan(const HoldersRoots *roots, const WorkerRequest *request, HoldersClaims *claims,
                 WorkerScan **ret);

/* What nobody has looked at yet: a use for each member of the request, and no holder. 0 or -ENOMEM. The
 * caller frees the scan. */
int holders_scan_new(const WorkerRequest *request, WorkerScan **ret);

void holders_release(HoldersClaims *claims);

/* What is not in the way. Hard holders always are. */
typedef struct HoldersAllowed {
        bool soft; /* the request's allow_held */
        bool vfio; /* VFIO users: only for a reset through descriptors of theirs, which cover the whole set
                    */
} HoldersAllowed;

bool holder_is_allowed(const Holder *holder, const HoldersAllowed *allowed);

/* How many of the scan's holders are in the way; these are moved to its front and the rest dropped, so that
 * they can go into the result of a refused reset. Means nothing if scan->error is set. */
size_t holders_keep_refusing(WorkerScan *scan, const HoldersAllowed *allowed);
