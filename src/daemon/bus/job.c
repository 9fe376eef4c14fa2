/* SPDX-License-Identifier: GPL-2.0-or-later */

/* org.pciresetd1.Job: one object for each announced job. */

#include <errno.h>
#include <string.h>

#include "daemon/bus/calls.h"
#include "daemon/bus/job-facts.h"
#include "daemon/bus/objects.h"
#include "daemon/bus/path.h"
#include "daemon/bus/tree.h"

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

static int cancel(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        Bus *bus = sd_bus_slot_get_userdata(sd_bus_get_current_slot(sd_bus_message_get_bus(message)));

        return handle_cancel(bus, message, userdata, error);
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

int job_append(Bus *bus, sd_bus_message *reply, Job *job)
{
        char path[OBJECT_PATH_MAX];

        return tree_append_object(bus, reply, job_path(job->id, path), JOB_IFACE, job_vtable, NULL, job);
}

int job_export(Bus *bus)
{
        int r;

        r = sd_bus_add_fallback_vtable(bus->bus, NULL, JOB_PREFIX, JOB_IFACE, job_vtable, find, bus);
        if (r < 0)
                return r;
        return sd_bus_add_node_enumerator(bus->bus, NULL, JOB_PREFIX, enumerate, bus);
}
