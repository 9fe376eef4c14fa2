/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The operation `scan`: who uses many devices, of which one that cannot be looked at must not hide the others.
 */

#include "worker/holders.h"

/* Looks at the request's members together, and if that fails at fewer of them until those that cannot be looked at
 * are alone: each of these has its own error then, and the scan none. After many attempts, or some seconds, whoever
 * has not been looked at by then has the error of the last. `roots` as for holders_scan(). 0 or -ENOMEM. */
int scan_members(const HoldersRoots *roots, const WorkerRequest *request, WorkerScan **ret);
