/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The two halves of the kernel model: its rules (kernel-model.c), and the functions of libc that it is asked
 * from (kernel-model-hooks.c).
 */

#include <dlfcn.h>
#include <limits.h>
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

/* An open attribute of a device. */
typedef struct ModelAttribute {
        char path[PATH_MAX]; /* the device's directory, cut off before the name */
        const char *name; /* of the attribute, within `path` */
        const char *address; /* the last part of the directory's name, within `path` */
        bool gone; /* the device was removed since */
        ino_t inode; /* of the directory, 0 if gone */
} ModelAttribute;

/* One line of the log. */
void __attribute__((format(printf, 3, 4)))
model_log(const ModelAttribute *a, const char *what, const char *format, ...);

/* A knob's text without its newline: false if there is none. Its number, 0 if there is none. A number that
 * is counted down: `error` until it is 0. */
bool model_knob_text(const ModelAttribute *a, const char *knob, char *text, size_t size);
int model_knob_number(const ModelAttribute *a, const char *knob);
int model_knob_countdown(const ModelAttribute *a, const char *knob, int error);

void model_wait_at_gate(const ModelAttribute *a);
void model_apply_after(const ModelAttribute *a, const char *method);

/* True if `text` was written to something that changes the tree (kernel-model-tree.c). */
bool kernel_write_tree(const ModelAttribute *a, const char *text, int *ret);

/* True if the write was the kernel's business; `*ret` is then its answer, with errno set. */
bool kernel_write(int fd, const void *data, size_t n, ssize_t *ret);

/* False, with errno set, if the fd belongs to a device that is no more. Waits while a reset runs. */
bool kernel_may_read(int fd);

/* Notes who opens what can hang. */
void kernel_opened(int fd);

/* In sysfs nothing is created or truncated by opening it. */
int kernel_opening_flags(int directory, const char *path, int flags);
