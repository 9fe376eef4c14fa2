/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The ladder of a recovery: which rungs it has, how far it goes, and what it says in the end. Of those that
 * a rule wants: test-recover-by-rule.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "recover-bed.h"
#include "unit.h"

/* Allowed each time, the device is dead all the way. */
static void climb_in_vain(void)
{
        submit(A, "recover");
        while (!seen.finished) {
                size_t n = seen.n_ran;

                answer(GRANT_YES);
                ck_assert_uint_eq(seen.n_ran, n + 1);
                find_dead();
        }
}

/* ---- the rungs ---- */

static void add_rule(const char *methods, const char *forbid, bool no_link)
{
        PolicyRule rule = {.file = strdup("/etc/50.json")};
        Policy *policy = policy_new();

        ck_assert_ptr_nonnull(policy);
        (void) snprintf(rule.id, sizeof(rule.id), "r0");
        if (methods) {
                rule.settings.set |= 1U << POLICY_METHODS;
                ck_assert_int_eq(reset_method_list_parse(methods, &rule.settings.methods), 0);
        }
        if (forbid) {
                rule.settings.set |= 1U << POLICY_FORBID;
                ck_assert_int_eq(reset_method_list_parse(forbid, &rule.settings.forbid), 0);
        }
        if (no_link)
                rule.settings.set |= 1U << POLICY_ALLOW_LINK;
        ck_assert_int_eq(policy_add(policy, &rule), 0);
        registry_set_policy(seen.world.registry, policy, "6.12.57");
}

static const struct {
        const char *methods, *forbid;
        bool no_link;
        const char *taken;
        unsigned n_attempts;
        bool needs_power_cycle;
} ladders[] = {
        {.taken = "acpi flr bus subordinate slot rescan", .n_attempts = 6, .needs_power_cycle = true},
        /* What a rule has kept from being tried might have helped. */
        {.forbid = "slot rescan", .taken = "acpi flr bus subordinate", .n_attempts = 6},
        {.no_link = true, .taken = "acpi flr", .n_attempts = 6},
        {.methods = "bus flr", .taken = "bus flr", .n_attempts = 6},
        {.methods = "rescan bus flr acpi slot subordinate",
         .taken = "rescan bus flr acpi slot subordinate",
         .n_attempts = 6,
         .needs_power_cycle = true},
};

START_TEST(a_ladder_in_vain)
{
        if (ladders[_i].methods || ladders[_i].forbid || ladders[_i].no_link)
                add_rule(ladders[_i].methods, ladders[_i].forbid, ladders[_i].no_link);
        climb_in_vain();
        ck_assert_str_eq(rungs_taken(), ladders[_i].taken);
        ck_assert_uint_eq(seen.last.n_attempts, ladders[_i].n_attempts);
        check_error(RESET_DEVICE_DEAD);
        ck_assert_int_eq(seen.last.needs_power_cycle, ladders[_i].needs_power_cycle);
        ck_assert_int_eq(strstr(reason_of(A), QUARANTINE_NEEDS_POWER_CYCLE) != NULL,
                         ladders[_i].needs_power_cycle);
        check_state(A, "quarantined");
}
END_TEST

/* What has never worked on this hardware comes later, but not after the last resorts. */
START_TEST(what_always_fails_comes_before_the_last_resorts)
{
        for (unsigned i = 0; i < 8; i++)
                proven_note(seen.proven, 0x8086, 0x10d3, "acpi", VERDICT_DEAD, 100, 1);
        climb_in_vain();
        ck_assert_str_eq(rungs_taken(), "flr bus subordinate slot acpi rescan");
}
END_TEST

/* The other aliases end before the last resorts, and are never so sure of their end. */
START_TEST(other_ladders_have_no_last_resort)
{
        static const char *const methods[] = {"any", "link"};

        submit(A, methods[_i]);
        while (!seen.finished) {
                answer(GRANT_YES);
                find_dead();
        }
        ck_assert_ptr_null(strstr(rungs_taken(), "rescan"));
        ck_assert(!seen.last.needs_power_cycle);
        ck_assert_ptr_null(strstr(reason_of(A), QUARANTINE_NEEDS_POWER_CYCLE));
}
END_TEST

/* ---- how far it goes ---- */

START_TEST(it_ends_at_the_first_proof)
{
        submit(A, "recover");
        for (unsigned i = 0; i < 2; i++) {
                answer(GRANT_YES);
                find_dead();
        }
        check_state(A, "recovering");
        ck_assert_str_ne(reason_of(A), "");
        answer(GRANT_YES);
        check_state(A, "recovering");
        finds(WORKER_DONE, VERDICT_OK);
        check_error(RESET_OK);
        ck_assert_str_eq(rungs_taken(), "acpi flr bus");
        ck_assert(!seen.last.needs_power_cycle);
        /* The proof has lifted what the job itself has found on its way. */
        ck_assert_str_eq(reason_of(A), "");
        check_state(A, "idle");
}
END_TEST

static void finds_with(uint16_t command)
{
        WorkerResult *result = calloc(1, sizeof(WorkerResult));

        ck_assert_ptr_nonnull(result);
        *result = (WorkerResult){.outcome = WORKER_DONE, .verdict = VERDICT_UNVERIFIED, .written = true};
        result->images = calloc(2, sizeof(WorkerImage));
        ck_assert_ptr_nonnull(result->images);
        result->n_images = 2;
        for (size_t i = 0; i < 2; i++)
                result->images[i] = (WorkerImage){.address = at(i == 0 ? A : "0000:00:01.0"),
                                                  .inode = 1,
                                                  .answers = true,
                                                  .vendor = i == 0 ? 0x8086 : UINT16_MAX,
                                                  .device = 0x10d3,
                                                  .command = command};
        job_worker_done(seen.running[seen.n_ran - 1], result);
}

/* Each worker is told how the devices were before the first one, whatever others have seen since; but not of
 * what has no part in its method, nor of another card. */
START_TEST(the_first_look_counts_for_the_whole_ladder)
{
        submit(A, "recover");
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.request.n_images, 0);
        for (uint16_t command = 6; command > 3; command--) {
                finds_with(command);
                answer(GRANT_YES);
                ck_assert_uint_eq(seen.request.n_images, 2);
                ck_assert_uint_eq(seen.command, 6);
        }
        ck_assert_str_eq(rungs_taken(), "acpi flr bus subordinate");
        world_find(&seen.world, A)->facts.device = 0x1533;
        finds_with(2);
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.request.n_images, 1);
        finds(WORKER_DONE, VERDICT_OK);
        check_error(RESET_OK);
}
END_TEST

START_TEST(a_proof_lifts_an_old_quarantine)
{
        QuarantineRecord record = {.cause = QUARANTINE_DEAD, .reason = "long ago"};

        ck_assert_int_eq(quarantines_begin(seen.quarantines, world_find(&seen.world, A), &record, 0), 0);
        submit(A, "recover");
        ck_assert_int_eq(seen.asked[0]->actions, ACTION_QUARANTINE);
        answer(GRANT_YES);
        finds(WORKER_DONE, VERDICT_OK);
        check_error(RESET_OK);
        ck_assert_ptr_null(world_find(&seen.world, A)->quarantine);
}
END_TEST

/* A refused rung is left out, and then nobody can say that nothing else helps. */
START_TEST(polkit_says_no_to_one_rung)
{
        static const struct {
                unsigned refused;
                const char *taken;
        } table[] = {
                {0, "flr bus subordinate slot rescan"},
                {4, "acpi flr bus subordinate rescan"},
                {5, "acpi flr bus subordinate slot"},
        };

        submit(A, "recover");
        for (unsigned i = 0; !seen.finished; i++) {
                bool refused = i == table[_i].refused;

                answer(refused ? GRANT_NO : GRANT_YES);
                if (!refused)
                        find_dead();
        }
        ck_assert_str_eq(rungs_taken(), table[_i].taken);
        check_error(RESET_DEVICE_DEAD);
        ck_assert(!seen.last.needs_power_cycle);
        ck_assert_ptr_null(strstr(reason_of(A), QUARANTINE_NEEDS_POWER_CYCLE));
}
END_TEST

/* A device that is well and could not be reset needs no power cycle. */
START_TEST(nothing_is_wrong_with_it)
{
        submit(B, "recover");
        answer(GRANT_YES);
        worker_says(0, WORKER_FAILED, ENOTTY, VERDICT_UNVERIFIED);
        check_error(RESET_FAILED);
        ck_assert(!seen.last.needs_power_cycle);
}
END_TEST

START_TEST(who_has_left_recovers_no_further)
{
        submit(A, "recover");
        answer(GRANT_YES);
        job_detach(only_job());
        find_dead();
        ck_assert_uint_eq(seen.n_ran, 1);
        ck_assert(!seen.last.needs_power_cycle);
        check_state(A, "quarantined");
}
END_TEST

/* The last resorts take the device away; what comes back is the target from then on. */
START_TEST(it_follows_who_comes_back)
{
        submit(A, "recover");
        for (unsigned i = 0; i < 4; i++) {
                answer(GRANT_YES);
                find_dead();
        }
        answer(GRANT_YES);
        ck_assert_str_eq(seen.ran[4], A " slot");
        unplug(A);
        if (_i == 0) {
                /* All that is left is another scan, and the worker has made one. */
                finds(WORKER_FAILED, VERDICT_DEAD);
                check_error(RESET_DEVICE_DEAD);
                ck_assert(seen.last.needs_power_cycle);
                return;
        }
        world_add(&seen.world, A, "0000:00:01.0", "", "flr bus");
        world_offer_all(&seen.world, A, "7");
        check_state(A, "recovering");
        finds(WORKER_DONE, VERDICT_DEAD);
        answer(GRANT_YES);
        ck_assert_str_eq(seen.ran[5], A " rescan");
        finds(WORKER_DONE, VERDICT_OK);
        check_error(RESET_OK);
        check_state(A, "idle");
}
END_TEST

/* The last rung has taken it away for good; or its bus has another number since, and it is well there. */
START_TEST(it_does_not_come_back)
{
        submit(A, "recover");
        for (unsigned i = 0; i < 5; i++) {
                answer(GRANT_YES);
                find_dead();
        }
        answer(GRANT_YES);
        ck_assert_str_eq(seen.ran[5], A " rescan");
        unplug(A);
        if (_i == 1)
                world_add(&seen.world, "0000:07:00.0", "0000:00:01.0", "", "flr");
        finds(WORKER_DONE, VERDICT_DEAD);
        check_error(RESET_DEVICE_DEAD);
        ck_assert_int_eq(seen.last.needs_power_cycle, _i == 0);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("recover");
        TCase *tcase = tcase_create("recover");

        tcase_add_checked_fixture(tcase, recover_bed_init, job_world_done);
        tcase_add_loop_test(tcase, a_ladder_in_vain, 0, (int) ELEMENTSOF(ladders));
        tcase_add_test(tcase, what_always_fails_comes_before_the_last_resorts);
        tcase_add_loop_test(tcase, other_ladders_have_no_last_resort, 0, 2);
        tcase_add_test(tcase, it_ends_at_the_first_proof);
        tcase_add_test(tcase, the_first_look_counts_for_the_whole_ladder);
        tcase_add_test(tcase, a_proof_lifts_an_old_quarantine);
        tcase_add_loop_test(tcase, polkit_says_no_to_one_rung, 0, 3);
        tcase_add_test(tcase, nothing_is_wrong_with_it);
        tcase_add_test(tcase, who_has_left_recovers_no_further);
        tcase_add_loop_test(tcase, it_follows_who_comes_back, 0, 2);
        tcase_add_loop_test(tcase, it_does_not_come_back, 0, 2);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
