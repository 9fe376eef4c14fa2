/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Which Xen guest has a device that is bound to pciback.
 */

#include <stddef.h>
#include <stdint.h>

#include "shared/address.h"

/* Which guest has this device. Returns 0 if none has it, 1 if one has, and then `domain` says which
 * ("name (domid 3)", printable ASCII, cut to `size` bytes with NUL). A negative errno if nobody can tell, so
 * that the device has to count as in use: -ENOENT (this is no Xen dom0, or it has no xenstore), -ETIMEDOUT
 * (xenstored does not answer), -EBADMSG (what it says makes no sense), -ELIBACC (libxenstore is not
 * installed), -ENOSYS (built without), or another one of its own.
 *
 * Takes three seconds at most, and only once in a process: who did not answer is not asked again.
 *
 * Sources: /libxl/pci/DDDD-BB-SS-F/domid (libxl), and, which all toolstacks write because pciback itself
 * reads it, /local/domain/0/backend/pci/DOMID/DEVID/{dev-N,state-N} (xen/include/public/io/pciif.h,
 * drivers/xen/xen-pciback/xenbus.c). */
int xen_guest_of(const PciAddress *address, char *domain, size_t size);

/* The same, for tests: asks whoever listens on `socket` and nobody else, for `timeout_usec` at most, each
 * time. */
int xen_ask(const char *socket, uint64_t timeout_usec, const PciAddress *address, char *domain, size_t size);
