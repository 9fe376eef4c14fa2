/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Sysfs attributes below a pinned directory.
 *
 * Every name is resolved relative to a directory fd and never through a symbolic link in its last part. On a
 * device that has been removed the kernel answers -ENOENT (the name) or -ENODEV (an fd that was open), also
 * when another device has its address by now (kernfs_get_active, kernfs_dop_revalidate).
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The longest text that an attribute can have, with NUL: sysfs hands out one page. */
#define ATTRIBUTE_MAX 4097U

/* Reads a text attribute, without its last newline, into `buffer`. Returns its length, -EMSGSIZE if it does
 * not fit, -EBADMSG if it holds a NUL, or what open() and read() say. */
ssize_t attribute_read(int directory_fd, const char *name, char *buffer, size_t size);

/* Reads an attribute that is one number, in C's notation (`0x8086`, `1`), and not more than `max`. 0,
 * -EBADMSG, -ERANGE, or as attribute_read(). */
int attribute_read_unsigned(int directory_fd, const char *name, uint64_t max, uint64_t *ret);

/* The last part of what a symbolic link points to. 0, -ENOENT, -EINVAL if it is no link, -EMSGSIZE. */
int attribute_read_link(int directory_fd, const char *name, char *buffer, size_t size);

/* Opens an attribute for writing, which does nothing yet. The fd stays with this device. */
int attribute_open_for_write(int directory_fd, const char *name);

/* Writes the value with one write(), which is what sysfs acts on. 0 or a negative errno, which is the word
 * of the attribute itself; never tried again, since the kernel may have acted. -EIO if it took only a part.
 */
int attribute_write(int fd, const char *value);
