/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Many resets at once: who waits for whom, and that nobody else waits. The kernel model holds resets until
 * the test lets them go, so what overlaps and what does not is decided by the test and read from the model's
 * log, and never by a clock.
 */

#include <signal.h>
#include <string.h>

#include "harness/fixture.h"

#define FUNCTION1 "0000:01:00.1"

/* Two functions below PORT, so that two devices share a bridge. */
static void start_with_two_functions(void)
{
        const MockDevice second = {.address = FUNCTION1, .parent = PORT, .methods = "flr"};

        fixture_devices();
        sysfs_add(&second);
        fixture_start();
        signals_watch(observer);
}

static uint64_t event_time(const char *what, const char *address, size_t index)
{
        ModelEvent event;

        ck_assert_msg(model_event(what, address, index, &event), "no %s of %s", what,
                      address ? address : "any device");
        return event.usec;
}

static void wait_for_state(const char *address, const char *state)
{
        _cleanup_free_ char *found = device_state(observer, address), *quoted = textf("\"%s\"", state);
        size_t n = signal_count("PropertiesChanged", device_path(address), quoted);

        while (strcmp(found, state) != 0) {
                wait_until(signal_count("PropertiesChanged", device_path(address), quoted) > n);
                n = signal_count("PropertiesChanged", device_path(address), quoted);
                free(found);
                found = device_state(observer, address);
        }
}

static void finish_well(Call *running)
{
        _cleanup_reply_ Reply *reply = call_finish(running);

        expect_success(reply);
}

/* ---- who waits ---- */

START_TEST(below_one_bridge_one_after_the_other)
{
        Call *first, *second;
        int hold;

        start_with_two_functions();
        hold = model_hold(CARD);
        first = reset_start(alice, CARD, "flr", NULL);
        (void) model_wait("begin", CARD, 0);
        second = reset_start(alice, FUNCTION1, "flr", NULL);
        wait_for_state(FUNCTION1, "queued");
        wait_for_state(CARD, "resetting");
        client_barrier(alice);
        ck_assert_uint_eq(model_count("begin", FUNCTION1), 0);
        model_release(&hold);
        finish_well(first);
        finish_well(second);
        ck_assert_uint_lt(event_time("end", CARD, 0), event_time("begin", FUNCTION1, 0));
}
END_TEST

START_TEST(below_different_bridges_at_the_same_time)
{
        Call *first, *second;
        int hold1, hold2;

        fixture_devices();
        fixture_start();
        hold1 = model_hold(CARD);
        hold2 = model_hold(CARD2);
        first = reset_start(alice, CARD, "bus", NULL);
        second = reset_start(alice, CARD2, "bus", NULL);
        /* Both have begun and neither has ended. */
        (void) model_wait("begin", CARD, 0);
        (void) model_wait("begin", CARD2, 0);
        ck_assert_uint_eq(model_count("end", NULL), 0);
        model_release(&hold2);
        finish_well(second);
        ck_assert(!call_done(first));
        model_release(&hold1);
        finish_well(first);
}
END_TEST

/* One device, many callers: in the order in which they came. */
START_TEST(first_come_first_served)
{
        enum { N = 12 };
        Call *calls[N];
        long last = 0;
        int hold;

        start_with_two_functions();
        hold = model_hold(CARD);
        for (int i = 0; i < N; i++) {
                calls[i] = reset_start(alice, i % 2 == 0 ? CARD : FUNCTION1, "flr", NULL);
                wait_until(signal_count("JobNew", MANAGER_PATH, NULL) == (size_t) i + 1);
        }
        ck_assert_uint_eq(model_count("begin", NULL), 1);
        model_release(&hold);
        for (int i = 0; i < N; i++) {
                _cleanup_reply_ Reply *reply = call_finish(calls[i]);

                expect_success(reply);
                ck_assert_int_gt(reply_number(reply, "0.attempts.0.started_usec"), last);
                last = reply_number(reply, "0.attempts.0.finished_usec");
        }
        ck_assert_uint_eq(model_count("begin", CARD), N / 2);
        ck_assert_uint_eq(model_count("begin", FUNCTION1), N / 2);
        /* None began before the one before it had ended. */
        for (size_t i = 1; i < N; i++)
                ck_assert_uint_gt(event_time("begin", NULL, i), event_time("end", NULL, i - 1));
}
END_TEST

/* A switch: what is below one of its ports does not disturb what is below another. */
#define UPSTREAM "0000:01:00.0"
#define DOWN1    "0000:02:00.0"
#define DOWN2    "0000:02:01.0"
#define LEAF1    "0000:03:00.0"
#define LEAF2    "0000:04:00.0"

static void start_with_switch(void)
{
        const MockDevice devices[] = {
                {.address = PORT, .is_bridge = true},
                {.address = UPSTREAM, .parent = PORT, .is_bridge = true, .methods = "pm bus"},
                {.address = DOWN1, .parent = UPSTREAM, .is_bridge = true},
                {.address = DOWN2, .parent = UPSTREAM, .is_bridge = true},
                {.address = LEAF1, .parent = DOWN1, .methods = "flr bus"},
                {.address = LEAF2, .parent = DOWN2, .methods = "flr bus"},
        };

        for (size_t i = 0; i < ELEMENTSOF(devices); i++)
                sysfs_add(&devices[i]);
        fixture_start();
        signals_watch(observer);
}

START_TEST(branches_of_a_switch_at_the_same_time)
{
        Call *first, *second;
        int hold1, hold2;

        start_with_switch();
        hold1 = model_hold(LEAF1);
        hold2 = model_hold(LEAF2);
        first = reset_start(alice, LEAF1, "bus", NULL);
        second = reset_start(alice, LEAF2, "flr", NULL);
        (void) model_wait("begin", LEAF1, 0);
        (void) model_wait("begin", LEAF2, 0);
        model_release(&hold1);
        model_release(&hold2);
        finish_well(first);
        finish_well(second);
}
END_TEST

/* The lane hangs on the bridge, not on the bus number, which another card may have tomorrow. */
START_TEST(root_bus_is_one_lane)
{
        const MockDevice first_device = {.address = "0000:00:02.0", .methods = "flr"};
        const MockDevice second_device = {.address = "0000:00:03.0", .methods = "flr"};
        Call *first, *second;
        int hold;

        sysfs_add(&first_device);
        sysfs_add(&second_device);
        fixture_devices();
        fixture_start();
        signals_watch(observer);
        hold = model_hold("0000:00:02.0");
        first = reset_start(alice, "0000:00:02.0", "flr", NULL);
        (void) model_wait("begin", "0000:00:02.0", 0);
        second = reset_start(alice, "0000:00:03.0", "flr", NULL);
        wait_for_state("0000:00:03.0", "queued");
        ck_assert_uint_eq(model_count("begin", "0000:00:03.0"), 0);
        model_release(&hold);
        finish_well(first);
        finish_well(second);
}
END_TEST

START_TEST(physical_and_virtual_function_share_a_lane)
{
        const MockDevice vf = {.address = "0000:01:10.0", .parent = PORT, .methods = "flr", .physfn = CARD};
        Call *first, *second;
        int hold;

        fixture_devices();
        sysfs_add(&vf);
        fixture_start();
        signals_watch(observer);
        hold = model_hold(CARD);
        first = reset_start(alice, CARD, "flr", NULL);
        (void) model_wait("begin", CARD, 0);
        wait_for_state("0000:01:10.0", "resetting");
        second = reset_start(alice, "0000:01:10.0", "flr", NULL);
        wait_until(signal_count("JobNew", MANAGER_PATH, NULL) == 2);
        client_barrier(alice);
        ck_assert_uint_eq(model_count("begin", "0000:01:10.0"), 0);
        model_release(&hold);
        finish_well(first);
        finish_well(second);
}
END_TEST

START_TEST(no_wait_does_not_wait)
{
        _cleanup_reply_ Reply *refused = NULL, *other_lane = NULL, *alone = NULL;
        Call *running;
        int hold;

        start_with_two_functions();
        hold = model_hold(CARD);
        running = reset_start(alice, CARD, "flr", NULL);
        (void) model_wait("begin", CARD, 0);
        refused = reset(alice, FUNCTION1, "flr", "no_wait", "b", 1, NULL);
        expect_error(refused, "NotUsable", FUNCTION1);
        ck_assert_str_eq(reply_string(refused, "1.attempts.0.why"), "busy");
        other_lane = reset(alice, CARD2, "flr", "no_wait", "b", 1, NULL);
        expect_success(other_lane);
        model_release(&hold);
        finish_well(running);
        alone = reset(alice, FUNCTION1, "flr", "no_wait", "b", 1, NULL);
        expect_success(alone);
        ck_assert_uint_eq(model_count("begin", FUNCTION1), 1);
}
END_TEST

/* A running worker has put the one method into the list that it runs. That is not what the device can. */
START_TEST(methods_are_the_devices_own_during_a_reset)
{
        _cleanup_reply_ Reply *property = NULL, *facts = NULL, *plan = NULL, *reply = NULL;
        _cleanup_free_ char *list = NULL;
        Call *running, *other;
        int hold;

        start_with_two_functions();
        hold = model_hold(CARD);
        running = reset_start(alice, CARD, "flr", NULL);
        (void) model_wait("begin", CARD, 0);
        list = sysfs_get(CARD, "reset_method");
        ck_assert_str_eq(list, "flr");
        property = get_property(bob, device_path(CARD), DEVICE_INTERFACE, "Methods");
        ck_assert_uint_eq(reply_length(property, "0"), 3);
        facts = manager_call(bob, "GetMethods", "sa{sv}", CARD, 0);
        ck_assert_uint_eq(reply_length(facts, "0"), 3);
        plan = manager_call(bob, "Plan", "ssa{sv}", CARD, "function", 0);
        ck_assert_uint_eq(reply_length(plan, "0.rungs"), 2);

        other = reset_start(alice, CARD, "pm", NULL);
        wait_until(signal_count("JobNew", MANAGER_PATH, NULL) == 2);
        model_release(&hold);
        finish_well(running);
        reply = call_finish(other);
        expect_success(reply);
        expect_methods_run(CARD, "flr pm");
        free(list);
        list = sysfs_get(CARD, "reset_method");
        ck_assert_str_eq(list, "flr pm bus");
}
END_TEST

/* ---- what changes while it waits ---- */

/* CARD's reset stands still, FUNCTION1's waits behind it. */
static int start_waiting(Call **ret_running, Call **ret_waiting)
{
        int hold;

        start_with_two_functions();
        hold = model_hold(CARD);
        *ret_running = reset_start(alice, CARD, "flr", NULL);
        (void) model_wait("begin", CARD, 0);
        *ret_waiting = reset_start(alice, FUNCTION1, "flr", NULL);
        wait_for_state(FUNCTION1, "queued");
        return hold;
}

START_TEST(waiting_device_is_removed)
{
        Call *running, *waiting;
        int hold = start_waiting(&running, &waiting);
        _cleanup_reply_ Reply *reply = NULL;

        hotplug_remove(FUNCTION1);
        client_barrier(bob);
        model_release(&hold);
        finish_well(running);
        reply = call_finish(waiting);
        expect_error(reply, "DeviceGone", FUNCTION1);
}
END_TEST

static const bool with_events[] = {true, false};

START_TEST(waiting_device_is_replaced)
{
        const MockDevice successor = {.address = FUNCTION1, .parent = PORT, .methods = "flr pm"};
        Call *running, *waiting;
        int hold = start_waiting(&running, &waiting);
        _cleanup_reply_ Reply *reply = NULL;

        if (with_events[_i]) {
                hotplug_remove(FUNCTION1);
                hotplug_add(&successor);
                client_barrier(bob);
        } else {
                sysfs_remove(FUNCTION1);
                sysfs_add(&successor);
        }
        model_release(&hold);
        finish_well(running);
        reply = call_finish(waiting);
        expect_error(reply, "DeviceGone", FUNCTION1);
        ck_assert_uint_eq(model_count("begin", FUNCTION1), 0);
        ck_assert_uint_eq(model_count("list", FUNCTION1), 0);
}
END_TEST

START_TEST(waiting_device_gets_a_driver)
{
        Call *running, *waiting;
        int hold = start_waiting(&running, &waiting);
        _cleanup_reply_ Reply *reply = NULL;

        hotplug_bind(FUNCTION1, "e1000e");
        client_barrier(bob);
        model_release(&hold);
        finish_well(running);
        reply = call_finish(waiting);
        expect_error(reply, "InUse", FUNCTION1);
        ck_assert_uint_eq(model_count("begin", FUNCTION1), 0);
}
END_TEST

/* Whoever may reset it idle was not asked about in use: polkit is asked again at the head of the queue. */
START_TEST(waiting_job_is_authorised_again)
{
        Call *running, *waiting;
        _cleanup_reply_ Reply *reply = NULL;
        int hold;

        mock_polkit_start(MOCK_POLKIT_YES);
        start_with_two_functions();
        hold = model_hold(CARD);
        running = reset_start(alice, CARD, "flr", NULL);
        (void) model_wait("begin", CARD, 0);
        waiting = reset_start(alice, FUNCTION1, "flr", "in_use", "b", 1, NULL);
        wait_for_state(FUNCTION1, "queued");
        ck_assert_uint_eq(mock_polkit_requests(), 2);
        mock_polkit_mode(MOCK_POLKIT_NO);
        hotplug_bind(FUNCTION1, "e1000e");
        client_barrier(bob);
        model_release(&hold);
        finish_well(running);
        reply = call_finish(waiting);
        expect_error(reply, ERROR_ACCESS_DENIED, FUNCTION1);
        ck_assert_str_eq(mock_polkit_request(2)->action, "org.pciresetd1.reset-in-use");
        ck_assert_uint_eq(model_count("begin", FUNCTION1), 0);
}
END_TEST

/* A new question holds no lane, and comes back to its old place. */
START_TEST(asking_again_holds_no_lane)
{
        Call *running, *asking, *last;
        int hold;

        mock_polkit_start(MOCK_POLKIT_YES);
        start_with_two_functions();
        hold = model_hold(CARD);
        running = reset_start(alice, CARD, "flr", NULL);
        (void) model_wait("begin", CARD, 0);
        asking = reset_start(alice, FUNCTION1, "flr", "in_use", "b", 1, NULL);
        wait_for_state(FUNCTION1, "queued");
        last = reset_start(alice, CARD, "pm", NULL);
        wait_until(signal_count("JobNew", MANAGER_PATH, NULL) == 3);
        mock_polkit_mode(MOCK_POLKIT_HANG);
        hotplug_bind(FUNCTION1, "e1000e");
        client_barrier(bob);
        model_release(&hold);
        finish_well(running);
        ck_assert_str_eq(mock_polkit_request(3)->action, "org.pciresetd1.reset-in-use");
        finish_well(last);
        ck_assert(!call_done(asking));
        mock_polkit_answer(3, true, false);
        finish_well(asking);
}
END_TEST

/* ---- callers leave, cancel, run out of time ---- */

START_TEST(caller_of_a_waiting_job_leaves)
{
        _cleanup_client_ Client *other = NULL;
        Call *running, *waiting;
        int hold;

        start_with_two_functions();
        other = client_new(UID_ALICE);
        hold = model_hold(CARD);
        running = reset_start(other, CARD, "flr", NULL);
        (void) model_wait("begin", CARD, 0);
        waiting = reset_start(alice, FUNCTION1, "flr", NULL);
        wait_for_state(FUNCTION1, "queued");
        call_abandon(waiting);
        alice = client_free(alice);
        (void) signal_wait("JobRemoved", MANAGER_PATH, "Cancelled");
        wait_for_state(FUNCTION1, "idle");
        model_release(&hold);
        finish_well(running);
        ck_assert_uint_eq(model_count("begin", FUNCTION1), 0);
}
END_TEST

/* What has begun goes on to its end, list and all. */
START_TEST(caller_of_a_running_job_leaves)
{
        _cleanup_free_ char *list = NULL;
        Call *running;
        int hold;

        fixture_devices();
        fixture_start();
        signals_watch(observer);
        hold = model_hold(CARD);
        running = reset_start(alice, CARD, "any", NULL);
        (void) model_wait("begin", CARD, 0);
        model_fail(CARD, "flr", 25 /* ENOTTY */);
        call_abandon(running);
        alice = client_free(alice);
        client_barrier(bob);
        model_release(&hold);
        (void) signal_wait("JobRemoved", MANAGER_PATH, CARD);
        /* But nobody is there any more to whom another method could be granted. */
        expect_methods_run(CARD, "flr");
        list = sysfs_get(CARD, "reset_method");
        ck_assert_str_eq(list, "flr pm bus");
        wait_for_state(CARD, "idle");
}
END_TEST

/* The path of the index-th job that was announced. */
static char *job_of(size_t index)
{
        const Signal *signal;

        wait_until((signal = signal_nth("JobNew", index)));
        return strdup(json_object_get_string(json_at(signal->body, "1")));
}

START_TEST(waiting_job_is_cancelled)
{
        Call *running, *waiting;
        int hold = start_waiting(&running, &waiting);
        _cleanup_free_ char *job = job_of(1);
        _cleanup_reply_ Reply *by_bob = NULL, *by_alice = NULL, *reply = NULL, *gone = NULL;

        by_bob = call(bob, job, JOB_INTERFACE, "Cancel", "a{sv}", 0);
        expect_error(by_bob, ERROR_ACCESS_DENIED, "");
        ck_assert(!call_done(waiting));
        by_alice = call(alice, job, JOB_INTERFACE, "Cancel", "a{sv}", 0);
        expect_success(by_alice);
        reply = call_finish(waiting);
        expect_error(reply, "Cancelled", FUNCTION1);
        gone = call(alice, job, JOB_INTERFACE, "Cancel", "a{sv}", 0);
        ck_assert_ptr_nonnull(gone->error);
        model_release(&hold);
        finish_well(running);
        ck_assert_uint_eq(model_count("begin", FUNCTION1), 0);
}
END_TEST

START_TEST(running_job_is_not_cancelled)
{
        Call *running;
        _cleanup_free_ char *job = NULL;
        _cleanup_reply_ Reply *reply = NULL;
        int hold;

        fixture_devices();
        fixture_start();
        signals_watch(observer);
        hold = model_hold(CARD);
        running = reset_start(alice, CARD, "flr", NULL);
        (void) model_wait("begin", CARD, 0);
        job = job_of(0);
        reply = call(alice, job, JOB_INTERFACE, "Cancel", "a{sv}", 0);
        expect_error(reply, "NotUsable", "");
        model_release(&hold);
        finish_well(running);
}
END_TEST

START_TEST(time_of_a_waiting_job_is_over)
{
        Call *running, *waiting;
        _cleanup_reply_ Reply *reply = NULL;
        int hold;

        start_with_two_functions();
        hold = model_hold(CARD);
        running = reset_start(alice, CARD, "flr", NULL);
        (void) model_wait("begin", CARD, 0);
        waiting = reset_start(alice, FUNCTION1, "flr", "timeout_usec", "t", UINT64_C(1000000), NULL);
        reply = call_finish(waiting);
        expect_error(reply, "TimedOut", FUNCTION1);
        model_release(&hold);
        finish_well(running);
        ck_assert_uint_eq(model_count("begin", FUNCTION1), 0);
}
END_TEST

/* The call ends; the reset does not, nor does its lane become free. */
START_TEST(time_of_a_running_job_is_over)
{
        Call *running, *next;
        _cleanup_reply_ Reply *reply = NULL;
        int hold;

        start_with_two_functions();
        hold = model_hold(CARD);
        running = reset_start(alice, CARD, "flr", "timeout_usec", "t", UINT64_C(1000000), NULL);
        (void) model_wait("begin", CARD, 0);
        reply = call_finish(running);
        expect_error(reply, "TimedOut", CARD);
        next = reset_start(alice, FUNCTION1, "flr", NULL);
        wait_for_state(FUNCTION1, "queued");
        wait_for_state(CARD, "resetting");
        ck_assert_ptr_null(signal_find("JobRemoved", NULL, NULL));
        model_release(&hold);
        finish_well(next);
        ck_assert_uint_lt(event_time("end", CARD, 0), event_time("begin", FUNCTION1, 0));
        ck_assert_ptr_nonnull(signal_find("JobRemoved", MANAGER_PATH, "done"));
}
END_TEST

/* ---- jobs to look at ---- */

START_TEST(jobs_are_listed)
{
        Call *running, *waiting;
        int hold = start_waiting(&running, &waiting);
        _cleanup_reply_ Reply *list = manager_call(bob, "ListJobs", "a{sv}", 0), *after = NULL;
        _cleanup_free_ char *first = job_of(0), *second = job_of(1), *phase = NULL, *method = NULL;
        bool swapped;

        ck_assert_uint_eq(reply_length(list, "0"), 2);
        swapped = strcmp(reply_string(list, "0.0.job"), second) == 0;
        ck_assert_str_eq(reply_string(list, swapped ? "0.1.address" : "0.0.address"), CARD);
        ck_assert_str_eq(reply_string(list, swapped ? "0.1.phase" : "0.0.phase"), "resetting");
        ck_assert_str_eq(reply_string(list, swapped ? "0.0.phase" : "0.1.phase"), "queued");
        ck_assert_str_eq(reply_string(list, swapped ? "0.0.device" : "0.1.device"), device_path(FUNCTION1));
        ck_assert_int_eq(reply_number(list, swapped ? "0.0.uid" : "0.1.uid"), UID_ALICE);
        ck_assert_int_eq(reply_number(list, swapped ? "0.0.started_at" : "0.1.started_at"), 0);
        ck_assert_int_gt(reply_number(list, swapped ? "0.1.started_at" : "0.0.started_at"), 0);

        phase = get_property_string(bob, second, JOB_INTERFACE, "Phase");
        ck_assert_str_eq(phase, "queued");
        method = get_property_string(bob, first, JOB_INTERFACE, "Method");
        ck_assert_str_eq(method, "flr");
        model_release(&hold);
        finish_well(running);
        finish_well(waiting);
        after = manager_call(bob, "ListJobs", "a{sv}", 0);
        ck_assert_uint_eq(reply_length(after, "0"), 0);
}
END_TEST

START_TEST(job_numbers_are_never_used_twice)
{
        _cleanup_reply_ Reply *before = NULL, *after = NULL;

        fixture_devices();
        fixture_start();
        before = reset(alice, CARD, "flr", NULL);
        expect_success(before);
        daemon_stop();
        daemon_start();
        after = reset(alice, CARD, "flr", NULL);
        expect_success(after);
        ck_assert_int_gt(reply_number(after, "0.job"), reply_number(before, "0.job"));
}
END_TEST

#define JOBS_PER_UID 128U

START_TEST(jobs_are_bounded_per_user)
{
        Client *clients[4];
        Call *calls[JOBS_PER_UID], *others, *one_more;
        _cleanup_reply_ Reply *refused = NULL, *reply = NULL;
        int hold;

        fixture_devices();
        fixture_start();
        signals_watch(observer);
        hold = model_hold(CARD);
        /* The bus has limits per connection; these are per user. */
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                clients[i] = client_new(UID_ALICE);
        for (size_t i = 0; i < JOBS_PER_UID; i++) {
                calls[i] = reset_start(clients[i % ELEMENTSOF(clients)], CARD, "flr", NULL);
                wait_until(signal_count("JobNew", MANAGER_PATH, NULL) == i + 1);
        }
        refused = reset(alice, CARD2, "flr", NULL);
        expect_error(refused, "LimitsExceeded", CARD2);
        others = reset_start(observer, CARD2, "flr", NULL);
        finish_well(others);

        /* Whoever leaves makes room. */
        for (size_t i = 1; i < JOBS_PER_UID; i++)
                if (i % ELEMENTSOF(clients) == 1)
                        call_abandon(calls[i]);
        clients[1] = client_free(clients[1]);
        (void) signal_wait("JobRemoved", MANAGER_PATH, "Cancelled");
        one_more = reset_start(alice, CARD2, "flr", NULL);
        reply = call_finish(one_more);
        expect_success(reply);
        model_release(&hold);
        finish_well(calls[0]);
}
END_TEST

int main(void)
{
        TestProgram program = program_new("lanes");

        program_add(&program, below_one_bridge_one_after_the_other);
        program_add(&program, below_different_bridges_at_the_same_time);
        program_add(&program, first_come_first_served);
        program_add(&program, branches_of_a_switch_at_the_same_time);
        program_add(&program, root_bus_is_one_lane);
        program_add(&program, physical_and_virtual_function_share_a_lane);
        program_add(&program, no_wait_does_not_wait);
        program_add(&program, methods_are_the_devices_own_during_a_reset);
        program_add(&program, waiting_device_is_removed);
        program_add_table(&program, waiting_device_is_replaced, with_events);
        program_add(&program, waiting_device_gets_a_driver);
        program_add(&program, waiting_job_is_authorised_again);
        program_add(&program, asking_again_holds_no_lane);
        program_add(&program, caller_of_a_waiting_job_leaves);
        program_add(&program, caller_of_a_running_job_leaves);
        program_add(&program, waiting_job_is_cancelled);
        program_add(&program, running_job_is_not_cancelled);
        program_add(&program, time_of_a_waiting_job_is_over);
        program_add(&program, time_of_a_running_job_is_over);
        program_add(&program, jobs_are_listed);
        program_add(&program, job_numbers_are_never_used_twice);
        program_add(&program, jobs_are_bounded_per_user);
        return program_run(&program);
}
