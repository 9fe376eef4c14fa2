/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Writing until nothing is left: write(2) may take a part, or be interrupted.
 */

#include <stddef.h>

/* Writes `size` bytes to a descriptor that blocks. 0, or a negative errno; then a part may be written. */
int write_all(int fd, const void *data, size_t size);
