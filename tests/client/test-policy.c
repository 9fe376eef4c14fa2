/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * `pcireset policy` against the daemon as it was built: what is set holds and is shown with its rule, and
 * files are checked and edited by the daemon's own reader.
 */

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/claims.h"
#include "harness/fixture.h"

#define FILE_OK    "/run/ok.json"
#define FILE_WRONG "/run/wrong.json"

static void start(void)
{
        polkit_start(polkit_rules_everybody);
        fixture_devices();
        fixture_start();
}

/* A shell script in which $P is the client. */
static void expect(uid_t uid, const char *script, int status, const char *text)
{
        const char *client = getenv("PCIRESET") ?: TOP_BUILDDIR "/pcireset";
        _cleanup_free_ char *whole = textf("P=%s; %s", client, script), *output = NULL;
        const char *const argv[] = {"sh", "-c", whole, NULL};
        int r = process_run(uid, argv, &output);

        ck_assert_msg(r == status, "%s: exit status %d, not %d: %s", script, r, status, output);
        ck_assert_msg(strstr(output, text), "%s: no \"%s\" in: %s", script, text, output);
}

START_TEST(set_show_unset)
{
        start();
        expect(UID_BOB, "$P policy", 0, "There are no rules.");
        expect(UID_ALICE, "$P policy set 01:00.0 methods=bus,pm settle_usec=1000 allow_link=yes --why tests",
               0, "Rule set-1 holds.");
        expect(UID_BOB, "$P policy", 0, "set-1");
        expect(UID_BOB, "$P policy", 0, "address=" CARD);
        expect(UID_BOB, "$P policy show", 0, "methods=bus,pm");
        expect(UID_BOB, "$P policy show 01:00.0", 0, "bus,pm");
        expect(UID_BOB, "$P policy show 01:00.0", 0, POLICY_STORED_FILE);
        expect(UID_BOB, "$P policy show " CARD2 " | grep '^methods'", 0, "(none)");
        expect(UID_BOB, "$P --json policy show " CARD, 0, "\"set-1\"");
        expect(UID_ALICE, "$P reset " CARD, 0, "verified: ok");
        expect_methods_run(CARD, "bus");
        expect(UID_ALICE, "$P policy set 'class=020000/ff0000 assigned=false' --runtime forbid=flr --json",
               0, "\"id\": \"set-2\"");
        expect(UID_ALICE, "$P reset " CARD2 " flr", 3, "set-2 (" POLICY_STORED_RUNTIME_FILE ")");
        expect(UID_ALICE, "$P policy unset set-2", 0, "Rule set-2 is gone.");
        expect(UID_ALICE, "$P policy unset set-2", 2, "no rule 'set-2'");
        expect(UID_ALICE, "$P reset " CARD2 " flr", 0, "verified: ok");
}
END_TEST

START_TEST(what_is_wrong)
{
        static const struct {
                const char *words;
                const char *text;
        } table[] = {
                {"set", "needs devices and settings"},
                {"set 01:00.0", "needs devices and settings"},
                {"set 01:00.0 methods", "not KEY=VALUE"},
                {"set 01:00.0 allow_link=maybe", "not a value of this key"},
                {"set 01:00.0 settle_usec=1s", "not a value of this key"},
                {"set 01:00.0 methods=frobnicate", "no method that this version knows"},
                {"set nonsense methods=flr", "The match"},
                {"unset", "the id of one rule"},
                {"show nonsense", "not the address"},
                {"frobnicate", "has show, set, unset, edit and check"},
                {"show --runtime", "no meaning"},
                {"check", "one file"},
        };

        start();
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_free_ char *script = textf("$P policy %s", table[i].words);

                expect(UID_ALICE, script, 2, table[i].text);
        }
        expect(UID_BOB, "$P policy show 09:00.0", 4, "09:00.0");
}
END_TEST

/* Without a daemon, a bus, or the rights to change anything. */
START_TEST(files_are_checked)
{
        static const char wrong[] = "{\"rules\": [\n  {\"id\": \"x\", \"match\": {}, \"settings\": {\n"
                                    "    \"forbid\": [\"frobnicate\"]}}]}\n";
        static const char right[] =
                "{\"rules\": [{\"id\": \"x\", \"match\": {}, \"settings\": {\"on_error\": \"notify\"}}],\n"
                " \"edges\": [{\"devices\": [\"" CARD "\", \"" CARD2 "\"]}]}\n";

        file_write(FILE_WRONG, wrong, strlen(wrong));
        file_write(FILE_OK, right, strlen(right));
        expect(UID_BOB, "$P policy check " FILE_OK, 0, "rules: 1, pairs of devices that go together: 1");
        expect(UID_BOB, "$P --json policy check " FILE_OK " 2>&-", 0, "\"rules\": 1");
        expect(UID_BOB, "$P policy check " FILE_WRONG, 1, FILE_WRONG ": line 3, column 16: rules[0] \"x\"");
        expect(UID_BOB, "$P --json policy check " FILE_WRONG, 1, "line 3, column 16");
        expect(UID_BOB, "$P policy check /run/nothing.json", 1, "/run/nothing.json");
}
END_TEST

/* A file is replaced by what the editor leaves, if that is right, and else not touched. */
START_TEST(files_are_edited)
{
        _cleanup_free_ char *text = NULL, *kept = NULL;
        struct stat st;

        start();
        expect(0,
               "EDITOR='sed -i "
               "s/\\\\[/"
               "\\\\[{\\\"id\\\":\\\"x\\\",\\\"match\\\":{},\\\"settings\\\":{\\\"forbid\\\":[\\\"flr\\\"]}}"
               "/' "
               "$P policy edit",
               0, "is in its place");
        expect(0, "EDITOR=true $P policy edit /run/one/two/file.json; stat -c %a /run/one/two", 0, "755");
        text = file_read(POLICY_ADMIN_DIR "/90-local.json", NULL);
        ck_assert_ptr_nonnull(text);
        ck_assert_ptr_nonnull(strstr(text, "\"forbid\":[\"flr\"]"));
        ck_assert_int_eq(stat(POLICY_ADMIN_DIR "/90-local.json", &st), 0);
        ck_assert_uint_eq(st.st_mode & 0777, 0644);
        process_signal(daemon_process(), SIGHUP);
        expect(UID_BOB, "until $P policy | grep -q 90-local; do sleep 0.1; done; $P policy", 0,
               "forbid=flr");

        expect(0, "VISUAL='sed -i s/flr/nonsense/' $P policy edit", 1, "line 2, column");
        expect(0, "EDITOR=false $P policy edit", 1, "has failed; nothing was changed");
        expect(0, "EDITOR=true $P policy edit relative.json", 2, "whole path");
        kept = file_read(POLICY_ADMIN_DIR "/90-local.json", NULL);
        ck_assert_str_eq(text, kept);
        expect(UID_BOB, "EDITOR=true $P policy edit", 1, "could not be written");
}
END_TEST

int main(void)
{
        TestProgram program = program_new("client-policy");

        program_add(&program, set_show_unset);
        program_add(&program, what_is_wrong);
        program_add(&program, files_are_checked);
        program_add(&program, files_are_edited);
        return program_run(&program);
}
