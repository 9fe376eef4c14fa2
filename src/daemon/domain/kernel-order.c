/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/domain/kernel-order.h"

#include <errno.h>
#include <string.h>
#include <utlist.h>

#include "daemon/domain/job-steps.h"
#include "shared/cleanup.h"

struct KernelOrder {
        Jobs *jobs;
        uint32_t id; /* of the worker's request; 0: it waits */
        PciAddress address;
        uint64_t generation;
        LaneTicket *ticket;
        bool again; /* something has changed meanwhile */
        ResetMethodList wanted;
        bool puts_back; /* the policy wants nothing any more */
        KernelOrder *prev, *next;
};

/* NULL if it is gone or another one has its address. */
static Device *device_of(const KernelOrder *order)
{
        Device *device = registry_find(order->jobs->registry, &order->address);

        return device && device->generation == order->generation ? device : NULL;
}

static bool is_same(const ResetMethodList *a, const ResetMethodList *b)
{
        char x[RESET_METHOD_LIST_STRING_MAX], y[RESET_METHOD_LIST_STRING_MAX];

        return strcmp(reset_method_list_format(a, x), reset_method_list_format(b, y)) == 0;
}

/* ---- what is wanted ---- */

/* The kernel's own names of an order: whether the device supports them the kernel says when they are
 * written.
 */
static ResetMethodList kernels_of(const ResetMethodList *methods)
{
        ResetMethodList list = {};

        for (size_t i = 0; i < methods->n; i++)
                if (!reset_method_is_ours(methods->names[i]))
                        memcpy(list.names[list.n++], methods->names[i], RESET_METHOD_NAME_MAX);
        return list;
}

/* Without an order, what was there before: a name that an administrator has taken out does not come back. */
static bool find_wanted(Device *device, const EffectivePolicy *policy, KernelOrder *order)
{
        bool ordered = policy->settings.set & 1U << POLICY_METHODS;
        const DeviceOrder *last = device->order;
        bool is_known = last && last->written && strcmp(last->before.names[0], "default") != 0;
        const ResetMethodList *before = is_known ? &last->before : &device->live.methods;
        ResetMethodList kernels = ordered ? kernels_of(&policy->settings.methods) : *before;

        order->puts_back = policy_kernel_order(policy, &kernels, &order->wanted) == 0;
        if (order->puts_back)
                order->wanted = last ? last->before : (ResetMethodList){};
        return !order->puts_back || (last && last->written);
}

/* It reads so already, or what the kernel made of the same wish the last time. */
static bool is_in_order(const Device *device, const KernelOrder *order)
{
        const DeviceOrder *last = device->order;

        if (is_same(&device->live.methods, &order->wanted))
                return true;
        return last && last->written && !order->puts_back && is_same(&last->wanted, &order->wanted) &&
               (last->failed || is_same(&device->live.methods, &last->got));
}

/* Most devices never have one. Returns NULL if there is no memory. */
static DeviceOrder *order_of(Device *device)
{
        if (!device->order)
                device->order = calloc(1, sizeof(DeviceOrder));
        return device->order;
}

static void forget_order(Device *device)
{
        free(device->order);
        device->order = NULL;
}

/* ---- through the lanes ---- */

static void order_free(KernelOrder *order)
{
        DL_DELETE(order->jobs->orders, order);
        lane_ticket_leave(order->ticket);
        free(order);
}

/* The lane is free for others; and again, if something has changed. */
static void end(KernelOrder *order)
{
        Jobs *jobs = order->jobs;
        Device *device = order->again ? device_of(order) : NULL;

        order_free(order);
        if (device)
                jobs_order(jobs, device);
        jobs_dispatch(jobs);
}

static int start_worker(KernelOrder *order, const Device *device)
{
        const JobPorts *ports = &order->jobs->ports;
        WorkerMember member = {
                .address = device->facts.address,
                .inode = device->facts.inode,
                .vendor = device->facts.vendor,
                .device = device->facts.device,
                .class = device->facts.class,
        };
        const WorkerRequest request = {
                .operation = WORKER_ORDER,
                .job = order->id,
                .method = WORKER_ORDER_METHOD,
                .list = order->wanted,
                .members = &member,
                .n_members = 1,
        };

        return ports->start_order(ports->userdata, &request);
}

/* If it was so when we first looked, an earlier daemon may have done it, and what was there before nobody
 * knows: the kernel's default will be put back. */
static void note_in_order(const KernelOrder *order, Device *device)
{
        DeviceOrder *note;

        if (order->puts_back) {
                forget_order(device);
                return;
        }
        note = order_of(device);
        if (!note || note->written)
                return;
        *note = (DeviceOrder){.written = true, .wanted = order->wanted, .got = device->live.methods};
        (void) reset_method_list_parse("default", &note->before);
}

/* The device's turn has come: only now its list is its own. */
static void run(KernelOrder *order)
{
        const JobPorts *ports = &order->jobs->ports;
        Device *device = device_of(order);
        const EffectivePolicy *policy = device ? registry_policy_of(device) : NULL;
        DeviceOrder *note;

        order->again = false;
        if (!policy || ports->refresh(ports->userdata, device) < 0 || !find_wanted(device, policy, order)) {
                end(order);
                return;
        }
        if (is_in_order(device, order)) {
                note_in_order(order, device);
                end(order);
                return;
        }
        order->id = ports->new_id(ports->userdata);
        note = order_of(device);
        if (note && !note->written)
                note->before = device->live.methods;
        if (!note || start_worker(order, device) < 0)
                end(order);
}

bool jobs_run_order(Jobs *jobs, void *taken)
{
        KernelOrder *order;

        DL_FOREACH (jobs->orders, order) {
                if (order == taken) {
                        run(order);
                        return true;
                }
        }
        return false;
}

static void note(KernelOrder *order, Device *device, const WorkerResult *result)
{
        const JobPorts *ports = &order->jobs->ports;
        bool failed = !result || result->outcome != WORKER_DONE, silent = false;

        if (ports->refresh(ports->userdata, device) < 0)
                return;
        /* One that the kernel cannot reset at all has no list, and none is missed. */
        if (result && result->outcome == WORKER_REFUSED && result->error == ENOENT) {
                silent = true;
                failed = false;
        }
        if (order->puts_back) {
                forget_order(device);
        } else if (device->order) {
                device->order->written = true;
                device->order->wanted = order->wanted;
                device->order->got = device->live.methods;
                device->order->failed = failed;
        }
        if (!silent)
                ports->ordered(ports->userdata, device, &order->wanted, failed);
}

void jobs_order_done(Jobs *jobs, uint32_t id, WorkerResult *result)
{
        KernelOrder *order;
        Device *device;

        DL_SEARCH_SCALAR(jobs->orders, order, id, id);
        if (order) {
                device = device_of(order);
                if (device && (!result || result->outcome != WORKER_GONE))
                        note(order, device, result);
        }
        worker_result_free(result);
        if (order)
                end(order);
}

/* ---- from outside ---- */

static KernelOrder *find(const Jobs *jobs, const Device *device)
{
        KernelOrder *order;

        DL_FOREACH (jobs->orders, order) {
                if (order->generation == device->generation)
                        return order;
        }
        return NULL;
}

/* The device alone, and the bridge above, as if it was reset. */
static int enter_lane(KernelOrder *order, const Device *device)
{
        PciAddress bridges[BRIDGES_MAX];
        LaneClaim claim = {.members = &order->address, .n_members = 1, .bridges = bridges};

        for (const Device *d = device->parent; d && claim.n_bridges < BRIDGES_MAX; d = d->parent)
                bridges[claim.n_bridges++] = d->facts.address;
        return lanes_enter(order->jobs->lanes, &claim, ++order->jobs->last_order, order, &order->ticket);
}

static bool concerns(Device *device)
{
        const EffectivePolicy *policy;

        if (device->facts.is_bridge)
                return false;
        if (device->order && device->order->written)
                return true;
        /* The rule, with thousands of devices to go through: nobody wants it for any. */
        if (!policy_sets(registry_policy(device->registry), POLICY_KERNEL_ORDER))
                return false;
        policy = registry_policy_of(device);
        return policy && policy->settings.kernel_order;
}

void jobs_order(Jobs *jobs, Device *device)
{
        KernelOrder *order;

        if (!concerns(device))
                return;
        order = find(jobs, device);
        if (order) {
                /* One that waits looks when its turn comes. */
                order->again = true;
                return;
        }
        order = calloc(1, sizeof(KernelOrder));
        if (!order)
                return;
        order->jobs = jobs;
        order->address = device->facts.address;
        order->generation = device->generation;
        if (enter_lane(order, device) < 0) {
                free(order);
                return;
        }
        DL_APPEND(jobs->orders, order);
        jobs_dispatch(jobs);
}

void jobs_order_all(Jobs *jobs)
{
        for (Device *d = registry_next(jobs->registry, NULL); d; d = registry_next(jobs->registry, d))
                jobs_order(jobs, d);
}

void jobs_free_orders(Jobs *jobs)
{
        while (jobs->orders)
                order_free(jobs->orders);
}
