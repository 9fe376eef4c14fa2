/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Who is told to own a device: the first of a udev rule or the seat, a lease, a Xen guest, and the user of a
 * VFIO node.
 */

#include <stdio.h>
#include <string.h>

#include "daemon/bus/holders.h"
#include "unit.h"

typedef struct Case {
        const char *named; /* by udev */
        uint32_t lessee; /* 0: no lease */
        const char *guest;
        const char *driver;
        uint32_t vfio_uid;
        const char *owner;
} Case;

#define GUEST "web (domid 3)"

static const Case cases[] = {
        {.owner = ""},
        {.named = "alice",
         .lessee = 1,
         .guest = GUEST,
         .driver = "vfio-pci",
         .vfio_uid = 2,
         .owner = "alice"},
        {.lessee = 1, .guest = GUEST, .driver = "vfio-pci", .vfio_uid = 2, .owner = "uid:1"},
        {.guest = GUEST, .driver = "pciback", .owner = "domain:" GUEST},
        {.guest = GUEST, .driver = "vfio-pci", .vfio_uid = 2, .owner = "domain:" GUEST},
        {.guest = "domid 3", .driver = "pciback", .owner = "domain:domid 3"},
        /* Nobody could be asked, which is no guest; a guest of that name is one. */
        {.guest = "unknown", .driver = "pciback", .owner = ""},
        {.guest = "unknown", .driver = "vfio-pci", .vfio_uid = 2, .owner = "uid:2"},
        {.guest = "unknown (domid 3)", .driver = "pciback", .owner = "domain:unknown (domid 3)"},
        {.driver = "vfio-pci", .vfio_uid = 2, .owner = "uid:2"},
        /* Nobody looks at it any more. */
        {.driver = "", .vfio_uid = 2, .owner = ""},
        {.driver = "vfio-pci", .owner = ""},
        /* Not with the group. */
        {.driver = "nvme", .vfio_uid = 2, .owner = ""},
        {.driver = "pciback", .vfio_uid = 2, .owner = ""},
};

START_TEST(each_case)
{
        const Case *c = &cases[_i];
        Claim lease = {.record.uid = c->lessee};
        /* Somebody else is found first. */
        Holder holders[2] = {{.kind = HOLDER_PROCESS, .what = "/dev/zero"}, {.kind = HOLDER_GUEST}};
        Device device = {
                .lease = c->lessee > 0 ? &lease : NULL,
                .use = {.known = true,
                        .holders = holders,
                        .n_holders = c->guest ? 2 : 1,
                        .has_vfio_uid = true,
                        .vfio_uid = c->vfio_uid},
        };
        char owner[OWNER_TEXT_MAX];

        (void) snprintf(device.owner, sizeof(device.owner), "%s", c->named ? c->named : "");
        (void) snprintf(device.facts.driver, sizeof(device.facts.driver), "%s", c->driver ? c->driver : "");
        (void) snprintf(holders[1].what, sizeof(holders[1].what), "%s", c->guest ? c->guest : "");
        ck_assert_str_eq(device_owner(&device, owner), c->owner);
}
END_TEST

/* The longest that a worker tells is not cut: half a name would be another one. */
START_TEST(longest_guest)
{
        Holder holder = {.kind = HOLDER_GUEST};
        Device device = {.use = {.known = true, .holders = &holder, .n_holders = 1}};
        char owner[OWNER_TEXT_MAX];

        memset(holder.what, 'x', sizeof(holder.what) - 1);
        ck_assert_str_eq(device_owner(&device, owner) + strlen("domain:"), holder.what);
}
END_TEST

/* Its ports are nobody's, whatever stands in the group. */
START_TEST(bridge)
{
        Device device = {.facts.is_bridge = true, .use = {.has_vfio_uid = true, .vfio_uid = 2}};
        char owner[OWNER_TEXT_MAX];

        ck_assert_str_eq(device_owner(&device, owner), "");
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("owner");
        TCase *tcase = tcase_create("owner");

        tcase_add_loop_test(tcase, each_case, 0, sizeof(cases) / sizeof(cases[0]));
        tcase_add_test(tcase, longest_guest);
        tcase_add_test(tcase, bridge);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
