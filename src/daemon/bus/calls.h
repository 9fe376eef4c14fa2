/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What calls do, behind the objects that take them: methods that Manager and Device have in common, and
 * those that wait for polkit. `message` is read from the method argument on. Handlers return as sd-bus wants
 * it.
 */

#include "daemon/bus/context.h"

/* plan.c: what could be done, as messages tell it. */
/* Reads the live facts of everything that a plan for the device may look at. */
int refresh_concerned(Device *device, sd_bus_error *error);
/* The a(sa{sv}) that GetMethods answers with, from live facts. */
int append_methods(sd_bus_message *message, Bus *bus, Device *device, const PlanOptions *options);
/* The a{sv} that Plan answers with. */
int append_plan(sd_bus_message *message, const Bus *bus, const Plan *plan, uint32_t viewer_uid);
/* Sets InvalidMethod. */
int invalid_method(sd_bus_error *error, const PciAddress *address, const char *method);

/* look.c: have it looked up who uses the devices. */
int handle_get_methods(Bus *bus, sd_bus_message *message, Device *device, sd_bus_error *error);
int handle_plan(Bus *bus, sd_bus_message *message, Device *device, sd_bus_error *error);
int handle_get_holders(Bus *bus, sd_bus_message *message, Device *device, sd_bus_error *error);

/* reset.c: waits for its job. */
int handle_reset(Bus *bus, sd_bus_message *message, Device *device, sd_bus_error *error);
/* The same by `recover`, which is no argument then. */
int handle_recover(Bus *bus, sd_bus_message *message, Device *device, sd_bus_error *error);

/* claim.c: leases and inhibitors. */
int handle_acquire(Bus *bus, sd_bus_message *message, sd_bus_error *error);
int handle_inhibit(Bus *bus, sd_bus_message *message, sd_bus_error *error);
int handle_list_claims(Bus *bus, sd_bus_message *message, bool leases, sd_bus_error *error);

/* policy.c: the first three ask polkit, and wait for the disk. */
int handle_set_policy(Bus *bus, sd_bus_message *message, sd_bus_error *error);
int handle_set_device_policy(Bus *bus, sd_bus_message *message, const Device *device, sd_bus_error *error);
int handle_unset_policy(Bus *bus, sd_bus_message *message, sd_bus_error *error);
int handle_get_policy(Bus *bus, sd_bus_message *message, Device *device, sd_bus_error *error);
int handle_list_policies(Bus *bus, sd_bus_message *message, sd_bus_error *error);

/* history.c: what became of resets. */
#define HISTORY_UNREADABLE_TEXT                                                                             \
        "The history cannot be read. See the journal of pciresetd; devices are reset as before"
/* `device`: only its own history; NULL: all. */
int handle_get_history(Bus *bus, sd_bus_message *message, const Device *device, sd_bus_error *error);
/* Reads an a{sv} of what rows have to match. */
int history_filter_read(sd_bus_message *message, const Device *device, HistoryFilter *ret,
                        sd_bus_error *error);
/* May this user ask for these rows? Sets AccessDenied. */
int history_filter_check(const HistoryFilter *filter, uint32_t viewer_uid, sd_bus_error *error);
/* history-transfer.c: from machine to machine. */
int handle_export_history(Bus *bus, sd_bus_message *message, sd_bus_error *error);
int handle_import_history(Bus *bus, sd_bus_message *message, sd_bus_error *error);

/* quarantine.c: in and out by hand. */
int handle_quarantine(Bus *bus, sd_bus_message *message, const Device *device, sd_bus_error *error);
int handle_release_quarantine(Bus *bus, sd_bus_message *message, const Device *device, sd_bus_error *error);
/* The value of Device.Quarantine: an a{sv}, empty if the device is in none. */
int append_quarantine(sd_bus_message *message, const Device *device);

/* health.c: asks polkit and a worker only with the option probe. */
int handle_get_health(Bus *bus, sd_bus_message *message, const Device *device, sd_bus_error *error);

/* cancel.c: asks polkit before it does anything. */
int handle_cancel(Bus *bus, sd_bus_message *message, const Job *job, sd_bus_error *error);
