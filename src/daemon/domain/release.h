/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Releases: what happens to a device between two users.
 *
 * Each user of a device (cleanliness.h) is remembered from when he gets it, and where the policy's
 * `on_release` wants it, the device is reset by the daemon's own job once he has let go: his lease has
 * ended, or VFIO has closed what was under no lease. Until then the release is pending, and nobody else is
 * given the device. The devices of one lease are one transaction: they stay taken until all of them are
 * done.
 *
 *   taken ──► ready ──► its job ──► done, given free with all others of the same lease
 *               ▲          │
 *               │          ├──► waits: what is in the way ends by itself or by somebody's doing
 *               └──────────┼────┘
 *                          └──► quarantine: nothing is left that could make it clean
 *
 * Nobody is asked about such a job: whoever was given the device was given what comes after him. So it keeps
 * inside of what was given. A reset of a link may reach no device but those whose own users have let go, and
 * that nobody has taken since (Device.released): siblings that end their leases one after the other end in
 * one reset of their link.
 *
 * It outlives the daemon: records are kept elsewhere, and given back at its start.
 */

#include "daemon/domain/claim.h"
#include "daemon/domain/jobs.h"

/* Jobs of releases at once; further devices wait for their turn. */
#define RELEASE_JOBS_MAX 128U
/* Of devices that are not there; the oldest make room for new ones. */
#define RELEASES_ABSENT_MAX 512U

typedef struct ReleaseRecord {
        ClaimDevice device;
        uint32_t uid; /* of the user */
        char lease[CLAIM_ID_MAX]; /* his lease, empty: none */
        bool pending; /* he has let go, and the device is to be reset */
} ReleaseRecord;

typedef enum ReleaseState {
        RELEASE_READY, /* something can be done now */
        RELEASE_WAITS,
        RELEASE_DONE, /* it is clean, and waits for the others of its lease */
} ReleaseState;

#define RELEASE_WAITS_MAX 192U

/* In a device: its user, or the one who was. */
typedef struct Release {
        ReleaseRecord record;
        Device *device; /* NULL: it is not there */
        bool is_leased; /* by record.lease, */
        bool is_given; /* or open, as far as was known when it was last followed */
        ReleaseState state; /* once it is pending */
        bool is_unstored; /* its record could not be kept */
        bool is_unwanted; /* no rule wants it any more */
        unsigned n_tries; /* jobs in a row that came to nothing for a reason that nobody announces the end of
                           */
        char rule[POLICY_RULE_TEXT_MAX]; /* that wants it, as was last known */
        char waits[RELEASE_WAITS_MAX]; /* what for, in words */
        struct Release *prev, *next;
} Release;

typedef struct ReleasePorts {
        /* releases_run() is to be called soon, and not from in here. */
        void (*wake)(void *userdata);
        /* The record is to be kept, or not any more. After a negative return it is told again with the next
         * news of the device. */
        int (*store)(void *userdata, const ReleaseRecord *record, bool keep);
        /* A release waits (Release.waits). */
        void (*waiting)(void *userdata, const Release *release);
        void *userdata;
} ReleasePorts;

typedef struct Releases Releases;

int releases_new(Registry *registry, Jobs *jobs, Quarantines *quarantines, const ReleasePorts *ports,
                 Releases **ret);
Releases *releases_free(Releases *releases);

/* One of an earlier daemon, once claims and quarantines are known: the device is dirty, and if its user has
 * let go meanwhile, the release is pending. 0 or -ENOMEM. */
int releases_restore(Releases *releases, const ReleaseRecord *record);

/* What the registry's listener hears: a device has appeared, or its use, claims, driver, cleanliness or
 * quarantine are others than before; it is removed. */
void releases_follow(Releases *releases, Device *device);
void releases_device_removed(Releases *releases, Device *device);

/* Somebody has had it open, be it for a moment: what no look has seen is known to be over after the next
 * one. */
void releases_touched(Releases *releases, Device *device);
/* Somebody has looked who uses the device, be it without news. */
void releases_looked(Releases *releases, Device *device);

/* A job is over (JOB_EVENT_FINISHED), whosoever it is. */
void releases_job_over(Releases *releases, const Job *job);
/* Rules are others than before. */
void releases_policy_changed(Releases *releases);

/* Does what can be done now. */
void releases_run(Releases *releases);

/* Iterates in the order in which the users came. */
const Release *releases_next(const Releases *releases, const Release *release);

/* True if another user than this one has it open without a lease, and a rule wants it to be reset after him:
 * a lease would make it the next one's before that. */
bool release_is_owed(Device *device, uint32_t uid);

/* True if nobody is to be given the device before it is reset. */
static inline bool release_is_pending(const Device *device)
{
        return device->release && device->release->record.pending;
}
