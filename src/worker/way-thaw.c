/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * `thaw`: a frozen partitionable endpoint works again, with all that is in it (worker/eeh.h). Whatever is
 * written to the state of one of its devices does it; of one that is not frozen nothing happens, and the
 * kernel says that all is well.
 */

#include <errno.h>
#include <string.h>

#include "shared/cleanup.h"
#include "worker/attribute.h"
#include "worker/eeh.h"
#include "worker/way.h"

typedef struct ThawWay {
        int fd; /* of the target's state */
} ThawWay;

static bool open_state(Reset *reset)
{
        const Device *target = &reset->members[0];
        char text[WORKER_VALUE_MAX];
        ThawWay *state;
        int r;

        if (!reset_allocate_state(reset, sizeof(ThawWay)))
                return false;
        state = reset->state;
        *state = (ThawWay){.fd = -EBADF};

        r = eeh_read(target->fd, text);
        if (r < 0 && device_is_gone(target))
                return reset_end_gone(reset, target);
        if (r < 0)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, -r,
                                 "%s: the state of its partitionable endpoint cannot be read: %s",
                                 target->name, strerror(-r));
        if (r == 0)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, 0,
                                 "%s: its partitionable endpoint is not frozen (any more)", target->name);
        state->fd = attribute_open_for_write(target->fd, EEH_STATE);
        if (state->fd < 0 && device_is_gone(target))
                return reset_end_gone(reset, target);
        return state->fd >= 0 ||
               reset_end(reset, WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, -state->fd,
                         "%s: " EEH_STATE " cannot be opened: %s", target->name, strerror(-state->fd));
}

/* One that has frozen again at once has not been thawed. */
static int write_state(Reset *reset)
{
        const ThawWay *state = reset->state;
        char text[WORKER_VALUE_MAX];
        int r = attribute_write(state->fd, "1");

        if (r < 0)
                return r;
        return eeh_read(reset->members[0].fd, text) > 0 ? -EIO : 0;
}

static const Device *written_to(const Reset *reset)
{
        return &reset->members[0];
}

static void done(Reset *reset)
{
        ThawWay *state = reset->state;

        cleanup_close(&state->fd);
}

const Way way_thaw = {
        .open = open_state,
        .write = write_state,
        .written_to = written_to,
        .done = done,
};
