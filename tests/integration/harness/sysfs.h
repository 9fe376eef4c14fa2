/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * PCI devices in /sys, built in an umockdev testbed the way the kernel builds them, and their uevents.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_SIZE 4096U

/* Where things are in the configuration space that is made for a device. */
#define CONFIG_COMMAND        0x04U
#define CONFIG_BAR0           0x10U
#define CONFIG_BRIDGE_CONTROL 0x3eU
#define CONFIG_PM_CAP         0x40U
#define CONFIG_PCIE_CAP       0x70U
#define CONFIG_AER_CAP        0x100U

typedef struct MockDevice {
        const char *address;
        const char *parent; /* the bridge above, NULL: on a root bus */
        uint16_t vendor; /* 0: 8086 */
        uint16_t device; /* 0: 10d3 */
        uint16_t subsystem_vendor, subsystem_device; /* 0: as vendor and device */
        uint32_t class; /* 0: 020000, for a bridge 060400 */
        uint8_t revision;
        bool is_bridge;
        bool removable; /* it has the files `remove` and `rescan`, as all but virtual functions have: left
                         * out where the ladder is to be the kernel's alone */
        bool subordinate; /* of a bridge: it has the file `reset_subordinate`, as with newer kernels */
        bool multifunction;
        bool conventional; /* no PCI Express capability, 256 bytes of config */
        const char *methods; /* what `reset_method` says; NULL: the files `reset` and `reset_method` are not
                                there */
        const char *supported; /* what the kernel accepts there; NULL: the same */
        const char *driver; /* NULL: none */
        unsigned enable; /* the enable count */
        const char *iommu_group;
        const char *physfn; /* the physical function, for a virtual one */
        uint8_t command; /* the command register; 0: 06, memory and bus master */
} MockDevice;

/* Makes /sys a testbed without devices. */
void sysfs_init(void);

/* Builds the device's folder and everything that points at it, and its knobs in the kernel model. No uevent.
 */
void sysfs_add(const MockDevice *device);
/* Takes all of it away again, with what is below. */
void sysfs_remove(const char *address);
/* A driver that nothing is bound to. */
void sysfs_driver(const char *driver);
/* A hotplug slot with a power switch for all that is below the bridge; `address` is the text of its file,
 * `dddd:bb:dd`. */
void sysfs_slot(const char *slot, const char *address, const char *bridge);
/* The kernel's driver for hotplug watches over the slot below the port. */
void sysfs_hotplug(const char *port);
void sysfs_bind(const char *address, const char *driver);
void sysfs_unbind(const char *address);

/* Below /sys/devices. Static buffer. */
const char *sysfs_path(const char *address);
/* The inode number of the device's folder: the device's identity. */
uint64_t sysfs_inode(const char *address);
void __attribute__((format(printf, 3, 4)))
sysfs_set(const char *address, const char *attribute, const char *format, ...);
char *sysfs_get(const char *address, const char *attribute); /* without the last newline; NULL: not there */

void sysfs_config_read(const char *address, uint8_t config[static CONFIG_SIZE], size_t *ret_size);
void sysfs_config_write(const char *address, size_t offset, const void *data, size_t size);

/* Announces an event as udevd would once its rules have run. `properties` is NULL or more lines of
 * KEY=value. */
void uevent(const char *action, const char *address, const char *properties);
/* For a device that is gone already: where it was. */
void uevent_at(const char *action, const char *devpath, const char *properties);

/* Of a device of another subsystem. */
void uevent_of(const char *subsystem, const char *action, const char *devpath, const char *properties);

/* Has the kernel dropped an event that did not fit into a receiver's socket? */
bool uevents_were_dropped(void);

/* As the kernel and udevd do it: the tree first, then the event. */
void hotplug_add(const MockDevice *device);
void hotplug_remove(const char *address);
void hotplug_bind(const char *address, const char *driver);
void hotplug_unbind(const char *address);
