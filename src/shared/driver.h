/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the name of a driver says about a reset of its device. The name is that of the `driver` link in
 * sysfs: who is bound is the kernel's word, whatever a driver lists as its own.
 */

#include <stdbool.h>

typedef enum DriverKind {
        DRIVER_NONE,
        DRIVER_ASSIGNABLE, /* vfio drivers and stubs: bound so that somebody may take the device; it is
                            * enabled as long as somebody has it open */
        DRIVER_UIO, /* the same for programs with a driver of their own, but enabled as long as it is bound,
                     * so that only an open node tells of a user */
        DRIVER_PCIBACK, /* Xen: sysfs cannot tell whether a guest has the device */
        DRIVER_HOST, /* anything else: the host uses it */
} DriverKind;

DriverKind driver_kind(const char *driver);

/* True if the driver's reset_prepare and reset_done callbacks put its own state right after a reset, so
 * that nothing is lost (kernels 6.1 to 7.1). */
bool driver_is_reset_aware(const char *driver);
