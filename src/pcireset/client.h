/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the verbs share: the connection, and calls whose errors keep their evidence.
 *
 * A verb returns an ExitCode, or a negative errno for what should not happen; by then it has told the user
 * about everything that has an ExitCode.
 */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "pcireset/bus-json.h"
#include "pcireset/context.h"
#include "shared/cleanup.h"

DEFINE_CLEANUP(sd_bus_message *, sd_bus_message_unref);
DEFINE_CLEANUP(sd_bus_slot *, sd_bus_slot_unref);
DEFINE_CLEANUP(sd_event *, sd_event_unref);
#define _cleanup_message_ _cleanup_(cleanup_sd_bus_message_unref)
#define _cleanup_slot_    _cleanup_(cleanup_sd_bus_slot_unref)

/* Connects to the system bus. EXIT_OK, EXIT_UNREACHABLE (reported), or a negative errno. */
int client_connect(Client *client);

/* Makes a call to the daemon. `destination` NULL: whoever has its name; started if need be. `ask`: a
 * password may be asked for, unless the user forbade it. */
int client_new_call(Client *client, const char *destination, const char *path, const char *interface,
                    const char *member, bool ask, sd_bus_message **ret);

/* Sends a call and waits for the answer, for long if a password may be asked for. EXIT_OK and the reply, or
 * another ExitCode, reported, or a negative errno. */
int client_call(Client *client, sd_bus_message *call, sd_bus_message **ret_reply);

/* The same for an answer that is one value, which the caller puts. -EBADMSG: the answer is empty. */
int client_call_for_value(Client *client, sd_bus_message *call, json_object **ret);

/* Makes a call whose only argument is a dictionary of no options and whose answer is one value, an array of
 * dictionaries. Arguments as for client_new_call(), return as for client_call(). */
int client_get_rows(Client *client, const char *destination, const char *path, const char *interface,
                    const char *member, json_object **ret);

/* Manager.GetDevice for client->address. `ret_owner`, if not NULL, gets the daemon's unique name. As
 * client_call(). The caller frees both. */
int client_get_device(Client *client, char **ret_path, char **ret_owner);

/* Manager.ListDevices, as an array of objects. As client_call(). */
int client_list_devices(Client *client, json_object **ret);

/* All properties of the device at an object path. As client_call(). */
int client_get_properties(Client *client, const char *path, json_object **ret);

/* Manager.GetMethods for client->address, as an array of objects with `name` and the facts. As
 * client_call(). */
int client_get_methods(Client *client, json_object **ret);

/* Manager.Plan for client->address and client->method. As client_call(). */
int client_get_plan(Client *client, json_object **ret);

/* Has `handler` called when the user or the system wants this process to end. 0 or a negative errno. */
int client_watch_signals(sd_event *event, sd_event_signal_handler_t handler, void *userdata);
