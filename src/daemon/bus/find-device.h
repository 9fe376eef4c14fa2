/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The device that a call names.
 */

#include "daemon/bus/context.h"

/* Looks up the address `text` as a client wrote it. Sets `error` and returns negative if that is no address
 * (InvalidArgs) or nothing is there (NoSuchDevice). */
int find_device(Bus *bus, const char *text, Device **ret, sd_bus_error *error);
