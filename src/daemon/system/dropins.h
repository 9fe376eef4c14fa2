/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Files that packages and administrators drop into folders, found in the manner of systemd: a file in a
 * folder of higher rank replaces the one of the same name below, and all that are left are read in the order
 * of their names, whichever folder they are in.
 *
 * Only names that end in `.json` and do not begin with a dot count. A link to /dev/null replaces a file by
 * nothing. What is there and cannot be read is an error, an empty file too: whoever wrote it wanted to say
 * something, and it may be a prohibition.
 */

#include <stddef.h>

#define DROPIN_SIZE_MAX (1024U * 1024U) /* bytes of one file */
#define DROPINS_MAX     256U /* files, those that are replaced by nothing included */

/* Gets one file's text, which is not terminated. May set `ret_message` when it fails. */
typedef int (*DropinReader)(void *userdata, const char *path, const char *text, size_t length,
                            char **ret_message);

/* Hands each file to `reader`. `directories` is in order of rank, the highest first, NULL at the end; those
 * that do not exist count as empty. Stops at the first error: a negative errno, of the reader's or its own.
 * Then `ret_message` is a new text for people that names the file and what is wrong with it, or NULL if
 * there was no memory for it. Blocks as files do: for the time before the loop runs. */
int dropins_read(const char *const directories[], DropinReader reader, void *userdata, char **ret_message);

/* The same for one file, which must be there. */
int dropin_read(const char *path, DropinReader reader, void *userdata, char **ret_message);

/* Makes a message of "path: " and the rest, without control characters, and returns `error`; -ENOMEM and
 * NULL if there is no memory. */
int __attribute__((format(printf, 4, 5)))
dropin_refuse(char **ret_message, int error, const char *path, const char *format, ...);
