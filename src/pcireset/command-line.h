/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What was typed, taken apart but not yet held against a verb.
 */

#include "pcireset/context.h"
#include "shared/cleanup.h"

/* Options that not every verb takes. */
typedef enum Option {
        OPTION_IN_USE = 1 << 0,
        OPTION_WHEN_IDLE = 1 << 1,
        OPTION_TIMEOUT = 1 << 2,
        OPTION_NO_WAIT = 1 << 3,
        OPTION_LEASE = 1 << 4,
        OPTION_WHO = 1 << 5,
        OPTION_WHY = 1 << 6,
        OPTION_MODE = 1 << 7,
        OPTION_WITH_SERIALS = 1 << 8,
        OPTION_METHOD = 1 << 9,
        OPTION_VERDICT = 1 << 10,
        OPTION_SOURCE = 1 << 11,
        OPTION_HARDWARE = 1 << 12,
        OPTION_SINCE = 1 << 13,
        OPTION_LIMIT = 1 << 14,
        OPTION_SIGNED_OFF_BY = 1 << 15,
        OPTION_RUNTIME = 1 << 16,
        OPTION_YES = 1 << 17,
        OPTION_COUNT = 1 << 18,
        OPTION_KNOWN_BAD = 1 << 19,
        OPTION_OUTPUT = 1 << 20,
        OPTION_PROBE = 1 << 21,
} Option;

typedef struct CommandLine {
        unsigned given; /* of Option */
        bool help, version;
        char *complaint; /* about the first thing that is wrong, NULL: nothing yet */

        char **words; /* the verb and its arguments, NULL-terminated; the strings are argv's */
        int n_words;
        char **behind_dashes; /* part of argv: what follows `--`, NULL: there is no `--` */
} CommandLine;

/* Reads everything; the values of options go into `client`. What is wrong is in `ret->complaint`, and the
 * rest of the line is read all the same, since --json may be in it. 0 or -ENOMEM. */
int command_line_parse(Client *client, int argc, char **argv, CommandLine *ret);
void command_line_done(CommandLine *line);

/* Appends what follows `--` to the words, for verbs to which it is nothing special. `words` has room for it.
 */
void command_line_join(CommandLine *line);

/* Keeps the first complaint. */
void command_line_complain(CommandLine *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Complains if an option was given that is not among `allowed` (of Option). */
void command_line_check_options(CommandLine *line, const char *verb, unsigned allowed);
