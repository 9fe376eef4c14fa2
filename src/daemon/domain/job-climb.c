/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The way of a job up its ladder: who uses the devices is found out, a rung is planned, and polkit is asked
 * about it; and whether what was authorised is still so.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/domain/job-steps.h"
#include "daemon/domain/jobs.h"
#include "shared/cleanup.h"

DEFINE_CLEANUP(Plan *, plan_free);

int job_make_ladder(Job *job, Device *target)
{
        _cleanup_(cleanup_plan_free) Plan *plan = NULL;
        const JobPorts *ports = &job->jobs->ports;
        int r;

        r = plan_for_each_concerned(target, ports->refresh, ports->userdata);
        if (r < 0)
                return r;
        r = plan_make(target, job->request.method, &job->request.plan, &plan);
        if (r < 0)
                return r;

        policy_rule_text(plan->workaround, job->workaround);
        job->ladder = calloc(plan->n_rungs ? plan->n_rungs : 1, sizeof(*job->ladder));
        if (!job->ladder)
                return -ENOMEM;
        for (; job->n_ladder < plan->n_rungs; job->n_ladder++)
                memcpy(job->ladder[job->n_ladder], plan->rungs[job->n_ladder].method, RESET_METHOD_NAME_MAX);
        return 0;
}

static void add_unusable(Job *job, unsigned why, const PolicyRule *rule)
{
        Attempt *attempt = job_add_attempt(job, ATTEMPT_UNUSABLE);

        attempt->unusable = why;
        policy_rule_text(why & WHY_POLICY_MASK ? rule : NULL, attempt->rule);
        job_tell(job, JOB_EVENT_ATTEMPT);
}

/* Plans the rung at hand from fresh facts. Returns a positive number if it can be taken, 0 if not (the
 * attempt is then noted), -ENODEV if the target is gone. */
static int plan_rung(Job *job, Plan **ret)
{
        _cleanup_(cleanup_plan_free) Plan *plan = NULL;
        Device *target = job_target_device(job);
        const JobPorts *ports = &job->jobs->ports;
        int r;

        if (!target)
                return -ENODEV;
        r = plan_for_each_concerned(target, ports->refresh, ports->userdata);
        if (r < 0)
                return r;
        r = plan_make(target, job->ladder[job->at], &job->request.plan, &plan);
        if (r == -EINVAL) {
                /* An opaque name that the kernel does not list any more. */
                add_unusable(job, WHY_NOT_ADVERTISED | WHY_UNKNOWN_METHOD, NULL);
                return 0;
        }
        if (r < 0)
                return r;
        if (plan->rungs[0].why != 0) {
                add_unusable(job, plan->rungs[0].why, plan->rungs[0].rule);
                job_note_holders(job, &plan->rungs[0]);
                return 0;
        }
        *ret = steal_pointer(plan);
        return 1;
}

/* Somebody may have said so: of a record that cannot be read nobody knows. */
static bool is_somebodys(const QuarantineRecord *record)
{
        return record->cause == QUARANTINE_REQUESTED || record->cause == QUARANTINE_UNREADABLE;
}

/* A rule speaks for the device that it is about. The virtual functions go with theirs, as in any reset; of
 * the members of a release's set the plan has seen to it that all were let go (WHY_NOT_RELEASED). */
static bool is_spoken_for(const Job *job, Device *member)
{
        const EffectivePolicy *policy;

        if (member->facts.is_bridge || job->request.plan.release)
                return true;
        if (member->physfn && member->physfn == job_target_device(job))
                return true;
        policy = registry_policy_of(member);
        return policy && policy->settings.set & 1U << POLICY_ON_ERROR &&
               policy->settings.on_error == POLICY_ON_ERROR_RECOVER;
}

/* Nobody is asked about a job of the policy's, so each member needs a rule, and a rule is against nobody who
 * has put one of them aside. The first member that stands against it, NULL: granted. */
static Device *policy_refuses(const Job *job, const char **ret_why)
{
        for (size_t i = 0; i < job->n_members; i++) {
                Device *device = job_member_device(job, &job->members[i]);

                if (!device)
                        continue;
                *ret_why = "put-aside";
                if (device->quarantine && is_somebodys(&device->quarantine->record))
                        return device;
                *ret_why = "no-rule";
                if (!is_spoken_for(job, device))
                        return device;
        }
        return NULL;
}

static bool is_refused_by_policy(const Job *job)
{
        const char *why;

        return policy_refuses(job, &why) != NULL;
}

/* Makes a planned rung the one at hand, relaxes those who were told of the last one, pins its devices, and
 * asks polkit. */
static void ask(Job *job, const Rung *rung)
{
        const JobPorts *ports = &job->jobs->ports;
        int r;

        if (job->n_questions++ >= JOB_QUESTIONS_PER_RUNG_MAX) {
                job_finish(job, RESET_ACCESS_DENIED);
                return;
        }
        job_relax(job);
        r = job_take_rung(job, rung);
        if (r < 0) {
                job_fail(job, r);
                return;
        }
        job->phase = JOB_AUTHORIZING;
        /* From here on it is taken on, and loses its place to nothing that the kernel does by itself; unless
         * its caller does not wait. */
        job->request.plan.outlasts_recovery = !job->request.no_wait;
        if (job->announced)
                job_tell(job, JOB_EVENT_CHANGED);

        if (job->request.by_policy) {
                job_authorized(job, is_refused_by_policy(job) ? GRANT_NO : GRANT_YES);
                return;
        }
        r = ports->authorize(ports->userdata, job);
        if (r < 0)
                job_authorized(job, GRANT_FAILED);
}

/* Goes to the first rung from here that can be taken, or ends the job. */
static void climb(Job *job)
{
        if (job_is_needless(job)) {
                job_finish(job, RESET_OK);
                return;
        }
        for (; job->at < job->n_ladder; job->at++) {
                _cleanup_(cleanup_plan_free) Plan *plan = NULL;
                int r;

                job_set_method(job, job->ladder[job->at]);
                /* Who was told of the last rung has not been told of this one. */
                job->request.plan.prepared = false;
                r = plan_rung(job, &plan);
                if (r < 0) {
                        job_fail(job, r);
                        return;
                }
                if (r > 0) {
                        ask(job, &plan->rungs[0]);
                        return;
                }
                job->n_questions = 0;
        }
        job_finish(job, job_conclude(job));
}

void job_step_on(Job *job)
{
        job->at++;
        job->n_questions = 0;
        /* Without a caller there is nobody whom a further rung could be granted to. */
        if (!job_is_wanted(job))
                job->at = job->n_ladder;
}

static void climb_on(Job *job)
{
        job_step_on(job);
        climb(job);
}

void job_look(Job *job, bool resuming)
{
        const JobPorts *ports = &job->jobs->ports;
        _cleanup_free_ Device **devices = NULL;
        Device *target = job_target_device(job);
        size_t n;
        int r;

        if (!resuming && job->at >= job->n_ladder) {
                climb(job);
                return;
        }
        r = target ? plan_concerned(target, &devices, &n) : -ENODEV;
        if (r < 0) {
                job_fail(job, r);
                return;
        }
        if (!resuming)
                job->phase = JOB_AUTHORIZING;
        job->resuming = resuming;
        job->look_again = false;
        job->scanning = true;
        r = ports->scan(ports->userdata, job, devices, n);
        if (r <= 0)
                job_scanned(job, r);
}

/* Another driver makes forget who uses a device. */
static bool use_is_known(const Job *job)
{
        for (size_t i = 0; i < job->n_members; i++) {
                const Device *device = registry_find(job->jobs->registry, &job->members[i].address);

                if (device && !device->use.known && plan_needs_scan(device))
                        return false;
        }
        return true;
}

/* Rules may change while a job waits. */
static bool is_still_ruled(const Job *job)
{
        return !job->request.by_policy || !is_refused_by_policy(job);
}

bool job_still_holds(Job *job)
{
        _cleanup_(cleanup_plan_free) Plan *plan = NULL;
        _cleanup_free_ char *fingerprint = NULL;
        int r;

        if (!use_is_known(job)) {
                if (job->ticket)
                        job_leave_lane(job);
                job_look(job, false);
                return false;
        }
        r = plan_rung(job, &plan);
        if (r > 0) {
                fingerprint = rung_fingerprint(&plan->rungs[0]);
                if (!fingerprint)
                        r = -ENOMEM;
        }
        if (r > 0 && strcmp(fingerprint, job->fingerprint) == 0 && is_still_ruled(job)) {
                job->busy = plan->rungs[0].busy;
                job->delayed = plan->rungs[0].delayed;
                return true;
        }

        if (job->ticket)
                job_leave_lane(job);
        if (r < 0)
                job_fail(job, r);
        else if (r == 0)
                climb_on(job);
        else
                ask(job, &plan->rungs[0]);
        return false;
}

void job_scanned(Job *job, int error)
{
        _cleanup_free_ Device **devices = NULL;
        Device *target = job_target_device(job);
        size_t n;

        if (!job->scanning)
                return;
        job->scanning = false;
        if (error < 0 && target && plan_concerned(target, &devices, &n) >= 0)
                for (size_t i = 0; i < n; i++)
                        device_forget_use(devices[i]);
        if (!job->resuming)
                climb(job);
        else if (job_still_holds(job))
                job_proceed(job);
}

/* The member that an administrator has tied this one to, where nothing else makes it part of the set. NULL:
 * it is below the same bridge, or belongs to the target. */
static const Device *tied_to(const Job *job, const Device *member)
{
        const Device *target = job_target_device(job);
        const Device *function = member->physfn ? member->physfn : member;

        if (function == target || (target && target->parent && device_is_below(function, target->parent)))
                return NULL;
        for (size_t i = 0; i < job->n_members; i++) {
                const Device *end = job_member_device(job, &job->members[i]), *other;
                size_t cursor = 0;

                while (end && (other = registry_next_edge(job->jobs->registry, end, &cursor)))
                        if (other == function)
                                return end;
        }
        return NULL;
}

/* Whose word it is, and why that counts here. */
static void describe_refusal(const Job *job, Device *member, Attempt *attempt)
{
        const EffectivePolicy *policy = registry_policy_of(member);
        const Device *end = tied_to(job, member);
        char address[PCI_ADDRESS_STRING_MAX], other[PCI_ADDRESS_STRING_MAX], tie[64] = "";

        (void) pci_address_format(&member->facts.address, address);
        if (end)
                (void) snprintf(tie, sizeof(tie), ", which an edge ties to %s,",
                                pci_address_format(&end->facts.address, other));
        if (strcmp(attempt->why, "put-aside") == 0) {
                (void) snprintf(attempt->reason, sizeof(attempt->reason), "%s%s %s", address, tie,
                                member->quarantine->record.cause == QUARANTINE_REQUESTED
                                        ? "was put into quarantine by hand"
                                        : "is in a quarantine that cannot be read");
                return;
        }
        if (policy && policy->settings.set & 1U << POLICY_ON_ERROR)
                policy_rule_text(policy->origin[POLICY_ON_ERROR], attempt->rule);
        (void) snprintf(attempt->reason, sizeof(attempt->reason),
                        "it would disturb %s%s and %s%s to be recovered", address, tie,
                        attempt->rule[0] ? attempt->rule : "no rule",
                        attempt->rule[0] ? " does not want that" : " wants that");
}

static void note_refusal(const Job *job, Attempt *attempt)
{
        const char *why = "";
        Device *member = policy_refuses(job, &why);

        (void) snprintf(attempt->why, sizeof(attempt->why), "%s", member ? why : "");
        if (member)
                describe_refusal(job, member, attempt);
}

void job_authorized(Job *job, Grant grant)
{
        Attempt *attempt;

        if (grant == GRANT_YES) {
                /* The question is answered: whoever ends the job now has nothing to take back. */
                if (job_still_holds(job))
                        job_proceed(job);
                return;
        }

        attempt = job_add_attempt(job, ATTEMPT_DENIED);
        attempt->grant = grant;
        attempt->actions = job->actions;
        if (job->request.by_policy)
                note_refusal(job, attempt);
        job_tell(job, JOB_EVENT_ATTEMPT);
        /* Somebody who has just declined does not want the same dialog for the next method; and a polkit
         * that cannot be reached has no other answer for it. */
        if (grant == GRANT_DISMISSED || grant == GRANT_FAILED)
                job_finish(job, job_conclude(job));
        else
                climb_on(job);
}
