/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The call that takes a lease: polkit's question and what happens meanwhile, bad input, and limits.
 */

#include <string.h>

#include "harness/claims.h"
#include "harness/fixture.h"

/* ---- between the question and the answer ---- */

static Call *start_asked(const char *const addresses[])
{
        Call *asked;

        mock_polkit_start(MOCK_POLKIT_HANG);
        fixture_devices();
        fixture_start();
        signals_watch(observer);
        asked = acquire_start(alice, addresses);
        (void) mock_polkit_request(0);
        return asked;
}

START_TEST(what_polkit_is_told)
{
        Call *asked = start_asked(both_cards);
        const PolkitRequest *request = mock_polkit_request(0);
        int lease;

        ck_assert_str_eq(request->action, "org.pciresetd1.acquire");
        ck_assert_str_eq(request->subject_name, client_name(alice));
        ck_assert_str_eq(mock_polkit_detail(request, "device"), CARD);
        ck_assert_str_eq(mock_polkit_detail(request, "devices"), CARD " " CARD2);
        ck_assert_str_eq(mock_polkit_detail(request, "vendor_id"), "0x8086");
        ck_assert_str_eq(mock_polkit_detail(request, "device_id"), "0x10d3");
        ck_assert_str_eq(mock_polkit_detail(request, "class"), "0x020000");
        ck_assert_str_eq(mock_polkit_detail(request, "driver"), "");
        ck_assert_str_eq(mock_polkit_detail(request, "owner"), "");
        ck_assert_ptr_nonnull(strstr(mock_polkit_detail(request, "polkit.message"), CARD));
        mock_polkit_answer(0, true, false);
        lease = claim_finish(asked, NULL);
        claim_release(&lease);
}
END_TEST

START_TEST(caller_leaves_under_the_question)
{
        Call *asked = start_asked(card_alone);
        size_t n_open = daemon_descriptors();

        call_abandon(asked);
        alice = client_free(alice);
        wait_until(mock_polkit_request(0)->cancelled);
        client_barrier(observer);
        claims_wait("ListLeases", 0);
        expect_lease(CARD, "");
        wait_until(daemon_descriptors() <= n_open);
}
END_TEST

/* Whether it is before or after the reply: nobody has the lease then. */
START_TEST(caller_leaves_at_once)
{
        start_for_everybody();
        for (int i = 0; i < 20; i++) {
                Client *leaver = client_new(UID_ALICE);

                call_abandon(acquire_start(leaver, both_cards));
                ck_assert_int_ge(sd_bus_flush(leaver->bus), 0);
                if (i % 2)
                        client_barrier(observer);
                leaver = client_free(leaver);
                claims_wait("ListLeases", 0);
        }
        expect_lease(CARD, "");
        expect_lease(CARD2, "");
}
END_TEST

START_TEST(device_is_replaced_under_the_question)
{
        Call *asked = start_asked(both_cards);
        _cleanup_reply_ Reply *reply = NULL;

        hotplug_remove(CARD2);
        hotplug_add(&mock_card2);
        (void) signal_wait("InterfacesAdded", NULL, device_path(CARD2));
        mock_polkit_answer(0, true, false);
        reply = call_finish(asked);
        expect_error(reply, "DeviceGone", CARD2);
        claims_wait("ListLeases", 0);
        expect_lease(CARD, "");
}
END_TEST

START_TEST(somebody_is_faster)
{
        Call *asked = start_asked(both_cards), *faster;
        _cleanup_reply_ Reply *reply = NULL;
        int lease;

        faster = acquire_start(bob, card_alone);
        (void) mock_polkit_request(1);
        mock_polkit_answer(1, true, false);
        lease = claim_finish(faster, NULL);
        mock_polkit_answer(0, true, false);
        reply = call_finish(asked);
        expect_error(reply, "Leased", CARD);
        expect_lease(CARD2, "");
        claim_release(&lease);
}
END_TEST

/* A rule may have said yes to a device without driver alone. */
START_TEST(changed_details_are_another_question)
{
        Call *asked = start_asked(card_alone);
        int lease;

        hotplug_bind(CARD, "vfio-pci");
        (void) signal_wait("PropertiesChanged", device_path(CARD), "\"Driver\"");
        mock_polkit_answer(0, true, false);
        ck_assert_str_eq(mock_polkit_detail(mock_polkit_request(1), "driver"), "vfio-pci");
        ck_assert(!call_done(asked));
        mock_polkit_answer(1, true, false);
        lease = claim_finish(asked, NULL);
        claim_release(&lease);
}
END_TEST

/* ---- bad input ---- */

static const struct {
        const char *label;
        const char *addresses[4];
        const char *who, *why, *error, *part;
} bad_cases[] = {
        {"nothing", {NULL}, "me", "", ERROR_INVALID_ARGS, "No device"},
        {"no address", {"nonsense"}, "me", "", ERROR_INVALID_ARGS, "nonsense"},
        {"an empty address", {""}, "me", "", ERROR_INVALID_ARGS, "''"},
        {"unknown", {"0000:7f:00.0"}, "me", "", "NoSuchDevice", "0000:7f:00.0"},
        {"one of them unknown", {CARD, "0000:7f:00.0"}, "me", "", "NoSuchDevice", "0000:7f:00.0"},
        {"twice", {CARD, CARD2, CARD}, "me", "", ERROR_INVALID_ARGS, CARD},
        {"nobody", {CARD}, "", "", ERROR_INVALID_ARGS, "who"},
        {"two lines", {CARD}, "a\nb", "", ERROR_INVALID_ARGS, "who"},
        {"an escape sequence", {CARD}, "\x1b[2J", "", ERROR_INVALID_ARGS, "who"},
        {"an escape sequence of one character", {CARD}, "\xc2\x9b", "", ERROR_INVALID_ARGS, "who"},
        {"control characters as the reason", {CARD}, "me", "\a", ERROR_INVALID_ARGS, "why"},
};

START_TEST(bad_input)
{
        _cleanup_reply_ Reply *reply = NULL;
        sd_bus_message *message;

        start_for_everybody();
        message = call_message(alice, MANAGER_PATH, MANAGER_INTERFACE, "Acquire", NULL);
        ck_assert_int_ge(sd_bus_message_append_strv(message, (char **) bad_cases[_i].addresses), 0);
        ck_assert_int_ge(sd_bus_message_append(message, "ssa{sv}", bad_cases[_i].who, bad_cases[_i].why, 0),
                         0);
        reply = call_finish(call_send(alice, message));
        expect_error(reply, bad_cases[_i].error, bad_cases[_i].part);
        claims_wait("ListLeases", 0);
}
END_TEST

START_TEST(long_texts)
{
        char who[129], why[257];

        start_for_everybody();
        memset(who, 'w', sizeof(who));
        memset(why, 'y', sizeof(why));
        for (size_t over = 0; over < 3; over++) {
                _cleanup_reply_ Reply *reply = NULL;

                who[127 + (over == 1)] = why[255 + (over == 2)] = '\0';
                reply = manager_call(alice, "Acquire", "asssa{sv}", 1, CARD, who, why, 0);
                if (over == 0)
                        expect_success(reply);
                else
                        expect_error(reply, ERROR_INVALID_ARGS, over == 1 ? "who" : "why");
                who[127] = 'w', why[255] = 'y';
                reply = reply_free(reply);
                claims_wait("ListLeases", 0);
        }
}
END_TEST

START_TEST(unknown_options)
{
        _cleanup_reply_ Reply *reply = NULL;

        start_for_everybody();
        reply = manager_call(alice, "Acquire", "asssa{sv}", 1, CARD, "me", "", 1, "force", "b", 1);
        expect_error(reply, ERROR_INVALID_ARGS, "force");
        claims_wait("ListLeases", 0);
}
END_TEST

#define MANY 513U

START_TEST(thousands_of_devices)
{
        static char names[MANY][16];
        const char *addresses[4 * MANY + 1] = {};
        _cleanup_reply_ Reply *over = NULL, *unknown = NULL;
        int lease;

        polkit_start(polkit_rules_everybody);
        for (size_t i = 0; i < MANY; i++) {
                const MockDevice device = {.address = names[i], .methods = "flr"};

                (void) snprintf(names[i], sizeof(names[i]), "0000:%02zx:%02zx.%zu", 1 + i / 256, i / 8 % 32,
                                i % 8);
                sysfs_add(&device);
                addresses[i] = names[i];
        }
        fixture_start();
        over = call_finish(acquire_start(alice, addresses));
        expect_error(over, ERROR_INVALID_ARGS, "512");
        for (size_t i = 0; i < 4 * MANY; i++)
                addresses[i] = "0000:7f:00.0";
        unknown = call_finish(acquire_start(alice, addresses));
        expect_error(unknown, "NoSuchDevice", "0000:7f:00.0");
        claims_wait("ListLeases", 0);
        for (size_t i = 0; i < MANY - 1; i++)
                addresses[i] = names[i];
        addresses[MANY - 1] = NULL;
        lease = claim_finish(acquire_start(alice, addresses), NULL);
        claims_wait("ListLeases", 1);
        claim_release(&lease);
        claims_wait("ListLeases", 0);
}
END_TEST

/* ---- limits ---- */

#define LEASES_PER_UID 64U

START_TEST(leases_are_bounded)
{
        _cleanup_reply_ Reply *reply = NULL;
        int inhibitors[LEASES_PER_UID], lease;
        size_t n_open;

        start_for_everybody();
        n_open = daemon_descriptors();
        for (size_t i = 0; i < LEASES_PER_UID; i++)
                inhibitors[i] = inhibitor_take(alice, CARD2, "block");
        reply = call_finish(acquire_start(alice, card_alone));
        expect_error(reply, "LimitsExceeded", "64");
        /* bob is not concerned. */
        lease = lease_take(bob, CARD, NULL);
        claim_release(&lease);
        for (size_t i = 0; i < LEASES_PER_UID; i++)
                claim_release(&inhibitors[i]);
        claims_wait("ListInhibitors", 0);
        claims_wait("ListLeases", 0);
        lease = lease_take(alice, CARD, NULL);
        claim_release(&lease);
        claims_wait("ListLeases", 0);
        /* At first it may still have been looking who uses what. A leak would be of more than those. */
        wait_until(daemon_descriptors() <= n_open);
}
END_TEST

#define QUESTIONS_PER_UID 8U

START_TEST(questions_are_bounded)
{
        Call *asked[QUESTIONS_PER_UID], *others;
        _cleanup_reply_ Reply *reply = NULL;
        int lease;

        asked[0] = start_asked(card_alone);
        for (size_t i = 1; i < QUESTIONS_PER_UID; i++)
                asked[i] = acquire_start(alice, card_alone);
        (void) mock_polkit_request(QUESTIONS_PER_UID - 1);
        reply = call_finish(acquire_start(alice, card_alone));
        expect_error(reply, "LimitsExceeded", "Too many");
        others = acquire_start(bob, card_alone);
        (void) mock_polkit_request(QUESTIONS_PER_UID);
        mock_polkit_answer(QUESTIONS_PER_UID, true, false);
        lease = claim_finish(others, NULL);
        claim_release(&lease);
        for (size_t i = 0; i < QUESTIONS_PER_UID; i++)
                call_abandon(asked[i]);
}
END_TEST

int main(void)
{
        TestProgram program = program_new("acquire");

        program_add(&program, what_polkit_is_told);
        program_add(&program, caller_leaves_under_the_question);
        program_add(&program, caller_leaves_at_once);
        program_add(&program, device_is_replaced_under_the_question);
        program_add(&program, somebody_is_faster);
        program_add(&program, changed_details_are_another_question);
        program_add_table(&program, bad_input, bad_cases);
        program_add(&program, long_texts);
        program_add(&program, unknown_options);
        program_add(&program, thousands_of_devices);
        program_add(&program, leases_are_bounded);
        program_add(&program, questions_are_bounded);
        return program_run(&program);
}
