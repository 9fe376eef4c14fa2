/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What polkit's rules are told of the device that a question is about. The names are fixed: rules look for
 * them.
 */

#include "daemon/bus/holders.h"
#include "daemon/bus/polkit.h"

#define DEVICE_DETAILS 6U

typedef struct DeviceDetails {
        char address[PCI_ADDRESS_STRING_MAX], vendor_id[8], device_id[8], class[12], driver[DRIVER_NAME_MAX],
                owner[OWNER_TEXT_MAX];
} DeviceDetails;

/* device, vendor_id, device_id, class, driver, owner; they point into `texts`. `device` NULL: all are empty.
 */
void fill_device_details(const Device *device, DeviceDetails *texts,
                         PolkitDetail details[static DEVICE_DETAILS]);
