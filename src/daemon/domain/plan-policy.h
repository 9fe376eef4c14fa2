/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Where a plan meets the policy: which methods an alias stands for and in which order, and what rules say
 * about one rung. For plan.c.
 */

#include "daemon/domain/plan.h"

typedef struct PlanLadder {
        char names[PLAN_RUNGS_MAX][RESET_METHOD_NAME_MAX];
        size_t n;
        const PolicyRule *workaround; /* see Plan */
} PlanLadder;

/* What an alias stands for on this device: the policy's order, then what the policy keeps out of it. Without
 * an order of its own, what has never worked on this hardware (options->proven) comes after what may.
 * Last resorts are in it if an order names them, or if it is the one of `recover`; methods of unknown scope
 * only if an order names them. 0 or -ENOMEM, with
 * `ret` empty. */
int plan_ladder(Device *target, ResetAlias alias, const PlanOptions *options, PlanLadder *ret);

/* Whether a rule wants a reset refused because of a host driver that is bound to one of the set and does not
 * know resets; that is so for each such driver of which no rule says anything. */
bool plan_refuses_drivers(const Rung *rung);
/* Whether such drivers are taken off before the reset: all of them if there is one that is not to be kept.
 * `in_use`: the caller has asked for it, so that those that no rule knows of are taken off, too. */
bool plan_rebinds(const Rung *rung, bool in_use);

/* Adds the policy's reasons and its action to a rung whose set is known. 0 or -ENOMEM. */
int plan_judge_policy(Rung *rung, const PlanOptions *options);
