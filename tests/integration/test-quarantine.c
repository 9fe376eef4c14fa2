/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Quarantine: a device that a reset has left dead or changed is given to nobody, over restarts, until it is
 * proved to be well or somebody in charge lets it out.
 */

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "harness/claims.h"
#include "harness/fixture.h"

#define MESSAGE_ID_BEGUN "71d08b3a45da4e729c6f8bc464b028a1"
#define MESSAGE_ID_ENDED "ab6719a45dad47eeb13913bec72cf86b"
#define STORE            "/var/lib/pciresetd/quarantine"
#define RECORD           STORE "/" PORT "_00.0,8086:10d3,8086:10d3.json"

/* Both may reset and acquire, alice alone may deal with quarantine. */
static const char rules[] = "polkit.addRule(function(action, subject) {\n"
                            "    if (action.id == 'org.pciresetd1.quarantine' && subject.user == 'bob')\n"
                            "        return polkit.Result.NO;\n"
                            "    if (action.id.indexOf('org.pciresetd1.') == 0)\n"
                            "        return polkit.Result.YES;\n"
                            "});\n";

static void start(void)
{
        polkit_start(rules);
        fixture_devices();
        fixture_start();
        signals_watch(observer);
}

static Reply *quarantine(Client *client, const char *address, const char *reason)
{
        return call(client, device_path(address), DEVICE_INTERFACE, "Quarantine", "sa{sv}", reason, 0);
}

static Reply *release(Client *client, const char *address, const char *reason)
{
        return call(client, device_path(address), DEVICE_INTERFACE, "ReleaseQuarantine", "a{sv}", 1,
                    "reason", "s", reason);
}

static Reply *evidence(const char *address)
{
        return get_property(bob, device_path(address), DEVICE_INTERFACE, "Quarantine");
}

static void expect_state(const char *address, const char *expected)
{
        _cleanup_free_ char *state = device_state(bob, address);

        ck_assert_str_eq(state, expected);
}

static void expect_out(const char *address)
{
        _cleanup_reply_ Reply *reply = evidence(address);

        expect_state(address, "idle");
        ck_assert_int_eq(json_object_object_length(reply_at(reply, "0")), 0);
}

static void expect_acquired(Client *client, const char *const addresses[], bool expected)
{
        Call *pending = acquire_start(client, addresses);

        if (expected) {
                int fd = claim_finish(pending, NULL);

                claim_release(&fd);
                claims_wait("ListLeases", 0);
        } else {
                _cleanup_reply_ Reply *reply = call_finish(pending);

                expect_error(reply, "Quarantined", CARD);
                expect_error(reply, "Quarantined", "ReleaseQuarantine");
        }
}

static void let_die(const char *address)
{
        _cleanup_reply_ Reply *reply = NULL;

        model_dies(address, "flr");
        reply = reset(bob, address, "flr", NULL);
        expect_error(reply, "DeviceDead", address);
}

/* Its configuration space, before it is dead. */
static uint8_t config[CONFIG_SIZE];
static size_t config_size;

static void revive(const char *address)
{
        sysfs_config_write(address, 0, config, config_size);
}

/* ---- in and out ---- */

START_TEST(dead_devices_go_in)
{
        _cleanup_reply_ Reply *reply = NULL, *facts = NULL, *list = NULL;

        start();
        let_die(CARD);
        expect_state(CARD, "quarantined");
        expect_state(CARD2, "idle");
        facts = evidence(CARD);
        ck_assert_str_eq(reply_string(facts, "0.cause"), "dead");
        ck_assert_str_eq(reply_string(facts, "0.method"), "flr");
        ck_assert_str_eq(reply_string(facts, "0.reason"), "it does not answer after a reset by flr");
        ck_assert_ptr_null(json_at(facts->body, "0.uid"));
        ck_assert_str_eq(reply_string(facts, "0.checks.0.check"), "answers");
        ck_assert_str_eq(reply_string(facts, "0.checks.0.result"), "failed");
        ck_assert_str_eq(reply_string(facts, "0.checks.0.device"), device_path(CARD));
        signal_wait("PropertiesChanged", device_path(CARD), "Quarantine");
        wait_until(journal_count("MESSAGE_ID", MESSAGE_ID_BEGUN, "PCIRESETD_DEVICE", CARD, "PCIRESETD_CAUSE",
                                 "dead", NULL) == 1);

        /* Nobody gets it any more, alice neither. */
        reply = reset(bob, CARD, "any", NULL);
        expect_error(reply, "Quarantined", "it does not answer after a reset by flr");
        expect_error(reply, "Quarantined", "ReleaseQuarantine");
        expect_methods_run(CARD, "flr");
        expect_acquired(bob, card_alone, false);
        expect_acquired(alice, card_alone, false);
        expect_acquired(alice, both_cards, false);
        list = manager_call(bob, "ListDevices", "");
        ck_assert_ptr_nonnull(strstr(json_object_to_json_string(list->body), "quarantined"));
}
END_TEST

START_TEST(changed_devices_go_in)
{
        _cleanup_reply_ Reply *reply = NULL, *facts = NULL;

        start();
        model_degrades(CARD, "flr");
        reply = reset(bob, CARD, "flr", NULL);
        expect_error(reply, "ResetFailed", CARD);
        facts = evidence(CARD);
        ck_assert_str_eq(reply_string(facts, "0.cause"), "degraded");
        ck_assert_str_eq(reply_string(facts, "0.checks.0.check"), "command");
        expect_state(CARD, "quarantined");
}
END_TEST

/* The ladder goes on over what its own first method has done, without a right to deal with quarantine. */
START_TEST(put_right_by_the_next_method)
{
        _cleanup_reply_ Reply *reply = NULL;

        start();
        sysfs_config_read(CARD, config, &config_size);
        model_degrades(CARD, "flr");
        model_after(CARD, "pm", "config", config, config_size);
        reply = reset(bob, CARD, "any", NULL);
        expect_success(reply);
        expect_methods_run(CARD, "flr pm");
        expect_out(CARD);
        wait_until(journal_count("MESSAGE_ID", MESSAGE_ID_ENDED, "PCIRESETD_DEVICE", CARD, NULL) == 1);
}
END_TEST

/* What the first one has done is not how it was, however little the others do to it. */
START_TEST(not_put_right_by_the_next_method)
{
        _cleanup_reply_ Reply *reply = NULL;

        start();
        model_degrades(CARD, "flr");
        reply = reset(bob, CARD, "any", NULL);
        expect_error(reply, "ResetFailed", "degraded");
        expect_methods_run(CARD, "flr pm bus");
        ck_assert_str_eq(reply_string(reply, "1.checks.3.check"), "command");
        ck_assert_str_eq(reply_string(reply, "1.checks.3.before"), "0x0006");
        ck_assert_str_eq(reply_string(reply, "1.checks.3.after"), "0x0000");
        expect_state(CARD, "quarantined");
}
END_TEST

START_TEST(proof_lets_it_out)
{
        _cleanup_reply_ Reply *reply = NULL, *refused = NULL, *failed = NULL;

        start();
        sysfs_config_read(CARD, config, &config_size);
        let_die(CARD);
        failed = reset(alice, CARD, "flr", NULL);
        expect_error(failed, "DeviceDead", CARD);
        expect_state(CARD, "quarantined");
        revive(CARD);
        refused = reset(bob, CARD, "pm", NULL);
        expect_error(refused, "Quarantined", CARD);
        expect_state(CARD, "quarantined");
        reply = reset(alice, CARD, "pm", NULL);
        expect_success(reply);
        expect_out(CARD);
        expect_acquired(bob, card_alone, true);
}
END_TEST

START_TEST(what_lies_beside_it_goes_on)
{
        _cleanup_reply_ Reply *reply = NULL;

        start();
        let_die(CARD);
        reply = reset(bob, CARD2, "flr", NULL);
        expect_success(reply);
}
END_TEST

/* ---- by hand ---- */

START_TEST(by_hand)
{
        _cleanup_reply_ Reply *in = NULL, *again = NULL, *facts = NULL, *refused = NULL, *out = NULL,
                              *twice = NULL, *denied = NULL, *stays = NULL;

        start();
        denied = quarantine(bob, CARD, "smokes");
        expect_error(denied, "org.freedesktop.DBus.Error.AccessDenied", CARD);
        expect_out(CARD);
        in = quarantine(alice, CARD, "smokes");
        expect_success(in);
        ck_assert_int_eq(access(RECORD, F_OK), 0);
        facts = evidence(CARD);
        ck_assert_str_eq(reply_string(facts, "0.cause"), "requested");
        ck_assert_str_eq(reply_string(facts, "0.reason"), "smokes");
        ck_assert_ptr_null(json_at(facts->body, "0.uid"));
        again = quarantine(alice, CARD, "smells");
        expect_error(again, "Quarantined", "smokes");
        refused = reset(bob, CARD, "flr", NULL);
        expect_error(refused, "Quarantined", "smokes");
        stays = release(bob, CARD, "looks well");
        expect_error(stays, "org.freedesktop.DBus.Error.AccessDenied", CARD);
        expect_state(CARD, "quarantined");
        out = release(alice, CARD, "new fan");
        expect_success(out);
        ck_assert_int_ne(access(RECORD, F_OK), 0);
        expect_out(CARD);
        wait_until(journal_count("MESSAGE_ID", MESSAGE_ID_ENDED, "PCIRESETD_DEVICE", CARD,
                                 "PCIRESETD_REASON", "new fan", NULL) == 1);
        twice = release(alice, CARD, "new fan");
        expect_error(twice, "NotUsable", CARD);
        expect_nothing_written();
}
END_TEST

static const struct {
        const char *label, *reason;
} bad_reasons[] = {
        {"empty", ""},
        {"two lines", "a\nb"},
        {"control character", "a\033b"},
        {"too long", "0123456789012345678901234567890123456789012345678901234567890123456789"
                     "0123456789012345678901234567890123456789012345678901234567890123456789"
                     "0123456789012345678901234567890123456789012345678901234567890123456789"
                     "0123456789012345678901234567890123456789012345"},
};

START_TEST(bad_reasons_are_refused)
{
        _cleanup_reply_ Reply *in = NULL, *out = NULL;

        start();
        in = quarantine(alice, CARD, bad_reasons[_i].reason);
        expect_error(in, "org.freedesktop.DBus.Error.InvalidArgs", "reason");
        out = release(alice, CARD, bad_reasons[_i].reason);
        expect_error(out, "org.freedesktop.DBus.Error.InvalidArgs", "reason");
        expect_out(CARD);
}
END_TEST

START_TEST(bad_options_are_refused)
{
        _cleanup_reply_ Reply *without = NULL, *unknown = NULL, *typed = NULL, *more = NULL;
        const char *path = device_path(CARD);

        start();
        without = call(alice, path, DEVICE_INTERFACE, "ReleaseQuarantine", "a{sv}", 0);
        expect_error(without, "org.freedesktop.DBus.Error.InvalidArgs", "reason");
        unknown = call(alice, path, DEVICE_INTERFACE, "ReleaseQuarantine", "a{sv}", 1, "why", "s", "x");
        expect_error(unknown, "org.freedesktop.DBus.Error.InvalidArgs", "why");
        typed = call(alice, path, DEVICE_INTERFACE, "ReleaseQuarantine", "a{sv}", 1, "reason", "u", 7);
        expect_error(typed, "org.freedesktop.DBus.Error.InvalidArgs", "reason");
        more = call(alice, path, DEVICE_INTERFACE, "Quarantine", "sa{sv}", "x", 1, "reason", "s", "x");
        expect_error(more, "org.freedesktop.DBus.Error.InvalidArgs", "reason");
        expect_out(CARD);
}
END_TEST

/* ---- in the history ---- */

static Reply *events(Client *client, const char *event)
{
        return manager_call(client, "GetHistory", "a{sv}", 1, "event", "s", event);
}

START_TEST(both_ends_are_in_the_history)
{
        _cleanup_reply_ Reply *begun = NULL, *out = NULL, *own = NULL, *others = NULL, *attempts = NULL,
                              *bad = NULL;

        start();
        let_die(CARD);
        begun = events(bob, "quarantine");
        expect_success(begun);
        ck_assert_uint_eq(reply_length(begun, "0"), 1);
        ck_assert_str_eq(reply_string(begun, "0.0.event"), "quarantine");
        ck_assert_str_eq(reply_string(begun, "0.0.address"), CARD);
        ck_assert_str_eq(reply_string(begun, "0.0.method"), "flr");
        ck_assert_str_eq(reply_string(begun, "0.0.why"), "dead");
        ck_assert_str_eq(reply_string(begun, "0.0.reason"), "it does not answer after a reset by flr");
        ck_assert_str_eq(reply_string(begun, "0.0.verdict"), "unverified");
        ck_assert_str_eq(reply_string(begun, "0.0.checks.0.check"), "answers");
        ck_assert_str_eq(reply_string(begun, "0.0.checks.0.result"), "failed");
        ck_assert_int_eq(reply_number(begun, "0.0.uid"), UID_BOB);
        ck_assert_int_eq(json_object_get_boolean(reply_at(begun, "0.0.written")), false);
        attempts = events(bob, "reset");
        ck_assert_uint_eq(reply_length(attempts, "0"), 1);

        /* The reason outlasts the daemon; whose it was is told to himself and to root. */
        out = release(alice, CARD, "new fan");
        expect_success(out);
        daemon_stop();
        daemon_start();
        own = events(alice, "release");
        ck_assert_uint_eq(reply_length(own, "0"), 1);
        ck_assert_str_eq(reply_string(own, "0.0.why"), "by-hand");
        ck_assert_str_eq(reply_string(own, "0.0.reason"), "new fan");
        ck_assert_int_eq(reply_number(own, "0.0.uid"), UID_ALICE);
        others = events(bob, "release");
        ck_assert_str_eq(reply_string(others, "0.0.reason"), "new fan");
        ck_assert(!json_object_object_get_ex(reply_at(others, "0.0"), "uid", NULL));
        bad = events(bob, "party");
        expect_error(bad, "org.freedesktop.DBus.Error.InvalidArgs", "event");
}
END_TEST

START_TEST(the_proof_is_in_the_history)
{
        _cleanup_reply_ Reply *reply = NULL, *rows = NULL;

        start();
        sysfs_config_read(CARD, config, &config_size);
        let_die(CARD);
        revive(CARD);
        reply = reset(alice, CARD, "pm", NULL);
        expect_success(reply);
        rows = events(alice, "release");
        ck_assert_uint_eq(reply_length(rows, "0"), 1);
        ck_assert_str_eq(reply_string(rows, "0.0.why"), "well-again");
        ck_assert_str_eq(reply_string(rows, "0.0.reason"), "");
}
END_TEST

/* ---- over time ---- */

START_TEST(stays_over_a_restart)
{
        _cleanup_reply_ Reply *facts = NULL, *refused = NULL, *out = NULL;

        start();
        let_die(CARD);
        wait_until(access(RECORD, F_OK) == 0);
        if (_i == 0)
                daemon_stop();
        else
                daemon_kill();
        daemon_start();
        expect_state(CARD, "quarantined");
        facts = evidence(CARD);
        ck_assert_str_eq(reply_string(facts, "0.cause"), "dead");
        ck_assert_str_eq(reply_string(facts, "0.checks.0.after"), "all ones");
        refused = reset(bob, CARD, "flr", NULL);
        expect_error(refused, "Quarantined", CARD);
        out = release(alice, CARD, "replaced");
        expect_success(out);
        daemon_kill();
        daemon_start();
        expect_out(CARD);
}
END_TEST

/* The worker is done, and nobody was there to hear it. */
START_TEST(found_while_no_daemon_ran)
{
        _cleanup_reply_ Reply *facts = NULL, *rows = NULL;
        ModelEvent event;
        int hold;

        start();
        model_dies(CARD, "flr");
        hold = model_hold(CARD);
        (void) reset_start(bob, CARD, "flr", NULL);
        event = model_wait("begin", CARD, 0);
        if (_i == 0)
                daemon_kill();
        else
                daemon_stop();
        model_release(&hold);
        wait_until(kill(event.pid, 0) < 0 && errno == ESRCH);
        daemon_start();
        facts = evidence(CARD);
        ck_assert_str_eq(reply_string(facts, "0.cause"), "dead");
        rows = events(bob, "quarantine");
        ck_assert_int_eq(reply_number(rows, "0.0.uid"), UID_BOB);
        expect_state(CARD, "quarantined");
}
END_TEST

/* It still ran when the next daemon came. */
START_TEST(found_by_a_worker_of_an_earlier_daemon)
{
        int hold;

        start();
        model_dies(CARD, "flr");
        hold = model_hold(CARD);
        (void) reset_start(bob, CARD, "flr", NULL);
        (void) model_wait("begin", CARD, 0);
        daemon_kill();
        daemon_start();
        expect_state(CARD, "resetting");
        model_release(&hold);
        wait_until(access(RECORD, F_OK) == 0);
        daemon_settle();
        expect_state(CARD, "quarantined");
}
END_TEST

START_TEST(a_damaged_record_stays_shut)
{
        _cleanup_reply_ Reply *facts = NULL, *refused = NULL;

        directory_make("%s", STORE);
        file_write(RECORD, "{\"version\":", 11);
        file_write(STORE "/rubbish", "x", 1);
        start();
        facts = evidence(CARD);
        ck_assert_str_eq(reply_string(facts, "0.cause"), "unreadable");
        refused = reset(bob, CARD, "flr", NULL);
        expect_error(refused, "Quarantined", "damaged");
        expect_state(CARD2, "idle");
}
END_TEST

START_TEST(stays_over_unplugging)
{
        start();
        let_die(CARD);
        hotplug_remove(CARD);
        signal_wait("InterfacesRemoved", NULL, NULL);
        hotplug_add(&mock_card);
        signal_wait("InterfacesAdded", NULL, NULL);
        expect_state(CARD, "quarantined");
        expect_acquired(alice, card_alone, false);
}
END_TEST

START_TEST(no_disk)
{
        _cleanup_reply_ Reply *in = NULL, *out = NULL;

        /* A file where the directory should be. */
        directory_make("/var/lib/pciresetd");
        start();
        file_write(STORE, "", 0);
        in = quarantine(alice, CARD, "smokes");
        expect_error(in, "org.freedesktop.DBus.Error.Failed", "disk");
        /* It holds all the same. */
        expect_state(CARD, "quarantined");
        out = reset(bob, CARD, "flr", NULL);
        expect_error(out, "Quarantined", "smokes");
        /* The next daemon cannot know who is in. */
        daemon_stop();
        daemon_start_fails();
}
END_TEST

START_TEST(the_caller_leaves_meanwhile)
{
        start();
        (void) call_start(alice, device_path(CARD), DEVICE_INTERFACE, "Quarantine", "sa{sv}", "smokes", 0);
        alice = client_free(alice);
        client_barrier(bob);
        alice = client_new(UID_ALICE);
        /* Either way there is an end to it, and the daemon lives. */
        daemon_settle();
        client_barrier(alice);
}
END_TEST

int main(void)
{
        TestProgram program = program_new("quarantine");

        program_add(&program, dead_devices_go_in);
        program_add(&program, changed_devices_go_in);
        program_add(&program, put_right_by_the_next_method);
        program_add(&program, not_put_right_by_the_next_method);
        program_add(&program, proof_lets_it_out);
        program_add(&program, what_lies_beside_it_goes_on);
        program_add(&program, by_hand);
        program_add(&program, both_ends_are_in_the_history);
        program_add(&program, the_proof_is_in_the_history);
        program_add_table(&program, bad_reasons_are_refused, bad_reasons);
        program_add(&program, bad_options_are_refused);
        if (program_wants("stays_over_a_restart"))
                tcase_add_loop_test(program.cases, stays_over_a_restart, 0, 2);
        if (program_wants("found_while_no_daemon_ran"))
                tcase_add_loop_test(program.cases, found_while_no_daemon_ran, 0, 2);
        program_add(&program, found_by_a_worker_of_an_earlier_daemon);
        program_add(&program, a_damaged_record_stays_shut);
        program_add(&program, stays_over_unplugging);
        program_add(&program, no_disk);
        program_add(&program, the_caller_leaves_meanwhile);
        return program_run(&program);
}
