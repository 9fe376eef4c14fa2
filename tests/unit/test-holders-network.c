/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The look at who uses devices: network interfaces that are up, drivers that may have interfaces elsewhere,
 * and guests of Xen.
 */

#include <errno.h>
#include <string.h>

#include "holders-bed.h"
#include "shared/cleanup.h"

/* ---- interfaces ---- */

static void add_upper(const char *lower, const char *upper, const char *flags)
{
        _cleanup_free_ char *up = textf("sys/class/net/%s/upper_%s", lower, upper),
                            *down = textf("sys/class/net/%s/lower_%s", upper, lower);

        add_interface(upper, "devices/virtual", flags);
        link_to(up, "../x");
        link_to(down, "../x");
}

static const struct {
        const char *flags;
        Address address[2];
        size_t n;
        const char *wanted;
} interfaces[] = {
        {"0x1003\n", {{"eth0", "192.0.2.1", 24}}, 1, "network eth0 192.0.2.1/24;"},
        {"0x1003\n",
         {{"eth0", "fe80::1", 64}, {"eth0", "2001:db8::1", 64}},
         2,
         "network eth0 2001:db8::1/64;"},
        {"0x1003\n", {{"eth0", "fe80::1", 64}}, 1, "interface eth0;"},
        {"0x1003\n", {{"eth1", "192.0.2.1", 24}}, 1, "interface eth0;"},
        /* With a label, and those of others whose names are like it. */
        {"0x1003\n", {{"eth0:1", "192.0.2.1", 24}}, 1, "network eth0 192.0.2.1/24;"},
        {"0x1003\n", {{"eth0.7:1", "192.0.2.1", 24}, {"eth:0", "192.0.2.2", 24}}, 2, "interface eth0;"},
        {"0x1003\n", {}, 0, "interface eth0;"},
        {"0x1002\n", {{"eth0", "192.0.2.1", 24}}, 1, ""},
};

START_TEST(network_interfaces)
{
        add_interface("eth0", A_PATH "/virtio0", interfaces[_i].flags);
        set_addresses(interfaces[_i].address, interfaces[_i].n);
        expect(interfaces[_i].wanted);
}
END_TEST

START_TEST(interfaces_below_others)
{
        static const Address address[] = {{"br0", "10.0.0.1", 8}};

        add_interface("eth0", A_PATH, "0x1003\n");
        add_upper("eth0", "bond0", "0x1003\n");
        add_upper("bond0", "bond0.7", "0x1003\n");
        add_upper("bond0.7", "br0", "0x1003\n");
        expect("interface eth0;");
        set_addresses(address, 1);
        expect("network eth0 (in br0 10.0.0.1/8);");
        add_interface("bond0.7", "devices/virtual", "0x1002\n");
        expect("interface eth0;");
}
END_TEST

START_TEST(ports_of_open_vswitch)
{
        static const Address address[] = {{"br-ex", "10.0.0.1", 8}};

        add_interface("eth0", A_PATH, "0x1003\n");
        add_upper("eth0", "ovs-system", "0x1002\n");
        add_interface("br-ex", "devices/virtual", "0x1003\n");
        link_to("sys/class/net/br-ex/upper_ovs-system", "../x");
        link_to("sys/class/net/ovs-system/lower_br-ex", "../x");
        expect("interface eth0;");
        set_addresses(address, 1);
        expect("network eth0 (in br-ex 10.0.0.1/8);");
}
END_TEST

/* ---- what no file tells ---- */

static const struct {
        const char *class, *driver, *wanted;
} hidden[] = {
        {"0x020000\n", "e1000e", "hidden e1000e;"},
        {"0x028000\n", "iwlwifi", "hidden iwlwifi;"},
        {"0x020000\n", NULL, ""},
        {"0x020000\n", "vfio-pci", ""},
        {"0x020000\n", "mlx5_vfio_pci", ""},
        {"0x020000\n", "pci-stub", ""},
        {"0x020000\n", "uio_pci_generic", ""},
        {"0x020000\n", "pciback", "guest unknown;"},
        {"0x030000\n", "nouveau", ""},
        {"0x030000\n", "pciback", "guest unknown;"},
};

START_TEST(what_only_the_driver_tells)
{
        add_device(A_NAME, A_PATH, hidden[_i].class, 0);
        put("sys/" A_PATH "/enable", "0\n");
        if (hidden[_i].driver)
                set_driver(hidden[_i].driver);
        expect(hidden[_i].wanted);
        add_interface("eth0", A_PATH, "0x1002\n");
        expect(hidden[_i].driver && strcmp(hidden[_i].driver, "pciback") == 0 ? "guest unknown;" : "");
}
END_TEST

static const struct {
        int guest;
        const char *wanted;
} guests[] = {
        {0, ""},
        {1, "guest hvm (domid 3);"},
        {-ENOENT, "guest unknown;"},
        {-ETIMEDOUT, "guest unknown;"},
};

START_TEST(xen_guests)
{
        set_driver("pciback");
        guest = guests[_i].guest;
        expect(guests[_i].wanted);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("holders-network");
        TCase *network = holders_case(suite, "network");

        tcase_add_loop_test(network, network_interfaces, 0, (int) ELEMENTSOF(interfaces));
        tcase_add_test(network, interfaces_below_others);
        tcase_add_test(network, ports_of_open_vswitch);
        tcase_add_loop_test(network, what_only_the_driver_tells, 0, (int) ELEMENTSOF(hidden));
        tcase_add_loop_test(network, xen_guests, 0, (int) ELEMENTSOF(guests));
        return unit_run(suite);
}
