/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "worker/holders.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared/cleanup.h"

DEFINE_CLEANUP(WorkerScan *, worker_scan_free);

int holders_scan(const HoldersRoots *roots, const WorkerRequest *request, HoldersClaims *claims,
                 WorkerScan **ret)
{
        _cleanup_(cleanup_worker_scan_free) WorkerScan *scan = calloc(1, sizeof(*scan));

        (void) roots;
        (void) claims;
        if (!scan)
                return -ENOMEM;
        scan->uses = calloc(request->n_members, sizeof(*scan->uses));
        if (!scan->uses)
                return -ENOMEM;
        scan->n_uses = request->n_members;
        for (size_t i = 0; i < request->n_members; i++)
                scan->uses[i].device = request->members[i].address;

        /* Nothing was looked at, so nothing may be concluded. */
        scan->error = EOPNOTSUPP;
        (void) snprintf(scan->message, sizeof(scan->message), "this worker cannot look for holders");
        *ret = steal_pointer(scan);
        return 0;
}

void holders_release(HoldersClaims *claims)
{
        for (size_t i = 0; i < claims->n_fds; i++)
                (void) close(claims->fds[i]);
        free(claims->fds);
        *claims = (HoldersClaims){};
}

bool holder_is_allowed(const Holder *holder, const HoldersAllowed *allowed)
{
        if (holder_kind_is_hard(holder->kind))
                return false;
        return holder->kind == HOLDER_VFIO ? allowed->vfio : allowed->soft;
}

size_t holders_keep_refusing(WorkerScan *scan, const HoldersAllowed *allowed)
{
        size_t n = 0;

        for (size_t i = 0; i < scan->n_holders; i++)
                if (!holder_is_allowed(&scan->holders[i], allowed))
                        scan->holders[n++] = scan->holders[i];
        scan->n_holders = n;
        return n;
}
