/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/bus/request.h"

#include <stdio.h>
#include <string.h>

#include "daemon/bus/path.h"
#include "daemon/system/descriptors.h"
#include "shared/cleanup.h"
#include "shared/utf8.h"

_Static_assert(OPTION_FDS_MAX == WORKER_FDS_MAX, "what is taken can be handed on");

#define OPTIONS_MAX 8U

static int identify_groups(Request *request, sd_bus_error *error)
{
        PlanAsker *asker = &request->plan.asker;

        for (unsigned i = 0; i < request->groups.n; i++) {
                if (descriptor_vfio_group(request->groups.fds[i], asker->groups[i]) < 0)
                        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                                 "Descriptor %u of option 'fds' is not an open VFIO group "
                                                 "(/dev/vfio/NUMBER).",
                                                 i);
                asker->n_groups++;
        }
        return 0;
}

static int no_such_lease(const char *id, sd_bus_error *error)
{
        char quoted[QUOTED_MAX];

        return sd_bus_error_setf(error, BUS_ERROR_PREFIX "Leased",
                                 "There is no lease '%s' (any more). ListLeases tells which there are.",
                                 utf8_quote(id, quoted, sizeof(quoted)));
}

static const Claim *find_lease(const Bus *bus, const char *id)
{
        const Claim *claim = claims_find(bus->claims, id);

        return claim && claim->record.kind == CLAIM_LEASE ? claim : NULL;
}

static int take_lease(const Bus *bus, Request *request, const char *id, sd_bus_error *error)
{
        if (!find_lease(bus, id))
                return no_such_lease(id, error);
        (void) snprintf(request->plan.asker.lease, sizeof(request->plan.asker.lease), "%s", id);
        return 0;
}

static int take_presented(const Bus *bus, Request *request, int fd, sd_bus_error *error)
{
        const char *id = lease_store_identify(bus->leases, fd);

        if (!id || !find_lease(bus, id))
                return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
                                        "Option 'lease_fd' is not the descriptor of a lease, as Acquire "
                                        "gives it.");
        (void) snprintf(request->plan.asker.presented, sizeof(request->plan.asker.presented), "%s", id);
        return 0;
}

int request_read(Bus *bus, sd_bus_message *message, const Option *more, size_t n_more, Request *ret,
                 sd_bus_error *error)
{
        const char *lease = NULL;
        int lease_fd = -1;
        Option options[OPTIONS_MAX] = {
                {"in_use", "b", &ret->plan.in_use},
                {"when_idle", "b", &ret->plan.when_idle},
                {"lease", "s", &lease},
                {"lease_fd", "h", &lease_fd},
                {"fds", "ah", &ret->groups},
        };
        size_t n = 5;
        int r;

        for (size_t i = 0; i < n_more && n < OPTIONS_MAX; i++)
                options[n++] = more[i];
        r = options_read(message, options, n, error);
        if (r >= 0 && lease)
                r = take_lease(bus, ret, lease, error);
        if (r >= 0 && lease_fd >= 0)
                r = take_presented(bus, ret, lease_fd, error);
        ret->plan.proven = bus->proven;
        return r < 0 ? r : identify_groups(ret, error);
}

int request_identify(const Bus *bus, Request *request, uint32_t uid, sd_bus_error *error)
{
        PlanAsker *asker = &request->plan.asker;
        const Claim *lease;

        asker->known = true;
        asker->uid = uid;
        if (asker->lease[0] == '\0')
                return 0;
        lease = find_lease(bus, asker->lease);
        if (!lease)
                return no_such_lease(asker->lease, error);
        if (lease->record.uid != uid && strcmp(asker->presented, asker->lease) != 0)
                return sd_bus_error_setf(error, BUS_ERROR_PREFIX "Leased",
                                         "Lease '%s' is uid %u's, not yours. Present a copy of its "
                                         "descriptor with option lease_fd.",
                                         asker->lease, lease->record.uid);
        return 0;
}
