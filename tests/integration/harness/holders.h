/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A card with a device node, and what is told of those who have it open.
 */

#include "fixture.h"
#include "nodes.h"

#define NODE "card0"

/* A sandbox with CARD, whose driver knows resets, so that it is in use only if somebody has NODE open. */
void card_with_node(void);

/* A daemon with CARD alone, bound to VFIO, with the node of its group, and rules for everybody. The observer
 * hears signals. */
void start_with_vfio(const char *group);

/* The daemon's workers are counted from its next start on. */
void workers_count(void);
/* How many have been started so far. */
size_t workers_started(void);

/* GetHolders, which has to succeed. */
Reply *get_holders(Client *client, const char *address);
/* All about one process that uses CARD. */
void expect_process(json_object *holder, const Process *process, uid_t uid, const char *kind,
                    const char *what);
/* Nothing but how many there are of the kind. */
void expect_hidden(json_object *holder, const char *kind, int count);
/* The property InUse, now. */
bool is_in_use(const char *address);
