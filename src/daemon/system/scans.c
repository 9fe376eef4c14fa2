/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Two kinds of questions, each with a queue of its own, as long as workers of the kind may be started:
 *
 *      query ──► waiting ──(next turn)──► a scan: one worker, all waiting queries that fit
 *                   ▲                        ├─► answered: the handlers of its queries
 *                   │                        ├─► out of patience: the worker counts as abandoned
 *                   │                        ├─► failed
 *                   └─── each alone ─────────┴── of the last two, if there are several queries
 *
 * One device that makes a scan fail or hang would make all queries fail that share it. So after a failure
 * each of them is asked again in a scan of its own; only what fails there is an answer. And as long as an
 * abandoned worker is stuck, a query for all the devices that it was asked for is not worth another one.
 */

#include "daemon/system/scans.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <utlist.h>

#include "daemon/system/journal.h"
#include "daemon/system/worker.h"
#include "shared/cleanup.h"

typedef struct Scan Scan;
typedef struct Queue Queue;

struct ScanQuery {
        Queue *queue;
        Scan *scan; /* that it takes part in; NULL while it waits */
        ScanTarget *targets;
        size_t n_targets;
        bool alone; /* shares its scan with nobody */
        ScanHandler handler;
        void *userdata;
        ScanQuery *prev, *next;
};

/* One worker. */
struct Scan {
        Queue *queue;
        uint32_t job;
        WorkerMember *members;
        size_t n_members, n_allocated;
        ScanQuery *queries;
        unsigned n_queries; /* as they were when it began */
        WorkerCall *call;
        sd_event_source *timer;
        bool abandoned;
        Scan *prev, *next;
};

struct Queue {
        Scans *scans;
        bool owners;
        unsigned running_max;
        ScanQuery *waiting;
        Scan *running; /* abandoned ones too */
        unsigned n_running, n_abandoned;
};

struct Scans {
        sd_event *event;
        const char *worker_program;
        uint64_t patience_usec;
        ScansListener listener;
        uint32_t last_job;
        sd_event_source *next_turn;
        Queue queues[2]; /* by `owners` */
        unsigned n_queries;
        size_t n_targets; /* in all of them */
};

DEFINE_CLEANUP(Scans *, scans_free);

static ScanQuery *query_free(ScanQuery *query)
{
        if (!query)
                return NULL;
        free(query->targets);
        free(query);
        return NULL;
}

DEFINE_CLEANUP(ScanQuery *, query_free);

static Scan *scan_free(Scan *scan)
{
        if (!scan)
                return NULL;
        sd_event_source_disable_unref(scan->timer);
        worker_call_free(scan->call);
        free(scan->members);
        free(scan);
        return NULL;
}

DEFINE_CLEANUP(Scan *, scan_free);

/* Takes it out of the list that it is in. */
static void query_remove(ScanQuery *query)
{
        if (query->scan)
                DL_DELETE(query->scan->queries, query);
        else
                DL_DELETE(query->queue->waiting, query);
        query->scan = NULL;
        query->queue->scans->n_queries--;
        query->queue->scans->n_targets -= query->n_targets;
}

static void query_answer(ScanQuery *query, const WorkerScan *answer, int error)
{
        _cleanup_(cleanup_query_free) ScanQuery *freed = query;

        query_remove(query);
        query->handler(query->userdata, error < 0 ? NULL : answer, error);
}

static void wake(Scans *scans)
{
        (void) sd_event_source_set_enabled(scans->next_turn, SD_EVENT_ONESHOT);
}

static WorkerMember *find_member(const Scan *scan, const PciAddress *address)
{
        for (size_t i = 0; i < scan->n_members; i++)
                if (pci_address_equal(&scan->members[i].address, address))
                        return &scan->members[i];
        return NULL;
}

/* How many members the query would add, or -ENOTUNIQ if it means another device at the same address. */
static ssize_t count_new(const Scan *scan, const ScanQuery *query)
{
        ssize_t n = 0;

        for (size_t i = 0; i < query->n_targets; i++) {
                const WorkerMember *member = find_member(scan, &query->targets[i].address);

                if (member && member->inode != query->targets[i].inode)
                        return -ENOTUNIQ;
                if (!member)
                        n++;
        }
        return n;
}

static bool has_target(const ScanQuery *query, const WorkerMember *member)
{
        for (size_t i = 0; i < query->n_targets; i++)
                if (query->targets[i].inode == member->inode &&
                    pci_address_equal(&query->targets[i].address, &member->address))
                        return true;
        return false;
}

/* A worker is stuck that would not have got anywhere with this query either. */
static bool is_hopeless(const ScanQuery *query)
{
        const Queue *queue = query->queue;
        const Scan *scan;

        if (queue->n_abandoned >= SCANS_ABANDONED_MAX)
                return true;
        if (queue->n_abandoned == 0)
                return false;
        DL_FOREACH (queue->running, scan) {
                size_t n = 0;

                while (scan->abandoned && n < scan->n_members && has_target(query, &scan->members[n]))
                        n++;
                if (n == scan->n_members)
                        return true;
        }
        return false;
}

/* Somebody looks at one of its devices now. Those who were given up are not waited for. */
static bool has_to_wait(const ScanQuery *query)
{
        const Scan *scan;

        DL_FOREACH (query->queue->running, scan)
                for (size_t i = 0; !scan->abandoned && i < query->n_targets; i++)
                        if (find_member(scan, &query->targets[i].address))
                                return true;
        return false;
}

static bool meet(const ScanQuery *a, const ScanQuery *b)
{
        for (size_t i = 0; i < a->n_targets; i++)
                for (size_t j = 0; j < b->n_targets; j++)
                        if (pci_address_equal(&a->targets[i].address, &b->targets[j].address))
                                return true;
        return false;
}

/* `first`: the query that has waited longest, if it has to wait on. Nobody may go on taking its devices. */
static bool fits(const Scan *scan, const ScanQuery *query, const ScanQuery *first)
{
        ssize_t n;

        if (is_hopeless(query) || has_to_wait(query) || (first && meet(first, query)))
                return false;
        if (!scan->queries)
                return true;
        if (query->alone || scan->queries->alone || query->n_targets > SCANS_MERGED_MAX)
                return false;
        n = count_new(scan, query);
        return n == 0 || (n > 0 && scan->n_members + (size_t) n <= SCANS_MERGED_MAX);
}

static int make_room(Scan *scan, size_t n)
{
        WorkerMember *members;

        if (n <= scan->n_allocated)
                return 0;
        members = reallocarray(scan->members, n, sizeof(*members));
        if (!members)
                return -ENOMEM;
        scan->members = members;
        scan->n_allocated = n;
        return 0;
}

/* Moves a query that waits into a scan that has not begun. */
static int join(Scan *scan, ScanQuery *query)
{
        int r = make_room(scan, scan->n_members + query->n_targets);

        if (r < 0)
                return r;
        for (size_t i = 0; i < query->n_targets; i++) {
                const ScanTarget *target = &query->targets[i];

                if (find_member(scan, &target->address))
                        continue;
                scan->members[scan->n_members++] = (WorkerMember){
                        .address = target->address,
                        .inode = target->inode,
                        .vendor = target->vendor,
                        .device = target->device,
                        .class = target->class,
                };
        }
        DL_DELETE(query->queue->waiting, query);
        DL_APPEND(scan->queries, query);
        query->scan = scan;
        scan->n_queries++;
        return 0;
}

static void put_back(Scan *scan, bool alone)
{
        ScanQuery *query;

        while ((query = scan->queries)) {
                DL_DELETE(scan->queries, query);
                query->scan = NULL;
                query->alone = query->alone || alone;
                DL_APPEND(query->queue->waiting, query);
        }
        wake(scan->queue->scans);
}

static void answer_all(Scan *scan, const WorkerScan *answer, int error)
{
        /* A handler may cancel others of them. */
        while (scan->queries)
                query_answer(scan->queries, answer, error);
}

static void tell_ended(Scan *scan)
{
        const ScansListener *listener = &scan->queue->scans->listener;

        if (listener->ended)
                listener->ended(listener->userdata, scan->job);
}

static void fail(Scan *scan, const char *message, int error)
{
        journal_scan_failed(message, error);
        if (scan->n_queries > 1)
                put_back(scan, true);
        else
                answer_all(scan, NULL, error);
}

static void on_phase(void *userdata, WorkerEventType type)
{
        /* Only a reset has phases. A worker that tells one is caught by what comes last, if anything. */
}

/* The answer has to be about the devices that were asked for, in their order. */
static bool is_about(const WorkerScan *answer, const Scan *scan)
{
        size_t member = 0;

        if (answer->n_uses != scan->n_members)
                return false;
        for (size_t i = 0; i < scan->n_members; i++)
                if (!pci_address_equal(&answer->uses[i].device, &scan->members[i].address))
                        return false;
        for (size_t i = 0; i < answer->n_holders; i++) {
                while (member < scan->n_members &&
                       !pci_address_equal(&answer->holders[i].device, &scan->members[member].address))
                        member++;
                if (member == scan->n_members)
                        return false;
        }
        return true;
}

static int judge(const Scan *scan, const WorkerEvent *last, int error, const char **ret_message)
{
        *ret_message = "";
        if (error < 0)
                return error;
        if (!last->scan)
                return -EBADMSG;
        *ret_message = last->scan->message;
        if (last->scan->error != 0)
                return -last->scan->error;
        return is_about(last->scan, scan) ? 0 : -EBADMSG;
}

/* A device that has just been removed is no news; others that cannot be looked at are. */
static void tell_of_parts(const WorkerScan *answer)
{
        for (size_t i = 0; i < answer->n_uses; i++)
                if (answer->uses[i].error != 0 && answer->uses[i].error != ENODEV) {
                        journal_scan_failed(answer->message, -answer->uses[i].error);
                        return;
                }
}

static void on_done(void *userdata, WorkerEvent *last, int error)
{
        _cleanup_(cleanup_scan_free) Scan *scan = userdata;
        Queue *queue = scan->queue;
        const char *message;

        scan->call = NULL; /* frees itself */
        DL_DELETE(queue->running, scan);
        if (scan->abandoned)
                queue->n_abandoned--;
        else
                queue->n_running--;
        wake(queue->scans);
        if (scan->abandoned)
                return;

        tell_ended(scan);
        error = judge(scan, last, error, &message);
        if (error < 0) {
                fail(scan, message, error);
                return;
        }
        tell_of_parts(last->scan);
        answer_all(scan, last->scan, 0);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        Scan *scan = userdata;
        Queue *queue = scan->queue;

        scan->abandoned = true;
        queue->n_running--;
        queue->n_abandoned++;
        wake(queue->scans);
        tell_ended(scan);
        fail(scan, "", -ETIMEDOUT);
        return 0;
}

/* Unlike any job's, and unlike those of an earlier daemon's workers. */
static uint32_t new_job(Scans *scans)
{
        scans->last_job = (scans->last_job + 1) | UINT32_C(0x80000000);
        return scans->last_job;
}

static int start(Scan *scan)
{
        const WorkerHandler handler = {.phase = on_phase, .done = on_done, .userdata = scan};
        Queue *queue = scan->queue;
        Scans *scans = queue->scans;
        WorkerRequest request = {
                .operation = WORKER_SCAN,
                .method = WORKER_SCAN_METHOD,
                .owners = queue->owners,
                .members = scan->members,
                .n_members = scan->n_members,
        };
        int r;

        scan->job = request.job = new_job(scans);
        r = sd_event_add_time_relative(scans->event, &scan->timer, CLOCK_MONOTONIC, scans->patience_usec, 0,
                                       on_timer, scan);
        if (r < 0)
                return r;
        if (scans->listener.begun)
                scans->listener.begun(scans->listener.userdata, scan->job, scan->members, scan->n_members);
        r = worker_call_start(scans->event, scans->worker_program, &request, NULL, &handler, &scan->call);
        if (r < 0)
                tell_ended(scan);
        return r;
}

/* Starts one worker for what waits, as far as it fits together: 1, 0 if nothing can be started now, or a
 * negative errno, and then whoever it was for has been told. */
static int begin(Queue *queue)
{
        _cleanup_(cleanup_scan_free) Scan *scan = calloc(1, sizeof(Scan));
        ScanQuery *query, *next, *first = has_to_wait(queue->waiting) ? queue->waiting : NULL;
        int r = 0;

        if (!scan) {
                query_answer(queue->waiting, NULL, -ENOMEM);
                return -ENOMEM;
        }
        scan->queue = queue;
        DL_FOREACH_SAFE (queue->waiting, query, next) {
                if (fits(scan, query, first))
                        r = join(scan, query);
                if (r < 0)
                        break;
        }
        if (!scan->queries) {
                if (r < 0)
                        query_answer(queue->waiting, NULL, r);
                return r;
        }
        r = start(scan);
        if (r < 0) {
                journal_scan_failed("", r);
                answer_all(scan, NULL, r);
                return r;
        }
        DL_APPEND(queue->running, scan);
        queue->n_running++;
        (void) steal_pointer(scan);
        return 1;
}

static void advance(Queue *queue)
{
        int r;

        while (queue->waiting) {
                if (is_hopeless(queue->waiting)) {
                        query_answer(queue->waiting, NULL, -EBUSY);
                        continue;
                }
                if (queue->n_running >= queue->running_max)
                        break;
                r = begin(queue);
                /* Whoever asks again at once must not keep us here. */
                if (r < 0)
                        wake(queue->scans);
                if (r <= 0)
                        break;
        }
}

static int on_next_turn(sd_event_source *source, void *userdata)
{
        Scans *scans = userdata;

        for (size_t i = 0; i < ELEMENTSOF(scans->queues); i++)
                advance(&scans->queues[i]);
        return 0;
}

int scans_new(sd_event *event, const char *worker_program, Scans **ret)
{
        _cleanup_(cleanup_scans_free) Scans *scans = calloc(1, sizeof(Scans));
        int r;

        if (!scans)
                return -ENOMEM;
        scans->event = sd_event_ref(event);
        scans->worker_program = worker_program;
        scans->patience_usec = SCANS_PATIENCE_USEC;
        if (getrandom(&scans->last_job, sizeof(scans->last_job), GRND_INSECURE) < 0)
                return -errno;
        scans->queues[0] = (Queue){.scans = scans, .running_max = SCANS_RUNNING_MAX};
        scans->queues[1] = (Queue){.scans = scans, .owners = true, .running_max = SCANS_RUNNING_OWNERS_MAX};
        r = sd_event_add_defer(event, &scans->next_turn, on_next_turn, scans);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(scans->next_turn, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = steal_pointer(scans);
        return 0;
}

static void queue_done(Queue *queue)
{
        ScanQuery *query, *next;
        Scan *scan, *next_scan;

        DL_FOREACH_SAFE (queue->running, scan, next_scan) {
                put_back(scan, false);
                scan_free(scan);
        }
        DL_FOREACH_SAFE (queue->waiting, query, next)
                query_free(query);
}

Scans *scans_free(Scans *scans)
{
        if (!scans)
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(scans->queues); i++)
                queue_done(&scans->queues[i]);
        sd_event_source_disable_unref(scans->next_turn);
        sd_event_unref(scans->event);
        free(scans);
        return NULL;
}

static bool targets_are_valid(const ScanTarget *targets, size_t n)
{
        if (n == 0 || n > WORKER_MEMBERS_MAX)
                return false;
        for (size_t i = 1; i < n; i++)
                for (size_t j = 0; j < i; j++)
                        if (pci_address_equal(&targets[i].address, &targets[j].address))
                                return false;
        return true;
}

int scans_query(Scans *scans, const ScanTarget *targets, size_t n, bool owners, ScanHandler handler,
                void *userdata, ScanQuery **ret)
{
        _cleanup_(cleanup_query_free) ScanQuery *query = NULL;
        Queue *queue = &scans->queues[owners];

        if (!targets_are_valid(targets, n))
                return -EINVAL;
        if (scans->n_queries >= SCANS_QUERIES_MAX || scans->n_targets + n > SCANS_TARGETS_MAX)
                return -EBUSY;
        query = calloc(1, sizeof(*query));
        if (!query)
                return -ENOMEM;
        query->targets = reallocarray(NULL, n, sizeof(*targets));
        if (!query->targets)
                return -ENOMEM;
        memcpy(query->targets, targets, n * sizeof(*targets));
        query->n_targets = n;
        query->queue = queue;
        query->handler = handler;
        query->userdata = userdata;
        if (is_hopeless(query))
                return -EBUSY;

        DL_APPEND(queue->waiting, query);
        scans->n_queries++;
        scans->n_targets += n;
        wake(scans);
        *ret = steal_pointer(query);
        return 0;
}

ScanQuery *scan_query_cancel(ScanQuery *query)
{
        if (!query)
                return NULL;
        query_remove(query);
        return query_free(query);
}

bool scan_query_waits(const ScanQuery *query)
{
        return !query->scan;
}

void scans_set_listener(Scans *scans, const ScansListener *listener)
{
        scans->listener = listener ? *listener : (ScansListener){};
}

void scans_set_patience(Scans *scans, uint64_t usec)
{
        scans->patience_usec = usec;
}
