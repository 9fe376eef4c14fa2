/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Text for people: escaping of what others wrote, display widths, durations and times.
 *
 * Everything that came over the bus or from the command line passes text_escape() on its way to a terminal;
 * text_print_line() and the tables do that by themselves, so there is no way to forget it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define USEC_PER_SEC  UINT64_C(1000000)
#define USEC_PER_MSEC UINT64_C(1000)

/* Sets the locale up. Call once, before anything else of this header. */
void text_init(void);

/* True if the locale's encoding can show characters beyond ASCII. */
bool text_is_utf8(void);

/* Reads one character of UTF-8. Returns its length in bytes, or 0 if the bytes at `text` are not valid UTF-8
 * (`ret` is then untouched). At the terminating NUL it returns 0 as well. */
size_t text_decode(const char *text, uint32_t *ret);

/* True for a character that may act on a terminal instead of being shown: control characters of both sets,
 * marks that change the direction of writing, invisible ones. */
bool text_is_hostile(uint32_t character);

/* A copy on one line in which everything hostile and every invalid byte is written as a backslash escape.
 * NULL: out of memory. The caller frees it. */
char *text_escape(const char *text);

/* How many columns an escaped text takes on a terminal. */
size_t text_columns(const char *text);

/* How many bytes of an escaped text fit into `columns` columns, never splitting a character. */
size_t text_fit(const char *text, size_t columns);

/* Formats, escapes the whole, and writes it with a newline. 0 or -ENOMEM. */
int text_print_line(FILE *stream, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define TEXT_DURATION_MAX 32U
#define TEXT_TIME_MAX     40U

/* `80 us`, `0.11 s`, `12.3 s`, `2 min 05 s`, `3 h 05 min`, `2 d 04 h`. Returns `buffer`. */
const char *text_duration(uint64_t usec, char buffer[static TEXT_DURATION_MAX]);

/* A local time with milliseconds, of microseconds since the epoch. Returns `buffer`. */
const char *text_time(uint64_t usec, char buffer[static TEXT_TIME_MAX]);

/* CLOCK_REALTIME and CLOCK_MONOTONIC in microseconds. */
uint64_t now_realtime_usec(void);
uint64_t now_monotonic_usec(void);
