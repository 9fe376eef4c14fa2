/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What a worker found out about who uses devices and who owns them: the answer to a request of the operation
 * `scan`, see worker-protocol.h.
 */

#include "shared/holder.h"

#define WORKER_OWNER_MAX 64U /* a user's name or "@group", with NUL */
/*
 * A scan opens block devices to see whether anybody has them for himself, and whoever listens to these nodes
 * cannot tell that from the opening by others. So when it has opened the last one, and before it looks at
 * any process, the worker makes the directory WORKER_FENCE_DIR/<job> and removes it again: in the listener's
 * queue what was opened before stands before that. Nothing is made for job 0.
 */
#define WORKER_FENCE_DIR "/run/pciresetd/scans"

#define WORKER_NODES_MAX      128U /* device nodes told of one device, */
#define WORKER_SCAN_NODES_MAX 16384U /* and of all devices of a scan, which share them evenly */
#define WORKER_NODE_MAX       96U /* the path of a node, with NUL */

/* Beside its holders, what else concerns the use of one device. */
typedef struct WorkerUse {
        PciAddress device;
        int error; /* positive errno; if not 0 nothing is known of this device, others may be well known */
        char owner[WORKER_OWNER_MAX]; /* PCIRESETD_OWNER of a udev rule, else the user of the active seat if
                                       * one of its nodes carries `uaccess`; empty: nobody, or not asked for
                                       */
        bool has_vfio_uid;
        uint32_t vfio_uid; /* who owns its VFIO node */
        char (*nodes)[WORKER_NODE_MAX]; /* its device nodes, VFIO's group included, for whoever wants to hear
                                         * when they are opened and closed */
        size_t n_nodes;
        bool more_nodes; /* there are more of them than were told */
        bool frozen; /* EEH has frozen its partitionable endpoint (powerpc) */
} WorkerUse;

typedef struct WorkerScan {
        int error; /* positive errno; if not 0 nothing is known of any device */
        char message[256]; /* for people: what could not be looked at */
        WorkerUse *uses; /* one for each member of the request, in its order */
        size_t n_uses;
        Holder *holders; /* in the order of the members */
        size_t n_holders;
} WorkerScan;

WorkerScan *worker_scan_free(WorkerScan *scan);

int worker_scan_write(const WorkerScan *scan, json_object **ret);
int worker_scan_read(json_object *object, WorkerScan **ret);
