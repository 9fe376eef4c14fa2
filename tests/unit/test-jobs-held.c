/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What a job holds on to while the world changes around it: the right to its devices, which may pass on; the
 * devices, which its own reset may take away and bring back; the last look of its worker; and descriptors,
 * of which it leaves none behind.
 */

#include <errno.h>
#include <string.h>

#include "job-world.h"
#include "unit.h"

#define A  "0000:01:00.0"
#define A1 "0000:01:00.1"
#define B  "0000:02:00.0"

#define ALICE 1001U
#define BOB   1002U

static void lease(const char *id, uint32_t uid, const char *addresses)
{
        ck_assert_int_eq(world_claim(&seen.world, seen.claims, id, CLAIM_LEASE, uid, addresses), 0);
}

static void check_error(ResetError error)
{
        ck_assert_str_eq(reset_error_to_string(seen.error), reset_error_to_string(error));
}

/* The first one runs, the second waits behind it. */
static void queue_two(JobRequest second)
{
        submit_as(ALICE, B, "flr", false, false);
        answer(GRANT_YES);
        submit_request(B, "flr", second);
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_ran, 1);
}

/* ---- the right to the devices ---- */

START_TEST(a_lease_that_comes_in_between)
{
        queue_two((JobRequest){});
        lease("L", BOB, B);
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        ck_assert_uint_eq(seen.n_ran, 1);
        check_error(RESET_LEASED);
}
END_TEST

START_TEST(a_lease_that_changes_hands)
{
        lease("L", ALICE, B);
        queue_two((JobRequest){});
        ck_assert_uint_eq(seen.asked[1]->actions, ACTION_RESET_OWNED);
        claims_remove(seen.claims, "L");
        lease("M", BOB, B);
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        ck_assert_uint_eq(seen.n_ran, 1);
        check_error(RESET_LEASED);
}
END_TEST

/* An owner's yes is none for somebody who owns nothing. */
START_TEST(a_lease_that_ends)
{
        lease("L", ALICE, B);
        queue_two((JobRequest){});
        claims_remove(seen.claims, "L");
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        ck_assert_uint_eq(seen.n_ran, 1);
        ck_assert_uint_eq(seen.n_asked, 3);
        ck_assert_uint_eq(seen.asked[2]->actions, ACTION_RESET);
        answer(GRANT_NO);
        ck_assert_uint_eq(seen.n_ran, 1);
        check_error(RESET_ACCESS_DENIED);
}
END_TEST

START_TEST(a_lease_that_was_relied_on)
{
        JobRequest request = {.plan.asker.lease = "L"};

        lease("L", ALICE, B);
        queue_two(request);
        claims_remove(seen.claims, "L");
        lease("M", ALICE, B);
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        ck_assert_uint_eq(seen.n_ran, 1);
        check_error(RESET_LEASED);
}
END_TEST

START_TEST(a_lease_that_is_presented)
{
        JobRequest request = {.uid = BOB, .plan.asker.presented = "L"};

        lease("L", ALICE, B);
        submit_as(BOB, B, "flr", false, false);
        check_error(RESET_LEASED);
        submit_request(B, "flr", request);
        ck_assert_uint_eq(seen.asked[0]->actions, ACTION_RESET_OWNED);
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_ran, 1);
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        check_error(RESET_OK);
}
END_TEST

/* The uid is the caller's, whatever the request says. */
START_TEST(a_request_does_not_say_who_asks)
{
        JobRequest request = {.uid = BOB, .plan.asker = {.known = true, .uid = ALICE}};

        lease("L", ALICE, B);
        submit_request(B, "flr", request);
        check_error(RESET_LEASED);
        ck_assert_uint_eq(seen.n_asked, 0);
}
END_TEST

START_TEST(forbidden_while_it_queues)
{
        queue_two((JobRequest){});
        ck_assert_int_eq(world_claim(&seen.world, seen.claims, "X", CLAIM_INHIBIT_BLOCK, BOB, B), 0);
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        ck_assert_uint_eq(seen.n_ran, 1);
        check_error(RESET_INHIBITED);
}
END_TEST

/* What is in the way of a ladder that was not climbed, the first rung's reason first. */
static const struct {
        HolderKind holder;
        bool is_held, is_leased, is_forbidden;
        ResetError error;
} obstacles[] = {
        {HOLDER_PROCESS, true, false, false, RESET_IN_USE}, {HOLDER_MOUNT, true, true, false, RESET_LEASED},
        {HOLDER_MOUNT, true, true, true, RESET_INHIBITED},  {HOLDER_ROOT, false, true, false, RESET_LEASED},
        {HOLDER_ROOT, false, false, true, RESET_INHIBITED},
};

START_TEST(each_obstacle_is_named)
{
        if (obstacles[_i].is_held)
                hold(A, obstacles[_i].holder);
        if (obstacles[_i].is_leased)
                lease("L", BOB, A);
        if (obstacles[_i].is_forbidden)
                ck_assert_int_eq(world_claim(&seen.world, seen.claims, "X", CLAIM_INHIBIT_BLOCK, BOB, ""),
                                 0);
        submit(A, "any");
        ck_assert_uint_eq(seen.n_asked, 0);
        ck_assert_uint_eq(seen.finished, 1);
        check_error(obstacles[_i].error);
}
END_TEST

/* ---- what its worker may do, and finds ---- */

/* in_use that nobody had to grant gives no right to run over who comes after the question. */
START_TEST(what_was_not_granted_is_not_allowed)
{
        world_bind(&seen.world, B, "nvme");
        submit_as(ALICE, B, "flr", true, false);
        ck_assert_uint_eq(seen.asked[0]->actions, ACTION_RESET);
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_ran, 1);
        ck_assert(!seen.request.allow_held);
        ck_assert_int_eq(seen.request.driver, WORKER_DRIVER_KEEP);
        worker_refuses(0, WORKER_WHY_HELD);
        check_error(RESET_IN_USE);

        hold(B, HOLDER_PROCESS);
        submit_as(ALICE, B, "flr", true, false);
        ck_assert_uint_eq(seen.asked[1]->actions, ACTION_RESET_IN_USE);
        answer(GRANT_YES);
        ck_assert(seen.request.allow_held);
        ck_assert_int_eq(seen.request.driver, WORKER_DRIVER_KEEP);
        worker_says(1, WORKER_DONE, 0, VERDICT_OK);
}
END_TEST

START_TEST(what_the_worker_is_told)
{
        world_bind(&seen.world, B, "e1000e");
        submit_as(ALICE, B, "flr", true, false);
        answer(GRANT_YES);
        ck_assert_int_eq(seen.request.driver, WORKER_DRIVER_REBIND);
        ck_assert_uint_eq(seen.request.uid, ALICE);
        ck_assert_uint_eq(seen.request.retry_usec, JOB_RETRY_USEC);
        ck_assert_uint_eq(seen.request.n_fds, 0);
        ck_assert_str_eq(seen.request.slot, "");
        ck_assert(!seen.first.must_be_disabled);
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);

        world_offer_all(&seen.world, B, "7");
        submit_as(ALICE, B, "slot", true, false);
        answer(GRANT_YES);
        ck_assert_str_eq(seen.request.slot, "4");
        ck_assert_int_eq(seen.request.driver, WORKER_DRIVER_KEEP);
        worker_says(1, WORKER_DONE, 0, VERDICT_OK);
}
END_TEST

/* Descriptors go to hot resets alone, and only those who have it open that way may have it open. */
static const struct {
        uint64_t deadline, now, wanted;
} retries[] = {
        {0, 5000000, JOB_RETRY_USEC},
        {100000000, 5000000, JOB_RETRY_USEC},
        {15000001, 5000000, JOB_RETRY_USEC},
        {15000000, 5000000, JOB_RETRY_USEC},
        {14999999, 5000000, JOB_RETRY_USEC - 1},
        {5000001, 5000000, 1},
        {5000000, 5000000, 0},
        /* The timer that ends the call may come late. */
        {4000000, 5000000, 0},
};

/* Locks that others hold are waited for no longer than the caller waits. */
START_TEST(retries_end_with_the_call)
{
        seen.now_boottime = retries[_i].now;
        submit_request(B, "flr", (JobRequest){.deadline_usec = retries[_i].deadline});
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.request.retry_usec, retries[_i].wanted);
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
}
END_TEST

/* What is left is what is left when the rung begins, not when the job did. */
START_TEST(each_rung_has_what_is_left)
{
        seen.now_boottime = 1000000;
        submit_request(A, "function", (JobRequest){.deadline_usec = 9000000});
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.request.retry_usec, 8000000);
        seen.now_boottime = 9000000 - 3;
        worker_says(0, WORKER_FAILED, EAGAIN, VERDICT_UNVERIFIED);
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_ran, 2);
        ck_assert_uint_eq(seen.request.retry_usec, 3);
        worker_says(1, WORKER_DONE, 0, VERDICT_OK);
}
END_TEST

START_TEST(what_a_hot_reset_is_told)
{
        static const char *const methods[] = {"vfio_hot", "subordinate"};
        JobRequest request = {.plan.asker = {.groups = {"7"}, .n_groups = 1}};

        world_bind(&seen.world, B, "vfio-pci");
        world_offer_all(&seen.world, B, "7");
        for (unsigned i = 0; i < 2; i++) {
                submit_request(B, methods[i], request);
                ck_assert_uint_eq(seen.asked[i]->actions, ACTION_RESET_OWNED);
                answer(GRANT_YES);
                ck_assert_uint_eq(seen.n_ran, i + 1);
                ck_assert_uint_eq(seen.request.n_fds, i == 0);
                ck_assert_int_eq(seen.first.must_be_disabled, i != 0);
                worker_says(i, WORKER_DONE, 0, VERDICT_OK);
        }
        submit(B, "vfio_hot");
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.request.n_fds, 0);
        ck_assert(seen.first.must_be_disabled);
        worker_says(2, WORKER_DONE, 0, VERDICT_OK);
}
END_TEST

static const struct {
        const char *why;
        bool waits;
} reasons[] = {
        {WORKER_WHY_HELD, true},        {WORKER_WHY_DRIVER, true},  {WORKER_WHY_ENABLED, true},
        {WORKER_WHY_TSM, true},         {WORKER_WHY_DEAD, false},   {WORKER_WHY_SET, false},
        {WORKER_WHY_NOT_VFIO, false},   {WORKER_WHY_RECORD, false}, {WORKER_WHY_BUSY, false},
        {WORKER_WHY_UNREADABLE, false},
};

/* The worker looks last. Who is ready to wait tries again, but not for ever. */
START_TEST(each_reason_of_a_worker)
{
        unsigned n = reasons[_i].waits ? JOB_REFUSALS_MAX : 0;

        submit_patient(B, "flr");
        answer(GRANT_YES);
        for (unsigned i = 0; i < n; i++) {
                worker_refuses(i, reasons[_i].why);
                ck_assert_uint_eq(seen.finished, 0);
                ck_assert_uint_eq(seen.n_ran, i + 2);
        }
        worker_refuses(n, reasons[_i].why);
        ck_assert_uint_eq(seen.n_ran, n + 1);
        ck_assert_uint_eq(seen.n_asked, 1);
        check_error(reasons[_i].waits ? RESET_IN_USE : RESET_NOT_USABLE);
        ck_assert_uint_eq(seen.last.n_attempts, 1);
        ck_assert_str_eq(seen.last.attempts[0].why, reasons[_i].why);
        ck_assert_uint_eq(seen.n_prepared, 1);
}
END_TEST

static void find_process(void)
{
        if (seen.n_ran == 1)
                world_hold(&seen.world, B, HOLDER_PROCESS);
}

START_TEST(a_worker_that_finds_somebody)
{
        world_bind(&seen.world, B, "nvme");
        seen.on_scan = find_process;
        submit_patient(B, "flr");
        answer(GRANT_YES);
        worker_refuses(0, WORKER_WHY_HELD);
        ck_assert_str_eq(job_phase_to_string(jobs_next(seen.jobs, NULL)->phase), "waiting_idle");
        ck_assert_int_eq(device_state(world_find(&seen.world, B)), DEVICE_IDLE);
        ck_assert_uint_eq(seen.n_ran, 1);

        /* It was somebody after all: refusals in a row begin anew. */
        ck_assert_uint_eq(jobs_next(seen.jobs, NULL)->n_refusals, 0);
        seen.on_scan = NULL;
        let_go(B);
        ck_assert_uint_eq(seen.n_ran, 2);
        worker_says(1, WORKER_DONE, 0, VERDICT_OK);
        check_error(RESET_OK);
        ck_assert_uint_eq(seen.last.n_attempts, 1);
        ck_assert_uint_eq(seen.n_prepared, 1);
        ck_assert_uint_eq(seen.n_relaxed, 1);
}
END_TEST

START_TEST(who_does_not_wait_ends)
{
        submit(B, "flr");
        answer(GRANT_YES);
        worker_refuses(0, WORKER_WHY_HELD);
        check_error(RESET_IN_USE);
        ck_assert_uint_eq(seen.n_ran, 1);

        submit_patient(B, "flr");
        answer(GRANT_YES);
        job_detach(seen.running[1]);
        worker_refuses(1, WORKER_WHY_HELD);
        check_error(RESET_IN_USE);
        ck_assert_uint_eq(seen.n_ran, 2);
        ck_assert_uint_eq(seen.finished, 2);
}
END_TEST

/* ---- devices that are taken away and come back ---- */

static void start_taking(const char *method)
{
        world_add(&seen.world, A1, "0000:00:01.0", "", "flr");
        world_offer_all(&seen.world, A, "7");
        submit(A, method);
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_ran, 1);
}

static void check_idle(const char *address)
{
        ck_assert_int_eq(device_state(world_find(&seen.world, address)), DEVICE_IDLE);
}

static const char *const taking[] = {"slot", "rescan", "subordinate"};

START_TEST(devices_that_come_back_are_followed)
{
        start_taking(taking[_i]);
        for (unsigned i = 0; i < 2; i++) {
                unplug(A);
                unplug(A1);
                world_add(&seen.world, A, "0000:00:01.0", "", "acpi flr bus");
                world_add(&seen.world, A1, "0000:00:01.0", "", "flr");
        }
        ck_assert_int_eq(device_state(world_find(&seen.world, A)), DEVICE_RESETTING);
        ck_assert_int_eq(device_state(world_find(&seen.world, A1)), DEVICE_RESETTING);
        ck_assert_ptr_eq(job_target_device(seen.running[0]), world_find(&seen.world, A));
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        check_error(RESET_OK);
        check_idle(A);
        check_idle(A1);
        ck_assert_str_eq(world_find(&seen.world, A)->last_reset.method, taking[_i]);
}
END_TEST

/* Some of them do not come back, or later. */
START_TEST(devices_that_stay_away)
{
        start_taking(taking[_i]);
        unplug(A);
        unplug(A1);
        worker_says(0, WORKER_DONE, 0, VERDICT_DEAD);
        check_error(RESET_DEVICE_DEAD);
        world_add(&seen.world, A, "0000:00:01.0", "", "acpi flr bus");
        check_idle(A);
}
END_TEST

/* Another device in the same place is none of the job's business. */
START_TEST(strangers_are_not_followed)
{
        DeviceFacts facts;

        start_taking(taking[_i % 3]);
        facts = world_find(&seen.world, A)->facts;
        unplug(A);
        facts.inode = ++seen.world.last_inode;
        facts.vendor += _i / 3 == 0;
        facts.device += _i / 3 == 1;
        facts.subsystem_device += _i / 3 == 2;
        ck_assert_int_eq(registry_apply(seen.world.registry, &facts), 0);
        check_idle(A);
        ck_assert_ptr_null(job_target_device(seen.running[0]));
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        check_idle(A);
        ck_assert(!world_find(&seen.world, A)->last_reset.valid);
        /* It can be reset like any other. */
        submit(A1, "flr");
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_ran, 2);
}
END_TEST

/* A method that does not take devices away does not expect them back. */
START_TEST(other_methods_follow_nobody)
{
        submit(A, "flr");
        answer(GRANT_YES);
        world_replace(&seen.world, A);
        check_idle(A);
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        check_idle(A);
}
END_TEST

/* Nor does a job that has not begun: what it was asked about is gone. */
START_TEST(who_has_not_begun_follows_nobody)
{
        world_offer_all(&seen.world, A, "7");
        submit(A, "flr");
        answer(GRANT_YES);
        submit(A, "rescan");
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_ran, 1);
        world_replace(&seen.world, A);
        check_idle(A);
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        ck_assert_uint_eq(seen.n_ran, 1);
        check_error(RESET_DEVICE_GONE);
}
END_TEST

/* The next rung is planned for the device that has come back. */
START_TEST(the_ladder_goes_on_with_who_came_back)
{
        world_offer_all(&seen.world, A, "7");
        world_find(&seen.world, A)->parent->facts.can_reset_subordinate = true;
        world_bind(&seen.world, A, "pciback");
        world_find(&seen.world, A)->live.methods.n = 0;
        submit(A, "link");
        answer(GRANT_YES);
        ck_assert_str_eq(seen.ran[0], "0000:01:00.0 slot");
        unplug(A);
        world_add(&seen.world, A, "0000:00:01.0", "pciback", "");
        worker_says(0, WORKER_DONE, 0, VERDICT_DEGRADED);
        answer(GRANT_YES);
        ck_assert_str_eq(seen.ran[1], "0000:01:00.0 subordinate");
        ck_assert_uint_eq(seen.first.inode, world_find(&seen.world, A)->facts.inode);
        worker_says(1, WORKER_DONE, 0, VERDICT_OK);
        check_error(RESET_OK);
}
END_TEST

/* What an earlier daemon began may have its device away just when this one begins. */
START_TEST(an_adopted_job_follows_too)
{
        const Device *device = world_find(&seen.world, A);
        WorkerMember member = {.address = at(A),
                               .inode = device->facts.inode,
                               .vendor = device->facts.vendor,
                               .device = device->facts.device};
        WorkerRequest request = {
                .job = 77, .uid = BOB, .method = "rescan", .members = &member, .n_members = 1};
        Job *job;

        unplug(A);
        ck_assert_int_eq(jobs_adopt(seen.jobs, &request, &job), 0);
        world_add(&seen.world, A, "0000:00:01.0", "", "flr");
        ck_assert_int_eq(device_state(world_find(&seen.world, A)), DEVICE_RESETTING);
        submit(A, "flr");
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_ran, 0);
        job_worker_done(job, NULL);
        ck_assert_uint_eq(seen.n_ran, 1);
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        check_idle(A);
}
END_TEST

/* A bridge that was taken away and came back is not the one that was to be locked. */
START_TEST(a_bridge_that_was_replaced)
{
        submit(B, "flr");
        world_replace(&seen.world, "0000:00:02.0");
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_ran, 0);
        ck_assert_uint_eq(seen.n_asked, 2);
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_ran, 1);
        ck_assert_uint_eq(seen.request.bridge.inode, world_find(&seen.world, "0000:00:02.0")->facts.inode);
}
END_TEST

/* ---- descriptors ---- */

/* Wherever they run out, the job ends, says so, and gives back those it has. */
START_TEST(descriptors_run_out)
{
        world_add(&seen.world, A1, "0000:00:01.0", "", "flr");
        world_offer_all(&seen.world, A, "7");
        seen.pins_left = _i;
        submit(A, "subordinate");
        /* The target, then both of the set and the bridge. */
        ck_assert_uint_eq(seen.n_asked, _i >= 4);
        if (_i >= 4) {
                answer(GRANT_YES);
                ck_assert_uint_eq(seen.n_ran, 1);
                worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        }
        check_error(_i >= 4 ? RESET_OK : RESET_LIMITS_EXCEEDED);
        ck_assert_int_eq(seen.pins, 0);
}
END_TEST

START_TEST(descriptors_are_held_while_it_lives)
{
        submit(A, "any");
        ck_assert_int_eq(seen.pins, 3);
        for (unsigned i = 0; i < 3; i++) {
                answer(GRANT_YES);
                ck_assert_int_eq(seen.pins, 3);
                worker_says(i, WORKER_FAILED, ENOTTY, VERDICT_OK);
        }
        check_error(RESET_FAILED);
        ck_assert_int_eq(seen.pins, 0);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("jobs-held");
        TCase *tcase = tcase_create("jobs-held");

        tcase_add_checked_fixture(tcase, job_world_init, job_world_done);
        tcase_add_test(tcase, a_lease_that_comes_in_between);
        tcase_add_test(tcase, a_lease_that_changes_hands);
        tcase_add_test(tcase, a_lease_that_ends);
        tcase_add_test(tcase, a_lease_that_was_relied_on);
        tcase_add_test(tcase, a_lease_that_is_presented);
        tcase_add_test(tcase, a_request_does_not_say_who_asks);
        tcase_add_test(tcase, forbidden_while_it_queues);
        tcase_add_loop_test(tcase, each_obstacle_is_named, 0, sizeof(obstacles) / sizeof(obstacles[0]));
        tcase_add_test(tcase, what_was_not_granted_is_not_allowed);
        tcase_add_test(tcase, what_the_worker_is_told);
        tcase_add_loop_test(tcase, retries_end_with_the_call, 0, (int) ELEMENTSOF(retries));
        tcase_add_test(tcase, each_rung_has_what_is_left);
        tcase_add_test(tcase, what_a_hot_reset_is_told);
        tcase_add_loop_test(tcase, each_reason_of_a_worker, 0, sizeof(reasons) / sizeof(reasons[0]));
        tcase_add_test(tcase, a_worker_that_finds_somebody);
        tcase_add_test(tcase, who_does_not_wait_ends);
        tcase_add_loop_test(tcase, devices_that_come_back_are_followed, 0, 3);
        tcase_add_loop_test(tcase, devices_that_stay_away, 0, 3);
        tcase_add_loop_test(tcase, strangers_are_not_followed, 0, 9);
        tcase_add_test(tcase, other_methods_follow_nobody);
        tcase_add_test(tcase, who_has_not_begun_follows_nobody);
        tcase_add_test(tcase, the_ladder_goes_on_with_who_came_back);
        tcase_add_test(tcase, an_adopted_job_follows_too);
        tcase_add_test(tcase, a_bridge_that_was_replaced);
        tcase_add_loop_test(tcase, descriptors_run_out, 0, 6);
        tcase_add_test(tcase, descriptors_are_held_while_it_lives);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
