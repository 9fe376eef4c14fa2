/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The bytes are read once, through the file that shows the same to everybody, and libpci is asked where the
 * capabilities are. Its own way to report an error is to end the process; here it is a jump back.
 */

#include "pcireset/pci-config.h"

#include <errno.h>
#include <fcntl.h>
#include <pci/pci.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/address.h"

#define CONFIG_PATH "/sys/bus/pci/devices/%s/config"

static jmp_buf on_error;

static void __attribute__((noreturn)) jump_back(char *format, ...)
{
        longjmp(on_error, 1);
}

static void ignore_message(char *format, ...)
{
}

uint8_t pci_config_byte(const PciConfig *config, size_t offset)
{
        return offset < config->size ? config->bytes[offset] : 0;
}

uint16_t pci_config_word(const PciConfig *config, size_t offset)
{
        return (uint16_t) (pci_config_byte(config, offset) | pci_config_byte(config, offset + 1) << 8);
}

uint32_t pci_config_long(const PciConfig *config, size_t offset)
{
        return pci_config_word(config, offset) | (uint32_t) pci_config_word(config, offset + 2) << 16;
}

bool pci_config_is_gone(const PciConfig *config)
{
        /* Virtual functions have no ids of their own, but a command and a status register. */
        return config->size >= 8 && pci_config_long(config, PCI_VENDOR_ID) == UINT32_MAX &&
               pci_config_long(config, PCI_COMMAND) == UINT32_MAX;
}

static int read_bytes(const char *address, PciConfig *config)
{
        char path[sizeof(CONFIG_PATH) + PCI_ADDRESS_STRING_MAX];
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        (void) snprintf(path, sizeof(path), CONFIG_PATH, address);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? -ENODEV : 0;
        if (fstat(fd, &st) >= 0)
                config->full_size = (size_t) st.st_size;
        while (config->size < PCI_CONFIG_MAX) {
                ssize_t n = pread(fd, config->bytes + config->size, PCI_CONFIG_MAX - config->size,
                                  (off_t) config->size);

                if (n <= 0)
                        break;
                config->size += (size_t) n;
        }
        return 0;
}

static void take_capabilities(struct pci_dev *device, PciConfig *config)
{
        for (struct pci_cap *cap = device->first_cap; cap; cap = cap->next) {
                if (config->n_capabilities == PCI_CAPABILITIES_MAX)
                        return;
                config->capabilities[config->n_capabilities++] = (PciCapability){
                        .id = cap->id,
                        .extended = cap->type == PCI_CAP_EXTENDED,
                        .offset = (uint16_t) cap->addr,
                };
        }
}

static int compare_capabilities(const void *a, const void *b)
{
        return ((const PciCapability *) a)->offset - ((const PciCapability *) b)->offset;
}

/* Nothing is done after the jump but cleaning up: what was found until then counts. */
static void find_capabilities(const PciAddress *address, PciConfig *config)
{
        struct pci_access *volatile access = pci_alloc();

        access->method = PCI_ACCESS_SYS_BUS_PCI;
        access->error = jump_back;
        access->warning = access->debug = ignore_message;
        if (setjmp(on_error) == 0) {
                struct pci_dev *device;

                pci_init(access);
                device = pci_get_dev(access, (int) address->domain, address->bus, address->device,
                                     address->function);
                (void) pci_fill_info(device, PCI_FILL_CAPS | PCI_FILL_EXT_CAPS);
                take_capabilities(device, config);
                pci_free_dev(device);
        }
        pci_cleanup(access);
        qsort(config->capabilities, config->n_capabilities, sizeof(PciCapability), compare_capabilities);
}

int pci_config_read(const char *address, PciConfig *ret)
{
        PciAddress parsed;
        int r;

        *ret = (PciConfig){};
        if (pci_address_parse(address, &parsed) < 0)
                return -ENODEV;
        r = read_bytes(address, ret);
        if (r < 0)
                return r;
        /* Less than all of the standard part has no capabilities that could be followed. */
        if (ret->size >= 256 && !pci_config_is_gone(ret))
                find_capabilities(&parsed, ret);
        return 0;
}

const PciCapability *pci_config_find(const PciConfig *config, uint16_t id, bool extended)
{
        for (size_t i = 0; i < config->n_capabilities; i++)
                if (config->capabilities[i].id == id && config->capabilities[i].extended == extended)
                        return &config->capabilities[i];
        return NULL;
}

static void hide(PciConfig *config, size_t offset, size_t n)
{
        for (size_t i = offset; i < offset + n && i < PCI_CONFIG_MAX; i++)
                config->hidden[i] = true;
}

void pci_config_hide(PciConfig *config)
{
        for (size_t i = 0; i < config->n_capabilities; i++) {
                const PciCapability *capability = &config->capabilities[i];

                if (capability->extended && capability->id == PCI_EXT_CAP_ID_DSN)
                        hide(config, capability->offset + 4U, 8);
                if (!capability->extended && capability->id == PCI_CAP_ID_VPD)
                        hide(config, (size_t) capability->offset + PCI_VPD_DATA, 4);
        }
}

bool pci_config_serial(const PciConfig *config, char ret[static 24])
{
        const PciCapability *capability = pci_config_find(config, PCI_EXT_CAP_ID_DSN, true);
        char *p = ret;

        if (!capability)
                return false;
        for (size_t i = 8; i > 0; i--)
                p += sprintf(p, "%02x%s", pci_config_byte(config, capability->offset + 3U + i),
                             i > 1 ? "-" : "");
        return true;
}

json_object *pci_config_to_hex(const PciConfig *config)
{
        _cleanup_json_ json_object *lines = json_object_new_array();

        if (!lines)
                return NULL;
        for (size_t i = 0; i < config->size; i += 16) {
                char line[64];
                int n = snprintf(line, sizeof(line), "%03zx:", i);

                for (size_t j = i; j < i + 16 && j < config->size; j++)
                        n += config->hidden[j] ? snprintf(line + n, sizeof(line) - (size_t) n, " xx")
                                               : snprintf(line + n, sizeof(line) - (size_t) n, " %02x",
                                                          config->bytes[j]);
                if (json_append(lines, json_object_new_string(line)) < 0)
                        return NULL;
        }
        return steal_pointer(lines);
}
