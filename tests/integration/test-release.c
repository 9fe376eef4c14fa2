/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Between two users a device is reset, whatever the first one does: he closes, he is killed, the daemon is
 * killed. The kernel's log says what was reset.
 */

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "harness/claims.h"
#include "harness/holders.h"

#define GROUP   "14"
#define SIBLING "0000:01:00.1"

#define RULE(settings) "{\"rules\": [{\"id\": \"one\", \"match\": {}, \"settings\": {" settings "}}]}\n"
#define RESET          "\"on_release\": \"reset\""

static void start(void)
{
        policy_put(RULE(RESET));
        start_for_everybody();
}

static void start_through_vfio(void)
{
        policy_put(RULE(RESET));
        start_with_vfio(GROUP);
}

/* Two functions without a reset of their own, below a port that resets both. */
static void start_with_pair(void)
{
        const MockDevice port = {.address = PORT, .is_bridge = true, .subordinate = true};
        const MockDevice one = {.address = CARD, .parent = PORT, .multifunction = true, .methods = "bus"};
        const MockDevice two = {.address = SIBLING, .parent = PORT, .multifunction = true, .methods = "bus"};

        policy_put(RULE(RESET));
        sysfs_add(&port);
        sysfs_add(&one);
        sysfs_add(&two);
        polkit_start(polkit_rules_everybody);
        fixture_start();
        signals_watch(observer);
}

static bool cleanliness_is(const char *address, const char *expected)
{
        _cleanup_free_ char *found = get_property_string(observer, device_path(address), DEVICE_INTERFACE,
                                                         "Cleanliness");

        return strcmp(found, expected) == 0;
}

static void acquire_well(Client *client, const char *address)
{
        int fd = lease_take(client, address, NULL);

        claim_release(&fd);
}

static void expect_refused(Client *client, const char *address, const char *what)
{
        const char *const addresses[] = {address, NULL};
        _cleanup_reply_ Reply *reply = call_finish(acquire_start(client, addresses));

        expect_error(reply, "InUse", address);
        expect_error(reply, "InUse", "last user");
        expect_error(reply, "InUse", what);
}

START_TEST(after_a_lease)
{
        _cleanup_reply_ Reply *rows = NULL, *last = NULL;
        int fd, hold;

        start();
        fd = lease_take(alice, CARD, NULL);
        daemon_settle();
        ck_assert_uint_eq(model_writes(), 0);
        hold = model_hold(CARD);
        claim_release(&fd);
        (void) model_wait("begin", CARD, 0);
        expect_refused(bob, CARD, "uid 1001");
        expect_refused(alice, CARD, "uid 1001");
        model_release(&hold);
        wait_until(cleanliness_is(CARD, "clean"));
        daemon_settle();
        ck_assert_uint_eq(model_count("begin", CARD), 1);
        ck_assert_uint_eq(model_count("begin", CARD2), 0);
        rows = call(observer, device_path(CARD), DEVICE_INTERFACE, "GetHistory", "a{sv}", 0);
        ck_assert_str_eq(reply_string(rows, "0.0.rule"), "one (" POLICY_ADMIN_FILE ")");
        ck_assert_str_eq(reply_string(rows, "0.0.method"), "flr");
        last = get_property(bob, device_path(CARD), DEVICE_INTERFACE, "LastReset");
        ck_assert(json_object_get_boolean(reply_at(last, "0.by_policy")));
        ck_assert_int_eq(reply_number(rows, "0.0.uid"), UID_ALICE);
        ck_assert_ptr_null(json_at(last->body, "0.uid"));
        acquire_well(bob, CARD);
}
END_TEST

/* Nobody who was killed has cleaned up behind himself. */
START_TEST(after_a_holder_was_killed)
{
        Process *user;
        int fd;

        start_through_vfio();
        fd = lease_take(bob, CARD, NULL);
        user = node_hold("vfio/" GROUP, UID_BOB);
        (void) signal_wait("PropertiesChanged", device_path(CARD), "\"InUse\":true");
        if (_i == 0) {
                /* The lease goes first, */
                claim_release(&fd);
                claims_wait("ListLeases", 0);
                daemon_settle();
                ck_assert_uint_eq(model_writes(), 0);
                expect_refused(alice, CARD, "still in use");
                (void) process_free(user);
        } else {
                /* or last. */
                (void) process_free(user);
                (void) signal_wait("PropertiesChanged", device_path(CARD), "\"InUse\":false");
                daemon_settle();
                ck_assert_uint_eq(model_writes(), 0);
                claim_release(&fd);
        }
        wait_until(cleanliness_is(CARD, "clean"));
        ck_assert_uint_eq(model_count("begin", CARD), 1);
        acquire_well(alice, CARD);
}
END_TEST

/* Whoever goes past us is seen to as well: under this daemon, under the next one, and between the two. */
START_TEST(after_vfio_without_a_lease)
{
        Process *user;

        start_through_vfio();
        user = node_hold("vfio/" GROUP, UID_BOB);
        (void) signal_wait("PropertiesChanged", device_path(CARD), "\"InUse\":true");
        ck_assert(cleanliness_is(CARD, "dirty"));
        if (_i > 0)
                daemon_kill();
        if (_i == 2)
                (void) process_free(user);
        if (_i > 0)
                daemon_start();
        if (_i < 2) {
                ck_assert(cleanliness_is(CARD, "dirty"));
                daemon_settle();
                ck_assert_uint_eq(model_writes(), 0);
                expect_refused(alice, CARD, "open through VFIO");
                (void) process_free(user);
        }
        wait_until(cleanliness_is(CARD, "clean"));
        ck_assert_uint_eq(model_count("begin", CARD), 1);
        acquire_well(alice, CARD);
}
END_TEST

START_TEST(after_a_moment_of_vfio)
{
        start_through_vfio();
        ck_assert_int_eq(close(node_open("vfio/" GROUP)), 0);
        wait_until(cleanliness_is(CARD, "clean"));
        ck_assert_uint_eq(model_count("begin", CARD), 1);
}
END_TEST

/* ---- several devices ---- */

START_TEST(siblings_in_any_order)
{
        const char *first = _i == 0 ? CARD : SIBLING, *second = _i == 0 ? SIBLING : CARD;
        int one, two, hold;

        start_with_pair();
        one = lease_take(alice, first, NULL);
        two = lease_take(bob, second, NULL);
        claim_release(&one);
        claims_wait("ListLeases", 1);
        daemon_settle();
        ck_assert_uint_eq(model_writes(), 0);
        expect_refused(bob, first, "uid 1001");
        hold = model_hold(PORT);
        claim_release(&two);
        (void) model_wait("begin", PORT, 0);
        expect_refused(alice, first, "uid 1001");
        expect_refused(alice, second, "uid 1002");
        model_release(&hold);
        wait_until(cleanliness_is(first, "clean") && cleanliness_is(second, "clean"));
        daemon_settle();
        ck_assert_uint_eq(model_count("begin", NULL), 1);
        acquire_well(bob, first);
}
END_TEST

START_TEST(a_sibling_that_nobody_had)
{
        _cleanup_reply_ Reply *reply = NULL, *facts = NULL, *rows = NULL;
        const char *const pair[] = {CARD, NULL};
        int fd;

        start_with_pair();
        fd = lease_take(alice, CARD, NULL);
        claim_release(&fd);
        (void) signal_wait("PropertiesChanged", device_path(CARD), "quarantined");
        facts = get_property(bob, device_path(CARD), DEVICE_INTERFACE, "Quarantine");
        ck_assert_str_eq(reply_string(facts, "0.cause"), "unclean");
        ck_assert_ptr_null(json_at(facts->body, "0.uid"));
        rows = call(observer, device_path(CARD), DEVICE_INTERFACE, "GetHistory", "a{sv}", 1, "event", "s",
                    "quarantine");
        ck_assert_int_eq(reply_number(rows, "0.0.uid"), UID_ALICE);
        ck_assert_ptr_nonnull(strstr(reply_string(facts, "0.reason"), "not-released"));
        reply = call_finish(acquire_start(bob, pair));
        expect_error(reply, "Quarantined", "could not be reset");
        expect_nothing_written();
}
END_TEST

START_TEST(a_lease_on_two)
{
        int fd, hold;

        start();
        fd = claim_finish(acquire_start(alice, both_cards), NULL);
        hold = model_hold(CARD2);
        claim_release(&fd);
        (void) model_wait("end", CARD, 0);
        (void) model_wait("begin", CARD2, 0);
        wait_until(cleanliness_is(CARD, "clean"));
        expect_refused(bob, CARD, "uid 1001");
        model_release(&hold);
        wait_until(cleanliness_is(CARD2, "clean"));
        daemon_settle();
        acquire_well(bob, CARD);
        daemon_settle();
        acquire_well(bob, CARD2);
}
END_TEST

/* ---- the daemon is killed ---- */

START_TEST(let_go_while_no_daemon_ran)
{
        _cleanup_reply_ Reply *history = NULL;
        int fd;

        start();
        fd = lease_take(alice, CARD, NULL);
        if (_i == 0)
                daemon_kill();
        else
                daemon_stop();
        claim_release(&fd);
        daemon_start();
        wait_until(cleanliness_is(CARD, "clean"));
        ck_assert_uint_eq(model_count("begin", CARD), 1);
        history = call(observer, device_path(CARD), DEVICE_INTERFACE, "GetHistory", "a{sv}", 0);
        ck_assert_int_eq(reply_number(history, "0.0.uid"), UID_ALICE);
        acquire_well(bob, CARD);
}
END_TEST

/* The worker goes on, and what it comes to counts for the next daemon. */
START_TEST(killed_during_the_reset)
{
        int fd, hold;

        start();
        fd = lease_take(alice, CARD, NULL);
        hold = model_hold(CARD);
        claim_release(&fd);
        (void) model_wait("begin", CARD, 0);
        daemon_kill();
        daemon_start();
        expect_refused(bob, CARD, "uid 1001");
        model_release(&hold);
        wait_until(cleanliness_is(CARD, "clean"));
        daemon_settle();
        ck_assert_uint_eq(model_count("begin", CARD), 1);
        acquire_well(bob, CARD);
}
END_TEST

/* Its record says no more than that somebody had it. */
START_TEST(a_damaged_record)
{
        directory_make("/run/pciresetd");
        directory_make("/run/pciresetd/users");
        file_write("/run/pciresetd/users/" CARD ",8086:10d3,8086:10d3.json", "{", 1);
        file_write("/run/pciresetd/users/rubbish", "x", 1);
        start();
        wait_until(cleanliness_is(CARD, "clean"));
        daemon_settle();
        ck_assert_uint_eq(model_count("begin", NULL), 1);
        ck_assert_int_ne(access("/run/pciresetd/users/" CARD ",8086:10d3,8086:10d3.json", F_OK), 0);
        acquire_well(alice, CARD);
}
END_TEST

/* ---- how it ends otherwise ---- */

START_TEST(put_away_when_it_fails)
{
        _cleanup_reply_ Reply *facts = NULL, *done = NULL;
        int fd;

        start();
        model_fail(CARD, NULL, EIO);
        fd = lease_take(alice, CARD, NULL);
        claim_release(&fd);
        (void) signal_wait("PropertiesChanged", device_path(CARD), "quarantined");
        facts = get_property(bob, device_path(CARD), DEVICE_INTERFACE, "Quarantine");
        ck_assert_str_eq(reply_string(facts, "0.cause"), "unclean");
        daemon_kill();
        daemon_start();
        ck_assert(cleanliness_is(CARD, "unknown"));
        model_unfail(CARD, NULL);
        done = reset(bob, CARD, "flr", NULL);
        expect_success(done);
        ck_assert(cleanliness_is(CARD, "clean"));
        acquire_well(alice, CARD);
}
END_TEST

START_TEST(dead_after_its_user)
{
        _cleanup_reply_ Reply *facts = NULL;
        int fd;

        start();
        model_dies(CARD, "flr");
        fd = lease_take(alice, CARD, NULL);
        claim_release(&fd);
        (void) signal_wait("PropertiesChanged", device_path(CARD), "quarantined");
        daemon_settle();
        facts = get_property(bob, device_path(CARD), DEVICE_INTERFACE, "Quarantine");
        ck_assert_str_eq(reply_string(facts, "0.cause"), "dead");
}
END_TEST

START_TEST(the_rule_is_taken_away)
{
        int fd, inhibitor;

        start_for_everybody();
        {
                _cleanup_reply_ Reply *set = call(observer, device_path(CARD), DEVICE_INTERFACE, "SetPolicy",
                                                  "a{sv}a{sv}", 1, "on_release", "s", "reset", 0);
                _cleanup_reply_ Reply *unset = NULL;

                expect_success(set);
                fd = lease_take(alice, CARD, NULL);
                inhibitor = inhibitor_take(bob, CARD, "block");
                claim_release(&fd);
                claims_wait("ListLeases", 0);
                daemon_settle();
                expect_refused(bob, CARD, "inhibited");
                unset = manager_call(observer, "UnsetPolicy", "sa{sv}", reply_string(set, "0"), 0);
                expect_success(unset);
        }
        acquire_well(bob, CARD);
        claim_release(&inhibitor);
        daemon_settle();
        expect_nothing_written();
}
END_TEST

/* Nobody gets rid of it by cancelling. */
START_TEST(cannot_be_cancelled)
{
        _cleanup_reply_ Reply *jobs = NULL, *refused = NULL;
        _cleanup_free_ char *path = NULL;
        int one, two;

        start_with_pair();
        one = lease_take(alice, CARD, NULL);
        two = lease_take(alice, SIBLING, NULL);
        claim_release(&one);
        (void) signal_wait("JobNew", NULL, NULL);
        jobs = manager_call(alice, "ListJobs", "a{sv}", 0);
        ck_assert_uint_eq(reply_length(jobs, "0"), 1);
        path = textf("/org/pciresetd1/job/%" PRId64, (int64_t) reply_number(jobs, "0.0.id"));
        refused = call(alice, path, "org.pciresetd1.Job", "Cancel", "a{sv}", 0);
        expect_error(refused, "NotUsable", "on_release");
        claim_release(&two);
        wait_until(cleanliness_is(CARD, "clean"));
}
END_TEST

static const int two_ways[] = {0, 1}, three_ways[] = {0, 1, 2};

int main(void)
{
        TestProgram program = program_new("release");

        program_add(&program, after_a_lease);
        program_add_table(&program, after_a_holder_was_killed, two_ways);
        program_add_table(&program, after_vfio_without_a_lease, three_ways);
        program_add(&program, after_a_moment_of_vfio);
        program_add_table(&program, siblings_in_any_order, two_ways);
        program_add(&program, a_sibling_that_nobody_had);
        program_add(&program, a_lease_on_two);
        program_add_table(&program, let_go_while_no_daemon_ran, two_ways);
        program_add(&program, killed_during_the_reset);
        program_add(&program, a_damaged_record);
        program_add(&program, put_away_when_it_fails);
        program_add(&program, dead_after_its_user);
        program_add(&program, the_rule_is_taken_away);
        program_add(&program, cannot_be_cancelled);
        return program_run(&program);
}
