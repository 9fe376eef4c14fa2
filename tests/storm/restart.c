/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What is written down at any instant is what the daemon shows, so that a kill at any instant loses nothing;
 * and what the next one shows is what it has found.
 */

#include <string.h>

#include "storm.h"

static const Quarantine *find_quarantine(const QuarantineRecord *record)
{
        for (const Quarantine *q = quarantines_next(storm.quarantines, NULL); q;
             q = quarantines_next(storm.quarantines, q))
                if (strcmp(q->record.port, record->port) == 0 &&
                    q->record.device.device == record->device.device)
                        return q;
        return NULL;
}

static void audit_quarantines(void)
{
        size_t n = 0;

        for (const Quarantine *q = quarantines_next(storm.quarantines, NULL); q;
             q = quarantines_next(storm.quarantines, q))
                n++;
        if (n != storm.n_stored)
                storm_wrong("%zu quarantines, and %zu of them are written down", n, storm.n_stored);
        for (size_t i = 0; i < storm.n_stored; i++) {
                const QuarantineRecord *record = &storm.stored[i];
                const Quarantine *q = find_quarantine(record);

                if (!q || q->record.cause != record->cause || q->record.since != record->since ||
                    q->record.uid != record->uid || q->record.n_checks != record->n_checks ||
                    q->record.inode != record->inode || strcmp(q->record.reason, record->reason) != 0 ||
                    strcmp(q->record.method, record->method) != 0 ||
                    strcmp(q->record.driver, record->driver) != 0)
                        storm_wrong("the quarantine in %s for '%s' is written down otherwise than it is",
                                    record->port, record->reason);
        }
}

static bool is_same(const ReleaseRecord *a, const ReleaseRecord *b)
{
        return pci_address_equal(&a->device.address, &b->device.address) &&
               a->device.device == b->device.device && a->uid == b->uid && a->pending == b->pending &&
               strcmp(a->lease, b->lease) == 0;
}

static bool is_kept(const ReleaseRecord *record)
{
        for (size_t i = 0; i < storm.n_users; i++)
                if (is_same(&storm.users[i], record))
                        return true;
        return false;
}

static void audit_users(void)
{
        size_t n = 0;

        for (const Release *r = releases_next(storm.releases, NULL); r;
             r = releases_next(storm.releases, r)) {
                n++;
                if (!is_kept(&r->record))
                        storm_wrong("of the user of %s (uid %u, lease '%s'%s) the next daemon would not "
                                    "know as much",
                                    name_of((size_t) (tree_node(&storm.tree, &r->record.device.address) -
                                                      storm.tree.nodes)),
                                    r->record.uid, r->record.lease, r->record.pending ? ", pending" : "");
        }
        if (n != storm.n_users)
                storm_wrong("%zu users of devices, and %zu of them are written down", n, storm.n_users);
}

void restart_audit(void)
{
        audit_quarantines();
        audit_users();
}

void restart_resets(void)
{
        size_t n = 0, n_jobs = 0;

        for (const Job *job = jobs_next(storm.jobs, NULL); job; job = jobs_next(storm.jobs, job))
                n_jobs++;
        for (size_t i = 0; i < RUNS_MAX; i++) {
                const Run *run = &storm.runs[i];
                const Job *job = run->job != 0 ? jobs_find(storm.jobs, run->job) : NULL;

                if (run->job == 0 || !run->recorded)
                        continue;
                n++;
                if (!job || !job_has_begun(job) || job->n_members != run->n_members ||
                    job->request.uid != run->request.uid || strcmp(job->method, run->request.method) != 0)
                        storm_wrong("job %u is at work, and the daemon that finds it shows something else",
                                    run->job);
        }
        if (n != n_jobs)
                storm_wrong("%zu workers are at work, and the daemon that finds them shows %zu jobs", n,
                            n_jobs);
}

void restart_list(const Run *run)
{
        Device *device = registry_find(storm.registry, &run->request.members[0].address);

        if (device && device->facts.inode == run->request.members[0].inode) {
                tree_refresh(&storm.tree, device);
                device->live.methods = run->list;
        }
}

void restart_kept_off(void)
{
        for (size_t i = 0; i < storm.tree.n; i++) {
                Device *device = registry_find(storm.registry, &storm.tree.nodes[i].address);

                if (device && storm.kept_off[i].exists)
                        device->hold.kept = device->hold.noted = true;
        }
}

/* ---- the machine ---- */

static void come_up(size_t i)
{
        Node *node = &storm.tree.nodes[i];

        node->is_kept_off = node->recovering = node->is_known = node->tsm_bound = false;
        node->n_holders = node->enable_count = 0;
        node->methods = storm.supported[i];
        if (node->present)
                node->inode = ++storm.tree.last_inode;
        if (!node->is_bridge && chance(&storm.tree, 20))
                tree_bind(&storm.tree, i, NULL);
}

void reboot(void)
{
        if (daemon_lives())
                daemon_kill();
        storm_note("the machine goes down");
        stats.reboots++;
        storm.boot++;
        for (size_t i = 0; i < RUNS_MAX; i++)
                if (storm.runs[i].job != 0)
                        run_interrupt(&storm.runs[i]);
        tasks_forget();
        memset(storm.tree.held, 0, sizeof(storm.tree.held));
        memset(storm.orphans, 0, sizeof(storm.orphans));
        memset(storm.kept_off, 0, sizeof(storm.kept_off));
        storm.n_users = 0;
        for (size_t i = 0; i < storm.tree.n; i++)
                come_up(i);
}
