/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Workers that are killed, alone or together with the daemon: what they have changed is put back, somebody
 * looks at the devices, the job ends and is told, and nothing that conflicts begins before that. What the
 * command line says to it, and that a journal that hangs is in nobody's way. When the whole machine goes
 * down: test-next-boot.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "harness/claims.h"
#include "harness/fixture.h"
#include "harness/kills.h"

#define MESSAGE_ID_NOT_MENDED "63b1d5b0a0f64f0fa6c4b0c14c2d7e95"

static const Instant instants[] = {BEFORE_THE_FIRST_LIST, IN_THE_RESET, BEFORE_THE_LAST_LIST};

START_TEST(worker_is_killed)
{
        _cleanup_reply_ Reply *reply = NULL;
        Call *running;
        int worker, hold;

        start_with_two_functions();
        hold = come_to(instants[_i], &running, &worker);
        worker_kill(worker, &hold);
        reply = call_finish(running);
        expect_error(reply, "ResetFailed", CARD);
        ck_assert_str_eq(reply_string(reply, "1.attempts.0.why"), "worker-died");
        ck_assert_str_eq(reply_string(reply, "1.checks.0.check"), "answers");
        expect_mended("worker-died");
}
END_TEST

/* The daemon first or the worker first: the next daemon finds the same. */
START_TEST(both_are_killed)
{
        Call *running;
        int worker, hold;

        start_with_two_functions();
        hold = come_to(instants[_i], &running, &worker);
        daemon_kill_amid(running);
        worker_kill(worker, &hold);
        daemon_start();
        wait_until(count_records() == 0);
        expect_mended("worker-died");
}
END_TEST

/* The next daemon has it already when it is killed. */
START_TEST(adopted_worker_is_killed)
{
        Call *running;
        int worker, hold;

        start_with_two_functions();
        hold = come_to(instants[_i], &running, &worker);
        daemon_kill_amid(running);
        daemon_start();
        worker_kill(worker, &hold);
        (void) signal_wait("JobRemoved", MANAGER_PATH, "ResetFailed");
        expect_mended("worker-died");
}
END_TEST

static void expect_control(const char *expected)
{
        _cleanup_free_ char *control = sysfs_get(PORT, "power/control");

        ck_assert_str_eq(control, expected);
}

/* The bridge of the reset was kept awake for it. */
static const bool with_the_daemon[] = {false, true};

START_TEST(bridge_may_sleep_again)
{
        MockDevice port = mock_port, card = {.address = CARD, .parent = PORT, .methods = "flr"};
        ModelEvent event;
        Call *running;
        int hold;

        port.subordinate = true;
        sysfs_add(&port);
        sysfs_add(&card);
        fixture_start();
        signals_watch(observer);
        expect_control("auto");
        hold = model_hold(PORT);
        running = reset_start(alice, CARD, "subordinate", NULL);
        event = model_wait("begin", PORT, 0);
        expect_control("on");
        if (with_the_daemon[_i]) {
                daemon_kill();
                signals_forget();
                call_abandon(running);
        }
        ck_assert_int_eq(kill(event.pid, SIGKILL), 0);
        wait_until_gone(event.pid);
        model_release(&hold);
        if (with_the_daemon[_i]) {
                daemon_start();
                wait_until(count_records() == 0);
        } else {
                _cleanup_reply_ Reply *reply = call_finish(running);

                expect_error(reply, "ResetFailed", CARD);
        }
        expect_control("auto");
        ck_assert_uint_eq(model_count("begin", PORT), 1);
}
END_TEST

/* What is to be put back can take as long as a reset: until then the lane is taken, and the job is there. */
START_TEST(nothing_begins_before)
{
        _cleanup_reply_ Reply *reply = NULL;
        _cleanup_free_ char *list = NULL;
        Call *running, *next;
        ModelEvent begin_event, listed;
        int worker, hold, hold_list;

        start_with_two_functions();
        hold = come_to(IN_THE_RESET, &running, &worker);
        hold_list = model_hold_list(CARD);
        daemon_kill_amid(running);
        worker_kill(worker, &hold);
        daemon_start();
        (void) model_wait("listing", CARD, 0);
        next = conflict_start("resetting");
        model_release(&hold_list);
        reply = call_finish(next);
        expect_success(reply);
        listed = model_wait("list", CARD, 1);
        begin_event = model_wait("begin", FUNCTION1, 0);
        ck_assert_uint_lt(listed.usec, begin_event.usec);
        list = sysfs_get(CARD, "reset_method");
        ck_assert_str_eq(list, METHODS);
}
END_TEST

/* The one that puts things back is killed, and so is the daemon: the one after the next daemon's does it. */
START_TEST(mender_is_killed_with_the_daemon)
{
        Call *running;
        ModelEvent mender;
        int worker, hold, hold_list;

        start_with_two_functions();
        hold = come_to(IN_THE_RESET, &running, &worker);
        hold_list = model_hold_list(CARD);
        worker_kill(worker, &hold);
        mender = model_wait("listing", CARD, 0);
        ck_assert_int_ne(mender.pid, worker);
        daemon_kill_amid(running);
        worker_kill(mender.pid, &hold_list);
        daemon_start();
        wait_until(count_records() == 0);
        expect_mended("worker-died");
}
END_TEST

/* Whatever kills each of them: it ends some time, and is said. */
START_TEST(menders_are_killed)
{
        _cleanup_reply_ Reply *reply = NULL;
        Call *running;
        int worker, hold, hold_list;

        start_with_two_functions();
        hold = come_to(IN_THE_RESET, &running, &worker);
        hold_list = model_hold_list(CARD);
        worker_kill(worker, &hold);
        for (size_t i = 0; i < 3; i++) {
                ModelEvent mender = model_wait("listing", CARD, i);

                ck_assert_int_eq(kill(mender.pid, SIGKILL), 0);
        }
        reply = call_finish(running);
        expect_error(reply, "ResetFailed", CARD);
        wait_until(journal_find("MESSAGE_ID", MESSAGE_ID_NOT_MENDED, "PCIRESETD_DEVICE", CARD, NULL));
        ck_assert_uint_eq(model_count("listing", CARD), 3);
        wait_until(count_records() == 0);
        model_release(&hold_list);
}
END_TEST

/* It has ended well, and nobody was there to hear it. */
START_TEST(result_without_a_daemon)
{
        _cleanup_reply_ Reply *rows = NULL, *last = NULL;
        Call *running;
        int worker, hold;

        start_with_two_functions();
        hold = come_to(IN_THE_RESET, &running, &worker);
        daemon_kill_amid(running);
        model_release(&hold);
        wait_until_gone(worker);
        daemon_start();
        rows = manager_call(bob, "GetHistory", "a{sv}", 0);
        ck_assert_uint_eq(reply_length(rows, "0"), 1);
        ck_assert_str_eq(reply_string(rows, "0.0.outcome"), "done");
        ck_assert_str_eq(reply_string(rows, "0.0.verdict"), "ok");
        last = get_property(bob, device_path(CARD), DEVICE_INTERFACE, "LastReset");
        ck_assert_str_eq(reply_string(last, "0.verdict"), "ok");
        ck_assert_int_eq(reply_number(last, "0.job"), reply_number(rows, "0.0.job"));
        wait_until(count_records() == 0);
}
END_TEST

/* What a kill in the middle of writing or removing leaves. */
static const char *const remains[] = {"7.lock", "7.tmp"};

START_TEST(remains_are_removed)
{
        _cleanup_free_ char *path = textf("/run/pciresetd/jobs/%s", remains[_i]);

        fixture_devices();
        directory_make("/run/pciresetd/jobs");
        file_print(path, "%s", "");
        fixture_start();
        ck_assert_uint_eq(count_records(), 0);
}
END_TEST

/* The device did not survive it: that is found, and it is kept away from everybody. */
START_TEST(device_that_died_with_the_worker)
{
        _cleanup_free_ char *state = NULL;
        Call *running;
        int worker, hold;
        static uint8_t ones[CONFIG_SIZE];

        memset(ones, 0xff, sizeof(ones));
        start_with_two_functions();
        hold = come_to(IN_THE_RESET, &running, &worker);
        daemon_kill_amid(running);
        worker_kill(worker, &hold);
        sysfs_config_write(CARD, 0, ones, sizeof(ones));
        daemon_start();
        wait_until(count_records() == 0);
        state = device_state(bob, CARD);
        ck_assert_str_eq(state, "quarantined");
}
END_TEST

/* ---- again and again ---- */

/* From the moment at which one of the two is asked to reset until it has answered or is killed, the other is
 * not. A worker that was killed has no end: the next thing that is done to its device is the list's. */
static void expect_no_overlap(void)
{
        ModelEvent event, of_card[2] = {};
        bool busy[2] = {false, false};

        for (size_t i = 0; model_event(NULL, NULL, i, &event); i++) {
                int which = strcmp(event.address, CARD) == 0        ? 0
                            : strcmp(event.address, FUNCTION1) == 0 ? 1
                                                                    : -1;

                if (which < 0)
                        continue;
                if (strcmp(event.what, "begin") == 0) {
                        ck_assert_msg(!busy[!which], "%s begins at %llu, and %s has begun at %llu",
                                      event.address, (unsigned long long) event.usec,
                                      of_card[!which].address, (unsigned long long) of_card[!which].usec);
                        busy[which] = true;
                        of_card[which] = event;
                } else if (strcmp(event.what, "end") == 0 ||
                           (strcmp(event.what, "list") == 0 && event.pid != of_card[which].pid)) {
                        busy[which] = false;
                }
        }
}

static void wait_a_moment(unsigned usec_max)
{
        (void) usleep((useconds_t) (random() % usec_max));
        loop_drain();
}

/* One kill: of the daemon, now and then with a worker, while one reset is in the kernel or about to be and
 * another one waits for it. */
static void kill_once(void)
{
        int hold = model_hold(CARD);
        Call *first = reset_start(alice, CARD, "flr", NULL),
             *second = reset_start(alice, FUNCTION1, "flr", NULL);
        ModelEvent event;
        size_t n = model_count("begin", CARD);

        wait_a_moment(60000);
        daemon_kill_amid(first);
        call_abandon(second);
        if (random() % 4 == 0 && model_count("begin", CARD) > n) {
                event = model_wait("begin", CARD, n);
                (void) kill(event.pid, SIGKILL);
        }
        if (random() % 2 == 0)
                model_release(&hold);
        wait_a_moment(20000);
        daemon_start();
        second = reset_start(alice, FUNCTION1, "flr", NULL);
        wait_a_moment(20000);
        if (hold >= 0)
                model_release(&hold);
        {
                _cleanup_reply_ Reply *reply = call_finish(second);

                expect_success(reply);
        }
}

static const int quarters[] = {1, 2, 3, 4};

/* A hundred kills in all. */
START_TEST(killed_again_and_again)
{
        unsigned seed = (unsigned) time(NULL) * 4 + (unsigned) quarters[_i];
        _cleanup_free_ char *list = NULL;
        _cleanup_reply_ Reply *jobs = NULL;

        (void) fprintf(stderr, "seed %u\n", seed);
        srandom(seed);
        start_with_two_functions();
        for (int i = 0; i < 25; i++)
                kill_once();
        wait_until(count_records() == 0);
        jobs = manager_call(bob, "ListJobs", "a{sv}", 0);
        ck_assert_uint_eq(reply_length(jobs, "0"), 0);
        list = sysfs_get(CARD, "reset_method");
        ck_assert_str_eq(list, METHODS);
        ck_assert_uint_gt(model_count("begin", CARD), 5);
        expect_no_overlap();
}
END_TEST

/* ---- the command line ---- */

static Process *start_client(const char *method)
{
        const char *const argv[] = {TOP_BUILDDIR "/pcireset", "reset", "--json", CARD, method, NULL};

        return process_start("pcireset", UID_ALICE, argv, NULL);
}

/* What it has printed, and its exit code. */
static json_object *client_said(Process *client, int wanted)
{
        char text[16384] = "";
        json_object *said;
        int status = process_wait(client);
        FILE *log = fopen(SANDBOX_LOG_DIR "/pcireset", "re");

        ck_assert_ptr_nonnull(log);
        ck_assert_uint_gt(fread(text, 1, sizeof(text) - 1, log), 0);
        (void) fclose(log);
        ck_assert_msg(status == wanted, "%d: %s", status, text);
        said = json_tokener_parse(text);
        ck_assert_msg(said, "no JSON: %s", text);
        return said;
}

/* The reset ends before there is a daemon again, or after. */
static const bool early_or_late[] = {true, false};

/* Its daemon is killed; the next one tells it how the reset has ended. */
START_TEST(client_finds_its_job_again)
{
        json_object *said;
        Process *client;
        int hold;

        start_with_two_functions();
        hold = model_hold(CARD);
        client = start_client("flr");
        (void) model_wait("begin", CARD, 0);
        (void) signal_wait("PropertiesChanged", "/org/pciresetd1/job/1", "resetting");
        client_barrier(alice);
        daemon_kill();
        signals_forget();
        if (early_or_late[_i])
                model_release(&hold);
        daemon_start();
        if (!early_or_late[_i]) {
                client_barrier(alice);
                model_release(&hold);
        }
        said = client_said(client, 0);
        ck_assert_str_eq(json_object_get_string(json_at(said, "method")), "flr");
        ck_assert_str_eq(json_object_get_string(json_at(said, "verdict")), "ok");
        ck_assert_int_eq(json_object_get_int(json_at(said, "job")), 1);
        json_object_put(said);
}
END_TEST

START_TEST(client_learns_of_a_failure)
{
        json_object *said;
        Process *client;
        ModelEvent event;
        int hold;

        start_with_two_functions();
        hold = model_hold(CARD);
        client = start_client("flr");
        /* It may not even know its job yet. */
        event = model_wait("begin", CARD, 0);
        daemon_kill();
        signals_forget();
        worker_kill(event.pid, &hold);
        daemon_start();
        said = client_said(client, 6);
        ck_assert_str_eq(json_object_get_string(json_at(said, "error.name")),
                         "org.pciresetd1.Error.ResetFailed");
        json_object_put(said);
}
END_TEST

/* ---- when something else fails ---- */

/* A journal that is there and does not read takes a few entries and then no more. */
START_TEST(journal_that_hangs)
{
        _cleanup_reply_ Reply *reply = NULL, *rows = NULL;

        start_with_two_functions();
        journal_hang(true);
        for (int i = 0; i < 400; i++) {
                _cleanup_reply_ Reply *refused = reset(bob, CARD, "hammer", NULL);

                expect_error(refused, "InvalidMethod", "hammer");
        }
        reply = reset(alice, CARD, "flr", NULL);
        expect_success(reply);
        journal_hang(false);
        loop_drain();
        ck_assert_uint_lt(journal_count("PCIRESETD_UID", "1002", NULL), 800);
        rows = manager_call(bob, "GetHistory", "a{sv}", 0);
        ck_assert_str_eq(reply_string(rows, "0.0.outcome"), "done");
        {
                _cleanup_reply_ Reply *again = reset(alice, CARD, "flr", NULL);

                expect_success(again);
        }
        wait_until(journal_find("MESSAGE_ID", "0d4fd5f0a5ea4a5d9a1f1de6b7c38e52", NULL));
}
END_TEST

/* What cannot be written down for the next daemon is not begun: no lease, and no reset, which a kill would
 * leave to nobody. All that was before goes on. */
START_TEST(run_is_full)
{
        _cleanup_reply_ Reply *reply = NULL, *lease = NULL, *list = NULL, *after = NULL, *leases = NULL;
        const char *const addresses[] = {CARD, NULL}, *const others[] = {FUNCTION1, NULL};
        static const char ballast[] = "/run/pciresetd/ballast";
        int kept, fd;

        disk_make("/run/pciresetd", "256k");
        start_with_two_functions();
        kept = claim_finish(acquire_start(alice, others), NULL);
        disk_fill(ballast, 0);
        lease = call_finish(acquire_start(alice, addresses));
        expect_error(lease, "org.freedesktop.DBus.Error.IOError", "/run");
        reply = reset(alice, CARD, "flr", NULL);
        expect_error(reply, "NotUsable", "record cannot be written");
        ck_assert_str_eq(reply_string(reply, "1.attempts.0.why"), "record");
        ck_assert_uint_eq(model_writes(), 0);
        list = manager_call(bob, "ListDevices", NULL);
        expect_success(list);
        /* A kill in the middle of that leaves what there was. */
        daemon_kill();
        signals_forget();
        daemon_start();
        leases = claims_list("ListLeases");
        ck_assert_uint_eq(reply_length(leases, "0"), 1);
        ck_assert_uint_eq(count_records(), 0);

        ck_assert_int_eq(unlink(ballast), 0);
        after = reset(alice, CARD, "flr", NULL);
        expect_success(after);
        fd = claim_finish(acquire_start(alice, addresses), NULL);
        claim_release(&fd);
        claim_release(&kept);
        claims_wait("ListLeases", 0);
}
END_TEST

int main(void)
{
        TestProgram program = program_new("survival");

        program_add_table(&program, worker_is_killed, instants);
        program_add_table(&program, bridge_may_sleep_again, with_the_daemon);
        program_add_table(&program, both_are_killed, instants);
        program_add_table(&program, adopted_worker_is_killed, instants);
        program_add(&program, nothing_begins_before);
        program_add(&program, mender_is_killed_with_the_daemon);
        program_add(&program, menders_are_killed);
        program_add(&program, result_without_a_daemon);
        program_add_table(&program, remains_are_removed, remains);
        program_add(&program, device_that_died_with_the_worker);
        program_add_table(&program, killed_again_and_again, quarters);
        program_add_table(&program, client_finds_its_job_again, early_or_late);
        program_add(&program, client_learns_of_a_failure);
        program_add(&program, journal_that_hangs);
        program_add(&program, run_is_full);
        return program_run(&program);
}
