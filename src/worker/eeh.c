/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "worker/eeh.h"

#include <errno.h>
#include <stdio.h>

#include "worker/attribute.h"

/* A flag of the kernel's (arch/powerpc/include/asm/eeh.h). */
#define EEH_PE_ISOLATED 0x1U

int eeh_read(int device_fd, char text[static WORKER_VALUE_MAX])
{
        ssize_t n = attribute_read(device_fd, EEH_STATE, text, WORKER_VALUE_MAX);
        unsigned firmware, kernel;

        /* Without an endpoint the file is there and cannot be read. */
        if (n < 0)
                return n == -ENODEV ? -ENOENT : (int) n;
        if (sscanf(text, "%x %x", &firmware, &kernel) != 2)
                return -EBADMSG;
        return kernel & EEH_PE_ISOLATED ? 1 : 0;
}
