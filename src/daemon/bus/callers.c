/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/bus/callers.h"

#include <errno.h>

#include "daemon/bus/pending.h"

static int on_vanished(sd_bus_message *signal, void *userdata, sd_bus_error *error)
{
        const char *name, *old_owner, *new_owner;
        Bus *bus = userdata;
        int r;

        r = sd_bus_message_read(signal, "sss", &name, &old_owner, &new_owner);
        if (r < 0 || new_owner[0] != '\0')
                return 0;
        pending_abandon(bus, name);
        return 0;
}

int callers_watch(Bus *bus)
{
        if (bus->vanished_match)
                return 0;
        return sd_bus_add_match_async(
                bus->bus, &bus->vanished_match,
                "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
                "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg2=''",
                on_vanished, NULL, bus);
}

void callers_unwatch(Bus *bus)
{
        if (!bus->calls)
                bus->vanished_match = sd_bus_slot_unref(bus->vanished_match);
}

int callers_ask_uid(Bus *bus, sd_bus_message *message, sd_bus_message_handler_t handler, void *userdata,
                    sd_bus_slot **ret)
{
        return sd_bus_call_method_async(bus->bus, ret, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                        "org.freedesktop.DBus", "GetConnectionUnixUser", handler, userdata,
                                        "s", sd_bus_message_get_sender(message));
}

int callers_read_uid(sd_bus_message *answer, uint32_t *ret)
{
        if (sd_bus_message_is_method_error(answer, NULL))
                return -EACCES;
        return sd_bus_message_read(answer, "u", ret);
}
