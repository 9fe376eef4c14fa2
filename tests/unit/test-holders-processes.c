/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The look at who uses devices: processes that have their nodes open, and those of VFIO.
 */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "holders-bed.h"
#include "shared/cleanup.h"

/* ---- nodes and processes ---- */

START_TEST(an_idle_device)
{
        put("sys/" A_PATH "/uevent", "x");
        expect("");
        ck_assert_uint_eq(scan->uses[0].n_nodes, 0);
        ck_assert(pci_address_equal(&scan->uses[0].device, &members[0].address));
        ck_assert(!scan->uses[0].has_vfio_uid);
        ck_assert(!scan->uses[0].more_nodes);
        ck_assert_str_eq(scan->uses[0].owner, "");
}
END_TEST

START_TEST(a_process_with_a_node_open)
{
        add_class_device(A_PATH "/drm/card0", "drm", "1:3\n", "dri/card0");
        add_process("812", "Xorg", "1000", "0::/user.slice/user-1000.slice/session-2.scope/x\n");
        /* By any name, and it may be open several times. */
        link_to("proc/812/fd/3", "/dev/null");
        link_to("proc/812/fd/4", "/dev/null");
        link_to("proc/812/fd/5", "/dev/zero");
        link_to("proc/812/fd/6", "/nonexistent/socket");
        add_process("813", "other", "1000", "");
        link_to("proc/813/fd/0", "/dev/zero");

        expect("process /dev/dri/card0;");
        ck_assert_uint_eq(scan->holders[0].pid, 812);
        ck_assert_uint_eq(scan->holders[0].uid, 1000);
        ck_assert_str_eq(scan->holders[0].command, "Xorg");
        ck_assert_str_eq(scan->holders[0].unit, "session-2.scope");
        ck_assert(pci_address_equal(&scan->holders[0].device, &members[0].address));
        ck_assert_uint_eq(scan->uses[0].n_nodes, 1);
        ck_assert_str_eq(scan->uses[0].nodes[0], "/dev/dri/card0");
}
END_TEST

static const struct {
        const char *groups, *unit;
} units[] = {
        {"0::/system.slice/foo.service\n", "foo.service"},
        {"0::/user.slice/user-1.slice/user@1.service/app.slice/app-a\\x2db.scope\n", "app-a\\x2db.scope"},
        {"12:cpu:/a.service\n1:name=systemd:/system.slice/old.service/sub\n0::/\n", "old.service"},
        {"0::/docker/0123\n", ""},
        {"0::/\n", ""},
        {"", ""},
};

START_TEST(units_of_processes)
{
        add_class_device(A_PATH "/drm/card0", "drm", "1:3\n", "dri/card0");
        add_process("812", "x", "1000", units[_i].groups);
        link_to("proc/812/fd/3", "/dev/null");
        expect("process /dev/dri/card0;");
        ck_assert_str_eq(scan->holders[0].unit, units[_i].unit);
}
END_TEST

START_TEST(nodes_by_their_names)
{
        /* Without udev's links: the kernel's name, if it is that device, else none. */
        add_class_device(A_PATH "/drm/card0", "drm", "1:3\n", NULL);
        add_class_device(A_PATH "/misc/strange", "misc", "1:5\n", NULL);
        link_to("dev/card0", "/dev/null");
        link_to("dev/strange", "/dev/null");
        add_process("812", "x", "1000", "");
        link_to("proc/812/fd/3", "/dev/null");
        link_to("proc/812/fd/4", "/dev/zero");
        expect("process /dev/card0;process strange (char 1:5);");
        ck_assert_uint_eq(scan->uses[0].n_nodes, 1);
        ck_assert_str_eq(scan->uses[0].nodes[0], "/dev/card0");
}
END_TEST

/* Deep down, but not in other functions, not behind links, and not what only has the number. */
START_TEST(where_nodes_are)
{
        add_class_device(A_PATH "/usb1/1-1/1-1:1.0/input/input7/event3", "input", "1:3\n", "input/event3");
        add_class_device(A_PATH "/0000:02:00.0/drm/card1", "drm", "1:5\n", "dri/card1");
        add_class_device(A_PATH "/pci10000:00/drm/card2", "drm", "1:7\n", "dri/card2");
        add_class_device("devices/virtual/misc/other", "misc", "1:8\n", "other");
        link_to("sys/" A_PATH "/companion", "../../virtual/misc/other");
        add_process("812", "x", "1000", "");
        link_to("proc/812/fd/3", "/dev/null");
        link_to("proc/812/fd/4", "/dev/zero");
        link_to("proc/812/fd/5", "/dev/full");
        link_to("proc/812/fd/6", "/dev/random");
        expect("process /dev/input/event3;");
}
END_TEST

START_TEST(several_members)
{
        add_device(B_NAME, B_PATH, "0x040300\n", 1);
        request.n_members = 2;
        add_class_device(A_PATH "/drm/card0", "drm", "1:3\n", "dri/card0");
        add_class_device(B_PATH "/sound/card0/controlC0", "sound", "1:5\n", "snd/controlC0");
        add_process("900", "b", "1", "");
        add_process("812", "a", "1", "");
        link_to("proc/900/fd/3", "/dev/null");
        link_to("proc/900/fd/4", "/dev/zero");
        link_to("proc/812/fd/3", "/dev/zero");
        expect("process /dev/dri/card0;process /dev/snd/controlC0;process /dev/snd/controlC0;");
        ck_assert_uint_eq(scan->holders[1].pid, 812);
        ck_assert_uint_eq(scan->holders[2].pid, 900);
        ck_assert_uint_eq(scan->holders[0].device.function, 0);
        ck_assert_uint_eq(scan->holders[1].device.function, 1);
}
END_TEST

START_TEST(bridges_have_no_users)
{
        add_device(A_NAME, A_PATH, "0x060400\n", 0);
        add_class_device(A_PATH "/misc/x", "misc", "1:3\n", "x");
        add_process("812", "x", "1", "");
        link_to("proc/812/fd/3", "/dev/null");
        expect("");
}
END_TEST

/* Processes end while they are looked at: with all or with a part of what is known of them. */
START_TEST(processes_that_end)
{
        add_class_device(A_PATH "/drm/card0", "drm", "1:3\n", "dri/card0");
        make_directory("proc/700");
        add_process("812", "x", "1000", "");
        link_to("proc/812/fd/3", "/dev/null");
        take_away("proc/812/comm");
        take_away("proc/812/status");
        take_away("proc/812/cgroup");
        expect("process /dev/dri/card0;");
        ck_assert_uint_eq(scan->holders[0].pid, 812);
        ck_assert_str_eq(scan->holders[0].command, "");
}
END_TEST

START_TEST(a_proc_that_hides_others)
{
        /* Without nodes nobody has to be looked at. */
        take_away("proc/1/fd");
        expect("");
        add_class_device(A_PATH "/drm/card0", "drm", "1:3\n", "dri/card0");
        expect_failure(EACCES, "hidden");
}
END_TEST

static const struct {
        int stat, link;
        bool fails;
} strange_files[] = {
        /* A user's FUSE lets nobody else look at its files, wherever they are. */
        {EACCES, 0, false},
        {EACCES, ENAMETOOLONG, false},
        {EPERM, ENOENT, false},
        {ESTALE, 0, false},
        {EOVERFLOW, EACCES, false},
        /* This is a process that we may not look into. */
        {EACCES, EACCES, true},
        {EPERM, EPERM, true},
        {EPERM, EACCES, true},
};

START_TEST(files_in_trouble)
{
        add_class_device(A_PATH "/drm/card0", "drm", "1:3\n", "dri/card0");
        add_process("812", "x", "1000", "");
        link_to("proc/812/fd/66", "/nonexistent");
        link_to("proc/812/fd/67", "/dev/null");
        stat_error = strange_files[_i].stat;
        link_error = strange_files[_i].link;
        if (strange_files[_i].fails)
                expect_failure(strange_files[_i].link, "process 812");
        else
                expect("process /dev/dri/card0;");
}
END_TEST

START_TEST(threads_of_their_own)
{
        add_class_device(A_PATH "/drm/card0", "drm", "1:3\n", "dri/card0");
        add_process("812", "x", "1000", "");
        make_directory("proc/812/task/812/fd");
        make_directory("proc/812/task/813");
        link_to("proc/812/task/814/fd/3", "/dev/null");
        make_directory("proc/812/task/815/fd");
        expect("process /dev/dri/card0;");
        ck_assert_uint_eq(scan->holders[0].pid, 812);
        ck_assert_str_eq(scan->holders[0].command, "x");
}
END_TEST

START_TEST(a_crowd_is_shared_out)
{
        add_class_device(A_PATH "/drm/card0", "drm", "1:3\n", "dri/card0");
        for (unsigned i = 0; i < 1500; i++) {
                _cleanup_free_ char *pid = textf("%u", 1000 + i), *fd = textf("proc/%u/fd/3", 1000 + i);

                add_process(pid, "one", "1000", "");
                link_to(fd, i % 100 == 7 ? "/dev/null" : "/dev/zero");
        }
        look();
        ck_assert_uint_eq(scan->n_holders, 15);
        for (size_t i = 0; i < 15; i++)
                ck_assert_uint_eq(scan->holders[i].pid, 1007 + 100 * i);
}
END_TEST

/* ---- VFIO ---- */

START_TEST(vfio_groups)
{
        _cleanup_free_ char *node = textf("%s/dev/vfio/12", root);
        bool is_root = geteuid() == 0;

        add_vfio_group();
        if (is_root)
                ck_assert_int_eq(chown(node, 1001, 1001), 0);
        add_process("812", "qemu", "1001", "0::/machine.slice/m.scope\n");
        expect("");
        ck_assert(scan->uses[0].has_vfio_uid);
        ck_assert_uint_eq(scan->uses[0].vfio_uid, is_root ? 1001 : geteuid());
        ck_assert_str_eq(scan->uses[0].nodes[0], "/dev/vfio/12");
        link_to("proc/812/fd/3", "/dev/null");
        expect("vfio /dev/vfio/12;");
        ck_assert_uint_eq(scan->holders[0].pid, 812);
        /* The group goes with its last driver. */
        take_away("sys/class/vfio/12");
        expect("");
        ck_assert(!scan->uses[0].has_vfio_uid);
}
END_TEST

START_TEST(vfio_without_an_iommu)
{
        set_driver("vfio-pci");
        put("sys/" A_PATH "/enable", "0\n");
        link_to("sys/" A_PATH "/iommu_group", "../../kernel/iommu_groups/3");
        add_class_device("devices/virtual/vfio/noiommu-3", "vfio", "1:3\n", NULL);
        link_to("sys/class/vfio/noiommu-3", "../../devices/virtual/vfio/noiommu-3");
        add_process("812", "dpdk", "0", "");
        link_to("proc/812/fd/3", "/dev/null");
        expect("vfio /dev/vfio/noiommu-3;");
}
END_TEST

/* A fixture made by hand: VFIO's nodes of single devices are off in the kernels
 * that the other tests run on. */
START_TEST(vfio_devices_by_their_own_node)
{
        set_driver("vfio-pci");
        put("sys/" A_PATH "/enable", "0\n");
        add_class_device(A_PATH "/vfio-dev/vfio7", "vfio-dev", "1:3\n", NULL);
        put("dev/vfio/devices/vfio7", "");
        add_process("812", "qemu", "1001", "");
        link_to("proc/812/fd/3", "/dev/null");
        expect("vfio /dev/vfio/devices/vfio7;");
        ck_assert(scan->uses[0].has_vfio_uid);
}
END_TEST

/* A fixture: no kernel that the other tests run on shows it. Recorded on Linux 6.18; the path in the last
 * line, which older kernels do not have, was adapted to the tree of these tests, where the device stands
 * directly below the root bus. */
static const char recorded_fdinfo[] = "pos:\t0\n"
                                      "flags:\t02000002\n"
                                      "mnt_id:\t15\n"
                                      "ino:\t1056\n"
                                      "vfio-device-syspath: /sys/devices/pci0000:00/0000:01:00.%d\n";

START_TEST(vfio_devices_by_fdinfo)
{
        _cleanup_free_ char *mine = textf(recorded_fdinfo, 0), *other = textf(recorded_fdinfo, 5);

        add_vfio_group();
        add_process("812", "vmm", "1001", "");
        link_to("proc/812/fd/9", "anon_inode:[vfio-device]");
        put("proc/812/fd/anon_inode:[vfio-device]", "");
        put("proc/812/fdinfo/9", mine);
        expect("vfio anon_inode:[vfio-device];");
        ck_assert_uint_eq(scan->holders[0].pid, 812);
        put("proc/812/fdinfo/9", other);
        expect("");
        /* Before 6.18 there is no such line, */
        put("proc/812/fdinfo/9", "pos:\t0\nflags:\t02000002\n");
        expect("");
        /* and of such a user only the count is seen. */
        put("sys/" A_PATH "/enable", "1\n");
        expect("vfio unknown;");
        ck_assert_uint_eq(scan->holders[0].pid, 0);
}
END_TEST

START_TEST(enabled_by_a_host_driver)
{
        set_driver("nouveau");
        put("sys/" A_PATH "/enable", "1\n");
        expect("");
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("holders-processes");
        TCase *nodes = holders_case(suite, "nodes"), *vfio = holders_case(suite, "vfio");

        tcase_add_test(nodes, an_idle_device);
        tcase_add_test(nodes, a_process_with_a_node_open);
        tcase_add_loop_test(nodes, units_of_processes, 0, (int) ELEMENTSOF(units));
        tcase_add_test(nodes, nodes_by_their_names);
        tcase_add_test(nodes, where_nodes_are);
        tcase_add_test(nodes, several_members);
        tcase_add_test(nodes, bridges_have_no_users);
        tcase_add_test(nodes, processes_that_end);
        tcase_add_test(nodes, a_proc_that_hides_others);
        tcase_add_loop_test(nodes, files_in_trouble, 0, (int) ELEMENTSOF(strange_files));
        tcase_add_test(nodes, threads_of_their_own);
        tcase_add_test(nodes, a_crowd_is_shared_out);
        tcase_add_test(vfio, vfio_groups);
        tcase_add_test(vfio, vfio_without_an_iommu);
        tcase_add_test(vfio, vfio_devices_by_their_own_node);
        tcase_add_test(vfio, vfio_devices_by_fdinfo);
        tcase_add_test(vfio, enabled_by_a_host_driver);
        return unit_run(suite);
}
