/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A device that comes back is another one to the kernel: a new directory with another inode number. It is
 * known again by address, ids and class. Anything else that is found at the address is a stranger, and not
 * touched.
 *
 * The kernel binds a driver to what it finds at once, and whichever driver matches: a device that was bound
 * to vfio-pci belongs to a host driver for a moment. There is no way to prevent that for one device: its
 * `driver_override` appears together with it, and `drivers_autoprobe` is for the whole machine.
 *
 * A reset of the link looks to a hotplug port as if the card were pulled and put in again. Where the kernel
 * resets by way of the slot it tells its hotplug driver to look away (pciehp_reset_slot): `bus` of a card
 * with one function, `vfio_hot`, and from 7.1 on `subordinate`. Where it resets the bus it does not
 * (`subordinate` before, `bus` of a function whose siblings were removed, ports of a switch below), and
 * before 6.16 another interrupt of the same port made the driver see what it should not. Then a thread of
 * the kernel's (pciehp_ist) removes the devices and finds them again. It begins when the link goes down,
 * waits for the locks that the reset holds, and goes on some moments after the write has returned, for which
 * nobody can wait but by looking. That it has begun shows in the driver, which is let go of first.
 */

#include "worker/come-back.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/cleanup.h"
#include "worker/attribute.h"
#include "worker/clock.h"
#include "worker/config-space.h"
#include "worker/method-list.h"
#include "worker/rebind.h"

#define STEP_USEC     UINT64_C(10000)
#define STEP_MAX_USEC UINT64_C(100000)

#define OVERRIDE "driver_override"

/* What the kernel shows for an override that is not set (driver_override_show). */
#define OVERRIDE_NONE "(null)"

/* The kernel waits for all that it does itself before the writes return. What remains is a device that needs
 * more time than it was given, and drivers that are probed by another thread (nvme). */
ComeBackTimes come_back_times = {
        .device_usec = 60 * USEC_PER_SEC,
        .driver_usec = 10 * USEC_PER_SEC,
        .probe_usec = 500 * USEC_PER_MSEC,
        .leave_usec = 100 * USEC_PER_MSEC,
        .empty_usec = 5 * USEC_PER_SEC,
        .scan_usec = 5 * USEC_PER_SEC,
};

struct ComeBack {
        WorkerSaved *members; /* in the order of the request */
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

static void read_memory(const Device *device, WorkerSaved *memory)
{
        if (attribute_read(device->fd, OVERRIDE, memory->driver_override, sizeof(memory->driver_override)) <
                    0 ||
            strcmp(memory->driver_override, OVERRIDE_NONE) == 0)
                memory->driver_override[0] = '\0';
        memory->has_list = method_list_read(device, &memory->list) == 0;
}

bool come_back_prepare(Reset *reset, ComeBack **ret)
{
        _cleanup_(cleanup_come_back_free) ComeBack *state = calloc(1, sizeof(*state));

        int r;

        if (state)
                state->members = calloc(reset->n_open, sizeof(WorkerSaved));
        if (!state || !state->members)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_INTERNAL, ENOMEM, "%s: out of memory",
                                 reset_target_name(reset));

        for (size_t i = 0; i < reset->n_open; i++) {
                device_read_subsystem(&reset->members[i]);
                read_memory(&reset->members[i], &state->members[i]);
        }
        /* Should this worker be killed, another one finds there what to make of them. */
        r = reset->events->save_settings(state->members, reset->n_open, reset->events->userdata);
        if (r < 0)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_RECORD, -r,
                                 "%s: the settings of its set cannot be saved: %s", reset_target_name(reset),
                                 strerror(-r));
        *ret = steal_pointer(state);
        return true;
}

ComeBack *come_back_recall(const WorkerSaved *saved, size_t n_saved, size_t n_members)
{
        _cleanup_(cleanup_come_back_free) ComeBack *state = calloc(1, sizeof(*state));

        if (state)
                state->members = calloc(n_members, sizeof(WorkerSaved));
        if (!state || !state->members)
                return NULL;
        if (n_saved > 0 && n_saved == n_members)
                memcpy(state->members, saved, n_saved * sizeof(WorkerSaved));
        return steal_pointer(state);
}

bool come_back_is_removed(const Reset *reset)
{
        return device_is_gone(&reset->members[0]);
}

static bool has_driver(const Device *device, const char *wanted)
{
        char driver[WORKER_DRIVER_MAX];

        return device_read_driver(device, driver, sizeof(driver)) == 0 && strcmp(driver, wanted) == 0;
}

/* True once there is nothing more to wait for: virtual functions are made by the driver of their physical
 * one, if at all. */
static bool find_members(Reset *reset)
{
        bool all = true;

        for (size_t i = 0; i < reset->n_open; i++) {
                Device *member = &reset->members[i];
                int r = member->is_stranger ? 0 : device_reopen(reset->devices_fd, member);

                /* What cannot be read may be on its way. */
                if (r < 0 && r != -EALREADY && r != -EADDRINUSE && !member->is_virtual)
                        all = false;
        }
        return all;
}

static bool wait_for_members(Reset *reset, uint64_t usec)
{
        uint64_t deadline = now_usec() + usec, step = STEP_USEC;

        while (!find_members(reset)) {
                if (now_usec() + step >= deadline)
                        return false;
                sleep_usec(step);
                step = step * 2 < STEP_MAX_USEC ? step * 2 : STEP_MAX_USEC;
        }
        return true;
}

/* What pciehp looks at before it looks for a device (pciehp_handle_presence_or_link_change): neither a card
 * nor a link, and it will not. */
static bool slot_is_empty(const Reset *reset)
{
        _cleanup_close_ int fd = -EBADF;
        ConfigSpace config;
        size_t express;

        if (!reset->request->has_bridge || !device_is_hotplug_port(&reset->bridge))
                return false;
        fd = openat(reset->bridge.fd, "config", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || config_space_begin(&config, fd) < 0)
                return false;
        express = config_space_find_capability(&config, PCI_CAP_ID_EXP);
        return express != 0 &&
               !(config_space_get16(&config, express + PCI_EXP_SLTSTA) & PCI_EXP_SLTSTA_PDS) &&
               !(config_space_get16(&config, express + PCI_EXP_LNKSTA) & PCI_EXP_LNKSTA_DLLLA) &&
               config.error == 0;
}

/* The kernel has looked once, after its own time: who was not ready then is found by nobody any more unless
 * somebody asks. Nothing is removed for it, and who is there already is left alone. */
static bool scan_again(Reset *reset)
{
        _cleanup_close_ int fd = -EBADF;

        if (!reset->request->has_bridge || device_is_gone(&reset->bridge) || slot_is_empty(reset))
                return false;
        fd = attribute_open_for_write(reset->bridge.fd, "rescan");
        return fd >= 0 && attribute_write(fd, "1") >= 0;
}

static void write_override(const Device *device, const char *override)
{
        _cleanup_close_ int fd = attribute_open_for_write(device->fd, OVERRIDE);

        if (fd >= 0)
                (void) attribute_write(fd, override);
}

/* While the kernel may still be probing: some drivers are tried by another thread, and a hotplug driver adds
 * a device some time before it has it probed. */
static void wait_for_driver(const Device *device, uint64_t deadline)
{
        for (uint64_t step = STEP_USEC; has_driver(device, "") && now_usec() + step < deadline;) {
                sleep_usec(step);
                step = step * 2 < STEP_MAX_USEC ? step * 2 : STEP_MAX_USEC;
        }
}

/* `since` is when it was found. */
static void restore_driver(const Reset *reset, const Device *device, const WorkerSaved *memory,
                           uint64_t since)
{
        const char *wanted = device->expected->driver;

        if (memory->driver_override[0] != '\0') {
                write_override(device, memory->driver_override);
                /* What the kernel has not added yet it refuses to bind, and binds a moment later by itself.
                 */
                if (wanted[0] != '\0' && has_driver(device, ""))
                        (void) driver_bind(reset->devices_fd, device, wanted);
        }
        wait_for_driver(device, since + (wanted[0] != '\0' ? come_back_times.driver_usec
                                                           : come_back_times.probe_usec));

        if (has_driver(device, wanted))
                return;
        if (!has_driver(device, "") && driver_unbind(device) < 0)
                return;
        if (wanted[0] != '\0')
                (void) driver_bind(reset->devices_fd, device, wanted);
}

static ListRestored restore_list(const Device *device, const WorkerSaved *memory)
{
        return memory->has_list ? method_list_renew(device, &memory->list) : LIST_UNTOUCHED;
}

/* Makes those that have come back what they were. */
static void put_back(Reset *reset, ComeBack *state)
{
        uint64_t since = now_usec();

        for (size_t i = 0; i < reset->n_open; i++) {
                Device *member = &reset->members[i];
                DeviceHealth health;

                if (!member->has_returned)
                        continue;
                /* Whether we had taken its driver off, the kernel does not know any more. */
                member->driver_is_off = reset->before->members[i].driver_is_off = false;
                if (i == 0)
                        reset->result->reset_method = restore_list(member, &state->members[i]);
                else
                        (void) restore_list(member, &state->members[i]);
                /* No driver is put on a device that does not answer. */
                health_read_device(member, &health);
                if (health_answers(&health))
                        restore_driver(reset, member, &state->members[i], since);
        }
}

void come_back_follow(Reset *reset, ComeBack *state, bool is_expected)
{
        if (!wait_for_members(reset, is_expected ? come_back_times.scan_usec : 0)) {
                (void) scan_again(reset);
                (void) wait_for_members(reset, is_expected ? come_back_times.device_usec
                                                           : come_back_times.scan_usec);
        }
        reset->result->reset_method = LIST_LOST;
        put_back(reset, state);
}

static bool is_below_hotplug_port(const Reset *reset)
{
        if (reset->request->has_bridge && device_is_hotplug_port(&reset->bridge))
                return true;
        for (size_t i = 0; i < reset->n_open; i++)
                if (device_has_bridge_class(&reset->members[i]) &&
                    device_is_hotplug_port(&reset->members[i]))
                        return true;
        return false;
}

/* A member has gone, or is about to: the kernel lets go of its driver first. */
static bool any_is_leaving(const Reset *reset)
{
        for (size_t i = 0; i < reset->n_open; i++) {
                const Device *member = &reset->members[i];

                if (member->is_stranger || member->is_virtual)
                        continue;
                if (device_is_gone(member))
                        return true;
                if (!member->has_returned && !member->driver_is_off && member->expected->driver[0] != '\0' &&
                    has_driver(member, ""))
                        return true;
        }
        return false;
}

static bool watch_for_leaving(const Reset *reset)
{
        uint64_t deadline = now_usec() + come_back_times.leave_usec;

        while (!any_is_leaving(reset)) {
                if (now_usec() >= deadline)
                        return false;
                sleep_usec(STEP_USEC);
        }
        return true;
}

static bool wait_until_back(Reset *reset, uint64_t deadline)
{
        uint64_t step = STEP_USEC, empty_since = 0;

        while (!find_members(reset) || any_is_leaving(reset)) {
                uint64_t now = now_usec();

                if (!slot_is_empty(reset))
                        empty_since = 0;
                else if (empty_since == 0)
                        empty_since = now;
                if (now + step >= deadline ||
                    (empty_since != 0 && now - empty_since >= come_back_times.empty_usec))
                        return false;
                sleep_usec(step);
                step = step * 2 < STEP_MAX_USEC ? step * 2 : STEP_MAX_USEC;
        }
        return true;
}

void come_back_watch(Reset *reset, ComeBack *state)
{
        uint64_t deadline = now_usec() + come_back_times.device_usec;
        bool has_left = false;

        if (!is_below_hotplug_port(reset))
                return;
        /* Once more after they are back: other ports below may follow, or the link was not stable yet. */
        while (watch_for_leaving(reset)) {
                has_left = true;
                if (!wait_until_back(reset, deadline)) {
                        if (scan_again(reset))
                                (void) wait_for_members(reset, come_back_times.scan_usec);
                        break;
                }
        }
        if (!has_left)
                return;
        if (reset->members[0].has_returned || come_back_is_removed(reset))
                reset->result->reset_method = LIST_LOST;
        put_back(reset, state);
        if (reset->result->outcome == WORKER_FAILED)
                reset_add_message(reset, "%s: its hotplug port took the reset for an unplugging",
                                  reset_target_name(reset));
}
