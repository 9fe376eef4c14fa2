/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "release-bed.h"

#include <check.h>
#include <string.h>

#include "daemon/domain/cleanliness.h"

const PolicySettings reset_on_release = {.set = 1U << POLICY_ON_RELEASE,
                                         .on_release = POLICY_ON_RELEASE_RESET};

void release_bed_init(void)
{
        job_world_init();
        job_world_rule(NULL, &reset_on_release);
}

Device *device_of(const char *address)
{
        return world_find(&seen.world, address);
}

void lease(const char *id, const char *addresses)
{
        ck_assert_int_eq(world_claim(&seen.world, seen.claims, id, CLAIM_LEASE, ALICE, addresses), 0);
        job_world_settle();
}

void let_go_of(const char *id)
{
        claims_remove(seen.claims, id);
        job_world_settle();
}

AdmissionObstacle obstacle(const char *address)
{
        return job_world_judge(CLAIM_LEASE, ALICE, address).obstacle;
}

void check_free(const char *address, bool is_clean)
{
        job_world_settle();
        ck_assert_int_eq(obstacle(address), ADMISSION_FREE);
        ck_assert_ptr_null(device_of(address)->release);
        ck_assert_int_eq(device_of(address)->cleanliness == CLEANLINESS_CLEAN, is_clean);
}

void check_taken(const char *address)
{
        ck_assert_int_eq(obstacle(address), ADMISSION_RELEASING);
}

void check_waits(const char *address, const char *what)
{
        check_taken(address);
        ck_assert_int_eq(device_of(address)->release->state, RELEASE_WAITS);
        ck_assert_msg(strstr(device_of(address)->release->waits, what), "it waits for: %s",
                      device_of(address)->release->waits);
}

void check_put_away(const char *address, const char *reason)
{
        const Quarantine *quarantine;

        job_world_settle();
        quarantine = device_of(address)->quarantine;
        ck_assert_ptr_nonnull(quarantine);
        ck_assert_str_eq(quarantine_cause_to_string(quarantine->record.cause), "unclean");
        ck_assert_uint_eq(quarantine->record.uid, ALICE);
        ck_assert_msg(strstr(quarantine->record.reason, reason), "reason: %s", quarantine->record.reason);
        ck_assert_ptr_null(device_of(address)->release);
        ck_assert_ptr_null(jobs_next(seen.jobs, NULL));
        ck_assert_uint_eq(seen.n_stored, 0);
}

/* So many workers were sent out, the last one with this. */
void check_ran(size_t n, const char *what)
{
        ck_assert_uint_eq(seen.n_ran, n);
        if (n > 0)
                ck_assert_str_eq(seen.ran[n - 1], what);
}

void last_is(WorkerOutcome outcome, int error, Verdict verdict)
{
        worker_says(seen.n_ran - 1, outcome, error, verdict);
        job_world_settle();
}

void last_is_well(void)
{
        last_is(WORKER_DONE, 0, VERDICT_OK);
}

/* A card whose functions have no method of their own that is worth anything, but a port that resets both. */
void make_pair(const char *methods)
{
        device_of(PORT)->facts.can_reset_subordinate = true;
        memset(&device_of(A)->live.methods, 0, sizeof(ResetMethodList));
        world_add(&seen.world, SIBLING, PORT, "", methods);
        ck_assert_int_eq(reset_method_list_parse(methods, &device_of(A)->live.methods), 0);
        /* What no rung may do. */
        ck_assert(!device_of(A)->facts.can_be_removed);
}
