/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * One line on stderr that is drawn over and over while something takes its time. Nothing at all if stderr is
 * no terminal.
 */

#include <stdbool.h>
#include <stdint.h>

typedef struct Progress {
        bool enabled;
        bool drawn;
        uint64_t since_usec; /* CLOCK_MONOTONIC */
} Progress;

/* Starts the clock. */
void progress_start(Progress *progress);

/* Draws `ADDRESS: TEXT (SECONDS)`, cut to the terminal's width. Does nothing in the first moments: what is
 * over at once needs no line. */
void progress_draw(Progress *progress, const char *address, const char *text);

/* Removes the line. Call before anything else is written. */
void progress_clear(Progress *progress);
