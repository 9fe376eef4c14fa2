/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "random-tree.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const drivers[] = {"",
                                      "",
                                      "",
                                      "nvme",
                                      "e1000e",
                                      "vfio-pci",
                                      "vfio-pci",
                                      "mlx5_vfio_pci",
                                      "pci-stub",
                                      "pciback",
                                      "uio_pci_generic"};
static const uint32_t uids[] = {0, 1001, 1002, 1003};

unsigned pick(Tree *tree, unsigned n)
{
        /* xorshift64* */
        tree->random ^= tree->random >> 12;
        tree->random ^= tree->random << 25;
        tree->random ^= tree->random >> 27;
        return (unsigned) ((tree->random * UINT64_C(2685821657736338717) >> 33) % n);
}

bool chance(Tree *tree, unsigned percent)
{
        return pick(tree, 100) < percent;
}

/* ---- growing ---- */

static void draw_driver(Tree *tree, Node *node)
{
        const char *driver = drivers[pick(tree, sizeof(drivers) / sizeof(drivers[0]))];

        if (tree->is_for_guests && chance(tree, 90))
                driver = "vfio-pci";
        if (node->is_kept_off)
                driver = "";
        (void) snprintf(node->driver, sizeof(node->driver), "%s", driver);
        node->n_holders = node->enable_count = 0;
        node->has_vfio_uid = strstr(driver, "vfio") && chance(tree, 50);
        node->vfio_uid = uids[pick(tree, 4)];
}

static void draw_methods(Tree *tree, Node *node)
{
        static const char *const names[] = {"device_specific", "acpi",  "flr", "af_flr", "pm", "bus",
                                            "cxl_bus",         "d3cold"};

        node->methods = (ResetMethodList){};
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                if (chance(tree, i == 2 || i == 5 ? 80 : 20))
                        strcpy(node->methods.names[node->methods.n++], names[i]);
}

static int add_node(Tree *tree, int parent, uint8_t device, uint8_t function)
{
        Node *node = &tree->nodes[tree->n];

        if (tree->n >= NODES_MAX)
                return -1;
        *node = (Node){.parent = parent, .physfn = -1, .id = (uint16_t) (NODE_ID + pick(tree, NODE_IDS))};
        node->address = (PciAddress){.bus = parent >= 0 ? tree->nodes[parent].secondary : 0,
                                     .device = device,
                                     .function = function};
        draw_driver(tree, node);
        draw_methods(tree, node);
        if (chance(tree, 80))
                (void) snprintf(node->group, sizeof(node->group), "%u", 1 + pick(tree, 3));
        node->can_be_removed = chance(tree, 80);
        node->has_slot = chance(tree, 40);
        return (int) tree->n++;
}

static int add_bridge(Tree *tree, int parent, uint8_t device)
{
        int i = add_node(tree, parent, device, 0);

        if (i >= 0) {
                Node *node = &tree->nodes[i];

                node->is_bridge = true;
                node->secondary = ++tree->last_bus;
                node->can_reset_subordinate = chance(tree, 70);
                (void) snprintf(node->driver, sizeof(node->driver), "pcieport");
        }
        return i;
}

static void add_functions(Tree *tree, int parent, uint8_t device, unsigned n, unsigned n_vfs)
{
        int physfn = -1;

        for (unsigned i = 0; i < n + n_vfs && i < 8; i++) {
                int node = add_node(tree, parent, device, (uint8_t) i);

                if (i == 0)
                        physfn = node;
                if (node >= 0 && i >= n) {
                        tree->nodes[node].physfn = physfn;
                        tree->nodes[node].can_be_removed = false;
                }
        }
}

static void grow_below(Tree *tree, int bridge, unsigned depth)
{
        unsigned kind = pick(tree, depth > 0 ? 9 : 6), n = 1 + pick(tree, 3);
        int upper;

        switch (kind) {
        case 0:
                break;
        case 1:
        case 2:
                add_functions(tree, bridge, 0, 1, 0);
                break;
        case 3:
                add_functions(tree, bridge, 0, n, 0);
                break;
        case 4:
                add_functions(tree, bridge, 0, 1, n);
                break;
        case 5: /* a conventional bus */
                for (uint8_t i = 0; i < n; i++)
                        add_functions(tree, bridge, i, 1 + pick(tree, 2), 0);
                break;
        default: /* a switch, or on a conventional bus a bridge beside devices */
                upper = add_bridge(tree, bridge, 0);
                if (kind == 8)
                        add_functions(tree, bridge, 1, 1, 0);
                for (uint8_t i = 0; i < n && upper >= 0; i++) {
                        int down = add_bridge(tree, upper, i);

                        if (down >= 0)
                                grow_below(tree, down, depth - 1);
                }
        }
}

static void tell_edge(const Tree *tree, size_t i)
{
        const size_t *edge = tree->edges[i];

        if (!tree->registry)
                return;
        ck_assert_int_eq(registry_add_edge(tree->registry, &tree->nodes[edge[0]].address,
                                           &tree->nodes[edge[1]].address),
                         0);
}

static void tell_facts(Tree *tree, size_t i);

void tree_grow(Tree *tree, uint64_t seed, Registry *registry, Claims *claims)
{
        unsigned n_ports;

        *tree = (Tree){.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1};
        tree->registry = registry;
        tree->claims = claims;
        tree->is_for_guests = chance(tree, 25);
        n_ports = 1 + pick(tree, 4);
        for (uint8_t i = 1; i <= n_ports; i++) {
                int port = add_bridge(tree, -1, i);

                if (port >= 0)
                        grow_below(tree, port, 2);
        }
        add_functions(tree, -1, 0x1d, pick(tree, 3), 0);
        add_functions(tree, -1, 0x1e, 1, pick(tree, 3));

        for (tree->n_edges = 0; tree->n_edges < pick(tree, EDGES_MAX + 1); tree->n_edges++) {
                size_t *edge = tree->edges[tree->n_edges];

                for (unsigned i = 0; i < 2; i++)
                        edge[i] = pick(tree, (unsigned) tree->n);
                tell_edge(tree, tree->n_edges);
        }
        for (size_t i = 0; i < tree->n; i++)
                ck_assert(tree_plug(tree, i));
}

void tree_tell_all(Tree *tree)
{
        for (size_t i = 0; i < tree->n_edges; i++)
                tell_edge(tree, i);
        for (size_t i = 0; i < tree->n; i++)
                if (tree->nodes[i].present)
                        tell_facts(tree, i);
}

/* ---- what the daemon reads ---- */

static size_t index_of(const Tree *tree, const PciAddress *address)
{
        for (size_t i = 0; i < tree->n; i++)
                if (pci_address_equal(&tree->nodes[i].address, address))
                        return i;
        ck_abort_msg("a device that nobody has put there");
        return 0;
}

const Node *tree_node(const Tree *tree, const PciAddress *address)
{
        return &tree->nodes[index_of(tree, address)];
}

void tree_refresh(const Tree *tree, Device *device)
{
        const Node *node = tree_node(tree, &device->facts.address);

        device->live = (DeviceLive){
                .methods = node->methods, .enable_count = node->enable_count, .tsm_bound = node->tsm_bound};
}

void tree_scan(Tree *tree, Device *device)
{
        Node *node = &tree->nodes[index_of(tree, &device->facts.address)];
        Holder holders[3];
        WorkerUse use = {.device = node->address};
        const WorkerScan scan = {
                .uses = &use, .n_uses = 1, .holders = holders, .n_holders = node->n_holders};

        use.has_vfio_uid = node->has_vfio_uid;
        use.vfio_uid = node->vfio_uid;
        for (size_t i = 0; i < node->n_holders; i++)
                holders[i] = (Holder){
                        .device = node->address, .kind = node->holders[i], .silent = node->is_silent[i]};
        node->is_known = true;
        device->live.enable_count = node->enable_count;
        ck_assert_int_ge(device_set_use(device, &scan), 0);
}

static Device *device_of(const Tree *tree, size_t node)
{
        return registry_find(tree->registry, &tree->nodes[node].address);
}

/* ---- changes ---- */

static void tell_facts(Tree *tree, size_t i)
{
        const Node *node = &tree->nodes[i];
        DeviceFacts facts = {
                .address = node->address,
                .inode = node->inode,
                .vendor = 0x8086,
                .device = node->id,
                .is_bridge = node->is_bridge,
                .has_parent = node->parent >= 0,
                .has_physfn = node->physfn >= 0,
                .can_reset_subordinate = node->can_reset_subordinate,
                .can_be_removed = node->can_be_removed,
        };

        if (!tree->registry)
                return;
        if (facts.has_parent)
                facts.parent = tree->nodes[node->parent].address;
        if (facts.has_physfn)
                facts.physfn = tree->nodes[node->physfn].address;
        if (node->has_slot)
                strcpy(facts.slot, "1");
        strcpy(facts.driver, node->driver);
        strcpy(facts.iommu_group, node->group);
        ck_assert_int_eq(registry_apply(tree->registry, &facts), 0);
}

bool tree_plug(Tree *tree, size_t i)
{
        Node *node = &tree->nodes[i];

        if (node->present)
                return true;
        if ((node->parent >= 0 && !tree->nodes[node->parent].present) ||
            (node->physfn >= 0 && !tree->nodes[node->physfn].present))
                return false;
        node->present = true;
        node->recovering = false;
        node->inode = ++tree->last_inode;
        tell_facts(tree, i);
        return true;
}

void tree_unplug(Tree *tree, size_t i)
{
        Node *node = &tree->nodes[i];

        if (!node->present)
                return;
        for (size_t j = 0; j < tree->n; j++)
                if (tree->nodes[j].parent == (int) i || tree->nodes[j].physfn == (int) i)
                        tree_unplug(tree, j);
        node->present = node->is_known = node->recovering = node->is_kept_off = false;
        node->n_holders = node->enable_count = 0;
        node->tsm_bound = false;
        if (tree->registry)
                registry_remove(tree->registry, &node->address, node->inode);
}

static void tell_use(Tree *tree, size_t i)
{
        if (!tree->registry || !tree->nodes[i].is_known)
                return;
        tree_scan(tree, device_of(tree, i));
        registry_notify(tree->registry, device_of(tree, i), DEVICE_CHANGED_USE);
}

static void change_holders(Tree *tree, size_t i)
{
        Node *node = &tree->nodes[i];

        /* Without a driver there is nothing that could be held. */
        if (node->driver[0] == '\0' || node->is_bridge)
                return;
        if (node->n_holders > 0 && chance(tree, 85)) {
                if (node->is_silent[--node->n_holders])
                        return;
        } else if (node->n_holders < 3) {
                node->is_silent[node->n_holders] = tree->has_silent && chance(tree, 20);
                node->holders[node->n_holders++] = (HolderKind) pick(tree, HOLDER_KINDS);
        }
        tell_use(tree, i);
}

void tree_bind(Tree *tree, size_t i, const char *driver)
{
        Node *node = &tree->nodes[i];

        draw_driver(tree, node);
        if (driver && !node->is_kept_off)
                (void) snprintf(node->driver, sizeof(node->driver), "%s", driver);
        if (driver)
                node->has_vfio_uid = node->has_vfio_uid && strstr(driver, "vfio");
        tell_facts(tree, i);
        tell_use(tree, i);
}

void tree_look(Tree *tree, size_t i)
{
        if (!tree->nodes[i].present)
                return;
        tree->nodes[i].is_known = true;
        tell_use(tree, i);
}

void tree_change(Tree *tree, size_t i)
{
        Node *node = &tree->nodes[i];

        if (!node->present) {
                if (chance(tree, 20))
                        node->id = (uint16_t) (NODE_ID + pick(tree, NODE_IDS));
                (void) tree_plug(tree, i);
                return;
        }
        switch (pick(tree, 10)) {
        case 0:
                tree_unplug(tree, i);
                break;
        case 1:
                if (node->is_bridge)
                        break;
                tree_bind(tree, i, NULL);
                break;
        case 2:
                node->enable_count = strstr(node->driver, "vfio") ? pick(tree, 2) : 0;
                tell_use(tree, i);
                break;
        case 3:
                node->tsm_bound = !node->is_bridge && chance(tree, 10);
                break;
        case 4:
                draw_methods(tree, node);
                break;
        case 5:
                tree_look(tree, i);
                break;
        default:
                change_holders(tree, i);
        }
}

void tree_claim(Tree *tree)
{
        TreeClaim *held = NULL;
        ClaimDevice devices[3];
        ClaimRecord record = {.devices = devices};
        const Claim *claim;

        for (size_t i = 0; i < LEASES_MAX; i++)
                if (!tree->held[i].used)
                        held = &tree->held[i];
        if (!held)
                return;
        *held = (TreeClaim){.kind = chance(tree, 70) ? CLAIM_LEASE : (ClaimKind) (1 + pick(tree, 2)),
                            .uid = uids[pick(tree, 4)],
                            .n = 1 + pick(tree, 3)};
        (void) snprintf(held->id, sizeof(held->id), "%u", ++tree->last_claim);
        record.kind = held->kind;
        record.uid = held->uid;
        record.n_devices = held->n;
        memcpy(record.id, held->id, sizeof(record.id));
        for (size_t i = 0; i < held->n; i++) {
                held->node[i] = pick(tree, (unsigned) tree->n);
                held->ids[i] = tree->nodes[held->node[i]].id;
                devices[i] = (ClaimDevice){.address = tree->nodes[held->node[i]].address,
                                           .vendor = 0x8086,
                                           .device = held->ids[i]};
        }
        /* Before anybody is told. */
        held->used = true;
        if (claims_add(tree->claims, &record, &claim) < 0)
                held->used = false;
}

void tree_unclaim(Tree *tree, size_t i)
{
        if (!tree->held[i].used)
                return;
        tree->held[i].used = false;
        if (tree->claims)
                claims_remove(tree->claims, tree->held[i].id);
}

void tree_calm(Tree *tree)
{
        for (size_t i = 0; i < LEASES_MAX; i++)
                tree_unclaim(tree, i);
        for (size_t i = 0; i < tree->n; i++) {
                Node *node = &tree->nodes[i];

                node->n_holders = node->enable_count = 0;
                node->tsm_bound = false;
                tree_look(tree, i);
        }
}
