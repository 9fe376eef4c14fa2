/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * `policy`: what rules say about resets. Showing and setting are the daemon's; files are checked and edited
 * here (policy-file.c), with the daemon's own reader, so that both are of one opinion.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pcireset/error-text.h"
#include "pcireset/policy-check.h"
#include "pcireset/policy-file.h"
#include "pcireset/table.h"
#include "pcireset/text.h"
#include "pcireset/verbs.h"
#include "shared/utf8.h"

/* A value for people: what a list has, with commas, and yes or no. */
static char *value_to_text(json_object *value)
{
        if (json_object_is_type(value, json_type_array))
                return json_object_array_length(value) > 0 ? json_join(value, ",") : strdup("(none)");
        if (json_object_is_type(value, json_type_boolean))
                return strdup(json_object_get_boolean(value) ? "yes" : "no");
        return strdup(value ? json_object_get_string(value) : "");
}

/* ---- all rules ---- */

/* `methods=bus,flr settle_usec=1000`, with what is known of methods at the end. */
static char *settings_to_text(json_object *rule)
{
        json_object *settings = json_get_dict(rule, "settings"), *known = json_get_array(rule, "known");
        size_t size;
        char *text = NULL;
        FILE *f = open_memstream(&text, &size);
        const char *separator = "";

        if (!f)
                return NULL;
        if (settings) {
                json_object_object_foreach(settings, key, value)
                {
                        _cleanup_free_ char *words = value_to_text(value);

                        fprintf(f, "%s%s=%s", separator, key, words ? words : "");
                        separator = " ";
                }
        }
        for (size_t i = 0; i < json_length(known); i++) {
                json_object *piece = json_object_array_get_idx(known, i);

                fprintf(f, "%sknown_%s=%s", separator, json_get_string(piece, "known"),
                        json_get_string(piece, "method"));
                separator = " ";
        }
        if (fclose(f) != 0) {
                free(text);
                return NULL;
        }
        return text;
}

static int print_rules(json_object *rules)
{
        static const char *const headers[] = {"RULE", "DEVICES", "SETTINGS", "FILE", NULL};
        _cleanup_(cleanup_table_free) Table *table = NULL;

        if (json_length(rules) == 0)
                return text_print_line(stdout, "There are no rules.");
        table = table_new(headers);
        if (!table)
                return -ENOMEM;
        for (size_t i = 0; i < json_length(rules); i++) {
                json_object *rule = json_object_array_get_idx(rules, i);
                _cleanup_free_ char *settings = settings_to_text(rule);
                const char *match = json_get_string(rule, "match");

                if (!settings)
                        return -ENOMEM;
                table_text(table, json_get_string(rule, "id"));
                table_text(table, *match ? match : "all");
                table_text(table, settings);
                table_text(table, json_get_string(rule, "file"));
        }
        return table_print(table, stdout);
}

static int show_all(Client *client)
{
        _cleanup_json_ json_object *rules = NULL;
        int r = client_get_rows(client, NULL, ROOT_PATH, MANAGER_INTERFACE, "ListPolicies", &rules);

        if (r != EXIT_OK)
                return r;
        return client->json ? json_print(stdout, rules, false) : print_rules(rules);
}

/* ---- one device ---- */

static int print_known(json_object *known)
{
        int r = 0;

        for (size_t i = 0; i < json_length(known) && r >= 0; i++) {
                json_object *piece = json_object_array_get_idx(known, i);

                r = text_print_line(stdout, "%s is known to be %s: %s (rule %s, %s)",
                                    json_get_string(piece, "method"), json_get_string(piece, "known"),
                                    json_get_string(piece, "source"), json_get_string(piece, "rule"),
                                    json_get_string(piece, "file"));
        }
        return r;
}

static int print_order(json_object *policy)
{
        _cleanup_free_ char *wanted = json_join(json_get_array(policy, "kernel_wanted"), " "),
                            *refused = json_join(json_get_array(policy, "kernel_refused"), " ");

        if (!wanted || !refused)
                return -ENOMEM;
        if (json_length(json_get_array(policy, "kernel_refused")) > 0)
                return text_print_line(stdout, "reset_method is to read: %s. The kernel does not take: %s",
                                       wanted, refused);
        return *wanted ? text_print_line(stdout, "reset_method is to read: %s", wanted) : 0;
}

static int print_policy(json_object *policy)
{
        static const char *const headers[] = {"SETTING", "VALUE", "RULE", "FILE", NULL};
        _cleanup_(cleanup_table_free) Table *table = table_new(headers);
        int r;

        if (!table)
                return -ENOMEM;
        for (size_t i = 0; policy_setting_name(i); i++) {
                const char *name = policy_setting_name(i);
                json_object *entry = json_get_array(policy, name);
                _cleanup_free_ char *value = NULL;

                if (json_length(entry) != 3)
                        continue;
                value = value_to_text(json_object_array_get_idx(entry, 0));
                if (!value)
                        return -ENOMEM;
                table_text(table, name);
                table_text(table, value);
                table_text(table, json_get_string_at(entry, 1));
                table_text(table, json_get_string_at(entry, 2));
        }
        r = table_print(table, stdout);
        if (r >= 0)
                r = print_order(policy);
        return r < 0 ? r : print_known(json_get_array(policy, "known"));
}

static int show_device(Client *client)
{
        _cleanup_message_ sd_bus_message *call = NULL;
        _cleanup_json_ json_object *policy = NULL;
        int r;

        r = client_new_call(client, NULL, ROOT_PATH, MANAGER_INTERFACE, "GetPolicy", false, &call);
        if (r >= 0)
                r = sd_bus_message_append(call, "sa{sv}", client->address, 0);
        if (r >= 0)
                r = client_call_for_value(client, call, &policy);
        if (r != EXIT_OK)
                return r;
        return client->json ? json_print(stdout, policy, false) : print_policy(policy);
}

/* ---- changes ---- */

static int usage(const Client *client, const char *complaint, const char *text)
{
        return report_failure(client, EXIT_USAGE, CLIENT_ERROR("Usage"), "See `pcireset --help`.",
                              "%s%s%s%s", complaint, text ? ": \"" : "", text ? text : "", text ? "\"" : "");
}

static int print_changed(const Client *client, const char *id, const char *what)
{
        _cleanup_json_ json_object *object = NULL;

        if (!client->json)
                return text_print_line(stdout, "Rule %s %s.", id, what);
        object = json_object_new_object();
        if (!object || json_add(object, "id", json_object_new_string(id)) < 0)
                return -ENOMEM;
        return json_print(stdout, object, false);
}

static int append_list(sd_bus_message *call, const char *text)
{
        _cleanup_free_ char *copy = strdup(text);
        char *saved = NULL;
        int r;

        if (!copy)
                return -ENOMEM;
        r = sd_bus_message_open_container(call, 'v', "as");
        if (r >= 0)
                r = sd_bus_message_open_container(call, 'a', "s");
        for (char *name = strtok_r(copy, ",", &saved); name && r >= 0; name = strtok_r(NULL, ",", &saved))
                r = sd_bus_message_append(call, "s", name);
        if (r >= 0)
                r = sd_bus_message_close_container(call);
        return r < 0 ? r : sd_bus_message_close_container(call);
}

static int append_truth(sd_bus_message *call, const char *text)
{
        if (strcmp(text, "yes") == 0 || strcmp(text, "true") == 0)
                return sd_bus_message_append(call, "v", "b", 1);
        if (strcmp(text, "no") == 0 || strcmp(text, "false") == 0)
                return sd_bus_message_append(call, "v", "b", 0);
        return -EINVAL;
}

static int append_number(sd_bus_message *call, const char *text)
{
        uint64_t number;
        char *end;

        errno = 0;
        number = strtoull(text, &end, 10);
        if (text[0] < '0' || text[0] > '9' || *end || errno)
                return -EINVAL;
        return sd_bus_message_append(call, "v", "t", number);
}

/* The daemon says what is wrong with a value of the right type. -EINVAL for one of the wrong type. */
static int append_value(sd_bus_message *call, const char *key, const char *text)
{
        static const char *const lists[] = {"methods", "forbid"},
                                 *const truths[] = {"allow_link", "kernel_order", "require_clean"},
                                 *const numbers[] = {"settle_usec", "timeout_usec"};

        for (size_t i = 0; i < ELEMENTSOF(lists); i++)
                if (strcmp(key, lists[i]) == 0)
                        return append_list(call, text);
        for (size_t i = 0; i < ELEMENTSOF(truths); i++)
                if (strcmp(key, truths[i]) == 0)
                        return append_truth(call, text);
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                if (strcmp(key, numbers[i]) == 0)
                        return append_number(call, text);
        return sd_bus_message_append(call, "v", "s", text);
}

static int append_setting(sd_bus_message *call, const char *word)
{
        const char *equals = strchr(word, '=');
        _cleanup_free_ char *key = equals ? strndup(word, (size_t) (equals - word)) : NULL;
        int r;

        if (!equals || !utf8_is_valid(word))
                return -EINVAL;
        if (!key)
                return -ENOMEM;
        r = sd_bus_message_open_container(call, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(call, "s", key);
        if (r >= 0)
                r = append_value(call, key, equals + 1);
        return r < 0 ? r : sd_bus_message_close_container(call);
}

static int append_options(sd_bus_message *call, const Client *client)
{
        int r = sd_bus_message_open_container(call, 'a', "{sv}");

        if (r >= 0 && client->runtime)
                r = sd_bus_message_append(call, "{sv}", "runtime", "b", 1);
        if (r >= 0 && client->why)
                r = sd_bus_message_append(call, "{sv}", "reason", "s", client->why);
        return r < 0 ? r : sd_bus_message_close_container(call);
}

static int set(Client *client, char **arguments)
{
        _cleanup_message_ sd_bus_message *call = NULL, *reply = NULL;
        char address[PCI_ADDRESS_STRING_MAX];
        const char *match = arguments[0], *id;
        PciAddress parsed;
        int r;

        if (!match || !arguments[1])
                return usage(client,
                             "`policy set` needs devices and settings: pcireset policy set MATCH "
                             "KEY=VALUE...",
                             NULL);
        if (!utf8_is_valid(match))
                return usage(client, "not UTF-8", match);
        if (pci_address_parse_typed(match, &parsed) >= 0)
                match = pci_address_format(&parsed, address);
        r = client_new_call(client, NULL, ROOT_PATH, MANAGER_INTERFACE, "SetPolicy", true, &call);
        if (r >= 0)
                r = sd_bus_message_append(call, "s", match);
        if (r >= 0)
                r = sd_bus_message_open_container(call, 'a', "{sv}");
        for (char **word = arguments + 1; *word && r >= 0; word++) {
                r = append_setting(call, *word);
                if (r == -EINVAL)
                        return usage(client, "not KEY=VALUE, or not a value of this key", *word);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(call);
        if (r >= 0)
                r = append_options(call, client);
        if (r < 0)
                return r;
        r = client_call(client, call, &reply);
        if (r != EXIT_OK)
                return r;
        r = sd_bus_message_read(reply, "s", &id);
        return r < 0 ? r : print_changed(client, id, "holds");
}

static int unset(Client *client, char **arguments)
{
        _cleanup_message_ sd_bus_message *call = NULL, *reply = NULL;
        int r;

        if (!arguments[0] || arguments[1] || !utf8_is_valid(arguments[0]))
                return usage(client, "`policy unset` needs the id of one rule: pcireset policy unset RULE",
                             NULL);
        r = client_new_call(client, NULL, ROOT_PATH, MANAGER_INTERFACE, "UnsetPolicy", true, &call);
        if (r >= 0)
                r = sd_bus_message_append(call, "sa{sv}", arguments[0], 0);
        if (r < 0)
                return r;
        r = client_call(client, call, &reply);
        return r != EXIT_OK ? r : print_changed(client, arguments[0], "is gone");
}

/* ---- which of them ---- */

static int show(Client *client, char **arguments)
{
        PciAddress address;

        if (!arguments[0])
                return show_all(client);
        if (arguments[1])
                return usage(client, "one argument too many", arguments[1]);
        if (pci_address_parse_typed(arguments[0], &address) < 0)
                return usage(client, "not the address of a PCI device", arguments[0]);
        (void) pci_address_format(&address, client->address);
        return show_device(client);
}

static int connected(Client *client, char **arguments, int (*run)(Client *client, char **arguments))
{
        int r = client_connect(client);

        return r != EXIT_OK ? r : run(client, arguments);
}

int verb_policy(Client *client, char **arguments)
{
        const char *what = arguments[0] ? arguments[0] : "show";
        char **rest = arguments[0] ? arguments + 1 : arguments;

        if (client->runtime && strcmp(what, "set") != 0)
                return usage(client, "--runtime has no meaning for this", what);
        if (strcmp(what, "show") == 0)
                return connected(client, rest, show);
        if (strcmp(what, "set") == 0)
                return connected(client, rest, set);
        if (strcmp(what, "unset") == 0)
                return connected(client, rest, unset);
        if (strcmp(what, "check") == 0)
                return policy_file_check(client, rest);
        if (strcmp(what, "edit") == 0)
                return policy_file_edit(client, rest);
        return usage(client, "`policy` has show, set, unset, edit and check, but not", what);
}
