/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "shared/address.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DOMAIN_DIGITS_MIN 4U
#define DOMAIN_DIGITS_MAX 8U

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return -1;
}

/* Reads between `min` and `max` digits, as many as there are, and moves the cursor behind them. */
static int read_hex(const char **cursor, size_t min, size_t max, uint32_t *ret)
{
        uint32_t value = 0;
        size_t n = 0;
        int digit;

        while (n < max && (digit = hex_digit(**cursor)) >= 0) {
                value = value << 4 | (uint32_t) digit;
                (*cursor)++;
                n++;
        }
        if (n < min)
                return -EINVAL;

        *ret = value;
        return 0;
}

static int expect(const char **cursor, char c)
{
        if (**cursor != c)
                return -EINVAL;
        (*cursor)++;
        return 0;
}

int pci_address_parse(const char *text, PciAddress *ret)
{
        uint32_t domain, bus, device, function;
        const char *cursor = text;

        if (read_hex(&cursor, DOMAIN_DIGITS_MIN, DOMAIN_DIGITS_MAX, &domain) < 0 ||
            expect(&cursor, ':') < 0 || read_hex(&cursor, 2, 2, &bus) < 0 || expect(&cursor, ':') < 0 ||
            read_hex(&cursor, 2, 2, &device) < 0 || expect(&cursor, '.') < 0 ||
            read_hex(&cursor, 1, 1, &function) < 0 || *cursor != '\0')
                return -EINVAL;

        if (device > 31 || function > 7)
                return -EINVAL;

        /* The kernel pads to four digits and no further: 00000:01:00.0 names nothing. */
        if (text[0] == '0' && text[DOMAIN_DIGITS_MIN] != ':')
                return -EINVAL;

        *ret = (PciAddress){
                .domain = domain,
                .bus = (uint8_t) bus,
                .device = (uint8_t) device,
                .function = (uint8_t) function,
        };
        return 0;
}

int pci_address_parse_typed(const char *text, PciAddress *ret)
{
        char full[PCI_ADDRESS_STRING_MAX + 8];
        const char *colon = strchr(text, ':');
        bool has_domain = colon && strchr(colon + 1, ':');
        int n;

        n = snprintf(full, sizeof(full), "%s%s", has_domain ? "" : "0000:", text);
        if (n < 0 || (size_t) n >= sizeof(full))
                return -EINVAL;

        for (char *p = full; *p; p++)
                *p = (char) tolower((unsigned char) *p);

        return pci_address_parse(full, ret);
}

const char *pci_address_format(const PciAddress *address, char buffer[static PCI_ADDRESS_STRING_MAX])
{
        /* The masks hold the struct to its documented ranges, so the buffer always suffices. */
        (void) snprintf(buffer, PCI_ADDRESS_STRING_MAX, "%04x:%02x:%02x.%x", address->domain, address->bus,
                        address->device & 0x1fU, address->function & 0x7U);
        return buffer;
}

int pci_address_compare(const PciAddress *a, const PciAddress *b)
{
        if (a->domain != b->domain)
                return a->domain < b->domain ? -1 : 1;
        if (a->bus != b->bus)
                return (int) a->bus - (int) b->bus;
        if (a->device != b->device)
                return (int) a->device - (int) b->device;
        return (int) a->function - (int) b->function;
}
