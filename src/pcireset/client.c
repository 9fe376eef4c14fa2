/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * sd_bus_call() keeps only name and text of an error and throws the rest of its body away, where this daemon
 * puts its evidence. So calls are sent asynchronously and waited for here, and the whole error message is
 * reported.
 */

#include "pcireset/client.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "pcireset/error-text.h"
#include "pcireset/request.h"
#include "pcireset/text.h"

/* Reads are answered at once unless the daemon has to wait for its worker, or has to be started. */
#define CALL_TIMEOUT_USEC (90 * USEC_PER_SEC)
#define ASK_TIMEOUT_USEC  (20 * 60 * USEC_PER_SEC)

int client_connect(Client *client)
{
        int r;

        r = sd_bus_open_system_with_description(&client->bus, "pcireset");
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return report_failure(client, EXIT_UNREACHABLE, CLIENT_ERROR("Unreachable"),
                                      "Is the bus there? Look at `systemctl status dbus`.",
                                      "The system bus cannot be reached: %s", strerror(-r));
        return EXIT_OK;
}

int client_new_call(Client *client, const char *destination, const char *path, const char *interface,
                    const char *member, bool ask, sd_bus_message **ret)
{
        _cleanup_message_ sd_bus_message *call = NULL;
        int r;

        r = sd_bus_message_new_method_call(client->bus, &call, destination ? destination : BUS_NAME, path,
                                           interface, member);
        if (r < 0)
                return r;
        r = sd_bus_message_set_allow_interactive_authorization(call, ask && client->ask_password);
        if (r < 0)
                return r;

        *ret = steal_pointer(call);
        return 0;
}

static int on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
        sd_bus_message **ret = userdata;

        *ret = sd_bus_message_ref(reply);
        return 1;
}

int client_call(Client *client, sd_bus_message *call, sd_bus_message **ret_reply)
{
        _cleanup_message_ sd_bus_message *reply = NULL;
        _cleanup_slot_ sd_bus_slot *slot = NULL;
        bool may_ask = sd_bus_message_get_allow_interactive_authorization(call) > 0;
        uint64_t timeout = may_ask ? ASK_TIMEOUT_USEC : CALL_TIMEOUT_USEC;
        uint64_t deadline = now_monotonic_usec() + timeout;
        int r;

        r = sd_bus_call_async(client->bus, &slot, call, on_reply, &reply, timeout);
        while (r >= 0 && !reply) {
                r = sd_bus_process(client->bus, NULL);
                if (r == 0 && !reply)
                        r = sd_bus_wait(client->bus, UINT64_MAX);
                if (r == -EINTR)
                        r = 0;
        }
        if (!reply)
                return r == -ENOMEM ? r : (int) report_disconnected(client, r);
        if (sd_bus_message_is_method_error(reply, NULL))
                return report_reply(client, reply, now_monotonic_usec() >= deadline);

        *ret_reply = steal_pointer(reply);
        return EXIT_OK;
}

int client_call_for_value(Client *client, sd_bus_message *call, json_object **ret)
{
        _cleanup_message_ sd_bus_message *reply = NULL;
        int r;

        r = client_call(client, call, &reply);
        if (r != EXIT_OK)
                return r;
        r = bus_json_read(reply, ret);
        return r < 0 ? r : r == 0 ? -EBADMSG : EXIT_OK;
}

int client_get_rows(Client *client, const char *destination, const char *path, const char *interface,
                    const char *member, json_object **ret)
{
        _cleanup_message_ sd_bus_message *call = NULL;
        int r;

        r = client_new_call(client, destination, path, interface, member, false, &call);
        if (r < 0)
                return r;
        r = sd_bus_message_append(call, "a{sv}", 0);
        return r < 0 ? r : client_call_for_value(client, call, ret);
}

int client_get_device(Client *client, char **ret_path, char **ret_owner)
{
        _cleanup_message_ sd_bus_message *call = NULL, *reply = NULL;
        _cleanup_free_ char *path = NULL, *owner = NULL;
        const char *found, *sender;
        int r;

        r = client_new_call(client, NULL, ROOT_PATH, MANAGER_INTERFACE, "GetDevice", false, &call);
        if (r < 0)
                return r;
        r = sd_bus_message_append(call, "s", client->address);
        if (r < 0)
                return r;
        r = client_call(client, call, &reply);
        if (r != EXIT_OK)
                return r;
        r = sd_bus_message_read(reply, "o", &found);
        if (r < 0)
                return r;

        sender = sd_bus_message_get_sender(reply);
        path = strdup(found);
        owner = strdup(sender ? sender : BUS_NAME);
        if (!path || !owner)
                return -ENOMEM;
        *ret_path = steal_pointer(path);
        if (ret_owner)
                *ret_owner = steal_pointer(owner);
        return EXIT_OK;
}

int client_list_devices(Client *client, json_object **ret)
{
        static const char *const keys[] = {"address", "path",        "driver", "state",
                                           "owner",   "description", NULL};
        _cleanup_message_ sd_bus_message *call = NULL, *reply = NULL;
        int r;

        r = client_new_call(client, NULL, ROOT_PATH, MANAGER_INTERFACE, "ListDevices", false, &call);
        if (r < 0)
                return r;
        r = client_call(client, call, &reply);
        return r != EXIT_OK ? r : bus_json_read_rows(reply, keys, ret);
}

int client_get_properties(Client *client, const char *path, json_object **ret)
{
        _cleanup_message_ sd_bus_message *call = NULL;
        int r;

        r = client_new_call(client, NULL, path, PROPERTIES_INTERFACE, "GetAll", false, &call);
        if (r < 0)
                return r;
        r = sd_bus_message_append(call, "s", DEVICE_INTERFACE);
        return r < 0 ? r : client_call_for_value(client, call, ret);
}

int client_get_methods(Client *client, json_object **ret)
{
        static const char *const keys[] = {"name", NULL};
        _cleanup_message_ sd_bus_message *call = NULL, *reply = NULL;
        int r;

        r = client_new_call(client, NULL, ROOT_PATH, MANAGER_INTERFACE, "GetMethods", false, &call);
        if (r < 0)
                return r;
        r = sd_bus_message_append(call, "s", client->address);
        if (r < 0)
                return r;
        r = client->in_use ? sd_bus_message_append(call, "a{sv}", 1, "in_use", "b", 1)
                           : sd_bus_message_append(call, "a{sv}", 0);
        if (r < 0)
                return r;
        r = client_call(client, call, &reply);
        if (r != EXIT_OK)
                return r;
        return bus_json_read_rows(reply, keys, ret);
}

int client_get_plan(Client *client, json_object **ret)
{
        _cleanup_message_ sd_bus_message *call = NULL;
        int r;

        r = client_new_call(client, NULL, ROOT_PATH, MANAGER_INTERFACE, "Plan", false, &call);
        if (r < 0)
                return r;
        r = sd_bus_message_append(call, "ss", client->address, client->method);
        if (r >= 0)
                r = sd_bus_message_open_container(call, 'a', "{sv}");
        if (r >= 0)
                r = request_append(client, call);
        if (r >= 0)
                r = sd_bus_message_close_container(call);
        return r < 0 ? r : client_call_for_value(client, call, ret);
}

int client_watch_signals(sd_event *event, sd_event_signal_handler_t handler, void *userdata)
{
        static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                struct sigaction action;
                sigset_t set;
                int r;

                /* nohup and a shell's background jobs have the right to be left alone. */
                if (sigaction(signals[i], NULL, &action) < 0)
                        return -errno;
                if (action.sa_handler == SIG_IGN)
                        continue;

                (void) sigemptyset(&set);
                (void) sigaddset(&set, signals[i]);
                if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                        return -errno;
                r = sd_event_add_signal(event, NULL, signals[i], handler, userdata);
                if (r < 0)
                        return r;
        }
        return 0;
}
