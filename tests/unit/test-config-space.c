/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Images are made up byte by byte: sound ones, and those of devices that lie about where their lists lead.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "unit.h"
#include "worker/config-space.h"

#define PM_OFFSET    0x40U
#define EXP_OFFSET   0x60U
#define AER_OFFSET   0x180U
#define FIRST_EXT    0x100U
#define LNKCAP_X4    (PCI_EXP_LNKCAP_DLLLARC | 4U << 4 | 3U)
#define LNKSTA_X4_UP (PCI_EXP_LNKSTA_DLLLA | 4U << 4 | 3U)

static uint8_t bytes[PCI_CFG_SPACE_EXP_SIZE];

static void put16(size_t offset, unsigned value)
{
        bytes[offset] = (uint8_t) value;
        bytes[offset + 1] = (uint8_t) (value >> 8);
}

static void put32(size_t offset, uint32_t value)
{
        put16(offset, value & 0xffff);
        put16(offset + 2, value >> 16);
}

/* A PCI Express endpoint with power management and error reporting. */
static void make_endpoint(void)
{
        memset(bytes, 0, sizeof(bytes));
        put32(PCI_VENDOR_ID, 0x10d38086);
        put16(PCI_COMMAND, 0x0406);
        put16(PCI_STATUS, PCI_STATUS_CAP_LIST);
        put32(PCI_CLASS_REVISION, 0x02000001);
        put32(PCI_BASE_ADDRESS_0, 0xfebc0000);
        put32(PCI_BASE_ADDRESS_5, 0xfebd0004);
        bytes[PCI_CAPABILITY_LIST] = PM_OFFSET;
        bytes[PM_OFFSET] = PCI_CAP_ID_PM;
        bytes[PM_OFFSET + 1] = EXP_OFFSET;
        bytes[EXP_OFFSET] = PCI_CAP_ID_EXP;
        put16(EXP_OFFSET + PCI_EXP_FLAGS, PCI_EXP_TYPE_ENDPOINT << 4 | 2);
        put32(EXP_OFFSET + PCI_EXP_LNKCAP, LNKCAP_X4);
        put16(EXP_OFFSET + PCI_EXP_LNKSTA, LNKSTA_X4_UP);
        put32(FIRST_EXT, PCI_EXT_CAP_ID_DSN | 1U << 16 | AER_OFFSET << 20);
        put32(AER_OFFSET, PCI_EXT_CAP_ID_ERR | 2U << 16);
        put32(AER_OFFSET + PCI_ERR_UNCOR_SEVER, PCI_ERR_UNC_DLP | PCI_ERR_UNC_FCP);
}

static ConfigSpace image(size_t size)
{
        ConfigSpace config;

        ck_assert_int_eq(config_space_from_bytes(&config, bytes, size), 0);
        return config;
}

START_TEST(registers)
{
        ConfigSpace config;

        make_endpoint();
        config = image(PCI_CFG_SPACE_EXP_SIZE);
        ck_assert_uint_eq(config_space_get32(&config, 0), 0x10d38086);
        ck_assert_uint_eq(config_space_get16(&config, PCI_DEVICE_ID), 0x10d3);
        ck_assert_uint_eq(config_space_get8(&config, PCI_REVISION_ID), 0x01);
        ck_assert_uint_eq(config_space_get8(&config, PCI_CLASS_REVISION + 3), 0x02);
        ck_assert_uint_eq(config_space_get32(&config, PCI_CFG_SPACE_EXP_SIZE - 4), 0);
        ck_assert_int_eq(config.error, 0);

        config = image(64);
        ck_assert_uint_eq(config_space_get32(&config, 64), UINT32_MAX);
        ck_assert_uint_eq(config_space_get8(&config, 4095), 0xff);
        ck_assert_int_eq(config.error, 0);

        ck_assert_int_eq(config_space_from_bytes(&config, bytes, 63), -EINVAL);
        ck_assert_int_eq(config_space_from_bytes(&config, bytes, sizeof(bytes) + 1), -EINVAL);
}
END_TEST

static const struct {
        uint32_t ids, command_status;
        ConfigAnswer physical, virtual;
} answers[] = {
        {0x10d38086, 0x00100406, CONFIG_ANSWERS, CONFIG_ANSWERS},
        {0xffffffff, 0xffffffff, CONFIG_ALL_ONES, CONFIG_ALL_ONES},
        {0xffffffff, 0x00100000, CONFIG_ALL_ONES, CONFIG_ANSWERS}, /* a virtual function, alive */
        {0x10d38086, 0xffffffff, CONFIG_ANSWERS, CONFIG_ALL_ONES},
        {0x0000ffff, 0x00000000, CONFIG_ALL_ONES, CONFIG_ANSWERS},
        {0x00000000, 0x00000000, CONFIG_EMPTY, CONFIG_EMPTY},
        {0xffff0000, 0x00000000, CONFIG_EMPTY, CONFIG_ANSWERS},
        {0xffff0001, 0xffffffff, CONFIG_NOT_READY, CONFIG_ALL_ONES},
        {0x00000001, 0x00000000, CONFIG_NOT_READY, CONFIG_ANSWERS},
};

START_TEST(answer)
{
        ConfigSpace config;

        memset(bytes, 0, sizeof(bytes));
        put32(PCI_VENDOR_ID, answers[_i].ids);
        put32(PCI_COMMAND, answers[_i].command_status);
        config = image(64);
        ck_assert_int_eq(config_space_answer(&config, false), answers[_i].physical);
        ck_assert_int_eq(config_space_answer(&config, true), answers[_i].virtual);
}
END_TEST

START_TEST(capabilities)
{
        ConfigSpace config;

        make_endpoint();
        config = image(PCI_CFG_SPACE_EXP_SIZE);
        ck_assert_uint_eq(config_space_find_capability(&config, PCI_CAP_ID_PM), PM_OFFSET);
        ck_assert_uint_eq(config_space_find_capability(&config, PCI_CAP_ID_EXP), EXP_OFFSET);
        ck_assert_uint_eq(config_space_find_capability(&config, PCI_CAP_ID_MSIX), 0);
        ck_assert_uint_eq(config_space_find_extended_capability(&config, PCI_EXT_CAP_ID_DSN), FIRST_EXT);
        ck_assert_uint_eq(config_space_find_extended_capability(&config, PCI_EXT_CAP_ID_ERR), AER_OFFSET);
        ck_assert_uint_eq(config_space_find_extended_capability(&config, PCI_EXT_CAP_ID_SRIOV), 0);

        /* The lower two bits of a pointer are reserved and not part of it. */
        bytes[PCI_CAPABILITY_LIST] |= 3;
        config = image(PCI_CFG_SPACE_EXP_SIZE);
        ck_assert_uint_eq(config_space_find_capability(&config, PCI_CAP_ID_PM), PM_OFFSET);

        put16(PCI_STATUS, 0);
        config = image(PCI_CFG_SPACE_EXP_SIZE);
        ck_assert_uint_eq(config_space_find_capability(&config, PCI_CAP_ID_PM), 0);
}
END_TEST

START_TEST(capabilities_of_a_short_image)
{
        ConfigSpace config;

        make_endpoint();
        config = image(64);
        ck_assert_uint_eq(config_space_find_capability(&config, PCI_CAP_ID_PM), 0);
        ck_assert_uint_eq(config_space_find_extended_capability(&config, PCI_EXT_CAP_ID_ERR), 0);
        config = image(256);
        ck_assert_uint_eq(config_space_find_capability(&config, PCI_CAP_ID_EXP), EXP_OFFSET);
        ck_assert_uint_eq(config_space_find_extended_capability(&config, PCI_EXT_CAP_ID_ERR), 0);
}
END_TEST

START_TEST(cardbus_keeps_its_list_elsewhere)
{
        ConfigSpace config;

        make_endpoint();
        bytes[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_CARDBUS;
        bytes[PCI_CAPABILITY_LIST] = 0;
        bytes[PCI_CB_CAPABILITY_LIST] = PM_OFFSET;
        config = image(256);
        ck_assert_uint_eq(config_space_find_capability(&config, PCI_CAP_ID_PM), PM_OFFSET);
}
END_TEST

/* The walks must end, and not touch a byte outside. */
START_TEST(lists_that_go_wrong)
{
        static const uint8_t pointers[] = {0x00, 0x04, 0x3c, PM_OFFSET, EXP_OFFSET, 0xfc, 0xfe, 0xff};
        ConfigSpace config;

        for (size_t i = 0; i < ELEMENTSOF(pointers); i++) {
                make_endpoint();
                bytes[EXP_OFFSET + 1] = pointers[i];
                config = image(256);
                ck_assert_uint_eq(config_space_find_capability(&config, PCI_CAP_ID_MSIX), 0);
        }

        /* to itself, in a circle, backwards, misaligned, to the end */
        for (uint32_t next = 0; next <= 0xfff; next++) {
                make_endpoint();
                put32(AER_OFFSET, PCI_EXT_CAP_ID_ERR | 2U << 16 | next << 20);
                config = image(PCI_CFG_SPACE_EXP_SIZE);
                ck_assert_uint_eq(config_space_find_extended_capability(&config, PCI_EXT_CAP_ID_SRIOV), 0);
        }

        memset(bytes, 0xff, sizeof(bytes));
        config = image(PCI_CFG_SPACE_EXP_SIZE);
        ck_assert_uint_eq(config_space_find_capability(&config, PCI_CAP_ID_EXP), 0);
        ck_assert_uint_eq(config_space_find_extended_capability(&config, PCI_EXT_CAP_ID_ERR), 0);
}
END_TEST

START_TEST(link_state)
{
        ConfigSpace config;
        ConfigLink l;

        make_endpoint();
        config = image(PCI_CFG_SPACE_EXP_SIZE);
        ck_assert(config_space_link(&config, &l));
        ck_assert_uint_eq(l.width, 4);
        ck_assert_uint_eq(l.speed, 3);
        ck_assert(l.reports_active);
        ck_assert(l.active);

        put16(EXP_OFFSET + PCI_EXP_LNKSTA, 1U << 4 | 1U);
        config = image(PCI_CFG_SPACE_EXP_SIZE);
        ck_assert(config_space_link(&config, &l));
        ck_assert_uint_eq(l.width, 1);
        ck_assert(!l.active);
}
END_TEST

START_TEST(no_link)
{
        static const unsigned without[] = {PCI_EXP_TYPE_RC_END, PCI_EXP_TYPE_RC_EC, 15};
        ConfigSpace config;
        ConfigLink l;

        for (size_t i = 0; i < ELEMENTSOF(without); i++) {
                make_endpoint();
                put16(EXP_OFFSET + PCI_EXP_FLAGS, without[i] << 4 | 2);
                config = image(256);
                ck_assert(!config_space_link(&config, &l));
        }

        /* a virtual function: the registers are there, and zero */
        make_endpoint();
        put32(EXP_OFFSET + PCI_EXP_LNKCAP, 0);
        put16(EXP_OFFSET + PCI_EXP_LNKSTA, 0);
        config = image(256);
        ck_assert(!config_space_link(&config, &l));

        /* a conventional device, an unprivileged reader, a capability that hangs over the end */
        make_endpoint();
        bytes[EXP_OFFSET] = PCI_CAP_ID_PCIX;
        config = image(256);
        ck_assert(!config_space_link(&config, &l));
        make_endpoint();
        config = image(64);
        ck_assert(!config_space_link(&config, &l));
        bytes[PCI_CAPABILITY_LIST] = 0xf0;
        bytes[0xf0] = PCI_CAP_ID_EXP;
        config = image(256);
        ck_assert(!config_space_link(&config, &l));
}
END_TEST

START_TEST(fatal_errors)
{
        ConfigSpace config;
        uint32_t fatal;

        make_endpoint();
        config = image(PCI_CFG_SPACE_EXP_SIZE);
        ck_assert(config_space_fatal_errors(&config, &fatal));
        ck_assert_uint_eq(fatal, 0);

        /* one of them fatal, one not, one masked */
        put32(AER_OFFSET + PCI_ERR_UNCOR_STATUS, PCI_ERR_UNC_DLP | PCI_ERR_UNC_COMP_TIME | PCI_ERR_UNC_FCP);
        put32(AER_OFFSET + PCI_ERR_UNCOR_MASK, PCI_ERR_UNC_FCP);
        config = image(PCI_CFG_SPACE_EXP_SIZE);
        ck_assert(config_space_fatal_errors(&config, &fatal));
        ck_assert_uint_eq(fatal, PCI_ERR_UNC_DLP);

        put32(AER_OFFSET + PCI_ERR_UNCOR_STATUS, UINT32_MAX);
        config = image(PCI_CFG_SPACE_EXP_SIZE);
        ck_assert(!config_space_fatal_errors(&config, &fatal));

        make_endpoint();
        config = image(256);
        ck_assert(!config_space_fatal_errors(&config, &fatal));

        put32(FIRST_EXT, PCI_EXT_CAP_ID_DSN | 1U << 16 | 0xffcU << 20);
        put32(0xffc, PCI_EXT_CAP_ID_ERR | 2U << 16);
        config = image(PCI_CFG_SPACE_EXP_SIZE);
        ck_assert(!config_space_fatal_errors(&config, &fatal));
}
END_TEST

START_TEST(bars)
{
        uint32_t values[CONFIG_BARS_MAX];
        ConfigSpace config;

        make_endpoint();
        bytes[PCI_HEADER_TYPE] = 0x80; /* multifunction */
        config = image(64);
        ck_assert_uint_eq(config_space_bars(&config, values), 6);
        ck_assert_uint_eq(values[0], 0xfebc0000);
        ck_assert_uint_eq(values[5], 0xfebd0004);

        bytes[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_BRIDGE;
        put32(PCI_PRIMARY_BUS, 0x00050302);
        put32(PCI_IO_BASE, 0x2000d1c1); /* secondary status above the I/O window */
        put32(PCI_PREF_LIMIT_UPPER32, 0x00000380);
        config = image(64);
        ck_assert_uint_eq(config_space_bars(&config, values), 8);
        ck_assert_uint_eq(values[2], 0x00050302);
        ck_assert_uint_eq(values[3], 0xd1c1);
        ck_assert_uint_eq(values[7], 0x00000380);

        bytes[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_CARDBUS;
        config = image(64);
        ck_assert_uint_eq(config_space_bars(&config, values), 0);
}
END_TEST

/* A file of `size` bytes of the image, as sysfs has it. */
static int image_file(size_t size)
{
        FILE *file = tmpfile();
        int fd;

        ck_assert_ptr_nonnull(file);
        ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
        ck_assert_int_eq(fflush(file), 0);
        fd = dup(fileno(file));
        ck_assert_int_eq(fclose(file), 0);
        return fd;
}

START_TEST(files)
{
        static const struct {
                size_t file, image;
        } sizes[] = {{64, 64}, {66, 64}, {256, 256}, {4096, 4096}};
        ConfigSpace config;

        make_endpoint();
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                _cleanup_close_ int fd = image_file(sizes[i].file);

                ck_assert_int_eq(config_space_begin(&config, fd), 0);
                ck_assert_uint_eq(config.size, sizes[i].image);
                ck_assert_uint_eq(config_space_get32(&config, 0), 0x10d38086);
                ck_assert_uint_eq(config_space_find_capability(&config, PCI_CAP_ID_EXP),
                                  sizes[i].image > 64 ? EXP_OFFSET : 0);
                ck_assert_int_eq(config.error, 0);
        }
}
END_TEST

START_TEST(files_that_end_early)
{
        _cleanup_close_ int fd = image_file(63), full = image_file(256);
        ConfigSpace config;

        ck_assert_int_eq(config_space_begin(&config, fd), -ENODATA);

        /* A device that goes away between two reads. */
        ck_assert_int_eq(config_space_begin(&config, full), 0);
        ck_assert_int_eq(ftruncate(full, 0), 0);
        ck_assert_uint_eq(config_space_get32(&config, 0), config_space_get32(&config, 0));
        ck_assert_uint_eq(config_space_get32(&config, 0x80), UINT32_MAX);
        ck_assert_int_eq(config.error, -ENODATA);
}
END_TEST

/* Registers in between may hang a device: what was not asked for is not read. */
START_TEST(reads_no_more_than_needed)
{
        _cleanup_close_ int fd = -EBADF;
        unsigned fetched = 0;
        ConfigLink l;
        ConfigSpace config;
        uint32_t fatal;

        make_endpoint();
        fd = image_file(PCI_CFG_SPACE_EXP_SIZE);
        ck_assert_int_eq(config_space_begin(&config, fd), 0);
        ck_assert(config_space_link(&config, &l));
        ck_assert(config_space_fatal_errors(&config, &fatal));
        for (size_t i = 0; i < ELEMENTSOF(config.fetched); i++)
                fetched += config.fetched[i];
        /* the header, PM, three registers of the Express capability, DSN, four of AER */
        ck_assert_uint_eq(fetched, 16 + 1 + 3 + 1 + 4);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("config-space");

        unit_add(suite, registers);
        unit_add_table(suite, answer, answers);
        unit_add(suite, capabilities);
        unit_add(suite, capabilities_of_a_short_image);
        unit_add(suite, cardbus_keeps_its_list_elsewhere);
        unit_add(suite, lists_that_go_wrong);
        unit_add(suite, link_state);
        unit_add(suite, no_link);
        unit_add(suite, fatal_errors);
        unit_add(suite, bars);
        unit_add(suite, files);
        unit_add(suite, files_that_end_early);
        unit_add(suite, reads_no_more_than_needed);
        return unit_run(suite);
}
