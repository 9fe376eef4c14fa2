/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Claims: all or none, within limits, and true to their devices while those come and go. Each device's lease
 * and counts are compared with what the claims that were not refused say, counted slowly.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"
#include "world.h"

#define A "0000:01:00.0"
#define B "0000:01:00.1"
#define C "0000:02:00.0"

#define ALICE 1001U
#define BOB   1002U

static World world;
static Claims *claims;
static unsigned n_told;

static void on_added(void *userdata, Device *device)
{
        claims_device_added(claims, device);
}

static void on_changed(void *userdata, Device *device, unsigned changes)
{
        n_told += (changes & DEVICE_CHANGED_CLAIMS) != 0;
}

static void setup(void)
{
        RegistryListener listener = {.added = on_added, .changed = on_changed};

        n_told = 0;
        world_init(&world);
        ck_assert_int_eq(claims_new(world.registry, &claims), 0);
        registry_set_listener(world.registry, &listener);
        world_add_bridge(&world, "0000:00:01.0", NULL);
        world_add(&world, A, "0000:00:01.0", "", "flr");
        world_add(&world, B, "0000:00:01.0", "", "flr");
        world_add(&world, C, NULL, "", "flr");
}

static void teardown(void)
{
        claims_free(claims);
        world_done(&world);
}

static int claim(const char *id, ClaimKind kind, uint32_t uid, const char *addresses)
{
        return world_claim(&world, claims, id, kind, uid, addresses);
}

static const char *lease_of(const char *address)
{
        const Device *device = world_find(&world, address);

        return device->lease ? device->lease->record.id : "";
}

static void remove_device(const char *address)
{
        PciAddress parsed = at(address);

        registry_remove(world.registry, &parsed, 0);
}

START_TEST(all_or_none)
{
        ck_assert_int_eq(claim("1", CLAIM_LEASE, ALICE, B), 0);
        ck_assert_int_eq(claim("2", CLAIM_LEASE, BOB, A " " B " " C), -EBUSY);
        ck_assert_str_eq(lease_of(A), "");
        ck_assert_str_eq(lease_of(B), "1");
        ck_assert_str_eq(lease_of(C), "");
        ck_assert_uint_eq(claims_count(claims), 1);

        claims_remove(claims, "1");
        ck_assert_int_eq(claim("2", CLAIM_LEASE, BOB, A " " B " " C), 0);
        ck_assert_str_eq(lease_of(A), "2");
        ck_assert_str_eq(lease_of(B), "2");
        ck_assert_str_eq(lease_of(C), "2");
}
END_TEST

/* Not even by the one who has it: which of the two would end it? */
START_TEST(a_lease_meets_no_other)
{
        ck_assert_int_eq(claim("1", CLAIM_LEASE, ALICE, A), 0);
        ck_assert_int_eq(claim("2", CLAIM_LEASE, ALICE, A), -EBUSY);
        ck_assert_int_eq(claim("1", CLAIM_LEASE, ALICE, B), -EEXIST);
        ck_assert_int_eq(claim("1", CLAIM_INHIBIT_BLOCK, ALICE, B), -EEXIST);
        ck_assert_int_eq(claim("3", CLAIM_LEASE, ALICE, ""), -EINVAL);
        ck_assert_int_eq(claim("4", CLAIM_INHIBIT_BLOCK, BOB, A), 0);
        ck_assert_int_eq(claim("5", CLAIM_INHIBIT_BLOCK, BOB, A), 0);
        ck_assert_uint_eq(world_find(&world, A)->n_blocking, 2);
}
END_TEST

START_TEST(listeners_are_told_once_of_each)
{
        ck_assert_int_eq(claim("1", CLAIM_LEASE, ALICE, A " " B " " A " 0000:99:00.0"), 0);
        ck_assert_uint_eq(n_told, 2);
        claims_remove(claims, "1");
        ck_assert_uint_eq(n_told, 4);
        claims_remove(claims, "1");
        ck_assert_uint_eq(n_told, 4);
        ck_assert_int_eq(claim("2", CLAIM_INHIBIT_DELAY, ALICE, ""), 0);
        ck_assert_uint_eq(n_told, 8);
}
END_TEST

START_TEST(a_device_that_is_named_twice_counts_once)
{
        ck_assert_int_eq(claim("1", CLAIM_INHIBIT_BLOCK, ALICE, A " " A " " A), 0);
        ck_assert_uint_eq(world_find(&world, A)->n_blocking, 1);
        ck_assert_uint_eq(claims_find(claims, "1")->record.n_devices, 1);
        world_replace(&world, A);
        ck_assert_uint_eq(world_find(&world, A)->n_blocking, 1);
        claims_remove(claims, "1");
        ck_assert_uint_eq(world_find(&world, A)->n_blocking, 0);
        ck_assert_int_eq(claim("2", CLAIM_LEASE, ALICE, B " " B), 0);
        claims_remove(claims, "2");
        ck_assert_str_eq(lease_of(B), "");
}
END_TEST

START_TEST(a_device_that_comes_back_is_claimed_still)
{
        ck_assert_int_eq(claim("1", CLAIM_LEASE, ALICE, A " " B), 0);
        ck_assert_int_eq(claim("2", CLAIM_INHIBIT_BLOCK, BOB, A), 0);
        ck_assert_int_eq(claim("3", CLAIM_INHIBIT_DELAY, BOB, ""), 0);
        remove_device(A);
        world_add(&world, A, "0000:00:01.0", "", "flr");
        ck_assert_str_eq(lease_of(A), "1");
        ck_assert_uint_eq(world_find(&world, A)->n_blocking, 1);
        ck_assert_uint_eq(world_find(&world, A)->n_delaying, 1);
}
END_TEST

/* The same address, another device: each of its ids alone makes it one. */
START_TEST(a_stranger_is_not_claimed)
{
        DeviceFacts facts;

        ck_assert_int_eq(claim("1", CLAIM_LEASE, ALICE, A), 0);
        ck_assert_int_eq(claim("2", CLAIM_INHIBIT_BLOCK, BOB, A), 0);
        ck_assert_int_eq(claim("3", CLAIM_INHIBIT_DELAY, BOB, A), 0);
        facts = world_find(&world, A)->facts;
        facts.vendor += _i == 0;
        facts.device += _i == 1;
        facts.subsystem_vendor += _i == 2;
        facts.subsystem_device += _i == 3;
        /* Even if its removal was missed. */
        ck_assert_int_eq(registry_apply(world.registry, &facts), 0);
        ck_assert_str_eq(lease_of(A), "");
        ck_assert_uint_eq(world_find(&world, A)->n_blocking, 0);
        ck_assert_uint_eq(world_find(&world, A)->n_delaying, 0);

        /* It can be claimed by itself, and what ends does not touch it. */
        ck_assert_int_eq(claim("4", CLAIM_LEASE, BOB, A), 0);
        claims_remove(claims, "1");
        claims_remove(claims, "2");
        claims_remove(claims, "3");
        ck_assert_str_eq(lease_of(A), "4");
        ck_assert_uint_eq(world_find(&world, A)->n_blocking, 0);
}
END_TEST

/* Two could not both have it when it comes back. */
START_TEST(a_device_that_is_away_stays_leased)
{
        ck_assert_int_eq(claim("1", CLAIM_LEASE, ALICE, "0000:99:00.0"), 0);
        ck_assert_int_eq(claim("2", CLAIM_LEASE, BOB, A " 0000:99:00.0"), -EBUSY);
        ck_assert_str_eq(lease_of(A), "");
        ck_assert_int_eq(claim("3", CLAIM_INHIBIT_BLOCK, BOB, "0000:99:00.0"), 0);
        claims_remove(claims, "1");
        ck_assert_int_eq(claim("2", CLAIM_LEASE, BOB, A " 0000:99:00.0"), 0);
}
END_TEST

START_TEST(conflicts_are_named)
{
        ClaimDevice named[2] = {{.address = at(C)}, {.address = at(B)}};
        ClaimRecord record = {.id = "2", .kind = CLAIM_LEASE, .uid = BOB, .devices = named, .n_devices = 2};

        for (size_t i = 0; i < 2; i++) {
                named[i].vendor = world_find(&world, A)->facts.vendor;
                named[i].device = world_find(&world, A)->facts.device;
        }
        ck_assert_ptr_null(claims_find_conflict(claims, &record));
        ck_assert_int_eq(claim("1", CLAIM_LEASE, ALICE, A " " B), 0);
        ck_assert_ptr_eq(claims_find_conflict(claims, &record), world_find(&world, B));
}
END_TEST

START_TEST(everybody_has_his_share)
{
        char id[CLAIM_ID_MAX];

        ck_assert(claims_within_limits(claims, ALICE, CLAIM_DEVICES_PER_UID_MAX));
        ck_assert(!claims_within_limits(claims, ALICE, CLAIM_DEVICES_PER_UID_MAX + 1));
        ck_assert(!claims_within_limits(claims, ALICE, SIZE_MAX));
        for (unsigned i = 0; i < CLAIMS_PER_UID_MAX; i++) {
                ck_assert(claims_within_limits(claims, ALICE, 1));
                (void) snprintf(id, sizeof(id), "a%u", i);
                ck_assert_int_eq(claim(id, CLAIM_INHIBIT_DELAY, ALICE, A " " B), 0);
        }
        ck_assert(!claims_within_limits(claims, ALICE, 0));
        ck_assert(claims_within_limits(claims, BOB, CLAIM_DEVICES_PER_UID_MAX));
        claims_remove(claims, "a0");
        ck_assert(claims_within_limits(claims, ALICE,
                                       CLAIM_DEVICES_PER_UID_MAX - 2 * (CLAIMS_PER_UID_MAX - 1)));
        ck_assert(!claims_within_limits(claims, ALICE,
                                        CLAIM_DEVICES_PER_UID_MAX - 2 * (CLAIMS_PER_UID_MAX - 1) + 1));
        for (uint32_t uid = 2000; claims_count(claims) < CLAIMS_MAX; uid++) {
                ck_assert(claims_within_limits(claims, uid, 1));
                (void) snprintf(id, sizeof(id), "u%u", uid);
                ck_assert_int_eq(claim(id, CLAIM_INHIBIT_BLOCK, uid, C), 0);
        }
        ck_assert(!claims_within_limits(claims, 9999, 0));
}
END_TEST

START_TEST(in_the_order_of_their_coming)
{
        static const char *const ids[] = {"z", "a", "m"};
        const Claim *at_hand = NULL;

        for (size_t i = 0; i < 3; i++)
                ck_assert_int_eq(claim(ids[i], CLAIM_INHIBIT_BLOCK, ALICE, A), 0);
        for (size_t i = 0; i < 3; i++) {
                at_hand = claims_next(claims, at_hand);
                ck_assert_str_eq(at_hand->record.id, ids[i]);
                ck_assert_ptr_eq(claims_find(claims, ids[i]), at_hand);
        }
        ck_assert_ptr_null(claims_next(claims, at_hand));
        ck_assert_ptr_null(claims_find(claims, "x"));
}
END_TEST

/* -- at random, against a slow model ----------------------------------------------------------------------
 */

#define ADDRESSES 6U
#define MODEL_MAX 24U

typedef struct Model {
        bool used;
        ClaimKind kind;
        bool is_about_all;
        unsigned n_names;
        unsigned address[4], ids[4]; /* which device it was when it was claimed */
} Model;

static Model models[MODEL_MAX];
static bool present[ADDRESSES];
static unsigned ids_at[ADDRESSES]; /* which device is there, of three */

static const char *const addresses[ADDRESSES] = {A, B, C, "0000:03:00.0", "0000:03:00.1", "0000:04:00.0"};

static bool model_names(const Model *model, unsigned address, unsigned ids)
{
        for (unsigned i = 0; i < model->n_names; i++)
                if (model->address[i] == address && model->ids[i] == ids)
                        return true;
        return model->is_about_all;
}

static void plug(unsigned i, unsigned ids)
{
        DeviceFacts facts = {
                .address = at(addresses[i]),
                .inode = ++world.last_inode,
                .vendor = 0x8086,
                .device = (uint16_t) (0x1000 + ids / 2),
                .subsystem_device = (uint16_t) (ids % 2),
        };

        ck_assert_int_eq(registry_apply(world.registry, &facts), 0);
        present[i] = true;
        ids_at[i] = ids;
}

static void claim_at_random(void)
{
        unsigned slot = (unsigned) random() % MODEL_MAX;
        ClaimDevice named[4];
        ClaimRecord record = {.devices = named, .uid = ALICE};
        bool is_refused = models[slot].used;
        Model model = {.used = true};
        const Claim *added;
        int r;

        model.kind = record.kind = (ClaimKind) (random() % 3);
        model.n_names = (unsigned) random() % 5;
        model.is_about_all = model.n_names == 0;
        record.n_devices = model.n_names;
        (void) snprintf(record.id, sizeof(record.id), "%u", slot);
        for (unsigned i = 0; i < model.n_names; i++) {
                model.address[i] = (unsigned) random() % ADDRESSES;
                model.ids[i] = ids_at[model.address[i]];
                named[i] = (ClaimDevice){.address = at(addresses[model.address[i]]),
                                         .vendor = 0x8086,
                                         .device = (uint16_t) (0x1000 + model.ids[i] / 2),
                                         .subsystem_device = (uint16_t) (model.ids[i] % 2)};
        }
        if (model.kind == CLAIM_LEASE) {
                is_refused = is_refused || model.is_about_all;
                for (unsigned i = 0; i < model.n_names; i++)
                        for (unsigned j = 0; j < MODEL_MAX; j++)
                                is_refused = is_refused ||
                                             (models[j].used && models[j].kind == CLAIM_LEASE &&
                                              model_names(&models[j], model.address[i], model.ids[i]));
        }
        r = claims_add(claims, &record, &added);
        ck_assert_int_eq(r < 0, is_refused);
        if (r >= 0)
                models[slot] = model;
}

static void compare(void)
{
        for (unsigned i = 0; i < ADDRESSES; i++) {
                const Device *device = world_find(&world, addresses[i]);
                unsigned n_blocking = 0, n_delaying = 0;
                const char *lease = NULL;
                char id[CLAIM_ID_MAX];

                ck_assert_int_eq(device != NULL, present[i]);
                if (!device)
                        continue;
                for (unsigned j = 0; j < MODEL_MAX; j++) {
                        if (!models[j].used || !model_names(&models[j], i, ids_at[i]))
                                continue;
                        n_blocking += models[j].kind == CLAIM_INHIBIT_BLOCK;
                        n_delaying += models[j].kind == CLAIM_INHIBIT_DELAY;
                        if (models[j].kind != CLAIM_LEASE)
                                continue;
                        ck_assert_ptr_null(lease);
                        (void) snprintf(id, sizeof(id), "%u", j);
                        lease = id;
                }
                ck_assert_uint_eq(device->n_blocking, n_blocking);
                ck_assert_uint_eq(device->n_delaying, n_delaying);
                ck_assert_str_eq(device->lease ? device->lease->record.id : "", lease ? lease : "");
        }
}

START_TEST(as_the_slow_model)
{
        char id[CLAIM_ID_MAX];

        srandom((unsigned) _i + 1);
        memset(models, 0, sizeof(models));
        for (unsigned i = 0; i < ADDRESSES; i++)
                plug(i, 0);
        for (unsigned step = 0; step < 2000; step++) {
                unsigned i = (unsigned) random() % ADDRESSES, slot = (unsigned) random() % MODEL_MAX;

                switch (random() % 6) {
                case 0:
                        remove_device(addresses[i]);
                        present[i] = false;
                        break;
                case 1:
                        plug(i, (unsigned) random() % 3);
                        break;
                case 2:
                case 3:
                        (void) snprintf(id, sizeof(id), "%u", slot);
                        claims_remove(claims, id);
                        models[slot].used = false;
                        break;
                default:
                        claim_at_random();
                }
                compare();
        }
        for (unsigned i = 0; i < MODEL_MAX; i++) {
                (void) snprintf(id, sizeof(id), "%u", i);
                claims_remove(claims, id);
                models[i].used = false;
        }
        compare();
        ck_assert_uint_eq(claims_count(claims), 0);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("claims");
        TCase *tcase = tcase_create("claims");

        tcase_set_timeout(tcase, 60);
        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, all_or_none);
        tcase_add_test(tcase, a_lease_meets_no_other);
        tcase_add_test(tcase, listeners_are_told_once_of_each);
        tcase_add_test(tcase, a_device_that_is_named_twice_counts_once);
        tcase_add_test(tcase, a_device_that_comes_back_is_claimed_still);
        tcase_add_loop_test(tcase, a_stranger_is_not_claimed, 0, 4);
        tcase_add_test(tcase, a_device_that_is_away_stays_leased);
        tcase_add_test(tcase, conflicts_are_named);
        tcase_add_test(tcase, everybody_has_his_share);
        tcase_add_test(tcase, in_the_order_of_their_coming);
        tcase_add_loop_test(tcase, as_the_slow_model, 0, 20);
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
