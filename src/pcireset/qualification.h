/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What a qualification has found out: one entry for each method, and in it one for each reset. A JSON
 * document from the start, which is what is stored; the matrix is a view of it.
 */

#include "pcireset/bus-json.h"

/* Adds what became of one reset to the entry of its method: outcome s (ok, degraded, dead, failed, refused,
 * unknown: nobody was there to be told), error s, first_bad_check s, and what of `result` (a result, or the
 * details of an error; NULL: none) tells how long it took and which row of the history it is. `error` and
 * `message`: of the error, "" if there is none. Returns the outcome, or NULL: out of memory. */
const char *qualification_add_run(json_object *method, json_object *result, const char *error,
                                  const char *message);

/* Counts what the runs of a method have come to: ok, degraded, dead, failed, refused and median_usec (of
 * those that went well) are added to its entry. 0 or -ENOMEM. */
int qualification_summarize(json_object *method);

/* How many runs of all methods of a document have come to that. */
uint64_t qualification_count(json_object *document, const char *outcome);

/* Writes the matrix of a document. 0 or -ENOMEM. */
int qualification_print(FILE *stream, json_object *document);
