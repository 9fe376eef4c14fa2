/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The a{sv} of options that ends most methods. A key that the method does not know, a value of another type,
 * or a key twice is an error: a misspelt `in_use` that is silently ignored would be a safety bug.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

/* How much of what a caller has written is quoted back: see utf8_quote(). libsystemd sends no reply at all
 * with a text that is not UTF-8. */
#define QUOTED_MAX 65U

#define OPTION_FDS_MAX 16U

/* Descriptors belong to the message, which keeps them open. */
typedef struct OptionFds {
        int fds[OPTION_FDS_MAX];
        unsigned n;
} OptionFds;

typedef struct Option {
        const char *key;
        const char *type; /* "b" into a bool, "t" into a uint64_t, "s" into a const char * that belongs to
                           * the message, "h" into an int, "ah" into an OptionFds */
        void *target; /* left alone if the key is missing */
        uint64_t min, max; /* of a number */
        bool seen;
} Option;

/* Reads the options that come next in `message`. On bad ones sets InvalidArgs and returns negative. */
int options_read(sd_bus_message *message, Option *options, size_t n_options, sd_bus_error *error);
