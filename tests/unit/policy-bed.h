/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Rules for tests of the policy, each with what the test wants and nothing else, and the one policy that
 * they are added to.
 */

#include "daemon/domain/policy.h"

extern Policy *policy;
extern EffectivePolicy effective;

/* Fixtures: an empty policy. */
void policy_bed_setup(void);
void policy_bed_teardown(void);

/* About all devices, from one file. */
PolicyRule rule_new(const char *id);
/* Each sets a key. `names`: methods with blanks between them. */
void set_methods(PolicyRule *rule, const char *names);
void set_forbid(PolicyRule *rule, const char *names);
void set_allow_link(PolicyRule *rule, bool allow);
void know(PolicyRule *rule, const char *method, bool bad, const char *kernel);

/* Adds the rule to the policy, which owns it from then on. */
void add(PolicyRule rule);

/* Makes `effective` for an NVMe device that is bound to nvme, on Linux 6.12.57. */
void merge(void);
