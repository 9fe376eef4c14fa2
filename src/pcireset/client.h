/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the verbs share: the options, the connection, and calls whose errors keep their evidence.
 *
 * A verb returns an ExitCode, or a negative errno for what should not happen; by then it has told the user
 * about everything that has an ExitCode.
 */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "pcireset/bus-json.h"
#include "shared/address.h"
#include "shared/cleanup.h"

#define BUS_NAME          "org.pciresetd1"
#define ROOT_PATH         "/org/pciresetd1"
#define DEVICE_PATH       ROOT_PATH "/device"
#define JOB_PATH          ROOT_PATH "/job"
#define MANAGER_INTERFACE "org.pciresetd1.Manager"
#define DEVICE_INTERFACE  "org.pciresetd1.Device"
#define JOB_INTERFACE     "org.pciresetd1.Job"
#define ERROR_PREFIX      "org.pciresetd1.Error."

/* Errors that only this client knows, for --json. */
#define CLIENT_ERROR(name) "org.pciresetd1.Client." name

DEFINE_CLEANUP(sd_bus_message *, sd_bus_message_unref);
DEFINE_CLEANUP(sd_bus_slot *, sd_bus_slot_unref);
DEFINE_CLEANUP(sd_event *, sd_event_unref);
#define _cleanup_message_ _cleanup_(cleanup_sd_bus_message_unref)
#define _cleanup_slot_    _cleanup_(cleanup_sd_bus_slot_unref)

/* Documented in --help and pcireset(1): scripts rely on them. */
typedef enum ExitCode {
        EXIT_OK = 0,
        EXIT_OTHER = 1,
        EXIT_USAGE = 2,
        EXIT_NOT_AUTHORIZED = 3,
        EXIT_NO_DEVICE = 4,
        EXIT_NOT_NOW = 5,
        EXIT_RESET_FAILED = 6,
        EXIT_DEVICE_DEAD = 7,
        EXIT_TIMED_OUT = 8,
        EXIT_CANCELLED = 9,
        EXIT_UNREACHABLE = 10,
} ExitCode;

typedef struct Client {
        sd_bus *bus;
        bool json;
        bool in_use;
        bool no_wait;
        bool ask_password;
        uint64_t timeout_usec; /* 0: the daemon's own */

        /* What the verb works on, for messages. Empty if it works on no single device. */
        const char *verb;
        char address[PCI_ADDRESS_STRING_MAX];
        const char *method; /* as given, or `any`; NULL if the verb has none */
} Client;

/* Connects to the system bus. EXIT_OK, EXIT_UNREACHABLE (reported), or a negative errno. */
int client_connect(Client *client);

/* Makes a call to the daemon. `destination` NULL: whoever has its name; started if need be. `ask`: a
 * password may be asked for, unless the user forbade it. */
int client_new_call(Client *client, const char *destination, const char *path, const char *interface,
                    const char *member, bool ask, sd_bus_message **ret);

/* Sends a call and waits for the answer, for long if a password may be asked for. EXIT_OK and the reply, or
 * another ExitCode, reported, or a negative errno. */
int client_call(Client *client, sd_bus_message *call, sd_bus_message **ret_reply);

/* Appends an options dictionary with `in_use` if the user gave it and nothing else. */
int client_append_options(Client *client, sd_bus_message *call);

/* Manager.GetDevice for client->address. `ret_owner`, if not NULL, gets the daemon's unique name. As
 * client_call(). The caller frees both. */
int client_get_device(Client *client, char **ret_path, char **ret_owner);

/* Manager.GetMethods for client->address, as an array of objects with `name` and the facts. As
 * client_call(). */
int client_get_methods(Client *client, json_object **ret);

/* Manager.Plan for client->address and client->method. As client_call(). */
int client_get_plan(Client *client, json_object **ret);

/* Has `handler` called when the user or the system wants this process to end. 0 or a negative errno. */
int client_watch_signals(sd_event *event, sd_event_signal_handler_t handler, void *userdata);

/* The address in a device's object path, or the path itself if it is none. NULL: out of memory. The caller
 * frees it. */
char *device_path_to_address(const char *path);

/* The same for an array of paths, joined by commas. */
char *device_paths_join(json_object *paths);

/* A user's name, or the number as text. NULL: out of memory. The caller frees it. */
char *uid_to_name(uint64_t uid);
