/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What polkit is asked: about whom, for which action, with which details, and what it is not bothered with.
 * The mock records it.
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

/* ---- what polkit is asked ---- */

static void check_detail(const PolkitRequest *request, const char *key, const char *value)
{
        const char *found = mock_polkit_detail(request, key);

        ck_assert_msg(found, "the detail %s is not there", key);
        ck_assert_msg(strcmp(found, value) == 0, "the detail %s is '%s', not '%s'", key, found, value);
}

START_TEST(question_is_as_designed)
{
        const PolkitRequest *request;
        _cleanup_reply_ Reply *reply = NULL;
        Call *asked;

        mock_polkit_start(MOCK_POLKIT_HANG);
        fixture_devices();
        fixture_start();
        asked = reset_start(alice, CARD, "flr", NULL);
        request = mock_polkit_request(0);
        ck_assert_str_eq(request->subject_kind, "system-bus-name");
        ck_assert_str_eq(request->subject_name, client_name(alice));
        ck_assert_str_eq(request->action, "org.pciresetd1.reset");
        ck_assert_uint_eq(request->flags, 0);
        ck_assert_str_ne(request->cancellation_id, "");
        check_detail(request, "device", CARD);
        check_detail(request, "vendor_id", "0x8086");
        check_detail(request, "device_id", "0x10d3");
        check_detail(request, "class", "0x020000");
        check_detail(request, "driver", "");
        check_detail(request, "method", "flr");
        check_detail(request, "scope", "function");
        check_detail(request, "reset_set", CARD);
        check_detail(request, "in_use", "false");
        check_detail(request, "owner", "");
        mock_polkit_answer(0, true, false);
        reply = call_finish(asked);
        expect_success(reply);
        ck_assert_uint_eq(mock_polkit_requests(), 1);
}
END_TEST

START_TEST(question_for_a_link)
{
        const PolkitRequest *request;
        Call *asked;

        mock_polkit_start(MOCK_POLKIT_HANG);
        fixture_devices();
        fixture_start();
        asked = reset_start(alice, CARD, "link", NULL);
        request = mock_polkit_request(0);
        check_detail(request, "method", "bus"); /* the method, not the alias */
        check_detail(request, "scope", "link");
        call_abandon(asked);
}
END_TEST

START_TEST(question_with_others_affected)
{
        const MockDevice pf = {.address = CARD, .parent = PORT, .methods = "flr"};
        const MockDevice vf = {.address = "0000:01:10.0", .parent = PORT, .methods = "flr", .physfn = CARD};
        const PolkitRequest *request;
        Call *asked;

        mock_polkit_start(MOCK_POLKIT_HANG);
        sysfs_add(&mock_port);
        sysfs_add(&pf);
        sysfs_add(&vf);
        fixture_start();
        asked = reset_start(alice, CARD, "flr", NULL);
        request = mock_polkit_request(0);
        ck_assert_str_eq(request->action, "org.pciresetd1.reset-shared");
        check_detail(request, "reset_set", CARD " 0000:01:10.0");
        call_abandon(asked);
}
END_TEST

START_TEST(question_for_a_device_in_use)
{
        MockDevice card = mock_card;
        const PolkitRequest *request;
        Call *asked;

        mock_polkit_start(MOCK_POLKIT_HANG);
        card.driver = "e1000e";
        sysfs_add(&mock_port);
        sysfs_add(&card);
        fixture_start();
        asked = reset_start(alice, CARD, "flr", "in_use", "b", 1, NULL);
        request = mock_polkit_request(0);
        ck_assert_str_eq(request->action, "org.pciresetd1.reset-in-use");
        check_detail(request, "driver", "e1000e");
        check_detail(request, "in_use", "true");
        call_abandon(asked);
}
END_TEST

/* Everything that applies must be granted, one after the other. */
START_TEST(all_actions_are_asked)
{
        const MockDevice pf = {.address = CARD, .parent = PORT, .methods = "flr", .driver = "ixgbe"};
        const MockDevice vf = {.address = "0000:01:10.0", .parent = PORT, .methods = "flr", .physfn = CARD};
        _cleanup_reply_ Reply *reply = NULL;
        Call *asked;

        mock_polkit_start(MOCK_POLKIT_HANG);
        sysfs_add(&mock_port);
        sysfs_add(&pf);
        sysfs_add(&vf);
        fixture_start();
        asked = reset_start(alice, CARD, "flr", "in_use", "b", 1, NULL);
        ck_assert_str_eq(mock_polkit_request(0)->action, "org.pciresetd1.reset-shared");
        mock_polkit_answer(0, true, false);
        ck_assert_str_eq(mock_polkit_request(1)->action, "org.pciresetd1.reset-in-use");
        expect_nothing_written();
        mock_polkit_answer(1, false, false);
        reply = call_finish(asked);
        expect_error(reply, ERROR_ACCESS_DENIED, CARD);
        expect_nothing_written();
}
END_TEST

START_TEST(interactive_flag_is_the_callers)
{
        Call *asked;

        mock_polkit_start(MOCK_POLKIT_HANG);
        fixture_devices();
        fixture_start();
        asked = reset_interactive(alice, CARD, "flr");
        ck_assert_uint_eq(mock_polkit_request(0)->flags, 1);
        call_abandon(asked);
}
END_TEST

/* Root is no exception: whether root may is polkit's to say. */
START_TEST(root_is_asked_too)
{
        _cleanup_reply_ Reply *reply = NULL;

        mock_polkit_start(MOCK_POLKIT_NO);
        fixture_devices();
        fixture_start();
        reply = reset(observer, CARD, "flr", NULL);
        expect_error(reply, ERROR_ACCESS_DENIED, CARD);
        ck_assert_uint_eq(mock_polkit_requests(), 1);
        ck_assert_str_eq(mock_polkit_request(0)->subject_name, client_name(observer));
        expect_nothing_written();
}
END_TEST

START_TEST(every_question_has_its_own_cancellation)
{
        Call *first, *second;

        mock_polkit_start(MOCK_POLKIT_HANG);
        fixture_devices();
        fixture_start();
        first = reset_start(alice, CARD, "flr", NULL);
        second = reset_start(bob, CARD2, "flr", NULL);
        ck_assert_str_ne(mock_polkit_request(0)->cancellation_id, mock_polkit_request(1)->cancellation_id);
        call_abandon(first);
        call_abandon(second);
}
END_TEST

/* What cannot be done is said without asking anybody. */
static const struct {
        const char *address, *method;
} free_refusals[] = {
        {CARD, "acpi"}, {CARD, "nonsense"}, {PORT, "pm"}, {"0000:09:00.0", "flr"}, {PORT, "any"},
};

START_TEST(refusals_cost_no_question)
{
        _cleanup_reply_ Reply *reply = NULL;

        mock_polkit_start(MOCK_POLKIT_YES);
        fixture_devices();
        fixture_start();
        reply = reset(alice, free_refusals[_i].address, free_refusals[_i].method, NULL);
        ck_assert_ptr_nonnull(reply->error);
        ck_assert_uint_eq(mock_polkit_requests(), 0);
        expect_nothing_written();
}
END_TEST

int main(void)
{
        TestProgram program = program_new("question");

        program_add(&program, question_is_as_designed);
        program_add(&program, question_for_a_link);
        program_add(&program, question_with_others_affected);
        program_add(&program, question_for_a_device_in_use);
        program_add(&program, all_actions_are_asked);
        program_add(&program, interactive_flag_is_the_callers);
        program_add(&program, root_is_asked_too);
        program_add(&program, every_question_has_its_own_cancellation);
        program_add_table(&program, refusals_cost_no_question, free_refusals);
        return program_run(&program);
}
