/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The plan is asked of each method by its name: it looks who uses the devices, which GetMethods does not.
 * What it says then is what the user is told, and what is in the document.
 */

#include "pcireset/qualification-plan.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "pcireset/error-text.h"
#include "pcireset/names.h"
#include "pcireset/text.h"
#include "pcireset/words.h"

typedef struct Plan {
        Client *client;
        json_object *methods, *left_out;
} Plan;

static bool has_code(json_object *codes, const char *code)
{
        for (size_t i = 0; i < json_length(codes); i++)
                if (strcmp(json_get_string_at(codes, i), code) == 0)
                        return true;
        return false;
}

/* Why a method is left out whatever its plan says, as a code; NULL: it is not. */
static const char *reason_to_leave_out(const Client *client, json_object *method)
{
        json_object *left_out = json_get_array(method, "left_out");
        const char *name = json_get_string(method, "name"), *only = client->filter.method;

        if (only && strcmp(only, name) != 0)
                return "not-asked-for";
        if (!client->known_bad &&
            (strcmp(json_get_string(method, "known"), "bad") == 0 || has_code(left_out, "known-bad")))
                return "known-bad";
        /* No code for that: the daemon's `any` has no place for them at all. */
        if (!only && strcmp(json_get_string(method, "scope"), "power") == 0)
                return "last-resort";
        return NULL;
}

static const char *reason_to_words(const char *code)
{
        if (strcmp(code, "not-asked-for") == 0)
                return "not the one that --method names";
        if (strcmp(code, "known-bad") == 0)
                return "it is known to do harm on this hardware; --known-bad runs it all the same";
        if (strcmp(code, "last-resort") == 0)
                return "it takes the device away; --method runs it all the same";
        return why_to_words(code);
}

/* `why`: codes, is taken over. */
static int leave_out(Plan *plan, const char *name, json_object *why)
{
        json_object *entry = json_object_new_object();
        int r = json_append(plan->left_out, entry);

        if (r >= 0)
                r = json_add(entry, "method", json_object_new_string(name));
        else
                entry = NULL;
        if (r < 0) {
                json_object_put(why);
                return r;
        }
        return json_add(entry, "why", why);
}

static int leave_out_for(Plan *plan, const char *name, const char *code)
{
        json_object *why = json_object_new_array();
        int r = why ? json_append(why, json_object_new_string(code)) : -ENOMEM;

        if (r < 0) {
                json_object_put(why);
                return r;
        }
        return leave_out(plan, name, why);
}

/* The addresses of everything that a rung disturbs. */
static json_object *addresses_of(json_object *set)
{
        _cleanup_json_ json_object *addresses = json_object_new_array();

        for (size_t i = 0; addresses && i < json_length(set); i++) {
                _cleanup_free_ char *address = device_path_to_address(json_get_string_at(set, i));

                if (!address || json_append(addresses, json_object_new_string(address)) < 0)
                        return NULL;
        }
        return steal_pointer(addresses);
}

static int take_method(Plan *plan, const char *name, const char *scope, json_object *rung)
{
        json_object *entry = json_object_new_object(), *actions = json_get_array(rung, "actions");
        int r = json_append(plan->methods, entry);

        if (r >= 0)
                r = json_add(entry, "method", json_object_new_string(name));
        if (r >= 0)
                r = json_add(entry, "scope", json_object_new_string(scope));
        if (r >= 0)
                r = json_add(entry, "reset_set", addresses_of(json_get_array(rung, "reset_set")));
        if (r >= 0)
                r = json_add(entry, "actions", actions ? json_object_get(actions) : json_object_new_array());
        if (r >= 0)
                r = json_add(entry, "expected_usec",
                             json_object_new_uint64(json_get_unsigned(rung, "expected_usec")));
        return r < 0 ? r : json_add(entry, "runs", json_object_new_array());
}

static int consider(Plan *plan, json_object *method)
{
        Client *client = plan->client;
        _cleanup_json_ json_object *answer = NULL, *failure = NULL;
        const char *name = json_get_string(method, "name"), *reason = reason_to_leave_out(client, method);
        json_object *rungs, *rung, *why;
        int r;

        if (reason)
                return leave_out_for(plan, name, reason);
        client->method = name;
        client->failure = &failure;
        r = client_get_plan(client, &answer);
        client->failure = NULL;
        client->method = NULL;
        /* What the kernel does not offer has no plan. */
        if (r != EXIT_OK && r != EXIT_NOT_NOW)
                return r < 0 ? r : (int) report_kept(client, (ExitCode) r, failure, NULL);
        rungs = json_get_array(answer, "rungs");
        rung = json_length(rungs) > 0 ? json_object_array_get_idx(rungs, 0) : NULL;
        if (rung && json_get_bool(rung, "usable"))
                return take_method(plan, name, json_get_string(method, "scope"), rung);
        why = json_get_array(rung ? rung : method, "why");
        return leave_out(plan, name, why ? json_object_get(why) : json_object_new_array());
}

/* What went wrong before does the least harm to what comes after it if the narrow ones come first. */
static unsigned rank(json_object *method)
{
        if (strcmp(json_get_string(method, "known"), "bad") == 0)
                return 2;
        return strcmp(json_get_string(method, "scope"), "function") == 0 ? 0 : 1;
}

static int find_methods(Plan *plan)
{
        _cleanup_json_ json_object *methods = NULL;
        int r = client_get_methods(plan->client, &methods);

        for (unsigned wanted = 0; wanted <= 2; wanted++)
                for (size_t i = 0; i < json_length(methods) && r == EXIT_OK; i++) {
                        json_object *method = json_object_array_get_idx(methods, i);

                        if (rank(method) == wanted)
                                r = consider(plan, method);
                }
        return r;
}

static int print_intention(const Plan *plan, json_object *method)
{
        _cleanup_free_ char *set = json_join(json_get_array(method, "reset_set"), ", ");
        _cleanup_free_ char *actions = json_join(json_get_array(method, "actions"), ", ");
        uint64_t expected = json_get_unsigned(method, "expected_usec");
        char duration[TEXT_DURATION_MAX];

        if (!set || !actions)
                return -ENOMEM;
        return text_print_line(stderr, "  %s, %" PRIu64 " times: disturbs %s; takes about %s each%s%s",
                               json_get_string(method, "method"), plan->client->count, set,
                               expected > 0 ? text_duration(expected, duration)
                                            : "as long as firmware likes",
                               *actions ? "; polkit asks: " : "", actions);
}

static int print_left_out(json_object *entry)
{
        const char *name = json_get_string(entry, "method");
        json_object *why = json_get_array(entry, "why");
        int r = 0;

        if (json_length(why) == 0)
                return text_print_line(stderr, "  without %s: not usable", name);
        for (size_t i = 0; i < json_length(why) && r >= 0; i++)
                r = text_print_line(stderr, "  without %s: %s", name,
                                    reason_to_words(json_get_string_at(why, i)));
        return r;
}

/* Told beforehand, and not on stdout, which is for what was found out. */
static int print_intentions(const Plan *plan)
{
        int r = 0;

        if (json_length(plan->methods) > 0)
                r = text_print_line(stderr, "%s would be reset by, in this order:", plan->client->address);
        for (size_t i = 0; i < json_length(plan->methods) && r >= 0; i++)
                r = print_intention(plan, json_object_array_get_idx(plan->methods, i));
        for (size_t i = 0; i < json_length(plan->left_out) && r >= 0; i++)
                r = print_left_out(json_object_array_get_idx(plan->left_out, i));
        return r;
}

int qualification_plan(Client *client, json_object *methods, json_object *left_out)
{
        Plan plan = {.client = client, .methods = methods, .left_out = left_out};
        int r = find_methods(&plan);

        return r != EXIT_OK ? r : print_intentions(&plan);
}
