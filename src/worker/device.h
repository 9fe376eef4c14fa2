/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * One PCI function, pinned.
 *
 * A Device holds its directory in sysfs open. Everything that is read or written goes by a name below that
 * fd, so it reaches the device that was there when the directory was opened, or nothing: never another one
 * that took its address later.
 */

#include <stdbool.h>

#include "shared/address.h"
#include "shared/cleanup.h"
#include "shared/worker-protocol.h"

/* Where the kernel lists all functions, by address. */
#define DEVICES_DIRECTORY "/sys/bus/pci/devices"

typedef struct Device {
        const WorkerMember *expected; /* what the request says; borrowed */
        char name[PCI_ADDRESS_STRING_MAX];
        int fd; /* the directory */
        bool is_virtual; /* a virtual function of SR-IOV */
} Device;

/* Opens and pins the device that `expected` describes, which must outlive it. `devices_fd` is the directory
 * of all devices. -ENODEV if there is no device at that address, or another one than expected: another inode
 * number, other ids or another class (as the kernel cached them when it found the device). */
int device_open(int devices_fd, const WorkerMember *expected, Device *ret);

/* Closes the directory. Does nothing to a Device that is closed or zeroed with fd negative. */
void device_close(Device *device);

/* True once the kernel has removed the device. */
bool device_is_gone(const Device *device);

/* A bridge by its class code, as cached: PCI-to-PCI, CardBus or semi-transparent. */
bool device_has_bridge_class(const Device *device);

/* The name of the bound driver, "" for none. `size` bytes of `buffer`, with NUL. 0, -ENODEV if the device is
 * gone, or what the reading said. */
int device_read_driver(const Device *device, char *buffer, size_t size);

/* Whether the request may reset the device as it is used now. 0, or a negative errno with the reason in
 * `ret_why` (a WORKER_WHY_… string): -EBUSY if it is bound or enabled otherwise than expected, is assigned
 * to a confidential guest, or has a virtual function that is not in the reset set; -ENODEV (reason empty) if
 * it is gone; anything else if that could not be found out. */
int device_check_use(const Device *device, const WorkerRequest *request, const char **ret_why);
