/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Notices, without polling, that the use of devices may have changed.
 *
 * It knows nothing about use itself; each notice only says that a look is worth while. What it listens to:
 *   - the device nodes and the processes that the last scan of a device told of (watch_set): opened, closed,
 * other permissions, gone; ended;
 *   - mounts and swap: about all devices with block nodes;
 *   - links and addresses in our network namespace: about the interface's device, or, if it is a virtual one
 * or gone, about all devices with interfaces;
 *   - udev's events of all subsystems, about the PCI device that the path names last;
 *   - changes of the active seat: about all devices with nodes.
 *
 * Scans open block nodes themselves. watch_scan_begun() and watch_scan_ended() tell which, and the fence
 * that each worker raises (shared/worker-scan.h) tells its own opening from others': see watch.c.
 */

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "shared/worker-protocol.h"

/* A notice comes so long after the event, together with all others until then, and so long at least after
 * the notice before it. While nothing happens no timer runs. */
#define WATCH_DELAY_USEC (UINT64_C(50) * 1000)
#define WATCH_GAP_USEC   (UINT64_C(1000) * 1000)

/* What is beyond goes unnoticed, and the journal says so once. */
#define WATCH_NODES_MAX     4096U
#define WATCH_PROCESSES_MAX 4096U

typedef struct Watch Watch;

/* The use of these devices may have changed, with `owners` also who owns them. They need not be known to
 * anybody. Everything but watch_free() may be called from in here. */
typedef void (*WatchHandler)(void *userdata, const PciAddress *devices, size_t n, bool owners);

/* One of the device's nodes was opened or closed just now; of one that is opened all the time, once in a
 * while. What a scan does to nodes is left out, which does not touch those of VFIO. */
typedef void (*WatchTouched)(void *userdata, const PciAddress *device, bool is_vfio);

/* `fence_directory` is WORKER_FENCE_DIR but in tests; it is made if it is missing. What the machine does not
 * have (logind, swap) is not listened to. */
int watch_new(sd_event *event, const char *fence_directory, WatchHandler handler, void *userdata,
              Watch **ret);
Watch *watch_free(Watch *watch);
/* With the handler's userdata. */
void watch_set_touched(Watch *watch, WatchTouched touched);
/* Tells at once what has happened to nodes until now. */
void watch_drain(Watch *watch);
/* Listens to the device's nodes again that have just had their say. */
void watch_listen(Watch *watch, const PciAddress *address);

/* What a scan told of the device: from now on its nodes and its holders are listened to, and no others of
 * it. What was not listened to before may have changed since the scan looked, so the device is noticed once
 * more. 0, -ENOENT if the scan is not about it, or -ENOMEM. */
int watch_set(Watch *watch, const PciAddress *address, const WorkerScan *scan);
/* The device is gone. */
void watch_forget(Watch *watch, const PciAddress *address);

/* A worker is about to be sent out, with this `job` in its request; its answer has come, or it has been
 * given up. The latter comes before the watch_set() of its answer. */
void watch_scan_begun(Watch *watch, uint32_t job, const WorkerMember *members, size_t n);
void watch_scan_ended(Watch *watch, uint32_t job);

/* For tests, in place of WATCH_DELAY_USEC and WATCH_GAP_USEC. */
void watch_set_pace(Watch *watch, uint64_t delay_usec, uint64_t gap_usec);
