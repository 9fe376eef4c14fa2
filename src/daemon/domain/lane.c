/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Each thing that can be claimed is a node with a queue of claims, shared or exclusive: first those of
 * tickets that have been taken, then the others by their order. The granted claims are always a prefix of
 * the queue: one exclusive claim, or shared ones up to the first exclusive one. The frontier is the first
 * claim that is not granted; it only moves on as claims leave, so granting costs nothing to speak of per
 * claim. A ticket whose claims are all granted is ready.
 *
 * That all queues have the tickets that wait in the same order is what keeps two of them from waiting for
 * each other.
 */

#include "daemon/domain/lane.h"

#include <errno.h>
#include <uthash.h>
#include <utlist.h>

#include "shared/cleanup.h"

typedef struct Claim Claim;
typedef struct Node Node;

struct Claim {
        LaneTicket *ticket;
        Node *node;
        bool exclusive;
        bool granted;
        Claim *prev, *next; /* in the node's queue */
};

struct Node {
        uint64_t key;
        Claim *queue;
        Claim *frontier; /* the first claim that is not granted, NULL: all are */
        size_t n_exclusive; /* granted claims that are exclusive */
        const LaneTicket *last_claimant;
        UT_hash_handle hh;
};

struct LaneTicket {
        Lanes *lanes;
        uint64_t order;
        void *userdata;
        bool taken;
        bool ready; /* in the list of ready tickets */
        LaneTicket *prev, *next;
        size_t n_granted;
        size_t n_claims;
        Claim claims[];
};

struct Lanes {
        Node *nodes;
        LaneTicket *ready;
};

/* Root buses share the key space with functions, whose keys stay below bit 48. */
#define ROOT_BUS_KEY (UINT64_C(1) << 63)

static uint64_t root_bus_key(const PciAddress *address)
{
        return ROOT_BUS_KEY | (uint64_t) address->domain << 8 | address->bus;
}

int lanes_new(Lanes **ret)
{
        Lanes *lanes = calloc(1, sizeof(Lanes));

        if (!lanes)
                return -ENOMEM;
        *ret = lanes;
        return 0;
}

Lanes *lanes_free(Lanes *lanes)
{
        Node *node, *next;

        if (!lanes)
                return NULL;
        HASH_ITER (hh, lanes->nodes, node, next) {
                HASH_DEL(lanes->nodes, node);
                free(node);
        }
        free(lanes);
        return NULL;
}

static int find_or_add_node(Lanes *lanes, uint64_t key, Node **ret)
{
        Node *node;

        HASH_FIND(hh, lanes->nodes, &key, sizeof(key), node);
        if (!node) {
                node = calloc(1, sizeof(Node));
                if (!node)
                        return -ENOMEM;
                node->key = key;
                HASH_ADD(hh, lanes->nodes, key, sizeof(node->key), node);
        }
        *ret = node;
        return 0;
}

static void update_ready(LaneTicket *ticket)
{
        bool ready = !ticket->taken && ticket->n_granted == ticket->n_claims;

        if (ready == ticket->ready)
                return;
        ticket->ready = ready;
        if (ready)
                DL_APPEND(ticket->lanes->ready, ticket);
        else
                DL_DELETE(ticket->lanes->ready, ticket);
}

static void grant(Claim *claim)
{
        claim->granted = true;
        claim->node->n_exclusive += claim->exclusive;
        claim->ticket->n_granted++;
        update_ready(claim->ticket);
}

static void take_back(Claim *claim)
{
        claim->granted = false;
        claim->node->n_exclusive -= claim->exclusive;
        claim->ticket->n_granted--;
        update_ready(claim->ticket);
}

/* Grants what can be granted behind the frontier. */
static void advance(Node *node)
{
        while (node->frontier) {
                Claim *claim = node->frontier;

                if (claim->exclusive ? claim != node->queue : node->n_exclusive > 0)
                        return;
                node->frontier = claim->next;
                grant(claim);
        }
}

/* Puts the frontier to a claim, takes back what was granted from there on, and judges anew. */
static void rejudge(Node *node, Claim *from)
{
        for (Claim *c = from; c; c = c->next)
                if (c->granted)
                        take_back(c);
        node->frontier = from;
        advance(node);
}

static void enqueue(Node *node, Claim *claim)
{
        Claim *before = node->queue ? node->queue->prev : NULL; /* the tail */

        while (before && !before->ticket->taken && before->ticket->order > claim->ticket->order)
                before = before == node->queue ? NULL : before->prev;

        if (before)
                DL_APPEND_ELEM(node->queue, before, claim);
        else
                DL_PREPEND(node->queue, claim);

        /* Whoever comes before a granted claim has it judged again; whoever comes behind all of them is the
         * frontier, or waits behind it. */
        if (claim->next && claim->next->granted) {
                rejudge(node, claim);
        } else {
                if (!node->frontier || node->frontier == claim->next)
                        node->frontier = claim;
                advance(node);
        }
}

static void dequeue(Lanes *lanes, Claim *claim)
{
        Node *node = claim->node;

        if (node->frontier == claim)
                node->frontier = claim->next;
        if (claim->granted)
                node->n_exclusive -= claim->exclusive;
        DL_DELETE(node->queue, claim);
        if (!node->queue) {
                HASH_DEL(lanes->nodes, node);
                free(node);
                return;
        }
        advance(node);
}

static void add_claim(LaneTicket *ticket, Node *node, bool exclusive)
{
        if (node->last_claimant == ticket)
                return;
        node->last_claimant = ticket;
        ticket->claims[ticket->n_claims++] = (Claim){.ticket = ticket, .node = node, .exclusive = exclusive};
}

/* Finds the nodes first, so that nothing has been queued when memory runs out. A node that is named twice is
 * claimed once, by its first and stronger claim: a ticket must not wait behind itself. */
static int collect_claims(Lanes *lanes, LaneTicket *ticket, const LaneClaim *claim)
{
        Node *node;
        int r;

        for (size_t i = 0; i < claim->n_members; i++) {
                r = find_or_add_node(lanes, pci_address_key(&claim->members[i]), &node);
                if (r < 0)
                        return r;
                add_claim(ticket, node, true);
        }
        if (claim->n_bridges == 0) {
                r = find_or_add_node(lanes, root_bus_key(&claim->members[0]), &node);
                if (r < 0)
                        return r;
                add_claim(ticket, node, true);
        }
        for (size_t i = 0; i < claim->n_bridges; i++) {
                r = find_or_add_node(lanes, pci_address_key(&claim->bridges[i]), &node);
                if (r < 0)
                        return r;
                add_claim(ticket, node, i == 0);
        }
        return 0;
}

/* Nodes that were made for a ticket that then could not be had. */
static void drop_unused_nodes(Lanes *lanes, const LaneTicket *ticket)
{
        for (size_t i = 0; i < ticket->n_claims; i++) {
                Node *node = ticket->claims[i].node;

                if (!node->queue) {
                        HASH_DEL(lanes->nodes, node);
                        free(node);
                }
        }
}

int lanes_enter(Lanes *lanes, const LaneClaim *claim, uint64_t order, void *userdata, LaneTicket **ret)
{
        size_t n = claim->n_members + claim->n_bridges + 1;
        LaneTicket *ticket = calloc(1, sizeof(LaneTicket) + n * sizeof(Claim));
        int r;

        if (!ticket)
                return -ENOMEM;
        ticket->lanes = lanes;
        ticket->order = order;
        ticket->userdata = userdata;

        r = collect_claims(lanes, ticket, claim);
        /* The mark serves this collection alone: the memory of a ticket that has left may be another's
         * tomorrow. */
        for (size_t i = 0; i < ticket->n_claims; i++)
                ticket->claims[i].node->last_claimant = NULL;
        if (r < 0) {
                drop_unused_nodes(lanes, ticket);
                free(ticket);
                return r;
        }
        for (size_t i = 0; i < ticket->n_claims; i++)
                enqueue(ticket->claims[i].node, &ticket->claims[i]);

        *ret = ticket;
        return 0;
}

LaneTicket *lane_ticket_leave(LaneTicket *ticket)
{
        if (!ticket)
                return NULL;

        /* Out of the ready list for good, whatever its claims do now. */
        ticket->taken = true;
        update_ready(ticket);
        for (size_t i = 0; i < ticket->n_claims; i++)
                dequeue(ticket->lanes, &ticket->claims[i]);
        free(ticket);
        return NULL;
}

/* Moves the claim of a ticket that is being taken to the others that have been. */
static void move_to_front(Claim *claim)
{
        Node *node = claim->node;

        if (node->frontier == claim)
                node->frontier = claim->next;
        DL_DELETE(node->queue, claim);
        DL_PREPEND(node->queue, claim);
        /* Taken out of turn, it holds what it did not have, and those that have not been taken make room. */
        if (!claim->granted) {
                Claim *first = claim;

                grant(claim);
                while (first && first->ticket->taken)
                        first = first->next;
                rejudge(node, first);
        }
}

void lane_ticket_take(LaneTicket *ticket)
{
        ticket->taken = true;
        update_ready(ticket);
        for (size_t i = 0; i < ticket->n_claims; i++)
                move_to_front(&ticket->claims[i]);
}

/* A claim that is not granted is never at the head of its queue. */
void *lane_ticket_in_the_way(const LaneTicket *ticket)
{
        const LaneTicket *found = NULL;

        for (size_t i = 0; i < ticket->n_claims; i++) {
                const LaneTicket *head = ticket->claims[i].node->queue->ticket;

                if (!ticket->claims[i].granted && (!found || (head->taken && !found->taken)))
                        found = head;
        }
        return found ? found->userdata : NULL;
}

void *lanes_take_ready(Lanes *lanes)
{
        LaneTicket *ticket = lanes->ready;

        if (!ticket)
                return NULL;
        lane_ticket_take(ticket);
        return ticket->userdata;
}
