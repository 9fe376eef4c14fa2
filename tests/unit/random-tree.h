/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A random machine: an array of functions that name each other by index. The registry is told of each
 * change.
 */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/domain/claims.h"
#include "daemon/domain/plan.h"

#define NODES_MAX  96U
#define EDGES_MAX  4U
#define LEASES_MAX 12U

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
        bool is_known; /* the daemon knows of the holders */
        HolderKind holders[3];
        size_t n_holders;
        bool has_vfio_uid;
        uint32_t vfio_uid;
} Node;

/* A claim of whatever kind; its devices are those of that time. */
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
        Registry *registry;
        Claims *claims;
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

/* What the daemon reads: live facts, and what a scan finds. */
void tree_refresh(const Tree *tree, Device *device);
void tree_scan(Tree *tree, Device *device);

/* Changes of all kinds to one function; the registry and the claims are told. */
void tree_change(Tree *tree, size_t node);
void tree_unplug(Tree *tree, size_t node);
bool tree_plug(Tree *tree, size_t node); /* false: what it hangs on is not there */
void tree_claim(Tree *tree);
void tree_unclaim(Tree *tree, size_t held);
/* Everybody lets go of everything, and it is told. */
void tree_calm(Tree *tree);

const Node *tree_node(const Tree *tree, const PciAddress *address);
