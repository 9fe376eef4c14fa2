/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What the kernel has said about devices that are in quarantine, from a worker to their records: one device
 * after the other. A worker that hangs since the journal lies on a dead disk is waited for by nobody; there
 * is no further evidence then.
 */

#include "daemon/daemon.h"
#include "daemon/system/journal.h"
#include "daemon/system/worker.h"
#include "shared/cleanup.h"

/* Until journald has what the kernel says at the end of a reset. */
#define DELAY_USEC UINT64_C(1000000)

static void on_phase(void *userdata, WorkerEventType type)
{
        (void) userdata;
        (void) type;
}

static void ask_next(Daemon *daemon);

static void on_lines(void *userdata, WorkerEvent *last, int error)
{
        Daemon *daemon = userdata;
        Device *device = registry_find(daemon->registry, &daemon->evidence_device);

        daemon->evidence = NULL;
        if (error < 0)
                journal_worker_failed(0, "ended without having read what the kernel has said", error);
        else if (last->result && last->result->outcome == WORKER_DONE && device &&
                 device->generation == daemon->evidence_generation)
                (void) quarantines_add_lines(daemon->quarantines, device, last->result);
        ask_next(daemon);
}

static WorkerMember member_of(const Device *device)
{
        return (WorkerMember){
                .address = device->facts.address,
                .inode = device->facts.inode,
                .vendor = device->facts.vendor,
                .device = device->facts.device,
                .class = device->facts.class,
        };
}

static int ask(Daemon *daemon, const Device *device)
{
        const WorkerHandler handler = {.phase = on_phase, .done = on_lines, .userdata = daemon};
        WorkerMember member = member_of(device);
        WorkerRequest request = {
                .operation = WORKER_LOG,
                .method = WORKER_LOG_METHOD,
                .members = &member,
                .n_members = 1,
                .has_bridge = device->parent != NULL,
        };

        if (device->parent)
                request.bridge = member_of(device->parent);
        daemon->evidence_device = device->facts.address;
        daemon->evidence_generation = device->generation;
        return worker_call_start(daemon->event, daemon->worker_program, &request, NULL, &handler,
                                 &daemon->evidence);
}

static void ask_next(Daemon *daemon)
{
        const Device *device = daemon->evidence ? NULL : quarantines_take_silent(daemon->quarantines);
        int r = device ? ask(daemon, device) : 0;

        if (r < 0)
                journal_worker_failed(0, "could not be started to read what the kernel has said", r);
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata)
{
        Daemon *daemon = userdata;

        daemon->evidence_timer = sd_event_source_disable_unref(daemon->evidence_timer);
        ask_next(daemon);
        return 0;
}

void daemon_evidence_want(Daemon *daemon)
{
        if (!daemon->evidence_timer)
                (void) sd_event_add_time_relative(daemon->event, &daemon->evidence_timer, CLOCK_MONOTONIC,
                                                  DELAY_USEC, 0, on_time, daemon);
}

void daemon_evidence_done(Daemon *daemon)
{
        daemon->evidence_timer = sd_event_source_disable_unref(daemon->evidence_timer);
        daemon->evidence = worker_call_free(daemon->evidence);
}
