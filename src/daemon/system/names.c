/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/system/names.h"

#include <errno.h>
#include <pci/pci.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>

#include "shared/cleanup.h"
#include "shared/utf8.h"

#define NAME_MAX_LENGTH 256U

typedef enum NameKind {
        NAME_VENDOR,
        NAME_DEVICE,
        NAME_DESCRIPTION,
} NameKind;

typedef struct Name {
        uint64_t key;
        UT_hash_handle hh;
        char text[];
} Name;

struct Names {
        struct pci_access *access;
        Name *names;
};

/* libpci's own would print, and exit the process. Looking up names has no way to report a failure but these.
 */
static void ignore_message(char *format, ...)
{
}

static void __attribute__((noreturn)) out_of_memory(char *format, ...)
{
        abort();
}

int names_new(Names **ret)
{
        Names *names = calloc(1, sizeof(Names));

        if (!names)
                return -ENOMEM;
        /* No pci_init(): that would look for ways to reach the hardware, and only the id file is wanted. */
        names->access = pci_alloc();
        names->access->error = out_of_memory;
        names->access->warning = names->access->debug = ignore_message;
        *ret = names;
        return 0;
}

Names *names_free(Names *names)
{
        Name *name, *next;

        if (!names)
                return NULL;
        HASH_ITER (hh, names->names, name, next) {
                HASH_DEL(names->names, name);
                free(name);
        }
        pci_cleanup(names->access);
        free(names);
        return NULL;
}

static void look_up(Names *names, NameKind kind, uint16_t vendor, uint16_t device, uint32_t class,
                    char *buffer)
{
        const char *found;
        char text[NAME_MAX_LENGTH];

        if (kind == NAME_VENDOR) {
                found = pci_lookup_name(names->access, text, sizeof(text),
                                        PCI_LOOKUP_VENDOR | PCI_LOOKUP_NO_NUMBERS, vendor);
        } else if (kind == NAME_DEVICE) {
                found = pci_lookup_name(names->access, text, sizeof(text),
                                        PCI_LOOKUP_DEVICE | PCI_LOOKUP_NO_NUMBERS, vendor, device);
        } else {
                char class_name[NAME_MAX_LENGTH];

                (void) pci_lookup_name(names->access, class_name, sizeof(class_name), PCI_LOOKUP_CLASS,
                                       class >> 8);
                (void) pci_lookup_name(names->access, text, sizeof(text),
                                       PCI_LOOKUP_VENDOR | PCI_LOOKUP_DEVICE, vendor, device);
                (void) snprintf(buffer, NAME_MAX_LENGTH, "%.*s: %.*s", 80, class_name, 170, text);
                return;
        }
        (void) snprintf(buffer, NAME_MAX_LENGTH, "%s", found ? found : "");
}

static const char *get(Names *names, NameKind kind, uint16_t vendor, uint16_t device, uint32_t class)
{
        uint64_t key = (uint64_t) kind << 56 | (uint64_t) (class >> 8) << 32 | (uint64_t) vendor << 16 |
                       device;
        char buffer[NAME_MAX_LENGTH];
        Name *name;

        HASH_FIND(hh, names->names, &key, sizeof(key), name);
        if (name)
                return name->text;

        look_up(names, kind, vendor, device, class, buffer);
        (void) utf8_sanitize(buffer);
        name = malloc(sizeof(Name) + strlen(buffer) + 1);
        /* A name is no reason to fail. */
        if (!name)
                return "";
        *name = (Name){.key = key};
        (void) stpcpy(name->text, buffer);
        HASH_ADD(hh, names->names, key, sizeof(name->key), name);
        return name->text;
}

const char *names_vendor(Names *names, uint16_t vendor)
{
        return get(names, NAME_VENDOR, vendor, 0, 0);
}

const char *names_device(Names *names, uint16_t vendor, uint16_t device)
{
        return get(names, NAME_DEVICE, vendor, device, 0);
}

const char *names_description(Names *names, uint16_t vendor, uint16_t device, uint32_t class)
{
        return get(names, NAME_DESCRIPTION, vendor, device, class);
}
