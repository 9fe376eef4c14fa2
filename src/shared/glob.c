/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What follows a star is tried at each place of the text in turn, and when it does not fit, only the last
 * star takes one character more: an earlier one could give the later parts no more choice than they have.
 */

#include "shared/glob.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The end of the set that begins at `[`, behind its `]`; NULL if it is none. */
static const char *end_of_set(const char *pattern)
{
        const char *p = pattern + 1;

        if (*p == '!')
                p++;
        if (*p == ']')
                return NULL;
        while (*p != ']') {
                if (*p == '\0' || *p == '[' || *p == '-')
                        return NULL;
                if (p[1] != '-') {
                        p++;
                        continue;
                }
                if (p[2] == '\0' || p[2] == ']' || p[2] == '[' || p[2] == '-' || p[2] < p[0])
                        return NULL;
                p += 3;
        }
        return p + 1;
}

bool glob_is_valid(const char *pattern)
{
        for (const char *p = pattern; *p;) {
                if (*p <= ' ' || *p >= 0x7f)
                        return false;
                if (*p != '[') {
                        p++;
                        continue;
                }
                for (const char *end = end_of_set(p); p != end; p++)
                        if (!end || *p <= ' ' || *p >= 0x7f)
                                return false;
        }
        return true;
}

static bool set_has(const char *pattern, char c)
{
        const char *p = pattern + 1;
        bool negated = *p == '!', found = false;

        if (negated)
                p++;
        while (*p != ']')
                if (p[1] == '-') {
                        found = found || (p[0] <= c && c <= p[2]);
                        p += 3;
                } else {
                        found = *p++ == c || found;
                }
        return found != negated;
}

/* If the character is what the pattern wants here: the rest of the pattern, else NULL. */
static const char *take_one(const char *pattern, char c)
{
        switch (*pattern) {
        case '?':
                return pattern + 1;
        case '[':
                return set_has(pattern, c) ? end_of_set(pattern) : NULL;
        default:
                return *pattern == c ? pattern + 1 : NULL;
        }
}

bool glob_matches(const char *pattern, const char *text)
{
        const char *after_star = NULL, *resume = NULL;

        while (*text) {
                const char *rest = NULL;

                if (*pattern == '*') {
                        after_star = ++pattern;
                        resume = text;
                        continue;
                }
                if (*pattern)
                        rest = take_one(pattern, *text);
                if (rest) {
                        pattern = rest;
                        text++;
                } else if (after_star) {
                        pattern = after_star;
                        text = ++resume;
                } else {
                        return false;
                }
        }
        return pattern[strspn(pattern, "*")] == '\0';
}

/* True if one character is both what the pattern wants at its start and what the form has there. */
static bool meet(const char *pattern, char form)
{
        const char *digits = form == 'x' ? "0123456789abcdef" : form == 'X' ? "0123456789ABCDEF" : NULL;

        if (!digits)
                return take_one(pattern, form) != NULL;
        for (; *digits; digits++)
                if (take_one(pattern, *digits))
                        return true;
        return false;
}

/* A bit for each length of the form that what was seen of the pattern could have matched. */
bool glob_could_match(const char *pattern, const char *form)
{
        size_t length = strlen(form);
        uint64_t reached = 1;

        while (*pattern) {
                uint64_t next = 0;

                for (size_t i = 0; i <= length; i++) {
                        if (!(reached & UINT64_C(1) << i))
                                continue;
                        if (*pattern == '*')
                                next |= ~UINT64_C(0) << i;
                        else if (i < length && meet(pattern, form[i]))
                                next |= UINT64_C(1) << (i + 1);
                }
                reached = next;
                pattern = *pattern == '[' ? end_of_set(pattern) : pattern + 1;
        }
        return reached & UINT64_C(1) << length;
}
