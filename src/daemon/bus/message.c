/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/bus/message.h"

#include <errno.h>
#include <string.h>

#define ENTRY_TYPE_MAX 32U

int append_basic_entry(sd_bus_message *message, const char *key, char type, const void *value)
{
        const char types[] = {type, '\0'};
        int r;

        r = sd_bus_message_open_container(message, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append_basic(message, 's', key);
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'v', types);
        if (r >= 0)
                r = sd_bus_message_append_basic(message, type, value);
        if (r >= 0)
                r = sd_bus_message_close_container(message);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

int open_array_entry(sd_bus_message *message, const char *key, const char *contents)
{
        char type[ENTRY_TYPE_MAX];
        int r;

        if (strlen(contents) + 1 >= sizeof(type))
                return -EINVAL;
        (void) stpcpy(stpcpy(type, "a"), contents);
        r = sd_bus_message_open_container(message, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append_basic(message, 's', key);
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'v', type);
        return r < 0 ? r : sd_bus_message_open_container(message, 'a', contents);
}

int close_array_entry(sd_bus_message *message)
{
        int r = 0;

        /* The array, the variant around it, and the entry. */
        for (int i = 0; i < 3 && r >= 0; i++)
                r = sd_bus_message_close_container(message);
        return r;
}
