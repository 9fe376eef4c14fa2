/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * One open, one read or write, one close. An attribute has no offset worth keeping, and a second read
 * through the same fd would not be the second half but a new text.
 */

#include "worker/attribute.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "shared/cleanup.h"

ssize_t attribute_read(int directory_fd, const char *name, char *buffer, size_t size)
{
        _cleanup_close_ int fd = -EBADF;
        ssize_t n;

        fd = openat(directory_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;

        n = read(fd, buffer, size);
        if (n < 0)
                return -errno;
        if ((size_t) n == size)
                return -EMSGSIZE;

        if (n > 0 && buffer[n - 1] == '\n')
                n--;
        buffer[n] = '\0';
        return strlen(buffer) == (size_t) n ? n : -EBADMSG;
}

int attribute_read_unsigned(int directory_fd, const char *name, uint64_t max, uint64_t *ret)
{
        unsigned long long number;
        char text[32], *end;
        ssize_t n;

        n = attribute_read(directory_fd, name, text, sizeof(text));
        if (n < 0)
                return (int) n;

        /* strtoull() would also take blanks and signs. */
        if (text[0] < '0' || text[0] > '9')
                return -EBADMSG;
        errno = 0;
        number = strtoull(text, &end, 0);
        if (*end != '\0')
                return -EBADMSG;
        if (errno != 0 || number > max)
                return -ERANGE;

        *ret = number;
        return 0;
}

int attribute_read_link(int directory_fd, const char *name, char *buffer, size_t size)
{
        char target[PATH_MAX];
        const char *last;
        ssize_t n;

        n = readlinkat(directory_fd, name, target, sizeof(target) - 1);
        if (n < 0)
                return -errno;
        target[n] = '\0';

        last = strrchr(target, '/');
        last = last ? last + 1 : target;
        if (strlen(last) >= size)
                return -EMSGSIZE;

        memcpy(buffer, last, strlen(last) + 1);
        return 0;
}

int attribute_open_for_write(int directory_fd, const char *name)
{
        int fd = openat(directory_fd, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

int attribute_write(int fd, const char *value)
{
        size_t length = strlen(value);
        ssize_t n;

        n = write(fd, value, length);
        if (n < 0)
                return -errno;
        return (size_t) n == length ? 0 : -EIO;
}
