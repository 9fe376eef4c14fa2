/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/bus/pending.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "daemon/bus/callers.h"
#include "daemon/bus/path.h"
#include "daemon/system/descriptors.h"
#include "shared/cleanup.h"

/* Beside the bounds on jobs, those on calls of which it is known who asks; and, per connection, on those of
 * which it is not. The questions of PENDING_CHANGES stay below what the bus allows, together with
 * AUTHORIZATIONS_MAX. */
static const struct {
        size_t max, max_per_uid, max_unknown;
} rooms[] = {
        [PENDING_RESETS] = {JOBS_MAX + 256U, SIZE_MAX, JOBS_PER_UID_MAX},
        [PENDING_CHANGES] = {24, 8, 8},
        [PENDING_HISTORY] = {16, 4, 4},
        [PENDING_TREES] = {64, 8, 8},
        [PENDING_LOOKS] = {64, 8, 8},
};

_Static_assert(ELEMENTSOF(rooms) == PENDING_ROOMS, "each room has its bounds");

#define LIMITS_EXCEEDED_TEXT "Too many calls are waiting. Wait until some have ended and ask again."

/* A message may bring descriptors that it says nothing about: libsystemd does not tell how many. */
static bool descriptors_are_left(const Bus *bus)
{
        _cleanup_close_ int fd = fcntl(sd_bus_get_fd(bus->bus), F_DUPFD_CLOEXEC, 0);

        return fd >= 0 && descriptor_leaves_room(fd);
}

/* The last call of the connection that it is not known of who asks. */
static PendingCall *find_unknown(const Bus *bus, const char *sender, PendingRoom room)
{
        PendingCall *call, *found = NULL;

        DL_FOREACH (bus->calls, call)
                if (call->is_unknown && call->kind->room == room &&
                    strcmp(sd_bus_message_get_sender(call->message), sender) == 0)
                        found = call;
        return found;
}

/* Lets a call in before it is known who asks. A connection that sends many of them keeps nobody else out. */
static bool let_in(const Bus *bus, const char *sender, PendingRoom room)
{
        PendingCall *last;
        const char *crowd;

        if (lobby_count(bus->lobby, sender, room) >= rooms[room].max_unknown || !descriptors_are_left(bus) ||
            !lobby_has_place(bus->lobby, sender, room, &crowd))
                return false;
        last = crowd ? find_unknown(bus, crowd, room) : NULL;
        if (last)
                pending_refuse(last, BUS_ERROR_PREFIX "LimitsExceeded", LIMITS_EXCEEDED_TEXT);
        return true;
}

int pending_new(Bus *bus, const PendingKind *kind, sd_bus_message *message, PendingCall **ret,
                sd_bus_error *error)
{
        const char *sender = sd_bus_message_get_sender(message);
        PendingCall *call;

        if (!let_in(bus, sender, kind->room))
                return sd_bus_error_set(error, BUS_ERROR_PREFIX "LimitsExceeded", LIMITS_EXCEEDED_TEXT);
        call = calloc(1, kind->size);
        if (!call || lobby_enter(bus->lobby, sender, kind->room) < 0) {
                free(call);
                return -ENOMEM;
        }
        call->kind = kind;
        call->bus = bus;
        call->message = sd_bus_message_ref(message);
        call->is_unknown = true;
        DL_APPEND(bus->calls, call);
        *ret = call;
        return 0;
}

static void leave_lobby(PendingCall *call)
{
        if (call->is_unknown)
                lobby_leave(call->bus->lobby, sd_bus_message_get_sender(call->message), call->kind->room);
        call->is_unknown = false;
}

void pending_end(PendingCall *call)
{
        Bus *bus = call->bus;

        DL_DELETE(bus->calls, call);
        leave_lobby(call);
        if (call->has_uid)
                bus->n_calls[call->kind->room]--;
        callers_unwatch(bus);
        if (call->kind->release)
                call->kind->release(call);
        polkit_query_free(call->query);
        sd_bus_slot_unref(call->uid_slot);
        sd_bus_message_unref(call->message);
        free(call->purpose);
        free(call);
}

void pending_refuse(PendingCall *call, const char *name, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        (void) sd_bus_reply_method_errorfv(call->message, name, format, arguments);
        va_end(arguments);
        pending_end(call);
}

void pending_fail(PendingCall *call, const sd_bus_error *error, int r)
{
        if (sd_bus_error_is_set(error))
                (void) sd_bus_reply_method_error(call->message, error);
        else
                (void) sd_bus_reply_method_errnof(call->message, -r, "%s", strerror(-r));
        pending_end(call);
}

/* Whether there is room for one more. Each may have as many as are left to the others, so that the last
 * places go to those who have none yet. */
static bool is_within_limits(const PendingCall *call)
{
        PendingRoom room = call->kind->room;
        size_t n = 0, n_all = call->bus->n_calls[room];
        const PendingCall *other;

        DL_FOREACH (call->bus->calls, other)
                n += other->kind->room == room && other->has_uid && other->uid == call->uid;
        return n_all < rooms[room].max && n < rooms[room].max_per_uid &&
               (n == 0 || n < rooms[room].max - n_all);
}

/* The bus has told whose uid the sender has. */
static int on_uid(sd_bus_message *answer, void *userdata, sd_bus_error *error)
{
        PendingCall *call = userdata;

        call->uid_slot = sd_bus_slot_unref(call->uid_slot);
        leave_lobby(call);
        if (callers_read_uid(answer, &call->uid) < 0) {
                pending_refuse(call, SD_BUS_ERROR_ACCESS_DENIED,
                               "The bus cannot tell who asks, so nothing is done.");
        } else if (!is_within_limits(call)) {
                pending_refuse(call, BUS_ERROR_PREFIX "LimitsExceeded", LIMITS_EXCEEDED_TEXT);
        } else {
                call->has_uid = true;
                call->bus->n_calls[call->kind->room]++;
                call->kind->identified(call);
        }
        return 0;
}

int pending_begin(PendingCall *call)
{
        int r = callers_watch(call->bus);

        if (r >= 0)
                r = callers_ask_uid(call->bus, call->message, on_uid, call, &call->uid_slot);
        if (r < 0)
                pending_end(call);
        return r < 0 ? r : 1;
}

static void on_answer(void *userdata, Grant grant)
{
        PendingCall *call = userdata;

        call->query = NULL;
        switch (grant) {
        case GRANT_YES:
                call->kind->granted(call);
                break;
        case GRANT_CHALLENGE:
                pending_refuse(call, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                               "To %s needs authentication (polkit action %s). Call again with interactive "
                               "authorization allowed.",
                               call->purpose, call->action);
                break;
        case GRANT_FAILED:
                pending_refuse(call, SD_BUS_ERROR_ACCESS_DENIED,
                               "Not authorized to %s, since polkit could not be asked. Is polkit running?",
                               call->purpose);
                break;
        case GRANT_NO:
        case GRANT_DISMISSED:
                pending_refuse(call, SD_BUS_ERROR_ACCESS_DENIED,
                               "Not authorized to %s. An administrator can allow it with a polkit rule for "
                               "%s.",
                               call->purpose, call->action);
                break;
        }
}

void pending_authorize(PendingCall *call, const char *action, const char *purpose,
                       const PolkitDetail *details, size_t n_details)
{
        int r;

        free(call->purpose);
        call->purpose = strdup(purpose);
        call->action = action;
        r = call->purpose ? polkit_ask(call->bus->bus, sd_bus_message_get_sender(call->message), action,
                                       details, n_details,
                                       sd_bus_message_get_allow_interactive_authorization(call->message) > 0,
                                       on_answer, call, &call->query)
                          : -ENOMEM;
        if (r < 0)
                pending_fail(call, NULL, r);
}

static PendingCall *find_call_of(const Bus *bus, const char *sender)
{
        PendingCall *call;

        DL_FOREACH (bus->calls, call) {
                if (strcmp(sd_bus_message_get_sender(call->message), sender) == 0)
                        return call;
        }
        return NULL;
}

void pending_abandon(Bus *bus, const char *sender)
{
        PendingCall *call;

        /* From the start each time: a job that ends lets others begin, of which any may fail at once, and
         * that ends their calls too. */
        while ((call = find_call_of(bus, sender)))
                if (call->kind->abandon)
                        call->kind->abandon(call);
                else
                        pending_end(call);
}

void pending_free_all(Bus *bus)
{
        while (bus->calls)
                pending_end(bus->calls);
}
