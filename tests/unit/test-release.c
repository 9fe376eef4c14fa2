/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What the daemon does by itself between two users of a device: who is waited for, what is reset, and how it
 * ends.
 */

#include <stdio.h>
#include <string.h>

#include "daemon/domain/cleanliness.h"
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

START_TEST(also_after_a_rescan_that_replaced_it)
{
        lease("one", A);
        device_of(A)->facts.can_be_removed = true;
        submit_as(ALICE, A, "rescan", false, false);
        answer(GRANT_YES);
        unplug(A);
        claims_remove(seen.claims, "one");
        world_add(&seen.world, A, PORT, "", "flr");
        last_is_well();
        ck_assert_int_eq(seen.error, RESET_OK);
        check_taken(A);
        ck_assert_int_eq(device_of(A)->cleanliness, CLEANLINESS_DIRTY);
        check_ran(2, A " flr");
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

START_TEST(after_vfio)
{
        world_bind(&seen.world, A, "vfio-pci");
        hold(A, HOLDER_VFIO);
        job_world_settle();
        ck_assert_uint_eq(seen.n_stored, 1);
        /* Her lease would make it hers as he has left it; his own is fine. */
        check_taken(A);
        device_of(A)->release->record.uid = ALICE;
        ck_assert_int_eq(obstacle(A), ADMISSION_FREE);
        device_of(A)->release->record.uid = ALICE + 1;
        let_go(A);
        job_world_settle();
        check_taken(A);
        check_ran(1, A " acpi");
        last_is_well();
        check_free(A, true);
}
END_TEST

/* A moment of which no look has seen more than that it is over. */
START_TEST(after_a_moment_of_vfio)
{
        world_bind(&seen.world, A, "vfio-pci");
        let_go(A);
        submit(A, "flr");
        answer(GRANT_YES);
        last_is_well();
        cleanliness_touched(device_of(A), true);
        releases_touched(seen.releases, device_of(A));
        job_world_settle();
        check_ran(1, A " flr");
        releases_looked(seen.releases, device_of(A));
        job_world_settle();
        check_ran(2, A " acpi");
        last_is_well();
        check_free(A, true);
}
END_TEST

static void touch(const char *address)
{
        cleanliness_touched(device_of(address), true);
}

START_TEST(open_without_a_rule)
{
        const PolicySettings none = {.set = 1U << POLICY_ON_RELEASE};

        job_world_rule(NULL, &none);
        world_bind(&seen.world, A, "vfio-pci");
        hold(A, HOLDER_VFIO);
        job_world_settle();
        ck_assert_int_eq(obstacle(A), ADMISSION_FREE);
}
END_TEST

/* A moment is heard of before a look tells whose it is. */
START_TEST(whose_it_is_is_known_late)
{
        Device *device = device_of(A);

        world_bind(&seen.world, A, "vfio-pci");
        let_go(A);
        cleanliness_touched(device, true);
        releases_touched(seen.releases, device);
        ck_assert_uint_eq(device->release->record.uid, 0);
        world_hold(&seen.world, A, HOLDER_VFIO);
        device->use.holders[0].uid = ALICE;
        registry_notify(seen.world.registry, device, DEVICE_CHANGED_USE);
        ck_assert_uint_eq(device->release->record.uid, ALICE);
        ck_assert_int_eq(obstacle(A), ADMISSION_FREE);
}
END_TEST

/* Whoever still owns the node opens it in the middle of the reset. */
START_TEST(after_a_moment_in_its_own_reset)
{
        world_bind(&seen.world, A, "vfio-pci");
        let_go(A);
        lease("one", A);
        let_go_of("one");
        check_ran(1, A " acpi");
        touch(A);
        last_is_well();
        check_taken(A);
        check_ran(2, A " acpi");
        last_is_well();
        check_free(A, true);
        /* Nobody waits for ever for one who goes on so. */
        lease("two", A);
        let_go_of("two");
        for (unsigned i = 3; i <= 6; i++) {
                check_ran(i, A " acpi");
                touch(A);
                last_is_well();
        }
        check_put_away(A, "somebody uses it in each reset; acpi: done");
        ck_assert_ptr_null(strstr(device_of(A)->quarantine->record.reason, "uid"));
}
END_TEST

/* He has no release yet. */
START_TEST(after_a_moment_in_a_reset_by_somebody)
{
        world_bind(&seen.world, A, "vfio-pci");
        let_go(A);
        submit(A, "flr");
        answer(GRANT_YES);
        touch(A);
        last_is_well();
        ck_assert_int_eq(device_of(A)->cleanliness, CLEANLINESS_DIRTY);
        check_ran(1, A " flr");
        releases_looked(seen.releases, device_of(A));
        job_world_settle();
        check_taken(A);
        check_ran(2, A " acpi");
        last_is_well();
        check_free(A, true);
}
END_TEST

START_TEST(the_lease_ends_before_vfio)
{
        world_bind(&seen.world, A, "vfio-pci");
        lease("one", A);
        hold(A, HOLDER_VFIO);
        let_go_of("one");
        check_ran(0, NULL);
        check_waits(A, "in use");
        ck_assert_ptr_null(jobs_next(seen.jobs, NULL));
        let_go(A);
        job_world_settle();
        check_ran(1, A " acpi");
        last_is_well();
        check_free(A, true);
        check_ran(1, A " acpi");
}
END_TEST

START_TEST(vfio_ends_before_the_lease)
{
        world_bind(&seen.world, A, "vfio-pci");
        lease("one", A);
        hold(A, HOLDER_VFIO);
        let_go(A);
        job_world_settle();
        check_ran(0, NULL);
        let_go_of("one");
        check_ran(1, A " acpi");
        last_is_well();
        check_free(A, true);
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

/* The rule is about who it is assigned to; with its end the reset is due all the same. */
START_TEST(another_driver_is_no_other_policy)
{
        PolicyRule rule = {.file = strdup("/etc/50.json"), .id = "assigned", .settings = reset_on_release};
        Policy *policy = policy_new();
        const char *wanted;

        ck_assert_int_eq(policy_match_set(&rule.match, POLICY_MATCH_ASSIGNED, "true", &wanted), 0);
        ck_assert_int_eq(policy_add(policy, &rule), 0);
        registry_change_policy(seen.world.registry, policy);
        world_bind(&seen.world, A, "vfio-pci");
        hold(A, HOLDER_VFIO);
        world_let_go(&seen.world, A);
        registry_notify(seen.world.registry, device_of(A), DEVICE_CHANGED_USE);
        world_bind(&seen.world, A, "");
        job_world_settle();
        check_ran(1, A " acpi");
        ck_assert_str_eq(seen.running[0]->request.rule, "assigned (/etc/50.json)");
        last_is_well();
        check_free(A, true);
}
END_TEST

/* ---- a device that goes ---- */

START_TEST(gone_and_back)
{
        lease("one", A);
        unplug(A);
        claims_remove(seen.claims, "one");
        job_world_settle();
        ck_assert_uint_eq(seen.n_stored, 1);
        check_ran(0, NULL);
        world_add(&seen.world, A, PORT, "", "flr");
        job_world_settle();
        check_taken(A);
        check_ran(1, A " flr");
        last_is_well();
        check_free(A, true);
}
END_TEST

/* Nobody wants it to be reset, back or not. */
START_TEST(gone_and_back_without_a_rule)
{
        const PolicySettings none = {.set = 1U << POLICY_ON_RELEASE};

        job_world_rule(NULL, &none);
        lease("one", A);
        unplug(A);
        claims_remove(seen.claims, "one");
        job_world_settle();
        ck_assert_uint_eq(seen.n_stored, 0);
        world_add(&seen.world, A, PORT, "", "flr");
        check_free(A, false);
        check_ran(0, NULL);
}
END_TEST

/* The lease is about what comes back. */
START_TEST(gone_and_back_under_its_lease)
{
        lease("one", A);
        unplug(A);
        world_add(&seen.world, A, PORT, "", "flr");
        job_world_settle();
        ck_assert_int_eq(obstacle(A), ADMISSION_LEASED);
        check_ran(0, NULL);
        let_go_of("one");
        check_ran(1, A " flr");
        last_is_well();
        check_free(A, true);
}
END_TEST

/* The first card is not back: what becomes of the second one's resets says nothing of it. */
START_TEST(another_card_in_its_place)
{
        DeviceFacts facts = device_of(A)->facts;

        lease("one", A);
        unplug(A);
        claims_remove(seen.claims, "one");
        facts.device++;
        facts.inode = ++seen.world.last_inode;
        ck_assert_int_eq(registry_apply(seen.world.registry, &facts), 0);
        ck_assert_int_eq(reset_method_list_parse("flr", &device_of(A)->live.methods), 0);
        lease("two", A);
        let_go_of("two");
        for (unsigned i = 0; i < 4; i++) {
                check_ran(i + 1, A " flr");
                worker_refuses(i, "locked");
                job_world_settle();
        }
        ck_assert_ptr_nonnull(device_of(A)->quarantine);
        ck_assert_ptr_null(jobs_next(seen.jobs, NULL));
        ck_assert_uint_eq(seen.n_stored, 1);
}
END_TEST

START_TEST(gone_during_its_reset)
{
        lease("one", A);
        let_go_of("one");
        check_ran(1, A " acpi");
        unplug(A);
        last_is(WORKER_GONE, 0, VERDICT_UNVERIFIED);
        ck_assert_uint_eq(seen.n_stored, 1);
        world_add(&seen.world, A, PORT, "", "flr");
        job_world_settle();
        check_ran(2, A " flr");
        last_is_well();
        check_free(A, true);
}
END_TEST

START_TEST(moved_by_its_own_reset)
{
        lease("one", A);
        let_go_of("one");
        last_is(WORKER_FAILED, 25, VERDICT_UNVERIFIED);
        last_is(WORKER_FAILED, 25, VERDICT_UNVERIFIED);
        check_ran(3, A " bus");
        world_replace(&seen.world, A);
        job_world_settle();
        check_ran(3, A " bus");
        last_is_well();
        check_free(A, true);
        check_ran(3, A " bus");
}
END_TEST

/* ---- over restarts ---- */

START_TEST(the_daemon_is_another_one)
{
        /* Let go while nobody was there. */
        lease("one", A);
        registry_set_listener(seen.world.registry, NULL);
        claims_remove(seen.claims, "one");
        job_world_restart_releases();
        ck_assert_int_eq(device_of(A)->cleanliness, CLEANLINESS_DIRTY);
        check_taken(A);
        job_world_settle();
        check_ran(1, A " acpi");
}
END_TEST

START_TEST(still_leased_after_a_restart)
{
        lease("one", A);
        job_world_restart_releases();
        job_world_settle();
        check_ran(0, NULL);
        ck_assert_int_eq(obstacle(A), ADMISSION_LEASED);
        let_go_of("one");
        check_ran(1, A " acpi");
        last_is_well();
        check_free(A, true);
}
END_TEST

START_TEST(pending_over_a_restart)
{
        world_bind(&seen.world, A, "e1000e");
        let_go(A);
        lease("one", A);
        let_go_of("one");
        check_waits(A, "driver-bound");
        job_world_restart_releases();
        check_taken(A);
        job_world_settle();
        world_bind(&seen.world, A, "");
        job_world_settle();
        check_ran(1, A " acpi");
        last_is_well();
        check_free(A, true);
}
END_TEST

/* Whether VFIO has it open is not known before somebody has looked. */
START_TEST(open_over_a_restart)
{
        world_bind(&seen.world, A, "vfio-pci");
        hold(A, HOLDER_VFIO);
        job_world_settle();
        job_world_restart_releases();
        job_world_settle();
        ck_assert_int_eq(device_of(A)->cleanliness, CLEANLINESS_DIRTY);
        check_ran(0, NULL);
        if (_i == 0) {
                hold(A, HOLDER_VFIO);
                job_world_settle();
                check_ran(0, NULL);
        }
        let_go(A);
        job_world_settle();
        check_ran(1, A " acpi");
        last_is_well();
        check_free(A, true);
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
        tcase_add_test(tcase, also_after_a_rescan_that_replaced_it);
        tcase_add_test(tcase, a_rescan_in_order_does_not_end_it);
        tcase_add_test(tcase, not_bridges);
        tcase_add_test(tcase, after_vfio);
        tcase_add_test(tcase, after_a_moment_of_vfio);
        tcase_add_test(tcase, open_without_a_rule);
        tcase_add_test(tcase, whose_it_is_is_known_late);
        tcase_add_test(tcase, after_a_moment_in_its_own_reset);
        tcase_add_test(tcase, after_a_moment_in_a_reset_by_somebody);
        tcase_add_test(tcase, the_lease_ends_before_vfio);
        tcase_add_test(tcase, vfio_ends_before_the_lease);
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
        tcase_add_test(tcase, another_driver_is_no_other_policy);
        tcase_add_test(tcase, gone_and_back);
        tcase_add_test(tcase, gone_and_back_without_a_rule);
        tcase_add_test(tcase, gone_and_back_under_its_lease);
        tcase_add_test(tcase, another_card_in_its_place);
        tcase_add_test(tcase, gone_during_its_reset);
        tcase_add_test(tcase, moved_by_its_own_reset);
        tcase_add_test(tcase, the_daemon_is_another_one);
        tcase_add_test(tcase, still_leased_after_a_restart);
        tcase_add_test(tcase, pending_over_a_restart);
        tcase_add_loop_test(tcase, open_over_a_restart, 0, 2);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
