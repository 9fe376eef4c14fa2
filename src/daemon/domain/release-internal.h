/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The inner side of releases: what notes them (release.c), for what is done about them (release-run.c).
 */

#include "daemon/domain/quarantine.h"
#include "daemon/domain/registry.h"
#include "daemon/domain/release.h"

struct Releases {
        Registry *registry;
        Jobs *jobs;
        Quarantines *quarantines;
        ReleasePorts ports;
        Release *list;
};

/* releases_run() has something to do. */
void releases_wake(Releases *releases);

/* Of a pending release; one that is ready wakes. */
void release_set_state(Releases *releases, Release *release, ReleaseState state);

/* Notes which rule wants the device to be reset, as long as there is one. The device must be there. */
void release_note_rule(Release *release);

/* Nothing is to be done about it any more. Frees it. */
void release_end(Releases *releases, Release *release);
