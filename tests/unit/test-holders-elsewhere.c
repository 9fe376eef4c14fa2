/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A disk that is claimed, by a mount that only another mount namespace sees: who is behind it. Whatever is
 * not found there, the claim itself is.
 */

#include <string.h>

#include "holders-bed.h"
#include "shared/cleanup.h"

#define MOUNT(number, where) "36 22 " number " / " where " rw - ext4 /dev/root rw\n"

/* A process in a mount namespace of its own, or in that of another one, which is a link to its file. */
static void add_namespace(const char *pid, const char *mounts)
{
        _cleanup_free_ char *file = textf("proc/%s/ns/mnt", pid), *info = textf("proc/%s/mountinfo", pid);

        add_process(pid, "app", "1001", "0::/system.slice/box.service\n");
        put(file, "");
        put(info, mounts);
}

static void begin(void)
{
        add_disk();
        claimed = "/dev/nvme0n1 /dev/nvme0n1p1";
        put("proc/1/ns/mnt", "");
        link_to("proc/self/ns/mnt", "../../1/ns/mnt");
}

static void check_process(uint32_t pid)
{
        const Holder *holder = &scan->holders[0];

        ck_assert_uint_eq(scan->n_holders, 1);
        ck_assert_uint_eq(holder->pid, pid);
        ck_assert_uint_eq(holder->uid, 1001);
        ck_assert_str_eq(holder->command, "app");
        ck_assert_str_eq(holder->unit, "box.service");
        ck_assert(holder->silent);
}

START_TEST(a_mount_in_another_namespace)
{
        begin();
        add_namespace("812", MOUNT("259:1", "/srv/my\\040data") MOUNT("8:1", "/other"));
        add_namespace("813", MOUNT("8:1", "/srv"));
        expect("mount /dev/nvme0n1p1 on /srv/my data;");
        check_process(812);
}
END_TEST

/* In there it may be the root: it is not the machine's. */
START_TEST(the_root_of_a_container)
{
        begin();
        add_namespace("812", MOUNT("259:1", "/"));
        expect("mount /dev/nvme0n1p1 on /;");
        check_process(812);
}
END_TEST

START_TEST(the_first_process_stands_for_all)
{
        begin();
        add_namespace("90", MOUNT("259:1", "/srv"));
        add_process("4711", "app", "1001", "");
        link_to("proc/4711/ns/mnt", "../../90/ns/mnt");
        add_process("9", "app", "1001", "0::/system.slice/box.service\n");
        link_to("proc/9/ns/mnt", "../../90/ns/mnt");
        put("proc/9/mountinfo", MOUNT("259:1", "/srv"));
        expect("mount /dev/nvme0n1p1 on /srv;");
        check_process(9);
}
END_TEST

static const char *const useless[] = {
        "", /* it has gone meanwhile, or sees something else */
        MOUNT("8:1", "/srv"),
        "nonsense\n",
        /* In there the name may be another device's. */
        "36 22 0:40 / /srv rw - btrfs /dev/nvme0n1p1 rw\n",
};

START_TEST(the_claim_stays)
{
        begin();
        add_namespace("812", useless[_i]);
        expect("block /dev/nvme0n1p1;");
        ck_assert_uint_eq(scan->holders[0].pid, 0);
        take_away("proc/812/mountinfo");
        expect("block /dev/nvme0n1p1;");
}
END_TEST

/* What nobody has claimed is not mounted, whatever somebody's list says. */
START_TEST(without_a_claim_nobody_is_asked)
{
        begin();
        claimed = NULL;
        add_namespace("812", MOUNT("259:1", "/srv"));
        expect("");
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("holders-elsewhere");
        TCase *elsewhere = holders_case(suite, "elsewhere");

        tcase_add_test(elsewhere, a_mount_in_another_namespace);
        tcase_add_test(elsewhere, the_root_of_a_container);
        tcase_add_test(elsewhere, the_first_process_stands_for_all);
        tcase_add_loop_test(elsewhere, the_claim_stays, 0, (int) ELEMENTSOF(useless));
        tcase_add_test(elsewhere, without_a_claim_nobody_is_asked);
        return unit_run(suite);
}
