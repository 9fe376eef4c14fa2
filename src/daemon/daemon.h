/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * All parts of the daemon in one place. Private to main.c, which puts them together, and ports.c, through
 * which the domain asks for what it needs of the others.
 */

#include <systemd/sd-event.h>

#include "daemon/bus/bus.h"
#include "daemon/domain/claims.h"
#include "daemon/domain/jobs.h"
#include "daemon/domain/proven.h"
#include "daemon/domain/registry.h"
#include "daemon/system/lease-store.h"
#include "daemon/system/names.h"
#include "daemon/system/record.h"
#include "daemon/system/scans.h"
#include "daemon/system/survey.h"
#include "daemon/system/udev.h"
#include "daemon/system/watch.h"

typedef struct Run Run;
typedef struct Delay Delay;

typedef struct Daemon {
        const char *worker_program;
        sd_event *event;
        Registry *registry;
        Proven *proven;
        Claims *claims;
        Names *names;
        Jobs *jobs;
        Scans *scans;
        Survey *survey;
        Watch *watch;
        LeaseStore *leases;
        Records *records;
        UdevSource *udev;
        Bus *bus;
        RegistryListener published; /* the bus, which hears of devices after those who decide on them */
        Run *runs;
        Delay *delays;
} Daemon;

/* What the domain asks of the daemon; good for as long as `daemon` is. */
JobPorts daemon_ports(Daemon *daemon);

/* Forgets what was asked for jobs and is not answered. Workers that run go on by themselves. */
void daemon_ports_done(Daemon *daemon);
