/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * One PCI function as the daemon knows it: what was read about it and where it stands in the tree.
 *
 * A Device is owned by the Registry and lives from the moment the function appears until it is removed; a
 * function that comes back is a new Device with a new generation. Facts are of two kinds. The lasting ones
 * are read when it appears and when udev announces a change. The live ones (methods, enable count, TSM
 * state) are announced by nobody, so whoever decides on them has them refreshed first.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "daemon/domain/claim.h"
#include "shared/address.h"
#include "shared/driver.h"
#include "shared/holder.h"
#include "shared/method.h"
#include "shared/worker-protocol.h"
#include "shared/worker-scan.h"

#define DRIVER_NAME_MAX 64U
#define IOMMU_GROUP_MAX 16U
#define SLOT_NAME_MAX   32U

/* What sysfs says about a function, lasting facts first. A value type. */
typedef struct DeviceFacts {
        PciAddress address;
        uint64_t inode; /* of the device's directory: kernfs gives each node its own */
        uint16_t vendor, device;
        uint16_t subsystem_vendor, subsystem_device;
        uint32_t class; /* 24 bits */
        uint8_t revision;
        bool is_bridge; /* has buses below it, or could */
        bool has_parent;
        PciAddress parent; /* the bridge above; without one the function is on a root bus */
        bool has_physfn;
        PciAddress physfn;
        bool can_reset_subordinate; /* of a bridge: it has `reset_subordinate` */
        bool can_be_removed; /* it has `remove`: virtual functions have not */
        bool has_do_flr, has_reset_device; /* its driver, pciback, has these files: no kernel.org one */
        bool has_endpoint; /* a partitionable endpoint of EEH (powerpc): */
        uint32_t endpoint; /* its address, the same for all devices in it; unique within the domain */
        char slot[SLOT_NAME_MAX]; /* the hotplug slot that it sits in, if its power can be switched */
        char driver[DRIVER_NAME_MAX]; /* empty: none bound */
        char iommu_group[IOMMU_GROUP_MAX];
} DeviceFacts;

/* Facts that change without notice. */
typedef struct DeviceLive {
        ResetMethodList methods;
        uint32_t enable_count; /* with a driver for guests, else 0: nobody looks at it */
        bool tsm_bound; /* a TDISP interface is bound to a guest: its configuration must stay as it is */
} DeviceLive;

/* Who uses the device, as the last scan found it (worker/holders.h). Not known at first, and no more once
 * another driver is bound. */
typedef struct DeviceUse {
        bool known;
        Holder *holders; /* owned */
        size_t n_holders;
        bool has_vfio_uid;
        uint32_t vfio_uid; /* who owns the VFIO node */
} DeviceUse;

/* What the policy has made of `reset_method`. */
typedef struct DeviceOrder {
        bool written; /* once, and not put back since: */
        ResetMethodList before; /* what it read before that */
        ResetMethodList wanted, got; /* the last time: what the policy wants, and what it read then */
        bool failed; /* it could not be written at all */
} DeviceOrder;

/* What workers have found out about a device in quarantine, or done to it (keep-off.h). */
typedef struct DeviceHold {
        bool looked; /* since it went in, or since the last reset */
        bool kept; /* drivers are kept off it */
        bool noted; /* they are or were, and what tells the next daemon so is to be taken away in the end */
        bool left; /* they were to be, and somebody wants it otherwise */
        bool again; /* the last worker died, and this is the second one */
} DeviceHold;

typedef enum DeviceState {
        DEVICE_IDLE,
        DEVICE_QUEUED,
        DEVICE_RESETTING,
        DEVICE_RECOVERING,
        DEVICE_QUARANTINED,
} DeviceState;

/* See cleanliness.h. */
typedef enum Cleanliness {
        CLEANLINESS_UNKNOWN,
        CLEANLINESS_DIRTY,
        CLEANLINESS_CLEAN,
} Cleanliness;

/* What became of the last error that the kernel has announced (error-events.h). */
typedef enum ErrorState {
        ERROR_STATE_NONE, /* there was none, or a reset is proved to have put the device right since */
        ERROR_STATE_BEGIN_RECOVERY, /* the kernel recovers it just now */
        ERROR_STATE_SUCCESSFUL_RECOVERY,
        ERROR_STATE_FAILED_RECOVERY,
        ERROR_STATE_RECOVERED_DEGRADED, /* the kernel says that it has succeeded, and it has not */
        ERROR_STATE_RECOVERED_DEAD,
        ERROR_STATE_UNFINISHED_RECOVERY, /* it began, and its end was not told in time */
        ERROR_STATE_WEDGED, /* its driver has given it up (DRM) */
        ERROR_STATE_FROZEN, /* its partitionable endpoint has stayed frozen (EEH) */
} ErrorState;

typedef struct LastReset {
        bool valid;
        char method[RESET_METHOD_NAME_MAX];
        const char *verdict; /* static string */
        uint64_t duration_usec;
        uint64_t finished_at; /* CLOCK_REALTIME, microseconds */
        uint32_t job;
        bool by_policy; /* nobody has called for it */
} LastReset;

typedef struct Device Device;
typedef struct Registry Registry;
typedef struct SharedPolicy SharedPolicy;

/* A claim on devices, see claims.h. */
typedef struct Claim {
        ClaimRecord record; /* owned */
        UT_hash_handle hh;
} Claim;

struct Device {
        DeviceFacts facts;
        DeviceLive live;
        DeviceUse use;
        DeviceOrder *order; /* owned; NULL: the policy has never wanted anything else */
        DeviceHold hold;
        char serial[WORKER_SERIAL_MAX]; /* empty: not read yet, or it has none. Nobody but root is told */
        char owner[WORKER_OWNER_MAX]; /* named by a udev rule, or the user of the active seat; empty: nobody
                                       */
        uint64_t generation;
        uint64_t look; /* the last one taken, or from when its driver changed; see device_take_look() */
        ErrorState error_state;
        bool frozen; /* its endpoint is, as the last look found it */
        uint64_t recovering_since; /* CLOCK_BOOTTIME, in ERROR_STATE_BEGIN_RECOVERY */
        uint64_t error_notes_since; /* and how many errors of it were noted since: */
        unsigned n_error_notes;
        LastReset last_reset;

        /* Jobs that have this device in their reset set: waiting, and past the point of no return. */
        unsigned n_queued;
        unsigned n_resetting;
        unsigned n_recovering; /* jobs that have begun to bring it back, and have not ended */

        /* Kept by Claims: the lease that the device is under, NULL: none; and how many inhibitors concern
         * it. */
        const Claim *lease;
        unsigned n_blocking, n_delaying;

        Cleanliness cleanliness;
        bool was_leased; /* when its cleanliness was last followed */
        bool touched_in_reset; /* somebody has had a node of VFIO's open since the worker was sent out */
        struct Release *release; /* kept by Releases; NULL: nobody has had it */
        bool released; /* its last user has let go, so that it might be reset, and nobody has taken it since
                        */

        struct Checkup *checkup; /* owned; NULL: nobody has looked how it is (checkup.h) */
        struct Quarantine *quarantine; /* kept by Quarantines; NULL: it is in none */

        /* The tree. Pointers go to other devices of the same registry, and are NULL while those are unknown.
         */
        Device *parent;
        Device *first_child; /* of a bridge; linked by next_sibling (utlist) */
        Device *prev_sibling, *next_sibling;
        Device *physfn;
        Device *first_vf; /* linked by next_vf */
        Device *prev_vf, *next_vf;

        /* The registry's own. */
        SharedPolicy *policy; /* NULL: not asked for since it or the device changed */
        Registry *registry;
        uint64_t key; /* pci_address_key(&facts.address) */
        uint64_t scan;
        UT_hash_handle hh;
};

/* Takes over what a scan found out about the device. 0 if that is no news, 1 if it is, or -ENOMEM, after
 * which its use is unknown. */
int device_set_use(Device *device, const WorkerScan *scan);
void device_forget_use(Device *device);

/* After a look: an endpoint that is frozen although no error was announced (before the daemon was started,
 * or where events were lost) is an error as well, and over when it is thawed. What was announced stays, and
 * so does what the device is in quarantine for. True if ErrorState has changed. */
bool device_follow_endpoint(Device *device);

/* True if what a look with this number (registry_begin_look()) found out, or that it failed, is to be taken
 * over. Looks overtake each other, and what an older one saw is not what a newer one saw, nor is it about a
 * driver that was bound after it began: then false. */
bool device_take_look(Device *device, uint64_t look);

/* True if somebody or something uses the device, as far as is known: holders, a VFIO user, or a confidential
 * guest. A bound driver alone is no use. */
bool device_is_in_use(const Device *device);

/* Of what the policy wants `reset_method` to read, what the kernel has refused; all of it if it could not be
 * written. */
ResetMethodList device_order_refused(const Device *device);

/* What is being done to it comes first, then what keeps it from being given to anybody. */
DeviceState device_state(const Device *device);
const char *device_state_to_string(DeviceState state);

/* "" for ERROR_STATE_NONE, else words with dashes, see the property ErrorState. */
const char *error_state_to_string(ErrorState state);

/* True while the kernel recovers the device by itself, or another one below the same bridge: it resets their
 * link then, and of devices without a driver it announces no beginning (drivers/pci/pcie/err.c). */
bool device_is_recovering(const Device *device);

/* True if no other function hangs below the same bridge; virtual functions count as others, as they do for
 * the kernel (drivers/pci/pci.c, pci_parent_bus_reset). Means nothing on a root bus. */
bool device_is_alone_below_parent(const Device *device);

/* True if EEH freezes and thaws the two together. */
bool device_shares_endpoint(const Device *a, const Device *b);

/* True if `above` is a bridge on the way from `device` to its root bus. */
bool device_is_below(const Device *device, const Device *above);
