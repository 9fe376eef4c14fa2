/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Reset methods: what `reset_method` may hold, and what it may not make us believe. */

#include <errno.h>

#include "shared/method.h"
#include "unit.h"

static const struct {
        const char *text;
        const char *list; /* NULL: refused */
        size_t n;
} texts[] = {
        {"", "", 0},
        {"\n", "", 0},
        {"flr\n", "flr", 1},
        {"flr bus\n", "flr bus", 2},
        {"device_specific acpi flr af_flr pm bus cxl_bus\n",
         "device_specific acpi flr af_flr pm bus cxl_bus", 7},
        {"flr d3cold\n", "flr d3cold", 2},
        {"flr flr\n", "flr flr", 2},
        {"FLR\n", NULL, 0},
        {"flr,bus\n", NULL, 0},
        {"../flr\n", NULL, 0},
        {"1flr\n", NULL, 0},
        {"abcdefghijklmnopqrstuvw\n", "abcdefghijklmnopqrstuvw", 1},
        {"abcdefghijklmnopqrstuvwx\n", NULL, 0},
        {"a a a a a a a a a a a a a a a a\n", "a a a a a a a a a a a a a a a a", 16},
        {"a a a a a a a a a a a a a a a a a\n", NULL, 0},
};

START_TEST(lists)
{
        char text[RESET_METHOD_LIST_STRING_MAX];
        ResetMethodList list = {.n = 3};
        int r = reset_method_list_parse(texts[_i].text, &list);

        if (!texts[_i].list) {
                ck_assert_int_eq(r, -EBADMSG);
                ck_assert_uint_eq(list.n, 0);
                return;
        }
        ck_assert_int_eq(r, 0);
        ck_assert_uint_eq(list.n, texts[_i].n);
        ck_assert_str_eq(reset_method_list_format(&list, text), texts[_i].list);
}
END_TEST

static const struct {
        const char *name;
        ResetScope scope;
        ResetAlias alias;
} names[] = {
        {"flr", RESET_SCOPE_FUNCTION, RESET_ALIAS_NONE},
        {"af_flr", RESET_SCOPE_FUNCTION, RESET_ALIAS_NONE},
        {"pm", RESET_SCOPE_FUNCTION, RESET_ALIAS_NONE},
        {"acpi", RESET_SCOPE_FUNCTION, RESET_ALIAS_NONE},
        {"device_specific", RESET_SCOPE_FUNCTION, RESET_ALIAS_NONE},
        {"bus", RESET_SCOPE_LINK, RESET_ALIAS_NONE},
        {"cxl_bus", RESET_SCOPE_LINK, RESET_ALIAS_NONE},
        {"do_flr", RESET_SCOPE_FUNCTION, RESET_ALIAS_NONE},
        {"reset_device", RESET_SCOPE_LINK, RESET_ALIAS_NONE},
        {"d3cold", RESET_SCOPE_UNKNOWN, RESET_ALIAS_NONE},
        {"any", RESET_SCOPE_UNKNOWN, RESET_ALIAS_ANY},
        {"function", RESET_SCOPE_UNKNOWN, RESET_ALIAS_FUNCTION},
        {"link", RESET_SCOPE_UNKNOWN, RESET_ALIAS_LINK},
        {"", RESET_SCOPE_UNKNOWN, RESET_ALIAS_NONE},
        {"Any", RESET_SCOPE_UNKNOWN, RESET_ALIAS_NONE},
};

START_TEST(scopes_and_aliases)
{
        ck_assert_int_eq(reset_method_scope(names[_i].name), names[_i].scope);
        ck_assert_int_eq(reset_alias_from_string(names[_i].name), names[_i].alias);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("method");

        unit_add_table(suite, lists, texts);
        unit_add_table(suite, scopes_and_aliases, names);
        return unit_run(suite);
}
