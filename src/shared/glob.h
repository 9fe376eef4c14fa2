/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Patterns in the manner of the shell: `*` is any text, the empty one too, `?` one character, `[a-f0]` one
 * of a set and `[!a-f0]` one that is not in it. Nothing is an escape, and no character is special otherwise.
 *
 * fnmatch() would do the same, but looks for a match in time that grows without bound with each further `*`
 * (glibc tries all ways in turn), and takes a set that is not closed for plain text.
 */

#include <stdbool.h>

/* True for a pattern of printable ASCII without blanks, whose sets are closed, not empty and in order. Of
 * other patterns glob_matches() means nothing. The empty pattern is one, and matches the empty text. */
bool glob_is_valid(const char *pattern);

/* Takes time at most in proportion to the product of both lengths. */
bool glob_matches(const char *pattern, const char *text);

/* True if there is a text of that form which the pattern matches. In `form`, at most GLOB_FORM_MAX bytes,
 * `x` stands for a hexadecimal digit in lower case, `X` for one in upper case, and all else for itself. */
#define GLOB_FORM_MAX 63U
bool glob_could_match(const char *pattern, const char *form);
