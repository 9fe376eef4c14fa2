/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * `report`: what a kernel developer needs to know of a device whose resets go wrong, in one document that
 * may go to a public list. The daemon is asked for what it judges and remembers; what is only to be read,
 * this process reads itself, with the rights of whoever runs it, so that a report shows nobody more than he
 * could see. Without the daemon there is a report all the same.
 */

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <string.h>

#include "pcireset/error-text.h"
#include "pcireset/kernel-log.h"
#include "pcireset/report-facts.h"
#include "pcireset/report-text.h"
#include "pcireset/text.h"
#include "pcireset/verbs.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

#define HISTORY_ROWS 50U

typedef struct Report {
        Client *client;
        json_object *document;
        json_object *notes; /* in the document: what is not in it, and why */
        json_object *properties, *methods; /* NULL: the daemon was not there */
        Redactor redactor;
        PciConfig config;
} Report;

static void report_done(Report *report)
{
        json_object_put(report->document);
        json_object_put(report->properties);
        json_object_put(report->methods);
        redactor_done(&report->redactor);
}

static int note(Report *report, const char *text)
{
        return json_append(report->notes, json_object_new_string(text));
}

/* Owns what was made: an object or an array, unless that went wrong. */
static int add(Report *report, const char *key, int r, json_object *const *made)
{
        return r < 0 ? r : json_add(report->document, key, *made);
}

/* As client_call(): a device that is not there is an error, a daemon that is not there is not. */
static int ask_daemon(Report *report)
{
        Client *client = report->client;
        _cleanup_json_ json_object *failure = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        client->failure = &failure;
        r = client_get_device(client, &path, NULL);
        if (r == EXIT_OK)
                r = client_get_properties(client, path, &report->properties);
        if (r == EXIT_OK)
                r = client_get_methods(client, &report->methods);
        client->failure = NULL;
        if (r <= EXIT_OK)
                return r;
        if (r == EXIT_UNREACHABLE)
                return note(report,
                            "pciresetd cannot be reached: which methods can be used, which were proven, "
                            "and what became of earlier resets is not told.");
        return report_failure(client, (ExitCode) r, json_get_string(json_get_dict(failure, "error"), "name"),
                              json_get_string(json_get_dict(failure, "error"), "next_step"), "%s",
                              json_get_string(json_get_dict(failure, "error"), "message"));
}

/* While a device is reset, reading its configuration space would wait for the end. */
static bool is_being_reset(const Report *report)
{
        const char *state = json_get_string(report->properties, "State");

        return strcmp(state, "resetting") == 0 || strcmp(state, "recovering") == 0;
}

static int add_config(Report *report)
{
        json_object *value = NULL;
        int r;

        if (is_being_reset(report))
                return note(report, "The device is just being reset: its configuration space is not read.");
        r = pci_config_read(report->client->address, &report->config);
        if (r == -ENODEV)
                return report_failure(report->client, EXIT_NO_DEVICE, CLIENT_ERROR("NoSuchDevice"),
                                      "`pcireset list` shows the devices that there are.",
                                      "%s: there is no such device", report->client->address);
        if (r < 0)
                return r;
        if (!report->client->with_serials)
                pci_config_hide(&report->config);
        r = add(report, "config", report_config(&report->config, &value), &value);
        if (r < 0)
                return r;
        return json_add(report->document, "capabilities",
                        pci_config_decode(&report->config, report->client->with_serials));
}

/* A bridge above, with what its registers say. */
static int add_bridge(Report *report, const char *address, json_object *list)
{
        json_object *bridge = NULL;
        PciConfig config;
        int r;

        r = report_function(address, &bridge);
        if (r < 0)
                return r;
        r = json_append(list, bridge);
        /* The bridge's is locked as well while a device below it is reset. */
        if (r < 0 || is_being_reset(report) || pci_config_read(address, &config) < 0)
                return r;
        return json_add(bridge, "capabilities", pci_config_decode(&config, report->client->with_serials));
}

static int add_topology(Report *report)
{
        _cleanup_json_ json_object *bridges = NULL;
        json_object *device = NULL, *list = json_object_new_array();
        int r;

        r = json_add(report->document, "topology", list);
        if (r >= 0)
                r = add(report, "function", report_function(report->client->address, &device), &device);
        if (r >= 0)
                r = report_bridges(report->client->address, &bridges);
        for (size_t i = 0; i < json_length(bridges) && r >= 0; i++)
                r = add_bridge(report, json_get_string_at(bridges, i), list);
        return r;
}

static int add_kernel_log(Report *report)
{
        json_object *lines = NULL;
        bool more;
        int r = kernel_log_read(report->client->address, &report->redactor, &lines, &more);

        if (r < 0)
                return r;
        if (r == 0)
                return note(report,
                            "The kernel's log could not be read: run this as root, or as a member of the "
                            "group systemd-journal.");
        r = json_add(report->document, "kernel_log", lines);
        return r < 0 || !more ? r : note(report, "Older lines of the kernel's log are left out.");
}

/* What says who asked, and where. */
static void strip_row(json_object *row)
{
        static const char *const keys[] = {"uid", "boot_id", "origin"};

        for (size_t i = 0; i < ELEMENTSOF(keys) && json_object_is_type(row, json_type_object); i++)
                json_object_object_del(row, keys[i]);
}

/* The kernel's words are in the document once, without what identifies the hardware: add_kernel_log(). */
static void drop_evidence(json_object *rows)
{
        for (size_t i = json_length(rows); i > 0; i--)
                if (strcmp(json_get_string(json_object_array_get_idx(rows, i - 1), "event"), "evidence") ==
                    0)
                        (void) json_object_array_del_idx(rows, i - 1, 1);
}

static int call_history(Report *report, json_object **ret)
{
        _cleanup_message_ sd_bus_message *call = NULL;
        int r;

        r = client_new_call(report->client, NULL, ROOT_PATH, MANAGER_INTERFACE, "GetHistory", false, &call);
        if (r >= 0)
                r = sd_bus_message_append(call, "a{sv}", 3, "vendor_id", "q",
                                          (int) json_get_unsigned(report->properties, "VendorId"),
                                          "device_id", "q",
                                          (int) json_get_unsigned(report->properties, "DeviceId"), "limit",
                                          "t", (uint64_t) HISTORY_ROWS);
        return r < 0 ? r : client_call_for_value(report->client, call, ret);
}

/* Of this kind of hardware, whatever its address. */
static int add_history(Report *report)
{
        _cleanup_json_ json_object *failure = NULL;
        json_object *rows = NULL;
        int r;

        if (!report->properties)
                return 0;
        report->client->failure = &failure;
        r = call_history(report, &rows);
        report->client->failure = NULL;
        if (r > EXIT_OK)
                return note(report, "This pciresetd tells no history.");
        drop_evidence(rows);
        for (size_t i = 0; i < json_length(rows); i++)
                strip_row(json_object_array_get_idx(rows, i));
        return r < 0 ? r : json_add(report->document, "history", rows);
}

static int add_serials(Report *report)
{
        json_object *value = NULL;

        if (!report->client->with_serials)
                return note(report,
                            "Serial numbers, MAC addresses and the like are left out: see --with-serials.");
        return add(report, "serials", report_serials(report->client->address, &report->config, &value),
                   &value);
}

static int add_daemons(Report *report)
{
        static const char *const keys[] = {"VendorName", "DeviceName", "State",     "ErrorState",
                                           "Methods",    "LastReset",  "Quarantine"};
        json_object *told = json_object_new_object(), *value;
        int r;

        if (!report->properties) {
                json_object_put(told);
                return 0;
        }
        r = json_add(report->document, "daemon", told);
        for (size_t i = 0; i < ELEMENTSOF(keys) && r >= 0; i++)
                if (json_object_object_get_ex(report->properties, keys[i], &value))
                        r = json_add(told, keys[i], json_object_get(value));
        return r < 0 ? r : json_add(report->document, "methods", json_object_get(report->methods));
}

static int begin(Report *report)
{
        int r;

        report->redactor.off = report->client->with_serials;
        report->document = json_object_new_object();
        if (!report->document)
                return -ENOMEM;
        r = json_add(report->document, "pcireset", json_object_new_string(PACKAGE_VERSION));
        if (r >= 0)
                r = json_add(report->document, "time_usec",
                             json_object_new_int64((int64_t) now_realtime_usec()));
        if (r >= 0)
                r = json_add(report->document, "address", json_object_new_string(report->client->address));
        if (r < 0)
                return r;
        report->notes = json_object_new_array();
        return json_add(report->document, "notes", report->notes);
}

/* The parts in the order of the document. EXIT_OK, another ExitCode, reported, or a negative errno. */
static int gather(Report *report)
{
        static int (*const parts[])(Report * report) = {
                ask_daemon, add_config, add_daemons, add_topology, add_serials, add_history,
        };
        json_object *system = NULL;
        int r = begin(report);

        for (size_t i = 0; i < ELEMENTSOF(parts) && r == EXIT_OK; i++)
                r = parts[i](report);
        if (r == EXIT_OK)
                r = report_collect_secrets(report->client->address, &report->config, &report->redactor);
        if (r == EXIT_OK)
                r = add_kernel_log(report);
        return r != EXIT_OK ? r : add(report, "system", report_system(&report->redactor, &system), &system);
}

int verb_report(Client *client, char **arguments)
{
        _cleanup_(report_done) Report report = {.client = client};
        int r = gather(&report);

        if (r != EXIT_OK)
                return r;
        return client->json ? json_print(stdout, report.document, false) : report_print(report.document);
}
