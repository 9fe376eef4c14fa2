/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Lanes: two resets never disturb each other, disjoint ones run in parallel.
 *
 * Whoever wants to reset draws a ticket that claims what the reset touches: each device of the reset set
 * and the bridge whose lock the kernel takes, both alone; and every bridge above that one together with
 * others, so that a reset of the upper bridge and one further down exclude each other while two in different
 * branches do not. A function on a root bus, which has no bridge above, claims that bus alone.
 *
 * Among tickets that conflict the lower order goes first, so nobody starves and there is no deadlock. The
 * cost of a ticket is that of its claims, not of the queue's length.
 *
 * Nothing here calls back: after each change the owner takes the tickets whose turn has come with
 * lanes_take_ready().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/address.h"

typedef struct Lanes Lanes;
typedef struct LaneTicket LaneTicket;

/* What a ticket claims. Arrays are copied. A claim without a bridge is for the root bus of members[0]. */
typedef struct LaneClaim {
        const PciAddress *members; /* the reset set, at least one */
        size_t n_members;
        const PciAddress *bridges; /* the locked bridge first, then those above it up to the root port */
        size_t n_bridges;
} LaneClaim;

int lanes_new(Lanes **ret);
/* No ticket may be left. */
Lanes *lanes_free(Lanes *lanes);

/* Draws a ticket. `order` decides who goes first: unique, and lower for who came earlier; one that comes
 * back with its old order stands before later ones that have not been taken yet. Returns 0 or -ENOMEM. */
int lanes_enter(Lanes *lanes, const LaneClaim *claim, uint64_t order, void *userdata, LaneTicket **ret);

/* Gives a ticket back, whether it was taken or still waits. Accepts NULL, returns NULL. */
LaneTicket *lane_ticket_leave(LaneTicket *ticket);

/* The userdata of the next ticket whose turn has come, which is then taken: it holds its lane until it
 * leaves. NULL: nobody's turn. */
void *lanes_take_ready(Lanes *lanes);

/* The userdata of a ticket that has to leave before this one's turn comes: of one that has been taken, if
 * any such is in its way. NULL: nobody is. */
void *lane_ticket_in_the_way(const LaneTicket *ticket);

/* Takes a ticket out of turn: for a reset that is known to be running already. Others wait for it. */
void lane_ticket_take(LaneTicket *ticket);
