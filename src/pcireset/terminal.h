/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the terminal behind a stream can do.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef enum Colour {
        COLOUR_NONE,
        COLOUR_HEADER,
        COLOUR_DIM,
        COLOUR_GOOD,
        COLOUR_BUSY,
        COLOUR_BAD,
} Colour;

/* The width of the terminal, 0 if the stream is no terminal (nothing is shortened then). */
size_t terminal_columns(FILE *stream);

/* True if escape sequences may be written: a terminal that is not `dumb`. */
bool terminal_can_redraw(FILE *stream);

/* True if colours may be written: as above, and NO_COLOR is not set. */
bool terminal_has_colours(FILE *stream);

/* The escape sequence that starts a colour, and the one that ends it. Empty without colours. */
const char *terminal_colour_begin(FILE *stream, Colour colour);
const char *terminal_colour_end(FILE *stream, Colour colour);
