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
#define AWAKE         "on"
#define SLEEPS        "auto"

typedef struct SubordinateWay {
        int reset_fd;
        bool may_sleep; /* the bridge was allowed to, */
        bool is_awake; /* and is not for now */
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

static bool has_power_control(const Device *bridge, const char *expected)
{
        char control[16];

        return attribute_read(bridge->fd, POWER_CONTROL, control, sizeof(control)) >= 0 &&
               strcmp(control, expected) == 0;
}

/* A bridge without power management needs no waking. */
static bool save_power(Reset *reset)
{
        SubordinateWay *state = reset->state;
        int r;

        state->may_sleep = has_power_control(&reset->bridge, SLEEPS);
        r = state->may_sleep ? reset->events->save_power(reset->events->userdata) : 0;
        return r >= 0 || reset_end(reset, WORKER_REFUSED, WORKER_WHY_RECORD, -r,
                                   "%s: that its bridge %s may sleep cannot be saved: %s",
                                   reset_target_name(reset), reset->bridge.name, strerror(-r));
}

static bool begin(Reset *reset)
{
        SubordinateWay *state = reset->state;
        int r;

        /* One that cannot be woken fails the reset. */
        state->is_awake = state->may_sleep && write_power_control(&reset->bridge, AWAKE) >= 0;

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

        if (state->is_awake)
                (void) write_power_control(&reset->bridge, SLEEPS);
}

/* Whether it was woken yet by the worker that was killed is not known. */
static void let_sleep_again(Reset *reset)
{
        if (reset->bridge_sleeps && !device_is_gone(&reset->bridge) &&
            has_power_control(&reset->bridge, AWAKE))
                (void) write_power_control(&reset->bridge, SLEEPS);
}

static void done(Reset *reset)
{
        SubordinateWay *state = reset->state;

        cleanup_close(&state->reset_fd);
}

const Way way_subordinate = {
        .open = open_bridge,
        .prepare = save_power,
        .begin = begin,
        .write = write_reset,
        .again = again,
        .written_to = written_to,
        .put_back = let_sleep,
        .bring_back = let_sleep_again,
        .done = done,
};
