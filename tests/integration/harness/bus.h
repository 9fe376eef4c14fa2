/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Clients of the bus under any uid, and what they are told.
 *
 * Replies and signals are turned into JSON, the arguments as one array, so that a test can ask for a
 * value by its place: reply_string(reply, "0.attempts.1.method"). Dictionaries with text keys become
 * objects, other arrays and structs arrays, variants vanish.
 */

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

#include "loop.h"

#define SERVICE           "org.pciresetd1"
#define MANAGER_PATH      "/org/pciresetd1"
#define MANAGER_INTERFACE "org.pciresetd1.Manager"
#define DEVICE_INTERFACE  "org.pciresetd1.Device"
#define JOB_INTERFACE     "org.pciresetd1.Job"
#define ERROR_PREFIX      "org.pciresetd1.Error."

#define ERROR_INVALID_ARGS   "org.freedesktop.DBus.Error.InvalidArgs"
#define ERROR_ACCESS_DENIED  "org.freedesktop.DBus.Error.AccessDenied"
#define ERROR_INTERACTIVE    "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
#define ERROR_UNKNOWN_METHOD "org.freedesktop.DBus.Error.UnknownMethod"
#define ERROR_UNKNOWN_OBJECT "org.freedesktop.DBus.Error.UnknownObject"

typedef struct Client {
        uid_t uid;
        sd_bus *bus;
        Process *process; /* whose socket it is, as far as the bus and polkit can see */
        int channel; /* the process lives as long as this is open */
} Client;

/* A connection by a process of `uid`. */
Client *client_new(uid_t uid);
/* Closes the connection and ends the process. */
Client *client_free(Client *client);
DEFINE_CLEANUP(Client *, client_free);

const char *client_name(const Client *client); /* the unique name */

/* A call under way. */
typedef struct Call Call;

/* What came back. */
typedef struct Reply {
        char *error; /* its name, NULL: none */
        char *signature;
        json_object *body; /* an array of the arguments */
} Reply;

Reply *reply_free(Reply *reply);
DEFINE_CLEANUP(Reply *, reply_free);
#define _cleanup_reply_  _cleanup_(cleanup_reply_free)
#define _cleanup_client_ _cleanup_(cleanup_client_free)

/* Sends a call and does not wait. `types` and what follows: as for sd_bus_message_append(). */
Call *call_start(Client *client, const char *path, const char *interface, const char *member,
                 const char *types, ...);
/* The same for a message made by hand, which it takes over. Without timeout. */
Call *call_send(Client *client, sd_bus_message *message);
sd_bus_message *call_message(Client *client, const char *path, const char *interface, const char *member,
                             const char *types, ...);
bool call_done(const Call *call);
sd_bus_message *call_take(Call *call); /* the raw answer, and frees the call */
Reply *call_finish(Call *call); /* waits, and frees the call */
void call_abandon(Call *call); /* for calls that are never answered, once their client is gone */

/* Sends and waits. */
Reply *call(Client *client, const char *path, const char *interface, const char *member, const char *types,
            ...);
Reply *manager_call(Client *client, const char *member, const char *types, ...);
/* Of any service; the test fails if the call does. */
Reply *call_service(Client *client, const char *service, const char *path, const char *interface,
                    const char *member, const char *types, ...);

/* Reset() with options as triples of key, type and value, NULL at the end:
 * reset_start(alice, "0000:01:00.0", "flr", "in_use", "b", 1, NULL). */
Call *reset_start(Client *client, const char *address, const char *method, ...);
Reply *reset(Client *client, const char *address, const char *method, ...);

/* Waits for the answer to a Ping: everything that this client sent before has been looked at, and
 * whatever the daemon did about it at once is done. */
void client_barrier(Client *client);

/* A value of the reply by its place; the test fails if it is not there. */
json_object *json_at(json_object *value, const char *place); /* NULL if it is not there */
json_object *reply_at(const Reply *reply, const char *place);
const char *reply_string(const Reply *reply, const char *place);
int64_t reply_number(const Reply *reply, const char *place);
size_t reply_length(const Reply *reply, const char *place);

/* Fails the test unless the reply is an error of this name whose text contains `part`. For names below
 * ERROR_PREFIX the last part is enough. */
void expect_error(const Reply *reply, const char *error, const char *part);
void expect_success(const Reply *reply);

/* The object path of the device at an address, by the rule in the interface's description. Static buffer. */
const char *device_path(const char *address);
/* A property of an object as the first argument of a reply. */
Reply *get_property(Client *client, const char *path, const char *interface, const char *name);
char *get_property_string(Client *client, const char *path, const char *interface, const char *name);
char *device_state(Client *client, const char *address);

/* ---- signals ---- */

typedef struct Signal {
        char *path, *interface, *member;
        json_object *body;
} Signal;

/* Collects the daemon's signals from now on. */
void signals_watch(Client *client);
void signals_forget(void);
/* The first signal of this member and path (NULL: any) in which some argument, printed, contains `part`
 * (NULL: any). NULL if it has not come. */
const Signal *signal_find(const char *member, const char *path, const char *part);
size_t signal_count(const char *member, const char *path, const char *part);
/* The index-th of its kind, NULL if it has not come. */
const Signal *signal_nth(const char *member, size_t index);
/* Waits for it. */
const Signal *signal_wait(const char *member, const char *path, const char *part);
/* Where in the sequence of all signals it is; -1 if it has not come. */
long signal_index(const Signal *signal);
