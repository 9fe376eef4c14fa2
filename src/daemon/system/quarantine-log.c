/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/system/quarantine-log.h"

#include <string.h>

/* Of a device that is not there, or whose place another one has taken, the names are all that is known. */
static DeviceFacts facts_of(const Registry *registry, const QuarantineRecord *record)
{
        const ClaimDevice *named = &record->device;
        const Device *device = registry_find(registry, &named->address);

        if (device && device->facts.vendor == named->vendor && device->facts.device == named->device)
                return device->facts;
        return (DeviceFacts){
                .address = named->address,
                .vendor = named->vendor,
                .device = named->device,
                .subsystem_vendor = named->subsystem_vendor,
                .subsystem_device = named->subsystem_device,
        };
}

/* How many of the checks were found. What the kernel has said comes after them, and is told to root alone,
 * in rows of its own. */
static size_t count_found(const QuarantineRecord *record)
{
        size_t n = record->n_checks;

        while (n > 0 && strcmp(record->checks[n - 1].check, WORKER_LOG_CHECK) == 0)
                n--;
        return n;
}

static void note_begin(AttemptLog *log, const Registry *registry, const QuarantineRecord *record)
{
        const DeviceFacts facts = facts_of(registry, record);

        attempt_log_event(log, &(LogEvent){
                                       .event = HISTORY_QUARANTINE,
                                       .facts = &facts,
                                       .method = record->method,
                                       .why = quarantine_cause_to_string(record->cause),
                                       .reason = record->reason,
                                       .uid = record->uid,
                                       .checks = record->checks,
                                       .n_checks = count_found(record),
                               });
}

static void note_lines(AttemptLog *log, const Registry *registry, const QuarantineRecord *record)
{
        const DeviceFacts facts = facts_of(registry, record);
        size_t first = count_found(record);

        /* Failed checks may have left no room for them. */
        if (first == record->n_checks)
                return;
        attempt_log_event(log, &(LogEvent){
                                       .event = HISTORY_EVIDENCE,
                                       .facts = &facts,
                                       .method = "",
                                       .why = "kernel-log",
                                       .reason = NULL,
                                       .uid = HISTORY_UID_NONE,
                                       .checks = record->checks + first,
                                       .n_checks = record->n_checks - first,
                               });
}

static void note_end(AttemptLog *log, const Registry *registry, const QuarantineRecord *record,
                     const char *why, uint32_t uid, const char *reason)
{
        const DeviceFacts facts = facts_of(registry, record);

        attempt_log_event(log, &(LogEvent){
                                       .event = HISTORY_RELEASE,
                                       .facts = &facts,
                                       .method = "",
                                       .why = why,
                                       .reason = reason,
                                       .uid = uid,
                               });
}

void quarantine_log_event(AttemptLog *log, const Registry *registry, const QuarantineRecord *record,
                          QuarantineEvent event)
{
        switch (event) {
        case QUARANTINE_BEGUN:
        case QUARANTINE_CHANGED:
                note_begin(log, registry, record);
                break;
        case QUARANTINE_PROVED_WELL:
                note_end(log, registry, record, "well-again", HISTORY_UID_NONE, NULL);
                break;
        case QUARANTINE_DROPPED:
                note_end(log, registry, record, "no-room", HISTORY_UID_NONE, NULL);
                break;
        case QUARANTINE_EVIDENCE:
                note_lines(log, registry, record);
                break;
        case QUARANTINE_IDENTIFIED:
        case QUARANTINE_PINNED:
        case QUARANTINE_RELEASED:
                break;
        }
}

void quarantine_log_release(AttemptLog *log, const Registry *registry, const QuarantineRecord *record,
                            uint32_t uid, const char *reason)
{
        note_end(log, registry, record, "by-hand", uid, reason);
}
