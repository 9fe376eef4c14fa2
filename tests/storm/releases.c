/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What the daemon writes down of users and of devices that are to be reset after them, and whether its own
 * resets keep inside of what was let go.
 */

#include <string.h>

#include "storm.h"
#include "unit.h"

static void wake(void *userdata)
{
        if (storm.release_at == NEVER)
                storm.release_at = storm.now + MSEC;
}

static bool is_same(const ReleaseRecord *a, const ReleaseRecord *b)
{
        return pci_address_equal(&a->device.address, &b->device.address) &&
               a->device.device == b->device.device;
}

static int store(void *userdata, const ReleaseRecord *record, bool keep)
{
        size_t i = 0;

        while (i < storm.n_users && !is_same(&storm.users[i], record))
                i++;
        if (keep) {
                ck_assert_uint_lt(i, STORED_MAX);
                storm.users[i] = *record;
                storm.n_users += i == storm.n_users;
        } else if (i < storm.n_users) {
                storm.users[i] = storm.users[--storm.n_users];
        }
        return 0;
}

static void waiting(void *userdata, const Release *release)
{
        storm_note("%s waits after its last user: %s",
                   name_of((size_t) (tree_node(&storm.tree, &release->record.device.address) -
                                     storm.tree.nodes)),
                   release->waits);
}

void releases_begin(void)
{
        const ReleasePorts ports = {.wake = wake, .store = store, .waiting = waiting};
        ReleaseRecord records[STORED_MAX];
        size_t n = storm.n_users;

        ck_assert_int_eq(
                releases_new(storm.registry, storm.jobs, storm.quarantines, &ports, &storm.releases), 0);
        memcpy(records, storm.users, n * sizeof(records[0]));
        for (size_t i = 0; i < n; i++)
                ck_assert_int_eq(releases_restore(storm.releases, &records[i]), 0);
}

/* In this very step, too: that nobody has it any more is looked at as well. */
static bool was_let_go(size_t node)
{
        return storm.trails[node].let_go || storm.trails[node].was_leased;
}

/* Whoever was given the device was given what comes after him, and no more. */
const char *release_judge(const bool set[static NODES_MAX])
{
        const Tree *tree = &storm.tree;

        for (size_t i = 0; i < tree->n; i++) {
                int physfn = tree->nodes[i].physfn;

                if (!set[i] || tree->nodes[i].is_bridge)
                        continue;
                if (!was_let_go(i) && (physfn < 0 || !was_let_go((size_t) physfn)))
                        return "it reaches a device that nobody has let go";
                for (size_t k = 0; k < LEASES_MAX; k++)
                        if (tree->held[k].used && tree->held[k].kind == CLAIM_LEASE &&
                            oracle_is_claimed(tree, &tree->held[k], i))
                                return "it reaches a device that somebody has";
        }
        return NULL;
}
