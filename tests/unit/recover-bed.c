/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "recover-bed.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void recover_bed_init(void)
{
        job_world_init();
        world_offer_all(&seen.world, A, "7");
        world_find(&seen.world, A)->parent->facts.can_reset_subordinate = true;
}

void check_error(ResetError error)
{
        ck_assert_str_eq(reset_error_to_string(seen.error), reset_error_to_string(error));
}

void check_state(const char *address, const char *state)
{
        ck_assert_str_eq(device_state_to_string(device_state(world_find(&seen.world, address))), state);
}

const char *reason_of(const char *address)
{
        const Quarantine *quarantine = world_find(&seen.world, address)->quarantine;

        return quarantine ? quarantine->record.reason : "";
}

void finds(WorkerOutcome outcome, Verdict verdict)
{
        WorkerResult *result = calloc(1, sizeof(WorkerResult));
        WorkerCheck *check = calloc(1, sizeof(WorkerCheck));

        ck_assert_ptr_nonnull(result);
        ck_assert_ptr_nonnull(check);
        *check = (WorkerCheck){.device = at(A), .result = verdict == VERDICT_OK ? CHECK_OK : CHECK_FAILED};
        (void) snprintf(check->check, sizeof(check->check), "%s",
                        verdict == VERDICT_DEAD ? "answers" : "command");
        *result = (WorkerResult){.outcome = outcome,
                                 .verdict = verdict,
                                 .written = outcome != WORKER_REFUSED,
                                 .checks = check,
                                 .n_checks = 1};
        if (outcome == WORKER_REFUSED)
                (void) snprintf(result->why, sizeof(result->why), WORKER_WHY_DEAD);
        job_worker_done(seen.running[seen.n_ran - 1], result);
}

void find_dead(void)
{
        bool is_function = strstr(seen.ran[seen.n_ran - 1], "flr") ||
                           strstr(seen.ran[seen.n_ran - 1], "acpi");

        finds(is_function ? WORKER_REFUSED : WORKER_DONE, VERDICT_DEAD);
}

const char *rungs_taken(void)
{
        static char text[512];
        size_t n = 0;

        text[0] = '\0';
        for (size_t i = 0; i < seen.n_ran; i++)
                n += (size_t) snprintf(text + n, sizeof(text) - n, "%s%s", i > 0 ? " " : "",
                                       strchr(seen.ran[i], ' ') + 1);
        return text;
}
