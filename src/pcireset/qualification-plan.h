/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What a qualification would do.
 */

#include "pcireset/client.h"

/* Finds out by which methods client->address can be reset, adds an entry for each to `methods`, in the order
 * in which they are to be tried and without runs so far, and one to `left_out` for each of the others; and
 * tells the user on stderr. As client_call(). */
int qualification_plan(Client *client, json_object *methods, json_object *left_out);
