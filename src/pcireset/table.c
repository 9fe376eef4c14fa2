/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Rows are kept as one flat array of cells, the headers first. A column is as wide as its widest cell. The
 * last one is not padded, and gives way when the terminal is too narrow: by convention it holds the text
 * that is worth least.
 */

#include "pcireset/table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "pcireset/text.h"

#define GAP            2U
#define LAST_WIDTH_MIN 8U /* below that a shortened text says nothing; then the terminal may wrap it */

typedef struct Cell {
        char *text;
        Colour colour;
} Cell;

struct Table {
        size_t n_columns;
        Cell *cells;
        size_t n_cells, n_allocated;
        int error; /* sticky */
};

void table_free(Table *table)
{
        for (size_t i = 0; i < table->n_cells; i++)
                free(table->cells[i].text);
        free(table->cells);
        free(table);
}

static int append(Table *table, Colour colour, const char *text)
{
        _cleanup_free_ char *escaped = text_escape(text);

        if (!escaped)
                return -ENOMEM;

        if (table->n_cells == table->n_allocated) {
                size_t n = table->n_allocated ? table->n_allocated * 2 : 64;
                Cell *cells = reallocarray(table->cells, n, sizeof(Cell));

                if (!cells)
                        return -ENOMEM;
                table->cells = cells;
                table->n_allocated = n;
        }
        table->cells[table->n_cells++] = (Cell){.text = steal_pointer(escaped), .colour = colour};
        return 0;
}

Table *table_new(const char *const *headers)
{
        _cleanup_(cleanup_table_free) Table *table = calloc(1, sizeof(Table));

        if (!table)
                return NULL;
        for (; headers[table->n_columns]; table->n_columns++)
                if (append(table, COLOUR_HEADER, headers[table->n_columns]) < 0)
                        return NULL;
        return steal_pointer(table);
}

void table_cell(Table *table, Colour colour, const char *format, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list arguments;
        int r;

        va_start(arguments, format);
        r = vasprintf(&text, format, arguments);
        va_end(arguments);
        if (r < 0) {
                text = NULL;
                table->error = -ENOMEM;
                return;
        }
        if (append(table, colour, text) < 0)
                table->error = -ENOMEM;
}

void table_text(Table *table, const char *text)
{
        table_cell(table, *text ? COLOUR_NONE : COLOUR_DIM, "%s", *text ? text : "-");
}

void table_age(Table *table, uint64_t since_usec)
{
        uint64_t now = now_realtime_usec();
        char buffer[TEXT_DURATION_MAX];

        /* The clock may have been set back since. */
        if (since_usec > 0)
                (void) text_duration(now > since_usec ? now - since_usec : 0, buffer);
        table_text(table, since_usec > 0 ? buffer : "");
}

/* Writes the text, shortened to `columns` columns with an ellipsis at the end. */
static void print_shortened(FILE *stream, const char *text, size_t columns)
{
        const char *ellipsis = text_is_utf8() ? "…" : "...";

        if (text_columns(text) <= columns)
                (void) fputs(text, stream);
        else
                (void) fprintf(stream, "%.*s%s", (int) text_fit(text, columns - text_columns(ellipsis)),
                               text, ellipsis);
}

static void print_row(const Table *table, FILE *stream, const Cell *row, const size_t *widths,
                      size_t last_width)
{
        for (size_t i = 0; i < table->n_columns; i++) {
                bool last = i == table->n_columns - 1;

                (void) fputs(terminal_colour_begin(stream, row[i].colour), stream);
                if (last)
                        print_shortened(stream, row[i].text, last_width);
                else
                        (void) fputs(row[i].text, stream);
                (void) fputs(terminal_colour_end(stream, row[i].colour), stream);
                if (!last)
                        (void) fprintf(stream, "%*s", (int) (widths[i] - text_columns(row[i].text) + GAP),
                                       "");
        }
        (void) fputc('\n', stream);
}

int table_print(const Table *table, FILE *stream)
{
        _cleanup_free_ size_t *widths = NULL;
        size_t columns = terminal_columns(stream), before_last = 0, last_width = SIZE_MAX;

        if (table->error < 0)
                return table->error;

        widths = calloc(table->n_columns, sizeof(*widths));
        if (!widths)
                return -ENOMEM;
        for (size_t i = 0; i < table->n_cells; i++) {
                size_t width = text_columns(table->cells[i].text);

                if (width > widths[i % table->n_columns])
                        widths[i % table->n_columns] = width;
        }

        for (size_t i = 0; i + 1 < table->n_columns; i++)
                before_last += widths[i] + GAP;
        if (columns > 0)
                last_width = columns > before_last + LAST_WIDTH_MIN ? columns - before_last : LAST_WIDTH_MIN;

        for (size_t i = 0; i + table->n_columns <= table->n_cells; i += table->n_columns)
                print_row(table, stream, table->cells + i, widths, last_width);
        return 0;
}
