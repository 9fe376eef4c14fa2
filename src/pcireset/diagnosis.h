/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the daemon says about one device, made into a sentence and the next step. Nothing is judged here: the
 * daemon's codes decide, and what is told is the rung of the ladder that is closest to being usable.
 */

#include "pcireset/bus-json.h"

/* What was found out; all of it is JSON as bus-json.h reads it, and NULL where it was not asked. */
typedef struct Findings {
        const char *address;
        json_object *properties; /* of the Device */
        json_object *methods; /* GetMethods */
        json_object *plan; /* Plan by `any` */
        json_object *plan_in_use; /* the same with in_use */
        json_object *inhibitors; /* ListInhibitors */
        json_object *authorization; /* polkit's answer by action: yes, password, no, unknown */
} Findings;

/* The first rung of a plan that can be used now, NULL: none. */
json_object *diagnosis_usable_rung(json_object *plan);

/* True if a rung that cannot be used has the code among its reasons. */
bool diagnosis_has_code(json_object *plan, const char *code);

/* Makes an object:
 *   address s
 *   status  s   ready, not-authorized, not-now (somebody has to let go), not-as-configured (somebody has to
 *               change something), not-possible
 *   method  s   that would be used, or that comes closest; empty: none
 *   why     as  the daemon's codes that speak against that
 *   sentence s
 *   next_steps as
 *   doubts  as  what speaks against a method that can be used, and what else could be done
 *   authorization s  as above, of the hardest action; empty: not asked
 * 0 or -ENOMEM. */
int diagnosis_make(const Findings *findings, json_object **ret);
