/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Those who ask for something, those who leave, and those who make rules. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/domain/kernel-order.h"
#include "storm.h"
#include "unit.h"

#define CLIENT (&stats)

static const uint32_t uids[] = {0, 1001, 1002, 1003};

static size_t pick_device(void)
{
        Tree *tree = &storm.tree;
        size_t i = pick(tree, (unsigned) tree->n);

        if (chance(tree, 30))
                return i;
        /* Most of them in one corner, so that they are in each other's way. */
        i = (storm.hot + pick(tree, 8)) % tree->n;
        return tree->nodes[i].is_bridge ? pick(tree, (unsigned) tree->n) : i;
}

/* ---- resets ---- */

/* Mostly something that can be reset. */
static size_t pick_target(void)
{
        size_t i = pick_device();

        for (unsigned tries = 0; tries < 4 && storm.tree.nodes[i].is_bridge; tries++)
                i = pick_device();
        return i;
}

static void show(PlanAsker *asker, size_t target)
{
        Tree *tree = &storm.tree;

        asker->uid = uids[pick(tree, 4)];
        if (chance(tree, 20))
                strcpy(asker->presented, tree->held[pick(tree, LEASES_MAX)].id);
        if (chance(tree, 5))
                strcpy(asker->lease, tree->held[pick(tree, LEASES_MAX)].id);
        if (chance(tree, 20))
                for (asker->n_groups = 0; asker->n_groups < 3; asker->n_groups++)
                        (void) snprintf(asker->groups[asker->n_groups], IOMMU_GROUP_MAX, "%zu",
                                        1 + (asker->n_groups + target) % 4);
}

static void choose_method(size_t target, char method[static RESET_METHOD_NAME_MAX])
{
        static const char *const methods[] = {"recover",  "recover",  "any",      "any",     "any",
                                              "any",      "function", "function", "link",    "any",
                                              "any",      "any",      "function", "link",    "flr",
                                              "bus",      "acpi",     "pm",       "cxl_bus", "subordinate",
                                              "vfio_hot", "slot",     "rescan",   "d3cold",  "frobnicate"};
        const ResetMethodList *list = &storm.tree.nodes[target].methods;
        const char *name = methods[pick(&storm.tree, sizeof(methods) / sizeof(methods[0]))];

        if (list->n > 0 && chance(&storm.tree, 50))
                name = list->names[pick(&storm.tree, (unsigned) list->n)];
        strcpy(method, name);
}

void user_asks(void)
{
        Tree *tree = &storm.tree;
        size_t target = pick_target();
        Device *device = registry_find(storm.registry, &tree->nodes[target].address);
        JobRequest request = {.no_wait = chance(tree, 5), .client = CLIENT};
        Track *track = track_of(storm.last_job + 1);

        if (!device)
                return;
        choose_method(target, request.method);
        show(&request.plan.asker, target);
        request.uid = request.plan.asker.uid;
        request.plan.in_use = chance(tree, 60);
        request.plan.when_idle = chance(tree, 40);
        if (chance(tree, 60))
                request.deadline_usec = storm.now + storm_while(1 * SEC, 120 * SEC);

        if (track->job != 0 && !track->finished)
                storm_wrong("job %u has never ended", track->job);
        *track = (Track){
                .job = storm.last_job + 1,
                .target = target,
                .asker = request.plan.asker,
                .in_use = request.plan.in_use,
                .scan_at = NEVER,
                .answer_at = NEVER,
                .delay_at = NEVER,
                .deadline = request.deadline_usec ? request.deadline_usec : NEVER,
        };
        memcpy(track->requested, request.method, sizeof(request.method));
        stats.requests++;
        storm_note("job %u: uid %u wants %s of %s%s%s", track->job, request.uid, request.method,
                   name_of(target), request.plan.in_use ? ", in use" : "",
                   request.plan.when_idle ? ", when idle" : "");
        ck_assert_int_eq(jobs_submit(storm.jobs, device, &request), 0);
}

static Job *pick_job(void)
{
        size_t n = 0;
        Job *job;

        for (job = jobs_next(storm.jobs, NULL); job; job = jobs_next(storm.jobs, job))
                n++;
        job = jobs_next(storm.jobs, NULL);
        for (unsigned skip = n ? pick(&storm.tree, (unsigned) n) : 0; skip > 0; skip--)
                job = jobs_next(storm.jobs, job);
        return job;
}

void user_leaves(void)
{
        Job *job = pick_job();

        if (!job)
                return;
        storm_note("job %u: its client leaves", job->id);
        if (job_has_begun(job))
                job_detach(job);
        else
                ck_assert_int_eq(job_cancel(job, RESET_CANCELLED), 0);
}

/* ---- leases and inhibitors ---- */

static void fill_record(const Ask *ask, ClaimRecord *record)
{
        *record = (ClaimRecord){
                .kind = ask->claim.kind,
                .uid = ask->claim.uid,
                .since = storm.now,
                .devices = (ClaimDevice *) ask->devices,
                .n_devices = ask->claim.n,
        };
        memcpy(record->id, ask->claim.id, sizeof(record->id));
}

static TreeClaim *free_place(void)
{
        for (size_t i = 0; i < LEASES_MAX; i++)
                if (!storm.tree.held[i].used)
                        return &storm.tree.held[i];
        return NULL;
}

static Ask *free_ask(void)
{
        for (size_t i = 0; i < ASKS_MAX; i++)
                if (storm.asks[i].answer_at == 0)
                        return &storm.asks[i];
        return NULL;
}

void user_claims(void)
{
        Tree *tree = &storm.tree;
        Ask *ask = free_ask();
        TreeClaim claim = {.kind = chance(tree, 70) ? CLAIM_LEASE : (ClaimKind) (1 + pick(tree, 2)),
                           .uid = uids[pick(tree, 4)],
                           .n = 1 + pick(tree, 3)};

        if (!ask)
                return;
        if (claim.kind != CLAIM_LEASE && claim.uid == 0 && chance(tree, 10))
                claim.n = 0;
        *ask = (Ask){};
        for (size_t i = 0; i < claim.n; i++) {
                size_t node = pick_device();
                const Device *device = registry_find(storm.registry, &tree->nodes[node].address);

                for (size_t k = 0; k < i; k++)
                        if (claim.node[k] == node)
                                return;
                if (!device)
                        return;
                claim.node[i] = node;
                claim.ids[i] = tree->nodes[node].id;
                ask->generations[i] = device->generation;
                ask->devices[i] = (ClaimDevice){
                        .address = device->facts.address, .vendor = 0x8086, .device = claim.ids[i]};
        }
        ask->claim = claim;
        ask->answer_at = storm_in(1 * MSEC, 5 * SEC);
}

/* Nobody may have been told that a device is his which is not. */
static void check_claim(const TreeClaim *claim)
{
        for (size_t i = 0; i < RUNS_MAX; i++) {
                const Run *run = &storm.runs[i];

                if (run->job == 0 || !run->is_known || claim->kind == CLAIM_INHIBIT_DELAY ||
                    (claim->kind == CLAIM_LEASE && run->uid == claim->uid))
                        continue;
                if (claim->n == 0)
                        storm_wrong("a claim on all devices is granted in the middle of job %u", run->job);
                for (size_t k = 0; k < claim->n; k++)
                        if (run->footprint.set[claim->node[k]])
                                storm_wrong("a claim on %s is granted in the middle of job %u",
                                            name_of(claim->node[k]), run->job);
        }
        for (size_t k = 0; k < claim->n && claim->kind == CLAIM_LEASE; k++) {
                const Node *node = &storm.tree.nodes[claim->node[k]];

                if (!node->present || node->id != claim->ids[k])
                        storm_wrong("a lease on %s is granted, which is not there", name_of(claim->node[k]));
                if (node->policy.requires_clean && !node->is_bridge &&
                    !storm.trails[claim->node[k]].is_clean && clean_must_be_known(claim->node[k]))
                        storm_wrong("a lease on %s is granted, which is not clean", name_of(claim->node[k]));
                if (storm.trails[claim->node[k]].must_be_reset &&
                    storm.trails[claim->node[k]].must_id == node->id)
                        storm_wrong("a lease on %s is granted, which was to be reset before",
                                    name_of(claim->node[k]));
                stats.required_clean += node->policy.requires_clean && !node->is_bridge;
                if (node->quarantine[node->id - NODE_ID].in)
                        storm_wrong("a lease on %s is granted, which is in quarantine",
                                    name_of(claim->node[k]));
                if (oracle_is_recovered(&storm.tree, claim->node[k]))
                        storm_wrong("a lease on %s is granted, which the kernel recovers",
                                    name_of(claim->node[k]));
                for (size_t i = 0; i < LEASES_MAX; i++)
                        for (size_t j = 0; j < storm.tree.held[i].n; j++)
                                if (storm.tree.held[i].used && storm.tree.held[i].kind == CLAIM_LEASE &&
                                    storm.tree.held[i].node[j] == claim->node[k] &&
                                    storm.tree.held[i].ids[j] == claim->ids[k])
                                        storm_wrong("%s is leased twice", name_of(claim->node[k]));
        }
}

void ask_answered(Ask *ask)
{
        Tree *tree = &storm.tree;
        TreeClaim *place = free_place();
        const Claim *claim;
        ClaimRecord record;
        Admission admission;

        ask->answer_at = 0;
        if (!place || storm.is_calm || chance(tree, 10))
                return;
        (void) snprintf(ask->claim.id, sizeof(ask->claim.id), "%u", tree->last_claim + 1);
        fill_record(ask, &record);
        admission = admission_judge(storm.claims, storm.jobs, storm.registry, &record, ask->generations);
        stats.obstacles[admission.obstacle]++;
        if (admission.obstacle != ADMISSION_FREE) {
                stats.refused_claims++;
                return;
        }
        check_claim(&ask->claim);
        tree->last_claim++;
        *place = ask->claim;
        place->used = true;
        storm_note("claim %s of kind %d of uid %u on %zu devices from %s", place->id, place->kind,
                   place->uid, place->n, place->n ? name_of(place->node[0]) : "all");
        ck_assert_int_eq(claims_add(storm.claims, &record, &claim), 0);
        stats.leases += place->kind == CLAIM_LEASE;
}

/* ---- rules ---- */

static void draw_methods(ResetMethodList *list, unsigned n)
{
        static const char *const names[] = {
                "device_specific", "acpi",        "flr",   "af_flr", "pm", "bus", "slot",
                "cxl_bus",         "subordinate", "rescan"};

        *list = (ResetMethodList){};
        while (list->n < n) {
                const char *name = names[pick(&storm.tree, sizeof(names) / sizeof(names[0]))];

                if (!reset_method_list_contains(list, name))
                        strcpy(list->names[list->n++], name);
        }
}

static void draw_policy(NodePolicy *policy)
{
        Tree *tree = &storm.tree;

        *policy = (NodePolicy){.used = chance(tree, 70)};
        if (!policy->used)
                return;
        if (chance(tree, 30))
                draw_methods(&policy->forbid, 1 + pick(tree, 2));
        if (chance(tree, 30))
                draw_methods(&policy->order, 2 + pick(tree, 3));
        policy->forbids_link = chance(tree, 15);
        policy->requires_clean = chance(tree, 40);
        policy->resets_on_release = chance(tree, 50);
        policy->orders_kernel = chance(tree, 30);
        policy->has_on_error = chance(tree, 70);
        policy->on_error = chance(tree, 40) ? POLICY_ON_ERROR_RECOVER : (PolicyOnError) pick(tree, 3);
        policy->keeps_driver = chance(tree, 20);
        policy->rebinds_driver = !policy->keeps_driver && chance(tree, 30);
        if (chance(tree, 20))
                strcpy(policy->bad, chance(tree, 50) ? "bus" : "flr");
}

static void add_rule(Policy *policy, size_t i)
{
        const NodePolicy *node = &storm.tree.nodes[i].policy;
        PolicyRule rule = {.file = strdup("/etc/pciresetd/policy.d/50-storm.json")};
        PolicySettings *settings = &rule.settings;
        const char *wanted;

        ck_assert_ptr_nonnull(rule.file);
        (void) snprintf(rule.id, sizeof(rule.id), "rule-%zu", i);
        ck_assert_int_eq(policy_match_set(&rule.match, POLICY_MATCH_ADDRESS, name_of(i), &wanted), 0);
        settings->forbid = node->forbid;
        settings->methods = node->order;
        settings->allow_link = !node->forbids_link;
        settings->driver = node->keeps_driver     ? POLICY_DRIVER_KEEP
                           : node->rebinds_driver ? POLICY_DRIVER_REBIND
                                                  : POLICY_DRIVER_REFUSE;
        settings->require_clean = node->requires_clean;
        settings->on_release = node->resets_on_release ? POLICY_ON_RELEASE_RESET : POLICY_ON_RELEASE_NONE;
        settings->set = 1U << POLICY_ALLOW_LINK | 1U << POLICY_DRIVER | 1U << POLICY_REQUIRE_CLEAN |
                        1U << POLICY_ON_RELEASE;
        settings->kernel_order = node->orders_kernel;
        if (node->orders_kernel)
                settings->set |= 1U << POLICY_KERNEL_ORDER;
        settings->on_error = node->on_error;
        if (node->has_on_error)
                settings->set |= 1U << POLICY_ON_ERROR;
        if (node->forbid.n > 0)
                settings->set |= 1U << POLICY_FORBID;
        if (node->order.n > 0)
                settings->set |= 1U << POLICY_METHODS;
        if (node->bad[0] != '\0')
                ck_assert_int_eq(policy_rule_add_known(&rule, node->bad, true, "seen here", NULL), 0);
        ck_assert_int_eq(policy_add(policy, &rule), 0);
        policy_rule_done(&rule);
}

static Policy *make_policy(void)
{
        Policy *policy = policy_new();

        ck_assert_ptr_nonnull(policy);
        for (size_t i = 0; i < storm.tree.n; i++)
                if (storm.tree.nodes[i].policy.used)
                        add_rule(policy, i);
        return policy;
}

void rules_begin(void)
{
        for (size_t i = 0; i < storm.tree.n; i++)
                if (chance(&storm.tree, 60))
                        draw_policy(&storm.tree.nodes[i].policy);
}

void rules_give(void)
{
        registry_set_policy(storm.registry, make_policy(), "6.1.0");
}

void rules_change(void)
{
        size_t i = pick_device();

        draw_policy(&storm.tree.nodes[i].policy);
        storm.trails[i].was_heard = false;
        storm_note("another rule for %s", name_of(i));
        stats.policy++;
        if (!daemon_lives())
                return;
        registry_change_policy(storm.registry, make_policy());
        jobs_order_all(storm.jobs);
        releases_policy_changed(storm.releases);
}

/* ---- quarantine by hand ---- */

void somebody_in_charge(void)
{
        Node *node = &storm.tree.nodes[pick_device()];
        NodeQuarantine *quarantine = &node->quarantine[node->id - NODE_ID];
        QuarantineRecord record = {.cause = QUARANTINE_REQUESTED, .reason = "it looks bad"};
        Device *device = registry_find(storm.registry, &node->address);

        if (!device || (!quarantine->in && chance(&storm.tree, 70)))
                return;
        if (quarantine->in) {
                quarantine->in = false;
                ck_assert_int_eq(quarantines_end(storm.quarantines, device, QUARANTINE_RELEASED), 0);
        } else {
                *quarantine = (NodeQuarantine){
                        .in = true, .is_requested = true, .turn = ++storm.n_quarantines};
                ck_assert_int_eq(quarantines_begin(storm.quarantines, device, &record, 0), 0);
        }
}
