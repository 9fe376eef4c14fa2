/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Whether a claim may be granted as things are now. Whoever is told that a device is his, or that nobody
 * resets it, relies on that from then on: so what is in doubt goes to nobody, what is somebody else's is not
 * given twice, what a rule wants to be clean is not given as it is, and a reset that has begun, which cannot
 * be stopped any more, is waited for.
 */

#include "daemon/domain/claims.h"
#include "daemon/domain/jobs.h"

typedef enum AdmissionObstacle {
        ADMISSION_FREE,
        ADMISSION_LIMITS, /* the user, or all of them, have too many claims */
        ADMISSION_GONE, /* a device is not there, or is another one by now */
        ADMISSION_QUARANTINED,
        ADMISSION_RECOVERING, /* the kernel recovers a device from an error */
        ADMISSION_LEASED,
        ADMISSION_RELEASING, /* it is to be reset after its last user */
        ADMISSION_RESETTING,
        ADMISSION_NOT_CLEAN, /* and a rule wants it to be */
        ADMISSION_FROZEN, /* EEH has frozen a device */
} AdmissionObstacle;

/* What is in the way. Pointers are valid until the next change of anything. */
typedef struct Admission {
        AdmissionObstacle obstacle;
        size_t index; /* GONE: which device of the record's */
        const Device *device; /* QUARANTINED, RECOVERING, LEASED, RELEASING, NOT_CLEAN, FROZEN */
        const Job *job; /* RESETTING */
        const PolicyRule *rule; /* NOT_CLEAN: that says so; NULL: out of memory for what rules say */
} Admission;

/* The first obstacle. `record`: kind, uid and devices count; `generations`
 * are those of the devices when they were named. */
Admission admission_judge(const Claims *claims, const Jobs *jobs, const Registry *registry,
                          const ClaimRecord *record, const uint64_t *generations);
