/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Looks at who uses a device that take long, or fail: they are shared, bounded, and never taken for an
 * answer.
 */

#include <string.h>
#include <sys/stat.h>

#include "harness/claims.h"
#include "harness/holders.h"

#define STUCK   "/run/tmp/stuck"
#define STARTED "/run/tmp/started"

/* Workers that begin from here on do nothing as long as STUCK is there, and leave a line in STARTED. */
static void start_with_slow_workers(void)
{
        static const char program[] = "/run/tmp/slow-worker";
        static char argument[64];

        file_print(program,
                   "#!/bin/sh\n"
                   "test -e " STUCK " && echo >> " STARTED "\n"
                   "while test -e " STUCK "; do sleep 0.02; done\n"
                   "exec %s\n",
                   tested_path("PCIRESET_WORKER"));
        ck_assert_int_eq(chmod(program, 0755), 0);
        (void) snprintf(argument, sizeof(argument), "--worker=%s", program);
        daemon_argument(argument);
        card_with_node();
        fixture_start();
        daemon_settle();
        file_print(STUCK, "%s", "");
}

static size_t count_started(void)
{
        _cleanup_free_ char *lines = file_read(STARTED, NULL);

        return lines ? strlen(lines) : 0;
}

static Call *start_plan(Client *client)
{
        return call_start(client, MANAGER_PATH, MANAGER_INTERFACE, "Plan", "ssa{sv}", CARD, "flr", 0);
}

static void wait_for_workers(size_t n)
{
        wait_until((client_barrier(observer), count_started() == n));
}

START_TEST(one_look_of_a_user_at_a_time)
{
        Call *calls[5], *by_alice;
        _cleanup_(cleanup_process_free) Process *holder = NULL;

        start_with_slow_workers();
        for (size_t i = 0; i < ELEMENTSOF(calls); i++)
                calls[i] = i % 2 ? call_start(bob, device_path(CARD), DEVICE_INTERFACE, "GetHolders",
                                              "a{sv}", 0)
                                 : start_plan(bob);
        client_barrier(bob);
        wait_for_workers(1);
        by_alice = start_plan(alice);
        client_barrier(alice);
        /* Two looks at one device would take each other's opening for a user's. */
        wait_for_workers(1);
        holder = node_hold(NODE, UID_BOB);
        ck_assert_int_eq(unlink(STUCK), 0);
        for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                _cleanup_reply_ Reply *reply = call_finish(calls[i]);

                expect_success(reply);
                /* The answers are from after the question. */
                ck_assert_uint_eq(reply_length(reply, i % 2 ? "0" : "0.rungs.0.holders"), 1);
        }
        reply_free(call_finish(by_alice));
}
END_TEST

#define LOOKS_PER_UID 8U

START_TEST(looks_are_bounded)
{
        Call *calls[LOOKS_PER_UID], *by_alice;
        _cleanup_reply_ Reply *over = NULL, *reply = NULL, *list = NULL;
        size_t n_open;

        start_with_slow_workers();
        n_open = daemon_descriptors();
        for (size_t i = 0; i < LOOKS_PER_UID; i++)
                calls[i] = start_plan(bob);
        client_barrier(bob);
        over = call_finish(start_plan(bob));
        expect_error(over, "LimitsExceeded", "Too many");
        list = manager_call(bob, "ListDevices", NULL);
        expect_success(list);
        by_alice = start_plan(alice);

        /* Who leaves makes room, and takes his calls along. */
        for (size_t i = 0; i < LOOKS_PER_UID; i++)
                call_abandon(calls[i]);
        bob = client_free(bob);
        bob = client_new(UID_BOB);
        calls[0] = start_plan(bob);
        client_barrier(bob);
        ck_assert(!call_done(calls[0]));
        ck_assert_int_eq(unlink(STUCK), 0);
        reply = call_finish(calls[0]);
        expect_success(reply);
        reply_free(call_finish(by_alice));
        wait_until(daemon_descriptors() <= n_open);
}
END_TEST

START_TEST(device_goes_meanwhile)
{
        _cleanup_reply_ Reply *plan_reply = NULL, *holders_reply = NULL;
        Call *plan, *holders;

        start_with_slow_workers();
        plan = start_plan(bob);
        wait_for_workers(1);
        holders = call_start(alice, device_path(CARD), DEVICE_INTERFACE, "GetHolders", "a{sv}", 0);
        client_barrier(alice);
        signals_watch(observer);
        hotplug_remove(CARD);
        (void) signal_wait("InterfacesRemoved", NULL, device_path(CARD));
        ck_assert_int_eq(unlink(STUCK), 0);
        plan_reply = call_finish(plan);
        expect_error(plan_reply, "DeviceGone", CARD);
        holders_reply = call_finish(holders);
        expect_error(holders_reply, "DeviceGone", CARD);
}
END_TEST

/* Not to know is not to know that nobody uses it. */
START_TEST(a_look_that_fails)
{
        _cleanup_reply_ Reply *plan = NULL, *holders = NULL, *reply = NULL;

        card_with_node();
        daemon_argument("--worker=/bin/false");
        fixture_start();
        plan = call_finish(start_plan(bob));
        expect_success(plan);
        ck_assert(!json_object_get_boolean(reply_at(plan, "0.rungs.0.usable")));
        ck_assert_str_eq(reply_string(plan, "0.rungs.0.why.0"), "use-unknown");
        holders = call(bob, device_path(CARD), DEVICE_INTERFACE, "GetHolders", "a{sv}", 0);
        expect_error(holders, "org.freedesktop.DBus.Error.Failed", CARD);
        reply = reset(alice, CARD, "flr", "in_use", "b", 1, NULL);
        expect_error(reply, "InUse", "could not be found out");
        expect_nothing_written();
}
END_TEST

int main(void)
{
        TestProgram program = program_new("looks");

        program_add(&program, one_look_of_a_user_at_a_time);
        program_add(&program, looks_are_bounded);
        program_add(&program, device_goes_meanwhile);
        program_add(&program, a_look_that_fails);
        return program_run(&program);
}
