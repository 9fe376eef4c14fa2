/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "world.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void world_init(World *world)
{
        *world = (World){.last_inode = 1000};
        ck_assert_int_eq(registry_new(&world->registry), 0);
}

void world_done(World *world)
{
        world->registry = registry_free(world->registry);
}

PciAddress at(const char *text)
{
        PciAddress address;

        ck_assert_msg(pci_address_parse(text, &address) == 0, "the test names a bad address: %s", text);
        return address;
}

Device *world_find(World *world, const char *address)
{
        PciAddress parsed = at(address);

        return registry_find(world->registry, &parsed);
}

static Device *add(World *world, const DeviceFacts *facts, const char *methods)
{
        Device *device;

        ck_assert_int_eq(registry_apply(world->registry, facts), 0);
        device = registry_find(world->registry, &facts->address);
        ck_assert_ptr_nonnull(device);
        ck_assert_int_eq(reset_method_list_parse(methods, &device->live.methods), 0);
        /* As if a scan had found nobody. */
        device->use.known = true;
        return device;
}

static DeviceFacts make_facts(World *world, const char *address, const char *parent)
{
        DeviceFacts facts = {
                .address = at(address),
                .inode = ++world->last_inode,
                .vendor = 0x8086,
                .device = 0x10d3,
                .class = 0x020000,
        };

        if (parent) {
                facts.has_parent = true;
                facts.parent = at(parent);
        }
        return facts;
}

Device *world_add(World *world, const char *address, const char *parent, const char *driver,
                  const char *methods)
{
        DeviceFacts facts = make_facts(world, address, parent);

        (void) snprintf(facts.driver, sizeof(facts.driver), "%s", driver);
        return add(world, &facts, methods);
}

Device *world_add_bridge(World *world, const char *address, const char *parent)
{
        DeviceFacts facts = make_facts(world, address, parent);

        facts.is_bridge = true;
        facts.class = 0x060400;
        (void) snprintf(facts.driver, sizeof(facts.driver), "pcieport");
        return add(world, &facts, "");
}

Device *world_add_vf(World *world, const char *address, const char *parent, const char *physfn,
                     const char *methods)
{
        DeviceFacts facts = make_facts(world, address, parent);

        facts.has_physfn = true;
        facts.physfn = at(physfn);
        return add(world, &facts, methods);
}

Device *world_replace(World *world, const char *address)
{
        Device *old = world_find(world, address);
        DeviceFacts facts = old->facts;
        ResetMethodList methods = old->live.methods;
        Device *device;

        facts.inode = ++world->last_inode;
        ck_assert_int_eq(registry_apply(world->registry, &facts), 0);
        device = world_find(world, address);
        device->live.methods = methods;
        device->use.known = true;
        return device;
}

void world_bind(World *world, const char *address, const char *driver)
{
        DeviceFacts facts = world_find(world, address)->facts;

        (void) snprintf(facts.driver, sizeof(facts.driver), "%s", driver);
        ck_assert_int_eq(registry_apply(world->registry, &facts), 0);
        world_find(world, address)->use.known = true;
}

static void set_holders(Device *device, Holder *holders, size_t n)
{
        WorkerUse use = {.device = device->facts.address};
        const WorkerScan scan = {.uses = &use, .n_uses = 1, .holders = holders, .n_holders = n};

        use.has_vfio_uid = device->use.has_vfio_uid;
        use.vfio_uid = device->use.vfio_uid;
        ck_assert_int_ge(device_set_use(device, &scan), 0);
}

void world_hold(World *world, const char *address, HolderKind kind)
{
        Device *device = world_find(world, address);
        Holder holders[HOLDERS_PER_DEVICE_MAX];
        size_t n = device->use.n_holders;

        ck_assert_uint_lt(n, HOLDERS_PER_DEVICE_MAX);
        if (n > 0)
                memcpy(holders, device->use.holders, n * sizeof(Holder));
        holders[n++] = (Holder){.device = device->facts.address, .kind = kind, .pid = 4242};
        set_holders(device, holders, n);
}

void world_let_go(World *world, const char *address)
{
        set_holders(world_find(world, address), NULL, 0);
}

void world_offer_all(World *world, const char *address, const char *group)
{
        Device *device = world_find(world, address);

        device->facts.can_be_removed = true;
        (void) snprintf(device->facts.slot, sizeof(device->facts.slot), "4");
        (void) snprintf(device->facts.iommu_group, sizeof(device->facts.iommu_group), "%s", group);
        if (device->parent)
                device->parent->facts.can_reset_subordinate = true;
}

static ClaimDevice name_device(World *world, const char *address)
{
        const Device *device = world_find(world, address);
        ClaimDevice none = {.address = at(address), .vendor = 0x1234, .device = 0x5678};

        return device ? claim_device(device) : none;
}

int world_claim(World *world, Claims *claims, const char *id, ClaimKind kind, uint32_t uid,
                const char *addresses)
{
        ClaimDevice devices[64];
        ClaimRecord record = {.kind = kind, .uid = uid, .devices = devices};
        char text[1024], *saved = NULL;
        const Claim *claim;

        (void) snprintf(record.id, sizeof(record.id), "%s", id);
        (void) snprintf(text, sizeof(text), "%s", addresses);
        for (const char *p = strtok_r(text, " ", &saved); p; p = strtok_r(NULL, " ", &saved))
                devices[record.n_devices++] = name_device(world, p);
        return claims_add(claims, &record, &claim);
}

void world_check_set(Device *const *set, size_t n, const char *expected)
{
        char text[PCI_ADDRESS_STRING_MAX], found[2048] = "", *p = found;

        for (size_t i = 0; i < n; i++)
                p += sprintf(p, "%s%s", i > 0 ? " " : "", pci_address_format(&set[i]->facts.address, text));
        ck_assert_msg(strlen(found) == strlen(expected), "the set is %s, expected %s", found, expected);
        for (size_t i = 0; i < n; i++)
                ck_assert_msg(strstr(expected, pci_address_format(&set[i]->facts.address, text)),
                              "%s is in the set %s, expected %s", text, found, expected);
        for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j < i; j++)
                        ck_assert_ptr_ne(set[i], set[j]);
}
