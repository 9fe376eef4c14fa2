/* SPDX-License-Identifier: GPL-2.0-or-later */

/* How a device was found: the last time, or, with --probe, now. */

#include <errno.h>
#include <string.h>
#include <time.h>

#include "pcireset/agent.h"
#include "pcireset/error-text.h"
#include "pcireset/table.h"
#include "pcireset/text.h"
#include "pcireset/verbs.h"

static Colour colour_of(const char *result)
{
        return strcmp(result, "ok") == 0       ? COLOUR_GOOD
               : strcmp(result, "failed") == 0 ? COLOUR_BAD
                                               : COLOUR_NONE;
}

static int print_checks(json_object *checks)
{
        static const char *const headers[] = {"CHECK", "RESULT", "BEFORE", "AFTER", NULL};
        _cleanup_(cleanup_table_free) Table *table = table_new(headers);

        if (!table)
                return -ENOMEM;
        for (size_t i = 0; i < json_length(checks); i++) {
                json_object *check = json_object_array_get_idx(checks, i);
                const char *result = json_get_string(check, "result");

                table_text(table, json_get_string(check, "check"));
                table_cell(table, colour_of(result), "%s", result);
                table_text(table, json_get_string(check, "before"));
                table_text(table, json_get_string(check, "after"));
        }
        return table_print(table, stdout);
}

static int print_health(const Client *client, json_object *health)
{
        const char *method = json_get_string(health, "method"),
                   *verdict = json_get_string(health, "verdict");
        time_t when = (time_t) (json_get_unsigned(health, "checked_at") / USEC_PER_SEC);
        bool is_look = strcmp(method, "health") == 0;
        struct tm local;
        char text[64];
        int r;

        if (!*verdict)
                return text_print_line(stdout,
                                       "%s: nobody has looked yet. `pcireset health --probe %s` looks now.",
                                       client->address, client->address);
        if (!localtime_r(&when, &local) || strftime(text, sizeof(text), "%F %T", &local) == 0)
                text[0] = '\0';
        r = text_print_line(stdout, "%s: %s, found by %s%s at %s", client->address, verdict,
                            is_look ? "a look without a reset" : "a reset by ", is_look ? "" : method, text);
        return r < 0 ? r : print_checks(json_get_array(health, "checks"));
}

static int ask(Client *client, json_object **ret)
{
        _cleanup_free_ char *path = NULL, *owner = NULL;
        _cleanup_message_ sd_bus_message *call = NULL;
        pid_t agent;
        int r;

        r = client_get_device(client, &path, &owner);
        if (r != EXIT_OK)
                return r;
        r = client_new_call(client, owner, path, DEVICE_INTERFACE, "GetHealth", client->probe, &call);
        if (r >= 0)
                r = client->probe ? sd_bus_message_append(call, "a{sv}", 1, "probe", "b", 1)
                                  : sd_bus_message_append(call, "a{sv}", 0);
        if (r < 0)
                return r;
        agent = client->probe && client->ask_password ? agent_start() : 0;
        r = client_call_for_value(client, call, ret);
        agent_stop(agent);
        return r;
}

int verb_health(Client *client, char **arguments)
{
        _cleanup_json_ json_object *health = NULL;
        const char *verdict;
        int r;

        r = ask(client, &health);
        if (r != EXIT_OK)
                return r;
        r = client->json ? json_print(stdout, health, false) : print_health(client, health);
        if (r < 0)
                return r;
        verdict = json_get_string(health, "verdict");
        return strcmp(verdict, "dead") == 0       ? EXIT_DEVICE_DEAD
               : strcmp(verdict, "degraded") == 0 ? EXIT_RESET_FAILED
                                                  : EXIT_OK;
}
