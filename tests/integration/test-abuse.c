/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Clients that mean harm: nothing they do disturbs others, or makes the daemon keep more than it should.
 */

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

#include "harness/claims.h"
#include "harness/fixture.h"

/* ---- calls that end while another one ends ---- */

#define BRANCH  "0000:01:01.0" /* below PORT, beside CARD */
#define BRANCH2 "0000:01:02.0"
#define LEAF    "0000:02:00.0"
#define LEAF2   "0000:03:00.0"

/* Three resets, of which the second waits for the first, and the third for the second alone; and the third's
 * device is gone. When the second one's caller leaves, the third call ends as well, while those of the one
 * who left are looked for. */
START_TEST(a_caller_leaves_and_another_call_ends)
{
        const MockDevice branch = {.address = BRANCH, .parent = PORT, .is_bridge = true},
                         branch2 = {.address = BRANCH2, .parent = PORT, .is_bridge = true},
                         leaf = {.address = LEAF, .parent = BRANCH, .methods = "flr"},
                         leaf2 = {.address = LEAF2, .parent = BRANCH2, .methods = "flr"};
        Client *leaver;
        Call *first, *second, *third;
        _cleanup_reply_ Reply *first_reply = NULL, *third_reply = NULL;
        int hold;

        sysfs_add(&mock_port);
        sysfs_add(&mock_card);
        sysfs_add(&branch);
        sysfs_add(&branch2);
        sysfs_add(&leaf);
        sysfs_add(&leaf2);
        fixture_start();
        leaver = client_new(UID_ALICE);
        signals_watch(observer);

        hold = model_hold(LEAF);
        first = reset_start(alice, LEAF, "flr", NULL);
        (void) model_wait("begin", LEAF, 0);
        second = reset_start(leaver, CARD, "flr", NULL);
        (void) signal_wait("JobNew", NULL, CARD);
        third = reset_start(alice, LEAF2, "flr", NULL);
        (void) signal_wait("JobNew", NULL, LEAF2);
        hotplug_remove(LEAF2);
        (void) signal_wait("InterfacesRemoved", NULL, device_path(LEAF2));

        leaver = client_free(leaver);
        call_abandon(second);
        third_reply = call_finish(third);
        expect_error(third_reply, "DeviceGone", LEAF2);
        client_barrier(observer);
        model_release(&hold);
        first_reply = call_finish(first);
        expect_success(first_reply);
        ck_assert_uint_eq(model_count("begin", CARD), 0);
}
END_TEST

/* ---- descriptors that nobody asked for ---- */

START_TEST(descriptors_are_not_kept)
{
        _cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        size_t n_open;

        fixture_devices();
        fixture_start();
        n_open = daemon_descriptors();
        for (size_t i = 0; i < 20; i++) {
                _cleanup_reply_ Reply *too_many = manager_call(alice, "Reset", "ssa{sv}h", CARD, "flr", 0,
                                                               fd),
                                      *unknown = manager_call(alice, "GetMethods", "sa{sv}", CARD, 1, "fd",
                                                              "h", fd),
                                      *other = manager_call(alice, "Reset", "ssa{sv}", CARD, "flr", 1, "fds",
                                                            "ah", 1, fd);

                expect_error(too_many, ERROR_INVALID_ARGS, "");
                expect_error(unknown, ERROR_INVALID_ARGS, "fd");
                expect_error(other, ERROR_INVALID_ARGS, "VFIO");
        }
        client_barrier(observer);
        /* At first it may still have been looking who uses what. A leak would be of twenty times as many. */
        wait_until(daemon_descriptors() <= n_open);
        expect_nothing_written();
}
END_TEST

/* ---- questions about cancelling ---- */

#define CANCELS_PER_UID 8U

/* alice's first reset runs, her second one waits; from here on polkit answers when it is told to. */
static int start_waiting(Call *calls[static 2])
{
        int hold;

        mock_polkit_start(MOCK_POLKIT_YES);
        fixture_devices();
        fixture_start();
        signals_watch(observer);
        hold = model_hold(CARD);
        calls[0] = reset_start(alice, CARD, "flr", NULL);
        (void) model_wait("begin", CARD, 0);
        calls[1] = reset_start(alice, CARD, "flr", NULL);
        wait_until(signal_nth("JobNew", 1));
        mock_polkit_mode(MOCK_POLKIT_HANG);
        return hold;
}

static Call *start_cancel(Client *client)
{
        const char *job = json_object_get_string(json_at(signal_nth("JobNew", 1)->body, "1"));

        return call_start(client, job, JOB_INTERFACE, "Cancel", "a{sv}", 0);
}

static void let_go(int *hold, Call *calls[static 2])
{
        model_release(hold);
        for (size_t i = 0; i < 2; i++)
                reply_free(call_finish(calls[i]));
}

START_TEST(cancels_are_bounded_per_user)
{
        Call *calls[2], *cancels[CANCELS_PER_UID], *by_alice;
        int hold = start_waiting(calls);
        _cleanup_reply_ Reply *refused = NULL, *reply = NULL;

        for (size_t i = 0; i < CANCELS_PER_UID; i++)
                cancels[i] = start_cancel(bob);
        (void) mock_polkit_request(2 + CANCELS_PER_UID - 1);
        refused = call_finish(start_cancel(bob));
        expect_error(refused, "LimitsExceeded", "");

        by_alice = start_cancel(alice);
        (void) mock_polkit_request(2 + CANCELS_PER_UID);
        mock_polkit_answer(2 + CANCELS_PER_UID, true, false);
        reply = call_finish(by_alice);
        expect_success(reply);
        let_go(&hold, calls);
        for (size_t i = 0; i < CANCELS_PER_UID; i++)
                call_abandon(cancels[i]);
}
END_TEST

START_TEST(caller_of_cancel_leaves)
{
        Call *calls[2], *cancel;
        int hold = start_waiting(calls);

        cancel = start_cancel(bob);
        (void) mock_polkit_request(2);
        call_abandon(cancel);
        bob = client_free(bob);
        wait_until(mock_polkit_request(2)->cancelled);
        ck_assert(!call_done(calls[1]));
        let_go(&hold, calls);
}
END_TEST

/* ---- questions that pile up ---- */

#define PENDING_PER_UID 16U

START_TEST(pending_questions_are_bounded_per_user)
{
        Call *calls[PENDING_PER_UID + 1], *others;
        _cleanup_reply_ Reply *refused = NULL, *reply = NULL;

        mock_polkit_start(MOCK_POLKIT_HANG);
        fixture_devices();
        fixture_start();
        for (size_t i = 0; i < PENDING_PER_UID; i++)
                calls[i] = reset_start(alice, CARD, "flr", NULL);
        (void) mock_polkit_request(PENDING_PER_UID - 1);
        refused = reset(alice, CARD, "flr", NULL);
        expect_error(refused, "LimitsExceeded", "too many");
        ck_assert_uint_eq(mock_polkit_requests(), PENDING_PER_UID);

        /* The other user is not concerned. */
        others = reset_start(bob, CARD2, "flr", NULL);
        (void) mock_polkit_request(PENDING_PER_UID);
        mock_polkit_answer(PENDING_PER_UID, true, false);
        reply = call_finish(others);
        expect_success(reply);

        /* One answer makes room for one question. */
        mock_polkit_answer(0, false, false);
        reply_free(call_finish(calls[0]));
        calls[PENDING_PER_UID] = reset_start(alice, CARD, "flr", NULL);
        (void) mock_polkit_request(PENDING_PER_UID + 1);
        for (size_t i = 1; i <= PENDING_PER_UID; i++)
                call_abandon(calls[i]);
}
END_TEST

START_TEST(leaving_makes_room)
{
        Call *calls[PENDING_PER_UID];
        _cleanup_client_ Client *again = NULL;

        mock_polkit_start(MOCK_POLKIT_HANG);
        fixture_devices();
        fixture_start();
        for (size_t i = 0; i < PENDING_PER_UID; i++)
                calls[i] = reset_start(alice, CARD, "flr", NULL);
        (void) mock_polkit_request(PENDING_PER_UID - 1);
        for (size_t i = 0; i < PENDING_PER_UID; i++)
                call_abandon(calls[i]);
        alice = client_free(alice);
        wait_until(mock_polkit_request(PENDING_PER_UID - 1)->cancelled);
        again = client_new(UID_ALICE);
        {
                Call *asked = reset_start(again, CARD, "flr", NULL);

                (void) mock_polkit_request(PENDING_PER_UID);
                call_abandon(asked);
        }
}
END_TEST

/* Each question holds the folders of its devices open. */
START_TEST(pins_leave_descriptors_over)
{
        struct rlimit limit, low;
        Call *calls[2 * PENDING_PER_UID];
        _cleanup_free_ char *driver = NULL;
        size_t n_refused = 0;

        mock_polkit_start(MOCK_POLKIT_HANG);
        fixture_devices();
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        low = (struct rlimit){.rlim_cur = 96, .rlim_max = limit.rlim_max};
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
        fixture_start();
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);

        for (size_t i = 0; i < ELEMENTSOF(calls); i++)
                calls[i] = reset_start(i % 2 == 0 ? alice : bob, CARD, "flr", NULL);
        wait_until(call_done(calls[ELEMENTSOF(calls) - 1]));
        for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                _cleanup_reply_ Reply *reply = NULL;

                if (!call_done(calls[i])) {
                        call_abandon(calls[i]);
                        continue;
                }
                reply = call_finish(calls[i]);
                expect_error(reply, "LimitsExceeded", "");
                n_refused++;
        }
        ck_assert_uint_lt(n_refused, ELEMENTSOF(calls));

        /* What happens to devices is seen all the same. */
        hotplug_bind(CARD2, "nvme");
        wait_until((free(driver),
                    driver = get_property_string(bob, device_path(CARD2), DEVICE_INTERFACE, "Driver"),
                    strcmp(driver, "nvme") == 0));
}
END_TEST

/* ---- many users together ---- */

static size_t cancelled_questions(void)
{
        size_t n = 0;

        for (size_t i = 0; i < mock_polkit_requests(); i++)
                n += mock_polkit_request(i)->cancelled;
        return n;
}

/* Below what the bus allows a connection to wait for: over that, polkit would seem not to answer. */
START_TEST(questions_are_bounded_in_all)
{
        enum { USERS = 6, PER_USER = 16 }; /* 96 together */
        Client *users[USERS], *latecomer;
        Call *calls[USERS * PER_USER];
        _cleanup_reply_ Reply *refused = NULL, *list = NULL, *reply = NULL;
        Call *freed;

        mock_polkit_start(MOCK_POLKIT_HANG);
        fixture_devices();
        fixture_start();
        for (size_t i = 0; i < USERS; i++)
                users[i] = client_new(UID_CROWD + (uid_t) i);
        for (size_t i = 0; i < ELEMENTSOF(calls); i++)
                calls[i] = reset_start(users[i % USERS], CARD, "flr", NULL);
        (void) mock_polkit_request(ELEMENTSOF(calls) - 1);
        latecomer = client_new(UID_CROWD + USERS);
        refused = reset(latecomer, CARD2, "flr", NULL);
        expect_error(refused, "LimitsExceeded", "too many");
        ck_assert_uint_eq(mock_polkit_requests(), ELEMENTSOF(calls));
        list = manager_call(latecomer, "ListDevices", NULL);
        expect_success(list);

        /* One user less, and there is room. */
        for (size_t i = 0; i < ELEMENTSOF(calls); i += USERS)
                call_abandon(calls[i]);
        users[0] = client_free(users[0]);
        wait_until(cancelled_questions() == PER_USER);
        client_barrier(latecomer);
        freed = reset_start(latecomer, CARD2, "flr", NULL);
        (void) mock_polkit_request(ELEMENTSOF(calls));
        mock_polkit_answer(ELEMENTSOF(calls), true, false);
        reply = call_finish(freed);
        expect_success(reply);

        for (size_t i = 0; i < ELEMENTSOF(calls); i++)
                if (i % USERS != 0)
                        call_abandon(calls[i]);
        for (size_t i = 1; i < USERS; i++)
                client_free(users[i]);
        client_free(latecomer);
}
END_TEST

int main(void)
{
        TestProgram program = program_new("abuse");

        program_add(&program, a_caller_leaves_and_another_call_ends);
        program_add(&program, descriptors_are_not_kept);
        program_add(&program, cancels_are_bounded_per_user);
        program_add(&program, caller_of_cancel_leaves);
        program_add(&program, questions_are_bounded_in_all);
        program_add(&program, pending_questions_are_bounded_per_user);
        program_add(&program, leaving_makes_room);
        program_add(&program, pins_leave_descriptors_over);
        return program_run(&program);
}
