/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * CLOCK_MONOTONIC in microseconds.
 */

#include <errno.h>
#include <stdint.h>
#include <time.h>

#define USEC_PER_SEC  UINT64_C(1000000)
#define USEC_PER_MSEC UINT64_C(1000)
#define NSEC_PER_USEC 1000L

static inline uint64_t now_usec(void)
{
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) (t.tv_nsec / NSEC_PER_USEC);
}

/* Sleeps for all of the time, whatever signals come. No time is no sleep: the kernel would round it up and
 * give the processor to others. */
static inline void sleep_usec(uint64_t usec)
{
        struct timespec left = {
                .tv_sec = (time_t) (usec / USEC_PER_SEC),
                .tv_nsec = (long) (usec % USEC_PER_SEC) * NSEC_PER_USEC,
        };

        while (usec > 0 && clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
                ;
}
