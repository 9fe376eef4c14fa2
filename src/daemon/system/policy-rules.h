/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Rules from policy files, such as
 *
 *   {"rules": [{
 *     "id": "gpus-for-guests",
 *     "reason": "their FLR leaves the memory as it is",
 *     "match": {"class": "03*", "assigned": true, "kernel": "6.6.."},
 *     "settings": {
 *       "methods": ["bus", "flr"], "forbid": ["pm"], "allow_link": true, "kernel_order": true,
 *       "driver": "rebind", "on_release": "reset", "require_clean": true, "on_error": "quarantine",
 *       "settle_usec": 500000, "timeout_usec": 30000000,
 *       "known_bad": [{"method": "flr", "source": "https://…", "kernel": "..6.5"}]
 *     }
 *   }]}
 *
 * `id`, `match` and at least one setting must be there. A match without any key is about all devices. All
 * keys of settings and their values: domain/policy.h. `known_bad` and `known_good` are lists of what
 * somebody found out about methods, each with the place where that can be read and, if it is not about all
 * kernels, a range or pattern of their versions.
 *
 * A rule may forbid something, so nothing is passed over: what is not known here is an error.
 */

#include "daemon/domain/policy.h"
#include "daemon/system/policy-text.h"

/* Appends what a file has under the key "rules". 0, -EBADMSG with a message in `text` that names the rule by
 * number and id, or -ENOMEM. After an error the policy has some of the rules. */
int policy_rules_read(const PolicyText *text, json_object *array, Policy *policy);
