/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What was found out the last time that somebody has looked how a device is: the checks that a reset, or a
 * look without one, has made of it. Kept with the device, so that asking again costs nothing.
 */

#include "daemon/domain/device.h"
#include "shared/worker-protocol.h"

#define CHECKUP_CHECKS_MAX 16U

typedef struct Checkup {
        char method[RESET_METHOD_NAME_MAX]; /* the reset's, or WORKER_HEALTH_METHOD */
        uint32_t job; /* that has found it, 0: none */
        uint64_t checked_at; /* CLOCK_REALTIME, microseconds */
        Verdict verdict; /* of this device alone: dead, degraded or ok */
        WorkerCheck checks[CHECKUP_CHECKS_MAX];
        size_t n_checks;
} Checkup;

/* Takes over what the result says of this device, which may be nothing. Without memory what was known stays.
 */
void checkup_note(Device *device, const WorkerResult *result, const char *method, uint32_t job,
                  uint64_t now_realtime);

/* What a worker is asked that looks how the device is, and no more; the id is the caller's to set. The
 * request borrows `member`. */
WorkerRequest checkup_request(const Device *device, WorkerMember *member);
