/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Devices that are given to nobody: `quarantine` puts one in, `release` lets it out. */

#include <errno.h>

#include "pcireset/agent.h"
#include "pcireset/error-text.h"
#include "pcireset/text.h"
#include "pcireset/verbs.h"

static int print_done(const Client *client, const char *key, const char *text)
{
        _cleanup_json_ json_object *document = NULL;
        int r;

        if (!client->json)
                return text_print_line(stdout, "%s %s.", client->address, text);
        document = json_object_new_object();
        if (!document)
                return -ENOMEM;
        r = json_add(document, key, json_object_new_string(client->address));
        return r < 0 ? r : json_print(stdout, document, false);
}

/* The daemon that knows the path is the one to ask. */
static int new_call(Client *client, const char *member, sd_bus_message **ret)
{
        _cleanup_free_ char *path = NULL, *owner = NULL;
        int r = client_get_device(client, &path, &owner);

        if (r != EXIT_OK)
                return r;
        r = client_new_call(client, owner, path, DEVICE_INTERFACE, member, true, ret);
        return r < 0 ? r : EXIT_OK;
}

static int ask(Client *client, sd_bus_message *call)
{
        _cleanup_message_ sd_bus_message *reply = NULL;
        pid_t agent = client->ask_password ? agent_start() : 0;
        int r = client_call(client, call, &reply);

        agent_stop(agent);
        return r;
}

int verb_quarantine(Client *client, char **arguments)
{
        _cleanup_message_ sd_bus_message *call = NULL;
        int r = new_call(client, "Quarantine", &call);

        if (r != EXIT_OK)
                return r;
        r = sd_bus_message_append(call, "sa{sv}", arguments[1], 0);
        if (r >= 0)
                r = ask(client, call);
        return r != EXIT_OK ? r : print_done(client, "quarantined", "is in quarantine from now on");
}

int verb_release(Client *client, char **arguments)
{
        _cleanup_message_ sd_bus_message *call = NULL;
        int r = new_call(client, "ReleaseQuarantine", &call);

        if (r != EXIT_OK)
                return r;
        r = sd_bus_message_append(call, "a{sv}", 1, "reason", "s", arguments[1]);
        if (r >= 0)
                r = ask(client, call);
        return r != EXIT_OK ? r : print_done(client, "released", "is in no quarantine any more");
}
