/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * All PCI functions of the machine, by address and as a tree.
 *
 * Whoever learns facts (a scan, a uevent) hands them in; the registry compares them with what it has, keeps
 * the tree tied together in whatever order its parts become known, and tells one listener what became
 * different. It reads nothing itself.
 */

#include "daemon/domain/device.h"
#include "daemon/domain/policy.h"

typedef enum DeviceChange {
        DEVICE_CHANGED_DRIVER = 1 << 0,
        DEVICE_CHANGED_STATE = 1 << 1,
        DEVICE_CHANGED_LAST_RESET = 1 << 2,
        DEVICE_CHANGED_ERROR_STATE = 1 << 3,
        DEVICE_CHANGED_IOMMU_GROUP = 1 << 4,
        DEVICE_CHANGED_PHYSFN = 1 << 5,
        DEVICE_CHANGED_USE = 1 << 6,
        DEVICE_CHANGED_OWNER = 1 << 7,
        DEVICE_CHANGED_CLAIMS = 1 << 8, /* its lease, or who inhibits its reset */
        DEVICE_CHANGED_QUARANTINE = 1 << 9,
        DEVICE_CHANGED_CLEANLINESS = 1 << 10,
} DeviceChange;

/* Called after the registry is whole again; a device that was removed can still be read meanwhile, but is
 * no more found by address nor part of the tree. */
typedef struct RegistryListener {
        void (*added)(void *userdata, Device *device);
        void (*removed)(void *userdata, Device *device);
        void (*changed)(void *userdata, Device *device, unsigned changes); /* of DeviceChange */
        void *userdata;
} RegistryListener;

int registry_new(Registry **ret);
Registry *registry_free(Registry *registry);

/* Copied; NULL ends listening. */
void registry_set_listener(Registry *registry, const RegistryListener *listener);

Device *registry_find(const Registry *registry, const PciAddress *address);
size_t registry_count(const Registry *registry);

/* Iterates in the order of addresses: NULL gives the first one, the last one gives NULL. */
Device *registry_next(Registry *registry, const Device *device);

/* Adds the function, or updates it. If another inode or other ids are at this address now, the old device is
 * removed and a new one added: the removal may have been missed. Returns 0 or -ENOMEM. */
int registry_apply(Registry *registry, const DeviceFacts *facts);

/* Removes the function if it is known. With a nonzero inode only that very one. */
void registry_remove(Registry *registry, const PciAddress *address, uint64_t inode);

/* A scan of everything: registry_apply() for each function between begin and end; what was not seen in
 * between is removed at the end. */
void registry_scan_begin(Registry *registry);
void registry_scan_end(Registry *registry);

/* Declares that whatever disturbs one of the two disturbs the other: boards and power rails are not seen on
 * the bus. Edges are kept by address, and hold for whichever devices are there. 0 or -ENOMEM. */
int registry_add_edge(Registry *registry, const PciAddress *a, const PciAddress *b);

/* The next device that an edge ties to this one; `*cursor` starts at 0. NULL at the end. */
Device *registry_next_edge(const Registry *registry, const Device *device, size_t *cursor);

/* Numbers a look at who uses devices, before it begins: a higher number than all that were given before, and
 * than those of all changes of driver until now (device_take_look()). */
uint64_t registry_begin_look(Registry *registry);

/* The rules that hold from now on, which are taken over. `kernel`: the release that
 * uname() reports, which some of them look at. */
void registry_set_policy(Registry *registry, Policy *policy, const char *kernel);
/* The same on the same kernel. */
void registry_change_policy(Registry *registry, Policy *policy);
/* The rules. Never NULL. */
const Policy *registry_policy(const Registry *registry);
/* What they say about the device, as it is now. Valid until the policy or the device's driver changes. NULL:
 * out of memory. */
const EffectivePolicy *registry_policy_of(Device *device);

/* Rules and edges come from the same files, and one without the other is no policy: both are moved from
 * `from`, a registry without devices into which they were read, and replace those that were here. After that
 * `from` can only be freed. */
void registry_take_policy(Registry *registry, Registry *from);

/* Tells the listener, for state that others keep in the device. */
void registry_notify(Registry *registry, Device *device, unsigned changes);
