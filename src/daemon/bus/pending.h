/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Calls that are answered later: whose uid the caller has is asked of the bus, then maybe polkit is asked,
 * or a worker, and in the end there is a reply, if the caller is still there.
 *
 * A kind of call embeds PendingCall as its first member and says what to do at each step. Each step ends in
 * a reply and pending_end(), or in something that brings the next step. All is bounded, in all and per uid,
 * and per connection as long as the uid is not known.
 */

#include "daemon/bus/context.h"
#include "daemon/bus/polkit.h"

typedef enum PendingRoom {
        PENDING_RESETS, /* jobs have bounds per uid of their own */
        PENDING_CHANGES, /* ask polkit, nothing else */
        PENDING_HISTORY, /* read the history: each may hold megabytes */
        PENDING_TREES, /* list all objects: each may come to megabytes */
        PENDING_LOOKS, /* start a worker that looks who uses devices */
} PendingRoom;

typedef struct PendingKind {
        size_t size;
        PendingRoom room;
        /* call->uid is known. */
        void (*identified)(PendingCall *call);
        /* Polkit has said yes. Minutes may have passed. */
        void (*granted)(PendingCall *call);
        /* The caller has left: ends the call. NULL: that is all there is to do. */
        void (*abandon)(PendingCall *call);
        /* Lets go of what the kind has added. May be NULL. */
        void (*release)(PendingCall *call);
} PendingKind;

struct PendingCall {
        const PendingKind *kind;
        Bus *bus;
        sd_bus_message *message; /* as long as it is kept, descriptors that came with it are open */
        uint32_t uid;
        bool has_uid;
        bool is_unknown; /* the bus has not said yet whose it is */
        sd_bus_slot *uid_slot;
        PolkitQuery *query;
        const char *action;
        char *purpose;
        PendingCall *prev, *next;
};

/* Takes a call on, with zeroes in what the kind has added. Sets LimitsExceeded if there is no room. */
int pending_new(Bus *bus, const PendingKind *kind, sd_bus_message *message, PendingCall **ret,
                sd_bus_error *error);
/* Asks who is behind the call. A call that cannot be begun is ended, and `error` is the answer. Returns as a
 * method handler does. */
int pending_begin(PendingCall *call);

/* Ends the call without a reply. */
void pending_end(PendingCall *call);
/* Replies with an error, and ends the call. */
void pending_refuse(PendingCall *call, const char *name, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* Ends the call with the error that was set while it was looked at, or the errno if none was. */
void pending_fail(PendingCall *call, const sd_bus_error *error, int r);

/* Asks polkit. A no is told the caller: "Not authorized to <purpose>"; a yes goes on with granted().
 * `action` is a static string. */
void pending_authorize(PendingCall *call, const char *action, const char *purpose,
                       const PolkitDetail *details, size_t n_details);

/* The caller has left the bus. */
void pending_abandon(Bus *bus, const char *sender);
void pending_free_all(Bus *bus);
