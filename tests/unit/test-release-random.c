/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * At random: users come and go, drivers and devices too, workers succeed, fail and die, and the daemon is
 * another one every now and then. An oracle that knows nothing of releases keeps books of its own: who has
 * had which device, and which resets were proved since.
 *
 * No device is given to anybody that has not been reset since its last user; the daemon resets nothing that
 * somebody has; and once everything lets go, each device is clean, or put away, or it is told what it waits
 * for.
 *
 * PCIRESETD_TEST_TREES says how many runs, PCIRESETD_TEST_SEED which is the first.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/domain/admission.h"
#include "daemon/domain/cleanliness.h"
#include "job-world.h"
#include "unit.h"

#define RUNS       150U
#define STEPS      500U
#define N          6U
#define LEASES_MAX 8U

static const char *const names[N] = {"0000:01:00.0", "0000:01:00.1", "0000:01:00.2",
                                     "0000:02:00.0", "0000:03:00.0", "0000:03:00.1"};

/* A device, from the oracle's side. */
typedef struct Book {
        unsigned n_leases; /* 0 or 1 */
        bool is_open; /* through VFIO */
        bool is_used; /* since its last proved reset */
        bool is_due; /* and a lease has ended since then */
        bool is_excused; /* it was away, or in quarantine: what became of it there is not ours to know */
} Book;

static Book books[N];
static char leases[LEASES_MAX][CLAIM_ID_MAX];
static size_t n_leases;
static unsigned last_lease, seed, step;
static size_t n_seen; /* of seen.running */
static struct {
        unsigned given, refused, reset, waited, quarantined, links, unplugged;
} stats;

static unsigned any(unsigned n)
{
        return (unsigned) rand() % n;
}

static Device *device_at(size_t i)
{
        PciAddress address = at(names[i]);

        return registry_find(seen.world.registry, &address);
}

static size_t index_of(const PciAddress *address)
{
        for (size_t i = 0; i < N; i++) {
                PciAddress other = at(names[i]);

                if (pci_address_equal(address, &other))
                        return i;
        }
        return N;
}

#define CHECK(condition, text, ...)                                                                         \
        ck_assert_msg(condition, "seed %u, step %u: " text, seed, step, ##__VA_ARGS__)

/* ---- what the daemon does ---- */

/* Each worker that was sent out since the last time. */
static void judge_starts(void)
{
        for (; n_seen < seen.n_ran; n_seen++) {
                const Job *job = seen.running[n_seen];

                if (!job->request.plan.release)
                        continue;
                stats.links += job->n_members > 1;
                for (size_t k = 0; k < job->n_members; k++) {
                        size_t i = index_of(&job->members[k].address);

                        CHECK(i == N || (books[i].n_leases == 0 && !books[i].is_open),
                              "%s is reset by the daemon, and somebody has it", names[i]);
                }
        }
}

static void settle(void)
{
        job_world_settle();
        judge_starts();
}

static void note_proof(const Job *job)
{
        for (size_t k = 0; k < job->n_members; k++) {
                size_t i = index_of(&job->members[k].address);

                const Device *device = i < N ? device_at(i) : NULL;

                /* One that has come back since is another one. */
                if (device && device->generation == job->members[k].generation && !books[i].is_open)
                        books[i].is_used = books[i].is_due = false;
        }
}

/* The results that a worker may have; one in three devices is beyond help for a while. */
static void finish_worker(void)
{
        size_t first = any((unsigned) seen.n_ran);

        for (size_t k = 0; k < seen.n_ran; k++) {
                size_t i = (first + k) % seen.n_ran;
                Job *job = seen.running[i];

                if (!job)
                        continue;
                seen.running[i] = NULL;
                stats.reset++;
                switch (any(8)) {
                case 0: {
                        WorkerResult *result = calloc(1, sizeof(WorkerResult));

                        ck_assert_ptr_nonnull(result);
                        result->outcome = WORKER_REFUSED;
                        (void) snprintf(result->why, sizeof(result->why), "%s",
                                        any(2) ? "locked" : WORKER_WHY_HELD);
                        job_worker_done(job, result);
                        break;
                }
                case 1:
                        job_worker_done(job, NULL);
                        break;
                case 2: {
                        WorkerResult *result = calloc(1, sizeof(WorkerResult));

                        ck_assert_ptr_nonnull(result);
                        result->outcome = WORKER_FAILED;
                        result->written = true;
                        result->error = 25;
                        job_worker_done(job, result);
                        break;
                }
                default: {
                        WorkerResult *result = calloc(1, sizeof(WorkerResult));

                        ck_assert_ptr_nonnull(result);
                        result->outcome = WORKER_DONE;
                        result->written = true;
                        result->verdict = VERDICT_OK;
                        note_proof(job);
                        job_worker_done(job, result);
                }
                }
                break;
        }
}

static bool any_runs(void)
{
        for (size_t i = 0; i < seen.n_ran; i++)
                if (seen.running[i])
                        return true;
        return false;
}

/* ---- what users do ---- */

static void acquire(void)
{
        ClaimDevice named[2];
        uint64_t generations[2];
        size_t indices[2] = {any(N), any(N)}, n = 1 + any(2);
        ClaimRecord record = {.kind = CLAIM_LEASE, .uid = 1001 + any(2), .devices = named, .n_devices = n};
        const Claim *claim;

        if (n == 2 && indices[0] == indices[1])
                n = record.n_devices = 1;
        for (size_t k = 0; k < n; k++) {
                const Device *device = device_at(indices[k]);

                if (!device)
                        return;
                named[k] = claim_device(device);
                generations[k] = device->generation;
        }
        if (n_leases == LEASES_MAX ||
            admission_judge(seen.claims, seen.jobs, seen.world.registry, &record, generations).obstacle !=
                    ADMISSION_FREE) {
                stats.refused++;
                return;
        }
        stats.given++;
        for (size_t k = 0; k < n; k++) {
                Book *book = &books[indices[k]];

                CHECK(!book->is_used || (book->is_open && !book->is_due) || book->is_excused,
                      "%s is given away as it was left", names[indices[k]]);
                book->n_leases = 1;
                book->is_used = true;
                book->is_due = book->is_excused = false;
        }
        (void) snprintf(record.id, sizeof(record.id), "l%u", ++last_lease);
        memcpy(leases[n_leases++], record.id, sizeof(record.id));
        ck_assert_int_eq(claims_add(seen.claims, &record, &claim), 0);
}

static void let_go_of(size_t i)
{
        const Claim *claim = claims_find(seen.claims, leases[i]);

        ck_assert_ptr_nonnull(claim);
        for (size_t k = 0; k < claim->record.n_devices; k++) {
                Book *book = &books[index_of(&claim->record.devices[k].address)];

                book->n_leases = 0;
                book->is_due = book->is_used;
        }
        claims_remove(seen.claims, leases[i]);
        memmove(leases[i], leases[n_leases - 1], sizeof(leases[0]));
        n_leases--;
}

static void open_or_close(size_t i)
{
        Device *device = device_at(i);

        if (!device || driver_kind(device->facts.driver) != DRIVER_ASSIGNABLE)
                return;
        if (books[i].is_open) {
                books[i].is_open = false;
                let_go(names[i]);
        } else {
                books[i].is_open = books[i].is_used = true;
                hold(names[i], HOLDER_VFIO);
        }
}

static void rebind(size_t i)
{
        static const char *const drivers[] = {"", "vfio-pci", "vfio-pci", "e1000e", "nvme"};
        Device *device = device_at(i);

        if (!device || books[i].is_open)
                return;
        world_bind(&seen.world, names[i], drivers[any(5)]);
        /* And somebody has looked. */
        let_go(names[i]);
}

static void inhibit(void)
{
        char id[CLAIM_ID_MAX];

        (void) snprintf(id, sizeof(id), "i%u", any(3));
        if (claims_find(seen.claims, id))
                claims_remove(seen.claims, id);
        else
                ck_assert_int_eq(
                        world_claim(&seen.world, seen.claims, id, CLAIM_INHIBIT_BLOCK, 0, names[any(N)]), 0);
}

/* Somebody in charge deals with what was put away. */
static void let_out(size_t i)
{
        Device *device = device_at(i);

        if (!device || !device->quarantine)
                return;
        stats.quarantined++;
        books[i].is_excused = true;
        (void) quarantines_end(seen.quarantines, device, QUARANTINE_RELEASED);
}

/* Nothing is reset by that. */
static void plug(size_t i)
{
        static const char *const methods[] = {"", "flr", "pm", "flr pm", "bus"};
        static const char *const ports[] = {"0000:00:01.0", "0000:00:02.0", "0000:00:03.0"};

        if (device_at(i)) {
                books[i].is_open = false;
                stats.unplugged++;
                unplug(names[i]);
        } else {
                world_add(&seen.world, names[i], ports[names[i][6] - '1'], any(2) ? "vfio-pci" : "",
                          methods[any(5)]);
                let_go(names[i]);
        }
}

static void restart(void)
{
        job_world_settle();
        judge_starts();
        job_world_restart_releases();
        for (size_t i = 0; i < N; i++) {
                Device *device = device_at(i);

                if (device && books[i].is_open)
                        hold(names[i], HOLDER_VFIO);
                else if (device)
                        let_go(names[i]);
        }
}

static void take_step(void)
{
        size_t i = any(N);

        switch (any(15)) {
        case 0:
        case 1:
        case 2:
                acquire();
                break;
        case 3:
        case 4:
                if (n_leases > 0)
                        let_go_of(any((unsigned) n_leases));
                break;
        case 5:
        case 6:
                open_or_close(i);
                break;
        case 7:
                rebind(i);
                break;
        case 8:
                inhibit();
                break;
        case 9:
                let_out(i);
                break;
        case 10:
                if (any(10) == 0)
                        restart();
                break;
        case 11:
                if (any(4) == 0 || !device_at(i))
                        plug(i);
                break;
        default:
                if (any_runs())
                        finish_worker();
                break;
        }
        settle();
        if (!any_runs())
                n_seen = seen.n_ran = 0;
        while (seen.n_ran > SEEN_MAX - N * 2) {
                while (any_runs()) {
                        finish_worker();
                        judge_starts();
                        if (seen.n_ran >= SEEN_MAX - 4)
                                break;
                }
                CHECK(!any_runs(), "too many workers");
                settle();
                if (!any_runs())
                        n_seen = seen.n_ran = 0;
        }
}

/* ---- a run ---- */

static void begin(void)
{
        const PolicySettings settings = {.set = 1U << POLICY_ON_RELEASE,
                                         .on_release = POLICY_ON_RELEASE_RESET};
        static const char *const methods[] = {"", "flr", "pm", "flr pm", "bus"};

        job_world_init();
        memset(books, 0, sizeof(books));
        n_leases = n_seen = 0;
        world_add_bridge(&seen.world, "0000:00:03.0", NULL);
        world_add(&seen.world, names[1], "0000:00:01.0", "", methods[any(5)]);
        world_add(&seen.world, names[2], "0000:00:01.0", "vfio-pci", methods[any(5)]);
        world_add(&seen.world, names[4], "0000:00:03.0", "", methods[any(5)]);
        world_add(&seen.world, names[5], "0000:00:03.0", "vfio-pci", methods[any(5)]);
        world_find(&seen.world, "0000:00:01.0")->facts.can_reset_subordinate = any(2);
        world_find(&seen.world, "0000:00:03.0")->facts.can_reset_subordinate = true;
        for (size_t i = 0; i < N; i++)
                let_go(names[i]);
        job_world_rule(NULL, &settings);
}

static void end_run(void)
{
        for (size_t i = 0; i < N; i++)
                if (!device_at(i))
                        plug(i);
        settle();
        while (n_leases > 0) {
                let_go_of(0);
                settle();
        }
        for (size_t i = 0; i < N; i++)
                if (books[i].is_open)
                        open_or_close(i);
        for (unsigned i = 0; i < 3; i++) {
                char id[CLAIM_ID_MAX];

                (void) snprintf(id, sizeof(id), "i%u", i);
                claims_remove(seen.claims, id);
        }
        settle();
        for (unsigned i = 0; any_runs(); i++) {
                CHECK(i < 1000, "it never ends");
                finish_worker();
                settle();
                if (!any_runs())
                        n_seen = seen.n_ran = 0;
        }
        for (size_t i = 0; i < N; i++) {
                const Device *device = device_at(i);
                const Release *release = device->release;

                if (!release || !release->record.pending)
                        continue;
                stats.waited++;
                CHECK(release->state != RELEASE_READY || jobs_next(seen.jobs, NULL), "%s is forgotten",
                      names[i]);
                CHECK(release->state != RELEASE_WAITS || release->waits[0], "%s waits for nothing",
                      names[i]);
                CHECK(release->state != RELEASE_DONE || release->record.lease[0], "%s is done and not free",
                      names[i]);
        }
}

START_TEST(between_any_two_users)
{
        const char *first = getenv("PCIRESETD_TEST_SEED"), *runs = getenv("PCIRESETD_TEST_TREES");
        unsigned n = runs ? (unsigned) atoi(runs) : RUNS, base = first ? (unsigned) atoi(first) : 1;

        for (seed = base; seed < base + n; seed++) {
                srand(seed);
                begin();
                for (step = 0; step < STEPS && seen.last_id < 3800; step++)
                        take_step();
                end_run();
                job_world_done();
        }
        /* That all of it happens at all. */
        printf("# given %u, refused %u, reset %u, links %u, waited %u, let out %u\n", stats.given,
               stats.refused, stats.reset, stats.links, stats.waited, stats.quarantined);
        ck_assert_uint_gt(stats.given, n);
        ck_assert_uint_gt(stats.refused, n);
        ck_assert_uint_gt(stats.reset, n);
        ck_assert_uint_gt(stats.links, n / 10);
        ck_assert_uint_gt(stats.unplugged, n);
        ck_assert_uint_gt(stats.waited, 0);
        ck_assert_uint_gt(stats.quarantined, 0);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("release-random");
        TCase *tcase = tcase_create("release-random");

        tcase_set_timeout(tcase, 120);
        tcase_add_test(tcase, between_any_two_users);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
