/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Devices hang in one hash table by address; uthash keeps its elements in a list as well, which is sorted
 * anew when somebody walks it after an addition. The tree is tied by address: a device whose parent or
 * physical function is not known yet counts as an orphan, and only while there are orphans does an addition
 * look for those that waited for it.
 */

#include "daemon/domain/registry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "shared/cleanup.h"

typedef struct Edge {
        PciAddress ends[2];
} Edge;

/* Rules make a handful of differences among thousands of devices. */
struct SharedPolicy {
        EffectivePolicy effective; /* the key, as it lies in memory: all of it was zero first */
        size_t n_users;
        UT_hash_handle hh;
};

struct Registry {
        Device *devices;
        SharedPolicy *policies; /* what holds for the devices for which somebody has asked */
        bool sorted;
        size_t n_orphans;
        uint64_t last_generation;
        uint64_t scan;
        uint64_t last_look;
        RegistryListener listener;
        Edge *edges; /* each of them once */
        size_t n_edges;
        Policy *policy;
        char kernel[POLICY_KERNEL_MAX];
};

int registry_new(Registry **ret)
{
        Registry *registry = calloc(1, sizeof(Registry));

        if (registry)
                registry->policy = policy_new();
        if (!registry || !registry->policy) {
                free(registry);
                return -ENOMEM;
        }
        *ret = registry;
        return 0;
}

static void forget_policy(Device *device)
{
        SharedPolicy *shared = device->policy;

        device->policy = NULL;
        if (!shared || --shared->n_users > 0)
                return;
        HASH_DEL(device->registry->policies, shared);
        free(shared);
}

static void device_free(Device *device)
{
        device_forget_use(device);
        forget_policy(device);
        free(device->order);
        free(device->checkup);
        free(device);
}

Registry *registry_free(Registry *registry)
{
        Device *device, *next;

        if (!registry)
                return NULL;
        HASH_ITER (hh, registry->devices, device, next) {
                HASH_DEL(registry->devices, device);
                device_free(device);
        }
        free(registry->edges);
        policy_free(registry->policy);
        free(registry);
        return NULL;
}

void registry_set_listener(Registry *registry, const RegistryListener *listener)
{
        registry->listener = listener ? *listener : (RegistryListener){};
}

Device *registry_find(const Registry *registry, const PciAddress *address)
{
        uint64_t key = pci_address_key(address);
        Device *device;

        HASH_FIND(hh, registry->devices, &key, sizeof(key), device);
        return device;
}

size_t registry_count(const Registry *registry)
{
        return HASH_COUNT(registry->devices);
}

static int compare_devices(const Device *a, const Device *b)
{
        return a->key < b->key ? -1 : a->key > b->key;
}

Device *registry_next(Registry *registry, const Device *device)
{
        if (device)
                return device->hh.next;

        if (!registry->sorted) {
                HASH_SORT(registry->devices, compare_devices);
                registry->sorted = true;
        }
        return registry->devices;
}

/* How many of the ties that its facts name a device is still without. */
static size_t missing_ties(const Device *device)
{
        return (device->facts.has_parent && !device->parent) + (device->facts.has_physfn && !device->physfn);
}

static void tie(Registry *registry, Device *device)
{
        if (device->facts.has_parent && !device->parent) {
                device->parent = registry_find(registry, &device->facts.parent);
                if (device->parent)
                        DL_APPEND2(device->parent->first_child, device, prev_sibling, next_sibling);
        }
        if (device->facts.has_physfn && !device->physfn) {
                device->physfn = registry_find(registry, &device->facts.physfn);
                if (device->physfn)
                        DL_APPEND2(device->physfn->first_vf, device, prev_vf, next_vf);
        }
}

static void untie_parent(Device *device)
{
        if (device->parent)
                DL_DELETE2(device->parent->first_child, device, prev_sibling, next_sibling);
        device->parent = device->prev_sibling = device->next_sibling = NULL;
}

static void untie_physfn(Device *device)
{
        if (device->physfn)
                DL_DELETE2(device->physfn->first_vf, device, prev_vf, next_vf);
        device->physfn = device->prev_vf = device->next_vf = NULL;
}

/* Takes a device out of the tree; what stood below it becomes orphaned. */
static void untie(Registry *registry, Device *device)
{
        registry->n_orphans -= missing_ties(device);
        untie_parent(device);
        untie_physfn(device);

        while (device->first_child) {
                untie_parent(device->first_child);
                registry->n_orphans++;
        }
        while (device->first_vf) {
                untie_physfn(device->first_vf);
                registry->n_orphans++;
        }
}

/* Ties whatever can be tied now, a device just added included. */
static void adopt_orphans(Registry *registry)
{
        for (Device *d = registry->devices; d && registry->n_orphans > 0; d = d->hh.next) {
                registry->n_orphans -= missing_ties(d);
                tie(registry, d);
                registry->n_orphans += missing_ties(d);
        }
}

static int add(Registry *registry, const DeviceFacts *facts)
{
        Device *device = calloc(1, sizeof(Device));

        if (!device)
                return -ENOMEM;

        device->registry = registry;
        device->facts = *facts;
        device->key = pci_address_key(&facts->address);
        device->generation = ++registry->last_generation;
        device->scan = registry->scan;

        HASH_ADD(hh, registry->devices, key, sizeof(device->key), device);
        registry->sorted = false;
        registry->n_orphans += missing_ties(device);
        if (registry->n_orphans > 0)
                adopt_orphans(registry);

        if (registry->listener.added)
                registry->listener.added(registry->listener.userdata, device);
        return 0;
}

static void drop(Registry *registry, Device *device)
{
        HASH_DEL(registry->devices, device);
        untie(registry, device);
        if (registry->listener.removed)
                registry->listener.removed(registry->listener.userdata, device);
        device_free(device);
}

static bool is_same_device(const DeviceFacts *a, const DeviceFacts *b)
{
        return a->inode == b->inode && a->vendor == b->vendor && a->device == b->device &&
               a->subsystem_vendor == b->subsystem_vendor && a->subsystem_device == b->subsystem_device &&
               a->class == b->class && a->has_parent == b->has_parent &&
               (!a->has_parent || pci_address_equal(&a->parent, &b->parent));
}

uint64_t registry_begin_look(Registry *registry)
{
        return ++registry->last_look;
}

/* Takes over what may change during a device's life. Returns what did. */
static unsigned update(Registry *registry, Device *device, const DeviceFacts *facts)
{
        bool was_in_use = device_is_in_use(device);
        unsigned changes = 0;

        /* Rules look at the driver. */
        forget_policy(device);
        if (strcmp(device->facts.driver, facts->driver) != 0) {
                changes |= DEVICE_CHANGED_DRIVER;
                /* Other nodes, other interfaces: what was found says nothing about them. */
                device_forget_use(device);
                /* And what a look that has begun will find may be about the driver before. */
                device->look = registry_begin_look(registry);
        }
        if (strcmp(device->facts.iommu_group, facts->iommu_group) != 0)
                changes |= DEVICE_CHANGED_IOMMU_GROUP;
        if (device->facts.has_physfn != facts->has_physfn ||
            (facts->has_physfn && !pci_address_equal(&device->facts.physfn, &facts->physfn))) {
                changes |= DEVICE_CHANGED_PHYSFN;
                registry->n_orphans -= missing_ties(device);
                untie_physfn(device);
                device->facts = *facts;
                tie(registry, device);
                registry->n_orphans += missing_ties(device);
        }
        device->facts = *facts;
        /* No look will tell of it if there is no driver any more. */
        if (device_is_in_use(device) != was_in_use)
                changes |= DEVICE_CHANGED_USE;
        return changes;
}

int registry_apply(Registry *registry, const DeviceFacts *facts)
{
        Device *device = registry_find(registry, &facts->address);

        if (device && !is_same_device(&device->facts, facts)) {
                drop(registry, device);
                device = NULL;
        }
        if (!device)
                return add(registry, facts);

        device->scan = registry->scan;
        registry_notify(registry, device, update(registry, device, facts));
        return 0;
}

void registry_remove(Registry *registry, const PciAddress *address, uint64_t inode)
{
        Device *device = registry_find(registry, address);

        if (device && (inode == 0 || device->facts.inode == inode))
                drop(registry, device);
}

void registry_scan_begin(Registry *registry)
{
        registry->scan++;
}

void registry_scan_end(Registry *registry)
{
        Device *device, *next;

        HASH_ITER (hh, registry->devices, device, next) {
                if (device->scan != registry->scan)
                        drop(registry, device);
        }
}

static bool has_edge(const Registry *registry, const PciAddress *a, const PciAddress *b)
{
        for (size_t i = 0; i < registry->n_edges; i++) {
                const PciAddress *ends = registry->edges[i].ends;

                if ((pci_address_equal(&ends[0], a) && pci_address_equal(&ends[1], b)) ||
                    (pci_address_equal(&ends[0], b) && pci_address_equal(&ends[1], a)))
                        return true;
        }
        return false;
}

int registry_add_edge(Registry *registry, const PciAddress *a, const PciAddress *b)
{
        Edge *edges;

        if (has_edge(registry, a, b))
                return 0;
        edges = reallocarray(registry->edges, registry->n_edges + 1, sizeof(Edge));
        if (!edges)
                return -ENOMEM;
        registry->edges = edges;
        edges[registry->n_edges++] = (Edge){.ends = {*a, *b}};
        return 0;
}

Device *registry_next_edge(const Registry *registry, const Device *device, size_t *cursor)
{
        while (*cursor < registry->n_edges * 2) {
                const Edge *edge = &registry->edges[*cursor / 2];
                size_t end = (*cursor)++ % 2;
                Device *other;

                if (!pci_address_equal(&edge->ends[end], &device->facts.address))
                        continue;
                other = registry_find(registry, &edge->ends[1 - end]);
                if (other && other != device)
                        return other;
        }
        return NULL;
}

void registry_set_policy(Registry *registry, Policy *policy, const char *kernel)
{
        (void) snprintf(registry->kernel, sizeof(registry->kernel), "%s", kernel);
        registry_change_policy(registry, policy);
}

void registry_change_policy(Registry *registry, Policy *policy)
{
        policy_free(registry->policy);
        registry->policy = policy;
        for (Device *d = registry->devices; d; d = d->hh.next)
                forget_policy(d);
}

const Policy *registry_policy(const Registry *registry)
{
        return registry->policy;
}

static SharedPolicy *share_policy(Registry *registry, const EffectivePolicy *effective)
{
        SharedPolicy *shared;

        HASH_FIND(hh, registry->policies, effective, sizeof(*effective), shared);
        if (!shared) {
                shared = calloc(1, sizeof(SharedPolicy));
                if (!shared)
                        return NULL;
                memcpy(&shared->effective, effective, sizeof(*effective));
                HASH_ADD(hh, registry->policies, effective, sizeof(shared->effective), shared);
        }
        shared->n_users++;
        return shared;
}

const EffectivePolicy *registry_policy_of(Device *device)
{
        Registry *registry = device->registry;
        EffectivePolicy effective;
        PolicySubject subject;

        if (device->policy)
                return &device->policy->effective;
        memset(&effective, 0, sizeof(effective));
        policy_subject_init(&subject, &device->facts, registry->kernel);
        policy_merge(registry->policy, &subject, &effective);
        device->policy = share_policy(registry, &effective);
        return device->policy ? &device->policy->effective : NULL;
}

void registry_take_policy(Registry *registry, Registry *from)
{
        Policy *policy = from->policy;

        free(registry->edges);
        registry->edges = from->edges;
        registry->n_edges = from->n_edges;
        from->edges = NULL;
        from->n_edges = 0;
        from->policy = NULL;
        registry_set_policy(registry, policy, from->kernel);
}

void registry_notify(Registry *registry, Device *device, unsigned changes)
{
        if (changes != 0 && registry->listener.changed)
                registry->listener.changed(registry->listener.userdata, device, changes);
}
