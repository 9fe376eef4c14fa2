/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The client and the daemon as they were built, together: what one says the other understands. The stand-in
 * can only say what its author believed.
 */

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "harness/fixture.h"

/* Both users may do everything, so that only leases and inhibitors are in the way. */
static const char rules[] = "polkit.addRule(function(action, subject) {\n"
                            "    if (action.id.indexOf('org.pciresetd1.') == 0)\n"
                            "        return polkit.Result.YES;\n"
                            "});\n";

/* Of this sandbox, and for all its users. */
#define SHARED "/run/shared"

static void start(void)
{
        directory_make("%s", SHARED);
        ck_assert_int_eq(chmod(SHARED, 01777), 0);
        polkit_start(rules);
        fixture_devices();
        fixture_start();
}

static const char *client_path(void)
{
        const char *path = getenv("PCIRESET");

        return path ? path : TOP_BUILDDIR "/pcireset";
}

/* A shell script in which $P is the client. */
static int run(uid_t uid, const char *script, char **ret_output)
{
        _cleanup_free_ char *whole = textf("P=%s; %s", client_path(), script);
        const char *const argv[] = {"sh", "-c", whole, NULL};

        return process_run(uid, argv, ret_output);
}

static void expect(uid_t uid, const char *script, int status, const char *text)
{
        _cleanup_free_ char *output = NULL;
        int r = run(uid, script, &output);

        ck_assert_msg(r == status, "%s: exit status %d, not %d: %s", script, r, status, output);
        ck_assert_msg(strstr(output, text), "%s: no \"%s\" in: %s", script, text, output);
}

static size_t n_claims(const char *list)
{
        _cleanup_reply_ Reply *reply = manager_call(observer, list, "a{sv}", 0);

        expect_success(reply);
        return json_object_array_length(reply_at(reply, "0"));
}

START_TEST(test_run_resets)
{
        start();
        expect(UID_ALICE,
               "$P run " CARD " " CARD2 " --why tests -- sh -c \"$P leases; $P reset " CARD2 " flr\"", 0,
               "verified: ok");
        expect_methods_run(CARD2, "flr");
        wait_until(n_claims("ListLeases") == 0);
        expect(UID_ALICE, "$P leases", 0, "Nobody has a lease.");
}
END_TEST

/* Until the last process that has the descriptor is gone, whatever became of the one that took the lease. */
START_TEST(test_run_keeps_others_out)
{
        const char *const argv[] = {client_path(), "run",    CARD,
                                    "--who",       "the VM", "--",
                                    "sh",          "-c",     "echo $$ >" SHARED "/pid; exec sleep 1000",
                                    NULL};
        _cleanup_(cleanup_process_free) Process *process = NULL;

        start();
        process = process_start("run", UID_ALICE, argv, NULL);
        wait_until(n_claims("ListLeases") == 1);
        expect(UID_ALICE, "$P leases", 0, "  the VM  ");
        expect(UID_BOB, "$P show " CARD, 0, "Owner: alice");
        expect(UID_BOB, "$P plan " CARD " flr", 0, "Not usable:  leased: ");
        expect(UID_BOB, "$P reset " CARD " flr", 5, "the VM");
        expect(UID_BOB, "$P run " CARD " -- echo no", 125, "the VM");
        expect(UID_BOB,
               "$P reset " CARD
               " flr --lease $($P --json leases | sed -n 's/.*\"id\": \"\\(.*\\)\".*/\\1/p')",
               5, "not yours");
        expect_nothing_written();

        process_signal(process, SIGKILL);
        (void) process_wait(process);
        expect(UID_BOB, "$P reset " CARD " flr", 5, "the VM");
        expect_nothing_written();
        expect(UID_ALICE, "kill $(cat " SHARED "/pid)", 0, "");
        wait_until(n_claims("ListLeases") == 0);
        expect(UID_BOB, "$P reset " CARD " flr", 0, "verified: ok");
}
END_TEST

/* Whose lease it is does not matter to whoever has the descriptor. */
START_TEST(test_run_hands_the_lease_on)
{
        start();
        expect(0,
               "$P run " CARD " -- setpriv --reuid=bob --regid=bob --clear-groups sh -c \"$P reset " CARD
               " flr; $P plan " CARD " flr\"",
               0, "polkit asks: org.pciresetd1.reset-owned");
        expect_methods_run(CARD, "flr");
}
END_TEST

START_TEST(test_inhibit)
{
        start();
        expect(UID_ALICE, "$P inhibit " CARD " --who flasher --why firmware -- $P reset " CARD " flr", 5,
               "firmware");
        expect(UID_ALICE, "$P inhibit " CARD " --why firmware -- $P inhibitors", 0, "  firmware");
        expect(UID_ALICE, "$P inhibit -- true", 125, "Only root");
        expect_nothing_written();
        expect(0, "$P inhibit -- sh -c \"$P inhibitors; $P reset " CARD " flr\"", 5, "  all  ");
        expect_nothing_written();
        wait_until(n_claims("ListInhibitors") == 0);
        expect(UID_ALICE, "$P reset " CARD " flr", 0, "verified: ok");
}
END_TEST

START_TEST(test_looks)
{
        start();
        expect(UID_BOB, "$P holders " CARD, 0, "Nobody uses " CARD ".");
        expect(UID_BOB, "$P show " CARD, 0, "In use: no");
        expect(UID_BOB, "$P plan " CARD " --when-idle", 0, "1. flr (function scope)");
        expect(UID_BOB, "$P reset " CARD " flr --when-idle", 0, "verified: ok");
        expect(UID_BOB,
               "mkfifo " SHARED "/fifo; exec 5<>" SHARED "/fifo; "
               "PCIRESET_LEASE_FD=5 $P reset " CARD " flr",
               2, "unset that");
}
END_TEST

START_TEST(test_history)
{
        start();
        model_dies(CARD2, "pm");
        expect(UID_ALICE, "$P reset " CARD " flr", 0, "verified: ok");
        expect(UID_ALICE, "$P reset " CARD2 " pm", 7, "dead");
        expect(UID_ALICE, "$P history", 0, "8086:10d3  flr     1      1   0 ");
        expect(UID_ALICE, "$P history " CARD2, 0, "dead");
        expect(UID_BOB, "$P history " CARD " --verdict dead", 0, "The history knows of no such reset.");
        expect(UID_BOB, "$P history --json --limit 1 --since 1h --hardware 8086:10d3 --method pm", 0,
               "\"verdict\": \"dead\"");
        /* Two resets, and the quarantine that one of them has led to. */
        expect(UID_BOB, "$P history export --signed-off-by 'Ann <a@example.org>' >" SHARED "/history", 0,
               "3 rows were exported.");
        expect(UID_BOB, "head -n 1 " SHARED "/history", 0, "\"signed_off_by\":\"Ann <a@example.org>\"");
        daemon_stop();
        ck_assert_int_eq(system("rm -r /var/lib/pciresetd/history.db*"), 0);
        daemon_start();
        expect(UID_ALICE, "$P history", 0, "The history knows of no such reset.");
        expect(UID_ALICE, "$P history import " SHARED "/history", 0,
               "3 rows signed off by Ann <a@example.org> were imported; 0 were known already.");
        expect(UID_ALICE, "$P history import <" SHARED "/history", 0, "0 rows signed off by");
        expect(UID_BOB, "$P history --source imported", 0, "imported from Ann <a@example.org>");
        expect(UID_ALICE, "echo nonsense | $P history import -", 2, "Line 1");
        expect(UID_ALICE, "$P history import /nowhere", 1, "/nowhere cannot be read");
}
END_TEST

/* The daemon learns of it by an event. */
static bool has_driver(const char *address, const char *driver)
{
        _cleanup_free_ char *text = get_property_string(observer, device_path(address), DEVICE_INTERFACE,
                                                        "Driver");

        return strcmp(text, driver) == 0;
}

START_TEST(test_doctor)
{
        const char *const argv[] = {client_path(), "run",   CARD,   "--who", "the VM",
                                    "--",          "sleep", "1000", NULL};
        _cleanup_(cleanup_process_free) Process *process = NULL;

        start();
        expect(UID_BOB, "$P doctor " CARD, 0,
               CARD " can be reset now by flr, which disturbs no other device");
        expect(UID_BOB, "$P doctor", 0, CARD2 " can be reset now by flr");
        expect(UID_BOB, "$P doctor " PORT, 5, "is a bridge");
        process = process_start("run", UID_ALICE, argv, NULL);
        wait_until(n_claims("ListLeases") == 1);
        expect(UID_BOB, "$P doctor " CARD, 5, "of \"the VM\" (user alice) on " CARD " has to end");
        expect(UID_ALICE, "$P doctor " CARD, 0, "can be reset now by flr");
        expect_nothing_written();
        hotplug_bind(CARD2, "e1000e");
        wait_until(has_driver(CARD2, "e1000e"));
        expect(UID_BOB, "$P doctor " CARD2, 5, "Take the driver e1000e off " CARD2);
        expect(UID_BOB, "$P doctor " CARD2, 5, "--in-use");
}
END_TEST

START_TEST(test_doctor_knows_the_policy)
{
        static const char policy[] =
                "{\"rules\": [{\"id\": \"one\", \"match\": {\"address\": \"" CARD
                "\"}, \"settings\": {\"forbid\": [\"flr\", \"pm\"], \"allow_link\": false}},"
                " {\"id\": \"two\", \"match\": {\"address\": \"" CARD2
                "\"}, \"settings\": {\"known_bad\": [{\"method\": \"flr\", \"source\": \"a thread\"}]}}]}";

        policy_put(policy);
        start();
        expect(UID_BOB, "$P doctor " CARD, 5, "Rule one (" POLICY_ADMIN_FILE ") says so");
        expect(UID_BOB, "$P doctor " CARD, 5, "flr: the policy forbids it");
        expect(UID_BOB, "$P doctor " CARD2, 0, CARD2 " can be reset now by pm");
        expect(UID_BOB, "$P doctor " CARD2, 0, "flr is not tried: it is known to do harm, says a thread");
        expect_nothing_written();
}
END_TEST

START_TEST(test_report)
{
        start();
        expect(0, "$P report " CARD, 0, "DevCap: FLReset");
        expect(0, "$P report " CARD " --json", 0, "\"address\": \"" PORT "\"");
        expect(UID_BOB, "$P report " CARD, 0, "proven: 0 tries");
        expect_nothing_written();
        expect(UID_ALICE, "$P reset " CARD " flr", 0, "verified: ok");
        expect(UID_BOB, "$P report " CARD, 0, CARD " flr: done, ok in ");
        expect(UID_ALICE, "$P report " CARD " --json | grep -c '\"uid\"'", 1, "0");
}
END_TEST

int main(void)
{
        TestProgram program = program_new("client-daemon");

        program_add(&program, test_run_resets);
        program_add(&program, test_run_keeps_others_out);
        program_add(&program, test_run_hands_the_lease_on);
        program_add(&program, test_inhibit);
        program_add(&program, test_looks);
        program_add(&program, test_history);
        program_add(&program, test_doctor);
        program_add(&program, test_doctor_knows_the_policy);
        program_add(&program, test_report);
        return program_run(&program);
}
