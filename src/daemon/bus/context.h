/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the files of the bus layer share: the one object that holds the connection and the calls that wait.
 */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "daemon/bus/lobby.h"
#include "daemon/domain/claims.h"
#include "daemon/domain/jobs.h"
#include "daemon/system/attempt-log.h"
#include "daemon/system/checkups.h"
#include "daemon/system/lease-store.h"
#include "daemon/system/names.h"
#include "daemon/system/policy-store.h"
#include "daemon/system/quarantine-store.h"
#include "daemon/system/survey.h"

typedef struct Bus Bus;
typedef struct PendingCall PendingCall;

#define PENDING_ROOMS 5U

struct Bus {
        sd_event *event;
        sd_bus *bus;
        Names *names;
        Registry *registry;
        const Proven *proven;
        Jobs *jobs;
        Claims *claims;
        Survey *survey;
        LeaseStore *leases;
        PolicyStore *policies;
        AttemptLog *log;
        Quarantines *quarantines;
        QuarantineStore *quarantine_store;
        Checkups *checkups;

        /* Calls that wait for an answer of ours, and while there are any the match that tells who left the
         * bus. */
        PendingCall *calls;
        size_t n_calls[PENDING_ROOMS]; /* of those whose uid is known */
        Lobby *lobby; /* the others */
        sd_bus_slot *vanished_match;
        sd_event_source *tree_turn; /* on while somebody waits for the tree; NULL: nobody has ever asked */
        int64_t heard_nsec; /* by CLOCK_MONOTONIC, when the last call came */

        /* Calls without reply that were dropped since the last journal entry about them, at this time. */
        unsigned n_noreply_suppressed;
        uint64_t noreply_reported_usec;
};
