/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What the daemon does by itself between two users of a device that is leased: who is waited for, what is
 * reset, and how it ends. Of users through VFIO: test-release-vfio; of devices and daemons that go in the
 * middle: test-release-lost.
 */

#include <string.h>

#include "release-bed.h"
#include "unit.h"

/* ---- one device ---- */

START_TEST(reset_after_the_last_lease)
{
        lease("one", A);
        check_ran(0, NULL);
        ck_assert_uint_eq(seen.n_stored, 1);
        let_go_of("one");
        check_taken(A);
        check_ran(1, A " acpi");
        ck_assert_uint_eq(seen.n_asked, 0);
        ck_assert_uint_eq(seen.running[0]->request.uid, ALICE);
        ck_assert(seen.running[0]->request.by_policy);
        ck_assert_str_eq(seen.running[0]->request.rule, "a-rule (/etc/50.json)");
        last_is_well();
        check_free(A, true);
        ck_assert_uint_eq(seen.n_stored, 0);
        check_ran(1, A " acpi");
        /* And for each further one. */
        lease("two", A);
        let_go_of("two");
        check_ran(2, A " acpi");
        last_is_well();
        check_free(A, true);
}
END_TEST

START_TEST(not_without_a_rule)
{
        const PolicySettings none = {.set = 1U << POLICY_ON_RELEASE};

        job_world_rule(NULL, &none);
        lease("one", A);
        let_go_of("one");
        check_ran(0, NULL);
        check_free(A, false);
        ck_assert_uint_eq(seen.n_stored, 0);
        job_world_rule(B, &reset_on_release);
        lease("two", A);
        let_go_of("two");
        check_ran(0, NULL);
        check_free(A, false);
}
END_TEST

START_TEST(not_what_is_clean)
{
        lease("one", A);
        submit(A, "flr");
        answer(GRANT_YES);
        last_is_well();
        let_go_of("one");
        check_ran(1, A " flr");
        check_free(A, true);
}
END_TEST

static const char *const no_resets[] = {"rescan", "pm"};

/* What he has done himself has left all as it was. */
START_TEST(also_after_no_reset_of_his)
{
        lease("one", A);
        device_of(A)->facts.can_be_removed = true;
        ck_assert_int_eq(reset_method_list_parse("flr pm", &device_of(A)->live.methods), 0);
        submit_as(ALICE, A, no_resets[_i], false, false);
        answer(GRANT_YES);
        last_is_well();
        ck_assert_int_eq(seen.error, RESET_OK);
        let_go_of("one");
        check_taken(A);
        check_ran(2, A " flr");
        last_is_well();
        check_free(A, true);
}
END_TEST

/* An order may begin with what leaves much as it was: between two users it comes last in each. */
static const char *const orders[] = {"pm flr", "flr pm"};

START_TEST(pm_does_not_end_an_order)
{
        PolicySettings settings = reset_on_release;

        settings.set |= 1U << POLICY_METHODS;
        ck_assert_int_eq(reset_method_list_parse(orders[_i], &settings.methods), 0);
        ck_assert_int_eq(reset_method_list_parse("flr pm", &device_of(A)->live.methods), 0);
        job_world_rule(A, &settings);
        lease("one", A);
        let_go_of("one");
        check_ran(1, A " flr");
        last_is(WORKER_FAILED, 25, VERDICT_UNVERIFIED);
        check_ran(2, A " pm");
        last_is_well();
        check_free(A, true);
}
END_TEST

/* An order may name it; what comes after a user is a reset all the same. */
START_TEST(a_rescan_in_order_does_not_end_it)
{
        PolicySettings settings = reset_on_release;

        settings.set |= 1U << POLICY_METHODS;
        ck_assert_int_eq(reset_method_list_parse("rescan flr", &settings.methods), 0);
        job_world_rule(A, &settings);
        device_of(A)->facts.can_be_removed = true;
        for (unsigned i = 0; i < 2; i++) {
                lease("one", A);
                let_go_of("one");
                check_ran(2 * i + 1, A " rescan");
                last_is_well();
                check_taken(A);
                check_ran(2 * i + 2, A " flr");
                if (i == 0) {
                        last_is_well();
                        check_free(A, true);
                } else {
                        last_is(WORKER_FAILED, 25, VERDICT_UNVERIFIED);
                        check_put_away(A, "rescan: doubtful; flr: failed");
                }
        }
        /* Nor does it let it out again. */
        submit_as(0, A, "rescan", false, false);
        answer(GRANT_YES);
        last_is_well();
        ck_assert_ptr_nonnull(device_of(A)->quarantine);
        submit_as(0, A, "flr", false, false);
        answer(GRANT_YES);
        last_is_well();
        check_free(A, true);
}
END_TEST

START_TEST(not_bridges)
{
        lease("one", PORT);
        let_go_of("one");
        check_ran(0, NULL);
        check_free(PORT, false);
}
END_TEST

/* A host driver that would lose its state is in the way until it is gone. */
START_TEST(waits_for_the_driver)
{
        world_bind(&seen.world, A, "e1000e");
        let_go(A);
        lease("one", A);
        let_go_of("one");
        check_ran(0, NULL);
        check_waits(A, "driver-bound");
        ck_assert_uint_eq(seen.n_waits, 1);
        job_world_settle();
        world_bind(&seen.world, A, "");
        job_world_settle();
        check_ran(1, A " acpi");
        last_is_well();
        check_free(A, true);
}
END_TEST

START_TEST(waits_for_inhibitors)
{
        lease("one", A);
        ck_assert_int_eq(world_claim(&seen.world, seen.claims, "no", CLAIM_INHIBIT_BLOCK, 0, A), 0);
        let_go_of("one");
        check_waits(A, "inhibited");
        let_go_of("no");
        check_ran(1, A " acpi");
        last_is_well();
        check_free(A, true);
}
END_TEST

/* ---- how it ends ---- */

START_TEST(up_the_ladder)
{
        lease("one", A);
        let_go_of("one");
        check_ran(1, A " acpi");
        last_is(WORKER_FAILED, 25, VERDICT_UNVERIFIED);
        check_ran(2, A " flr");
        check_taken(A);
        last_is(WORKER_FAILED, 25, VERDICT_UNVERIFIED);
        check_ran(3, A " bus");
        last_is_well();
        check_free(A, true);
}
END_TEST

START_TEST(put_away_after_all_has_failed)
{
        lease("one", A);
        let_go_of("one");
        for (unsigned i = 0; i < 3; i++)
                last_is(WORKER_FAILED, 25, VERDICT_UNVERIFIED);
        check_ran(3, A " bus");
        check_put_away(A, "acpi: failed; flr: failed; bus: failed");
        ck_assert_int_eq(obstacle(A), ADMISSION_QUARANTINED);
        /* Whoever is in charge says that it may be given away all the same: */
        ck_assert_int_eq(quarantines_end(seen.quarantines, device_of(A), QUARANTINE_RELEASED), 0);
        check_free(A, false);
        check_ran(3, A " bus");
}
END_TEST

START_TEST(put_away_without_a_method)
{
        memset(&device_of(B)->live.methods, 0, sizeof(ResetMethodList));
        lease("one", B);
        let_go_of("one");
        check_put_away(B, "no method");
}
END_TEST

START_TEST(put_away_where_the_policy_forbids_all)
{
        PolicySettings settings = reset_on_release;

        settings.set |= 1U << POLICY_FORBID;
        ck_assert_int_eq(reset_method_list_parse("flr", &settings.forbid), 0);
        job_world_rule(B, &settings);
        lease("one", B);
        let_go_of("one");
        check_put_away(B, "forbidden");
}
END_TEST

START_TEST(put_away_after_a_worker_that_died)
{
        lease("one", A);
        let_go_of("one");
        job_worker_done(seen.running[0], NULL);
        check_put_away(A, "worker-died");
}
END_TEST

/* Somebody else holds the locks: after some tries nobody knows whether that ends. */
START_TEST(tries_are_counted)
{
        lease("one", B);
        let_go_of("one");
        for (unsigned i = 0; i < 4; i++) {
                check_ran(i + 1, B " flr");
                check_taken(B);
                worker_refuses(i, "locked");
                job_world_settle();
        }
        check_put_away(B, "locked");
}
END_TEST

/* What a person in charge has done counts. */
START_TEST(somebody_else_resets_it)
{
        world_bind(&seen.world, A, "e1000e");
        let_go(A);
        lease("one", A);
        let_go_of("one");
        check_waits(A, "driver-bound");
        submit_as(0, A, "flr", true, false);
        answer(GRANT_YES);
        last_is_well();
        check_free(A, true);
        check_ran(1, A " flr");
}
END_TEST

/* The daemon's own job was next in line. */
START_TEST(no_reset_more_than_it_takes)
{
        lease("one", A);
        submit_as(0, B, "flr", false, false);
        submit_as(ALICE, A, "flr", false, false);
        answer(GRANT_YES);
        check_ran(1, A " flr");
        let_go_of("one");
        check_ran(1, A " flr");
        check_taken(A);
        last_is_well();
        check_free(A, true);
        check_ran(1, A " flr");
        ck_assert_int_eq(seen.error, RESET_OK);
}
END_TEST

START_TEST(quarantine_goes_before)
{
        QuarantineRecord record = {.cause = QUARANTINE_REQUESTED};

        world_bind(&seen.world, A, "e1000e");
        let_go(A);
        lease("one", A);
        let_go_of("one");
        check_waits(A, "driver-bound");
        ck_assert_int_eq(quarantines_begin(seen.quarantines, device_of(A), &record, 0), 0);
        job_world_settle();
        ck_assert_ptr_null(device_of(A)->release);
        ck_assert_uint_eq(seen.n_stored, 0);
        world_bind(&seen.world, A, "");
        job_world_settle();
        check_ran(0, NULL);
}
END_TEST

START_TEST(the_policy_changes)
{
        const PolicySettings none = {.set = 1U << POLICY_ON_RELEASE};

        world_bind(&seen.world, A, "e1000e");
        let_go(A);
        lease("one", A);
        let_go_of("one");
        check_waits(A, "driver-bound");
        job_world_rule(NULL, &none);
        check_free(A, false);
        /* What was let go then stays as it is. */
        job_world_rule(NULL, &reset_on_release);
        check_free(A, false);
        check_ran(0, NULL);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("release");
        TCase *tcase = tcase_create("release");

        tcase_add_checked_fixture(tcase, release_bed_init, job_world_done);
        tcase_add_test(tcase, reset_after_the_last_lease);
        tcase_add_test(tcase, not_without_a_rule);
        tcase_add_test(tcase, not_what_is_clean);
        tcase_add_loop_test(tcase, also_after_no_reset_of_his, 0, (int) ELEMENTSOF(no_resets));
        tcase_add_test(tcase, a_rescan_in_order_does_not_end_it);
        tcase_add_loop_test(tcase, pm_does_not_end_an_order, 0, 2);
        tcase_add_test(tcase, not_bridges);
        tcase_add_test(tcase, waits_for_the_driver);
        tcase_add_test(tcase, waits_for_inhibitors);
        tcase_add_test(tcase, up_the_ladder);
        tcase_add_test(tcase, put_away_after_all_has_failed);
        tcase_add_test(tcase, put_away_without_a_method);
        tcase_add_test(tcase, put_away_where_the_policy_forbids_all);
        tcase_add_test(tcase, put_away_after_a_worker_that_died);
        tcase_add_test(tcase, tries_are_counted);
        tcase_add_test(tcase, somebody_else_resets_it);
        tcase_add_test(tcase, no_reset_more_than_it_takes);
        tcase_add_test(tcase, quarantine_goes_before);
        tcase_add_test(tcase, the_policy_changes);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
