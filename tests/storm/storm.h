/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A storm over the domain, in simulated time: a machine whose users ask for resets, leases and inhibitors,
 * whose devices come and go, whose policy changes, and whose workers and daemon are killed. What outlives a
 * daemon (devices, workers, the descriptors of claims, records of quarantines) is kept here; the daemon is
 * its domain alone, which is freed and built again.
 *
 *   test-storm.c  time: what happens next
 *   daemon.c      one life of a daemon: its ports, its start and its end
 *   workers.c     workers, from their start to the result, and what they do to devices
 *   users.c       requests, leases, inhibitors, rules, people in charge
 *   errors.c      errors that the kernel announces, and what is to become of the devices
 *   results.c     how devices are after a reset, and what a worker says of that
 *   tasks.c       workers that write settings: drivers kept off, the kernel's own list of methods
 *   restart.c     what a kill of the daemon leaves on disk and in /run, and what the next one makes of it
 *   clean.c       who has had which device since its last reset
 *   releases.c    resets between two users, which the daemon makes by itself
 *   audit.c       what must be true between any two steps
 *
 * The oracle (unit/random-oracle.h) knows nothing of plans; what the storm keeps beside it, it keeps by what
 * it has seen itself: who was granted what, which worker writes, which checks have failed.
 */

#include "daemon/domain/admission.h"
#include "daemon/domain/error-events.h"
#include "daemon/domain/jobs.h"
#include "daemon/domain/release.h"
#include "random-oracle.h"
#include "random-tree.h"

#define MSEC        UINT64_C(1000)
#define SEC         UINT64_C(1000000)
#define NEVER       UINT64_MAX
#define TRACKS_MAX  4096U
#define RUNS_MAX    128U
#define ASKS_MAX    8U
#define LOOKS_MAX   8U
#define MENDERS_MAX 3U
#define TASKS_MAX   (2U * NODES_MAX)
#define STORED_MAX  (NODES_MAX * NODE_IDS)
#define HISTORY_MAX 60U /* steps that are told after a failure */
#define NOTE_MAX    160U

/* A request, from the client's side. */
typedef struct Track {
        uint32_t job; /* 0: unused */
        bool finished, prepared, delay_is_over, in_use, is_adopted, has_begun;
        size_t target;
        PlanAsker asker;
        char requested[RESET_METHOD_NAME_MAX];
        uint64_t scan_at, answer_at, delay_at, deadline; /* NEVER: not waited for */
        uint64_t queued_at;
        ResetError error;
        bool was_well; /* what its last worker has said */

        /* What polkit's last yes was about. */
        unsigned granted; /* of Action */
        unsigned last_claim;
        char method[RESET_METHOD_NAME_MAX];
        uint64_t inodes[NODES_MAX];
        size_t n_inodes;
} Track;

typedef struct RunMember {
        size_t node;
        uint64_t inode; /* of the device that the job takes for its member now */
        uint16_t id;
        unsigned turn; /* of its quarantine when the worker began, 0: none */
        bool was_kept_off; /* before it was taken away */
        ResetMethodList list; /* and what it was */
        bool is_touched; /* somebody has had it open since the write */
        bool is_off; /* its driver is, by this reset */
} RunMember;

typedef enum Health { HEALTH_WELL, HEALTH_CHANGED, HEALTH_DEAD } Health;

/* A worker. */
typedef struct Run {
        uint32_t job; /* 0: unused */
        unsigned life; /* of the daemon that started it */
        bool is_known; /* to the daemon that lives now */
        bool recorded, writing, written, killed;
        size_t target;
        uint32_t uid;
        PlanAsker asker;
        bool is_aliased, is_release;
        unsigned granted;
        WorkerRequest request; /* with members of its own */
        Footprint footprint;
        RunMember members[NODES_MAX];
        size_t n_members;
        uint64_t record_at, write_at, verify_at, end_at;
        WorkerResult *early; /* what it ends with, if that is known already */
        bool has_list;
        ResetMethodList list; /* the target's, which is the one method alone meanwhile */
        unsigned n_menders; /* which of those it is that come after a worker that died */
        bool is_old; /* what it has done was done while there was no daemon */
        bool is_interrupted; /* the machine went down in it */
        bool is_dead; /* and there was no daemon to send the next one */
} Run;

/* Acquire or Inhibit, while polkit is asked. */
typedef struct Ask {
        uint64_t answer_at; /* 0: unused */
        TreeClaim claim;
        ClaimDevice devices[3];
        uint64_t generations[3];
} Ask;

/* Of a place: what has become of the device in it since the last step, and whether it was reset since the
 * last one who had it. */
typedef struct Trail {
        uint64_t inode;
        size_t n_holders;
        uint16_t id;
        bool was_open, was_enabled, was_leased, is_clean;
        bool has_stayed; /* all the time under the lease at hand */
        bool let_go; /* somebody has had it and has let go, and nobody has a lease since */
        bool may_be_missed; /* somebody has used it in the middle of a reset, and nobody has looked since */
        bool was_heard; /* the daemon has heard that somebody has it open, and the rules are as they were */
        bool must_be_reset; /* a lease has ended, rules want a reset after it, and there was none: */
        uint16_t must_id; /* this card */
} Trail;

/* How a device is in truth, and what of that the daemon has been told. */
typedef struct Hardware {
        uint64_t inode; /* of which device that is said */
        Health health;
        bool recovers; /* the kernel is at it, whatever the daemon has heard */
        bool is_endless; /* and says nothing more */
        bool is_excused; /* a worker has died of a setting, or could not be started, or it was set by hand */
        ErrorState error; /* as the daemon is to know it */
        uint64_t since; /* of a recovery */
        bool is_owed; /* a look at it, after an error */
} Hardware;

/* A worker that writes a setting. */
typedef struct Task {
        uint32_t id; /* 0: unused */
        unsigned life; /* of the daemon that asked */
        bool is_hold, written, dies;
        WorkerHold action;
        ResetMethodList list;
        size_t node;
        uint64_t inode, write_at, end_at;
        Footprint footprint;
        WorkerResult *result;
} Task;

/* In /run, by address: drivers were kept off the device with this inode. */
typedef struct KeptOff {
        bool exists;
        uint64_t inode;
} KeptOff;

/* A worker that looks at a device after an error. */
typedef struct ErrorLook {
        uint32_t id; /* 0: unused */
        size_t node;
        uint64_t inode, end_at;
        bool is_stale; /* there was another error meanwhile */
} ErrorLook;

typedef struct Storm {
        Tree tree;
        uint64_t seed, now;
        unsigned machine, step, boot;
        bool is_calm;
        size_t hot; /* where most of them ask for resets */

        /* The daemon; all NULL while there is none. */
        unsigned life;
        Registry *registry;
        Claims *claims;
        Proven *proven;
        Quarantines *quarantines;
        Jobs *jobs;
        ErrorEvents *errors;
        ErrorLook looks[LOOKS_MAX];
        uint64_t error_at; /* when a recovery has lasted too long */
        Releases *releases;
        uint64_t release_at; /* when it does what can be done */
        uint32_t last_job;
        long pins;
        bool is_started; /* and its bus is there */
        uint64_t start_at; /* of the next one */

        Track tracks[TRACKS_MAX];
        Run runs[RUNS_MAX];
        Ask asks[ASKS_MAX];
        uint64_t survey_at[NODES_MAX];
        Trail trails[NODES_MAX];
        Hardware hardware[NODES_MAX];
        KeptOff kept_off[NODES_MAX];
        ResetMethodList supported[NODES_MAX]; /* by the kernel */
        char left_off[NODES_MAX][DRIVER_NAME_MAX]; /* the driver that a reset has left off last */
        Task tasks[TASKS_MAX];
        QuarantineRecord stored[STORED_MAX];
        size_t n_stored;
        unsigned n_quarantines; /* that there were */
        ReleaseRecord users[STORED_MAX]; /* those of devices, as the daemon has written them down */
        size_t n_users;
        TreeClaim orphans[LEASES_MAX]; /* whose records have outlived them */

        char history[HISTORY_MAX][NOTE_MAX];
        unsigned n_history;
} Storm;

/* That all of it happens at all. */
typedef struct StormStats {
        unsigned long requests, started, written, finished, ok, queued_behind, several, in_use, owned,
                shared, policy, quarantined, lifted, leases, refused_claims, kills, adopted, unheard,
                worker_kills, silent, plugs, recoveries, audits, clean, required_clean, released, owed,
                put_aside, looked, broken, recovered, not_recovered, unfinished, own_begun, tasks, kept_off,
                let_at, ordered, in_order, mended, interrupted, reboots, handed_back, taken_off, left_off,
                rebound;
        unsigned long errors[RESET_RECOVERING + 1];
        unsigned long obstacles[ADMISSION_FROZEN + 1];
} StormStats;

extern Storm storm;
extern StormStats stats;

/* Tells the seed, the last steps and what is wrong, and fails the test. */
__attribute__((noreturn, format(printf, 1, 2))) void storm_wrong(const char *format, ...);
/* For that telling. */
__attribute__((format(printf, 1, 2))) void storm_note(const char *format, ...);

/* Some time between, mostly nearer to the first. */
uint64_t storm_while(uint64_t from, uint64_t to);
uint64_t storm_in(uint64_t from, uint64_t to);

Track *track_of(uint32_t job);
const char *name_of(size_t node);

/* ---- daemon.c ---- */
void daemon_start(void);
void daemon_kill(void);
static inline bool daemon_lives(void)
{
        return storm.jobs != NULL;
}
/* What a job waited for of the world has come. */
void track_scanned(Track *track);
void track_answered(Track *track);
void track_delayed(Track *track);

/* ---- workers.c ---- */
void run_start(const Job *job, const Track *track, const WorkerRequest *request, const Footprint *footprint);
/* Its next moment: NEVER for one that is unused. */
uint64_t run_due(const Run *run);
void run_go_on(Run *run);
void run_kill(Run *run);
Run *run_of(uint32_t job);
/* A device has come: it may be a member that was taken away. */
void runs_follow(size_t node);
/* The machine goes down in the middle of it, or before it has begun. */
void run_interrupt(Run *run);
/* The daemon that lives now takes it on, or hears of it too late. */
void run_take_over(Run *run);
/* What is to be plugged in has the list that the kernel makes. */
void tree_unlist(size_t node);
void run_free(Run *run);
bool run_takes_away(const Run *run);

/* ---- results.c ---- */
/* How the device is that is there now. */
Hardware *hardware_of(size_t node);
/* Is it still the member? A reset that takes devices away knows them again by their place. */
bool result_is_there(const Run *run, size_t member);
/* After the write, or after all was put back that a dead worker has left. */
WorkerResult *result_draw(Run *run);
WorkerResult *result_of_mender(Run *run);
void result_add_check(WorkerResult *result, const PciAddress *device, const char *name, bool failed);
/* Who goes into quarantine by this result, and who comes out. */
void result_expect(const Run *run, const WorkerResult *result, bool is_well, uint32_t job);
bool run_resets(const Run *run);
bool run_is_doubtful(const Run *run);
bool run_leaves_nothing(const Run *run);
/* Checks of a device that is like that; returns the verdict on it. */
Verdict result_add_health(WorkerResult *result, const PciAddress *device, Health health);
WorkerResult *result_new(WorkerOutcome outcome, const char *why);
/* It is in quarantine from now on, if it was not. */
void put_in(NodeQuarantine *quarantine, uint32_t job, bool is_dead);

/* ---- users.c ---- */
void user_asks(void);
void user_claims(void);
void user_leaves(void); /* or cancels */
void ask_answered(Ask *ask);
void rules_begin(void); /* with the machine */
void rules_change(void);
void rules_give(void); /* to the registry */
void somebody_in_charge(void);

/* ---- tasks.c ---- */
int task_start(void *userdata, const WorkerRequest *request); /* as JobPorts.start_order */
void task_ordered(void *userdata, Device *device, const ResetMethodList *wanted, bool failed);
uint64_t task_due(const Task *task);
void task_go_on(Task *task);
void tasks_forget(void); /* they are gone with the machine */
bool tasks_conflict(const Footprint *footprint);
size_t tasks_count(void); /* of the daemon that lives now */
void administrator_overrides(size_t node);
ResetMethodList methods_common(const ResetMethodList *list, const ResetMethodList *supported);
bool methods_same(const ResetMethodList *a, const ResetMethodList *b);
void tasks_audit(void);
/* All is calm; `is_fresh`: and the daemon has just looked at everything. */
void tasks_check_at_rest(bool is_fresh);

/* ---- restart.c ---- */
/* The machine goes down and comes up again: what is in /run is gone, and so is every setting. */
void reboot(void);
/* After the start has taken workers on: the jobs are theirs. */
void restart_resets(void);
void restart_kept_off(void);
void restart_list(const Run *run);
/* What is written down is what the daemon shows. */
void restart_audit(void);

/* ---- errors.c ---- */
void errors_begin(void); /* with the daemon */
void errors_end(void);
void errors_of_the_weather(void); /* the kernel announces something */
void errors_calm(void); /* and has recovered everything */
void errors_looked(ErrorLook *look);
void errors_time_over(void);
/* A reset has proved the device to be well. */
void errors_forget(size_t node);
/* A job of the daemon's own begins to reset these: what is wrong with that, or NULL. */
const char *own_judge(const Job *job, size_t target, const bool set[static NODES_MAX]);
void errors_audit(void);
void errors_check_at_rest(void);

/* ---- releases.c ---- */
void releases_begin(void); /* with the daemon, before it takes on workers */
/* A job of the daemon's own begins: what is wrong with that, or NULL. */
const char *release_judge(const bool set[static NODES_MAX]);

/* Who has let go of a device that is to be reset, and nothing is done about it? */
void releases_audit(void);
/* The same when all is calm. */
void releases_check_at_rest(void);
/* A lease has ended while there was no daemon. */
void releases_orphan(const TreeClaim *lease);

/* ---- clean.c ---- */
/* The daemon has just looked at the device. */
void clean_looked(size_t node);
/* After each step. */
void clean_follow(void);
/* A worker that has written has ended; before its daemon hears of it. */
void clean_after(const Run *run, bool is_well);
void clean_audit(void);
/* False while the daemon has not looked yet at what has happened to the device. */
bool clean_must_be_known(size_t node);

/* A reset has reached this member, and not only disturbed it. */
bool clean_is_reached(const Run *run, size_t node);

/* ---- audit.c ---- */
/* Runs that the daemon knows of have it as a member. */
unsigned count_resetting(size_t node);
void audit(void);
