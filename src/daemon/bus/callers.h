/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Who is behind a call that waits, and whether he is still there. Nothing is asked of the bus daemon
 * synchronously.
 */

#include "daemon/bus/context.h"

/* Before a call is kept: from here on pending_abandon() is told who leaves the bus. */
int callers_watch(Bus *bus);
/* After a call has ended: nobody is watched while none waits. */
void callers_unwatch(Bus *bus);

/* Asks whose uid the sender of `message` has. After callers_watch(), so that whoever has left already has no
 * uid any more, and whoever leaves later is told. The answer goes to callers_read_uid(). */
int callers_ask_uid(Bus *bus, sd_bus_message *message, sd_bus_message_handler_t handler, void *userdata,
                    sd_bus_slot **ret);
/* Negative unless it is known for sure. */
int callers_read_uid(sd_bus_message *answer, uint32_t *ret);
