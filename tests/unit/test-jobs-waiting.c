/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What an authorised job waits for before it may begin: for those who asked to be told, for holders to let
 * go. It begins when it may, not before, and whatever ends it leaves nothing behind.
 */

#include <errno.h>
#include <string.h>

#include "job-world.h"
#include "unit.h"

#define A "0000:01:00.0"
#define B "0000:02:00.0"

static void inhibit(const char *id, ClaimKind kind, const char *addresses)
{
        ck_assert_int_eq(world_claim(&seen.world, seen.claims, id, kind, 1002, addresses), 0);
}

/* ---- for those who asked to be told ---- */

START_TEST(those_who_asked_are_told_first)
{
        Job *job;

        inhibit("D", CLAIM_INHIBIT_DELAY, B);
        submit(B, "flr");
        ck_assert_uint_eq(seen.n_prepared, 0);
        answer(GRANT_YES);
        check_phase(JOB_INHIBITED);
        ck_assert_uint_eq(seen.announced, 1);
        ck_assert_uint_eq(seen.n_prepared, 1);
        ck_assert_uint_eq(seen.n_delays, 1);
        ck_assert_uint_eq(seen.delay_usec, JOB_DELAY_USEC);
        ck_assert_int_eq(device_state(world_find(&seen.world, B)), DEVICE_IDLE);

        /* As soon as they have let go. */
        job = seen.delayed;
        claims_remove(seen.claims, "D");
        ck_assert_uint_eq(seen.n_ran, 1);
        ck_assert_uint_eq(seen.n_asked, 1);
        job_delay_over(job);
        ck_assert_uint_eq(seen.n_ran, 1);
        ck_assert_uint_eq(seen.n_relaxed, 0);
        check_ran_well();
        ck_assert_uint_eq(seen.n_prepared, 1);
        ck_assert_uint_eq(seen.n_relaxed, 1);
}
END_TEST

START_TEST(all_of_those_who_asked)
{
        inhibit("D", CLAIM_INHIBIT_DELAY, B);
        inhibit("E", CLAIM_INHIBIT_DELAY, "");
        submit(B, "flr");
        answer(GRANT_YES);
        claims_remove(seen.claims, "D");
        check_phase(JOB_INHIBITED);
        claims_remove(seen.claims, "E");
        check_ran_well();
}
END_TEST

START_TEST(they_have_their_time_and_no_more)
{
        inhibit("D", CLAIM_INHIBIT_DELAY, B);
        submit(B, "flr");
        answer(GRANT_YES);
        check_phase(JOB_INHIBITED);
        job_delay_over(seen.delayed);
        check_ran_well();
}
END_TEST

START_TEST(who_holds_on_is_not_run_over)
{
        world_bind(&seen.world, B, "nvme");
        inhibit("D", CLAIM_INHIBIT_DELAY, B);
        hold(B, HOLDER_MOUNT);
        submit(B, "flr");
        answer(GRANT_YES);
        check_phase(JOB_INHIBITED);
        job_delay_over(seen.delayed);
        check_refused(RESET_IN_USE);
        ck_assert_uint_eq(seen.last.n_holders, 1);
        ck_assert_uint_eq(seen.n_relaxed, 1);
}
END_TEST

START_TEST(who_lets_go_in_time_is_waited_for)
{
        world_bind(&seen.world, B, "nvme");
        inhibit("D", CLAIM_INHIBIT_DELAY, B);
        hold(B, HOLDER_PROCESS);
        submit(B, "flr");
        answer(GRANT_YES);
        let_go(B);
        check_phase(JOB_INHIBITED);
        claims_remove(seen.claims, "D");
        check_ran_well();
}
END_TEST

/* Its end finds nobody told and nobody held. */
START_TEST(cancelled_while_they_let_go)
{
        inhibit("D", CLAIM_INHIBIT_DELAY, B);
        submit(B, "flr");
        answer(GRANT_YES);
        ck_assert_int_eq(job_cancel(only_job(), RESET_TIMED_OUT), 0);
        check_refused(RESET_TIMED_OUT);
        ck_assert_uint_eq(seen.n_relaxed, 1);
        claims_remove(seen.claims, "D");
        ck_assert_uint_eq(seen.n_ran, 0);
}
END_TEST

START_TEST(forbidden_in_the_meantime)
{
        inhibit("D", CLAIM_INHIBIT_DELAY, B);
        submit(B, "flr");
        answer(GRANT_YES);
        inhibit("X", CLAIM_INHIBIT_BLOCK, B);
        job_delay_over(seen.delayed);
        check_refused(RESET_INHIBITED);
}
END_TEST

START_TEST(a_delay_that_cannot_be_had)
{
        seen.delay_result = -ENOMEM;
        inhibit("D", CLAIM_INHIBIT_DELAY, B);
        submit(B, "flr");
        answer(GRANT_YES);
        check_refused(RESET_FAILED);
        ck_assert_uint_eq(seen.n_relaxed, 1);
}
END_TEST

/* The next rung is about other devices, whose users have not been told. */
START_TEST(each_rung_is_told)
{
        world_add(&seen.world, "0000:01:00.1", "0000:00:01.0", "nvme", "flr");
        world_offer_all(&seen.world, A, "7");
        inhibit("D", CLAIM_INHIBIT_DELAY, "0000:01:00.0 0000:01:00.1");
        world_hold(&seen.world, "0000:01:00.1", HOLDER_PROCESS);
        submit(A, "any");
        for (unsigned i = 0; i < 2; i++) {
                answer(GRANT_YES);
                ck_assert_uint_eq(seen.n_ran, i);
                job_delay_over(seen.delayed);
                ck_assert_uint_eq(seen.n_ran, i + 1);
                worker_says(i, WORKER_FAILED, ENOTTY, VERDICT_OK);
        }
        /* `bus` does not work with a sibling, so it is `subordinate`, of both. */
        answer(GRANT_YES);
        ck_assert_str_eq(job_phase_to_string(only_job()->phase), "inhibited");
        ck_assert_str_eq(only_job()->method, "subordinate");
        ck_assert_uint_eq(seen.n_prepared, 3);
        let_go("0000:01:00.1");
        job_delay_over(seen.delayed);
        ck_assert_str_eq(seen.ran[2], "0000:01:00.0 subordinate");
        worker_says(2, WORKER_DONE, 0, VERDICT_OK);
        ck_assert_int_eq(seen.error, RESET_OK);
}
END_TEST

/* ---- for holders to let go ---- */

static void wait_for(HolderKind kind)
{
        world_bind(&seen.world, B, "nvme");
        hold(B, kind);
        submit_patient(B, "flr");
        answer(GRANT_YES);
        check_phase(JOB_WAITING_IDLE);
        ck_assert_uint_eq(seen.n_asked, 1);
}

START_TEST(it_waits_for_each_kind)
{
        wait_for((HolderKind) _i);
        /* What happens elsewhere, and what happens here but changes nothing. */
        hold(A, HOLDER_PROCESS);
        registry_notify(seen.world.registry, world_find(&seen.world, B), DEVICE_CHANGED_USE);
        check_phase(JOB_WAITING_IDLE);
        let_go(B);
        ck_assert_uint_eq(seen.n_asked, 1);
        check_ran_well();
}
END_TEST

START_TEST(it_waits_for_the_last_one)
{
        wait_for(HOLDER_MOUNT);
        hold(B, HOLDER_PROCESS);
        check_phase(JOB_WAITING_IDLE);
        world_let_go(&seen.world, B);
        hold(B, HOLDER_PROCESS);
        check_phase(JOB_WAITING_IDLE);
        let_go(B);
        check_ran_well();
}
END_TEST

START_TEST(it_waits_for_a_lease)
{
        ck_assert_int_eq(world_claim(&seen.world, seen.claims, "L", CLAIM_LEASE, 1002, B), 0);
        submit_patient(B, "flr");
        answer(GRANT_YES);
        check_phase(JOB_WAITING_IDLE);
        claims_remove(seen.claims, "L");
        check_ran_well();
}
END_TEST

/* A member that only goes along counts, and its coming idle wakes. */
START_TEST(it_waits_for_the_whole_set)
{
        world_add_vf(&seen.world, "0000:02:00.1", "0000:00:02.0", B, "flr");
        world_bind(&seen.world, "0000:02:00.1", "vfio-pci");
        hold("0000:02:00.1", HOLDER_VFIO);
        submit_patient(B, "flr");
        answer(GRANT_YES);
        check_phase(JOB_WAITING_IDLE);
        let_go("0000:02:00.1");
        check_ran_well();
}
END_TEST

START_TEST(nothing_but_waiting)
{
        wait_for(HOLDER_PROCESS);
        ck_assert_int_eq(device_state(world_find(&seen.world, B)), DEVICE_IDLE);
        /* It has no lane: another one goes past, with the right to. */
        submit_as(1001, B, "flr", true, false);
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_ran, 1);
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        ck_assert_uint_eq(seen.finished, 1);
        ck_assert_str_eq(job_phase_to_string(only_job()->phase), "waiting_idle");
}
END_TEST

START_TEST(cancelled_while_it_waits)
{
        wait_for(HOLDER_PROCESS);
        ck_assert_int_eq(job_cancel(only_job(), _i == 0 ? RESET_CANCELLED : RESET_TIMED_OUT), 0);
        check_refused(_i == 0 ? RESET_CANCELLED : RESET_TIMED_OUT);
        let_go(B);
        ck_assert_uint_eq(seen.n_ran, 0);
}
END_TEST

START_TEST(detached_while_it_waits)
{
        wait_for(HOLDER_PROCESS);
        job_detach(only_job());
        let_go(B);
        check_ran_well();
}
END_TEST

START_TEST(a_device_that_goes_is_not_waited_for)
{
        wait_for(HOLDER_PROCESS);
        unplug(B);
        check_refused(RESET_DEVICE_GONE);
}
END_TEST

START_TEST(a_device_that_is_replaced_is_not_waited_for)
{
        wait_for(HOLDER_PROCESS);
        world_replace(&seen.world, B);
        check_refused(RESET_DEVICE_GONE);
}
END_TEST

/* Without the one that was in use the set is another. */
START_TEST(a_member_that_goes_does_not_hold_it_up)
{
        world_add_vf(&seen.world, "0000:02:00.1", "0000:00:02.0", B, "flr");
        world_bind(&seen.world, "0000:02:00.1", "vfio-pci");
        hold("0000:02:00.1", HOLDER_VFIO);
        submit_patient(B, "flr");
        answer(GRANT_YES);
        check_phase(JOB_WAITING_IDLE);
        unplug("0000:02:00.1");
        check_phase(JOB_AUTHORIZING);
        ck_assert_uint_eq(seen.asked[1]->n_members, 1);
        answer(GRANT_YES);
        check_ran_well();
}
END_TEST

static void find_nobody_the_second_time(void)
{
        if (seen.n_scans >= 2)
                world_let_go(&seen.world, B);
}

/* Between the look and the wait the holder has gone, and nobody was listening. */
START_TEST(who_left_before_the_wait_is_noticed)
{
        world_bind(&seen.world, B, "nvme");
        world_hold(&seen.world, B, HOLDER_PROCESS);
        seen.on_scan = find_nobody_the_second_time;
        submit_patient(B, "flr");
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_asked, 1);
        check_ran_well();
}
END_TEST

/* News that come while it looks may be older or newer than what it finds. */
START_TEST(who_leaves_while_it_looks_is_noticed)
{
        world_bind(&seen.world, B, "nvme");
        hold(B, HOLDER_PROCESS);
        submit_patient(B, "flr");
        seen.scan_result = 1;
        answer(GRANT_YES);
        check_phase(JOB_WAITING_IDLE);
        registry_notify(seen.world.registry, world_find(&seen.world, B), DEVICE_CHANGED_USE);
        ck_assert_uint_eq(seen.n_scans, 2);
        job_scanned(seen.scanning, 0);
        check_phase(JOB_WAITING_IDLE);
        ck_assert_uint_eq(seen.n_scans, 3);
        world_let_go(&seen.world, B);
        job_scanned(seen.scanning, 0);
        check_ran_well();
}
END_TEST

/* Only news make it look. */
START_TEST(it_does_not_poll)
{
        unsigned n;

        wait_for(HOLDER_PROCESS);
        n = seen.n_scans;
        ck_assert_uint_le(n, 2);
        hold(A, HOLDER_PROCESS);
        ck_assert_uint_eq(seen.n_scans, n);
        hold(B, HOLDER_PROCESS);
        ck_assert_uint_eq(seen.n_scans, n + 1);
}
END_TEST

/* What nobody can tell does not end by waiting. */
START_TEST(a_scan_that_fails_ends_the_wait)
{
        wait_for(HOLDER_PROCESS);
        seen.scan_result = -EIO;
        let_go(B);
        check_refused(RESET_IN_USE);
}
END_TEST

START_TEST(told_and_then_waited_for)
{
        inhibit("D", CLAIM_INHIBIT_DELAY, B);
        world_bind(&seen.world, B, "nvme");
        hold(B, HOLDER_MOUNT);
        submit_patient(B, "flr");
        answer(GRANT_YES);
        check_phase(JOB_INHIBITED);
        job_delay_over(seen.delayed);
        check_phase(JOB_WAITING_IDLE);
        ck_assert_uint_eq(seen.n_prepared, 1);
        let_go(B);
        check_ran_well();
        ck_assert_uint_eq(seen.n_relaxed, 1);
}
END_TEST

/* In use by the time its turn has come, it waits, without its lane. */
START_TEST(taken_while_it_queued)
{
        world_bind(&seen.world, B, "nvme");
        submit(B, "flr");
        answer(GRANT_YES);
        submit_patient(B, "flr");
        answer(GRANT_YES);
        hold(B, HOLDER_PROCESS);
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        ck_assert_uint_eq(seen.n_ran, 1);
        ck_assert_str_eq(job_phase_to_string(only_job()->phase), "waiting_idle");
        ck_assert_int_eq(device_state(world_find(&seen.world, B)), DEVICE_IDLE);
        let_go(B);
        ck_assert_uint_eq(seen.n_ran, 2);
        worker_says(1, WORKER_DONE, 0, VERDICT_OK);
        ck_assert_int_eq(seen.error, RESET_OK);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("jobs-waiting");
        TCase *tcase = tcase_create("jobs-waiting");

        tcase_add_checked_fixture(tcase, job_world_init, job_world_done);
        tcase_add_test(tcase, those_who_asked_are_told_first);
        tcase_add_test(tcase, all_of_those_who_asked);
        tcase_add_test(tcase, they_have_their_time_and_no_more);
        tcase_add_test(tcase, who_holds_on_is_not_run_over);
        tcase_add_test(tcase, who_lets_go_in_time_is_waited_for);
        tcase_add_test(tcase, cancelled_while_they_let_go);
        tcase_add_test(tcase, forbidden_in_the_meantime);
        tcase_add_test(tcase, a_delay_that_cannot_be_had);
        tcase_add_test(tcase, each_rung_is_told);
        tcase_add_loop_test(tcase, it_waits_for_each_kind, 0, HOLDER_KINDS);
        tcase_add_test(tcase, it_waits_for_the_last_one);
        tcase_add_test(tcase, it_waits_for_a_lease);
        tcase_add_test(tcase, it_waits_for_the_whole_set);
        tcase_add_test(tcase, nothing_but_waiting);
        tcase_add_loop_test(tcase, cancelled_while_it_waits, 0, 2);
        tcase_add_test(tcase, detached_while_it_waits);
        tcase_add_test(tcase, a_device_that_goes_is_not_waited_for);
        tcase_add_test(tcase, a_device_that_is_replaced_is_not_waited_for);
        tcase_add_test(tcase, a_member_that_goes_does_not_hold_it_up);
        tcase_add_test(tcase, who_left_before_the_wait_is_noticed);
        tcase_add_test(tcase, who_leaves_while_it_looks_is_noticed);
        tcase_add_test(tcase, it_does_not_poll);
        tcase_add_test(tcase, a_scan_that_fails_ends_the_wait);
        tcase_add_test(tcase, told_and_then_waited_for);
        tcase_add_test(tcase, taken_while_it_queued);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
