/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/domain/cleanliness.h"

#include <string.h>

#include "daemon/domain/registry.h"

static const char *const names[] = {
        [CLEANLINESS_UNKNOWN] = "unknown",
        [CLEANLINESS_DIRTY] = "dirty",
        [CLEANLINESS_CLEAN] = "clean",
};

const char *cleanliness_to_string(Cleanliness cleanliness)
{
        return names[cleanliness];
}

bool cleanliness_applies(const Device *device)
{
        return !device->facts.is_bridge;
}

static bool is_giving(const Holder *holder)
{
        return holder->kind == HOLDER_VFIO ||
               (holder->kind == HOLDER_GUEST && strcmp(holder->what, HOLDER_GUEST_UNKNOWN) != 0);
}

bool cleanliness_is_given(const Device *device)
{
        const DeviceUse *use = &device->use;

        for (size_t i = 0; i < use->n_holders; i++)
                if (is_giving(&use->holders[i]))
                        return true;
        /* VFIO enables a device when it is opened. */
        return driver_kind(device->facts.driver) == DRIVER_ASSIGNABLE && device->live.enable_count > 0;
}

void cleanliness_set(Device *device, Cleanliness cleanliness)
{
        if (device->cleanliness == cleanliness || !cleanliness_applies(device))
                return;
        device->cleanliness = cleanliness;
        registry_notify(device->registry, device, DEVICE_CHANGED_CLEANLINESS);
}

/* By whoever has it: he may have kept it open through a reset, and goes on. */
static bool is_used(const Device *device)
{
        return (device->lease && device->use.n_holders > 0) || cleanliness_is_given(device);
}

void cleanliness_follow(Device *device)
{
        bool is_new_lease = device->lease && !device->was_leased;

        device->was_leased = device->lease != NULL;
        if (is_new_lease || is_used(device))
                cleanliness_set(device, CLEANLINESS_DIRTY);
}

void cleanliness_touched(Device *device, bool is_vfio)
{
        if (device->n_resetting > 0)
                device->touched_in_reset = device->touched_in_reset || is_vfio;
        else if (is_vfio || device->lease)
                cleanliness_set(device, CLEANLINESS_DIRTY);
}

bool cleanliness_take_touch(Device *device, const char *method)
{
        /* It opens nodes itself, and an event does not tell who did. */
        bool counts = device->touched_in_reset && strcmp(method, RESET_METHOD_VFIO_HOT) != 0 &&
                      cleanliness_applies(device);

        if (counts) {
                device->cleanliness = CLEANLINESS_DIRTY;
                /* Also if it was dirty: whoever has touched it is perhaps somebody else. */
                registry_notify(device->registry, device, DEVICE_CHANGED_CLEANLINESS);
        }
        device->touched_in_reset = false;
        return counts;
}

/* An edge says that a reset disturbs a device, not that it resets it: what a reset reaches is the function
 * with its virtual functions, or all that is below the bridge. */
static bool is_reached(const Device *target, const char *method, const Device *member)
{
        ResetScope scope = reset_method_scope(method);
        const Device *function = member->physfn ? member->physfn : member;

        if (member == target || function == target)
                return true;
        return (scope == RESET_SCOPE_LINK || scope == RESET_SCOPE_POWER) && target->parent &&
               device_is_below(function, target->parent);
}

void cleanliness_after_reset(const Device *target, const char *method, Device *member, bool is_proved)
{
        if (!is_reached(target, method, member))
                return;
        if (!is_proved) {
                if (member->cleanliness == CLEANLINESS_CLEAN)
                        cleanliness_set(member, CLEANLINESS_UNKNOWN);
        } else if (!is_used(member)) {
                cleanliness_set(member, CLEANLINESS_CLEAN);
        }
}
