/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The kernel's own methods: leave the one alone in `reset_method`, write to `reset`, put the list back.
 */

#include <errno.h>
#include <string.h>

#include "shared/cleanup.h"
#include "worker/attribute.h"
#include "worker/method-list.h"
#include "worker/rebind.h"
#include "worker/way.h"

typedef struct KernelWay {
        int reset_fd; /* of the target's `reset` */
        ResetMethodList old_list;
        bool list_changed;
} KernelWay;

/* Opened this early, a device that cannot be reset is refused before its method list is touched. */
static bool open_reset(Reset *reset)
{
        const Device *target = &reset->members[0];
        KernelWay *state;

        if (!reset_allocate_state(reset, sizeof(KernelWay)))
                return false;
        state = reset->state;
        state->reset_fd = attribute_open_for_write(target->fd, "reset");
        if (state->reset_fd >= 0)
                return true;
        if (device_is_gone(target))
                return reset_end_gone(reset, target);
        return reset_end(reset, WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, -state->reset_fd,
                         "%s: its reset file cannot be opened: %s", target->name,
                         strerror(-state->reset_fd));
}

static bool save_list(Reset *reset)
{
        char text[RESET_METHOD_LIST_STRING_MAX];
        const char *method = reset->request->method;
        const Device *target = &reset->members[0];
        KernelWay *state = reset->state;
        int r;

        r = method_list_read(target, &state->old_list);
        if (r < 0 && device_is_gone(target))
                return reset_end_gone(reset, target);
        if (r < 0)
                return reset_end(
                        reset, WORKER_REFUSED, r == -ENOENT ? WORKER_WHY_UNSUPPORTED : WORKER_WHY_UNREADABLE,
                        -r, "%s: its list of reset methods cannot be read: %s", target->name, strerror(-r));

        /* The daemon has seen it there, but the list is the administrator's: what he has taken out meanwhile
         * is not put in again to be run. */
        if (!reset_method_list_contains(&state->old_list, method))
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_METHOD_REFUSED, 0,
                                 "%s: %s is not in its list of reset methods", target->name, method);
        if (method_list_is_only(&state->old_list, method))
                return true;

        r = reset->events->save_list(reset_method_list_format(&state->old_list, text),
                                     reset->events->userdata);
        if (r < 0)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_RECORD, -r,
                                 "%s: its list of reset methods cannot be saved: %s", target->name,
                                 strerror(-r));
        return true;
}

/* Leaves the requested method alone in the list. */
static bool select_method(Reset *reset)
{
        const char *method = reset->request->method;
        const Device *target = &reset->members[0];
        KernelWay *state = reset->state;
        int r;

        if (method_list_is_only(&state->old_list, method))
                return true;

        r = method_list_select(target, method);
        if (r >= 0) {
                state->list_changed = true;
                /* The kernel has probed the device for it, and may have waited for others to be done.
                 * Without its driver nobody can have opened it. */
                return reset_check_use(reset) &&
                       (rebind_is_needed(reset) || reset_check_holders(reset, true));
        }
        if (device_is_gone(target))
                return reset_end_gone(reset, target);
        return reset_end(reset, WORKER_REFUSED, WORKER_WHY_METHOD_REFUSED, -r,
                         "%s: the kernel does not accept %s: %s", target->name, method,
                         r == -EINVAL ? "the device does not support it" : strerror(-r));
}

static int write_reset(Reset *reset)
{
        const KernelWay *state = reset->state;

        return attribute_write(state->reset_fd, "1");
}

static const Device *written_to(const Reset *reset)
{
        return &reset->members[0];
}

static void restore_list(Reset *reset)
{
        KernelWay *state = reset->state;

        /* A device that a hotplug driver has taken away and found again has a list of its own, which was
         * seen to.
         */
        if (state->list_changed && !reset->members[0].has_returned)
                reset->result->reset_method = method_list_restore(&reset->members[0], reset->request->method,
                                                                  &state->old_list);
}

static void done(Reset *reset)
{
        KernelWay *state = reset->state;

        cleanup_close(&state->reset_fd);
}

const Way way_kernel = {
        .open = open_reset,
        .prepare = save_list,
        .begin = select_method,
        .write = write_reset,
        .written_to = written_to,
        .put_back = restore_list,
        .done = done,
};
