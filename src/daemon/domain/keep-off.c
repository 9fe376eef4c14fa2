/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/domain/keep-off.h"

#include <string.h>

#include "daemon/domain/job-internal.h"
#include "daemon/domain/lane-task.h"

typedef struct KeepOff {
        LaneTask task;
        WorkerHold action;
} KeepOff;

/* ---- what is to be done ---- */

/* A driver that is bound has its users, who may not know of any harm. */
static bool is_to_be_kept(const Device *device)
{
        return device->quarantine && device->facts.driver[0] == '\0' &&
               quarantine_keeps_drivers_off(&device->quarantine->record);
}

static bool is_needed(const Device *device)
{
        const DeviceHold *hold = &device->hold;

        if (device->facts.is_bridge)
                return false;
        if (!device->quarantine)
                return hold->noted;
        if (is_to_be_kept(device))
                return !hold->looked || (!hold->kept && !hold->left);
        return !hold->looked && device->serial[0] == '\0';
}

static WorkerHold action_for(const Device *device)
{
        if (!device->quarantine)
                return HOLD_RELEASE;
        return is_to_be_kept(device) ? HOLD_KEEP : HOLD_LOOK;
}

/* ---- through the lanes ---- */

static int start_worker(KeepOff *keep_off, const Device *device)
{
        WorkerRequest request = {
                .operation = WORKER_HOLD,
                .method = WORKER_HOLD_METHOD,
                .action = keep_off->action,
        };

        /* What is pinned is the card that is meant, whatever it reads. */
        if (device->quarantine && !quarantine_is_pinned(device))
                memcpy(request.serial, device->quarantine->record.serial, sizeof(request.serial));
        return lane_task_start_worker(&keep_off->task, device, &request);
}

/* Without a worker it is not tried again before something changes; what is still to be released then is. */
static void give_up(KeepOff *keep_off, Device *device)
{
        if (keep_off->action == HOLD_RELEASE)
                keep_off->task.again = false;
        else
                device->hold.looked = device->hold.left = true;
        lane_task_end(&keep_off->task);
}

static void run(LaneTask *task, Device *device)
{
        KeepOff *keep_off = (KeepOff *) task;

        if (!is_needed(device)) {
                lane_task_end(task);
                return;
        }
        /* What is found may want more. */
        task->again = true;
        keep_off->action = action_for(device);
        if (start_worker(keep_off, device) < 0)
                give_up(keep_off, device);
}

static void take_serial(Jobs *jobs, Device *device, const WorkerResult *result)
{
        for (size_t i = 0; i < result->n_serials; i++)
                if (pci_address_equal(&result->serials[i].device, &device->facts.address)) {
                        memcpy(device->serial, result->serials[i].serial, sizeof(device->serial));
                        quarantines_identify(jobs->quarantines, device);
                }
}

/* Of a worker that died nobody knows what it has done. */
static void done(LaneTask *task, Device *device, const WorkerResult *result)
{
        const KeepOff *keep_off = (const KeepOff *) task;
        const JobPorts *ports = &task->jobs->ports;
        DeviceHold *hold = &device->hold;
        bool was_kept = hold->kept;
        bool is_kept = result && strncmp(result->override, WORKER_OVERRIDE_PREFIX,
                                         strlen(WORKER_OVERRIDE_PREFIX)) == 0;

        /* A second one may live longer. */
        hold->again = !result && !hold->again;
        switch (keep_off->action) {
        case HOLD_LOOK:
                hold->looked = !hold->again;
                /* Somebody may have written something else there. */
                hold->kept = result ? is_kept : was_kept;
                break;
        case HOLD_KEEP:
                hold->looked = !hold->again;
                hold->kept = is_kept || !result;
                hold->left = !hold->kept;
                hold->noted = true;
                break;
        case HOLD_RELEASE:
                hold->left = false;
                hold->noted = !result || is_kept;
                hold->kept = hold->noted;
                /* What fails again and again waits for the next change. */
                if (hold->noted && !hold->again)
                        task->again = false;
                break;
        }
        if (device->quarantine && hold->kept != was_kept)
                registry_notify(task->jobs->registry, device, DEVICE_CHANGED_QUARANTINE);
        if (ports->kept_off)
                ports->kept_off(ports->userdata, device, keep_off->action, result);
        if (result)
                take_serial(task->jobs, device, result);
}

static const LaneTaskKind kind = {
        .size = sizeof(KeepOff),
        .run = run,
        .done = done,
        .look = jobs_keep_off,
};

void jobs_keep_off(Jobs *jobs, Device *device)
{
        if (is_needed(device))
                lane_task_ask(jobs, device, &kind);
}

void jobs_keep_off_all(Jobs *jobs)
{
        for (Device *d = registry_next(jobs->registry, NULL); d; d = registry_next(jobs->registry, d))
                jobs_keep_off(jobs, d);
}
