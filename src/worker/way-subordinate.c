/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * `subordinate`: the kernel resets everything below a bridge (reset_subordinate_store in drivers/pci/
 * pci-sysfs.c). It takes the locks of all these devices at once or, with EAGAIN, none.
 *
 * Two things that the kernel leaves to its caller: up to 7.0 it does not look whether the bridge has a bus
 * at all and follows a null pointer if not, and it does not wake the bridge. Its own devices it wakes as it
 * saves their state.
 */

#include <errno.h>
#include <string.h>

#include "shared/cleanup.h"
#include "worker/attribute.h"
#include "worker/way.h"

#define ATTRIBUTE     "reset_subordinate"
#define POWER_CONTROL "power/control"

typedef struct SubordinateWay {
        int reset_fd;
        bool must_sleep; /* the bridge was allowed to sleep before */
} SubordinateWay;

static bool open_bridge(Reset *reset)
{
        const Device *bridge = &reset->bridge;
        SubordinateWay *state;

        if (!reset->request->has_bridge)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, 0,
                                 "%s: there is no bridge above it", reset_target_name(reset));
        if (!reset_allocate_state(reset, sizeof(SubordinateWay)))
                return false;
        state = reset->state;
        state->reset_fd = attribute_open_for_write(bridge->fd, ATTRIBUTE);
        if (state->reset_fd >= 0)
                return reset_check_use_below_bridge(reset);
        if (device_is_gone(bridge))
                return reset_end_gone(reset, bridge);
        return reset_end(reset, WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, -state->reset_fd,
                         "%s: %s of the bridge %s cannot be opened: %s", reset_target_name(reset), ATTRIBUTE,
                         bridge->name, strerror(-state->reset_fd));
}

static int write_power_control(const Device *bridge, const char *value)
{
        _cleanup_close_ int fd = attribute_open_for_write(bridge->fd, POWER_CONTROL);

        return fd < 0 ? fd : attribute_write(fd, value);
}

/* A bridge without power management needs no waking, and one that cannot be woken fails the reset. */
static void keep_awake(Reset *reset)
{
        SubordinateWay *state = reset->state;
        char control[16];

        if (attribute_read(reset->bridge.fd, POWER_CONTROL, control, sizeof(control)) >= 0 &&
            strcmp(control, "auto") == 0 && write_power_control(&reset->bridge, "on") >= 0)
                state->must_sleep = true;
}

static bool begin(Reset *reset)
{
        int r;

        keep_awake(reset);

        r = device_check_subordinate_bus(&reset->bridge);
        if (r < 0)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, -r,
                                 "%s: the bridge %s has no bus below it", reset_target_name(reset),
                                 reset->bridge.name);
        return reset_check_use_below_bridge(reset);
}

static int write_reset(Reset *reset)
{
        const SubordinateWay *state = reset->state;

        return attribute_write(state->reset_fd, "1");
}

/* A lock was taken: a driver is being bound, or somebody else resets. */
static bool again(Reset *reset)
{
        return reset_check_holders(reset, true) && reset_check_use_below_bridge(reset);
}

static const Device *written_to(const Reset *reset)
{
        return &reset->bridge;
}

static void let_sleep(Reset *reset)
{
        const SubordinateWay *state = reset->state;

        if (state->must_sleep)
                (void) write_power_control(&reset->bridge, "auto");
}

static void done(Reset *reset)
{
        SubordinateWay *state = reset->state;

        cleanup_close(&state->reset_fd);
}

const Way way_subordinate = {
        .open = open_bridge,
        .begin = begin,
        .write = write_reset,
        .again = again,
        .written_to = written_to,
        .put_back = let_sleep,
        .done = done,
};
