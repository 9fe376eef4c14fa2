/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Many resets at once: who waits for whom, and that nobody else waits. The kernel model holds resets until
 * the test lets them go, so what overlaps and what does not is decided by the test and read from the model's
 * log, and never by a clock.
 */

#include <signal.h>
#include <string.h>

#include "harness/fixture.h"
#include "harness/resets.h"

/* ---- who waits ---- */

START_TEST(below_one_bridge_one_after_the_other)
{
        Call *first, *second;
        int hold;

        start_with_two_functions();
        hold = reset_hold(&first);
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
        (void) model_wait("begin", CARD, 0);
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

/* The lane hangs on the bridge, not on the bus number: a virtual function has a number of its own and shares
 * the bridge with the functions of its card. */
START_TEST(lane_is_the_bridge_and_not_the_number)
{
        const MockDevice vf = {.address = "0000:0a:00.0", .parent = PORT, .methods = "flr", .physfn = CARD};
        Call *first, *second;
        int hold;

        fixture_devices();
        sysfs_add(&(MockDevice){.address = FUNCTION1, .parent = PORT, .methods = "flr"});
        sysfs_add(&vf);
        fixture_start();
        signals_watch(observer);
        hold = model_hold("0000:0a:00.0");
        first = reset_start(alice, "0000:0a:00.0", "flr", NULL);
        (void) model_wait("begin", "0000:0a:00.0", 0);
        second = reset_start(alice, FUNCTION1, "flr", NULL);
        wait_for_state(FUNCTION1, "queued");
        client_barrier(alice);
        ck_assert_uint_eq(model_count("begin", FUNCTION1), 0);
        model_release(&hold);
        finish_well(first);
        finish_well(second);
}
END_TEST

/* And the same number in two domains is two lanes. */
START_TEST(same_number_in_another_domain)
{
        const MockDevice port = {.address = "0001:00:04.0", .is_bridge = true};
        const MockDevice twin = {.address = "0001:01:00.0", .parent = "0001:00:04.0", .methods = "flr bus"};
        Call *first, *second;
        int hold1, hold2;

        fixture_devices();
        sysfs_add(&port);
        sysfs_add(&twin);
        fixture_start();
        hold1 = model_hold(CARD);
        hold2 = model_hold("0001:01:00.0");
        first = reset_start(alice, CARD, "bus", NULL);
        second = reset_start(alice, "0001:01:00.0", "bus", NULL);
        (void) model_wait("begin", CARD, 0);
        (void) model_wait("begin", "0001:01:00.0", 0);
        model_release(&hold1);
        model_release(&hold2);
        finish_well(first);
        finish_well(second);
}
END_TEST

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
        hold = reset_hold(&first);
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
        hold = reset_hold(&running);
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
        hold = reset_hold(&running);
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
        hold = reset_hold(&running);
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
        hold = reset_hold(&running);
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

int main(void)
{
        TestProgram program = program_new("lanes");

        program_add(&program, below_one_bridge_one_after_the_other);
        program_add(&program, below_different_bridges_at_the_same_time);
        program_add(&program, first_come_first_served);
        program_add(&program, branches_of_a_switch_at_the_same_time);
        program_add(&program, lane_is_the_bridge_and_not_the_number);
        program_add(&program, same_number_in_another_domain);
        program_add(&program, root_bus_is_one_lane);
        program_add(&program, physical_and_virtual_function_share_a_lane);
        program_add(&program, no_wait_does_not_wait);
        program_add(&program, methods_are_the_devices_own_during_a_reset);
        program_add(&program, waiting_device_is_removed);
        program_add_table(&program, waiting_device_is_replaced, with_events);
        program_add(&program, waiting_device_gets_a_driver);
        program_add(&program, waiting_job_is_authorised_again);
        program_add(&program, asking_again_holds_no_lane);
        return program_run(&program);
}
