/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Recover, through the whole daemon: which rungs are really climbed, what is believed of a device that has
 * come back, and what is said where nothing helps.
 */

#include <errno.h>
#include <string.h>

#include "harness/claims.h"
#include "harness/fixture.h"
#include "harness/resets.h"

/* Everything goes, but `rescan` for bob. */
static const char rules[] = "polkit.addRule(function(action, subject) {\n"
                            "    if (subject.user == 'bob' && action.lookup('method') == 'rescan')\n"
                            "        return polkit.Result.NO;\n"
                            "    if (action.id.indexOf('org.pciresetd1.') == 0)\n"
                            "        return polkit.Result.YES;\n"
                            "});\n";

/* CARD's configuration space, as long as it is well. */
static uint8_t config[CONFIG_SIZE];
static size_t config_size;

static void start(void)
{
        MockDevice port = mock_port;
        MockDevice card = {.address = CARD, .parent = PORT, .methods = "flr bus", .removable = true};

        polkit_start(rules);
        port.subordinate = port.removable = true;
        sysfs_add(&port);
        sysfs_add(&card);
        sysfs_slot("3", "0000:01:00", PORT);
        fixture_start();
        signals_watch(observer);
        sysfs_config_read(CARD, config, &config_size);
}

static void kill_card(void)
{
        uint8_t ones[CONFIG_SIZE];

        memset(ones, 0xff, config_size);
        sysfs_config_write(CARD, 0, ones, config_size);
}

/* What brings it to life again. */
static void heals(const char *method)
{
        model_after(CARD, method, "config", config, config_size);
}

static Call *recover_start(Client *client)
{
        return call_start(client, device_path(CARD), DEVICE_INTERFACE, "Recover", "a{sv}", 0);
}

static Reply *recover(Client *client)
{
        return call_finish(recover_start(client));
}

static void expect_state(const char *expected)
{
        _cleanup_free_ char *state = device_state(bob, CARD);

        ck_assert_str_eq(state, expected);
}

/* The methods of all attempts, with a mark for those that were not carried out. */
static void expect_attempts(const Reply *reply, const char *result, const char *expected)
{
        _cleanup_free_ char *place = textf("%s.attempts", result), *text = strdup("");
        size_t n = reply_length(reply, place);

        for (size_t i = 0; i < n; i++) {
                json_object *attempt = json_object_array_get_idx(reply_at(reply, place), i);
                const char *outcome = json_object_get_string(json_at(attempt, "outcome"));
                char *longer = textf("%s%s%s%s", text, i > 0 ? " " : "",
                                     strcmp(outcome, "done") == 0 || strcmp(outcome, "failed") == 0 ? ""
                                                                                                    : "!",
                                     json_object_get_string(json_at(attempt, "method")));

                free(text);
                text = longer;
        }
        ck_assert_str_eq(text, expected);
}

static bool needs_power_cycle(const Reply *reply, const char *result)
{
        _cleanup_free_ char *place = textf("%s.needs_power_cycle", result);

        return json_object_get_boolean(reply_at(reply, place));
}

static void expect_quarantine(bool needs_cycle)
{
        _cleanup_reply_ Reply *reply = get_property(bob, device_path(CARD), DEVICE_INTERFACE, "Quarantine");

        expect_state("quarantined");
        ck_assert_int_eq(strstr(reply_string(reply, "0.reason"), "it needs a cold power cycle") != NULL,
                         needs_cycle);
}

static void expect_out(void)
{
        _cleanup_reply_ Reply *reply = get_property(bob, device_path(CARD), DEVICE_INTERFACE, "Quarantine");

        expect_state("idle");
        ck_assert_int_eq(json_object_object_length(reply_at(reply, "0")), 0);
}

/* The first rung does nothing, the link works. */
START_TEST(the_link_works)
{
        _cleanup_reply_ Reply *reply = NULL;

        start();
        model_fail(CARD, "flr", ENOTTY);
        reply = recover(alice);
        expect_success(reply);
        expect_attempts(reply, "0", "flr bus");
        ck_assert_str_eq(reply_string(reply, "0.method"), "bus");
        ck_assert_str_eq(reply_string(reply, "0.verdict"), "ok");
        ck_assert(!needs_power_cycle(reply, "0"));
        expect_methods_run(CARD, "flr bus");
        expect_out();
}
END_TEST

/* A dead device has nothing done to its function. That it answers after the link's reset is no proof: nobody
 * knows how its registers were. Found anew, it is as the kernel sets it up. */
START_TEST(a_dead_device_is_found_anew)
{
        _cleanup_reply_ Reply *reply = NULL;
        Call *running;
        int hold;

        start();
        kill_card();
        heals("bus");
        hold = model_hold(CARD);
        running = recover_start(alice);
        wait_for_state(CARD, "recovering");
        model_release(&hold);
        reply = call_finish(running);
        expect_success(reply);
        ck_assert_str_eq(reply_string(reply, "0.verdict"), "ok");
        check_attempt(reply, "0", 0, "flr", "refused", 0, "dead");
        check_attempt(reply, "0", 1, "bus", "done", 0, "degraded");
        ck_assert_uint_eq(model_count("method", CARD), 1);
        expect_out();
}
END_TEST

static const char *const healers[] = {"slot", "rescan"};

/* Whoever is authorised may bring back what is in quarantine, and the proof lets it out. */
START_TEST(out_of_quarantine)
{
        _cleanup_reply_ Reply *first = NULL, *reply = NULL;

        start();
        model_dies(CARD, "flr");
        first = reset(alice, CARD, "flr", NULL);
        expect_error(first, "DeviceDead", "Recover tries what is left");
        expect_quarantine(false);
        heals(healers[_i]);
        reply = recover(alice);
        expect_success(reply);
        ck_assert_str_eq(reply_string(reply, "0.method"), healers[_i]);
        /* What has only ever killed it comes after what has not. */
        expect_attempts(reply, "0", _i == 0 ? "bus subordinate slot" : "bus subordinate slot !flr rescan");
        signal_wait("PropertiesChanged", device_path(CARD), "recovering");
        expect_out();
}
END_TEST

/* The power is on again and nobody is there: another scan finds the device, and it is verified as what the
 * power cycle has made of it. */
START_TEST(the_slot_stays_empty)
{
        _cleanup_reply_ Reply *reply = NULL;

        start();
        kill_card();
        heals("rescan");
        model_knob(CARD, "late", "1");
        reply = recover(alice);
        expect_success(reply);
        expect_attempts(reply, "0", "!flr bus subordinate slot");
        ck_assert_uint_eq(model_count("rescan", PORT), 1);
        expect_state("idle");
}
END_TEST

START_TEST(nothing_helps)
{
        _cleanup_reply_ Reply *reply = NULL;

        start();
        kill_card();
        reply = recover(alice);
        expect_error(reply, "DeviceDead", "it needs a cold power cycle");
        expect_attempts(reply, "1", "!flr bus subordinate slot rescan");
        ck_assert(needs_power_cycle(reply, "1"));
        expect_quarantine(true);
        /* And over a restart. */
        daemon_stop();
        daemon_start();
        expect_quarantine(true);
}
END_TEST

/* What was kept from being tried might have helped. */
START_TEST(polkit_says_no_to_one_rung)
{
        _cleanup_reply_ Reply *reply = NULL;

        start();
        kill_card();
        heals("rescan");
        reply = recover(bob);
        expect_error(reply, "DeviceDead", "What was not tried may help");
        expect_attempts(reply, "1", "!flr bus subordinate slot !rescan");
        ck_assert(!needs_power_cycle(reply, "1"));
        ck_assert_uint_eq(model_count("rescan", NULL), 0);
        expect_quarantine(false);
}
END_TEST

START_TEST(the_policy_forbids_rungs)
{
        _cleanup_reply_ Reply *set = NULL, *reply = NULL;

        start();
        set = manager_call(alice, "SetPolicy", "sa{sv}a{sv}", CARD, 1, "forbid", "as", 2, "slot", "rescan",
                           0);
        expect_success(set);
        kill_card();
        heals("rescan");
        reply = recover(alice);
        expect_error(reply, "DeviceDead", "the policy forbids it");
        expect_attempts(reply, "1", "!flr bus subordinate !slot !rescan");
        ck_assert(!needs_power_cycle(reply, "1"));
        ck_assert_uint_eq(model_count("power", NULL), 0);
        ck_assert_uint_eq(model_count("rescan", NULL), 0);
}
END_TEST

/* Somebody else's lease stands in the way of each rung. */
START_TEST(leases_hold)
{
        _cleanup_reply_ Reply *reply = NULL;
        int lease;

        start();
        lease = claim_finish(acquire_start(bob, card_alone), NULL);
        reply = recover(alice);
        expect_error(reply, "Leased", CARD);
        expect_nothing_written();
        claim_release(&lease);
}
END_TEST

/* As a method of Reset and Plan it is the same. */
START_TEST(by_its_name)
{
        _cleanup_reply_ Reply *plan = NULL, *reply = NULL;

        start();
        plan = manager_call(alice, "Plan", "ssa{sv}", CARD, "recover", 0);
        expect_success(plan);
        ck_assert_uint_eq(reply_length(plan, "0.rungs"), 5);
        ck_assert_str_eq(reply_string(plan, "0.rungs.4.method"), "rescan");
        ck_assert(json_object_get_boolean(reply_at(plan, "0.rungs.4.usable")));
        reply = reset(alice, CARD, "recover", NULL);
        expect_success(reply);
        expect_attempts(reply, "0", "flr");
}
END_TEST

int main(void)
{
        TestProgram program = program_new("recover");

        program_add(&program, the_link_works);
        program_add(&program, a_dead_device_is_found_anew);
        program_add_table(&program, out_of_quarantine, healers);
        program_add(&program, the_slot_stays_empty);
        program_add(&program, nothing_helps);
        program_add(&program, polkit_says_no_to_one_rung);
        program_add(&program, the_policy_forbids_rungs);
        program_add(&program, leases_hold);
        program_add(&program, by_its_name);
        return program_run(&program);
}
