/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Descriptors: how many are left, and what those are that clients send.
 *
 * The kernel gives out the lowest number that is free, so a high one says how many are taken. What clients
 * can pile up (pins, messages that wait) has to leave a rest: without one the daemon could not even read
 * what happens to its devices, and would take them for gone.
 */

#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/domain/device.h"

#define RESERVED_DESCRIPTORS 64

static inline bool descriptor_leaves_room(int fd)
{
        long max = sysconf(_SC_OPEN_MAX);

        return max < 0 || fd < max - (long) RESERVED_DESCRIPTORS;
}

/* What a descriptor is, without asking whoever keeps its file: a file server may not answer, and a FUSE that
 * a client mounts may never want to. What it says of anything but a device or a FIFO may be old. 0 or
 * negative errno. */
int descriptor_look(int fd, struct statx *ret);

/* The number of the VFIO group that a client has open: 0, or -EINVAL if it is no group, or not open. A
 * descriptor that only names a node (O_PATH) proves nothing, since it is given to everybody. */
int descriptor_vfio_group(int fd, char ret[static IOMMU_GROUP_MAX]);
