/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Whose end is announced, and whose is not: who waits for the latter has to look again.
 */

#include <string.h>

#include "holders-bed.h"
#include "shared/cleanup.h"

#define NETWORK "0x020000\n"

/* One holder, and whether it is silent. */
static void expect_one(const char *wanted, bool silent)
{
        expect(wanted);
        ck_assert_uint_eq(scan->n_holders, 1);
        ck_assert(scan->holders[0].silent == silent);
}

static void add_opened_card(void)
{
        add_class_device(A_PATH "/drm/card0", "drm", "1:3\n", "dri/card0");
        add_process("812", "Xorg", "1000", "0::/\n");
        link_to("proc/812/fd/3", "/dev/null");
}

START_TEST(our_own_node_tells)
{
        add_opened_card();
        take_away("dev/dri/card0");
        link_to("dev/dri/card0", "/dev/null");
        expect_one("process /dev/dri/card0;", false);
}
END_TEST

/* It has the same number, and is another file. */
START_TEST(the_node_of_a_container_does_not)
{
        add_opened_card();
        expect_one("process /dev/dri/card0;", true);
        take_away("dev/dri/card0");
        expect_one("process /dev/dri/card0;", true);
}
END_TEST

START_TEST(mounts_tell_and_those_elsewhere_do_not)
{
        add_disk();
        claimed = "/dev/nvme0n1";
        expect_one("block /dev/nvme0n1;", true);
        claimed = "/dev/nvme0n1 /dev/nvme0n1p1";
        expect_one("block /dev/nvme0n1p1;", true);
        put("proc/1/mountinfo", "36 22 259:1 / /srv rw - ext4 /dev/nvme0n1p1 rw\n");
        expect("mount /dev/nvme0n1p1 on /srv;");
        ck_assert(!scan->holders[0].silent);
}
END_TEST

START_TEST(interfaces_tell_and_hidden_ones_do_not)
{
        add_device(A_NAME, A_PATH, NETWORK, 0);
        set_driver("e1000e");
        expect_one("hidden e1000e;", true);
        add_interface("eth0", A_PATH, "0x1003\n");
        expect_one("interface eth0;", false);
}
END_TEST

START_TEST(guests_do_not)
{
        set_driver("pciback");
        expect_one("guest unknown;", true);
        guest = 1;
        expect_one("guest hvm (domid 3);", true);
}
END_TEST

START_TEST(whom_only_the_count_shows_does_not)
{
        set_driver("vfio-pci");
        put("sys/" A_PATH "/enable", "1\n");
        expect_one("vfio unknown;", true);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("holders-silent");
        TCase *silent = holders_case(suite, "silent");

        tcase_add_test(silent, our_own_node_tells);
        tcase_add_test(silent, the_node_of_a_container_does_not);
        tcase_add_test(silent, mounts_tell_and_those_elsewhere_do_not);
        tcase_add_test(silent, interfaces_tell_and_hidden_ones_do_not);
        tcase_add_test(silent, guests_do_not);
        tcase_add_test(silent, whom_only_the_count_shows_does_not);
        return unit_run(suite);
}
