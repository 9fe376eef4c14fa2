/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * `monitor`: a line for everything that the daemon announces, until interrupted. What was before comes from
 * a list that is read after the signals have been subscribed to, so that no change falls between; it only
 * serves to show `from -> to`. A daemon that goes away and comes back is news, not an error.
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "pcireset/error-text.h"
#include "pcireset/names.h"
#include "pcireset/text.h"
#include "pcireset/verbs.h"

typedef struct Monitor {
        Client *client;
        sd_event *event;
        char *owner; /* the daemon's unique name; NULL: it is not there */
        json_object *known; /* object path → { property: last known value } */
} Monitor;

/* The key in `known` under which a job's address is kept: no property has such a name. */
#define JOB_ADDRESS "address of the job"

static const char *const row_keys[] = {"address", "path", "driver", "state", "owner", "description", NULL};

/* Starts the JSON form of an event. NULL: out of memory. */
static json_object *event_new(const char *name, const char *path, const char *address)
{
        json_object *event = json_object_new_object();

        if (event && (json_add(event, "time_usec", json_object_new_uint64(now_realtime_usec())) < 0 ||
                      json_add(event, "event", json_object_new_string(name)) < 0 ||
                      (address && json_add(event, "address", json_object_new_string(address)) < 0) ||
                      (path && json_add(event, "path", json_object_new_string(path)) < 0))) {
                json_object_put(event);
                return NULL;
        }
        return event;
}

static int print_text(const char *subject, const char *what, const char *details)
{
        char time[TEXT_TIME_MAX];

        return text_print_line(stdout, "%s  %-12s  %s%s%s", text_time(now_realtime_usec(), time), subject,
                               what, *details ? ": " : "", details);
}

/* After each event the reader has it; a reader that is gone ends the program. */
static int flush(void)
{
        return fflush(stdout) == 0 ? 0 : -errno;
}

static int remember(Monitor *monitor, const char *path, const char *property, const char *value)
{
        json_object *device = json_get_dict(monitor->known, path);
        int r;

        if (!device) {
                device = json_object_new_object();
                r = json_add(monitor->known, path, device);
                if (r < 0)
                        return r;
        }
        return json_add(device, property, json_object_new_string(value));
}

/* Takes over what ListDevices says. */
static int learn(Monitor *monitor, sd_bus_message *reply)
{
        _cleanup_json_ json_object *devices = NULL;
        int r;

        r = bus_json_read_rows(reply, row_keys, &devices);
        for (size_t i = 0; i < json_length(devices) && r >= 0; i++) {
                json_object *device = json_object_array_get_idx(devices, i);
                const char *path = json_get_string(device, "path");

                r = remember(monitor, path, "Driver", json_get_string(device, "driver"));
                if (r >= 0)
                        r = remember(monitor, path, "State", json_get_string(device, "state"));
                if (r >= 0)
                        r = remember(monitor, path, "Owner", json_get_string(device, "owner"));
        }
        return r;
}

static const char *value_or_none(const char *value)
{
        return *value ? value : "none";
}

static int print_change(Monitor *monitor, const char *path, const char *subject, const char *prefix,
                        const char *property, const char *value)
{
        json_object *device = json_get_dict(monitor->known, path), *old = NULL;
        _cleanup_free_ char *what = NULL, *details = NULL;
        int r;

        /* What comes with a change and has not changed itself is left out. */
        if (json_object_object_get_ex(device, property, &old) &&
            strcmp(json_object_get_string(old), value) == 0)
                return 0;

        if (asprintf(&what, "%s%s", prefix, property) < 0) {
                what = NULL;
                return -ENOMEM;
        }
        if (old)
                r = asprintf(&details, "%s -> %s", value_or_none(json_object_get_string(old)),
                             value_or_none(value));
        else
                r = asprintf(&details, "%s", value_or_none(value));
        if (r < 0) {
                details = NULL;
                return -ENOMEM;
        }
        r = print_text(subject, what, details);
        return r < 0 ? r : remember(monitor, path, property, value);
}

static int print_last_reset(const char *address, json_object *last)
{
        char duration[TEXT_DURATION_MAX];
        _cleanup_free_ char *details = NULL;

        if (asprintf(&details, "by %s in %s, verified: %s", json_get_string(last, "method"),
                     text_duration(json_get_unsigned(last, "duration_usec"), duration),
                     json_get_string(last, "verdict")) < 0) {
                details = NULL;
                return -ENOMEM;
        }
        return print_text(address, "reset", details);
}

static int print_changes(Monitor *monitor, const char *path, const char *subject, const char *prefix,
                         json_object *properties)
{
        int r = 0;

        json_object_object_foreach(properties, key, value)
        {
                if (strcmp(key, "InUse") == 0 && json_object_is_type(value, json_type_boolean))
                        r = print_text(subject,
                                       json_object_get_boolean(value) ? "in use" : "not in use any more",
                                       "");
                else if (json_object_is_type(value, json_type_string))
                        r = print_change(monitor, path, subject, prefix, key, json_object_get_string(value));
                else if (strcmp(key, "LastReset") == 0 && json_object_is_type(value, json_type_object))
                        r = print_last_reset(subject, value);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int show_device_changes(Monitor *monitor, const char *path, json_object *properties)
{
        _cleanup_free_ char *address = device_path_to_address(path);
        _cleanup_json_ json_object *event = NULL;
        int r;

        if (!address)
                return -ENOMEM;
        if (!monitor->client->json) {
                r = print_changes(monitor, path, address, "", properties);
                return r < 0 ? r : flush();
        }
        event = event_new("device-changed", path, address);
        if (!event)
                return -ENOMEM;
        r = json_add(event, "properties", json_object_get(properties));
        if (r >= 0)
                r = json_print(stdout, event, true);
        return r < 0 ? r : flush();
}

/* The address of a job is known if it began while we looked. */
static int show_job_changes(Monitor *monitor, const char *path, json_object *properties)
{
        const char *address = json_get_string(json_get_dict(monitor->known, path), JOB_ADDRESS);
        const char *id = strrchr(path, '/') + 1;
        _cleanup_json_ json_object *event = NULL;
        char prefix[32];
        int r;

        if (!monitor->client->json) {
                (void) snprintf(prefix, sizeof(prefix), "job %.16s ", id);
                r = print_changes(monitor, path, *address ? address : "-", prefix, properties);
                return r < 0 ? r : flush();
        }
        event = event_new("job-changed", path, *address ? address : NULL);
        if (!event)
                return -ENOMEM;
        r = json_add(event, "job", json_object_new_int64(strtoll(id, NULL, 10)));
        if (r >= 0)
                r = json_add(event, "properties", json_object_get(properties));
        if (r >= 0)
                r = json_print(stdout, event, true);
        return r < 0 ? r : flush();
}

static int show_device(Monitor *monitor, bool added, const char *path, json_object *properties)
{
        const char *name = added ? "device-added" : "device-removed";
        _cleanup_free_ char *address = device_path_to_address(path), *details = NULL;
        _cleanup_json_ json_object *event = NULL;
        int r;

        if (!address)
                return -ENOMEM;
        if (!monitor->client->json) {
                const char *driver = json_get_string(properties, "Driver");

                if (asprintf(&details, "%s%s%s%s%s", json_get_string(properties, "VendorName"),
                             *json_get_string(properties, "VendorName") ? " " : "",
                             json_get_string(properties, "DeviceName"), *driver ? ", driver " : "",
                             driver) < 0) {
                        details = NULL;
                        return -ENOMEM;
                }
                r = print_text(address, added ? "added" : "removed", details);
                if (r >= 0 && added)
                        r = remember(monitor, path, "Owner", json_get_string(properties, "Owner"));
                return r < 0 ? r : flush();
        }

        event = event_new(name, path, address);
        if (!event)
                return -ENOMEM;
        r = properties ? json_add(event, "properties", json_object_get(properties)) : 0;
        if (r >= 0)
                r = json_print(stdout, event, true);
        return r < 0 ? r : flush();
}

static int show_job(Monitor *monitor, const char *name, uint32_t id, const char *path, const char *address,
                    const char *result)
{
        _cleanup_json_ json_object *event = NULL;
        char what[32];
        int r;

        if (!monitor->client->json) {
                (void) snprintf(what, sizeof(what), "job %" PRIu32 " %s", id, result ? "ended" : "new");
                r = print_text(address, what, result ? result : "");
                return r < 0 ? r : flush();
        }
        event = event_new(name, path, address);
        if (!event)
                return -ENOMEM;
        r = json_add(event, "job", json_object_new_int64(id));
        if (r >= 0 && result)
                r = json_add(event, "result", json_object_new_string(result));
        if (r >= 0)
                r = json_print(stdout, event, true);
        return r < 0 ? r : flush();
}

static int show_preparation(Monitor *monitor, uint32_t id, json_object *set, bool start)
{
        _cleanup_free_ char *devices = device_paths_join(set);
        _cleanup_json_ json_object *event = NULL;
        char what[48];
        int r;

        if (!devices)
                return -ENOMEM;
        if (!monitor->client->json) {
                _cleanup_free_ char *first = device_path_to_address(json_get_string_at(set, 0));

                if (!first)
                        return -ENOMEM;
                (void) snprintf(what, sizeof(what), "job %" PRIu32 " %s", id,
                                start ? "is about to reset" : "is over with");
                r = print_text(*first ? first : "-", what, devices);
                return r < 0 ? r : flush();
        }
        event = event_new("prepare-for-reset", NULL, NULL);
        if (!event)
                return -ENOMEM;
        r = json_add(event, "job", json_object_new_int64(id));
        if (r >= 0)
                r = json_add(event, "reset_set", json_object_get(set));
        if (r >= 0)
                r = json_add(event, "start", json_object_new_boolean(start));
        if (r >= 0)
                r = json_print(stdout, event, true);
        return r < 0 ? r : flush();
}

static int show_daemon(Monitor *monitor, bool appeared)
{
        _cleanup_json_ json_object *event = NULL;
        int r;

        if (!monitor->client->json) {
                r = print_text("pciresetd", appeared ? "is on the bus" : "left the bus", "");
                return r < 0 ? r : flush();
        }
        event = event_new(appeared ? "daemon-appeared" : "daemon-vanished", NULL, NULL);
        if (!event)
                return -ENOMEM;
        r = json_print(stdout, event, true);
        return r < 0 ? r : flush();
}

/* A negative errno of a handler ends the loop: output that nobody gets is no reason to go on. */
static int done(Monitor *monitor, int r)
{
        return r < 0 ? sd_event_exit(monitor->event, r) : 0;
}

/* Signals reach everybody who matches them; only the daemon's are believed. */
static bool from_daemon(const Monitor *monitor, sd_bus_message *message)
{
        const char *sender = sd_bus_message_get_sender(message);

        return sender && monitor->owner && strcmp(sender, monitor->owner) == 0;
}

static bool is_below(const char *path, const char *prefix)
{
        size_t n = strlen(prefix);

        return strncmp(path, prefix, n) == 0 && path[n] == '/';
}

static int on_interfaces_added(sd_bus_message *message, void *userdata, sd_bus_error *ret_error)
{
        _cleanup_json_ json_object *interfaces = NULL;
        Monitor *monitor = userdata;
        json_object *properties;
        const char *path;
        int r;

        if (!from_daemon(monitor, message) || sd_bus_message_read(message, "o", &path) < 0 ||
            !is_below(path, DEVICE_PATH) || bus_json_read(message, &interfaces) <= 0)
                return 0;
        properties = json_get_dict(interfaces, DEVICE_INTERFACE);
        if (!properties)
                return 0;

        r = remember(monitor, path, "Driver", json_get_string(properties, "Driver"));
        if (r >= 0)
                r = remember(monitor, path, "State", json_get_string(properties, "State"));
        return done(monitor, r < 0 ? r : show_device(monitor, true, path, properties));
}

static int on_interfaces_removed(sd_bus_message *message, void *userdata, sd_bus_error *ret_error)
{
        _cleanup_json_ json_object *interfaces = NULL;
        Monitor *monitor = userdata;
        const char *path;
        bool gone = false;

        if (!from_daemon(monitor, message) || sd_bus_message_read(message, "o", &path) < 0 ||
            !is_below(path, DEVICE_PATH) || bus_json_read(message, &interfaces) <= 0)
                return 0;
        for (size_t i = 0; i < json_length(interfaces); i++)
                gone = gone || strcmp(json_get_string_at(interfaces, i), DEVICE_INTERFACE) == 0;
        if (!gone)
                return 0;

        json_object_object_del(monitor->known, path);
        return done(monitor, show_device(monitor, false, path, NULL));
}

static int on_properties_changed(sd_bus_message *message, void *userdata, sd_bus_error *ret_error)
{
        _cleanup_json_ json_object *properties = NULL;
        const char *path = sd_bus_message_get_path(message), *interface;
        Monitor *monitor = userdata;
        int r = 0;

        if (!from_daemon(monitor, message) || sd_bus_message_read(message, "s", &interface) < 0 ||
            bus_json_read(message, &properties) <= 0 || json_object_object_length(properties) == 0)
                return 0;

        if (strcmp(interface, JOB_INTERFACE) == 0)
                r = show_job_changes(monitor, path, properties);
        else if (strcmp(interface, DEVICE_INTERFACE) == 0)
                r = show_device_changes(monitor, path, properties);
        return done(monitor, r);
}

static int on_job_new(sd_bus_message *message, void *userdata, sd_bus_error *ret_error)
{
        const char *path, *address;
        Monitor *monitor = userdata;
        uint32_t id;
        int r;

        if (!from_daemon(monitor, message) || sd_bus_message_read(message, "uos", &id, &path, &address) < 0)
                return 0;
        r = remember(monitor, path, JOB_ADDRESS, address);
        return done(monitor, r < 0 ? r : show_job(monitor, "job-new", id, path, address, NULL));
}

static int on_job_removed(sd_bus_message *message, void *userdata, sd_bus_error *ret_error)
{
        const char *path, *address, *result;
        Monitor *monitor = userdata;
        uint32_t id;

        if (!from_daemon(monitor, message) ||
            sd_bus_message_read(message, "uoss", &id, &path, &address, &result) < 0)
                return 0;
        json_object_object_del(monitor->known, path);
        return done(monitor, show_job(monitor, "job-removed", id, path, address, result));
}

static int on_prepare(sd_bus_message *message, void *userdata, sd_bus_error *ret_error)
{
        _cleanup_json_ json_object *set = NULL;
        Monitor *monitor = userdata;
        uint32_t id;
        int start;

        if (!from_daemon(monitor, message) || sd_bus_message_read(message, "u", &id) < 0 ||
            bus_json_read(message, &set) <= 0 || sd_bus_message_read(message, "b", &start) <= 0)
                return 0;
        return done(monitor, show_preparation(monitor, id, set, start));
}

static int on_list(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
        Monitor *monitor = userdata;

        /* A new daemon that does not answer yet: then changes are shown without what was before. */
        return sd_bus_message_is_method_error(reply, NULL) ? 0 : done(monitor, learn(monitor, reply));
}

static int on_owner_changed(sd_bus_message *message, void *userdata, sd_bus_error *ret_error)
{
        const char *sender = sd_bus_message_get_sender(message), *name, *before, *after;
        Monitor *monitor = userdata;
        int r;

        if (!sender || strcmp(sender, "org.freedesktop.DBus") != 0 ||
            sd_bus_message_read(message, "sss", &name, &before, &after) < 0 || strcmp(name, BUS_NAME) != 0 ||
            (monitor->owner && strcmp(after, monitor->owner) == 0))
                return 0;

        if (monitor->owner) {
                free(monitor->owner);
                monitor->owner = NULL;
                r = show_daemon(monitor, false);
                if (r < 0)
                        return done(monitor, r);
        }
        if (!*after)
                return 0;

        monitor->owner = strdup(after);
        r = monitor->owner ? show_daemon(monitor, true) : -ENOMEM;
        if (r >= 0)
                r = sd_bus_call_method_async(monitor->client->bus, NULL, after, ROOT_PATH, MANAGER_INTERFACE,
                                             "ListDevices", on_list, monitor, NULL);
        return done(monitor, r);
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        Monitor *monitor = userdata;

        return sd_event_exit(monitor->event, 0);
}

static int subscribe(Monitor *monitor)
{
        sd_bus *bus = monitor->client->bus;
        int r;

        r = sd_bus_add_match(bus, NULL,
                             "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',"
                             "member='NameOwnerChanged',arg0='" BUS_NAME "'",
                             on_owner_changed, monitor);
        if (r >= 0)
                r = sd_bus_match_signal(bus, NULL, BUS_NAME, ROOT_PATH, "org.freedesktop.DBus.ObjectManager",
                                        "InterfacesAdded", on_interfaces_added, monitor);
        if (r >= 0)
                r = sd_bus_match_signal(bus, NULL, BUS_NAME, ROOT_PATH, "org.freedesktop.DBus.ObjectManager",
                                        "InterfacesRemoved", on_interfaces_removed, monitor);
        if (r >= 0)
                r = sd_bus_add_match(
                        bus, NULL,
                        "type='signal',sender='" BUS_NAME "',path_namespace='" ROOT_PATH
                        "',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged'",
                        on_properties_changed, monitor);
        if (r >= 0)
                r = sd_bus_match_signal(bus, NULL, BUS_NAME, ROOT_PATH, MANAGER_INTERFACE, "JobNew",
                                        on_job_new, monitor);
        if (r >= 0)
                r = sd_bus_match_signal(bus, NULL, BUS_NAME, ROOT_PATH, MANAGER_INTERFACE, "JobRemoved",
                                        on_job_removed, monitor);
        if (r >= 0)
                r = sd_bus_match_signal(bus, NULL, BUS_NAME, ROOT_PATH, MANAGER_INTERFACE, "PrepareForReset",
                                        on_prepare, monitor);
        return r;
}

/* Who the daemon is and what there is now; starts it if need be. */
static int start(Monitor *monitor)
{
        _cleanup_message_ sd_bus_message *call = NULL, *reply = NULL;
        const char *sender;
        int r;

        r = client_new_call(monitor->client, NULL, ROOT_PATH, MANAGER_INTERFACE, "ListDevices", false,
                            &call);
        if (r < 0)
                return r;
        r = client_call(monitor->client, call, &reply);
        if (r != EXIT_OK)
                return r;

        sender = sd_bus_message_get_sender(reply);
        free(monitor->owner);
        monitor->owner = strdup(sender ? sender : BUS_NAME);
        return monitor->owner ? learn(monitor, reply) : -ENOMEM;
}

static int watch(Monitor *monitor)
{
        int r;

        monitor->known = json_object_new_object();
        if (!monitor->known)
                return -ENOMEM;
        r = client_watch_signals(monitor->event, on_signal, monitor);
        if (r < 0)
                return r;
        r = subscribe(monitor);
        if (r < 0)
                return r == -ENOMEM ? r : (int) report_disconnected(monitor->client, r);
        r = start(monitor);
        if (r != EXIT_OK)
                return r;
        r = sd_bus_attach_event(monitor->client->bus, monitor->event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                return r;
        return sd_event_loop(monitor->event);
}

static void monitor_done(Monitor *monitor)
{
        free(monitor->owner);
        json_object_put(monitor->known);
}

int verb_monitor(Client *client, char **arguments)
{
        _cleanup_(cleanup_sd_event_unref) sd_event *event = NULL;
        _cleanup_(monitor_done) Monitor monitor = {.client = client};
        int r;

        r = sd_event_new(&event);
        if (r < 0)
                return r;
        monitor.event = event;
        return watch(&monitor);
}
