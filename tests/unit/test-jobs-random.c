/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The promise of the whole program, at random: no reset begins whose set has a device that somebody else has
 * leased, or that is in use and may not be; no two begin that disturb each other; what begins was granted as
 * it is; whoever asked to be told is told; and no request is lost.
 *
 * Each machine is another one (random-tree.h), and while several users ask for resets everything in it
 * changes. Every reset that begins is judged by an oracle that knows nothing of plans (random-oracle.h), and
 * held against what was granted (random-track.h).
 *
 * PCIRESETD_TEST_TREES says how many machines, PCIRESETD_TEST_SEED which is the first.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/domain/jobs.h"
#include "random-oracle.h"
#include "random-track.h"
#include "random-tree.h"
#include "unit.h"

#define TREES       200U
#define STEPS       1500U
#define JOB_IDS_MAX 2048U
#define RUNS_MAX    64U
#define CLIENT      (&stats)

typedef struct Run {
        uint32_t job;
        Footprint footprint;
} Run;

static Tree tree;
static Claims *claims;
static Proven *proven;
static Quarantines *quarantines;
static Jobs *jobs;
static Track tracks[JOB_IDS_MAX];
static Run runs[RUNS_MAX];
static size_t n_runs;
static uint32_t last_id;
static int pins;
static unsigned seed, step;
static bool is_calm;
static size_t hot; /* where most of them ask for resets */

/* That all of it happens at all. */
static struct {
        unsigned started, queued_behind, of_several, in_use, owned, shared, ours, hot_by_user, rebound,
                after_delay, after_wait;
        unsigned finished, errors[RESET_LIMITS_EXCEEDED + 1];
} stats;

static void wrong(const Job *job, const char *what)
{
        ck_abort_msg("machine %u, step %u, job %u (%s): %s", seed, step, job->id, job->method, what);
}

/* ---- the ports ---- */

static int refresh(void *userdata, Device *device)
{
        tree_refresh(&tree, device);
        return 0;
}

static int scan(void *userdata, Job *job, Device **devices, size_t n)
{
        unsigned how = is_calm ? 99 : pick(&tree, 100);

        if (how < 3)
                return -EIO;
        if (how < 50) {
                tracks[job->id].scans = true;
                return 1;
        }
        for (size_t i = 0; i < n; i++)
                tree_scan(&tree, devices[i]);
        return 0;
}

/* What a scan found out that has taken its time: how it is at its end. */
static void end_scan(Job *job)
{
        Device *target = job_target_device(job), **devices;
        bool fails = !is_calm && chance(&tree, 5);
        size_t n;

        tracks[job->id].scans = false;
        if (target && !fails && plan_concerned(target, &devices, &n) >= 0) {
                for (size_t i = 0; i < n; i++)
                        tree_scan(&tree, devices[i]);
                free(devices);
        }
        job_scanned(job, fails ? -EIO : 0);
}

static int delay(void *userdata, Job *job, uint64_t usec)
{
        tracks[job->id].waits = true;
        return 0;
}

static int pin(void *userdata, const PciAddress *address, uint64_t inode)
{
        const Node *node = tree_node(&tree, address);

        if (!node->present || node->inode != inode)
                return -ENODEV;
        if (!is_calm && chance(&tree, 1))
                return -EMFILE;
        return 1000 + pins++;
}

static void unpin(void *userdata, int handle)
{
        ck_assert_int_ge(handle, 1000);
        pins--;
}

static int authorize(void *userdata, Job *job)
{
        tracks[job->id].granted = 0;
        tracks[job->id].asks = true;
        return chance(&tree, 1) && !is_calm ? -EIO : 0;
}

static void forget_authorization(void *userdata, Job *job)
{
        tracks[job->id].asks = false;
}

static void count(const Job *job, const bool set[static NODES_MAX], size_t n)
{
        const Track *track = &tracks[job->id];

        stats.started++;
        stats.queued_behind += track->queued_at > 0 && track->queued_at < step;
        stats.of_several += n > 1;
        stats.in_use += !!(track->granted & ACTION_RESET_IN_USE);
        stats.shared += !!(track->granted & ACTION_RESET_SHARED);
        stats.owned += track->granted == ACTION_RESET_OWNED;
        stats.ours += reset_method_is_ours(job->method);
        stats.hot_by_user += strcmp(job->method, "vfio_hot") == 0 && track->asker.n_groups > 0;
        stats.rebound += oracle_rebinds(&tree, job->method, track->in_use, set);
        stats.after_delay += track->delay_is_over;
        stats.after_wait += job->request.plan.when_idle;
}

static int start_worker(void *userdata, Job *job, const WorkerRequest *request)
{
        const Track *track = &tracks[job->id];
        Run *run = &runs[n_runs];
        bool set[NODES_MAX];
        const OracleCase reset = {
                .target = track->target,
                .method = request->method,
                .requested = track->requested,
                .asker = &track->asker,
                .in_use = track->in_use,
                .granted = track->granted,
                .job = job->id,
        };
        const char *why;

        oracle_set(&tree, track->target, request->method, set);
        why = oracle_judge(&tree, &reset, set);
        if (why)
                wrong(job, why);
        why = track_judge(track, &tree, request, set);
        if (why)
                wrong(job, why);

        *run = (Run){.job = job->id, .footprint = oracle_footprint(&tree, track->target, set)};
        for (size_t i = 0; i < n_runs; i++)
                if (oracle_conflict(&runs[i].footprint, &run->footprint))
                        wrong(job, "it disturbs a reset that runs");
        count(job, set, request->n_members);
        if (!is_calm && chance(&tree, 1))
                return -EAGAIN;
        ck_assert_uint_lt(++n_runs, RUNS_MAX);
        return 0;
}

static void event(void *userdata, Job *job, JobEvent what)
{
        Track *track = &tracks[job->id];

        if (track->finished)
                wrong(job, "it ends twice");
        if ((what == JOB_EVENT_PREPARE && track->prepared) ||
            (what == JOB_EVENT_RELAX && !track->prepared) || (what == JOB_EVENT_FINISHED && track->prepared))
                wrong(job, "PREPARE and RELAX are no pairs");
        if (job->phase == JOB_QUEUED && (what == JOB_EVENT_ANNOUNCED || what == JOB_EVENT_CHANGED))
                track->queued_at = step;
        track->prepared = what == JOB_EVENT_PREPARE || (track->prepared && what != JOB_EVENT_RELAX);
        if (what != JOB_EVENT_FINISHED)
                return;
        track->finished = true;
        stats.finished++;
        stats.errors[job->error]++;
}

static uint64_t now_realtime(void *userdata)
{
        return step;
}

static uint64_t now_boottime(void *userdata)
{
        return 1;
}

static uint32_t new_id(void *userdata)
{
        ck_assert_uint_lt(last_id + 1, JOB_IDS_MAX);
        return ++last_id;
}

/* ---- users, workers and the weather ---- */

static size_t pick_near(size_t node)
{
        size_t i = (node + pick(&tree, 8)) % tree.n;

        return tree.nodes[i].is_bridge ? pick(&tree, (unsigned) tree.n) : i;
}

static void submit(void)
{
        static const char *const methods[] = {"any",  "any",    "function", "link",        "flr",
                                              "bus",  "acpi",   "cxl_bus",  "subordinate", "vfio_hot",
                                              "slot", "rescan", "pm",       "d3cold",      "frobnicate"};
        static const uint32_t uids[] = {0, 1001, 1002, 1003};
        /* Most of them in one corner, so that they are in each other's way. */
        size_t target = chance(&tree, 70) ? pick_near(hot) : pick(&tree, (unsigned) tree.n);
        Device *device = registry_find(tree.registry, &tree.nodes[target].address);
        JobRequest request = {.no_wait = chance(&tree, 5), .client = CLIENT};
        PlanAsker *asker = &request.plan.asker;

        if (!device || last_id + 1 >= JOB_IDS_MAX)
                return;
        request.uid = asker->uid = uids[pick(&tree, 4)];
        strcpy(request.method, methods[pick(&tree, sizeof(methods) / sizeof(methods[0]))]);
        request.plan.in_use = chance(&tree, 40);
        request.plan.when_idle = chance(&tree, 40);
        if (chance(&tree, 20))
                strcpy(asker->presented, tree.held[pick(&tree, LEASES_MAX)].id);
        if (chance(&tree, 5))
                strcpy(asker->lease, tree.held[pick(&tree, LEASES_MAX)].id);
        if (chance(&tree, 30))
                for (asker->n_groups = 0; asker->n_groups < 3; asker->n_groups++)
                        (void) snprintf(asker->groups[asker->n_groups], IOMMU_GROUP_MAX, "%zu",
                                        1 + (asker->n_groups + target) % 4);
        tracks[last_id + 1] = (Track){.target = target, .asker = *asker, .in_use = request.plan.in_use};
        memcpy(tracks[last_id + 1].requested, request.method, sizeof(request.method));
        ck_assert_int_eq(jobs_submit(jobs, device, &request), 0);
}

static Run *run_of(const Job *job)
{
        for (size_t i = 0; i < n_runs; i++)
                if (runs[i].job == job->id)
                        return &runs[i];
        return NULL;
}

/* What a reset may do to its devices, before its worker says so. */
static void take_away(const Run *run)
{
        const bool *set = run->footprint.set;

        for (size_t i = 0; i < tree.n; i++)
                if (set[i] && !tree.nodes[i].is_bridge && chance(&tree, 70))
                        tree_unplug(&tree, i);
        for (unsigned round = 0; round < 2; round++)
                for (size_t i = 0; i < tree.n; i++)
                        if (set[i] && chance(&tree, 90))
                                (void) tree_plug(&tree, i);
}

static void end_worker(Job *job)
{
        static const char *const reasons[] = {WORKER_WHY_HELD, WORKER_WHY_DRIVER, WORKER_WHY_ENABLED,
                                              WORKER_WHY_DEAD};
        WorkerResult *result = calloc(1, sizeof(WorkerResult));
        Run *run = run_of(job);

        ck_assert_ptr_nonnull(run);
        if (reset_method_scope(job->method) == RESET_SCOPE_POWER || strcmp(job->method, "slot") == 0)
                take_away(run);
        *run = runs[--n_runs];
        if (!is_calm && chance(&tree, 5)) {
                free(result);
                job_worker_done(job, NULL);
                return;
        }
        result->outcome = is_calm || chance(&tree, 50) ? WORKER_DONE : (WorkerOutcome) pick(&tree, 4);
        result->verdict = is_calm || chance(&tree, 50) ? VERDICT_OK : (Verdict) pick(&tree, 4);
        result->written = result->outcome == WORKER_DONE || result->outcome == WORKER_FAILED;
        if (result->outcome == WORKER_REFUSED)
                strcpy(result->why, reasons[pick(&tree, 4)]);
        job_worker_done(job, result);
}

/* Whatever this job waits for of ours happens. False: nothing. */
static bool push(Job *job)
{
        Track *track = &tracks[job->id];
        bool yes = is_calm || chance(&tree, 80);

        if (track->scans) {
                end_scan(job);
        } else if (track->asks) {
                track->asks = false;
                if (yes)
                        track_grant(track, &tree, job);
                job_authorized(job, yes ? GRANT_YES : (Grant) (1 + pick(&tree, 4)));
        } else if (track->waits && job->phase == JOB_INHIBITED) {
                track->waits = false;
                track->delay_is_over = true;
                job_delay_over(job);
        } else if (run_of(job)) {
                end_worker(job);
        } else {
                return false;
        }
        return true;
}

static Job *pick_job(void)
{
        size_t n = 0;
        Job *job;

        for (job = jobs_next(jobs, NULL); job; job = jobs_next(jobs, job))
                n++;
        if (n == 0)
                return NULL;
        job = jobs_next(jobs, NULL);
        for (unsigned skip = pick(&tree, (unsigned) n); skip > 0; skip--)
                job = jobs_next(jobs, job);
        return job;
}

static void one_step(void)
{
        Job *job = pick_job();

        switch (pick(&tree, 16)) {
        case 0:
        case 1:
                submit();
                break;
        case 2:
        case 3:
                tree_change(&tree, pick(&tree, (unsigned) tree.n));
                break;
        case 5:
                if (chance(&tree, 25))
                        tree_claim(&tree);
                break;
        case 6:
                tree_unclaim(&tree, pick(&tree, LEASES_MAX));
                break;
        case 7:
                if (!job || !chance(&tree, 20))
                        break;
                if (job_has_begun(job))
                        job_detach(job);
                else
                        ck_assert_int_eq(job_cancel(job, RESET_CANCELLED), 0);
                break;
        default:
                /* Workers take their time. */
                if (job && (!job_has_begun(job) || chance(&tree, 6)))
                        (void) push(job);
        }
}

/* Everybody has let go, polkit says yes and workers succeed: then all jobs end, or one is lost. */
static void finish_all(void)
{
        bool moved = true;

        is_calm = true;
        tree_calm(&tree);
        while (moved) {
                moved = false;
                for (Job *job = jobs_next(jobs, NULL), *next; job && !moved; job = next) {
                        /* It may end. */
                        next = jobs_next(jobs, job);
                        moved = push(job);
                }
        }
        for (Job *job = jobs_next(jobs, NULL); job; job = jobs_next(jobs, job))
                wrong(job, job_phase_to_string(job->phase));
        for (uint32_t id = 1; id <= last_id; id++)
                ck_assert_msg(tracks[id].finished, "machine %u: job %u is lost", seed, id);
}

static void on_added(void *userdata, Device *device)
{
        claims_device_added(claims, device);
        jobs_device_added(jobs, device);
}

static void on_removed(void *userdata, Device *device)
{
        jobs_wake(jobs, device);
}

static void on_changed(void *userdata, Device *device, unsigned changes)
{
        if (changes & DEVICE_CHANGED_DRIVER)
                ((Node *) tree_node(&tree, &device->facts.address))->is_known = false;
        if (changes & (DEVICE_CHANGED_USE | DEVICE_CHANGED_CLAIMS | DEVICE_CHANGED_DRIVER))
                jobs_wake(jobs, device);
}

static void one_machine(void)
{
        const RegistryListener listener = {.added = on_added, .removed = on_removed, .changed = on_changed};
        const JobPorts ports = {
                .refresh = refresh,
                .scan = scan,
                .delay = delay,
                .pin = pin,
                .unpin = unpin,
                .authorize = authorize,
                .forget_authorization = forget_authorization,
                .start_worker = start_worker,
                .event = event,
                .now_realtime = now_realtime,
                .now_boottime = now_boottime,
                .new_id = new_id,
        };
        Registry *registry;

        memset(tracks, 0, sizeof(tracks));
        last_id = 0;
        is_calm = false;
        ck_assert_int_eq(registry_new(&registry), 0);
        ck_assert_int_eq(claims_new(registry, &claims), 0);
        ck_assert_int_eq(proven_new(&proven), 0);
        ck_assert_int_eq(quarantines_new(registry, &quarantines), 0);
        ck_assert_int_eq(jobs_new(registry, proven, quarantines, &ports, &jobs), 0);
        registry_set_listener(registry, &listener);
        tree_grow(&tree, seed, registry, claims);
        hot = pick(&tree, (unsigned) tree.n);

        for (step = 0; step < STEPS; step++)
                one_step();
        finish_all();

        ck_assert_int_eq(pins, 0);
        ck_assert_uint_eq(n_runs, 0);
        for (Device *d = registry_next(registry, NULL); d; d = registry_next(registry, d)) {
                ck_assert_uint_eq(d->n_queued, 0);
                ck_assert_uint_eq(d->n_resetting, 0);
                ck_assert_uint_eq(d->n_blocking + d->n_delaying, 0);
                ck_assert_ptr_null(d->lease);
        }
        registry_set_listener(registry, NULL);
        jobs_free(jobs);
        claims_free(claims);
        quarantines_free(quarantines);
        proven_free(proven);
        registry_free(registry);
}

static unsigned from_environment(const char *name, unsigned otherwise)
{
        const char *text = getenv(name);

        return text ? (unsigned) strtoul(text, NULL, 10) : otherwise;
}

START_TEST(no_reset_that_must_not_be)
{
        unsigned first = from_environment("PCIRESETD_TEST_SEED", 1),
                 n = from_environment("PCIRESETD_TEST_TREES", TREES);

        for (seed = first; seed < first + n; seed++)
                one_machine();
        if (getenv("PCIRESETD_TEST_TREES"))
                printf("# started %u queued-behind %u several %u in-use %u shared %u owned %u ours %u "
                       "hot-by-user %u rebound "
                       "%u "
                       "after-delay %u after-wait %u\n",
                       stats.started, stats.queued_behind, stats.of_several, stats.in_use, stats.shared,
                       stats.owned, stats.ours, stats.hot_by_user, stats.rebound, stats.after_delay,
                       stats.after_wait);
        if (n < TREES)
                return;
        /* A promise that is kept by doing nothing is none. */
        ck_assert_uint_gt(stats.started, 1000);
        ck_assert_uint_gt(stats.of_several, 100);
        ck_assert_uint_gt(stats.queued_behind, 100);
        ck_assert_uint_gt(stats.in_use, 20);
        ck_assert_uint_gt(stats.shared, 100);
        ck_assert_uint_gt(stats.owned, 20);
        ck_assert_uint_gt(stats.ours, 100);
        ck_assert_uint_gt(stats.hot_by_user, 0);
        ck_assert_uint_gt(stats.rebound, 20);
        ck_assert_uint_gt(stats.after_delay, 20);
        ck_assert_uint_gt(stats.after_wait, 100);
        for (unsigned i = RESET_OK; i <= RESET_LIMITS_EXCEEDED; i++)
                if (i != RESET_TIMED_OUT)
                        ck_assert_msg(stats.errors[i] > 0, "no reset ended with %s",
                                      reset_error_to_string((ResetError) i));
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("jobs-random");
        TCase *tcase = tcase_create("jobs-random");

        tcase_set_timeout(tcase, 600);
        tcase_add_test(tcase, no_reset_that_must_not_be);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
