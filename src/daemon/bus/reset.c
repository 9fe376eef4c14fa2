/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Reset: a call that waits, minutes maybe, for the end of its job.
 *
 *   handle_reset()      parses; asks the bus whose uid the sender has      ──► identified()
 *   identified()        looks the device up again, submits the job         ──► bus_authorize()
 *   bus_authorize()     asks polkit for each action of the rung in turn    ──► on_granted()
 *   on_granted()        hands the answer to the job, which goes its way    ──► bus_job_event()
 *   bus_job_event()     makes the reply when the job has finished          ──► on_stored()
 *   on_stored()         sends it, with the id that the history gave the attempt
 *
 * The reply waits for the disk for a moment only: without an answer of the history's it has no id.
 *
 * A caller that leaves the bus takes its job along unless it has begun (pending.h).
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "daemon/bus/bus.h"
#include "daemon/bus/calls.h"
#include "daemon/bus/details.h"
#include "daemon/bus/job-facts.h"
#include "daemon/bus/path.h"
#include "daemon/bus/pending.h"
#include "daemon/bus/request.h"
#include "daemon/system/journal.h"
#include "shared/cleanup.h"
#include "shared/utf8.h"

#define SECOND_USEC UINT64_C(1000000)

/* The slowest ladder of the kernel's on a dead device takes some five minutes, and others may stand before
 * it. */
#define TIMEOUT_DEFAULT_USEC (15 * 60 * SECOND_USEC)
#define TIMEOUT_MIN_USEC     (1 * SECOND_USEC)
#define TIMEOUT_MAX_USEC     (60 * 60 * SECOND_USEC)
/* How long a reply waits for the history. */
#define STORE_USEC (1 * SECOND_USEC)

typedef struct ResetCall {
        PendingCall pending;
        PciAddress address;
        uint64_t generation; /* of the device that the call named */
        Request options;
        JobRequest request;
        sd_event_source *timer;
        Job *job; /* NULL before it is submitted */
        unsigned action_cursor;
        const char *action; /* the one that is being asked for */
        sd_bus_message *reply; /* that waits for the history: the job is over */
        AttemptLogQuestion *question;
} ResetCall;

DEFINE_CLEANUP(sd_bus_message *, sd_bus_message_unref);

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

/* All of the reply but for the history's id. */
static int make_reply(const ResetCall *call, const Job *job, ResetError error, sd_bus_message **ret)
{
        _cleanup_(cleanup_sd_bus_message_unref) sd_bus_message *message = NULL;
        _cleanup_free_ char *text = NULL;
        char name[64];
        int r;

        if (error == RESET_OK) {
                r = sd_bus_message_new_method_return(call->pending.message, &message);
        } else {
                text = job_error_text(job, call->pending.bus->claims, error);
                r = sd_bus_message_new_method_error(
                        call->pending.message, &message,
                        &SD_BUS_ERROR_MAKE_CONST(error_name(error, name), text ? text : "Out of memory."));
        }
        if (r >= 0)
                r = open_job_result(message, job, call->pending.bus->claims);
        if (r >= 0)
                *ret = steal_pointer(message);
        return r;
}

static void send_reply(ResetCall *call, int64_t history_id)
{
        int r = close_job_result(call->reply, history_id);

        if (r >= 0)
                r = sd_bus_message_send(call->reply);
        if (r < 0)
                journal_bus_failed("A reply", r);
        pending_end(&call->pending);
}

static void on_stored(void *userdata, int64_t id)
{
        ResetCall *call = userdata;

        call->question = NULL;
        send_reply(call, id);
}

/* From now on the timer is about the history. */
static int set_store_timer(ResetCall *call)
{
        uint64_t now;
        int r = sd_event_now(call->pending.bus->event, CLOCK_BOOTTIME, &now);

        if (r >= 0)
                r = sd_event_source_set_time(call->timer, now + STORE_USEC);
        if (r >= 0)
                r = sd_event_source_set_time_accuracy(call->timer, STORE_USEC / 10);
        return r < 0 ? r : sd_event_source_set_enabled(call->timer, SD_EVENT_ONESHOT);
}

static void reply_when_stored(ResetCall *call, const Job *job)
{
        int64_t id = 0;
        int r = make_reply(call, job, job->error, &call->reply);

        call->job = NULL;
        if (r < 0) {
                /* Whatever is wrong with what it says, somebody waits for it. */
                journal_bus_failed("A reply", r);
                pending_fail(&call->pending, NULL, r);
                return;
        }
        r = attempt_log_ask(call->pending.bus->log, job, on_stored, call, &call->question, &id);
        if (r <= 0 || set_store_timer(call) < 0)
                send_reply(call, id);
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

        if (job->announced)
                emit_job_signal(bus, job, false);
        if (call)
                reply_when_stored(call, job);
}

static int send_prepare(Bus *bus, const Job *job, bool begins)
{
        _cleanup_(cleanup_sd_bus_message_unref) sd_bus_message *message = NULL;
        int r;

        r = sd_bus_message_new_signal(bus->bus, &message, BUS_PATH, MANAGER_IFACE, "PrepareForReset");
        if (r >= 0)
                r = sd_bus_message_append(message, "u", job->id);
        if (r >= 0)
                r = append_reset_set(message, job);
        if (r >= 0)
                r = sd_bus_message_append(message, "b", begins);
        return r < 0 ? r : sd_bus_send(bus->bus, message, NULL);
}

void bus_job_event(Bus *bus, Job *job, JobEvent event)
{
        ResetCall *call = job->request.client;
        char path[OBJECT_PATH_MAX];

        switch (event) {
        case JOB_EVENT_REQUESTED:
                /* A job of the daemon's own has none. */
                if (call)
                        call->job = job;
                break;
        case JOB_EVENT_STARTED:
        case JOB_EVENT_ATTEMPT:
                break;
        case JOB_EVENT_PREPARE:
        case JOB_EVENT_RELAX:
                (void) send_prepare(bus, job, event == JOB_EVENT_PREPARE);
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

        call->pending.query = NULL;
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
        PolkitDetail details[DEVICE_DETAILS + 5];
        _cleanup_free_ char *set = NULL;
        DeviceDetails texts;
        char message[160];
        int r;

        call->action = action_next(job->actions, &call->action_cursor);
        if (!call->action)
                return 0;
        set = format_set(job);
        if (!set)
                return -ENOMEM;
        if (!device)
                return -ENODEV;

        fill_device_details(device, &texts, details);
        (void) snprintf(message, sizeof(message), "Authentication is required to reset PCI device %s by %s",
                        texts.address, job->method);
        details[DEVICE_DETAILS] = (PolkitDetail){"method", job->method};
        details[DEVICE_DETAILS + 1] = (PolkitDetail){"scope",
                                                     reset_scope_to_string(reset_method_scope(job->method))};
        details[DEVICE_DETAILS + 2] = (PolkitDetail){"reset_set", set};
        details[DEVICE_DETAILS + 3] = (PolkitDetail){"in_use",
                                                     job->actions & ACTION_RESET_IN_USE ? "true" : "false"};
        details[DEVICE_DETAILS + 4] = (PolkitDetail){"polkit.message", message};
        r = polkit_ask(call->pending.bus->bus, sd_bus_message_get_sender(call->pending.message),
                       call->action, details, ELEMENTSOF(details),
                       sd_bus_message_get_allow_interactive_authorization(call->pending.message) > 0,
                       on_granted, call, &call->pending.query);
        return r < 0 ? r : 1;
}

int bus_authorize(Bus *bus, Job *job)
{
        ResetCall *call = job->request.client;
        int r;

        if (!call)
                return -ENOTCONN;
        call->action_cursor = 0;
        r = ask_next(call);
        /* A rung without an action would be a grant by accident. */
        return r == 0 ? -EINVAL : r;
}

void bus_forget_authorization(Bus *bus, Job *job)
{
        ResetCall *call = job->request.client;

        if (call)
                call->pending.query = polkit_query_free(call->pending.query);
}

/* The caller has left. Its call ends here; its job too, unless it has begun. */
static void abandon(PendingCall *pending)
{
        ResetCall *call = (ResetCall *) pending;

        if (call->job) {
                job_detach(call->job);
                (void) job_cancel(call->job, RESET_CANCELLED);
        }
        pending_end(pending);
}

static void release(PendingCall *pending)
{
        ResetCall *call = (ResetCall *) pending;

        sd_event_source_disable_unref(call->timer);
        call->question = attempt_log_cancel(call->question);
        sd_bus_message_unref(call->reply);
}

int bus_job_fds(const Job *job, const int **fds, unsigned *n)
{
        const ResetCall *call = job->request.client;

        if (!call)
                return -ENOTCONN;
        *fds = call->options.groups.fds;
        *n = call->options.groups.n;
        return 0;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
        ResetCall *call = userdata;
        char address[PCI_ADDRESS_STRING_MAX];
        Job *job = call->job;
        int r;

        if (call->reply) {
                send_reply(call, 0);
                return 0;
        }
        if (!job) {
                pending_refuse(&call->pending, BUS_ERROR_PREFIX "TimedOut",
                               "%s: the time given was over before it was known who asks.",
                               pci_address_format(&call->address, address));
                return 0;
        }
        /* This replies, unless the reset has begun: then the call ends alone. */
        if (job_cancel(job, RESET_TIMED_OUT) == -EBUSY) {
                r = make_reply(call, job, RESET_TIMED_OUT, &call->reply);
                job_detach(job);
                if (r >= 0)
                        send_reply(call, 0);
                else
                        pending_fail(&call->pending, NULL, r);
        }
        return 0;
}

static void identified(PendingCall *pending)
{
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        ResetCall *call = (ResetCall *) pending;
        Bus *bus = pending->bus;
        char address[PCI_ADDRESS_STRING_MAX];
        Device *device;
        int r;

        device = registry_find(bus->registry, &call->address);
        if (!device || device->generation != call->generation) {
                pending_refuse(pending, BUS_ERROR_PREFIX "DeviceGone", "%s: " DEVICE_GONE_TEXT,
                               pci_address_format(&call->address, address));
                return;
        }
        r = request_identify(bus, &call->options, pending->uid, &error);
        if (r >= 0) {
                call->request.plan = call->options.plan;
                call->request.uid = pending->uid;
                call->request.client = call;
                r = jobs_submit(bus->jobs, device, &call->request);
        }
        if (r < 0)
                pending_fail(pending, &error, r);
}

/* `method`: what the caller's choice is; NULL: it is in the message. */
static int read_arguments(Bus *bus, sd_bus_message *message, const Device *device, const char *method,
                          JobRequest *ret_request, Request *ret_options, uint64_t *ret_timeout_usec,
                          sd_bus_error *error)
{
        const Option more[] = {
                {"no_wait", "b", &ret_request->no_wait},
                {"timeout_usec", "t", ret_timeout_usec, TIMEOUT_MIN_USEC, TIMEOUT_MAX_USEC},
        };
        int r = method ? 0 : sd_bus_message_read(message, "s", &method);

        if (r >= 0)
                r = request_read(bus, message, more, ELEMENTSOF(more), ret_options, error);
        if (r < 0)
                return r;
        if (strlen(method) >= sizeof(ret_request->method))
                return invalid_method(error, &device->facts.address, method);
        if (ret_options->plan.when_idle && ret_request->no_wait)
                return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
                                        "Options 'when_idle' and 'no_wait' contradict each other: the one "
                                        "waits, the other does not.");
        /* It goes to the journal before it is known to be no method. */
        (void) utf8_quote(method, ret_request->method, sizeof(ret_request->method));
        return 0;
}

/* For who names none. */
static uint64_t default_timeout_usec(Device *device)
{
        const EffectivePolicy *policy = registry_policy_of(device);

        return policy && policy->settings.timeout_usec > 0 ? policy->settings.timeout_usec
                                                           : TIMEOUT_DEFAULT_USEC;
}

static int handle(Bus *bus, sd_bus_message *message, Device *device, const char *method, sd_bus_error *error)
{
        static const PendingKind kind = {
                .size = sizeof(ResetCall),
                .room = PENDING_RESETS,
                .identified = identified,
                .abandon = abandon,
                .release = release,
        };
        uint64_t timeout_usec = 0;
        JobRequest request = {};
        Request options = {};
        PendingCall *pending;
        ResetCall *call;
        int r;

        r = read_arguments(bus, message, device, method, &request, &options, &timeout_usec, error);
        if (r >= 0)
                r = pending_new(bus, &kind, message, &pending, error);
        if (r < 0)
                return r;

        if (timeout_usec == 0)
                timeout_usec = default_timeout_usec(device);
        call = (ResetCall *) pending;
        call->address = device->facts.address;
        call->generation = device->generation;
        call->request = request;
        call->options = options;
        r = sd_event_now(bus->event, CLOCK_BOOTTIME, &call->request.deadline_usec);
        call->request.deadline_usec += timeout_usec;
        if (r >= 0)
                r = sd_event_add_time(bus->event, &call->timer, CLOCK_BOOTTIME, call->request.deadline_usec,
                                      SECOND_USEC, on_timeout, call);
        if (r < 0) {
                pending_end(pending);
                return r;
        }
        return pending_begin(pending);
}

int handle_reset(Bus *bus, sd_bus_message *message, Device *device, sd_bus_error *error)
{
        return handle(bus, message, device, NULL, error);
}

int handle_recover(Bus *bus, sd_bus_message *message, Device *device, sd_bus_error *error)
{
        return handle(bus, message, device, "recover", error);
}
