/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The configuration space of one function, as far as a health check needs it.
 *
 * An image is filled as it is read: each register is fetched once, when it is asked for. Registers that
 * nobody asked for are left alone, since there are devices that go wrong when undefined ones are read
 * (lspci(8) warns of them with -xxx). All that decodes an image works on an image of plain bytes just as
 * well.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/pci_regs.h>

/* What the kernel hands out to a reader without CAP_SYS_ADMIN (pci_read_config). */
#define CONFIG_SPACE_UNPRIVILEGED 64U

typedef struct ConfigSpace {
        int fd; /* of `config`, not owned; negative: bytes only */
        size_t size; /* bytes that can be read: 64, 256 or 4096 */
        int error; /* of the first read that failed, else 0 */
        uint8_t bytes[PCI_CFG_SPACE_EXP_SIZE]; /* little endian, as on the bus */
        bool fetched[PCI_CFG_SPACE_EXP_SIZE / 4U]; /* per dword of `bytes` */
} ConfigSpace;

typedef enum ConfigAnswer {
        CONFIG_ANSWERS,
        CONFIG_ALL_ONES, /* nobody claims the read: the device is gone from the bus, or dead */
        CONFIG_NOT_READY, /* request retry status (formerly CRS): the device is still starting */
        CONFIG_EMPTY, /* zeros, as some bridges answer for an empty slot */
} ConfigAnswer;

typedef struct ConfigLink {
        unsigned speed; /* PCI_EXP_LNKSTA_CLS: 1 = 2.5 GT/s, 2 = 5 GT/s … */
        unsigned width; /* lanes */
        bool reports_active;
        bool active; /* the link is up; valid if reports_active */
} ConfigLink;

/* Starts an image of the `config` file open as `fd` and reads the standard header. Blocks, perhaps for
 * minutes, as long as the kernel resets the device or (from 6.12 on) another one below the same bridge;
 * wakes a sleeping device (pci_read_config). 0, -ENODATA if there are not even 64 bytes, or what pread()
 * says. */
int config_space_begin(ConfigSpace *config, int fd);

/* An image of `size` bytes that are already there: 64 to 4096, else -EINVAL. */
int config_space_from_bytes(ConfigSpace *config, const uint8_t *bytes, size_t size);

/* The registers. Offsets must be aligned to the width. Beyond the end, and where a read failed, they are all
 * ones, as on the bus. */
uint32_t config_space_get32(ConfigSpace *config, size_t offset);
uint16_t config_space_get16(ConfigSpace *config, size_t offset);
uint8_t config_space_get8(ConfigSpace *config, size_t offset);

/* Whether anybody answers at all. The ids of a virtual function read all ones by specification, so it is
 * judged by its command and status registers, as pci_dev_wait() does. */
ConfigAnswer config_space_answer(ConfigSpace *config, bool is_virtual);

/* The offset of a capability, 0 if the function does not have it or the image does not show it. */
size_t config_space_find_capability(ConfigSpace *config, uint8_t id);
size_t config_space_find_extended_capability(ConfigSpace *config, uint16_t id);

/* The state of the link of a PCI Express function. False if it has none: conventional devices, integrated
 * endpoints, virtual functions. */
bool config_space_link(ConfigSpace *config, ConfigLink *ret);

/* The uncorrectable errors that the device has noted and that it counts as fatal (PCI_ERR_UNCOR_STATUS).
 * False if the function has no advanced error reporting. */
bool config_space_fatal_errors(ConfigSpace *config, uint32_t *ret);

/* The Device Serial Number, as lspci writes it: 00-11-22-33-44-55-66-77. False if the function has none, or
 * one that says nothing: all zeros or ones. */
#define CONFIG_SERIAL_MAX 24U
bool config_space_serial(ConfigSpace *config, char ret[static CONFIG_SERIAL_MAX]);

/* The registers in which the function's addresses are set up, in order of offset: base addresses, and for
 * bridges their bus numbers and windows. Returns how many (at most CONFIG_BARS_MAX). */
#define CONFIG_BARS_MAX 8U
size_t config_space_bars(ConfigSpace *config, uint32_t ret[static CONFIG_BARS_MAX]);

/* Type 0, 1 (bridge) or 2 (CardBus bridge), without the multifunction bit. */
static inline uint8_t config_space_header_type(ConfigSpace *config)
{
        return config_space_get8(config, PCI_HEADER_TYPE) & 0x7f;
}
