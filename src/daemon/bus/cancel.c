/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Job.Cancel. polkit may take minutes to answer, so the call keeps the number of its job and nothing else of
 * it: whether the job is still there and has not begun is looked at when the answer has come.
 */

#include <errno.h>
#include <stdio.h>
#include <utlist.h>

#include "daemon/bus/calls.h"
#include "daemon/bus/options.h"
#include "daemon/bus/path.h"
#include "daemon/bus/polkit.h"
#include "shared/cleanup.h"

#define ACTION_MANAGE_JOBS ACTION_PREFIX "manage-jobs"
#define CANCEL_CALLS_MAX   64U

struct CancelCall {
        Bus *bus;
        sd_bus_message *message;
        uint32_t job;
        PolkitQuery *query;
        CancelCall *prev, *next;
};

static void cancel_call_free(CancelCall *call)
{
        DL_DELETE(call->bus->cancels, call);
        call->bus->n_cancels--;
        polkit_query_free(call->query);
        sd_bus_message_unref(call->message);
        free(call);
}

void cancel_calls_free(Bus *bus)
{
        CancelCall *call, *next;

        DL_FOREACH_SAFE (bus->cancels, call, next)
                cancel_call_free(call);
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
                (void) sd_bus_reply_method_errorf(call->message, SD_BUS_ERROR_UNKNOWN_OBJECT,
                                                  "Job %u has ended meanwhile.", call->job);
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

int handle_cancel(Bus *bus, sd_bus_message *message, const Job *job, sd_bus_error *error)
{
        CancelCall *call;
        int r;

        r = options_read(message, NULL, 0, error);
        if (r < 0)
                return r;
        if (bus->n_cancels >= CANCEL_CALLS_MAX)
                return sd_bus_error_setf(
                        error, BUS_ERROR_PREFIX "LimitsExceeded",
                        "Too many calls are waiting. Wait until some have ended and ask again.");

        call = calloc(1, sizeof(CancelCall));
        if (!call)
                return -ENOMEM;
        call->bus = bus;
        call->message = sd_bus_message_ref(message);
        call->job = job->id;
        DL_APPEND(bus->cancels, call);
        bus->n_cancels++;
        r = ask(call, job);
        if (r < 0) {
                cancel_call_free(call);
                return r;
        }
        return 1;
}
