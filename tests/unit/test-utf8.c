/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What is quoted of a text that others wrote. */

#include <string.h>

#include "shared/utf8.h"
#include "unit.h"

#define BUFFER_SIZE 8U /* room for seven bytes */

static const struct {
        const char *text, *quoted;
} quotes[] = {
        {"", ""},
        {"flr", "flr"},
        {"1234567", "1234567"},
        {"12345678", "1234567"},
        {"a\nb\tc\x7f", "a?b?c?"},
        {"\x1b[2J", "?[2J"},
        {"\xc2\x9b"
         "2J",
         "?2J"}, /* CSI, of C1 */
        {"\xc2\xa0", "\xc2\xa0"},
        {"12345\xc3\xa9", "12345\xc3\xa9"},
        {"123456\xc3\xa9", "123456"}, /* only its first byte would fit */
        {"12345\xe2\x82\xac", "12345"},
        {"1234\xf0\x9f\x98\x80", "1234"},
        {"123\xf0\x9f\x98\x80", "123\xf0\x9f\x98\x80"},
        {"a\xff\xc3", "a??"}, /* no UTF-8 */
        {"123456\n8", "123456?"},
};

START_TEST(quotes_whole_characters)
{
        char buffer[BUFFER_SIZE];

        ck_assert_ptr_eq(utf8_quote(quotes[_i].text, buffer, sizeof(buffer)), buffer);
        ck_assert_str_eq(buffer, quotes[_i].quoted);
        ck_assert(utf8_is_valid(buffer));
}
END_TEST

static const struct {
        const char *text, *sanitized;
} sanitized[] = {
        {"", ""},
        {"Xorg", "Xorg"},
        {"a\nb\tc\x7f", "a?b?c?"},
        {"\x1b[2J", "?[2J"},
        {"\xc2\x9b"
         "2J",
         "??2J"}, /* a process may be called so */
        {"\xc2\xa0\xc3\xa9\xf0\x9f\x98\x80", "\xc2\xa0\xc3\xa9\xf0\x9f\x98\x80"},
        {"\xc3\xa9\xff", "???"},
};

START_TEST(sanitizes_in_place)
{
        char buffer[32];

        (void) strcpy(buffer, sanitized[_i].text);
        ck_assert_ptr_eq(utf8_sanitize(buffer), buffer);
        ck_assert_str_eq(buffer, sanitized[_i].sanitized);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("utf8");

        unit_add_table(suite, quotes_whole_characters, quotes);
        unit_add_table(suite, sanitizes_in_place, sanitized);
        return unit_run(suite);
}
