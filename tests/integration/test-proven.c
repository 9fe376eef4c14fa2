/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What the kernel advertises and what works: a method that fails is known as such, over restarts, and the
 * ladder goes elsewhere the next time.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "harness/fixture.h"

static void start(void)
{
        fixture_devices();
        fixture_start();
}

/* Of the result: the methods that were tried. */
static void check_tried(const Reply *reply, const char *methods)
{
        json_object *attempts = reply_at(reply, "0.attempts");
        char tried[128] = "";

        for (size_t i = 0; i < json_object_array_length(attempts); i++) {
                json_object *attempt = json_object_array_get_idx(attempts, i);
                size_t n = strlen(tried);

                (void) snprintf(tried + n, sizeof(tried) - n, "%s%s", n > 0 ? " " : "",
                                json_object_get_string(json_at(attempt, "method")));
        }
        ck_assert_str_eq(tried, methods);
}

static void any_runs(const char *address, const char *methods)
{
        _cleanup_reply_ Reply *reply = reset(alice, address, "any", NULL);

        expect_success(reply);
        check_tried(reply, methods);
}

static json_object *proven_of(const Reply *reply, const char *method)
{
        json_object *methods = reply_at(reply, "0");

        for (size_t i = 0; i < json_object_array_length(methods); i++) {
                json_object *entry = json_object_array_get_idx(methods, i);

                if (strcmp(json_object_get_string(json_at(entry, "0")), method) == 0)
                        return json_at(entry, "1.proven");
        }
        ck_abort_msg("there is no method '%s'", method);
}

static void expect_failing(const char *method, bool expected)
{
        _cleanup_reply_ Reply *reply = manager_call(bob, "GetMethods", "sa{sv}", CARD, 0);

        ck_assert_int_eq(json_object_get_boolean(json_at(proven_of(reply, method), "failing")), expected);
}

static void expect_plan(const char *first, const char *last)
{
        _cleanup_reply_ Reply *plan = manager_call(bob, "Plan", "ssa{sv}", CARD, "any", 0);

        ck_assert_str_eq(reply_string(plan, "0.rungs.0.method"), first);
        ck_assert_str_eq(reply_string(plan, "0.rungs.2.method"), last);
}

START_TEST(the_ladder_goes_elsewhere)
{
        _cleanup_reply_ Reply *by_name = NULL;

        start();
        expect_failing("flr", false);
        model_fail(CARD, "flr", ENOTTY);
        any_runs(CARD, "flr pm");
        expect_failing("flr", true);
        expect_failing("pm", false);
        expect_plan("pm", "flr");
        any_runs(CARD, "pm");
        /* The same for others of its kind. */
        any_runs(CARD2, "pm");

        daemon_stop();
        daemon_start();
        expect_failing("flr", true);
        any_runs(CARD, "pm");

        /* It may still be asked for, and is as good as any other once it has worked. */
        model_unfail(CARD, "flr");
        by_name = reset(alice, CARD, "flr", NULL);
        expect_success(by_name);
        expect_failing("flr", false);
        expect_plan("flr", "bus");
        any_runs(CARD, "flr");
}
END_TEST

START_TEST(what_fails_is_the_last_resort)
{
        start();
        model_fail(CARD, "flr", ENOTTY);
        any_runs(CARD, "flr pm");
        model_fail(CARD, "pm", ENOTTY);
        model_fail(CARD, "bus", ENOTTY);
        model_unfail(CARD, "flr");
        any_runs(CARD, "pm bus flr");
}
END_TEST

START_TEST(a_bus_that_is_advertised_and_fails)
{
        _cleanup_reply_ Reply *first = NULL;

        start();
        model_fail(CARD, "bus", ENOTTY);
        first = reset(alice, CARD, "link", NULL);
        expect_error(first, "ResetFailed", CARD);
        expect_failing("bus", true);
        model_fail(CARD, "flr", ENOTTY);
        model_fail(CARD, "pm", ENOTTY);
        model_unfail(CARD, "bus");
        any_runs(CARD, "flr pm bus");
}
END_TEST

int main(void)
{
        TestProgram program = program_new("proven");

        program_add(&program, the_ladder_goes_elsewhere);
        program_add(&program, what_fails_is_the_last_resort);
        program_add(&program, a_bus_that_is_advertised_and_fails);
        return program_run(&program);
}
