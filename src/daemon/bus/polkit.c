/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/bus/polkit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/system/journal.h"
#include "shared/cleanup.h"

#define POLKIT_NAME  "org.freedesktop.PolicyKit1"
#define POLKIT_PATH  "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_IFACE "org.freedesktop.PolicyKit1.Authority"

#define ALLOW_USER_INTERACTION 1U
#define TIMEOUT_USEC           (UINT64_C(5) * 60 * 1000 * 1000)

struct PolkitQuery {
        sd_bus *bus;
        sd_bus_slot *slot; /* NULL once the answer is here */
        PolkitHandler handler;
        bool interactive;
        void *userdata;
        char cancellation_id[32];
};

DEFINE_CLEANUP(PolkitQuery *, polkit_query_free);
DEFINE_CLEANUP(sd_bus_message *, sd_bus_message_unref);

static Grant read_answer(sd_bus_message *reply, bool interactive)
{
        int authorized, challenge, r;
        bool dismissed = false, kept = false;

        if (sd_bus_message_is_method_error(reply, NULL))
                return GRANT_FAILED;
        r = sd_bus_message_enter_container(reply, 'r', "bba{ss}");
        if (r >= 0)
                r = sd_bus_message_read(reply, "bb", &authorized, &challenge);
        if (r >= 0)
                r = sd_bus_message_enter_container(reply, 'a', "{ss}");
        if (r < 0)
                return GRANT_FAILED;

        for (;;) {
                const char *key, *value;

                r = sd_bus_message_read(reply, "{ss}", &key, &value);
                if (r < 0)
                        return GRANT_FAILED;
                if (r == 0)
                        break;
                if (strcmp(key, "polkit.dismissed") == 0)
                        dismissed = true;
                if (strcmp(key, "polkit.temporary_authorization_id") == 0)
                        kept = true;
        }
        /* polkit finds what it keeps again by action and subject alone, before it looks at any rule: what a
         * password was typed for on one device would hold for all of them. Only its owner could give it
         * back. */
        if (authorized && kept) {
                journal_authorization_kept();
                return GRANT_NO;
        }
        if (authorized)
                return GRANT_YES;
        /* Where somebody could be asked, polkit has done so: a challenge then means that there is nobody to
         * ask. */
        if (challenge && !interactive)
                return GRANT_CHALLENGE;
        return dismissed ? GRANT_DISMISSED : GRANT_NO;
}

static int on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
        _cleanup_(cleanup_polkit_query_free) PolkitQuery *query = userdata;

        query->slot = sd_bus_slot_unref(query->slot);
        query->handler(query->userdata, read_answer(reply, query->interactive));
        return 0;
}

static int append_details(sd_bus_message *message, const PolkitDetail *details, size_t n)
{
        int r = sd_bus_message_open_container(message, 'a', "{ss}");

        for (size_t i = 0; i < n && r >= 0; i++)
                r = sd_bus_message_append(message, "{ss}", details[i].key, details[i].value);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

int polkit_ask(sd_bus *bus, const char *sender, const char *action, const PolkitDetail *details,
               size_t n_details, bool interactive, PolkitHandler handler, void *userdata, PolkitQuery **ret)
{
        static uint64_t last_cancellation_id;
        _cleanup_(cleanup_sd_bus_message_unref) sd_bus_message *message = NULL;
        _cleanup_free_ PolkitQuery *query = calloc(1, sizeof(PolkitQuery));
        int r;

        if (!query)
                return -ENOMEM;
        query->handler = handler;
        query->userdata = userdata;
        query->interactive = interactive;
        (void) snprintf(query->cancellation_id, sizeof(query->cancellation_id), "pciresetd-%" PRIu64,
                        ++last_cancellation_id);

        r = sd_bus_message_new_method_call(bus, &message, POLKIT_NAME, POLKIT_PATH, POLKIT_IFACE,
                                           "CheckAuthorization");
        if (r >= 0)
                r = sd_bus_message_append(message, "(sa{sv})s", "system-bus-name", 1, "name", "s", sender,
                                          action);
        if (r >= 0)
                r = append_details(message, details, n_details);
        if (r >= 0)
                r = sd_bus_message_append(message, "us", interactive ? ALLOW_USER_INTERACTION : 0U,
                                          query->cancellation_id);
        if (r >= 0)
                r = sd_bus_call_async(bus, &query->slot, message, on_answer, query, TIMEOUT_USEC);
        if (r < 0)
                return r;

        query->bus = sd_bus_ref(bus);
        *ret = steal_pointer(query);
        return 0;
}

PolkitQuery *polkit_query_free(PolkitQuery *query)
{
        if (!query)
                return NULL;
        if (query->slot) {
                /* A dialog for a call that nobody waits for any more would only puzzle people. */
                (void) sd_bus_call_method_async(query->bus, NULL, POLKIT_NAME, POLKIT_PATH, POLKIT_IFACE,
                                                "CancelCheckAuthorization", NULL, NULL, "s",
                                                query->cancellation_id);
                sd_bus_slot_unref(query->slot);
        }
        sd_bus_unref(query->bus);
        free(query);
        return NULL;
}
