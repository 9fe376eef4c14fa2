/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/bus/job-facts.h"

#include <string.h>

#include "daemon/bus/holders.h"
#include "daemon/bus/message.h"
#include "daemon/bus/obstacles.h"
#include "daemon/bus/path.h"
#include "shared/cleanup.h"

int append_last_reset(sd_bus_message *message, const LastReset *last)
{
        int r = sd_bus_message_open_container(message, 'a', "{sv}");

        if (r >= 0 && last->valid) {
                r = append_entry(message, "method", "s", last->method);
                if (r >= 0)
                        r = append_entry(message, "verdict", "s", last->verdict);
                if (r >= 0)
                        r = append_entry(message, "duration_usec", "t", last->duration_usec);
                if (r >= 0)
                        r = append_entry(message, "finished_at", "t", last->finished_at);
                if (r >= 0)
                        r = append_entry(message, "job", "u", last->job);
                if (r >= 0 && last->by_policy)
                        r = append_entry(message, "by_policy", "b", 1);
        }
        return r < 0 ? r : sd_bus_message_close_container(message);
}

int append_job_row(sd_bus_message *message, const Job *job)
{
        char address[PCI_ADDRESS_STRING_MAX], path[OBJECT_PATH_MAX];
        int r = sd_bus_message_open_container(message, 'a', "{sv}");

        if (r >= 0)
                r = append_entry(message, "id", "u", job->id);
        if (r >= 0)
                r = append_entry(message, "job", "o", job_path(job->id, path));
        if (r >= 0)
                r = append_entry(message, "device", "o", device_path(&job->target.address, path));
        if (r >= 0)
                r = append_entry(message, "address", "s", pci_address_format(&job->target.address, address));
        if (r >= 0)
                r = append_entry(message, "method", "s", job->method);
        if (r >= 0)
                r = append_entry(message, "phase", "s", job_phase_to_string(job->phase));
        if (r >= 0)
                r = append_entry(message, "uid", "u", job->request.uid);
        if (r >= 0)
                r = append_entry(message, "queued_at", "t", job->queued_at);
        if (r >= 0)
                r = append_entry(message, "started_at", "t", job->started_at);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

static int append_paths(sd_bus_message *message, const Job *job)
{
        char path[OBJECT_PATH_MAX];
        int r = 0;

        for (size_t i = 0; i < job->n_members && r >= 0; i++)
                r = sd_bus_message_append(message, "o", device_path(&job->members[i].address, path));
        return r;
}

int append_reset_set(sd_bus_message *message, const Job *job)
{
        int r = sd_bus_message_open_container(message, 'a', "o");

        if (r >= 0)
                r = append_paths(message, job);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

/* The last part of an error name of ours for what failed in one attempt. */
static const char *attempt_error(const Attempt *attempt)
{
        switch (attempt->outcome) {
        case ATTEMPT_DENIED:
                return "PolicyDenied";
        case ATTEMPT_UNUSABLE:
        case ATTEMPT_REFUSED:
                if (attempt->unusable & WHY_POLICY_MASK)
                        return "PolicyDenied";
                return attempt->verdict == VERDICT_DEAD ? "DeviceDead" : "NotUsable";
        case ATTEMPT_GONE:
                return "DeviceGone";
        case ATTEMPT_DONE:
        case ATTEMPT_FAILED:
                break;
        }
        if (attempt->verdict == VERDICT_DEAD)
                return "DeviceDead";
        return attempt->outcome == ATTEMPT_DONE && attempt->verdict == VERDICT_OK ? "" : "ResetFailed";
}

static int append_attempt(sd_bus_message *message, const Attempt *attempt)
{
        char why[256];
        int r = sd_bus_message_open_container(message, 'a', "{sv}");

        attempt_why(attempt, why, sizeof(why));
        if (r >= 0)
                r = append_entry(message, "method", "s", attempt->method);
        if (r >= 0)
                r = append_entry(message, "outcome", "s", attempt_outcome_to_string(attempt->outcome));
        if (r >= 0)
                r = append_entry(message, "why", "s", why);
        if (r >= 0)
                r = append_entry(message, "rule", "s", attempt->rule);
        if (r >= 0)
                r = append_entry(message, "errno", "i", attempt->error);
        if (r >= 0)
                r = append_entry(message, "error", "s", attempt_error(attempt));
        if (r >= 0)
                r = append_entry(message, "verdict", "s", verdict_to_string(attempt->verdict));
        if (r >= 0)
                r = append_entry(message, "tries", "u", attempt->n_tries);
        if (r >= 0)
                r = append_entry(message, "started_usec", "t", attempt->started_usec);
        if (r >= 0)
                r = append_entry(message, "finished_usec", "t", attempt->finished_usec);
        if (r >= 0)
                r = append_entry(message, "reset_method", "s",
                                 list_restored_to_string(attempt->reset_method));
        return r < 0 ? r : sd_bus_message_close_container(message);
}

static int append_attempts(sd_bus_message *message, const Job *job)
{
        int r = open_array_entry(message, "attempts", "a{sv}");

        for (size_t i = 0; i < job->n_attempts && r >= 0; i++)
                r = append_attempt(message, &job->attempts[i]);
        return r < 0 ? r : close_array_entry(message);
}

int append_check(sd_bus_message *message, const WorkerCheck *check)
{
        char path[OBJECT_PATH_MAX];
        int r = sd_bus_message_open_container(message, 'a', "{sv}");

        if (r >= 0)
                r = append_entry(message, "device", "o", device_path(&check->device, path));
        if (r >= 0)
                r = append_entry(message, "check", "s", check->check);
        if (r >= 0)
                r = append_entry(message, "result", "s", check_result_to_string(check->result));
        if (r >= 0)
                r = append_entry(message, "before", "s", check->before);
        if (r >= 0)
                r = append_entry(message, "after", "s", check->after);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

static int append_checks(sd_bus_message *message, const Job *job)
{
        int r = open_array_entry(message, "checks", "a{sv}");

        for (size_t i = 0; job->result && i < job->result->n_checks && r >= 0; i++)
                r = append_check(message, &job->result->checks[i]);
        return r < 0 ? r : close_array_entry(message);
}

static int append_set_entry(sd_bus_message *message, const Job *job)
{
        int r = open_array_entry(message, "reset_set", "o");

        if (r >= 0)
                r = append_paths(message, job);
        return r < 0 ? r : close_array_entry(message);
}

/* Who was in the way; after a success nobody is. */
static int append_obstacles(sd_bus_message *message, const Job *job)
{
        size_t n = job->error == RESET_OK ? 0 : job->n_holders;
        int r = open_array_entry(message, "holders", "a{sv}");

        if (r >= 0)
                r = append_holders(message, job->holders, n, job->request.uid);
        return r < 0 ? r : close_array_entry(message);
}

/* Whose leases were. */
static int append_foreign_owners(sd_bus_message *message, const Job *job)
{
        _cleanup_free_ Device **devices = NULL;
        size_t n = 0;
        int r = job->error == RESET_LEASED ? obstacles_leased(job, &devices, &n) : 0;

        if (r >= 0)
                r = open_array_entry(message, "owners", "a{sv}");
        for (size_t i = 0; i < n && r >= 0; i++)
                r = append_owner(message, devices[i]);
        return r < 0 ? r : close_array_entry(message);
}

static int append_inhibitors(sd_bus_message *message, const Job *job, const Claims *claims)
{
        _cleanup_free_ const Claim **inhibitors = NULL;
        size_t n = 0;
        int r = job->error == RESET_INHIBITED ? obstacles_inhibitors(job, claims, &inhibitors, &n) : 0;

        if (r >= 0)
                r = open_array_entry(message, "inhibitors", "a{sv}");
        for (size_t i = 0; i < n && r >= 0; i++)
                r = append_claim(message, &inhibitors[i]->record);
        return r < 0 ? r : close_array_entry(message);
}

int open_job_result(sd_bus_message *message, const Job *job, const Claims *claims)
{
        int r = sd_bus_message_open_container(message, 'a', "{sv}");

        if (r >= 0)
                r = append_entry(message, "method", "s", job_method_used(job));
        if (r >= 0)
                r = append_entry(message, "verdict", "s", verdict_to_string(job_verdict(job)));
        if (r >= 0)
                r = append_entry(message, "duration_usec", "t", job_duration_usec(job));
        if (r >= 0)
                r = append_set_entry(message, job);
        if (r >= 0)
                r = append_attempts(message, job);
        if (r >= 0)
                r = append_checks(message, job);
        if (r >= 0)
                r = append_obstacles(message, job);
        if (r >= 0)
                r = append_foreign_owners(message, job);
        if (r >= 0)
                r = append_inhibitors(message, job, claims);
        if (r >= 0 && job_is_recovery(job))
                r = append_entry(message, "needs_power_cycle", "b", (int) job->needs_power_cycle);
        return r < 0 ? r : append_entry(message, "job", "u", job->id);
}

int close_job_result(sd_bus_message *message, int64_t history_id)
{
        int r = append_entry(message, "history_id", "x", history_id);

        return r < 0 ? r : sd_bus_message_close_container(message);
}
