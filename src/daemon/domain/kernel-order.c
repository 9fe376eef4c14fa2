/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/domain/kernel-order.h"

#include <errno.h>
#include <string.h>

#include "daemon/domain/job-internal.h"
#include "daemon/domain/lane-task.h"

typedef struct KernelOrder {
        LaneTask task;
        ResetMethodList wanted;
        bool puts_back; /* the policy wants nothing any more */
} KernelOrder;

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

static int start_worker(KernelOrder *order, const Device *device)
{
        WorkerRequest request = {
                .operation = WORKER_ORDER,
                .method = WORKER_ORDER_METHOD,
                .list = order->wanted,
        };

        return lane_task_start_worker(&order->task, device, &request);
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
static void run(LaneTask *task, Device *device)
{
        const JobPorts *ports = &task->jobs->ports;
        const EffectivePolicy *policy = registry_policy_of(device);
        KernelOrder *order = (KernelOrder *) task;
        DeviceOrder *note;

        if (!policy || ports->refresh(ports->userdata, device) < 0 || !find_wanted(device, policy, order)) {
                lane_task_end(task);
                return;
        }
        if (is_in_order(device, order)) {
                note_in_order(order, device);
                lane_task_end(task);
                return;
        }
        note = order_of(device);
        if (note && !note->written)
                note->before = device->live.methods;
        if (!note || start_worker(order, device) < 0)
                lane_task_end(task);
}

static void done(LaneTask *task, Device *device, const WorkerResult *result)
{
        bool failed = !result || result->outcome != WORKER_DONE, silent = false;
        const JobPorts *ports = &task->jobs->ports;
        const KernelOrder *order = (const KernelOrder *) task;

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

/* ---- from outside ---- */

static const LaneTaskKind kind = {
        .size = sizeof(KernelOrder),
        .run = run,
        .done = done,
        .look = jobs_order,
};

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
        if (concerns(device))
                lane_task_ask(jobs, device, &kind);
}

void jobs_order_all(Jobs *jobs)
{
        for (Device *d = registry_next(jobs->registry, NULL); d; d = registry_next(jobs->registry, d))
                jobs_order(jobs, d);
}
