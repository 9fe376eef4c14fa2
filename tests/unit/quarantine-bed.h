/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A store of quarantines in a directory of the test's own, and what it has found. Programs with it are
 * linked so that what the journal would be told is counted.
 */

#include <systemd/sd-event.h>

#include "daemon/system/quarantine-store.h"
#include "unit.h"

/* The file of some_record(). */
#define NAME "0000:00:1c.4_00.0,8086:10d3,8086:a01f.json"

extern char directory[96];
extern sd_event *event;
extern QuarantineStore *store;

/* What the store had when it was started last. */
extern QuarantineRecord found[8];
extern size_t n_found;
extern int found_returns; /* what the handler does */
int on_found(void *userdata, const QuarantineRecord *record);

/* So often the journal was told that something is not on the disk. */
extern unsigned n_unstored;

/* A case whose tests begin with an empty store. */
TCase *quarantine_case(Suite *suite);

/* What the daemon does when it starts, and when it ends: waits for the disk. */
void start(void);
void stop(void);
void restart(void);

QuarantineRecord some_record(const char *reason);
void check_same(const QuarantineRecord *a, const QuarantineRecord *b);

/* What is told when all is on the disk. */
extern bool is_stored;
void on_stored(void *userdata, int error);
/* Until then. Returns what was told: 0 or a negative errno. */
int wait_stored(void);

/* Puts a file into the directory, past the store. */
void put_file(const char *name, const char *text);
int count_files(void);
