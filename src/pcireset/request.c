/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * An option that was not given is left out: what that means is the daemon's to say. The inherited lease is
 * presented whatever else is given, since it only adds to what the caller may do.
 */

#include "pcireset/request.h"

#include <errno.h>
#include <stdlib.h>

#include "pcireset/lease-fd.h"
#include "pcireset/text.h"

static int append_inherited_lease(sd_bus_message *call)
{
        int fd = lease_fd_inherited();

        if (fd >= 0)
                return sd_bus_message_append(call, "{sv}", "lease_fd", "h", fd);
        if (fd == -ENOENT)
                return 0;
        return text_print_line(stderr,
                               "pcireset: " LEASE_FD_VARIABLE
                               "=%s is no lease that is open here: going on without it",
                               getenv(LEASE_FD_VARIABLE));
}

bool request_has_lease(void)
{
        return lease_fd_inherited() >= 0;
}

int request_append(const Client *client, sd_bus_message *call)
{
        int r = 0;

        if (client->in_use)
                r = sd_bus_message_append(call, "{sv}", "in_use", "b", 1);
        if (r >= 0 && client->when_idle)
                r = sd_bus_message_append(call, "{sv}", "when_idle", "b", 1);
        if (r >= 0 && client->lease)
                r = sd_bus_message_append(call, "{sv}", "lease", "s", client->lease);
        return r < 0 ? r : append_inherited_lease(call);
}
