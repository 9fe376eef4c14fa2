/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * How many calls wait of which it is not known yet who asks, by connection. Until the bus has said whose uid
 * a connection has, the connection itself is all that there is to be fair by.
 */

#include <stdbool.h>
#include <stddef.h>

typedef struct Lobby Lobby;

/* One user has 256 connections at most (`max_connections_per_user` of dbus-daemon). There are places for
 * each of them and as many again, so that some connection always has more than one when all are taken, and a
 * newcomer is let in at its cost. */
#define LOBBY_PLACES 512U

int lobby_new(unsigned n_rooms, Lobby **ret);
Lobby *lobby_free(Lobby *lobby);

/* A call of that connection begins to wait in a room (less than `n_rooms`), or has ended to. */
int lobby_enter(Lobby *lobby, const char *sender, unsigned room);
void lobby_leave(Lobby *lobby, const char *sender, unsigned room);

/* Of the connection. */
size_t lobby_count(const Lobby *lobby, const char *sender, unsigned room);

/* Whether a call of that connection can be let in. If one of another connection has to go for it, the one
 * that has the most, its name is left in `ret_crowd`; else NULL. */
bool lobby_has_place(const Lobby *lobby, const char *sender, unsigned room, const char **ret_crowd);
