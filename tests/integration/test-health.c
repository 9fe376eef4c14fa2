/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * GetHealth: what is remembered of the last look, and a look now, for who may have one.
 */

#include <string.h>

#include "harness/claims.h"
#include "harness/fixture.h"
#include "harness/holders.h"
#include "harness/resets.h"
#include "mock-polkit.h"

/* Bob may do nothing but what he has a lease for. */
static const char rules[] = "polkit.addRule(function(action, subject) {\n"
                            "    if (subject.user == 'bob' && action.id == 'org.pciresetd1.reset')\n"
                            "        return polkit.Result.NO;\n"
                            "    if (action.id.indexOf('org.pciresetd1.') == 0)\n"
                            "        return polkit.Result.YES;\n"
                            "});\n";

static void begin(void)
{
        fixture_devices();
        workers_count();
        fixture_start();
        signals_watch(observer);
        /* The first look at who uses the devices has its own workers. */
        daemon_settle();
}

static void start(void)
{
        polkit_start(rules);
        begin();
}

static Reply *health(Client *client)
{
        return call(client, device_path(CARD), DEVICE_INTERFACE, "GetHealth", "a{sv}", 0);
}

static Call *probe_start(Client *client)
{
        return call_start(client, device_path(CARD), DEVICE_INTERFACE, "GetHealth", "a{sv}", 1, "probe", "b",
                          1);
}

static Reply *probe(Client *client)
{
        return call_finish(probe_start(client));
}

static void kill_card(void)
{
        uint8_t config[CONFIG_SIZE];
        size_t size;

        sysfs_config_read(CARD, config, &size);
        memset(config, 0xff, size);
        sysfs_config_write(CARD, 0, config, size);
}

static void expect_answers(const Reply *reply, const char *result)
{
        ck_assert_str_eq(reply_string(reply, "0.checks.0.check"), "answers");
        ck_assert_str_eq(reply_string(reply, "0.checks.0.result"), result);
        ck_assert_str_eq(reply_string(reply, "0.checks.0.device"), device_path(CARD));
}

/* What a reset has found, for everybody, and without another look. */
START_TEST(the_last_reset_is_remembered)
{
        _cleanup_reply_ Reply *before = NULL, *well = NULL, *first = NULL, *second = NULL, *after = NULL;
        size_t n;

        start();
        before = health(bob);
        expect_success(before);
        ck_assert_int_eq(json_object_object_length(reply_at(before, "0")), 0);
        first = reset(alice, CARD, "flr", NULL);
        expect_success(first);
        n = workers_started();
        well = health(bob);
        ck_assert_str_eq(reply_string(well, "0.verdict"), "ok");
        ck_assert_str_eq(reply_string(well, "0.method"), "flr");
        ck_assert_int_eq(reply_number(well, "0.job"), reply_number(first, "0.job"));
        ck_assert_int_gt(reply_number(well, "0.checked_at"), 0);
        expect_answers(well, "ok");
        ck_assert_uint_eq(workers_started(), n);

        model_dies(CARD, "flr");
        second = reset(alice, CARD, "flr", NULL);
        expect_error(second, "DeviceDead", CARD);
        after = health(bob);
        ck_assert_str_eq(reply_string(after, "0.verdict"), "dead");
        expect_answers(after, "failed");
}
END_TEST

START_TEST(a_look_now)
{
        _cleanup_reply_ Reply *well = NULL, *dead = NULL, *remembered = NULL;

        start();
        well = probe(alice);
        expect_success(well);
        ck_assert_str_eq(reply_string(well, "0.verdict"), "ok");
        ck_assert_str_eq(reply_string(well, "0.method"), "health");
        ck_assert_int_eq(reply_number(well, "0.job"), 0);
        expect_answers(well, "ok");
        kill_card();
        dead = probe(alice);
        ck_assert_str_eq(reply_string(dead, "0.verdict"), "dead");
        remembered = health(bob);
        ck_assert_str_eq(reply_string(remembered, "0.verdict"), "dead");
        ck_assert_int_eq(reply_number(remembered, "0.checked_at"), reply_number(dead, "0.checked_at"));
        expect_nothing_written();
}
END_TEST

/* Whoever may not reset it may not wake it either. */
START_TEST(not_for_everybody)
{
        _cleanup_reply_ Reply *refused = NULL, *granted = NULL;
        size_t n;
        int lease;

        start();
        n = workers_started();
        refused = probe(bob);
        expect_error(refused, ERROR_ACCESS_DENIED, "look how PCI device " CARD " is");
        ck_assert_uint_eq(workers_started(), n);
        lease = lease_take(bob, CARD, NULL);
        granted = probe(bob);
        expect_success(granted);
        claim_release(&lease);
}
END_TEST

/* Those who come while somebody looks have the next look together. */
START_TEST(looks_are_shared)
{
        Call *first, *others[5];
        size_t n;
        int hold;

        mock_polkit_start(MOCK_POLKIT_YES);
        begin();
        hold = model_hold_reads(CARD);
        n = workers_started();
        first = probe_start(alice);
        wait_until(workers_started() == n + 1);
        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                others[i] = probe_start(alice);
        wait_until(mock_polkit_requests() == 1 + ELEMENTSOF(others));
        mock_polkit_flush();
        client_barrier(alice);
        model_release(&hold);
        finish_well(first);
        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                finish_well(others[i]);
        ck_assert_uint_eq(workers_started(), n + 2);
}
END_TEST

/* Nobody can know how a device is that is being reset. */
START_TEST(not_in_the_middle_of_a_reset)
{
        _cleanup_reply_ Reply *reply = NULL;
        Call *running;
        int hold;

        start();
        hold = model_hold(CARD);
        running = reset_start(alice, CARD, "flr", NULL);
        wait_for_state(CARD, "resetting");
        reply = probe(alice);
        expect_error(reply, "NotUsable", "it is just being reset");
        model_release(&hold);
        finish_well(running);
}
END_TEST

START_TEST(options_are_read_strictly)
{
        _cleanup_reply_ Reply *reply = NULL;

        start();
        reply = call(alice, device_path(CARD), DEVICE_INTERFACE, "GetHealth", "a{sv}", 1, "prob", "b", 1);
        expect_error(reply, ERROR_INVALID_ARGS, "prob");
}
END_TEST

int main(void)
{
        TestProgram program = program_new("health");

        program_add(&program, the_last_reset_is_remembered);
        program_add(&program, a_look_now);
        program_add(&program, not_for_everybody);
        program_add(&program, looks_are_shared);
        program_add(&program, not_in_the_middle_of_a_reset);
        program_add(&program, options_are_read_strictly);
        return program_run(&program);
}
