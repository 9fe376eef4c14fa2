/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The policy as messages tell it. */

#include <systemd/sd-bus.h>

#include "daemon/domain/registry.h"

/* The a{sv} that GetPolicy answers with: for each setting its value, the rule and the file that it is from
 * (`(vss)`, both empty for what is nobody's), and `known`, what somebody has found out about methods. */
int append_effective_policy(sd_bus_message *message, Device *device);

/* One row of ListPolicies. */
int append_policy_rule(sd_bus_message *message, const PolicyRule *rule);
