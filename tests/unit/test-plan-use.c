/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Who may reset what is in use, claimed or forbidden: every reason, with and without everything that lifts
 * it.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/domain/plan.h"
#include "unit.h"
#include "world.h"

#define TARGET "0000:01:00.0"
#define OTHER  "0000:01:00.1"
#define BRIDGE "0000:00:01.0"

#define ALICE 1001U
#define BOB   1002U

static World world;
static Claims *claims;

/* A card with two functions below one port, in two groups. */
static void setup(void)
{
        world_init(&world);
        ck_assert_int_eq(claims_new(world.registry, &claims), 0);
        world_add_bridge(&world, BRIDGE, NULL);
        world_add(&world, TARGET, BRIDGE, "", "flr");
        world_add(&world, OTHER, BRIDGE, "", "flr");
        world_offer_all(&world, TARGET, "7");
        world_offer_all(&world, OTHER, "8");
}

static void teardown(void)
{
        claims_free(claims);
        world_done(&world);
}

typedef struct Case {
        /* Who gets the facts below: the target unless said otherwise. */
        const char *who;
        const char *driver;
        unsigned holders[3]; /* HolderKind + 1 */
        unsigned enable_count;
        bool is_unknown, is_tsm_bound;
        uint32_t vfio_uid, lessee; /* 0: none; a lease has the id "L" */
        bool blocks, delays;
        /* The request. */
        const char *method; /* flr unless said otherwise */
        PlanOptions options;
        /* What comes out. */
        unsigned why, busy, actions; /* the last if usable */
        bool is_rebound, is_delayed;
} Case;

#define HELD_BY(kind) .holders = {HOLDER_##kind + 1}
#define FORCED        .options = {.in_use = true}
#define PATIENT       .options = {.when_idle = true}
#define BOTH          .options = {.in_use = true, .when_idle = true}
#define ASK(a)        .actions = ACTION_##a

static const Case cases[] = {
        {ASK(RESET)},
        {.method = "subordinate", ASK(RESET_SHARED)},

        /* Soft holders: lifted by in_use, waited for with when_idle. */
        {HELD_BY(PROCESS), .why = WHY_HELD},
        {HELD_BY(INTERFACE), .why = WHY_HELD},
        {HELD_BY(HIDDEN), .why = WHY_HELD},
        {HELD_BY(PROCESS), FORCED, ASK(RESET_IN_USE)},
        {HELD_BY(INTERFACE), FORCED, ASK(RESET_IN_USE)},
        {HELD_BY(HIDDEN), FORCED, ASK(RESET_IN_USE)},
        {HELD_BY(PROCESS), PATIENT, .busy = WHY_HELD, ASK(RESET)},
        {HELD_BY(PROCESS), BOTH, ASK(RESET_IN_USE)},
        {HELD_BY(PROCESS), .method = "subordinate", .who = OTHER, .why = WHY_HELD},
        {HELD_BY(PROCESS), .method = "subordinate", .who = OTHER, FORCED,
         .actions = ACTION_RESET_IN_USE | ACTION_RESET_SHARED},
        {HELD_BY(PROCESS), .method = "flr", .who = OTHER, ASK(RESET)},

        /* Hard ones: lifted by nothing, waited for. */
        {HELD_BY(ROOT), .why = WHY_STORAGE},
        {HELD_BY(MOUNT), .why = WHY_STORAGE},
        {HELD_BY(SWAP), .why = WHY_STORAGE},
        {HELD_BY(BLOCK), .why = WHY_STORAGE},
        {HELD_BY(NETWORK), .why = WHY_NETWORK},
        {HELD_BY(GUEST), .why = WHY_GUEST},
        {HELD_BY(VFIO), .why = WHY_VFIO_OPEN},
        {HELD_BY(ROOT), FORCED, .why = WHY_STORAGE},
        {HELD_BY(MOUNT), FORCED, .why = WHY_STORAGE},
        {HELD_BY(SWAP), FORCED, .why = WHY_STORAGE},
        {HELD_BY(BLOCK), FORCED, .why = WHY_STORAGE},
        {HELD_BY(NETWORK), FORCED, .why = WHY_NETWORK},
        {HELD_BY(GUEST), FORCED, .why = WHY_GUEST},
        {HELD_BY(VFIO), FORCED, .why = WHY_VFIO_OPEN},
        {HELD_BY(MOUNT), PATIENT, .busy = WHY_STORAGE, ASK(RESET)},
        {HELD_BY(NETWORK), PATIENT, .busy = WHY_NETWORK, ASK(RESET)},
        {HELD_BY(GUEST), PATIENT, .busy = WHY_GUEST, ASK(RESET)},
        {HELD_BY(VFIO), PATIENT, .busy = WHY_VFIO_OPEN, ASK(RESET)},
        {HELD_BY(MOUNT), BOTH, .busy = WHY_STORAGE, ASK(RESET)},
        {HELD_BY(MOUNT), .method = "rescan", .who = OTHER, FORCED, .why = WHY_STORAGE},
        {HELD_BY(MOUNT), .method = "slot", .who = OTHER, FORCED, .why = WHY_STORAGE},
        /* One in_use does not lift what stands beside it. */
        {.holders = {HOLDER_PROCESS + 1, HOLDER_MOUNT + 1, HOLDER_NETWORK + 1},
         FORCED,
         .why = WHY_STORAGE | WHY_NETWORK},
        {.holders = {HOLDER_PROCESS + 1, HOLDER_MOUNT + 1, HOLDER_NETWORK + 1},
         .why = WHY_HELD | WHY_STORAGE | WHY_NETWORK},

        /* Drivers: idle below one that knows resets, lost below another, which is taken off. */
        {.driver = "nvme", ASK(RESET)},
        {.driver = "nvme", FORCED, ASK(RESET)},
        {.driver = "nvme", HELD_BY(PROCESS), FORCED, ASK(RESET_IN_USE)},
        {.driver = "e1000e", .why = WHY_DRIVER_BOUND},
        {.driver = "e1000e", PATIENT, .why = WHY_DRIVER_BOUND},
        {.driver = "e1000e", FORCED, ASK(RESET_IN_USE), .is_rebound = true},
        {.driver = "e1000e",
         .method = "subordinate",
         .who = OTHER,
         FORCED,
         .is_rebound = true,
         .actions = ACTION_RESET_IN_USE | ACTION_RESET_SHARED},
        /* Power off and removal take it off by themselves. */
        {.driver = "e1000e", .method = "slot", FORCED, .actions = ACTION_RESET_IN_USE | ACTION_RESET_SHARED},
        {.driver = "e1000e",
         .method = "rescan",
         FORCED,
         .actions = ACTION_RESET_IN_USE | ACTION_RESET_SHARED},
        {.driver = "e1000e", .method = "rescan", .why = WHY_DRIVER_BOUND},
        {.driver = "e1000e", HELD_BY(NETWORK), FORCED, .why = WHY_NETWORK, .is_rebound = true},
        {.driver = "pciback", ASK(RESET)},
        {.driver = "pciback", HELD_BY(GUEST), .why = WHY_GUEST},

        /* VFIO's own count of users. */
        {.driver = "vfio-pci", ASK(RESET)},
        {.driver = "vfio-pci", .enable_count = 1, .why = WHY_VFIO_OPEN},
        {.driver = "vfio-pci", .enable_count = 1, FORCED, .why = WHY_VFIO_OPEN},
        {.driver = "vfio-pci", .enable_count = 1, PATIENT, .busy = WHY_VFIO_OPEN, ASK(RESET)},
        {.driver = "vfio-pci",
         .enable_count = 1,
         .method = "subordinate",
         .who = OTHER,
         .why = WHY_VFIO_OPEN},
        {.driver = "nvme", .enable_count = 1, ASK(RESET)},
        {.enable_count = 1, ASK(RESET)},

        /* Programs with drivers of their own: enabled as long as it is bound, used by who has the node open.
         */
        {.driver = "uio_pci_generic", .enable_count = 1, ASK(RESET)},
        {.driver = "uio_pci_generic", .enable_count = 1, HELD_BY(PROCESS), .why = WHY_HELD},
        {.driver = "uio_pci_generic", .is_unknown = true, .why = WHY_USE_UNKNOWN},

        /* What is not known is in use, by somebody who does not go away. */
        {.driver = "nvme", .is_unknown = true, .why = WHY_USE_UNKNOWN},
        {.driver = "nvme", .is_unknown = true, FORCED, .why = WHY_USE_UNKNOWN},
        {.driver = "nvme", .is_unknown = true, PATIENT, .why = WHY_USE_UNKNOWN},
        {.driver = "vfio-pci", .is_unknown = true, .why = WHY_USE_UNKNOWN},
        {.driver = "pciback", .is_unknown = true, FORCED, .why = WHY_USE_UNKNOWN},
        {.driver = "nvme",
         .is_unknown = true,
         .method = "subordinate",
         .who = OTHER,
         .why = WHY_USE_UNKNOWN},
        {.is_unknown = true, ASK(RESET)},

        {.is_tsm_bound = true, .why = WHY_TSM_BOUND},
        {.is_tsm_bound = true, BOTH, .why = WHY_TSM_BOUND},
        {.is_tsm_bound = true, .method = "subordinate", .who = OTHER, FORCED, .why = WHY_TSM_BOUND},

        /* Leases: one's own, by uid or by a descriptor, selects another action. */
        {.lessee = ALICE, ASK(RESET_OWNED)},
        {.lessee = BOB, .why = WHY_LEASED},
        {.lessee = BOB, FORCED, .why = WHY_LEASED},
        {.lessee = BOB, PATIENT, .busy = WHY_LEASED, ASK(RESET)},
        {.lessee = BOB, .options.asker.presented = "L", ASK(RESET_OWNED)},
        {.lessee = BOB, .options.asker.presented = "M", .why = WHY_LEASED},
        {.lessee = BOB, .options.asker.lease = "L", .why = WHY_LEASED},
        {.lessee = BOB, .who = OTHER, ASK(RESET)},
        {.lessee = BOB, .who = OTHER, .method = "subordinate", .why = WHY_LEASED},
        {.lessee = BOB, .who = OTHER, .method = "rescan", FORCED, .why = WHY_LEASED},
        /* Of a set all has to be one's own. */
        {.lessee = ALICE, .who = OTHER, .method = "subordinate", ASK(RESET_SHARED)},
        {.lessee = ALICE, .who = "both", .method = "subordinate", ASK(RESET_OWNED)},
        {.lessee = BOB,
         .who = "both",
         .method = "subordinate",
         .options.asker.presented = "L",
         ASK(RESET_OWNED)},
        /* It lifts nothing else. */
        {.lessee = ALICE, HELD_BY(PROCESS), .why = WHY_HELD},
        {.lessee = ALICE, HELD_BY(PROCESS), FORCED, ASK(RESET_IN_USE)},
        {.lessee = ALICE, HELD_BY(MOUNT), FORCED, .why = WHY_STORAGE},
        {.lessee = ALICE,
         .who = "both",
         HELD_BY(PROCESS),
         .method = "subordinate",
         FORCED,
         ASK(RESET_IN_USE)},
        /* A request that relies on a lease stops with it. */
        {.lessee = ALICE, .options.asker.lease = "L", ASK(RESET_OWNED)},
        {.options.asker.lease = "L", .why = WHY_LEASE_GONE},
        {.lessee = ALICE, .options.asker.lease = "M", .why = WHY_LEASE_GONE},
        {.lessee = ALICE, .who = OTHER, .options.asker.lease = "L", .why = WHY_LEASE_GONE},

        /* Inhibitors: one's own as well, for anything. */
        {.blocks = true, .why = WHY_INHIBITED},
        {.blocks = true, BOTH, .why = WHY_INHIBITED},
        {.blocks = true, .lessee = ALICE, .why = WHY_INHIBITED},
        {.blocks = true, .who = OTHER, ASK(RESET)},
        {.blocks = true, .who = OTHER, .method = "subordinate", .why = WHY_INHIBITED},
        {.delays = true, ASK(RESET), .is_delayed = true},
        {.delays = true, .options.prepared = true, ASK(RESET), .is_delayed = true},
        {.delays = true, .who = OTHER, ASK(RESET)},
        {.delays = true, .who = OTHER, .method = "subordinate", ASK(RESET_SHARED), .is_delayed = true},
        /* Holders may be those who are told, and are seen again after that. */
        {.delays = true, HELD_BY(PROCESS), .busy = WHY_HELD, ASK(RESET), .is_delayed = true},
        {.delays = true, HELD_BY(MOUNT), .busy = WHY_STORAGE, ASK(RESET), .is_delayed = true},
        {.delays = true, HELD_BY(MOUNT), .options.prepared = true, .why = WHY_STORAGE, .is_delayed = true},
        {.delays = true,
         HELD_BY(PROCESS),
         .options = {.prepared = true, .when_idle = true},
         .busy = WHY_HELD,
         ASK(RESET),
         .is_delayed = true},
        {.delays = true, .driver = "e1000e", .why = WHY_DRIVER_BOUND, .is_delayed = true},
        {.delays = true, .blocks = true, .why = WHY_INHIBITED, .is_delayed = true},

        /* Hot reset: all bound to VFIO, and all groups presented or none. */
        {.method = "vfio_hot", .who = "both", .driver = "vfio-pci", ASK(RESET_SHARED)},
        {.method = "vfio_hot", .driver = "vfio-pci", .why = WHY_NOT_VFIO},
        {.method = "vfio_hot",
         .who = "both",
         .driver = "pci-stub",
         .why = WHY_NOT_ADVERTISED | WHY_NOT_VFIO},
        {.method = "vfio_hot", .who = "both", .driver = "vfio-pci", .enable_count = 1, .why = WHY_VFIO_OPEN},
        {.method = "vfio_hot",
         .who = "both",
         .driver = "vfio-pci",
         .enable_count = 1,
         HELD_BY(VFIO),
         .options.asker = {.groups = {"7", "8"}, .n_groups = 2},
         ASK(RESET_OWNED)},
        {.method = "vfio_hot",
         .who = "both",
         .driver = "vfio-pci",
         .enable_count = 1,
         .options.asker = {.groups = {"7"}, .n_groups = 1},
         .why = WHY_VFIO_OPEN | WHY_NOT_OWNED},
        {.method = "vfio_hot",
         .who = "both",
         .driver = "vfio-pci",
         .options.asker = {.groups = {"8", "9"}, .n_groups = 2},
         .why = WHY_NOT_OWNED},
        {.method = "vfio_hot",
         .who = "both",
         .driver = "vfio-pci",
         HELD_BY(PROCESS),
         .options.asker = {.groups = {"7", "8"}, .n_groups = 2},
         .why = WHY_HELD},
        {.method = "vfio_hot",
         .who = "both",
         .driver = "vfio-pci",
         .enable_count = 1,
         .lessee = BOB,
         .options.asker = {.groups = {"7", "8"}, .n_groups = 2},
         .why = WHY_LEASED},
        /* The guest's mappings are live for every other method. */
        {.method = "flr",
         .driver = "vfio-pci",
         .enable_count = 1,
         .options.asker = {.groups = {"7", "8"}, .n_groups = 2},
         .why = WHY_VFIO_OPEN},
        {.method = "subordinate",
         .who = "both",
         .driver = "vfio-pci",
         HELD_BY(VFIO),
         .options.asker = {.groups = {"7", "8"}, .n_groups = 2},
         .why = WHY_VFIO_OPEN},
        {.method = "subordinate",
         .who = "both",
         .driver = "vfio-pci",
         .options.asker = {.groups = {"7", "8"}, .n_groups = 2},
         ASK(RESET_OWNED)},
        {.method = "subordinate",
         .who = "both",
         .driver = "vfio-pci",
         .options.asker = {.groups = {"7"}, .n_groups = 1},
         ASK(RESET_SHARED)},

        /* Whose node it is selects the action, and lifts nothing. */
        {.driver = "vfio-pci", .vfio_uid = ALICE, ASK(RESET_OWNED)},
        {.driver = "vfio-pci", .vfio_uid = BOB, ASK(RESET)},
        {.driver = "vfio-pci", .vfio_uid = ALICE, .enable_count = 1, .why = WHY_VFIO_OPEN},
        {.driver = "vfio-pci", .vfio_uid = ALICE, .enable_count = 1, FORCED, .why = WHY_VFIO_OPEN},
        {.driver = "vfio-pci", .vfio_uid = ALICE, .lessee = BOB, .why = WHY_LEASED},
        {.driver = "vfio-pci", .vfio_uid = ALICE, .who = OTHER, .method = "subordinate", ASK(RESET_SHARED)},
        /* The node of the group is not the device's that somebody else uses. */
        {.driver = "nvme", .vfio_uid = ALICE, ASK(RESET)},
        {.driver = "nvme", .options.asker = {.groups = {"7"}, .n_groups = 1}, ASK(RESET)},
        {.driver = "pciback", .vfio_uid = ALICE, ASK(RESET)},
        {.driver = "uio_pci_generic", .vfio_uid = ALICE, ASK(RESET)},
        {.driver = "", .vfio_uid = ALICE, ASK(RESET_OWNED)},
        {.driver = "pci-stub", .vfio_uid = ALICE, ASK(RESET_OWNED)},
        {.driver = "vfio-pci", .vfio_uid = ALICE, .who = "both", .method = "subordinate", ASK(RESET_OWNED)},
};

static void arrange(const Case *c, const char *address)
{
        Device *device;

        if (c->driver)
                world_bind(&world, address, c->driver);
        for (size_t i = 0; i < 3 && c->holders[i] > 0; i++)
                world_hold(&world, address, (HolderKind) (c->holders[i] - 1));
        device = world_find(&world, address);
        device->live.enable_count = c->enable_count;
        device->live.tsm_bound = c->is_tsm_bound;
        device->use.has_vfio_uid = c->vfio_uid != 0;
        device->use.vfio_uid = c->vfio_uid;
        if (c->is_unknown)
                device_forget_use(device);
}

static void check_case(const Case *c, PlanOptions options)
{
        const char *method = c->method ? c->method : "flr";
        const Rung *rung;
        Plan *plan;

        ck_assert_int_eq(plan_make(world_find(&world, TARGET), method, &options, &plan), 0);
        ck_assert_uint_eq(plan->n_rungs, 1);
        rung = &plan->rungs[0];
        ck_assert_msg(rung->why == c->why, "case %td: why is %#x, expected %#x", c - cases, rung->why,
                      c->why);
        ck_assert_msg(rung->busy == c->busy, "case %td: busy is %#x, expected %#x", c - cases, rung->busy,
                      c->busy);
        if (c->why == 0)
                ck_assert_msg(rung->actions == c->actions, "case %td: actions are %#x, expected %#x",
                              c - cases, rung->actions, c->actions);
        ck_assert_msg(rung->rebind == c->is_rebound, "case %td: rebind", c - cases);
        ck_assert_msg(rung->delayed == c->is_delayed, "case %td: delayed", c - cases);
        plan_free(plan);
}

START_TEST(each_case)
{
        const Case *c = &cases[_i];
        bool is_both = c->who && strcmp(c->who, "both") == 0;
        const char *who = is_both ? TARGET " " OTHER : c->who ? c->who : TARGET;
        PlanOptions options = c->options;

        if (is_both) {
                arrange(c, TARGET);
                arrange(c, OTHER);
        } else {
                arrange(c, who);
        }
        if (c->lessee)
                ck_assert_int_eq(world_claim(&world, claims, "L", CLAIM_LEASE, c->lessee, who), 0);
        if (c->blocks)
                ck_assert_int_eq(world_claim(&world, claims, "B", CLAIM_INHIBIT_BLOCK, ALICE, who), 0);
        if (c->delays)
                ck_assert_int_eq(world_claim(&world, claims, "D", CLAIM_INHIBIT_DELAY, BOB, who), 0);

        options.asker.known = true;
        options.asker.uid = ALICE;
        check_case(c, options);
}
END_TEST

/* Whoever is not known owns nothing, and root owns no VFIO nodes by being root. */
START_TEST(strangers_own_nothing)
{
        PlanOptions nobody = {}, root = {.asker = {.known = true}};
        const Case plain = {.why = 0, ASK(RESET)}, leased = {.why = WHY_LEASED};
        Device *device;

        world_bind(&world, TARGET, "vfio-pci");
        device = world_find(&world, TARGET);
        device->use.has_vfio_uid = true;
        check_case(&plain, root);
        check_case(&plain, nobody);
        ck_assert_int_eq(world_claim(&world, claims, "L", CLAIM_LEASE, ALICE, TARGET), 0);
        check_case(&leased, root);
        check_case(&leased, nobody);
        claims_remove(claims, "L");

        /* A uid that is not known is 0 by accident. */
        ck_assert_int_eq(world_claim(&world, claims, "R", CLAIM_LEASE, 0, TARGET), 0);
        check_case(&leased, nobody);
        nobody.asker.uid = 0;
        nobody.asker.groups[0][0] = '\0';
        nobody.asker.n_groups = 1;
        check_case(&leased, nobody);
}
END_TEST

/* A device without a group is in no group that was presented, whatever its name. */
START_TEST(no_group_is_no_group)
{
        PlanOptions options = {.asker = {.known = true, .uid = ALICE, .n_groups = 1}};
        const Case plain = {ASK(RESET)};

        world_find(&world, TARGET)->facts.iommu_group[0] = '\0';
        check_case(&plain, options);
}
END_TEST

/* What only an edge ties to the set is none of the kernel's, and it wants the groups of its own set. */
START_TEST(edges_and_hot_resets)
{
        PlanOptions options = {.asker = {.known = true, .uid = ALICE}};
        const Case hot = {.method = "vfio_hot", ASK(RESET_SHARED)};
        const Case tied = {.method = "vfio_hot", .why = WHY_EDGES};
        const Case others = {.method = "subordinate", ASK(RESET_SHARED)};
        PciAddress ends[3];

        world_bind(&world, TARGET, "vfio-pci");
        world_bind(&world, OTHER, "vfio-pci");
        (void) world_add_bridge(&world, "0000:00:1e.0", NULL);
        (void) world_add(&world, "0000:0e:00.0", "0000:00:1e.0", "vfio-pci", "flr");
        ck_assert_int_eq(pci_address_parse(TARGET, &ends[0]) | pci_address_parse(OTHER, &ends[1]) |
                                 pci_address_parse("0000:0e:00.0", &ends[2]),
                         0);
        ck_assert_int_eq(registry_add_edge(world.registry, &ends[0], &ends[1]), 0);
        check_case(&hot, options);
        ck_assert_int_eq(registry_add_edge(world.registry, &ends[1], &ends[2]), 0);
        check_case(&tied, options);
        check_case(&others, options);
}
END_TEST

/* A bridge that goes along is used by nobody, whatever drives it, but it can be claimed. */
START_TEST(bridges_have_no_users)
{
        PlanOptions options = {.asker = {.known = true, .uid = ALICE}};
        const Case shared = {.method = "subordinate", ASK(RESET_SHARED)};
        const Case leased = {.method = "subordinate", .why = WHY_LEASED};
        const Case forbidden = {.method = "subordinate", .why = WHY_INHIBITED};
        Device *bridge = world_add_bridge(&world, "0000:01:1f.0", BRIDGE);

        device_forget_use(bridge);
        bridge->live.enable_count = 1;
        check_case(&shared, options);
        ck_assert_int_eq(world_claim(&world, claims, "L", CLAIM_LEASE, BOB, "0000:01:1f.0"), 0);
        check_case(&leased, options);
        claims_remove(claims, "L");
        ck_assert_int_eq(world_claim(&world, claims, "B", CLAIM_INHIBIT_BLOCK, BOB, "0000:01:1f.0"), 0);
        check_case(&forbidden, options);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("plan-use");
        TCase *tcase = tcase_create("plan-use");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_loop_test(tcase, each_case, 0, sizeof(cases) / sizeof(cases[0]));
        tcase_add_test(tcase, strangers_own_nothing);
        tcase_add_test(tcase, no_group_is_no_group);
        tcase_add_test(tcase, edges_and_hot_resets);
        tcase_add_test(tcase, bridges_have_no_users);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
