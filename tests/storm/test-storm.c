/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The storm over the domain (storm.h): one machine after another, each with many lives of a daemon.
 *
 * SEED says which machine is the first: the one that is told after a failure comes first with its own.
 * STORM_STEPS says how many steps are made in all.
 */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "storm.h"
#include "unit.h"

#define STEPS             50000U
#define STEPS_PER_MACHINE 5000U
#define AUDIT_EVERY       16U

Storm storm;
StormStats stats;
static uint64_t next_action;
static uint64_t first_seed;

/* ---- what is told ---- */

void storm_note(const char *format, ...)
{
        char *line = storm.history[storm.n_history++ % HISTORY_MAX];
        int n = snprintf(line, NOTE_MAX, "%u %llu.%06llu ", storm.step,
                         (unsigned long long) (storm.now / SEC), (unsigned long long) (storm.now % SEC));
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(line + n, NOTE_MAX - (size_t) n, format, ap);
        va_end(ap);
}

void storm_wrong(const char *format, ...)
{
        char text[512];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        for (unsigned i = storm.n_history > HISTORY_MAX ? storm.n_history - HISTORY_MAX : 0;
             i < storm.n_history; i++)
                printf("# %s\n", storm.history[i % HISTORY_MAX]);
        printf("# wrong after %u steps of machine %u, daemon %u: %s\n# again with SEED=%llu\n", storm.step,
               storm.machine, storm.life, text, (unsigned long long) storm.seed);
        fflush(stdout);
        ck_abort_msg("SEED=%llu, step %u: %s", (unsigned long long) storm.seed, storm.step, text);
}

const char *name_of(size_t node)
{
        static char names[4][PCI_ADDRESS_STRING_MAX];
        static unsigned next;

        return pci_address_format(&storm.tree.nodes[node].address, names[next++ % 4]);
}

/* ---- time ---- */

uint64_t storm_while(uint64_t from, uint64_t to)
{
        uint64_t range = to - from, share = 1 + pick(&storm.tree, 1000);

        /* The square of what is drawn: short times are frequent, long ones come. */
        return from + range * share / 1000 * share / 1000;
}

uint64_t storm_in(uint64_t from, uint64_t to)
{
        return storm.now + storm_while(from, to);
}

Track *track_of(uint32_t job)
{
        return &storm.tracks[job % TRACKS_MAX];
}

/* The next thing that comes by itself. */
typedef struct Due {
        uint64_t at;
        enum {
                DUE_NOTHING,
                DUE_START,
                DUE_SCAN,
                DUE_ANSWER,
                DUE_DELAY,
                DUE_DEADLINE,
                DUE_RUN,
                DUE_ASK,
                DUE_LOOK,
                DUE_RELEASE,
                DUE_ERROR_LOOK,
                DUE_ERROR_TIME,
                DUE_TASK
        } what;
        Track *track;
        size_t index;
} Due;

static void consider(Due *due, Due other)
{
        if (other.at < due->at)
                *due = other;
}

static Due find_due(void)
{
        Due due = {.at = NEVER};

        if (!daemon_lives())
                consider(&due, (Due){.at = storm.start_at, .what = DUE_START});
        for (size_t i = 0; i < RUNS_MAX; i++)
                consider(&due, (Due){.at = run_due(&storm.runs[i]), .what = DUE_RUN, .index = i});
        for (size_t i = 0; i < TASKS_MAX; i++)
                consider(&due, (Due){.at = task_due(&storm.tasks[i]), .what = DUE_TASK, .index = i});
        if (!daemon_lives())
                return due;
        for (const Job *job = jobs_next(storm.jobs, NULL); job; job = jobs_next(storm.jobs, job)) {
                Track *track = track_of(job->id);

                consider(&due, (Due){.at = track->scan_at, .what = DUE_SCAN, .track = track});
                consider(&due, (Due){.at = track->answer_at, .what = DUE_ANSWER, .track = track});
                consider(&due, (Due){.at = track->delay_at, .what = DUE_DELAY, .track = track});
                consider(&due, (Due){.at = track->deadline, .what = DUE_DEADLINE, .track = track});
        }
        consider(&due, (Due){.at = storm.release_at, .what = DUE_RELEASE});
        consider(&due, (Due){.at = storm.error_at, .what = DUE_ERROR_TIME});
        for (size_t i = 0; i < LOOKS_MAX; i++)
                if (storm.looks[i].id != 0)
                        consider(&due,
                                 (Due){.at = storm.looks[i].end_at, .what = DUE_ERROR_LOOK, .index = i});
        for (size_t i = 0; i < ASKS_MAX; i++)
                if (storm.asks[i].answer_at != 0)
                        consider(&due, (Due){.at = storm.asks[i].answer_at, .what = DUE_ASK, .index = i});
        for (size_t i = 0; i < storm.tree.n; i++)
                consider(&due, (Due){.at = storm.survey_at[i], .what = DUE_LOOK, .index = i});
        return due;
}

static void time_out(Track *track)
{
        Job *job = jobs_find(storm.jobs, track->job);

        track->deadline = NEVER;
        storm_note("job %u: nobody waits any longer", job->id);
        if (job_has_begun(job))
                job_detach(job);
        else
                ck_assert_int_eq(job_cancel(job, RESET_TIMED_OUT), 0);
}

static void look(size_t i)
{
        Device *device = registry_find(storm.registry, &storm.tree.nodes[i].address);

        storm.survey_at[i] = NEVER;
        tree_look(&storm.tree, i);
        if (device)
                releases_looked(storm.releases, device);
        clean_looked(i);
}

static void happen(const Due *due)
{
        switch (due->what) {
        case DUE_NOTHING:
                break;
        case DUE_START:
                daemon_start();
                break;
        case DUE_SCAN:
                track_scanned(due->track);
                break;
        case DUE_ANSWER:
                track_answered(due->track);
                break;
        case DUE_DELAY:
                track_delayed(due->track);
                break;
        case DUE_DEADLINE:
                time_out(due->track);
                break;
        case DUE_RUN:
                run_go_on(&storm.runs[due->index]);
                break;
        case DUE_ASK:
                ask_answered(&storm.asks[due->index]);
                break;
        case DUE_LOOK:
                look(due->index);
                break;
        case DUE_RELEASE:
                storm.release_at = NEVER;
                releases_run(storm.releases);
                break;
        case DUE_ERROR_LOOK:
                errors_looked(&storm.looks[due->index]);
                break;
        case DUE_TASK:
                task_go_on(&storm.tasks[due->index]);
                break;
        case DUE_ERROR_TIME:
                storm.error_at = NEVER;
                errors_time_over();
                break;
        }
}

/* ---- what people and the weather do ---- */

void tree_unlist(size_t i)
{
        storm.tree.nodes[i].methods = storm.supported[i];
}

/* A card in its place, maybe another one. The kernel binds what it likes best. */
static void plug(size_t i)
{
        Node *node = &storm.tree.nodes[i];

        tree_unlist(i);
        tree_change(&storm.tree, i);
        if (node->present && node->driver[0] == '\0' && chance(&storm.tree, 50))
                tree_bind(&storm.tree, i, NULL);
}

static void change(size_t i)
{
        const ResetMethodList before = storm.tree.nodes[i].methods;

        if (chance(&storm.tree, 5)) {
                administrator_overrides(i);
                return;
        }
        tree_change(&storm.tree, i);
        if (methods_same(&before, &storm.tree.nodes[i].methods))
                return;
        /* Another kernel module, say, and nobody tells. */
        storm.supported[i] = storm.tree.nodes[i].methods;
        hardware_of(i)->is_excused = true;
}

static void change_something(void)
{
        Tree *tree = &storm.tree;
        size_t i = chance(tree, 50) ? (storm.hot + pick(tree, 8)) % tree->n : pick(tree, (unsigned) tree->n);
        bool was = tree->nodes[i].present;

        /* A bridge takes a whole branch with it. */
        if (was && tree->nodes[i].is_bridge && chance(tree, 90))
                return;
        storm_note("something changes at %s", name_of(i));
        if (was)
                change(i);
        else
                plug(i);
        stats.plugs += tree->nodes[i].present != was;
}

static void kill_something(void)
{
        Tree *tree = &storm.tree;
        size_t n = 0;

        if (chance(tree, 1)) {
                reboot();
                return;
        }
        if (daemon_lives() && chance(tree, 10)) {
                daemon_kill();
                return;
        }
        for (size_t i = 0; i < RUNS_MAX; i++)
                n += storm.runs[i].job != 0;
        if (n == 0 || chance(tree, 50))
                return;
        n = pick(tree, (unsigned) n);
        for (size_t i = 0; i < RUNS_MAX; i++)
                if (storm.runs[i].job != 0 && n-- == 0) {
                        run_kill(&storm.runs[i]);
                        return;
                }
}

static void unclaim(size_t i)
{
        if (storm.tree.held[i].used && !daemon_lives())
                releases_orphan(&storm.tree.held[i]);
        tree_unclaim(&storm.tree, i);
}

static void act(void)
{
        Tree *tree = &storm.tree;
        unsigned what = pick(tree, 100);

        next_action = storm_in(1 * MSEC, 900 * MSEC);
        /* Sometimes nothing happens for long, and whatever lasts too long has its end. */
        if (pick(tree, 1000) < 3)
                next_action = storm_in(60 * SEC, 900 * SEC);
        if (what < 5)
                errors_of_the_weather();
        else if (what < 30)
                change_something();
        else if (what < 45)
                unclaim(pick(tree, LEASES_MAX));
        else if (what < 48)
                rules_change();
        else if (what < 52)
                kill_something();
        else if (!daemon_lives())
                return;
        else if (what < 60)
                user_claims();
        else if (what < 63)
                user_leaves();
        else if (what < 66)
                somebody_in_charge();
        else
                user_asks();
}

static void one_step(void)
{
        Due due = find_due();

        storm.step++;
        if (due.at <= next_action || storm.is_calm) {
                if (due.at != NEVER && due.at > storm.now)
                        storm.now = due.at;
                happen(&due);
        } else {
                storm.now = next_action;
                act();
        }
        clean_follow();
        if (storm.step % AUDIT_EVERY == 0)
                audit();
}

/* ---- one machine ---- */

static void check_at_rest(void)
{
        audit();
        for (const Job *job = jobs_next(storm.jobs, NULL); job; job = jobs_next(storm.jobs, job))
                storm_wrong("job %u is still %s when all is calm", job->id, job_phase_to_string(job->phase));
        for (size_t i = 0; i < TRACKS_MAX; i++)
                if (storm.tracks[i].job != 0 && !storm.tracks[i].finished)
                        storm_wrong("job %u has never ended", storm.tracks[i].job);
        releases_check_at_rest();
        errors_check_at_rest();
        if (storm.pins != 0)
                storm_wrong("%ld devices are still held fast when all is calm", storm.pins);
}

static void wait_for_rest(void)
{
        unsigned limit = storm.step + 200000;

        while (find_due().what != DUE_NOTHING && storm.step < limit)
                one_step();
        check_at_rest();
}

/* Everybody lets go and workers succeed: then all jobs end, or one is lost. And what a daemon has missed the
 * next one finds. */
static void come_to_rest(void)
{
        storm.is_calm = true;
        if (!daemon_lives())
                daemon_start();
        errors_calm();
        tree_calm(&storm.tree);
        clean_follow();
        wait_for_rest();
        tasks_check_at_rest(false);
        daemon_kill();
        daemon_start();
        wait_for_rest();
        tasks_check_at_rest(true);
        for (size_t i = 0; i < RUNS_MAX; i++)
                if (storm.runs[i].job != 0)
                        storm_wrong("the worker of job %u has never ended", storm.runs[i].job);
}

static unsigned one_machine(uint64_t seed, unsigned machine)
{
        memset(&storm, 0, sizeof(storm));
        storm.seed = seed;
        storm.machine = machine;
        storm.start_at = storm.release_at = storm.error_at = NEVER;
        storm.tree.has_silent = true;
        tree_grow(&storm.tree, seed, NULL, NULL);
        storm.tree.has_silent = true;
        for (size_t i = 0; i < NODES_MAX; i++) {
                storm.survey_at[i] = NEVER;
                storm.supported[i] = storm.tree.nodes[i].methods;
        }
        storm.hot = pick(&storm.tree, (unsigned) storm.tree.n);
        storm.now = 1000 * SEC;
        next_action = 0;
        rules_begin();
        daemon_start();
        while (storm.step < STEPS_PER_MACHINE)
                one_step();
        come_to_rest();
        daemon_kill();
        return storm.step;
}

/* ---- all of them ---- */

static void tell(unsigned long steps, unsigned machines)
{
        printf("# %lu steps, %u machines, %lu kills of the daemon, %lu of workers\n", steps, machines,
               stats.kills, stats.worker_kills);
        printf("# %lu requests, %lu begun, %lu written, %lu ended, %lu well, %lu taken on, %lu unheard of\n",
               stats.requests, stats.started, stats.written, stats.finished, stats.ok, stats.adopted,
               stats.unheard);
        printf("# begun: %lu queued before, %lu of several, %lu in use, %lu owned, %lu shared, %lu "
               "quarantined\n",
               stats.queued_behind, stats.several, stats.in_use, stats.owned, stats.shared,
               stats.quarantined);
        printf("# %lu leases, %lu claims refused, %lu quarantines proved well, %lu changes of rules, %lu of "
               "devices, "
               "%lu recoveries, %lu audits\n"
               "# found clean %lu times, required so %lu times, %lu resets between users, %lu times owed\n",
               stats.leases, stats.refused_claims, stats.lifted, stats.policy, stats.plugs, stats.recoveries,
               stats.audits, stats.clean, stats.required_clean, stats.released, stats.owed);
        printf("# after errors: %lu put aside, %lu looked at, %lu broken, %lu recoveries wanted, %lu of "
               "them "
               "not, %lu begun, %lu recoveries of the kernel's without an end\n",
               stats.put_aside, stats.looked, stats.broken, stats.recovered, stats.not_recovered,
               stats.own_begun, stats.unfinished);
        printf("# settings: %lu workers, %lu kept off, %lu let at, %lu ordered, %lu found in order\n"
               "# workers that died: %lu mended; machines: %lu rebooted, %lu resets under way; drivers: %lu "
               "taken off, %lu left off, %lu handed back\n",
               stats.tasks, stats.kept_off, stats.let_at, stats.ordered, stats.in_order, stats.mended,
               stats.reboots, stats.interrupted, stats.rebound, stats.left_off, stats.handed_back);
        for (unsigned i = 0; i <= RESET_RECOVERING; i++)
                printf("%s%s %lu%s", i == 0 ? "# " : "", reset_error_to_string((ResetError) i),
                       stats.errors[i], i == RESET_RECOVERING ? "\n" : ", ");
        fflush(stdout);
}

/* A promise that is kept by doing nothing is none. */
static void check_that_it_happened(void)
{
        ck_assert_uint_gt(stats.written, 200);
        ck_assert_uint_gt(stats.ok, 50);
        ck_assert_uint_gt(stats.kills, 10);
        ck_assert_uint_gt(stats.adopted, 0);
        ck_assert_uint_gt(stats.unheard, 0);
        ck_assert_uint_gt(stats.worker_kills, 10);
        ck_assert_uint_gt(stats.several, 5);
        ck_assert_uint_gt(stats.queued_behind, 10);
        ck_assert_uint_gt(stats.in_use, 5);
        ck_assert_uint_gt(stats.quarantined, 0);
        ck_assert_uint_gt(stats.leases, 20);
        ck_assert_uint_gt(stats.clean, 10);
        ck_assert_uint_gt(stats.released, 2);
        ck_assert_uint_gt(stats.required_clean, 0);
        ck_assert_uint_gt(stats.recoveries, 5);
        ck_assert_uint_gt(stats.errors[RESET_RECOVERING], 0);
        ck_assert_uint_gt(stats.put_aside, 0);
        ck_assert_uint_gt(stats.broken, 5);
        ck_assert_uint_gt(stats.recovered, 2);
        ck_assert_uint_gt(stats.own_begun, 0);
        ck_assert_uint_gt(stats.kept_off, 0);
        ck_assert_uint_gt(stats.ordered, 10);
        ck_assert_uint_gt(stats.in_order, 0);
        ck_assert_uint_gt(stats.mended, 5);
        ck_assert_uint_gt(stats.rebound, 0);
        ck_assert_uint_gt(stats.owed, 5);
        for (unsigned i = ADMISSION_GONE; i <= ADMISSION_NOT_CLEAN; i++)
                ck_assert_msg(stats.obstacles[i] > 0, "no claim met obstacle %u", i);
}

static unsigned long long from_environment(const char *name, unsigned long long otherwise)
{
        const char *text = getenv(name);

        return text && text[0] != '\0' ? strtoull(text, NULL, 10) : otherwise;
}

START_TEST(no_reset_that_must_not_be)
{
        unsigned long wanted = (unsigned long) from_environment("STORM_STEPS", STEPS), steps = 0;
        unsigned machines = 0;

        for (; steps < wanted; machines++)
                steps += one_machine(first_seed + machines, machines);
        tell(steps, machines);
        if (wanted >= STEPS)
                check_that_it_happened();
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("storm");
        TCase *tcase = tcase_create("storm");
        uint32_t fresh = 1;

        if (getrandom(&fresh, sizeof(fresh), 0) < 0)
                perror("# getrandom");
        first_seed = from_environment("SEED", fresh);
        printf("# SEED=%llu\n", (unsigned long long) first_seed);
        fflush(stdout);
        tcase_set_timeout(tcase, 3600);
        tcase_add_test(tcase, no_reset_that_must_not_be);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
