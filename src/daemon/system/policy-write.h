/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Rules as the text of a policy file: what is written here, system/policy-rules reads as the same rules.
 */

#include <stddef.h>

#include "daemon/domain/policy.h"

/* The text of a file with the rules of `policy` that come from `file` (NULL: all), in their order, as one
 * line in a new string. 0; -EMSGSIZE if it is larger than a policy file may be (DROPIN_SIZE_MAX); -ENOMEM.
 */
int policy_write(const Policy *policy, const char *file, char **ret);
