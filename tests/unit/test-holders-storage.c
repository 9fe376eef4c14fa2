/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The look at who uses devices: what is mounted, swapped to, stacked or claimed on their disks.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "holders-bed.h"

START_TEST(a_disk_that_nobody_uses)
{
        HoldersClaims claims = {};
        size_t n;

        add_disk();
        expect("");
        ck_assert_uint_eq(scan->uses[0].n_nodes, 3);
        /* One claim is enough for the whole disk. */
        ck_assert_uint_eq(n_claims, 1);
        look_with(&claims);
        n = claims.n_fds;
        ck_assert_uint_eq(n, 1);
        ck_assert_int_ge(fcntl(claims.fds[0], F_GETFD), 0);
        holders_release(&claims);
        ck_assert_uint_eq(claims.n_fds, 0);
        holders_release(&claims);
}
END_TEST

static const struct {
        const char *line, *wanted;
} mounts[] = {
        {"40 22 259:1 / /mnt rw - ext4 /dev/nvme0n1p1 rw\n", "mount /dev/nvme0n1p1 on /mnt;"},
        {"40 22 259:0 / /mnt rw shared:1 master:2 - xfs /dev/x rw\n", "mount /dev/nvme0n1 on /mnt;"},
        {"40 22 259:1 / / rw shared:1 - ext4 /dev/root rw\n", "root /dev/nvme0n1p1;"},
        {"40 22 259:1 / / rw - ext4 /dev/root rw\n41 22 259:1 /a /b rw - ext4 /dev/root rw\n",
         "root /dev/nvme0n1p1;mount /dev/nvme0n1p1 on /b;"},
        {"40 22 259:2 / /a\\040b rw - ext4 /dev/root rw\n", "mount /dev/nvme0n1p2 on /a b;"},
        /* btrfs has a number of its own, so it is the name that tells. */
        {"40 22 0:45 /@ /srv rw - btrfs /dev/nvme0n1p2 rw\n", "mount /dev/nvme0n1p2 on /srv;"},
        {"40 22 0:45 /@ /srv rw - btrfs /dev/disk/by-label/srv rw\n", "mount /dev/nvme0n1p2 on /srv;"},
        {"40 22 0:45 / /srv rw - overlay overlay rw\n", ""},
        /* Any user can mount these, and call them what he likes. */
        {"40 22 0:45 / /home/x rw - fuse /dev/nvme0n1p2 rw\n", ""},
        {"40 22 0:45 / /home/x rw - fuse.sshfs /dev/nvme0n1 rw\n", ""},
        {"40 22 259:1 / /mnt rw - fuseblk /dev/nvme0n1p1 rw\n", "mount /dev/nvme0n1p1 on /mnt;"},
        {"40 22 259:7 / /mnt rw - ext4 /dev/nvme0n1p1 rw\n", ""},
};

START_TEST(mounted_file_systems)
{
        add_disk();
        link_to("dev/disk/by-label/srv", "../../nvme0n1p2");
        put("proc/1/mountinfo", mounts[_i].line);
        expect(mounts[_i].wanted);
        put("proc/1/mountinfo", "22 1 0:20 / / rw - tmpfs tmpfs rw\n");
        put("proc/self/mountinfo", mounts[_i].line);
        expect(mounts[_i].wanted);
}
END_TEST

START_TEST(mounts_that_cannot_be_read)
{
        put("proc/1/mountinfo", "nonsense\n");
        expect("");
        add_disk();
        expect_failure(EBADMSG, "make no sense");
        take_away("proc/1/mountinfo");
        expect_failure(ENOENT, "mounts of process 1");
}
END_TEST

START_TEST(swap)
{
        add_disk();
        put("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n"
                          "/dev/nvme0n1p2                          partition\t1000\t0\t-2\n"
                          "/swapfile                               file\t1000\t0\t-3\n");
        expect("swap /dev/nvme0n1p2;");
}
END_TEST

static void add_volume(void)
{
        add_disk();
        add_block("devices/virtual/block/dm-0", "253:0\n", "dm-0");
        put("sys/devices/virtual/block/dm-0/dm/name", "vg-home\n");
        link_to("sys/" DISK "/nvme0n1p1/holders/dm-0", "../../../../../../../virtual/block/dm-0");
        link_to("dev/mapper/vg-home", "../dm-0");
}

START_TEST(what_is_on_volumes)
{
        add_volume();
        expect("block /dev/nvme0n1p1 (under /dev/dm-0);");
        put("proc/1/mountinfo", "40 22 253:0 / /home rw - ext4 /dev/mapper/vg-home rw\n");
        expect("mount /dev/mapper/vg-home (on /dev/nvme0n1p1) on /home;");
        put("proc/1/mountinfo", "40 22 0:41 / /home rw - btrfs /dev/mapper/vg-home rw\n");
        expect("mount /dev/mapper/vg-home (on /dev/nvme0n1p1) on /home;");
        put("proc/1/mountinfo", "");
        put("proc/swaps", "Filename\n/dev/dm-0 partition 1 0 0\n");
        expect("swap /dev/mapper/vg-home (on /dev/nvme0n1p1);");
        /* What is stacked is not the device's own node. */
        ck_assert_uint_eq(scan->uses[0].n_nodes, 3);
}
END_TEST

/* LVM on a partition of an md array over two partitions. */
START_TEST(stacks_on_stacks)
{
        add_disk();
        add_block("devices/virtual/block/md0", "9:0\n", "md0");
        add_partition("devices/virtual/block/md0/md0p1", "259:9\n", "md0p1");
        add_block("devices/virtual/block/dm-3", "253:3\n", "dm-3");
        link_to("sys/" DISK "/nvme0n1p1/holders/md0", "../md0");
        link_to("sys/" DISK "/nvme0n1p2/holders/md0", "../md0");
        link_to("sys/devices/virtual/block/md0/md0p1/holders/dm-3", "../dm-3");
        put("proc/1/mountinfo", "40 22 253:3 / / rw - ext4 /dev/mapper/x rw\n");
        look();
        ck_assert_uint_ge(scan->n_holders, 1);
        ck_assert_int_eq(scan->holders[0].kind, HOLDER_ROOT);
        ck_assert_ptr_nonnull(strstr(scan->holders[0].what, "/dev/dm-3 (on /dev/md0p1"));
        ck_assert_uint_eq(n_claims, 0);
}
END_TEST

START_TEST(loops)
{
        add_disk();
        add_block("devices/virtual/block/loop0", "7:0\n", "loop0");
        put("sys/devices/virtual/block/loop0/loop/backing_file", "/srv/image\n");
        expect("");
        put("sys/devices/virtual/block/loop0/loop/backing_file", "/dev/nvme0n1p1\n");
        expect("block /dev/nvme0n1p1 (under /dev/loop0);");
        put("proc/1/mountinfo", "40 22 7:0 / /mnt rw - ext4 /dev/loop0 rw\n");
        expect("mount /dev/loop0 (on /dev/nvme0n1p1) on /mnt;");
}
END_TEST

static const struct {
        const char *claimed;
        int error;
        const char *wanted; /* NULL: the scan fails */
} claims_table[] = {
        {"/dev/nvme0n1 /dev/nvme0n1p2", 0, "block /dev/nvme0n1p2;"},
        {"/dev/nvme0n1 /dev/nvme0n1p1 /dev/nvme0n1p2", 0, "block /dev/nvme0n1p1;block /dev/nvme0n1p2;"},
        {"/dev/nvme0n1", 0, "block /dev/nvme0n1;"},
        {NULL, ENXIO, ""},
        {NULL, ENOMEDIUM, ""},
        {NULL, EACCES, NULL},
        {NULL, EPERM, NULL},
        {NULL, EIO, NULL},
        {NULL, ENOENT, NULL},
};

START_TEST(disks_that_somebody_has_claimed)
{
        HoldersClaims claims = {};

        add_disk();
        claimed = claims_table[_i].claimed;
        claim_error = claims_table[_i].error;
        if (claims_table[_i].wanted)
                expect(claims_table[_i].wanted);
        else
                expect_failure(claim_error, "/dev/nvme0n1");
        look_with(&claims);
        ck_assert_uint_eq(claims.n_fds, 0);
}
END_TEST

/* That the disk is claimed is no news then. */
START_TEST(claims_that_are_explained)
{
        add_disk();
        claimed = "/dev/nvme0n1 /dev/nvme0n1p1";
        put("proc/1/mountinfo", "40 22 259:1 / /mnt rw - ext4 /dev/nvme0n1p1 rw\n");
        expect("mount /dev/nvme0n1p1 on /mnt;");
}
END_TEST

/* It was there when the list was read, and whoever has the disk now is not told by it. */
START_TEST(stacks_that_have_just_gone)
{
        add_disk();
        link_to("sys/" DISK "/nvme0n1p1/holders/dm-9", "../../../../../../../virtual/block/dm-9");
        expect("");
        ck_assert_uint_ge(n_claims, 1);
        claimed = "/dev/nvme0n1 /dev/nvme0n1p1";
        expect("block /dev/nvme0n1p1;");
        /* Already without its number. */
        put("sys/devices/virtual/block/dm-9/size", "0\n");
        link_to("sys/class/block/dm-9", "../../devices/virtual/block/dm-9");
        expect("block /dev/nvme0n1p1;");
}
END_TEST

START_TEST(nvme_over_several_controllers)
{
        static const char head[] = "devices/virtual/nvme-subsystem/nvme-subsys3/nvme3n1";

        make_directory("sys/" A_PATH "/nvme/nvme1/nvme3c1n1");
        expect("");
        add_block(head, "259:4\n", "nvme3n1");
        add_partition("devices/virtual/nvme-subsystem/nvme-subsys3/nvme3n1/nvme3n1p1", "259:5\n",
                      "nvme3n1p1");
        put("proc/1/mountinfo", "40 22 259:5 / /mnt rw - ext4 x rw\n");
        expect("mount /dev/nvme3n1p1 on /mnt;");
        put("proc/1/mountinfo", "");
        claimed = "/dev/nvme3n1";
        expect("block /dev/nvme3n1;");
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("holders-storage");
        TCase *storage = holders_case(suite, "storage");

        tcase_add_test(storage, a_disk_that_nobody_uses);
        tcase_add_loop_test(storage, mounted_file_systems, 0, (int) ELEMENTSOF(mounts));
        tcase_add_test(storage, mounts_that_cannot_be_read);
        tcase_add_test(storage, swap);
        tcase_add_test(storage, what_is_on_volumes);
        tcase_add_test(storage, stacks_on_stacks);
        tcase_add_test(storage, loops);
        tcase_add_loop_test(storage, disks_that_somebody_has_claimed, 0, (int) ELEMENTSOF(claims_table));
        tcase_add_test(storage, claims_that_are_explained);
        tcase_add_test(storage, stacks_that_have_just_gone);
        tcase_add_test(storage, nvme_over_several_controllers);
        return unit_run(suite);
}
