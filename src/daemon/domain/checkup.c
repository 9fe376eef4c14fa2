/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/domain/checkup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static Verdict worse(Verdict verdict, const WorkerCheck *check)
{
        if (check->result != CHECK_FAILED || verdict == VERDICT_DEAD)
                return verdict;
        return strcmp(check->check, "answers") == 0 ? VERDICT_DEAD : VERDICT_DEGRADED;
}

void checkup_note(Device *device, const WorkerResult *result, const char *method, uint32_t job,
                  uint64_t now_realtime)
{
        Checkup checkup = {.job = job, .checked_at = now_realtime, .verdict = VERDICT_OK};

        for (size_t i = 0; i < result->n_checks; i++) {
                if (!pci_address_equal(&result->checks[i].device, &device->facts.address))
                        continue;
                checkup.verdict = worse(checkup.verdict, &result->checks[i]);
                if (checkup.n_checks < CHECKUP_CHECKS_MAX)
                        checkup.checks[checkup.n_checks++] = result->checks[i];
        }
        if (checkup.n_checks == 0)
                return;
        (void) snprintf(checkup.method, sizeof(checkup.method), "%s", method);
        if (!device->checkup)
                device->checkup = malloc(sizeof(Checkup));
        if (device->checkup)
                *device->checkup = checkup;
}

static WorkerMember member_of(const Device *device)
{
        return (WorkerMember){
                .address = device->facts.address,
                .inode = device->facts.inode,
                .vendor = device->facts.vendor,
                .device = device->facts.device,
                .class = device->facts.class,
        };
}

WorkerRequest checkup_request(const Device *device, WorkerMember *member)
{
        WorkerRequest request = {
                .operation = WORKER_HEALTH,
                .method = WORKER_HEALTH_METHOD,
                .members = member,
                .n_members = 1,
                .has_bridge = device->parent != NULL,
        };

        *member = member_of(device);
        if (device->parent)
                request.bridge = member_of(device->parent);
        return request;
}
