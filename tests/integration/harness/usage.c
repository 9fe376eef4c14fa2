/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "usage.h"

#include <check.h>
#include <string.h>

#include "fixture.h"

json_object *method_facts(const Reply *methods, const char *name)
{
        json_object *list = reply_at(methods, "0");

        for (size_t i = 0; i < json_object_array_length(list); i++) {
                json_object *entry = json_object_array_get_idx(list, i);

                if (strcmp(json_object_get_string(json_at(entry, "0")), name) == 0)
                        return json_at(entry, "1");
        }
        ck_abort_msg("GetMethods does not tell about %s", name);
}

bool has_text(json_object *array, const char *text)
{
        for (size_t i = 0; i < json_object_array_length(array); i++)
                if (strcmp(json_object_get_string(json_object_array_get_idx(array, i)), text) == 0)
                        return true;
        return false;
}

Reply *get_methods(const char *address, bool in_use)
{
        Reply *reply = in_use ? manager_call(bob, "GetMethods", "sa{sv}", address, 1, "in_use", "b", 1)
                              : manager_call(bob, "GetMethods", "sa{sv}", address, 0);

        expect_success(reply);
        return reply;
}

Reply *get_plan(const char *address, const char *method, bool in_use)
{
        Reply *reply = in_use ? manager_call(bob, "Plan", "ssa{sv}", address, method, 1, "in_use", "b", 1)
                              : manager_call(bob, "Plan", "ssa{sv}", address, method, 0);

        expect_success(reply);
        return reply;
}

void expect_unusable(const char *address, const char *method, bool in_use, const char *why,
                     const char *error)
{
        /* In this order: GetMethods tells what was last seen. */
        _cleanup_reply_ Reply *plan = get_plan(address, method, in_use),
                              *methods = get_methods(address, in_use);
        _cleanup_reply_ Reply *reply = reset(alice, address, method, "in_use", "b", in_use, NULL);
        json_object *facts = method_facts(methods, method);

        ck_assert(json_object_get_boolean(json_at(facts, "advertised")));
        ck_assert(!json_object_get_boolean(json_at(facts, "usable")));
        ck_assert(has_text(json_at(facts, "why"), why));
        ck_assert(!json_object_get_boolean(reply_at(plan, "0.rungs.0.usable")));
        ck_assert(has_text(reply_at(plan, "0.rungs.0.why"), why));
        expect_error(reply, error, address);
        ck_assert_ptr_nonnull(strstr(reply_string(reply, "1.attempts.0.why"), why));
        expect_nothing_written();
}

void expect_usable(const char *address, const char *method, bool in_use, const char *action)
{
        /* In this order: GetMethods tells what was last seen. */
        _cleanup_reply_ Reply *plan = get_plan(address, method, in_use),
                              *methods = get_methods(address, in_use);
        _cleanup_reply_ Reply *reply = reset(alice, address, method, "in_use", "b", in_use, NULL);
        json_object *facts = method_facts(methods, method);

        ck_assert(json_object_get_boolean(json_at(facts, "usable")));
        ck_assert_uint_eq(json_object_array_length(json_at(facts, "why")), 0);
        ck_assert(json_object_get_boolean(reply_at(plan, "0.rungs.0.usable")));
        ck_assert(has_text(reply_at(plan, "0.rungs.0.actions"), action));
        expect_success(reply);
        ck_assert_str_eq(reply_string(reply, "0.method"), method);
        /* What was planned is what was disturbed. */
        ck_assert_int_eq(
                json_object_equal(reply_at(plan, "0.rungs.0.reset_set"), reply_at(reply, "0.reset_set")), 1);
}
