/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A world for jobs, in which polkit, scans, workers and time are the test's own. What happens to devices
 * reaches claims and jobs as in the daemon. At its end nothing may be held: no pin, no mark on a device, no
 * PREPARE without its RELAX.
 */

#include "daemon/domain/admission.h"
#include "daemon/domain/claims.h"
#include "daemon/domain/jobs.h"
#include "daemon/domain/release.h"
#include "world.h"

#define SEEN_MAX 64U

typedef struct JobWorld {
        World world;
        Claims *claims;
        Proven *proven;
        Quarantines *quarantines;
        Jobs *jobs;
        Releases *releases;
        bool is_due; /* releases_run() is to be called: job_world_settle() */
        ReleaseRecord stored[SEEN_MAX]; /* users of devices, as on disk */
        size_t n_stored;
        unsigned n_waits; /* times that a release was told to wait */
        uint32_t last_id;

        /* What the ports were called with. */
        Job *asked[SEEN_MAX];
        size_t n_asked;
        char ran[SEEN_MAX][64]; /* "ADDRESS METHOD" of each worker */
        Job *running[SEEN_MAX];
        WorkerRequest request; /* the last one, without its members and images */
        unsigned command; /* of its first image */
        WorkerMember first; /* of those */
        size_t n_ran;
        unsigned announced, finished, forgotten, n_scans, n_delays, n_prepared, n_relaxed;
        uint64_t delay_usec;
        Job *scanning, *delayed; /* the last ones */
        ResetError error; /* of the last job that ended, */
        Job last; /* and the job itself */
        WorkerRequest order; /* the last one of the operation `order`, with its member in `ordered` */
        WorkerMember ordered;
        int order_result; /* of start_order */
        unsigned n_orders; /* that workers were sent out for, */
        unsigned n_told; /* and that were told of: */
        bool order_failed;
        int pins; /* held */
        bool prepared[4096]; /* by job */
        size_t attempts[4096]; /* that were told, by job */

        /* What they answer. */
        int scan_result; /* positive: job_scanned() is the test's to call */
        void (*on_scan)(void);
        int pins_left; /* before -EMFILE, negative: any number */
        int delay_result;
        int store_result; /* negative: users are not stored */
        uint64_t now_boottime;
} JobWorld;

extern JobWorld seen;

/* 00:01.0 port ── 01:00.0 with acpi, flr and bus; 00:02.0 port ── 02:00.0 with flr. */
void job_world_init(void);
void job_world_done(void);
/* What was put off for a moment is done now. */
void job_world_settle(void);
/* The daemon is another one: what it knew is lost but for what is stored. Claims and jobs stay. */
void job_world_restart_releases(void);
/* One rule, about one device or (NULL) all of them. */
void job_world_rule(const char *address, const PolicySettings *settings);

/* `in_use`, `no_wait` and the like are set in `request`; uid 1001 if it names none. */
void submit_request(const char *address, const char *method, JobRequest request);
void submit_as(uint32_t uid, const char *address, const char *method, bool in_use, bool no_wait);
void submit(const char *address, const char *method);
/* Asks for when_idle. */
void submit_patient(const char *address, const char *method);

/* Answers the last question. */
void answer(Grant grant);
/* The worker with this index ends so. */
void worker_says(size_t i, WorkerOutcome outcome, int error, Verdict verdict);
void worker_refuses(size_t i, const char *why);

/* As world_…(), and tells of it, as a scan would. */
void hold(const char *address, HolderKind kind);
void let_go(const char *address);
void unplug(const char *address);

/* Whether this user could take the device now, and why not. */
Admission job_world_judge(ClaimKind kind, uint32_t uid, const char *address);

/* The only job that there is. */
Job *only_job(void);
/* It is in this phase, and no worker ran. */
void check_phase(JobPhase phase);
/* One worker ran, and is done now: with that the only job ends. */
void check_ran_well(void);
/* The only job has ended with this error, without a worker. */
void check_refused(ResetError error);
