/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Who goes into quarantine and who comes out: by what a worker has found, and by hand.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "job-world.h"
#include "unit.h"

#define A       "0000:01:00.0"
#define B       "0000:02:00.0"
#define SIBLING "0000:01:00.1"

static struct {
        unsigned n[QUARANTINE_DROPPED + 1];
        QuarantineRecord last;
} told;

static void on_event(void *userdata, const QuarantineRecord *record, QuarantineEvent event)
{
        told.n[event]++;
        told.last = *record;
}

static void setup(void)
{
        const QuarantineListener listener = {.event = on_event};

        job_world_init();
        memset(&told, 0, sizeof(told));
        quarantines_set_listener(seen.quarantines, &listener);
}

static const Quarantine *quarantine_of(const char *address)
{
        return world_find(&seen.world, address)->quarantine;
}

static void check_state(const char *address, const char *state)
{
        ck_assert_str_eq(device_state_to_string(device_state(world_find(&seen.world, address))), state);
}

static void put_in(const char *address, const char *reason)
{
        QuarantineRecord record = {.cause = QUARANTINE_REQUESTED, .uid = 7};

        (void) snprintf(record.reason, sizeof(record.reason), "%s", reason);
        ck_assert_int_eq(quarantines_begin(seen.quarantines, world_find(&seen.world, address), &record, 0),
                         0);
}

typedef struct Found {
        const char *address, *check;
        CheckResult result;
} Found;

/* The worker has looked, and this is what it found; the verdict follows from that. */
static void worker_finds(size_t i, WorkerOutcome outcome, const Found *found, size_t n)
{
        WorkerResult *result = calloc(1, sizeof(WorkerResult));

        ck_assert_ptr_nonnull(result);
        result->outcome = outcome;
        result->written = outcome == WORKER_DONE || outcome == WORKER_FAILED;
        result->verdict = outcome == WORKER_DONE ? VERDICT_OK : VERDICT_UNVERIFIED;
        result->checks = calloc(n, sizeof(WorkerCheck));
        result->n_checks = n;
        for (size_t k = 0; k < n; k++) {
                WorkerCheck *check = &result->checks[k];

                *check = (WorkerCheck){.device = at(found[k].address), .result = found[k].result};
                (void) snprintf(check->check, sizeof(check->check), "%s", found[k].check);
                (void) snprintf(check->before, sizeof(check->before), "old");
                (void) snprintf(check->after, sizeof(check->after), "new");
                if (check->result == CHECK_FAILED && strcmp(check->check, "answers") == 0)
                        result->verdict = VERDICT_DEAD;
                else if (check->result == CHECK_FAILED && result->verdict != VERDICT_DEAD)
                        result->verdict = VERDICT_DEGRADED;
        }
        job_worker_done(seen.running[i], result);
}

static const Found dead[] = {{A, "aer", CHECK_OK}, {A, "answers", CHECK_FAILED}};
static const Found degraded[] = {{A, "answers", CHECK_OK}, {A, "bars", CHECK_FAILED}};
static const Found well[] = {{A, "answers", CHECK_OK}, {A, "bars", CHECK_OK}};

static void reset_finds(const char *method, WorkerOutcome outcome, const Found *found, size_t n)
{
        submit(A, method);
        answer(GRANT_YES);
        worker_finds(seen.n_ran - 1, outcome, found, n);
}

/* ---- in, by a reset ---- */

static const struct {
        const Found *found;
        size_t n;
        WorkerOutcome outcome;
        const char *cause, *reason, *method; /* NULL: not in */
} cases[] = {
        {dead, 2, WORKER_DONE, "dead", "it does not answer after a reset by flr", "flr"},
        {dead, 2, WORKER_FAILED, "dead", "it does not answer after a reset by flr", "flr"},
        {dead, 2, WORKER_REFUSED, "dead", "it does not answer any more", ""},
        {degraded, 2, WORKER_DONE, "degraded",
         "a reset by flr has left it changed: bars was 'old' and is 'new'", "flr"},
        {degraded, 2, WORKER_FAILED, "degraded",
         "a reset by flr has left it changed: bars was 'old' and is 'new'", "flr"},
        {well, 2, WORKER_DONE, NULL, NULL, NULL},
        {well, 2, WORKER_FAILED, NULL, NULL, NULL},
        {well, 0, WORKER_REFUSED, NULL, NULL, NULL},
};

START_TEST(the_verdict_decides)
{
        const Quarantine *quarantine;

        reset_finds("flr", cases[_i].outcome, cases[_i].found, cases[_i].n);
        quarantine = quarantine_of(A);
        ck_assert_uint_eq(told.n[QUARANTINE_BEGUN], cases[_i].cause != NULL);
        if (!cases[_i].cause) {
                ck_assert_ptr_null(quarantine);
                check_state(A, "idle");
                return;
        }
        ck_assert_ptr_nonnull(quarantine);
        ck_assert_str_eq(quarantine_cause_to_string(quarantine->record.cause), cases[_i].cause);
        ck_assert_str_eq(quarantine->record.reason, cases[_i].reason);
        ck_assert_str_eq(quarantine->record.method, cases[_i].method);
        ck_assert_uint_eq(quarantine->record.uid, 1001);
        ck_assert_uint_eq(quarantine->record.since, 1);
        /* The failed one first. */
        ck_assert_uint_eq(quarantine->record.n_checks, 2);
        ck_assert_int_eq(quarantine->record.checks[0].result, CHECK_FAILED);
        check_state(A, "quarantined");
        check_state(B, "idle");
}
END_TEST

START_TEST(each_member_by_itself)
{
        static const Found one_of_two[] = {{A, "answers", CHECK_OK}, {SIBLING, "answers", CHECK_FAILED}};

        world_add(&seen.world, SIBLING, "0000:00:01.0", "", "flr");
        world_offer_all(&seen.world, A, "1");
        submit(A, "subordinate");
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_ran, 1);
        worker_finds(0, WORKER_DONE, one_of_two, 2);
        check_state(A, "idle");
        check_state(SIBLING, "quarantined");
        ck_assert_int_eq(seen.error, RESET_DEVICE_DEAD);
        /* What lies beside it is not to be reset together with it. */
        submit(A, "flr");
        ck_assert_uint_eq(only_job()->actions, ACTION_RESET);
        answer(GRANT_NO);
        ck_assert_int_eq(seen.error, RESET_ACCESS_DENIED);
        submit(A, "subordinate");
        ck_assert_uint_eq(only_job()->actions, ACTION_QUARANTINE | ACTION_RESET_SHARED);
        answer(GRANT_NO);
        ck_assert_int_eq(seen.error, RESET_QUARANTINED);
}
END_TEST

START_TEST(a_worker_that_dies_says_nothing)
{
        submit(A, "flr");
        answer(GRANT_YES);
        job_worker_done(seen.running[0], NULL);
        ck_assert_ptr_null(quarantine_of(A));
}
END_TEST

/* The same job goes on without being asked for what it has found itself; another one is. */
START_TEST(the_ladder_goes_on)
{
        submit(A, "function");
        answer(GRANT_YES);
        submit_as(1002, A, "flr", false, false);
        answer(GRANT_YES); /* it waits for the first */
        ck_assert_uint_eq(seen.n_ran, 1);
        worker_finds(0, WORKER_DONE, degraded, 2);
        check_state(A, "quarantined");
        ck_assert_uint_eq(told.n[QUARANTINE_BEGUN], 1);

        /* Both are asked about anew: the one for its next method, the other since it is quarantined. */
        for (size_t i = 2; i < seen.n_asked; i++)
                if (seen.asked[i]->request.uid == 1001)
                        ck_assert_uint_eq(seen.asked[i]->actions, ACTION_RESET);
                else
                        ck_assert_uint_eq(seen.asked[i]->actions, ACTION_QUARANTINE);
        ck_assert_uint_eq(seen.n_asked, 4);
        for (size_t i = 2; i < 4; i++)
                job_authorized(seen.asked[i], seen.asked[i]->request.uid == 1001 ? GRANT_YES : GRANT_NO);
        ck_assert_int_eq(seen.error, RESET_QUARANTINED);
        ck_assert_uint_eq(seen.n_ran, 2);
        worker_finds(1, WORKER_DONE, well, 2);
        ck_assert_int_eq(seen.error, RESET_OK);
        ck_assert_uint_eq(told.n[QUARANTINE_PROVED_WELL], 1);
        check_state(A, "idle");
}
END_TEST

/* ---- a reset of what is in ---- */

static const struct {
        Grant grant;
        ResetError error;
} refusals[] = {
        {GRANT_NO, RESET_QUARANTINED},
        {GRANT_CHALLENGE, RESET_QUARANTINED},
        {GRANT_DISMISSED, RESET_QUARANTINED},
        {GRANT_FAILED, RESET_ACCESS_DENIED},
};

START_TEST(refused_without_the_right)
{
        put_in(A, "smokes");
        submit(A, "flr");
        ck_assert_uint_eq(only_job()->actions, ACTION_QUARANTINE);
        answer(refusals[_i].grant);
        check_refused(refusals[_i].error);
        check_state(A, "quarantined");
}
END_TEST

START_TEST(a_lease_is_no_right)
{
        put_in(A, "smokes");
        ck_assert_int_eq(world_claim(&seen.world, seen.claims, "aaaaaaaaaaaa", CLAIM_LEASE, 1001, A), 0);
        submit(A, "flr");
        ck_assert_uint_eq(only_job()->actions, ACTION_QUARANTINE);
        answer(GRANT_NO);
        check_refused(RESET_QUARANTINED);
}
END_TEST

START_TEST(lifted_by_proof)
{
        put_in(A, "smokes");
        reset_finds("flr", WORKER_DONE, well, 2);
        ck_assert_ptr_null(quarantine_of(A));
        ck_assert_uint_eq(told.n[QUARANTINE_PROVED_WELL], 1);
        ck_assert_str_eq(told.last.reason, "smokes");
        check_state(A, "idle");
}
END_TEST

START_TEST(not_lifted_without)
{
        put_in(A, "smokes");
        reset_finds("flr", _i == 0 ? WORKER_FAILED : WORKER_DONE, _i == 0 ? well : degraded, 2);
        ck_assert_ptr_nonnull(quarantine_of(A));
        /* The first reason stays. */
        ck_assert_str_eq(quarantine_of(A)->record.reason, "smokes");
        ck_assert_uint_eq(told.n[QUARANTINE_PROVED_WELL], 0);
}
END_TEST

/* Whoever was allowed to reset a device was not allowed to end what somebody has begun since. */
START_TEST(not_lifted_by_a_reset_that_had_begun)
{
        submit(A, "flr");
        answer(GRANT_YES);
        put_in(A, "smokes");
        check_state(A, "resetting");
        worker_finds(0, WORKER_DONE, well, 2);
        ck_assert_int_eq(seen.error, RESET_OK);
        check_state(A, "quarantined");
}
END_TEST

static void take_out(const char *address)
{
        ck_assert_int_eq(
                quarantines_end(seen.quarantines, world_find(&seen.world, address), QUARANTINE_RELEASED), 0);
}

/* Nor was he for the next quarantine, which somebody has begun in the middle of that reset. */
START_TEST(not_lifted_after_an_exchange)
{
        put_in(A, "smokes");
        submit(A, "flr");
        answer(GRANT_YES);
        check_state(A, "resetting");
        take_out(A);
        put_in(A, "smokes");
        worker_finds(0, WORKER_DONE, well, 2);
        ck_assert_int_eq(seen.error, RESET_OK);
        check_state(A, "quarantined");
        ck_assert_uint_eq(told.n[QUARANTINE_PROVED_WELL], 0);
        /* Whoever is allowed for that one lifts it. */
        reset_finds("flr", WORKER_DONE, well, 2);
        check_state(A, "idle");
}
END_TEST

/* And what was said of one device says nothing of the one beside it. */
START_TEST(not_lifted_beside_another_one)
{
        world_add(&seen.world, SIBLING, "0000:00:01.0", "", "flr");
        world_offer_all(&seen.world, A, "7");
        put_in(A, "smokes");
        submit(A, "subordinate");
        answer(GRANT_YES);
        put_in(SIBLING, "smells");
        worker_finds(0, WORKER_DONE, well, 2);
        ck_assert_int_eq(seen.error, RESET_OK);
        ck_assert_ptr_null(quarantine_of(A));
        check_state(SIBLING, "quarantined");
}
END_TEST

START_TEST(asked_again_at_the_head_of_the_queue)
{
        submit(A, "flr");
        put_in(A, "smokes");
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_asked, 2);
        answer(GRANT_NO);
        check_refused(RESET_QUARANTINED);
}
END_TEST

START_TEST(dead_is_worse_than_degraded)
{
        reset_finds("flr", WORKER_DONE, degraded, 2);
        reset_finds("flr", WORKER_DONE, dead, 2);
        ck_assert_int_eq(quarantine_of(A)->record.cause, QUARANTINE_DEAD);
        ck_assert_uint_eq(told.n[QUARANTINE_BEGUN], 1);
        ck_assert_uint_eq(told.n[QUARANTINE_CHANGED], 1);
        reset_finds("flr", WORKER_DONE, degraded, 2);
        ck_assert_int_eq(quarantine_of(A)->record.cause, QUARANTINE_DEAD);
        ck_assert_uint_eq(told.n[QUARANTINE_CHANGED], 1);
}
END_TEST

/* ---- by hand, and over time ---- */

START_TEST(in_and_out_by_hand)
{
        QuarantineRecord record = {.cause = QUARANTINE_REQUESTED, .reason = "again"};

        put_in(A, "smokes");
        ck_assert_uint_eq(told.n[QUARANTINE_BEGUN], 1);
        ck_assert_int_eq(quarantines_begin(seen.quarantines, world_find(&seen.world, A), &record, 0),
                         -EEXIST);
        ck_assert_str_eq(quarantine_of(A)->record.reason, "smokes");
        ck_assert_int_eq(quarantines_end(seen.quarantines, world_find(&seen.world, A), QUARANTINE_RELEASED),
                         0);
        ck_assert_uint_eq(told.n[QUARANTINE_RELEASED], 1);
        check_state(A, "idle");
        ck_assert_int_eq(quarantines_end(seen.quarantines, world_find(&seen.world, A), QUARANTINE_RELEASED),
                         -ENOENT);
        ck_assert_ptr_null(quarantines_next(seen.quarantines, NULL));
}
END_TEST

START_TEST(stays_over_unplugging)
{
        put_in(A, "smokes");
        world_replace(&seen.world, A);
        check_state(A, "quarantined");
        unplug(A);
        ck_assert_ptr_nonnull(quarantines_next(seen.quarantines, NULL));
        world_add(&seen.world, A, "0000:00:01.0", "", "flr");
        check_state(A, "quarantined");
}
END_TEST

START_TEST(a_card_of_another_kind_is_not_meant)
{
        DeviceFacts facts = world_find(&seen.world, A)->facts;

        put_in(A, "smokes");
        unplug(A);
        facts.inode = 1000;
        facts.device++;
        ck_assert_int_eq(registry_apply(seen.world.registry, &facts), 0);
        check_state(A, "idle");
}
END_TEST

/* After a reboot. */
static Quarantine restart_with(const char *address)
{
        Quarantine before = *quarantine_of(address);

        quarantines_set_listener(seen.quarantines, NULL);
        ck_assert_int_eq(
                quarantines_end(seen.quarantines, world_find(&seen.world, address), QUARANTINE_RELEASED), 0);
        return before;
}

START_TEST(known_by_its_port_when_buses_have_other_numbers)
{
        Quarantine before;

        put_in(A, "smokes");
        before = restart_with(A);
        ck_assert_str_eq(before.record.port, "0000:00:01.0/00.0");
        unplug(A);
        world_add(&seen.world, "0000:05:00.0", "0000:00:01.0", "", "flr");
        /* And another one has the old number. */
        world_add(&seen.world, A, "0000:00:02.0", "", "flr");
        before.record.device.device = world_find(&seen.world, A)->facts.device;
        ck_assert_int_eq(quarantines_restore(seen.quarantines, &before.record), 0);
        check_state("0000:05:00.0", "quarantined");
        check_state(A, "idle");
        ck_assert_int_eq(quarantines_restore(seen.quarantines, &before.record), -EEXIST);
        /* A job of this daemon that happens to have its number is nothing to it. */
        ck_assert_uint_eq(quarantine_of("0000:05:00.0")->job, 0);
}
END_TEST

START_TEST(ports_in_words)
{
        char port[QUARANTINE_PORT_MAX], address[PCI_ADDRESS_STRING_MAX], parent[PCI_ADDRESS_STRING_MAX];
        Device *device;

        world_add_bridge(&seen.world, "0000:03:00.0", "0000:00:01.0");
        world_add(&seen.world, "0000:04:1f.7", "0000:03:00.0", "", "flr");
        world_add_vf(&seen.world, "0000:05:00.2", "0000:03:00.0", "0000:04:1f.7", "flr");
        ck_assert_str_eq(quarantine_port(world_find(&seen.world, "0000:00:01.0"), port), "0000:00:01.0");
        ck_assert_str_eq(quarantine_port(world_find(&seen.world, "0000:04:1f.7"), port),
                         "0000:00:01.0/00.0/1f.7");
        ck_assert_str_eq(quarantine_port(world_find(&seen.world, "0000:05:00.2"), port),
                         "0000:00:01.0/00.0/1f.7+0x3");
        /* A way that is not known, and one that is too long. */
        device = world_add(&seen.world, "0000:99:00.0", "0000:98:00.0", "", "flr");
        ck_assert_str_eq(quarantine_port(device, port), "");
        (void) snprintf(parent, sizeof(parent), "0000:03:00.0");
        for (unsigned bus = 0x10; bus < 0x50; bus++) {
                (void) snprintf(address, sizeof(address), "0000:%02x:00.0", bus);
                device = world_add_bridge(&seen.world, address, parent);
                memcpy(parent, address, sizeof(parent));
        }
        ck_assert_str_eq(quarantine_port(device, port), "");
}
END_TEST

START_TEST(what_is_not_there_is_bounded)
{
        QuarantineRecord record = {.device = {.vendor = 1}};
        size_t n = 0;

        put_in(A, "smokes");
        for (unsigned i = 0; i < QUARANTINES_ABSENT_MAX + 3; i++) {
                record.device.device = (uint16_t) i;
                ck_assert_int_eq(quarantines_restore(seen.quarantines, &record), 0);
        }
        for (const Quarantine *q = quarantines_next(seen.quarantines, NULL); q;
             q = quarantines_next(seen.quarantines, q))
                n++;
        ck_assert_uint_eq(n, QUARANTINES_ABSENT_MAX + 1);
        ck_assert_uint_eq(told.n[QUARANTINE_DROPPED], 3);
        ck_assert_uint_eq(told.last.device.device, 2); /* the oldest ones */
        check_state(A, "quarantined");
}
END_TEST

/* ---- what the kernel has said ---- */

/* A worker has found `n` lines. */
static int lines_come(const char *address, size_t n)
{
        WorkerCheck lines[WORKER_LOG_LINES_MAX] = {};
        const WorkerResult result = {.outcome = WORKER_DONE, .checks = lines, .n_checks = n};

        for (size_t i = 0; i < n; i++) {
                lines[i] = (WorkerCheck){
                        .device = at(address), .check = WORKER_LOG_CHECK, .result = CHECK_SKIPPED};
                (void) snprintf(lines[i].after, sizeof(lines[i].after), "line %zu", i);
        }
        return quarantines_add_lines(seen.quarantines, world_find(&seen.world, address), &result);
}

START_TEST(lines_are_asked_for_once)
{
        ck_assert_ptr_null(quarantines_take_silent(seen.quarantines));
        reset_finds("flr", WORKER_DONE, degraded, 2);
        ck_assert_ptr_eq(quarantines_take_silent(seen.quarantines), world_find(&seen.world, A));
        ck_assert_ptr_null(quarantines_take_silent(seen.quarantines));
        ck_assert_int_eq(lines_come(A, 2), 0);
        ck_assert_uint_eq(told.n[QUARANTINE_EVIDENCE], 1);
        ck_assert_uint_eq(told.last.n_checks, 4);
        ck_assert_str_eq(told.last.checks[0].check, "bars");
        ck_assert_str_eq(told.last.checks[2].check, WORKER_LOG_CHECK);
        ck_assert_str_eq(told.last.checks[3].after, "line 1");
        /* There is more to tell, so there may be more lines, which take the place of the old ones. */
        submit(A, "flr");
        answer(GRANT_YES);
        worker_finds(seen.n_ran - 1, WORKER_FAILED, dead, 2);
        ck_assert_ptr_eq(quarantines_take_silent(seen.quarantines), world_find(&seen.world, A));
        ck_assert_int_eq(lines_come(A, 1), 0);
        ck_assert_int_eq(lines_come(A, 1), 0);
        ck_assert_uint_eq(told.last.n_checks, 3);
        /* It is known who it is, and none of that lets it out. */
        check_state(A, "quarantined");
}
END_TEST

START_TEST(nothing_is_asked_of_what_is_in_by_hand)
{
        put_in(A, "smokes");
        ck_assert_ptr_null(quarantines_take_silent(seen.quarantines));
        ck_assert_int_eq(lines_come(A, 2), -ENOENT);
        ck_assert_int_eq(lines_come(B, 2), -ENOENT);
        ck_assert_uint_eq(told.n[QUARANTINE_EVIDENCE], 0);
        ck_assert_uint_eq(quarantine_of(A)->record.n_checks, 0);
}
END_TEST

/* How many of the checks have failed, and what is left of the lines then. */
static const struct {
        size_t n_failed, n_well, n_left, n_lines;
} rooms[] = {
        {1, 11, 10, 6}, {10, 6, 10, 6}, {12, 4, 12, 4}, {16, 0, 16, 0}, {1, 3, 4, 6},
};

START_TEST(lines_take_the_room_of_what_is_well)
{
        Found found[QUARANTINE_CHECKS_MAX];
        const QuarantineRecord *record;
        size_t n = 0;

        for (size_t i = 0; i < rooms[_i].n_failed + rooms[_i].n_well; i++)
                found[i] = (Found){A, "bars", i < rooms[_i].n_well ? CHECK_OK : CHECK_FAILED};
        reset_finds("flr", WORKER_DONE, found, rooms[_i].n_failed + rooms[_i].n_well);
        ck_assert_int_eq(lines_come(A, WORKER_LOG_LINES_MAX), 0);
        record = &quarantine_of(A)->record;
        for (size_t i = 0; i < record->n_checks; i++)
                n += strcmp(record->checks[i].check, WORKER_LOG_CHECK) == 0;
        ck_assert_uint_eq(n, rooms[_i].n_lines);
        ck_assert_uint_eq(record->n_checks - n, rooms[_i].n_left);
        for (size_t i = 0; i < rooms[_i].n_failed; i++)
                ck_assert_int_eq(record->checks[i].result, CHECK_FAILED);
}
END_TEST

/* All that a worker's event has room for, and only a few of it are lines about the device. */
START_TEST(a_worker_that_says_anything_is_not_believed)
{
        static WorkerCheck checks[WORKER_CHECKS_MAX];
        const WorkerResult result = {
                .outcome = WORKER_DONE, .checks = checks, .n_checks = WORKER_CHECKS_MAX};
        const QuarantineRecord *record;

        reset_finds("flr", WORKER_DONE, degraded, 2);
        for (size_t i = 0; i < WORKER_CHECKS_MAX; i++)
                checks[i] = (WorkerCheck){.device = at(i % 3 == 0 ? B : A),
                                          .check = "log",
                                          .result = i % 3 == 1 ? CHECK_FAILED : CHECK_SKIPPED};
        for (size_t i = 2; i < WORKER_CHECKS_MAX; i += 6)
                (void) snprintf(checks[i].check, sizeof(checks[i].check), "answers");
        ck_assert_int_eq(quarantines_add_lines(seen.quarantines, world_find(&seen.world, A), &result), 0);
        record = &quarantine_of(A)->record;
        ck_assert_uint_eq(record->n_checks, 2 + WORKER_LOG_LINES_MAX);
        for (size_t i = 2; i < record->n_checks; i++) {
                ck_assert_str_eq(record->checks[i].check, WORKER_LOG_CHECK);
                ck_assert_int_eq(record->checks[i].result, CHECK_SKIPPED);
                ck_assert(pci_address_equal(&record->checks[i].device, &checks[2].device));
        }
        for (size_t i = 0; i < WORKER_CHECKS_MAX; i++)
                (void) snprintf(checks[i].check, sizeof(checks[i].check), "answers");
        ck_assert_int_eq(quarantines_add_lines(seen.quarantines, world_find(&seen.world, A), &result),
                         -ENOENT);
        ck_assert_uint_eq(told.n[QUARANTINE_EVIDENCE], 1);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("quarantine");
        TCase *tcase = tcase_create("quarantine");

        tcase_add_checked_fixture(tcase, setup, job_world_done);
        tcase_add_loop_test(tcase, the_verdict_decides, 0, (int) ELEMENTSOF(cases));
        tcase_add_test(tcase, each_member_by_itself);
        tcase_add_test(tcase, a_worker_that_dies_says_nothing);
        tcase_add_test(tcase, the_ladder_goes_on);
        tcase_add_loop_test(tcase, refused_without_the_right, 0, (int) ELEMENTSOF(refusals));
        tcase_add_test(tcase, a_lease_is_no_right);
        tcase_add_test(tcase, lifted_by_proof);
        tcase_add_loop_test(tcase, not_lifted_without, 0, 2);
        tcase_add_test(tcase, not_lifted_by_a_reset_that_had_begun);
        tcase_add_test(tcase, not_lifted_after_an_exchange);
        tcase_add_test(tcase, not_lifted_beside_another_one);
        tcase_add_test(tcase, asked_again_at_the_head_of_the_queue);
        tcase_add_test(tcase, dead_is_worse_than_degraded);
        tcase_add_test(tcase, in_and_out_by_hand);
        tcase_add_test(tcase, stays_over_unplugging);
        tcase_add_test(tcase, a_card_of_another_kind_is_not_meant);
        tcase_add_test(tcase, known_by_its_port_when_buses_have_other_numbers);
        tcase_add_test(tcase, ports_in_words);
        tcase_add_test(tcase, what_is_not_there_is_bounded);
        tcase_add_test(tcase, lines_are_asked_for_once);
        tcase_add_test(tcase, nothing_is_asked_of_what_is_in_by_hand);
        tcase_add_test(tcase, a_worker_that_says_anything_is_not_believed);
        tcase_add_loop_test(tcase, lines_take_the_room_of_what_is_well, 0, (int) ELEMENTSOF(rooms));
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
