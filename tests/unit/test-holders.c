/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The look at who uses devices, as a whole: whose they are, what is kept if there is too much to tell, what
 * makes it fail, and which holders refuse a reset. Each kind of holder has a program of its own.
 */

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "holders-bed.h"
#include "shared/cleanup.h"

/* ---- owners ---- */

static void add_seat(void)
{
        struct passwd *me = getpwuid(geteuid());
        _cleanup_free_ char *text = textf("IS_SEAT0=1\nACTIVE=2\nACTIVE_UID=%u\n", geteuid());

        ck_assert_ptr_nonnull(me);
        put("run/systemd/seats/seat0", text);
        add_class_device(A_PATH "/drm/card0", "drm", "1:3\n", "dri/card0");
}

static const struct {
        const char *database, *node;
        const char *owner; /* NULL: the user at the seat */
} owners[] = {
        {"E:PCIRESETD_OWNER=alice\n", "", "alice"},
        {"I:1\nE:X=1\nE:PCIRESETD_OWNER=@vfio-users\nG:seat\n", "G:uaccess\n", "@vfio-users"},
        {"E:PCIRESETD_OWNER=\n", "", ""},
        {"E:PCIRESETD_OWNER=a b\n", "", ""},
        {"E:PCIRESETD_OWNER=@\n", "", ""},
        {"E:XPCIRESETD_OWNER=alice\n", "", ""},
        {"", "I:1\nG:master-of-seat\nG:uaccess\n", NULL},
        {"", "I:1\nG:uaccess\nQ:uaccess\nV:1\n", NULL},
        {"", "I:1\nG:uaccess\nQ:seat\nV:1\n", ""},
        {"", "I:1\nG:uaccess2\n", ""},
        {"", "E:ID_SEAT=seat7\nG:uaccess\n", ""},
        {"", "E:ID_SEAT=../seats/seat0\nG:uaccess\n", ""},
        {"", "E:X=G:uaccess\n", ""},
};

START_TEST(who_owns_it)
{
        add_seat();
        put("run/udev/data/+pci:" A_NAME, owners[_i].database);
        put("run/udev/data/c1:3", owners[_i].node);
        look();
        ck_assert_str_eq(scan->uses[0].owner, "");
        request.owners = true;
        look();
        ck_assert_str_eq(scan->uses[0].owner,
                         owners[_i].owner ? owners[_i].owner : getpwuid(geteuid())->pw_name);
}
END_TEST

START_TEST(nobody_at_the_seat)
{
        add_seat();
        request.owners = true;
        put("run/udev/data/c1:3", "G:uaccess\n");
        put("run/systemd/seats/seat0", "IS_SEAT0=1\n");
        look();
        ck_assert_str_eq(scan->uses[0].owner, "");
}
END_TEST

/* ---- bounds and errors ---- */

START_TEST(the_hard_ones_are_kept)
{
        char text[16384] = "";

        add_class_device(A_PATH "/drm/card0", "drm", "1:3\n", "dri/card0");
        add_disk();
        for (unsigned i = 0; i < 40; i++) {
                _cleanup_free_ char *pid = textf("%u", 1000 + i), *fd = textf("proc/%u/fd/3", 1000 + i);

                add_process(pid, "one", "1000", "");
                link_to(fd, "/dev/null");
        }
        look();
        ck_assert_uint_eq(scan->n_holders, HOLDERS_PER_DEVICE_MAX);
        for (size_t i = 0; i < scan->n_holders; i++)
                ck_assert(scan->holders[i].truncated);

        put("proc/swaps", "Filename\n/dev/nvme0n1p2 partition 1 0 0\n");
        for (unsigned i = 0; i < 100; i++)
                (void) snprintf(text + strlen(text), sizeof(text) - strlen(text),
                                "40 22 259:1 / /mnt%u rw - ext4 /dev/x rw\n", i);
        put("proc/1/mountinfo", text);
        look();
        ck_assert_uint_eq(scan->n_holders, HOLDERS_PER_DEVICE_MAX);
        for (size_t i = 0; i < scan->n_holders; i++)
                ck_assert(holder_kind_is_hard(scan->holders[i].kind));

        /* Those that come last push out softer ones that came first. */
        put("proc/1/mountinfo", "");
        put("proc/swaps", "");
        add_vfio_group();
        put("sys/" A_PATH "/enable", "1\n");
        add_class_device("devices/virtual/vfio/12", "vfio", "1:5\n", NULL);
        look();
        ck_assert_uint_eq(scan->n_holders, HOLDERS_PER_DEVICE_MAX);
        ck_assert_int_eq(scan->holders[0].kind, HOLDER_VFIO);
}
END_TEST

/* A device that all of many members' nodes lead to is told of each, up to the bound over all. */
START_TEST(the_bound_over_all)
{
        enum { MANY = 200 };
        WorkerMember many[MANY] = {};

        request.members = many;
        request.n_members = MANY;
        for (unsigned i = 0; i < MANY; i++) {
                _cleanup_free_ char *name = textf("0000:02:%02x.%u", i / 8, i % 8),
                                    *path = textf("devices/pci0000:00/%s", name),
                                    *node = textf("%s/drm/card%u", path, i);

                add_device(name, path, "0x030000\n", 0);
                many[i] = members[0];
                add_class_device(node, "drm", "1:3\n", NULL);
        }
        for (unsigned i = 0; i < 40; i++) {
                _cleanup_free_ char *pid = textf("%u", 1000 + i), *fd = textf("proc/%u/fd/3", 1000 + i);

                add_process(pid, "one", "1000", "");
                link_to(fd, "/dev/null");
        }
        look();
        ck_assert_uint_eq(scan->n_holders, HOLDERS_MAX / MANY * MANY);
        for (size_t i = 0; i < MANY; i++) {
                ck_assert(scan->holders[i * (HOLDERS_MAX / MANY)].truncated);
                ck_assert(pci_address_equal(&scan->holders[i * (HOLDERS_MAX / MANY)].device,
                                            &many[i].address));
        }
}
END_TEST

static void add_ttys(unsigned from, unsigned to)
{
        for (unsigned i = from; i < to; i++) {
                _cleanup_free_ char *directory = textf(A_PATH "/tty/tty%u", i), *number = textf("4:%u\n", i),
                                    *node = textf("ttyS%u", i);

                add_class_device(directory, "tty", number, node);
        }
}

START_TEST(nodes_are_bounded)
{
        add_ttys(0, WORKER_NODES_MAX);
        look();
        ck_assert_uint_eq(scan->uses[0].n_nodes, WORKER_NODES_MAX);
        ck_assert(!scan->uses[0].more_nodes);
        add_ttys(WORKER_NODES_MAX, WORKER_NODES_MAX + 1);
        look();
        ck_assert_uint_eq(scan->uses[0].n_nodes, WORKER_NODES_MAX);
        ck_assert(scan->uses[0].more_nodes);
}
END_TEST

/* An answer about many devices has room for fewer nodes of each. */
START_TEST(nodes_are_shared)
{
        enum { MANY = WORKER_SCAN_NODES_MAX / WORKER_NODES_MAX };
        WorkerScan *few, *all;
        WorkerMember many[2 * MANY] = {};

        add_ttys(0, WORKER_NODES_MAX);
        for (size_t i = 0; i < 2 * MANY; i++)
                many[i] = members[0];
        request.members = many;
        request.n_members = MANY;
        ck_assert_int_eq(scan_members(&roots, &request, &few), 0);
        request.n_members = 2 * MANY;
        ck_assert_int_eq(scan_members(&roots, &request, &all), 0);
        for (size_t i = 0; i < MANY; i++) {
                ck_assert_uint_eq(few->uses[i].n_nodes, WORKER_NODES_MAX);
                ck_assert(!few->uses[i].more_nodes);
                ck_assert_uint_eq(all->uses[MANY + i].n_nodes, WORKER_NODES_MAX / 2);
                ck_assert(all->uses[MANY + i].more_nodes);
        }
        (void) worker_scan_free(few);
        (void) worker_scan_free(all);
}
END_TEST

START_TEST(devices_that_are_gone)
{
        members[0].inode++;
        expect_failure(ENODEV, A_NAME " is another device");
        members[0].inode--;
        members[0].address.function = 3;
        expect_failure(ENODEV, "0000:01:00.3 is gone");
}
END_TEST

/* What a scan says can be sent, whatever was in it. */
START_TEST(scans_can_be_sent)
{
        WorkerEvent event = {.type = WORKER_EVENT_SCAN}, read;
        _cleanup_free_ char *line = NULL;

        add_disk();
        add_class_device(A_PATH "/drm/card0", "drm", "1:3\n", "dri/card0");
        put("proc/1/mountinfo", "40 22 259:1 / /m\\012\\377n rw - ext4 /dev/x rw\n");
        add_process("812", "we\x1bird", "1000", "0::/a\xff.service\n");
        link_to("proc/812/fd/3", "/dev/null");
        look();
        event.scan = scan;
        ck_assert_int_eq(worker_event_format(&event, &line), 0);
        ck_assert_int_eq(worker_event_parse(line, strlen(line) - 1, &read), 0);
        ck_assert_uint_eq(read.scan->n_holders, 2);
        ck_assert_str_eq(read.scan->holders[1].command, "we?ird");
        worker_scan_free(read.scan);
}
END_TEST

/* ---- what is allowed ---- */

START_TEST(what_is_in_the_way)
{
        for (unsigned allow = 0; allow < 4; allow++) {
                const HoldersAllowed allowed = {.soft = allow & 1U, .vfio = allow & 2U};

                for (unsigned kind = 0; kind < HOLDER_KINDS; kind++) {
                        const Holder holder = {.kind = (HolderKind) kind};
                        bool is_soft = kind == HOLDER_PROCESS || kind == HOLDER_INTERFACE ||
                                       kind == HOLDER_HIDDEN;

                        ck_assert_int_eq(holder_is_allowed(&holder, &allowed),
                                         kind == HOLDER_VFIO ? allowed.vfio : is_soft && allowed.soft);
                }
        }

        add_interface("eth0", A_PATH, "0x1003\n");
        add_disk();
        put("proc/swaps", "Filename\n/dev/nvme0n1p2 partition 1 0 0\n");
        expect("swap /dev/nvme0n1p2;interface eth0;");
        ck_assert_uint_eq(holders_keep_refusing(scan, &(HoldersAllowed){}), 2);
        ck_assert_uint_eq(holders_keep_refusing(scan, &(HoldersAllowed){.soft = true}), 1);
        ck_assert_int_eq(scan->holders[0].kind, HOLDER_SWAP);
        ck_assert_uint_eq(holders_keep_refusing(scan, &(HoldersAllowed){.soft = true, .vfio = true}), 1);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("holders");
        TCase *owner = holders_case(suite, "owner"), *bounds = holders_case(suite, "bounds");

        tcase_add_loop_test(owner, who_owns_it, 0, (int) ELEMENTSOF(owners));
        tcase_add_test(owner, nobody_at_the_seat);
        tcase_add_test(bounds, the_hard_ones_are_kept);
        tcase_add_test(bounds, the_bound_over_all);
        tcase_add_test(bounds, nodes_are_bounded);
        tcase_add_test(bounds, nodes_are_shared);
        tcase_add_test(bounds, devices_that_are_gone);
        tcase_add_test(bounds, scans_can_be_sent);
        tcase_add_test(bounds, what_is_in_the_way);
        return unit_run(suite);
}
