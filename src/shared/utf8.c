/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "shared/utf8.h"

#include <stdint.h>
#include <string.h>

size_t utf8_sequence_length(const char *text, size_t left)
{
        const uint8_t *p = (const uint8_t *) text;
        size_t n;
        uint32_t c;

        if (left == 0)
                return 0;
        if (p[0] < 0x80)
                return 1;
        if ((p[0] & 0xe0) == 0xc0) {
                n = 2;
                c = p[0] & 0x1fU;
        } else if ((p[0] & 0xf0) == 0xe0) {
                n = 3;
                c = p[0] & 0x0fU;
        } else if ((p[0] & 0xf8) == 0xf0) {
                n = 4;
                c = p[0] & 0x07U;
        } else {
                return 0;
        }
        if (n > left)
                return 0;
        for (size_t i = 1; i < n; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (p[i] & 0x3fU);
        }
        if (c < (n == 2   ? 0x80U
                 : n == 3 ? 0x800U
                          : 0x10000U) ||
            c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return 0;
        return n;
}

bool utf8_is_valid(const char *text)
{
        size_t left = strlen(text);

        while (left > 0) {
                size_t n = utf8_sequence_length(text, left);

                if (n == 0)
                        return false;
                text += n;
                left -= n;
        }
        return true;
}

/* C1 counts: to some terminals U+009B is as good as ESC [. */
static bool is_control(const char *p, size_t length)
{
        uint8_t c = (uint8_t) p[0];

        return length == 1 ? c < 0x20 || c == 0x7f : length == 2 && c == 0xc2 && (uint8_t) p[1] < 0xa0;
}

char *utf8_sanitize(char *text)
{
        bool valid = utf8_is_valid(text);

        for (char *p = text; *p;) {
                size_t n = valid ? utf8_sequence_length(p, strnlen(p, 4)) : 1;

                if (is_control(p, n) || (!valid && (uint8_t) *p >= 0x80))
                        memset(p, '?', n);
                p += n;
        }
        return text;
}

char *utf8_quote(const char *text, char *buffer, size_t size)
{
        size_t left = strlen(text), used = 0;

        while (left > 0) {
                size_t length = utf8_sequence_length(text, left), taken = length > 0 ? length : 1;
                bool plain = length > 0 && !is_control(text, length);

                if (used + (plain ? length : 1) >= size)
                        break;
                if (plain)
                        memcpy(buffer + used, text, length);
                else
                        buffer[used] = '?';
                used += plain ? length : 1;
                text += taken;
                left -= taken;
        }
        buffer[used] = '\0';
        return buffer;
}
