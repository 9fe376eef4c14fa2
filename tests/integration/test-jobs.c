/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Jobs: what clients see of them, how they end before their reset began, and how many there may be.
 */

#include <signal.h>
#include <string.h>

#include "harness/fixture.h"
#include "harness/resets.h"

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
        hold = reset_hold(&running);
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
        hold = reset_hold(&running);
        waiting = reset_start(alice, FUNCTION1, "flr", "timeout_usec", "t", UINT64_C(1000000), NULL);
        reply = call_finish(waiting);
        expect_error(reply, "TimedOut", FUNCTION1);
        model_release(&hold);
        finish_well(running);
        ck_assert_uint_eq(model_count("begin", FUNCTION1), 0);
}
END_TEST

/* What the worker was told: it does not try again for longer than the caller waits. */
static void expect_retries_within(uint64_t usec)
{
        static const char key[] = "\"retry_usec\":";
        _cleanup_free_ char *job = job_of(0),
                            *path = textf("/run/pciresetd/jobs/%s.json", strrchr(job, '/') + 1),
                            *record = file_read(path, NULL);
        const char *value = record ? strstr(record, key) : NULL;

        ck_assert_ptr_nonnull(value);
        ck_assert_uint_le(strtoull(value + strlen(key), NULL, 10), usec);
}

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
        expect_retries_within(1000000);
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
        for (size_t i = 1; i < JOBS_PER_UID; i++)
                if (i % ELEMENTSOF(clients) != 1)
                        finish_well(calls[i]);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                client_free(clients[i]);
}
END_TEST

int main(void)
{
        TestProgram program = program_new("jobs");

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
