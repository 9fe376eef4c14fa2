/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What becomes of a job whose reset took devices away of which not all came back, or others.
 */

#include <string.h>

#include "job-world.h"
#include "unit.h"

#define A  "0000:01:00.0"
#define A1 "0000:01:00.1"

static void check_error(ResetError error)
{
        ck_assert_str_eq(reset_error_to_string(seen.error), reset_error_to_string(error));
}

static const char *const ladder[] = {"slot", "subordinate"};

/* A card of two functions whose ladder has these two rungs; the first one runs. */
static void start(void)
{
        world_add(&seen.world, A1, "0000:00:01.0", "", "flr");
        world_offer_all(&seen.world, A, "7");
        world_find(&seen.world, A)->parent->facts.can_reset_subordinate = true;
        world_bind(&seen.world, A, "pciback");
        world_bind(&seen.world, A1, "pciback");
        world_find(&seen.world, A)->live.methods.n = 0;
        submit(A, "link");
        answer(GRANT_YES);
        ck_assert_str_eq(seen.ran[0], A " slot");
        unplug(A);
        unplug(A1);
}

static void comes_back(const char *address)
{
        world_add(&seen.world, address, "0000:00:01.0", "pciback", "");
}

static ProvenFacts proven_slot(void)
{
        return proven_get(seen.proven, 0x8086, 0x10d3, ladder[0]);
}

/* Nobody asks for a further rung. */
static void check_end(ResetError error)
{
        ck_assert_uint_eq(seen.finished, 1);
        ck_assert_uint_eq(seen.n_asked, 1);
        check_error(error);
}

START_TEST(all_come_back)
{
        start();
        comes_back(A);
        comes_back(A1);
        worker_says(0, WORKER_DONE, 0, VERDICT_DEGRADED);
        answer(GRANT_YES);
        ck_assert_str_eq(seen.ran[1], A " subordinate");
        worker_says(1, WORKER_DONE, 0, VERDICT_OK);
        check_error(RESET_OK);
}
END_TEST

START_TEST(nobody_comes_back)
{
        start();
        worker_says(0, WORKER_DONE, 0, VERDICT_DEAD);
        check_end(RESET_DEVICE_DEAD);
        /* That is worth knowing of this method, too. */
        ck_assert_uint_eq(proven_slot().tries, 1);
        ck_assert_uint_eq(proven_slot().dead, 1);
}
END_TEST

/* A smaller set would succeed, and nobody would hear of the other one. */
START_TEST(the_sibling_does_not)
{
        start();
        comes_back(A);
        worker_says(0, WORKER_DONE, 0, VERDICT_DEAD);
        check_end(RESET_DEVICE_DEAD);
        ck_assert_str_eq(world_find(&seen.world, A)->last_reset.verdict, "dead");
}
END_TEST

START_TEST(a_stranger_does)
{
        DeviceFacts facts;

        start();
        comes_back(A1);
        comes_back(A);
        facts = world_find(&seen.world, A)->facts;
        unplug(A);
        facts.inode = ++seen.world.last_inode;
        facts.device++;
        ck_assert_int_eq(registry_apply(seen.world.registry, &facts), 0);
        worker_says(0, WORKER_DONE, 0, VERDICT_DEGRADED);
        check_end(RESET_DEVICE_GONE);
        ck_assert(!world_find(&seen.world, A)->last_reset.valid);
        ck_assert_uint_eq(proven_slot().tries, 1);
        ck_assert_uint_eq(proven_get(seen.proven, 0x8086, 0x10d4, ladder[0]).tries, 0);
}
END_TEST

START_TEST(a_stranger_for_the_sibling)
{
        DeviceFacts facts;

        start();
        comes_back(A1);
        comes_back(A);
        facts = world_find(&seen.world, A1)->facts;
        unplug(A1);
        facts.inode = ++seen.world.last_inode;
        facts.vendor++;
        ck_assert_int_eq(registry_apply(seen.world.registry, &facts), 0);
        worker_says(0, WORKER_DONE, 0, VERDICT_DEGRADED);
        check_end(RESET_FAILED);
}
END_TEST

/* It was not this job's reset that took it. */
START_TEST(nothing_was_written)
{
        start();
        comes_back(A);
        worker_refuses(0, WORKER_WHY_NO_SLOT);
        answer(GRANT_YES);
        ck_assert_str_eq(seen.ran[1], A " subordinate");
        worker_says(1, WORKER_DONE, 0, VERDICT_OK);
        check_error(RESET_OK);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("jobs-lost");
        TCase *tcase = tcase_create("lost");

        tcase_add_checked_fixture(tcase, job_world_init, job_world_done);
        tcase_add_test(tcase, all_come_back);
        tcase_add_test(tcase, nobody_comes_back);
        tcase_add_test(tcase, the_sibling_does_not);
        tcase_add_test(tcase, a_stranger_does);
        tcase_add_test(tcase, a_stranger_for_the_sibling);
        tcase_add_test(tcase, nothing_was_written);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
