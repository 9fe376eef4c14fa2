/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A file that is replaced as a whole: whenever the program or the machine stops, what is found there is all
 * of the old text or all of the new one.
 */

#include <stddef.h>

/* At the end of the name of the file that is used on the way. What a stop has left there may be removed. */
#define FILE_REPLACE_SUFFIX ".new"

/* Writes `text` to `path`, which is absolute; the last folder is made if it is not there. NULL removes the
 * file.
 *
 * 0; a negative errno: the old text is still there; a positive one: the new text is there, and the disk has
 * not confirmed that it will stay over a loss of power. Blocks as the disk does. */
int file_replace(const char *path, const char *text, size_t length);

/* The same for a name in a folder that is open: 0, or a negative errno; then the old text is still there.
 * That the name stays over a loss of power is the caller's to ask of the folder, by fsync(). */
int file_replace_at(int folder, const char *name, const char *text, size_t length);
