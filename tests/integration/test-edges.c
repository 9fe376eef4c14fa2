/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What an administrator has declared to be disturbed together counts as such, in plans, refusals and queues;
 * and a declaration that cannot be read does not pass for none.
 */

#include <string.h>

#include "harness/claims.h"
#include "harness/fixture.h"
#include "harness/resets.h"

#define MESSAGE_ID_POLICY_REFUSED "a580cb2c7d0d4acabcee9be9f87e8250"

#define POLICY_FILE POLICY_RUNTIME_DIR "/50-rail.json"
#define TOGETHER                                                                                            \
        "{\"edges\": [{\"devices\": [\"" CARD "\", \"" CARD2 "\"], \"reason\": \"share a power rail\"}]}\n"

static void declare(const char *text)
{
        directory_make("%s", POLICY_RUNTIME_DIR);
        file_write(POLICY_FILE, text, strlen(text));
}

static Reply *get_plan(Client *client, const char *address)
{
        Reply *plan = manager_call(client, "Plan", "ssa{sv}", address, "flr", 0);

        expect_success(plan);
        ck_assert_uint_eq(reply_length(plan, "0.rungs"), 1);
        return plan;
}

START_TEST(partner_is_in_the_set)
{
        _cleanup_reply_ Reply *plan = NULL, *other = NULL, *done = NULL;

        declare(TOGETHER);
        start_for_everybody();
        plan = get_plan(bob, CARD);
        ck_assert_uint_eq(reply_length(plan, "0.rungs.0.reset_set"), 2);
        ck_assert_str_eq(reply_string(plan, "0.rungs.0.reset_set.0"), device_path(CARD));
        ck_assert_str_eq(reply_string(plan, "0.rungs.0.reset_set.1"), device_path(CARD2));
        ck_assert_str_eq(reply_string(plan, "0.rungs.0.actions.0"), "org.pciresetd1.reset-shared");
        other = get_plan(bob, CARD2);
        ck_assert_str_eq(reply_string(other, "0.rungs.0.reset_set.0"), device_path(CARD2));
        ck_assert_str_eq(reply_string(other, "0.rungs.0.reset_set.1"), device_path(CARD));
        expect_nothing_written();

        /* Idle both: it may be done, and only the one is written to. */
        done = reset(alice, CARD, "flr", NULL);
        expect_success(done);
        ck_assert_uint_eq(reply_length(done, "0.reset_set"), 2);
        expect_methods_run(CARD, "flr");
        expect_methods_run(CARD2, "");
}
END_TEST

/* The same machine without a declaration, and with one that is replaced by nothing. */
START_TEST(without_it_they_are_strangers)
{
        _cleanup_reply_ Reply *plan = NULL;

        directory_make("%s", POLICY_RUNTIME_DIR);
        ck_assert_int_eq(symlink("/dev/null", POLICY_FILE), 0);
        start_for_everybody();
        plan = get_plan(bob, CARD);
        ck_assert_uint_eq(reply_length(plan, "0.rungs.0.reset_set"), 1);
        ck_assert_str_eq(reply_string(plan, "0.rungs.0.actions.0"), "org.pciresetd1.reset");
}
END_TEST

START_TEST(partner_is_leased)
{
        _cleanup_reply_ Reply *reply = NULL, *plan = NULL, *done = NULL;
        _cleanup_free_ char *id = NULL;
        int lease;

        declare(TOGETHER);
        start_for_everybody();
        lease = lease_take(bob, CARD2, &id);
        plan = get_plan(alice, CARD);
        ck_assert(!json_object_get_boolean(reply_at(plan, "0.rungs.0.usable")));
        ck_assert_str_eq(reply_string(plan, "0.rungs.0.why.0"), "leased");
        reply = reset(alice, CARD, "flr", NULL);
        expect_error(reply, "Leased", CARD2);
        expect_error(reply, "Leased", id);
        expect_nothing_written();

        claim_release(&lease);
        claims_wait("ListLeases", 0);
        done = reset(alice, CARD, "flr", NULL);
        expect_success(done);
}
END_TEST

START_TEST(partner_is_in_use)
{
        _cleanup_reply_ Reply *reply = NULL, *plan = NULL, *done = NULL;

        declare(TOGETHER);
        start_for_everybody();
        hotplug_bind(CARD2, "e1000e");
        client_barrier(alice);
        plan = get_plan(alice, CARD);
        ck_assert(!json_object_get_boolean(reply_at(plan, "0.rungs.0.usable")));
        ck_assert_str_eq(reply_string(plan, "0.rungs.0.why.0"), "driver-bound");
        reply = reset(alice, CARD, "flr", NULL);
        expect_error(reply, "InUse", CARD2);
        expect_nothing_written();

        hotplug_unbind(CARD2);
        client_barrier(alice);
        done = reset(alice, CARD, "flr", NULL);
        expect_success(done);
}
END_TEST

START_TEST(partner_waits)
{
        _cleanup_reply_ Reply *first_reply = NULL, *second_reply = NULL;
        Call *first, *second;
        ModelEvent begun, ended;
        int hold;

        declare(TOGETHER);
        start_for_everybody();
        hold = reset_hold(&first);
        second = reset_start(bob, CARD2, "flr", NULL);
        wait_until(signal_nth("JobNew", 1));
        ck_assert_uint_eq(model_count("begin", CARD2), 0);
        model_release(&hold);
        first_reply = call_finish(first);
        second_reply = call_finish(second);
        expect_success(first_reply);
        expect_success(second_reply);
        ended = model_wait("end", CARD, 0);
        begun = model_wait("begin", CARD2, 0);
        ck_assert_uint_le(ended.usec, begun.usec);
}
END_TEST

/* It comes later, and is tied as soon as it is there. */
START_TEST(partner_is_plugged_in)
{
        const MockDevice late = {.address = "0000:03:00.0", .methods = "flr"};
        _cleanup_reply_ Reply *before = NULL, *after = NULL;

        declare("{\"edges\": [{\"devices\": [\"" CARD "\", \"0000:03:00.0\"]}]}");
        start_for_everybody();
        before = get_plan(bob, CARD);
        ck_assert_uint_eq(reply_length(before, "0.rungs.0.reset_set"), 1);
        hotplug_add(&late);
        (void) signal_wait("InterfacesAdded", NULL, device_path(late.address));
        after = get_plan(bob, CARD);
        ck_assert_str_eq(reply_string(after, "0.rungs.0.reset_set.1"), device_path(late.address));
}
END_TEST

START_TEST(broken_file_stops_the_daemon)
{
        const JournalEntry *entry;
        const char *message;

        polkit_start(polkit_rules_everybody);
        fixture_devices();
        declare("{\"edges\": [\n  {\"devices\": [\"" CARD "\" \"" CARD2 "\"]}\n]}\n");
        daemon_start_fails();
        wait_until(journal_find("MESSAGE_ID", MESSAGE_ID_POLICY_REFUSED, "PRIORITY", "3", NULL));
        entry = journal_find("MESSAGE_ID", MESSAGE_ID_POLICY_REFUSED, NULL);
        message = journal_field(entry, "MESSAGE");
        ck_assert_ptr_nonnull(strstr(message, POLICY_FILE));
        ck_assert_ptr_nonnull(strstr(message, "line 2, column 31"));

        declare(TOGETHER);
        daemon_start();
}
END_TEST

int main(void)
{
        TestProgram program = program_new("edges");

        program_add(&program, partner_is_in_the_set);
        program_add(&program, without_it_they_are_strangers);
        program_add(&program, partner_is_leased);
        program_add(&program, partner_is_in_use);
        program_add(&program, partner_waits);
        program_add(&program, partner_is_plugged_in);
        program_add(&program, broken_file_stops_the_daemon);
        return program_run(&program);
}
