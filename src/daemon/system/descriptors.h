/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * How many descriptors are left. The kernel gives out the lowest number that is free, so a high one says how
 * many are taken. What clients can pile up (pins, messages that wait) has to leave a rest: without one the
 * daemon could not even read what happens to its devices, and would take them for gone.
 */

#include <stdbool.h>
#include <unistd.h>

#define RESERVED_DESCRIPTORS 64

static inline bool descriptor_leaves_room(int fd)
{
        long max = sysconf(_SC_OPEN_MAX);

        return max < 0 || fd < max - (long) RESERVED_DESCRIPTORS;
}
