/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A job that waits for users whose end nobody announces looks again by itself: after pauses that become
 * longer, as long as it waits for such users, and no longer. Time is the test's own.
 */

#include <errno.h>

#include "job-world.h"
#include "unit.h"

#define B "0000:02:00.0"

#define SECOND UINT64_C(1000000)

static void check_waits(void)
{
        ck_assert_str_eq(job_phase_to_string(only_job()->phase), "waiting_idle");
        ck_assert_uint_eq(seen.n_ran, 0);
        ck_assert_uint_eq(seen.finished, 0);
}

static void set_silent(bool silent)
{
        Device *device = world_find(&seen.world, B);

        for (size_t i = 0; i < device->use.n_holders; i++)
                device->use.holders[i].silent = silent;
}

/* A job waits for the holders of B; the last one added is silent, too, or all of them speak. */
static void wait_for(HolderKind kind, bool silent)
{
        world_bind(&seen.world, B, "nvme");
        world_hold(&seen.world, B, HOLDER_PROCESS);
        world_hold(&seen.world, B, kind);
        world_find(&seen.world, B)->use.holders[1].silent = silent;
        submit_patient(B, "flr");
        answer(GRANT_YES);
        check_waits();
}

static void find_nobody(void)
{
        world_let_go(&seen.world, B);
}

START_TEST(pauses_become_longer)
{
        static const uint64_t seconds[] = {2, 4, 8, 16, 32, 60, 60, 60};
        unsigned scans;

        wait_for(HOLDER_BLOCK, true);
        for (size_t i = 0; i < ELEMENTSOF(seconds); i++) {
                ck_assert_uint_eq(seen.n_delays, i + 1);
                ck_assert_uint_eq(seen.delay_usec, seconds[i] * SECOND);
                scans = seen.n_scans;
                job_delay_over(seen.delayed);
                ck_assert_uint_eq(seen.n_scans, scans + 1);
                check_waits();
        }
        /* It is over without a word from anybody. */
        seen.on_scan = find_nobody;
        job_delay_over(seen.delayed);
        ck_assert_uint_eq(seen.n_ran, 1);
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        ck_assert_int_eq(seen.error, RESET_OK);
}
END_TEST

/* Whoever is announced wakes the job, and nothing else does. */
START_TEST(others_are_not_looked_at)
{
        unsigned scans;

        wait_for(HOLDER_MOUNT, false);
        scans = seen.n_scans;
        ck_assert_uint_eq(seen.n_delays, 0);
        job_delay_over(only_job());
        ck_assert_uint_eq(seen.n_scans, scans);
        check_waits();
}
END_TEST

static void find_them_speaking(void)
{
        set_silent(false);
}

START_TEST(only_as_long_as_one_is_silent)
{
        unsigned scans;

        wait_for(HOLDER_GUEST, true);
        seen.on_scan = find_them_speaking;
        job_delay_over(seen.delayed);
        ck_assert_uint_eq(seen.n_delays, 1);
        scans = seen.n_scans;
        job_delay_over(only_job());
        ck_assert_uint_eq(seen.n_scans, scans);
        check_waits();
}
END_TEST

/* News come all the time: each look begins the same pause anew. */
START_TEST(news_do_not_make_it_lazy)
{
        wait_for(HOLDER_NETWORK, true);
        for (unsigned i = 0; i < 8; i++) {
                registry_notify(seen.world.registry, world_find(&seen.world, B), DEVICE_CHANGED_USE);
                ck_assert_uint_eq(seen.delay_usec, 2 * SECOND);
        }
        check_waits();
}
END_TEST

/* A look goes on when the pause is over: there is no second one, and a pause after it. */
START_TEST(one_look_at_a_time)
{
        unsigned scans, delays;

        wait_for(HOLDER_BLOCK, true);
        seen.scan_result = 1;
        registry_notify(seen.world.registry, world_find(&seen.world, B), DEVICE_CHANGED_USE);
        scans = seen.n_scans;
        delays = seen.n_delays;
        job_delay_over(seen.delayed);
        ck_assert_uint_eq(seen.n_scans, scans);
        job_scanned(seen.scanning, 0);
        ck_assert_uint_eq(seen.n_delays, delays + 1);
        ck_assert_uint_eq(seen.delay_usec, 4 * SECOND);
        check_waits();
}
END_TEST

START_TEST(cancelled_in_a_pause)
{
        wait_for(HOLDER_BLOCK, true);
        ck_assert_int_eq(job_cancel(only_job(), RESET_TIMED_OUT), 0);
        ck_assert_uint_eq(seen.finished, 1);
        ck_assert_uint_eq(seen.n_ran, 0);
        ck_assert_uint_eq(seen.last.n_holders, 2);
}
END_TEST

START_TEST(a_pause_that_cannot_be_had)
{
        seen.delay_result = -ENOMEM;
        world_bind(&seen.world, B, "nvme");
        world_hold(&seen.world, B, HOLDER_BLOCK);
        set_silent(true);
        submit_patient(B, "flr");
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.finished, 1);
        ck_assert_int_eq(seen.error, RESET_FAILED);
}
END_TEST

/* A pause is left over from a wait that has ended; the next wait of the same job begins with its own. */
START_TEST(what_is_left_of_a_pause_does_nothing)
{
        unsigned scans;

        wait_for(HOLDER_BLOCK, true);
        job_delay_over(seen.delayed);
        ck_assert_uint_eq(seen.delay_usec, 4 * SECOND);
        let_go(B);
        ck_assert_uint_eq(seen.n_ran, 1);
        scans = seen.n_scans;
        job_delay_over(seen.running[0]);
        ck_assert_uint_eq(seen.n_scans, scans);

        world_hold(&seen.world, B, HOLDER_BLOCK);
        set_silent(true);
        worker_refuses(0, WORKER_WHY_HELD);
        ck_assert_str_eq(job_phase_to_string(only_job()->phase), "waiting_idle");
        ck_assert_uint_eq(seen.delay_usec, 2 * SECOND);
        ck_assert_int_eq(job_cancel(only_job(), RESET_CANCELLED), 0);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("jobs-silent");
        TCase *tcase = tcase_create("silent");

        tcase_add_checked_fixture(tcase, job_world_init, job_world_done);
        tcase_add_test(tcase, pauses_become_longer);
        tcase_add_test(tcase, others_are_not_looked_at);
        tcase_add_test(tcase, only_as_long_as_one_is_silent);
        tcase_add_test(tcase, news_do_not_make_it_lazy);
        tcase_add_test(tcase, one_look_at_a_time);
        tcase_add_test(tcase, cancelled_in_a_pause);
        tcase_add_test(tcase, a_pause_that_cannot_be_had);
        tcase_add_test(tcase, what_is_left_of_a_pause_does_nothing);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
