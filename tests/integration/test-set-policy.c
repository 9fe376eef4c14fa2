/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Rules that are set over the bus hold at once and over restarts, are written as a whole or not at all, and
 * are polkit's to allow; and files that are read again change over as a whole, or not at all.
 */

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "harness/claims.h"
#include "harness/fixture.h"

#define MESSAGE_ID_POLICY_LOADED  "b3c7c31ad43a4c4a9f3a8b6f2d1f0c57"
#define MESSAGE_ID_POLICY_KEPT    "9d7be0f54c8a4f3e8b0a5b7d3c1e6f24"
#define MESSAGE_ID_POLICY_CHANGED "e2a4c6d80b1f4e7795c3a1f0d8b6e453"

#define FORBIDS_FLR                                                                                         \
        "{\"rules\": [{\"id\": \"one\", \"match\": {}, \"settings\": {\"forbid\": [\"flr\"]}}]}\n"
#define STATE_DIR "/var/lib/pciresetd"

static void start(void)
{
        polkit_start(polkit_rules_everybody);
        fixture_devices();
        fixture_start();
}

static void restart(void)
{
        daemon_stop();
        daemon_start();
}

static Reply *set_methods(Client *client, const char *match, const char *method, bool runtime)
{
        return manager_call(client, "SetPolicy", "sa{sv}a{sv}", match, 1, "methods", "as", 1, method, 1,
                            "runtime", "b", (int) runtime);
}

static void expect_first(const char *address, const char *method)
{
        _cleanup_reply_ Reply *plan = manager_call(bob, "Plan", "ssa{sv}", address, "any", 0);

        expect_success(plan);
        ck_assert_str_eq(reply_string(plan, "0.rungs.0.method"), method);
}

static size_t count_rules(void)
{
        _cleanup_reply_ Reply *rules = manager_call(bob, "ListPolicies", "a{sv}", 0);

        expect_success(rules);
        return reply_length(rules, "0");
}

START_TEST(is_stored)
{
        _cleanup_reply_ Reply *set = NULL, *policy = NULL, *rules = NULL, *done = NULL, *unset = NULL;
        const char *id;

        start();
        set = set_methods(alice, CARD, "pm", false);
        expect_success(set);
        id = reply_string(set, "0");
        expect_first(CARD, "pm");
        expect_first(CARD2, "flr");
        wait_until(journal_find("MESSAGE_ID", MESSAGE_ID_POLICY_CHANGED, "PCIRESETD_RULE", id, NULL));
        /* When the call has been answered it is on the disk, and no other way to end would lose it. */
        daemon_kill();
        daemon_start();
        expect_first(CARD, "pm");

        policy = manager_call(bob, "GetPolicy", "sa{sv}", CARD, 0);
        expect_success(policy);
        ck_assert_str_eq(reply_string(policy, "0.methods.0.0"), "pm");
        ck_assert_str_eq(reply_string(policy, "0.methods.1"), id);
        ck_assert_str_eq(reply_string(policy, "0.methods.2"), POLICY_STORED_FILE);
        ck_assert_str_eq(reply_string(policy, "0.forbid.1"), "");
        rules = manager_call(bob, "ListPolicies", "a{sv}", 0);
        ck_assert_uint_eq(reply_length(rules, "0"), 1);
        ck_assert_str_eq(reply_string(rules, "0.0.match"), "address=" CARD);
        ck_assert_str_eq(reply_string(rules, "0.0.settings.methods.0"), "pm");
        ck_assert(json_object_get_boolean(reply_at(rules, "0.0.stored")));

        done = reset(alice, CARD, "any", NULL);
        expect_success(done);
        expect_methods_run(CARD, "pm");
        unset = manager_call(alice, "UnsetPolicy", "sa{sv}", id, 0);
        expect_success(unset);
        expect_first(CARD, "flr");
        restart();
        expect_first(CARD, "flr");
        ck_assert_uint_eq(count_rules(), 0);
        /* Nothing is left behind that would have to be read. */
        ck_assert_int_ne(access(POLICY_STORED_FILE, F_OK), 0);
}
END_TEST

/* Until the next boot: it survives the daemon, and is nowhere but in /run. */
START_TEST(is_for_this_boot)
{
        _cleanup_reply_ Reply *lasting = NULL, *passing = NULL;

        start();
        lasting = set_methods(alice, CARD, "pm", false);
        expect_success(lasting);
        passing = set_methods(alice, CARD, "bus", true);
        expect_success(passing);
        ck_assert_str_ne(reply_string(lasting, "0"), reply_string(passing, "0"));
        /* Set for now, it wins. */
        expect_first(CARD, "bus");
        restart();
        expect_first(CARD, "bus");
        daemon_stop();
        /* As a boot does it. */
        ck_assert_int_eq(unlink(POLICY_STORED_RUNTIME_FILE), 0);
        daemon_start();
        expect_first(CARD, "pm");
}
END_TEST

/* What is set for the same devices is one rule; what a call does not set stays. */
START_TEST(keys_come_together)
{
        _cleanup_reply_ Reply *first = NULL, *second = NULL, *policy = NULL;

        start();
        first = set_methods(alice, "class=020000/ff0000", "pm", false);
        expect_success(first);
        second = manager_call(alice, "SetPolicy", "sa{sv}a{sv}", "class=020000/ff0000", 2, "settle_usec",
                              "t", (uint64_t) 1000, "allow_link", "b", 0, 1, "reason", "s", "slow cards");
        expect_success(second);
        ck_assert_str_eq(reply_string(first, "0"), reply_string(second, "0"));
        ck_assert_uint_eq(count_rules(), 1);
        restart();
        policy = manager_call(bob, "GetPolicy", "sa{sv}", CARD2, 0);
        ck_assert_str_eq(reply_string(policy, "0.methods.0.0"), "pm");
        ck_assert_int_eq(reply_number(policy, "0.settle_usec.0"), 1000);
        ck_assert(!json_object_get_boolean(reply_at(policy, "0.allow_link.0")));
}
END_TEST

START_TEST(device_object_sets_its_own)
{
        _cleanup_reply_ Reply *set = NULL, *policy = NULL;

        start();
        set = call(alice, device_path(CARD), DEVICE_INTERFACE, "SetPolicy", "a{sv}a{sv}", 1, "forbid", "as",
                   1, "flr", 0);
        expect_success(set);
        expect_first(CARD, "pm");
        expect_first(CARD2, "flr");
        policy = call(bob, device_path(CARD), DEVICE_INTERFACE, "GetPolicy", "a{sv}", 0);
        ck_assert_str_eq(reply_string(policy, "0.forbid.0.0"), "flr");
}
END_TEST

START_TEST(polkit_decides)
{
        static const char rules[] =
                "polkit.addRule(function(action, subject) {\n"
                "    if (action.id == 'org.pciresetd1.set-policy' && subject.user == 'alice' &&\n"
                "        action.lookup('device') == '" CARD "' &&\n"
                "        action.lookup('settings').indexOf('\"pm\"') > 0)\n"
                "        return polkit.Result.YES;\n"
                "});\n";
        _cleanup_reply_ Reply *other = NULL, *device = NULL, *setting = NULL, *set = NULL, *unset = NULL;

        polkit_start(rules);
        fixture_devices();
        fixture_start();
        other = set_methods(bob, CARD, "pm", false);
        expect_error(other, ERROR_INTERACTIVE, "org.pciresetd1.set-policy");
        device = set_methods(alice, CARD2, "pm", false);
        expect_error(device, ERROR_INTERACTIVE, "org.pciresetd1.set-policy");
        setting = set_methods(alice, CARD, "bus", false);
        expect_error(setting, ERROR_INTERACTIVE, "org.pciresetd1.set-policy");
        ck_assert_uint_eq(count_rules(), 0);
        set = set_methods(alice, CARD, "pm", false);
        expect_success(set);
        unset = manager_call(bob, "UnsetPolicy", "sa{sv}", reply_string(set, "0"), 0);
        expect_error(unset, ERROR_INTERACTIVE, "org.pciresetd1.set-policy");
        expect_first(CARD, "pm");
}
END_TEST

/* Refused before polkit is asked: nobody is allowed anything here. */
START_TEST(bad_arguments)
{
        static const struct {
                const char *match, *types, *key, *type, *value, *part;
        } table[] = {
                {"", "ss", "driver", "s", "keep", "The match"},
                {"nonsense=1", "ss", "driver", "s", "keep", "The match"},
                {"0000:01:00.0", "ss", "driver", "s", "take", "cannot be 'take'"},
                {"0000:01:00.0", "ss", "methods", "s", "flr", "must be 'as'"},
                {"0000:01:00.0", "ss", "nonsense", "s", "x", "not known"},
                {"driver=a\nb", "ss", "methods", "s", "x", "control characters"},
        };
        _cleanup_reply_ Reply *none = NULL, *unknown = NULL, *twice = NULL, *large = NULL, *rule = NULL;

        polkit_start("");
        fixture_devices();
        fixture_start();
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_reply_ Reply *reply = manager_call(alice, "SetPolicy", "sa{sv}a{sv}",
                                                            table[i].match, 1, table[i].key, table[i].type,
                                                            table[i].value, 0);

                expect_error(reply, ERROR_INVALID_ARGS, table[i].part);
        }
        none = manager_call(alice, "SetPolicy", "sa{sv}a{sv}", CARD, 0, 0);
        expect_error(none, ERROR_INVALID_ARGS, "no setting");
        unknown = set_methods(alice, CARD, "frobnicate", false);
        expect_error(unknown, ERROR_INVALID_ARGS, "no method that this version knows");
        twice = manager_call(alice, "SetPolicy", "sa{sv}a{sv}", CARD, 1, "forbid", "as", 2, "flr", "flr", 0);
        expect_error(twice, ERROR_INVALID_ARGS, "twice");
        large = manager_call(alice, "SetPolicy", "sa{sv}a{sv}", CARD, 1, "settle_usec", "t", UINT64_MAX, 0);
        expect_error(large, ERROR_INVALID_ARGS, "settle_usec");
        rule = manager_call(alice, "UnsetPolicy", "sa{sv}", "nobody", 0);
        expect_error(rule, ERROR_INVALID_ARGS, "no rule 'nobody'");
        ck_assert_uint_eq(count_rules(), 0);
}
END_TEST

/* ---- the disk ---- */

/* A yes was said: who leaves before the answer takes nothing back, and the journal tells of it. */
START_TEST(caller_leaves)
{
        Call *calls[4];

        start();
        for (unsigned i = 0; i < ELEMENTSOF(calls); i++) {
                _cleanup_free_ char *match = textf("driver=leaves-%u", i);

                calls[i] = call_start(alice, MANAGER_PATH, MANAGER_INTERFACE, "SetPolicy", "sa{sv}a{sv}",
                                      match, 1, "methods", "as", 1, "pm", 0);
        }
        wait_until(call_done(calls[0]));
        alice = client_free(alice);
        for (unsigned i = 0; i < ELEMENTSOF(calls); i++)
                call_abandon(calls[i]);
        daemon_settle();
        ck_assert_uint_ge(count_rules(), 1);
        for (size_t n = count_rules(); n > 0; n--) {
                _cleanup_free_ char *id = textf("set-%zu", n);

                wait_until(
                        journal_find("MESSAGE_ID", MESSAGE_ID_POLICY_CHANGED, "PCIRESETD_RULE", id, NULL));
        }
}
END_TEST

/* So small that little more than the rule that is there fits. */
START_TEST(disk_is_full)
{
        _cleanup_reply_ Reply *small = NULL, *again = NULL;
        unsigned i = 0;

        directory_make("%s", STATE_DIR);
        ck_assert_int_eq(mount("tmpfs", STATE_DIR, "tmpfs", 0, "size=8k"), 0);
        start();
        small = set_methods(alice, CARD, "pm", false);
        expect_success(small);
        for (; i < 200; i++) {
                _cleanup_free_ char *match = textf("driver=a-driver-of-some-name-%u", i);
                _cleanup_reply_ Reply *reply = set_methods(alice, match, "bus", false);

                if (reply->error) {
                        expect_error(reply, "org.freedesktop.DBus.Error.IOError", "has not changed");
                        break;
                }
        }
        ck_assert_uint_lt(i, 200);
        ck_assert_uint_eq(count_rules(), 1 + i);
        expect_first(CARD, "pm");
        restart();
        ck_assert_uint_eq(count_rules(), 1 + i);
        expect_first(CARD, "pm");
        /* There is room again once something goes. */
        again = manager_call(alice, "UnsetPolicy", "sa{sv}", reply_string(small, "0"), 0);
        if (!again->error)
                ck_assert_uint_eq(count_rules(), i);
}
END_TEST

/* However it is killed while it writes, the next daemon has a policy: what was answered, and maybe what was
 * not. */
START_TEST(killed_while_writing)
{
        unsigned n_answered = 0;

        start();
        for (unsigned round = 0; round < 12; round++) {
                Call *calls[8];
                size_t n_rules;

                for (unsigned i = 0; i < ELEMENTSOF(calls); i++) {
                        _cleanup_free_ char *match = textf("driver=round-%u-%u", round, i);

                        calls[i] = call_start(alice, MANAGER_PATH, MANAGER_INTERFACE, "SetPolicy",
                                              "sa{sv}a{sv}", match, 1, "methods", "as", 1, "pm", 0);
                }
                /* Somewhere in the row of them, wherever that one is then. */
                wait_until(call_done(calls[round % ELEMENTSOF(calls)]));
                daemon_kill();
                for (unsigned i = 0; i < ELEMENTSOF(calls); i++) {
                        Reply *reply = call_finish(calls[i]);

                        n_answered += !reply->error;
                        reply_free(reply);
                }
                daemon_start();
                n_rules = count_rules();
                ck_assert_uint_ge(n_rules, n_answered);
                ck_assert_uint_le(n_rules, (round + 1) * ELEMENTSOF(calls));
                /* What was written and not answered counts from here on. */
                n_answered = (unsigned) n_rules;
        }
}
END_TEST

/* ---- reading again ---- */

static void hang_up(void)
{
        process_signal(daemon_process(), SIGHUP);
}

static bool is_forbidden(void)
{
        _cleanup_reply_ Reply *plan = manager_call(bob, "Plan", "ssa{sv}", CARD, "flr", 0);

        return !json_object_get_boolean(reply_at(plan, "0.rungs.0.usable"));
}

START_TEST(is_read_again)
{
        const JournalEntry *entry;

        start();
        ck_assert(!is_forbidden());
        policy_put(FORBIDS_FLR);
        ck_assert(!is_forbidden());
        hang_up();
        wait_until(is_forbidden());
        wait_until(journal_find("MESSAGE_ID", MESSAGE_ID_POLICY_LOADED, NULL));

        /* Broken: the last good one stays, edges and rules. */
        file_print(POLICY_ADMIN_FILE,
                   "{\"rules\": [\n  {\"id\": \"one\", \"match\": {}, \"settings\": {}}]}\n");
        hang_up();
        wait_until(journal_find("MESSAGE_ID", MESSAGE_ID_POLICY_KEPT, "PRIORITY", "3", NULL));
        entry = journal_find("MESSAGE_ID", MESSAGE_ID_POLICY_KEPT, NULL);
        ck_assert_ptr_nonnull(strstr(journal_field(entry, "MESSAGE"), POLICY_ADMIN_FILE));
        ck_assert_ptr_nonnull(strstr(journal_field(entry, "MESSAGE"), "line 2"));
        ck_assert(is_forbidden());

        ck_assert_int_eq(unlink(POLICY_ADMIN_FILE), 0);
        hang_up();
        wait_until(!is_forbidden());
}
END_TEST

/* What was stored and an edge that comes later. */
START_TEST(stored_rules_stay)
{
        static const char edge[] = "{\"edges\": [{\"devices\": [\"" CARD "\", \"" CARD2 "\"]}]}";
        _cleanup_reply_ Reply *set = NULL, *before = NULL;

        start();
        set = set_methods(alice, CARD, "pm", false);
        expect_success(set);
        before = manager_call(bob, "Plan", "ssa{sv}", CARD, "pm", 0);
        ck_assert_uint_eq(reply_length(before, "0.rungs.0.reset_set"), 1);
        policy_put(edge);
        hang_up();
        for (bool tied = false; !tied;) {
                _cleanup_reply_ Reply *plan = manager_call(bob, "Plan", "ssa{sv}", CARD, "pm", 0);

                tied = reply_length(plan, "0.rungs.0.reset_set") == 2;
        }
        expect_first(CARD, "pm");
}
END_TEST

/* Who was asked about one rule has not allowed that another one is taken away, even if the dialog was open
 * for long and the other one looks the same from outside. */
START_TEST(the_rule_that_was_asked_about)
{
        _cleanup_reply_ Reply *set = NULL, *gone = NULL, *other = NULL, *late = NULL, *changed = NULL;
        Call *first, *second, *unset;

        mock_polkit_start(MOCK_POLKIT_YES);
        fixture_devices();
        fixture_start();
        set = set_methods(bob, CARD, "pm", false);
        expect_success(set);
        mock_polkit_mode(MOCK_POLKIT_HANG);
        first = call_start(alice, MANAGER_PATH, MANAGER_INTERFACE, "UnsetPolicy", "sa{sv}",
                           reply_string(set, "0"), 0);
        (void) mock_polkit_request(1);
        mock_polkit_mode(MOCK_POLKIT_YES);
        gone = manager_call(bob, "UnsetPolicy", "sa{sv}", reply_string(set, "0"), 0);
        expect_success(gone);
        other = set_methods(bob, CARD2, "pm", false);
        expect_success(other);
        ck_assert_str_ne(reply_string(other, "0"), reply_string(set, "0"));
        mock_polkit_answer(1, true, false);
        late = call_finish(first);
        expect_error(late, ERROR_INVALID_ARGS, "no rule");
        ck_assert_uint_eq(count_rules(), 1);

        mock_polkit_mode(MOCK_POLKIT_HANG);
        unset = call_start(alice, MANAGER_PATH, MANAGER_INTERFACE, "UnsetPolicy", "sa{sv}",
                           reply_string(other, "0"), 0);
        (void) mock_polkit_request(4);
        mock_polkit_mode(MOCK_POLKIT_YES);
        second = call_start(bob, MANAGER_PATH, MANAGER_INTERFACE, "SetPolicy", "sa{sv}a{sv}", CARD2, 1,
                            "allow_link", "b", 0, 0);
        changed = call_finish(second);
        expect_success(changed);
        mock_polkit_answer(4, true, false);
        reply_free(late);
        late = call_finish(unset);
        expect_error(late, ERROR_INVALID_ARGS, "has changed");
        ck_assert_uint_eq(count_rules(), 1);
}
END_TEST

int main(void)
{
        TestProgram program = program_new("set-policy");

        program_add(&program, is_stored);
        program_add(&program, is_for_this_boot);
        program_add(&program, keys_come_together);
        program_add(&program, device_object_sets_its_own);
        program_add(&program, polkit_decides);
        program_add(&program, bad_arguments);
        program_add(&program, caller_leaves);
        program_add(&program, disk_is_full);
        program_add(&program, killed_while_writing);
        program_add(&program, is_read_again);
        program_add(&program, stored_rules_stay);
        program_add(&program, the_rule_that_was_asked_about);
        return program_run(&program);
}
