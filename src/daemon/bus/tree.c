/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * One answer is built at a time, in the order in which the calls came; the others are no more than their
 * messages. A turn of the loop adds devices for a moment, then comes whatever else is ready.
 *
 * That alone would not do where others share our processor, the bus first of all: a process that is always
 * ready keeps it until the kernel's next tick, milliseconds later, while those whom we have just answered
 * wait for it. So while anybody else is calling we sleep between turns.
 *
 * An answer must not be older than the signals that its reader has had before it. A device that changes
 * after it was put in makes the answer stale, and it is begun anew; where devices change all the time it is
 * finished in one go at last, as libsystemd would have done it. One that has not been put in yet may change
 * as it likes. Jobs are few and come last, in the turn that sends the answer.
 */

#include "daemon/bus/tree.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <utlist.h>

#include "daemon/bus/objects.h"
#include "daemon/bus/path.h"
#include "daemon/bus/pending.h"
#include "shared/cleanup.h"

#define OBJECT_MANAGER "org.freedesktop.DBus.ObjectManager"

/* Others wait for half of this on average, which is less than a call over the bus takes anyway. */
#define TURN_NSEC    INT64_C(25000)
#define RESTARTS_MAX 3U

/* Between turns while others are calling: about as long as it takes an answer to reach them and their next
 * call to come. They are, unless they have not for so long. */
#define BREAK_NSEC 80000L
#define QUIET_NSEC INT64_C(2000000)

typedef struct TreeCall {
        PendingCall pending;
        sd_bus_message *reply; /* NULL: not begun */
        Device *next; /* the first that is not in it; NULL: all are */
        uint64_t next_key;
        bool is_stale; /* `next` may be gone */
        unsigned n_restarts;
} TreeCall;

DEFINE_CLEANUP(sd_bus_message *, sd_bus_message_unref);

/* ---- an object ---- */

static int append_value(Bus *bus, sd_bus_message *reply, const char *path, const char *interface,
                        const sd_bus_vtable *v, TreeProperty special, void *object)
{
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        const char *name = v->x.property.member;
        void *value = (char *) object + v->x.property.offset;
        int r = special ? special(bus, name, reply, object) : 0;

        if (r != 0)
                return r;
        /* Without a getter it is a number that lies in the object. */
        if (!v->x.property.get)
                return sd_bus_message_append_basic(reply, v->x.property.signature[0], value);
        return v->x.property.get(bus->bus, path, interface, name, reply, value, &error);
}

/* As in GetAll: those that are read only by name are left out. */
static int append_properties(Bus *bus, sd_bus_message *reply, const char *path, const char *interface,
                             const sd_bus_vtable *vtable, TreeProperty special, void *object)
{
        int r = sd_bus_message_open_container(reply, 'a', "{sv}");

        for (const sd_bus_vtable *v = vtable; v->type != _SD_BUS_VTABLE_END && r >= 0; v++) {
                if (v->type != _SD_BUS_VTABLE_PROPERTY || v->flags & SD_BUS_VTABLE_PROPERTY_EXPLICIT)
                        continue;
                r = sd_bus_message_open_container(reply, 'e', "sv");
                if (r >= 0)
                        r = sd_bus_message_append_basic(reply, 's', v->x.property.member);
                if (r >= 0)
                        r = sd_bus_message_open_container(reply, 'v', v->x.property.signature);
                if (r >= 0)
                        r = append_value(bus, reply, path, interface, v, special, object);
                if (r >= 0)
                        r = sd_bus_message_close_container(reply);
                if (r >= 0)
                        r = sd_bus_message_close_container(reply);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

int tree_append_object(Bus *bus, sd_bus_message *reply, const char *path, const char *interface,
                       const sd_bus_vtable *vtable, TreeProperty special, void *object)
{
        int r;

        r = sd_bus_message_open_container(reply, 'e', "oa{sa{sv}}");
        if (r >= 0)
                r = sd_bus_message_append_basic(reply, 'o', path);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "{sa{sv}}");
        if (r >= 0)
                r = sd_bus_message_append(reply, "{sa{sv}}{sa{sv}}{sa{sv}}", "org.freedesktop.DBus.Peer", 0,
                                          "org.freedesktop.DBus.Introspectable", 0,
                                          "org.freedesktop.DBus.Properties", 0);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'e', "sa{sv}");
        if (r >= 0)
                r = sd_bus_message_append_basic(reply, 's', interface);
        if (r >= 0)
                r = append_properties(bus, reply, path, interface, vtable, special, object);
        /* The interface, all of them, the object. */
        for (int i = 0; i < 3 && r >= 0; i++)
                r = sd_bus_message_close_container(reply);
        return r;
}

/* ---- the answer ---- */

static int64_t now_nsec(void)
{
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

static void drop(TreeCall *call)
{
        call->reply = sd_bus_message_unref(call->reply);
        call->next = NULL;
        call->is_stale = false;
}

static void go_on_from(TreeCall *call, Device *device)
{
        call->next = device;
        call->next_key = device ? device->key : 0;
}

static int begin(TreeCall *call)
{
        int r = sd_bus_message_new_method_return(call->pending.message, &call->reply);

        if (r >= 0)
                r = sd_bus_message_open_container(call->reply, 'a', "{oa{sa{sv}}}");
        go_on_from(call, registry_next(call->pending.bus->registry, NULL));
        return r;
}

static int finish(TreeCall *call)
{
        Bus *bus = call->pending.bus;
        int r = 0;

        for (Job *job = jobs_next(bus->jobs, NULL); job && r >= 0; job = jobs_next(bus->jobs, job))
                if (job->announced)
                        r = job_append(bus, call->reply, job);
        if (r >= 0)
                r = sd_bus_message_close_container(call->reply);
        return r < 0 ? r : sd_bus_message_send(call->reply);
}

/* Does a turn's work. 1 if there is more to do, 0 if the answer is sent. */
static int advance(TreeCall *call)
{
        Bus *bus = call->pending.bus;
        int64_t until = now_nsec() + TURN_NSEC;
        int r = 0;

        if (call->is_stale) {
                drop(call);
                call->n_restarts++;
        }
        if (!call->reply)
                r = begin(call);
        while (call->next && r >= 0) {
                r = device_append(bus, call->reply, call->next);
                go_on_from(call, registry_next(bus->registry, call->next));
                if (call->next && call->n_restarts <= RESTARTS_MAX && now_nsec() >= until)
                        return r < 0 ? r : 1;
        }
        return r < 0 ? r : finish(call);
}

/* ---- the calls ---- */

static void identified(PendingCall *pending)
{
        (void) sd_event_source_set_enabled(pending->bus->tree_turn, SD_EVENT_ON);
}

static void release(PendingCall *pending)
{
        drop((TreeCall *) pending);
}

static const PendingKind kind = {
        .size = sizeof(TreeCall),
        .room = PENDING_TREES,
        .identified = identified,
        .release = release,
};

static TreeCall *find_first(const Bus *bus)
{
        PendingCall *call;

        DL_FOREACH (bus->calls, call)
                if (call->kind == &kind && call->has_uid)
                        return (TreeCall *) call;
        return NULL;
}

/* A timer that has run out is ready for as long as it is not set again. */
static int set_turn(int fd, long nsec)
{
        const struct itimerspec in = {.it_value = {.tv_nsec = nsec}};

        return timerfd_settime(fd, 0, &in, NULL) < 0 ? -errno : 0;
}

static int on_turn(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Bus *bus = userdata;
        TreeCall *call = find_first(bus);
        int r;

        if (!call) {
                (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
                return 0;
        }
        r = advance(call);
        if (r < 0)
                pending_fail(&call->pending, NULL, r);
        else if (r == 0)
                pending_end(&call->pending);
        if (now_nsec() - bus->heard_nsec < QUIET_NSEC)
                (void) set_turn(fd, BREAK_NSEC);
        return 0;
}

/* A descriptor that is ready most of the time: the loop takes whatever is ready in turns, while a deferred
 * event would come first each time, or last for ever. */
static int set_up_turns(Bus *bus)
{
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (bus->tree_turn)
                return 0;
        fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (fd < 0)
                return -errno;
        r = set_turn(fd, 1);
        if (r < 0)
                return r;
        r = sd_event_add_io(bus->event, &bus->tree_turn, fd, EPOLLIN, on_turn, bus);
        if (r < 0)
                return r;
        (void) sd_event_source_set_io_fd_own(bus->tree_turn, true);
        (void) steal_fd(fd);
        return sd_event_source_set_enabled(bus->tree_turn, SD_EVENT_OFF);
}

int tree_take_call(Bus *bus, sd_bus_message *message, sd_bus_error *error)
{
        PendingCall *call;
        int r;

        bus->heard_nsec = now_nsec();
        if (!sd_bus_message_is_method_call(message, OBJECT_MANAGER, "GetManagedObjects") ||
            strcmp(sd_bus_message_get_path(message), BUS_PATH) != 0 || sd_bus_message_is_empty(message) <= 0)
                return 0;
        if (!sd_bus_message_get_expect_reply(message))
                return 1;
        r = set_up_turns(bus);
        if (r >= 0)
                r = pending_new(bus, &kind, message, &call, error);
        return r < 0 ? r : pending_begin(call);
}

void tree_note(Bus *bus, const Device *device)
{
        PendingCall *pending;

        DL_FOREACH (bus->calls, pending) {
                TreeCall *call = (TreeCall *) pending;

                if (pending->kind == &kind && call->reply && (!call->next || device->key <= call->next_key))
                        call->is_stale = true;
        }
}
