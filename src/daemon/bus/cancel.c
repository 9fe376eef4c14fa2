/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Job.Cancel: asks whose uid the sender has, for the bounds, then polkit. That may take minutes, so the call
 * keeps the number of its job and nothing else of it: whether the job is still there and has not begun is
 * looked at when the answer has come.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "daemon/bus/callers.h"
#include "daemon/bus/calls.h"
#include "daemon/bus/options.h"
#include "daemon/bus/path.h"
#include "daemon/bus/polkit.h"
#include "shared/cleanup.h"

#define ACTION_MANAGE_JOBS ACTION_PREFIX "manage-jobs"
/* Below what the bus allows, together with AUTHORIZATIONS_MAX. */
#define CANCEL_CALLS_MAX         24U
#define CANCEL_CALLS_PER_UID_MAX 8U

#define LIMITS_EXCEEDED_TEXT "Too many calls are waiting. Wait until some have ended and ask again."

struct CancelCall {
        Bus *bus;
        sd_bus_message *message;
        uint32_t job;
        sd_bus_slot *uid_slot;
        bool has_uid;
        uint32_t uid;
        PolkitQuery *query;
        CancelCall *prev, *next;
};

static void cancel_call_free(CancelCall *call)
{
        Bus *bus = call->bus;

        DL_DELETE(bus->cancels, call);
        bus->n_cancels--;
        callers_unwatch(bus);
        polkit_query_free(call->query);
        sd_bus_slot_unref(call->uid_slot);
        sd_bus_message_unref(call->message);
        free(call);
}

void cancel_calls_free(Bus *bus)
{
        CancelCall *call, *next;

        DL_FOREACH_SAFE (bus->cancels, call, next)
                cancel_call_free(call);
}

void cancel_calls_abandon(Bus *bus, const char *sender)
{
        CancelCall *call, *next;

        DL_FOREACH_SAFE (bus->cancels, call, next) {
                if (strcmp(sd_bus_message_get_sender(call->message), sender) == 0)
                        cancel_call_free(call);
        }
}

static int refuse_ended(sd_bus_message *message, uint32_t id)
{
        return sd_bus_reply_method_errorf(message, SD_BUS_ERROR_UNKNOWN_OBJECT,
                                          "Job %u has ended meanwhile.", id);
}

static int refuse_begun(sd_bus_message *message, uint32_t id)
{
        return sd_bus_reply_method_errorf(
                message, BUS_ERROR_PREFIX "NotUsable",
                "Job %u cannot be cancelled: its reset has begun, and a reset cannot be "
                "stopped. Wait for its end.",
                id);
}

/* Everything is looked up again: minutes may have passed. */
static void on_granted(void *userdata, Grant grant)
{
        CancelCall *call = userdata;
        Job *job = jobs_find(call->bus->jobs, call->job);

        call->query = NULL;
        if (grant == GRANT_CHALLENGE)
                (void) sd_bus_reply_method_errorf(call->message,
                                                  SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                                                  "Cancelling job %u needs authentication (polkit action "
                                                  "%s). Call again with interactive authorization allowed.",
                                                  call->job, ACTION_MANAGE_JOBS);
        else if (grant != GRANT_YES)
                (void) sd_bus_reply_method_errorf(
                        call->message, SD_BUS_ERROR_ACCESS_DENIED,
                        "Not authorized to cancel job %u. An administrator can allow it "
                        "with a polkit rule for %s.",
                        call->job, ACTION_MANAGE_JOBS);
        else if (!job)
                (void) refuse_ended(call->message, call->job);
        else if (job_has_begun(job))
                (void) refuse_begun(call->message, call->job);
        else if (job_cancel(job, RESET_CANCELLED) >= 0)
                (void) sd_bus_reply_method_return(call->message, "");
        cancel_call_free(call);
}

static int ask(CancelCall *call, const Job *job)
{
        char address[PCI_ADDRESS_STRING_MAX], uid[16];
        const PolkitDetail details[] = {
                {"device", pci_address_format(&job->target.address, address)},
                {"method", job->method},
                {"uid", uid},
        };

        (void) snprintf(uid, sizeof(uid), "%u", job->request.uid);
        return polkit_ask(call->bus->bus, sd_bus_message_get_sender(call->message), ACTION_MANAGE_JOBS,
                          details, ELEMENTSOF(details),
                          sd_bus_message_get_allow_interactive_authorization(call->message) > 0, on_granted,
                          call, &call->query);
}

static bool within_limits(const CancelCall *call)
{
        const CancelCall *other;
        size_t n = 0;

        DL_FOREACH (call->bus->cancels, other)
                n += other->has_uid && other->uid == call->uid;
        return n <= CANCEL_CALLS_PER_UID_MAX;
}

/* The bus has told whose uid the sender has. */
static int on_uid(sd_bus_message *answer, void *userdata, sd_bus_error *error)
{
        CancelCall *call = userdata;
        const Job *job = jobs_find(call->bus->jobs, call->job);

        call->uid_slot = sd_bus_slot_unref(call->uid_slot);
        call->has_uid = callers_read_uid(answer, &call->uid) >= 0;
        if (!call->has_uid)
                (void) sd_bus_reply_method_errorf(call->message, SD_BUS_ERROR_ACCESS_DENIED,
                                                  "The bus cannot tell who asks, so nothing is done.");
        else if (!within_limits(call))
                (void) sd_bus_reply_method_errorf(call->message, BUS_ERROR_PREFIX "LimitsExceeded",
                                                  LIMITS_EXCEEDED_TEXT);
        else if (!job)
                (void) refuse_ended(call->message, call->job);
        else if (ask(call, job) < 0)
                (void) sd_bus_reply_method_errorf(call->message, SD_BUS_ERROR_NO_MEMORY, "Out of memory.");
        else
                return 0;
        cancel_call_free(call);
        return 0;
}

static int start_call(Bus *bus, CancelCall *call)
{
        int r = callers_watch(bus);

        return r < 0 ? r : callers_ask_uid(bus, call->message, on_uid, call, &call->uid_slot);
}

int handle_cancel(Bus *bus, sd_bus_message *message, const Job *job, sd_bus_error *error)
{
        CancelCall *call;
        int r;

        r = options_read(message, NULL, 0, error);
        if (r < 0)
                return r;
        if (bus->n_cancels >= CANCEL_CALLS_MAX)
                return sd_bus_error_set(error, BUS_ERROR_PREFIX "LimitsExceeded", LIMITS_EXCEEDED_TEXT);

        call = calloc(1, sizeof(CancelCall));
        if (!call)
                return -ENOMEM;
        call->bus = bus;
        call->message = sd_bus_message_ref(message);
        call->job = job->id;
        DL_APPEND(bus->cancels, call);
        bus->n_cancels++;
        r = start_call(bus, call);
        if (r < 0) {
                cancel_call_free(call);
                return r;
        }
        return 1;
}
