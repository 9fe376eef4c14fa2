/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A stand-in for journald's socket: keeps what the daemon logs, field by field.
 */

#include <stdbool.h>
#include <stddef.h>

void journal_init(void);
/* It is there and reads nothing. */
void journal_hang(bool hangs);
/* It is not there, until journal_init(). */
void journal_stop(void);

/* The index-th entry in which every one of the given fields has its value; pairs of name and value, NULL at
 * the end. A value of NULL asks only that the field be there. The entry itself, or NULL. */
typedef struct JournalEntry JournalEntry;
const JournalEntry *journal_find(const char *field, ...);
size_t journal_count(const char *field, ...);
const char *journal_field(const JournalEntry *entry, const char *name); /* NULL: not there */
