/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Reset: a call that waits, minutes maybe, for the end of its job.
 *
 *   handle_reset()      parses; asks the bus whose uid the sender has      ──► on_uid()
 *   on_uid()            looks the device up again, submits the job         ──► bus_authorize()
 *   bus_authorize()     asks polkit for each action of the rung in turn    ──► on_granted()
 *   on_granted()        hands the answer to the job, which goes its way    ──► reset_call_job_event()
 *   reset_call_job_event()  replies when the job has finished
 *
 * A caller that leaves the bus (callers.h) takes its job along unless it has begun.
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

#include "daemon/bus/bus.h"
#include "daemon/bus/callers.h"
#include "daemon/bus/calls.h"
#include "daemon/bus/job-facts.h"
#include "daemon/bus/options.h"
#include "daemon/bus/path.h"
#include "daemon/bus/polkit.h"
#include "daemon/system/journal.h"
#include "shared/cleanup.h"
#include "shared/utf8.h"

#define SECOND_USEC UINT64_C(1000000)

/* The slowest ladder of the kernel's on a dead device takes some five minutes, and others may stand before
 * it. */
#define TIMEOUT_DEFAULT_USEC (15 * 60 * SECOND_USEC)
#define TIMEOUT_MIN_USEC     (1 * SECOND_USEC)
#define TIMEOUT_MAX_USEC     (60 * 60 * SECOND_USEC)

/* Beside the limits on jobs, one on calls that have not become jobs yet. */
#define CALLS_MAX (JOBS_MAX + 256U)

struct ResetCall {
        Bus *bus;
        sd_bus_message *message;
        PciAddress address;
        uint64_t generation; /* of the device that the call named */
        JobRequest request;
        uint64_t timeout_usec;

        sd_bus_slot *uid_slot;
        sd_event_source *timer;
        Job *job; /* NULL before it is submitted */
        PolkitQuery *query;
        unsigned action_cursor;
        const char *action; /* the one that is being asked for */
        ResetCall *prev, *next;
};

DEFINE_CLEANUP(sd_bus_message *, sd_bus_message_unref);

static void call_free(ResetCall *call)
{
        Bus *bus = call->bus;

        DL_DELETE(bus->calls, call);
        bus->n_calls--;
        callers_unwatch(bus);
        polkit_query_free(call->query);
        sd_bus_slot_unref(call->uid_slot);
        sd_event_source_disable_unref(call->timer);
        sd_bus_message_unref(call->message);
        free(call);
}

void reset_calls_free(Bus *bus)
{
        ResetCall *call, *next;

        DL_FOREACH_SAFE (bus->calls, call, next)
                call_free(call);
}

/* Replies with an error that has no job, and ends the call. */
static void refuse(ResetCall *call, const char *name, const char *text)
{
        char address[PCI_ADDRESS_STRING_MAX];

        (void) sd_bus_reply_method_errorf(call->message, name, "%s: %s",
                                          pci_address_format(&call->address, address), text);
        call_free(call);
}

/* The names of errors that D-Bus has its own word for. */
static const char *error_name(ResetError error, char buffer[static 64])
{
        if (error == RESET_ACCESS_DENIED)
                return SD_BUS_ERROR_ACCESS_DENIED;
        if (error == RESET_INTERACTION_REQUIRED)
                return SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED;
        (void) snprintf(buffer, 64, BUS_ERROR_PREFIX "%s", reset_error_to_string(error));
        return buffer;
}

static int reply(ResetCall *call, const Job *job, ResetError error)
{
        _cleanup_(cleanup_sd_bus_message_unref) sd_bus_message *message = NULL;
        _cleanup_free_ char *text = NULL;
        char name[64];
        int r;

        if (error == RESET_OK) {
                r = sd_bus_message_new_method_return(call->message, &message);
        } else {
                text = job_error_text(job, error);
                r = sd_bus_message_new_method_error(
                        call->message, &message,
                        &SD_BUS_ERROR_MAKE_CONST(error_name(error, name), text ? text : "Out of memory."));
        }
        if (r >= 0)
                r = append_job_result(message, job);
        return r < 0 ? r : sd_bus_message_send(message);
}

static void emit_job_signal(Bus *bus, const Job *job, bool added)
{
        char path[OBJECT_PATH_MAX], address[PCI_ADDRESS_STRING_MAX];

        job_path(job->id, path);
        pci_address_format(&job->target.address, address);
        if (added) {
                (void) sd_bus_emit_interfaces_added(bus->bus, path, JOB_IFACE, NULL);
                (void) sd_bus_emit_signal(bus->bus, BUS_PATH, MANAGER_IFACE, "JobNew", "uos", job->id, path,
                                          address);
        } else {
                (void) sd_bus_emit_signal(bus->bus, BUS_PATH, MANAGER_IFACE, "JobRemoved", "uoss", job->id,
                                          path, address, reset_error_to_string(job->error));
                (void) sd_bus_emit_interfaces_removed(bus->bus, path, JOB_IFACE, NULL);
        }
}

static void on_finished(Bus *bus, Job *job)
{
        ResetCall *call = job->request.client;
        int r;

        if (job->announced)
                emit_job_signal(bus, job, false);
        if (!call)
                return;
        r = reply(call, job, job->error);
        if (r < 0)
                journal_bus_failed("A reply", r);
        call_free(call);
}

void bus_job_event(Bus *bus, Job *job, JobEvent event)
{
        char path[OBJECT_PATH_MAX];

        switch (event) {
        case JOB_EVENT_REQUESTED:
        case JOB_EVENT_STARTED:
        case JOB_EVENT_PREPARE:
        case JOB_EVENT_RELAX:
                break;
        case JOB_EVENT_ANNOUNCED:
                emit_job_signal(bus, job, true);
                break;
        case JOB_EVENT_CHANGED:
                (void) sd_bus_emit_properties_changed(bus->bus, job_path(job->id, path), JOB_IFACE, "Method",
                                                      "ResetSet", "Phase", "StartedAt", NULL);
                break;
        case JOB_EVENT_FINISHED:
                on_finished(bus, job);
                break;
        }
}

/* Asks for the next action of the rung. Returns 1 if it was asked, 0 if there is none left, or negative
 * errno. */
static int ask_next(ResetCall *call);

static void on_granted(void *userdata, Grant grant)
{
        ResetCall *call = userdata;
        Job *job = call->job;
        int r;

        call->query = NULL;
        journal_authorized(job, call->action, grant);
        if (grant == GRANT_YES) {
                r = ask_next(call);
                if (r > 0)
                        return;
                if (r < 0)
                        grant = GRANT_FAILED;
        }
        job_authorized(job, grant);
}

/* The addresses of the reset set, with blanks between them. */
static char *format_set(const Job *job)
{
        char *text = malloc(job->n_members * PCI_ADDRESS_STRING_MAX + 1), *p = text;
        char address[PCI_ADDRESS_STRING_MAX];

        if (!text)
                return NULL;
        *p = '\0';
        for (size_t i = 0; i < job->n_members; i++) {
                if (i > 0)
                        *p++ = ' ';
                p = stpcpy(p, pci_address_format(&job->members[i].address, address));
        }
        return text;
}

static int ask_next(ResetCall *call)
{
        const Job *job = call->job;
        const Device *device = job_target_device(job);
        char address[PCI_ADDRESS_STRING_MAX], vendor_id[8], device_id[8], class[12], message[160];
        _cleanup_free_ char *set = NULL;
        int r;

        call->action = action_next(job->actions, &call->action_cursor);
        if (!call->action)
                return 0;
        set = format_set(job);
        if (!set)
                return -ENOMEM;
        if (!device)
                return -ENODEV;

        (void) snprintf(vendor_id, sizeof(vendor_id), "0x%04x", device->facts.vendor);
        (void) snprintf(device_id, sizeof(device_id), "0x%04x", device->facts.device);
        (void) snprintf(class, sizeof(class), "0x%06x", device->facts.class);
        pci_address_format(&job->target.address, address);
        (void) snprintf(message, sizeof(message), "Authentication is required to reset PCI device %s by %s",
                        address, job->method);

        const PolkitDetail details[] = {
                {"device", address},
                {"vendor_id", vendor_id},
                {"device_id", device_id},
                {"class", class},
                {"driver", device->facts.driver},
                {"method", job->method},
                {"scope", reset_scope_to_string(reset_method_scope(job->method))},
                {"reset_set", set},
                {"in_use", job->actions & ACTION_RESET_IN_USE ? "true" : "false"},
                {"owner", ""},
                {"polkit.message", message},
        };
        r = polkit_ask(call->bus->bus, sd_bus_message_get_sender(call->message), call->action, details,
                       ELEMENTSOF(details),
                       sd_bus_message_get_allow_interactive_authorization(call->message) > 0, on_granted,
                       call, &call->query);
        return r < 0 ? r : 1;
}

int bus_authorize(Bus *bus, Job *job)
{
        ResetCall *call = job->request.client;
        int r;

        if (!call)
                return -ENOTCONN;
        call->job = job;
        call->action_cursor = 0;
        r = ask_next(call);
        /* A rung without an action would be a grant by accident. */
        return r == 0 ? -EINVAL : r;
}

void bus_forget_authorization(Bus *bus, Job *job)
{
        ResetCall *call = job->request.client;

        if (call)
                call->query = polkit_query_free(call->query);
}

/* The caller has left. Its call ends here; its job too, unless it has begun. */
static void abandon(ResetCall *call)
{
        if (call->job) {
                job_detach(call->job);
                (void) job_cancel(call->job, RESET_CANCELLED);
        }
        call_free(call);
}

static ResetCall *find_call_of(const Bus *bus, const char *sender)
{
        ResetCall *call;

        DL_FOREACH (bus->calls, call) {
                if (strcmp(sd_bus_message_get_sender(call->message), sender) == 0)
                        return call;
        }
        return NULL;
}

void reset_calls_abandon(Bus *bus, const char *sender)
{
        ResetCall *call;

        /* From the start each time: a job that ends lets others begin, of which any may fail at once, and
         * that ends their calls too. */
        while ((call = find_call_of(bus, sender)))
                abandon(call);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
        ResetCall *call = userdata;
        Job *job = call->job;

        if (!job) {
                refuse(call, BUS_ERROR_PREFIX "TimedOut",
                       "the time given was over before it was known who asks.");
                return 0;
        }
        /* This replies, unless the reset has begun: then the call ends alone. */
        if (job_cancel(job, RESET_TIMED_OUT) == -EBUSY) {
                (void) reply(call, job, RESET_TIMED_OUT);
                job_detach(job);
                call_free(call);
        }
        return 0;
}

/* The bus has told whose uid the sender has. */
static int on_uid(sd_bus_message *answer, void *userdata, sd_bus_error *error)
{
        ResetCall *call = userdata;
        Bus *bus = call->bus;
        Device *device;
        uint32_t uid;
        int r;

        call->uid_slot = sd_bus_slot_unref(call->uid_slot);
        if (callers_read_uid(answer, &uid) < 0) {
                refuse(call, SD_BUS_ERROR_ACCESS_DENIED,
                       "the bus cannot tell who asks, so nothing is done.");
                return 0;
        }
        device = registry_find(bus->registry, &call->address);
        if (!device || device->generation != call->generation) {
                refuse(call, BUS_ERROR_PREFIX "DeviceGone", DEVICE_GONE_TEXT);
                return 0;
        }
        call->request.uid = uid;
        call->request.client = call;
        r = jobs_submit(bus->jobs, device, &call->request);
        if (r < 0)
                refuse(call, SD_BUS_ERROR_NO_MEMORY, "out of memory.");
        return 0;
}

static int start_call(Bus *bus, ResetCall *call)
{
        int r;

        r = callers_watch(bus);
        if (r >= 0)
                r = sd_event_add_time_relative(bus->event, &call->timer, CLOCK_BOOTTIME, call->timeout_usec,
                                               SECOND_USEC, on_timeout, call);
        if (r >= 0)
                r = callers_ask_uid(bus, call->message, on_uid, call, &call->uid_slot);
        return r;
}

int handle_reset(Bus *bus, sd_bus_message *message, Device *device, sd_bus_error *error)
{
        uint64_t timeout_usec = TIMEOUT_DEFAULT_USEC;
        JobRequest request = {};
        Option options[] = {
                {"in_use", SD_BUS_TYPE_BOOLEAN, &request.plan.in_use},
                {"no_wait", SD_BUS_TYPE_BOOLEAN, &request.no_wait},
                {"timeout_usec", SD_BUS_TYPE_UINT64, &timeout_usec, TIMEOUT_MIN_USEC, TIMEOUT_MAX_USEC},
        };
        const char *method;
        ResetCall *call;
        int r;

        r = sd_bus_message_read(message, "s", &method);
        if (r >= 0)
                r = options_read(message, options, ELEMENTSOF(options), error);
        if (r < 0)
                return r;
        if (strlen(method) >= sizeof(request.method))
                return invalid_method(error, &device->facts.address, method);
        /* It goes to the journal before it is known to be no method. */
        (void) utf8_quote(method, request.method, sizeof(request.method));
        if (bus->n_calls >= CALLS_MAX)
                return sd_bus_error_setf(
                        error, BUS_ERROR_PREFIX "LimitsExceeded",
                        "Too many calls are waiting. Wait until some have ended and ask again.");

        call = calloc(1, sizeof(ResetCall));
        if (!call)
                return -ENOMEM;
        call->bus = bus;
        call->message = sd_bus_message_ref(message);
        call->address = device->facts.address;
        call->generation = device->generation;
        call->request = request;
        call->timeout_usec = timeout_usec;
        DL_APPEND(bus->calls, call);
        bus->n_calls++;

        r = start_call(bus, call);
        if (r < 0) {
                call_free(call);
                return r;
        }
        return 1;
}
