/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the scripted workers do and say (scripted-worker.c), in a directory of the test's own. Here `what` is
 * the first part of a name there, like "gate".
 */

/* Of each test. SIGCHLD is blocked, as the event loop wants it. */
void script_begin(void);
void script_end(void);

/* From now on a worker that is asked about this device does this, */
void script(const char *what, const char *address);
/* and no more. */
void unscript(const char *what, const char *address);
/* Lets those through that wait at the gate, and makes it vanish. They must be waiting: wait for `begin`. */
void open_gate(const char *address);

/* Waits until a worker has said this. */
void await(const char *line);
/* How often it has been said so far. */
unsigned said(const char *word);
