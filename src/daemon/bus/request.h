/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What Plan and Reset have in common: how the caller wants it done, and what he shows to prove that devices
 * are his.
 */

#include "daemon/bus/context.h"
#include "daemon/bus/options.h"

typedef struct Request {
        PlanOptions plan;
        OptionFds groups; /* VFIO groups; open as long as the message is kept */
} Request;

/* Reads the options that come next in `message`: those of every request, and `more`. On bad ones sets an
 * error and returns negative. */
int request_read(Bus *bus, sd_bus_message *message, const Option *more, size_t n_more, Request *ret,
                 sd_bus_error *error);

/* It is known who asks. Sets Leased and returns negative if the lease that the request relies on is not his.
 */
int request_identify(const Bus *bus, Request *request, uint32_t uid, sd_bus_error *error);
