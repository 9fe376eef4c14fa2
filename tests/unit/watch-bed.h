/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A watch with real inotify on nodes in a directory of the test's own, and answers of scans made by hand.
 */

#include <unistd.h>

#include "daemon/system/watch-internal.h"
#include "shared/cleanup.h"
#include "unit.h"

#define WATCH_BED_LAST 8U

extern const PciAddress device, other_device;
extern char fences[64]; /* the directory */
extern sd_event *event;
extern Watch *watch;

/* What has been noticed so far, and the devices of the last notice. */
extern unsigned n_notices, n_owner_notices;
extern PciAddress last_devices[WATCH_BED_LAST];
extern size_t n_last_devices;
/* Called at each notice, if it is set. */
extern void (*reaction)(void);

/* Of each test: a watch that gives its notices without delay. */
void watch_bed_setup(void);
void watch_bed_teardown(void);
/* Another one: for a test that has moved to namespaces of its own. */
void watch_bed_again(void);

bool is_armed(void);
/* Lets happen what happens by itself, until all is quiet. If it never is, the test runs out of time. */
void settle(void);

/* Static buffer. */
const char *path_of(const char *name);
void make_node(const char *name);
int open_node(const char *name);

/* An answer about one device with nodes, and maybe a holder. */
typedef struct Answer {
        WorkerScan scan;
        WorkerUse use;
        char nodes[2][WORKER_NODE_MAX];
        Holder holders[2];
} Answer;

void answer_begin(Answer *answer, const PciAddress *about);
void answer_add_node(Answer *answer, const char *name);
void answer_add_holder(Answer *answer, HolderKind kind, pid_t pid);
void set(const Answer *answer);
/* Tells of the device and its nodes, and lets the notice about their being new go by. */
void set_nodes(const PciAddress *about, const char *first, const char *second);
void raise_fence(uint32_t job);
