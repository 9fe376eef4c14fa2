/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The parts of a diagnosis that give advice: see diagnosis.c. Each appends sentences to a list and returns 0
 * or -ENOMEM. Arguments as in diagnosis_make().
 */

#include "pcireset/diagnosis.h"

/* What to do next. `rung` is the one that is told, NULL: none; `codes` all that is in any rung's way. */
int diagnosis_add_steps(const Findings *findings, json_object *rung, const char *status, const char *answer,
                        json_object *codes, json_object *steps);

/* What speaks against a method that can be used, and what could be done instead. */
int diagnosis_add_doubts(const Findings *findings, json_object *rung, json_object *doubts);
