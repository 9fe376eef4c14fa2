/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Workers that do not come back for minutes: nobody else notices, the daemon ends when it is told to, and
 * the next daemon knows what still runs. The kernel model's hold stands for the kernel that does not return.
 */

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "harness/fixture.h"
#include "harness/kills.h"

#define MESSAGE_ID_ADOPTED "93c479026e6446059ef8777d515fd6e2"

/* CARD's reset is in the kernel and stays there. */
static int start_stuck(Call **ret_running, int *ret_worker)
{
        int worker, hold;

        start_with_two_functions();
        hold = come_to(IN_THE_RESET, ret_running, &worker);
        if (ret_worker)
                *ret_worker = worker;
        return hold;
}

/* ---- nobody else notices ---- */

static const struct {
        const char *path, *interface, *member; /* "" as the path: CARD's object */
} reads[] = {
        {MANAGER_PATH, MANAGER_INTERFACE, "ListDevices"},
        {MANAGER_PATH, MANAGER_INTERFACE, "GetDevice"},
        {MANAGER_PATH, MANAGER_INTERFACE, "GetMethods"},
        {MANAGER_PATH, MANAGER_INTERFACE, "Plan"},
        {MANAGER_PATH, MANAGER_INTERFACE, "ListJobs"},
        {MANAGER_PATH, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"},
        {MANAGER_PATH, "org.freedesktop.DBus.Introspectable", "Introspect"},
        {"", "org.freedesktop.DBus.Introspectable", "Introspect"},
        {"", "org.freedesktop.DBus.Properties", "GetAll"},
        {"", DEVICE_INTERFACE, "GetMethods"},
        {"", DEVICE_INTERFACE, "Plan"},
};

START_TEST(reads_go_on)
{
        Call *running;
        int hold = start_stuck(&running, NULL), r = 0;
        const char *member = reads[_i].member, *path = *reads[_i].path ? reads[_i].path : device_path(CARD);
        sd_bus_message *message = call_message(bob, path, reads[_i].interface, member, NULL);
        bool of_manager = strcmp(reads[_i].interface, MANAGER_INTERFACE) == 0;
        _cleanup_reply_ Reply *reply = NULL;

        if (strcmp(member, "GetAll") == 0)
                r = sd_bus_message_append(message, "s", DEVICE_INTERFACE);
        if (strcmp(member, "GetDevice") == 0 || (of_manager && strcmp(member, "GetMethods") == 0) ||
            (of_manager && strcmp(member, "Plan") == 0))
                r = sd_bus_message_append(message, "s", CARD);
        if (r >= 0 && strcmp(member, "Plan") == 0)
                r = sd_bus_message_append(message, "s", "any");
        if (r >= 0 && (strcmp(member, "Plan") == 0 || strcmp(member, "GetMethods") == 0 ||
                       strcmp(member, "ListJobs") == 0))
                r = sd_bus_message_append(message, "a{sv}", 0);
        ck_assert_int_ge(r, 0);
        reply = call_finish(call_send(bob, message));
        expect_success(reply);
        ck_assert(!call_done(running));
        model_release(&hold);
        finish_well(running);
}
END_TEST

START_TEST(every_property_can_be_read)
{
        static const char *const names[] = {"Address", "VendorName", "Driver",    "Methods",
                                            "State",   "LastReset",  "Generation"};
        Call *running;
        int hold = start_stuck(&running, NULL);

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_reply_ Reply *reply = get_property(bob, device_path(CARD), DEVICE_INTERFACE,
                                                            names[i]);

                expect_success(reply);
        }
        model_release(&hold);
        finish_well(running);
}
END_TEST

START_TEST(other_lanes_go_on)
{
        _cleanup_reply_ Reply *reply = NULL;
        Call *running;
        int hold = start_stuck(&running, NULL);

        reply = reset(alice, CARD2, "any", NULL);
        expect_success(reply);
        ck_assert(!call_done(running));
        model_release(&hold);
        finish_well(running);
}
END_TEST

START_TEST(hotplug_goes_on)
{
        const MockDevice fresh = {.address = "0000:03:00.0", .parent = PORT2};
        Call *running;
        int hold = start_stuck(&running, NULL);

        hotplug_add(&fresh);
        (void) signal_wait("InterfacesAdded", MANAGER_PATH, device_path("0000:03:00.0"));
        hotplug_bind(CARD2, "e1000e");
        (void) signal_wait("PropertiesChanged", device_path(CARD2), "e1000e");
        /* Also for the very device, whose `uevent` cannot be read now. */
        uevent("change", CARD, NULL);
        hotplug_remove("0000:03:00.0");
        (void) signal_wait("InterfacesRemoved", MANAGER_PATH, device_path("0000:03:00.0"));
        ck_assert(!call_done(running));
        model_release(&hold);
        finish_well(running);
}
END_TEST

/* A worker that hangs before it has written anything, in a read of configuration space. */
START_TEST(stuck_before_the_write)
{
        _cleanup_reply_ Reply *list = NULL, *other = NULL;
        Call *running;
        int hold;

        fixture_devices();
        fixture_start();
        hold = model_hold_reads(CARD);
        running = reset_start(alice, CARD, "flr", NULL);
        (void) model_wait("touch", CARD, 0);
        list = manager_call(bob, "ListDevices", NULL);
        expect_success(list);
        other = reset(alice, CARD2, "flr", NULL);
        expect_success(other);
        ck_assert_uint_eq(model_count("begin", CARD), 0);
        model_release(&hold);
        finish_well(running);
}
END_TEST

/* ---- the end of the daemon ---- */

START_TEST(sigterm_ends_it_at_once)
{
        Call *running;
        int worker, hold = start_stuck(&running, &worker);

        /* With success, and without waiting for the worker, which goes on. */
        daemon_stop();
        ck_assert_int_eq(kill(worker, 0), 0);
        ck_assert_uint_eq(model_count("end", CARD), 0);
        /* For the daemon to come. */
        ck_assert_int_eq(access("/run/pciresetd/jobs/1.json", F_OK), 0);
        model_release(&hold);
        (void) model_wait("end", CARD, 0);
        (void) model_wait("list", CARD, 1);
        call_abandon(running);
}
END_TEST

START_TEST(sigint_ends_it_too)
{
        Call *running;
        int hold = start_stuck(&running, NULL);
        Process *daemon = daemon_process();

        process_signal(daemon, SIGINT);
        ck_assert_int_eq(process_wait(daemon), 0);
        call_abandon(running);
        model_release(&hold);
        (void) model_wait("list", CARD, 1);
}
END_TEST

/* What is sent to everything the daemon has started does not end a reset in the middle. */
static const int gentle_signals[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};

START_TEST(worker_does_not_end_in_the_middle)
{
        _cleanup_free_ char *list = NULL;
        Call *running;
        int worker, hold = start_stuck(&running, &worker);

        ck_assert_int_eq(kill(worker, gentle_signals[_i]), 0);
        client_barrier(bob);
        model_release(&hold);
        finish_well(running);
        list = sysfs_get(CARD, "reset_method");
        ck_assert_str_eq(list, "flr pm bus");
}
END_TEST

/* ---- the next daemon ---- */

typedef enum End {
        STOPPED,
        KILLED,
} End;

static const End ends[] = {STOPPED, KILLED};

static void end_daemon(End end)
{
        if (end == STOPPED)
                daemon_stop();
        else
                daemon_kill();
        signals_forget();
}

START_TEST(lane_stays_taken)
{
        _cleanup_free_ char *state = NULL, *after = NULL, *list = NULL;
        _cleanup_reply_ Reply *reply = NULL;
        Call *running, *next;
        ModelEvent begin, end;
        int hold = start_stuck(&running, NULL);

        end_daemon(ends[_i]);
        call_abandon(running);
        daemon_start();
        ck_assert_uint_eq(journal_count("MESSAGE_ID", MESSAGE_ID_ADOPTED, "PCIRESETD_DEVICE", CARD, NULL),
                          1);
        state = device_state(bob, CARD);
        ck_assert_str_eq(state, "resetting");
        next = conflict_start("resetting");
        model_release(&hold);
        reply = call_finish(next);
        expect_success(reply);
        end = model_wait("end", CARD, 0);
        begin = model_wait("begin", FUNCTION1, 0);
        ck_assert_uint_lt(end.usec, begin.usec);
        (void) signal_wait("JobRemoved", MANAGER_PATH, CARD);
        after = device_state(bob, CARD);
        ck_assert_str_eq(after, "idle");
        list = sysfs_get(CARD, "reset_method");
        ck_assert_str_eq(list, "flr pm bus");
        wait_until(count_records() == 0);
}
END_TEST

/* The result that nobody was there to hear. */
START_TEST(result_is_taken_over)
{
        _cleanup_reply_ Reply *last = NULL, *rows = NULL;
        Call *running;
        int hold = start_stuck(&running, NULL);

        end_daemon(ends[_i]);
        call_abandon(running);
        daemon_start();
        model_release(&hold);
        (void) signal_wait("JobRemoved", MANAGER_PATH, "done");
        last = get_property(bob, device_path(CARD), DEVICE_INTERFACE, "LastReset");
        ck_assert_str_eq(reply_string(last, "0.method"), "flr");
        ck_assert_str_eq(reply_string(last, "0.verdict"), "ok");
        rows = call(alice, device_path(CARD), DEVICE_INTERFACE, "GetHistory", "a{sv}", 0);
        ck_assert_int_eq(reply_number(rows, "0.0.uid"), UID_ALICE);
}
END_TEST

/* The new daemon knows the list that the worker will put back, not the one that stands there. */
START_TEST(methods_are_taken_over)
{
        _cleanup_reply_ Reply *facts = NULL, *reply = NULL;
        Call *running, *next;
        int hold = start_stuck(&running, NULL);

        end_daemon(ends[_i]);
        call_abandon(running);
        daemon_start();
        facts = manager_call(bob, "GetMethods", "sa{sv}", CARD, 0);
        ck_assert_uint_eq(reply_length(facts, "0"), 3);
        next = reset_start(alice, CARD, "pm", NULL);
        (void) signal_wait("JobNew", MANAGER_PATH, CARD);
        model_release(&hold);
        reply = call_finish(next);
        expect_success(reply);
        expect_methods_run(CARD, "flr pm");
}
END_TEST

START_TEST(worker_that_ended_meanwhile)
{
        _cleanup_free_ char *state = NULL;
        _cleanup_reply_ Reply *reply = NULL;
        Call *running;
        int worker, hold = start_stuck(&running, &worker);

        end_daemon(ends[_i]);
        call_abandon(running);
        model_release(&hold);
        (void) model_wait("list", CARD, 1);
        wait_until_gone(worker);
        daemon_start();
        state = device_state(bob, CARD);
        ck_assert_str_eq(state, "idle");
        wait_until(count_records() == 0);
        reply = reset(alice, CARD, "flr", "no_wait", "b", 1, NULL);
        expect_success(reply);
}
END_TEST

START_TEST(worker_that_was_killed_meanwhile)
{
        _cleanup_free_ char *state = NULL;
        Call *running;
        int worker, hold = start_stuck(&running, &worker);

        end_daemon(ends[_i]);
        call_abandon(running);
        ck_assert_int_eq(kill(worker, SIGKILL), 0);
        wait_until_gone(worker);
        daemon_start();
        /* Somebody looks at it first. */
        wait_until(count_records() == 0);
        state = device_state(bob, CARD);
        ck_assert_str_eq(state, "idle");
        model_release(&hold);
}
END_TEST

START_TEST(device_was_replaced_meanwhile)
{
        _cleanup_free_ char *state = NULL, *list = NULL;
        Call *running;
        int hold = start_stuck(&running, NULL);

        end_daemon(ends[_i]);
        call_abandon(running);
        sysfs_remove(CARD);
        sysfs_add(&mock_card);
        daemon_start();
        /* The worker's lane is still taken, but the successor is not what is being reset. */
        state = device_state(bob, CARD);
        ck_assert_str_eq(state, "idle");
        model_release(&hold);
        (void) signal_wait("JobRemoved", MANAGER_PATH, NULL);
        list = sysfs_get(CARD, "reset_method");
        ck_assert_str_eq(list, "flr pm bus");
        ck_assert_uint_eq(model_count("begin", CARD), 1);
}
END_TEST

START_TEST(three_daemons)
{
        Call *running;
        int hold = start_stuck(&running, NULL);

        end_daemon(KILLED);
        call_abandon(running);
        daemon_start();
        end_daemon(STOPPED);
        daemon_start();
        {
                _cleanup_free_ char *state = device_state(bob, CARD);

                ck_assert_str_eq(state, "resetting");
        }
        model_release(&hold);
        (void) signal_wait("JobRemoved", MANAGER_PATH, "done");
        wait_until(count_records() == 0);
}
END_TEST

/* Files that are no records are nobody's business, and no reason not to start. */
static const struct {
        const char *name, *text;
} odd_records[] = {
        {"7.json", ""},
        {"7.json", "not JSON"},
        {"7.json", "{\"version\":2}"},
        {"7.json", "{\"version\":99,\"pid\":1,\"saved_reset_method\":null,\"request\":{},\"result\":null}"},
        {"x.json", "{}"},
        {"next-id", "not a number"},
        {"next-id", "99999999999999999999"},
        {"7.lock", ""},
};

START_TEST(odd_records_do_no_harm)
{
        _cleanup_free_ char *path = textf("/run/pciresetd/jobs/%s", odd_records[_i].name);
        _cleanup_reply_ Reply *reply = NULL;

        fixture_devices();
        directory_make("/run/pciresetd/jobs");
        file_print(path, "%s", odd_records[_i].text);
        fixture_start();
        reply = reset(alice, CARD, "flr", NULL);
        expect_success(reply);
        ck_assert_int_gt(reply_number(reply, "0.job"), 0);
}
END_TEST

START_TEST(run_folder_is_closed_to_others)
{
        const char *const argv[] = {"ls", "/run/pciresetd/jobs", NULL};

        fixture_devices();
        fixture_start();
        ck_assert_int_ne(process_run(UID_ALICE, argv, NULL), 0);
}
END_TEST

int main(void)
{
        TestProgram program = program_new("restart");

        program_add_table(&program, reads_go_on, reads);
        program_add(&program, every_property_can_be_read);
        program_add(&program, other_lanes_go_on);
        program_add(&program, hotplug_goes_on);
        program_add(&program, stuck_before_the_write);
        program_add(&program, sigterm_ends_it_at_once);
        program_add(&program, sigint_ends_it_too);
        program_add_table(&program, worker_does_not_end_in_the_middle, gentle_signals);
        program_add_table(&program, lane_stays_taken, ends);
        program_add_table(&program, result_is_taken_over, ends);
        program_add_table(&program, methods_are_taken_over, ends);
        program_add_table(&program, worker_that_ended_meanwhile, ends);
        program_add_table(&program, worker_that_was_killed_meanwhile, ends);
        program_add_table(&program, device_was_replaced_meanwhile, ends);
        program_add(&program, three_daemons);
        program_add_table(&program, odd_records_do_no_harm, odd_records);
        program_add(&program, run_folder_is_closed_to_others);
        return program_run(&program);
}
