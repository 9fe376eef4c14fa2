/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Users of a device through VFIO, with a lease and without one: when each is done with it, how late that may
 * be heard of, and what comes of one who touches the device in the middle of a reset.
 */

#include <string.h>

#include "daemon/domain/cleanliness.h"
#include "release-bed.h"
#include "unit.h"

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

/* ---- in the middle of a reset ---- */

static void touch(const char *address)
{
        cleanliness_touched(device_of(address), true);
}

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

int main(void)
{
        Suite *suite = suite_create("release-vfio");
        TCase *tcase = tcase_create("release-vfio");

        tcase_add_checked_fixture(tcase, release_bed_init, job_world_done);
        tcase_add_test(tcase, after_vfio);
        tcase_add_test(tcase, after_a_moment_of_vfio);
        tcase_add_test(tcase, open_without_a_rule);
        tcase_add_test(tcase, whose_it_is_is_known_late);
        tcase_add_test(tcase, another_driver_is_no_other_policy);
        tcase_add_test(tcase, the_lease_ends_before_vfio);
        tcase_add_test(tcase, vfio_ends_before_the_lease);
        tcase_add_test(tcase, after_a_moment_in_its_own_reset);
        tcase_add_test(tcase, after_a_moment_in_a_reset_by_somebody);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
