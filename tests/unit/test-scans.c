/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Scans for holders: who shares which worker, and what becomes of queries when workers fail, hang or lie.
 * The workers are real processes that do what they are told (scripted-worker.c).
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/system/scans.h"
#include "shared/cleanup.h"
#include "shared/worker-protocol.h"
#include "unit.h"
#include "worker-script.h"

#define NOT_YET 1

typedef struct Asked {
        ScanQuery *query;
        int error; /* NOT_YET until it is answered */
        unsigned n_answers;
        uint32_t pid; /* of the holder of its device */
        struct Asked *cancels, *asks; /* what its handler does */
        const char *asks_for;
} Asked;

static sd_event *event;
static Scans *scans;

static void setup(void)
{
        script_begin();
        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(scans_new(event, SCRIPTED_WORKER, &scans), 0);
}

static void teardown(void)
{
        scans_free(scans);
        sd_event_unref(event);
        script_end();
}

static ScanTarget target(const char *text)
{
        ScanTarget result = {.inode = 4711, .vendor = 0x8086, .device = 0x10d3, .class = 0x020000};

        ck_assert_int_eq(pci_address_parse(text, &result.address), 0);
        return result;
}

static void on_answer(void *userdata, const WorkerScan *scan, int error);

static int ask_targets(Asked *asked, const ScanTarget *targets, size_t n, bool owners)
{
        asked->error = NOT_YET;
        asked->n_answers = 0;
        return scans_query(scans, targets, n, owners, on_answer, asked, &asked->query);
}

static int ask(Asked *asked, const char *text)
{
        ScanTarget one = target(text);

        return ask_targets(asked, &one, 1, false);
}

static void on_answer(void *userdata, const WorkerScan *scan, int error)
{
        Asked *asked = userdata;

        asked->n_answers++;
        asked->error = error;
        ck_assert(!scan == (error < 0));
        if (scan)
                asked->pid = scan->holders[0].pid;
        if (asked->cancels)
                asked->cancels->query = scan_query_cancel(asked->cancels->query);
        if (asked->asks)
                ck_assert_int_eq(ask(asked->asks, asked->asks_for), 0);
}

/* Lets happen what can happen now. */
static void settle(void)
{
        int r;

        while ((r = sd_event_run(event, 0)) > 0)
                ;
        ck_assert_int_eq(r, 0);
}

static void until_answered(const Asked *asked)
{
        while (asked->error == NOT_YET)
                ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);
}

static unsigned count_children(void)
{
        FILE *file = fopen("/proc/thread-self/children", "re");
        unsigned n = 0;
        int pid;

        ck_assert_ptr_nonnull(file);
        while (fscanf(file, "%d", &pid) == 1)
                n++;
        (void) fclose(file);
        return n;
}

START_TEST(one_query_is_answered)
{
        Asked a = {};

        ck_assert_int_eq(ask(&a, "0000:05:00.0"), 0);
        ck_assert_int_eq(a.error, NOT_YET);
        until_answered(&a);
        ck_assert_int_eq(a.error, 0);
        ck_assert_uint_eq(a.pid, 5);
        ck_assert_uint_eq(a.n_answers, 1);
}
END_TEST

START_TEST(the_same_turn_shares_a_worker)
{
        Asked a = {}, b = {}, c = {};

        ck_assert_int_eq(ask(&a, "0000:01:00.0"), 0);
        ck_assert_int_eq(ask(&b, "0000:02:00.0"), 0);
        ck_assert_int_eq(ask(&c, "0000:01:00.0"), 0);
        until_answered(&a);
        ck_assert_int_eq(b.error, 0);
        ck_assert_int_eq(c.error, 0);
        await("begin 0000:01:00.0 0000:02:00.0\n");
        ck_assert_uint_eq(said("begin"), 1);
}
END_TEST

/* What is asked while a scan runs is not answered by it, though it is for the same device. */
START_TEST(no_answer_is_older_than_its_question)
{
        Asked a = {}, b = {};

        script("gate", "0000:01:00.0");
        ck_assert_int_eq(ask(&a, "0000:01:00.0"), 0);
        settle();
        await("begin");
        ck_assert_int_eq(ask(&b, "0000:01:00.0"), 0);
        open_gate("0000:01:00.0");
        until_answered(&a);
        until_answered(&b);
        ck_assert_uint_eq(said("begin"), 2);
}
END_TEST

START_TEST(two_run_and_the_rest_is_put_together)
{
        Asked a = {}, b = {}, rest[20] = {};

        script("gate", "0000:01:00.0");
        script("gate", "0000:02:00.0");
        ck_assert_int_eq(ask(&a, "0000:01:00.0"), 0);
        settle();
        ck_assert_int_eq(ask(&b, "0000:02:00.0"), 0);
        settle();
        for (unsigned i = 0; i < ELEMENTSOF(rest); i++) {
                char text[PCI_ADDRESS_STRING_MAX];

                (void) sprintf(text, "0000:%02x:00.0", 16 + i);
                ck_assert_int_eq(ask(&rest[i], text), 0);
                settle();
        }
        ck_assert_uint_eq(count_children(), 2);
        await("begin 0000:02:00.0\n");
        open_gate("0000:02:00.0");
        until_answered(&rest[0]);
        for (unsigned i = 0; i < ELEMENTSOF(rest); i++)
                ck_assert_int_eq(rest[i].error, 0);
        ck_assert_int_eq(a.error, NOT_YET);
        ck_assert_uint_eq(said("begin"), 3);
        open_gate("0000:01:00.0");
        until_answered(&a);
}
END_TEST

START_TEST(large_queries_are_split)
{
        static ScanTarget many[WORKER_MEMBERS_MAX + 1];
        Asked a = {}, b = {}, c = {}, d = {};

        for (unsigned i = 0; i < ELEMENTSOF(many); i++) {
                many[i] = target("0000:00:00.0");
                many[i].address.domain = i;
        }
        ck_assert_int_eq(ask_targets(&a, many, ELEMENTSOF(many), false), -EINVAL);
        ck_assert_int_eq(ask_targets(&a, many, 0, false), -EINVAL);
        ck_assert_int_eq(ask_targets(&b, many, 100, false), 0);
        ck_assert_int_eq(ask_targets(&c, many + 80, 100, false), 0);
        ck_assert_int_eq(ask_targets(&d, many + 100, 28, false), 0);
        ck_assert_int_eq(ask_targets(&a, many, WORKER_MEMBERS_MAX, false), 0);
        until_answered(&a);
        until_answered(&b);
        until_answered(&c);
        until_answered(&d);
        ck_assert_int_eq(a.error, 0);
        ck_assert_int_eq(b.error, 0);
        ck_assert_int_eq(c.error, 0);
        ck_assert_int_eq(d.error, 0);
        /* The first and the third have 128 together, and the last has more by itself. */
        ck_assert_uint_eq(said("begin"), 3);
        ck_assert_uint_eq(said("0063:00:00.0"), 3);
        ck_assert_uint_eq(said("007f:00:00.0"), 3);
}
END_TEST

START_TEST(targets_are_bounded)
{
        static ScanTarget many[WORKER_MEMBERS_MAX];
        static Asked asked[SCANS_TARGETS_MAX / WORKER_MEMBERS_MAX + 1];
        Asked *last = &asked[ELEMENTSOF(asked) - 1];

        for (unsigned i = 0; i < ELEMENTSOF(many); i++) {
                many[i] = target("0000:00:00.0");
                many[i].address.domain = i;
        }
        for (unsigned i = 0; i < ELEMENTSOF(asked) - 1; i++)
                ck_assert_int_eq(ask_targets(&asked[i], many, ELEMENTSOF(many), false), 0);
        ck_assert_int_eq(ask(last, "0000:01:00.0"), -EBUSY);
        asked[0].query = scan_query_cancel(asked[0].query);
        ck_assert_int_eq(ask(last, "0000:01:00.0"), 0);
}
END_TEST

/* Two workers at the same disk would each take the other for a user. */
START_TEST(a_device_is_looked_at_by_one_worker)
{
        ScanTarget both[] = {target("0000:01:00.0"), target("0000:02:00.0")};
        Asked a = {}, b = {}, c = {}, d = {};

        script("gate", "0000:01:00.0");
        ck_assert_int_eq(ask(&a, "0000:01:00.0"), 0);
        settle();
        ck_assert_int_eq(ask_targets(&b, both, 2, false), 0);
        settle();
        ck_assert_uint_eq(count_children(), 1);
        /* Whoever came later does not take from the one that waits what it waits for. */
        ck_assert_int_eq(ask(&c, "0000:02:00.0"), 0);
        settle();
        ck_assert_uint_eq(count_children(), 1);
        ck_assert_int_eq(ask(&d, "0000:03:00.0"), 0);
        until_answered(&d);
        ck_assert_int_eq(d.error, 0);
        ck_assert_int_eq(a.error, NOT_YET);
        ck_assert_int_eq(c.error, NOT_YET);
        await("begin 0000:01:00.0\n");
        open_gate("0000:01:00.0");
        until_answered(&a);
        until_answered(&b);
        until_answered(&c);
        ck_assert_int_eq(a.error | b.error | c.error, 0);
        ck_assert_uint_eq(said("begin"), 3);
}
END_TEST

static unsigned n_begun, n_ended;
static uint32_t begun_jobs[8];

static void on_begun(void *userdata, uint32_t job, const WorkerMember *members, size_t n)
{
        ck_assert_uint_gt(n, 0);
        begun_jobs[n_begun++] = job;
}

static void on_ended(void *userdata, uint32_t job)
{
        Asked *asked = userdata;

        /* Before the answer. */
        ck_assert_int_eq(asked->error, NOT_YET);
        ck_assert_uint_eq(job, begun_jobs[n_ended++]);
}

START_TEST(each_scan_is_told_of)
{
        static const int errors[] = {0, -EIO, -EPIPE, -ETIMEDOUT};
        Asked a = {};
        const ScansListener listener = {.begun = on_begun, .ended = on_ended, .userdata = &a};

        scans_set_listener(scans, &listener);
        script("fail", "0000:02:00.0");
        script("die", "0000:03:00.0");
        script("gate", "0000:04:00.0");
        for (unsigned i = 0; i < ELEMENTSOF(errors); i++) {
                char text[PCI_ADDRESS_STRING_MAX];

                (void) sprintf(text, "0000:%02x:00.0", i + 1);
                if (i == 3)
                        scans_set_patience(scans, 1);
                ck_assert_int_eq(ask(&a, text), 0);
                until_answered(&a);
                ck_assert_int_eq(a.error, errors[i]);
                ck_assert_uint_eq(n_begun, i + 1);
                ck_assert_uint_eq(n_ended, i + 1);
                for (unsigned k = 0; k < i; k++)
                        ck_assert_uint_ne(begun_jobs[k], begun_jobs[i]);
        }
        scans_set_listener(scans, NULL);
}
END_TEST

START_TEST(an_address_twice_is_refused)
{
        ScanTarget twice[] = {target("0000:01:00.0"), target("0000:02:00.0"), target("0000:01:00.0")};
        Asked a = {};

        ck_assert_int_eq(ask_targets(&a, twice, ELEMENTSOF(twice), false), -EINVAL);
}
END_TEST

/* Another device at the same address is another question. */
START_TEST(a_successor_is_not_merged)
{
        ScanTarget old = target("0000:01:00.0"), new = old;
        Asked a = {}, b = {};

        new.inode++;
        ck_assert_int_eq(ask_targets(&a, &old, 1, false), 0);
        ck_assert_int_eq(ask_targets(&b, &new, 1, false), 0);
        until_answered(&a);
        until_answered(&b);
        ck_assert_uint_eq(said("begin"), 2);
}
END_TEST

START_TEST(owners_do_not_hold_up_others)
{
        ScanTarget one = target("0000:01:00.0");
        Asked a = {}, b = {}, c = {}, d = {};

        script("gate", "0000:01:00.0");
        ck_assert_int_eq(ask_targets(&a, &one, 1, true), 0);
        settle();
        ck_assert_int_eq(ask_targets(&b, &one, 1, true), 0);
        ck_assert_int_eq(ask(&c, "0000:02:00.0"), 0);
        ck_assert_int_eq(ask(&d, "0000:03:00.0"), 0);
        until_answered(&c);
        until_answered(&d);
        ck_assert_int_eq(a.error, NOT_YET);
        await("begin 0000:01:00.0 owners\n");
        await("begin 0000:02:00.0 0000:03:00.0\n");
        ck_assert_uint_eq(said("owners"), 1);
        open_gate("0000:01:00.0");
        until_answered(&a);
        until_answered(&b);
        ck_assert_uint_eq(said("owners"), 2);
}
END_TEST

static const struct {
        const char *what;
        int error;
} faults[] = {
        {"fail", -EIO}, {"die", -EPIPE}, {"nonsense", -EBADMSG}, {"lie", -EBADMSG}, {"result", -EBADMSG},
};

/* Those who shared the worker get their answers all the same. */
START_TEST(a_fault_is_only_that_device_s)
{
        Asked a = {}, b = {}, c = {};

        script(faults[_i].what, "0000:02:00.0");
        ck_assert_int_eq(ask(&a, "0000:01:00.0"), 0);
        ck_assert_int_eq(ask(&b, "0000:02:00.0"), 0);
        ck_assert_int_eq(ask(&c, "0000:03:00.0"), 0);
        until_answered(&a);
        until_answered(&b);
        until_answered(&c);
        ck_assert_int_eq(a.error, 0);
        ck_assert_int_eq(b.error, faults[_i].error);
        ck_assert_int_eq(c.error, 0);
        ck_assert_uint_eq(a.pid, 1);
        ck_assert_uint_eq(c.pid, 3);
        ck_assert_uint_eq(said("begin"), 4);
}
END_TEST

START_TEST(a_program_that_is_not_there_fails)
{
        Asked a = {};

        scans_free(scans);
        ck_assert_int_eq(scans_new(event, "/nonexistent/worker", &scans), 0);
        ck_assert_int_eq(ask(&a, "0000:01:00.0"), 0);
        until_answered(&a);
        ck_assert_int_lt(a.error, 0);
}
END_TEST

START_TEST(patience_ends)
{
        Asked a = {}, b = {}, c = {};

        script("gate", "0000:01:00.0");
        scans_set_patience(scans, 1);
        ck_assert_int_eq(ask(&a, "0000:01:00.0"), 0);
        until_answered(&a);
        ck_assert_int_eq(a.error, -ETIMEDOUT);

        /* It is still stuck with that device; nobody is sent after it. */
        scans_set_patience(scans, SCANS_PATIENCE_USEC);
        ck_assert_int_eq(ask(&b, "0000:01:00.0"), -EBUSY);
        ck_assert_int_eq(ask(&c, "0000:02:00.0"), 0);
        until_answered(&c);
        ck_assert_int_eq(c.error, 0);

        /* Its end opens the way again, and what it says so late is for nobody. */
        await("begin 0000:01:00.0\n");
        open_gate("0000:01:00.0");
        while (ask(&b, "0000:01:00.0") == -EBUSY)
                ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);
        until_answered(&b);
        ck_assert_int_eq(b.error, 0);
        ck_assert_uint_eq(a.n_answers, 1);
}
END_TEST

/* Who shares a worker with a device that hangs is answered by another. */
START_TEST(a_hang_is_only_that_device_s)
{
        Asked a = {}, b = {};

        script("gate", "0000:02:00.0");
        scans_set_patience(scans, 1);
        ck_assert_int_eq(ask(&a, "0000:01:00.0"), 0);
        ck_assert_int_eq(ask(&b, "0000:02:00.0"), 0);
        while (count_children() == 0)
                ck_assert_int_ge(sd_event_run(event, 0), 0);
        scans_set_patience(scans, SCANS_PATIENCE_USEC);
        until_answered(&a);
        ck_assert_int_eq(a.error, 0);
        ck_assert_int_eq(b.error, NOT_YET);
        await("begin 0000:01:00.0 0000:02:00.0\n");
        await("begin 0000:01:00.0\n");
        open_gate("0000:02:00.0");
        until_answered(&b);
        ck_assert_int_eq(b.error, 0);
        ck_assert_uint_eq(a.n_answers, 1);
}
END_TEST

START_TEST(abandoned_workers_are_bounded)
{
        Asked stuck[SCANS_ABANDONED_MAX] = {}, a = {};
        ScanTarget one = target("0000:40:00.0");

        scans_set_patience(scans, 1);
        for (unsigned i = 0; i < ELEMENTSOF(stuck); i++) {
                char text[PCI_ADDRESS_STRING_MAX];

                (void) sprintf(text, "0000:%02x:00.0", 16 + i);
                script("gate", text);
                ck_assert_int_eq(ask(&stuck[i], text), 0);
                until_answered(&stuck[i]);
                ck_assert_int_eq(stuck[i].error, -ETIMEDOUT);
        }
        scans_set_patience(scans, SCANS_PATIENCE_USEC);
        ck_assert_int_eq(ask(&a, "0000:40:00.0"), -EBUSY);
        /* Questions for owners are counted by themselves. */
        ck_assert_int_eq(ask_targets(&a, &one, 1, true), 0);
        until_answered(&a);
        ck_assert_int_eq(a.error, 0);

        await("begin 0000:13:00.0\n");
        open_gate("0000:13:00.0");
        while (ask(&a, "0000:40:00.0") == -EBUSY)
                ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);
        until_answered(&a);
        ck_assert_int_eq(a.error, 0);
}
END_TEST

START_TEST(queries_are_bounded)
{
        static Asked many[SCANS_QUERIES_MAX + 1];

        for (unsigned i = 0; i < SCANS_QUERIES_MAX; i++)
                ck_assert_int_eq(ask(&many[i], "0000:01:00.0"), 0);
        ck_assert_int_eq(ask(&many[SCANS_QUERIES_MAX], "0000:01:00.0"), -EBUSY);
        many[7].query = scan_query_cancel(many[7].query);
        ck_assert_int_eq(ask(&many[SCANS_QUERIES_MAX], "0000:01:00.0"), 0);
        until_answered(&many[SCANS_QUERIES_MAX]);
        ck_assert_uint_eq(many[7].n_answers, 0);
        ck_assert_uint_eq(said("begin"), 1);
        ck_assert_int_eq(ask(&many[0], "0000:01:00.0"), 0);
}
END_TEST

START_TEST(a_cancelled_query_is_not_answered)
{
        Asked waits = {}, runs = {}, other = {};

        ck_assert_int_eq(ask(&waits, "0000:01:00.0"), 0);
        waits.query = scan_query_cancel(waits.query);
        settle();
        ck_assert_uint_eq(count_children(), 0);

        script("gate", "0000:01:00.0");
        ck_assert_int_eq(ask(&runs, "0000:01:00.0"), 0);
        ck_assert_int_eq(ask(&other, "0000:01:00.0"), 0);
        settle();
        ck_assert_uint_eq(count_children(), 1);
        await("begin");
        runs.query = scan_query_cancel(runs.query);
        open_gate("0000:01:00.0");
        until_answered(&other);
        ck_assert_uint_eq(waits.n_answers + runs.n_answers, 0);
        ck_assert_ptr_null(scan_query_cancel(NULL));
}
END_TEST

START_TEST(handlers_may_ask_and_cancel)
{
        Asked a = {}, b = {}, c = {};

        a.cancels = &b;
        a.asks = &c;
        a.asks_for = "0000:03:00.0";
        c.error = NOT_YET;
        ck_assert_int_eq(ask(&a, "0000:01:00.0"), 0);
        ck_assert_int_eq(ask(&b, "0000:02:00.0"), 0);
        until_answered(&a);
        until_answered(&c);
        ck_assert_int_eq(c.error, 0);
        ck_assert_uint_eq(b.n_answers, 0);
}
END_TEST

START_TEST(the_service_may_end_at_any_time)
{
        Asked a = {}, b = {}, c = {};

        script("gate", "0000:01:00.0");
        ck_assert_int_eq(ask(&a, "0000:01:00.0"), 0);
        settle();
        ck_assert_int_eq(ask(&b, "0000:02:00.0"), 0);
        ck_assert_int_eq(ask(&c, "0000:02:00.0"), 0);
        await("begin 0000:01:00.0\n");
        scans = scans_free(scans);
        open_gate("0000:01:00.0");
        await("end\n");
        ck_assert_uint_eq(a.n_answers + b.n_answers + c.n_answers, 0);
}
END_TEST

static Suite *scans_suite(void)
{
        Suite *suite = suite_create("scans");
        TCase *tcase = tcase_create("scans");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_set_timeout(tcase, 60);
        tcase_add_test(tcase, one_query_is_answered);
        tcase_add_test(tcase, the_same_turn_shares_a_worker);
        tcase_add_test(tcase, no_answer_is_older_than_its_question);
        tcase_add_test(tcase, two_run_and_the_rest_is_put_together);
        tcase_add_test(tcase, large_queries_are_split);
        tcase_add_test(tcase, targets_are_bounded);
        tcase_add_test(tcase, a_device_is_looked_at_by_one_worker);
        tcase_add_test(tcase, each_scan_is_told_of);
        tcase_add_test(tcase, an_address_twice_is_refused);
        tcase_add_test(tcase, a_successor_is_not_merged);
        tcase_add_test(tcase, owners_do_not_hold_up_others);
        tcase_add_loop_test(tcase, a_fault_is_only_that_device_s, 0, (int) ELEMENTSOF(faults));
        tcase_add_test(tcase, a_program_that_is_not_there_fails);
        tcase_add_test(tcase, patience_ends);
        tcase_add_test(tcase, a_hang_is_only_that_device_s);
        tcase_add_test(tcase, abandoned_workers_are_bounded);
        tcase_add_test(tcase, queries_are_bounded);
        tcase_add_test(tcase, a_cancelled_query_is_not_answered);
        tcase_add_test(tcase, handlers_may_ask_and_cancel);
        tcase_add_test(tcase, the_service_may_end_at_any_time);
        suite_add_tcase(suite, tcase);
        return suite;
}

int main(void)
{
        return unit_run(scans_suite());
}
