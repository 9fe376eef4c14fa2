/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/bus/message.h"

#include <stdio.h>

int open_array_entry(sd_bus_message *message, const char *key, const char *contents)
{
        char type[32];
        int r;

        (void) snprintf(type, sizeof(type), "a%s", contents);
        r = sd_bus_message_open_container(message, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(message, "s", key);
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
