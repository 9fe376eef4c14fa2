/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What lanes cost, and what they cost those who wait in them: as many queued resets as are asked for, over
 * ten thousand lanes, in simulated time. Nothing here touches a device or sleeps.
 *
 *   bench-lanes makespan N    all resets through the lanes, against the ideal schedule computed without them
 *   bench-lanes cost N...     CPU time per reset for each N, by turns, several times, and that of a heap
 *
 * The machine is one of switches with a hundred ports each. A reset is of one device below a port: its lane
 * is that port. `mixed` has among them resets of all below a switch, each of which stops a hundred lanes.
 * The ideal of the plain ones is the longest lane's sum, and no order whatever could do better. For the
 * mixed ones it is the schedule in which each reset begins as soon as those before it let it: whoever came
 * first goes first is a rule, not a loss.
 *
 * The cost is taken from a replay of the resets' ends in the order in which they came to pass, so that the
 * simulation's own queue is no part of it.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/domain/lane.h"

#define LANES            10000U
#define LANES_PER_SWITCH 100U
#define ONE_IN_WIDE      200U
#define ROUNDS           7U

typedef struct Job {
        size_t lane; /* of a wide one any of its switch */
        bool is_wide;
        double duration, end;
        LaneTicket *ticket;
} Job;

typedef struct Load {
        size_t n, n_lanes;
        Job *jobs;
        Job **ends; /* in the order of their ends */
} Load;

static void *must(void *memory)
{
        if (!memory) {
                fprintf(stderr, "bench-lanes: out of memory\n");
                exit(EXIT_FAILURE);
        }
        return memory;
}

static double uniform(void)
{
        return (double) random() / RAND_MAX;
}

/* Function resets and link resets, as long as the kernel makes them. */
static Load make_load(size_t n, bool is_mixed)
{
        Load load = {.n = n, .n_lanes = LANES};

        srandom(1);
        load.jobs = must(calloc(n, sizeof(Job)));
        load.ends = must(calloc(n, sizeof(Job *)));
        for (size_t i = 0; i < n; i++)
                load.jobs[i] = (Job){
                        .lane = (size_t) random() % load.n_lanes,
                        .is_wide = is_mixed && random() % ONE_IN_WIDE == 0,
                        .duration = random() % 2 ? 0.1 + 0.02 * uniform() : 0.15 + uniform(),
                };
        return load;
}

static void free_load(Load *load)
{
        free(load->jobs);
        free(load->ends);
}

/* -- through the lanes ---------------------------------------------------------------------------------- */

static PciAddress root_port(size_t lane)
{
        return (PciAddress){.domain = (uint32_t) (lane / LANES_PER_SWITCH)};
}

static PciAddress upstream(size_t lane)
{
        return (PciAddress){.domain = (uint32_t) (lane / LANES_PER_SWITCH), .bus = 1};
}

static PciAddress downstream(size_t lane)
{
        size_t i = lane % LANES_PER_SWITCH;

        return (PciAddress){.domain = (uint32_t) (lane / LANES_PER_SWITCH),
                            .bus = 2,
                            .device = (uint8_t) (i / 8),
                            .function = (uint8_t) (i % 8)};
}

static PciAddress endpoint(size_t lane)
{
        return (PciAddress){.domain = (uint32_t) (lane / LANES_PER_SWITCH),
                            .bus = (uint8_t) (3 + lane % LANES_PER_SWITCH)};
}

static void enter(Lanes *lanes, Job *job, uint64_t order)
{
        PciAddress members[1 + 2 * LANES_PER_SWITCH], bridges[3];
        LaneClaim claim = {.members = members, .bridges = bridges};
        size_t first = job->lane - job->lane % LANES_PER_SWITCH;

        if (job->is_wide) {
                members[claim.n_members++] = upstream(job->lane);
                for (size_t i = 0; i < LANES_PER_SWITCH; i++) {
                        members[claim.n_members++] = downstream(first + i);
                        members[claim.n_members++] = endpoint(first + i);
                }
        } else {
                members[claim.n_members++] = endpoint(job->lane);
                bridges[claim.n_bridges++] = downstream(job->lane);
                bridges[claim.n_bridges++] = upstream(job->lane);
        }
        bridges[claim.n_bridges++] = root_port(job->lane);
        if (lanes_enter(lanes, &claim, order, job, &job->ticket) < 0)
                (void) must(NULL);
}

/* The running ones, the next to end on top. */
typedef struct Heap {
        Job **jobs;
        size_t n;
} Heap;

static void swap(Heap *heap, size_t i, size_t j)
{
        Job *job = heap->jobs[i];

        heap->jobs[i] = heap->jobs[j];
        heap->jobs[j] = job;
}

static void push(Heap *heap, Job *job)
{
        size_t i = heap->n++;

        heap->jobs[i] = job;
        for (; i > 0 && heap->jobs[i]->end < heap->jobs[(i - 1) / 2]->end; i = (i - 1) / 2)
                swap(heap, i, (i - 1) / 2);
}

static Job *pop(Heap *heap)
{
        Job *top = heap->jobs[0];
        size_t i = 0, least;

        heap->jobs[0] = heap->jobs[--heap->n];
        for (;; i = least) {
                least = i;
                for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < heap->n; child++)
                        if (heap->jobs[child]->end < heap->jobs[least]->end)
                                least = child;
                if (least == i)
                        return top;
                swap(heap, i, least);
        }
}

/* Returns when the last one ends. */
static double simulate(Load *load)
{
        Heap heap = {.jobs = must(calloc(load->n, sizeof(Job *)))};
        double now = 0;
        size_t n_ended = 0;
        Lanes *lanes;
        Job *job;

        if (lanes_new(&lanes) < 0)
                (void) must(NULL);
        for (size_t i = 0; i < load->n; i++)
                enter(lanes, &load->jobs[i], i + 1);
        for (;;) {
                while ((job = lanes_take_ready(lanes))) {
                        job->end = now + job->duration;
                        push(&heap, job);
                }
                if (heap.n == 0)
                        break;
                job = pop(&heap);
                now = job->end;
                load->ends[n_ended++] = job;
                job->ticket = lane_ticket_leave(job->ticket);
        }
        if (n_ended != load->n) {
                fprintf(stderr, "bench-lanes: %zu resets never had their turn\n", load->n - n_ended);
                exit(EXIT_FAILURE);
        }
        lanes_free(lanes);
        free(heap.jobs);
        return now;
}

/* -- without them --------------------------------------------------------------------------------------- */

/* Each begins as soon as those before it let it: per lane when its last one ends, and per switch when the
 * last one of all of it does. */
static double ideal(const Load *load)
{
        double *lane_end = must(calloc(load->n_lanes, sizeof(double))), last = 0;

        for (size_t i = 0; i < load->n; i++) {
                const Job *job = &load->jobs[i];
                size_t first = job->is_wide ? job->lane - job->lane % LANES_PER_SWITCH : job->lane;
                size_t n = job->is_wide ? LANES_PER_SWITCH : 1;
                double begin = 0;

                for (size_t lane = first; lane < first + n; lane++)
                        begin = lane_end[lane] > begin ? lane_end[lane] : begin;
                for (size_t lane = first; lane < first + n; lane++)
                        lane_end[lane] = begin + job->duration;
                last = begin + job->duration > last ? begin + job->duration : last;
        }
        free(lane_end);
        return last;
}

static void print_makespan(const char *name, size_t n, bool is_mixed)
{
        Load load = make_load(n, is_mixed);

        printf("\"%s\":{\"makespan\":%.6f,", name, simulate(&load));
        printf("\"ideal\":%.6f}", ideal(&load));
        free_load(&load);
}

/* -- what it costs -------------------------------------------------------------------------------------- */

static double cpu_usec(void)
{
        struct timespec ts;

        (void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
        return (double) ts.tv_sec * 1e6 + (double) ts.tv_nsec / 1e3;
}

static double replay(Load *load)
{
        double begin = cpu_usec();
        Lanes *lanes;

        if (lanes_new(&lanes) < 0)
                (void) must(NULL);
        for (size_t i = 0; i < load->n; i++)
                enter(lanes, &load->jobs[i], i + 1);
        while (lanes_take_ready(lanes))
                ;
        for (size_t i = 0; i < load->n; i++) {
                load->ends[i]->ticket = lane_ticket_leave(load->ends[i]->ticket);
                while (lanes_take_ready(lanes))
                        ;
        }
        lanes_free(lanes);
        return (cpu_usec() - begin) / (double) load->n;
}

/* What log n costs on this machine, its caches included: the same resets sorted by their ends in a heap. */
static double yardstick(const Load *load)
{
        Heap heap = {.jobs = must(calloc(load->n, sizeof(Job *)))};
        double begin = cpu_usec();

        for (size_t i = 0; i < load->n; i++)
                push(&heap, &load->jobs[i]);
        while (heap.n > 0)
                (void) pop(&heap);
        free(heap.jobs);
        return (cpu_usec() - begin) / (double) load->n;
}

static void print_series(const char *name, const double values[static ROUNDS])
{
        printf("\"%s\":[", name);
        for (size_t round = 0; round < ROUNDS; round++)
                printf("%s%.4f", round > 0 ? "," : "", values[round]);
        printf("]");
}

static void print_costs(char **numbers, size_t n_numbers)
{
        Load *loads = must(calloc(n_numbers, sizeof(Load)));
        double(*costs)[2][ROUNDS] = must(calloc(n_numbers, sizeof(*costs)));

        for (size_t i = 0; i < n_numbers; i++) {
                loads[i] = make_load(strtoul(numbers[i], NULL, 10), false);
                (void) simulate(&loads[i]);
        }
        for (size_t round = 0; round < ROUNDS; round++)
                for (size_t i = 0; i < n_numbers; i++) {
                        costs[i][0][round] = replay(&loads[i]);
                        costs[i][1][round] = yardstick(&loads[i]);
                }
        for (size_t i = 0; i < n_numbers; i++) {
                printf("%s\"%zu\":{", i > 0 ? "," : "", loads[i].n);
                print_series("lanes", costs[i][0]);
                printf(",");
                print_series("heap", costs[i][1]);
                printf("}");
                free_load(&loads[i]);
        }
        free(loads);
        free(costs);
}

int main(int argc, char **argv)
{
        if (argc == 3 && strcmp(argv[1], "makespan") == 0) {
                printf("{");
                print_makespan("plain", strtoul(argv[2], NULL, 10), false);
                printf(",");
                print_makespan("mixed", strtoul(argv[2], NULL, 10), true);
                printf("}\n");
        } else if (argc > 2 && strcmp(argv[1], "cost") == 0) {
                printf("{");
                print_costs(argv + 2, (size_t) argc - 2);
                printf("}\n");
        } else {
                fprintf(stderr, "usage: bench-lanes makespan N | bench-lanes cost N...\n");
                return EXIT_FAILURE;
        }
        return EXIT_SUCCESS;
}
