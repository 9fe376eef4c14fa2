/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Reads what sysfs tells about a PCI function without waiting for anybody.
 *
 * Only attributes whose show function takes no device lock are read (drivers/pci/pci-sysfs.c): while a reset
 * runs, `config`, `driver_override`, `sriov_numvfs` and on kernels before 6.18 also `uevent` hang until it
 * ends, minutes maybe. For the same reason a scan lists the directory itself and leaves libudev's
 * enumeration, which opens `uevent`, alone.
 */

#include "daemon/domain/device.h"
#include "daemon/system/slots.h"
#include "shared/worker-protocol.h"

/* Reads the lasting facts of the function at an address, but for its slot, which is found among `slots`.
 * -ENODEV if there is none. */
int sysfs_read_facts(const PciAddress *address, const Slots *slots, DeviceFacts *ret);

/* Brings device->live up to date. While a reset of ours runs the methods stay as they were: the list in
 * sysfs then holds the one method that the worker runs, and what was there before comes back. -ENODEV if
 * there is no function at the address any more, or if its directory's inode number is another one. */
int sysfs_refresh(Device *device);

/* The same but for the methods, which stay as they are: for a device that is only disturbed along with
 * another. */
int sysfs_refresh_use(Device *device);

/* The name of the driver that is bound now, "" for none, however late the event about it comes. -ENODEV as
 * above. */
int sysfs_read_driver(const PciAddress *address, uint64_t inode, char driver[static DRIVER_NAME_MAX]);

/* The counters of PCI Express errors of the function at an address, and of a root port those of all that is
 * below, as a check named `aer` for evidence. False if there are none. */
bool sysfs_read_error_counts(const PciAddress *address, WorkerCheck *ret);

/* Calls back for each function that is present, in the order of addresses: bridges and physical functions
 * mostly come before what is below them, which saves those who tie them together much work. Stops at a
 * negative return and hands it on. */
int sysfs_for_each_device(int (*callback)(void *userdata, const PciAddress *address), void *userdata);

/* Opens a function's directory without the right to read or write (O_PATH), so that kernfs gives its inode
 * number to no other node as long as the descriptor is open. -ENODEV as above; -EMFILE while there are still
 * some descriptors left. The caller closes it. */
int sysfs_pin(const PciAddress *address, uint64_t inode);
