/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Whether a device is clean is followed from user to user, and where a rule wants it, nobody gets one that
 * is not.
 */

#include <errno.h>
#include <string.h>

#include "harness/claims.h"
#include "harness/holders.h"

#define GROUP "14"

#define RULE(match, settings)                                                                               \
        "{\"rules\": [{\"id\": \"one\", \"match\": {" match "}, \"settings\": {" settings "}}]}\n"
#define CLEAN_ONLY RULE("\"address\": \"" CARD "\"", "\"require_clean\": true")

static void expect_cleanliness(const char *address, const char *expected)
{
        _cleanup_free_ char *found = get_property_string(observer, device_path(address), DEVICE_INTERFACE,
                                                         "Cleanliness");

        ck_assert_str_eq(found, expected);
}

static void reset_well(Client *client, const char *address)
{
        _cleanup_reply_ Reply *reply = reset(client, address, "flr", NULL);

        expect_success(reply);
}

START_TEST(from_lease_to_lease)
{
        int fd;

        start_for_everybody();
        expect_cleanliness(CARD, "unknown");
        expect_cleanliness(PORT, "unknown");
        fd = lease_take(alice, CARD, NULL);
        expect_cleanliness(CARD, "dirty");
        (void) signal_wait("PropertiesChanged", device_path(CARD), "\"Cleanliness\":\"dirty\"");
        claim_release(&fd);
        claims_wait("ListLeases", 0);
        expect_cleanliness(CARD, "dirty");
        reset_well(bob, CARD);
        expect_cleanliness(CARD, "clean");
        (void) signal_wait("PropertiesChanged", device_path(CARD), "\"Cleanliness\":\"clean\"");
        expect_cleanliness(CARD2, "unknown");
        fd = lease_take(bob, CARD, NULL);
        expect_cleanliness(CARD, "dirty");
        claim_release(&fd);
        /* What nobody has followed. */
        daemon_stop();
        daemon_start();
        expect_cleanliness(CARD2, "unknown");
}
END_TEST

START_TEST(opened_through_vfio)
{
        Process *user;

        start_with_vfio(GROUP);
        reset_well(bob, CARD);
        expect_cleanliness(CARD, "clean");
        user = node_hold("vfio/" GROUP, UID_BOB);
        (void) signal_wait("PropertiesChanged", device_path(CARD), "\"Cleanliness\":\"dirty\"");
        (void) process_free(user);
        daemon_settle();
        expect_cleanliness(CARD, "dirty");
        reset_well(bob, CARD);
        daemon_settle();
        expect_cleanliness(CARD, "clean");
}
END_TEST

/* No look finds whoever had it open only for a moment. */
START_TEST(opened_for_a_moment)
{
        start_with_vfio(GROUP);
        reset_well(bob, CARD);
        daemon_settle();
        expect_cleanliness(CARD, "clean");
        signals_forget();
        ck_assert_int_eq(close(node_open("vfio/" GROUP)), 0);
        (void) signal_wait("PropertiesChanged", device_path(CARD), "\"Cleanliness\":\"dirty\"");
        ck_assert_uint_eq(signal_count("PropertiesChanged", device_path(CARD), "\"InUse\":true"), 0);
}
END_TEST

/* He waits for the write, and writes himself what was just put right. */
START_TEST(opened_during_a_reset)
{
        _cleanup_reply_ Reply *reply = NULL;
        Call *pending;
        int hold;

        start_with_vfio(GROUP);
        /* The node has had its say already. */
        ck_assert_int_eq(close(node_open("vfio/" GROUP)), 0);
        (void) signal_wait("PropertiesChanged", device_path(CARD), "\"Cleanliness\":\"dirty\"");
        hold = model_hold(CARD);
        pending = reset_start(bob, CARD, "flr", NULL);
        (void) model_wait("begin", CARD, 0);
        ck_assert_int_eq(close(node_open("vfio/" GROUP)), 0);
        model_release(&hold);
        reply = call_finish(pending);
        expect_success(reply);
        expect_cleanliness(CARD, "dirty");
        daemon_settle();
        reset_well(bob, CARD);
        daemon_settle();
        expect_cleanliness(CARD, "clean");
}
END_TEST

START_TEST(failed_resets_prove_nothing)
{
        _cleanup_reply_ Reply *failed = NULL, *changed = NULL;

        start_for_everybody();
        reset_well(bob, CARD);
        model_fail(CARD, "flr", ENOTTY);
        failed = reset(bob, CARD, "flr", NULL);
        expect_error(failed, "ResetFailed", CARD);
        expect_cleanliness(CARD, "unknown");
        model_unfail(CARD, "flr");
        reset_well(bob, CARD);
        model_degrades(CARD, "flr");
        changed = reset(bob, CARD, "flr", NULL);
        expect_error(changed, "ResetFailed", CARD);
        expect_cleanliness(CARD, "unknown");
}
END_TEST

/* ---- require_clean ---- */

static void expect_refused(Client *client, const char *const addresses[], const char *what)
{
        _cleanup_reply_ Reply *reply = call_finish(acquire_start(client, addresses));

        expect_error(reply, "PolicyDenied", CARD);
        expect_error(reply, "PolicyDenied", what);
        expect_error(reply, "PolicyDenied", "rule one (" POLICY_ADMIN_FILE ")");
        expect_error(reply, "PolicyDenied", "Reset it");
}

START_TEST(only_clean_ones_are_leased)
{
        const char *const other[] = {CARD2, NULL};
        int fd;

        policy_put(CLEAN_ONLY);
        start_for_everybody();
        expect_refused(alice, card_alone, "unknown");
        expect_refused(alice, both_cards, "unknown");
        claims_wait("ListLeases", 0);
        fd = claim_finish(acquire_start(alice, other), NULL);
        claim_release(&fd);
        reset_well(bob, CARD);
        fd = lease_take(alice, CARD, NULL);
        claim_release(&fd);
        claims_wait("ListLeases", 0);
        expect_refused(bob, card_alone, "dirty");
        expect_refused(alice, card_alone, "dirty");
        reset_well(alice, CARD);
        fd = lease_take(bob, CARD, NULL);
        /* Whoever has it may reset it before he gives it on. */
        reset_well(bob, CARD);
        claim_release(&fd);
        claims_wait("ListLeases", 0);
        fd = lease_take(alice, CARD, NULL);
        claim_release(&fd);
}
END_TEST

/* Whether it is clean is asked when it is given, and not when somebody comes. */
START_TEST(dirty_while_polkit_is_asked)
{
        _cleanup_reply_ Reply *late = NULL;
        Call *first, *second;
        int fd;

        policy_put(CLEAN_ONLY);
        mock_polkit_start(MOCK_POLKIT_HANG);
        fixture_devices();
        fixture_start();
        (void) reset_start(bob, CARD, "flr", NULL);
        (void) mock_polkit_request(0);
        mock_polkit_answer(0, true, false);
        (void) model_wait("end", CARD, 0);
        daemon_settle();
        expect_cleanliness(CARD, "clean");
        first = acquire_start(alice, card_alone);
        second = acquire_start(bob, card_alone);
        (void) mock_polkit_request(2);
        mock_polkit_answer(1, true, false);
        fd = claim_finish(first, NULL);
        claim_release(&fd);
        claims_wait("ListLeases", 0);
        mock_polkit_answer(2, true, false);
        late = call_finish(second);
        expect_error(late, "PolicyDenied", "dirty");
}
END_TEST

START_TEST(the_policy_changes)
{
        _cleanup_reply_ Reply *set = NULL, *unset = NULL;
        int fd;

        start_for_everybody();
        set = call(observer, device_path(CARD), DEVICE_INTERFACE, "SetPolicy", "a{sv}a{sv}", 1,
                   "require_clean", "b", 1, 0);
        expect_success(set);
        {
                _cleanup_reply_ Reply *refused = call_finish(acquire_start(alice, card_alone));

                expect_error(refused, "PolicyDenied", reply_string(set, "0"));
        }
        unset = manager_call(observer, "UnsetPolicy", "sa{sv}", reply_string(set, "0"), 0);
        expect_success(unset);
        fd = lease_take(alice, CARD, NULL);
        claim_release(&fd);
}
END_TEST

int main(void)
{
        TestProgram program = program_new("clean");

        program_add(&program, from_lease_to_lease);
        program_add(&program, opened_through_vfio);
        program_add(&program, opened_for_a_moment);
        program_add(&program, opened_during_a_reset);
        program_add(&program, failed_resets_prove_nothing);
        program_add(&program, only_clean_ones_are_leased);
        program_add(&program, dirty_while_polkit_is_asked);
        program_add(&program, the_policy_changes);
        return program_run(&program);
}
