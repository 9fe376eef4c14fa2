/* SPDX-License-Identifier: GPL-2.0-or-later */

/* org.pciresetd1.Manager: devices by address. */

#include "config.h"
#include "daemon/bus/calls.h"
#include "daemon/bus/find-device.h"
#include "daemon/bus/holders.h"
#include "daemon/bus/job-facts.h"
#include "daemon/bus/objects.h"
#include "daemon/bus/options.h"
#include "daemon/bus/path.h"
#include "shared/cleanup.h"

DEFINE_CLEANUP(sd_bus_message *, sd_bus_message_unref);

static int list_devices(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        static const char row[] = "sossss";
        _cleanup_(cleanup_sd_bus_message_unref) sd_bus_message *reply = NULL;
        Bus *bus = userdata;
        int r;

        r = sd_bus_message_new_method_return(message, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sossss)");
        for (Device *d = registry_next(bus->registry, NULL); d && r >= 0;
             d = registry_next(bus->registry, d)) {
                char address[PCI_ADDRESS_STRING_MAX], path[OBJECT_PATH_MAX], owner[OWNER_TEXT_MAX];

                const char *const texts[] = {
                        pci_address_format(&d->facts.address, address),
                        device_path(&d->facts.address, path),
                        d->facts.driver,
                        device_state_to_string(device_state(d)),
                        device_owner(d, owner),
                        names_description(bus->names, d->facts.vendor, d->facts.device, d->facts.class),
                };

                r = sd_bus_message_open_container(reply, 'r', row);
                for (size_t i = 0; row[i] && r >= 0; i++)
                        r = sd_bus_message_append_basic(reply, row[i], texts[i]);
                if (r >= 0)
                        r = sd_bus_message_close_container(reply);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_message_send(reply);
}

/* Reads the address that comes first in most calls. */
static int read_device(Bus *bus, sd_bus_message *message, Device **ret, sd_bus_error *error)
{
        const char *address;
        int r = sd_bus_message_read(message, "s", &address);

        return r < 0 ? r : find_device(bus, address, ret, error);
}

static int get_device(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        char path[OBJECT_PATH_MAX];
        Device *device;
        int r = read_device(userdata, message, &device, error);

        if (r < 0)
                return r;
        return sd_bus_reply_method_return(message, "o", device_path(&device->facts.address, path));
}

static int get_methods(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        Device *device;
        int r = read_device(userdata, message, &device, error);

        return r < 0 ? r : handle_get_methods(userdata, message, device, error);
}

static int plan(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        Device *device;
        int r = read_device(userdata, message, &device, error);

        return r < 0 ? r : handle_plan(userdata, message, device, error);
}

static int reset(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        Device *device;
        int r = read_device(userdata, message, &device, error);

        return r < 0 ? r : handle_reset(userdata, message, device, error);
}

static int list_jobs(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        _cleanup_(cleanup_sd_bus_message_unref) sd_bus_message *reply = NULL;
        Bus *bus = userdata;
        int r;

        r = options_read(message, NULL, 0, error);
        if (r < 0)
                return r;
        r = sd_bus_message_new_method_return(message, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        for (Job *job = jobs_next(bus->jobs, NULL); job && r >= 0; job = jobs_next(bus->jobs, job))
                if (job->announced)
                        r = append_job_row(reply, job);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_message_send(reply);
}

static int acquire(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        return handle_acquire(userdata, message, error);
}

static int inhibit(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        return handle_inhibit(userdata, message, error);
}

static int list_leases(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        return handle_list_claims(userdata, message, true, error);
}

static int list_inhibitors(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        return handle_list_claims(userdata, message, false, error);
}

static int set_policy(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        return handle_set_policy(userdata, message, error);
}

static int unset_policy(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        return handle_unset_policy(userdata, message, error);
}

static int get_policy(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        Device *device;
        int r = read_device(userdata, message, &device, error);

        return r < 0 ? r : handle_get_policy(userdata, message, device, error);
}

static int list_policies(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        return handle_list_policies(userdata, message, error);
}

static int get_history(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        return handle_get_history(userdata, message, NULL, error);
}

static int export_history(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        return handle_export_history(userdata, message, error);
}

static int import_history(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        return handle_import_history(userdata, message, error);
}

static int get_version(sd_bus *connection, const char *path, const char *interface, const char *property,
                       sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
        return sd_bus_message_append(reply, "s", PACKAGE_VERSION);
}

static const sd_bus_vtable manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("ListDevices", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sossss)", devices),
                                list_devices, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetDevice", SD_BUS_ARGS("s", address), SD_BUS_RESULT("o", device),
                                get_device, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetMethods", SD_BUS_ARGS("s", address, "a{sv}", options),
                                SD_BUS_RESULT("a(sa{sv})", methods), get_methods,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Plan", SD_BUS_ARGS("s", address, "s", method, "a{sv}", options),
                                SD_BUS_RESULT("a{sv}", plan), plan, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Reset", SD_BUS_ARGS("s", address, "s", method, "a{sv}", options),
                                SD_BUS_RESULT("a{sv}", result), reset, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Acquire",
                                SD_BUS_ARGS("as", addresses, "s", who, "s", why, "a{sv}", options),
                                SD_BUS_RESULT("h", lease, "s", id), acquire, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListLeases", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("aa{sv}", leases),
                                list_leases, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                "Inhibit", SD_BUS_ARGS("as", addresses, "s", who, "s", why, "s", mode, "a{sv}", options),
                SD_BUS_RESULT("h", inhibitor), inhibit, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListInhibitors", SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("aa{sv}", inhibitors), list_inhibitors,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListJobs", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("aa{sv}", jobs),
                                list_jobs, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("SetPolicy", SD_BUS_ARGS("s", match, "a{sv}", settings, "a{sv}", options),
                                SD_BUS_RESULT("s", id), set_policy, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("UnsetPolicy", SD_BUS_ARGS("s", id, "a{sv}", options), SD_BUS_NO_RESULT,
                                unset_policy, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetPolicy", SD_BUS_ARGS("s", address, "a{sv}", options),
                                SD_BUS_RESULT("a{sv}", policy), get_policy, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListPolicies", SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("aa{sv}", rules), list_policies, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetHistory", SD_BUS_ARGS("a{sv}", filter), SD_BUS_RESULT("aa{sv}", rows),
                                get_history, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ExportHistory", SD_BUS_ARGS("s", signed_off_by, "a{sv}", filter),
                                SD_BUS_RESULT("h", file, "t", rows), export_history,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ImportHistory", SD_BUS_ARGS("h", file, "a{sv}", options),
                                SD_BUS_RESULT("a{sv}", result), import_history, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("JobNew", SD_BUS_ARGS("u", id, "o", job, "s", address), 0),
        SD_BUS_SIGNAL_WITH_ARGS("PrepareForReset", SD_BUS_ARGS("u", job, "ao", reset_set, "b", start), 0),
        SD_BUS_SIGNAL_WITH_ARGS("JobRemoved", SD_BUS_ARGS("u", id, "o", job, "s", address, "s", result), 0),
        SD_BUS_PROPERTY("Version", "s", get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_VTABLE_END,
};

int manager_export(Bus *bus)
{
        return sd_bus_add_object_vtable(bus->bus, NULL, BUS_PATH, MANAGER_IFACE, manager_vtable, bus);
}
