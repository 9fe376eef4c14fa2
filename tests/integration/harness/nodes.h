/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Device nodes of mock devices, and processes that have them open. The numbers are those of devices that
 * every kernel has (/dev/zero, /dev/full), so that the nodes can really be opened.
 */

#include <stdbool.h>

#include "loop.h"

#define NODE_ZERO 1U, 5U
#define NODE_FULL 1U, 7U

/* Gives the sandbox a /dev of its own. */
void nodes_init(void);
/* `path` is below /dev. Whatever was there is replaced. */
void node_add(const char *path, unsigned major, unsigned minor, uid_t owner);
/* Says in sysfs that the device at `address` has a node: `place` is below its directory, like "drm/card0",
 * and its last part is the name of the node below /dev. */
void node_of(const char *address, const char *place, unsigned major, unsigned minor);
/* A disk that has a node and no contents. What is mounted from /dev/NAME uses it, of any type. */
void disk_of(const char *address, const char *name);
/* Makes an interface of the sandbox, like "lo", that of the device, and switches it off or on. */
void interface_of(const char *address, const char *name);
void interface_set(const char *address, const char *name, bool up);
/* The node of a VFIO group. */
void vfio_group_add(const char *group, unsigned major, unsigned minor, uid_t owner);

int node_open(const char *path);
/* A process of `uid` that opens the node and keeps it open until it ends. Nobody else has it open for a
 * moment. */
Process *node_hold(const char *path, uid_t uid);
