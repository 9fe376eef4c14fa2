/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Errors of a reset in words. Each names the device, the reason, and what to do next.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/bus/holders.h"
#include "daemon/bus/job-facts.h"
#include "daemon/bus/obstacles.h"
#include "daemon/domain/quarantine.h"
#include "shared/cleanup.h"

/* Leases and inhibitors that one text names. */
#define CLAIMS_PRINTED_MAX 4U
#define THOSE_PRINTED_MAX  4U

static const char *why_text(unsigned bit)
{
        switch (bit) {
        case WHY_NOT_ADVERTISED:
                return "the kernel does not list it for this device";
        case WHY_UNKNOWN_METHOD:
                return "what it would disturb is not known";
        case WHY_BRIDGE:
                return "the device is a bridge; reset a device below it instead";
        case WHY_ROOT_BUS:
                return "the device is on a root bus, without a bridge above that could reset it";
        case WHY_SIBLINGS:
                return "other functions are below the same bridge, so the kernel refuses it";
        case WHY_TOPOLOGY_UNKNOWN:
                return "the bridge above is not known yet; try again";
        case WHY_VIRTUAL:
                return "it is a virtual function, which would not come back";
        case WHY_NOT_VFIO:
                return "not every device that it resets is bound to a VFIO driver";
        case WHY_NOT_OWNED:
                return "not every VFIO group that it resets was presented";
        case WHY_DRIVER_BOUND:
                return "a host driver is bound that would lose its state";
        case WHY_HELD:
                return "it is in use";
        case WHY_VFIO_OPEN:
                return "somebody has it open through VFIO";
        case WHY_STORAGE:
                return "it carries storage that is in use";
        case WHY_NETWORK:
                return "it carries a network interface that is up and has addresses";
        case WHY_GUEST:
                return "a Xen guest has it, or may have it";
        case WHY_TSM_BOUND:
                return "it is bound to a trusted guest";
        case WHY_USE_UNKNOWN:
                return "it could not be found out who uses it";
        case WHY_LEASED:
                return "somebody else has a lease on it";
        case WHY_LEASE_GONE:
                return "the lease that the request relies on does not hold it any more";
        case WHY_INHIBITED:
                return "somebody forbids it for now";
        case WHY_EDGES:
                return "the policy ties it to devices that this method cannot be done with";
        case WHY_NOT_ASSIGNABLE:
                return "not every function that it resets is bound to pciback or another driver for guests";
        case WHY_FORBIDDEN:
                return "the policy forbids it";
        case WHY_LINK_FORBIDDEN:
                return "the policy allows no reset of more than the function";
        case WHY_NOT_LISTED:
                return "the policy's order does not have it";
        case WHY_FROZEN:
                return "its partitionable endpoint is frozen (EEH), and has to be thawed first";
        case WHY_NOT_FROZEN:
                return "its partitionable endpoint is not frozen";
        case WHY_RECOVERING:
                return "the kernel recovers it from an error just now";
        case WHY_KNOWN_BAD:
                return "it is known to do harm on this hardware, so it has to be asked for by name";
        case WHY_NOT_RELEASED:
                return "it would disturb devices that were not let go with this one";
        }
        return "unknown reason";
}

static bool is_kept_by_host(const Job *job, const Device *member)
{
        (void) job;
        return plan_is_kept_by_host(member);
}

static bool misses_group(const Job *job, const Device *member)
{
        const Device *target = job_target_device(job);

        return (!target->parent || device_is_below(member, target->parent)) &&
               plan_misses_group(&job->request.plan.asker, member);
}

/* Names the devices that a reason is about, `with_group` together with the VFIO node that each needs. */
static void print_those(FILE *f, const Job *job, bool (*is_one)(const Job *job, const Device *member),
                        bool with_group)
{
        _cleanup_free_ Device **devices = NULL;
        Device *target = job_target_device(job);
        char address[PCI_ADDRESS_STRING_MAX];
        unsigned n_printed = 0;
        size_t n;

        if (!target || plan_concerned(target, &devices, &n) < 0)
                return;
        for (size_t i = 0; i < n && n_printed < THOSE_PRINTED_MAX; i++) {
                if (!is_one(job, devices[i]))
                        continue;
                fputs(n_printed++ > 0 ? ", " : ": not ", f);
                if (with_group)
                        fprintf(f, "/dev/vfio/%s of ", devices[i]->facts.iommu_group);
                fputs(pci_address_format(&devices[i]->facts.address, address), f);
        }
}

static void print_unusable(FILE *f, const Job *job, const Attempt *attempt)
{
        bool first = true;

        for (unsigned bit = 1; bit <= WHY_LAST; bit <<= 1)
                if (attempt->unusable & bit) {
                        fprintf(f, "%s%s", first ? "" : "; ", why_text(bit));
                        if (bit == WHY_NOT_ASSIGNABLE)
                                print_those(f, job, is_kept_by_host, false);
                        if (bit == WHY_NOT_OWNED)
                                print_those(f, job, misses_group, true);
                        if (bit & WHY_POLICY_MASK && attempt->rule[0])
                                fprintf(f, ", rule %s", attempt->rule);
                        first = false;
                }
}

/* Which one it is, for who has to find out why it does not end. */
static void print_in_the_way(FILE *f, const Job *job)
{
        const Job *other = job_in_the_way(job);
        char address[PCI_ADDRESS_STRING_MAX];

        if (other)
                fprintf(f, " (job %" PRIu32 ", %s of %s)", other->id, other->method,
                        pci_address_format(&other->target.address, address));
}

static void print_refused(FILE *f, const Job *job, const Attempt *attempt)
{
        if (strcmp(attempt->why, "busy") == 0) {
                fputs("another reset has to end first", f);
                print_in_the_way(f, job);
                fputs("; leave no_wait out to wait for it", f);
        } else if (job->result && job->result->message[0])
                fputs(job->result->message, f);
        else
                fprintf(f, "refused: %s", attempt->why);
}

static void print_failed(FILE *f, const Job *job, const Attempt *attempt)
{
        if (strcmp(attempt->why, "no-worker") == 0)
                fprintf(f, "the worker program could not be started (%s), nothing was written",
                        strerror(attempt->error));
        else if ((strcmp(attempt->why, WORKER_WHY_DIED) == 0 ||
                  strcmp(attempt->why, WORKER_WHY_STOPPED) == 0) &&
                 job->result && job->result->message[0])
                fputs(job->result->message, f);
        else if (strcmp(attempt->why, WORKER_WHY_DIED) == 0)
                fputs("the worker ended without telling what it had done, so the state of the device is "
                      "unknown",
                      f);
        else
                fprintf(f, "%s, the device is %s", strerror(attempt->error),
                        verdict_to_string(attempt->verdict));
}

static void print_outcome(FILE *f, const Job *job, const Attempt *attempt)
{
        switch (attempt->outcome) {
        case ATTEMPT_UNUSABLE:
                print_unusable(f, job, attempt);
                break;
        case ATTEMPT_REFUSED:
                print_refused(f, job, attempt);
                break;
        case ATTEMPT_DENIED:
                fputs(attempt->reason[0] ? attempt->reason : "not authorized", f);
                break;
        case ATTEMPT_GONE:
                fputs("the device was gone", f);
                break;
        case ATTEMPT_DONE:
                if (strcmp(attempt->why, JOB_WHY_DOUBTFUL) == 0) {
                        fputs("done, but many devices keep their state over it, and a guest has to find "
                              "none; ask for it by its name if it is enough",
                              f);
                        break;
                }
                fprintf(f, "done, but the device is %s afterwards", verdict_to_string(attempt->verdict));
                break;
        case ATTEMPT_FAILED:
                print_failed(f, job, attempt);
                break;
        }
}

/* What several methods came to in the same way is said once. */
static bool ended_alike(const Attempt *a, const Attempt *b)
{
        return a->outcome == b->outcome && a->unusable == b->unusable && strcmp(a->why, b->why) == 0 &&
               strcmp(a->reason, b->reason) == 0 && a->error == b->error && a->verdict == b->verdict;
}

static void print_attempts(FILE *f, const Job *job)
{
        for (size_t i = 0; i < job->n_attempts; i++) {
                const Attempt *attempt = &job->attempts[i];

                fprintf(f, " %s", attempt->method);
                while (i + 1 < job->n_attempts && ended_alike(attempt, &job->attempts[i + 1]))
                        fprintf(f, ", %s", job->attempts[++i].method);
                fputs(": ", f);
                print_outcome(f, job, attempt);
                fputc('.', f);
        }
        if (job->n_attempts == 0)
                fprintf(f, " There is no %smethod for it.",
                        strcmp(job->request.method, "any") == 0 || job_is_recovery(job) ? ""
                        : strcmp(job->request.method, "function") == 0                  ? "function "
                                                                                        : "link ");
}

/* The methods that polkit refused, with commas between them. Returns the actions that were asked for. */
static unsigned print_denied_methods(FILE *f, const Job *job)
{
        const char *separator = "";
        unsigned actions = 0;

        for (size_t i = 0; i < job->n_attempts; i++) {
                const Attempt *attempt = &job->attempts[i];

                if (attempt->outcome != ATTEMPT_DENIED)
                        continue;
                fprintf(f, "%s%s", separator, attempt->method);
                separator = ", ";
                actions |= attempt->actions;
        }
        return actions;
}

static void print_rule_for(FILE *f, unsigned actions)
{
        const char *action, *separator = " ";
        unsigned cursor = 0;

        fputs("an administrator can allow it with a polkit rule for", f);
        while ((action = action_next(actions, &cursor))) {
                fprintf(f, "%s%s", separator, action);
                separator = " and ";
        }
        fputc('.', f);
}

static bool polkit_failed(const Job *job)
{
        return job->n_attempts > 0 && job->attempts[job->n_attempts - 1].grant == GRANT_FAILED;
}

static void print_access_denied(FILE *f, const Job *job)
{
        unsigned actions;

        if (polkit_failed(job)) {
                fputs("not authorized, since polkit could not be asked. Is polkit running?", f);
        } else if (job->n_questions > JOB_QUESTIONS_PER_RUNG_MAX) {
                fputs("not authorized, since the device changed whenever that was asked. Ask again when it "
                      "has settled.",
                      f);
        } else {
                fprintf(f, "uid %u is not authorized to reset it by ", job->request.uid);
                actions = print_denied_methods(f, job);
                fputs("; ", f);
                print_rule_for(f, actions);
        }
}

static void print_interaction_required(FILE *f, const Job *job)
{
        unsigned actions;

        fputs("authentication is required to reset it by ", f);
        actions = print_denied_methods(f, job);
        fputs(". Call again with interactive authorization allowed; or ", f);
        print_rule_for(f, actions);
}

static void print_waited_for(FILE *f, const Job *job)
{
        bool is_silent = false;

        if (job->phase == JOB_QUEUED) {
                fputs(" Another reset has to end first", f);
                print_in_the_way(f, job);
                fputs(".", f);
        }
        if (job->phase != JOB_WAITING_IDLE || job->n_holders == 0)
                return;
        fputs(" It waited for its users: ", f);
        print_holders(f, job->holders, job->n_holders, job->request.uid, &job->target.address);
        for (size_t i = 0; i < job->n_holders; i++)
                is_silent |= job->holders[i].silent;
        fputs(is_silent ? ". Nobody announces when all of this ends: ask again, it may be free by now."
                        : ".",
              f);
}

static void print_timed_out(FILE *f, const Job *job)
{
        if (job_has_begun(job)) {
                fputs("the time given is over. The reset goes on and its device stays taken until it ends; "
                      "see "
                      "ListJobs.",
                      f);
        } else {
                fputs("the time given was over before the reset could begin. Nothing was written.", f);
                print_waited_for(f, job);
        }
}

/* A line that leads in, the attempts, and what to do next. */
static void print_story(FILE *f, const Job *job, const char *lead, const char *next_step)
{
        fputs(lead, f);
        print_attempts(f, job);
        fputs(next_step, f);
}

/* Of Why, what stood in the way of all the attempts. */
static unsigned all_obstacles(const Job *job)
{
        unsigned why = 0;

        for (size_t i = 0; i < job->n_attempts; i++)
                if (job->attempts[i].outcome == ATTEMPT_UNUSABLE)
                        why |= job->attempts[i].unusable;
        return why;
}

static const char *in_use_advice(const Job *job)
{
        unsigned why = all_obstacles(job);

        if (why & (WHY_TSM_BOUND | WHY_GUEST))
                return " Take it away from the guest first.";
        if (why & WHY_USE_UNKNOWN)
                return " Look into the journal for the reason and ask again.";
        if (why & (WHY_STORAGE | WHY_NETWORK | WHY_VFIO_OPEN))
                return " Have its users let go of it; option when_idle waits for that.";
        if (why & WHY_HELD || job->n_holders > 0)
                return " Have its users let go of it: option when_idle waits for that, option in_use resets "
                       "it all the same.";
        return " Unbind the driver, or ask with option in_use, which takes it off and puts it back.";
}

static void print_in_use(FILE *f, const Job *job)
{
        fputs("in use", f);
        if (job->n_holders > 0) {
                fputs(": ", f);
                print_holders(f, job->holders, job->n_holders, job->request.uid, &job->target.address);
        }
        print_story(f, job, ".", in_use_advice(job));
}

/* A lease that is named once is not named for each of its devices. */
static bool is_first_of_lease(Device **devices, size_t index)
{
        for (size_t i = 0; i < index; i++)
                if (devices[i]->lease == devices[index]->lease)
                        return false;
        return true;
}

static void print_leases(FILE *f, const Job *job)
{
        _cleanup_free_ Device **devices = NULL;
        char address[PCI_ADDRESS_STRING_MAX];
        unsigned n_printed = 0;
        size_t n;

        if (obstacles_leased(job, &devices, &n) < 0)
                return;
        for (size_t i = 0; i < n && n_printed < CLAIMS_PRINTED_MAX; i++) {
                const Claim *lease = devices[i]->lease;

                if (is_first_of_lease(devices, i))
                        fprintf(f, "%s%s is in lease %s of %s (uid %u)", n_printed++ > 0 ? "; " : ": ",
                                pci_address_format(&devices[i]->facts.address, address), lease->record.id,
                                lease->record.who, lease->record.uid);
        }
}

static void print_leased(FILE *f, const Job *job)
{
        if (all_obstacles(job) & WHY_LEASED) {
                fputs("leased to somebody else", f);
                print_leases(f, job);
                print_story(f, job, ".", " Ask whoever has the lease, or wait with option when_idle.");
        } else {
                fprintf(f, "lease %s does not hold it (any more).", job->request.plan.asker.lease);
                print_story(f, job, "", " Take a lease on it, or ask without option lease.");
        }
}

static void print_inhibitors(FILE *f, const Job *job, const Claims *claims)
{
        _cleanup_free_ const Claim **inhibitors = NULL;
        size_t n;

        if (obstacles_inhibitors(job, claims, &inhibitors, &n) < 0)
                return;
        for (size_t i = 0; i < n && i < CLAIMS_PRINTED_MAX; i++) {
                const ClaimRecord *record = &inhibitors[i]->record;

                fprintf(f, "%s%s (uid %u): %s", i > 0 ? "; " : ": ", record->who, record->uid,
                        record->why[0] ? record->why : "no reason given");
        }
}

static void print_inhibited(FILE *f, const Job *job, const Claims *claims)
{
        fputs("its reset is inhibited", f);
        print_inhibitors(f, job, claims);
        print_story(f, job, ".", " Ask them to let go; see ListInhibitors.");
}

#define POWER_CYCLE_ADVICE                                                                                  \
        " Nothing more can be done from here: it needs a cold power cycle. Switch the machine, or the "     \
        "slot, off "                                                                                        \
        "and on again; a reboot is not enough."

#define MOVED_ADVICE                                                                                        \
        " But it is there again under another address, since the kernel has given its bus another number; " \
        "see "                                                                                              \
        "ListDevices."

static const char *dead_advice(const Job *job)
{
        if (job_moved_target(job))
                return MOVED_ADVICE;
        if (job->needs_power_cycle)
                return POWER_CYCLE_ADVICE;
        if (job_is_recovery(job))
                return " Do not give it to anybody. What was not tried may help: see to it that it can be, "
                       "and "
                       "ask again. Else it needs a cold power cycle.";
        if (!job_target_device(job))
                return " It has left the bus: look at its slot.";
        return " Do not give it to anybody. Recover tries what is left; else it may need a cold power "
               "cycle.";
}

static const char *failed_advice(const Job *job)
{
        return job->needs_power_cycle ? POWER_CYCLE_ADVICE
                                      : " Look at the checks and the kernel log, then try another method.";
}

/* A reset that has taken the device away is worth its story. */
static void print_gone(FILE *f, const Job *job)
{
        if (job_has_written(job))
                print_story(
                        f, job, "the device has not come back, or another one has its address now.",
                        job->needs_power_cycle
                                ? POWER_CYCLE_ADVICE
                                : " Nothing was written to that one. Look at ListDevices and at the slot.");
        else
                fputs(DEVICE_GONE_TEXT, f);
}

static void print_quarantined(FILE *f, const Job *job)
{
        const Device *device = job_quarantined_member(job);
        char address[PCI_ADDRESS_STRING_MAX];

        fputs("it may be reset only by who is authorized for what is in quarantine", f);
        if (device)
                fprintf(f, ". %s is in quarantine: %s%s",
                        pci_address_format(&device->facts.address, address),
                        device->quarantine->record.reason,
                        device->quarantine->record.serial[0] != '\0' ? "" : "; " QUARANTINE_OF_PLACE);
        fputs(". " QUARANTINE_NEXT_STEP, f);
}

static void print_error(FILE *f, const Job *job, const Claims *claims, ResetError error)
{
        switch (error) {
        case RESET_OK:
                break;
        case RESET_ACCESS_DENIED:
                print_access_denied(f, job);
                break;
        case RESET_INTERACTION_REQUIRED:
                print_interaction_required(f, job);
                break;
        case RESET_INVALID_METHOD:
                fprintf(f, "'%s' " INVALID_METHOD_TEXT, job->request.method);
                break;
        case RESET_NOT_USABLE:
                print_story(f, job, "no reset can be done now.", "");
                break;
        case RESET_IN_USE:
                print_in_use(f, job);
                break;
        case RESET_LEASED:
                print_leased(f, job);
                break;
        case RESET_INHIBITED:
                print_inhibited(f, job, claims);
                break;
        case RESET_DEVICE_GONE:
                print_gone(f, job);
                break;
        case RESET_DEVICE_DEAD:
                print_story(f, job, "the device does not answer.", dead_advice(job));
                break;
        case RESET_FAILED:
                print_story(f, job, "the reset failed.", failed_advice(job));
                break;
        case RESET_TIMED_OUT:
                print_timed_out(f, job);
                break;
        case RESET_CANCELLED:
                fputs("the reset was cancelled before it began. Nothing was written.", f);
                break;
        case RESET_POLICY_DENIED:
                print_story(f, job, "the policy does not allow it.",
                            " An administrator can change the rule that is named.");
                break;
        case RESET_QUARANTINED:
                print_quarantined(f, job);
                break;
        case RESET_RECOVERING:
                print_story(f, job, "the kernel recovers it from an error just now.",
                            " " RECOVERING_NEXT_STEP);
                break;
        case RESET_LIMITS_EXCEEDED:
                fputs("too many resets are waiting. Wait until some have ended and ask again.", f);
                break;
        }
}

char *job_error_text(const Job *job, const Claims *claims, ResetError error)
{
        char address[PCI_ADDRESS_STRING_MAX];
        _cleanup_free_ char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        fprintf(f, "%s: ", pci_address_format(&job->target.address, address));
        print_error(f, job, claims, error);
        return fclose(f) == 0 ? steal_pointer(text) : NULL;
}
