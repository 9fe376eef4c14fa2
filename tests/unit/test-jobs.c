/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The way of a job, in a world where polkit, workers and time are the test's own. What is checked in the end
 * is what workers were told to do, and what the caller heard.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "job-world.h"
#include "unit.h"

START_TEST(the_plain_way)
{
        Device *device = world_find(&seen.world, "0000:01:00.0");

        submit("0000:01:00.0", "flr");
        ck_assert_uint_eq(seen.n_asked, 1);
        ck_assert_uint_eq(seen.announced, 0);
        ck_assert_int_eq(device_state(device), DEVICE_IDLE);

        answer(GRANT_YES);
        ck_assert_uint_eq(seen.announced, 1);
        ck_assert_uint_eq(seen.n_ran, 1);
        ck_assert_str_eq(seen.ran[0], "0000:01:00.0 flr");
        ck_assert_int_eq(device_state(device), DEVICE_RESETTING);

        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        ck_assert_uint_eq(seen.finished, 1);
        ck_assert_int_eq(seen.error, RESET_OK);
        ck_assert_int_eq(device_state(device), DEVICE_IDLE);
        ck_assert_str_eq(device->last_reset.method, "flr");
        ck_assert_uint_eq(device->last_reset.duration_usec, 200);
        ck_assert_uint_eq(proven_get(seen.proven, 0x8086, 0x10d3, "flr").ok, 1);
        ck_assert_uint_eq(proven_get(seen.proven, 0x8086, 0x10d3, "flr").median_usec, 200);
}
END_TEST

static const struct {
        Grant grant;
        ResetError error;
} refusals[] = {
        {GRANT_NO, RESET_ACCESS_DENIED},
        {GRANT_CHALLENGE, RESET_INTERACTION_REQUIRED},
        {GRANT_DISMISSED, RESET_ACCESS_DENIED},
        {GRANT_FAILED, RESET_ACCESS_DENIED},
};

START_TEST(a_no_writes_nothing)
{
        submit("0000:02:00.0", "flr");
        answer(refusals[_i].grant);
        ck_assert_int_eq(seen.error, refusals[_i].error);
        ck_assert_uint_eq(seen.finished, 1);
        ck_assert_uint_eq(seen.n_ran, 0);
        ck_assert_uint_eq(seen.announced, 0);
}
END_TEST

START_TEST(the_ladder_is_climbed_rung_by_rung)
{
        submit("0000:01:00.0", "any");
        answer(GRANT_YES);
        worker_says(0, WORKER_FAILED, ENOTTY, VERDICT_UNVERIFIED);
        ck_assert_uint_eq(seen.n_asked, 2);
        answer(GRANT_NO);
        ck_assert_uint_eq(seen.n_asked, 3);
        answer(GRANT_YES);
        ck_assert_str_eq(seen.ran[0], "0000:01:00.0 acpi");
        ck_assert_str_eq(seen.ran[1], "0000:01:00.0 bus");
        worker_says(1, WORKER_DONE, 0, VERDICT_OK);

        ck_assert_int_eq(seen.error, RESET_OK);
        ck_assert_uint_eq(seen.announced, 1);
        ck_assert_uint_eq(seen.last.n_attempts, 3);
        ck_assert_int_eq(seen.last.attempts[0].outcome, ATTEMPT_FAILED);
        ck_assert_int_eq(seen.last.attempts[0].error, ENOTTY);
        ck_assert_int_eq(seen.last.attempts[1].outcome, ATTEMPT_DENIED);
        ck_assert_int_eq(seen.last.attempts[2].outcome, ATTEMPT_DONE);
}
END_TEST

START_TEST(a_ladder_that_ends_tells_the_worst)
{
        submit("0000:01:00.0", "function");
        answer(GRANT_YES);
        worker_says(0, WORKER_FAILED, EINVAL, VERDICT_OK);
        answer(GRANT_YES);
        worker_says(1, WORKER_DONE, 0, VERDICT_DEAD);
        ck_assert_int_eq(seen.error, RESET_DEVICE_DEAD);
        ck_assert_uint_eq(seen.n_ran, 2);
        ck_assert_uint_eq(proven_get(seen.proven, 0x8086, 0x10d3, "flr").dead, 1);
}
END_TEST

static void use_pm_only(const char *driver)
{
        Device *device = world_find(&seen.world, "0000:02:00.0");

        ck_assert_int_eq(reset_method_list_parse("pm", &device->live.methods), 0);
        world_bind(&seen.world, "0000:02:00.0", driver);
}

/* A device that is well after the kernel failed to reset it is no success of the method. */
START_TEST(a_failure_proves_nothing_for_its_method)
{
        ProvenFacts facts;

        submit("0000:02:00.0", "flr");
        answer(GRANT_YES);
        worker_says(0, WORKER_FAILED, EIO, VERDICT_OK);
        ck_assert_int_eq(seen.error, RESET_FAILED);
        facts = proven_get(seen.proven, 0x8086, 0x10d3, "flr");
        ck_assert_uint_eq(facts.tries, 1);
        ck_assert_uint_eq(facts.ok, 0);
        ck_assert_uint_eq(facts.dead, 0);
}
END_TEST

/* What is for guests is not clean because it went to sleep and woke up. */
START_TEST(what_is_doubtful_is_no_success)
{
        use_pm_only("pciback");
        submit("0000:02:00.0", _i == 0 ? "any" : "function");
        answer(GRANT_YES);
        ck_assert_str_eq(seen.ran[0], "0000:02:00.0 pm");
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        ck_assert_int_eq(seen.error, RESET_FAILED);
        ck_assert_int_eq(seen.last.attempts[0].outcome, ATTEMPT_DONE);
        ck_assert_int_eq(seen.last.attempts[0].verdict, VERDICT_UNVERIFIED);
        ck_assert_str_eq(seen.last.attempts[0].why, JOB_WHY_DOUBTFUL);
        ck_assert_uint_eq(proven_get(seen.proven, 0x8086, 0x10d3, "pm").ok, 0);
}
END_TEST

/* Nor does doubt make a dead device better. */
START_TEST(what_is_doubtful_may_kill)
{
        use_pm_only("pciback");
        submit("0000:02:00.0", "any");
        answer(GRANT_YES);
        worker_says(0, WORKER_DONE, 0, VERDICT_DEAD);
        ck_assert_int_eq(seen.error, RESET_DEVICE_DEAD);
}
END_TEST

START_TEST(what_is_asked_for_by_name_is_not_doubted)
{
        use_pm_only(_i == 0 ? "pciback" : "vfio-pci");
        submit("0000:02:00.0", _i == 0 ? "pm" : "any");
        answer(GRANT_YES);
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        ck_assert_int_eq(seen.error, RESET_OK);
        ck_assert_uint_eq(proven_get(seen.proven, 0x8086, 0x10d3, "pm").ok, 1);
}
END_TEST

START_TEST(a_failed_write_with_a_healthy_device_goes_on)
{
        submit("0000:02:00.0", "flr");
        answer(GRANT_YES);
        worker_says(0, WORKER_DONE, 0, VERDICT_DEGRADED);
        ck_assert_int_eq(seen.error, RESET_FAILED);
}
END_TEST

START_TEST(a_worker_that_dies_ends_the_ladder)
{
        submit("0000:01:00.0", "any");
        answer(GRANT_YES);
        job_worker_done(seen.running[0], NULL);
        ck_assert_int_eq(seen.error, RESET_FAILED);
        ck_assert_uint_eq(seen.n_asked, 1);
        ck_assert(seen.last.attempts[0].written);
}
END_TEST

START_TEST(a_successor_is_never_touched)
{
        submit("0000:01:00.0", "flr");
        world_replace(&seen.world, "0000:01:00.0");
        answer(GRANT_YES);
        ck_assert_int_eq(seen.error, RESET_DEVICE_GONE);
        ck_assert_uint_eq(seen.n_ran, 0);
}
END_TEST

START_TEST(what_is_gone_is_gone)
{
        PciAddress address = at("0000:01:00.0");

        submit("0000:01:00.0", "flr");
        registry_remove(seen.world.registry, &address, 0);
        answer(GRANT_YES);
        ck_assert_int_eq(seen.error, RESET_DEVICE_GONE);
        ck_assert_uint_eq(seen.n_ran, 0);
}
END_TEST

START_TEST(a_driver_that_comes_meanwhile_is_not_run_over)
{
        submit("0000:02:00.0", "flr");
        world_bind(&seen.world, "0000:02:00.0", "e1000e");
        answer(GRANT_YES);
        ck_assert_int_eq(seen.error, RESET_IN_USE);
        ck_assert_uint_eq(seen.n_ran, 0);
}
END_TEST

START_TEST(a_changed_device_is_asked_about_again)
{
        submit_as(1001, "0000:02:00.0", "flr", true, false);
        ck_assert_uint_eq(seen.asked[0]->actions, ACTION_RESET);
        world_bind(&seen.world, "0000:02:00.0", "e1000e");
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_ran, 0);
        ck_assert_uint_eq(seen.n_asked, 2);
        ck_assert_uint_eq(seen.asked[1]->actions, ACTION_RESET_IN_USE);
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_ran, 1);
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
}
END_TEST

START_TEST(a_device_that_changes_for_ever_is_refused)
{
        submit_as(1001, "0000:02:00.0", "flr", true, false);
        for (unsigned i = 0; i < JOB_QUESTIONS_PER_RUNG_MAX; i++) {
                ck_assert_uint_eq(seen.finished, 0);
                world_bind(&seen.world, "0000:02:00.0", i % 2 ? "igb" : "e1000e");
                answer(GRANT_YES);
        }
        ck_assert_int_eq(seen.error, RESET_ACCESS_DENIED);
        ck_assert_uint_eq(seen.n_ran, 0);
}
END_TEST

/* The rules are checked again at the head of the queue, not only when polkit has answered. */
START_TEST(a_driver_bound_while_it_queues_stops_it)
{
        submit("0000:02:00.0", "flr");
        answer(GRANT_YES);
        submit("0000:02:00.0", "flr");
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_ran, 1);
        world_bind(&seen.world, "0000:02:00.0", "e1000e");
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        ck_assert_uint_eq(seen.n_ran, 1);
        ck_assert_uint_eq(seen.finished, 2);
        ck_assert_int_eq(seen.error, RESET_IN_USE);
}
END_TEST

START_TEST(one_after_the_other_in_one_lane)
{
        submit("0000:01:00.0", "flr");
        answer(GRANT_YES);
        submit("0000:01:00.0", "acpi");
        answer(GRANT_YES);
        submit("0000:02:00.0", "flr");
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_ran, 2);
        ck_assert_str_eq(seen.ran[1], "0000:02:00.0 flr");
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        ck_assert_uint_eq(seen.n_ran, 3);
        ck_assert_str_eq(seen.ran[2], "0000:01:00.0 acpi");
        worker_says(1, WORKER_DONE, 0, VERDICT_OK);
        worker_says(2, WORKER_DONE, 0, VERDICT_OK);
        ck_assert_ptr_null(jobs_next(seen.jobs, NULL));
}
END_TEST

START_TEST(who_does_not_wait_is_told)
{
        submit("0000:01:00.0", "flr");
        answer(GRANT_YES);
        submit_as(1001, "0000:01:00.0", "flr", false, true);
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.finished, 1);
        ck_assert_int_eq(seen.error, RESET_NOT_USABLE);
        ck_assert_str_eq(seen.last.attempts[0].why, "busy");
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        ck_assert_uint_eq(seen.n_ran, 1);
}
END_TEST

START_TEST(cancelled_before_it_began)
{
        submit("0000:01:00.0", "flr");
        ck_assert_int_eq(job_cancel(seen.asked[0], RESET_CANCELLED), 0);
        ck_assert_uint_eq(seen.forgotten, 1);
        ck_assert_int_eq(seen.error, RESET_CANCELLED);

        submit("0000:01:00.0", "flr");
        answer(GRANT_YES);
        ck_assert_int_eq(job_cancel(seen.running[0], RESET_CANCELLED), -EBUSY);
        ck_assert_uint_eq(seen.finished, 1);
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        ck_assert_int_eq(seen.error, RESET_OK);
}
END_TEST

START_TEST(without_a_caller_no_further_rung)
{
        submit("0000:01:00.0", "any");
        answer(GRANT_YES);
        job_detach(seen.running[0]);
        worker_says(0, WORKER_FAILED, ENOTTY, VERDICT_UNVERIFIED);
        ck_assert_uint_eq(seen.n_asked, 1);
        ck_assert_int_eq(seen.error, RESET_FAILED);
}
END_TEST

START_TEST(nobody_gets_more_than_his_share)
{
        for (unsigned i = 0; i < AUTHORIZATIONS_PER_UID_MAX; i++)
                submit("0000:01:00.0", "flr");
        ck_assert_uint_eq(seen.finished, 0);
        submit("0000:01:00.0", "flr");
        ck_assert_uint_eq(seen.finished, 1);
        ck_assert_int_eq(seen.error, RESET_LIMITS_EXCEEDED);
        submit_as(1002, "0000:01:00.0", "flr", false, false);
        ck_assert_uint_eq(seen.finished, 1);
}
END_TEST

START_TEST(nonsense_is_refused)
{
        submit("0000:01:00.0", "frobnicate");
        ck_assert_int_eq(seen.error, RESET_INVALID_METHOD);
        submit("0000:02:00.0", "pm");
        ck_assert_int_eq(seen.error, RESET_NOT_USABLE);
        submit("0000:02:00.0", "link");
        ck_assert_int_eq(seen.error, RESET_NOT_USABLE);
        ck_assert_uint_eq(seen.last.n_attempts, 0);
        submit("0000:00:01.0", "any");
        ck_assert_int_eq(seen.error, RESET_NOT_USABLE);
        ck_assert_uint_eq(seen.n_asked, 0);
}
END_TEST

/* A reset that an earlier daemon began holds its lane until its worker ends. */
START_TEST(what_runs_already_is_waited_for)
{
        const Device *device = world_find(&seen.world, "0000:01:00.0"),
                     *bridge = world_find(&seen.world, "0000:00:01.0");
        WorkerMember member = {.address = device->facts.address, .inode = device->facts.inode};
        WorkerRequest request = {.job = 77,
                                 .uid = 1002,
                                 .queued_at = 3,
                                 .started_at = 4,
                                 .method = "acpi",
                                 .members = &member,
                                 .n_members = 1};
        Job *job;

        request.has_bridge = true;
        request.bridge = (WorkerMember){.address = bridge->facts.address, .inode = bridge->facts.inode};
        ck_assert_int_eq(jobs_adopt(seen.jobs, &request, &job), 0);
        ck_assert_int_eq(jobs_adopt(seen.jobs, &request, &job), -EBADMSG);
        ck_assert_ptr_eq(jobs_find(seen.jobs, 77), job);
        ck_assert_uint_eq(job->queued_at, 3);
        ck_assert_uint_eq(job->started_at, 4);
        ck_assert_int_eq(device_state(device), DEVICE_RESETTING);

        submit("0000:01:00.0", "flr");
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_ran, 0);
        job_worker_done(job, NULL);
        ck_assert_uint_eq(seen.n_ran, 1);
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
}
END_TEST

/* Random requests, answers, ends, comings and goings: every job ends once, and nothing is left. */
START_TEST(every_job_ends)
{
        static const char *const methods[] = {"any", "function", "link", "flr", "acpi", "bus", "nonsense"};
        static const char *const devices[] = {"0000:01:00.0", "0000:02:00.0"};
        unsigned submitted = 0;

        srandom((unsigned) _i + 1);
        for (unsigned step = 0; step < 600; step++) {
                Job *job = jobs_next(seen.jobs, NULL);
                const char *device = devices[random() % 2];

                for (long skip = random() % 8; job && skip > 0; skip--)
                        job = jobs_next(seen.jobs, job) ? jobs_next(seen.jobs, job) : job;
                seen.n_ran = 0;
                switch (random() % 8) {
                case 0:
                case 1:
                        submit_as(1001, device, methods[random() % 7], random() % 2, random() % 4 == 0);
                        submitted++;
                        break;
                case 2:
                        if (world_find(&seen.world, device)->n_resetting == 0)
                                world_replace(&seen.world, device);
                        break;
                case 3:
                        world_bind(&seen.world, device, random() % 2 ? "e1000e" : "");
                        break;
                default:
                        if (!job)
                                break;
                        if (job->phase == JOB_AUTHORIZING)
                                job_authorized(job, random() % 3 ? GRANT_YES : (Grant) (random() % 5));
                        else if (job->phase == JOB_QUEUED)
                                (void) (random() % 8 ? 0 : job_cancel(job, RESET_CANCELLED));
                        else {
                                seen.running[0] = job;
                                worker_says(0, (WorkerOutcome) (random() % 4), ENOTTY,
                                            (Verdict) (random() % 4));
                        }
                }
        }
        for (Job *job; (job = jobs_next(seen.jobs, NULL));) {
                seen.n_ran = 0;
                seen.running[0] = job;
                if (job_has_begun(job))
                        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
                else
                        ck_assert_int_eq(job_cancel(job, RESET_CANCELLED), 0);
        }
        ck_assert_uint_eq(seen.finished, submitted);
        for (size_t i = 0; i < 2; i++)
                ck_assert_int_eq(device_state(world_find(&seen.world, devices[i])), DEVICE_IDLE);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("job");
        TCase *tcase = tcase_create("job");

        tcase_set_timeout(tcase, 60);
        tcase_add_checked_fixture(tcase, job_world_init, job_world_done);
        tcase_add_test(tcase, the_plain_way);
        tcase_add_loop_test(tcase, a_no_writes_nothing, 0, sizeof(refusals) / sizeof(refusals[0]));
        tcase_add_test(tcase, the_ladder_is_climbed_rung_by_rung);
        tcase_add_test(tcase, a_ladder_that_ends_tells_the_worst);
        tcase_add_test(tcase, a_failure_proves_nothing_for_its_method);
        tcase_add_loop_test(tcase, what_is_doubtful_is_no_success, 0, 2);
        tcase_add_test(tcase, what_is_doubtful_may_kill);
        tcase_add_loop_test(tcase, what_is_asked_for_by_name_is_not_doubted, 0, 2);
        tcase_add_test(tcase, a_failed_write_with_a_healthy_device_goes_on);
        tcase_add_test(tcase, a_worker_that_dies_ends_the_ladder);
        tcase_add_test(tcase, a_successor_is_never_touched);
        tcase_add_test(tcase, what_is_gone_is_gone);
        tcase_add_test(tcase, a_driver_that_comes_meanwhile_is_not_run_over);
        tcase_add_test(tcase, a_changed_device_is_asked_about_again);
        tcase_add_test(tcase, a_device_that_changes_for_ever_is_refused);
        tcase_add_test(tcase, a_driver_bound_while_it_queues_stops_it);
        tcase_add_test(tcase, one_after_the_other_in_one_lane);
        tcase_add_test(tcase, who_does_not_wait_is_told);
        tcase_add_test(tcase, cancelled_before_it_began);
        tcase_add_test(tcase, without_a_caller_no_further_rung);
        tcase_add_test(tcase, nobody_gets_more_than_his_share);
        tcase_add_test(tcase, nonsense_is_refused);
        tcase_add_test(tcase, what_runs_already_is_waited_for);
        tcase_add_loop_test(tcase, every_job_ends, 0, 20);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
