/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Quarantines on disk, so that neither a restart of the daemon nor one of the machine lets a broken device
 * out: one file for each (see quarantine-record.h).
 *
 * A file is written beside the old one, brought to the disk, and renamed over it: a loss of power at any
 * moment leaves the old or the new one. Disks may take their time for that, and the daemon must not wait, so
 * a thread does it, in the order in which it was asked. It is there only while there is something to do.
 */

#include <systemd/sd-event.h>

#include "daemon/domain/quarantine.h"

#define QUARANTINE_STORE_DIR "/var/lib/pciresetd/quarantine"

typedef struct QuarantineStore QuarantineStore;
typedef struct QuarantineWait QuarantineWait;

/* The directory is made when it is needed. 0 or negative errno. */
int quarantine_store_new(sd_event *event, const char *directory, QuarantineStore **ret);
/* Waits until all is on disk, at most QUARANTINE_FLUSH_USEC; of what is not there by then the journal is
 * told. Nobody else is told any more. */
#define QUARANTINE_FLUSH_USEC UINT64_C(5000000)
QuarantineStore *quarantine_store_free(QuarantineStore *store);

/* Hands each stored one to `found`, whose errors end it. One that cannot be read is handed over as
 * QUARANTINE_UNREADABLE, and the journal told; what is none by its name is left where it is. Files that a
 * crash has left behind are removed. 0 if there are none. Negative errno if it is not known which there are:
 * then no device may be given to anybody. */
int quarantine_store_load(QuarantineStore *store,
                          int (*found)(void *userdata, const QuarantineRecord *record), void *userdata);

/* Has a record written, or its file removed. The journal is told if that fails, here or later. */
void quarantine_store_write(QuarantineStore *store, const QuarantineRecord *record);
void quarantine_store_remove(QuarantineStore *store, const QuarantineRecord *record);

/* Tells when all that was asked for until now has been done, and how the last of it ended: 0 or negative
 * errno. Never from within the call. */
typedef void (*QuarantineStored)(void *userdata, int error);
int quarantine_store_wait(QuarantineStore *store, QuarantineStored stored, void *userdata,
                          QuarantineWait **ret);
/* Takes that back; accepts NULL. */
QuarantineWait *quarantine_store_forget(QuarantineWait *wait);
