/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A machine of its own for one test: see sandbox.c.
 */

#include <stddef.h>
#include <sys/types.h>

/* Users that exist in the sandbox. The example rules allow alice, and nobody else. */
#define UID_ALICE 1001U
#define UID_BOB   1002U
/* And that many more, of whom no rule knows anything. */
#define UID_CROWD  2000U
#define CROWD_SIZE 16U

#define SANDBOX_LOG_DIR "/run/log"

/* Puts the calling process of a forked test into a sandbox. Returns in a child, which is the sandbox's init:
 * all its processes end with it. The caller itself stays outside, waits, shows the logs if the test
 * failed, and ends as the child ended. */
void sandbox_enter(void);

/* printf() into a new string. */
char *__attribute__((format(printf, 1, 2))) textf(const char *format, ...);

/* Small files. All end the test on failure. */
void file_write(const char *path, const void *data, size_t size);
void __attribute__((format(printf, 2, 3))) file_print(const char *path, const char *format, ...);
char *file_read(const char *path, size_t *ret_size); /* NULL if there is none; NUL-terminated */
void __attribute__((format(printf, 1, 2))) directory_make(const char *format, ...);
void directory_remove(const char *path); /* with all that is in it */

/* A file of the administrator's, which the daemon reads at its next start or SIGHUP. */
#define POLICY_ADMIN_FILE POLICY_ADMIN_DIR "/50-test.json"
void policy_put(const char *text);

/* What is tested: PCIRESETD, PCIRESET_WORKER, PCIRESETD_KERNEL_MODEL and PCIRESETD_SOURCE (the tree), as
 * they were built, or as the environment variable of that name says. */
const char *tested_path(const char *variable);

/* A file system of its own, with room for `size` ("256k") and for 64 files. */
void disk_make(const char *path, const char *size);
/* Fills it with this one file, but for so many pages. */
void disk_fill(const char *path, unsigned n_left);

/* A memfd with this text, sealed, as those that go over the bus. */
int file_sealed(const char *text);
