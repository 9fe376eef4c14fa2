/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The line is one write, so that nothing of it is seen half drawn, and never as wide as the terminal, since
 * the last column makes some terminals wrap, and a wrapped line cannot be taken back.
 */

#include "pcireset/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "pcireset/terminal.h"
#include "pcireset/text.h"
#include "shared/cleanup.h"

#define QUIET_USEC (200 * USEC_PER_MSEC)

#define START_OF_LINE "\r"
#define ERASE_LINE    "\033[K"

void progress_start(Progress *progress)
{
        *progress = (Progress){
                .enabled = terminal_can_redraw(stderr),
                .since_usec = now_monotonic_usec(),
        };
}

/* In the background of a shell the line would go over what the user is typing. */
static bool in_background(void)
{
        pid_t foreground = tcgetpgrp(fileno(stderr));

        return foreground > 0 && foreground != getpgrp();
}

void progress_draw(Progress *progress, const char *address, const char *text)
{
        uint64_t elapsed = now_monotonic_usec() - progress->since_usec;
        _cleanup_free_ char *line = NULL, *escaped = NULL;
        size_t columns;

        if (!progress->enabled || elapsed < QUIET_USEC || in_background())
                return;

        if (asprintf(&line, "%s: %s (%.0f s)", address, text, (double) (elapsed / USEC_PER_SEC)) < 0) {
                line = NULL;
                return;
        }
        escaped = text_escape(line);
        columns = terminal_columns(stderr);
        if (!escaped || columns < 2)
                return;

        (void) fprintf(stderr, START_OF_LINE "%.*s" ERASE_LINE, (int) text_fit(escaped, columns - 1),
                       escaped);
        (void) fflush(stderr);
        progress->drawn = true;
}

void progress_clear(Progress *progress)
{
        if (!progress->drawn)
                return;
        (void) fputs(START_OF_LINE ERASE_LINE, stderr);
        (void) fflush(stderr);
        progress->drawn = false;
}
