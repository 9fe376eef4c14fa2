/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Claims: who has taken devices for himself (leases), and who forbids or delays their reset (inhibitors).
 *
 * A claim lives as long as its descriptor, which is kept elsewhere (system/lease-store.h): here is only what
 * follows from it. Devices are named by address and ids, so that a claim outlasts a device that vanishes and
 * comes back during a reset, and does not pass to a stranger in its place.
 */

#include "daemon/domain/claim.h"
#include "daemon/domain/registry.h"

/* Of all users and of one; and the devices in all the claims of one user. */
#define CLAIMS_MAX                512U
#define CLAIMS_PER_UID_MAX        64U
#define CLAIM_DEVICES_PER_UID_MAX 1024U

typedef struct Claims Claims;

int claims_new(Registry *registry, Claims **ret);
Claims *claims_free(Claims *claims);

const Claim *claims_find(const Claims *claims, const char *id);
/* Iterates in the order in which they were added: NULL gives the first one. */
const Claim *claims_next(const Claims *claims, const Claim *claim);
size_t claims_count(const Claims *claims);

/* May this user have one more, over so many devices? */
bool claims_within_limits(const Claims *claims, uint32_t uid, size_t n_devices);

/* The first device that the lease would be about and that is under another one, NULL: none that is there. */
Device *claims_find_conflict(const Claims *claims, const ClaimRecord *record);

/* Adds a claim, copying the record. A claim without devices (inhibitors only) is about all of them. All or
 * none: -EBUSY if a lease meets another one, be it on a device that is away; -EINVAL for a lease without
 * devices; -EEXIST for an id that is taken; -ENOMEM. Whether it is within limits is the caller's to ask:
 * claims that outlived a restart are not refused. Tells the registry's listener of each device. */
int claims_add(Claims *claims, const ClaimRecord *record, const Claim **ret);

/* Ends a claim, if it is there. Tells the registry's listener of each device. */
void claims_remove(Claims *claims, const char *id);

/* A device has appeared: it takes its place in the claims that name it. */
void claims_device_added(Claims *claims, Device *device);

/* How a record names this device. */
ClaimDevice claim_device(const Device *device);
/* And whether this is it: the address and all ids. */
bool claim_device_is(const ClaimDevice *named, const Device *device);

/* True if the record names this very device: address and ids. */
bool claim_names(const Claim *claim, const Device *device);
