/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Asks workers who uses devices, who owns them, and which device nodes they have.
 *
 * A query is answered by a scan that begins after it was asked, never by an older one. Queries that are
 * asked in the same turn of the loop, or while no further worker may be started, share the next scan; if
 * that one fails each is asked again by itself. Two scans of a kind never look at the same device at once,
 * since each would take the other's opening of block devices for a user's. Questions for owners have their
 * own workers: uevents ask them, and nobody who only wants to know about holders shall wait behind a storm
 * of those.
 */

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "shared/worker-protocol.h"

/* At most so many workers look for holders at once, and so many for owners. */
#define SCANS_RUNNING_MAX        2U
#define SCANS_RUNNING_OWNERS_MAX 1U
/* A scan without an answer is given up after this time. Its worker goes on by itself and counts as abandoned
 * until it ends; with so many of a kind no further one is started. */
#define SCANS_PATIENCE_USEC (UINT64_C(10) * 1000 * 1000)
#define SCANS_ABANDONED_MAX 8U
/* Queries that wait for their answers. */
#define SCANS_QUERIES_MAX 1024U
#define SCANS_TARGETS_MAX 16384U /* in all of them */
/* Queries are put together up to so many devices: as many as can each have HOLDERS_PER_DEVICE_MAX holders
 * without any being left out of the answer. */
#define SCANS_MERGED_MAX (HOLDERS_MAX / HOLDERS_PER_DEVICE_MAX)

typedef struct Scans Scans;
typedef struct ScanQuery ScanQuery;

/* A device as the daemon knows it: WorkerMember without what only matters to a reset. */
typedef struct ScanTarget {
        PciAddress address;
        uint64_t inode;
        uint16_t vendor;
        uint16_t device;
        uint32_t class;
} ScanTarget;

/*
 * The answer, once. By then the query is gone and may not be cancelled any more. Other queries may be asked
 * and cancelled; the service itself may not be freed.
 *
 * `scan` is borrowed. It has a WorkerUse for each device of the query, found by its address, and maybe for
 * others. NULL if `error` is negative: the worker's own -error if it could not look everywhere, -ETIMEDOUT,
 * -EBUSY (too many abandoned workers), -EPIPE (it died), -EBADMSG (it talked nonsense), or that of starting
 * it. Then nothing is known of any device.
 */
typedef void (*ScanHandler)(void *userdata, const WorkerScan *scan, int error);

/* Hears of each scan, for whoever has to know that workers open nodes (system/watch.h). */
typedef struct ScansListener {
        /* A worker is about to be sent out. `job`: the number in its request, not 0. */
        void (*begun)(void *userdata, uint32_t job, const WorkerMember *members, size_t n);
        /* It has answered or ended, or is given up. The queries' handlers come afterwards. */
        void (*ended)(void *userdata, uint32_t job);
        void *userdata;
} ScansListener;

/* `worker_program` must stay valid. */
int scans_new(sd_event *event, const char *worker_program, Scans **ret);
/* Workers that run go on by themselves. Queries end without their handlers being called. */
Scans *scans_free(Scans *scans);

/* Asks about `n` devices, 1 to WORKER_MEMBERS_MAX, each address once; `owners` also for owners. The handler
 * is never called before this returns. 0, -EINVAL, -EBUSY (too many abandoned workers or waiting queries),
 * or -ENOMEM. */
int scans_query(Scans *scans, const ScanTarget *targets, size_t n, bool owners, ScanHandler handler,
                void *userdata, ScanQuery **ret);

/* The handler will not be called. Accepts NULL, returns NULL. */
ScanQuery *scan_query_cancel(ScanQuery *query);

/* No worker has begun with it yet, or the one that had has failed and it is going to be asked again. */
bool scan_query_waits(const ScanQuery *query);

/* NULL: nobody listens any more. */
void scans_set_listener(Scans *scans, const ScansListener *listener);

/* For tests: how long to wait in place of SCANS_PATIENCE_USEC. Holds for scans that begin later. */
void scans_set_patience(Scans *scans, uint64_t usec);
