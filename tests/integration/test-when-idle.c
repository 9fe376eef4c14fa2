/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A reset that waits until nobody uses its devices any more: it begins when the last one has let go, however
 * that came about, and ends when nobody waits for it any more. Meanwhile nothing is polled.
 */

#include <string.h>
#include <sys/mount.h>

#include "harness/claims.h"
#include "harness/holders.h"

#define WHERE "/run/mnt"

static char *job;

static void start(void)
{
        polkit_start(polkit_rules_everybody);
        workers_count();
        fixture_start();
        signals_watch(observer);
}

static void start_with_node(void)
{
        card_with_node();
        start();
}

static void wait_for_phase(const char *phase)
{
        for (bool found = false; !found;) {
                _cleanup_free_ char *now = get_property_string(observer, job, JOB_INTERFACE, "Phase");

                found = strcmp(now, phase) == 0;
        }
}

static void wait_until_it_begins_to(void)
{
        free(job);
        job = strdup(json_object_get_string(json_at(signal_wait("JobNew", NULL, CARD)->body, "1")));
        wait_for_phase("waiting_idle");
}

/* Until the job waits for others, and has looked whether they have let go meanwhile. */
static void wait_until_it_waits(void)
{
        wait_until_it_begins_to();
        daemon_settle();
        wait_for_phase("waiting_idle");
        ck_assert_uint_eq(model_count("begin", CARD), 0);
}

static Call *start_waiting(void)
{
        Call *waiting = reset_start(alice, CARD, "flr", "when_idle", "b", 1, NULL);

        wait_until_it_waits();
        return waiting;
}

/* The same, for a process of bob's. */
static Call *start_waiting_for(Process **ret_holder)
{
        start_with_node();
        *ret_holder = node_hold(NODE, UID_BOB);
        return start_waiting();
}

static void finish_well(Call *waiting)
{
        _cleanup_reply_ Reply *reply = call_finish(waiting);

        expect_success(reply);
        ck_assert_str_eq(reply_string(reply, "0.method"), "flr");
        ck_assert_str_eq(reply_string(reply, "0.verdict"), "ok");
        ck_assert_uint_eq(model_count("begin", CARD), 1);
}

/* Neither now nor when the device is free. */
static void expect_no_reset(Process *holder)
{
        (void) process_free(holder);
        daemon_settle();
        expect_nothing_written();
}

/* ---- until they let go ---- */

START_TEST(holder_closes_the_node)
{
        Call *waiting;
        int fd;

        start_with_node();
        fd = node_open(NODE);
        waiting = start_waiting();
        ck_assert_int_eq(close(fd), 0);
        finish_well(waiting);
}
END_TEST

START_TEST(holder_is_killed)
{
        Process *holder;
        Call *waiting;

        waiting = start_waiting_for(&holder);
        (void) process_free(holder);
        finish_well(waiting);
}
END_TEST

START_TEST(all_of_them_have_to)
{
        Process *first, *second;
        Call *waiting;

        start_with_node();
        first = node_hold(NODE, UID_BOB);
        second = node_hold(NODE, UID_BOB);
        waiting = start_waiting();
        (void) process_free(first);
        daemon_settle();
        wait_for_phase("waiting_idle");
        expect_nothing_written();
        (void) process_free(second);
        finish_well(waiting);
}
END_TEST

START_TEST(file_system_is_unmounted)
{
        Call *waiting;

        card_with_node();
        disk_of(CARD, "disk0");
        directory_make(WHERE);
        start();
        ck_assert_int_eq(mount("/dev/disk0", WHERE, "tmpfs", 0, NULL), 0);
        waiting = start_waiting();
        ck_assert_int_eq(umount(WHERE), 0);
        finish_well(waiting);
}
END_TEST

START_TEST(interface_is_switched_off)
{
        Call *waiting;

        card_with_node();
        interface_of(CARD, "lo");
        start();
        interface_set(CARD, "lo", true);
        waiting = start_waiting();
        interface_set(CARD, "lo", false);
        finish_well(waiting);
}
END_TEST

START_TEST(lease_is_released)
{
        Call *waiting;
        int lease;

        start_with_node();
        lease = lease_take(bob, CARD, NULL);
        waiting = start_waiting();
        claim_release(&lease);
        finish_well(waiting);
}
END_TEST

/* The worker finds him in the last moment: nothing is written, and the job waits for him as well. */
START_TEST(holder_comes_before_the_write)
{
        Process *holder;
        Call *waiting;
        int hold;

        start_with_node();
        hold = model_hold_list(CARD);
        waiting = reset_start(alice, CARD, "flr", "when_idle", "b", 1, NULL);
        (void) model_wait("listing", CARD, 0);
        holder = node_hold(NODE, UID_BOB);
        model_release(&hold);
        wait_until_it_waits();
        (void) process_free(holder);
        finish_well(waiting);
}
END_TEST

START_TEST(idle_devices_are_not_waited_for)
{
        Call *running;

        start_with_node();
        running = reset_start(alice, CARD, "flr", "when_idle", "b", 1, NULL);
        finish_well(running);
}
END_TEST

/* ---- meanwhile ---- */

START_TEST(nothing_is_polled)
{
        Process *holder;
        size_t n_started;
        Call *waiting;

        waiting = start_waiting_for(&holder);
        n_started = workers_started();
        ck_assert_uint_gt(n_started, 0);
        for (int i = 0; i < 20; i++)
                client_barrier(bob);
        /* That it sleeps, without a timer but that of the job's deadline. */
        daemon_settle();
        ck_assert_uint_eq(workers_started(), n_started);
        ck_assert(!call_done(waiting));
        (void) process_free(holder);
        finish_well(waiting);
}
END_TEST

START_TEST(others_are_not_kept_waiting)
{
        _cleanup_reply_ Reply *reply = NULL;
        Process *holder;
        Call *waiting;

        waiting = start_waiting_for(&holder);
        reply = reset(bob, CARD, "flr", "in_use", "b", 1, NULL);
        expect_success(reply);
        ck_assert_uint_eq(model_count("begin", CARD), 1);
        wait_for_phase("waiting_idle");
        (void) process_free(holder);
        reply = reply_free(reply);
        reply = call_finish(waiting);
        expect_success(reply);
        ck_assert_uint_eq(model_count("begin", CARD), 2);
}
END_TEST

/* ---- nobody waits any more ---- */

START_TEST(caller_leaves)
{
        Process *holder;
        Call *waiting;

        waiting = start_waiting_for(&holder);
        call_abandon(waiting);
        alice = client_free(alice);
        (void) signal_wait("JobRemoved", NULL, "Cancelled");
        expect_no_reset(holder);
}
END_TEST

START_TEST(cancelled)
{
        _cleanup_reply_ Reply *cancel = NULL, *reply = NULL;
        Process *holder;
        Call *waiting;

        waiting = start_waiting_for(&holder);
        cancel = call(alice, job, JOB_INTERFACE, "Cancel", "a{sv}", 0);
        expect_success(cancel);
        reply = call_finish(waiting);
        expect_error(reply, "Cancelled", CARD);
        expect_hidden(reply_at(reply, "1.holders.0"), "process", 1);
        expect_no_reset(holder);
}
END_TEST

/* The time is over while it waits; on a slow machine the first times are over before that. */
static Reply *wait_in_vain(void)
{
        for (uint64_t usec = 1000000;; usec *= 2) {
                Reply *reply = reset(alice, CARD, "flr", "when_idle", "b", 1, "timeout_usec", "t", usec,
                                     NULL);

                expect_error(reply, "TimedOut", CARD);
                if (strstr(reply_string(reply, "0"), "It waited for its users: "))
                        return reply;
                ck_assert_uint_lt(usec, 16000000);
                reply_free(reply);
        }
}

START_TEST(time_is_over)
{
        _cleanup_reply_ Reply *reply = NULL;
        Process *holder;

        start_with_node();
        holder = node_hold(NODE, UID_BOB);
        reply = wait_in_vain();
        expect_error(reply, "TimedOut", "1 process of others has it open.");
        ck_assert_ptr_null(strstr(reply_string(reply, "0"), "announces"));
        expect_hidden(reply_at(reply, "1.holders.0"), "process", 1);
        expect_no_reset(holder);
}
END_TEST

/* A network card whose interface is out of sight. */
static void start_with_hidden_interface(void)
{
        const MockDevice card = {
                .address = CARD, .parent = PORT, .methods = "flr", .driver = "nvme", .class = 0x020000};

        nodes_init();
        sysfs_add(&mock_port);
        sysfs_add(&card);
        start();
}

/* It comes back, and nothing tells of that. The daemon does not settle meanwhile: but the first look of the
 * job's is over when one is that was asked for later. */
START_TEST(nobody_announces_the_end)
{
        _cleanup_reply_ Reply *holders = NULL;
        Call *waiting;

        start_with_hidden_interface();
        waiting = reset_start(alice, CARD, "flr", "when_idle", "b", 1, NULL);
        wait_until_it_begins_to();
        holders = get_holders(observer, CARD);
        ck_assert_str_eq(reply_string(holders, "0.0.kind"), "hidden");
        interface_of(CARD, "lo");
        finish_well(waiting);
}
END_TEST

/* Whoever waits for what no event ends has to know. */
START_TEST(time_is_over_without_news)
{
        _cleanup_reply_ Reply *reply = NULL;

        start_with_hidden_interface();
        reply = wait_in_vain();
        expect_error(reply, "TimedOut", "may be in a container. Nobody announces when all of this ends");
        ck_assert_str_eq(reply_string(reply, "1.holders.0.kind"), "hidden");
        ck_assert_uint_eq(model_count("begin", CARD), 0);
}
END_TEST

START_TEST(device_goes)
{
        _cleanup_reply_ Reply *reply = NULL;
        Process *holder;
        Call *waiting;

        waiting = start_waiting_for(&holder);
        hotplug_remove(CARD);
        reply = call_finish(waiting);
        expect_error(reply, "DeviceGone", CARD);
        expect_no_reset(holder);
}
END_TEST

START_TEST(waiting_and_not_waiting)
{
        _cleanup_reply_ Reply *reply = NULL;

        start_with_node();
        reply = reset(alice, CARD, "flr", "when_idle", "b", 1, "no_wait", "b", 1, NULL);
        expect_error(reply, ERROR_INVALID_ARGS, "when_idle");
        expect_nothing_written();
}
END_TEST

int main(void)
{
        TestProgram program = program_new("when-idle");

        program_add(&program, holder_closes_the_node);
        program_add(&program, holder_is_killed);
        program_add(&program, all_of_them_have_to);
        program_add(&program, file_system_is_unmounted);
        program_add(&program, interface_is_switched_off);
        program_add(&program, nobody_announces_the_end);
        program_add(&program, lease_is_released);
        program_add(&program, holder_comes_before_the_write);
        program_add(&program, idle_devices_are_not_waited_for);
        program_add(&program, nothing_is_polled);
        program_add(&program, others_are_not_kept_waiting);
        program_add(&program, caller_leaves);
        program_add(&program, cancelled);
        program_add(&program, time_is_over);
        program_add(&program, time_is_over_without_news);
        program_add(&program, device_goes);
        program_add(&program, waiting_and_not_waiting);
        return program_run(&program);
}
