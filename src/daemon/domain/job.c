/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What a job holds: its devices, pinned and marked; its place in the lanes; what a worker is asked for it.
 * Nothing here decides what comes next.
 */

#include "daemon/domain/job.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/domain/job-internal.h"
#include "shared/cleanup.h"

static const char *const phase_names[] = {
        [JOB_AUTHORIZING] = "authorizing",   [JOB_INHIBITED] = "inhibited",
        [JOB_WAITING_IDLE] = "waiting_idle", [JOB_QUEUED] = "queued",
        [JOB_RESETTING] = "resetting",       [JOB_VERIFYING] = "verifying",
};

const char *job_phase_to_string(JobPhase phase)
{
        return phase_names[phase];
}

static void unpin(Jobs *jobs, JobMember *member)
{
        if (member->pin >= 0)
                jobs->ports.unpin(jobs->ports.userdata, member->pin);
        member->pin = -1;
}

static void drop_rung(Job *job)
{
        for (size_t i = 0; i < job->n_members; i++)
                unpin(job->jobs, &job->members[i]);
        free(job->members);
        job->members = NULL;
        job->n_members = 0;
        if (job->has_bridge)
                unpin(job->jobs, &job->bridge);
        job->has_bridge = false;
        free(job->fingerprint);
        job->fingerprint = NULL;
}

Job *job_free(Job *job)
{
        if (!job)
                return NULL;

        HASH_DEL(job->jobs->jobs, job);
        lane_ticket_leave(job->ticket);
        drop_rung(job);
        unpin(job->jobs, &job->target);
        worker_result_free(job->result);
        free(job->images);
        free(job->holders);
        free(job->ladder);
        free(job);
        return NULL;
}

static int job_alloc(Jobs *jobs, uint32_t id, Job **ret)
{
        Job *job = calloc(1, sizeof(Job));

        if (!job)
                return -ENOMEM;
        job->jobs = jobs;
        job->id = id;
        job->target.pin = job->bridge.pin = -1;
        job->queued_at = jobs->ports.now_realtime(jobs->ports.userdata);
        HASH_ADD(hh, jobs->jobs, id, sizeof(job->id), job);
        *ret = job;
        return 0;
}

static JobMember member_of(const Device *device)
{
        return (JobMember){
                .address = device->facts.address,
                .generation = device->generation,
                .inode = device->facts.inode,
                .vendor = device->facts.vendor,
                .device = device->facts.device,
                .has_subsystem = true,
                .subsystem_vendor = device->facts.subsystem_vendor,
                .subsystem_device = device->facts.subsystem_device,
                .quarantine = quarantine_id(device),
                .pin = -1,
        };
}

int job_new(Jobs *jobs, const JobRequest *request, const Device *target, Job **ret)
{
        int r = job_alloc(jobs, jobs->ports.new_id(jobs->ports.userdata), ret);

        if (r < 0)
                return r;
        (*ret)->request = *request;
        (*ret)->target = member_of(target);
        (*ret)->seen = target->facts;
        job_set_method(*ret, request->method);
        return 0;
}

/* What the request of an earlier daemon says, and the rest from what is there now, if it still is. */
static void see_adopted(Job *job, const WorkerMember *target)
{
        const Device *device = job_target_device(job);

        if (device)
                job->seen = device->facts;
        job->seen.address = target->address;
        job->seen.vendor = target->vendor;
        job->seen.device = target->device;
        job->seen.class = target->class;
        memcpy(job->seen.driver, target->driver, sizeof(job->seen.driver));
}

int job_new_adopted(Jobs *jobs, const WorkerRequest *request, Job **ret)
{
        Job *job;
        int r;

        if (request->n_members == 0)
                return -EBADMSG;
        r = job_alloc(jobs, request->job, &job);
        if (r < 0)
                return r;

        job->adopted = job->announced = true;
        job->phase = JOB_RESETTING;
        /* Those of an older daemon do not tell. */
        if (request->queued_at > 0)
                job->queued_at = request->queued_at;
        job->started_at = request->started_at > 0 ? request->started_at : job->queued_at;
        job->request.uid = request->uid;
        memcpy(job->request.method, request->method, sizeof(job->request.method));
        job_set_method(job, request->method);

        job->members = calloc(request->n_members, sizeof(JobMember));
        if (!job->members)
                goto fail;
        for (; job->n_members < request->n_members; job->n_members++) {
                const WorkerMember *m = &request->members[job->n_members];
                const Device *device = registry_find(jobs->registry, &m->address);

                /* A device that is another one by now is none of this job's business. */
                job->members[job->n_members] = (JobMember){
                        .address = m->address,
                        .inode = m->inode,
                        .vendor = m->vendor,
                        .device = m->device,
                        .generation = device && device->facts.inode == m->inode ? device->generation : 0,
                        .pin = -1,
                };
        }
        job->target = job->members[0];
        see_adopted(job, &request->members[0]);
        if (request->has_bridge) {
                job->bridge = (JobMember){
                        .address = request->bridge.address, .inode = request->bridge.inode, .pin = -1};
                job->has_bridge = true;
        }

        job->order = ++jobs->last_order;
        r = job_enter_lane(job);
        if (r < 0)
                goto fail;
        *ret = job;
        return 0;

fail:
        job_free(job);
        return -ENOMEM;
}

Device *job_member_device(const Job *job, const JobMember *member)
{
        Device *device = registry_find(job->jobs->registry, &member->address);

        return device && device->generation == member->generation ? device : NULL;
}

bool job_is_needless(const Job *job)
{
        const Device *target = job->request.plan.release ? job_target_device(job) : NULL;

        return target && target->cleanliness == CLEANLINESS_CLEAN;
}

Device *job_target_device(const Job *job)
{
        return job_member_device(job, &job->target);
}

int job_pin(Job *job, JobMember *member)
{
        const JobPorts *ports = &job->jobs->ports;
        int r = ports->pin(ports->userdata, &member->address, member->inode);

        if (r < 0)
                return r;
        member->pin = r;
        return 0;
}

void job_set_method(Job *job, const char *method)
{
        (void) snprintf(job->method, sizeof(job->method), "%s", method);
}

int job_take_rung(Job *job, const Rung *rung)
{
        int r;

        drop_rung(job);
        job->actions = rung->actions;
        job->rebind = rung->rebind;
        job->busy = rung->busy;
        job->delayed = rung->delayed;
        job->fingerprint = rung_fingerprint(rung);
        job->members = calloc(rung->n_set, sizeof(JobMember));
        if (!job->fingerprint || !job->members)
                return -ENOMEM;

        for (; job->n_members < rung->n_set; job->n_members++)
                job->members[job->n_members] = member_of(rung->set[job->n_members]);
        if (rung->bridge) {
                job->bridge = member_of(rung->bridge);
                job->has_bridge = true;
        }

        for (size_t i = 0; i < job->n_members; i++) {
                r = job_pin(job, &job->members[i]);
                if (r < 0)
                        return r;
        }
        return job->has_bridge ? job_pin(job, &job->bridge) : 0;
}

static void mark_members(Job *job, int queued, int resetting)
{
        for (size_t i = 0; i < job->n_members; i++) {
                Device *device = job_member_device(job, &job->members[i]);
                DeviceState before;

                if (!device)
                        continue;
                before = device_state(device);
                device->n_queued += (unsigned) queued;
                device->n_resetting += (unsigned) resetting;
                if (device_state(device) != before)
                        registry_notify(job->jobs->registry, device, DEVICE_CHANGED_STATE);
        }
}

void job_mark(Job *job)
{
        if (!job->marked)
                mark_members(job, !job_has_begun(job), job_has_begun(job));
        job->marked = true;
}

void job_unmark(Job *job)
{
        if (job->marked)
                mark_members(job, -!job_has_begun(job), -job_has_begun(job));
        job->marked = false;
}

static void count_recovering(Job *job, Device *device, int n)
{
        DeviceState before = device_state(device);

        device->n_recovering += (unsigned) n;
        if (device_state(device) != before)
                registry_notify(job->jobs->registry, device, DEVICE_CHANGED_STATE);
}

bool job_is_recovery(const Job *job)
{
        return reset_alias_from_string(job->request.method) == RESET_ALIAS_RECOVER;
}

void job_mark_recovering(Job *job)
{
        Device *device = job_target_device(job);

        if (device && !job->recovering && job_is_recovery(job)) {
                job->recovering = true;
                count_recovering(job, device, +1);
        }
}

void job_unmark_recovering(Job *job)
{
        Device *device = job_target_device(job);

        if (device && job->recovering)
                count_recovering(job, device, -1);
        job->recovering = false;
}

static bool is_expected(const Job *job, const JobMember *member, const Device *device)
{
        if (member->has_subsystem && (member->subsystem_vendor != device->facts.subsystem_vendor ||
                                      member->subsystem_device != device->facts.subsystem_device))
                return false;
        return pci_address_equal(&member->address, &device->facts.address) &&
               member->vendor == device->facts.vendor && member->device == device->facts.device &&
               member->generation != device->generation && job_has_begun(job);
}

void job_follow(Job *job, Device *device)
{
        /* A hotplug port may take a link reset for an unplugging, too (pciehp before Linux 7.1). */
        bool takes_away = reset_method_scope(job->method) == RESET_SCOPE_LINK ||
                          reset_method_scope(job->method) == RESET_SCOPE_POWER;

        for (size_t i = 0; takes_away && i < job->n_members; i++) {
                JobMember *member = &job->members[i];

                if (!is_expected(job, member, device))
                        continue;
                member->generation = device->generation;
                member->inode = device->facts.inode;
                if (job->marked)
                        device->n_resetting++;
                if (pci_address_equal(&job->target.address, &member->address)) {
                        job->target.generation = member->generation;
                        job->target.inode = member->inode;
                        device->n_recovering += job->recovering;
                }
        }
}

void job_begin(Job *job)
{
        job->phase = JOB_RESETTING;
        mark_members(job, -1, +1);
}

/* The bridge whose lock the kernel takes, and those above it. An adopted job may have lost its bridge: then
 * its address alone has to do. */
static size_t collect_bridges(const Job *job, PciAddress bridges[static BRIDGES_MAX])
{
        const Device *device;
        size_t n = 0;

        if (!job->has_bridge)
                return 0;
        bridges[n++] = job->bridge.address;
        device = registry_find(job->jobs->registry, &job->bridge.address);
        for (device = device ? device->parent : NULL; device && n < BRIDGES_MAX; device = device->parent)
                bridges[n++] = device->facts.address;
        return n;
}

int job_enter_lane(Job *job)
{
        _cleanup_free_ PciAddress *members = calloc(job->n_members, sizeof(PciAddress));
        PciAddress bridges[BRIDGES_MAX];
        LaneClaim claim = {
                .members = members,
                .n_members = job->n_members,
                .bridges = bridges,
                .n_bridges = collect_bridges(job, bridges),
        };

        if (!members)
                return -ENOMEM;
        for (size_t i = 0; i < job->n_members; i++)
                members[i] = job->members[i].address;
        return lanes_enter(job->jobs->lanes, &claim, job->order, job, &job->ticket);
}

static void describe_member(const Device *device, WorkerMember *ret)
{
        *ret = (WorkerMember){
                .address = device->facts.address,
                .inode = device->facts.inode,
                .vendor = device->facts.vendor,
                .device = device->facts.device,
                .class = device->facts.class,
                .must_be_disabled = driver_kind(device->facts.driver) == DRIVER_ASSIGNABLE,
        };
        memcpy(ret->driver, device->facts.driver, sizeof(ret->driver));
}

/* Its proof lets the device out. What was taken off it by a reset that went wrong is owed to it. */
static void may_hand_back(const Job *job, const Device *device, WorkerMember *ret)
{
        ret->may_hand_back = job_may_lift(job, device) && !job_is_doubtful(job);
        if (ret->may_hand_back && device->facts.driver[0] == '\0')
                memcpy(ret->hand_back, device->quarantine->record.driver, sizeof(ret->hand_back));
}

/* Whose locks are taken is tried again, but no longer than somebody waits for it. */
static uint64_t retry_usec(const Job *job)
{
        const JobPorts *ports = &job->jobs->ports;
        uint64_t now, deadline = job->request.deadline_usec;

        if (deadline == 0)
                return JOB_RETRY_USEC;
        now = ports->now_boottime(ports->userdata);
        if (now >= deadline)
                return 0;
        return deadline - now < JOB_RETRY_USEC ? deadline - now : JOB_RETRY_USEC;
}

/* Another card may have come to its place. The ids of a virtual function read all ones. */
static bool is_of(const WorkerImage *image, const JobMember *member)
{
        return !image->answers || image->vendor == UINT16_MAX ||
               (image->vendor == member->vendor && image->device == member->device);
}

/* Those of the rung's devices. */
static int recall_images(const Job *job, WorkerRequest *request)
{
        request->images = calloc(job->n_images ? job->n_images : 1, sizeof(WorkerImage));
        if (!request->images)
                return -ENOMEM;
        for (size_t i = 0; i <= job->n_members; i++) {
                const JobMember *member = i < job->n_members ? &job->members[i] : &job->bridge;
                const WorkerImage *image = worker_image_find(job->images, job->n_images, &member->address);

                if (image && is_of(image, member) && (i < job->n_members || job->has_bridge))
                        request->images[request->n_images++] = *image;
        }
        return 0;
}

int job_make_worker_request(const Job *job, WorkerRequest *ret)
{
        _cleanup_free_ WorkerMember *members = calloc(job->n_members, sizeof(WorkerMember));
        const JobPorts *ports = &job->jobs->ports;
        const PlanOptions *plan = &job->request.plan;
        bool is_vfio_hot = strcmp(job->method, RESET_METHOD_VFIO_HOT) == 0;
        WorkerRequest request = {
                .job = job->id,
                .uid = job->request.uid,
                .queued_at = job->queued_at,
                .started_at = ports->now_realtime(ports->userdata),
                .retry_usec = retry_usec(job),
                /* Not what was asked for: what was granted. */
                .allow_held = plan->in_use && (job->actions & ACTION_RESET_IN_USE) != 0,
                .driver = job->rebind ? WORKER_DRIVER_REBIND : WORKER_DRIVER_KEEP,
                .n_fds = is_vfio_hot ? (unsigned) plan->asker.n_groups : 0,
        };
        Device *device;

        if (!members)
                return -ENOMEM;
        for (size_t i = 0; i < job->n_members; i++) {
                const EffectivePolicy *policy;

                device = job_member_device(job, &job->members[i]);
                if (!device)
                        return -ENODEV;
                policy = registry_policy_of(device);
                if (!policy)
                        return -ENOMEM;
                /* All are looked at once: the slowest says when. */
                if (policy->settings.settle_usec > request.settle_usec)
                        request.settle_usec = policy->settings.settle_usec;
                describe_member(device, &members[i]);
                may_hand_back(job, device, &members[i]);
                /* Whoever has it open is whom it is done for. */
                if (request.n_fds > 0)
                        members[i].must_be_disabled = false;
                if (i == 0 && strcmp(job->method, RESET_METHOD_SLOT) == 0)
                        memcpy(request.slot, device->facts.slot, sizeof(request.slot));
        }
        if (job->has_bridge) {
                device = job_member_device(job, &job->bridge);
                if (!device)
                        return -ENODEV;
                describe_member(device, &request.bridge);
                request.has_bridge = true;
        }
        if (recall_images(job, &request) < 0)
                return -ENOMEM;
        memcpy(request.method, job->method, sizeof(request.method));
        request.n_members = job->n_members;
        request.members = steal_pointer(members);
        *ret = request;
        return 0;
}
