/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Scope-bound ownership.
 *
 * Every resource gets its cleanup attribute on the line that declares it, so that no early return can leak
 * it; what is handed on is taken out of the variable with steal_pointer() or steal_fd().
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

/* Defines cleanup_f(), which releases a pointer variable through `f`. `f` must accept NULL. */
#define DEFINE_CLEANUP(type, f)                                                                             \
        static inline __attribute__((unused)) void cleanup_##f(type *p)                                     \
        {                                                                                                   \
                if (*p)                                                                                     \
                        f(*p);                                                                              \
        }                                                                                                   \
        struct cleanup_##f##_wants_a_semicolon

static inline void cleanup_freep(void *p)
{
        free(*(void **) p);
}

static inline void cleanup_close(int *fd)
{
        /* close() must not hide the errno of the failure that made us leave. */
        int saved_errno = errno;

        if (*fd >= 0)
                (void) close(*fd);
        errno = saved_errno;
}

static inline int steal_fd_from(int *fd)
{
        int taken = *fd;

        *fd = -EBADF;
        return taken;
}

#define _cleanup_free_  _cleanup_(cleanup_freep)
#define _cleanup_close_ _cleanup_(cleanup_close)

/* Takes the value out of an owning variable and leaves it empty. */
#define steal_pointer(p)                                                                                    \
        ({                                                                                                  \
                __typeof__(p) *_from = &(p);                                                                \
                __typeof__(p) _taken = *_from;                                                              \
                *_from = NULL;                                                                              \
                _taken;                                                                                     \
        })
#define steal_fd(fd) steal_fd_from(&(fd))

#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))
