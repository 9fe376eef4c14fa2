/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Rules from policy files decide what is done to devices, and whoever is refused learns which rule it was.
 */

#include <string.h>
#include <time.h>

#include "harness/claims.h"
#include "harness/fixture.h"
#include "harness/resets.h"

#define MESSAGE_ID_WORKAROUND "0f6f3b7c4f5f4a0d8b7a5e0c9d2e6a18"

#define RULE(match, settings)                                                                               \
        "{\"rules\": [{\"id\": \"one\", \"match\": {" match "}, \"settings\": {" settings "}}]}\n"
#define SOURCE "\"source\": \"https://example.org/thread\""

static void put(const char *directory, const char *name, const char *text)
{
        _cleanup_free_ char *path = textf("%s/%s", directory, name);

        directory_make("%s", directory);
        file_write(path, text, strlen(text));
}

static void start(const char *policy)
{
        put(POLICY_ADMIN_DIR, "50-test.json", policy);
        polkit_start(polkit_rules_everybody);
        fixture_devices();
        fixture_start();
}

/* What GetMethods says of one method. */
static json_object *method_of(const Reply *methods, const char *name)
{
        for (size_t i = 0; i < reply_length(methods, "0"); i++) {
                _cleanup_free_ char *place = textf("0.%zu.0", i), *facts = textf("0.%zu.1", i);

                if (strcmp(reply_string(methods, place), name) == 0)
                        return reply_at(methods, facts);
        }
        ck_abort_msg("GetMethods does not tell of %s", name);
        return NULL;
}

static const char *text_at(json_object *value, const char *place)
{
        json_object *text = json_at(value, place);

        ck_assert_msg(text, "there is no %s", place);
        return json_object_get_string(text);
}

START_TEST(order_is_followed)
{
        _cleanup_reply_ Reply *methods = NULL, *done = NULL, *named = NULL;
        const JournalEntry *warning;

        start(RULE("\"address\": \"" CARD "\"", "\"methods\": [\"pm\", \"flr\"]"));
        methods = manager_call(bob, "GetMethods", "sa{sv}", CARD, 0);
        ck_assert_str_eq(text_at(method_of(methods, "bus"), "left_out.0"), "not-listed");
        ck_assert_str_eq(text_at(method_of(methods, "bus"), "rule"), "one (" POLICY_ADMIN_FILE ")");
        ck_assert(json_object_get_boolean(json_at(method_of(methods, "bus"), "enabled")));

        done = reset(alice, CARD, "any", NULL);
        expect_success(done);
        expect_methods_run(CARD, "pm");
        wait_until(journal_find("MESSAGE_ID", MESSAGE_ID_WORKAROUND, "PCIRESETD_DEVICE", CARD, NULL));
        warning = journal_find("MESSAGE_ID", MESSAGE_ID_WORKAROUND, NULL);
        ck_assert_str_eq(journal_field(warning, "PRIORITY"), "4");
        ck_assert_ptr_nonnull(strstr(journal_field(warning, "MESSAGE"), "50-test.json"));

        /* Whoever names another one gets it. */
        named = reset(alice, CARD, "bus", NULL);
        expect_success(named);
        expect_methods_run(CARD, "pm bus");
        /* The rule is about the one device. */
        ck_assert_uint_eq(model_count("begin", CARD2), 0);
}
END_TEST

START_TEST(forbidden_names_its_rule)
{
        _cleanup_reply_ Reply *methods = NULL, *named = NULL, *all = NULL, *other = NULL;

        start(RULE("\"address\": \"" CARD "\"", "\"forbid\": [\"flr\"], \"allow_link\": false"));
        methods = manager_call(bob, "GetMethods", "sa{sv}", CARD, 0);
        ck_assert_str_eq(text_at(method_of(methods, "flr"), "why.0"), "forbidden");
        ck_assert(!json_object_get_boolean(json_at(method_of(methods, "flr"), "enabled")));
        ck_assert_str_eq(text_at(method_of(methods, "bus"), "why.0"), "link-forbidden");

        named = reset(alice, CARD, "flr", NULL);
        expect_error(named, "PolicyDenied", CARD);
        expect_error(named, "PolicyDenied", "one (" POLICY_ADMIN_FILE ")");
        ck_assert_str_eq(reply_string(named, "1.attempts.0.error"), "PolicyDenied");
        ck_assert_str_eq(reply_string(named, "1.attempts.0.rule"), "one (" POLICY_ADMIN_FILE ")");
        other = reset(alice, CARD, "link", NULL);
        expect_error(other, "PolicyDenied", "50-test.json");
        expect_nothing_written();

        all = reset(alice, CARD, "any", NULL);
        expect_success(all);
        expect_methods_run(CARD, "pm");
}
END_TEST

/* With polkit's own action, beside the usual one; and never by itself. */
/* How the name begins, and how many characters of two bytes follow. */
static const struct {
        const char *name;
        unsigned n_long;
} odd_names[] = {
        {"50-b\xfcro", 0}, /* not UTF-8 */
        {"50-", 80}, /* so long that it is not told in full, whichever byte it would be cut at */
        {"50-a", 80},
};

/* Whatever the file is called whose rule it is, there is an answer. */
START_TEST(odd_files_are_named)
{
        _cleanup_reply_ Reply *rules = NULL, *methods = NULL, *refused = NULL, *rows = NULL;
        char name[256];
        size_t n = strlen(odd_names[_i].name);

        memcpy(name, odd_names[_i].name, n);
        for (unsigned i = 0; i < odd_names[_i].n_long; i++, n += 2)
                memcpy(name + n, "\xc3\xbc", 2);
        memcpy(name + n, ".json", sizeof(".json"));
        put(POLICY_ADMIN_DIR, name, RULE("\"address\": \"" CARD "\"", "\"forbid\": [\"flr\"]"));
        polkit_start(polkit_rules_everybody);
        fixture_devices();
        fixture_start();
        rules = manager_call(bob, "ListPolicies", "a{sv}", 0);
        expect_success(rules);
        ck_assert_uint_eq(reply_length(rules, "0"), 1);
        methods = manager_call(bob, "GetMethods", "sa{sv}", CARD, 0);
        expect_success(methods);
        refused = reset(bob, CARD, "flr", NULL);
        expect_error(refused, "PolicyDenied", "one (");
        rows = manager_call(bob, "GetHistory", "a{sv}", 0);
        expect_success(rows);
}
END_TEST

START_TEST(known_bad_is_asked_for)
{
        static const char rules[] =
                "polkit.addRule(function(action, subject) {\n"
                "    if (action.id == 'org.pciresetd1.reset')\n"
                "        return polkit.Result.YES;\n"
                "    if (action.id == 'org.pciresetd1.reset-known-bad')\n"
                "        return subject.user == 'alice' ? polkit.Result.YES : polkit.Result.NO;\n"
                "});\n";
        _cleanup_reply_ Reply *methods = NULL, *plan = NULL, *all = NULL, *refused = NULL, *done = NULL;

        put(POLICY_VENDOR_DIR, "10-known.json",
            RULE("\"modalias\": \"pci:v00008086*\"", "\"known_bad\": [{\"method\": \"flr\", " SOURCE "}]"));
        polkit_start(rules);
        fixture_devices();
        fixture_start();
        methods = manager_call(bob, "GetMethods", "sa{sv}", CARD, 0);
        ck_assert_str_eq(text_at(method_of(methods, "flr"), "known"), "bad");
        ck_assert_str_eq(text_at(method_of(methods, "flr"), "source"), "https://example.org/thread");
        ck_assert_str_eq(text_at(method_of(methods, "flr"), "left_out.0"), "known-bad");
        plan = manager_call(bob, "Plan", "ssa{sv}", CARD, "flr", 0);
        expect_success(plan);
        ck_assert_str_eq(reply_string(plan, "0.rungs.0.actions.1"), "org.pciresetd1.reset-known-bad");

        all = reset(bob, CARD, "any", NULL);
        expect_success(all);
        expect_methods_run(CARD, "pm");
        refused = reset(bob, CARD, "flr", NULL);
        expect_error(refused, ERROR_ACCESS_DENIED, "org.pciresetd1.reset-known-bad");
        expect_methods_run(CARD, "pm");
        done = reset(alice, CARD, "flr", NULL);
        expect_success(done);
        expect_methods_run(CARD, "pm flr");
}
END_TEST

/* By name of the file, and the same name replaces in the order of /etc, /run, /usr/share. */
START_TEST(folders_have_ranks)
{
        _cleanup_reply_ Reply *pm = NULL, *flr = NULL, *bus = NULL;

        put(POLICY_VENDOR_DIR, "20-a.json", RULE("", "\"forbid\": [\"flr\"]"));
        put(POLICY_RUNTIME_DIR, "20-a.json", RULE("", "\"forbid\": [\"bus\"]"));
        put(POLICY_ADMIN_DIR, "20-a.json", RULE("", "\"forbid\": [\"pm\"]"));
        put(POLICY_VENDOR_DIR, "30-b.json", RULE("", "\"timeout_usec\": 60000000"));
        put(POLICY_ADMIN_DIR, "10-c.json", RULE("", "\"forbid\": [\"flr\", \"bus\"]"));
        polkit_start(polkit_rules_everybody);
        fixture_devices();
        fixture_start();
        pm = reset(alice, CARD, "pm", NULL);
        expect_error(pm, "PolicyDenied", POLICY_ADMIN_DIR "/20-a.json");
        flr = reset(alice, CARD, "flr", NULL);
        expect_success(flr);
        bus = reset(alice, CARD, "bus", NULL);
        expect_success(bus);
}
END_TEST

/* The device is given the time that it takes. */
START_TEST(settling_is_waited_for)
{
        _cleanup_reply_ Reply *done = NULL;
        ModelEvent ended;
        struct timespec now;

        start(RULE("\"address\": \"" CARD "\"", "\"settle_usec\": 700000"));
        done = reset(alice, CARD, "flr", NULL);
        expect_success(done);
        ended = model_wait("end", CARD, 0);
        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        ck_assert_uint_ge((uint64_t) now.tv_sec * 1000000U + (uint64_t) now.tv_nsec / 1000U,
                          ended.usec + 700000U);
}
END_TEST

/* Without in_use, since a rule says that it may be done; the worker takes the driver off and puts it back.
 */
START_TEST(driver_is_rebound)
{
        _cleanup_reply_ Reply *other = NULL, *done = NULL;

        /* No network card, of which an interface may be anywhere. */
        MockDevice card = mock_card, card2 = mock_card2;

        card.class = card2.class = 0x0c0330;
        card.driver = card2.driver = "xhci_hcd";
        put(POLICY_ADMIN_DIR, "50-test.json", RULE("\"address\": \"" CARD "\"", "\"driver\": \"rebind\""));
        polkit_start(polkit_rules_everybody);
        sysfs_add(&mock_port);
        sysfs_add(&mock_port2);
        sysfs_add(&card);
        sysfs_add(&card2);
        fixture_start();
        other = reset(alice, CARD2, "flr", NULL);
        expect_error(other, "InUse", CARD2);
        done = reset(alice, CARD, "flr", NULL);
        expect_success(done);
        expect_methods_run(CARD, "flr");
        ck_assert_uint_eq(model_count("unbind", CARD), 1);
        ck_assert_uint_eq(model_count("bind", CARD), 1);
        ck_assert_uint_eq(model_count("unbind", CARD2), 0);
}
END_TEST

START_TEST(timeout_is_the_policys)
{
        _cleanup_reply_ Reply *late = NULL;
        Call *waits;
        int hold;

        start(RULE("\"address\": \"" CARD "\"", "\"timeout_usec\": 1000000"));
        hold = reset_hold(&waits);
        late = call_finish(waits);
        expect_error(late, "TimedOut", CARD);
        model_release(&hold);
}
END_TEST

int main(void)
{
        TestProgram program = program_new("policy");

        program_add(&program, order_is_followed);
        program_add(&program, forbidden_names_its_rule);
        program_add_table(&program, odd_files_are_named, odd_names);
        program_add(&program, known_bad_is_asked_for);
        program_add(&program, folders_have_ranks);
        program_add(&program, settling_is_waited_for);
        program_add(&program, driver_is_rebound);
        program_add(&program, timeout_is_the_policys);
        return program_run(&program);
}
