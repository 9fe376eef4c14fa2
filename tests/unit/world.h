/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A machine made of facts, for tests of the domain: a registry that is filled by hand, with the devices that
 * tests talk about.
 */

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
/* Changes the bound driver, as udev would tell. */
void world_bind(World *world, const char *address, const char *driver);
