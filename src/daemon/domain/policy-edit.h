/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Changes of a policy that holds: the old one stays as it is, and a copy with the change takes its place
 * when it is on the disk.
 */

#include "daemon/domain/policy.h"

/* Stored rules of one file, so that one who may set them cannot fill memory and disk. */
#define POLICY_STORED_MAX 512U

/* The rule with this id among those of `file`, NULL: there is none. */
const PolicyRule *policy_find(const Policy *policy, const char *file, const char *id);
/* The rule of `file` that is about just these devices. */
const PolicyRule *policy_find_match(const Policy *policy, const char *file, const PolicyMatch *match);
size_t policy_count(const Policy *policy, const char *file);

/* A copy of all rules but `without` (NULL: all), to which `rule` is added (copied; NULL: none): after all
 * that are not of the file `last`, and after those as well if it is of that file itself. 0; -E2BIG; -ENOMEM;
 * what policy_add() says. */
int policy_edit(const Policy *policy, const PolicyRule *without, const PolicyRule *rule, const char *last,
                Policy **ret);

/* Sets in `rule` the keys that `settings` sets. */
void policy_settings_merge(PolicySettings *to, const PolicySettings *from);
