/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A device's configuration space, as far as the kernel lets this process read it, and what is in it.
 *
 * libpci finds the capabilities and knows the numbers of registers and bits; it decodes nothing. The names
 * and the registers that matter for a reset are in pci-decode.c, written as lspci(8) writes them
 * (`FLReset+`), which is what kernel developers read.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pcireset/bus-json.h"

#define PCI_CONFIG_MAX       4096U
#define PCI_CAPABILITIES_MAX 96U

typedef struct PciCapability {
        uint16_t id;
        bool extended;
        uint16_t offset;
} PciCapability;

typedef struct PciConfig {
        uint8_t bytes[PCI_CONFIG_MAX];
        bool hidden[PCI_CONFIG_MAX]; /* not to be shown */
        size_t size; /* that could be read */
        size_t full_size; /* that there is */
        PciCapability capabilities[PCI_CAPABILITIES_MAX];
        size_t n_capabilities;
} PciConfig;

/* Reads it, from the folder of devices (`/sys/bus/pci`) that libpci is told of. What cannot be read is
 * missing. 0, -ENODEV (there is no such device), or -ENOMEM. */
int pci_config_read(const char *address, PciConfig *ret);

/* Hides what identifies one piece of hardware: the serial number, and what was last read of the VPD. */
void pci_config_hide(PciConfig *config);

/* The serial number, as lspci shows it. False if there is none. */
bool pci_config_serial(const PciConfig *config, char ret[static 24]);

/* True if the device is told by what was read to be gone. */
bool pci_config_is_gone(const PciConfig *config);

/* Little-endian registers; 0 beyond what was read. */
uint8_t pci_config_byte(const PciConfig *config, size_t offset);
uint16_t pci_config_word(const PciConfig *config, size_t offset);
uint32_t pci_config_long(const PciConfig *config, size_t offset);

/* The capability, NULL: none. */
const PciCapability *pci_config_find(const PciConfig *config, uint16_t id, bool extended);

/* `000: 86 80 …`, sixteen bytes a line; what is hidden is `xx`. An array of strings, NULL: out of memory. */
json_object *pci_config_to_hex(const PciConfig *config);

/* Each capability as an object: offset s, name s, facts as. `serials`: with the serial number. An array;
 * NULL: out of memory. */
json_object *pci_config_decode(const PciConfig *config, bool serials);
