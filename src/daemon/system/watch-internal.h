/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the files watch*.c share: the devices, and what can happen to them.
 */

#include <uthash.h>

#include "daemon/system/watch.h"

typedef struct Watched Watched;
typedef struct Cause Cause;
typedef struct Link Link;
typedef struct WatchMachine WatchMachine;

/* A device. */
struct Watched {
        uint64_t key; /* pci_address_key() */
        PciAddress address;
        Link *links; /* what it is watched through */
        bool has_block, has_network;
        bool is_partial; /* it has more nodes than are listened to, and that was told */
        unsigned n_looking; /* scans of it whose fence has not been seen yet */
        uint64_t answered; /* the latest fence of the scans of it that have ended */
        bool skipped; /* events were, since the last watch_set() */
        uint64_t holders_hash; /* of those that the last scan told of */
        bool is_pending, is_pending_owners;
        UT_hash_handle hh;
};

/* A device node, or a process. */
struct Cause {
        Watch *watch;
        char path[WORKER_NODE_MAX]; /* of a node; "PID" of a process */
        bool is_process;
        int wd; /* of a node; -1 while it is not listened to */
        bool is_muted; /* only owners and its end are listened to */
        sd_event_source *io; /* of a process */
        Link *links; /* the devices that it is about */
        UT_hash_handle hh, hh_wd; /* by path, by wd */
};

struct Link {
        Watched *device;
        Cause *cause;
        bool is_fresh;
        Link *prev, *next; /* of the device */
        Link *cause_prev, *cause_next; /* of the cause */
};

/* A scan that is under way. */
typedef struct Window {
        uint32_t job;
        bool is_fenced;
        uint64_t fence; /* its place among all fences */
        PciAddress *devices;
        size_t n_devices;
        UT_hash_handle hh;
} Window;

struct Watch {
        sd_event *event;
        WatchHandler handler;
        WatchTouched touched; /* may be NULL */
        void *userdata;
        uint64_t delay_usec, gap_usec, last_usec;
        sd_event_source *timer;
        Watched *devices;
        Window *windows;
        uint64_t n_fences;

        Cause *causes, *causes_by_wd;
        unsigned n_nodes, n_processes;
        bool has_complained;
        int inotify, fence_wd;
        sd_event_source *inotify_io;

        WatchMachine *machine;
};

typedef enum WatchKind {
        WATCH_ALL,
        WATCH_BLOCK, /* those with block nodes */
        WATCH_NETWORK, /* those with interfaces, as far as is known */
        WATCH_WITH_NODES,
} WatchKind;

/* watch.c: they make a device, or all of a kind, part of the next notice. */
void watch_touch(Watch *watch, Watched *device, bool owners);
void watch_touch_kind(Watch *watch, WatchKind kind, bool owners);
/* The device, made if it is new; NULL without memory. */
Watched *watch_get(Watch *watch, const PciAddress *address);
/* The worker of this job has raised its fence. */
void watch_fence(Watch *watch, uint32_t job);

/* watch-causes.c */
int watch_causes_new(Watch *watch, const char *fence_directory);
void watch_causes_free(Watch *watch);
/* Handles what is in the queue now. */
void watch_causes_drain(Watch *watch);
/* Listens again to nodes that have had their say. */
void watch_causes_rearm(Watch *watch, Watched *device);
/* Replaces what the device is watched through. 1 if anything is new, 0, or -ENOMEM. */
int watch_causes_set(Watch *watch, Watched *device, const WorkerUse *use, const WorkerScan *scan);
void watch_causes_drop(Watch *watch, Watched *device);

/* watch-machine.c */
int watch_machine_new(Watch *watch, WatchMachine **ret);
WatchMachine *watch_machine_free(WatchMachine *machine);
/* The last PCI address in a path of sysfs. False if there is none. */
bool watch_path_device(const char *path, PciAddress *ret);
