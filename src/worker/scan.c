/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "worker/scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/cleanup.h"
#include "worker/clock.h"

#define ATTEMPTS_MAX 48U
#define TIME_USEC    (5 * USEC_PER_SEC)

DEFINE_CLEANUP(WorkerScan *, worker_scan_free);

typedef struct Search {
        const HoldersRoots *roots;
        const WorkerRequest *request;
        WorkerScan *scan; /* what is found goes in here */
        unsigned n_attempts;
        uint64_t deadline;
} Search;

/* What nobody is told of cannot be listened to, and that is told. */
static void share_nodes(WorkerUse *use, size_t n_members)
{
        size_t limit = WORKER_SCAN_NODES_MAX / n_members;

        if (use->n_nodes <= limit)
                return;
        use->n_nodes = limit;
        use->more_nodes = true;
}

/* Moves what a part of the members gave to its place in the whole. */
static int take(Search *search, size_t first, WorkerScan *part)
{
        WorkerScan *scan = search->scan;
        size_t n = part->n_holders;
        Holder *holders;

        holders = reallocarray(scan->holders, scan->n_holders + n + 1, sizeof(Holder));
        if (!holders)
                return -ENOMEM;
        scan->holders = holders;
        memcpy(holders + scan->n_holders, part->holders, n * sizeof(Holder));
        scan->n_holders += n;
        for (size_t i = 0; i < part->n_uses; i++) {
                scan->uses[first + i] = part->uses[i];
                part->uses[i].nodes = NULL;
                share_nodes(&scan->uses[first + i], search->request->n_members);
        }
        return 0;
}

static void give_up(Search *search, size_t first, size_t n, const WorkerScan *failed)
{
        for (size_t i = first; i < first + n; i++)
                search->scan->uses[i].error = failed->error;
        memcpy(search->scan->message, failed->message, sizeof(search->scan->message));
}

static int look(Search *search, size_t first, size_t n)
{
        _cleanup_(cleanup_worker_scan_free) WorkerScan *part = NULL;
        WorkerRequest request = *search->request;
        int r;

        request.members += first;
        request.n_members = n;
        /* The fence (shared/worker-scan.h) is raised once: what is opened again after it is looked at again.
         */
        if (search->n_attempts++ > 0)
                request.job = 0;
        r = holders_scan(search->roots, &request, NULL, &part);
        if (r < 0)
                return r;
        /* Who is left out must not look idle. */
        if (part->error == 0 && part->n_holders > HOLDERS_MAX - search->scan->n_holders)
                part->error = E2BIG;
        if (part->error == 0)
                return take(search, first, part);
        if (n == 1 || search->n_attempts >= ATTEMPTS_MAX || now_usec() >= search->deadline) {
                give_up(search, first, n, part);
                return 0;
        }
        r = look(search, first, n / 2);
        return r < 0 ? r : look(search, first + n / 2, n - n / 2);
}

int scan_members(const HoldersRoots *roots, const WorkerRequest *request, WorkerScan **ret)
{
        _cleanup_(cleanup_worker_scan_free) WorkerScan *scan = NULL;
        Search search = {.roots = roots, .request = request, .deadline = now_usec() + TIME_USEC};
        int r = holders_scan_new(request, &scan);

        if (r < 0)
                return r;
        search.scan = scan;
        r = look(&search, 0, request->n_members);
        if (r < 0)
                return r;
        *ret = steal_pointer(scan);
        return 0;
}
