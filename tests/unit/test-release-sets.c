/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What the daemon does between two users of several devices: a lease is one transaction, siblings end in one
 * reset of their link, and nothing is reset that was not let go.
 */

#include <stdio.h>
#include <string.h>

#include "daemon/domain/cleanliness.h"
#include "release-bed.h"
#include "unit.h"

/* ---- several devices ---- */

START_TEST(a_lease_is_one_transaction)
{
        lease("one", A " " B);
        let_go_of("one");
        ck_assert_uint_eq(seen.n_ran, 2);
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        job_world_settle();
        check_taken(A);
        check_taken(B);
        worker_says(1, WORKER_DONE, 0, VERDICT_OK);
        check_free(A, true);
        check_free(B, true);
}
END_TEST

/* One of them is given to nobody any more, which is no reason to keep the other. */
START_TEST(a_transaction_ends_without_those_put_away)
{
        lease("one", A " " B);
        let_go_of("one");
        worker_says(0, WORKER_DONE, 0, VERDICT_OK);
        job_world_settle();
        check_taken(A);
        worker_says(1, WORKER_FAILED, 25, VERDICT_UNVERIFIED);
        job_world_settle();
        ck_assert_ptr_nonnull(device_of(B)->quarantine);
        check_free(A, true);
}
END_TEST

static const struct {
        const char *methods;
        bool second_first;
} pairs[] = {{"", false}, {"", true}, {"pm", false}, {"pm", true}};

/* VFIO gives up here: none of the two can be reset by itself. */
START_TEST(siblings_end_in_one_reset_of_their_link)
{
        const char *first = pairs[_i].second_first ? SIBLING : A, *second = first[11] == '0' ? SIBLING : A;
        char expected[64];

        make_pair(pairs[_i].methods);
        lease("one", first);
        lease("two", second);
        let_go_of("one");
        check_ran(0, NULL);
        check_taken(first);
        ck_assert_str_eq(job_phase_to_string(only_job()->phase), "waiting_idle");
        let_go_of("two");
        (void) snprintf(expected, sizeof(expected), "%s subordinate", first);
        check_ran(1, expected);
        check_taken(first);
        check_taken(second);
        last_is_well();
        check_ran(1, expected);
        check_free(first, true);
        check_free(second, true);
        ck_assert_ptr_null(jobs_next(seen.jobs, NULL));
}
END_TEST

START_TEST(siblings_of_one_lease)
{
        make_pair("");
        lease("one", A " " SIBLING);
        let_go_of("one");
        ck_assert_uint_eq(seen.n_ran, 1);
        last_is_well();
        ck_assert_uint_eq(seen.n_ran, 1);
        check_free(A, true);
        check_free(SIBLING, true);
}
END_TEST

START_TEST(siblings_through_vfio)
{
        make_pair("");
        world_bind(&seen.world, A, "vfio-pci");
        world_bind(&seen.world, SIBLING, "vfio-pci");
        hold(A, HOLDER_VFIO);
        hold(SIBLING, HOLDER_VFIO);
        job_world_settle();
        let_go(SIBLING);
        job_world_settle();
        check_ran(0, NULL);
        check_taken(SIBLING);
        let_go(A);
        job_world_settle();
        check_ran(1, SIBLING " subordinate");
        last_is_well();
        check_free(A, true);
        check_free(SIBLING, true);
        ck_assert_uint_eq(seen.n_ran, 1);
}
END_TEST

/* One of them has a method of its own, and was done before the other was let go. */
START_TEST(siblings_of_which_one_is_done)
{
        make_pair("");
        ck_assert_int_eq(reset_method_list_parse("flr", &device_of(SIBLING)->live.methods), 0);
        lease("one", A);
        lease("two", SIBLING);
        let_go_of("two");
        check_ran(1, SIBLING " flr");
        last_is_well();
        check_free(SIBLING, true);
        let_go_of("one");
        check_ran(2, A " subordinate");
        last_is_well();
        check_free(A, true);
        check_free(SIBLING, true);
}
END_TEST

/* Whoever was not given a sibling has not been given its reset. */
START_TEST(not_beyond_what_was_given)
{
        make_pair("");
        lease("one", A);
        let_go_of("one");
        check_ran(0, NULL);
        check_put_away(A, "not-released");
        ck_assert_ptr_null(device_of(SIBLING)->quarantine);
}
END_TEST

START_TEST(not_beyond_a_rule)
{
        make_pair("");
        job_world_rule(A, &reset_on_release);
        lease("one", A);
        lease("two", SIBLING);
        let_go_of("one");
        check_ran(0, NULL);
        let_go_of("two");
        check_ran(0, NULL);
        check_put_away(A, "not-released");
        ck_assert_ptr_null(device_of(SIBLING)->quarantine);
        check_free(SIBLING, false);
}
END_TEST

/* The rule that its user was under is no more. */
START_TEST(not_by_rules_of_before)
{
        make_pair("");
        ck_assert_int_eq(reset_method_list_parse("flr", &device_of(SIBLING)->live.methods), 0);
        lease("one", A);
        lease("two", SIBLING);
        let_go_of("two");
        last_is_well();
        job_world_rule(A, &reset_on_release);
        let_go_of("one");
        check_ran(1, SIBLING " flr");
        check_put_away(A, "subordinate: not-released");
}
END_TEST

/* The next user of the sibling is waited for as the last one was. */
START_TEST(a_sibling_that_was_taken_again)
{
        make_pair("");
        ck_assert_int_eq(reset_method_list_parse("flr", &device_of(SIBLING)->live.methods), 0);
        lease("one", A);
        lease("two", SIBLING);
        let_go_of("two");
        last_is_well();
        check_free(SIBLING, true);
        lease("three", SIBLING);
        let_go_of("one");
        ck_assert_uint_eq(seen.n_ran, 1);
        check_taken(A);
        let_go_of("three");
        ck_assert_uint_ge(seen.n_ran, 2);
}
END_TEST

/* `pm` keeps much on many devices: better than nothing, if there is nothing better. */
START_TEST(pm_comes_last)
{
        make_pair("pm");
        lease("one", A);
        lease("two", SIBLING);
        let_go_of("one");
        check_ran(0, NULL);
        let_go_of("two");
        check_ran(1, A " subordinate");
        last_is(WORKER_FAILED, 25, VERDICT_UNVERIFIED);
        check_ran(2, SIBLING " subordinate");
        last_is(WORKER_FAILED, 25, VERDICT_UNVERIFIED);
        check_ran(3, A " pm");
        last_is_well();
        check_ran(4, SIBLING " pm");
        last_is_well();
        check_free(A, true);
        check_free(SIBLING, true);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("release-sets");
        TCase *tcase = tcase_create("release-sets");

        tcase_add_checked_fixture(tcase, release_bed_init, job_world_done);
        tcase_add_test(tcase, a_lease_is_one_transaction);
        tcase_add_test(tcase, a_transaction_ends_without_those_put_away);
        tcase_add_loop_test(tcase, siblings_end_in_one_reset_of_their_link, 0, (int) ELEMENTSOF(pairs));
        tcase_add_test(tcase, siblings_of_one_lease);
        tcase_add_test(tcase, siblings_through_vfio);
        tcase_add_test(tcase, siblings_of_which_one_is_done);
        tcase_add_test(tcase, not_beyond_what_was_given);
        tcase_add_test(tcase, not_beyond_a_rule);
        tcase_add_test(tcase, not_by_rules_of_before);
        tcase_add_test(tcase, a_sibling_that_was_taken_again);
        tcase_add_test(tcase, pm_comes_last);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
