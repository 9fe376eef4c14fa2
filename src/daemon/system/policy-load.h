/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Policy files as a whole: JSON objects with the keys "edges" (system/edges) and "rules"
 * (system/policy-rules), both of which may be left out. Any other key is an error.
 *
 * A file counts as a whole or not at all, and so do all files: after an error nobody may use what was read.
 * Who wants to keep the last good policy reads into a new one and changes over when all is well.
 */

#include <stddef.h>

#include "daemon/domain/policy.h"
#include "daemon/domain/registry.h"

/* Reads all files of the folders (see dropins_read()) in their order. `registry` is told of edges, and may
 * be NULL, if they are only to be checked. `policy` gets the rules; NULL: rules are refused, as by a daemon
 * that does not follow any. Returns how many pairs of devices were declared, or a negative errno and, unless
 * there was no memory, a text for people in `ret_message`: file, line, column and rule. After an error
 * registry and policy have a part of it. Blocks as files do. */
int policy_load(const char *const directories[], Registry *registry, Policy *policy, char **ret_message);

/* The same for one file, which must be there. */
int policy_load_file(const char *path, Registry *registry, Policy *policy, char **ret_message);

/* The same for one text that has been read already, or not been written yet: SetPolicy checks with it what
 * it is about to store. `path` is the file in messages and the provenance of its rules. */
int policy_load_text(const char *path, const char *text, size_t length, Registry *registry, Policy *policy,
                     char **ret_message);
