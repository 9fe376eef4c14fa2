/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Cards in quarantine: known again by their serial number, and drivers that are kept off them.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/domain/job-steps.h"
#include "daemon/domain/keep-off.h"
#include "daemon/domain/lane-task.h"
#include "job-world.h"
#include "unit.h"

#define A     "0000:01:00.0"
#define PORT  "0000:00:01.0"
#define ONE   "00-11-22-33-44-55-66-77"
#define OTHER "00-11-22-33-44-55-66-78"

static unsigned n_told[QUARANTINE_DROPPED + 1];

static void on_event(void *userdata, const QuarantineRecord *record, QuarantineEvent event)
{
        n_told[event]++;
}

static void setup(void)
{
        const QuarantineListener listener = {.event = on_event};

        job_world_init();
        memset(n_told, 0, sizeof(n_told));
        quarantines_set_listener(seen.quarantines, &listener);
}

static Device *card(void)
{
        return world_find(&seen.world, A);
}

static void put_in(QuarantineCause cause)
{
        const QuarantineRecord record = {.cause = cause, .reason = "smokes"};

        ck_assert_int_eq(quarantines_begin(seen.quarantines, card(), &record, 0), 0);
}

static void is_numbered(const char *serial)
{
        (void) snprintf(card()->serial, sizeof(card()->serial), "%s", serial);
        quarantines_identify(seen.quarantines, card());
}

static void plug_anew(void)
{
        unplug(A);
        world_add(&seen.world, A, PORT, "", "flr");
}

/* The worker is done: the override reads so, and the card has this number. */
static void worker_ends(const char *override, const char *serial)
{
        WorkerResult *result = calloc(1, sizeof(WorkerResult));

        ck_assert_int_eq(seen.order.operation, WORKER_HOLD);
        (void) snprintf(result->override, sizeof(result->override), "%s", override);
        if (serial) {
                result->serials = calloc(1, sizeof(WorkerSerial));
                result->serials[0].device = seen.ordered.address;
                (void) snprintf(result->serials[0].serial, sizeof(result->serials[0].serial), "%s", serial);
                result->n_serials = 1;
        }
        lane_task_done(seen.jobs, seen.order.job, result);
}

START_TEST(cards_are_told_apart)
{
        is_numbered(ONE);
        put_in(QUARANTINE_DEAD);
        ck_assert_str_eq(card()->quarantine->record.serial, ONE);
        plug_anew();
        /* Until its number is known it stays. */
        ck_assert_ptr_nonnull(card()->quarantine);
        is_numbered(OTHER);
        ck_assert_ptr_null(card()->quarantine);
        /* Its own one. */
        put_in(QUARANTINE_DEAD);
        plug_anew();
        is_numbered(ONE);
        ck_assert_str_eq(card()->quarantine->record.serial, ONE);
        ck_assert_int_eq(quarantines_end(seen.quarantines, card(), QUARANTINE_RELEASED), 0);
        plug_anew();
        is_numbered(OTHER);
        ck_assert_str_eq(card()->quarantine->record.serial, OTHER);
}
END_TEST

/* The number of what came later to the place says nothing about what was there. */
START_TEST(a_number_is_learnt_from_the_card_itself)
{
        put_in(QUARANTINE_DEAD);
        if (_i == 0)
                plug_anew();
        is_numbered(ONE);
        ck_assert_ptr_nonnull(card()->quarantine);
        ck_assert_str_eq(card()->quarantine->record.serial, _i == 0 ? "" : ONE);
        ck_assert_uint_eq(n_told[QUARANTINE_IDENTIFIED], (unsigned) _i);
        plug_anew();
        is_numbered(OTHER);
        ck_assert_int_eq(card()->quarantine == NULL, _i);
}
END_TEST

START_TEST(two_files_of_one_card)
{
        QuarantineRecord record, numbered;

        put_in(QUARANTINE_DEAD);
        record = numbered = card()->quarantine->record;
        (void) snprintf(numbered.serial, sizeof(numbered.serial), ONE);
        ck_assert_int_eq(quarantines_end(seen.quarantines, card(), QUARANTINE_RELEASED), 0);
        ck_assert_int_eq(quarantines_restore(seen.quarantines, _i ? &record : &numbered), 0);
        ck_assert_int_eq(quarantines_restore(seen.quarantines, _i ? &numbered : &record), -EEXIST);
        ck_assert_str_eq(card()->quarantine->record.serial, ONE);
}
END_TEST

/* ---- whoever has not left ---- */

#define BOOT  "0123456789abcdef0123456789abcdef"
#define LATER "0123456789abcdef0123456789abcde0"

static void check_stays(void)
{
        ck_assert_ptr_nonnull(card()->quarantine);
        ck_assert_ptr_nonnull(strstr(card()->quarantine->record.reason, QUARANTINE_OTHER_SERIAL));
        ck_assert_str_eq(card()->quarantine->record.serial, ONE);
}

START_TEST(a_number_lets_nobody_out)
{
        is_numbered(ONE);
        put_in(_i == 0 ? QUARANTINE_REQUESTED : QUARANTINE_UNREADABLE);
        for (int i = 0; i < 2; i++) {
                is_numbered(OTHER);
                check_stays();
        }
        ck_assert_uint_eq(n_told[QUARANTINE_CHANGED], 1);
        is_numbered(ONE);
        ck_assert_ptr_nonnull(card()->quarantine);
        is_numbered(OTHER);
        plug_anew();
        is_numbered(OTHER);
        ck_assert_ptr_null(card()->quarantine);
}
END_TEST

START_TEST(drivers_stay_off_whatever_the_number)
{
        is_numbered(ONE);
        put_in(QUARANTINE_DEGRADED);
        jobs_keep_off(seen.jobs, card());
        ck_assert_int_eq(seen.order.action, HOLD_KEEP);
        ck_assert_str_eq(seen.order.serial, "");
        worker_ends(WORKER_OVERRIDE_PREFIX, OTHER);
        check_stays();
        ck_assert(card()->hold.kept);
        ck_assert_uint_eq(seen.n_orders, 1);
        /* What comes to its place may be another one. */
        plug_anew();
        jobs_keep_off(seen.jobs, card());
        ck_assert_str_eq(seen.order.serial, ONE);
        worker_ends("", OTHER);
        ck_assert_ptr_null(card()->quarantine);
}
END_TEST

START_TEST(it_has_come_back)
{
        is_numbered(ONE);
        put_in(QUARANTINE_DEGRADED);
        plug_anew();
        is_numbered(ONE);
        ck_assert_uint_eq(n_told[QUARANTINE_PINNED], 1);
        is_numbered(OTHER);
        check_stays();
}
END_TEST

/* Whatever is in its place has done something itself. */
START_TEST(once_more_in_its_place)
{
        const QuarantineRecord again = {.cause = _i == 0 ? QUARANTINE_DEGRADED : QUARANTINE_DEAD};

        is_numbered(ONE);
        put_in(QUARANTINE_DEGRADED);
        plug_anew();
        ck_assert_int_eq(quarantines_begin(seen.quarantines, card(), &again, 0), _i == 0 ? -EEXIST : 0);
        ck_assert_uint_eq(card()->quarantine->record.inode, card()->facts.inode);
        ck_assert_uint_eq(n_told[_i == 0 ? QUARANTINE_PINNED : QUARANTINE_CHANGED], 1);
        is_numbered(OTHER);
        check_stays();
}
END_TEST

/* The daemon ends, and what happens then is seen by nobody; the next one has what was stored. */
static void restart(bool is_plugged, const char *boot)
{
        QuarantineRecord record = quarantines_next(seen.quarantines, NULL)->record;

        if (card() && card()->quarantine)
                ck_assert_int_eq(quarantines_end(seen.quarantines, card(), QUARANTINE_RELEASED), 0);
        seen.quarantines = seen.jobs->quarantines = quarantines_free(seen.quarantines);
        unplug(A);
        ck_assert_int_eq(quarantines_new(seen.world.registry, &seen.quarantines), 0);
        seen.jobs->quarantines = seen.quarantines;
        if (is_plugged)
                world_add(&seen.world, A, PORT, "", "flr");
        ck_assert_int_eq(quarantines_restore(seen.quarantines, &record), 0);
        quarantines_set_listener(seen.quarantines, &(QuarantineListener){.event = on_event});
        quarantines_pin(seen.quarantines, boot);
}

/* It has never left: the next directory here is the one it has. */
static void same_directory(void)
{
        card()->quarantine->record.inode = seen.world.last_inode + 1;
}

static const struct {
        bool same, is_absent, is_old; /* the directory; no device is there; a record of earlier versions */
        const char *boots[2];
        bool stays;
} restarts[] = {
        {.same = true, .boots = {BOOT}, .stays = true},
        {.boots = {BOOT}},
        {.boots = {LATER}, .stays = true},
        {.same = true, .boots = {LATER}, .stays = true},
        {.is_old = true, .boots = {BOOT}, .stays = true},
        /* Seen at the start of that boot, and another one later. */
        {.boots = {LATER, LATER}},
        {.boots = {LATER, BOOT}, .stays = true},
        /* It came while the daemon was there to see it. */
        {.is_absent = true, .boots = {BOOT}},
        {.is_absent = true, .boots = {LATER}},
        {.is_absent = true, .is_old = true, .boots = {LATER}},
};

START_TEST(over_restarts)
{
        quarantines_pin(seen.quarantines, BOOT);
        is_numbered(ONE);
        put_in(QUARANTINE_DEGRADED);
        ck_assert_str_eq(card()->quarantine->record.boot_id, BOOT);
        if (restarts[_i].same)
                same_directory();
        if (restarts[_i].is_old)
                card()->quarantine->record.boot_id[0] = '\0';
        for (size_t i = 0; i < 2 && restarts[_i].boots[i]; i++)
                restart(!restarts[_i].is_absent, restarts[_i].boots[i]);
        if (restarts[_i].is_absent) {
                world_add(&seen.world, A, PORT, "", "flr");
                quarantines_device_added(seen.quarantines, card());
        }
        ck_assert_ptr_nonnull(card()->quarantine);
        is_numbered(OTHER);
        if (restarts[_i].stays)
                check_stays();
        else
                ck_assert_ptr_null(card()->quarantine);
        /* And so it is for the next daemon. */
        if (!restarts[_i].stays && restarts[_i].is_absent) {
                restart(true, restarts[_i].boots[0]);
                is_numbered(OTHER);
                ck_assert_ptr_null(card()->quarantine);
        }
}
END_TEST

/* That it may be another one by its number does not make it one that is not there. */
START_TEST(it_takes_no_room)
{
        QuarantineRecord record = {.device = {.vendor = 1}};

        is_numbered(ONE);
        put_in(QUARANTINE_DEGRADED);
        is_numbered(OTHER);
        for (unsigned i = 0; i < QUARANTINES_ABSENT_MAX + 1; i++) {
                record.device.device = (uint16_t) i;
                ck_assert_int_eq(quarantines_restore(seen.quarantines, &record), 0);
        }
        check_stays();
        ck_assert_str_eq(quarantines_next(seen.quarantines, NULL)->record.serial, ONE);
}
END_TEST

/* ---- drivers ---- */

static const struct {
        QuarantineCause cause;
        const char *driver, *serial;
        WorkerHold action;
        bool none;
} holds[] = {
        {.cause = QUARANTINE_DEAD, .action = HOLD_KEEP},
        {.cause = QUARANTINE_DEGRADED, .serial = ONE, .action = HOLD_KEEP},
        {.cause = QUARANTINE_DEAD, .driver = "nvme", .action = HOLD_LOOK},
        {.cause = QUARANTINE_DEAD, .driver = "nvme", .serial = ONE, .none = true},
        {.cause = QUARANTINE_REQUESTED, .action = HOLD_LOOK},
        {.cause = QUARANTINE_REQUESTED, .serial = ONE, .none = true},
};

START_TEST(what_workers_are_sent_for)
{
        if (holds[_i].driver)
                (void) snprintf(card()->facts.driver, sizeof(card()->facts.driver), "%s", holds[_i].driver);
        if (holds[_i].serial)
                is_numbered(holds[_i].serial);
        jobs_keep_off_all(seen.jobs);
        ck_assert_uint_eq(seen.n_orders, 0);
        put_in(holds[_i].cause);
        jobs_keep_off_all(seen.jobs);
        ck_assert_uint_eq(seen.n_orders, holds[_i].none ? 0 : 1);
        if (holds[_i].none)
                return;
        ck_assert_int_eq(seen.order.action, holds[_i].action);
        /* It is the one that is meant, whatever it reads. */
        ck_assert_str_eq(seen.order.serial, "");
        /* One is enough. */
        jobs_keep_off_all(seen.jobs);
        worker_ends(holds[_i].action == HOLD_KEEP ? WORKER_OVERRIDE_PREFIX : "", ONE);
        jobs_keep_off_all(seen.jobs);
        ck_assert_uint_eq(seen.n_orders, 1);
        ck_assert_int_eq(card()->hold.kept, holds[_i].action == HOLD_KEEP);
        ck_assert_str_eq(card()->quarantine->record.serial, ONE);
        ck_assert_int_eq(quarantines_end(seen.quarantines, card(), QUARANTINE_RELEASED), 0);
        jobs_keep_off_all(seen.jobs);
        ck_assert_uint_eq(seen.n_orders, holds[_i].action == HOLD_KEEP ? 2 : 1);
        if (holds[_i].action == HOLD_KEEP) {
                ck_assert_int_eq(seen.order.action, HOLD_RELEASE);
                worker_ends("", NULL);
        }
        jobs_keep_off_all(seen.jobs);
        ck_assert(!card()->hold.kept);
        ck_assert_uint_le(seen.n_orders, 2);
}
END_TEST

/* Released while the worker is at it: what it has done is undone. */
START_TEST(released_meanwhile)
{
        put_in(QUARANTINE_DEAD);
        jobs_keep_off(seen.jobs, card());
        ck_assert_int_eq(quarantines_end(seen.quarantines, card(), QUARANTINE_RELEASED), 0);
        jobs_keep_off(seen.jobs, card());
        ck_assert_uint_eq(seen.n_orders, 1);
        if (_i == 0)
                worker_ends(WORKER_OVERRIDE_PREFIX, NULL);
        else
                lane_task_done(seen.jobs, seen.order.job, NULL);
        ck_assert_uint_eq(seen.n_orders, 2);
        ck_assert_int_eq(seen.order.action, HOLD_RELEASE);
        worker_ends("", NULL);
}
END_TEST

/* Of a worker that died nobody knows what it has done; one more is sent. */
START_TEST(workers_that_die)
{
        put_in(QUARANTINE_DEAD);
        jobs_keep_off(seen.jobs, card());
        for (unsigned i = 1; i <= 2; i++) {
                ck_assert_uint_eq(seen.n_orders, i);
                lane_task_done(seen.jobs, seen.order.job, NULL);
        }
        ck_assert_uint_eq(seen.n_orders, 2);
        ck_assert_int_eq(quarantines_end(seen.quarantines, card(), QUARANTINE_RELEASED), 0);
        jobs_keep_off(seen.jobs, card());
        ck_assert_int_eq(seen.order.action, HOLD_RELEASE);
        for (unsigned i = 3; i <= 4; i++) {
                ck_assert_uint_eq(seen.n_orders, i);
                lane_task_done(seen.jobs, seen.order.job, NULL);
        }
        ck_assert_uint_eq(seen.n_orders, 4);
        /* But nothing stays kept off: the next change is another try. */
        jobs_keep_off(seen.jobs, card());
        ck_assert_uint_eq(seen.n_orders, 5);
        ck_assert_int_eq(seen.order.action, HOLD_RELEASE);
        worker_ends("", NULL);
        jobs_keep_off(seen.jobs, card());
        ck_assert_uint_eq(seen.n_orders, 5);
}
END_TEST

/* There is no process for it just now, or the override cannot be written. */
START_TEST(released_later)
{
        put_in(QUARANTINE_DEAD);
        jobs_keep_off(seen.jobs, card());
        worker_ends(WORKER_OVERRIDE_PREFIX, NULL);
        seen.order_result = _i == 0 ? -EAGAIN : 0;
        ck_assert_int_eq(quarantines_end(seen.quarantines, card(), QUARANTINE_RELEASED), 0);
        jobs_keep_off(seen.jobs, card());
        ck_assert_uint_eq(seen.n_orders, 2);
        if (_i == 1)
                worker_ends(WORKER_OVERRIDE_PREFIX, NULL);
        ck_assert_uint_eq(seen.n_orders, 2);
        seen.order_result = 0;
        jobs_keep_off(seen.jobs, card());
        ck_assert_uint_eq(seen.n_orders, 3);
        ck_assert_int_eq(seen.order.action, HOLD_RELEASE);
        worker_ends("", NULL);
        ck_assert(!card()->hold.kept);
}
END_TEST

/* An earlier daemon has kept drivers off it, and somebody has let one at it since. */
START_TEST(not_kept_off_any_more)
{
        put_in(QUARANTINE_DEAD);
        (void) snprintf(card()->facts.driver, sizeof(card()->facts.driver), "nvme");
        card()->hold.kept = card()->hold.noted = true;
        jobs_keep_off_all(seen.jobs);
        ck_assert_int_eq(seen.order.action, HOLD_LOOK);
        worker_ends("", NULL);
        ck_assert(!card()->hold.kept);
}
END_TEST

/* Somebody wants it otherwise: that is not fought over. */
START_TEST(left_as_it_is)
{
        put_in(QUARANTINE_DEAD);
        jobs_keep_off(seen.jobs, card());
        worker_ends("vfio-pci", NULL);
        jobs_keep_off(seen.jobs, card());
        ck_assert_uint_eq(seen.n_orders, 1);
        ck_assert(!card()->hold.kept);
        /* What is noted of that is not to be found by the next quarantine, which is another matter. */
        ck_assert_int_eq(quarantines_end(seen.quarantines, card(), QUARANTINE_RELEASED), 0);
        jobs_keep_off(seen.jobs, card());
        ck_assert_uint_eq(seen.n_orders, 2);
        ck_assert_int_eq(seen.order.action, HOLD_RELEASE);
        worker_ends("vfio-pci", NULL);
        jobs_keep_off(seen.jobs, card());
        ck_assert_uint_eq(seen.n_orders, 2);
}
END_TEST

/* A reset and such a worker are never at the same device. */
START_TEST(one_after_the_other)
{
        submit(A, "flr");
        answer(GRANT_YES);
        ck_assert_uint_eq(seen.n_ran, 1);
        put_in(QUARANTINE_DEAD);
        jobs_keep_off(seen.jobs, card());
        ck_assert_uint_eq(seen.n_orders, 0);
        worker_says(0, WORKER_FAILED, EIO, VERDICT_UNVERIFIED);
        ck_assert_uint_eq(seen.n_orders, 1);
        worker_ends(WORKER_OVERRIDE_PREFIX, NULL);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("quarantine-cards");
        TCase *cases = tcase_create("all");

        tcase_add_checked_fixture(cases, setup, job_world_done);
        tcase_add_test(cases, cards_are_told_apart);
        tcase_add_loop_test(cases, a_number_is_learnt_from_the_card_itself, 0, 2);
        tcase_add_loop_test(cases, two_files_of_one_card, 0, 2);
        tcase_add_loop_test(cases, a_number_lets_nobody_out, 0, 2);
        tcase_add_test(cases, drivers_stay_off_whatever_the_number);
        tcase_add_test(cases, it_has_come_back);
        tcase_add_loop_test(cases, once_more_in_its_place, 0, 2);
        tcase_add_loop_test(cases, over_restarts, 0, ELEMENTSOF(restarts));
        tcase_add_test(cases, it_takes_no_room);
        tcase_add_loop_test(cases, what_workers_are_sent_for, 0, ELEMENTSOF(holds));
        tcase_add_loop_test(cases, released_meanwhile, 0, 2);
        tcase_add_test(cases, workers_that_die);
        tcase_add_loop_test(cases, released_later, 0, 2);
        tcase_add_test(cases, not_kept_off_any_more);
        tcase_add_test(cases, left_as_it_is);
        tcase_add_test(cases, one_after_the_other);
        suite_add_tcase(suite, cases);
        return unit_run(suite);
}
