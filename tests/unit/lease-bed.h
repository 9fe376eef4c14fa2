/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A store of claims in a directory of the test's own, with real FIFOs, and what it has told.
 */

#include <unistd.h>

#include "daemon/system/lease-store.h"
#include "unit.h"

#define TOLD_MAX 300U

typedef struct Told {
        char ids[TOLD_MAX][CLAIM_ID_MAX];
        uint64_t since[TOLD_MAX];
        unsigned n;
} Told;

extern char directory[64];
extern sd_event *event;
extern LeaseStore *store;
extern Told released, found, orphaned;
extern ClaimRecord last_found; /* with devices of its own */
extern int found_returns; /* what the handler does */

/* A case whose tests begin with an empty store. */
TCase *lease_case(Suite *suite);

/* The store's handler. */
void on_released(void *userdata, const char *id);
int on_found(void *userdata, const ClaimRecord *record);
void on_orphaned(void *userdata, const ClaimRecord *record);

/* What the daemon does when it starts, and when it ends. */
void start(void);
void stop(void);
void restart(void);
/* Lets happen what can happen now. */
void settle(void);

/* Of a file of the claim: static buffer. */
const char *path_of(const char *id, const char *suffix);
/* How many are in the directory. */
int count_files(void);
void put_file(const char *name, const char *suffix, const char *text);

/* A lease on these; without an id. */
extern ClaimDevice some_devices[2];
ClaimRecord some_record(void);
/* Adds it. Returns its descriptor. */
int add(char id[static CLAIM_ID_MAX]);
