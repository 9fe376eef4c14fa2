/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The list in `reset_method`: narrowed to one method for one reset, and put back.
 *
 * The kernel tries the methods of the list in turn, so the only way to run one and no other is to leave it
 * alone in the list. The list belongs to the administrator, and the kernel's own users (VFIO, drivers)
 * follow it.
 */

#include <stdbool.h>

#include "shared/method.h"
#include "shared/worker-protocol.h"
#include "worker/device.h"

/* Reads the list. 0; -EBADMSG for one that could not be put back since it is not understood; or what reading
 * said (reset_method_show in the kernel). */
int method_list_read(const Device *device, ResetMethodList *ret);

/* True if the list is this method and nothing else. */
bool method_list_is_only(const ResetMethodList *list, const char *method);

/* Makes the list this method and nothing else. 0, -EINVAL if the kernel's probe finds that the device does
 * not support it now, or what writing said (reset_method_store); the list is then as it was. */
int method_list_select(const Device *device, const char *method);

/* Puts `old` back after method_list_select() of `method`, as well as the kernel lets it. */
ListRestored method_list_restore(const Device *device, const char *method, const ResetMethodList *old);

/* The same for a device that was removed and found again, whose list is the kernel's default: LIST_UNTOUCHED
 * if that is what it was before. */
ListRestored method_list_renew(const Device *device, const ResetMethodList *old);
