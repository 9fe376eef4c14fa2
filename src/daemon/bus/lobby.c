/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/bus/lobby.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "shared/cleanup.h"

typedef struct Guest {
        char *sender;
        size_t n_all;
        UT_hash_handle hh;
        size_t n[]; /* by room */
} Guest;

struct Lobby {
        unsigned n_rooms;
        Guest *guests;
        size_t n[]; /* by room */
};

int lobby_new(unsigned n_rooms, Lobby **ret)
{
        Lobby *lobby = calloc(1, sizeof(Lobby) + n_rooms * sizeof(size_t));

        if (!lobby)
                return -ENOMEM;
        lobby->n_rooms = n_rooms;
        *ret = lobby;
        return 0;
}

static void guest_free(Lobby *lobby, Guest *guest)
{
        HASH_DEL(lobby->guests, guest);
        free(guest->sender);
        free(guest);
}

Lobby *lobby_free(Lobby *lobby)
{
        while (lobby && lobby->guests)
                guest_free(lobby, lobby->guests);
        free(lobby);
        return NULL;
}

static Guest *find(const Lobby *lobby, const char *sender)
{
        Guest *guest;

        HASH_FIND_STR(lobby->guests, sender, guest);
        return guest;
}

static Guest *guest_new(Lobby *lobby, const char *sender)
{
        Guest *guest = calloc(1, sizeof(Guest) + lobby->n_rooms * sizeof(size_t));

        if (!guest)
                return NULL;
        guest->sender = strdup(sender);
        if (!guest->sender) {
                free(guest);
                return NULL;
        }
        HASH_ADD_KEYPTR(hh, lobby->guests, guest->sender, strlen(guest->sender), guest);
        return guest;
}

int lobby_enter(Lobby *lobby, const char *sender, unsigned room)
{
        Guest *guest = find(lobby, sender);

        if (!guest)
                guest = guest_new(lobby, sender);
        if (!guest)
                return -ENOMEM;
        guest->n_all++;
        guest->n[room]++;
        lobby->n[room]++;
        return 0;
}

void lobby_leave(Lobby *lobby, const char *sender, unsigned room)
{
        Guest *guest = find(lobby, sender);

        if (!guest)
                return;
        guest->n[room]--;
        lobby->n[room]--;
        if (--guest->n_all == 0)
                guest_free(lobby, guest);
}

size_t lobby_count(const Lobby *lobby, const char *sender, unsigned room)
{
        const Guest *guest = find(lobby, sender);

        return guest ? guest->n[room] : 0;
}

static const Guest *find_crowd(const Lobby *lobby, unsigned room)
{
        const Guest *crowd = lobby->guests;

        for (const Guest *guest = crowd; guest; guest = guest->hh.next)
                if (guest->n[room] > crowd->n[room])
                        crowd = guest;
        return crowd;
}

bool lobby_has_place(const Lobby *lobby, const char *sender, unsigned room, const char **ret_crowd)
{
        const Guest *crowd;

        *ret_crowd = NULL;
        if (lobby->n[room] < LOBBY_PLACES)
                return true;
        crowd = find_crowd(lobby, room);
        if (!crowd || crowd->n[room] <= lobby_count(lobby, sender, room) + 1)
                return false;
        *ret_crowd = crowd->sender;
        return true;
}
