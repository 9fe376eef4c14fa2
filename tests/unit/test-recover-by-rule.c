/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Recoveries that a rule wants, with nobody to ask: who is waited for, what is not for rules, how far they
 * go, and how many there are at a time.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "recover-bed.h"
#include "unit.h"

static const PolicySettings wanted = {.set = 1U << POLICY_ON_ERROR, .on_error = POLICY_ON_ERROR_RECOVER};

/* Of the others no rule says so. */
static void recover_one(void)
{
        job_world_rule(A, &wanted);
        ck_assert_int_eq(jobs_recover(seen.jobs, world_find(&seen.world, A), "r0 (/etc/50.json)"), 0);
}

static void recover_by_rule(void)
{
        job_world_rule(NULL, &wanted);
        ck_assert_int_eq(jobs_recover(seen.jobs, world_find(&seen.world, A), "r0 (/etc/50.json)"), 0);
}

START_TEST(nobody_is_asked)
{
        recover_by_rule();
        ck_assert_ptr_null(only_job()->request.client);
        ck_assert_int_eq(jobs_recover(seen.jobs, world_find(&seen.world, A), "r0"), -EALREADY);
        while (!seen.finished) {
                check_state(A, "recovering");
                if (seen.n_ran == 4)
                        finds(WORKER_DONE, VERDICT_OK);
                else
                        find_dead();
        }
        ck_assert_uint_eq(seen.n_asked, 0);
        ck_assert_str_eq(rungs_taken(), "acpi flr bus subordinate");
        check_error(RESET_OK);
        ck_assert_uint_eq(seen.last.request.uid, 0);
        ck_assert_str_eq(seen.last.request.rule, "r0 (/etc/50.json)");
}
END_TEST

/* Somebody has it open: he is waited for, and not disturbed. */
START_TEST(users_are_waited_for)
{
        world_bind(&seen.world, A, "vfio-pci");
        hold(A, HOLDER_VFIO);
        recover_by_rule();
        check_phase(JOB_WAITING_IDLE);
        check_state(A, "idle");
        let_go(A);
        ck_assert_uint_eq(seen.n_ran, 1);
}
END_TEST

/* Nor are those with a lease, root among them: a rule has no leases. */
START_TEST(leases_are_waited_for)
{
        static const struct {
                uint32_t uid;
                const char *leased;
        } table[] = {{0, A}, {1001, A}, {0, A1}, {1001, A1}};
        bool is_own = strcmp(table[_i].leased, A) == 0;

        world_add(&seen.world, A1, "0000:00:01.0", "", "flr");
        ck_assert_int_eq(
                world_claim(&seen.world, seen.claims, "L", CLAIM_LEASE, table[_i].uid, table[_i].leased), 0);
        recover_by_rule();
        for (unsigned i = 0; !is_own && i < 2; i++)
                find_dead();
        /* What disturbs nobody else was tried. */
        ck_assert_str_eq(rungs_taken(), is_own ? "" : "acpi flr");
        ck_assert_int_eq(only_job()->phase, JOB_WAITING_IDLE);
        claims_remove(seen.claims, "L");
        ck_assert_str_eq(rungs_taken(), is_own ? "acpi" : "acpi flr subordinate");
        finds(WORKER_DONE, VERDICT_OK);
        check_error(RESET_OK);
}
END_TEST

/* What somebody has put aside is not for rules, and perhaps has: neither the target, nor what would go along
 * with it. */
START_TEST(what_was_put_aside_by_hand)
{
        const char *aside = _i % 2 == 0 ? A : A1;
        QuarantineRecord record = {.cause = _i < 2 ? QUARANTINE_REQUESTED : QUARANTINE_UNREADABLE,
                                   .reason = "evidence"};

        world_add(&seen.world, A1, "0000:00:01.0", "", "flr");
        ck_assert_int_eq(quarantines_begin(seen.quarantines, world_find(&seen.world, aside), &record, 0), 0);
        recover_by_rule();
        while (!seen.finished)
                find_dead();
        ck_assert_str_eq(rungs_taken(), aside[11] == '0' ? "" : "acpi flr");
        ck_assert(!seen.last.needs_power_cycle);
        ck_assert_int_eq(world_find(&seen.world, aside)->quarantine->record.cause, record.cause);
}
END_TEST

static AdmissionObstacle obstacle_for(uint32_t uid)
{
        return job_world_judge(CLAIM_LEASE, uid, A).obstacle;
}

/* Not to root either, who has not asked for the reset. */
START_TEST(nobody_is_given_it_in_between)
{
        recover_by_rule();
        ck_assert_uint_eq(seen.n_ran, 1);
        ck_assert_int_eq(obstacle_for(0), ADMISSION_RESETTING);
        ck_assert_int_eq(obstacle_for(1001), ADMISSION_RESETTING);
        finds(WORKER_DONE, VERDICT_OK);
        ck_assert_int_eq(obstacle_for(0), ADMISSION_FREE);
        /* Whoever has asked knows. */
        submit_as(1001, A, "flr", false, false);
        answer(GRANT_YES);
        ck_assert_int_eq(obstacle_for(1001), ADMISSION_FREE);
        ck_assert_int_eq(obstacle_for(0), ADMISSION_RESETTING);
        finds(WORKER_DONE, VERDICT_OK);
}
END_TEST

static void put_in(const QuarantineRecord *record)
{
        Device *device = world_find(&seen.world, A);

        if (device->quarantine)
                ck_assert_int_eq(quarantines_end(seen.quarantines, device, QUARANTINE_RELEASED), 0);
        ck_assert_int_eq(quarantines_begin(seen.quarantines, device, record, 0), 0);
}

static const QuarantineRecord first_one = {.cause = QUARANTINE_ERROR, .since = 1, .reason = "an error"};

/* A job waits, and while it does so the device comes out and goes in again: nobody has granted that one. */
START_TEST(a_rule_is_not_about_the_next_quarantine)
{
        world_bind(&seen.world, A, "vfio-pci");
        hold(A, HOLDER_VFIO);
        put_in(&first_one);
        recover_by_rule();
        check_phase(JOB_WAITING_IDLE);
        put_in(&(QuarantineRecord){.cause = QUARANTINE_REQUESTED, .since = 1, .reason = "evidence"});
        let_go(A);
        ck_assert_uint_eq(seen.n_ran, 0);
        ck_assert_uint_eq(seen.finished, 1);
        ck_assert_str_eq(reason_of(A), "evidence");
}
END_TEST

START_TEST(who_was_allowed_is_asked_about_the_next_quarantine)
{
        static const QuarantineRecord next[] = {
                {.cause = QUARANTINE_REQUESTED, .since = 1, .reason = "evidence"},
                {.cause = QUARANTINE_ERROR, .since = 2, .reason = "an error"},
        };

        world_bind(&seen.world, A, "vfio-pci");
        hold(A, HOLDER_VFIO);
        put_in(&first_one);
        submit_patient(A, "flr");
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_asked, 1);
        put_in(&next[_i]);
        let_go(A);
        ck_assert_uint_eq(seen.n_ran, 0);
        ck_assert_uint_eq(seen.n_asked, 2);
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_ran, 1);
        finds(WORKER_DONE, VERDICT_OK);
        ck_assert_str_eq(reason_of(A), "");
}
END_TEST

static void check_attempt(size_t i, const char *method, const char *expected)
{
        const Attempt *attempt = &seen.last.attempts[i];
        char why[96];

        attempt_why(attempt, why, sizeof(why));
        ck_assert_str_eq(attempt->method, method);
        ck_assert_str_eq(attempt_outcome_to_string(attempt->outcome), expected ? "denied" : "refused");
        if (expected)
                ck_assert_str_eq(why, expected);
}

/* Of the sibling the rule says nothing, so nothing is done that would reset it as well; and nobody can say
 * then that nothing else helps. */
START_TEST(no_further_than_the_rule)
{
        world_add(&seen.world, A1, "0000:00:01.0", "", "flr");
        recover_one();
        while (!seen.finished)
                find_dead();
        ck_assert_str_eq(rungs_taken(), "acpi flr");
        check_attempt(0, "acpi", NULL);
        check_attempt(1, "flr", NULL);
        check_attempt(seen.last.n_attempts - 1, "rescan", "no-rule");
        ck_assert_uint_eq(seen.n_asked, 0);
        check_error(RESET_DEVICE_DEAD);
        ck_assert(!seen.last.needs_power_cycle);
        ck_assert_ptr_null(strstr(reason_of(A), QUARANTINE_NEEDS_POWER_CYCLE));
}
END_TEST

static void add_rule(Policy *policy, const char *id, const char *address, PolicyOnError on_error)
{
        PolicyRule rule = {.file = strdup("/etc/50.json"),
                           .settings = {.set = 1U << POLICY_ON_ERROR, .on_error = on_error}};
        const char *key;

        (void) snprintf(rule.id, sizeof(rule.id), "%s", id);
        ck_assert_int_eq(policy_match_set(&rule.match, POLICY_MATCH_ADDRESS, address, &key), 0);
        ck_assert_int_eq(policy_add(policy, &rule), 0);
}

static const struct {
        bool by_edge, has_rule, is_aside;
        const char *reason, *rule;
} refusals[] = {
        {false, false, false, "it would disturb " A1 " and no rule wants that to be recovered", ""},
        {false, true, false,
         "it would disturb " A1 " and not (/etc/50.json) does not want that to be recovered",
         "not (/etc/50.json)"},
        {true, false, false,
         "it would disturb " B ", which an edge ties to " A ", and no rule wants that to be recovered", ""},
        {true, true, false,
         "it would disturb " B ", which an edge ties to " A
         ", and not (/etc/50.json) does not want that to be recovered",
         "not (/etc/50.json)"},
        {false, true, true, A1 " was put into quarantine by hand", ""},
};

/* Nobody was asked, so it is no use to say that somebody was not authorized: the rule, the edge and the
 * device are named. */
START_TEST(who_forbids_it_is_named)
{
        const char *other = refusals[_i].by_edge ? B : A1;
        QuarantineRecord record = {.cause = QUARANTINE_REQUESTED, .reason = "evidence"};
        PciAddress ends[2] = {at(A), at(B)};
        Policy *policy = policy_new();
        const Attempt *attempt;

        if (!refusals[_i].by_edge)
                world_add(&seen.world, A1, "0000:00:01.0", "", "flr");
        add_rule(policy, "yes", A, POLICY_ON_ERROR_RECOVER);
        if (refusals[_i].has_rule)
                add_rule(policy, "not", other, POLICY_ON_ERROR_NOTIFY);
        registry_change_policy(seen.world.registry, policy);
        if (refusals[_i].by_edge)
                ck_assert_int_eq(registry_add_edge(seen.world.registry, &ends[0], &ends[1]), 0);
        if (refusals[_i].is_aside)
                ck_assert_int_eq(
                        quarantines_begin(seen.quarantines, world_find(&seen.world, other), &record, 0), 0);
        ck_assert_int_eq(jobs_recover(seen.jobs, world_find(&seen.world, A), "yes (/etc/50.json)"), 0);
        while (!seen.finished)
                find_dead();
        attempt = &seen.last.attempts[seen.last.n_attempts - 1];
        ck_assert_str_eq(attempt_outcome_to_string(attempt->outcome), "denied");
        ck_assert_str_eq(attempt->reason, refusals[_i].reason);
        ck_assert_str_eq(attempt->rule, refusals[_i].rule);
}
END_TEST

/* One that is below the same port alone has no others. */
START_TEST(to_the_end_where_nobody_else_is)
{
        recover_one();
        while (!seen.finished)
                find_dead();
        ck_assert_str_eq(rungs_taken(), "acpi flr bus subordinate slot rescan");
        ck_assert(seen.last.needs_power_cycle);
}
END_TEST

/* The virtual functions go with theirs. */
START_TEST(virtual_functions_need_no_rule)
{
        world_add_vf(&seen.world, A1, "0000:00:01.0", A, "");
        recover_one();
        ck_assert_uint_eq(only_job()->n_members, 2);
        ck_assert_str_eq(rungs_taken(), "acpi");
        finds(WORKER_DONE, VERDICT_OK);
        check_error(RESET_OK);
}
END_TEST

/* While it waits the rule is taken back. */
START_TEST(the_rule_is_no_more)
{
        world_bind(&seen.world, A, "vfio-pci");
        hold(A, HOLDER_VFIO);
        recover_by_rule();
        check_phase(JOB_WAITING_IDLE);
        job_world_rule(B, &wanted);
        let_go(A);
        ck_assert_uint_eq(seen.n_ran, 0);
        ck_assert_uint_eq(seen.finished, 1);
        check_attempt(0, "acpi", "no-rule");
}
END_TEST

/* However many are asking: nobody is asked for this one. */
START_TEST(others_do_not_keep_it_from_beginning)
{
        for (unsigned i = 0; i < AUTHORIZATIONS_MAX; i++)
                submit_as(1000 + i / AUTHORIZATIONS_PER_UID_MAX, B, "flr", false, false);
        ck_assert_uint_eq(seen.finished, 0);
        submit(A, "flr");
        ck_assert_uint_eq(seen.finished, 1);
        check_error(RESET_LIMITS_EXCEEDED);
        recover_by_rule();
        ck_assert_uint_eq(seen.n_ran, 1);
        ck_assert_str_eq(seen.ran[0], A " acpi");
}
END_TEST

/* Below a port with room for all of them. */
static const char *wide(unsigned i)
{
        static char address[PCI_ADDRESS_STRING_MAX];

        (void) snprintf(address, sizeof(address), "0000:09:%02x.%x", i / 8, i % 8);
        return address;
}

/* There is room for clients beside them, and each of them is woken. */
START_TEST(so_many_at_a_time)
{
        job_world_rule(NULL, &wanted);
        world_add_bridge(&seen.world, "0000:00:09.0", NULL);
        for (unsigned i = 0; i <= RECOVERIES_MAX; i++) {
                Device *device = world_add(&seen.world, wide(i), "0000:00:09.0", "", "flr");

                if (i > 0)
                        hold(wide(i), HOLDER_PROCESS);
                if (i < RECOVERIES_MAX)
                        ck_assert_int_eq(jobs_recover(seen.jobs, device, "r0"), 0);
                else
                        ck_assert_int_eq(jobs_recover(seen.jobs, device, "r0"), -EBUSY);
        }
        ck_assert_uint_eq(seen.finished, 0);
        submit(B, "flr");
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_ran, 2);
        for (unsigned i = 0; i < 2; i++)
                worker_says(i, WORKER_DONE, 0, VERDICT_OK);
        ck_assert_uint_eq(seen.finished, 2);
        /* One has ended: there is room for the next. */
        ck_assert_int_eq(jobs_recover(seen.jobs, world_find(&seen.world, wide(RECOVERIES_MAX)), "r0"), 0);
        ck_assert_int_eq(jobs_recover(seen.jobs, world_find(&seen.world, wide(0)), "r0"), -EBUSY);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("recover-by-rule");
        TCase *tcase = tcase_create("recover-by-rule");

        tcase_add_checked_fixture(tcase, recover_bed_init, job_world_done);
        tcase_add_test(tcase, nobody_is_asked);
        tcase_add_test(tcase, users_are_waited_for);
        tcase_add_loop_test(tcase, leases_are_waited_for, 0, 4);
        tcase_add_loop_test(tcase, what_was_put_aside_by_hand, 0, 4);
        tcase_add_test(tcase, nobody_is_given_it_in_between);
        tcase_add_test(tcase, a_rule_is_not_about_the_next_quarantine);
        tcase_add_loop_test(tcase, who_was_allowed_is_asked_about_the_next_quarantine, 0, 2);
        tcase_add_test(tcase, no_further_than_the_rule);
        tcase_add_loop_test(tcase, who_forbids_it_is_named, 0, (int) ELEMENTSOF(refusals));
        tcase_add_test(tcase, to_the_end_where_nobody_else_is);
        tcase_add_test(tcase, virtual_functions_need_no_rule);
        tcase_add_test(tcase, the_rule_is_no_more);
        tcase_add_test(tcase, others_do_not_keep_it_from_beginning);
        tcase_add_test(tcase, so_many_at_a_time);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
