/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * GetManagedObjects of the whole tree.
 *
 * libsystemd would build the answer in one go, which takes a large machine long enough for everybody else to
 * notice. Here it is built in pieces, between which others have their turn.
 */

#include "daemon/bus/context.h"

/* Sees each method call. Returns 1 if it was one for the tree, which is answered later; 0 for others; or a
 * negative errno, maybe with `error` set. */
int tree_take_call(Bus *bus, sd_bus_message *message, sd_bus_error *error);

/* A device has come, goes, or has changed, of which a signal tells. */
void tree_note(Bus *bus, const Device *device);

/* Answers a property that `get` of its vtable cannot, since it knows no more than the object: 1 if the value
 * was appended, 0 if the property is none of these, or a negative errno. */
typedef int (*TreeProperty)(Bus *bus, const char *property, sd_bus_message *reply, void *object);

/* Appends an entry of a{oa{sa{sv}}}: the object with its one interface, beside those that each has. */
int tree_append_object(Bus *bus, sd_bus_message *reply, const char *path, const char *interface,
                       const sd_bus_vtable *vtable, TreeProperty special, void *object);
