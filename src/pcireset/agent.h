/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A polkit agent for the terminal, for sessions that have none of their own (ssh, a text console): without
 * one polkit has nobody to ask.
 */

#include <sys/types.h>

/* Starts pkttyagent for this process and waits until it is ready. Returns its pid, 0 if it is not needed
 * (root is not asked) or not there, which is no error: then polkit answers by itself. */
pid_t agent_start(void);

/* Ends it. Accepts 0. */
void agent_stop(pid_t agent);
