/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/bus/find-device.h"

#include "daemon/bus/options.h"
#include "daemon/bus/path.h"
#include "shared/utf8.h"

int find_device(Bus *bus, const char *text, Device **ret, sd_bus_error *error)
{
        char quoted[QUOTED_MAX];
        PciAddress address;

        if (pci_address_parse(text, &address) < 0)
                return sd_bus_error_setf(
                        error, SD_BUS_ERROR_INVALID_ARGS,
                        "'%s' is not a PCI address. Write it as the kernel does, like 0000:01:00.0, "
                        "in lower-case hexadecimal.",
                        utf8_quote(text, quoted, sizeof(quoted)));
        *ret = registry_find(bus->registry, &address);
        if (!*ret)
                return sd_bus_error_setf(error, BUS_ERROR_PREFIX "NoSuchDevice",
                                         "There is no PCI device %s. ListDevices tells which there are.",
                                         text);
        return 0;
}
