/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * `do_flr` and `reset_device`: pciback itself resets a device that is bound to it. No kernel of kernel.org
 * has these files; those made for Xen hosts have one or the other (XenServer, OpenXT). What is written is
 * the device's address, with its domain. The driver keeps them from running at the same time as its own
 * resets for guests.
 *
 * `reset_device` goes up to the bus by itself, so everything below the bridge has to be looked at as for a
 * link reset.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared/cleanup.h"
#include "shared/driver.h"
#include "worker/attribute.h"
#include "worker/way.h"

typedef struct PcibackWay {
        int fd; /* of the driver's file */
} PcibackWay;

static bool is_link_reset(const Reset *reset)
{
        return reset_method_scope(reset->request->method) == RESET_SCOPE_LINK;
}

static bool open_file(Reset *reset)
{
        const Device *target = &reset->members[0];
        char path[sizeof("driver/") + RESET_METHOD_NAME_MAX], driver[WORKER_DRIVER_MAX];
        PcibackWay *state;

        if (is_link_reset(reset) && !reset->request->has_bridge)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, 0,
                                 "%s: there is no bridge above it", target->name);
        if (!reset_allocate_state(reset, sizeof(PcibackWay)))
                return false;
        state = reset->state;
        *state = (PcibackWay){.fd = -EBADF};

        /* The same name may mean anything to another driver. */
        if (attribute_read_link(target->fd, "driver", driver, sizeof(driver)) < 0 ||
            driver_kind(driver) != DRIVER_PCIBACK)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, 0,
                                 "%s: it is not bound to pciback", target->name);

        (void) snprintf(path, sizeof(path), "driver/%s", reset->request->method);
        state->fd = attribute_open_for_write(target->fd, path);
        if (state->fd < 0 && device_is_gone(target))
                return reset_end_gone(reset, target);
        if (state->fd < 0)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, -state->fd,
                                 "%s: %s of its driver cannot be opened: %s", target->name,
                                 reset->request->method, strerror(-state->fd));
        return !is_link_reset(reset) || reset_check_use_below_bridge(reset);
}

static bool begin(Reset *reset)
{
        return !is_link_reset(reset) || reset_check_use_below_bridge(reset);
}

static int write_address(Reset *reset)
{
        const PcibackWay *state = reset->state;

        return attribute_write(state->fd, reset_target_name(reset));
}

static const Device *written_to(const Reset *reset)
{
        return &reset->members[0];
}

static void done(Reset *reset)
{
        PcibackWay *state = reset->state;

        cleanup_close(&state->fd);
}

const Way way_pciback = {
        .open = open_file,
        .begin = begin,
        .write = write_address,
        .written_to = written_to,
        .done = done,
};
