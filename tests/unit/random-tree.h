/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A random machine: an array of functions that name each other by index. The registry is told of each
 * change, as long as there is one.
 */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/domain/claims.h"
#include "daemon/domain/plan.h"
#include "daemon/domain/policy.h"

#define NODES_MAX  96U
#define EDGES_MAX  4U
#define LEASES_MAX 12U

/* What rules say about one function, by its address. All zero: there is none. */
typedef struct NodePolicy {
        bool used, forbids_link, keeps_driver, rebinds_driver, requires_clean, resets_on_release;
        bool has_on_error, orders_kernel;
        PolicyOnError on_error;
        ResetMethodList forbid, order;
        char bad[RESET_METHOD_NAME_MAX]; /* known to do harm */
} NodePolicy;

#define NODE_IDS 3U /* which cards come into one place, by their device id: NODE_ID and those after it */
#define NODE_ID  0x1000U

/* Of one of these cards. */
typedef struct NodeQuarantine {
        bool in, is_dead, is_requested;
        bool is_error; /* the kernel has announced one */
        bool is_unclean; /* its user has left something in it */
        uint32_t job; /* that it is from, 0: none of this daemon's */
        unsigned turn; /* the how manieth of all it is */
} NodeQuarantine;

typedef struct Node {
        PciAddress address;
        bool present, is_bridge;
        int parent, physfn; /* indices, -1: none */
        uint8_t secondary; /* of a bridge: the bus below it */
        uint8_t n_slots; /* devices on that bus so far */
        uint64_t inode;
        uint16_t id;
        char driver[DRIVER_NAME_MAX];
        char group[IOMMU_GROUP_MAX];
        bool can_reset_subordinate, can_be_removed, has_slot;
        ResetMethodList methods;
        unsigned enable_count;
        bool tsm_bound;
        bool recovering; /* the kernel has announced that it recovers it */
        bool is_kept_off; /* nothing binds to it, by its `driver_override` */
        bool is_known; /* the daemon knows of the holders */
        HolderKind holders[3];
        bool is_silent[3]; /* nobody tells when it ends */
        size_t n_holders;
        bool has_vfio_uid;
        uint32_t vfio_uid;
        NodePolicy policy;
        NodeQuarantine quarantine[NODE_IDS];
} Node;

/* A claim of whatever kind; its devices are those of that time. Without any it is about all. */
typedef struct TreeClaim {
        bool used;
        ClaimKind kind;
        uint32_t uid;
        char id[CLAIM_ID_MAX];
        size_t n;
        size_t node[3];
        uint16_t ids[3];
} TreeClaim;

typedef struct Tree {
        uint64_t random;
        bool is_for_guests; /* nearly all is bound to VFIO */
        Registry *registry; /* NULL: nobody is told, here and in the next one */
        Claims *claims;
        bool has_silent; /* some holders are */
        Node nodes[NODES_MAX];
        size_t n;
        uint8_t last_bus;
        uint64_t last_inode;
        size_t edges[EDGES_MAX][2];
        size_t n_edges;
        TreeClaim held[LEASES_MAX];
        unsigned last_claim;
} Tree;

/* A number below n. */
unsigned pick(Tree *tree, unsigned n);
bool chance(Tree *tree, unsigned percent);

void tree_grow(Tree *tree, uint64_t seed, Registry *registry, Claims *claims);
/* Tells a registry that knows nothing of the edges, and of all functions that are there. */
void tree_tell_all(Tree *tree);

/* What the daemon reads: live facts, and what a scan finds. */
void tree_refresh(const Tree *tree, Device *device);
void tree_scan(Tree *tree, Device *device);

/* Changes of all kinds to one function; the registry and the claims are told. */
void tree_change(Tree *tree, size_t node);
void tree_unplug(Tree *tree, size_t node);
bool tree_plug(Tree *tree, size_t node); /* false: what it hangs on is not there */
/* This driver is bound, empty: none, NULL: one that comes; what is kept off has none. Told. */
void tree_bind(Tree *tree, size_t node, const char *driver);
/* Who uses it is found out, and told if that is news. */
void tree_look(Tree *tree, size_t node);
void tree_claim(Tree *tree);
void tree_unclaim(Tree *tree, size_t held);
/* Everybody lets go of everything, and it is told. */
void tree_calm(Tree *tree);

const Node *tree_node(const Tree *tree, const PciAddress *address);
