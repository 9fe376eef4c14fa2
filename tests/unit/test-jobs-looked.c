/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Before a job may be planned it has to be known who uses its devices, and again whenever that was
 * forgotten.
 */

#include <errno.h>
#include <string.h>

#include "job-world.h"
#include "unit.h"

#define A "0000:01:00.0"
#define B "0000:02:00.0"

START_TEST(nobody_is_asked_before_the_scan)
{
        seen.scan_result = 1;
        submit(B, "flr");
        ck_assert_uint_eq(seen.n_scans, 1);
        ck_assert_uint_eq(seen.n_asked, 0);
        check_phase(JOB_AUTHORIZING);
        job_scanned(seen.scanning, 0);
        ck_assert_uint_eq(seen.n_asked, 1);
        /* One that was not asked for changes nothing. */
        job_scanned(seen.scanning, 0);
        ck_assert_uint_eq(seen.n_asked, 1);
        answer(GRANT_YES);
        check_ran_well();
}
END_TEST

/* Late or at once, with a driver bound nobody knows who uses the device. */
START_TEST(a_failed_scan_is_no_idle_device)
{
        world_bind(&seen.world, B, "nvme");
        seen.scan_result = _i == 0 ? 1 : -EIO;
        submit(B, "flr");
        if (_i == 0)
                job_scanned(seen.scanning, -EIO);
        check_refused(RESET_IN_USE);
        ck_assert_uint_eq(seen.n_asked, 0);
        ck_assert_uint_eq(seen.last.attempts[0].unusable, WHY_USE_UNKNOWN);
}
END_TEST

START_TEST(without_a_driver_there_is_nothing_to_find)
{
        seen.scan_result = -EIO;
        submit(B, "flr");
        answer(GRANT_YES);
        check_ran_well();
}
END_TEST

static void find_process(void)
{
        world_hold(&seen.world, B, HOLDER_PROCESS);
}

START_TEST(what_the_scan_finds_counts)
{
        world_bind(&seen.world, B, "nvme");
        seen.on_scan = find_process;
        submit(B, "flr");
        check_refused(RESET_IN_USE);
        ck_assert_uint_eq(seen.n_asked, 0);
        ck_assert_uint_eq(seen.last.n_holders, 1);
}
END_TEST

START_TEST(cancelled_while_it_is_scanned)
{
        seen.scan_result = 1;
        submit(B, "flr");
        ck_assert_int_eq(job_cancel(only_job(), RESET_CANCELLED), 0);
        check_refused(RESET_CANCELLED);
}
END_TEST

static bool flips;

/* Another driver: nobody knows any more who uses the device, until it is looked at. */
static void bind_silently(const char *driver)
{
        world_bind(&seen.world, B, driver);
        device_forget_use(world_find(&seen.world, B));
}

static void find_nobody(void)
{
        world_let_go(&seen.world, B);
}

START_TEST(a_new_driver_is_looked_at)
{
        seen.on_scan = find_nobody;
        submit(B, "flr");
        bind_silently("vfio-pci");
        answer(GRANT_YES);
        /* It is another rung, since the driver is another. */
        ck_assert_uint_eq(seen.n_scans, 2);
        ck_assert_uint_eq(seen.n_asked, 2);
        check_phase(JOB_AUTHORIZING);
        answer(GRANT_YES);
        check_ran_well();
}
END_TEST

START_TEST(a_new_driver_at_the_head_of_the_queue)
{
        seen.on_scan = find_nobody;
        submit(B, "flr");
        answer(GRANT_YES);
        submit(B, "flr");
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_ran, 1);
        bind_silently("vfio-pci");
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        ck_assert_uint_eq(seen.n_ran, 1);
        ck_assert_uint_eq(seen.n_asked, 3);
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_ran, 2);
        ck_assert(seen.first.must_be_disabled);
        worker_says(1, WORKER_DONE, 0, VERDICT_OK);
}
END_TEST

START_TEST(a_driver_that_changes_for_ever_is_refused)
{
        seen.on_scan = find_nobody;
        submit(B, "flr");
        for (unsigned i = 0; i < JOB_QUESTIONS_PER_RUNG_MAX; i++) {
                ck_assert_uint_eq(seen.finished, 0);
                bind_silently(flips ? "vfio-pci" : "nvme");
                flips = !flips;
                answer(GRANT_YES);
        }
        check_refused(RESET_ACCESS_DENIED);
        ck_assert_uint_eq(seen.n_asked, JOB_QUESTIONS_PER_RUNG_MAX);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("jobs-looked");
        TCase *tcase = tcase_create("jobs-looked");

        tcase_add_checked_fixture(tcase, job_world_init, job_world_done);
        tcase_add_test(tcase, nobody_is_asked_before_the_scan);
        tcase_add_loop_test(tcase, a_failed_scan_is_no_idle_device, 0, 2);
        tcase_add_test(tcase, without_a_driver_there_is_nothing_to_find);
        tcase_add_test(tcase, what_the_scan_finds_counts);
        tcase_add_test(tcase, cancelled_while_it_is_scanned);
        tcase_add_test(tcase, a_new_driver_is_looked_at);
        tcase_add_test(tcase, a_new_driver_at_the_head_of_the_queue);
        tcase_add_test(tcase, a_driver_that_changes_for_ever_is_refused);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
