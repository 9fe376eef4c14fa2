/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The namespaces of one type that processes live in, other than our own.
 */

#include <stddef.h>
#include <stdint.h>

#include "worker/holders-look.h"

/* What is beyond is left out. */
#define NAMESPACES_MAX 1024U

typedef struct Namespace {
        uint64_t inode; /* its number */
        int fd; /* keeps it, so that no other one gets the number */
        uint32_t pid; /* the first process in it, 0: none is known */
        char *path; /* for the caller's use; freed with the rest */
} Namespace;

/* Begin with {}. */
typedef struct Namespaces {
        uint64_t own;
        Namespace *all;
        size_t n, size;
} Namespaces;

/* Finds those that processes live in; of a process with several, it is the first thread's that counts.
 * `type` is the name of the file in /proc/PID/ns. What has gone or must not be seen is left out. Returns 0,
 * -ENOENT if not even our own can be seen, or -ENOMEM. */
int namespaces_find(Namespaces *namespaces, const Look *look, const char *type);

/* Adds one by its file below /proc. Returns 1 with the namespace, which is valid until the next one is
 * added; 0 if it is our own, the file is another one, or there are too many; or -ENOMEM. */
int namespaces_add(Namespaces *namespaces, const Look *look, uint64_t inode, const char *path,
                   Namespace **ret);

void namespaces_done(Namespaces *namespaces);
