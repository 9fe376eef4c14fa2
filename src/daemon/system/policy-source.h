/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * All that the policy is made of, from the files of this system: drop-ins, which packages and administrators
 * write, and after them what SetPolicy has stored, which so wins; what it has stored until the next boot
 * comes last. It is read as a whole into a registry of its own, from which it can be taken over if all of it
 * is right.
 *
 * The three folders are as systemd's: a file in /etc replaces the one of the same name in /run, and that one
 * those in /usr/share.
 */

#include <stddef.h>

#include "daemon/domain/registry.h"

typedef struct PolicyLoaded {
        size_t n_rules, n_pairs;
} PolicyLoaded;

/* Reads all into a new registry without devices. 0, or a negative errno and in `ret_message` a text for
 * people (NULL: there was no memory for one). Touches nothing else, and blocks as files do. */
int policy_source_read(Registry **ret_registry, PolicyLoaded *ret, char **ret_message);
