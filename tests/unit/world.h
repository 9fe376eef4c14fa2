/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A machine made of facts, for tests of the domain: a registry that is filled by hand, with the devices that
 * tests talk about.
 */

#include "daemon/domain/claims.h"
#include "daemon/domain/registry.h"

typedef struct World {
        Registry *registry;
        uint64_t last_inode;
} World;

void world_init(World *world);
void world_done(World *world);

/* Parses an address that must be right. */
PciAddress at(const char *text);

/* Adds a function below `parent` (NULL: on a root bus) with this driver and these methods. */
Device *world_add(World *world, const char *address, const char *parent, const char *driver,
                  const char *methods);
/* The same for a bridge, which has the port driver and no method. */
Device *world_add_bridge(World *world, const char *address, const char *parent);
/* The same for a virtual function. */
Device *world_add_vf(World *world, const char *address, const char *parent, const char *physfn,
                     const char *methods);

/* Replaces the function by another one of the same kind: what hot-plug does. */
Device *world_replace(World *world, const char *address);
Device *world_find(World *world, const char *address);
/* Changes the bound driver, as udev would tell; a scan has found nobody since. */
void world_bind(World *world, const char *address, const char *driver);

/* A scan has found one more holder, or nobody any more. */
void world_hold(World *world, const char *address, HolderKind kind);
void world_let_go(World *world, const char *address);

/* The facts that our own methods need: `reset_subordinate`, a slot, a group, `remove`. */
void world_offer_all(World *world, const char *address, const char *group);

/* A claim on the devices that are named, with blanks between them. Those that are not there get ids of their
 * own. Returns what claims_add() does. */
int world_claim(World *world, Claims *claims, const char *id, ClaimKind kind, uint32_t uid,
                const char *addresses);

/* Checks a list of devices against their addresses with blanks between them, in any order. */
void world_check_set(Device *const *set, size_t n, const char *expected);
