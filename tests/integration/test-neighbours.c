/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The bus, which the daemon ends without, and the journal, which it does not need: gone while it runs, and
 * when it starts.
 */

#include <string.h>

#include "harness/claims.h"
#include "harness/fixture.h"
#include "harness/kills.h"

#define MESSAGE_ID_FINISHED "1e0849b671b3456b990ae567c73187df"

static size_t count_jobs(void)
{
        _cleanup_reply_ Reply *jobs = manager_call(observer, "ListJobs", "a{sv}", 0);

        expect_success(jobs);
        return reply_length(jobs, "0");
}

/* Who has the descriptor of a claim needs no bus to keep it; who has asked for a reset is gone, and the
 * reset goes on. */
START_TEST(bus_is_killed)
{
        _cleanup_reply_ Reply *leases = NULL, *inhibitors = NULL, *row = NULL, *refused = NULL,
                              *after = NULL;
        _cleanup_free_ char *id = NULL;
        int lease, inhibitor, hold;
        ModelEvent begin;
        Call *running;

        start_for_everybody();
        lease = lease_take(bob, CARD2, &id);
        inhibitor = inhibitor_take(bob, CARD2, "block");
        hold = model_hold(CARD);
        running = reset_start(alice, CARD, "flr", NULL);
        begin = model_wait("begin", CARD, 0);
        call_abandon(running);
        bus_kill();
        bus_start_again(polkit_rules_everybody);

        expect_lease(CARD2, id);
        leases = claims_list("ListLeases");
        ck_assert_uint_eq(reply_length(leases, "0"), 1);
        inhibitors = claims_list("ListInhibitors");
        ck_assert_uint_eq(reply_length(inhibitors, "0"), 1);
        refused = reset(alice, CARD2, "flr", NULL);
        ck_assert_ptr_nonnull(refused->error);
        ck_assert_uint_eq(count_jobs(), 1);
        model_release(&hold);
        wait_until_gone(begin.pid);
        wait_until(count_jobs() == 0);
        row = manager_call(alice, "GetHistory", "a{sv}", 1, "address", "s", CARD);
        ck_assert_str_eq(reply_string(row, "0.0.outcome"), "done");
        ck_assert_str_eq(reply_string(row, "0.0.verdict"), "ok");
        ck_assert_int_eq(reply_number(row, "0.0.uid"), UID_ALICE);

        claim_release(&lease);
        claim_release(&inhibitor);
        claims_wait("ListLeases", 0);
        claims_wait("ListInhibitors", 0);
        after = reset(alice, CARD2, "flr", NULL);
        expect_success(after);
        ck_assert_uint_eq(model_count("begin", CARD), 1);
}
END_TEST

/* What happened meanwhile is in the history; what comes when there is one again is in the journal. */
START_TEST(starts_without_a_journal)
{
        _cleanup_reply_ Reply *first = NULL, *again = NULL, *rows = NULL;
        int lease;

        journal_stop();
        start_for_everybody();
        first = reset(alice, CARD, "flr", NULL);
        expect_success(first);
        daemon_kill();
        signals_forget();
        daemon_start();
        lease = lease_take(bob, CARD2, NULL);
        claim_release(&lease);
        rows = manager_call(bob, "GetHistory", "a{sv}", 0);
        ck_assert_str_eq(reply_string(rows, "0.0.outcome"), "done");
        ck_assert_uint_eq(journal_count("PCIRESETD_DEVICE", CARD, NULL), 0);
        journal_init();
        again = reset(alice, CARD, "flr", NULL);
        expect_success(again);
        wait_until(journal_find("MESSAGE_ID", MESSAGE_ID_FINISHED, "PCIRESETD_DEVICE", CARD, NULL));
}
END_TEST

int main(void)
{
        TestProgram program = program_new("neighbours");

        program_add(&program, bus_is_killed);
        program_add(&program, starts_without_a_journal);
        return program_run(&program);
}
