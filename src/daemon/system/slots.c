/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/system/slots.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "shared/cleanup.h"

#define PCI_SLOTS "/sys/bus/pci/slots"

/* Of all functions of a device, "dddd:bb:dd", or with "dddd:bb" of a bus. */
typedef struct Slot {
        char name[SLOT_NAME_MAX];
        char address[PCI_ADDRESS_STRING_MAX];
} Slot;

struct Slots {
        Slot *slots;
        size_t n, n_allocated;
};

DEFINE_CLEANUP(Slots *, slots_free);

static void cleanup_closedir(DIR **d)
{
        if (*d)
                (void) closedir(*d);
}

/* True if it is one whose power can be switched. */
static bool read_slot(int slots_fd, const char *name, Slot *ret)
{
        _cleanup_close_ int fd = openat(slots_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC), address = -EBADF;
        ssize_t n;

        if (fd < 0 || strlen(name) >= sizeof(ret->name) ||
            faccessat(fd, "power", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                return false;
        address = openat(fd, "address", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        n = address < 0 ? -1 : read(address, ret->address, sizeof(ret->address) - 1);
        if (n < 0)
                return false;
        ret->address[n] = '\0';
        ret->address[strcspn(ret->address, "\n")] = '\0';
        memcpy(ret->name, name, strlen(name) + 1);
        n = (ssize_t) strlen(ret->address);
        return n == strlen("dddd:bb:dd") || n == strlen("dddd:bb");
}

static Slot *add(Slots *slots)
{
        if (slots->n == slots->n_allocated) {
                size_t n = slots->n_allocated ? slots->n_allocated * 2 : 16;
                Slot *all = reallocarray(slots->slots, n, sizeof(Slot));

                if (!all)
                        return NULL;
                slots->slots = all;
                slots->n_allocated = n;
        }
        return &slots->slots[slots->n];
}

int slots_read(Slots **ret)
{
        _cleanup_(cleanup_slots_free) Slots *slots = calloc(1, sizeof(Slots));
        _cleanup_(cleanup_closedir) DIR *dir = opendir(PCI_SLOTS);
        struct dirent *entry;

        if (!slots)
                return -ENOMEM;
        while (dir && (entry = readdir(dir))) {
                Slot *slot;

                if (entry->d_name[0] == '.')
                        continue;
                slot = add(slots);
                if (!slot)
                        return -ENOMEM;
                slots->n += read_slot(dirfd(dir), entry->d_name, slot);
        }
        *ret = steal_pointer(slots);
        return 0;
}

Slots *slots_free(Slots *slots)
{
        if (!slots)
                return NULL;
        free(slots->slots);
        free(slots);
        return NULL;
}

void slots_find(const Slots *slots, const PciAddress *address, char name[static SLOT_NAME_MAX])
{
        char device[PCI_ADDRESS_STRING_MAX];

        name[0] = '\0';
        if (slots->n == 0)
                return;
        (void) pci_address_format(address, device);
        for (size_t i = 0; i < slots->n; i++) {
                const Slot *slot = &slots->slots[i];

                if (strncmp(slot->address, device, strlen(slot->address)) == 0) {
                        memcpy(name, slot->name, SLOT_NAME_MAX);
                        return;
                }
        }
}
