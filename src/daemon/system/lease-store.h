/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Claims on disk and the descriptors that keep them alive, so that both outlive the daemon.
 *
 * A claim is two files: <id>.fifo, whose write end is what the client gets, and <id>.json, which says what
 * is claimed. The claim lasts as long as any copy of the write end is open anywhere, passed on to children
 * or sent to others. The daemon has the read end and is woken by its hang-up; nothing is ever written or
 * read. A daemon that starts opens each FIFO again and sees whether somebody still has it.
 */

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "daemon/domain/claim.h"

#define LEASE_STORE_DIR "/run/pciresetd/claims"

typedef struct LeaseStore LeaseStore;

typedef struct LeaseHandler {
        /* The last copy of its descriptor was closed; its files are gone. */
        void (*released)(void *userdata, const char *id);
        /* From lease_store_load(): a claim of an earlier daemon whose descriptor is still open. The record
         * is borrowed. After a negative return the claim is not one of ours, but is kept on disk as long as
         * its descriptor is open. No other claim may be removed from in here. */
        int (*found)(void *userdata, const ClaimRecord *record);
        /* From lease_store_load(): one whose descriptor was closed while no daemon ran. Its files are gone.
         * May be NULL. */
        void (*orphaned)(void *userdata, const ClaimRecord *record);
        void *userdata;
} LeaseHandler;

/* `directory` is made if it is missing. -EPERM if it is somebody else's. */
int lease_store_new(sd_event *event, const char *directory, const LeaseHandler *handler, LeaseStore **ret);
/* The claims stay on disk for the next daemon. */
LeaseStore *lease_store_free(LeaseStore *store);

/* Once, at the start: takes up what an earlier daemon has left, oldest first, and clears away the rest. What
 * cannot be understood is told to the journal, and kept while somebody has its descriptor open. */
int lease_store_load(LeaseStore *store);

/* Stores a claim under a new id, which is written into the record. The caller gets the descriptor and closes
 * it when the client has a copy (a message that carries it has one): if that never happens, the claim is
 * released like any other. `released` is not called before this returns. -EINVAL for a record that cannot be
 * stored, or -errno. */
int lease_store_add(LeaseStore *store, ClaimRecord *record, int *ret_fd);

/* Ends a claim whoever has its descriptor. `released` is not called. */
void lease_store_remove(LeaseStore *store, const char *id);

/* If the descriptor is a copy of a claim's, and as such keeps it alive, its id (static as long as the claim
 * is there), else NULL. Whoever sent it could send anything. */
const char *lease_store_identify(const LeaseStore *store, int fd);
