/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The capability lists are pointers that the device supplies, so a walk trusts none of them: offsets are
 * rounded and bounded as the kernel does (__pci_find_next_cap_ttl, pci_find_next_ext_capability), and the
 * number of steps is what fits into the space, so that a list that bites its tail ends.
 */

#include "worker/config-space.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_SIZE 64U

#define CAPABILITY_STEPS_MAX          ((PCI_CFG_SPACE_SIZE - PCI_STD_HEADER_SIZEOF) / 4)
#define EXTENDED_CAPABILITY_STEPS_MAX ((PCI_CFG_SPACE_EXP_SIZE - PCI_CFG_SPACE_SIZE) / 8)

/* What a root port with software visibility of retry status returns for the ids (pci_bus_rrs_vendor_id). */
#define VENDOR_ID_NOT_READY 0x0001U

/* Reads one aligned range into the image. Sysfs gives short reads only at the end of what it gives. */
static int fetch(ConfigSpace *config, size_t offset, size_t length)
{
        ssize_t n;

        n = pread(config->fd, config->bytes + offset, length, (off_t) offset);
        if (n < 0)
                return -errno;
        if ((size_t) n < length)
                return -ENODATA;

        for (size_t i = offset; i < offset + length; i += 4)
                config->fetched[i / 4] = true;
        return 0;
}

int config_space_begin(ConfigSpace *config, int fd)
{
        struct stat st;
        int r;

        *config = (ConfigSpace){.fd = fd, .size = HEADER_SIZE};

        if (fstat(fd, &st) < 0)
                return -errno;

        r = fetch(config, 0, HEADER_SIZE);
        if (r < 0)
                return r;

        /* The size of the file is that of the device's space, whatever this reader may see of it. */
        if (st.st_size > (off_t) CONFIG_SPACE_UNPRIVILEGED) {
                r = fetch(config, CONFIG_SPACE_UNPRIVILEGED, 4);
                if (r == 0)
                        config->size = st.st_size >= PCI_CFG_SPACE_EXP_SIZE ? PCI_CFG_SPACE_EXP_SIZE
                                                                            : PCI_CFG_SPACE_SIZE;
                else if (r != -ENODATA)
                        return r;
        }
        return 0;
}

int config_space_from_bytes(ConfigSpace *config, const uint8_t *bytes, size_t size)
{
        if (size < HEADER_SIZE || size > sizeof(config->bytes))
                return -EINVAL;

        *config = (ConfigSpace){.fd = -EBADF, .size = size};
        memcpy(config->bytes, bytes, size);
        memset(config->fetched, true, size / 4);
        return 0;
}

uint32_t config_space_get32(ConfigSpace *config, size_t offset)
{
        const uint8_t *p = config->bytes + offset;
        int r;

        if (offset + 4 > config->size)
                return UINT32_MAX;

        if (!config->fetched[offset / 4]) {
                r = config->fd < 0 ? -ENODATA : fetch(config, offset, 4);
                if (r < 0) {
                        if (config->error == 0)
                                config->error = r;
                        return UINT32_MAX;
                }
        }
        return (uint32_t) p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16 | (uint32_t) p[3] << 24;
}

uint16_t config_space_get16(ConfigSpace *config, size_t offset)
{
        return (uint16_t) (config_space_get32(config, offset & ~(size_t) 3) >> (offset & 2) * 8);
}

uint8_t config_space_get8(ConfigSpace *config, size_t offset)
{
        return (uint8_t) (config_space_get32(config, offset & ~(size_t) 3) >> (offset & 3) * 8);
}

ConfigAnswer config_space_answer(ConfigSpace *config, bool is_virtual)
{
        uint32_t ids = config_space_get32(config, PCI_VENDOR_ID);
        uint32_t command_status = config_space_get32(config, PCI_COMMAND);

        if (is_virtual) {
                if (command_status == UINT32_MAX)
                        return CONFIG_ALL_ONES;
                return ids == 0 && command_status == 0 ? CONFIG_EMPTY : CONFIG_ANSWERS;
        }

        /* The same readings for which the kernel's scan takes a slot to be empty
         * (pci_bus_generic_read_dev_vendor_id). */
        if (ids == UINT32_MAX || ids == 0x0000ffff)
                return CONFIG_ALL_ONES;
        if (ids == 0 || ids == 0xffff0000)
                return CONFIG_EMPTY;
        if ((ids & 0xffff) == VENDOR_ID_NOT_READY)
                return CONFIG_NOT_READY;
        return CONFIG_ANSWERS;
}

size_t config_space_find_capability(ConfigSpace *config, uint8_t id)
{
        size_t offset;

        if (!(config_space_get16(config, PCI_STATUS) & PCI_STATUS_CAP_LIST))
                return 0;

        offset = config_space_get8(config, config_space_header_type(config) == PCI_HEADER_TYPE_CARDBUS
                                                   ? PCI_CB_CAPABILITY_LIST
                                                   : PCI_CAPABILITY_LIST);
        for (size_t step = 0; step < CAPABILITY_STEPS_MAX; step++) {
                uint16_t header;

                offset &= ~(size_t) 3;
                if (offset < PCI_STD_HEADER_SIZEOF || offset + 4 > config->size)
                        return 0;

                header = config_space_get16(config, offset);
                if ((header & 0xff) == 0xff)
                        return 0;
                if ((header & 0xff) == id)
                        return offset;
                offset = header >> 8;
        }
        return 0;
}

size_t config_space_find_extended_capability(ConfigSpace *config, uint16_t id)
{
        size_t offset = PCI_CFG_SPACE_SIZE;

        for (size_t step = 0; step < EXTENDED_CAPABILITY_STEPS_MAX; step++) {
                uint32_t header;

                if (offset < PCI_CFG_SPACE_SIZE || offset + 4 > config->size)
                        return 0;

                header = config_space_get32(config, offset);
                if (header == 0 || header == UINT32_MAX)
                        return 0;
                if (PCI_EXT_CAP_ID(header) == id)
                        return offset;
                offset = PCI_EXT_CAP_NEXT(header);
        }
        return 0;
}

/* Whether a link belongs to the function at all (pcie_cap_has_lnkctl). */
static bool port_has_link(uint16_t flags)
{
        switch ((flags & PCI_EXP_FLAGS_TYPE) >> 4) {
        case PCI_EXP_TYPE_ENDPOINT:
        case PCI_EXP_TYPE_LEG_END:
        case PCI_EXP_TYPE_ROOT_PORT:
        case PCI_EXP_TYPE_UPSTREAM:
        case PCI_EXP_TYPE_DOWNSTREAM:
        case PCI_EXP_TYPE_PCI_BRIDGE:
        case PCI_EXP_TYPE_PCIE_BRIDGE:
                return true;
        default:
                return false;
        }
}

bool config_space_link(ConfigSpace *config, ConfigLink *ret)
{
        size_t capability = config_space_find_capability(config, PCI_CAP_ID_EXP);
        uint32_t capabilities;
        uint16_t status;

        if (capability == 0 || capability + PCI_EXP_LNKSTA + 2 > config->size ||
            !port_has_link(config_space_get16(config, capability + PCI_EXP_FLAGS)))
                return false;

        capabilities = config_space_get32(config, capability + PCI_EXP_LNKCAP);
        status = config_space_get16(config, capability + PCI_EXP_LNKSTA);
        if (config->error < 0)
                return false;

        /* A virtual function has the registers of its physical one, and they read zero. */
        if (capabilities == 0)
                return false;

        *ret = (ConfigLink){
                .speed = status & PCI_EXP_LNKSTA_CLS,
                .width = (status & PCI_EXP_LNKSTA_NLW) >> PCI_EXP_LNKSTA_NLW_SHIFT,
                .reports_active = capabilities & PCI_EXP_LNKCAP_DLLLARC,
                .active = status & PCI_EXP_LNKSTA_DLLLA,
        };
        return true;
}

bool config_space_fatal_errors(ConfigSpace *config, uint32_t *ret)
{
        size_t capability = config_space_find_extended_capability(config, PCI_EXT_CAP_ID_ERR);
        uint32_t status, mask, severity;

        if (capability == 0 || capability + PCI_ERR_UNCOR_SEVER + 4 > config->size)
                return false;

        status = config_space_get32(config, capability + PCI_ERR_UNCOR_STATUS);
        mask = config_space_get32(config, capability + PCI_ERR_UNCOR_MASK);
        severity = config_space_get32(config, capability + PCI_ERR_UNCOR_SEVER);
        if (config->error < 0 || status == UINT32_MAX)
                return false;

        /* Masked errors are noted all the same; nobody is told of them. */
        *ret = status & severity & ~mask;
        return true;
}

bool config_space_serial(ConfigSpace *config, char ret[static CONFIG_SERIAL_MAX])
{
        size_t capability = config_space_find_extended_capability(config, PCI_EXT_CAP_ID_DSN);
        uint32_t low, high;

        if (capability == 0 || capability + 12 > config->size)
                return false;
        low = config_space_get32(config, capability + 4);
        high = config_space_get32(config, capability + 8);
        if (config->error < 0 || (low == 0 && high == 0) || (low == UINT32_MAX && high == UINT32_MAX))
                return false;
        (void) snprintf(ret, CONFIG_SERIAL_MAX, "%02x-%02x-%02x-%02x-%02x-%02x-%02x-%02x", high >> 24,
                        high >> 16 & 0xff, high >> 8 & 0xff, high & 0xff, low >> 24, low >> 16 & 0xff,
                        low >> 8 & 0xff, low & 0xff);
        return true;
}

size_t config_space_bars(ConfigSpace *config, uint32_t ret[static CONFIG_BARS_MAX])
{
        /* The upper half of the I/O window's register is status and changes by itself. */
        static const struct {
                uint8_t offset;
                uint32_t mask;
        } bridge_registers[] = {
                {PCI_BASE_ADDRESS_0, UINT32_MAX},    {PCI_BASE_ADDRESS_1, UINT32_MAX},
                {PCI_PRIMARY_BUS, UINT32_MAX},       {PCI_IO_BASE, 0xffff},
                {PCI_MEMORY_BASE, UINT32_MAX},       {PCI_PREF_MEMORY_BASE, UINT32_MAX},
                {PCI_PREF_BASE_UPPER32, UINT32_MAX}, {PCI_PREF_LIMIT_UPPER32, UINT32_MAX},
        };
        size_t n = 0;

        switch (config_space_header_type(config)) {
        case PCI_HEADER_TYPE_NORMAL:
                for (size_t offset = PCI_BASE_ADDRESS_0; offset <= PCI_BASE_ADDRESS_5; offset += 4)
                        ret[n++] = config_space_get32(config, offset);
                break;
        case PCI_HEADER_TYPE_BRIDGE:
                for (; n < sizeof(bridge_registers) / sizeof(bridge_registers[0]); n++)
                        ret[n] = config_space_get32(config, bridge_registers[n].offset) &
                                 bridge_registers[n].mask;
                break;
        default:
                break;
        }
        return n;
}
