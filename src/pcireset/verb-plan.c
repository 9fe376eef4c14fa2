/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What could be done, without doing it: `methods` shows the facts about each method, `plan` what a reset
 * would try, in which order, and what it would cost.
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "pcireset/holders.h"
#include "pcireset/names.h"
#include "pcireset/table.h"
#include "pcireset/text.h"
#include "pcireset/verbs.h"
#include "pcireset/words.h"
#include "shared/method.h"

static void yes_no_cell(Table *table, bool yes)
{
        table_cell(table, yes ? COLOUR_GOOD : COLOUR_BAD, "%s", yes ? "yes" : "no");
}

/* `3 of 4, 0.11 s`: how often it went well here, and how long it took. */
static void proven_cell(Table *table, json_object *proven)
{
        uint64_t tries = json_get_unsigned(proven, "tries"), ok = json_get_unsigned(proven, "ok");
        uint64_t dead = json_get_unsigned(proven, "dead"), median = json_get_unsigned(proven, "median_usec");
        char duration[TEXT_DURATION_MAX] = "", deaths[32] = "";

        if (tries == 0) {
                table_cell(table, COLOUR_DIM, "-");
                return;
        }
        if (dead > 0)
                (void) snprintf(deaths, sizeof(deaths), ", %" PRIu64 " dead", dead);
        if (median > 0)
                (void) text_duration(median, duration);
        table_cell(table,
                   dead > 0      ? COLOUR_BAD
                   : ok == tries ? COLOUR_GOOD
                                 : COLOUR_BUSY,
                   "%" PRIu64 " of %" PRIu64 "%s%s%s", ok, tries, deaths, *duration ? ", " : "", duration);
}

/* Adds the codes that are not in the list yet. */
static int collect(json_object *list, json_object *codes)
{
        for (size_t i = 0; i < json_length(codes); i++) {
                bool known = false;

                for (size_t j = 0; j < json_length(list) && !known; j++)
                        known = strcmp(json_get_string_at(list, j), json_get_string_at(codes, i)) == 0;
                if (!known && json_append(list, json_object_new_string(json_get_string_at(codes, i))) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int print_explanations(json_object *codes)
{
        int r = 0;

        if (json_length(codes) > 0)
                (void) fputc('\n', stdout);
        for (size_t i = 0; i < json_length(codes) && r >= 0; i++)
                r = text_print_line(stdout, "%s: %s", json_get_string_at(codes, i),
                                    why_to_words(json_get_string_at(codes, i)));
        return r;
}

static int print_methods(const Client *client, json_object *methods)
{
        static const char *const headers[] = {"NAME",   "SCOPE",  "ADVERTISED", "ENABLED",
                                              "USABLE", "PROVEN", "WHY",        NULL};
        _cleanup_(cleanup_table_free) Table *table = NULL;
        _cleanup_json_ json_object *codes = json_object_new_array();
        int r;

        if (json_length(methods) == 0)
                return text_print_line(stdout, "%s has no method by which it could be reset.",
                                       client->address);

        table = table_new(headers);
        if (!table || !codes)
                return -ENOMEM;
        for (size_t i = 0; i < json_length(methods); i++) {
                json_object *method = json_object_array_get_idx(methods, i);
                _cleanup_free_ char *why = json_join(json_get_array(method, "why"), " ");

                if (!why || collect(codes, json_get_array(method, "why")) < 0)
                        return -ENOMEM;
                table_cell(table, COLOUR_NONE, "%s", json_get_string(method, "name"));
                table_cell(table, COLOUR_NONE, "%s", json_get_string(method, "scope"));
                yes_no_cell(table, json_get_bool(method, "advertised"));
                yes_no_cell(table, json_get_bool(method, "enabled"));
                yes_no_cell(table, json_get_bool(method, "usable"));
                proven_cell(table, json_get_dict(method, "proven"));
                table_cell(table, *why ? COLOUR_NONE : COLOUR_DIM, "%s", *why ? why : "-");
        }

        r = table_print(table, stdout);
        return r < 0 ? r : print_explanations(codes);
}

int verb_methods(Client *client, char **arguments)
{
        _cleanup_json_ json_object *methods = NULL;
        int r;

        r = client_get_methods(client, &methods);
        if (r != EXIT_OK)
                return r;
        return client->json ? json_print(stdout, methods, false) : print_methods(client, methods);
}

static int print_line(const char *label, const char *text)
{
        return text_print_line(stdout, "   %-13s%s", label, text);
}

static int print_codes(const char *label, json_object *codes)
{
        int r = 0;

        for (size_t i = 0; i < json_length(codes) && r >= 0; i++)
                r = text_print_line(stdout, "   %-13s%s: %s", label, json_get_string_at(codes, i),
                                    why_to_words(json_get_string_at(codes, i)));
        return r;
}

/* `0000:01:00.0 alice (lease 3f of the VM), 0000:01:00.1 nobody`. Nothing if the daemon tells of none. */
static int print_owners(json_object *owners)
{
        char *text = NULL;
        size_t size;
        FILE *stream = open_memstream(&text, &size);
        int r;

        if (!stream)
                return -ENOMEM;
        for (size_t i = 0; i < json_length(owners); i++) {
                json_object *member = json_object_array_get_idx(owners, i);
                _cleanup_free_ char *owner = owner_to_text(json_get_string(member, "owner"));
                const char *who = json_get_string(member, "who"), *lease = json_get_string(member, "lease");
                _cleanup_free_ char *device = device_path_to_address(json_get_string(member, "device"));

                (void) fprintf(stream, "%s%s %s%s%s%s%s%s", i > 0 ? ", " : "", device ? device : "?",
                               owner && *owner ? owner : "nobody", *lease ? " (lease " : "", lease,
                               *lease && *who ? " of " : "", *lease ? who : "", *lease ? ")" : "");
        }
        r = fclose(stream) != 0 ? -ENOMEM : *text ? print_line("Owned by:", text) : 0;
        free(text);
        return r;
}

static int print_users(json_object *holders)
{
        if (json_length(holders) == 0)
                return print_line("Used by:", "nobody");
        return print_holders(stdout, "   Used by:     ", "                ", holders);
}

/* The daemon's scope, since it knows methods that are newer than this client. */
static const char *rung_scope(json_object *rung)
{
        const char *scope = json_get_string(rung, "scope");

        return *scope ? scope : reset_scope_to_string(reset_method_scope(json_get_string(rung, "method")));
}

static int print_rung(json_object *rung, size_t number)
{
        uint64_t expected = json_get_unsigned(rung, "expected_usec");
        _cleanup_free_ char *set = device_paths_join(json_get_array(rung, "reset_set"));
        _cleanup_free_ char *actions = json_join(json_get_array(rung, "actions"), ", ");
        _cleanup_free_ char *lost = json_join(json_get_array(rung, "lost"), ", ");
        char duration[TEXT_DURATION_MAX];
        int r;

        if (!set || !actions || !lost)
                return -ENOMEM;

        r = text_print_line(stdout, "%zu. %s (%s scope)%s", number, json_get_string(rung, "method"),
                            rung_scope(rung), json_get_bool(rung, "usable") ? "" : ": not usable now");
        if (r >= 0 && !json_get_bool(rung, "usable"))
                r = print_codes("Not usable:", json_get_array(rung, "why"));
        if (r >= 0)
                r = print_codes("Waits for:", json_get_array(rung, "busy"));
        if (r >= 0)
                r = print_line("Disturbs:", set);
        if (r >= 0)
                r = print_owners(json_get_array(rung, "owners"));
        if (r >= 0)
                r = print_users(json_get_array(rung, "holders"));
        if (r >= 0 && *actions)
                r = print_line("polkit asks:", actions);
        if (r >= 0)
                r = print_line("Takes about:",
                               expected > 0 ? text_duration(expected, duration) : "only firmware knows");
        if (r >= 0 && *lost)
                r = text_print_line(stdout, "   %-13swhat these drivers have set up: %s", "Loses:", lost);
        return r;
}

static int print_plan(const Client *client, json_object *plan)
{
        json_object *rungs = json_get_array(plan, "rungs");
        int r;

        if (json_length(rungs) == 0)
                return text_print_line(stdout, "%s: there is nothing that a reset by \"%s\" could try.",
                                       client->address, client->method);

        r = text_print_line(stdout, "%s: a reset by \"%s\" would try, in this order:", client->address,
                            client->method);
        for (size_t i = 0; i < json_length(rungs) && r >= 0; i++) {
                (void) fputc('\n', stdout);
                r = print_rung(json_object_array_get_idx(rungs, i), i + 1);
        }
        return r;
}

int verb_plan(Client *client, char **arguments)
{
        _cleanup_json_ json_object *plan = NULL;
        int r;

        r = client_get_plan(client, &plan);
        if (r != EXIT_OK)
                return r;
        return client->json ? json_print(stdout, plan, false) : print_plan(client, plan);
}
