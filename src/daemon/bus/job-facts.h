/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the domain knows about resets, put into words and into D-Bus messages.
 */

#include <systemd/sd-bus.h>

#include "daemon/domain/claims.h"
#include "daemon/domain/job.h"

/* What is said in more than one place: after the method in quotes, and after the address of a device. */
#define INVALID_METHOD_TEXT                                                                                 \
        "is not a reset method, nor one of any, function, link, recover. GetMethods tells which there are."
#define DEVICE_GONE_TEXT                                                                                    \
        "the device was removed, or another one has its address now. Nothing was written to that one. "     \
        "Look "                                                                                             \
        "at ListDevices and ask again."

#define QUARANTINE_OF_PLACE                                                                                 \
        "without a serial number another card of its kind in this place cannot be told from it"
#define QUARANTINE_NEXT_STEP                                                                                \
        "An administrator (polkit action org.pciresetd1.quarantine) can reset it, which ends the "          \
        "quarantine if it is proved to have helped, or end it with ReleaseQuarantine."

#define RECOVERING_NEXT_STEP "Wait until ErrorState says that this has ended, and ask again."

/* The value of Device.LastReset: an a{sv}, empty if there was none. */
int append_last_reset(sd_bus_message *message, const LastReset *last);

/* One row of ListJobs: an a{sv}. */
int append_job_row(sd_bus_message *message, const Job *job);

/* An array of the object paths of the job's reset set. */
int append_reset_set(sd_bus_message *message, const Job *job);

/* The result of Reset, good or bad: an a{sv}, left open for what is known only later. Holders are told as
 * far as the job's uid may know them; leases and inhibitors in full, as anybody may list them. */
int open_job_result(sd_bus_message *message, const Job *job, const Claims *claims);
/* `history_id`: the row of the attempt that counts, 0: none. */
int close_job_result(sd_bus_message *message, int64_t history_id);

/* One check: an a{sv}. */
int append_check(sd_bus_message *message, const WorkerCheck *check);

/* One check: an a{sv}. */
int append_check(sd_bus_message *message, const WorkerCheck *check);

/* What `error` means for this job, in words for people: the device, the reason, what to do next. NULL: out
 * of memory. The caller frees it. */
char *job_error_text(const Job *job, const Claims *claims, ResetError error);
