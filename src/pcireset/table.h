/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A table of text: one column for each header. Cells are escaped when they are added. An allocation that
 * fails is remembered, so that only table_print() has to be checked.
 */

#include <stdint.h>
#include <stdio.h>

#include "pcireset/terminal.h"
#include "shared/cleanup.h"

typedef struct Table Table;

/* `headers` is NULL-terminated and must outlive the table. NULL: out of memory. */
Table *table_new(const char *const *headers);
void table_free(Table *table);
DEFINE_CLEANUP(Table *, table_free);

/* Adds the next cell; a full row starts the next one. */
void table_cell(Table *table, Colour colour, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same for a text that may be empty: what is not there is a dash, so that every row has the same number
 * of fields. */
void table_text(Table *table, const char *text);

/* How long ago that was, in microseconds since the epoch; 0 is a dash. */
void table_age(Table *table, uint64_t since_usec);

/* Writes the table. On a terminal that is too narrow, the last column is shortened. 0 or -ENOMEM. */
int table_print(const Table *table, FILE *stream);
