/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The two halves of the kernel model: its rules (kernel-model.c), and the functions of libc that it is asked
 * from (kernel-model-hooks.c).
 */

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The function that would have been called without the library. */
#define NEXT(function)                                                                                      \
        ({                                                                                                  \
                static __typeof__(&(function)) _next;                                                       \
                if (!_next)                                                                                 \
                        _next = dlsym(RTLD_NEXT, #function);                                                \
                _next;                                                                                      \
        })

/* True if the write was the kernel's business; `*ret` is then its answer, with errno set. */
bool kernel_write(int fd, const void *data, size_t n, ssize_t *ret);

/* False, with errno set, if the fd belongs to a device that is no more. Waits while a reset runs. */
bool kernel_may_read(int fd);

/* Notes who opens what can hang. */
void kernel_opened(int fd);

/* In sysfs nothing is created or truncated by opening it. */
int kernel_opening_flags(int directory, const char *path, int flags);
