/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Each device keeps a pointer to its lease and counts its inhibitors, so that a plan needs the devices
 * alone. Claims are few; who looks for one of a device that has just appeared walks them all.
 */

#include "daemon/domain/claims.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/cleanup.h"

struct Claims {
        Registry *registry;
        Claim *claims;
};

int claims_new(Registry *registry, Claims **ret)
{
        Claims *claims = calloc(1, sizeof(Claims));

        if (!claims)
                return -ENOMEM;
        claims->registry = registry;
        *ret = claims;
        return 0;
}

static void claim_free(Claim *claim)
{
        free(claim->record.devices);
        free(claim);
}

Claims *claims_free(Claims *claims)
{
        Claim *claim, *next;

        if (!claims)
                return NULL;
        HASH_ITER (hh, claims->claims, claim, next) {
                HASH_DEL(claims->claims, claim);
                claim_free(claim);
        }
        free(claims);
        return NULL;
}

const Claim *claims_find(const Claims *claims, const char *id)
{
        Claim *claim;

        HASH_FIND_STR(claims->claims, id, claim);
        return claim;
}

const Claim *claims_next(const Claims *claims, const Claim *claim)
{
        return claim ? claim->hh.next : claims->claims;
}

size_t claims_count(const Claims *claims)
{
        return HASH_COUNT(claims->claims);
}

bool claims_within_limits(const Claims *claims, uint32_t uid, size_t n_devices)
{
        size_t n_claims = 0;

        for (const Claim *claim = claims->claims; claim; claim = claim->hh.next)
                if (claim->record.uid == uid) {
                        n_claims++;
                        n_devices += claim->record.n_devices;
                }
        return HASH_COUNT(claims->claims) < CLAIMS_MAX && n_claims < CLAIMS_PER_UID_MAX &&
               n_devices <= CLAIM_DEVICES_PER_UID_MAX;
}

bool claim_device_is(const ClaimDevice *named, const Device *device)
{
        const DeviceFacts *facts = &device->facts;

        return pci_address_equal(&named->address, &facts->address) && named->vendor == facts->vendor &&
               named->device == facts->device && named->subsystem_vendor == facts->subsystem_vendor &&
               named->subsystem_device == facts->subsystem_device;
}

ClaimDevice claim_device(const Device *device)
{
        const DeviceFacts *facts = &device->facts;

        return (ClaimDevice){
                .address = facts->address,
                .vendor = facts->vendor,
                .device = facts->device,
                .subsystem_vendor = facts->subsystem_vendor,
                .subsystem_device = facts->subsystem_device,
        };
}

bool claim_names(const Claim *claim, const Device *device)
{
        for (size_t i = 0; i < claim->record.n_devices; i++)
                if (claim_device_is(&claim->record.devices[i], device))
                        return true;
        return claim->record.n_devices == 0;
}

/* The device that is meant, NULL if it is not there or another one is in its place. */
static Device *named_device(const Claims *claims, const ClaimDevice *named)
{
        Device *device = registry_find(claims->registry, &named->address);

        return device && claim_device_is(named, device) ? device : NULL;
}

Device *claims_find_conflict(const Claims *claims, const ClaimRecord *record)
{
        for (size_t i = 0; i < record->n_devices; i++) {
                Device *device = named_device(claims, &record->devices[i]);

                if (device && device->lease)
                        return device;
        }
        return NULL;
}

static void take_place(const Claim *claim, Device *device)
{
        switch (claim->record.kind) {
        case CLAIM_LEASE:
                device->lease = claim;
                break;
        case CLAIM_INHIBIT_BLOCK:
                device->n_blocking++;
                break;
        case CLAIM_INHIBIT_DELAY:
                device->n_delaying++;
                break;
        }
}

static void leave_place(const Claim *claim, Device *device)
{
        switch (claim->record.kind) {
        case CLAIM_LEASE:
                if (device->lease == claim)
                        device->lease = NULL;
                break;
        case CLAIM_INHIBIT_BLOCK:
                device->n_blocking--;
                break;
        case CLAIM_INHIBIT_DELAY:
                device->n_delaying--;
                break;
        }
}

/* Does this to every device that the claim is about and that is there, and then tells of it: whoever hears
 * of one device finds the claim whole. */
static void for_each_device(Claims *claims, const Claim *claim,
                            void (*what)(const Claim *claim, Device *device))
{
        for (int telling = 0; telling < 2; telling++) {
                for (size_t i = 0; i < claim->record.n_devices; i++) {
                        Device *device = named_device(claims, &claim->record.devices[i]);

                        if (device && telling)
                                registry_notify(claims->registry, device, DEVICE_CHANGED_CLAIMS);
                        else if (device)
                                what(claim, device);
                }
                if (claim->record.n_devices > 0)
                        continue;
                for (Device *d = registry_next(claims->registry, NULL); d;
                     d = registry_next(claims->registry, d))
                        if (telling)
                                registry_notify(claims->registry, d, DEVICE_CHANGED_CLAIMS);
                        else
                                what(claim, d);
        }
}

static bool names_equal(const ClaimDevice *a, const ClaimDevice *b)
{
        return pci_address_equal(&a->address, &b->address) && a->vendor == b->vendor &&
               a->device == b->device && a->subsystem_vendor == b->subsystem_vendor &&
               a->subsystem_device == b->subsystem_device;
}

static bool record_names(const ClaimRecord *record, const ClaimDevice *named)
{
        for (size_t i = 0; i < record->n_devices; i++)
                if (names_equal(&record->devices[i], named))
                        return true;
        return false;
}

/* Of two leases on a device that is away just now, neither could have it when it comes back. */
static bool meets_lease(const Claims *claims, const ClaimRecord *record)
{
        for (const Claim *claim = claims->claims; claim; claim = claim->hh.next)
                for (size_t i = 0; i < record->n_devices && claim->record.kind == CLAIM_LEASE; i++)
                        if (record_names(&claim->record, &record->devices[i]))
                                return true;
        return false;
}

/* A device that is named twice is claimed once, so that what it counts is what is taken back. */
static int claim_new(const ClaimRecord *record, Claim **ret)
{
        Claim *claim = calloc(1, sizeof(Claim));

        if (!claim)
                return -ENOMEM;
        claim->record = *record;
        claim->record.devices = NULL;
        claim->record.n_devices = 0;
        if (record->n_devices > 0) {
                claim->record.devices = calloc(record->n_devices, sizeof(ClaimDevice));
                if (!claim->record.devices) {
                        free(claim);
                        return -ENOMEM;
                }
        }
        for (size_t i = 0; i < record->n_devices; i++)
                if (!record_names(&claim->record, &record->devices[i]))
                        claim->record.devices[claim->record.n_devices++] = record->devices[i];
        *ret = claim;
        return 0;
}

int claims_add(Claims *claims, const ClaimRecord *record, const Claim **ret)
{
        Claim *claim;
        int r;

        if (claims_find(claims, record->id))
                return -EEXIST;
        if (record->kind == CLAIM_LEASE && record->n_devices == 0)
                return -EINVAL;
        if (record->kind == CLAIM_LEASE && meets_lease(claims, record))
                return -EBUSY;
        r = claim_new(record, &claim);
        if (r < 0)
                return r;

        HASH_ADD_STR(claims->claims, record.id, claim);
        for_each_device(claims, claim, take_place);
        *ret = claim;
        return 0;
}

void claims_remove(Claims *claims, const char *id)
{
        Claim *claim;

        HASH_FIND_STR(claims->claims, id, claim);
        if (!claim)
                return;
        HASH_DEL(claims->claims, claim);
        for_each_device(claims, claim, leave_place);
        claim_free(claim);
}

void claims_device_added(Claims *claims, Device *device)
{
        for (const Claim *claim = claims->claims; claim; claim = claim->hh.next)
                if (claim_names(claim, device) && !(claim->record.kind == CLAIM_LEASE && device->lease))
                        take_place(claim, device);
}
