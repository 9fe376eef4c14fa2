/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A device that comes back is another one to the kernel: a new directory with another inode number. It is
 * known again by address, ids and class. Anything else that is found at the address is a stranger, and not
 * touched.
 *
 * The kernel binds a driver to what it finds at once, and whichever driver matches: a device that was bound
 * to vfio-pci belongs to a host driver for a moment. There is no way to prevent that for one device: its
 * `driver_override` appears together with it, and `drivers_autoprobe` is for the whole machine.
 */

#include "worker/come-back.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/cleanup.h"
#include "worker/attribute.h"
#include "worker/clock.h"
#include "worker/method-list.h"
#include "worker/rebind.h"

#define STEP_USEC     UINT64_C(10000)
#define STEP_MAX_USEC UINT64_C(100000)

#define OVERRIDE "driver_override"

/* What the kernel shows for an override that is not set (driver_override_show). */
#define OVERRIDE_NONE "(null)"

/* The kernel waits for all that it does itself before the writes return. What remains is a device that needs
 * more time than it was given, and drivers that are probed by another thread (nvme). */
ComeBackTimes come_back_times = {.device_usec = 60 * USEC_PER_SEC, .driver_usec = 10 * USEC_PER_SEC};

typedef struct Memory {
        char override[WORKER_DRIVER_MAX]; /* empty: none */
        bool has_list;
        ResetMethodList list;
} Memory;

struct ComeBack {
        Memory *members; /* in the order of the request */
};

DEFINE_CLEANUP(ComeBack *, come_back_free);

ComeBack *come_back_free(ComeBack *state)
{
        if (!state)
                return NULL;
        free(state->members);
        free(state);
        return NULL;
}

static void read_memory(const Device *device, Memory *memory)
{
        if (attribute_read(device->fd, OVERRIDE, memory->override, sizeof(memory->override)) < 0 ||
            strcmp(memory->override, OVERRIDE_NONE) == 0)
                memory->override[0] = '\0';
        memory->has_list = method_list_read(device, &memory->list) == 0;
}

bool come_back_prepare(Reset *reset, ComeBack **ret)
{
        _cleanup_(cleanup_come_back_free) ComeBack *state = calloc(1, sizeof(*state));

        if (state)
                state->members = calloc(reset->n_open, sizeof(Memory));
        if (!state || !state->members)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_INTERNAL, ENOMEM, "%s: out of memory",
                                 reset_target_name(reset));

        for (size_t i = 0; i < reset->n_open; i++) {
                device_read_subsystem(&reset->members[i]);
                read_memory(&reset->members[i], &state->members[i]);
        }
        *ret = steal_pointer(state);
        return true;
}

bool come_back_is_removed(const Reset *reset)
{
        return device_is_gone(&reset->members[0]);
}

/* True once there is nothing more to wait for: virtual functions are made by the driver of their physical
 * one, if at all. */
static bool find_members(Reset *reset)
{
        bool all = true;

        for (size_t i = 0; i < reset->n_open; i++) {
                Device *member = &reset->members[i];

                if (member->has_returned || member->is_stranger)
                        continue;
                if (device_reopen(reset->devices_fd, member) == -ENODEV && !member->is_virtual)
                        all = false;
        }
        return all;
}

static void wait_for_members(Reset *reset, bool is_expected)
{
        uint64_t deadline = now_usec() + (is_expected ? come_back_times.device_usec : 0), step = STEP_USEC;

        while (!find_members(reset) && now_usec() + step < deadline) {
                sleep_usec(step);
                step = step * 2 < STEP_MAX_USEC ? step * 2 : STEP_MAX_USEC;
        }
}

static bool has_driver(const Device *device, const char *wanted)
{
        char driver[WORKER_DRIVER_MAX];

        return device_read_driver(device, driver, sizeof(driver)) == 0 && strcmp(driver, wanted) == 0;
}

static void write_override(const Device *device, const char *override)
{
        _cleanup_close_ int fd = attribute_open_for_write(device->fd, OVERRIDE);

        if (fd >= 0)
                (void) attribute_write(fd, override);
}

/* While the kernel may still be probing: drivers that match are tried by another thread. */
static void wait_for_driver(const Device *device, uint64_t deadline)
{
        for (uint64_t step = STEP_USEC; has_driver(device, "") && now_usec() + step < deadline;) {
                sleep_usec(step);
                step = step * 2 < STEP_MAX_USEC ? step * 2 : STEP_MAX_USEC;
        }
}

static void restore_driver(const Reset *reset, const Device *device, const Memory *memory, uint64_t deadline)
{
        const char *wanted = device->expected->driver;

        if (memory->override[0] != '\0')
                write_override(device, memory->override);
        else if (wanted[0] != '\0')
                wait_for_driver(device, deadline);

        if (has_driver(device, wanted))
                return;
        if (!has_driver(device, "") && driver_unbind(device) < 0)
                return;
        if (wanted[0] != '\0')
                (void) driver_bind(reset->devices_fd, device, wanted);
}

static ListRestored restore_list(const Device *device, const Memory *memory)
{
        return memory->has_list ? method_list_renew(device, &memory->list) : LIST_UNTOUCHED;
}

void come_back_follow(Reset *reset, ComeBack *state, bool is_expected)
{
        uint64_t deadline;

        wait_for_members(reset, is_expected);

        deadline = now_usec() + come_back_times.driver_usec;
        for (size_t i = 0; i < reset->n_open; i++) {
                const Device *member = &reset->members[i];
                ListRestored restored = LIST_LOST;
                DeviceHealth health;

                if (member->is_stranger || (member->is_virtual && !member->has_returned)) {
                        /* there is nothing to put back on it */
                } else if (member->has_returned) {
                        restored = restore_list(member, &state->members[i]);
                        /* No driver is put on a device that does not answer. */
                        health_read_device(member, &health);
                        if (health_answers(&health))
                                restore_driver(reset, member, &state->members[i], deadline);
                }
                if (i == 0)
                        reset->result->reset_method = restored;
        }
}
