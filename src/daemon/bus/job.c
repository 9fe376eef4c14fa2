/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * org.pciresetd1.Job: one object for each announced job, and Cancel, which asks polkit before it does
 * anything.
 */

#include <errno.h>
#include <string.h>
#include <utlist.h>

#include "daemon/bus/bus-internal.h"
#include "daemon/bus/job-facts.h"
#include "daemon/bus/options.h"
#include "daemon/bus/polkit.h"
#include "shared/cleanup.h"

#define JOB_PREFIX         BUS_PATH "/job"
#define ACTION_MANAGE_JOBS ACTION_PREFIX "manage-jobs"
#define CANCEL_CALLS_MAX   64U

typedef struct CancelCall CancelCall;

struct CancelCall {
        Bus *bus;
        sd_bus_message *message;
        uint32_t job;
        PolkitQuery *query;
        CancelCall *prev, *next;
};

static int find(sd_bus *connection, const char *path, const char *interface, void *userdata, void **ret,
                sd_bus_error *error)
{
        Bus *bus = userdata;
        char canonical[OBJECT_PATH_MAX];
        unsigned long id;
        Job *job;

        if (strncmp(path, JOB_PREFIX "/", strlen(JOB_PREFIX "/")) != 0)
                return 0;
        id = strtoul(path + strlen(JOB_PREFIX "/"), NULL, 10);
        job = id <= UINT32_MAX ? jobs_find(bus->jobs, (uint32_t) id) : NULL;
        /* A job has one path: no leading zeros, signs or anything behind the number. */
        if (!job || !job->announced || strcmp(job_path(job->id, canonical), path) != 0)
                return 0;
        *ret = job;
        return 1;
}

static int enumerate(sd_bus *connection, const char *prefix, void *userdata, char ***ret,
                     sd_bus_error *error)
{
        Bus *bus = userdata;
        char **nodes = calloc(JOBS_MAX + 1, sizeof(char *));
        char path[OBJECT_PATH_MAX];
        size_t n = 0;

        if (!nodes)
                return -ENOMEM;
        for (const Job *job = jobs_next(bus->jobs, NULL); job && n < JOBS_MAX;
             job = jobs_next(bus->jobs, job)) {
                if (!job->announced)
                        continue;
                nodes[n] = strdup(job_path(job->id, path));
                if (!nodes[n])
                        break;
                n++;
        }
        *ret = nodes;
        return 0;
}

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

static int cancel(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        Bus *bus = sd_bus_slot_get_userdata(sd_bus_get_current_slot(sd_bus_message_get_bus(message)));
        const Job *job = userdata;
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

#define GETTER(name)                                                                                        \
        static int name(sd_bus *connection, const char *path, const char *interface, const char *property,  \
                        sd_bus_message *reply, void *userdata, sd_bus_error *error)

GETTER(get_device)
{
        const Job *job = userdata;
        char text[OBJECT_PATH_MAX];

        return sd_bus_message_append(reply, "o", device_path(&job->target.address, text));
}

GETTER(get_method)
{
        return sd_bus_message_append(reply, "s", ((const Job *) userdata)->method);
}

GETTER(get_reset_set)
{
        return append_reset_set(reply, userdata);
}

GETTER(get_phase)
{
        return sd_bus_message_append(reply, "s", job_phase_to_string(((const Job *) userdata)->phase));
}

static const sd_bus_vtable job_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Cancel", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT, cancel,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("Id", "u", NULL, offsetof(Job, id), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Device", "o", get_device, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Method", "s", get_method, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("ResetSet", "ao", get_reset_set, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Phase", "s", get_phase, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Uid", "u", NULL, offsetof(Job, request.uid), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("QueuedAt", "t", NULL, offsetof(Job, queued_at), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("StartedAt", "t", NULL, offsetof(Job, started_at),
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_VTABLE_END,
};

int job_export(Bus *bus)
{
        int r;

        r = sd_bus_add_fallback_vtable(bus->bus, NULL, JOB_PREFIX, JOB_IFACE, job_vtable, find, bus);
        if (r < 0)
                return r;
        return sd_bus_add_node_enumerator(bus->bus, NULL, JOB_PREFIX, enumerate, bus);
}
