/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The daemon's machine-readable codes in words.
 */

#include <stdio.h>

#include "pcireset/bus-json.h"

/* Why a method cannot be used: a clause for people. Never NULL: a code that this client does not know gets a
 * pointer to the daemon's manual page. */
const char *why_to_words(const char *code);

/* What a kind of holder means for a reset, and what to do about it. `hard`: what the daemon says of a kind
 * that this client does not know. Never NULL. */
const char *kind_to_words(const char *kind, bool hard);

/* The phase of a job, for the line of progress. Unknown phases are given back as they are. */
const char *phase_to_words(const char *phase);

/* `ENOTTY`, or NULL for a number without a name. */
const char *errno_name(int error);

/* Writes what a reset did, from its result or the details of its error: the attempts (all, or only those
 * that failed), the checks that failed, what became of the method list. Nothing for what is not there. 0 or
 * -ENOMEM. */
int print_evidence(FILE *stream, json_object *result, bool only_failed);
