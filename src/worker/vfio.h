/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The few system calls that VFIO needs, in one place so that tests can stand in for the kernel.
 */

#define VFIO_CONTAINER_NODE "/dev/vfio/vfio"
#define VFIO_GROUP_MAX      16U /* the name of a group, with NUL: a number */

/* Opens a node for reading and writing. A new fd, -EBUSY for a group that somebody has open, or what open()
 * says. */
int vfio_open(const char *path);

/* What ioctl() returns, or a negative errno. The argument is a pointer, or a number for VFIO_SET_IOMMU. */
int vfio_ioctl(int fd, unsigned long request, unsigned long argument);

/* Which group the descriptor is of, by its device number, whatever name it was opened by: 0, or -ENODEV if
 * it is of something else. */
int vfio_group_of(int fd, char ret[static VFIO_GROUP_MAX]);
