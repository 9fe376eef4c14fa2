/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The objects that clients see. Each file that exports one registers its vtable with the Bus as userdata.
 */

#include "daemon/bus/context.h"

int manager_export(Bus *bus);
int device_export(Bus *bus);
int job_export(Bus *bus);

/* Each appends an entry of a{oa{sa{sv}}}. */
int device_append(Bus *bus, sd_bus_message *reply, Device *device);
int job_append(Bus *bus, sd_bus_message *reply, Job *job);
