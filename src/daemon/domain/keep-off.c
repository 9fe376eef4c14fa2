/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/domain/keep-off.h"

#include <errno.h>
#include <string.h>
#include <utlist.h>

#include "daemon/domain/job-steps.h"
#include "shared/cleanup.h"

struct KeepOff {
        Jobs *jobs;
        uint32_t id; /* of the worker's request; 0: it waits */
        PciAddress address;
        uint64_t generation;
        LaneTicket *ticket;
        WorkerHold action;
        KeepOff *prev, *next;
};

/* NULL if it is gone or another one has its address. */
static Device *device_of(const KeepOff *keep_off)
{
        Device *device = registry_find(keep_off->jobs->registry, &keep_off->address);

        return device && device->generation == keep_off->generation ? device : NULL;
}

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
                return hold->kept;
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

static void keep_off_free(KeepOff *keep_off)
{
        DL_DELETE(keep_off->jobs->keep_offs, keep_off);
        lane_ticket_leave(keep_off->ticket);
        free(keep_off);
}

/* The lane is free for others; and again, if something has changed meanwhile. */
static void end(KeepOff *keep_off)
{
        Jobs *jobs = keep_off->jobs;
        Device *device = device_of(keep_off);

        keep_off_free(keep_off);
        if (device)
                jobs_keep_off(jobs, device);
        jobs_dispatch(jobs);
}

static int start_worker(KeepOff *keep_off, const Device *device)
{
        const JobPorts *ports = &keep_off->jobs->ports;
        WorkerMember member = {
                .address = device->facts.address,
                .inode = device->facts.inode,
                .vendor = device->facts.vendor,
                .device = device->facts.device,
                .class = device->facts.class,
        };
        WorkerRequest request = {
                .operation = WORKER_HOLD,
                .job = keep_off->id,
                .method = WORKER_HOLD_METHOD,
                .action = keep_off->action,
                .members = &member,
                .n_members = 1,
        };

        /* What is pinned is the card that is meant, whatever it reads. */
        if (device->quarantine && !quarantine_is_pinned(device))
                memcpy(request.serial, device->quarantine->record.serial, sizeof(request.serial));
        return ports->start_order(ports->userdata, &request);
}

/* Without a worker it is not tried again before something changes. */
static void give_up(KeepOff *keep_off, Device *device)
{
        device->hold.looked = device->hold.left = true;
        if (keep_off->action == HOLD_RELEASE)
                device->hold.kept = false;
        end(keep_off);
}

static void run(KeepOff *keep_off)
{
        const JobPorts *ports = &keep_off->jobs->ports;
        Device *device = device_of(keep_off);

        if (!device || !is_needed(device)) {
                end(keep_off);
                return;
        }
        keep_off->id = ports->new_id(ports->userdata);
        keep_off->action = action_for(device);
        if (start_worker(keep_off, device) < 0)
                give_up(keep_off, device);
}

bool jobs_run_keep_off(Jobs *jobs, void *taken)
{
        KeepOff *keep_off;

        DL_FOREACH (jobs->keep_offs, keep_off) {
                if (keep_off == taken) {
                        run(keep_off);
                        return true;
                }
        }
        return false;
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
static void note(const KeepOff *keep_off, Device *device, const WorkerResult *result)
{
        const JobPorts *ports = &keep_off->jobs->ports;
        DeviceHold *hold = &device->hold;
        bool was_kept = hold->kept;
        bool is_kept = result && strncmp(result->override, WORKER_OVERRIDE_PREFIX,
                                         strlen(WORKER_OVERRIDE_PREFIX)) == 0;

        /* A second one may live longer. */
        hold->again = !result && !hold->again;
        hold->looked = !hold->again;
        switch (keep_off->action) {
        case HOLD_LOOK:
                break;
        case HOLD_KEEP:
                hold->kept = is_kept || !result;
                hold->left = !hold->kept;
                break;
        case HOLD_RELEASE:
                hold->kept = hold->again;
                hold->left = false;
                break;
        }
        if (device->quarantine && hold->kept != was_kept)
                registry_notify(keep_off->jobs->registry, device, DEVICE_CHANGED_QUARANTINE);
        if (ports->kept_off)
                ports->kept_off(ports->userdata, device, keep_off->action, result);
        if (result)
                take_serial(keep_off->jobs, device, result);
}

void jobs_keep_off_done(Jobs *jobs, uint32_t id, WorkerResult *result)
{
        KeepOff *keep_off;
        Device *device;

        DL_SEARCH_SCALAR(jobs->keep_offs, keep_off, id, id);
        if (keep_off) {
                device = device_of(keep_off);
                if (device && (!result || result->outcome != WORKER_GONE))
                        note(keep_off, device, result);
        }
        worker_result_free(result);
        if (keep_off)
                end(keep_off);
}

/* ---- from outside ---- */

/* The device alone, and the bridges above, as if it was reset. */
static int enter_lane(KeepOff *keep_off, const Device *device)
{
        PciAddress bridges[BRIDGES_MAX];
        LaneClaim claim = {.members = &keep_off->address, .n_members = 1, .bridges = bridges};

        for (const Device *d = device->parent; d && claim.n_bridges < BRIDGES_MAX; d = d->parent)
                bridges[claim.n_bridges++] = d->facts.address;
        return lanes_enter(keep_off->jobs->lanes, &claim, ++keep_off->jobs->last_order, keep_off,
                           &keep_off->ticket);
}

void jobs_keep_off(Jobs *jobs, Device *device)
{
        KeepOff *keep_off;

        if (!is_needed(device))
                return;
        DL_FOREACH (jobs->keep_offs, keep_off)
                /* It looks when its turn comes, or once more when it is done. */
                if (keep_off->generation == device->generation)
                        return;
        keep_off = calloc(1, sizeof(KeepOff));
        if (!keep_off)
                return;
        keep_off->jobs = jobs;
        keep_off->address = device->facts.address;
        keep_off->generation = device->generation;
        if (enter_lane(keep_off, device) < 0) {
                free(keep_off);
                return;
        }
        DL_APPEND(jobs->keep_offs, keep_off);
        jobs_dispatch(jobs);
}

void jobs_keep_off_all(Jobs *jobs)
{
        for (Device *d = registry_next(jobs->registry, NULL); d; d = registry_next(jobs->registry, d))
                jobs_keep_off(jobs, d);
}

void jobs_free_keep_offs(Jobs *jobs)
{
        while (jobs->keep_offs)
                keep_off_free(jobs->keep_offs);
}
