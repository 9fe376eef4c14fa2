/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What is written of rules is what was read, to the byte.
 */

#include "daemon/system/policy-write.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/system/dropins.h"
#include "daemon/system/policy-load.h"
#include "shared/cleanup.h"
#include "unit.h"

static Policy *load(const char *path, const char *text, Policy *policy)
{
        char *message = NULL;

        if (!policy)
                policy = policy_new();
        ck_assert_ptr_nonnull(policy);
        ck_assert_msg(policy_load_text(path, text, strlen(text), NULL, policy, &message) == 0, "%s",
                      message);
        return policy;
}

#define RULE(id, rest) "{\"id\":\"" id "\"," rest "}"
#define FILE_OF(rules) "{\"rules\":[" rules "]}\n"
#define SET            "\"match\":{},\"settings\":{"

/* As it is written: each key in its order and without blanks. */
static const char *const texts[] = {
        FILE_OF(""),
        FILE_OF(RULE("a", SET "\"methods\":[]}")),
        FILE_OF(RULE("a", SET "\"forbid\":[],\"allow_link\":false,\"driver\":\"keep\"}")),
        FILE_OF(RULE("a", SET "\"driver\":\"refuse\",\"kernel_order\":false,\"on_release\":\"none\"}")),
        FILE_OF(RULE("a", SET "\"require_clean\":false,\"on_error\":\"notify\",\"settle_usec\":0}")),
        FILE_OF(RULE("a", SET "\"timeout_usec\":3600000000}")),
        FILE_OF(RULE("a", SET "\"known_bad\":[{\"method\":\"pm\",\"source\":\"x\"}]}")),
        FILE_OF(RULE("a",
                     "\"match\":{\"driver\":\"\",\"assigned\":false},\"settings\":{\"allow_link\":true}")),
        FILE_OF(RULE("all",
                     "\"reason\":\"a \\\"b\\\" \\\\ \xc3\xa4 /\",\"match\":{\"address\":\"0000:0[1-3]:*\","
                     "\"modalias\":\"pci:v000010DE*\",\"driver\":\"vfio?pci\",\"class\":\"0x0300??\","
                     "\"assigned\":true,\"kernel\":\"6.6..6.12\"},\"settings\":{\"methods\":[\"bus\","
                     "\"flr\"],\"forbid\":[\"pm\"],\"allow_link\":true,\"driver\":\"rebind\","
                     "\"kernel_order\":true,\"on_release\":\"reset\",\"require_clean\":true,"
                     "\"on_error\":\"quarantine\",\"settle_usec\":500000,\"timeout_usec\":30000000,"
                     "\"known_bad\":[{\"method\":\"flr\",\"source\":\"https://example.org/1\","
                     "\"kernel\":\"..6.5\"},{\"method\":\"acpi\",\"source\":\"y\"}],\"known_good\":[{"
                     "\"method\":\"bus\",\"source\":\"z\"}]}") "," RULE("b",
                                                                        SET "\"on_error\":\"recover\"}")),
};

START_TEST(same_text)
{
        Policy *policy = load("/a.json", texts[_i], NULL);
        _cleanup_free_ char *text = NULL;

        ck_assert_int_eq(policy_write(policy, NULL, &text), 0);
        ck_assert_str_eq(text, texts[_i]);
        policy_free(policy);
}
END_TEST

START_TEST(one_file)
{
        Policy *policy = load("/a.json", FILE_OF(RULE("a", SET "\"allow_link\":true}")), NULL);
        _cleanup_free_ char *text = NULL, *none = NULL;

        load("/b.json", FILE_OF(RULE("b", SET "\"forbid\":[\"pm\"]}")), policy);
        ck_assert_int_eq(policy_write(policy, "/b.json", &text), 0);
        ck_assert_str_eq(text, FILE_OF(RULE("b", SET "\"forbid\":[\"pm\"]}")));
        ck_assert_int_eq(policy_write(policy, "/c.json", &none), 0);
        ck_assert_str_eq(none, FILE_OF(""));
        policy_free(policy);
}
END_TEST

/* More than a file may have, of two that were not too large. */
START_TEST(too_large)
{
        Policy *policy = policy_new();
        char *text = NULL;

        for (size_t i = 0; i < POLICY_RULES_MAX; i++) {
                PolicyRule rule = {.file = strdup("/a.json"), .settings = {.set = 1U << POLICY_FORBID}};

                (void) snprintf(rule.id, sizeof(rule.id), "r%zu", i);
                memset(rule.reason, 'x', sizeof(rule.reason) - 1);
                ck_assert_int_eq(policy_add(policy, &rule), 0);
        }
        ck_assert_int_eq(policy_write(policy, NULL, &text), -EMSGSIZE);
        ck_assert_ptr_null(text);
        policy_free(policy);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("policy-write");

        unit_add_table(suite, same_text, texts);
        unit_add(suite, one_file);
        unit_add(suite, too_large);
        return unit_run(suite);
}
