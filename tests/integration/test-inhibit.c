/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Inhibitors: who has one forbids a reset, whoever asks for it, or is given time to let go before it.
 */

#include <string.h>

#include "harness/claims.h"
#include "harness/fixture.h"
#include "harness/resets.h"

#define MESSAGE_ID_INHIBITED   "5bd86ec9898e4225a28daee187d2d4c3"
#define MESSAGE_ID_UNINHIBITED "c2890a28c9434cd2a73d7f514e17611e"

/* The only one with the mode `block` is told as ListInhibitors tells it. */
static void expect_inhibitor(const Reply *refused)
{
        _cleanup_reply_ Reply *list = claims_list("ListInhibitors");
        const char *told = json_object_to_json_string(reply_at(refused, "1.inhibitors.0"));
        size_t n_blocking = 0;

        ck_assert_uint_eq(reply_length(refused, "1.inhibitors"), 1);
        for (size_t i = 0; i < reply_length(list, "0"); i++) {
                json_object *row = json_object_array_get_idx(reply_at(list, "0"), i);

                if (strcmp(json_object_get_string(json_at(row, "mode")), "block") != 0)
                        continue;
                ck_assert_str_eq(told, json_object_to_json_string(row));
                n_blocking++;
        }
        ck_assert_uint_eq(n_blocking, 1);
        ck_assert_uint_eq(reply_length(refused, "1.owners"), 0);
}

static void expect_inhibited(Client *client, const char *address)
{
        _cleanup_reply_ Reply *reply = reset(client, address, "flr", "in_use", "b", 1, NULL);

        expect_error(reply, "Inhibited", address);
        expect_error(reply, "Inhibited", "a test");
        expect_error(reply, "Inhibited", "to see what happens");
        ck_assert_str_eq(reply_string(reply, "1.attempts.0.why"), "inhibited");
        expect_inhibitor(reply);
}

static void expect_reset(Client *client, const char *address)
{
        _cleanup_reply_ Reply *reply = reset(client, address, "flr", NULL);

        expect_success(reply);
        ck_assert_uint_eq(reply_length(reply, "0.inhibitors"), 0);
}

/* ---- block ---- */

START_TEST(nobody_may_reset_it)
{
        _cleanup_reply_ Reply *list = NULL;
        int inhibitor;

        start_for_everybody();
        inhibitor = inhibitor_take(bob, CARD, "block");
        expect_inhibited(alice, CARD);
        expect_inhibited(bob, CARD);
        expect_inhibited(observer, CARD);
        expect_nothing_written();
        expect_reset(alice, CARD2);

        list = claims_list("ListInhibitors");
        ck_assert_uint_eq(reply_length(list, "0"), 1);
        ck_assert_int_eq(reply_number(list, "0.0.uid"), UID_BOB);
        ck_assert_str_eq(reply_string(list, "0.0.mode"), "block");
        ck_assert_str_eq(reply_string(list, "0.0.who"), "a test");
        ck_assert_str_eq(reply_string(list, "0.0.devices.0"), CARD);

        claim_release(&inhibitor);
        claims_wait("ListInhibitors", 0);
        expect_reset(alice, CARD);
        ck_assert_uint_eq(journal_count("MESSAGE_ID", MESSAGE_ID_INHIBITED, "PCIRESETD_DEVICE", CARD,
                                        "PCIRESETD_UID", "1002", NULL),
                          1);
        ck_assert_uint_eq(journal_count("MESSAGE_ID", MESSAGE_ID_UNINHIBITED, NULL), 1);
}
END_TEST

START_TEST(each_one_is_named)
{
        static const int uids[] = {UID_BOB, UID_ALICE, 0};
        _cleanup_reply_ Reply *reply = NULL;
        int inhibitors[5];

        start_for_everybody();
        inhibitors[0] = inhibitor_take(bob, CARD, "block");
        inhibitors[1] = inhibitor_take(bob, CARD2, "block");
        inhibitors[2] = inhibitor_take(bob, CARD, "delay");
        inhibitors[3] = inhibitor_take(alice, CARD, "block");
        inhibitors[4] = inhibitor_take(observer, NULL, "block");
        reply = reset(alice, CARD, "any", NULL);
        expect_error(reply, "Inhibited", CARD);
        ck_assert_uint_eq(reply_length(reply, "1.inhibitors"), ELEMENTSOF(uids));
        for (size_t i = 0; i < ELEMENTSOF(uids); i++) {
                json_object *row = json_object_array_get_idx(reply_at(reply, "1.inhibitors"), i);

                ck_assert_int_eq(json_object_get_int(json_at(row, "uid")), uids[i]);
                ck_assert_str_eq(json_object_get_string(json_at(row, "mode")), "block");
                ck_assert_uint_eq(json_object_array_length(json_at(row, "devices")), uids[i] == 0 ? 0 : 1);
        }
        expect_nothing_written();
        for (size_t i = 0; i < ELEMENTSOF(inhibitors); i++)
                claim_release(&inhibitors[i]);
}
END_TEST

/* An empty text is allowed, and is no text to be quoted. */
START_TEST(no_reason_is_needed)
{
        sd_bus_message *message;
        _cleanup_reply_ Reply *reply = NULL;
        int inhibitor;

        start_for_everybody();
        message = call_message(bob, MANAGER_PATH, MANAGER_INTERFACE, "Inhibit", NULL);
        ck_assert_int_ge(sd_bus_message_append(message, "assssa{sv}", 1, CARD, "a test", "", "block", 0), 0);
        inhibitor = claim_finish(call_send(bob, message), NULL);
        reply = reset(alice, CARD, "flr", NULL);
        expect_error(reply, "Inhibited", "a test (uid 1002): no reason given");
        expect_nothing_written();
        claim_release(&inhibitor);
}
END_TEST

/* Not even the one who has a lease on it. */
START_TEST(a_lease_does_not_help)
{
        int lease, inhibitor;

        start_for_everybody();
        lease = lease_take(alice, CARD, NULL);
        inhibitor = inhibitor_take(bob, CARD, "block");
        expect_inhibited(alice, CARD);
        expect_nothing_written();
        claim_release(&inhibitor);
        claim_release(&lease);
}
END_TEST

START_TEST(all_devices)
{
        const MockDevice late = {.address = "0000:03:00.0", .methods = "flr"};
        const char *const none[] = {NULL};
        _cleanup_reply_ Reply *refused = NULL;
        int inhibitor;

        start_for_everybody();
        refused = call_finish(inhibit_start(alice, none, "block"));
        expect_error(refused, ERROR_ACCESS_DENIED, "root");
        inhibitor = inhibitor_take(observer, NULL, "block");
        expect_inhibited(alice, CARD);
        expect_inhibited(alice, CARD2);
        hotplug_add(&late);
        (void) signal_wait("InterfacesAdded", NULL, device_path(late.address));
        expect_inhibited(alice, late.address);
        expect_nothing_written();
        claim_release(&inhibitor);
        claims_wait("ListInhibitors", 0);
        expect_reset(alice, late.address);
}
END_TEST

START_TEST(inhibiting_needs_permission)
{
        const char *const devices[] = {CARD, NULL};
        _cleanup_reply_ Reply *reply = NULL;

        fixture_devices();
        fixture_start();
        reply = call_finish(inhibit_start(bob, devices, "delay"));
        expect_error(reply, ERROR_ACCESS_DENIED, "org.pciresetd1.inhibit");
        claims_wait("ListInhibitors", 0);
}
END_TEST

START_TEST(survives_a_restart)
{
        int block, delay;

        start_for_everybody();
        block = inhibitor_take(bob, CARD, "block");
        delay = inhibitor_take(bob, CARD2, "delay");
        daemon_kill();
        daemon_start();
        expect_inhibited(alice, CARD);
        claims_wait("ListInhibitors", 2);
        claim_release(&block);
        claim_release(&delay);
        claims_wait("ListInhibitors", 0);
        expect_reset(alice, CARD);
}
END_TEST

/* It was allowed to begin, and then somebody forbids it. */
START_TEST(comes_while_a_reset_is_queued)
{
        _cleanup_reply_ Reply *reply = NULL, *first_reply = NULL;
        Call *first, *queued;
        int hold, inhibitor;

        polkit_start(polkit_rules_everybody);
        start_with_two_functions();
        hold = reset_hold(&first);
        queued = reset_start(bob, FUNCTION1, "flr", NULL);
        wait_until(signal_nth("JobNew", 1));
        inhibitor = inhibitor_take(bob, FUNCTION1, "block");
        model_release(&hold);
        first_reply = call_finish(first);
        expect_success(first_reply);
        reply = call_finish(queued);
        expect_error(reply, "Inhibited", FUNCTION1);
        ck_assert_uint_eq(model_count("begin", FUNCTION1), 0);
        claim_release(&inhibitor);
}
END_TEST

static void expect_being_reset(Client *client, const char *address)
{
        const char *const addresses[] = {address, NULL};
        _cleanup_reply_ Reply *reply = call_finish(inhibit_start(client, addresses, "block"));

        expect_error(reply, "InUse", CARD);
}

/* Whoever forbids resets relies on none being under way, not even his own. */
START_TEST(not_while_it_is_being_reset)
{
        _cleanup_reply_ Reply *reply = NULL;
        int hold, inhibitor;
        Call *first;

        start_for_everybody();
        hold = reset_hold(&first);
        expect_being_reset(bob, CARD);
        expect_being_reset(alice, CARD);
        expect_being_reset(observer, NULL);
        claims_wait("ListInhibitors", 0);
        /* The one comes in time for the next reset, the other is about another device. */
        inhibitor = inhibitor_take(bob, CARD, "delay");
        claim_release(&inhibitor);
        inhibitor = inhibitor_take(bob, CARD2, "block");
        claim_release(&inhibitor);
        model_release(&hold);
        reply = call_finish(first);
        expect_success(reply);
        inhibitor = inhibitor_take(bob, CARD, "block");
        expect_inhibited(alice, CARD);
        claim_release(&inhibitor);
}
END_TEST

START_TEST(a_mode_is_a_mode)
{
        static const char *const modes[] = {"", "BLOCK", "block ", "delay-weak", "\xc2\x9b"};
        const char *const devices[] = {CARD, NULL};

        start_for_everybody();
        for (size_t i = 0; i < ELEMENTSOF(modes); i++) {
                _cleanup_reply_ Reply *reply = call_finish(inhibit_start(alice, devices, modes[i]));

                expect_error(reply, ERROR_INVALID_ARGS, "block or delay");
        }
        claims_wait("ListInhibitors", 0);
}
END_TEST

/* ---- delay ---- */

static const Signal *wait_prepare(size_t index, bool start)
{
        const Signal *signal;

        wait_until(signal_nth("PrepareForReset", index));
        signal = signal_nth("PrepareForReset", index);
        ck_assert_int_eq(json_object_get_boolean(json_at(signal->body, "2")), start);
        ck_assert_str_eq(json_object_get_string(json_at(signal->body, "1.0")), device_path(CARD));
        return signal;
}

static void wait_for_phase(const char *job, const char *phase)
{
        for (;;) {
                _cleanup_free_ char *found = get_property_string(observer, job, JOB_INTERFACE, "Phase");

                if (strcmp(found, phase) == 0)
                        return;
                client_barrier(observer);
        }
}

static Call *start_delayed(int *ret_inhibitor)
{
        Call *delayed;

        start_for_everybody();
        *ret_inhibitor = inhibitor_take(bob, CARD, "delay");
        delayed = reset_start(alice, CARD, "flr", NULL);
        (void) wait_prepare(0, true);
        return delayed;
}

START_TEST(everybody_is_told)
{
        const Signal *before, *after;

        start_for_everybody();
        expect_reset(alice, CARD);
        before = wait_prepare(0, true);
        after = wait_prepare(1, false);
        ck_assert_int_eq(json_object_get_int(json_at(before->body, "0")),
                         json_object_get_int(json_at(after->body, "0")));
        ck_assert_int_eq(json_object_array_length(json_at(before->body, "1")), 1);
}
END_TEST

/* Nobody is told of what was not allowed. */
START_TEST(nobody_is_told_of_refused_ones)
{
        _cleanup_reply_ Reply *reply = NULL;

        fixture_devices();
        fixture_start();
        signals_watch(observer);
        reply = reset(bob, CARD, "flr", NULL);
        expect_error(reply, ERROR_ACCESS_DENIED, CARD);
        client_barrier(observer);
        loop_drain();
        ck_assert_uint_eq(signal_count("PrepareForReset", NULL, NULL), 0);
        ck_assert_uint_eq(signal_count("JobNew", NULL, NULL), 0);
}
END_TEST

START_TEST(waits_until_it_is_let_go)
{
        _cleanup_reply_ Reply *reply = NULL;
        const char *job;
        Call *delayed;
        int inhibitor;

        delayed = start_delayed(&inhibitor);
        job = json_object_get_string(json_at(signal_wait("JobNew", NULL, CARD)->body, "1"));
        wait_for_phase(job, "inhibited");
        client_barrier(observer);
        expect_nothing_written();
        claim_release(&inhibitor);
        reply = call_finish(delayed);
        expect_success(reply);
        (void) wait_prepare(1, false);
        ck_assert_uint_eq(signal_count("PrepareForReset", NULL, NULL), 2);
}
END_TEST

START_TEST(does_not_wait_for_ever)
{
        _cleanup_reply_ Reply *reply = NULL;
        Call *delayed;
        int inhibitor;

        delayed = start_delayed(&inhibitor);
        reply = call_finish(delayed);
        expect_success(reply);
        ck_assert_uint_eq(model_count("begin", CARD), 1);
        (void) wait_prepare(1, false);
        claim_release(&inhibitor);
}
END_TEST

/* Other resets are not kept waiting. */
START_TEST(a_delayed_reset_holds_no_lane)
{
        const MockDevice second = {.address = "0000:01:00.1", .parent = PORT, .methods = "flr"};
        _cleanup_reply_ Reply *reply = NULL;
        Call *delayed;
        int inhibitor;

        polkit_start(polkit_rules_everybody);
        start_with_two_functions();
        inhibitor = inhibitor_take(bob, CARD, "delay");
        delayed = reset_start(alice, CARD, "flr", NULL);
        (void) wait_prepare(0, true);
        expect_reset(bob, second.address);
        ck_assert_uint_eq(model_count("begin", CARD), 0);
        claim_release(&inhibitor);
        reply = call_finish(delayed);
        expect_success(reply);
}
END_TEST

START_TEST(caller_of_a_delayed_reset_leaves)
{
        Call *delayed;
        int inhibitor;

        delayed = start_delayed(&inhibitor);
        call_abandon(delayed);
        alice = client_free(alice);
        (void) wait_prepare(1, false);
        (void) signal_wait("JobRemoved", NULL, "Cancelled");
        expect_nothing_written();
        claim_release(&inhibitor);
}
END_TEST

START_TEST(forbidden_while_delayed)
{
        _cleanup_reply_ Reply *reply = NULL;
        int delay, block;
        Call *delayed;

        delayed = start_delayed(&delay);
        block = inhibitor_take(bob, CARD, "block");
        claim_release(&delay);
        reply = call_finish(delayed);
        expect_error(reply, "Inhibited", CARD);
        (void) wait_prepare(1, false);
        expect_nothing_written();
        claim_release(&block);
}
END_TEST

int main(void)
{
        TestProgram program = program_new("inhibit");

        program_add(&program, nobody_may_reset_it);
        program_add(&program, each_one_is_named);
        program_add(&program, no_reason_is_needed);
        program_add(&program, a_lease_does_not_help);
        program_add(&program, all_devices);
        program_add(&program, inhibiting_needs_permission);
        program_add(&program, survives_a_restart);
        program_add(&program, comes_while_a_reset_is_queued);
        program_add(&program, not_while_it_is_being_reset);
        program_add(&program, a_mode_is_a_mode);
        program_add(&program, everybody_is_told);
        program_add(&program, nobody_is_told_of_refused_ones);
        program_add(&program, waits_until_it_is_let_go);
        program_add(&program, does_not_wait_for_ever);
        program_add(&program, a_delayed_reset_holds_no_lane);
        program_add(&program, caller_of_a_delayed_reset_leaves);
        program_add(&program, forbidden_while_delayed);
        return program_run(&program);
}
