/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What one run of the program is about: what was asked for on the command line, and the connection. Plain
 * data, so that whoever reports something about it needs nobody who does something with it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

#include "pcireset/bus-names.h"
#include "shared/address.h"

/* Documented in --help and pcireset(1): scripts rely on them. */
typedef enum ExitCode {
        EXIT_OK = 0,
        EXIT_OTHER = 1,
        EXIT_USAGE = 2,
        EXIT_NOT_AUTHORIZED = 3,
        EXIT_NO_DEVICE = 4,
        EXIT_NOT_NOW = 5,
        EXIT_RESET_FAILED = 6,
        EXIT_DEVICE_DEAD = 7,
        EXIT_TIMED_OUT = 8,
        EXIT_CANCELLED = 9,
        EXIT_UNREACHABLE = 10,

        /* Of the verbs that run a command, whose own exit status may be any: as env(1). */
        EXIT_NOT_RUN = 125, /* it was not tried, for any of the reasons above */
        EXIT_COMMAND_NOT_EXECUTED = 126,
        EXIT_COMMAND_NOT_FOUND = 127,
} ExitCode;

/* Which rows of the history. Nothing: all. */
typedef struct HistoryFilter {
        const char *method, *verdict, *source;
        const char *hardware; /* vvvv:dddd */
        uint64_t age_usec; /* no older than that */
        uint64_t limit;
} HistoryFilter;

typedef struct Client {
        sd_bus *bus;
        bool json;
        bool in_use;
        bool when_idle;
        bool no_wait;
        bool ask_password;
        bool with_serials;
        bool probe; /* look now */
        bool runtime; /* until the next boot only */
        bool yes; /* do not ask first */
        bool known_bad; /* also methods that are known to do harm */
        uint64_t count; /* how often, 0: not given */
        const char *output; /* a file, NULL: none */
        uint64_t timeout_usec; /* 0: the daemon's own */
        const char *lease; /* the id of one, NULL: not given */
        const char *who, *why; /* to be told to others, NULL: not given */
        const char *mode; /* `block` or `delay`, NULL: not given */
        HistoryFilter filter;
        const char *signed_off_by; /* who vouches for what is exported, NULL: not given */
        bool runs_command; /* the verb is one that does */
        char **command; /* NULL-terminated; NULL as long as it is not known */
        struct json_object **failure; /* where a failure is put instead of being told; NULL: told */

        /* What the verb works on, for messages. Empty if it works on no single device. */
        const char *verb;
        char address[PCI_ADDRESS_STRING_MAX];
        const char *method; /* as given, or `any`; NULL if the verb has none */
} Client;

/* The exit code for a failure before or beside what the verb does. */
static inline ExitCode failure_code(const Client *client, ExitCode code)
{
        return client->runs_command ? EXIT_NOT_RUN : code;
}
