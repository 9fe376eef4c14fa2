/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Variables outlive descriptors: programs in between may have closed it (sudo does), and the number may be
 * something else's by now. That is never passed to the daemon: leases are FIFOs, and so is nothing that is
 * opened by chance but pipes, which the daemon turns down.
 */

#include "pcireset/lease-fd.h"

#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>

int lease_fd_inherited(void)
{
        const char *text = getenv(LEASE_FD_VARIABLE);
        struct statfs filesystem;
        struct stat status;
        long number;
        char *end;

        if (!text || !*text)
                return -ENOENT;

        errno = 0;
        number = strtol(text, &end, 10);
        if (text[0] < '0' || text[0] > '9' || *end || errno || number > INT_MAX)
                return -EBADF;
        if (fstat((int) number, &status) < 0 || !S_ISFIFO(status.st_mode) ||
            fstatfs((int) number, &filesystem) < 0 || filesystem.f_type == PIPEFS_MAGIC)
                return -EBADF;
        return (int) number;
}
