/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Calls on the system bus with a stop watch, and series of what it showed. Whatever goes wrong ends the
 * program: a number that is not right is worse than none.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

#include "shared/cleanup.h"

#define SERVICE  "org.pciresetd1"
#define ROOT     "/org/pciresetd1"
#define MANAGER  "org.pciresetd1.Manager"
#define DBUS     "org.freedesktop.DBus"
#define CALL_MAX UINT64_C(120000000) /* microseconds until a call counts as lost */

/* Series in one answer. */
#define SERIES_MAX 4U

typedef struct Series {
        const char *name;
        double *usec;
        size_t n;
} Series;

DEFINE_CLEANUP(sd_bus *, sd_bus_flush_close_unref);
DEFINE_CLEANUP(sd_bus_message *, sd_bus_message_unref);
DEFINE_CLEANUP(sd_bus_slot *, sd_bus_slot_unref);
#define _cleanup_bus_     _cleanup_(cleanup_sd_bus_flush_close_unref)
#define _cleanup_message_ _cleanup_(cleanup_sd_bus_message_unref)
#define _cleanup_error_   _cleanup_(sd_bus_error_free)

/* Says why, on stderr, and ends the program. */
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);
/* Microseconds of CLOCK_MONOTONIC. */
double now_usec(void);

/* A series without entries and with room for that many. `name` has to stay. */
Series series_new(const char *name, size_t n_max);
/* Prints them as one JSON object, and frees what they have. */
void series_print(Series *series, size_t n);

/* The bus asks the kernel who connects, at the time of connect(). */
sd_bus *connect_as(uid_t uid);
/* A call that is not yet sent, with the arguments that `types` tells; NULL for none. */
sd_bus_message *call_message(sd_bus *bus, const char *service, const char *path, const char *interface,
                             const char *member, const char *types, ...);
/* Makes the call, adds its time to the series, and consumes the message. The caller frees the answer. */
sd_bus_message *timed_call(Series *series, sd_bus *bus, sd_bus_message *message);
