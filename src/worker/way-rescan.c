/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * `rescan`: the functions below a bridge are removed one by one, and found again by a scan (remove_store and
 * dev_rescan_store in drivers/pci/pci-sysfs.c). It resets no hardware by itself; it gives a device whose
 * setup is lost a new one.
 */

#include <errno.h>
#include <string.h>

#include "shared/cleanup.h"
#include "worker/attribute.h"
#include "worker/come-back.h"
#include "worker/way.h"

typedef struct RescanWay {
        int *remove_fds; /* of each member; negative for those that go with another one */
        size_t n_fds;
        int rescan_fd;
        bool is_scanned;
        ComeBack *come_back;
} RescanWay;

DEFINE_CLEANUP(ComeBack *, come_back_free);

/* What is below another member goes with it, and virtual functions with their physical one: they have no
 * such file. */
static bool open_remove(Reset *reset, size_t i)
{
        const Device *member = &reset->members[i];
        RescanWay *state = reset->state;
        int fd;

        if (member->is_virtual || !device_is_directly_below(member, &reset->bridge))
                return true;
        fd = attribute_open_for_write(member->fd, "remove");
        if (fd < 0 && device_is_gone(member))
                return reset_end_gone(reset, member);
        if (fd < 0)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, -fd,
                                 "%s: the device cannot be removed: %s", member->name, strerror(-fd));
        state->remove_fds[i] = fd;
        return true;
}

static bool open_files(Reset *reset)
{
        RescanWay *state;

        if (!reset->request->has_bridge || reset->members[0].is_virtual)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, 0,
                                 "%s: it is a virtual function, or there is no bridge above it",
                                 reset_target_name(reset));
        if (!reset_allocate_state(reset, sizeof(RescanWay)))
                return false;
        state = reset->state;
        state->rescan_fd = -EBADF;
        state->remove_fds = calloc(reset->n_open, sizeof(int));
        if (!state->remove_fds)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_INTERNAL, ENOMEM, "%s: out of memory",
                                 reset_target_name(reset));
        state->n_fds = reset->n_open;
        for (size_t i = 0; i < state->n_fds; i++)
                state->remove_fds[i] = -EBADF;

        state->rescan_fd = attribute_open_for_write(reset->bridge.fd, "rescan");
        if (state->rescan_fd < 0)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, -state->rescan_fd,
                                 "%s: the bus below %s cannot be scanned: %s", reset_target_name(reset),
                                 reset->bridge.name, strerror(-state->rescan_fd));
        for (size_t i = 0; i < state->n_fds; i++)
                if (!open_remove(reset, i))
                        return false;
        if (state->remove_fds[0] < 0)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, 0,
                                 "%s: the device is not right below the bridge %s", reset_target_name(reset),
                                 reset->bridge.name);
        return reset_check_use_below_bridge(reset) && come_back_prepare(reset, &state->come_back);
}

/* Once a device is gone there is no way but on: the scan brings it back. */
static int remove_and_scan(Reset *reset)
{
        RescanWay *state = reset->state;
        int error = 0, r;

        for (size_t i = 0; i < state->n_fds; i++) {
                if (state->remove_fds[i] < 0)
                        continue;
                r = attribute_write(state->remove_fds[i], "1");
                if (r < 0 && error == 0)
                        error = r;
        }

        r = attribute_write(state->rescan_fd, "1");
        state->is_scanned = r >= 0;
        return error < 0 ? error : r;
}

static void follow(Reset *reset)
{
        RescanWay *state = reset->state;

        if (come_back_is_removed(reset))
                come_back_follow(reset, state->come_back, state->is_scanned);
        else if (reset->result->outcome == WORKER_DONE)
                (void) reset_end(reset, WORKER_FAILED, "", EIO, "%s: the kernel did not remove the device",
                                 reset_target_name(reset));
}

/* Removed, and not looked for yet. */
static void bring_back(Reset *reset)
{
        bool any_is_gone = false;

        for (size_t i = 0; i < reset->n_open; i++)
                any_is_gone |= device_is_gone(&reset->members[i]);
        if (any_is_gone && reset->request->has_bridge && !device_is_gone(&reset->bridge)) {
                _cleanup_close_ int fd = attribute_open_for_write(reset->bridge.fd, "rescan");

                if (fd >= 0)
                        (void) attribute_write(fd, "1");
        }
}

static void done(Reset *reset)
{
        RescanWay *state = reset->state;

        for (size_t i = 0; i < state->n_fds; i++)
                cleanup_close(&state->remove_fds[i]);
        free(state->remove_fds);
        cleanup_close(&state->rescan_fd);
        cleanup_come_back_free(&state->come_back);
}

const Way way_rescan = {
        .open = open_files,
        .begin = reset_check_use_below_bridge,
        .write = remove_and_scan,
        .follow = follow,
        .bring_back = bring_back,
        .done = done,
        .removes_devices = true,
};
