/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the user is told when something failed, on stderr as text or, with --json, on stdout as one document;
 * and which exit code that is.
 */

#include "pcireset/context.h"

/* The exit code that belongs to the name of a D-Bus error. */
ExitCode error_exit_code(const char *name);

/* Reports the error that a call got, with the evidence in its body. Returns the exit code. `timed_out`: the
 * local timer ran out, there is no real answer. */
ExitCode report_reply(const Client *client, sd_bus_message *reply, bool timed_out);

/* Reports a failure that this client found itself. `next_step` may be NULL. Returns `code`. */
ExitCode report_failure(const Client *client, ExitCode code, const char *name, const char *next_step,
                        const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Reports what was put into client->failure instead of being told. `next_step` NULL: the one in there. Returns
 * `code`. */
ExitCode report_kept(const Client *client, ExitCode code, struct json_object *failure, const char *next_step);

/* Reports that a call could not be sent or its answer not received; `error` is a negative errno. */
ExitCode report_disconnected(const Client *client, int error);
