/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the parts of the stand-in share: see fake-daemon.c.
 */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#define BUS_NAME    "org.pciresetd1"
#define ROOT        "/org/pciresetd1"
#define DEVICE_ROOT ROOT "/device"
#define MANAGER     "org.pciresetd1.Manager"
#define DEVICE      "org.pciresetd1.Device"
#define JOB         "org.pciresetd1.Job"
#define PROPERTIES  "org.freedesktop.DBus.Properties"
#define OBJECTS     "org.freedesktop.DBus.ObjectManager"
#define FOREIGN_JOB 41U
#define OUR_JOB     42U
#define STEP_USEC   600000U

#define HOSTILE "evil\033[2J\033]0;owned\a\nfake line \302\2331m\342\200\256txt\177"

extern sd_event *event;

/* Tells the script, which must not guess by time. */
void tell(const char *what);

/* The path of a device, in a buffer that the next but three call overwrites. */
const char *path_of(const char *address);

/* Replies with an error that has no evidence. */
int reply_error(sd_bus_message *call, const char *name, const char *text);

/* fake-reset.c: Reset and its scenes; the phase of the job that a scene is in. */
int on_reset(sd_bus_message *call, void *userdata, sd_bus_error *error);
const char *job_phase(void);

/* The options that come next in the call, as text. */
const char *seen_options(sd_bus_message *call);

/* fake-claims.c: who uses devices, who has taken them, who forbids their reset. */
int on_holders(sd_bus_message *call, void *userdata, sd_bus_error *error);
int on_leases(sd_bus_message *call, void *userdata, sd_bus_error *error);
int on_inhibitors(sd_bus_message *call, void *userdata, sd_bus_error *error);
int on_acquire(sd_bus_message *call, void *userdata, sd_bus_error *error);
int on_inhibit(sd_bus_message *call, void *userdata, sd_bus_error *error);

/* Appends rows aa{sv} of all kinds of holders, as the value of a variant or of a reply. */
int append_holders(sd_bus_message *m);
