/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Everything that differs between a terminal and a pipe is decided here, per stream: a pipe gets plain,
 * complete text.
 */

#include "pcireset/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMNS_DEFAULT 80U
#define COLUMNS_MAX     10000UL

size_t terminal_columns(FILE *stream)
{
        const char *wish = getenv("COLUMNS");
        struct winsize size = {};

        if (!isatty(fileno(stream)))
                return 0;

        if (wish) {
                char *end;
                unsigned long columns = strtoul(wish, &end, 10);

                if (end != wish && *end == '\0' && columns > 0 && columns <= COLUMNS_MAX)
                        return columns;
        }
        if (ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
                return size.ws_col;
        return COLUMNS_DEFAULT;
}

bool terminal_can_redraw(FILE *stream)
{
        const char *term = getenv("TERM");

        return isatty(fileno(stream)) && term && *term && strcmp(term, "dumb") != 0;
}

bool terminal_has_colours(FILE *stream)
{
        const char *no_color = getenv("NO_COLOR");

        return !(no_color && *no_color) && terminal_can_redraw(stream);
}

const char *terminal_colour_begin(FILE *stream, Colour colour)
{
        static const char *const sequences[] = {
                [COLOUR_NONE] = "",         [COLOUR_HEADER] = "\033[1m", [COLOUR_DIM] = "\033[2m",
                [COLOUR_GOOD] = "\033[32m", [COLOUR_BUSY] = "\033[33m",  [COLOUR_BAD] = "\033[31m",
        };

        return terminal_has_colours(stream) ? sequences[colour] : "";
}

const char *terminal_colour_end(FILE *stream, Colour colour)
{
        return colour != COLOUR_NONE && terminal_has_colours(stream) ? "\033[0m" : "";
}
