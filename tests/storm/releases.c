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

/* ---- leases without a daemon ---- */

void releases_orphan(const TreeClaim *lease)
{
        for (size_t i = 0; i < LEASES_MAX && lease->kind == CLAIM_LEASE; i++)
                if (!storm.orphans[i].used) {
                        storm.orphans[i] = *lease;
                        return;
                }
}

/* The lease stands for a note of its user that could not be made. */
static void take_orphan(const TreeClaim *lease)
{
        ReleaseRecord record = {.uid = lease->uid};

        memcpy(record.lease, lease->id, sizeof(record.lease));
        for (size_t i = 0; i < lease->n; i++) {
                size_t k = 0;

                record.device = (ClaimDevice){.address = storm.tree.nodes[lease->node[i]].address,
                                              .vendor = 0x8086,
                                              .device = lease->ids[i]};
                while (k < storm.n_users && !is_same(&storm.users[k], &record))
                        k++;
                if (k < storm.n_users)
                        continue;
                ck_assert_uint_lt(k, STORED_MAX);
                storm.users[storm.n_users++] = record;
        }
}

void releases_begin(void)
{
        const ReleasePorts ports = {.wake = wake, .store = store, .waiting = waiting};
        ReleaseRecord records[STORED_MAX];
        size_t n;

        for (size_t i = 0; i < LEASES_MAX; i++)
                if (storm.orphans[i].used)
                        take_orphan(&storm.orphans[i]);
        memset(storm.orphans, 0, sizeof(storm.orphans));
        n = storm.n_users;
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

/* ---- what becomes of them ---- */

static const Job *find_job(const Node *node)
{
        for (const Job *job = jobs_next(storm.jobs, NULL); job; job = jobs_next(storm.jobs, job))
                if (job->request.plan.release && pci_address_equal(&job->target.address, &node->address))
                        return job;
        return NULL;
}

/* What must be reset is, or it is said what it waits for; or it is in quarantine, or clean. */
void releases_audit(void)
{
        for (size_t i = 0; i < storm.tree.n; i++) {
                const Node *node = &storm.tree.nodes[i];
                const Trail *trail = &storm.trails[i];
                const Device *device = registry_find(storm.registry, &node->address);
                const Release *release = device ? device->release : NULL;

                if (!device || !trail->must_be_reset || trail->must_id != node->id || trail->was_leased)
                        continue;
                stats.owed++;
                if (!release || !release->record.pending)
                        storm_wrong("%s was let go and is to be reset, and nobody knows", name_of(i));
                if (release->state == RELEASE_DONE && clean_must_be_known(i))
                        storm_wrong("%s was let go and is to be reset, and that is taken for done",
                                    name_of(i));
                if (release->state == RELEASE_READY && storm.release_at == NEVER && !find_job(node))
                        storm_wrong("%s was let go and is to be reset, and nobody does it", name_of(i));
                if (release->state == RELEASE_WAITS && release->waits[0] == '\0')
                        storm_wrong("%s was let go, and nobody is told what its reset waits for",
                                    name_of(i));
        }
}

/* Nobody has anything any more: nothing is waited for but the host, whose driver is bound. */
void releases_check_at_rest(void)
{
        for (const Release *r = releases_next(storm.releases, NULL); r; r = releases_next(storm.releases, r))
                if (r->record.pending && r->device && r->state != RELEASE_DONE &&
                    !(r->state == RELEASE_WAITS && strstr(r->waits, "driver-bound")))
                        storm_wrong("a user has let go of %s, and when all is calm its reset waits: %s",
                                    name_of((size_t) (tree_node(&storm.tree, &r->device->facts.address) -
                                                      storm.tree.nodes)),
                                    r->waits);
}
