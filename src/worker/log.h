/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdint.h>

/* The one thing that the worker logs: that it failed at its own work, and nobody may be left to be told.
 * `error` is a negative errno, `job` the number of the job, 0 as long as it is not known. */
void log_failure(uint32_t job, const char *what, int error);
