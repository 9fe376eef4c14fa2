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
        bool driver_is_off; /* we have taken its driver off, and it has none now */
        bool has_returned; /* it was removed and found again, and this is its new directory */
        bool has_subsystem; /* these were read: device_read_subsystem() */
        uint16_t subsystem_vendor;
        uint16_t subsystem_device;
        bool is_stranger; /* it was removed, and what was found at its address then has these ids */
        uint16_t stranger_vendor;
        uint16_t stranger_device;
} Device;

/* Opens and pins the device that `expected` describes, which must outlive it. `devices_fd` is the directory
 * of all devices. -ENODEV if there is no device at that address, or another one than expected: another inode
 * number, other ids or another class (as the kernel cached them when it found the device). */
int device_open(int devices_fd, const WorkerMember *expected, Device *ret);

/* Notes the ids of the subsystem too, so that device_reopen() compares them. */
void device_read_subsystem(Device *device);

/* Takes the directory that is at the device's address now, after the old one was removed (or where none was
 * ever opened), if it is of a device with the same ids and class. 0; -ENODEV if nobody is there yet; -EALREADY if the old one is still
 * there; -EADDRINUSE if another device is, which is then noted as a stranger and left alone. */
int device_reopen(int devices_fd, Device *device);

/* Closes the directory. Does nothing to a Device that is closed or zeroed with fd negative. */
void device_close(Device *device);

/* True once the kernel has removed the device, and if its directory is not open. */
bool device_is_gone(const Device *device);

/* A bridge by its class code, as cached: PCI-to-PCI, CardBus or semi-transparent. */
bool device_has_bridge_class(const Device *device);

/* Whether the kernel's driver for PCI Express hotplug (pciehp) watches over the slot below this port. */
bool device_is_hotplug_port(const Device *device);

/* The name of the bound driver, "" for none. `size` bytes of `buffer`, with NUL. 0, -ENODEV if the device is
 * gone, or what the reading said. */
int device_read_driver(const Device *device, char *buffer, size_t size);

/* Whether the device is on the bus right below the bridge. A virtual function counts as its physical one. */
bool device_is_directly_below(const Device *device, const Device *bridge);

/* Whether everything below the bridge, however deep, is a member of the request. 0, -EBUSY with the first
 * one that is not, or what the reading said. */
int device_check_below(const Device *bridge, const WorkerRequest *request, PciAddress *ret);

/* 0 if the bridge has a bus below it, which one without bus numbers has not; else -ENOENT or what the
 * reading said. */
int device_check_subordinate_bus(const Device *bridge);

/* Whether the request may reset the device as it is used now. 0, or a negative errno with the reason in
 * `ret_why` (a WORKER_WHY_… string): -EBUSY if it is bound or enabled otherwise than expected, is assigned
 * to a confidential guest, or has a virtual function that is not in the reset set; -ENODEV (reason empty) if
 * it is gone; anything else if that could not be found out. */
int device_check_use(const Device *device, const WorkerRequest *request, const char **ret_why);
