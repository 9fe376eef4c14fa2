/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Lanes: what conflicts never overlaps, what does not conflict never waits, and who came first goes first.
 * Checked by examples, and on random trees and requests against a slow oracle that compares every pair.
 */

#include <string.h>

#include "daemon/domain/lane.h"
#include "unit.h"
#include "world.h"

#define PORTS   6U
#define TICKETS 40U

typedef struct Ticket {
        PciAddress members[4];
        size_t n_members;
        PciAddress bridges[4];
        size_t n_bridges;
        uint64_t order;
        LaneTicket *ticket;
        bool running;
        bool waiting;
} Ticket;

static Lanes *lanes;

static void setup(void)
{
        ck_assert_int_eq(lanes_new(&lanes), 0);
}

static void teardown(void)
{
        lanes_free(lanes);
}

static void enter(Ticket *ticket)
{
        LaneClaim claim = {ticket->members, ticket->n_members, ticket->bridges, ticket->n_bridges};

        ck_assert_int_eq(lanes_enter(lanes, &claim, ticket->order, ticket, &ticket->ticket), 0);
        ticket->waiting = true;
}

static void take_all(void)
{
        Ticket *ticket;

        while ((ticket = lanes_take_ready(lanes))) {
                ck_assert(ticket->waiting && !ticket->running);
                ticket->running = true;
                ticket->waiting = false;
        }
}

static void leave(Ticket *ticket)
{
        ticket->ticket = lane_ticket_leave(ticket->ticket);
        ticket->running = ticket->waiting = false;
        take_all();
}

static Ticket below(const char *member, const char *bridge, const char *above)
{
        Ticket ticket = {.n_members = 1};
        static uint64_t order;

        ticket.order = ++order;
        ticket.members[0] = at(member);
        if (bridge)
                ticket.bridges[ticket.n_bridges++] = at(bridge);
        if (above)
                ticket.bridges[ticket.n_bridges++] = at(above);
        return ticket;
}

START_TEST(one_port_serialises)
{
        Ticket a = below("0000:01:00.0", "0000:00:01.0", NULL),
               b = below("0000:01:00.1", "0000:00:01.0", NULL);

        enter(&a);
        enter(&b);
        take_all();
        ck_assert(a.running && !b.running);
        leave(&a);
        ck_assert(b.running);
        leave(&b);
}
END_TEST

START_TEST(two_ports_are_parallel)
{
        Ticket a = below("0000:01:00.0", "0000:00:01.0", NULL),
               b = below("0000:02:00.0", "0000:00:02.0", NULL);

        enter(&a);
        enter(&b);
        take_all();
        ck_assert(a.running && b.running);
        leave(&a);
        leave(&b);
}
END_TEST

/* A reset below the root port locks a bridge above the other's: they exclude each other. Two branches do
 * not. */
START_TEST(above_and_below_exclude_each_other)
{
        Ticket left = below("0000:05:00.0", "0000:04:00.0", "0000:00:03.0");
        Ticket upper = below("0000:03:00.0", "0000:00:03.0", NULL);
        Ticket right = below("0000:06:00.0", "0000:04:01.0", "0000:00:03.0");

        enter(&left);
        enter(&upper);
        enter(&right);
        take_all();
        ck_assert(left.running && !upper.running);
        /* It came after one that it would disturb: overtaking could starve that one. */
        ck_assert(!right.running);
        leave(&left);
        ck_assert(upper.running && !right.running);
        leave(&upper);
        ck_assert(right.running);
        leave(&right);
}
END_TEST

START_TEST(a_root_bus_is_one_lane)
{
        Ticket a = below("0000:00:1f.0", NULL, NULL), b = below("0000:00:1f.1", NULL, NULL);
        Ticket other = below("0000:80:00.0", NULL, NULL), port = below("0000:01:00.0", "0000:00:01.0", NULL);

        enter(&a);
        enter(&b);
        enter(&other);
        enter(&port);
        take_all();
        ck_assert(a.running && !b.running && other.running && port.running);
        leave(&a);
        ck_assert(b.running);
        leave(&b);
        leave(&other);
        leave(&port);
}
END_TEST

START_TEST(one_that_comes_back_keeps_its_place)
{
        Ticket a = below("0000:01:00.0", "0000:00:01.0", NULL),
               b = below("0000:01:00.0", "0000:00:01.0", NULL);
        Ticket c = below("0000:01:00.0", "0000:00:01.0", NULL);

        enter(&b);
        enter(&c);
        take_all();
        enter(&a);
        take_all();
        ck_assert(b.running && !a.running);
        leave(&b);
        ck_assert(a.running && !c.running);
        leave(&a);
        ck_assert(c.running);
        leave(&c);
}
END_TEST

START_TEST(one_that_runs_already_is_waited_for)
{
        Ticket first = below("0000:01:00.0", "0000:00:01.0", NULL), adopted = first, late = first;

        adopted.order = 1000;
        late.order = 1001;
        enter(&adopted);
        lane_ticket_take(adopted.ticket);
        enter(&first);
        enter(&late);
        take_all();
        ck_assert(!first.running && !late.running);
        ck_assert_ptr_eq(lane_ticket_in_the_way(first.ticket), &adopted);
        ck_assert_ptr_eq(lane_ticket_in_the_way(late.ticket), &adopted);
        ck_assert_ptr_null(lane_ticket_in_the_way(adopted.ticket));
        adopted.ticket = lane_ticket_leave(adopted.ticket);
        take_all();
        ck_assert(first.running && !late.running);
        ck_assert_ptr_eq(lane_ticket_in_the_way(late.ticket), &first);
        leave(&first);
        leave(&late);
}
END_TEST

START_TEST(a_bridge_that_is_also_a_member_does_not_wait_for_itself)
{
        Ticket ticket = below("0000:01:00.0", "0000:00:01.0", NULL);

        ticket.members[ticket.n_members++] = at("0000:00:01.0");
        enter(&ticket);
        take_all();
        ck_assert(ticket.running);
        leave(&ticket);
}
END_TEST

static bool named(const PciAddress *list, size_t n, const PciAddress *address)
{
        for (size_t i = 0; i < n; i++)
                if (pci_address_equal(&list[i], address))
                        return true;
        return false;
}

/* The rule itself, for each pair: sets meet, locked bridges meet, or one locked bridge is above the other.
 */
static bool conflict(const Ticket *a, const Ticket *b)
{
        for (size_t i = 0; i < a->n_members; i++)
                if (named(b->members, b->n_members, &a->members[i]))
                        return true;
        if (a->n_bridges == 0 || b->n_bridges == 0)
                return a->n_bridges == b->n_bridges && a->members[0].bus == b->members[0].bus;
        return named(b->bridges, b->n_bridges, &a->bridges[0]) ||
               named(a->bridges, a->n_bridges, &b->bridges[0]);
}

/* A request somewhere in a tree of ports, each with a switch below and two ports below that. */
static Ticket random_ticket(uint64_t order)
{
        uint8_t port = (uint8_t) (random() % PORTS);
        Ticket ticket = {.order = order, .n_members = 1};
        PciAddress root = {.device = port},
                   down = {.bus = (uint8_t) (10 + port), .device = (uint8_t) (random() % 2)};

        switch (random() % 4) {
        case 0: /* on the root bus */
                ticket.members[0] = (PciAddress){.bus = (uint8_t) (200 + random() % 2), .device = 1};
                break;
        case 1: /* right below the root port */
                ticket.members[0] = (PciAddress){.bus = (uint8_t) (1 + port),
                                                 .function = (uint8_t) (random() % 2)};
                ticket.bridges[ticket.n_bridges++] = root;
                break;
        default: /* below the switch */
                ticket.members[0] = (PciAddress){.bus = (uint8_t) (50 + port), .device = down.device};
                if (random() % 3 == 0) {
                        ticket.members[1] = ticket.members[0];
                        ticket.members[ticket.n_members++].function = 1;
                }
                ticket.bridges[ticket.n_bridges++] = down;
                ticket.bridges[ticket.n_bridges++] = root;
                break;
        }
        return ticket;
}

/* Nothing that conflicts runs side by side, and whoever waits has somebody before it to wait for. */
static void check_all(const Ticket *tickets, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                bool blocked = false;

                if (!tickets[i].ticket)
                        continue;
                for (size_t j = 0; j < n; j++) {
                        if (i == j || !tickets[j].ticket || !conflict(&tickets[i], &tickets[j]))
                                continue;
                        ck_assert(!(tickets[i].running && tickets[j].running));
                        blocked = blocked || tickets[j].running || tickets[j].order < tickets[i].order;
                        /* First come, first served. */
                        ck_assert(!(tickets[i].running && tickets[j].waiting &&
                                    tickets[j].order < tickets[i].order &&
                                    tickets[j].order > tickets[i].order));
                }
                ck_assert_msg(!tickets[i].waiting || blocked, "a ticket waits for nobody");
        }
}

START_TEST(random_requests)
{
        Ticket tickets[TICKETS] = {};
        uint64_t order = 0;

        srandom((unsigned) _i + 1);
        for (unsigned step = 0; step < 1500; step++) {
                Ticket *ticket = &tickets[random() % TICKETS];

                if (!ticket->ticket) {
                        /* Now and then one comes back with the order it had. */
                        *ticket = random_ticket(random() % 8 == 0 && ticket->order ? ticket->order
                                                                                   : ++order);
                        enter(ticket);
                        take_all();
                } else if (ticket->running || random() % 4 == 0) {
                        leave(ticket);
                }
                check_all(tickets, TICKETS);
        }
        /* None is lost: with nobody coming any more, all come to their turn. */
        for (bool more = true; more;) {
                more = false;
                for (size_t i = 0; i < TICKETS; i++)
                        if (tickets[i].running) {
                                leave(&tickets[i]);
                                more = true;
                        }
        }
        for (size_t i = 0; i < TICKETS; i++)
                ck_assert_ptr_null(tickets[i].ticket);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("lane");
        TCase *tcase = tcase_create("lane");

        tcase_set_timeout(tcase, 60);
        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, one_port_serialises);
        tcase_add_test(tcase, two_ports_are_parallel);
        tcase_add_test(tcase, above_and_below_exclude_each_other);
        tcase_add_test(tcase, a_root_bus_is_one_lane);
        tcase_add_test(tcase, one_that_comes_back_keeps_its_place);
        tcase_add_test(tcase, one_that_runs_already_is_waited_for);
        tcase_add_test(tcase, a_bridge_that_is_also_a_member_does_not_wait_for_itself);
        tcase_add_loop_test(tcase, random_requests, 0, 40);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
