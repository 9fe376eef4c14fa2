/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A job has one record here from its first attempt until it is over and all of its rows are stored or given
 * up. What the history answers to finds its record through a note per row.
 */

#include "daemon/system/attempt-log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <systemd/sd-id128.h>
#include <time.h>
#include <uthash.h>
#include <utlist.h>

#include "daemon/system/journal.h"
#include "daemon/system/sysfs.h"
#include "shared/cleanup.h"
#include "shared/utf8.h"

/* Bridges nest as deep as there are bus numbers. */
#define DEPTH_MAX 256U

typedef struct Record Record;

/* A row on its way to the disk. */
typedef struct Note {
        Record *record;
        bool written;
        struct Note *prev, *next;
} Note;

struct AttemptLogQuestion {
        AttemptLogAnswer answer;
        void *userdata;
};

struct Record {
        AttemptLog *log;
        uint32_t job;
        int64_t id; /* of the row that counts */
        bool id_is_written;
        bool over;
        Note *notes;
        AttemptLogQuestion *question; /* that was not answered yet; its answer may be NULL */
        UT_hash_handle hh;
};

struct AttemptLog {
        sd_event *event;
        History *history;
        Proven *proven;
        const Registry *registry;
        Record *records;
        bool ready;
        void (*settled)(void *userdata, uint32_t job);
        void *settled_userdata;
        char kernel[HISTORY_KERNEL_MAX];
        char boot_id[HISTORY_BOOT_ID_MAX];
};

static void record_free(Record *record)
{
        Note *note, *next;

        DL_FOREACH_SAFE (record->notes, note, next) {
                DL_DELETE(record->notes, note);
                free(note);
        }
        HASH_DEL(record->log->records, record);
        free(record->question);
        free(record);
}

/* ---- what the history tells ---- */

static void on_learned(void *userdata, const Proven *tries)
{
        proven_merge(((AttemptLog *) userdata)->proven, tries);
}

static void on_forgotten(void *userdata, const Proven *tries)
{
        proven_subtract(((AttemptLog *) userdata)->proven, tries);
}

static void on_news(void *userdata, const HistoryNews *news)
{
        journal_history_news(news);
}

static void on_imported(void *userdata, const HistoryImport *import, uint32_t uid)
{
        journal_history_imported(import, uid);
}

static void on_ready(void *userdata, int error)
{
        ((AttemptLog *) userdata)->ready = true;
}

/* Where a kernel or a boot has no name, its place in the rows stays empty. */
static void read_machine(AttemptLog *log)
{
        char text[SD_ID128_STRING_MAX];
        struct utsname names;
        sd_id128_t boot;

        if (uname(&names) == 0)
                (void) snprintf(log->kernel, sizeof(log->kernel), "%s", names.release);
        if (sd_id128_get_boot(&boot) >= 0)
                (void) snprintf(log->boot_id, sizeof(log->boot_id), "%s", sd_id128_to_string(boot, text));
}

int attempt_log_new(sd_event *event, const HistoryConfig *config, Proven *proven, const Registry *registry,
                    AttemptLog **ret)
{
        AttemptLog *log = calloc(1, sizeof(AttemptLog));
        const HistoryHandler handler = {
                .learned = on_learned,
                .forgotten = on_forgotten,
                .news = on_news,
                .imported = on_imported,
                .ready = on_ready,
                .userdata = log,
        };
        int r;

        if (!log)
                return -ENOMEM;
        log->event = sd_event_ref(event);
        log->proven = proven;
        log->registry = registry;
        read_machine(log);
        r = history_new(event, config, &handler, &log->history);
        if (r < 0)
                journal_history_failed("It cannot be begun", r);
        *ret = log;
        return 0;
}

AttemptLog *attempt_log_free(AttemptLog *log)
{
        Record *record, *next;

        if (!log)
                return NULL;
        log->history = history_free(log->history);
        HASH_ITER (hh, log->records, record, next)
                record_free(record);
        sd_event_unref(log->event);
        free(log);
        return NULL;
}

History *attempt_log_history(AttemptLog *log)
{
        return log->history;
}

static uint64_t now_usec(clockid_t clock)
{
        struct timespec ts;

        (void) clock_gettime(clock, &ts);
        return (uint64_t) ts.tv_sec * 1000000U + (uint64_t) ts.tv_nsec / 1000U;
}

int attempt_log_wait(AttemptLog *log, uint64_t usec)
{
        uint64_t now = now_usec(CLOCK_MONOTONIC), deadline = now + usec;
        int r = 0;

        /* A signal that ends the daemon ends the waiting, too. */
        while (log->history && !log->ready && now < deadline && r >= 0 &&
               sd_event_get_state(log->event) == SD_EVENT_INITIAL) {
                r = sd_event_run(log->event, deadline - now);
                now = now_usec(CLOCK_MONOTONIC);
        }
        return r < 0 ? r : 0;
}

/* ---- a row ---- */

/* The bridges above, the root port first. */
static void describe_port(const Registry *registry, const DeviceFacts *facts, char *buffer, size_t size)
{
        const Device *bridges[DEPTH_MAX];
        size_t depth = 0, n = 0;

        buffer[0] = '\0';
        for (const Device *device = facts->has_parent ? registry_find(registry, &facts->parent) : NULL;
             device && depth < DEPTH_MAX; device = device->parent)
                bridges[depth++] = device;
        while (depth > 0 && n < size) {
                char address[PCI_ADDRESS_STRING_MAX];

                n += (size_t) snprintf(buffer + n, size - n, "%s%s", n > 0 ? "/" : "",
                                       pci_address_format(&bridges[--depth]->facts.address, address));
        }
}

static void describe_device(const Registry *registry, const DeviceFacts *facts, HistoryRow *row)
{
        row->address = facts->address;
        row->vendor = facts->vendor;
        row->device = facts->device;
        row->subsystem_vendor = facts->subsystem_vendor;
        row->subsystem_device = facts->subsystem_device;
        row->revision = facts->revision;
        row->class = facts->class;
        (void) snprintf(row->driver_before, sizeof(row->driver_before), "%s", facts->driver);
        describe_port(registry, facts, row->port, sizeof(row->port));
}

/* Events about drivers come later than the worker's word, so the link is read. */
static void describe_driver_after(const Job *job, const Attempt *attempt, HistoryRow *row)
{
        const Device *device = job_target_device(job);
        char driver[DRIVER_NAME_MAX];

        if (!attempt->written)
                (void) snprintf(row->driver_after, sizeof(row->driver_after), "%s", row->driver_before);
        else if (device && sysfs_read_driver(&device->facts.address, device->facts.inode, driver) >= 0)
                (void) snprintf(row->driver_after, sizeof(row->driver_after), "%s", driver);
}

/* What a worker has found. Without one, or if it died, there is nothing. */
static int describe_evidence(const Job *job, const Attempt *attempt, HistoryRow *row)
{
        bool by_worker = attempt->outcome != ATTEMPT_UNUSABLE && attempt->outcome != ATTEMPT_DENIED;

        if (!by_worker || !job->result)
                return 0;
        (void) utf8_quote(job->result->firmware, row->firmware, sizeof(row->firmware));
        return history_checks_format(job->result->checks, job->result->n_checks, &row->checks,
                                     &row->checks_left_out);
}

/* The rule that a reader of the row has to know of: what kept it from being tried, or else who wanted it. */
static const char *rule_behind(const Job *job, const Attempt *attempt)
{
        if (attempt->rule[0] != '\0')
                return attempt->rule;
        return job->request.by_policy ? job->request.rule : job->workaround;
}

int attempt_log_make_row(const Registry *registry, const Job *job, const char *kernel, const char *boot_id,
                         uint64_t now_realtime, HistoryRow *ret)
{
        const Attempt *attempt = &job->attempts[job->n_attempts - 1];
        HistoryRow row = {
                .time_usec = now_realtime,
                .job = job->id,
                /* What a method that cannot be used would have affected was not found out in full. */
                .set_size = attempt->outcome == ATTEMPT_UNUSABLE ? 0 : (uint32_t) job->n_members,
                .outcome = attempt->outcome,
                .error = (uint32_t) attempt->error,
                .written = attempt->written,
                .verdict = attempt_proof(attempt),
                .duration_usec = attempt->finished_usec - attempt->started_usec,
                .uid = job->request.uid,
                .source = HISTORY_OWN,
        };
        int r;

        memcpy(row.method, attempt->method, sizeof(row.method));
        (void) utf8_quote(rule_behind(job, attempt), row.rule, sizeof(row.rule));
        (void) policy_version(registry_policy(registry), row.policy);
        attempt_why(attempt, row.why, sizeof(row.why));
        (void) utf8_quote(attempt->reason, row.reason, sizeof(row.reason));
        (void) snprintf(row.kernel, sizeof(row.kernel), "%s", kernel);
        (void) snprintf(row.boot_id, sizeof(row.boot_id), "%s", boot_id);
        describe_device(registry, &job->seen, &row);
        describe_driver_after(job, attempt, &row);
        r = describe_evidence(job, attempt, &row);
        if (r < 0)
                return r;
        *ret = row;
        return 0;
}

/* ---- on its way ---- */

static Record *find_record(const AttemptLog *log, uint32_t job)
{
        Record *record;

        HASH_FIND(hh, log->records, &job, sizeof(job), record);
        return record;
}

static Record *find_or_add_record(AttemptLog *log, uint32_t job)
{
        Record *record = find_record(log, job);

        if (record)
                return record;
        record = calloc(1, sizeof(Record));
        if (!record)
                return NULL;
        record->log = log;
        record->job = job;
        HASH_ADD(hh, log->records, job, sizeof(record->job), record);
        return record;
}

static void note_id(Record *record, bool written, int64_t id)
{
        if (record->id_is_written && !written)
                return;
        record->id = id;
        record->id_is_written = written;
}

static void tell_settled(AttemptLog *log, uint32_t job)
{
        if (log->settled)
                log->settled(log->settled_userdata, job);
}

static void on_added(void *userdata, int64_t id, int error)
{
        Note *note = userdata;
        Record *record = note->record;
        _cleanup_free_ AttemptLogQuestion *question = NULL;
        int64_t answer;

        note_id(record, note->written, error < 0 ? 0 : id);
        DL_DELETE(record->notes, note);
        free(note);
        if (record->notes)
                return;
        answer = record->id;
        question = steal_pointer(record->question);
        if (record->over) {
                tell_settled(record->log, record->job);
                record_free(record);
        }
        if (question && question->answer)
                question->answer(question->userdata, answer);
}

static int add(AttemptLog *log, const Job *job, const HistoryRow *row)
{
        Record *record = find_or_add_record(log, job->id);
        Note *note = calloc(1, sizeof(Note));
        int r;

        if (!record || !note) {
                free(note);
                return -ENOMEM;
        }
        note->record = record;
        note->written = row->written;
        r = history_add(log->history, row, on_added, note, NULL);
        if (r < 0) {
                free(note);
                note_id(record, row->written, 0);
                return r;
        }
        DL_APPEND(record->notes, note);
        return 0;
}

void attempt_log_note(AttemptLog *log, const Job *job)
{
        HistoryRow row = {};
        int r;

        if (!log->history)
                return;
        r = attempt_log_make_row(log->registry, job, log->kernel, log->boot_id, now_usec(CLOCK_REALTIME),
                                 &row);
        if (r >= 0)
                r = add(log, job, &row);
        /* Rows that found no room are the history's own news. */
        if (r < 0 && r != -ENOBUFS)
                journal_history_failed("An attempt cannot be noted", r);
        history_row_done(&row);
}

static int add_event(AttemptLog *log, const LogEvent *event)
{
        HistoryRow row = {
                .time_usec = now_usec(CLOCK_REALTIME),
                .job = event->job,
                .outcome = ATTEMPT_DONE,
                .uid = event->uid,
                .source = HISTORY_OWN,
                .event = event->event,
        };
        int r;

        (void) snprintf(row.method, sizeof(row.method), "%s", event->method);
        (void) utf8_quote(event->why ?: "", row.why, sizeof(row.why));
        (void) utf8_quote(event->reason ?: "", row.reason, sizeof(row.reason));
        (void) policy_version(registry_policy(log->registry), row.policy);
        (void) snprintf(row.kernel, sizeof(row.kernel), "%s", log->kernel);
        (void) snprintf(row.boot_id, sizeof(row.boot_id), "%s", log->boot_id);
        describe_device(log->registry, event->facts, &row);
        (void) snprintf(row.driver_after, sizeof(row.driver_after), "%s", row.driver_before);
        r = history_checks_format(event->checks, event->n_checks, &row.checks, &row.checks_left_out);
        if (r >= 0)
                r = history_add(log->history, &row, NULL, NULL, NULL);
        history_row_done(&row);
        return r;
}

void attempt_log_event(AttemptLog *log, const LogEvent *event)
{
        int r = log->history ? add_event(log, event) : 0;

        if (r < 0 && r != -ENOBUFS)
                journal_history_failed("An event cannot be noted", r);
}

void attempt_log_job_over(AttemptLog *log, const Job *job)
{
        Record *record = find_record(log, job->id);

        if (record && record->notes) {
                record->over = true;
                return;
        }
        if (record)
                record_free(record);
        tell_settled(log, job->id);
}

void attempt_log_set_settled(AttemptLog *log, void (*settled)(void *userdata, uint32_t job), void *userdata)
{
        log->settled = settled;
        log->settled_userdata = userdata;
}

int attempt_log_ask(AttemptLog *log, const Job *job, AttemptLogAnswer answer, void *userdata,
                    AttemptLogQuestion **ret, int64_t *ret_id)
{
        Record *record = find_record(log, job->id);

        *ret_id = record ? record->id : 0;
        if (!record || !record->notes)
                return 0;
        record->question = calloc(1, sizeof(AttemptLogQuestion));
        if (!record->question)
                return -ENOMEM;
        *record->question = (AttemptLogQuestion){.answer = answer, .userdata = userdata};
        *ret = record->question;
        return 1;
}

AttemptLogQuestion *attempt_log_cancel(AttemptLogQuestion *question)
{
        if (question)
                question->answer = NULL;
        return NULL;
}
