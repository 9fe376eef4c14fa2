/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * All that the daemon writes to the journal, one function for each thing that can happen.
 *
 * Fields beside MESSAGE: PCIRESETD_DEVICE, PCIRESETD_JOB, PCIRESETD_METHOD, PCIRESETD_UID, PCIRESETD_RESULT,
 * PCIRESETD_VERDICT, PCIRESETD_CLAIM, PCIRESETD_CAUSE, PCIRESETD_REASON, ERRNO. The messages of a reset's
 * way carry a MESSAGE_ID (shared/message-ids.h).
 */

#include "daemon/domain/claim.h"
#include "daemon/domain/error-events.h"
#include "daemon/domain/job.h"
#include "daemon/domain/quarantine.h"
#include "daemon/domain/release.h"
#include "daemon/system/history.h"
#include "shared/worker-record.h"

void journal_started(const char *version, size_t n_devices);

/* `message`: file, place and rule. The daemon does not start. */
void journal_policy_refused(const char *message, int error);
/* The same when it was read again: the policy that held still holds. */
void journal_policy_kept(const char *message, int error);
/* Somebody has set a rule, or taken one away; `error`: as PolicyOutcome has it. */
void journal_policy_changed(uint32_t uid, const char *id, bool unset, int error);
/* `reset_method` was to read what the policy wants. `rule`: that says so, NULL: none any more, and what was
 * there before is back. `refused`: names that the kernel does not take for this device. */
void journal_ordered(const Device *device, const PolicyRule *rule, const ResetMethodList *wanted,
                     const ResetMethodList *refused, bool failed);
/* The policy as it was read: how many rules, and how many pairs of devices go together. */
void journal_policy_loaded(size_t n_rules, size_t n_pairs);

void journal_requested(const Job *job);
/* `action`: the action that was answered; for a refusal the one that was refused. */
void journal_authorized(const Job *job, const char *action, Grant grant);
void journal_reset_started(const Job *job);
/* The methods that the job may use are others than the kernel and this program would try: a rule says so. */
void journal_workaround(const Job *job);
void journal_finished(const Job *job);
void journal_adopted(const Job *job);

/* `n_suppressed`: how many such messages were left out before this one. */
void journal_noreply(const char *sender, const char *member, unsigned n_suppressed);

void journal_device_unreadable(const PciAddress *address, int error);
void journal_events_lost(int error);
void journal_udev_failed(int error);
void journal_survey_failed(int error);
void journal_worker_failed(uint32_t job, const char *what, int error);
/* A scan for holders came to nothing. `message`: the worker's own words, may be empty. One in half a minute
 * is told, since anybody can ask for a scan. */
void journal_scan_failed(const char *message, int error);
/* Of a worker that nobody heard out: its result, or the method list that was still narrowed. */
void journal_left_behind(const WorkerRecord *record);
/* A reset was under way when the machine went down; `is_there`: its device is, and is looked at. */
void journal_interrupted(const WorkerRequest *request, bool is_there);
/* The file of resets under way cannot be `read` or `written`. */
void journal_under_way_failed(const char *what, int error);
/* What a worker that died has changed is as it left it; `record` may be NULL. */
void journal_not_mended(uint32_t job, const WorkerRecord *record, int error);
void journal_record_unusable(const char *name, int error);
/* Something cannot be listened to, so that a change of use goes unnoticed. */
void journal_watch_failed(const char *what, int error);
/* The device has more nodes than the `n` that are listened to. */
void journal_watch_partial(const PciAddress *address, size_t n);
/* A device that its last user has let go of is not given to anybody, and cannot be reset yet. */
void journal_release_waits(const Release *release);
/* What is known of a device's user is not stored, or cannot be read. */
void journal_release_unstored(const char *name, int error);
/* A file of a claim's: what is wrong with it. */
void journal_claim_unusable(const char *name, int error);
/* A lease or an inhibitor begins, or ends: its last descriptor was closed. */
void journal_claim_taken(const ClaimRecord *record);
void journal_claim_released(const ClaimRecord *record);
/* Its descriptor was closed while no daemon ran. */
void journal_claim_orphaned(const ClaimRecord *record);
/* A device goes into quarantine, there is worse to tell about one that is in, or it comes out. */
void journal_quarantine(const QuarantineRecord *record, QuarantineEvent event);
/* The kernel has announced an error, or how the device was found to be after one. */
void journal_error(const Device *device, const ErrorNote *note);
/* Drivers are kept off a device in quarantine, or let at one that is out of it; or that failed, and
 * `message` says why. */
void journal_kept_off(const Device *device, bool kept, bool failed, const char *message);
/* By hand: by whom and why. */
void journal_quarantine_released(const QuarantineRecord *record, uint32_t uid, const char *reason);
/* Its file cannot be written, or removed. */
void journal_quarantine_unstored(const char *name, int error);
void journal_quarantine_unreadable(const char *name, int error);
/* A rule of polkit's lets it keep an authorisation of ours. */
void journal_authorization_kept(void);
/* What became of the file, or of rows that are not stored. */
void journal_history_news(const HistoryNews *news);
/* Rows that somebody else has signed off count from now on. */
void journal_history_imported(const HistoryImport *import, uint32_t uid);
/* There is no history, or something is not in it. */
void journal_history_failed(const char *what, int error);
void journal_bus_failed(const char *what, int error);
