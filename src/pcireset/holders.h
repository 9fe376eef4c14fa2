/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Who uses a device, in words: the rows that GetHolders, Plan and the details of errors have in common.
 *
 * A holder of the caller's, or any holder for an administrator, is told in full; those of other users only
 * by device, kind and number. A row of a kind that this client does not know is shown with what it has.
 */

#include <stdio.h>

#include "pcireset/bus-json.h"

/* `0000:01:00.0 process 4242 (Xorg) of alice in session-2.scope: /dev/dri/card0`. NULL: out of memory. The
 * caller frees it. */
char *holder_to_text(json_object *holder);

/* What is used, as the last part of that. NULL: out of memory. The caller frees it. */
char *holder_what(json_object *holder);

/* Writes a line for each holder: `first` in front of the first one and `next` in front of the others.
 * Nothing if there are none. 0 or -ENOMEM. */
int print_holders(FILE *stream, const char *first, const char *next, json_object *holders);

/* Writes an explanation of each kind that occurs in the rows: what it means for a reset, and what to do. 0
 * or -ENOMEM. */
int print_holder_kinds(FILE *stream, json_object *holders);
