/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A command that runs while something is held for it.
 */

/* Runs `command` (NULL-terminated, found by PATH) and waits for its end; its descendants are not waited for.
 * `fd` is left open for it, under the same number; negative: none. Signals that somebody sends to this
 * process are passed on; what a terminal sends reaches the command by itself. Afterwards the signals that
 * were waited for stay blocked: the caller is about to end.
 *
 * Returns 0 and in `ret_status` the exit status, 128 and the number of the signal if one has ended it; a
 * positive errno if the command could not be executed; or a negative one. */
int command_run(char **command, int fd, int *ret_status);
