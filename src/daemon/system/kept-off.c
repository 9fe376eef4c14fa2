/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/system/kept-off.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "shared/worker-protocol.h"

DEFINE_CLEANUP(DIR *, closedir);

bool kept_off_is_noted(const char *directory, const PciAddress *address)
{
        char name[PCI_ADDRESS_STRING_MAX], path[sizeof(WORKER_KEPT_OFF_DIR) + PCI_ADDRESS_STRING_MAX + 1];

        (void) snprintf(path, sizeof(path), "%s/%s", directory, pci_address_format(address, name));
        return access(path, F_OK) == 0;
}

int kept_off_load(const char *directory, void (*found)(void *userdata, const PciAddress *address),
                  void *userdata)
{
        _cleanup_(cleanup_closedir) DIR *dir = opendir(directory);
        const struct dirent *entry;
        PciAddress address;

        if (!dir)
                return errno == ENOENT ? 0 : -errno;
        for (;;) {
                errno = 0;
                entry = readdir(dir);
                if (!entry)
                        return -errno;
                if (pci_address_parse(entry->d_name, &address) >= 0)
                        found(userdata, &address);
        }
}
