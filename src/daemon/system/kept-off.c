/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/system/kept-off.h"

#include <dirent.h>
#include <errno.h>
#include <unistd.h>

#include "shared/cleanup.h"

DEFINE_CLEANUP(DIR *, closedir);

int kept_off_load(const char *directory, bool (*found)(void *userdata, const PciAddress *address),
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
                if (pci_address_parse(entry->d_name, &address) >= 0 && !found(userdata, &address))
                        (void) unlinkat(dirfd(dir), entry->d_name, 0);
        }
}
