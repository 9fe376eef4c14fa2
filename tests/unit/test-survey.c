/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Questions about who uses devices, and what becomes of them when those who asked do not wait for the
 * answer. The workers are real processes that do what they are told (scripted-worker.c).
 */

#include "daemon/system/survey.h"
#include "shared/cleanup.h"
#include "unit.h"
#include "worker-script.h"
#include "world.h"

#define A "0000:01:00.0"
#define B "0000:02:00.0"

#define NOT_YET 1

typedef struct Asked {
        SurveyQuestion *question;
        int error; /* NOT_YET until it is answered */
        unsigned n_answers;
        struct Asked *cancels; /* what its handler does */
} Asked;

static sd_event *event;
static Scans *scans;
static Survey *survey;
static World world;

/* What sysfs says about how often VFIO has a device open, and how often it was asked. */
static unsigned enable_count, n_refreshed;

int __wrap_sysfs_refresh_use(Device *device);
int __wrap_sysfs_refresh_use(Device *device)
{
        n_refreshed++;
        device->live.enable_count = enable_count;
        return 0;
}

static void setup(void)
{
        script_begin();
        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(scans_new(event, SCRIPTED_WORKER, &scans), 0);
        world_init(&world);
        device_forget_use(world_add(&world, A, NULL, "e1000e", "flr"));
        device_forget_use(world_add(&world, B, NULL, "e1000e", "flr"));
        ck_assert_int_eq(survey_new(event, world.registry, scans, &survey), 0);
}

static void teardown(void)
{
        survey_free(survey);
        scans_free(scans);
        world_done(&world);
        sd_event_unref(event);
        script_end();
}

static void on_answer(void *userdata, int error)
{
        Asked *asked = userdata;

        asked->n_answers++;
        asked->error = error;
        if (asked->cancels)
                asked->cancels->question = survey_cancel(asked->cancels->question);
}

static int ask(Asked *asked, const char *address)
{
        Device *device = world_find(&world, address);

        asked->error = NOT_YET;
        asked->n_answers = 0;
        return survey_ask(survey, &device, 1, on_answer, asked, &asked->question);
}

static void forget(Asked *asked)
{
        asked->question = survey_cancel(asked->question);
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

START_TEST(a_question_is_answered)
{
        Asked asked = {};

        ck_assert_int_gt(ask(&asked, A), 0);
        until_answered(&asked);
        ck_assert_int_eq(asked.error, 0);
        ck_assert(world_find(&world, A)->use.known);
        ck_assert_uint_eq(world_find(&world, A)->use.n_holders, 1);
}
END_TEST

/* More of them than there is room for. */
START_TEST(who_asks_and_goes_leaves_room)
{
        Asked first = {}, honest = {};

        script("gate", A);
        ck_assert_int_gt(ask(&first, A), 0);
        settle();
        await("begin");
        for (unsigned i = 0; i < 2 * SCANS_QUERIES_MAX; i++) {
                Asked fleeting = {};

                ck_assert_int_gt(ask(&fleeting, A), 0);
                settle();
                forget(&fleeting);
        }
        ck_assert_int_gt(ask(&honest, A), 0);
        open_gate(A);
        until_answered(&honest);
        ck_assert_int_eq(honest.error, 0);
        ck_assert_int_eq(first.error, 0);
        ck_assert_uint_eq(said("begin"), 2);
}
END_TEST

START_TEST(nothing_is_looked_at_for_nobody)
{
        Asked gone = {}, other = {};

        ck_assert_int_gt(ask(&gone, A), 0);
        forget(&gone);
        ck_assert_int_gt(ask(&other, B), 0);
        until_answered(&other);
        settle();
        ck_assert_uint_eq(gone.n_answers, 0);
        ck_assert(!world_find(&world, A)->use.known);
        ck_assert(world_find(&world, B)->use.known);
}
END_TEST

START_TEST(what_has_begun_is_worth_having)
{
        Asked gone = {}, next = {};

        script("gate", A);
        ck_assert_int_gt(ask(&gone, A), 0);
        settle();
        await("begin");
        forget(&gone);
        open_gate(A);
        ck_assert_int_gt(ask(&next, B), 0);
        until_answered(&next);
        while (!world_find(&world, A)->use.known)
                ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);
        ck_assert_uint_eq(gone.n_answers, 0);
}
END_TEST

/* The end of a call ends others. */
START_TEST(answers_cancel_other_questions)
{
        Asked a = {}, same_scan = {}, later = {};

        a.cancels = &same_scan;
        same_scan.cancels = &later;
        script("gate", A);
        ck_assert_int_gt(ask(&a, A), 0);
        ck_assert_int_gt(ask(&same_scan, A), 0);
        settle();
        await("begin");
        ck_assert_int_gt(ask(&later, A), 0);
        open_gate(A);
        until_answered(&a);
        until_answered(&later);
        ck_assert_uint_eq(same_scan.n_answers, 0);
        ck_assert_uint_eq(later.n_answers, 1);
}
END_TEST

/* VFIO had it open when a request was planned, or had not, and since then nobody has read that again. The
 * worker cannot look, so the count is all there is. */
static unsigned n_told;

static void on_use(void *userdata, Device *device, unsigned changes)
{
        ck_assert_uint_eq(changes, DEVICE_CHANGED_USE);
        ck_assert(device == world_find(&world, A));
        n_told++;
}

START_TEST(what_was_read_for_a_plan_is_read_again)
{
        const RegistryListener listener = {.changed = on_use};
        bool was_open = _i == 0;
        Asked asked = {};

        world_bind(&world, A, "vfio-pci");
        device_forget_use(world_find(&world, A));
        world_find(&world, A)->live.enable_count = was_open;
        ck_assert(device_is_in_use(world_find(&world, A)) == was_open);
        script("fail", A);

        enable_count = !was_open;
        registry_set_listener(world.registry, &listener);
        ck_assert_int_gt(ask(&asked, A), 0);
        until_answered(&asked);
        ck_assert(!world_find(&world, A)->use.known);
        ck_assert(device_is_in_use(world_find(&world, A)) != was_open);
        ck_assert_uint_eq(n_told, 1);
        ck_assert_uint_eq(n_refreshed, 1);
        registry_set_listener(world.registry, NULL);
}
END_TEST

/* The registry tells what is new before the answer is given, and whoever hears of it may lose interest. */
static Asked *loses_interest;

static void on_changed(void *userdata, Device *device, unsigned changes)
{
        if (loses_interest)
                forget(loses_interest);
        loses_interest = NULL;
}

START_TEST(news_cancel_their_own_question)
{
        const RegistryListener listener = {.changed = on_changed};
        Asked asked = {}, next = {};

        registry_set_listener(world.registry, &listener);
        loses_interest = &asked;
        ck_assert_int_gt(ask(&asked, A), 0);
        while (loses_interest)
                ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);
        ck_assert_int_gt(ask(&next, A), 0);
        until_answered(&next);
        ck_assert_uint_eq(asked.n_answers, 0);
        registry_set_listener(world.registry, NULL);
}
END_TEST

/* ---- looks that are older than what they are about ---- */

static unsigned n_ended;

static void on_ended(void *userdata, uint32_t job)
{
        n_ended++;
}

/* Another driver, of which nobody knows yet who uses the device through it. */
static void rebind(const char *driver)
{
        world_bind(&world, A, driver);
        device_forget_use(world_find(&world, A));
}

/* Those for holders and those for owners do not wait for each other. */
START_TEST(what_was_seen_before_the_driver_came_tells_nothing)
{
        const ScansListener listener = {.ended = on_ended};

        n_ended = 0;
        scans_set_listener(scans, &listener);
        script("gate", A);
        survey_hint(survey, &world_find(&world, A)->facts.address, true);
        while (said("begin") < 2)
                ck_assert_int_ge(sd_event_run(event, 10000), 0);
        rebind("pciback");
        open_gate(A);
        while (n_ended < 2)
                ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);
        ck_assert(!world_find(&world, A)->use.known);
        ck_assert_uint_eq(world_find(&world, A)->use.n_holders, 0);
        scans_set_listener(scans, NULL);
}
END_TEST

START_TEST(who_asked_before_the_driver_came_is_told_of_it)
{
        Asked asked = {};

        script("gate", A);
        ck_assert_int_gt(ask(&asked, A), 0);
        settle();
        await("begin");
        rebind("pciback");
        open_gate(A);
        until_answered(&asked);
        ck_assert_int_eq(asked.error, 0);
        ck_assert_uint_eq(asked.n_answers, 1);
        ck_assert(world_find(&world, A)->use.known);
        ck_assert_uint_eq(said("begin"), 2);
}
END_TEST

static unsigned n_rebound;

static void rebind_under_it(void *userdata, uint32_t job, const WorkerMember *members, size_t n)
{
        rebind(n_rebound++ % 2 == 0 ? "igb" : "e1000e");
}

START_TEST(drivers_that_change_at_every_look_have_an_end)
{
        const ScansListener listener = {.begun = rebind_under_it};
        Asked asked = {};

        n_rebound = 0;
        scans_set_listener(scans, &listener);
        ck_assert_int_gt(ask(&asked, A), 0);
        until_answered(&asked);
        ck_assert(!world_find(&world, A)->use.known);
        ck_assert_uint_eq(n_rebound, 4);
        scans_set_listener(scans, NULL);
}
END_TEST

START_TEST(an_older_look_does_not_hide_a_newer_one)
{
        Device *device = world_find(&world, A);
        uint64_t older = registry_begin_look(world.registry), newer = registry_begin_look(world.registry);

        ck_assert(device_take_look(device, newer));
        ck_assert(!device_take_look(device, older));
        ck_assert(device_take_look(device, registry_begin_look(world.registry)));
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("survey");
        TCase *tcase = tcase_create("survey");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, a_question_is_answered);
        tcase_add_test(tcase, who_asks_and_goes_leaves_room);
        tcase_add_test(tcase, nothing_is_looked_at_for_nobody);
        tcase_add_test(tcase, what_has_begun_is_worth_having);
        tcase_add_test(tcase, answers_cancel_other_questions);
        tcase_add_loop_test(tcase, what_was_read_for_a_plan_is_read_again, 0, 2);
        tcase_add_test(tcase, news_cancel_their_own_question);
        tcase_add_test(tcase, what_was_seen_before_the_driver_came_tells_nothing);
        tcase_add_test(tcase, who_asked_before_the_driver_came_is_told_of_it);
        tcase_add_test(tcase, drivers_that_change_at_every_look_have_an_end);
        tcase_add_test(tcase, an_older_look_does_not_hide_a_newer_one);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
