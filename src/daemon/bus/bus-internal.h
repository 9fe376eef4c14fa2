/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the files of the bus layer share: the one object that holds the connection, and the object paths.
 */

#include "daemon/bus/bus.h"

typedef struct ResetCall ResetCall;

struct Bus {
        sd_event *event;
        sd_bus *bus;
        Names *names;
        Registry *registry;
        const Proven *proven;
        Jobs *jobs;

        /* Calls that wait for an answer of ours, and while there are any the match that tells who left the
         * bus. */
        ResetCall *calls;
        size_t n_calls;
        sd_bus_slot *vanished_match;
        /* Cancel calls that wait for polkit. */
        struct CancelCall *cancels;
        size_t n_cancels;

        /* Calls without reply that were dropped since the last journal entry about them, at this time. */
        unsigned n_noreply_suppressed;
        uint64_t noreply_reported_usec;
};

/* The longest path of ours: a prefix and an address, in which each `:` and `.` takes three characters. */
#define OBJECT_PATH_MAX 64U

const char *device_path(const PciAddress *address, char path[static OBJECT_PATH_MAX]);
const char *job_path(uint32_t id, char path[static OBJECT_PATH_MAX]);

/* Looks a device up for a call. Sets `error` and returns negative if the address is no address, or nothing
 * is there. */
int find_device(Bus *bus, const char *address, Device **ret, sd_bus_error *error);

/* Sets InvalidMethod. */
int invalid_method(sd_bus_error *error, const PciAddress *address, const char *method);

/* The vtables; each is registered with the Bus as userdata. */
int manager_export(Bus *bus);
int device_export(Bus *bus);
int job_export(Bus *bus);

/* Every call passes here first: what has no rule is refused, and what would change something needs a reply.
 */
int guard_install(Bus *bus);

void device_emit_changed(Bus *bus, const Device *device, unsigned changes);

/* The parts of methods that Manager and Device have in common. `message` is read from the method argument
 * on. */
int handle_get_methods(Bus *bus, sd_bus_message *message, Device *device, sd_bus_error *error);
int handle_plan(Bus *bus, sd_bus_message *message, Device *device, sd_bus_error *error);
int handle_reset(Bus *bus, sd_bus_message *message, Device *device, sd_bus_error *error);

/* Job.Cancel, which asks polkit first. */
int handle_cancel(Bus *bus, sd_bus_message *message, Job *job, sd_bus_error *error);
void cancel_calls_free(Bus *bus);

/* In reset.c: the calls that wait. */
void reset_call_job_event(Bus *bus, Job *job, JobEvent event);
void reset_calls_free(Bus *bus);
