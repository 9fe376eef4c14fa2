/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/bus/details.h"

#include <string.h>

void fill_device_details(const Device *device, DeviceDetails *texts,
                         PolkitDetail details[static DEVICE_DETAILS])
{
        *texts = (DeviceDetails){};
        if (device) {
                pci_address_format(&device->facts.address, texts->address);
                (void) snprintf(texts->vendor_id, sizeof(texts->vendor_id), "0x%04x", device->facts.vendor);
                (void) snprintf(texts->device_id, sizeof(texts->device_id), "0x%04x", device->facts.device);
                (void) snprintf(texts->class, sizeof(texts->class), "0x%06x", device->facts.class);
                memcpy(texts->driver, device->facts.driver, sizeof(texts->driver));
                device_owner(device, texts->owner);
        }
        details[0] = (PolkitDetail){"device", texts->address};
        details[1] = (PolkitDetail){"vendor_id", texts->vendor_id};
        details[2] = (PolkitDetail){"device_id", texts->device_id};
        details[3] = (PolkitDetail){"class", texts->class};
        details[4] = (PolkitDetail){"driver", texts->driver};
        details[5] = (PolkitDetail){"owner", texts->owner};
}
