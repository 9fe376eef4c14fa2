/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "world.h"

#include <check.h>
#include <stdio.h>

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
