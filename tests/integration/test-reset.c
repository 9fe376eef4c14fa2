/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Resets themselves: what is written, in which order, what is put back, and how honest the answer is.
 */

#include <errno.h>
#include <signal.h>
#include <string.h>

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

/* ---- success ---- */

static const char *const methods[] = {"flr", "pm", "bus"};

START_TEST(method_runs_alone)
{
        _cleanup_reply_ Reply *reply = NULL;
        _cleanup_free_ char *state = NULL;
        ModelEvent event;

        start("flr pm bus", NULL);
        reply = reset(alice, CARD, methods[_i], NULL);
        expect_success(reply);
        ck_assert_str_eq(reply->signature, "a{sv}");
        ck_assert_str_eq(reply_string(reply, "0.method"), methods[_i]);
        ck_assert_str_eq(reply_string(reply, "0.verdict"), "ok");
        ck_assert_uint_eq(reply_length(reply, "0.reset_set"), 1);
        ck_assert_str_eq(reply_string(reply, "0.reset_set.0"), device_path(CARD));
        ck_assert_int_gt(reply_number(reply, "0.job"), 0);
        check_attempt(reply, "0", 0, methods[_i], "done", 0, "ok");
        ck_assert_str_eq(reply_string(reply, "0.attempts.0.reset_method"), "exact");

        /* What the kernel did is what was said, and when. */
        expect_methods_run(CARD, methods[_i]);
        ck_assert(model_event("begin", CARD, 0, &event));
        ck_assert_uint_le((uint64_t) reply_number(reply, "0.attempts.0.started_usec"), event.usec);
        ck_assert(model_event("end", CARD, 0, &event));
        ck_assert_uint_ge((uint64_t) reply_number(reply, "0.attempts.0.finished_usec"), event.usec);
        ck_assert_int_eq(reply_number(reply, "0.duration_usec"),
                         reply_number(reply, "0.attempts.0.finished_usec") -
                                 reply_number(reply, "0.attempts.0.started_usec"));

        /* Selected, reset, put back; nothing more. */
        ck_assert_uint_eq(model_count("list", CARD), 2);
        ck_assert_uint_eq(model_writes(), 5);
        check_list("flr pm bus");
        state = device_state(bob, CARD);
        ck_assert_str_eq(state, "idle");
}
END_TEST

static const char *const check_names[] = {"answers", "ids",  "header", "command",
                                          "bars",    "link", "aer",    "driver"};

START_TEST(all_checks_are_made)
{
        _cleanup_reply_ Reply *reply = NULL;

        start("flr", NULL);
        reply = reset(alice, CARD, "flr", NULL);
        expect_success(reply);
        for (size_t i = 0; i < ELEMENTSOF(check_names); i++)
                ck_assert_str_eq(json_object_get_string(
                                         json_at(find_check(reply, "0", CARD, check_names[i]), "result")),
                                 "ok");
        ck_assert_str_eq(json_object_get_string(json_at(find_check(reply, "0", CARD, "command"), "before")),
                         "0x0006");
}
END_TEST

START_TEST(list_of_one_is_left_alone)
{
        _cleanup_reply_ Reply *reply = NULL;

        start("flr", NULL);
        reply = reset(alice, CARD, "flr", NULL);
        expect_success(reply);
        ck_assert_uint_eq(model_count("list", CARD), 0);
        ck_assert_str_eq(reply_string(reply, "0.attempts.0.reset_method"), "untouched");
}
END_TEST

static const struct {
        const char *address;
} object_cases[] = {{CARD}, {CARD2}};

START_TEST(device_object_resets_itself)
{
        const char *address = object_cases[_i].address;
        _cleanup_reply_ Reply *reply = NULL;

        fixture_devices();
        fixture_start();
        reply = call(alice, device_path(address), DEVICE_INTERFACE, "Reset", "sa{sv}", "flr", 0);
        expect_success(reply);
        expect_methods_run(address, "flr");
        ck_assert_uint_eq(model_count("begin", NULL), 1);
}
END_TEST

START_TEST(last_reset_is_remembered)
{
        _cleanup_reply_ Reply *reply = NULL, *last = NULL, *facts = NULL;
        const Signal *signal;

        start("flr pm bus", NULL);
        signals_watch(observer);
        reply = reset(alice, CARD, "pm", NULL);
        expect_success(reply);
        signal = signal_wait("PropertiesChanged", device_path(CARD), "LastReset");
        ck_assert_str_eq(json_object_get_string(json_at(signal->body, "1.LastReset.method")), "pm");
        last = get_property(bob, device_path(CARD), DEVICE_INTERFACE, "LastReset");
        ck_assert_str_eq(reply_string(last, "0.method"), "pm");
        ck_assert_str_eq(reply_string(last, "0.verdict"), "ok");
        ck_assert_ptr_null(json_at(last->body, "0.uid"));
        ck_assert_int_eq(reply_number(last, "0.job"), reply_number(reply, "0.job"));
        ck_assert_int_eq(reply_number(last, "0.duration_usec"), reply_number(reply, "0.duration_usec"));
        facts = manager_call(bob, "GetMethods", "sa{sv}", CARD, 0);
        ck_assert_int_eq(reply_number(facts, "0.1.1.proven.tries"), 1);
        ck_assert_int_eq(reply_number(facts, "0.1.1.proven.ok"), 1);
        ck_assert_int_eq(reply_number(facts, "0.0.1.proven.tries"), 0);
}
END_TEST

START_TEST(job_signals_frame_the_reset)
{
        _cleanup_reply_ Reply *reply = NULL;
        _cleanup_free_ char *job = NULL;
        const Signal *added, *new, *removed, *resetting, *idle;
        json_object *facts = NULL;

        start("flr pm bus", NULL);
        signals_watch(observer);
        reply = reset(alice, CARD, "flr", NULL);
        expect_success(reply);
        job = textf(MANAGER_PATH "/job/%d", (int) reply_number(reply, "0.job"));
        removed = signal_wait("InterfacesRemoved", MANAGER_PATH, job);
        added = signal_find("InterfacesAdded", MANAGER_PATH, job);
        new = signal_find("JobNew", MANAGER_PATH, job);
        ck_assert_ptr_nonnull(new);
        ck_assert_ptr_nonnull(signal_find("JobRemoved", MANAGER_PATH, "done"));
        ck_assert_str_eq(json_object_get_string(json_at(new->body, "2")), CARD);
        resetting = signal_find("PropertiesChanged", device_path(CARD), "resetting");
        idle = signal_find("PropertiesChanged", device_path(CARD), "\"idle\"");
        ck_assert_int_ge(signal_index(added), 0);
        ck_assert_int_lt(signal_index(added), signal_index(new));
        ck_assert_int_lt(signal_index(new), signal_index(resetting));
        ck_assert_int_lt(signal_index(resetting), signal_index(idle));
        ck_assert_int_lt(signal_index(added), signal_index(removed));
        /* What is added can be read from the signal. */
        ck_assert(json_object_object_get_ex(json_at(added->body, "1"), JOB_INTERFACE, &facts));
        ck_assert_str_eq(json_object_get_string(json_at(facts, "Method")), "flr");
}
END_TEST

/* ---- failures ---- */

static const struct {
        const char *name;
        int error;
} errnos[] = {
        {"ENOTTY", ENOTTY}, {"EINVAL", EINVAL}, {"EBUSY", EBUSY},   {"EIO", EIO},
        {"ENODEV", ENODEV}, {"ENOMEM", ENOMEM}, {"EACCES", EACCES}, {"ETIMEDOUT", ETIMEDOUT},
};

START_TEST(errno_of_the_kernel_is_told)
{
        _cleanup_reply_ Reply *reply = NULL;
        int error = errnos[_i].error;

        start("flr pm bus", NULL);
        model_fail(CARD, "flr", error);
        reply = reset(alice, CARD, "flr", NULL);
        expect_error(reply, "ResetFailed", CARD);
        ck_assert_str_eq(reply->signature, "sa{sv}");
        /* That nothing changed proves nothing after ENOTTY: nothing may have happened, or everything. */
        check_attempt(reply, "1", 0, "flr", "failed", error, error == ENOTTY ? "unverified" : "ok");
        ck_assert_str_eq(reply_string(reply, "1.method"), "flr");
        expect_methods_run(CARD, "flr");
        check_list("flr pm bus");
        wait_until(journal_count("MESSAGE_ID", MESSAGE_ID_FINISHED, "PCIRESETD_RESULT", "ResetFailed",
                                 NULL) == 1);
}
END_TEST

/* How the ladder climbs: which methods fail with which errno, what is asked for, and what must happen. */
static const struct {
        const char *method;
        int flr, pm, bus;
        const char *run; /* by the kernel, in this order */
        const char *result; /* the method that did it; NULL: ResetFailed */
} ladder_cases[] = {
        {"any", 0, 0, 0, "flr", "flr"},
        {"any", ENOTTY, 0, 0, "flr pm", "pm"},
        {"any", ENOTTY, ENOTTY, 0, "flr pm bus", "bus"},
        {"any", ENOTTY, ENOTTY, ENOTTY, "flr pm bus", NULL},
        {"any", EIO, 0, 0, "flr pm", "pm"},
        {"any", EINVAL, EIO, 0, "flr pm bus", "bus"},
        {"function", 0, 0, 0, "flr", "flr"},
        {"function", ENOTTY, 0, 0, "flr pm", "pm"},
        {"function", ENOTTY, ENOTTY, 0, "flr pm", NULL},
        {"link", ENOTTY, ENOTTY, 0, "bus", "bus"},
        {"link", 0, 0, ENOTTY, "bus", NULL},
        {"flr", ENOTTY, 0, 0, "flr", NULL},
        {"pm", ENOTTY, 0, 0, "pm", "pm"},
};

START_TEST(ladder)
{
        _cleanup_reply_ Reply *reply = NULL;
        size_t n_run = 1;

        start("flr pm bus", NULL);
        if (ladder_cases[_i].flr)
                model_fail(CARD, "flr", ladder_cases[_i].flr);
        if (ladder_cases[_i].pm)
                model_fail(CARD, "pm", ladder_cases[_i].pm);
        if (ladder_cases[_i].bus)
                model_fail(CARD, "bus", ladder_cases[_i].bus);
        reply = reset(alice, CARD, ladder_cases[_i].method, NULL);
        expect_methods_run(CARD, ladder_cases[_i].run);
        for (const char *p = ladder_cases[_i].run; (p = strchr(p, ' ')); p++)
                n_run++;
        if (ladder_cases[_i].result) {
                expect_success(reply);
                ck_assert_str_eq(reply_string(reply, "0.method"), ladder_cases[_i].result);
        } else
                expect_error(reply, "ResetFailed", CARD);
        ck_assert_uint_eq(reply_length(reply, reply->error ? "1.attempts" : "0.attempts"), n_run);
        check_list("flr pm bus");
}
END_TEST

START_TEST(order_is_gentlest_scope_first)
{
        _cleanup_reply_ Reply *reply = NULL;

        start("bus pm flr", "flr pm bus");
        model_fail(CARD, NULL, ENOTTY);
        reply = reset(alice, CARD, "any", NULL);
        expect_error(reply, "ResetFailed", CARD);
        expect_methods_run(CARD, "pm flr bus");
        check_list("bus pm flr");
}
END_TEST

START_TEST(empty_ladders)
{
        _cleanup_reply_ Reply *link = NULL, *function = NULL;

        start("flr", NULL);
        link = reset(alice, CARD, "link", NULL);
        expect_error(link, "NotUsable", CARD);
        sysfs_set(CARD, "reset_method", "bus");
        function = reset(alice, CARD, "function", NULL);
        expect_error(function, "NotUsable", CARD);
        expect_nothing_written();
}
END_TEST

/* ---- the list ---- */

static const struct {
        const char *label;
        const char *listed, *supported;
        unsigned refuse_after; /* this many writes of the list, 0: never */
        const char *restored, *afterwards;
} list_cases[] = {
        {"the same again", "flr pm bus", NULL, 0, "exact", "flr pm bus"},
        {"an order of somebody's own", "bus flr", "flr pm bus", 0, "exact", "bus flr"},
        {"what the kernel lists and does not take", "flr pm bus", "flr pm", 0, "reduced", "flr pm"},
        {"and what somebody took out stays out", "bus flr", "flr pm", 0, "reduced", "flr"},
        {"not writable any more", "flr pm bus", NULL, 1, "lost", "flr"},
};

START_TEST(list_is_put_back)
{
        _cleanup_reply_ Reply *reply = NULL;

        start(list_cases[_i].listed, list_cases[_i].supported);
        if (list_cases[_i].refuse_after)
                model_refuse_lists(CARD, list_cases[_i].refuse_after, EINVAL);
        reply = reset(alice, CARD, "flr", NULL);
        expect_success(reply);
        ck_assert_msg(strcmp(reply_string(reply, "0.attempts.0.reset_method"), list_cases[_i].restored) == 0,
                      "%s: %s", list_cases[_i].label, reply_string(reply, "0.attempts.0.reset_method"));
        check_list(list_cases[_i].afterwards);
}
END_TEST

START_TEST(list_is_put_back_after_a_failure)
{
        _cleanup_reply_ Reply *reply = NULL;

        start("flr pm bus", NULL);
        model_fail(CARD, NULL, EIO);
        reply = reset(alice, CARD, "bus", NULL);
        expect_error(reply, "ResetFailed", CARD);
        check_list("flr pm bus");
}
END_TEST

START_TEST(empty_list_means_none)
{
        _cleanup_reply_ Reply *reply = NULL, *any = NULL, *facts = NULL;

        start("", "flr pm bus");
        reply = reset(alice, CARD, "flr", NULL);
        expect_error(reply, "NotUsable", "flr");
        any = reset(alice, CARD, "any", NULL);
        expect_error(any, "NotUsable", CARD);
        facts = manager_call(bob, "GetMethods", "sa{sv}", CARD, 0);
        ck_assert_uint_eq(reply_length(facts, "0"), 0);
        check_list("");
        expect_nothing_written();
}
END_TEST

START_TEST(device_without_reset_files)
{
        _cleanup_reply_ Reply *reply = NULL;

        start(NULL, NULL);
        reply = reset(alice, CARD, "any", NULL);
        expect_error(reply, "NotUsable", CARD);
        expect_nothing_written();
}
END_TEST

START_TEST(kernel_refuses_to_select_the_method)
{
        _cleanup_reply_ Reply *reply = NULL;

        start("flr pm bus", "pm bus");
        reply = reset(alice, CARD, "flr", NULL);
        expect_error(reply, "NotUsable", "flr");
        check_attempt(reply, "1", 0, "flr", "refused", EINVAL, "unverified");
        ck_assert_uint_eq(model_count("begin", CARD), 0);
        check_list("flr pm bus");
}
END_TEST

START_TEST(ladder_climbs_past_a_refused_selection)
{
        _cleanup_reply_ Reply *reply = NULL;

        start("flr pm bus", "pm bus");
        reply = reset(alice, CARD, "any", NULL);
        expect_success(reply);
        ck_assert_str_eq(reply_string(reply, "0.method"), "pm");
        expect_methods_run(CARD, "pm");
}
END_TEST

START_TEST(methods_of_the_future)
{
        _cleanup_reply_ Reply *facts = NULL, *reply = NULL, *any = NULL;

        start("d3cold flr", "flr");
        facts = manager_call(bob, "GetMethods", "sa{sv}", CARD, 0);
        ck_assert_str_eq(reply_string(facts, "0.0.0"), "d3cold");
        ck_assert_str_eq(reply_string(facts, "0.0.1.scope"), "unknown");
        ck_assert(!json_object_get_boolean(reply_at(facts, "0.0.1.usable")));
        ck_assert_str_eq(reply_string(facts, "0.0.1.why.0"), "unknown-method");
        reply = reset(alice, CARD, "d3cold", NULL);
        expect_error(reply, "NotUsable", "d3cold");
        expect_nothing_written();
        any = reset(alice, CARD, "any", NULL);
        expect_success(any);
        expect_methods_run(CARD, "flr");
}
END_TEST

int main(void)
{
        TestProgram program = program_new("reset");

        program_add_table(&program, method_runs_alone, methods);
        program_add(&program, all_checks_are_made);
        program_add(&program, list_of_one_is_left_alone);
        program_add_table(&program, device_object_resets_itself, object_cases);
        program_add(&program, last_reset_is_remembered);
        program_add(&program, job_signals_frame_the_reset);
        program_add_table(&program, errno_of_the_kernel_is_told, errnos);
        program_add_table(&program, ladder, ladder_cases);
        program_add(&program, order_is_gentlest_scope_first);
        program_add(&program, empty_ladders);
        program_add_table(&program, list_is_put_back, list_cases);
        program_add(&program, list_is_put_back_after_a_failure);
        program_add(&program, empty_list_means_none);
        program_add(&program, device_without_reset_files);
        program_add(&program, kernel_refuses_to_select_the_method);
        program_add(&program, ladder_climbs_past_a_refused_selection);
        program_add(&program, methods_of_the_future);
        return program_run(&program);
}
