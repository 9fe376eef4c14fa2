/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Text from hardware, drivers and id files may be anything; D-Bus and JSON carry UTF-8 alone.
 */

#include <stdbool.h>
#include <stddef.h>

/* The length in bytes of the one well-formed sequence at the start of `left` bytes, 0 if there is none. A
 * NUL is a sequence like any other. */
size_t utf8_sequence_length(const char *text, size_t left);

/* True for well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing past U+10FFFF). */
bool utf8_is_valid(const char *text);

/* Makes a text safe in place: if it is not UTF-8, each byte beyond ASCII becomes `?`; control characters,
 * those of two bytes (C1) included, become `?` in any case. Returns `text`. */
char *utf8_sanitize(char *text);

/* Copies as much of `text` as there is room for, to be quoted in a message: cut between characters and never
 * within one, and without control characters. Returns `buffer`. */
char *utf8_quote(const char *text, char *buffer, size_t size);
