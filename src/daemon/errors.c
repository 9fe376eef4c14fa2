/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Errors that the kernel announces, from udev to those who are told: what domain/error-events asks for is
 * done here, by a worker that looks, a timer, the journal and the history.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "daemon/daemon.h"
#include "daemon/system/journal.h"
#include "daemon/system/worker.h"
#include "shared/cleanup.h"

/* A worker that looks at a device. */
struct ErrorLook {
        Daemon *daemon;
        uint32_t id;
        WorkerCall *call;
        ErrorLook *prev, *next;
};

static void on_phase(void *userdata, WorkerEventType type)
{
        (void) userdata;
        (void) type;
}

static void on_looked(void *userdata, WorkerEvent *last, int error)
{
        ErrorLook *look = userdata;
        Daemon *daemon = look->daemon;
        uint32_t id = look->id;

        if (error < 0)
                journal_worker_failed(id, "ended without having looked at a device after an error", error);
        DL_DELETE(daemon->error_looks, look);
        free(look);
        error_events_looked(daemon->errors, id, steal_pointer(last->result));
}

static int port_look(void *userdata, const WorkerRequest *request)
{
        _cleanup_free_ ErrorLook *look = calloc(1, sizeof(ErrorLook));
        const WorkerHandler handler = {.phase = on_phase, .done = on_looked, .userdata = look};
        Daemon *daemon = userdata;
        int r;

        if (!look)
                return -ENOMEM;
        look->daemon = daemon;
        look->id = request->job;
        r = worker_call_start(daemon->event, daemon->worker_program, request, NULL, &handler, &look->call);
        if (r < 0) {
                journal_worker_failed(look->id, "could not be started to look at a device after an error",
                                      r);
                return r;
        }
        DL_APPEND(daemon->error_looks, look);
        (void) steal_pointer(look);
        return 0;
}

static void port_note(void *userdata, const Device *device, const ErrorNote *note)
{
        char found[WORKER_VALUE_MAX];

        journal_error(device, note);
        (void) snprintf(found, sizeof(found), "the device was found to be %s",
                        verdict_to_string(note->verdict));
        attempt_log_event(((Daemon *) userdata)->log, &(LogEvent){
                                                              .event = HISTORY_ERROR,
                                                              .facts = &device->facts,
                                                              .method = "",
                                                              .why = error_state_to_string(note->state),
                                                              .reason = note->event ? note->event : found,
                                                              .uid = HISTORY_UID_NONE,
                                                              .checks = note->checks,
                                                              .n_checks = note->n_checks,
                                                      });
}

static int port_recover(void *userdata, Device *device, const PolicyRule *rule)
{
        char text[POLICY_RULE_TEXT_MAX] = "";
        int r;

        if (rule)
                (void) policy_rule_text(rule, text);
        r = jobs_recover(((Daemon *) userdata)->jobs, device, text);
        if (r == -EALREADY)
                return 0;
        if (r < 0)
                journal_worker_failed(0, "could not be asked to recover a device after an error", r);
        return r;
}

static int on_time_over(sd_event_source *source, uint64_t usec, void *userdata)
{
        error_events_time_over(((Daemon *) userdata)->errors);
        return 0;
}

/* Nothing is timed while nothing recovers. Without a timer a recovery blocks until its end is told, which is
 * the safe side. */
static void port_wait(void *userdata, uint64_t usec)
{
        Daemon *daemon = userdata;

        daemon->error_timer = sd_event_source_disable_unref(daemon->error_timer);
        if (usec > 0)
                (void) sd_event_add_time_relative(daemon->event, &daemon->error_timer, CLOCK_BOOTTIME, usec,
                                                  0, on_time_over, daemon);
}

static void on_error(void *userdata, Device *device, const ErrorEvent *event)
{
        error_events_take(((Daemon *) userdata)->errors, device, event);
}

int daemon_errors_begin(Daemon *daemon)
{
        const JobPorts jobs = daemon_ports(daemon);
        const ErrorPorts ports = {
                .look = port_look,
                .note = port_note,
                .wait = port_wait,
                .recover = port_recover,
                .now_realtime = jobs.now_realtime,
                .now_boottime = jobs.now_boottime,
                .new_id = jobs.new_id,
                .userdata = daemon,
        };
        int r = error_events_new(daemon->registry, daemon->quarantines, &ports, &daemon->errors);

        if (r >= 0)
                udev_source_set_error_handler(daemon->udev, on_error, daemon);
        return r;
}

void daemon_errors_done(Daemon *daemon)
{
        ErrorLook *look, *next;

        daemon->error_timer = sd_event_source_disable_unref(daemon->error_timer);
        DL_FOREACH_SAFE (daemon->error_looks, look, next) {
                DL_DELETE(daemon->error_looks, look);
                worker_call_free(look->call);
                free(look);
        }
        daemon->errors = error_events_free(daemon->errors);
}
