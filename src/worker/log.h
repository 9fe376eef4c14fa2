/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The one thing that the worker logs: that it failed at its own work, and nobody may be left to be told.
 * `error` is a negative errno. */
void log_failure(const char *what, int error);
