/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * All that the policy is made of, from the files of this system: drop-ins, which packages and administrators
 * write, and after them what SetPolicy has stored, which so wins. It is read as a whole into a registry of
 * its own, and changes over only if all of it is right.
 *
 * The three folders are as systemd's: a file in /etc replaces the one of the same name in /run, and that one
 * those in /usr/share.
 */

#include <stddef.h>

#include "daemon/domain/registry.h"

typedef struct PolicyLoaded {
        size_t n_rules, n_pairs;
} PolicyLoaded;

/* Reads all and has the registry follow it. 0, or a negative errno; then the registry has what it had, and
 * `ret_message` a text for people (NULL: there was no memory for one). Blocks as files do. */
int policy_source_load(Registry *registry, PolicyLoaded *ret, char **ret_message);
