/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The address of a PCI function: domain, bus, device and function number, written `dddd:bb:dd.f`.
 *
 * There is exactly one spelling, the kernel's own (the name of the directory below /sys/bus/pci/devices):
 * lower-case hexadecimal, four digits of domain or more where the domain needs them (Intel VMD starts at
 * 10000). Anything else is refused, so an address that passed pci_address_parse() may be used as a file
 * name.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for the longest spelling, `ffffffff:ff:1f.7`, and its terminating NUL. */
#define PCI_ADDRESS_STRING_MAX 17U

typedef struct PciAddress {
        uint32_t domain;
        uint8_t bus;
        uint8_t device; /* 0..31 */
        uint8_t function; /* 0..7 */
} PciAddress;

/* Parses the one accepted spelling. Returns 0, or -EINVAL (the output is then untouched). */
int pci_address_parse(const char *text, PciAddress *ret);

/* As pci_address_parse(), but accepts what people type: the domain may be left out (`01:00.0` means domain
 * 0000) and hexadecimal digits may be upper-case. For command lines only, never for the bus. */
int pci_address_parse_typed(const char *text, PciAddress *ret);

/* Writes the kernel's spelling into `buffer` and returns it. */
const char *pci_address_format(const PciAddress *address, char buffer[static PCI_ADDRESS_STRING_MAX]);

/* Orders by domain, bus, device, function: negative, 0 or positive, as strcmp() does. */
int pci_address_compare(const PciAddress *a, const PciAddress *b);

static inline bool pci_address_equal(const PciAddress *a, const PciAddress *b)
{
        return pci_address_compare(a, b) == 0;
}

/* A number that no other address has and that orders like pci_address_compare(): for hash tables. */
static inline uint64_t pci_address_key(const PciAddress *address)
{
        return (uint64_t) address->domain << 16 | (uint64_t) address->bus << 8 |
               (uint64_t) (address->device & 0x1fU) << 3 | (address->function & 0x7U);
}
