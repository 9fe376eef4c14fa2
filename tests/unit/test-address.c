/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Addresses: one spelling and no other, since what passes is used as a file name. */

#include <errno.h>

#include "shared/address.h"
#include "unit.h"

static const struct {
        const char *text;
        PciAddress address;
} good[] = {
        {"0000:00:00.0", {0, 0, 0, 0}},
        {"0000:01:1f.7", {0, 1, 31, 7}},
        {"ffff:ff:1f.7", {0xffff, 0xff, 31, 7}},
        {"10000:e1:00.0", {0x10000, 0xe1, 0, 0}},
        {"ffffffff:00:00.0", {0xffffffff, 0, 0, 0}},
};

static const char *const bad[] = {
        "",
        " ",
        "0",
        "01:00.0",
        "0000:01:00",
        "0000:01:00.",
        "0000:01:00.8",
        "0000:01:20.0",
        "0000:01:00.00",
        "0000:01:00.0 ",
        " 0000:01:00.0",
        "0000:01:00.0\n",
        "0000:0A:00.0",
        "0000:0x:00.0",
        "-000:01:00.0",
        "+000:01:00.0",
        "0000:-1:00.0",
        "000:01:00.0",
        "00000:01:00.0",
        "00010000:01:00.0",
        "100000000:01:00.0",
        "0000-01:00.0",
        "0000:01.00.0",
        "0000:01:00:0",
        "0000:001:00.0",
        "0000:1:00.0",
        "0000:01:0.0",
        "../0000:01:00.0",
        "0000:01:00.0/../0000:02:00.0",
        "0000:01:00.0/config",
        "/sys/bus/pci/devices/0000:01:00.0",
        "0000:01:00.\xc3\xa9",
        "0x00:01:00.0",
        "0000000000000000000000000000000000000000:01:00.0",
};

static const struct {
        const char *typed;
        const char *meant; /* NULL: refused */
} typed[] = {
        {"01:00.0", "0000:01:00.0"},
        {"0A:1F.3", "0000:0a:1f.3"},
        {"0000:0A:00.0", "0000:0a:00.0"},
        {"10000:01:00.0", "10000:01:00.0"},
        {"1:0.0", NULL},
        {"", NULL},
        {"01:00.0/..", NULL},
        {"01:00.0:01:00.0:01:00.0:01:00.0", NULL},
        {"zz:00.0", NULL},
};

START_TEST(good_addresses)
{
        char text[PCI_ADDRESS_STRING_MAX];
        PciAddress address;

        ck_assert_int_eq(pci_address_parse(good[_i].text, &address), 0);
        ck_assert(pci_address_equal(&address, &good[_i].address));
        ck_assert_str_eq(pci_address_format(&address, text), good[_i].text);
}
END_TEST

START_TEST(bad_addresses)
{
        PciAddress address = {.bus = 42};

        ck_assert_int_eq(pci_address_parse(bad[_i], &address), -EINVAL);
        ck_assert_msg(address.bus == 42, "the output was touched by '%s'", bad[_i]);
}
END_TEST

START_TEST(typed_addresses)
{
        char text[PCI_ADDRESS_STRING_MAX];
        PciAddress address;

        if (!typed[_i].meant) {
                ck_assert_int_eq(pci_address_parse_typed(typed[_i].typed, &address), -EINVAL);
                return;
        }
        ck_assert_int_eq(pci_address_parse_typed(typed[_i].typed, &address), 0);
        ck_assert_str_eq(pci_address_format(&address, text), typed[_i].meant);
}
END_TEST

/* The key orders like the address: the registry sorts by it. */
START_TEST(keys_order_like_addresses)
{
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
                for (size_t j = 0; j < sizeof(good) / sizeof(good[0]); j++) {
                        uint64_t a = pci_address_key(&good[i].address),
                                 b = pci_address_key(&good[j].address);
                        int order = pci_address_compare(&good[i].address, &good[j].address);

                        ck_assert_int_eq(a < b, order < 0);
                        ck_assert_int_eq(a == b, order == 0);
                }
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("address");

        unit_add_table(suite, good_addresses, good);
        unit_add_table(suite, bad_addresses, bad);
        unit_add_table(suite, typed_addresses, typed);
        unit_add(suite, keys_order_like_addresses);
        return unit_run(suite);
}
