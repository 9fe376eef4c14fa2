/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Devices that go away between two users, or in the reset, and come back as they were, elsewhere or as
 * another card; and a daemon that is another one by then.
 */

#include <errno.h>

#include "daemon/domain/cleanliness.h"
#include "release-bed.h"
#include "unit.h"

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

/* There was no room for the note of who has it: it is made with the next news of the device. */
START_TEST(stored_late)
{
        seen.store_result = -ENOSPC;
        lease("one", A);
        ck_assert_uint_eq(seen.n_stored, 0);
        seen.store_result = 0;
        releases_looked(seen.releases, device_of(A));
        ck_assert_uint_eq(seen.n_stored, 1);
        ck_assert_str_eq(seen.stored[0].lease, "one");
        ck_assert(!seen.stored[0].pending);
        let_go_of("one");
        last_is_well();
        check_free(A, true);
        ck_assert_uint_eq(seen.n_stored, 0);
}
END_TEST

/* What is written down is who has it now, also of one who keeps it open when his lease ends. */
START_TEST(written_down_as_it_is)
{
        const PolicySettings none = {.set = 1U << POLICY_ON_RELEASE};

        job_world_rule(NULL, &none);
        world_bind(&seen.world, A, "vfio-pci");
        ck_assert_int_eq(world_claim(&seen.world, seen.claims, "one", CLAIM_LEASE, 0, A), 0);
        hold(A, HOLDER_VFIO);
        job_world_settle();
        ck_assert_str_eq(seen.stored[0].lease, "one");
        let_go_of("one");
        hold(A, HOLDER_VFIO);
        job_world_settle();
        ck_assert_str_eq(device_of(A)->release->record.lease, "");
        ck_assert_str_eq(seen.stored[0].lease, "");
}
END_TEST

/* So is that one has let go which was not there when the daemon began. */
START_TEST(written_down_as_gone)
{
        lease("one", A);
        unplug(A);
        seen.stored[0].pending = false;
        job_world_restart_releases();
        ck_assert(releases_next(seen.releases, NULL)->record.pending);
        ck_assert(seen.stored[0].pending);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("release-lost");
        TCase *tcase = tcase_create("release-lost");

        tcase_add_checked_fixture(tcase, release_bed_init, job_world_done);
        tcase_add_test(tcase, gone_and_back);
        tcase_add_test(tcase, gone_and_back_without_a_rule);
        tcase_add_test(tcase, gone_and_back_under_its_lease);
        tcase_add_test(tcase, another_card_in_its_place);
        tcase_add_test(tcase, gone_during_its_reset);
        tcase_add_test(tcase, moved_by_its_own_reset);
        tcase_add_test(tcase, also_after_a_rescan_that_replaced_it);
        tcase_add_test(tcase, the_daemon_is_another_one);
        tcase_add_test(tcase, still_leased_after_a_restart);
        tcase_add_test(tcase, pending_over_a_restart);
        tcase_add_test(tcase, stored_late);
        tcase_add_loop_test(tcase, open_over_a_restart, 0, 2);
        tcase_add_test(tcase, written_down_as_it_is);
        tcase_add_test(tcase, written_down_as_gone);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
