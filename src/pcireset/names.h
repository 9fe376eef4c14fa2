/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What object paths and user ids are called by people.
 */

#include <stdint.h>

#include "pcireset/bus-json.h"

/* The address in a device's object path, or the text itself if it is no such path. NULL: out of memory. The
 * caller frees it. */
char *device_path_to_address(const char *path);

/* The same for an array of paths, joined by commas. */
char *device_paths_join(json_object *paths);

/* A user's name, or the number as text. NULL: out of memory. The caller frees it. */
char *uid_to_name(uint64_t uid);

/* An owner in the daemon's words, with a user's name for `uid:1001`. NULL: out of memory. The caller frees
 * it. */
char *owner_to_text(const char *owner);
