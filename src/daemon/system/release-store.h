/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The users of devices on disk, so that what they leave behind is seen to although the daemon was not there
 * when they let go (domain/release.h).
 *
 * A file for each device, in /run: with the machine's restart its devices are new. The name says which
 * device is meant, so that one that is damaged still keeps it from the next user:
 *
 *   0000:01:00.0,8086:10d3,8086:10d3.json     {"version":1,"uid":1000,"lease":"k3v7…","pending":true}
 */

#include "daemon/domain/release.h"

#define RELEASE_STORE_DIR "/run/pciresetd/users"

/* Writes the file, or removes it. 0 or -errno. */
int release_store(const char *directory, const ReleaseRecord *record, bool keep);
/* Writes it unless there is one. What fails is told to the journal. */
void release_store_missing(const char *directory, const ReleaseRecord *record);

/* Hands over each record; a damaged one as of a user who has let go and is not known. 0, what `found`
 * returned, or -errno. A directory that is not there has none. */
int release_store_load(const char *directory, int (*found)(void *userdata, const ReleaseRecord *record),
                       void *userdata);
