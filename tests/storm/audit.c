/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What must be true between any two steps: what the daemon keeps in its devices is what the storm has seen,
 * nothing is left over, and nobody waits for what has come.
 */

#include <string.h>

#include "storm.h"

unsigned count_resetting(size_t node)
{
        unsigned n = 0;

        for (size_t i = 0; i < RUNS_MAX; i++) {
                const Run *run = &storm.runs[i];

                for (size_t k = 0; run->job != 0 && run->is_known && k < run->n_members; k++)
                        n += run->members[k].node == node &&
                             run->members[k].inode == storm.tree.nodes[node].inode;
        }
        return n;
}

/* Without a ticket it is being looked once more who uses them. */
static unsigned count_queued(const Device *device)
{
        unsigned n = 0;

        for (const Job *job = jobs_next(storm.jobs, NULL); job; job = jobs_next(storm.jobs, job))
                for (size_t i = 0; job->phase == JOB_QUEUED && job->ticket && i < job->n_members; i++)
                        n += pci_address_equal(&job->members[i].address, &device->facts.address) &&
                             job->members[i].inode == device->facts.inode;
        return n;
}

static unsigned count_recovering(const Device *device)
{
        unsigned n = 0;

        for (const Job *job = jobs_next(storm.jobs, NULL); job; job = jobs_next(storm.jobs, job)) {
                const Track *track = track_of(job->id);

                n += track->has_begun && strcmp(track->requested, "recover") == 0 &&
                     pci_address_equal(&job->target.address, &device->facts.address) &&
                     job->target.inode == device->facts.inode;
        }
        return n;
}

static unsigned count_claims(size_t node, ClaimKind kind)
{
        unsigned n = 0;

        for (size_t i = 0; i < LEASES_MAX; i++)
                n += storm.tree.held[i].used && storm.tree.held[i].kind == kind &&
                     oracle_is_claimed(&storm.tree, &storm.tree.held[i], node);
        return n;
}

static void audit_device(size_t i, const Device *device)
{
        const Node *node = &storm.tree.nodes[i];
        const NodeQuarantine *quarantine = &node->quarantine[node->id - NODE_ID];

        if (device->n_resetting != count_resetting(i))
                storm_wrong("%s counts %u resets, and %u run", name_of(i), device->n_resetting,
                            count_resetting(i));
        if (device->n_queued != count_queued(device))
                storm_wrong("%s counts %u jobs in queues, and there are %u", name_of(i), device->n_queued,
                            count_queued(device));
        if (device->n_recovering != count_recovering(device))
                storm_wrong("%s counts %u recoveries, and there are %u", name_of(i), device->n_recovering,
                            count_recovering(device));
        if (!!device->lease != (count_claims(i, CLAIM_LEASE) > 0))
                storm_wrong("%s is%s leased, as far as the daemon knows", name_of(i),
                            device->lease ? "" : " not");
        if (device->n_blocking != count_claims(i, CLAIM_INHIBIT_BLOCK) ||
            device->n_delaying != count_claims(i, CLAIM_INHIBIT_DELAY))
                storm_wrong("%s counts %u and %u inhibitors", name_of(i), device->n_blocking,
                            device->n_delaying);
        if (!!device->quarantine != quarantine->in)
                storm_wrong("%s is%s in quarantine, as far as the daemon knows", name_of(i),
                            device->quarantine ? "" : " not");
}

/* Nothing that it waits for would ever come. */
static bool is_stuck(const Job *job, const Track *track, size_t n_at_work)
{
        bool set[NODES_MAX];
        const OracleCase reset = {
                .target = track->target,
                .method = job->method,
                .requested = track->requested,
                .asker = &track->asker,
                .in_use = track->in_use,
                .granted = track->granted,
                .job = job->id,
        };

        switch (job->phase) {
        case JOB_AUTHORIZING:
                return track->scan_at == NEVER && track->answer_at == NEVER;
        case JOB_INHIBITED:
                return track->scan_at == NEVER && track->delay_at == NEVER;
        case JOB_WAITING_IDLE:
                if (track->scan_at != NEVER || track->delay_at != NEVER)
                        return false;
                oracle_set(&storm.tree, track->target, job->method, set);
                /* A look at one of them is still to come. */
                for (size_t i = 0; i < storm.tree.n; i++)
                        if (set[i] && storm.survey_at[i] != NEVER)
                                return false;
                return !oracle_judge(&storm.tree, &reset, set) &&
                       !(job->request.plan.release && release_judge(set));
        case JOB_QUEUED:
                return n_at_work == 0 && track->scan_at == NEVER;
        case JOB_RESETTING:
        case JOB_VERIFYING:
                break;
        }
        return !run_of(job->id) || !run_of(job->id)->is_known;
}

static void audit_jobs(void)
{
        size_t n_at_work = 0;
        long pins = 0;

        n_at_work = tasks_count();
        for (size_t i = 0; i < RUNS_MAX; i++)
                n_at_work += storm.runs[i].job != 0 && storm.runs[i].is_known;
        for (const Job *job = jobs_next(storm.jobs, NULL); job; job = jobs_next(storm.jobs, job)) {
                const Track *track = track_of(job->id);

                if (track->finished)
                        storm_wrong("job %u is still there after its end", job->id);
                if (is_stuck(job, track, n_at_work))
                        storm_wrong("job %u (%s, %s) waits for nothing, busy %#x", job->id,
                                    job_phase_to_string(job->phase), job->method, job->busy);
                pins += (job->target.pin >= 0) + (job->has_bridge && job->bridge.pin >= 0);
                for (size_t i = 0; i < job->n_members; i++)
                        pins += job->members[i].pin >= 0;
        }
        if (pins != storm.pins)
                storm_wrong("%ld devices are held fast, and jobs know of %ld", storm.pins, pins);
}

void audit(void)
{
        size_t n_claims = 0, n_devices = 0;

        if (!daemon_lives())
                return;
        stats.audits++;
        for (size_t i = 0; i < storm.tree.n; i++) {
                const Node *node = &storm.tree.nodes[i];
                const Device *device = registry_find(storm.registry, &node->address);

                if (!!device != node->present || (device && device->facts.inode != node->inode))
                        storm_wrong("%s is not what the daemon knows", name_of(i));
                n_devices += node->present;
                if (device)
                        audit_device(i, device);
        }
        for (size_t i = 0; i < LEASES_MAX; i++)
                n_claims += storm.tree.held[i].used;
        if (claims_count(storm.claims) != n_claims || registry_count(storm.registry) != n_devices)
                storm_wrong("%zu claims and %zu devices, where %zu and %zu are there",
                            claims_count(storm.claims), registry_count(storm.registry), n_claims, n_devices);
        audit_jobs();
        clean_audit();
        errors_audit();
        tasks_audit();
        releases_audit();
        restart_audit();
}
