/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Errors that the kernel announces: what they mean for a device, and what is done about them.
 *
 *   BEGIN_RECOVERY ──► begin-recovery ──► SUCCESSFUL_RECOVERY ──► a worker looks ──► successful-recovery
 *                            │                                          └──────────► …-but-degraded,
 * …-but-dead ├──► FAILED_RECOVERY ──► a worker looks ─────────────► failed-recovery └──► no end in
 * RECOVERY_USEC_MAX ──► a worker looks ─► unfinished-recovery WEDGED (DRM)
 * ──────────────────────────────────► a worker looks ──────────────► wedged
 *
 * While the kernel recovers a device nobody gets a lease on it and no new reset of it begins; resets that
 * were authorised before wait (WHY_RECOVERING). That the kernel says it has succeeded does not mean that the
 * device can be used: after a fatal error on one whose driver does not set it up again its base addresses
 * are lost. So a worker looks at it after each end (worker/checkup.h).
 *
 * What is done then the rule `on_error` says:
 *   notify      nothing but telling: a signal, the journal, the history
 *   quarantine  the device goes into quarantine with the first word of an error
 *   recover     the daemon recovers it once the kernel has failed to, or has not succeeded although it says
 * so; until then what was seen to be broken is in quarantine, and so is a device whose recovery cannot begin
 *
 * Without a rule what was seen to be dead or changed goes into quarantine, as after a reset.
 *
 * An error in the middle of a reset of ours is that reset's affair: its proof decides.
 */

#include "daemon/domain/quarantine.h"
#include "daemon/domain/registry.h"
#include "shared/worker-protocol.h"

/* How long a recovery blocks without a word of its end: as long as the kernel waits for a device at most
 * (EEH, MAX_WAIT_FOR_RECOVERY). */
#define RECOVERY_USEC_MAX UINT64_C(300000000)
/* Looks at the same time; further ones wait. */
#define ERROR_LOOKS_MAX 4U
/* An error that comes again and again is noted so often in so long a time. */
#define ERROR_NOTES_MAX  8U
#define ERROR_NOTES_USEC UINT64_C(60000000)
/* The counters of the device and of the bridges above, at the event. */
#define ERROR_COUNTERS_MAX 8U

typedef enum ErrorEventType {
        ERROR_EVENT_BEGIN,
        ERROR_EVENT_SUCCESS,
        ERROR_EVENT_FAILURE,
        ERROR_EVENT_WEDGED,
} ErrorEventType;

typedef struct ErrorEvent {
        ErrorEventType type;
        char text[WORKER_VALUE_MAX]; /* `ERROR_EVENT=BEGIN_RECOVERY`, as the kernel said it */
        WorkerCheck counters[ERROR_COUNTERS_MAX]; /* `aer` of the device, and of bridges above */
        size_t n_counters;
} ErrorEvent;

/* Reads the keys of a uevent: ERROR_EVENT of PCI devices (pci_uevent_ers in drivers/pci/pci-driver.c), or
 * WEDGED of DRM devices (drm_dev_wedged_event); NULL: not there. False if it is no error, or the word of a
 * newer kernel. */
bool error_event_parse(const char *error_event, const char *wedged, ErrorEvent *ret);

/* What there is to tell. */
typedef struct ErrorNote {
        ErrorState state; /* from now on */
        const char *event; /* that was announced; NULL: this is what the look afterwards has found */
        Verdict verdict; /* of the look */
        const WorkerCheck *checks; /* the event and counters, or what the look has found */
        size_t n_checks;
        unsigned n_left_out; /* events before this one, of which there were too many to tell */
} ErrorNote;

/* Added to the reason of its quarantine. */
#define NOT_RECOVERED "its recovery could not begin"

typedef struct ErrorPorts {
        /* Sends a request of the operation `health` to a new worker; error_events_looked() hears of its end.
         */
        int (*look)(void *userdata, const WorkerRequest *request);
        /* For the journal and the history. */
        void (*note)(void *userdata, const Device *device, const ErrorNote *note);
        /* error_events_time_over() in so many microseconds, in place of an earlier wish; 0: never. */
        void (*wait)(void *userdata, uint64_t usec);
        /* Has the daemon recover the device, since this rule says so. 0, also if it does so already, or
         * negative errno: it does not. */
        int (*recover)(void *userdata, Device *device, const PolicyRule *rule);
        uint64_t (*now_realtime)(void *userdata);
        uint64_t (*now_boottime)(void *userdata);
        uint32_t (*new_id)(void *userdata);
        void *userdata;
} ErrorPorts;

typedef struct ErrorEvents ErrorEvents;

/* `ports` is copied. */
int error_events_new(Registry *registry, Quarantines *quarantines, const ErrorPorts *ports,
                     ErrorEvents **ret);
ErrorEvents *error_events_free(ErrorEvents *events);

/* Something was announced about the device. The failure of a bridge is that of all that is below it. */
void error_events_take(ErrorEvents *events, Device *device, const ErrorEvent *event);
/* A look has ended. `result` is taken over; NULL: the worker ended without one. */
void error_events_looked(ErrorEvents *events, uint32_t id, WorkerResult *result);
void error_events_time_over(ErrorEvents *events);
