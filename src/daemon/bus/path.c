/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/bus/path.h"

#include <stdio.h>
#include <string.h>

const char *device_path(const PciAddress *address, char path[static OBJECT_PATH_MAX])
{
        char text[PCI_ADDRESS_STRING_MAX];
        char *out = stpcpy(path, DEVICE_PREFIX "/");

        /* What sd_bus_path_encode() would make of it, without its allocation: this runs for each device in a
         * list. A leading digit is escaped as well as everything that is no letter or digit. */
        (void) pci_address_format(address, text);
        for (const char *p = text; *p; p++) {
                bool plain = (*p >= 'a' && *p <= 'f') || (*p >= '0' && *p <= '9' && p != text);

                if (plain)
                        *out++ = *p;
                else
                        out += sprintf(out, "_%02x", (unsigned char) *p);
        }
        *out = '\0';
        return path;
}

const char *job_path(uint32_t id, char path[static OBJECT_PATH_MAX])
{
        (void) snprintf(path, OBJECT_PATH_MAX, JOB_PREFIX "/%u", id);
        return path;
}
