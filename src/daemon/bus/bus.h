/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The daemon's face on D-Bus: parses, looks things up, hands on to the domain, and replies.
 *
 * It holds no state of devices or jobs, only who waits for what. The domain never includes anything from
 * here: what it needs of the bus comes to it through the listener and the ports that main.c ties together.
 */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

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

/* Connects to the system bus. Nothing can be called yet. The names must outlive the bus. */
int bus_new(sd_event *event, Names *names, Bus **ret);
Bus *bus_free(Bus *bus);

/* What the bus shows and asks; all of it outlives the bus. */
typedef struct BusParts {
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
} BusParts;

/* Exports the objects and takes the name: whoever sees the name finds everything there. */
int bus_publish(Bus *bus, const BusParts *parts);

/* To be told to the registry and to the jobs. */
RegistryListener bus_registry_listener(Bus *bus);
void bus_job_event(Bus *bus, Job *job, JobEvent event);
int bus_authorize(Bus *bus, Job *job);
void bus_forget_authorization(Bus *bus, Job *job);
/* The VFIO groups that the job's caller has presented, in the order of plan.asker.groups; the caller's call
 * keeps them open. -ENOTCONN if nobody waits for the job any more. */
int bus_job_fds(const Job *job, const int **fds, unsigned *n);
