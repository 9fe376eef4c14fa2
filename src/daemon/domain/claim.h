/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A claim: what somebody keeps on devices for as long as any copy of a file descriptor is open.
 *
 * A lease says that the devices are the holder's. An inhibitor forbids their reset, or asks for a moment
 * before it. Both are plain facts here; system/lease-store.h keeps them on disk and tells when they end.
 */

#include <stddef.h>
#include <stdint.h>

#include "shared/address.h"

#define CLAIM_ID_MAX      16U /* with NUL, as all of these */
#define CLAIM_WHO_MAX     128U
#define CLAIM_WHY_MAX     256U
#define CLAIM_DEVICES_MAX 512U

typedef enum ClaimKind {
        CLAIM_LEASE,
        CLAIM_INHIBIT_BLOCK,
        CLAIM_INHIBIT_DELAY,
} ClaimKind;

/* The ids tell a device that was replaced while nobody looked from the one that was claimed. */
typedef struct ClaimDevice {
        PciAddress address;
        uint16_t vendor, device;
        uint16_t subsystem_vendor, subsystem_device;
} ClaimDevice;

typedef struct ClaimRecord {
        char id[CLAIM_ID_MAX]; /* a name, not a secret */
        ClaimKind kind;
        uint32_t uid; /* who made it */
        char who[CLAIM_WHO_MAX]; /* in the words of whoever made it */
        char why[CLAIM_WHY_MAX];
        uint64_t since; /* CLOCK_REALTIME, microseconds */
        ClaimDevice *devices; /* who owns this array says whoever hands the record around */
        size_t n_devices;
} ClaimRecord;
