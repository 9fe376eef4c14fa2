/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Drivers are kept off a device that a reset has left dead, by driver_override, until the quarantine ends;
 * and a card is known again by its serial number.
 */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "harness/claims.h"
#include "harness/fixture.h"
#include "harness/resets.h"

#define MESSAGE_ID_QUARANTINED "71d08b3a45da4e729c6f8bc464b028a1"
#define DRIVER                 "xhci_hcd"
#define KEPT                   "pciresetd-quarantine:"
#define DIRECTORY              "/run/pciresetd/kept-off"
#define STORE                  "/var/lib/pciresetd/quarantine"
#define NUMBERED               PLACE ",00-11-22-33-44-55-66-77.json"
#define PLACE                  STORE "/" PORT "_00.0,8086:10d3,8086:10d3"

static const char rebind_rule[] = "{\"rules\": [{\"id\": \"one\", \"match\": {\"address\": \"" CARD
                                  "\"}, \"settings\": {\"driver\": \"rebind\"}}]}\n";

/* Everybody may do everything. */
static void start_with(const MockDevice *card)
{
        polkit_start(polkit_rules_everybody);
        sysfs_add(&mock_port);
        sysfs_add(card);
        sysfs_driver(DRIVER);
        fixture_start();
        signals_watch(observer);
}

/* No network card, of which an interface may be anywhere. */
static MockDevice bound_card(void)
{
        MockDevice card = mock_card;

        policy_put(rebind_rule);
        card.class = 0x0c0330;
        card.driver = DRIVER;
        return card;
}

static bool override_is(const char *expected)
{
        _cleanup_free_ char *text = sysfs_get(CARD, "driver_override");

        return text && strcmp(text, expected) == 0;
}

static void expect_override(const char *expected)
{
        wait_until(override_is(expected));
        daemon_settle();
        ck_assert(override_is(expected));
}

static void expect_state(const char *expected)
{
        _cleanup_free_ char *state = device_state(bob, CARD);

        ck_assert_str_eq(state, expected);
}

static Reply *evidence(void)
{
        return get_property(bob, device_path(CARD), DEVICE_INTERFACE, "Quarantine");
}

static void let_die(void)
{
        _cleanup_reply_ Reply *reply = NULL;

        model_dies(CARD, "flr");
        reply = reset(bob, CARD, "flr", NULL);
        expect_error(reply, "DeviceDead", CARD);
}

static void release(void)
{
        _cleanup_reply_ Reply *reply = call(alice, device_path(CARD), DEVICE_INTERFACE, "ReleaseQuarantine",
                                            "a{sv}", 1, "reason", "s", "a new fan");

        expect_success(reply);
}

/* ---- drivers ---- */

START_TEST(kept_off_and_let_in)
{
        _cleanup_reply_ Reply *facts = NULL;

        start_with(&mock_card);
        ck_assert(override_is("(null)"));
        let_die();
        expect_override(KEPT);
        facts = evidence();
        ck_assert_int_eq(json_object_get_boolean(reply_at(facts, "0.kept_off")), true);
        ck_assert_int_eq(access(DIRECTORY "/" CARD, F_OK), 0);
        release();
        expect_override("(null)");
        ck_assert_int_ne(access(DIRECTORY "/" CARD, F_OK), 0);
}
END_TEST

/* Whoever keeps a quarantine by hand has said nothing about drivers. */
START_TEST(by_hand_nothing_is_written)
{
        _cleanup_reply_ Reply *reply = NULL;

        start_with(&mock_card);
        reply = call(alice, device_path(CARD), DEVICE_INTERFACE, "Quarantine", "sa{sv}", "smokes", 0);
        expect_success(reply);
        daemon_settle();
        ck_assert(override_is("(null)"));
}
END_TEST

/* A driver that is bound stays, and has its users. */
START_TEST(a_bound_driver_stays)
{
        MockDevice card = mock_card;

        card.driver = "nvme";
        card.class = 0x010802;
        start_with(&card);
        let_die();
        daemon_settle();
        ck_assert(override_is("(null)"));
        /* Until somebody takes it off. */
        hotplug_unbind(CARD);
        expect_override(KEPT);
}
END_TEST

START_TEST(the_old_value_comes_back)
{
        start_with(&mock_card);
        sysfs_set(CARD, "driver_override", "vfio-pci\n");
        let_die();
        expect_override(KEPT "vfio-pci");
        daemon_kill();
        daemon_start();
        expect_override(KEPT "vfio-pci");
        release();
        expect_override("vfio-pci");
}
END_TEST

/* The daemon and its worker are killed between the end of the quarantine and what comes after it. */
START_TEST(the_next_daemon_lets_drivers_in)
{
        int hold;

        start_with(&mock_card);
        let_die();
        expect_override(KEPT);
        hold = model_hold_reads(CARD);
        release();
        daemon_kill();
        model_release(&hold);
        /* It writes nothing for a daemon that is gone, or has written before: either way it ends. */
        daemon_start();
        expect_override("(null)");
        expect_state("idle");
}
END_TEST

/* A reset has taken it away for that time, and brings it back as it was. */
START_TEST(away_when_the_next_daemon_begins)
{
        start_with(&mock_card);
        let_die();
        expect_override(KEPT);
        wait_until(access(PLACE ".json", F_OK) == 0);
        daemon_kill();
        sysfs_remove(CARD);
        ck_assert_int_eq(unlink(PLACE ".json"), 0);
        daemon_start();
        daemon_settle();
        sysfs_add(&mock_card);
        sysfs_set(CARD, "driver_override", KEPT);
        uevent("add", CARD, NULL);
        expect_override("(null)");
        expect_state("idle");
        ck_assert_int_ne(access(DIRECTORY "/" CARD, F_OK), 0);
}
END_TEST

START_TEST(what_an_administrator_writes_stays)
{
        start_with(&mock_card);
        let_die();
        expect_override(KEPT);
        sysfs_set(CARD, "driver_override", "vfio-pci\n");
        daemon_stop();
        daemon_start();
        daemon_settle();
        ck_assert(override_is("vfio-pci"));
        release();
        daemon_settle();
        ck_assert(override_is("vfio-pci"));
}
END_TEST

START_TEST(once_more_when_it_is_plugged_in_again)
{
        start_with(&mock_card);
        let_die();
        expect_override(KEPT);
        hotplug_remove(CARD);
        signal_wait("InterfacesRemoved", NULL, NULL);
        hotplug_add(&mock_card);
        signal_wait("InterfacesAdded", NULL, NULL);
        expect_override(KEPT);
        expect_state("quarantined");
}
END_TEST

/* ---- the driver that was there ---- */

static uint8_t config[CONFIG_SIZE];
static size_t config_size;

static void die_without_driver(void)
{
        const MockDevice card = bound_card();

        start_with(&card);
        sysfs_config_read(CARD, config, &config_size);
        let_die();
        ck_assert_uint_eq(model_count("unbind", CARD), 1);
        ck_assert_uint_eq(model_count("bind", CARD), 0);
        expect_override(KEPT);
        /* Nothing is bound. */
        ck_assert_ptr_null(sysfs_get(CARD, "driver/bind"));
}

START_TEST(proof_gives_it_back)
{
        _cleanup_reply_ Reply *reply = NULL;
        json_object *check;

        die_without_driver();
        sysfs_config_write(CARD, 0, config, config_size);
        if (_i == 1) {
                daemon_kill();
                daemon_start();
        }
        reply = reset(alice, CARD, "pm", NULL);
        expect_success(reply);
        check = find_check(reply, "0", CARD, "driver");
        ck_assert_str_eq(json_object_get_string(json_at(check, "result")), "ok");
        ck_assert_str_eq(json_object_get_string(json_at(check, "after")), DRIVER);
        ck_assert_uint_eq(model_count("bind", CARD), 1);
        expect_override("(null)");
        expect_state("idle");
}
END_TEST

/* It did not come back: that is no success, and the device stays in. */
START_TEST(a_driver_that_does_not_come_back)
{
        _cleanup_reply_ Reply *reply = NULL;
        json_object *check;

        die_without_driver();
        sysfs_config_write(CARD, 0, config, config_size);
        model_knob(CARD, "bind-errno", "5");
        reply = reset(alice, CARD, "pm", NULL);
        expect_error(reply, "ResetFailed", CARD);
        check = find_check(reply, "1", CARD, "driver");
        ck_assert_str_eq(json_object_get_string(json_at(check, "result")), "failed");
        ck_assert_str_eq(json_object_get_string(json_at(check, "before")), DRIVER);
        expect_state("quarantined");
        expect_override(KEPT);
}
END_TEST

/* The next rung of the same job gives back what the last one has left off. */
START_TEST(the_next_rung_gives_it_back)
{
        _cleanup_reply_ Reply *reply = NULL;
        const MockDevice card = bound_card();
        uint8_t moved[CONFIG_SIZE];

        start_with(&card);
        sysfs_config_read(CARD, config, &config_size);
        memcpy(moved, config, sizeof(moved));
        moved[CONFIG_BAR0 + 3] = 0;
        model_after(CARD, "flr", "config", moved, config_size);
        model_after(CARD, "pm", "config", config, config_size);
        reply = reset(alice, CARD, "any", NULL);
        expect_success(reply);
        /* It is again as it was before the first one. */
        expect_methods_run(CARD, "flr pm");
        ck_assert_uint_eq(model_count("unbind", CARD), 1);
        ck_assert_uint_eq(model_count("bind", CARD), 1);
        expect_override("(null)");
        expect_state("idle");
}
END_TEST

/* ---- cards ---- */

static void put_serial(uint8_t last)
{
        const uint8_t header[] = {0x01, 0x00, 0x02, 0x14}, /* error reporting, and behind it */
                capability[] = {0x03, 0x00, 0x01, 0x00, last, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x00};

        sysfs_config_write(CARD, CONFIG_AER_CAP, header, sizeof(header));
        sysfs_config_write(CARD, 0x140, capability, sizeof(capability));
}

static bool is_gone(void)
{
        _cleanup_reply_ Reply *list = manager_call(bob, "ListDevices", "");

        return !strstr(json_object_to_json_string(list->body), CARD);
}

static void unplug(void)
{
        hotplug_remove(CARD);
        wait_until(is_gone());
}

static void plug(uint8_t serial)
{
        sysfs_add(&mock_card);
        if (serial > 0)
                put_serial(serial);
        uevent("add", CARD, NULL);
        daemon_settle();
}

START_TEST(another_card_in_the_same_place)
{
        _cleanup_reply_ Reply *facts = NULL;
        int fd;

        polkit_start(polkit_rules_everybody);
        sysfs_add(&mock_port);
        sysfs_add(&mock_card);
        put_serial(0x77);
        fixture_start();
        signals_watch(observer);
        let_die();
        facts = evidence();
        ck_assert_str_eq(reply_string(facts, "0.known_by"), "serial-number");
        ck_assert_ptr_null(strstr(json_object_to_json_string(facts->body), "44-55"));
        wait_until(access(PLACE ",00-11-22-33-44-55-66-77.json", F_OK) == 0);
        unplug();
        if (_i == 1) {
                daemon_stop();
                daemon_start();
        }

        plug(0x78);
        expect_state("idle");
        ck_assert(override_is("(null)"));
        fd = claim_finish(acquire_start(bob, card_alone), NULL);
        claim_release(&fd);
        claims_wait("ListLeases", 0);
        unplug();

        plug(0x77);
        expect_state("quarantined");
        release();
        wait_until(access(PLACE ",00-11-22-33-44-55-66-77.json", F_OK) != 0);
        expect_state("idle");
}
END_TEST

/* What is stored there begins with another character. */
static void edit_record(const char *key, char first)
{
        _cleanup_free_ char *text = file_read(NUMBERED, NULL);
        char *value = text ? strstr(text, key) : NULL;

        ck_assert_msg(value, "no %s: %s", key, text);
        value[strlen(key)] = first;
        file_write(NUMBERED, text, strlen(text));
}

/* As versions wrote it that did not know of boots. */
static void forget_boot(void)
{
        _cleanup_free_ char *text = file_read(NUMBERED, NULL);
        char *begin = text ? strstr(text, "\"boot_id\"") : NULL,
             *end = begin ? strstr(begin, "\"checks\"") : NULL;

        ck_assert_msg(end, "no boot: %s", text);
        memmove(begin, end, strlen(end) + 1);
        file_write(NUMBERED, text, strlen(text));
}

static const char *const times[] = {"same boot", "next boot", "old record"};

/* It has lost its firmware, or somebody has written another number into it; it was not seen to leave. */
START_TEST(another_number_of_the_same_card)
{
        _cleanup_reply_ Reply *facts = NULL, *refused = NULL;
        Call *asked;

        polkit_start(polkit_rules_everybody);
        sysfs_add(&mock_port);
        sysfs_add(&mock_card);
        put_serial(0x77);
        sysfs_config_read(CARD, config, &config_size);
        fixture_start();
        let_die();
        expect_override(KEPT);
        wait_until(access(NUMBERED, F_OK) == 0);
        daemon_stop();
        if (strcmp(times[_i], "next boot") == 0)
                edit_record("\"boot_id\":\"", 'x');
        if (strcmp(times[_i], "old record") == 0)
                forget_boot();
        sysfs_set(CARD, "driver_override", "vfio-pci\n");
        ck_assert_int_eq(unlink(DIRECTORY "/" CARD), 0);
        sysfs_config_write(CARD, 0, config, config_size);
        put_serial(0x78);
        daemon_start();
        expect_override(KEPT "vfio-pci");
        wait_until(journal_count("PCIRESETD_DEVICE", CARD, "PCIRESETD_CAUSE", "dead", "MESSAGE_ID",
                                 MESSAGE_ID_QUARANTINED, NULL) == 2);
        expect_state("quarantined");
        facts = evidence();
        ck_assert_ptr_nonnull(strstr(reply_string(facts, "0.reason"), "another one now"));
        asked = acquire_start(bob, card_alone);
        refused = call_finish(asked);
        expect_error(refused, "Quarantined", "another one now");
        release();
        expect_state("idle");
        expect_override("vfio-pci");
}
END_TEST

/* Nobody can tell, and so it stays. */
START_TEST(a_card_without_a_number)
{
        _cleanup_reply_ Reply *facts = NULL, *refused = NULL;
        Call *asked;

        polkit_start(polkit_rules_everybody);
        sysfs_add(&mock_port);
        sysfs_add(&mock_card);
        if (_i == 1)
                put_serial(0x77);
        fixture_start();
        let_die();
        unplug();
        plug(_i == 0 ? 0x78 : 0);
        expect_state("quarantined");
        facts = evidence();
        ck_assert_str_eq(reply_string(facts, "0.known_by"), _i == 0 ? "place" : "serial-number");
        asked = acquire_start(bob, card_alone);
        refused = call_finish(asked);
        expect_error(refused, "Quarantined", _i == 0 ? "cannot be told from it" : CARD);
}
END_TEST

/* By hand, of a card that was never reset: it is asked then. */
START_TEST(a_living_card_is_asked)
{
        _cleanup_reply_ Reply *reply = NULL, *facts = NULL;

        polkit_start(polkit_rules_everybody);
        sysfs_add(&mock_port);
        sysfs_add(&mock_card);
        put_serial(0x77);
        fixture_start();
        reply = call(alice, device_path(CARD), DEVICE_INTERFACE, "Quarantine", "sa{sv}", "smokes", 0);
        expect_success(reply);
        wait_until(access(PLACE ",00-11-22-33-44-55-66-77.json", F_OK) == 0 &&
                   access(PLACE ".json", F_OK) != 0);
        facts = evidence();
        ck_assert_str_eq(reply_string(facts, "0.known_by"), "serial-number");
        unplug();
        plug(0x78);
        expect_state("idle");
}
END_TEST

int main(void)
{
        TestProgram program = program_new("kept-off");

        program_add(&program, kept_off_and_let_in);
        program_add(&program, by_hand_nothing_is_written);
        program_add(&program, a_bound_driver_stays);
        program_add(&program, the_old_value_comes_back);
        program_add(&program, the_next_daemon_lets_drivers_in);
        program_add(&program, away_when_the_next_daemon_begins);
        program_add(&program, what_an_administrator_writes_stays);
        program_add(&program, once_more_when_it_is_plugged_in_again);
        if (program_wants("proof_gives_it_back"))
                tcase_add_loop_test(program.cases, proof_gives_it_back, 0, 2);
        program_add(&program, a_driver_that_does_not_come_back);
        program_add(&program, the_next_rung_gives_it_back);
        if (program_wants("another_number_of_the_same_card"))
                tcase_add_loop_test(program.cases, another_number_of_the_same_card, 0, ELEMENTSOF(times));
        if (program_wants("another_card_in_the_same_place"))
                tcase_add_loop_test(program.cases, another_card_in_the_same_place, 0, 2);
        if (program_wants("a_card_without_a_number"))
                tcase_add_loop_test(program.cases, a_card_without_a_number, 0, 2);
        program_add(&program, a_living_card_is_asked);
        return program_run(&program);
}
