/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A file that is replaced as a whole: whenever the program or the machine stops, what is found there is all
 * of the old text or all of the new one.
 */

#include <stddef.h>

/* Writes `text` to `path`, which is absolute; the last folder is made if it is not there. NULL removes the
 * file. A file beside it with `.new` at its end is used on the way.
 *
 * 0; a negative errno: the old text is still there; a positive one: the new text is there, and the disk has
 * not confirmed that it will stay over a loss of power. Blocks as the disk does. */
int file_replace(const char *path, const char *text, size_t length);
