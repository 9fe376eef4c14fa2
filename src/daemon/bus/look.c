/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Plan and GetHolders: what is told rests on a look at who uses the devices that is not older than the call.
 * GetMethods is content with what is known: it has somebody look only where nobody has yet, and waits only
 * for that, or to learn who asks where it matters.
 *
 * Such a look starts a worker, and anybody may ask for it. So each user has one look at a device at a time:
 * further calls of his about the same device wait for its end, and then share the next one.
 */

#include <errno.h>
#include <string.h>
#include <utlist.h>

#include "daemon/bus/calls.h"
#include "daemon/bus/holders.h"
#include "daemon/bus/job-facts.h"
#include "daemon/bus/path.h"
#include "daemon/bus/pending.h"
#include "daemon/bus/request.h"
#include "daemon/system/survey.h"
#include "shared/cleanup.h"
#include "shared/utf8.h"

typedef enum LookFor {
        LOOK_FOR_HOLDERS,
        LOOK_FOR_PLAN,
        LOOK_FOR_METHODS,
} LookFor;

typedef struct LookCall {
        PendingCall pending;
        PciAddress address;
        uint64_t generation; /* of the device that the call named */
        LookFor what;
        char method[QUOTED_MAX];
        Request options;
        bool waits; /* for the look of another call to end */
        SurveyQuestion *question;
} LookCall;

DEFINE_CLEANUP(Plan *, plan_free);
DEFINE_CLEANUP(sd_bus_message *, sd_bus_message_unref);

static const PendingKind kind;

/* The device, NULL if it is gone or another one has its address. */
static Device *device_of(const LookCall *call)
{
        Device *device = registry_find(call->pending.bus->registry, &call->address);

        return device && device->generation == call->generation ? device : NULL;
}

/* ---- the answer ---- */

static int answer_plan(LookCall *call, Device *device, sd_bus_message *reply, sd_bus_error *error)
{
        _cleanup_(cleanup_plan_free) Plan *plan = NULL;
        int r;

        r = refresh_concerned(device, error);
        if (r < 0)
                return r;
        r = plan_make(device, call->method, &call->options.plan, &plan);
        if (r == -EINVAL)
                return invalid_method(error, &call->address, call->method);
        return r < 0 ? r : append_plan(reply, call->pending.bus, plan, call->pending.uid);
}

static int answer_methods(LookCall *call, Device *device, sd_bus_message *reply, sd_bus_error *error)
{
        int r = refresh_concerned(device, error);

        return r < 0 ? r : append_methods(reply, call->pending.bus, device, &call->options.plan);
}

static int answer_holders(LookCall *call, const Device *device, sd_bus_message *reply)
{
        uint32_t uid = call->pending.uid;
        int r = sd_bus_message_open_container(reply, 'a', "a{sv}");

        if (r >= 0)
                r = append_holders(reply, device->use.holders, device->use.n_holders, uid);
        for (const Device *vf = device->first_vf; vf && r >= 0; vf = vf->next_vf)
                r = append_holders(reply, vf->use.holders, vf->use.n_holders, uid);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* `looked`: negative errno if it could not be found out who uses the devices. A plan says so itself. */
static int make_answer(LookCall *call, int looked, sd_bus_message **ret, sd_bus_error *error)
{
        _cleanup_(cleanup_sd_bus_message_unref) sd_bus_message *reply = NULL;
        char address[PCI_ADDRESS_STRING_MAX];
        Device *device = device_of(call);
        int r;

        pci_address_format(&call->address, address);
        if (!device)
                return sd_bus_error_setf(error, BUS_ERROR_PREFIX "DeviceGone",
                                         "%s: the device was removed, or another one has its address now. "
                                         "Look at ListDevices and ask again.",
                                         address);
        if (looked < 0 && call->what == LOOK_FOR_HOLDERS)
                return sd_bus_error_setf(error, SD_BUS_ERROR_FAILED,
                                         "%s: it could not be found out who uses it: %s. See the journal of "
                                         "pciresetd and ask again.",
                                         address, strerror(-looked));
        r = sd_bus_message_new_method_return(call->pending.message, &reply);
        if (r >= 0)
                r = call->what == LOOK_FOR_PLAN      ? answer_plan(call, device, reply, error)
                    : call->what == LOOK_FOR_METHODS ? answer_methods(call, device, reply, error)
                                                     : answer_holders(call, device, reply);
        if (r >= 0)
                *ret = steal_pointer(reply);
        return r;
}

static void answer(LookCall *call, int looked)
{
        _cleanup_(cleanup_sd_bus_message_unref) sd_bus_message *reply = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r = make_answer(call, looked, &reply, &error);

        if (r < 0) {
                pending_fail(&call->pending, &error, r);
                return;
        }
        (void) sd_bus_message_send(reply);
        pending_end(&call->pending);
}

/* ---- the look ---- */

static void on_looked(void *userdata, int error)
{
        LookCall *call = userdata;

        call->question = NULL;
        answer(call, error);
}

/* What GetHolders is about: the function and what it takes along. */
static int list_function(Device *device, Device ***ret, size_t *ret_n)
{
        Device **devices;
        size_t n = 1;

        for (const Device *vf = device->first_vf; vf; vf = vf->next_vf)
                n++;
        devices = calloc(n, sizeof(Device *));
        if (!devices)
                return -ENOMEM;
        devices[0] = device;
        n = 1;
        for (Device *vf = device->first_vf; vf; vf = vf->next_vf)
                devices[n++] = vf;
        *ret = devices;
        *ret_n = n;
        return 0;
}

static void look(LookCall *call)
{
        _cleanup_free_ Device **devices = NULL;
        Device *device = device_of(call);
        size_t n;
        int r = 0;

        call->waits = false;
        if (device)
                r = call->what == LOOK_FOR_HOLDERS ? list_function(device, &devices, &n)
                                                   : plan_concerned(device, &devices, &n);
        if (device && r >= 0)
                r = survey_ask(call->pending.bus->survey, devices, n, on_looked, call, &call->question);
        if (r <= 0)
                answer(call, r);
}

static int is_known(void *userdata, Device *device)
{
        return plan_needs_scan(device) && !device->use.known ? -ENODATA : 0;
}

/* Whether it is known who uses all these devices, or has to be found out first: some have just appeared, or
 * got another driver. */
static int use_is_known(Device *device)
{
        int r = plan_for_each_concerned(device, is_known, NULL);

        return r == -ENODATA ? false : r < 0 ? r : true;
}

/* GetMethods takes what is known, and only wanted to know who asks. */
static bool needs_no_look(const LookCall *call)
{
        Device *device = device_of(call);

        return call->what == LOOK_FOR_METHODS && device && use_is_known(device) > 0;
}

static bool is_alike(const LookCall *a, const LookCall *b)
{
        return a->pending.uid == b->pending.uid && pci_address_equal(&a->address, &b->address);
}

static bool another_looks(const LookCall *call)
{
        const PendingCall *pending;

        DL_FOREACH (call->pending.bus->calls, pending) {
                const LookCall *other = (const LookCall *) pending;

                if (pending->kind == &kind && other->question && is_alike(other, call))
                        return true;
        }
        return false;
}

static LookCall *find_waiting(const LookCall *call)
{
        PendingCall *pending;

        DL_FOREACH (call->pending.bus->calls, pending) {
                LookCall *other = (LookCall *) pending;

                if (pending->kind == &kind && other->waits && is_alike(other, call))
                        return other;
        }
        return NULL;
}

/* The end of a look, or of a call that had asked for one: those that waited for it have theirs together. */
static void release(PendingCall *pending)
{
        LookCall *call = (LookCall *) pending, *waiting;

        call->question = survey_cancel(call->question);
        if (!pending->has_uid || call->waits || another_looks(call))
                return;
        while ((waiting = find_waiting(call)))
                look(waiting);
}

static void identified(PendingCall *pending)
{
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        LookCall *call = (LookCall *) pending;
        int r = request_identify(pending->bus, &call->options, pending->uid, &error);

        if (r < 0) {
                pending_fail(pending, &error, r);
                return;
        }
        if (needs_no_look(call))
                answer(call, 0);
        else if (another_looks(call))
                call->waits = true;
        else
                look(call);
}

static const PendingKind kind = {
        .size = sizeof(LookCall),
        .room = PENDING_LOOKS,
        .identified = identified,
        .release = release,
};

static int start(Bus *bus, sd_bus_message *message, const Device *device, const LookCall *arguments,
                 sd_bus_error *error)
{
        PendingCall *pending;
        LookCall *call;
        int r = pending_new(bus, &kind, message, &pending, error);

        if (r < 0)
                return r;
        call = (LookCall *) pending;
        call->address = device->facts.address;
        call->generation = device->generation;
        call->what = arguments->what;
        memcpy(call->method, arguments->method, sizeof(call->method));
        call->options = arguments->options;
        return pending_begin(pending);
}

int handle_plan(Bus *bus, sd_bus_message *message, Device *device, sd_bus_error *error)
{
        LookCall arguments = {.what = LOOK_FOR_PLAN};
        const char *method;
        int r;

        r = sd_bus_message_read(message, "s", &method);
        if (r >= 0)
                r = request_read(bus, message, NULL, 0, &arguments.options, error);
        if (r < 0)
                return r;
        if (strlen(method) >= RESET_METHOD_NAME_MAX)
                return invalid_method(error, &device->facts.address, method);
        (void) utf8_quote(method, arguments.method, sizeof(arguments.method));
        return start(bus, message, device, &arguments, error);
}

int handle_get_holders(Bus *bus, sd_bus_message *message, Device *device, sd_bus_error *error)
{
        const LookCall arguments = {.what = LOOK_FOR_HOLDERS};
        int r = options_read(message, NULL, 0, error);

        return r < 0 ? r : start(bus, message, device, &arguments, error);
}

static int is_free(void *userdata, Device *device)
{
        return device->lease ? -EBUSY : 0;
}

/* Whether the answer depends on whose uid the caller has, which has to be asked for. */
static int depends_on_uid(Device *device, const PlanAsker *asker)
{
        int r = plan_for_each_concerned(device, is_free, NULL);

        return r == -EBUSY ? true : r < 0 ? r : asker->lease[0] != '\0';
}

int handle_get_methods(Bus *bus, sd_bus_message *message, Device *device, sd_bus_error *error)
{
        _cleanup_(cleanup_sd_bus_message_unref) sd_bus_message *reply = NULL;
        LookCall arguments = {.what = LOOK_FOR_METHODS};
        int r, wait;

        r = request_read(bus, message, NULL, 0, &arguments.options, error);
        if (r < 0)
                return r;
        r = use_is_known(device);
        if (r < 0)
                return r;
        wait = r > 0 ? depends_on_uid(device, &arguments.options.plan.asker) : true;
        if (wait < 0)
                return wait;
        if (wait > 0)
                return start(bus, message, device, &arguments, error);
        r = refresh_concerned(device, error);
        if (r < 0)
                return r;

        r = sd_bus_message_new_method_return(message, &reply);
        if (r >= 0)
                r = append_methods(reply, bus, device, &arguments.options.plan);
        return r < 0 ? r : sd_bus_message_send(reply);
}
