/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What the kernel model puts before libc: every way in which a program writes, reads or opens a file, with
 * the names that _FORTIFY_SOURCE gives them too.
 */

#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kernel-model-internal.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT ssize_t write(int fd, const void *data, size_t n)
{
        ssize_t r;

        return kernel_write(fd, data, n, &r) ? r : NEXT(write)(fd, data, n);
}

EXPORT ssize_t pwrite(int fd, const void *data, size_t n, off_t offset)
{
        ssize_t r;

        return kernel_write(fd, data, n, &r) ? r : NEXT(pwrite)(fd, data, n, offset);
}

EXPORT ssize_t pwrite64(int fd, const void *data, size_t n, off64_t offset)
{
        ssize_t r;

        return kernel_write(fd, data, n, &r) ? r : NEXT(pwrite64)(fd, data, n, offset);
}

EXPORT ssize_t writev(int fd, const struct iovec *iov, int n_iov)
{
        ssize_t r;

        /* Nobody has a reason to write an attribute in pieces. The kernel would take each for itself. */
        if (n_iov > 0 && kernel_write(fd, iov[0].iov_base, iov[0].iov_len, &r))
                return r;
        return NEXT(writev)(fd, iov, n_iov);
}

EXPORT ssize_t read(int fd, void *data, size_t n)
{
        return kernel_may_read(fd) ? NEXT(read)(fd, data, n) : -1;
}

EXPORT ssize_t pread(int fd, void *data, size_t n, off_t offset)
{
        return kernel_may_read(fd) ? NEXT(pread)(fd, data, n, offset) : -1;
}

EXPORT ssize_t pread64(int fd, void *data, size_t n, off64_t offset)
{
        return kernel_may_read(fd) ? NEXT(pread64)(fd, data, n, offset) : -1;
}

/* The names that _FORTIFY_SOURCE gives them. */
EXPORT ssize_t __read_chk(int fd, void *data, size_t n, size_t size);
EXPORT ssize_t __read_chk(int fd, void *data, size_t n, size_t size)
{
        return n <= size ? read(fd, data, n) : (abort(), -1);
}

EXPORT ssize_t __pread_chk(int fd, void *data, size_t n, off_t offset, size_t size);
EXPORT ssize_t __pread_chk(int fd, void *data, size_t n, off_t offset, size_t size)
{
        return n <= size ? pread(fd, data, n, offset) : (abort(), -1);
}

EXPORT ssize_t __pread64_chk(int fd, void *data, size_t n, off64_t offset, size_t size);
EXPORT ssize_t __pread64_chk(int fd, void *data, size_t n, off64_t offset, size_t size)
{
        return n <= size ? pread64(fd, data, n, offset) : (abort(), -1);
}

static int opened(int fd)
{
        if (fd >= 0)
                kernel_opened(fd);
        return fd;
}

static mode_t creation_mode(int flags, va_list arguments)
{
        return flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

#define DEFINE_OPEN(name)                                                                                   \
        EXPORT int name(const char *path, int flags, ...)                                                   \
        {                                                                                                   \
                va_list arguments;                                                                          \
                mode_t mode;                                                                                \
                va_start(arguments, flags);                                                                 \
                mode = creation_mode(flags, arguments);                                                     \
                va_end(arguments);                                                                          \
                return opened(NEXT(name)(path, kernel_opening_flags(AT_FDCWD, path, flags), mode));         \
        }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

#define DEFINE_OPENAT(name)                                                                                 \
        EXPORT int name(int directory, const char *path, int flags, ...)                                    \
        {                                                                                                   \
                va_list arguments;                                                                          \
                mode_t mode;                                                                                \
                va_start(arguments, flags);                                                                 \
                mode = creation_mode(flags, arguments);                                                     \
                va_end(arguments);                                                                          \
                return opened(                                                                              \
                        NEXT(name)(directory, path, kernel_opening_flags(directory, path, flags), mode));   \
        }
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

EXPORT int __open_2(const char *path, int flags);
EXPORT int __open_2(const char *path, int flags)
{
        return open(path, flags);
}

EXPORT int __open64_2(const char *path, int flags);
EXPORT int __open64_2(const char *path, int flags)
{
        return open64(path, flags);
}

EXPORT int __openat_2(int directory, const char *path, int flags);
EXPORT int __openat_2(int directory, const char *path, int flags)
{
        return openat(directory, path, flags);
}

EXPORT int __openat64_2(int directory, const char *path, int flags);
EXPORT int __openat64_2(int directory, const char *path, int flags)
{
        return openat64(directory, path, flags);
}

/* stdio reads without asking read(): here the wait is at the opening. */
static FILE *file_opened(FILE *file)
{
        if (file && !kernel_may_read(opened(fileno(file)))) {
                (void) fclose(file);
                return NULL;
        }
        return file;
}

EXPORT FILE *fopen(const char *path, const char *mode)
{
        return file_opened(NEXT(fopen)(path, mode));
}

EXPORT FILE *fopen64(const char *path, const char *mode)
{
        return file_opened(NEXT(fopen64)(path, mode));
}
