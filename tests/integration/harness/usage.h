/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What GetMethods, Plan and Reset say about one method: always the same.
 */

#include "bus.h"

/* Is it one of the array's texts? */
bool has_text(json_object *array, const char *text);

/* Both as bob, and both have to succeed. */
Reply *get_methods(const char *address, bool in_use);
Reply *get_plan(const char *address, const char *method, bool in_use);
/* The facts that GetMethods tells about one method. */
json_object *method_facts(const Reply *methods, const char *name);

/* All three must agree: not usable for this reason, and refused to alice with this error, */
void expect_unusable(const char *address, const char *method, bool in_use, const char *why,
                     const char *error);
/* or usable with this action, and alice may. */
void expect_usable(const char *address, const char *method, bool in_use, const char *action);
