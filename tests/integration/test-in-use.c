/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The property InUse follows what happens, without anybody asking and without polling.
 */

#include <string.h>
#include <sys/mount.h>

#include "harness/claims.h"
#include "harness/holders.h"

#define WHERE "/run/mnt"

static void start(void)
{
        workers_count();
        fixture_start();
        signals_watch(observer);
        (void) get_holders(observer, CARD);
        daemon_settle();
        ck_assert(!is_in_use(CARD));
        signals_forget();
}

/* The signal alone must do; the property says the same. */
static void expect_use(bool in_use)
{
        (void) signal_wait("PropertiesChanged", device_path(CARD),
                           in_use ? "\"InUse\":true" : "\"InUse\":false");
        ck_assert_int_eq(is_in_use(CARD), in_use);
        signals_forget();
}

/* More than once, since what has told something has to be listened to again. */
START_TEST(opened_and_closed)
{
        card_with_node();
        start();
        for (int i = 0; i < 3; i++) {
                int fd = node_open(NODE);

                expect_use(true);
                ck_assert_int_eq(close(fd), 0);
                expect_use(false);
        }
}
END_TEST

START_TEST(holder_is_killed)
{
        Process *holder;

        card_with_node();
        start();
        holder = node_hold(NODE, UID_BOB);
        expect_use(true);
        (void) process_free(holder);
        expect_use(false);
}
END_TEST

START_TEST(one_of_two_is_enough)
{
        Process *first, *second;

        card_with_node();
        start();
        first = node_hold(NODE, UID_BOB);
        second = node_hold(NODE, UID_ALICE);
        expect_use(true);
        (void) process_free(first);
        daemon_settle();
        ck_assert(is_in_use(CARD));
        (void) process_free(second);
        expect_use(false);
}
END_TEST

START_TEST(mounted_and_unmounted)
{
        card_with_node();
        disk_of(CARD, "disk0");
        directory_make(WHERE);
        start();
        ck_assert_int_eq(mount("/dev/disk0", WHERE, "tmpfs", 0, NULL), 0);
        expect_use(true);
        ck_assert_int_eq(umount(WHERE), 0);
        expect_use(false);
}
END_TEST

START_TEST(switched_on_and_off)
{
        card_with_node();
        interface_of(CARD, "lo");
        start();
        interface_set(CARD, "lo", true);
        expect_use(true);
        interface_set(CARD, "lo", false);
        expect_use(false);
}
END_TEST

START_TEST(node_comes_later)
{
        const MockDevice card = {
                .address = CARD, .parent = PORT, .methods = "flr", .driver = "nvme", .class = 0x030000};
        int fd;

        nodes_init();
        sysfs_add(&mock_port);
        sysfs_add(&card);
        start();
        node_of(CARD, "drm/" NODE, NODE_ZERO);
        uevent("change", CARD, NULL);
        daemon_settle();
        fd = node_open(NODE);
        expect_use(true);
        ck_assert_int_eq(close(fd), 0);
        expect_use(false);
}
END_TEST

/* Much happens beside it, and none of it is a reason to look. */
START_TEST(nothing_is_polled)
{
        _cleanup_(cleanup_process_free) Process *holder = NULL;
        size_t n_started;

        card_with_node();
        node_add("other", NODE_FULL, 0);
        start();
        holder = node_hold(NODE, UID_BOB);
        expect_use(true);
        daemon_settle();
        n_started = workers_started();
        ck_assert_uint_gt(n_started, 0);
        for (int i = 0; i < 20; i++) {
                ck_assert_int_eq(close(node_open("other")), 0);
                client_barrier(bob);
                ck_assert(is_in_use(CARD));
        }
        ck_assert_int_eq(mount("none", "/run/tmp", "tmpfs", 0, NULL), 0);
        ck_assert_int_eq(umount("/run/tmp"), 0);
        daemon_settle();
        ck_assert_uint_eq(workers_started(), n_started);
        ck_assert_uint_eq(signal_count("PropertiesChanged", device_path(CARD), NULL), 0);
}
END_TEST

int main(void)
{
        TestProgram program = program_new("in-use");

        program_add(&program, opened_and_closed);
        program_add(&program, holder_is_killed);
        program_add(&program, one_of_two_is_enough);
        program_add(&program, mounted_and_unmounted);
        program_add(&program, switched_on_and_off);
        program_add(&program, node_comes_later);
        program_add(&program, nothing_is_polled);
        return program_run(&program);
}
