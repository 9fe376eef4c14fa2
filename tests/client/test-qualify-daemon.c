/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * `pcireset qualify` with the daemon as it was built: what is counted are the rows that the daemon has
 * written, and what was taken and put aside is looked up by somebody else.
 */

#include <stdlib.h>
#include <string.h>

#include "harness/fixture.h"

/* Bob may look, and no more. */
static const char rules[] = "polkit.addRule(function(action, subject) {\n"
                            "    if (action.id.indexOf('org.pciresetd1.') == 0 && subject.user != 'bob')\n"
                            "        return polkit.Result.YES;\n"
                            "});\n";

static const char policy[] = "{\"rules\": [{\"id\": \"two\", \"match\": {\"address\": \"" CARD2
                             "\"}, \"settings\": {\"known_bad\": [{\"method\": \"flr\", \"source\": \"a "
                             "thread\"}], \"allow_link\": false}}]}";

static void start(void)
{
        policy_put(policy);
        polkit_start(rules);
        fixture_devices();
        fixture_start();
}

/* A shell script in which $P is the client; what it writes to stderr counts. */
static void expect(uid_t uid, const char *script, int status, const char *text)
{
        const char *path = getenv("PCIRESET");
        _cleanup_free_ char *whole = textf("P=%s; exec 2>&1; %s", path ? path : TOP_BUILDDIR "/pcireset",
                                           script);
        const char *const argv[] = {"sh", "-c", whole, NULL};
        _cleanup_free_ char *output = NULL;
        int r = process_run(uid, argv, &output);

        ck_assert_msg(r == status, "%s: exit status %d, not %d: %s", script, r, status, output);
        ck_assert_msg(strstr(output, text), "%s: no \"%s\" in: %s", script, text, output);
}

static size_t n_leases(void)
{
        _cleanup_reply_ Reply *reply = manager_call(observer, "ListLeases", "a{sv}", 0);

        expect_success(reply);
        return json_object_array_length(reply_at(reply, "0"));
}

START_TEST(test_all_well)
{
        start();
        expect(UID_ALICE, "$P qualify --yes --count 2 " CARD, 0, "flr     2   0         0     0       0 ");
        expect(UID_ALICE, "$P history --json " CARD " | grep -c '\"method\": \"flr\"'", 0, "2\n");
        expect(UID_ALICE, "$P history --json " CARD " | grep -c '\"method\": \"bus\"'", 0, "2\n");
        expect(UID_ALICE, "$P history --json " CARD " | grep -c '\"method\": \"rescan\"'", 1, "0\n");
        wait_until(n_leases() == 0);
        expect(UID_ALICE, "$P qualify --yes --count 1 --json " CARD " 2>/dev/null | grep -c '\"lease\": \"'",
               0, "1\n");
}
END_TEST

/* What the policy and knowledge say is not tried, and the latter is if it is asked for. */
START_TEST(test_left_out)
{
        start();
        expect(UID_ALICE, "$P qualify --yes --count 1 " CARD2, 0, "without flr: it is known to do harm");
        expect_methods_run(CARD2, "pm");
        expect(UID_ALICE, "$P qualify --yes --count 1 " CARD2, 0,
               "without bus: the policy allows no reset of more than the function");
        expect(UID_ALICE, "$P history --json " CARD2 " | grep -c '\"method\": \"pm\"'", 0, "2\n");
        expect(UID_ALICE, "$P history --json " CARD2 " | grep -c '\"method\": \"flr\"'", 1, "0\n");
        expect(UID_ALICE, "$P qualify --yes --count 1 --known-bad --method flr " CARD2, 0,
               "flr     1   0         0     0       0 ");
        expect_methods_run(CARD2, "pm pm flr");
}
END_TEST

START_TEST(test_death)
{
        start();
        model_dies(CARD, "pm");
        expect(UID_ALICE, "$P qualify --yes " CARD, 7, CARD ": it is in quarantine (dead)");
        expect(0, "$P history --json " CARD " | grep -c '\"verdict\": \"dead\"'", 0, "1\n");
        expect(0, "$P history --json " CARD " | grep -c '\"method\": \"bus\"'", 1, "0\n");
        wait_until(n_leases() == 0);
}
END_TEST

START_TEST(test_refused)
{
        start();
        expect(UID_BOB, "$P qualify --yes --no-ask-password " CARD, 3, "stopped before the end (refused)");
        expect(UID_BOB, "$P qualify --yes --no-ask-password " CARD, 3, "without a lease");
        expect(UID_ALICE,
               "$P run " CARD2 " -- sh -c \"unset PCIRESET_LEASE_FD; $P qualify --yes " CARD2 "\"", 5,
               "lease");
        expect_nothing_written();
        expect(UID_ALICE, "$P run " CARD2 " -- $P qualify --yes --count 1 " CARD2, 0,
               "pm      1   0         0     0       0 ");
}
END_TEST

int main(void)
{
        TestProgram program = program_new("client-qualify");

        program_add(&program, test_all_well);
        program_add(&program, test_left_out);
        program_add(&program, test_death);
        program_add(&program, test_refused);
        return program_run(&program);
}
