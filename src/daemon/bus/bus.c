/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/bus/bus.h"

#include <errno.h>

#include "daemon/bus/context.h"
#include "daemon/bus/guard.h"
#include "daemon/bus/objects.h"
#include "daemon/bus/path.h"
#include "daemon/bus/pending.h"
#include "daemon/system/journal.h"
#include "shared/cleanup.h"

#define DEFAULT_ADDRESS "unix:path=/run/dbus/system_bus_socket"

DEFINE_CLEANUP(Bus *, bus_free);
DEFINE_CLEANUP(sd_bus *, sd_bus_unref);

/* As sd_bus_open_system() does it. Descriptors are taken, for leases and VFIO groups: those that come with a
 * message are closed with it, and pending.c keeps no message when few are left. */
static int open_system_bus(sd_bus **ret)
{
        const char *address = secure_getenv("DBUS_SYSTEM_BUS_ADDRESS");
        _cleanup_(cleanup_sd_bus_unref) sd_bus *bus = NULL;
        int r;

        r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_address(bus, address ? address : DEFAULT_ADDRESS);
        if (r >= 0)
                r = sd_bus_set_bus_client(bus, true);
        if (r >= 0)
                r = sd_bus_negotiate_fds(bus, true);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r >= 0)
                *ret = steal_pointer(bus);
        return r;
}

int bus_new(sd_event *event, Names *names, Bus **ret)
{
        _cleanup_(cleanup_bus_free) Bus *bus = calloc(1, sizeof(Bus));
        int r;

        if (!bus)
                return -ENOMEM;
        bus->event = sd_event_ref(event);
        bus->names = names;
        r = lobby_new(PENDING_ROOMS, &bus->lobby);
        if (r >= 0)
                r = open_system_bus(&bus->bus);
        if (r < 0)
                return r;
        *ret = steal_pointer(bus);
        return 0;
}

/* Without the bus nobody can call: systemd starts the daemon again when there is one. */
static int on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        Bus *bus = userdata;

        journal_bus_failed("The connection", -ECONNRESET);
        return sd_event_exit(bus->event, -ECONNRESET);
}

int bus_publish(Bus *bus, const BusParts *parts)
{
        int r;

        bus->registry = parts->registry;
        bus->proven = parts->proven;
        bus->jobs = parts->jobs;
        bus->claims = parts->claims;
        bus->survey = parts->survey;
        bus->leases = parts->leases;
        bus->policies = parts->policies;
        bus->log = parts->log;
        bus->quarantines = parts->quarantines;
        bus->quarantine_store = parts->quarantine_store;
        bus->checkups = parts->checkups;

        r = guard_install(bus);
        if (r >= 0)
                r = sd_bus_add_object_manager(bus->bus, NULL, BUS_PATH);
        if (r >= 0)
                r = manager_export(bus);
        if (r >= 0)
                r = device_export(bus);
        if (r >= 0)
                r = job_export(bus);
        if (r >= 0)
                r = sd_bus_match_signal_async(bus->bus, NULL, "org.freedesktop.DBus.Local",
                                              "/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local",
                                              "Disconnected", on_disconnected, NULL, bus);
        if (r >= 0)
                r = sd_bus_request_name(bus->bus, BUS_NAME, 0);
        if (r >= 0)
                r = sd_bus_attach_event(bus->bus, bus->event, SD_EVENT_PRIORITY_NORMAL);
        return r;
}

Bus *bus_free(Bus *bus)
{
        if (!bus)
                return NULL;
        pending_free_all(bus);
        sd_event_source_disable_unref(bus->tree_turn);
        sd_bus_slot_unref(bus->vanished_match);
        sd_bus_flush_close_unref(bus->bus);
        sd_event_unref(bus->event);
        lobby_free(bus->lobby);
        free(bus);
        return NULL;
}
