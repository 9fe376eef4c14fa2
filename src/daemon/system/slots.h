/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The hotplug slots whose power can be switched, as they are at one moment.
 *
 * No link leads from a device to its slot: each slot tells an address (drivers/pci/slot.c). So they are read
 * once, and then asked about as many devices as there are.
 */

#include "daemon/domain/device.h"

typedef struct Slots Slots;

/* Reads /sys/bus/pci/slots; a machine without it has no slots. 0, or -ENOMEM. */
int slots_read(Slots **ret);
Slots *slots_free(Slots *slots);

/* The name of the slot in which the device sits, "" if there is none. */
void slots_find(const Slots *slots, const PciAddress *address, char name[static SLOT_NAME_MAX]);
