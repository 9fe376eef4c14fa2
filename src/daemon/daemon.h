/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * All parts of the daemon in one place. Private to main.c, which puts them together, its rooms (policy.c,
 * errors.c, releases.c, take-over.c), and ports.c, through which the domain asks for what it needs of the
 * others.
 */

#include <systemd/sd-event.h>

#include "daemon/bus/bus.h"
#include "daemon/domain/claims.h"
#include "daemon/domain/error-events.h"
#include "daemon/domain/jobs.h"
#include "daemon/domain/proven.h"
#include "daemon/domain/quarantine.h"
#include "daemon/domain/registry.h"
#include "daemon/domain/release.h"
#include "daemon/system/attempt-log.h"
#include "daemon/system/checkups.h"
#include "daemon/system/lease-store.h"
#include "daemon/system/names.h"
#include "daemon/system/policy-store.h"
#include "daemon/system/quarantine-store.h"
#include "daemon/system/record.h"
#include "daemon/system/scans.h"
#include "daemon/system/survey.h"
#include "daemon/system/udev.h"
#include "daemon/system/under-way.h"
#include "daemon/system/watch.h"

typedef struct Run Run;
typedef struct Delay Delay;
typedef struct ErrorLook ErrorLook;

typedef struct Daemon {
        const char *worker_program;
        sd_event *event;
        Registry *registry;
        Proven *proven;
        AttemptLog *log;
        Claims *claims;
        Quarantines *quarantines;
        QuarantineStore *quarantine_store;
        Releases *releases;
        sd_event_source *releasing; /* runs them soon */
        bool releases_unstored; /* the last one could not be written, which was said */
        Names *names;
        PolicyStore *policies;
        Jobs *jobs;
        Scans *scans;
        Survey *survey;
        Checkups *checkups;
        Watch *watch;
        LeaseStore *leases;
        Records *records;
        UnderWay *under_way;
        UdevSource *udev;
        Bus *bus;
        RegistryListener published; /* the bus, which hears of devices after those who decide on them */
        Run *runs;
        Delay *delays;
        ErrorEvents *errors;
        ErrorLook *error_looks;
        sd_event_source *error_timer;
        struct WorkerCall *evidence; /* NULL: none is out; */
        PciAddress evidence_device; /* and this is the one that it is about, */
        uint64_t evidence_generation;
        sd_event_source *evidence_timer;
} Daemon;

/* What the domain asks of the daemon; good for as long as `daemon` is. */
JobPorts daemon_ports(Daemon *daemon);

/* After a worker that has died, of this daemon or of an earlier one, whose job is there and has its lane:
 * one more worker puts back what it has changed and looks at the devices, and only then the job ends. */
void daemon_mend(Daemon *daemon, const WorkerRequest *request);
/* The same if it may have left a result after all. */
void daemon_worker_died(Daemon *daemon, const Job *job);

/* The job has ended, and the history knows how (`userdata`: the daemon). */
void daemon_forget_record(void *userdata, uint32_t job);

/* policy.c. The policy's files, before there are devices. */
int daemon_policy_load(Daemon *daemon);
/* Reads them again; how that went is told in the journal and to systemd. */
void daemon_policy_reload(Daemon *daemon);
/* For `systemctl reload`, which asks before it sends the signal: systemd learns from no signal how a reload
 * went. Says on standard output or error what is in the files; 0 or negative errno. */
int daemon_policy_check(void);

/* take-over.c. What an earlier daemon has left; once there are devices, and before the name is taken. Each
 * returns 0 or negative errno, with which there is no daemon: of what it does not know it cannot keep others
 * away. */
int daemon_take_over_claims(Daemon *daemon);
int daemon_take_over_quarantines(Daemon *daemon);
/* After both, and after releases: a job that ends here is judged like any other. */
int daemon_take_over_resets(Daemon *daemon);
/* Once all objects are on the bus: workers are started, where a driver is to be let at a device again. */
int daemon_take_over_kept_off(Daemon *daemon);

/* errors.c. Once udev is listened to and numbers are given; and at the end, before the event loop. */
int daemon_errors_begin(Daemon *daemon);
void daemon_errors_done(Daemon *daemon);

/* evidence.c. There may be a device in quarantine of which nobody knows what the kernel has said. */
void daemon_evidence_want(Daemon *daemon);
void daemon_evidence_done(Daemon *daemon);

/* releases.c. Before the policy is read; what an earlier daemon has left, once claims and quarantines are
 * known. */
int daemon_releases_new(Daemon *daemon);
int daemon_releases_load(Daemon *daemon);
void daemon_releases_done(Daemon *daemon);

/* Forgets what was asked for jobs and is not answered. Workers that run go on by themselves. */
void daemon_ports_done(Daemon *daemon);
