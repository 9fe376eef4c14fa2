/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Errors of a reset in words. Each names the device, the reason, and what to do next.
 */

#include <stdio.h>
#include <string.h>

#include "daemon/bus/job-facts.h"
#include "shared/cleanup.h"

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
        case WHY_DRIVER_BOUND:
                return "a host driver is bound";
        case WHY_VFIO_OPEN:
                return "somebody has it open through VFIO";
        case WHY_PCIBACK:
                return "it is bound to pciback, a Xen guest may have it";
        case WHY_TSM_BOUND:
                return "it is bound to a trusted guest";
        }
        return "unknown reason";
}

static void print_unusable(FILE *f, const Attempt *attempt)
{
        bool first = true;

        for (unsigned bit = 1; bit <= WHY_TSM_BOUND; bit <<= 1)
                if (attempt->unusable & bit) {
                        fprintf(f, "%s%s", first ? "" : "; ", why_text(bit));
                        first = false;
                }
}

static void print_refused(FILE *f, const Job *job, const Attempt *attempt)
{
        if (strcmp(attempt->why, "busy") == 0)
                fputs("another reset has to end first; leave no_wait out to wait for it", f);
        else if (job->result && job->result->message[0])
                fputs(job->result->message, f);
        else
                fprintf(f, "refused: %s", attempt->why);
}

static void print_attempt(FILE *f, const Job *job, const Attempt *attempt)
{
        fprintf(f, " %s: ", attempt->method);
        switch (attempt->outcome) {
        case ATTEMPT_UNUSABLE:
                print_unusable(f, attempt);
                break;
        case ATTEMPT_REFUSED:
                print_refused(f, job, attempt);
                break;
        case ATTEMPT_DENIED:
                fputs("not authorized", f);
                break;
        case ATTEMPT_GONE:
                fputs("the device was gone", f);
                break;
        case ATTEMPT_DONE:
                fprintf(f, "done, but the device is %s afterwards", verdict_to_string(attempt->verdict));
                break;
        case ATTEMPT_FAILED:
                fprintf(f, "%s, the device is %s", strerror(attempt->error),
                        verdict_to_string(attempt->verdict));
                break;
        }
        fputc('.', f);
}

static void print_attempts(FILE *f, const Job *job)
{
        for (size_t i = 0; i < job->n_attempts; i++)
                print_attempt(f, job, &job->attempts[i]);
        if (job->n_attempts == 0)
                fputs(" It has no method of that scope.", f);
}

static void print_actions(FILE *f, const Job *job)
{
        const char *action;
        unsigned cursor = 0;

        while ((action = action_next(job->actions, &cursor)))
                fprintf(f, " %s", action);
}

static bool polkit_failed(const Job *job)
{
        return job->n_attempts > 0 && job->attempts[job->n_attempts - 1].grant == GRANT_FAILED;
}

static void print_error(FILE *f, const Job *job, ResetError error)
{
        switch (error) {
        case RESET_OK:
                break;
        case RESET_ACCESS_DENIED:
                if (polkit_failed(job)) {
                        fputs("not authorized, since polkit could not be asked. Is polkit running?", f);
                        break;
                }
                fprintf(f,
                        "uid %u is not authorized to reset it by %s. An administrator can allow it with a "
                        "polkit "
                        "rule for",
                        job->request.uid, job->method);
                print_actions(f, job);
                fputc('.', f);
                break;
        case RESET_INTERACTION_REQUIRED:
                fputs("authentication is required. Call again with interactive authorization allowed, or "
                      "have an "
                      "administrator allow it with a polkit rule for",
                      f);
                print_actions(f, job);
                fputc('.', f);
                break;
        case RESET_INVALID_METHOD:
                fprintf(f,
                        "'%s' is not a reset method, nor one of any, function, link. GetMethods tells which "
                        "there "
                        "are.",
                        job->request.method);
                break;
        case RESET_NOT_USABLE:
                fputs("no reset can be done now.", f);
                print_attempts(f, job);
                break;
        case RESET_IN_USE:
                fputs("in use.", f);
                print_attempts(f, job);
                fputs(" Have its user let go of it, or for a host driver ask with option in_use.", f);
                break;
        case RESET_DEVICE_GONE:
                fputs("the device was removed, or another one has its address now. Nothing was written to "
                      "the new "
                      "one. Look at ListDevices and ask again.",
                      f);
                break;
        case RESET_DEVICE_DEAD:
                fputs("the device does not answer.", f);
                print_attempts(f, job);
                fputs(" Do not give it to anybody; it may need a cold power cycle.", f);
                break;
        case RESET_FAILED:
                fputs("the reset failed.", f);
                print_attempts(f, job);
                fputs(" Look at the checks and the kernel log, then try another method.", f);
                break;
        case RESET_TIMED_OUT:
                fputs(job_has_begun(job)
                              ? "the time given is over. The reset goes on and its device stays taken "
                                "until it ends; see ListJobs."
                              : "the time given was over before the reset could begin. Nothing was "
                                "written.",
                      f);
                break;
        case RESET_CANCELLED:
                fputs("the reset was cancelled before it began. Nothing was written.", f);
                break;
        case RESET_LIMITS_EXCEEDED:
                fputs("too many resets are waiting. Wait until some have ended and ask again.", f);
                break;
        }
}

char *job_error_text(const Job *job, ResetError error)
{
        char address[PCI_ADDRESS_STRING_MAX];
        _cleanup_free_ char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        fprintf(f, "%s: ", pci_address_format(&job->target.address, address));
        print_error(f, job, error);
        return fclose(f) == 0 ? steal_pointer(text) : NULL;
}
