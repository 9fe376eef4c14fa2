/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The strings that this program shows were written by others: option ROMs, the PCI id database, and users
 * whose jobs are listed. A terminal obeys control characters, so none reaches it. UTF-8 is decoded here and
 * not with mbrtowc(), because what comes over the bus is UTF-8 whatever the locale says.
 */

#include "pcireset/text.h"

#include <errno.h>
#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

#include "shared/cleanup.h"

static bool locale_is_utf8;

void text_init(void)
{
        /* Only the characters: numbers keep their point, for scripts that read the tables. */
        (void) setlocale(LC_CTYPE, "");
        locale_is_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
        if (!locale_is_utf8)
                /* wcwidth() shall know more than ASCII: names are passed on as they are. */
                (void) setlocale(LC_CTYPE, "C.UTF-8");
}

bool text_is_utf8(void)
{
        return locale_is_utf8;
}

size_t text_decode(const char *text, uint32_t *ret)
{
        static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
        const unsigned char *p = (const unsigned char *) text;
        uint32_t character;
        size_t length;

        if (p[0] == 0)
                return 0;
        if (p[0] < 0x80) {
                *ret = p[0];
                return 1;
        }

        if ((p[0] & 0xe0U) == 0xc0) {
                length = 2;
                character = p[0] & 0x1fU;
        } else if ((p[0] & 0xf0U) == 0xe0) {
                length = 3;
                character = p[0] & 0x0fU;
        } else if ((p[0] & 0xf8U) == 0xf0) {
                length = 4;
                character = p[0] & 0x07U;
        } else {
                return 0;
        }

        /* The terminating NUL is no continuation byte, so this never runs past it. */
        for (size_t i = 1; i < length; i++) {
                if ((p[i] & 0xc0U) != 0x80)
                        return 0;
                character = character << 6 | (p[i] & 0x3fU);
        }
        if (character < smallest[length] || character > 0x10ffff ||
            (character >= 0xd800 && character <= 0xdfff))
                return 0;

        *ret = character;
        return length;
}

bool text_is_hostile(uint32_t character)
{
        static const struct {
                uint32_t first, last;
        } ranges[] = {
                {0x00, 0x1f}, /* C0 */
                {0x7f, 0x9f}, /* DEL and C1, where 9b is as good as ESC [ */
                {0x00ad, 0x00ad}, /* soft hyphen */
                {0x061c, 0x061c}, /* Arabic letter mark */
                {0x200b, 0x200b}, /* zero width space */
                {0x200e, 0x200f}, /* left-to-right and right-to-left mark */
                {0x2028, 0x202e}, /* line and paragraph separator, embeddings and overrides */
                {0x2060, 0x206f}, /* invisible operators, isolates */
                {0xfeff, 0xfeff}, /* byte order mark */
                {0xfff9, 0xfffb}, /* interlinear annotation */
                {0xe0000, 0xe0fff}, /* tags */
        };

        for (size_t i = 0; i < ELEMENTSOF(ranges); i++)
                if (character >= ranges[i].first && character <= ranges[i].last)
                        return true;
        return false;
}

static char *write_escape(char *to, uint32_t character)
{
        switch (character) {
        case '\n':
                return stpcpy(to, "\\n");
        case '\r':
                return stpcpy(to, "\\r");
        case '\t':
                return stpcpy(to, "\\t");
        default:
                if (character < 0x80)
                        return to + sprintf(to, "\\x%02" PRIx32, character);
                return to + sprintf(to, character > 0xffff ? "\\U%08" PRIx32 : "\\u%04" PRIx32, character);
        }
}

char *text_escape(const char *text)
{
        /* The worst case is one byte that becomes four; four bytes become ten. */
        char *escaped = malloc(strlen(text) * 4 + 1);
        char *to = escaped;

        if (!escaped)
                return NULL;

        for (const char *p = text; *p;) {
                uint32_t character;
                size_t length = text_decode(p, &character);

                if (length == 0) {
                        to += sprintf(to, "\\x%02x", (unsigned char) *p);
                        length = 1;
                } else if (text_is_hostile(character)) {
                        to = write_escape(to, character);
                } else {
                        to = mempcpy(to, p, length);
                }
                p += length;
        }
        *to = '\0';
        return escaped;
}

/* The columns of the character at `text`, and its length in bytes. */
static size_t character_columns(const char *text, size_t *ret_length)
{
        uint32_t character;
        int columns;

        *ret_length = text_decode(text, &character);
        if (*ret_length == 0) {
                *ret_length = 1;
                return 1;
        }
        columns = wcwidth((wchar_t) character);
        return columns < 0 ? 1 : (size_t) columns;
}

size_t text_columns(const char *text)
{
        size_t columns = 0, length;

        for (; *text; text += length)
                columns += character_columns(text, &length);
        return columns;
}

size_t text_fit(const char *text, size_t columns)
{
        const char *p = text;
        size_t length;

        while (*p) {
                size_t width = character_columns(p, &length);

                if (width > columns)
                        break;
                columns -= width;
                p += length;
        }
        return (size_t) (p - text);
}

int text_print_line(FILE *stream, const char *format, ...)
{
        _cleanup_free_ char *line = NULL, *escaped = NULL;
        va_list arguments;
        int r;

        va_start(arguments, format);
        r = vasprintf(&line, format, arguments);
        va_end(arguments);
        if (r < 0) {
                line = NULL;
                return -ENOMEM;
        }

        escaped = text_escape(line);
        if (!escaped)
                return -ENOMEM;
        (void) fprintf(stream, "%s\n", escaped);
        return 0;
}

const char *text_duration(uint64_t usec, char buffer[static TEXT_DURATION_MAX])
{
        uint64_t seconds = usec / USEC_PER_SEC;

        if (usec < USEC_PER_MSEC)
                (void) snprintf(buffer, TEXT_DURATION_MAX, "%" PRIu64 " us", usec);
        else if (usec < 10 * USEC_PER_MSEC)
                (void) snprintf(buffer, TEXT_DURATION_MAX, "%.1f ms", (double) usec / USEC_PER_MSEC);
        else if (seconds >= 86400)
                (void) snprintf(buffer, TEXT_DURATION_MAX, "%" PRIu64 " d %02" PRIu64 " h", seconds / 86400,
                                seconds / 3600 % 24);
        else if (seconds >= 3600)
                (void) snprintf(buffer, TEXT_DURATION_MAX, "%" PRIu64 " h %02" PRIu64 " min", seconds / 3600,
                                seconds / 60 % 60);
        else if (seconds >= 60)
                (void) snprintf(buffer, TEXT_DURATION_MAX, "%" PRIu64 " min %02" PRIu64 " s", seconds / 60,
                                seconds % 60);
        else if (seconds >= 10)
                (void) snprintf(buffer, TEXT_DURATION_MAX, "%.1f s", (double) usec / USEC_PER_SEC);
        else
                (void) snprintf(buffer, TEXT_DURATION_MAX, "%.2f s", (double) usec / USEC_PER_SEC);
        return buffer;
}

const char *text_time(uint64_t usec, char buffer[static TEXT_TIME_MAX])
{
        time_t seconds = (time_t) (usec / USEC_PER_SEC);
        struct tm local;
        size_t n;

        if (!localtime_r(&seconds, &local) ||
            (n = strftime(buffer, TEXT_TIME_MAX, "%Y-%m-%d %H:%M:%S", &local)) == 0) {
                (void) snprintf(buffer, TEXT_TIME_MAX, "@%" PRIu64, usec / USEC_PER_SEC);
                return buffer;
        }
        (void) snprintf(buffer + n, TEXT_TIME_MAX - n, ".%03u",
                        (unsigned) (usec % USEC_PER_SEC / USEC_PER_MSEC));
        return buffer;
}

static uint64_t now_usec(clockid_t clock)
{
        struct timespec now = {};

        (void) clock_gettime(clock, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / 1000;
}

uint64_t now_realtime_usec(void)
{
        return now_usec(CLOCK_REALTIME);
}

uint64_t now_monotonic_usec(void)
{
        return now_usec(CLOCK_MONOTONIC);
}
