/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Who uses a device (`holders`), who has taken it (`leases`), and who forbids or delays its reset
 * (`inhibitors`).
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "pcireset/error-text.h"
#include "pcireset/holders.h"
#include "pcireset/names.h"
#include "pcireset/table.h"
#include "pcireset/text.h"
#include "pcireset/verbs.h"

static int holder_row(Table *table, json_object *holder)
{
        _cleanup_free_ char *device = device_path_to_address(json_get_string(holder, "device")),
                            *what = holder_what(holder),
                            *user = uid_to_name(json_get_unsigned(holder, "uid"));
        uint64_t pid = json_get_unsigned(holder, "pid");

        if (!device || !what || !user)
                return -ENOMEM;
        table_text(table, device);
        table_cell(table, json_get_bool(holder, "hard") ? COLOUR_BAD : COLOUR_BUSY, "%s",
                   json_get_string(holder, "kind"));
        if (pid > 0) {
                table_cell(table, COLOUR_NONE, "%" PRIu64, pid);
                table_text(table, user);
        } else {
                table_text(table, "");
                table_text(table, "");
        }
        table_text(table, json_get_string(holder, "command"));
        table_text(table, json_get_string(holder, "unit"));
        table_text(table, what);
        return 0;
}

static int print_table(const Client *client, json_object *holders)
{
        static const char *const headers[] = {"ADDRESS", "KIND", "PID",  "USER",
                                              "COMMAND", "UNIT", "WHAT", NULL};
        _cleanup_(cleanup_table_free) Table *table = NULL;
        int r = 0;

        if (json_length(holders) == 0)
                return text_print_line(stdout, "Nobody uses %s.", client->address);

        table = table_new(headers);
        if (!table)
                return -ENOMEM;
        for (size_t i = 0; i < json_length(holders) && r >= 0; i++)
                r = holder_row(table, json_object_array_get_idx(holders, i));
        if (r >= 0)
                r = table_print(table, stdout);
        if (r < 0)
                return r;
        (void) fputc('\n', stdout);
        return print_holder_kinds(stdout, holders);
}

int verb_holders(Client *client, char **arguments)
{
        _cleanup_json_ json_object *holders = NULL;
        _cleanup_free_ char *path = NULL, *owner = NULL;
        int r;

        /* The daemon that knows the path is the one to ask. */
        r = client_get_device(client, &path, &owner);
        if (r != EXIT_OK)
                return r;
        r = client_get_rows(client, owner, path, DEVICE_INTERFACE, "GetHolders", &holders);
        if (r != EXIT_OK)
                return r;
        return client->json ? json_print(stdout, holders, false) : print_table(client, holders);
}

/* The columns that leases and inhibitors share. */
static int claim_cells(Table *table, json_object *claim, const char *no_devices)
{
        _cleanup_free_ char *devices = json_join(json_get_array(claim, "devices"), " "),
                            *user = uid_to_name(json_get_unsigned(claim, "uid"));

        if (!devices || !user)
                return -ENOMEM;
        table_text(table, user);
        table_text(table, *devices ? devices : no_devices);
        table_age(table, json_get_unsigned(claim, "since"));
        table_text(table, json_get_string(claim, "who"));
        table_text(table, json_get_string(claim, "why"));
        return 0;
}

static int print_leases(json_object *leases)
{
        static const char *const headers[] = {"LEASE", "USER", "DEVICES", "AGE", "WHO", "WHY", NULL};
        _cleanup_(cleanup_table_free) Table *table = NULL;

        if (json_length(leases) == 0)
                return text_print_line(stdout, "Nobody has a lease.");

        table = table_new(headers);
        if (!table)
                return -ENOMEM;
        for (size_t i = 0; i < json_length(leases); i++) {
                json_object *lease = json_object_array_get_idx(leases, i);

                table_text(table, json_get_string(lease, "id"));
                if (claim_cells(table, lease, "") < 0)
                        return -ENOMEM;
        }
        return table_print(table, stdout);
}

static int print_inhibitors(json_object *inhibitors)
{
        static const char *const headers[] = {"INHIBITOR", "MODE", "USER", "DEVICES",
                                              "AGE",       "WHO",  "WHY",  NULL};
        _cleanup_(cleanup_table_free) Table *table = NULL;

        if (json_length(inhibitors) == 0)
                return text_print_line(stdout, "Nobody forbids or delays a reset.");

        table = table_new(headers);
        if (!table)
                return -ENOMEM;
        for (size_t i = 0; i < json_length(inhibitors); i++) {
                json_object *inhibitor = json_object_array_get_idx(inhibitors, i);
                const char *mode = json_get_string(inhibitor, "mode");

                table_text(table, json_get_string(inhibitor, "id"));
                table_cell(table, strcmp(mode, "block") == 0 ? COLOUR_BAD : COLOUR_BUSY, "%s", mode);
                if (claim_cells(table, inhibitor, "all") < 0)
                        return -ENOMEM;
        }
        return table_print(table, stdout);
}

static int list(Client *client, const char *member, int (*print)(json_object *rows))
{
        _cleanup_json_ json_object *rows = NULL;
        int r;

        r = client_get_rows(client, NULL, ROOT_PATH, MANAGER_INTERFACE, member, &rows);
        if (r != EXIT_OK)
                return r;
        return client->json ? json_print(stdout, rows, false) : print(rows);
}

int verb_leases(Client *client, char **arguments)
{
        return list(client, "ListLeases", print_leases);
}

int verb_inhibitors(Client *client, char **arguments)
{
        return list(client, "ListInhibitors", print_inhibitors);
}
