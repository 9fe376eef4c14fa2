/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Errors that the kernel announces: what is told of them, who has to wait while the kernel recovers a
 * device, that its word for a success is not taken, and what the policy wants done.
 */

#include <errno.h>
#include <string.h>

#include "harness/claims.h"
#include "harness/fixture.h"
#include "harness/holders.h"
#include "harness/resets.h"

#define MESSAGE_ID_ERROR "68c2c4cb30984ce695a859badc2c6041"
#define MESSAGE_ID_LOOK  "a54e4ed28d50436782ddd0486fa4845f"

#define BEGIN   "ERROR_EVENT=BEGIN_RECOVERY\nDEVICE_ONLINE=0"
#define SUCCESS "ERROR_EVENT=SUCCESSFUL_RECOVERY\nDEVICE_ONLINE=1"
#define FAILURE "ERROR_EVENT=FAILED_RECOVERY\nDEVICE_ONLINE=0"

/* A second function of the card's. */
#define SIBLING "0000:01:00.1"

static void put_policy(const char *setting)
{
        _cleanup_free_ char *text = textf(
                "{\"rules\": [{\"id\": \"errors\", \"match\": {}, \"settings\": {\"on_error\": \"%s\"}}]}\n",
                setting);

        policy_put(text);
}

static void start(void)
{
        const MockDevice sibling = {.address = SIBLING, .parent = PORT, .methods = "flr", .driver = NULL};

        polkit_start(polkit_rules_everybody);
        fixture_devices();
        sysfs_add(&sibling);
        fixture_start();
        signals_watch(observer);
}

static void start_with(const char *setting)
{
        put_policy(setting);
        start();
}

static void announce(const char *address, const char *properties)
{
        uevent("change", address, properties);
}

static void wait_for_error_state(const char *address, const char *expected)
{
        for (bool found = false; !found;) {
                _cleanup_free_ char *now = get_property_string(observer, device_path(address),
                                                               DEVICE_INTERFACE, "ErrorState");

                found = strcmp(now, expected) == 0;
        }
}

static void expect_state(const char *address, const char *expected)
{
        _cleanup_free_ char *state = device_state(observer, address);

        ck_assert_str_eq(state, expected);
}

/* What a fatal error leaves behind where no driver sets the device up again: the kernel knows its addresses,
 * the device does not. */
static void lose_addresses(const char *address)
{
        static const uint8_t nothing[8];

        sysfs_config_write(address, CONFIG_BAR0, nothing, sizeof(nothing));
}

static void have_addresses(const char *address)
{
        sysfs_set(address, "resource", "%s",
                  "0x00000000fe800000 0x00000000fe81ffff 0x0000000000040200\n"
                  "0x0000000000000000 0x0000000000000000 0x0000000000000000\n");
}

static size_t looks(const char *address, const char *verdict)
{
        return journal_count("MESSAGE_ID", MESSAGE_ID_LOOK, "PCIRESETD_DEVICE", address, "PCIRESETD_VERDICT",
                             verdict, NULL);
}

/* ---- what is told ---- */

START_TEST(it_is_told)
{
        const char *evidence;

        start();
        sysfs_set(CARD, "aer_dev_nonfatal", "%s", "Undefined 0\nCmpltTO 3\nTOTAL_ERR_NONFATAL 3\n");
        sysfs_set(CARD, "aer_dev_fatal", "%s", "Undefined 0\nTOTAL_ERR_FATAL 0\n");
        sysfs_set(PORT, "aer_rootport_total_err_nonfatal", "%s", "5\n");
        announce(CARD, BEGIN);
        (void) signal_wait("PropertiesChanged", device_path(CARD), "begin-recovery");
        wait_until(journal_count("MESSAGE_ID", MESSAGE_ID_ERROR, "PCIRESETD_DEVICE", CARD, "PCIRESETD_EVENT",
                                 "ERROR_EVENT=BEGIN_RECOVERY", "PCIRESETD_ERROR_STATE", "begin-recovery",
                                 NULL) == 1);
        evidence = journal_field(journal_find("MESSAGE_ID", MESSAGE_ID_ERROR, NULL), "PCIRESETD_EVIDENCE");
        ck_assert_ptr_nonnull(strstr(evidence, "0000:01:00.0 event 'ERROR_EVENT=BEGIN_RECOVERY'"));
        ck_assert_ptr_nonnull(strstr(evidence, "nonfatal 3, fatal 0'; 0000:00:04.0 aer '"));
        ck_assert_ptr_nonnull(strstr(evidence, "below nonfatal 5"));
        announce(CARD, SUCCESS);
        (void) signal_wait("PropertiesChanged", device_path(CARD), "successful-recovery");
        wait_until(looks(CARD, "ok") == 1);
        wait_for_error_state(CARD, "successful-recovery");
        expect_state(CARD, "idle");
}
END_TEST

static const struct {
        const char *wedged, *state;
} wedged[] = {
        {"WEDGED=rebind,bus-reset", "wedged"},
        {"WEDGED=vendor-specific", "wedged"},
        {"WEDGED=unknown", "wedged"},
        {"WEDGED=none", "successful-recovery"}, /* the driver has put it right itself */
};

START_TEST(a_wedged_gpu)
{
        _cleanup_free_ char *path = NULL;

        start();
        path = textf("%s/drm/card0", sysfs_path(CARD) + strlen("/sys"));
        uevent_of("drm", "change", path, "HOTPLUG=1");
        uevent_of("drm", "change", path, wedged[_i].wedged);
        wait_for_error_state(CARD, wedged[_i].state);
        wait_for_error_state(PORT, "");
        wait_until(journal_count("MESSAGE_ID", MESSAGE_ID_ERROR, "PCIRESETD_DEVICE", CARD, "PCIRESETD_EVENT",
                                 wedged[_i].wedged, NULL) == 1);
        wait_until(looks(CARD, "ok") == 1);
}
END_TEST

/* Of a device that fails all the time. */
START_TEST(not_all_of_a_storm)
{
        start();
        for (unsigned i = 0; i < 300; i++)
                announce(CARD, BEGIN);
        announce(CARD, FAILURE);
        wait_for_error_state(CARD, "failed-recovery");
        daemon_settle();
        ck_assert_uint_le(journal_count("PCIRESETD_DEVICE", CARD, NULL), 8);
        ck_assert_uint_ge(journal_count("MESSAGE_ID", MESSAGE_ID_ERROR, "PCIRESETD_DEVICE", CARD, NULL), 1);
}
END_TEST

/* ---- while the kernel recovers it ---- */

static const char *const recovering[] = {CARD, SIBLING};

/* The other function of the card has no driver, of which the kernel announces no beginning, and shares the
 * link. */
START_TEST(nothing_new_begins)
{
        const char *const wanted[] = {recovering[_i], NULL};
        _cleanup_reply_ Reply *refused = NULL, *lease = NULL, *other = NULL, *after = NULL;
        int fd;

        start();
        announce(CARD, BEGIN);
        wait_for_error_state(CARD, "begin-recovery");
        refused = reset(alice, recovering[_i], "flr", NULL);
        expect_error(refused, "Recovering", recovering[_i]);
        expect_error(refused, "Recovering", "ErrorState");
        lease = call_finish(acquire_start(alice, wanted));
        expect_error(lease, "Recovering", recovering[_i]);
        expect_nothing_written();
        other = reset(alice, CARD2, "flr", NULL);
        expect_success(other);

        announce(CARD, SUCCESS);
        wait_for_error_state(CARD, "successful-recovery");
        after = reset(alice, recovering[_i], "flr", NULL);
        expect_success(after);
        fd = claim_finish(acquire_start(alice, wanted), NULL);
        claim_release(&fd);
}
END_TEST

static void wait_for_phase(const char *job, const char *phase)
{
        for (bool found = false; !found;) {
                _cleanup_free_ char *now = get_property_string(observer, job, JOB_INTERFACE, "Phase");

                found = strcmp(now, phase) == 0;
        }
}

static const char *const ends[] = {SUCCESS, FAILURE};

START_TEST(queued_jobs_are_not_lost)
{
        _cleanup_reply_ Reply *running = NULL, *waited = NULL;
        _cleanup_free_ char *job = NULL;
        Call *first, *second;
        int hold;

        start();
        hold = reset_hold(&first);
        second = reset_start(bob, SIBLING, "flr", NULL);
        job = strdup(json_object_get_string(json_at(signal_wait("JobNew", NULL, SIBLING)->body, "1")));
        wait_for_phase(job, "queued");
        announce(CARD, BEGIN);
        wait_for_error_state(CARD, "begin-recovery");
        model_release(&hold);
        running = call_finish(first);
        expect_success(running);
        wait_for_phase(job, "waiting_idle");
        daemon_settle();
        wait_for_phase(job, "waiting_idle");
        ck_assert_uint_eq(model_count("begin", SIBLING), 0);

        announce(CARD, ends[_i]);
        waited = call_finish(second);
        expect_success(waited);
        ck_assert_uint_eq(model_count("begin", SIBLING), 1);
}
END_TEST

/* It waits for nobody else: what is removed is not recovered any more. */
START_TEST(the_recovering_one_is_removed)
{
        _cleanup_reply_ Reply *waited = NULL;

        start();
        announce(CARD, BEGIN);
        wait_for_error_state(CARD, "begin-recovery");
        waited = reset(bob, SIBLING, "flr", NULL);
        expect_error(waited, "Recovering", SIBLING);
        hotplug_remove(CARD);
        (void) signal_wait("InterfacesRemoved", MANAGER_PATH, device_path(CARD));
        reply_free(waited);
        waited = reset(bob, SIBLING, "flr", NULL);
        expect_success(waited);
}
END_TEST

/* ---- the kernel's word for it ---- */

START_TEST(a_success_that_is_none)
{
        _cleanup_reply_ Reply *facts = NULL, *refused = NULL;

        start();
        have_addresses(CARD);
        announce(CARD, BEGIN);
        wait_for_error_state(CARD, "begin-recovery");
        lose_addresses(CARD);
        announce(CARD, SUCCESS);
        wait_for_error_state(CARD, "successful-recovery-but-degraded");
        wait_until(looks(CARD, "degraded") == 1);
        expect_state(CARD, "quarantined");
        facts = get_property(bob, device_path(CARD), DEVICE_INTERFACE, "Quarantine");
        ck_assert_str_eq(reply_string(facts, "0.cause"), "error");
        ck_assert_str_eq(reply_string(facts, "0.checks.0.check"), "bars");
        ck_assert_str_eq(reply_string(facts, "0.checks.0.result"), "failed");
        ck_assert_ptr_nonnull(strstr(reply_string(facts, "0.reason"), "0xfe800000"));
        refused = call_finish(acquire_start(alice, card_alone));
        expect_error(refused, "Quarantined", "0xfe800000");
}
END_TEST

START_TEST(a_success_of_a_dead_one)
{
        static const uint8_t ones[64] = {[0 ... 63] = 0xff};

        start_with("notify");
        sysfs_config_write(CARD, 0, ones, sizeof(ones));
        announce(CARD, SUCCESS);
        wait_for_error_state(CARD, "successful-recovery-but-dead");
        /* The rule wants no more than that it is told. */
        daemon_settle();
        expect_state(CARD, "idle");
}
END_TEST

/* ---- what the policy wants ---- */

START_TEST(quarantine_at_the_first_word)
{
        _cleanup_reply_ Reply *facts = NULL, *out = NULL;

        start_with("quarantine");
        sysfs_set(CARD, "aer_dev_fatal", "%s", "Undefined 0\nTOTAL_ERR_FATAL 7\n");
        announce(CARD, BEGIN);
        (void) signal_wait("PropertiesChanged", device_path(CARD), "quarantined");
        facts = get_property(bob, device_path(CARD), DEVICE_INTERFACE, "Quarantine");
        ck_assert_str_eq(reply_string(facts, "0.cause"), "error");
        ck_assert_str_eq(reply_string(facts, "0.checks.0.check"), "event");
        ck_assert_str_eq(reply_string(facts, "0.checks.0.after"), "ERROR_EVENT=BEGIN_RECOVERY");
        ck_assert_str_eq(reply_string(facts, "0.checks.1.check"), "aer");
        ck_assert_str_eq(reply_string(facts, "0.checks.1.device"), device_path(CARD));
        ck_assert_ptr_nonnull(strstr(reply_string(facts, "0.checks.1.after"), "fatal 7"));
        announce(CARD, SUCCESS);
        wait_until(looks(CARD, "ok") == 1);
        expect_state(CARD, "quarantined");
        expect_state(SIBLING, "idle");
        /* It stays over a restart like any other. */
        daemon_kill();
        daemon_start();
        expect_state(CARD, "quarantined");
        /* A reset that is proved to have worked ends both. */
        out = reset(alice, CARD, "flr", NULL);
        expect_success(out);
        expect_state(CARD, "idle");
}
END_TEST

/* What it was made into by the error, and is again by a reset: its own command register. */
START_TEST(it_is_recovered)
{
        _cleanup_reply_ Reply *rows = NULL;

        start_with("recover");
        announce(CARD, FAILURE);
        (void) signal_wait("JobRemoved", NULL, CARD);
        wait_for_error_state(CARD, "");
        ck_assert_uint_eq(model_count("begin", CARD), 1);
        expect_state(CARD, "idle");
        rows = manager_call(observer, "GetHistory", "a{sv}", 2, "address", "s", CARD, "event", "s", "reset");
        ck_assert_str_eq(reply_string(rows, "0.0.method"), "flr");
        ck_assert_str_eq(reply_string(rows, "0.0.verdict"), "ok");
        ck_assert_ptr_nonnull(strstr(reply_string(rows, "0.0.rule"), "errors"));
}
END_TEST

static void expect_not_recovered(void)
{
        _cleanup_reply_ Reply *facts = get_property(bob, device_path(CARD), DEVICE_INTERFACE, "Quarantine"),
                              *refused = call_finish(acquire_start(alice, card_alone));

        expect_state(CARD, "quarantined");
        ck_assert_str_eq(reply_string(facts, "0.cause"), "error");
        expect_error(refused, "Quarantined", "could not recover it");
}

/* It answers and looks well, and yet nobody has brought it back: not the kernel, nor the daemon. */
START_TEST(nobody_recovers_it)
{
        _cleanup_reply_ Reply *proved = NULL;

        start_with("recover");
        model_fail(CARD, NULL, ENOTTY);
        model_fail(PORT, NULL, ENOTTY);
        announce(CARD, FAILURE);
        (void) signal_wait("JobRemoved", NULL, CARD);
        wait_until(looks(CARD, "ok") == 1);
        expect_not_recovered();
        daemon_kill();
        daemon_start();
        expect_not_recovered();
        model_unfail(CARD, NULL);
        proved = reset(alice, CARD, "flr", NULL);
        expect_success(proved);
        expect_state(CARD, "idle");
}
END_TEST

/* The next daemon does not know what was tried and what not. */
START_TEST(killed_in_the_recovery)
{
        int hold;

        start_with("recover");
        model_fail(CARD, "flr", ENOTTY);
        hold = model_hold(CARD);
        announce(CARD, FAILURE);
        (void) model_wait("begin", CARD, 0);
        daemon_kill();
        signals_forget();
        daemon_start();
        model_release(&hold);
        (void) signal_wait("JobRemoved", NULL, CARD);
        expect_not_recovered();
}
END_TEST

/* What the device can do by itself has failed, and what is left would reset the one beside it: only if a
 * rule is about that one, too. */
START_TEST(no_further_than_the_rules)
{
        static const char one[] = "{\"rules\": [{\"id\": \"one\", \"match\": {\"address\": \"" CARD
                                  "\"}, \"settings\": {\"on_error\": \"recover\"}}]}\n";
        const MockDevice port = {
                .address = PORT, .is_bridge = true, .driver = "pcieport", .subordinate = true};
        const MockDevice card = {.address = CARD, .parent = PORT, .methods = "flr"};
        const MockDevice sibling = {.address = SIBLING, .parent = PORT, .methods = "flr"};
        _cleanup_reply_ Reply *rows = NULL;

        if (_i == 0) {
                policy_put(one);
        } else {
                put_policy("recover");
        }
        polkit_start(polkit_rules_everybody);
        sysfs_add(&port);
        sysfs_add(&card);
        sysfs_add(&sibling);
        fixture_start();
        signals_watch(observer);
        model_fail(CARD, "flr", ENOTTY);
        announce(CARD, FAILURE);
        (void) signal_wait("JobRemoved", NULL, CARD);
        ck_assert_uint_eq(model_count("method", PORT), (size_t) _i);
        rows = manager_call(observer, "GetHistory", "a{sv}", 2, "address", "s", CARD, "event", "s", "reset");
        ck_assert_str_eq(reply_string(rows, "0.0.method"), "subordinate");
        ck_assert_str_eq(reply_string(rows, "0.0.why"), _i == 0 ? "no-rule" : "");
        ck_assert_str_eq(reply_string(rows, "0.0.reason"),
                         _i == 0 ? "it would disturb " SIBLING " and no rule wants that to be recovered"
                                 : "");
        expect_state(CARD, _i == 0 ? "quarantined" : "idle");
        expect_state(SIBLING, "idle");
}
END_TEST

/* The kernel has put it right itself, and nothing is left to do. */
START_TEST(nothing_to_recover)
{
        start_with("recover");
        announce(CARD, BEGIN);
        announce(CARD, SUCCESS);
        wait_until(looks(CARD, "ok") == 1);
        daemon_settle();
        wait_for_error_state(CARD, "successful-recovery");
        expect_nothing_written();
}
END_TEST

START_TEST(it_is_in_the_history)
{
        _cleanup_reply_ Reply *rows = NULL;

        start();
        announce(CARD, BEGIN);
        announce(CARD, FAILURE);
        wait_until(looks(CARD, "ok") == 1);
        rows = manager_call(bob, "GetHistory", "a{sv}", 2, "address", "s", CARD, "event", "s", "error");
        ck_assert_uint_eq(reply_length(rows, "0"), 3);
        ck_assert_str_eq(reply_string(rows, "0.0.why"), "failed-recovery");
        ck_assert_str_eq(reply_string(rows, "0.0.reason"), "the device was found to be ok");
        ck_assert_str_eq(reply_string(rows, "0.1.reason"), "ERROR_EVENT=FAILED_RECOVERY");
        ck_assert_str_eq(reply_string(rows, "0.2.why"), "begin-recovery");
        ck_assert_str_eq(reply_string(rows, "0.2.checks.0.check"), "event");
        ck_assert_str_eq(reply_string(rows, "0.2.checks.1.check"), "aer");
}
END_TEST

START_TEST(a_proof_ends_the_error)
{
        _cleanup_reply_ Reply *reply = NULL;

        start_with("notify");
        announce(CARD, FAILURE);
        wait_until(looks(CARD, "ok") == 1);
        wait_for_error_state(CARD, "failed-recovery");
        expect_state(CARD, "idle");
        reply = reset(alice, CARD, "flr", NULL);
        expect_success(reply);
        wait_for_error_state(CARD, "");
}
END_TEST

/* ---- EEH, on files as the kernel for powerpc makes them ---- */

#define FROZEN "0x00000000 0x00000001"
#define THAWED "0x00000078 0x00000000"

/* Both cards are in one endpoint, although they are below different bridges. */
static void start_with_endpoint(const char *state)
{
        polkit_start(polkit_rules_everybody);
        fixture_devices();
        sysfs_set(CARD, "eeh_mode", "0x1");
        sysfs_set(CARD2, "eeh_mode", "0x1");
        sysfs_set(CARD, "eeh_pe_config_addr", "0x10100");
        sysfs_set(CARD2, "eeh_pe_config_addr", "0x10100");
        sysfs_set(CARD, "eeh_pe_state", "%s", state);
        sysfs_set(CARD2, "eeh_pe_state", "%s", state);
        fixture_start();
        signals_watch(observer);
        daemon_settle();
}

START_TEST(what_is_frozen_is_given_to_nobody)
{
        _cleanup_reply_ Reply *lease = NULL, *function = NULL, *plan = NULL, *thawed = NULL, *after = NULL;
        _cleanup_free_ char *written = NULL;
        int fd;

        start_with_endpoint(FROZEN);
        wait_for_error_state(CARD, "frozen");
        wait_for_error_state(CARD2, "frozen");
        wait_for_error_state(PORT, "");
        expect_state(CARD, "idle");
        lease = call_finish(acquire_start(alice, card_alone));
        expect_error(lease, "NotUsable", "frozen");
        function = reset(alice, CARD, "function", NULL);
        expect_error(function, "NotUsable", "frozen");
        expect_nothing_written();
        plan = manager_call(alice, "Plan", "ssa{sv}", CARD, "thaw", 0);
        ck_assert_uint_eq(reply_length(plan, "0.rungs.0.reset_set"), 2);
        ck_assert_int_eq(json_object_get_boolean(reply_at(plan, "0.rungs.0.usable")), true);

        thawed = reset(alice, CARD, "thaw", NULL);
        expect_success(thawed);
        ck_assert_str_eq(reply_string(thawed, "0.method"), "thaw");
        ck_assert_uint_eq(reply_length(thawed, "0.reset_set"), 2);
        expect_methods_run(CARD, "thaw");
        written = sysfs_get(CARD2, "eeh_pe_state");
        ck_assert_str_eq(written, THAWED);
        wait_for_error_state(CARD, "");
        wait_for_error_state(CARD2, "");
        after = reset(alice, CARD, "flr", NULL);
        expect_success(after);
        fd = claim_finish(acquire_start(alice, card_alone), NULL);
        claim_release(&fd);
}
END_TEST

/* The kernel's own recovery has thawed it, and nobody has told. */
START_TEST(it_is_thawed_by_others)
{
        start_with_endpoint(FROZEN);
        wait_for_error_state(CARD, "frozen");
        sysfs_set(CARD, "eeh_pe_state", THAWED);
        (void) get_holders(bob, CARD);
        wait_for_error_state(CARD, "");
        wait_for_error_state(CARD2, "frozen");
}
END_TEST

/* It has answered all the time, so that thawing it is enough. */
START_TEST(what_is_frozen_is_recovered)
{
        put_policy("recover");
        start_with_endpoint(FROZEN);
        announce(CARD, FAILURE);
        (void) signal_wait("JobRemoved", NULL, CARD);
        wait_for_error_state(CARD, "");
        expect_state(CARD, "idle");
        expect_methods_run(CARD, "thaw");
}
END_TEST

START_TEST(it_stays_frozen_after_an_error)
{
        _cleanup_reply_ Reply *lease = NULL;

        start_with_endpoint(THAWED);
        sysfs_set(CARD, "eeh_pe_state", FROZEN);
        announce(CARD, FAILURE);
        wait_for_error_state(CARD, "frozen");
        lease = call_finish(acquire_start(alice, card_alone));
        expect_error(lease, "Quarantined", "frozen");
}
END_TEST

int main(void)
{
        TestProgram program = program_new("errors");

        program_add(&program, it_is_told);
        program_add_table(&program, a_wedged_gpu, wedged);
        program_add(&program, not_all_of_a_storm);
        program_add_table(&program, nothing_new_begins, recovering);
        program_add_table(&program, queued_jobs_are_not_lost, ends);
        program_add(&program, the_recovering_one_is_removed);
        program_add(&program, a_success_that_is_none);
        program_add(&program, a_success_of_a_dead_one);
        program_add(&program, quarantine_at_the_first_word);
        program_add(&program, it_is_recovered);
        program_add(&program, nobody_recovers_it);
        program_add(&program, killed_in_the_recovery);
        program_add_table(&program, no_further_than_the_rules, ((const bool[2]){}));
        program_add(&program, nothing_to_recover);
        program_add(&program, it_is_in_the_history);
        program_add(&program, a_proof_ends_the_error);
        program_add(&program, what_is_frozen_is_given_to_nobody);
        program_add(&program, it_is_thawed_by_others);
        program_add(&program, what_is_frozen_is_recovered);
        program_add(&program, it_stays_frozen_after_an_error);
        return program_run(&program);
}
