/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "resets.h"

#include <check.h>
#include <string.h>

#include "fixture.h"

void check_attempt(const Reply *reply, const char *result, size_t index, const char *method,
                   const char *outcome, int error, const char *verdict)
{
        _cleanup_free_ char *place = textf("%s.attempts.%zu", result, index);
        json_object *attempt = reply_at(reply, place);

        ck_assert_str_eq(json_object_get_string(json_at(attempt, "method")), method);
        ck_assert_str_eq(json_object_get_string(json_at(attempt, "outcome")), outcome);
        ck_assert_int_eq(json_object_get_int(json_at(attempt, "errno")), error);
        ck_assert_str_eq(json_object_get_string(json_at(attempt, "verdict")), verdict);
}

void check_list(const char *expected)
{
        _cleanup_free_ char *list = sysfs_get(CARD, "reset_method");

        ck_assert_str_eq(list, expected);
}

json_object *find_check(const Reply *reply, const char *result, const char *device, const char *check)
{
        _cleanup_free_ char *place = textf("%s.checks", result), *path = strdup(device_path(device));
        json_object *checks = reply_at(reply, place);

        for (size_t i = 0; i < json_object_array_length(checks); i++) {
                json_object *entry = json_object_array_get_idx(checks, i);

                if (strcmp(json_object_get_string(json_at(entry, "check")), check) == 0 &&
                    strcmp(json_object_get_string(json_at(entry, "device")), path) == 0)
                        return entry;
        }
        ck_abort_msg("there is no check '%s' of %s", check, device);
}

void start_with_two_functions(void)
{
        const MockDevice second = {.address = FUNCTION1, .parent = PORT, .methods = "flr"};

        fixture_devices();
        sysfs_add(&second);
        fixture_start();
        signals_watch(observer);
}

int reset_hold(Call **ret_running)
{
        int hold = model_hold(CARD);

        *ret_running = reset_start(alice, CARD, "flr", NULL);
        (void) model_wait("begin", CARD, 0);
        return hold;
}

int start_waiting(Call **ret_running, Call **ret_waiting)
{
        int hold;

        start_with_two_functions();
        hold = reset_hold(ret_running);
        *ret_waiting = reset_start(alice, FUNCTION1, "flr", NULL);
        wait_for_state(FUNCTION1, "queued");
        return hold;
}

uint64_t event_time(const char *what, const char *address, size_t index)
{
        ModelEvent event;

        ck_assert_msg(model_event(what, address, index, &event), "no %s of %s", what,
                      address ? address : "any device");
        return event.usec;
}

void wait_for_state(const char *address, const char *state)
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

void finish_well(Call *running)
{
        _cleanup_reply_ Reply *reply = call_finish(running);

        expect_success(reply);
}

char *introspect(const char *path)
{
        _cleanup_reply_ Reply *reply = call(bob, path, "org.freedesktop.DBus.Introspectable", "Introspect",
                                            NULL);

        expect_success(reply);
        return strdup(reply_string(reply, "0"));
}

int start_with_job(Call **ret_call, char **ret_path)
{
        int hold;

        fixture_devices();
        fixture_start();
        signals_watch(observer);
        hold = model_hold(CARD);
        *ret_call = reset_start(alice, CARD, "flr", NULL);
        (void) model_wait("begin", CARD, 0);
        *ret_path = strdup(
                json_object_get_string(json_at(signal_wait("JobNew", MANAGER_PATH, NULL)->body, "1")));
        return hold;
}

void finish_job(int *hold, Call *call)
{
        model_release(hold);
        finish_well(call);
}
