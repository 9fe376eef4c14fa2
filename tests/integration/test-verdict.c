/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The proof: a reset is no success before every device of its set is seen to be as it was. And workers that
 * cannot prove anything, because they die.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "harness/fixture.h"
#include "harness/resets.h"

#define MESSAGE_ID_FINISHED "1e0849b671b3456b990ae567c73187df"

static void start(const char *methods, const char *supported)
{
        MockDevice card = mock_card;

        card.methods = methods;
        card.supported = supported;
        sysfs_add(&mock_port);
        sysfs_add(&card);
        fixture_start();
}

/* ---- the proof ---- */

START_TEST(dead_afterwards)
{
        _cleanup_reply_ Reply *reply = NULL, *last = NULL, *facts = NULL;

        start("flr pm bus", NULL);
        model_dies(CARD, "flr");
        reply = reset(alice, CARD, "flr", NULL);
        expect_error(reply, "DeviceDead", CARD);
        check_attempt(reply, "1", 0, "flr", "done", 0, "dead");
        ck_assert_str_eq(reply_string(reply, "1.verdict"), "dead");
        ck_assert_str_eq(json_object_get_string(json_at(find_check(reply, "1", CARD, "answers"), "result")),
                         "failed");
        check_list("flr pm bus");
        last = get_property(bob, device_path(CARD), DEVICE_INTERFACE, "LastReset");
        ck_assert_str_eq(reply_string(last, "0.verdict"), "dead");
        facts = manager_call(bob, "GetMethods", "sa{sv}", CARD, 0);
        ck_assert_int_eq(reply_number(facts, "0.0.1.proven.dead"), 1);
        wait_until(journal_count("MESSAGE_ID", MESSAGE_ID_FINISHED, "PCIRESETD_RESULT", "DeviceDead",
                                 "PCIRESETD_VERDICT", "dead", NULL) == 1);
}
END_TEST

/* The kernel would save the garbage and write it back: no function-level reset of a device that is dead. */
static const char *const function_methods[] = {"flr", "pm", "function"};

START_TEST(dead_before)
{
        _cleanup_reply_ Reply *reply = NULL;
        uint8_t config[CONFIG_SIZE];

        start("flr pm bus", NULL);
        memset(config, 0xff, sizeof(config));
        sysfs_config_write(CARD, 0, config, sizeof(config));
        reply = reset(alice, CARD, function_methods[_i], NULL);
        expect_error(reply, "DeviceDead", CARD);
        expect_nothing_written();
}
END_TEST

START_TEST(link_reset_may_revive)
{
        _cleanup_reply_ Reply *reply = NULL;
        uint8_t config[CONFIG_SIZE], dead[CONFIG_SIZE];
        size_t size;

        start("flr pm bus", NULL);
        sysfs_config_read(CARD, config, &size);
        model_after(CARD, "bus", "config", config, size);
        memset(dead, 0xff, sizeof(dead));
        sysfs_config_write(CARD, 0, dead, sizeof(dead));
        reply = reset(alice, CARD, "any", NULL);
        expect_methods_run(CARD, "bus");
        /* It answers, but nobody knows how it was before. */
        expect_error(reply, "ResetFailed", CARD);
        ck_assert_str_eq(reply_string(reply, "1.verdict"), "degraded");
        ck_assert_str_eq(reply_string(reply, "1.method"), "bus");
}
END_TEST

/* What a reset may leave behind, and which check must see it. */
static const struct {
        const char *label, *check;
        const char *attribute; /* a text attribute… */
        const char *text;
        size_t offset; /* …or 32 bits of the configuration space */
        uint32_t value;
} damage_cases[] = {
        {"command register cleared", "command", NULL, NULL, CONFIG_COMMAND, 0x00100000},
        {"bus master off", "command", NULL, NULL, CONFIG_COMMAND, 0x00100002},
        {"BAR lost", "bars", NULL, NULL, CONFIG_BAR0, 0},
        {"BAR moved", "bars", NULL, NULL, CONFIG_BAR0 + 4, 0xfea00000},
        {"another device answers", "ids", NULL, NULL, 0, 0x15338086},
        {"another subsystem", "ids", NULL, NULL, 0x2c, 0x00008086},
        {"class changed", "header", NULL, NULL, 8, 0xff000000},
        {"link narrower", "link", NULL, NULL, CONFIG_PCIE_CAP + 16, 0x20130000},
        {"link down", "link", NULL, NULL, CONFIG_PCIE_CAP + 16, 0x00430000},
        {"fatal error counted", "aer", "aer_dev_fatal", "Undefined 1\nTOTAL_ERR_FATAL 1\n", 0, 0},
        {"fatal error pending", "aer", NULL, NULL, CONFIG_AER_CAP + 4, 0x00040000},
};

START_TEST(damage_is_seen)
{
        _cleanup_reply_ Reply *reply = NULL;
        json_object *check;

        start("flr pm bus", NULL);
        if (damage_cases[_i].attribute)
                model_after(CARD, "flr", damage_cases[_i].attribute, damage_cases[_i].text,
                            strlen(damage_cases[_i].text));
        else {
                uint8_t config[CONFIG_SIZE];
                size_t size;

                sysfs_config_read(CARD, config, &size);
                memcpy(config + damage_cases[_i].offset, &damage_cases[_i].value, sizeof(uint32_t));
                model_after(CARD, "flr", "config", config, size);
        }
        reply = reset(alice, CARD, "flr", NULL);
        expect_error(reply, "ResetFailed", CARD);
        check_attempt(reply, "1", 0, "flr", "done", 0, "degraded");
        ck_assert_str_eq(reply_string(reply, "1.verdict"), "degraded");
        check = find_check(reply, "1", CARD, damage_cases[_i].check);
        ck_assert_msg(strcmp(json_object_get_string(json_at(check, "result")), "failed") == 0, "%s",
                      damage_cases[_i].label);
        ck_assert_str_ne(json_object_get_string(json_at(check, "before")),
                         json_object_get_string(json_at(check, "after")));
        check_list("flr pm bus");
}
END_TEST

/* It answers with everything as before, and its driver has given it up. */
START_TEST(a_driver_that_gave_up)
{
        _cleanup_reply_ Reply *reply = NULL;
        MockDevice card = mock_card;
        json_object *check;
        Call *running;
        int hold;

        card.class = 0x010802;
        card.driver = "nvme";
        sysfs_add(&mock_port);
        sysfs_add(&card);
        directory_make("%s/nvme/nvme0", sysfs_path(CARD));
        sysfs_set(CARD, "nvme/nvme0/state", "live");
        fixture_start();
        hold = reset_hold(&running);
        sysfs_set(CARD, "nvme/nvme0/state", "dead");
        model_release(&hold);
        reply = call_finish(running);
        expect_error(reply, "ResetFailed", CARD);
        ck_assert_str_eq(reply_string(reply, "1.verdict"), "degraded");
        check = find_check(reply, "1", CARD, "probe");
        ck_assert_str_eq(json_object_get_string(json_at(check, "result")), "failed");
        ck_assert_str_eq(json_object_get_string(json_at(check, "before")), "nvme0 live");
        ck_assert_str_eq(json_object_get_string(json_at(check, "after")), "nvme0 dead");
}
END_TEST

START_TEST(degraded_makes_the_ladder_climb)
{
        _cleanup_reply_ Reply *reply = NULL;
        uint8_t config[CONFIG_SIZE];
        size_t size;

        start("flr pm bus", NULL);
        sysfs_config_read(CARD, config, &size);
        model_degrades(CARD, "flr");
        /* The next method starts from a cleared register and leaves it so, and the one after that puts it
         * right. */
        model_after(CARD, "bus", "config", config, size);
        reply = reset(alice, CARD, "any", NULL);
        expect_methods_run(CARD, "flr pm bus");
        expect_success(reply);
        check_attempt(reply, "0", 0, "flr", "done", 0, "degraded");
        check_attempt(reply, "0", 1, "pm", "done", 0, "degraded");
        check_attempt(reply, "0", 2, "bus", "done", 0, "ok");
}
END_TEST

START_TEST(slower_link_is_no_damage)
{
        _cleanup_reply_ Reply *reply = NULL;
        uint8_t config[CONFIG_SIZE];
        size_t size;

        start("flr", NULL);
        sysfs_config_read(CARD, config, &size);
        config[CONFIG_PCIE_CAP + 18] = 0x41; /* x4 at 2.5 GT/s: an idle card saves power */
        model_after(CARD, "flr", "config", config, size);
        reply = reset(alice, CARD, "flr", NULL);
        expect_success(reply);
}
END_TEST

START_TEST(conventional_device_has_less_to_check)
{
        const MockDevice old = {.address = CARD, .parent = PORT, .methods = "pm", .conventional = true};
        _cleanup_reply_ Reply *reply = NULL;

        sysfs_add(&mock_port);
        sysfs_add(&old);
        fixture_start();
        reply = reset(alice, CARD, "pm", NULL);
        expect_success(reply);
        ck_assert_str_eq(json_object_get_string(json_at(find_check(reply, "0", CARD, "link"), "result")),
                         "skipped");
}
END_TEST

/* ---- workers that do not do as they should ---- */

START_TEST(worker_is_killed)
{
        _cleanup_reply_ Reply *reply = NULL, *again = NULL;
        _cleanup_free_ char *list = NULL;
        ModelEvent event;
        Call *running;
        int hold;

        start("flr pm bus", NULL);
        hold = model_hold(CARD);
        running = reset_start(alice, CARD, "any", NULL);
        event = model_wait("begin", CARD, 0);
        ck_assert_int_eq(kill(event.pid, SIGKILL), 0);
        reply = call_finish(running);
        /* Nobody knows what it did, so nothing more is tried. */
        expect_error(reply, "ResetFailed", CARD);
        ck_assert_uint_eq(model_count("begin", CARD), 1);
        ck_assert_str_eq(reply_string(reply, "1.verdict"), "unverified");
        /* Somebody has looked at it since, and has put the list back. */
        ck_assert_str_eq(reply_string(reply, "1.checks.0.check"), "answers");
        ck_assert_str_eq(reply_string(reply, "1.checks.0.result"), "ok");
        list = sysfs_get(CARD, "reset_method");
        ck_assert_str_eq(list, "flr pm bus");
        model_release(&hold);
        again = reset(alice, CARD, "flr", NULL);
        expect_success(again);
}
END_TEST

static const char *const bad_workers[] = {"/nonexistent/worker", "/bin/true", "/bin/false", "/etc/passwd"};

START_TEST(worker_is_no_worker)
{
        _cleanup_reply_ Reply *reply = NULL;
        _cleanup_free_ char *argument = textf("--worker=%s", bad_workers[_i]), *state = NULL;

        daemon_argument(argument);
        start("flr pm bus", NULL);
        reply = reset(alice, CARD, "flr", NULL);
        expect_error(reply, "ResetFailed", CARD);
        state = device_state(bob, CARD);
        ck_assert_str_eq(state, "idle");
        wait_until(journal_find("MESSAGE_ID", "29337e5f079a408c9f03101fc44b4d65", NULL));
        expect_nothing_written();
}
END_TEST

/* Between the daemon's last look and the worker's first there is a moment. A worker that waits stretches it.
 */
typedef enum Change {
        REMOVED,
        REPLACED, /* by one of the same make */
        BRIDGE_REPLACED,
        DRIVER_BOUND,
} Change;

static const struct {
        Change change;
        const char *error;
} late_changes[] = {
        {REMOVED, "DeviceGone"},
        {REPLACED, "DeviceGone"},
        {BRIDGE_REPLACED, "DeviceGone"},
        {DRIVER_BOUND, "InUse"},
};

static void make_change(Change change)
{
        if (change == DRIVER_BOUND) {
                sysfs_bind(CARD, "e1000e");
                return;
        }
        sysfs_remove(change == BRIDGE_REPLACED ? PORT : CARD);
        if (change == BRIDGE_REPLACED)
                sysfs_add(&mock_port);
        if (change != REMOVED)
                sysfs_add(&mock_card);
}

START_TEST(changes_before_the_worker_looks)
{
        static const char program[] = "/run/tmp/slow-worker", gate[] = "/run/tmp/gate",
                          closed[] = "/run/tmp/gate-is-closed";
        _cleanup_free_ char *argument = textf("--worker=%s", program);
        _cleanup_reply_ Reply *reply = NULL;
        Call *running;
        int fd = -1;

        file_print(program, "#!/bin/sh\ntest ! -e %s || read line < %s\nexec %s\n", closed, gate,
                   tested_path("PCIRESET_WORKER"));
        ck_assert_int_eq(chmod(program, 0755), 0);
        ck_assert_int_eq(mkfifo(gate, 0600), 0);
        daemon_argument(argument);
        start("flr pm bus", NULL);
        daemon_settle();
        file_print(closed, "%s", "");
        running = reset_start(alice, CARD, "flr", NULL);
        /* Somebody opens the other end: the worker is there. Until then it is looked at now and then. */
        while ((fd = open(gate, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0)
                (void) sd_event_run(loop_event(), 1000);
        make_change(late_changes[_i].change);
        ck_assert_int_eq(write(fd, "\n", 1), 1);
        (void) close(fd);
        reply = call_finish(running);
        expect_error(reply, late_changes[_i].error, CARD);
        expect_nothing_written();
}
END_TEST

START_TEST(device_is_pulled_out_during_the_write)
{
        _cleanup_reply_ Reply *reply = NULL;
        Call *running;
        int hold;

        start("flr pm bus", NULL);
        hold = model_hold(CARD);
        running = reset_start(alice, CARD, "any", NULL);
        (void) model_wait("begin", CARD, 0);
        hotplug_remove(CARD);
        hotplug_add(&mock_card);
        client_barrier(bob);
        model_release(&hold);
        reply = call_finish(running);
        expect_error(reply, "DeviceGone", CARD);
        /* The one that came is not touched: not its list, and no further method. */
        ck_assert_uint_eq(model_count("begin", CARD), 1);
        ck_assert_uint_eq(model_count("list", CARD), 1);
        check_list("flr pm bus");
}
END_TEST

int main(void)
{
        TestProgram program = program_new("verdict");

        program_add(&program, dead_afterwards);
        program_add_table(&program, dead_before, function_methods);
        program_add(&program, link_reset_may_revive);
        program_add_table(&program, damage_is_seen, damage_cases);
        program_add(&program, a_driver_that_gave_up);
        program_add(&program, degraded_makes_the_ladder_climb);
        program_add(&program, slower_link_is_no_damage);
        program_add(&program, conventional_device_has_less_to_check);
        program_add(&program, worker_is_killed);
        program_add_table(&program, worker_is_no_worker, bad_workers);
        program_add_table(&program, changes_before_the_worker_looks, late_changes);
        program_add(&program, device_is_pulled_out_during_the_write);
        return program_run(&program);
}
