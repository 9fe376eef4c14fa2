/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Writes each attempt of a job into the history, and lets what the history knows flow back.
 *
 *   job ── attempt_log_note() ──► a row ──► history ──► its id ──► whoever asks: attempt_log_ask()
 *   history ── what was learned, what was forgotten ──► proven
 *   history ── news ──► the journal
 *
 * Nothing here waits. Where no history can be kept (no memory, no thread, a directory that cannot be used)
 * the journal says so and everything else goes on: attempts are then remembered until the daemon ends.
 */

#include "daemon/domain/jobs.h"
#include "daemon/system/history.h"

typedef struct AttemptLog AttemptLog;
typedef struct AttemptLogQuestion AttemptLogQuestion;

/* `proven` and `registry` outlive the log. 0 or -ENOMEM; a history that cannot be begun is no error. */
int attempt_log_new(sd_event *event, const HistoryConfig *config, Proven *proven, const Registry *registry,
                    AttemptLog **ret);
/* As history_free(): rows on their way are waited for, for a while. */
AttemptLog *attempt_log_free(AttemptLog *log);

/* Runs the event loop until all of the past is in `proven`, at most so long: for the start, when nobody can
 * ask yet. 0, or what the loop said. */
int attempt_log_wait(AttemptLog *log, uint64_t usec);

/* NULL: there is none. */
History *attempt_log_history(AttemptLog *log);

/* Makes a row of the job's last attempt (JOB_EVENT_ATTEMPT). */
void attempt_log_note(AttemptLog *log, const Job *job);
/* What happens to a device besides. */
typedef struct LogEvent {
        HistoryEvent event;
        const DeviceFacts *facts; /* of a device that is not there any more: what is known of it */
        uint32_t job; /* that it came from; 0: none */
        const char *method; /* of the reset that it came from; empty: none */
        const char *why, *reason; /* as in HistoryRow; NULL: none */
        uint32_t uid; /* HISTORY_UID_NONE: nobody asked for it */
        const WorkerCheck *checks;
        size_t n_checks;
} LogEvent;

/* Makes a row of it. Nobody is told when it is stored. */
void attempt_log_event(AttemptLog *log, const LogEvent *event);

/* No more attempts of this job will come. */
void attempt_log_job_over(AttemptLog *log, const Job *job);
/* Told once for each job that is over: what becomes of it is in the history, or will never be. */
void attempt_log_set_settled(AttemptLog *log, void (*settled)(void *userdata, uint32_t job), void *userdata);

/* The id of the row of the attempt that counts: the last one that touched a device, or else the last one. 0:
 * none was stored. */
typedef void (*AttemptLogAnswer)(void *userdata, int64_t id);
/* Asked before attempt_log_job_over(), once for a job. Returns 0 and the id, or 1 if the answer comes later;
 * or -ENOMEM. */
int attempt_log_ask(AttemptLog *log, const Job *job, AttemptLogAnswer answer, void *userdata,
                    AttemptLogQuestion **ret, int64_t *ret_id);
/* The answer will not be told. Accepts NULL, returns NULL. */
AttemptLogQuestion *attempt_log_cancel(AttemptLogQuestion *question);

/* Fills everything of the row that the last attempt of the job and the machine tell; for tests too.
 * `row->checks` is owned by the row. 0 or -ENOMEM. */
int attempt_log_make_row(const Registry *registry, const Job *job, const char *kernel, const char *boot_id,
                         uint64_t now_realtime, HistoryRow *ret);
