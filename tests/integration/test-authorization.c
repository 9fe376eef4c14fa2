/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Who may reset what: the questions to polkit and what becomes of its answers, with the real polkitd where
 * it can show it, with the mock where only the question matters.
 */

#include <string.h>

#include "harness/fixture.h"

/* A Reset for which somebody may be asked for a password. */
static Call *reset_interactive(Client *client, const char *address, const char *method)
{
        sd_bus_message *message = call_message(client, MANAGER_PATH, MANAGER_INTERFACE, "Reset", "ssa{sv}",
                                               address, method, 0);

        ck_assert_int_ge(sd_bus_message_set_allow_interactive_authorization(message, true), 0);
        return call_send(client, message);
}

/* ---- the real polkitd ---- */

START_TEST(alice_may)
{
        _cleanup_reply_ Reply *reply = NULL;

        fixture_devices();
        fixture_start();
        reply = reset(alice, CARD, "flr", NULL);
        expect_success(reply);
        expect_methods_run(CARD, "flr");
}
END_TEST

START_TEST(bob_may_not)
{
        _cleanup_reply_ Reply *reply = NULL;

        fixture_devices();
        fixture_start();
        reply = reset(bob, CARD, "flr", NULL);
        expect_error(reply, ERROR_ACCESS_DENIED, CARD);
        expect_error(reply, ERROR_ACCESS_DENIED, "1002");
        expect_error(reply, ERROR_ACCESS_DENIED, "org.pciresetd1.reset");
        ck_assert_str_eq(reply_string(reply, "1.attempts.0.error"), "PolicyDenied");
        ck_assert_str_eq(reply_string(reply, "1.attempts.0.why"), "not-authorized");
        expect_nothing_written();
}
END_TEST

START_TEST(without_rules_nobody_may)
{
        _cleanup_reply_ Reply *reply = NULL;

        polkit_start("");
        fixture_devices();
        fixture_start();
        reply = reset(alice, CARD, "flr", NULL);
        expect_error(reply, ERROR_INTERACTIVE, CARD);
        ck_assert_str_eq(reply_string(reply, "1.attempts.0.why"), "authentication-required");
        expect_nothing_written();
}
END_TEST

/* Rules see the details; each row is a condition that holds for alice's reset of CARD by flr, and how to
 * break it. */
static const struct {
        const char *key, *value, *other;
} detail_rules[] = {
        {"device", CARD, CARD2},           {"vendor_id", "0x8086", "0x10de"},
        {"device_id", "0x10d3", "0x10d4"}, {"class", "0x020000", "0x030000"},
        {"driver", "", "vfio-pci"},        {"method", "flr", "bus"},
        {"scope", "function", "link"},     {"reset_set", CARD, CARD " " CARD2},
        {"in_use", "false", "true"},       {"owner", "", "alice"},
};

static void run_with_rule(const char *key, const char *value, bool allowed)
{
        _cleanup_free_ char *rules = textf("polkit.addRule(function(action, subject) {\n"
                                           "    return action.lookup('%s') === '%s' ? polkit.Result.YES\n"
                                           "                                        : polkit.Result.NO;\n"
                                           "});\n",
                                           key, value);
        _cleanup_reply_ Reply *reply = NULL;

        polkit_start(rules);
        fixture_devices();
        fixture_start();
        reply = reset(bob, CARD, "flr", NULL);
        if (allowed)
                expect_success(reply);
        else {
                expect_error(reply, ERROR_ACCESS_DENIED, CARD);
                expect_nothing_written();
        }
}

START_TEST(rules_decide_by_detail)
{
        run_with_rule(detail_rules[_i].key, detail_rules[_i].value, true);
}
END_TEST

START_TEST(rules_refuse_by_detail)
{
        run_with_rule(detail_rules[_i].key, detail_rules[_i].other, false);
}
END_TEST

START_TEST(dialog_allows)
{
        _cleanup_reply_ Reply *reply = NULL, *again = NULL;

        polkit_start("");
        fixture_devices();
        fixture_start();
        agent_register(bob, AGENT_APPROVE);
        reply = call_finish(reset_interactive(bob, CARD, "flr"));
        expect_success(reply);
        ck_assert_str_eq(agent_action(), "org.pciresetd1.reset");
        /* What people read tells which device. */
        ck_assert_ptr_nonnull(strstr(agent_message(), CARD));

        /* Nothing is kept: the next device, and the same one, are asked about anew. */
        again = call_finish(reset_interactive(bob, CARD, "flr"));
        expect_success(again);
        ck_assert_uint_eq(agent_dialogs(), 2);
}
END_TEST

START_TEST(dialog_is_not_for_the_next_device)
{
        _cleanup_reply_ Reply *first = NULL, *second = NULL;

        polkit_start("polkit.addRule(function(action, subject) {\n"
                     "    return action.lookup('device') == '" CARD2 "' ? polkit.Result.NO : null;\n"
                     "});\n");
        fixture_devices();
        fixture_start();
        agent_register(bob, AGENT_APPROVE);
        first = call_finish(reset_interactive(bob, CARD, "flr"));
        expect_success(first);
        second = call_finish(reset_interactive(bob, CARD2, "flr"));
        expect_error(second, ERROR_ACCESS_DENIED, CARD2);
        ck_assert_uint_eq(model_count("begin", CARD2), 0);
}
END_TEST

/* polkit would find it again for every device, before it looks at any rule. */
START_TEST(kept_authorisation_is_none)
{
        _cleanup_reply_ Reply *first = NULL, *second = NULL;

        polkit_start("polkit.addRule(function(action, subject) {\n"
                     "    return action.lookup('device') == '" CARD2 "' ? polkit.Result.NO\n"
                     "                                                 : polkit.Result.AUTH_ADMIN_KEEP;\n"
                     "});\n");
        fixture_devices();
        fixture_start();
        agent_register(bob, AGENT_APPROVE);
        first = call_finish(reset_interactive(bob, CARD, "flr"));
        expect_error(first, ERROR_ACCESS_DENIED, CARD);
        second = call_finish(reset_interactive(bob, CARD2, "flr"));
        expect_error(second, ERROR_ACCESS_DENIED, CARD2);
        expect_nothing_written();
}
END_TEST

START_TEST(dialog_is_closed)
{
        _cleanup_reply_ Reply *reply = NULL;

        polkit_start("");
        fixture_devices();
        fixture_start();
        agent_register(bob, AGENT_DISMISS);
        reply = call_finish(reset_interactive(bob, CARD, "any"));
        expect_error(reply, ERROR_ACCESS_DENIED, CARD);
        ck_assert_str_eq(reply_string(reply, "1.attempts.0.why"), "dismissed");
        /* Whoever closes one dialog does not want it for each further method. */
        ck_assert_uint_eq(agent_dialogs(), 1);
        expect_nothing_written();
}
END_TEST

START_TEST(no_dialog_unless_the_caller_allows_it)
{
        _cleanup_reply_ Reply *reply = NULL;

        polkit_start("");
        fixture_devices();
        fixture_start();
        agent_register(bob, AGENT_APPROVE);
        reply = reset(bob, CARD, "flr", NULL);
        expect_error(reply, ERROR_INTERACTIVE, CARD);
        ck_assert_uint_eq(agent_dialogs(), 0);
        expect_nothing_written();
}
END_TEST

/* It was allowed, but there is nobody who could be asked. */
START_TEST(dialog_allowed_without_agent)
{
        _cleanup_reply_ Reply *reply = NULL;

        polkit_start("");
        fixture_devices();
        fixture_start();
        reply = call_finish(reset_interactive(bob, CARD, "flr"));
        expect_error(reply, ERROR_ACCESS_DENIED, CARD);
        expect_nothing_written();
}
END_TEST

START_TEST(dialog_goes_with_its_caller)
{
        Call *asked;

        polkit_start("");
        fixture_devices();
        fixture_start();
        agent_register(alice, AGENT_WAIT);
        asked = reset_interactive(alice, CARD, "flr");
        wait_until(agent_dialogs() == 1);
        call_abandon(asked);
        alice = client_free(alice);
        client_barrier(bob);
        wait_until(journal_count("MESSAGE_ID", "1e0849b671b3456b990ae567c73187df", "PCIRESETD_RESULT",
                                 "Cancelled", NULL) == 1);
        expect_nothing_written();
}
END_TEST

/* The first rung that polkit allows is taken; those before it are in the record. */
START_TEST(ladder_climbs_past_a_refusal)
{
        _cleanup_reply_ Reply *reply = NULL;

        polkit_start("polkit.addRule(function(action, subject) {\n"
                     "    return action.lookup('method') == 'bus' ? polkit.Result.YES : polkit.Result.NO;\n"
                     "});\n");
        fixture_devices();
        fixture_start();
        reply = reset(bob, CARD, "any", NULL);
        expect_success(reply);
        expect_methods_run(CARD, "bus");
        ck_assert_str_eq(reply_string(reply, "0.method"), "bus");
        ck_assert_uint_eq(reply_length(reply, "0.attempts"), 3);
        ck_assert_str_eq(reply_string(reply, "0.attempts.0.outcome"), "denied");
        ck_assert_str_eq(reply_string(reply, "0.attempts.1.outcome"), "denied");
        ck_assert_str_eq(reply_string(reply, "0.attempts.2.outcome"), "done");
}
END_TEST

static const struct {
        const char *method;
        bool in_use;
        const char *driver;
} example_cases[] = {{"flr", false, NULL}, {"bus", false, "vfio-pci"}, {"flr", true, "e1000e"}};

START_TEST(example_rules_work)
{
        _cleanup_free_ char *path = textf("%s/policy/examples/50-pciresetd-alice.rules",
                                          tested_path("PCIRESETD_SOURCE"));
        _cleanup_free_ char *rules = file_read(path, NULL);
        _cleanup_reply_ Reply *yes = NULL, *no = NULL;
        MockDevice card = mock_card;

        ck_assert_ptr_nonnull(rules);
        polkit_start(rules);
        card.driver = example_cases[_i].driver;
        sysfs_add(&mock_port);
        sysfs_add(&card);
        fixture_start();
        no = reset(bob, CARD, example_cases[_i].method, "in_use", "b", example_cases[_i].in_use, NULL);
        expect_error(no, ERROR_INTERACTIVE, CARD);
        expect_nothing_written();
        yes = reset(alice, CARD, example_cases[_i].method, "in_use", "b", example_cases[_i].in_use, NULL);
        expect_success(yes);
}
END_TEST

/* ---- answers that are no yes ---- */

START_TEST(challenge_without_dialog)
{
        _cleanup_reply_ Reply *reply = NULL;

        mock_polkit_start(MOCK_POLKIT_CHALLENGE);
        fixture_devices();
        fixture_start();
        reply = reset(alice, CARD, "flr", NULL);
        expect_error(reply, ERROR_INTERACTIVE, CARD);
        expect_nothing_written();
}
END_TEST

static const char *const polkit_errors[] = {
        "org.freedesktop.PolicyKit1.Error.Failed",    "org.freedesktop.PolicyKit1.Error.NotAuthorized",
        "org.freedesktop.PolicyKit1.Error.Cancelled", "org.freedesktop.DBus.Error.NoReply",
        "org.freedesktop.DBus.Error.ServiceUnknown",  "org.freedesktop.DBus.Error.LimitsExceeded",
        "org.freedesktop.DBus.Error.AccessDenied",
};

START_TEST(errors_of_polkit_are_a_no)
{
        _cleanup_reply_ Reply *reply = NULL;
        Call *asked;

        mock_polkit_start(MOCK_POLKIT_HANG);
        fixture_devices();
        fixture_start();
        asked = reset_start(alice, CARD, "flr", NULL);
        mock_polkit_fail(0, polkit_errors[_i]);
        reply = call_finish(asked);
        expect_error(reply, ERROR_ACCESS_DENIED, CARD);
        expect_nothing_written();
}
END_TEST

START_TEST(polkit_is_not_there)
{
        _cleanup_reply_ Reply *reply = NULL, *root_reply = NULL, *list = NULL;

        fixture_devices();
        mock_polkit_start(MOCK_POLKIT_YES);
        fixture_start();
        mock_polkit_crash();
        reply = reset(alice, CARD, "flr", NULL);
        expect_error(reply, ERROR_ACCESS_DENIED, CARD);
        expect_error(reply, ERROR_ACCESS_DENIED, "polkit");
        root_reply = reset(observer, CARD, "flr", NULL);
        expect_error(root_reply, ERROR_ACCESS_DENIED, CARD);
        list = manager_call(alice, "ListDevices", NULL);
        expect_success(list);
        expect_nothing_written();
}
END_TEST

START_TEST(polkit_dies_over_the_question)
{
        _cleanup_reply_ Reply *reply = NULL, *again = NULL;
        Call *asked;

        mock_polkit_start(MOCK_POLKIT_HANG);
        fixture_devices();
        fixture_start();
        asked = reset_start(alice, CARD, "flr", NULL);
        (void) mock_polkit_request(0);
        mock_polkit_crash();
        reply = call_finish(asked);
        expect_error(reply, ERROR_ACCESS_DENIED, CARD);
        expect_nothing_written();

        /* And the next one is asked again. */
        mock_polkit_start(MOCK_POLKIT_YES);
        again = reset(alice, CARD, "flr", NULL);
        expect_success(again);
}
END_TEST

START_TEST(real_polkitd_is_killed)
{
        _cleanup_reply_ Reply *reply = NULL, *again = NULL;

        fixture_devices();
        fixture_start();
        polkit_stop();
        reply = reset(alice, CARD, "flr", NULL);
        expect_error(reply, ERROR_ACCESS_DENIED, CARD);
        expect_nothing_written();
        polkit_start(polkit_rules_default);
        again = reset(alice, CARD, "flr", NULL);
        expect_success(again);
}
END_TEST

/* ---- the journal ---- */

START_TEST(journal_tells_the_way)
{
        _cleanup_reply_ Reply *yes = NULL, *no = NULL;
        static const struct {
                const char *id, *uid;
        } entries[] = {
                {"da6b14f0322f47eb93a58c608296bcd6", "1001"}, /* requested */
                {"6a86fa99bee44a97895fd727aef3ea92", "1001"}, /* authorised */
                {"8f199ce7b6cd437ca18113e79890b6d3", "1001"}, /* started */
                {"1e0849b671b3456b990ae567c73187df", "1001"}, /* finished */
                {"da6b14f0322f47eb93a58c608296bcd6", "1002"},
                {"c002b54d40f64c339f2dc425fed23f6a", "1002"}, /* denied */
                {"1e0849b671b3456b990ae567c73187df", "1002"},
        };

        fixture_devices();
        fixture_start();
        yes = reset(alice, CARD, "flr", NULL);
        expect_success(yes);
        no = reset(bob, CARD, "flr", NULL);
        expect_error(no, ERROR_ACCESS_DENIED, "");
        for (size_t i = 0; i < ELEMENTSOF(entries); i++)
                wait_until(journal_count("MESSAGE_ID", entries[i].id, "PCIRESETD_UID", entries[i].uid,
                                         "PCIRESETD_DEVICE", CARD, NULL) == 1);
        ck_assert_uint_eq(journal_count("MESSAGE_ID", entries[3].id, "PCIRESETD_RESULT", "done",
                                        "PCIRESETD_VERDICT", "ok", NULL),
                          1);
        ck_assert_uint_eq(
                journal_count("MESSAGE_ID", entries[3].id, "PCIRESETD_RESULT", "AccessDenied", NULL), 1);
        ck_assert_uint_eq(journal_count("MESSAGE_ID", entries[2].id, "PCIRESETD_UID", "1002", NULL), 0);
}
END_TEST

int main(void)
{
        TestProgram program = program_new("authorization");

        program_add(&program, alice_may);
        program_add(&program, bob_may_not);
        program_add(&program, without_rules_nobody_may);
        program_add_table(&program, rules_decide_by_detail, detail_rules);
        program_add_table(&program, rules_refuse_by_detail, detail_rules);
        program_add(&program, dialog_allows);
        program_add(&program, dialog_is_not_for_the_next_device);
        program_add(&program, kept_authorisation_is_none);
        program_add(&program, dialog_is_closed);
        program_add(&program, no_dialog_unless_the_caller_allows_it);
        program_add(&program, dialog_allowed_without_agent);
        program_add(&program, dialog_goes_with_its_caller);
        program_add(&program, ladder_climbs_past_a_refusal);
        program_add_table(&program, example_rules_work, example_cases);
        program_add(&program, challenge_without_dialog);
        program_add_table(&program, errors_of_polkit_are_a_no, polkit_errors);
        program_add(&program, polkit_is_not_there);
        program_add(&program, polkit_dies_over_the_question);
        program_add(&program, real_polkitd_is_killed);
        program_add(&program, journal_tells_the_way);
        return program_run(&program);
}
