/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The inner side of a job: what it holds (job.c) and what it has been through (job-history.c), for the steps
 * that it takes (job-steps.h). Nothing here takes one.
 */

#include "daemon/domain/job.h"
#include "daemon/domain/proven.h"
#include "daemon/domain/quarantine.h"
#include "daemon/domain/registry.h"

/* Bridges nest as deep as there are bus numbers. */
#define BRIDGES_MAX 256U

struct Jobs {
        Registry *registry;
        Proven *proven;
        Quarantines *quarantines;
        Lanes *lanes;
        JobPorts ports;
        Job *jobs;
        uint64_t last_order;
        struct LaneTask *tasks;
        bool dispatching;
};

/* ---- job.c ---- */

int job_new(Jobs *jobs, const JobRequest *request, const Device *target, Job **ret);
/* With its ticket drawn. */
int job_new_adopted(Jobs *jobs, const WorkerRequest *request, Job **ret);
Job *job_free(Job *job);

/* True if the daemon wanted to have the device clean for its next user, and another reset has done that. */
bool job_is_needless(const Job *job);
/* The device of a member, NULL if it is gone or replaced. */
Device *job_member_device(const Job *job, const JobMember *member);
int job_pin(Job *job, JobMember *member);
void job_set_method(Job *job, const char *method);
/* Takes over a rung's set, bridge, actions and fingerprint, and pins all of them. */
int job_take_rung(Job *job, const Rung *rung);

/* Counts the job in the state of its members, or takes that back; both tell the registry's listener. */
void job_mark(Job *job);
void job_unmark(Job *job);
/* From queued to resetting, in one step for whoever watches its members. The job is marked. */
void job_begin(Job *job);

/* Counts the job as one that brings its target back, or takes that back. */
void job_mark_recovering(Job *job);
void job_unmark_recovering(Job *job);

/* The device may be a member that was taken away and has come back: then it is the member from now on. */
void job_follow(Job *job, Device *device);

int job_enter_lane(Job *job);
/* A reset that was authorised for what is in quarantine lifts that one by its proof; one that has begun
 * before, or for one that has ended since, lifts none. */
bool job_may_lift(const Job *job, const Device *device);
/* Its proof counts for nothing (plan_is_doubtful()), unless somebody asked for this method by its name; nor
 * does what is no reset (reset_method_resets()) after a user. */
bool job_is_doubtful(const Job *job);
/* Members and images are the caller's to free. */
int job_make_worker_request(const Job *job, WorkerRequest *ret);

/* ---- job-history.c ---- */

/* Never NULL: past the end the last one serves again. */
Attempt *job_add_attempt(Job *job, AttemptOutcome outcome);
/* Takes the result over, notes the attempt, and remembers what it proved. */
void job_note_result(Job *job, WorkerResult *result);
/* The worker has come back for now: notes who has used the devices meanwhile. */
void job_note_touches(Job *job);
/* Remembers who uses the rung's devices, for the one who is refused. */
void job_note_holders(Job *job, const Rung *rung);
/* Those of the rung at hand, for which the job waited in vain. */
void job_note_waited_for(Job *job);
/* True for a worker's reason for a refusal that means that somebody uses a member. */
bool worker_why_is_use(const char *why);

/* Whether the job, which ends with job->error, has done all that there was to do, and the target is still
 * not back: then nothing in this machine helps, but taking its power away. What somebody's say has kept from
 * being tried may have helped. */
bool job_has_done_all(const Job *job);
/* Writes that down with those of the last set that are in quarantine for it. */
void job_note_power_cycle(Job *job);

/* The error that the attempts so far add up to. */
ResetError job_conclude(const Job *job);
