/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A job: one reset request on its way. What it is, what it holds, and what it has been through; the way
 * itself is in jobs.h.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/domain/lane.h"
#include "daemon/domain/plan.h"
#include "shared/worker-protocol.h"

/* Everything a client can make the daemon keep is bounded. */
#define JOBS_MAX         1024U
#define JOBS_PER_UID_MAX 128U
/* Recoveries that rules want. */
#define RECOVERIES_MAX 128U
/* The bus lets one connection wait for 128 replies (max_replies_per_connection), and a question over that is
 * no question but a refusal. These and those about cancelling (bus/cancel.c) stay below it together. */
#define AUTHORIZATIONS_MAX         96U
#define AUTHORIZATIONS_PER_UID_MAX 16U
/* A device whose facts change at every look would make polkit be asked for ever. */
#define JOB_QUESTIONS_PER_RUNG_MAX 4U
#define JOB_REFUSALS_MAX           4U

typedef struct Jobs Jobs;
typedef struct Job Job;

/* How long those who asked to be told before a reset may take to let go. */
#define JOB_DELAY_USEC UINT64_C(5000000)
/* A job that waits for users whose end nobody announces looks again after the first pause, then after twice
 * as long each time, up to the last one. */
#define JOB_PAUSE_USEC     UINT64_C(2000000)
#define JOB_PAUSE_USEC_MAX UINT64_C(60000000)
/* How long a worker tries again while others hold the kernel's locks, at most: no longer than somebody waits
 * for the end of the job. */
#define JOB_RETRY_USEC UINT64_C(10000000)

typedef enum JobPhase {
        JOB_AUTHORIZING, /* it is being found out who uses the devices, or polkit is asked */
        JOB_INHIBITED, /* those who asked to be told before are letting go */
        JOB_WAITING_IDLE, /* holders have to let go first */
        JOB_QUEUED,
        JOB_RESETTING, /* the worker has it: from here on it cannot be stopped */
        JOB_VERIFYING,
} JobPhase;

typedef enum ResetError {
        RESET_OK,
        RESET_ACCESS_DENIED,
        RESET_INTERACTION_REQUIRED,
        RESET_INVALID_METHOD,
        RESET_NOT_USABLE,
        RESET_IN_USE,
        RESET_LEASED,
        RESET_INHIBITED,
        RESET_DEVICE_GONE,
        RESET_DEVICE_DEAD,
        RESET_FAILED,
        RESET_TIMED_OUT,
        RESET_CANCELLED,
        RESET_LIMITS_EXCEEDED,
        RESET_POLICY_DENIED,
        RESET_QUARANTINED,
        RESET_RECOVERING,
} ResetError;

typedef enum Grant {
        GRANT_YES,
        GRANT_NO,
        GRANT_CHALLENGE, /* polkit would have to ask somebody, and the caller did not allow that */
        GRANT_DISMISSED, /* somebody was asked and declined to answer */
        GRANT_FAILED, /* polkit is not there, or did not answer */
} Grant;

typedef enum AttemptOutcome {
        ATTEMPT_DONE,
        ATTEMPT_FAILED,
        ATTEMPT_REFUSED, /* by the worker's last look */
        ATTEMPT_GONE,
        ATTEMPT_DENIED, /* by polkit, or a job of the policy's since no rule speaks for a member */
        ATTEMPT_UNUSABLE,
} AttemptOutcome;

/* Of an attempt that was carried out and counts for nothing, see plan_is_doubtful(). */
#define JOB_WHY_DOUBTFUL "doubtful"

/* A device, a rule, and what is between them. */
#define ATTEMPT_REASON_MAX 320U

/* What became of one rung. */
typedef struct Attempt {
        char method[RESET_METHOD_NAME_MAX];
        AttemptOutcome outcome;
        unsigned unusable; /* of Why */
        char rule[POLICY_RULE_TEXT_MAX]; /* that is behind a reason of the policy's, empty: none */
        char why[RESET_METHOD_NAME_MAX]; /* the worker's reason, or the policy's */
        char reason[ATTEMPT_REASON_MAX]; /* the policy's, for people; empty: none */
        Grant grant;
        unsigned actions; /* of Action: those that were asked for, if it was denied */
        int error; /* positive errno */
        bool written;
        Verdict verdict;
        ListRestored reset_method;
        unsigned n_tries; /* how often the kernel was asked to */
        uint64_t started_usec, finished_usec; /* CLOCK_MONOTONIC; of the last of them */
} Attempt;

/* A device that the job is about, held fast. */
typedef struct JobMember {
        PciAddress address;
        uint64_t generation;
        uint64_t inode;
        uint16_t vendor, device; /* to know it again when it comes back */
        bool has_subsystem; /* not of a job that an earlier daemon began */
        uint16_t subsystem_vendor, subsystem_device;
        uint64_t quarantine; /* that it was in when the rung was granted: quarantine_id() */
        int pin; /* what JobPorts.pin gave, -1: none */
} JobMember;

typedef struct JobRequest {
        uint32_t uid;
        char method[RESET_METHOD_NAME_MAX]; /* a method or an alias */
        PlanOptions plan;
        bool no_wait;
        /* Nobody has called for it: a rule of the policy wants it, and is all the authorisation it needs.
         * There is no client, and the uid is root's, or that of the user after whom it is done. */
        bool by_policy;
        char rule[POLICY_RULE_TEXT_MAX]; /* that rule */
        uint64_t deadline_usec; /* CLOCK_BOOTTIME: nobody waits for the end after that; 0: no such time */
        void *client; /* the bus layer's; NULL once nobody waits for the job any more */
} JobRequest;

struct Job {
        Jobs *jobs;
        uint32_t id;
        JobRequest request;
        JobMember target;
        DeviceFacts seen; /* the target, as it was when the job was made, or handed to a worker */
        JobPhase phase;
        bool announced; /* authorised at least once, so that others may know about it */
        uint64_t queued_at, started_at; /* CLOCK_REALTIME, microseconds */

        char (*ladder)[RESET_METHOD_NAME_MAX];
        size_t n_ladder, at;
        char workaround[POLICY_RULE_TEXT_MAX]; /* the rule by which the ladder is another one, empty: none */

        /* The rung at hand. */
        char method[RESET_METHOD_NAME_MAX];
        unsigned actions; /* of Action */
        bool rebind; /* host drivers are taken off and put back */
        unsigned busy; /* of Why: what has to end before the rung can be taken */
        char *fingerprint;
        unsigned n_questions;
        bool delayed; /* somebody asked to be told before */
        bool scanning; /* it is being found out who uses the devices, */
        bool resuming; /* and after that the rung that was authorised is taken, or else one is planned */
        bool look_again; /* something changed meanwhile */
        bool looks_by_itself; /* it waits, and job_delay_over() comes after pause_usec */
        uint64_t pause_usec;
        unsigned n_refusals; /* of workers in a row, who found users where the daemon had found none */
        JobMember *members; /* the reset set; the first one has the same address as the target */
        size_t n_members;
        bool has_bridge;
        JobMember bridge;
        bool prepared; /* JOB_EVENT_PREPARE was told and JOB_EVENT_RELAX not yet */
        bool recovering; /* the target's counter of those includes this job */
        bool marked; /* the members' counters include this job, in the phase it is in */

        uint64_t order; /* in the lanes, 0: none yet */
        LaneTicket *ticket;

        Attempt attempts[RESET_METHODS_MAX + PLAN_OWN_METHODS_MAX]; /* further ones take the last place */
        size_t n_attempts;
        WorkerImage *images; /* how devices were before its first method that has reached them */
        size_t n_images;
        WorkerResult *result; /* of the last worker, NULL: none ran or it died */
        Holder *holders; /* who was in the way of the last rung that was refused for being in use, or was
                            waited for in vain */
        size_t n_holders;
        ResetError error;
        bool needs_power_cycle; /* all that may be done to bring the target back was done, and it is not back
                                 */
        bool adopted; /* begun by an earlier daemon */
        uint64_t watched_since; /* CLOCK_MONOTONIC, of an adopted one: when this daemon began, which looks
                                   who uses its members; 0: its worker had ended before */

        UT_hash_handle hh;
};

typedef enum JobEvent {
        JOB_EVENT_REQUESTED,
        JOB_EVENT_ANNOUNCED,
        JOB_EVENT_CHANGED, /* phase, method or set */
        JOB_EVENT_PREPARE, /* a reset of the members is about to come: those who want to let go may do so */
        JOB_EVENT_RELAX, /* and now it will not come any more, or is over */
        JOB_EVENT_STARTED, /* the next thing is the write */
        JOB_EVENT_ATTEMPT, /* one more attempt was noted, the last in the list; of one that a worker made
                            * job->result has the evidence */
        JOB_EVENT_FINISHED, /* job->error is set; the job is freed on return */
} JobEvent;

/* What the domain needs from the world. None of these may call back into the job before it returns. */
typedef struct JobPorts {
        /* Reads the live facts of a device into device->live. */
        int (*refresh)(void *userdata, Device *device);
        /* Finds out who uses the devices, and hands it to device_set_use(). Returns a positive number if
         * job_scanned() will tell when that is done, 0 if there is nothing to find out, or negative errno.
         */
        int (*scan)(void *userdata, Job *job, Device **devices, size_t n);
        /* job_delay_over() in so many microseconds, unless the job has ended by then. A further call for the
         * same job takes the place of the last one. */
        int (*delay)(void *userdata, Job *job, uint64_t usec);
        /* Holds the device's directory fast and checks that it still has this inode. Returns a handle >= 0,
         * -ENODEV if it is another device, or another negative errno. */
        int (*pin)(void *userdata, const PciAddress *address, uint64_t inode);
        void (*unpin)(void *userdata, int pin);
        /* Asks polkit about job->actions, and answers through job_authorized(). */
        int (*authorize)(void *userdata, Job *job);
        void (*forget_authorization)(void *userdata, Job *job);
        /* Sends the request to a new worker, which reports through job_worker_phase() and job_worker_done().
         */
        int (*start_worker)(void *userdata, Job *job, const WorkerRequest *request);
        /* Sends the request of a task (lane-task.h), of which lane_task_done() hears. */
        int (*start_order)(void *userdata, const WorkerRequest *request);
        /* `reset_method` of the device was to read `wanted`, and reads device->live.methods. */
        void (*ordered)(void *userdata, Device *device, const ResetMethodList *wanted, bool failed);
        /* A worker has ended that was to keep drivers off the device or to let them at it, or only looked;
         * NULL: it died. May be NULL. */
        void (*kept_off)(void *userdata, const Device *device, WorkerHold action,
                         const WorkerResult *result);
        void (*event)(void *userdata, Job *job, JobEvent event);
        uint64_t (*now_realtime)(void *userdata);
        uint64_t (*now_boottime)(void *userdata);
        uint32_t (*new_id)(void *userdata);
        void *userdata;
} JobPorts;

static inline bool job_has_begun(const Job *job)
{
        return job->phase >= JOB_RESETTING;
}

/* The device that the job is about, NULL if it is gone or another one has its address. */
Device *job_target_device(const Job *job);

/* Did a worker write to the hardware? */
bool job_has_written(const Job *job);
/* The last verdict that a worker gave. */
Verdict job_verdict(const Job *job);
/* A reset that has taken the target away may make the kernel number its bus anew: the same device, by ids
 * and place, that is below the same bridge now under another address. NULL: there is none, or it never left.
 */
const Device *job_moved_target(const Job *job);
/* The method of the last attempt that was written, "" if none, and how long its write took. */
const char *job_method_used(const Job *job);
uint64_t job_duration_usec(const Job *job);

/* The job that has to end before this one's turn in its lane comes: one that runs, if any such is in its
 * way. NULL: it does not wait for its turn, or what it waits for is no job. */
const Job *job_in_the_way(const Job *job);

/* Is there still somebody, or a rule, that wants it to go on? */
static inline bool job_is_wanted(const Job *job)
{
        return job->request.client || job->request.by_policy;
}

/* Does it end at nothing less than a device that is back? */
bool job_is_recovery(const Job *job);

/* The first device of the rung's that is in quarantine, NULL: none. */
const Device *job_quarantined_member(const Job *job);

const char *job_phase_to_string(JobPhase phase);
/* Why the attempt came to nothing, as codes with blanks between them; "" if it did not. Cut to `size`. */
void attempt_why(const Attempt *attempt, char *buffer, size_t size);
/* What it says for or against the method: a device that is well although the kernel failed to reset it says
 * nothing. */
Verdict attempt_proof(const Attempt *attempt);
const char *attempt_outcome_to_string(AttemptOutcome outcome);
/* The last part of the D-Bus error's name, `done` for RESET_OK. */
const char *reset_error_to_string(ResetError error);
