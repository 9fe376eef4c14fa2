/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What makes a device dirty, what proves it clean, and who gets none that is not.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/domain/admission.h"
#include "daemon/domain/cleanliness.h"
#include "job-world.h"
#include "unit.h"

#define PORT    "0000:00:01.0"
#define A       "0000:01:00.0"
#define SIBLING "0000:01:00.1"
#define VF      "0000:01:00.2"
#define B       "0000:02:00.0"

static Device *device_of(const char *address)
{
        return world_find(&seen.world, address);
}

static void check_is(const char *address, const char *expected)
{
        ck_assert_str_eq(cleanliness_to_string(device_of(address)->cleanliness), expected);
}

static void lease(const char *id, const char *address)
{
        ck_assert_int_eq(world_claim(&seen.world, seen.claims, id, CLAIM_LEASE, 1001, address), 0);
}

static void reset_well(const char *address, const char *method)
{
        submit(address, method);
        answer(GRANT_YES);
        worker_says(seen.n_ran - 1, WORKER_DONE, 0, VERDICT_OK);
        ck_assert_int_eq(seen.error, RESET_OK);
}

static const PolicySettings want_clean = {.set = 1U << POLICY_REQUIRE_CLEAN, .require_clean = true};

START_TEST(unknown_at_first)
{
        check_is(A, "unknown");
        check_is(PORT, "unknown");
        world_replace(&seen.world, A);
        check_is(A, "unknown");
}
END_TEST

START_TEST(a_lease_soils)
{
        lease("one", A);
        check_is(A, "dirty");
        check_is(B, "unknown");
        claims_remove(seen.claims, "one");
        check_is(A, "dirty");
        reset_well(A, "flr");
        check_is(A, "clean");
        lease("two", A);
        check_is(A, "dirty");
}
END_TEST

/* A bridge is given to nobody without what is below. */
START_TEST(bridges_have_none)
{
        lease("one", PORT);
        check_is(PORT, "unknown");
}
END_TEST

START_TEST(vfio_soils)
{
        world_bind(&seen.world, A, "vfio-pci");
        hold(A, HOLDER_VFIO);
        check_is(A, "dirty");
        let_go(A);
        check_is(A, "dirty");
        reset_well(A, "flr");
        check_is(A, "clean");
        device_of(A)->live.enable_count = 1;
        registry_notify(seen.world.registry, device_of(A), DEVICE_CHANGED_USE);
        check_is(A, "dirty");
}
END_TEST

/* The host's own use is nobody's whom the next user has to fear. */
START_TEST(other_use_soils_only_under_a_lease)
{
        world_bind(&seen.world, A, "nvme");
        reset_well(A, "flr");
        hold(A, HOLDER_PROCESS);
        check_is(A, "clean");
        let_go(A);
        lease("one", A);
        reset_well(A, "flr");
        check_is(A, "clean");
        hold(A, HOLDER_PROCESS);
        check_is(A, "dirty");
}
END_TEST

/* The lease may end before what was opened under it is closed. */
START_TEST(who_keeps_it_open_goes_on)
{
        world_bind(&seen.world, A, "nvme");
        lease("one", A);
        hold(A, HOLDER_PROCESS);
        submit_as(1001, A, "flr", true, false);
        answer(GRANT_YES);
        worker_says(seen.n_ran - 1, WORKER_DONE, 0, VERDICT_OK);
        ck_assert_int_eq(seen.error, RESET_OK);
        check_is(A, "dirty");
        claims_remove(seen.claims, "one");
        let_go(A);
        check_is(A, "dirty");
}
END_TEST

/* The one that it was for has gone in it: of the others nothing is proved. */
START_TEST(a_target_that_does_not_come_back)
{
        world_add(&seen.world, SIBLING, PORT, "", "flr");
        device_of(PORT)->facts.can_reset_subordinate = true;
        cleanliness_set(device_of(SIBLING), CLEANLINESS_CLEAN);
        submit(A, "subordinate");
        answer(GRANT_YES);
        unplug(A);
        worker_says(seen.n_ran - 1, WORKER_FAILED, EIO, VERDICT_UNVERIFIED);
        check_is(SIBLING, "unknown");
}
END_TEST

/* What no look has seen was seen by whoever listens to the nodes. */
START_TEST(a_moment_is_enough)
{
        world_bind(&seen.world, A, "vfio-pci");
        reset_well(A, "flr");
        cleanliness_touched(device_of(A), false);
        check_is(A, "clean");
        cleanliness_touched(device_of(A), true);
        check_is(A, "dirty");
        lease("one", A);
        reset_well(A, "flr");
        cleanliness_touched(device_of(A), false);
        check_is(A, "dirty");
}
END_TEST

static const struct {
        const char *method;
        bool is_vfio;
        WorkerOutcome outcome;
        const char *why; /* it waits for others, too */
        const char *after;
} moments[] = {
        {"flr", true, WORKER_DONE, NULL, "dirty"},
        {"flr", true, WORKER_FAILED, NULL, "dirty"},
        {"flr", true, WORKER_REFUSED, NULL, "dirty"},
        {"flr", true, WORKER_REFUSED, WORKER_WHY_HELD, "dirty"},
        /* The host reads its own nodes anew. */
        {"flr", false, WORKER_DONE, NULL, "clean"},
        /* It opens a node itself. */
        {"vfio_hot", true, WORKER_DONE, NULL, "clean"},
        {"vfio_hot", true, WORKER_REFUSED, NULL, "clean"},
};

/* Between the write and the end somebody has opened it, written to it and closed it. */
START_TEST(a_moment_in_a_reset)
{
        world_offer_all(&seen.world, A, "14");
        world_bind(&seen.world, A, "vfio-pci");
        let_go(A);
        cleanliness_set(device_of(A), CLEANLINESS_CLEAN);
        if (moments[_i].why)
                submit_patient(A, moments[_i].method);
        else
                submit(A, moments[_i].method);
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_ran, 1);
        cleanliness_touched(device_of(A), moments[_i].is_vfio);
        check_is(A, "clean");
        if (moments[_i].why)
                worker_refuses(0, moments[_i].why);
        else
                worker_says(0, moments[_i].outcome, EIO, VERDICT_OK);
        check_is(A, moments[_i].after);
        if (moments[_i].outcome != WORKER_DONE)
                return;
        /* And no longer than that. */
        reset_well(A, "flr");
        check_is(A, "clean");
}
END_TEST

static const struct {
        WorkerOutcome outcome;
        Verdict verdict;
        const char *before, *after;
} results[] = {
        {WORKER_DONE, VERDICT_OK, "dirty", "clean"},
        {WORKER_DONE, VERDICT_OK, "unknown", "clean"},
        {WORKER_DONE, VERDICT_DEGRADED, "dirty", "dirty"},
        {WORKER_DONE, VERDICT_UNVERIFIED, "clean", "unknown"},
        {WORKER_DONE, VERDICT_DEAD, "clean", "unknown"},
        {WORKER_FAILED, VERDICT_OK, "dirty", "dirty"},
        {WORKER_FAILED, VERDICT_OK, "clean", "unknown"},
        {WORKER_REFUSED, VERDICT_UNVERIFIED, "clean", "clean"},
        {WORKER_REFUSED, VERDICT_UNVERIFIED, "dirty", "dirty"},
};

START_TEST(proof)
{
        if (strcmp(results[_i].before, "unknown") != 0)
                cleanliness_set(device_of(A), strcmp(results[_i].before, "clean") == 0 ? CLEANLINESS_CLEAN
                                                                                       : CLEANLINESS_DIRTY);
        submit(A, "flr");
        answer(GRANT_YES);
        worker_says(0, results[_i].outcome, 0, results[_i].verdict);
        check_is(A, results[_i].after);
}
END_TEST

static const struct {
        const char *method, *before, *after;
} no_resets[] = {
        {"rescan", "dirty", "dirty"}, {"rescan", "clean", "unknown"}, {"thaw", "dirty", "dirty"},
        {"thaw", "clean", "unknown"}, {"pm", "dirty", "dirty"},       {"pm", "clean", "unknown"},
        {"slot", "dirty", "clean"},
};

/* All is well after it, and what was left in the device may still be there. */
START_TEST(no_proof)
{
        Device *device = device_of(A);

        world_offer_all(&seen.world, A, "14");
        device->facts.has_endpoint = true;
        device->frozen = strcmp(no_resets[_i].method, "thaw") == 0;
        ck_assert_int_eq(reset_method_list_parse("flr pm", &device->live.methods), 0);
        cleanliness_set(device,
                        strcmp(no_resets[_i].before, "clean") == 0 ? CLEANLINESS_CLEAN : CLEANLINESS_DIRTY);
        reset_well(A, no_resets[_i].method);
        check_is(A, no_resets[_i].after);
        job_world_rule(A, &want_clean);
        ck_assert_int_eq(job_world_judge(CLAIM_LEASE, 1001, A).obstacle,
                         strcmp(no_resets[_i].after, "clean") == 0 ? ADMISSION_FREE : ADMISSION_NOT_CLEAN);
}
END_TEST

/* What was asked for is not what counts: the method that ran does, in whichever order they were to be tried.
 */
static const struct {
        const char *order, *ran, *after;
} orders[] = {{"pm flr", "pm", "dirty"}, {"flr pm", "flr", "clean"}};

START_TEST(what_ran_counts)
{
        PolicySettings settings = {.set = 1U << POLICY_METHODS};
        Device *device = device_of(A);

        ck_assert_int_eq(reset_method_list_parse(orders[_i].order, &settings.methods), 0);
        ck_assert_int_eq(reset_method_list_parse("flr pm", &device->live.methods), 0);
        job_world_rule(A, &settings);
        cleanliness_set(device, CLEANLINESS_DIRTY);
        reset_well(A, "any");
        ck_assert_str_eq(strchr(seen.ran[0], ' ') + 1, orders[_i].ran);
        check_is(A, orders[_i].after);
}
END_TEST

static const struct {
        uint64_t watched, written;
        const char *after;
} earlier[] = {
        {0, 1000, "unknown"}, /* it had ended before */
        {2000, 1000, "unknown"},
        {1000, 2000, "clean"},
};

/* The worker of an earlier daemon: who has had the device between its write and our start nobody knows. */
START_TEST(proved_while_nobody_watched)
{
        const Device *device = device_of(A);
        WorkerMember member = {.address = device->facts.address, .inode = device->facts.inode};
        WorkerRequest request = {.job = 77, .method = "flr", .members = &member, .n_members = 1};
        WorkerResult *result = calloc(1, sizeof(WorkerResult));
        Job *job;

        ck_assert_ptr_nonnull(result);
        *result = (WorkerResult){.outcome = WORKER_DONE,
                                 .verdict = VERDICT_OK,
                                 .written = true,
                                 .finished_usec = earlier[_i].written};
        ck_assert_int_eq(jobs_adopt(seen.jobs, &request, &job), 0);
        job->watched_since = earlier[_i].watched;
        job_worker_done(job, result);
        ck_assert_int_eq(seen.error, RESET_OK);
        check_is(A, earlier[_i].after);
}
END_TEST

/* The worker was killed: what it had done is not known. */
START_TEST(no_result)
{
        cleanliness_set(device_of(A), CLEANLINESS_CLEAN);
        submit(A, "flr");
        answer(GRANT_YES);
        job_worker_done(seen.running[0], NULL);
        check_is(A, "unknown");
}
END_TEST

/* Whoever has it open goes on with it. */
START_TEST(not_while_it_is_open)
{
        world_bind(&seen.world, A, "vfio-pci");
        submit(A, "flr");
        answer(GRANT_YES);
        hold(A, HOLDER_VFIO);
        check_is(A, "dirty");
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        check_is(A, "dirty");
}
END_TEST

/* A reset of a link is one of all that is below, and an edge says only that something is disturbed. */
START_TEST(of_the_whole_set)
{
        const PciAddress a = at(A), b = at(B);

        world_add(&seen.world, SIBLING, PORT, "", "flr");
        world_add_vf(&seen.world, VF, PORT, A, "flr");
        device_of(PORT)->facts.can_reset_subordinate = true;
        ck_assert_int_eq(registry_add_edge(seen.world.registry, &a, &b), 0);
        reset_well(A, "flr");
        check_is(A, "clean");
        check_is(VF, "clean");
        check_is(SIBLING, "unknown");
        check_is(B, "unknown");
        reset_well(SIBLING, "subordinate");
        check_is(SIBLING, "clean");
        check_is(B, "unknown");
        check_is(PORT, "unknown");
}
END_TEST

/* ---- require_clean ---- */

/* Nor one that somebody has opened in the middle of its reset: also not to whoever has asked for that. */
START_TEST(none_that_was_touched)
{
        job_world_rule(A, &want_clean);
        reset_well(A, "flr");
        submit(A, "flr");
        answer(GRANT_YES);
        ck_assert_int_eq(job_world_judge(CLAIM_LEASE, 1001, A).obstacle, ADMISSION_FREE);
        cleanliness_touched(device_of(A), true);
        ck_assert_int_eq(job_world_judge(CLAIM_LEASE, 1001, A).obstacle, ADMISSION_NOT_CLEAN);
}
END_TEST

START_TEST(none_that_is_not_clean)
{
        Admission found;

        ck_assert_int_eq(job_world_judge(CLAIM_LEASE, 1001, A).obstacle, ADMISSION_FREE);
        job_world_rule(A, &want_clean);
        found = job_world_judge(CLAIM_LEASE, 1001, A);
        ck_assert_int_eq(found.obstacle, ADMISSION_NOT_CLEAN);
        ck_assert_ptr_eq(found.device, device_of(A));
        ck_assert_str_eq(found.rule->id, "a-rule");
        ck_assert_int_eq(job_world_judge(CLAIM_LEASE, 1001, B).obstacle, ADMISSION_FREE);
        ck_assert_int_eq(job_world_judge(CLAIM_INHIBIT_BLOCK, 1001, A).obstacle, ADMISSION_FREE);
        reset_well(A, "flr");
        ck_assert_int_eq(job_world_judge(CLAIM_LEASE, 1001, A).obstacle, ADMISSION_FREE);
        lease("one", A);
        ck_assert_int_eq(job_world_judge(CLAIM_LEASE, 1001, A).obstacle, ADMISSION_LEASED);
        claims_remove(seen.claims, "one");
        ck_assert_int_eq(job_world_judge(CLAIM_LEASE, 1001, A).obstacle, ADMISSION_NOT_CLEAN);
}
END_TEST

START_TEST(bridges_need_not_be)
{
        job_world_rule(NULL, &want_clean);
        ck_assert_int_eq(job_world_judge(CLAIM_LEASE, 1001, PORT).obstacle, ADMISSION_FREE);
        ck_assert_int_eq(job_world_judge(CLAIM_LEASE, 1001, B).obstacle, ADMISSION_NOT_CLEAN);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("cleanliness");
        TCase *tcase = tcase_create("cleanliness");

        tcase_add_checked_fixture(tcase, job_world_init, job_world_done);
        tcase_add_test(tcase, unknown_at_first);
        tcase_add_test(tcase, a_lease_soils);
        tcase_add_test(tcase, bridges_have_none);
        tcase_add_test(tcase, vfio_soils);
        tcase_add_test(tcase, other_use_soils_only_under_a_lease);
        tcase_add_test(tcase, who_keeps_it_open_goes_on);
        tcase_add_test(tcase, a_target_that_does_not_come_back);
        tcase_add_test(tcase, a_moment_is_enough);
        tcase_add_loop_test(tcase, a_moment_in_a_reset, 0, (int) ELEMENTSOF(moments));
        tcase_add_loop_test(tcase, proof, 0, (int) ELEMENTSOF(results));
        tcase_add_loop_test(tcase, no_proof, 0, (int) ELEMENTSOF(no_resets));
        tcase_add_loop_test(tcase, what_ran_counts, 0, (int) ELEMENTSOF(orders));
        tcase_add_loop_test(tcase, proved_while_nobody_watched, 0, (int) ELEMENTSOF(earlier));
        tcase_add_test(tcase, no_result);
        tcase_add_test(tcase, not_while_it_is_open);
        tcase_add_test(tcase, of_the_whole_set);
        tcase_add_test(tcase, none_that_is_not_clean);
        tcase_add_test(tcase, none_that_was_touched);
        tcase_add_test(tcase, bridges_need_not_be);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
