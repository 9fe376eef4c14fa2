/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A loop around write(2). That nothing was taken is no error of it, and does not occur on files.
 */

#include "shared/write-all.h"

#include <errno.h>
#include <unistd.h>

int write_all(int fd, const void *data, size_t size)
{
        const char *at = data;

        while (size > 0) {
                ssize_t n = write(fd, at, size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                at += n;
                size -= (size_t) n;
        }
        return 0;
}
