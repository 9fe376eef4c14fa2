/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Holders: who uses a device now.
 *
 * The worker finds them (worker/holders.h), the daemon decides with them and shows them. A holder is hard if
 * a reset below it would lose data or cut the machine off: no option and no privilege lifts that refusal.
 * The others may be overridden by whoever is allowed to reset a device in use.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/address.h"
#include "shared/json.h"

#define HOLDER_COMMAND_MAX 64U /* with NUL, as all of these */
#define HOLDER_UNIT_MAX    128U
#define HOLDER_WHAT_MAX    160U

/* No more than this many of one device are told, the hard ones first, so that what is left out changes no
 * decision. */
#define HOLDERS_PER_DEVICE_MAX 32U
#define HOLDERS_MAX            4096U

typedef enum HolderKind {
        /* Hard. */
        HOLDER_ROOT, /* the root file system is on it; what: the block device */
        HOLDER_MOUNT, /* what: "/dev/nvme0n1p1 on /mnt", as seen in the mount namespace of the process, if
                       * there is one */
        HOLDER_SWAP, /* what: the block device or file */
        HOLDER_BLOCK, /* a block device of it is claimed, by whom is not seen: device-mapper, md, a mount in
                       * a namespace without processes; what: the block device and, where known, what is
                       * stacked on it */
        HOLDER_NETWORK, /* an interface of it is up and has addresses, its own or those of a bond, bridge or
                         * VLAN above it; what: "eth0 192.0.2.1/24", and " in netns /run/netns/blue" if it is
                         * in another network namespace: where that is bound, or its number */
        HOLDER_GUEST, /* a Xen guest has it; what: the domain, "name (domid 3)", or HOLDER_GUEST_UNKNOWN if
                       * nobody can be asked */

        /* Soft. */
        HOLDER_PROCESS, /* a process has a device node of it open; what: the node */
        HOLDER_INTERFACE, /* an interface of it is up, without any address; what: its name, and the
                           * namespace as above */
        HOLDER_HIDDEN, /* a network driver is bound and there is no interface to be seen: it may live in
                        * another network namespace; what: the driver */

        /* Neither: a VFIO user's guest maps the device, so methods in sysfs are refused; only a reset
         * through the user's own descriptors may go past. */
        HOLDER_VFIO, /* a process has its VFIO group or device open; what: the node */
} HolderKind;

#define HOLDER_KINDS 10U

#define HOLDER_GUEST_UNKNOWN "unknown" /* no domain is told like this: there is always a domid */

typedef struct Holder {
        PciAddress device;
        HolderKind kind;
        uint32_t pid; /* in our pid namespace, 0: not a process; of what is in another namespace, the first
                       * one in there */
        uint32_t uid; /* of the process; means nothing without a pid */
        char command[HOLDER_COMMAND_MAX]; /* of the process, else empty */
        char unit[HOLDER_UNIT_MAX]; /* its systemd unit, empty: none known */
        char what[HOLDER_WHAT_MAX];
        bool silent; /* nobody announces when it ends, so whoever waits for that has to look again */
        bool truncated; /* of this device there are more than are told, none of a harder kind; each of those
                         * that are told says so */
} Holder;

/* `root` `mount` `swap` `block` `network` `guest` `process` `interface` `hidden` `vfio` */
const char *holder_kind_to_string(HolderKind kind);
bool holder_kind_is_hard(HolderKind kind);

/* As part of a message. Reading accepts what writing produces and nothing else: 0, -EBADMSG or -ENOMEM. */
int holder_write(const Holder *holder, json_object **ret);
int holder_read(json_object *object, Holder *ret);
