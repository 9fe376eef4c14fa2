/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/domain/lane-task.h"

#include <stdlib.h>
#include <utlist.h>

#include "daemon/domain/job-steps.h"

/* NULL if it is gone or another one has its address. */
static Device *device_of(const LaneTask *task)
{
        Device *device = registry_find(task->jobs->registry, &task->address);

        return device && device->generation == task->generation ? device : NULL;
}

static void task_free(LaneTask *task)
{
        DL_DELETE(task->jobs->tasks, task);
        lane_ticket_leave(task->ticket);
        free(task);
}

void lane_task_end(LaneTask *task)
{
        Jobs *jobs = task->jobs;
        const LaneTaskKind *kind = task->kind;
        Device *device = task->again ? device_of(task) : NULL;

        task_free(task);
        if (device)
                kind->look(jobs, device);
        jobs_dispatch(jobs);
}

int lane_task_start_worker(LaneTask *task, const Device *device, WorkerRequest *request)
{
        const JobPorts *ports = &task->jobs->ports;
        WorkerMember member = {
                .address = device->facts.address,
                .inode = device->facts.inode,
                .vendor = device->facts.vendor,
                .device = device->facts.device,
                .class = device->facts.class,
        };

        task->id = ports->new_id(ports->userdata);
        request->job = task->id;
        request->members = &member;
        request->n_members = 1;
        return ports->start_order(ports->userdata, request);
}

bool lane_task_run(Jobs *jobs, void *taken)
{
        LaneTask *task;
        Device *device;

        DL_FOREACH (jobs->tasks, task) {
                if (task != taken)
                        continue;
                task->again = false;
                device = device_of(task);
                if (device)
                        task->kind->run(task, device);
                else
                        lane_task_end(task);
                return true;
        }
        return false;
}

void lane_task_done(Jobs *jobs, uint32_t id, WorkerResult *result)
{
        LaneTask *task;
        Device *device;

        DL_SEARCH_SCALAR(jobs->tasks, task, id, id);
        if (task) {
                device = device_of(task);
                if (device && (!result || result->outcome != WORKER_GONE))
                        task->kind->done(task, device, result);
        }
        worker_result_free(result);
        if (task)
                lane_task_end(task);
}

/* The device alone, and the bridges above, as if it was reset. */
static int enter_lane(LaneTask *task, const Device *device)
{
        PciAddress bridges[BRIDGES_MAX];
        LaneClaim claim = {.members = &task->address, .n_members = 1, .bridges = bridges};

        for (const Device *d = device->parent; d && claim.n_bridges < BRIDGES_MAX; d = d->parent)
                bridges[claim.n_bridges++] = d->facts.address;
        return lanes_enter(task->jobs->lanes, &claim, ++task->jobs->last_order, task, &task->ticket);
}

void lane_task_ask(Jobs *jobs, const Device *device, const LaneTaskKind *kind)
{
        LaneTask *task;

        DL_FOREACH (jobs->tasks, task) {
                if (task->kind == kind && task->generation == device->generation) {
                        task->again = true;
                        return;
                }
        }
        task = calloc(1, kind->size);
        if (!task)
                return;
        task->jobs = jobs;
        task->kind = kind;
        task->address = device->facts.address;
        task->generation = device->generation;
        if (enter_lane(task, device) < 0) {
                free(task);
                return;
        }
        DL_APPEND(jobs->tasks, task);
        jobs_dispatch(jobs);
}

void lane_tasks_free(Jobs *jobs)
{
        while (jobs->tasks)
                task_free(jobs->tasks);
}
