/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The tables of what there is: `list` for devices, `jobs` for resets on their way, and `cancel`, which ends
 * one of those.
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "pcireset/agent.h"
#include "pcireset/error-text.h"
#include "pcireset/names.h"
#include "pcireset/table.h"
#include "pcireset/text.h"
#include "pcireset/verbs.h"

static Colour state_colour(const char *state)
{
        if (strcmp(state, "idle") == 0)
                return COLOUR_NONE;
        return strcmp(state, "quarantined") == 0 ? COLOUR_BAD : COLOUR_BUSY;
}

static int print_devices(json_object *devices)
{
        static const char *const headers[] = {"ADDRESS", "DRIVER", "STATE", "OWNER", "DESCRIPTION", NULL};
        _cleanup_(cleanup_table_free) Table *table = table_new(headers);

        if (!table)
                return -ENOMEM;
        for (size_t i = 0; i < json_length(devices); i++) {
                json_object *device = json_object_array_get_idx(devices, i);
                _cleanup_free_ char *owner = owner_to_text(json_get_string(device, "owner"));
                const char *state = json_get_string(device, "state");

                if (!owner)
                        return -ENOMEM;
                table_text(table, json_get_string(device, "address"));
                table_text(table, json_get_string(device, "driver"));
                table_cell(table, state_colour(state), "%s", state);
                table_text(table, owner);
                table_cell(table, COLOUR_NONE, "%s", json_get_string(device, "description"));
        }
        return table_print(table, stdout);
}

int verb_list(Client *client, char **arguments)
{
        _cleanup_json_ json_object *devices = NULL;
        int r = client_list_devices(client, &devices);

        if (r != EXIT_OK)
                return r;
        return client->json ? json_print(stdout, devices, false) : print_devices(devices);
}

static int print_jobs(json_object *jobs)
{
        static const char *const headers[] = {"JOB",  "ADDRESS", "METHOD",  "PHASE",
                                              "USER", "QUEUED",  "RUNNING", NULL};
        _cleanup_(cleanup_table_free) Table *table = NULL;

        if (json_length(jobs) == 0)
                return text_print_line(stdout, "No reset is on its way.");

        table = table_new(headers);
        if (!table)
                return -ENOMEM;
        for (size_t i = 0; i < json_length(jobs); i++) {
                json_object *job = json_object_array_get_idx(jobs, i);
                _cleanup_free_ char *user = uid_to_name(json_get_unsigned(job, "uid"));

                if (!user)
                        return -ENOMEM;
                table_cell(table, COLOUR_NONE, "%" PRIu64, json_get_unsigned(job, "id"));
                table_text(table, json_get_string(job, "address"));
                table_text(table, json_get_string(job, "method"));
                table_cell(table, COLOUR_BUSY, "%s", json_get_string(job, "phase"));
                table_text(table, user);
                table_age(table, json_get_unsigned(job, "queued_at"));
                table_age(table, json_get_unsigned(job, "started_at"));
        }
        return table_print(table, stdout);
}

int verb_jobs(Client *client, char **arguments)
{
        _cleanup_json_ json_object *jobs = NULL;
        int r;

        r = client_get_rows(client, NULL, ROOT_PATH, MANAGER_INTERFACE, "ListJobs", &jobs);
        if (r != EXIT_OK)
                return r;
        return client->json ? json_print(stdout, jobs, false) : print_jobs(jobs);
}

static int print_cancelled(const Client *client, unsigned long job)
{
        _cleanup_json_ json_object *document = NULL;
        int r;

        if (!client->json)
                return text_print_line(stdout, "Job %lu is cancelled: its reset had not begun.", job);

        document = json_object_new_object();
        if (!document)
                return -ENOMEM;
        r = json_add(document, "cancelled", json_object_new_int64((int64_t) job));
        return r < 0 ? r : json_print(stdout, document, false);
}

int verb_cancel(Client *client, char **arguments)
{
        _cleanup_message_ sd_bus_message *call = NULL, *reply = NULL;
        char path[sizeof(JOB_PATH "/") + 10];
        unsigned long job;
        pid_t agent;
        char *end;
        int r;

        errno = 0;
        job = strtoul(arguments[0], &end, 10);
        if (arguments[0][0] < '0' || arguments[0][0] > '9' || *end || errno || job > UINT32_MAX)
                return report_failure(client, EXIT_USAGE, CLIENT_ERROR("Usage"),
                                      "`pcireset jobs` shows the numbers.",
                                      "\"%s\" is not the number of a job", arguments[0]);

        (void) snprintf(path, sizeof(path), JOB_PATH "/%" PRIu32, (uint32_t) job);
        r = client_new_call(client, NULL, path, JOB_INTERFACE, "Cancel", true, &call);
        if (r < 0)
                return r;
        r = sd_bus_message_append(call, "a{sv}", 0);
        if (r < 0)
                return r;
        agent = client->ask_password ? agent_start() : 0;
        r = client_call(client, call, &reply);
        agent_stop(agent);
        return r != EXIT_OK ? r : print_cancelled(client, job);
}
