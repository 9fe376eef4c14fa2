/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 *   the name has an owner ──► is the job in the list? ──► yes: JobRemoved is waited for ──► the history
 *                                                   └───► no: it has ended already ──────► the history
 *
 * A daemon that takes the name knows of all jobs that earlier ones have left. The first daemon may have gone
 * before it was known which job was ours: then it is the one of this device that this user has begun since.
 * The numbers of jobs begin anew with each boot, so rows are known by both.
 */

#include "pcireset/reset-rejoin.h"

#include <string.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include "pcireset/bus-names.h"
#include "pcireset/text.h"

/* For a daemon that is started again by systemd, on a machine that has much to do. */
#define DAEMON_WAIT_USEC (15 * USEC_PER_SEC)
#define ROWS_MAX         UINT64_C(64)

struct Rejoin {
        Client *client;
        uint64_t id; /* of the job, 0: not known */
        uint64_t since; /* CLOCK_REALTIME, microseconds */
        uint64_t deadline;
        void (*done)(void *userdata, bool found);
        void *userdata;
        sd_event_source *timer;
        sd_bus_slot *owner_match, *removed_match, *call;
        bool asks_history;
        json_object *result;
        const char *error;
};

DEFINE_CLEANUP(Rejoin *, rejoin_free);

json_object *rejoin_result(const Rejoin *rejoin)
{
        return rejoin->result;
}

const char *rejoin_error(const Rejoin *rejoin)
{
        return rejoin->error;
}

static int end(Rejoin *rejoin, bool found)
{
        if (rejoin->done)
                rejoin->done(rejoin->userdata, found);
        rejoin->done = NULL;
        return 0;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
        return end(userdata, false);
}

/* ---- the history ---- */

static const char *error_of(json_object *row)
{
        const char *outcome = json_get_string(row, "outcome"), *verdict = json_get_string(row, "verdict");

        if (strcmp(verdict, "dead") == 0)
                return ERROR_PREFIX "DeviceDead";
        if (strcmp(outcome, "gone") == 0)
                return ERROR_PREFIX "DeviceGone";
        return strcmp(outcome, "done") == 0 && strcmp(verdict, "ok") == 0 ? "" : ERROR_PREFIX "ResetFailed";
}

static int copy(json_object *to, const char *key, json_object *from, const char *from_key)
{
        return json_add(to, key, json_object_get(json_object_object_get(from, from_key)));
}

/* The keys of a result that a row has, too. */
static int take(Rejoin *rejoin, json_object *row)
{
        static const char *const keys[] = {"method", "verdict", "duration_usec", "checks", "job", "why"};
        int r = 0;

        rejoin->result = json_object_new_object();
        if (!rejoin->result)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTSOF(keys) && r >= 0; i++)
                r = copy(rejoin->result, keys[i], row, keys[i]);
        if (r >= 0)
                r = copy(rejoin->result, "history_id", row, "id");
        rejoin->error = error_of(row);
        return r;
}

static bool is_ours(const Rejoin *rejoin, json_object *row, const char *boot)
{
        if (strcmp(json_get_string(row, "boot_id"), boot) != 0)
                return false;
        if (rejoin->id > 0)
                return json_get_unsigned(row, "job") == rejoin->id;
        return json_get_unsigned(row, "time_usec") >= rejoin->since && json_get_bool(row, "written") &&
               json_object_object_get_ex(row, "uid", NULL) && json_get_unsigned(row, "uid") == geteuid();
}

/* The newest one of the job: rows come so. */
static json_object *find_row(const Rejoin *rejoin, json_object *rows)
{
        char boot[SD_ID128_STRING_MAX] = "";
        sd_id128_t id;

        if (sd_id128_get_boot(&id) >= 0)
                (void) sd_id128_to_string(id, boot);
        for (size_t i = 0; i < json_length(rows); i++) {
                json_object *row = json_object_array_get_idx(rows, i);

                if (is_ours(rejoin, row, boot))
                        return row;
        }
        return NULL;
}

static int on_history(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
        _cleanup_json_ json_object *rows = NULL;
        Rejoin *rejoin = userdata;
        json_object *row = NULL;

        if (!sd_bus_message_is_method_error(reply, NULL) && bus_json_read(reply, &rows) > 0)
                row = find_row(rejoin, rows);
        return end(rejoin, row && take(rejoin, row) >= 0);
}

static int ask(Rejoin *rejoin, sd_bus_message *message, sd_bus_message_handler_t handler)
{
        sd_bus_slot_unref(rejoin->call);
        rejoin->call = NULL;
        return sd_bus_call_async(rejoin->client->bus, &rejoin->call, message, handler, rejoin,
                                 DAEMON_WAIT_USEC);
}

static int ask_history(Rejoin *rejoin)
{
        _cleanup_message_ sd_bus_message *call = NULL;
        int r;

        if (rejoin->asks_history)
                return 0;
        rejoin->asks_history = true;
        r = client_new_call(rejoin->client, NULL, ROOT_PATH, MANAGER_INTERFACE, "GetHistory", false, &call);
        if (r >= 0)
                r = sd_bus_message_append(call, "a{sv}", 2, "address", "s", rejoin->client->address, "limit",
                                          "t", ROWS_MAX);
        if (r >= 0)
                r = ask(rejoin, call, on_history);
        return r < 0 ? end(rejoin, false) : 0;
}

/* ---- the job ---- */

/* If it is still there, its end will be told. */
static int on_jobs(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
        _cleanup_json_ json_object *jobs = NULL;
        Rejoin *rejoin = userdata;

        if (sd_bus_message_is_method_error(reply, NULL) || bus_json_read(reply, &jobs) <= 0)
                return ask_history(rejoin);
        for (size_t i = 0; i < json_length(jobs); i++) {
                json_object *job = json_object_array_get_idx(jobs, i);
                uint64_t id = json_get_unsigned(job, "id");

                if (rejoin->id == 0 && json_get_unsigned(job, "uid") == geteuid() &&
                    strcmp(json_get_string(job, "address"), rejoin->client->address) == 0)
                        rejoin->id = id;
                if (id == rejoin->id)
                        return 0;
        }
        return ask_history(rejoin);
}

static int on_removed(sd_bus_message *message, void *userdata, sd_bus_error *ret_error)
{
        Rejoin *rejoin = userdata;
        uint32_t id;

        if (sd_bus_message_read(message, "u", &id) < 0 || id != rejoin->id)
                return 0;
        return ask_history(rejoin);
}

static int ask_jobs(Rejoin *rejoin)
{
        _cleanup_message_ sd_bus_message *call = NULL;
        int r;

        rejoin->asks_history = false;
        (void) sd_event_source_set_time(rejoin->timer, rejoin->deadline);
        r = client_new_call(rejoin->client, NULL, ROOT_PATH, MANAGER_INTERFACE, "ListJobs", false, &call);
        if (r >= 0)
                r = sd_bus_message_append(call, "a{sv}", 0);
        if (r >= 0)
                r = ask(rejoin, call, on_jobs);
        return r < 0 ? end(rejoin, false) : 0;
}

static int on_owner(sd_bus_message *message, void *userdata, sd_bus_error *ret_error)
{
        const char *name, *before, *after;
        Rejoin *rejoin = userdata;

        if (sd_bus_message_read(message, "sss", &name, &before, &after) < 0 || strcmp(name, BUS_NAME) != 0)
                return 0;
        if (*after)
                return ask_jobs(rejoin);
        /* Gone once more. */
        rejoin->call = sd_bus_slot_unref(rejoin->call);
        return sd_event_source_set_time_relative(rejoin->timer, DAEMON_WAIT_USEC);
}

/* It may be there again before its signals are listened to. */
static int on_has_owner(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
        int has_owner = 0;

        if (sd_bus_message_is_method_error(reply, NULL) || sd_bus_message_read(reply, "b", &has_owner) < 0)
                return 0;
        return has_owner ? ask_jobs(userdata) : 0;
}

static int watch(Rejoin *rejoin)
{
        sd_bus *bus = rejoin->client->bus;
        int r;

        r = sd_bus_match_signal_async(bus, &rejoin->owner_match, "org.freedesktop.DBus",
                                      "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged",
                                      on_owner, NULL, rejoin);
        if (r >= 0)
                r = sd_bus_match_signal_async(bus, &rejoin->removed_match, BUS_NAME, ROOT_PATH,
                                              MANAGER_INTERFACE, "JobRemoved", on_removed, NULL, rejoin);
        if (r >= 0)
                r = sd_bus_call_method_async(bus, &rejoin->call, "org.freedesktop.DBus",
                                             "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameHasOwner",
                                             on_has_owner, rejoin, "s", BUS_NAME);
        return r;
}

int rejoin_new(Client *client, sd_event *event, uint64_t job, uint64_t since, uint64_t deadline,
               void (*done)(void *userdata, bool found), void *userdata, Rejoin **ret)
{
        _cleanup_(cleanup_rejoin_free) Rejoin *rejoin = calloc(1, sizeof(Rejoin));
        int r;

        if (!rejoin)
                return -ENOMEM;
        *rejoin = (Rejoin){.client = client,
                           .id = job,
                           .since = since,
                           .deadline = deadline,
                           .done = done,
                           .userdata = userdata,
                           .error = ""};
        r = sd_event_add_time_relative(event, &rejoin->timer, CLOCK_MONOTONIC, DAEMON_WAIT_USEC, 0,
                                       on_timeout, rejoin);
        if (r >= 0)
                r = watch(rejoin);
        if (r < 0)
                return r;
        *ret = steal_pointer(rejoin);
        return 0;
}

Rejoin *rejoin_free(Rejoin *rejoin)
{
        if (!rejoin)
                return NULL;
        sd_event_source_disable_unref(rejoin->timer);
        sd_bus_slot_unref(rejoin->owner_match);
        sd_bus_slot_unref(rejoin->removed_match);
        sd_bus_slot_unref(rejoin->call);
        json_object_put(rejoin->result);
        free(rejoin);
        return NULL;
}
