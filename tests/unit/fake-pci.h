/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A tree of PCI devices in plain files, as sysfs shows it: a directory of links `devices/ADDRESS` into
 * another of device directories, and beside it those of drivers and slots. Made below the temporary
 * directory and removed with all it holds.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/worker-protocol.h"

typedef struct FakePci {
        char root[64];
        int devices_fd;
} FakePci;

void fake_pci_begin(FakePci *pci);
void fake_pci_end(FakePci *pci);

/* Adds a network card: ids 8086:10d3, command 0x0406, a link, no driver, methods `flr bus`, disabled. */
void fake_device_add(const FakePci *pci, const char *address);
void fake_device_add_below(const FakePci *pci, const char *address, const char *bridge);

/* Adds a root port, with a bus and allowed to sleep. */
void fake_bridge_add(const FakePci *pci, const char *address);

/* Takes the device away, its link and its directory, as unplugging does. */
void fake_device_remove(const FakePci *pci, const char *address);
bool fake_device_exists(const FakePci *pci, const char *address);

/* A driver with the files `bind` and `unbind`; one that is linked to is there already. */
void fake_driver_add(const FakePci *pci, const char *driver);

void fake_driver_file_add(const FakePci *pci, const char *driver, const char *name);

/* A slot that is switched on; `address` is the text of its file. */
void fake_slot_add(const FakePci *pci, const char *slot, const char *address);

/* What its file `power` reads. */
void fake_slot_switch(const FakePci *pci, const char *slot, bool on);

void fake_directory_add(const FakePci *pci, const char *address, const char *name);

/* What the daemon would say of the device as it is now. */
WorkerMember fake_device_member(const FakePci *pci, const char *address);

void fake_attribute_set(const FakePci *pci, const char *address, const char *name, const char *text);
void fake_attribute_remove(const FakePci *pci, const char *address, const char *name);

/* The whole text, in a static buffer. */
const char *fake_attribute_get(const FakePci *pci, const char *address, const char *name);

/* Makes `name` a link to a path that ends in `target`, or, with NULL, removes it. */
void fake_link_set(const FakePci *pci, const char *address, const char *name, const char *target);

/* Writes bytes into `config` in place. */
void fake_config_set(const FakePci *pci, const char *address, size_t offset, const void *bytes, size_t size);
void fake_config_set16(const FakePci *pci, const char *address, size_t offset, uint16_t value);

/* Makes all of `config` read `byte`. */
void fake_config_fill(const FakePci *pci, const char *address, uint8_t byte);
