/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * That the worker's own doings are not taken for use, and nothing else is missed for that.
 *
 * The heart of it is a machine of one device, one user and a worker: each notice makes the worker look
 * again, as the daemon does, and the worker opens the node itself. Whenever the user opens or closes the
 * node, in the end the last look must have seen how things are, and there must be an end.
 */

#include <errno.h>

#include "watch-bed.h"

typedef enum Point {
        BEFORE_BEGIN,
        AFTER_BEGIN,
        BEFORE_CLAIM,
        DURING_CLAIM,
        AFTER_CLAIM,
        BEFORE_FENCE,
        AFTER_FENCE,
        AFTER_LOOK,
        AFTER_END,
        AFTER_SET,
        POINTS,
} Point;

static uint32_t last_job = 100;
static int user = -EBADF; /* has the node open */
static bool user_claims; /* exclusively, so that the worker's claim fails, */
static bool is_mount; /* by a mount in a namespace of his own */
static bool seen_user, seen_claim; /* by the last look */
static unsigned n_scans;
static Point act_at;
static void (*act)(void);

static void at(Point point)
{
        if (!act || point != act_at)
                return;
        act();
        act = NULL;
}

static void user_opens(void)
{
        user = open_node("disk");
}

static void user_closes(void)
{
        ck_assert_int_eq(close(user), 0);
        user = -EBADF;
}

static void user_comes_and_goes(void)
{
        user_opens();
        user_closes();
}

static void scan_once(void)
{
        WorkerMember member = {.address = device};
        uint32_t job = ++last_job;
        Answer answer;
        int fd;

        n_scans++;
        at(BEFORE_BEGIN);
        watch_scan_begun(watch, job, &member, 1);
        at(AFTER_BEGIN);
        answer_begin(&answer, &device);
        answer_add_node(&answer, "disk");
        answer_add_node(&answer, "part");
        at(BEFORE_CLAIM);
        seen_claim = user >= 0 && user_claims;
        /* The worker's: if the disk cannot be claimed it tries the partition. */
        fd = open_node(seen_claim ? "part" : "disk");
        at(DURING_CLAIM);
        (void) close(fd);
        at(AFTER_CLAIM);
        if (seen_claim) {
                answer_add_holder(&answer, is_mount ? HOLDER_MOUNT : HOLDER_BLOCK, 0);
                answer.holders[0].silent = true;
        }
        at(BEFORE_FENCE);
        raise_fence(job);
        at(AFTER_FENCE);
        seen_user = user >= 0;
        if (seen_user)
                answer_add_holder(&answer, HOLDER_PROCESS, getpid());
        at(AFTER_LOOK);
        watch_scan_ended(watch, job);
        at(AFTER_END);
        set(&answer);
        at(AFTER_SET);
}

static void begin_machine(void)
{
        make_node("disk");
        make_node("part");
        reaction = scan_once;
}

static void check_machine(void)
{
        settle();
        ck_assert(!act);
        ck_assert(seen_user == (user >= 0));
        ck_assert(seen_claim == (user >= 0 && user_claims));
        ck_assert_uint_eq(HASH_COUNT(watch->windows), 0);
        ck_assert(!is_armed());
}

START_TEST(a_quiet_machine_is_quiet)
{
        begin_machine();
        scan_once();
        check_machine();
        /* Once for the question, and once since the nodes were new. */
        ck_assert_uint_eq(n_scans, 2);
        scan_once();
        check_machine();
        ck_assert_uint_eq(n_scans, 3);

        user_opens();
        check_machine();
        /* Where there is a new holder there is one more. */
        ck_assert_uint_eq(n_scans, 5);
        user_closes();
        check_machine();
        ck_assert_uint_eq(n_scans, 6);
}
END_TEST

static const struct {
        void (*act)(void);
        bool open_before;
} acts[] = {
        {user_opens, false},
        {user_closes, true},
        {user_comes_and_goes, false},
};

/* Indexed by the point, what happens there, how the user claims, and whether the node is known before. */
#define CLAIMS   3U
#define MACHINES ((int) (POINTS * ELEMENTSOF(acts) * CLAIMS * 2))

START_TEST(nothing_is_missed_during_a_scan)
{
        unsigned i = (unsigned) _i;

        begin_machine();
        act_at = (Point) (i % POINTS);
        i /= POINTS;
        if (acts[i % ELEMENTSOF(acts)].open_before)
                user_opens();
        user_claims = i / ELEMENTSOF(acts) % CLAIMS > 0;
        is_mount = i / ELEMENTSOF(acts) % CLAIMS > 1;
        if (i / ELEMENTSOF(acts) / CLAIMS) {
                scan_once();
                check_machine();
        }
        act = acts[i % ELEMENTSOF(acts)].act;
        scan_once();
        check_machine();
        ck_assert_uint_lt(n_scans, 10);
}
END_TEST

/* Another scan of the device is under way, and claims its node after the first one's fence. */
START_TEST(scans_may_overlap)
{
        WorkerMember member = {.address = device};
        unsigned before;

        begin_machine();
        scan_once();
        check_machine();
        before = n_scans;
        watch_scan_begun(watch, 1, &member, 1);
        watch_scan_begun(watch, 2, &member, 1);
        user_comes_and_goes();
        raise_fence(1);
        user_comes_and_goes();
        settle();
        watch_scan_ended(watch, 1);
        settle();
        ck_assert_uint_eq(n_scans, before);
        raise_fence(2);
        user_opens();
        watch_scan_ended(watch, 2);
        check_machine();
        ck_assert_uint_gt(n_scans, before);
}
END_TEST

/* The one that looked first answers last, and has not seen who came between the two looks. */
START_TEST(an_answer_may_be_overtaken)
{
        WorkerMember member = {.address = device};
        unsigned before;

        begin_machine();
        scan_once();
        check_machine();
        before = n_scans;
        watch_scan_begun(watch, 1, &member, 1);
        watch_scan_begun(watch, 2, &member, 1);
        raise_fence(1);
        user_opens();
        raise_fence(2);
        settle();
        watch_scan_ended(watch, 2);
        settle();
        ck_assert_uint_eq(n_scans, before);
        watch_scan_ended(watch, 1);
        seen_user = false;
        check_machine();
        ck_assert_uint_gt(n_scans, before);
}
END_TEST

/* A worker that was given up has no say any more, nor have others' fences. */
START_TEST(a_scan_without_a_fence_ends_all_the_same)
{
        WorkerMember member = {.address = device};

        begin_machine();
        scan_once();
        check_machine();
        watch_scan_begun(watch, 1, &member, 1);
        raise_fence(7);
        watch_scan_ended(watch, 1);
        watch_scan_ended(watch, 1);
        raise_fence(1);
        user_opens();
        check_machine();
}
END_TEST

static Suite *watch_suite(void)
{
        Suite *suite = suite_create("watch");
        TCase *tcase = tcase_create("watch");

        tcase_add_checked_fixture(tcase, watch_bed_setup, watch_bed_teardown);
        tcase_set_timeout(tcase, 30);
        tcase_add_test(tcase, a_quiet_machine_is_quiet);
        tcase_add_loop_test(tcase, nothing_is_missed_during_a_scan, 0, MACHINES);
        tcase_add_test(tcase, scans_may_overlap);
        tcase_add_test(tcase, an_answer_may_be_overtaken);
        tcase_add_test(tcase, a_scan_without_a_fence_ends_all_the_same);
        suite_add_tcase(suite, tcase);
        return suite;
}

int main(void)
{
        return unit_run(watch_suite());
}
