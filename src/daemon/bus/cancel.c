/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Job.Cancel: polkit decides. That may take minutes, so the call keeps the number of its job and nothing
 * else of it: whether the job is still there and has not begun is looked at when the answer has come.
 */

#include <stdio.h>

#include "daemon/bus/calls.h"
#include "daemon/bus/options.h"
#include "daemon/bus/path.h"
#include "daemon/bus/pending.h"
#include "shared/cleanup.h"

#define ACTION_MANAGE_JOBS ACTION_PREFIX "manage-jobs"

typedef struct CancelCall {
        PendingCall pending;
        uint32_t job;
} CancelCall;

static void refuse_ended(PendingCall *call, uint32_t id)
{
        pending_refuse(call, SD_BUS_ERROR_UNKNOWN_OBJECT, "Job %u has ended meanwhile.", id);
}

static void refuse_begun(PendingCall *call, uint32_t id)
{
        pending_refuse(
                call, BUS_ERROR_PREFIX "NotUsable",
                "Job %u cannot be cancelled: its reset has begun, and a reset cannot be stopped. Wait "
                "for its end.",
                id);
}

static void refuse_release(PendingCall *call, uint32_t id)
{
        pending_refuse(call, BUS_ERROR_PREFIX "NotUsable",
                       "Job %u cannot be cancelled: the policy wants the device to be reset before its next "
                       "user. Change the setting on_release, and it ends.",
                       id);
}

static void granted(PendingCall *pending)
{
        uint32_t id = ((CancelCall *) pending)->job;
        Job *job = jobs_find(pending->bus->jobs, id);

        if (!job) {
                refuse_ended(pending, id);
        } else if (job->request.plan.release) {
                refuse_release(pending, id);
        } else if (job_cancel(job, RESET_CANCELLED) < 0) {
                refuse_begun(pending, id);
        } else {
                (void) sd_bus_reply_method_return(pending->message, "");
                pending_end(pending);
        }
}

static void identified(PendingCall *pending)
{
        uint32_t id = ((CancelCall *) pending)->job;
        const Job *job = jobs_find(pending->bus->jobs, id);
        char address[PCI_ADDRESS_STRING_MAX], uid[16], purpose[32];

        if (!job) {
                refuse_ended(pending, id);
                return;
        }
        (void) snprintf(uid, sizeof(uid), "%u", job->request.uid);
        (void) snprintf(purpose, sizeof(purpose), "cancel job %u", id);

        const PolkitDetail details[] = {
                {"device", pci_address_format(&job->target.address, address)},
                {"method", job->method},
                {"uid", uid},
        };
        pending_authorize(pending, ACTION_MANAGE_JOBS, purpose, details, ELEMENTSOF(details));
}

int handle_cancel(Bus *bus, sd_bus_message *message, const Job *job, sd_bus_error *error)
{
        static const PendingKind kind = {
                .size = sizeof(CancelCall),
                .room = PENDING_CHANGES,
                .identified = identified,
                .granted = granted,
        };
        PendingCall *call;
        int r;

        r = options_read(message, NULL, 0, error);
        if (r >= 0)
                r = pending_new(bus, &kind, message, &call, error);
        if (r < 0)
                return r;
        ((CancelCall *) call)->job = job->id;
        return pending_begin(call);
}
