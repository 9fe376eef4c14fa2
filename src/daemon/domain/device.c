/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/domain/device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const state_names[] = {
        [DEVICE_IDLE] = "idle",
        [DEVICE_QUEUED] = "queued",
        [DEVICE_RESETTING] = "resetting",
        [DEVICE_RECOVERING] = "recovering",
        [DEVICE_QUARANTINED] = "quarantined",
};

static const char *const error_state_names[] = {
        [ERROR_STATE_NONE] = "",
        [ERROR_STATE_BEGIN_RECOVERY] = "begin-recovery",
        [ERROR_STATE_SUCCESSFUL_RECOVERY] = "successful-recovery",
        [ERROR_STATE_FAILED_RECOVERY] = "failed-recovery",
        [ERROR_STATE_RECOVERED_DEGRADED] = "successful-recovery-but-degraded",
        [ERROR_STATE_RECOVERED_DEAD] = "successful-recovery-but-dead",
        [ERROR_STATE_UNFINISHED_RECOVERY] = "unfinished-recovery",
        [ERROR_STATE_WEDGED] = "wedged",
        [ERROR_STATE_FROZEN] = "frozen",
};

void device_forget_use(Device *device)
{
        free(device->use.holders);
        device->use = (DeviceUse){};
}

static const WorkerUse *find_use(const WorkerScan *scan, const PciAddress *address)
{
        for (size_t i = 0; i < scan->n_uses; i++)
                if (pci_address_equal(&scan->uses[i].device, address))
                        return &scan->uses[i];
        return NULL;
}

static bool holder_equal(const Holder *a, const Holder *b)
{
        return a->kind == b->kind && a->pid == b->pid && a->uid == b->uid && a->truncated == b->truncated &&
               strcmp(a->what, b->what) == 0 && strcmp(a->command, b->command) == 0 &&
               strcmp(a->unit, b->unit) == 0;
}

static bool use_equal(const DeviceUse *a, const DeviceUse *b)
{
        if (a->known != b->known || a->n_holders != b->n_holders || a->has_vfio_uid != b->has_vfio_uid ||
            a->vfio_uid != b->vfio_uid)
                return false;
        for (size_t i = 0; i < a->n_holders; i++)
                if (!holder_equal(&a->holders[i], &b->holders[i]))
                        return false;
        return true;
}

int device_set_use(Device *device, const WorkerScan *scan)
{
        const WorkerUse *found = find_use(scan, &device->facts.address);
        DeviceUse use = {.known = found && found->error == 0};
        bool is_news;

        for (size_t i = 0; i < scan->n_holders; i++)
                use.n_holders += pci_address_equal(&scan->holders[i].device, &device->facts.address);
        if (use.n_holders > 0) {
                use.holders = calloc(use.n_holders, sizeof(Holder));
                if (!use.holders) {
                        device_forget_use(device);
                        return -ENOMEM;
                }
                use.n_holders = 0;
                for (size_t i = 0; i < scan->n_holders; i++)
                        if (pci_address_equal(&scan->holders[i].device, &device->facts.address))
                                use.holders[use.n_holders++] = scan->holders[i];
        }
        if (found) {
                use.has_vfio_uid = found->has_vfio_uid;
                use.vfio_uid = found->vfio_uid;
        }

        is_news = !use_equal(&device->use, &use);
        if (use.known) {
                is_news |= device->frozen != found->frozen;
                device->frozen = found->frozen;
        }
        device_forget_use(device);
        device->use = use;
        return is_news;
}

bool device_follow_endpoint(Device *device)
{
        ErrorState wanted = device->error_state;

        if (device->frozen && wanted == ERROR_STATE_NONE)
                wanted = ERROR_STATE_FROZEN;
        else if (!device->frozen && wanted == ERROR_STATE_FROZEN && !device->quarantine)
                wanted = ERROR_STATE_NONE;
        if (wanted == device->error_state)
                return false;
        device->error_state = wanted;
        return true;
}

bool device_take_look(Device *device, uint64_t look)
{
        if (look < device->look)
                return false;
        device->look = look;
        return true;
}

bool device_is_in_use(const Device *device)
{
        /* Whoever has looked has counted too, and later than the count was read for a plan. */
        return device->use.n_holders > 0 || device->live.tsm_bound ||
               (!device->use.known && driver_kind(device->facts.driver) == DRIVER_ASSIGNABLE &&
                device->live.enable_count > 0);
}

ResetMethodList device_order_refused(const Device *device)
{
        const DeviceOrder *order = device->order;
        ResetMethodList refused = {};

        for (size_t i = 0; order && order->written && i < order->wanted.n; i++)
                if (order->failed || !reset_method_list_contains(&order->got, order->wanted.names[i]))
                        memcpy(refused.names[refused.n++], order->wanted.names[i], RESET_METHOD_NAME_MAX);
        return refused;
}

DeviceState device_state(const Device *device)
{
        if (device->n_recovering > 0)
                return DEVICE_RECOVERING;
        if (device->n_resetting > 0)
                return DEVICE_RESETTING;
        if (device->quarantine)
                return DEVICE_QUARANTINED;
        return device->n_queued > 0 ? DEVICE_QUEUED : DEVICE_IDLE;
}

const char *device_state_to_string(DeviceState state)
{
        return state_names[state];
}

const char *error_state_to_string(ErrorState state)
{
        return error_state_names[state];
}

bool device_is_recovering(const Device *device)
{
        if (device->error_state == ERROR_STATE_BEGIN_RECOVERY)
                return true;
        if (device->parent)
                for (const Device *d = device->parent->first_child; d; d = d->next_sibling)
                        if (d->error_state == ERROR_STATE_BEGIN_RECOVERY)
                                return true;
        return false;
}

bool device_is_alone_below_parent(const Device *device)
{
        /* In utlist's rings the first element's predecessor is the last one: alone, it is its own. */
        return !device->next_sibling && (!device->prev_sibling || device->prev_sibling == device);
}

bool device_shares_endpoint(const Device *a, const Device *b)
{
        return a->facts.has_endpoint && b->facts.has_endpoint && a->facts.endpoint == b->facts.endpoint &&
               a->facts.address.domain == b->facts.address.domain;
}

bool device_is_below(const Device *device, const Device *above)
{
        for (const Device *d = device->parent; d; d = d->parent)
                if (d == above)
                        return true;
        return false;
}
