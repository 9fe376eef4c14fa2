/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The other worker may have been killed at any instant: before its first step, between any two, or in the
 * middle of one. So nothing is taken for granted, and each setting is compared with what it is to be. What
 * the administrator has set meanwhile is not like anything that a worker leaves behind, and stays.
 *
 *   devices   may be away: the slot is switched on, the bus is scanned
 *   bridge    that was kept awake: it may sleep again
 *   settings  of those that were away, as after any reset that takes devices away (come-back.c)
 *   list      of reset methods: the target's, if it is the one method alone
 *   drivers   of members that had one that was to be taken off, if they have none
 *
 * How a device was before nobody has told, so it is compared with what the kernel knows of it (checkup.c).
 */

#include "worker/mend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/cleanup.h"
#include "worker/checkup.h"
#include "worker/clock.h"
#include "worker/come-back.h"
#include "worker/method-list.h"
#include "worker/rebind.h"
#include "worker/way.h"

#define VERIFY_USEC (1 * USEC_PER_SEC)
#define STEP_USEC   (100 * USEC_PER_MSEC)

DEFINE_CLEANUP(WorkerResult *, worker_result_free);
DEFINE_CLEANUP(ComeBack *, come_back_free);

/* One that is not there is left closed. */
static void open_device(const Reset *reset, const WorkerMember *expected, Device *ret)
{
        *ret = (Device){.fd = -EBADF};
        if (device_open(reset->devices_fd, expected, ret) < 0) {
                *ret = (Device){.fd = -EBADF, .expected = expected};
                (void) pci_address_format(&expected->address, ret->name);
        }
}

static void open_devices(Reset *reset)
{
        const WorkerRequest *request = reset->request;

        for (size_t i = 0; i < request->n_members; i++)
                open_device(reset, &request->members[i], &reset->members[i]);
        reset->n_open = request->n_members;
        if (request->has_bridge)
                open_device(reset, &request->bridge, &reset->bridge);
}

static bool any_is_away(const Reset *reset)
{
        for (size_t i = 0; i < reset->n_open; i++)
                if (device_is_gone(&reset->members[i]))
                        return true;
        return false;
}

/* By a method of function scope no device goes and comes: who is there instead is somebody else. */
static void follow_devices(Reset *reset, ComeBack *state)
{
        if (reset->way->bring_back)
                reset->way->bring_back(reset);
        if (reset->way->removes_devices && any_is_away(reset))
                come_back_follow(reset, state, true);
        else if (reset_method_scope(reset->request->method) == RESET_SCOPE_LINK)
                come_back_watch(reset, state);
}

static void restore_list(Reset *reset, const WorkerRecord *record)
{
        const Device *target = &reset->members[0];
        ResetMethodList old;

        if (target->has_returned)
                return;
        reset->result->reset_method = LIST_UNTOUCHED;
        if (!record->has_saved_reset_method || reset_method_list_parse(record->saved_reset_method, &old) < 0)
                return;
        reset->result->reset_method = method_list_restore(target, reset->request->method, &old);
        if (reset->result->reset_method >= LIST_DEFAULT)
                reset_add_message(reset, "%s: its list of reset methods could not be put back; it was: %s",
                                  target->name, record->saved_reset_method);
}

static void check_absent(const Device *member, WorkerResult *result)
{
        health_add_check(result, &member->expected->address, "answers", CHECK_FAILED, "",
                         member->is_stranger ? "another device" : "gone");
}

/* Another driver than before is somebody's wish; none at all may be the other worker's doing. */
static void check_driver(const Device *member, WorkerResult *result)
{
        const char *wanted = member->expected->driver;
        char driver[WORKER_DRIVER_MAX];

        if (wanted[0] == '\0' || device_read_driver(member, driver, sizeof(driver)) < 0)
                return;
        health_add_check(result, &member->expected->address, "driver",
                         member->driver_is_off    ? CHECK_SKIPPED
                         : driver[0] == '\0'      ? CHECK_FAILED
                         : strcmp(driver, wanted) ? CHECK_SKIPPED
                                                  : CHECK_OK,
                         wanted, member->driver_is_off ? "taken off" : driver);
}

static void look_once(Reset *reset)
{
        WorkerResult *result = reset->result;

        result->n_checks = 0;
        for (size_t i = 0; i < reset->n_open; i++) {
                const Device *member = &reset->members[i];

                if (device_is_gone(member) || checkup_member(member, result) < 0)
                        check_absent(member, result);
                else
                        check_driver(member, result);
        }
        if (reset->request->has_bridge && !device_is_gone(&reset->bridge))
                (void) checkup_bridge(&reset->bridge, result);
        result->verdict = health_judge(result);
}

/* A device may need some time after a reset, of which nobody knows when it was. */
static void look(Reset *reset)
{
        uint64_t begun = now_usec();

        for (look_once(reset); reset->result->verdict != VERDICT_OK && now_usec() - begun < VERIFY_USEC;
             look_once(reset))
                sleep_usec(STEP_USEC);
}

/* What came between. */
static const char *what_happened(const Reset *reset)
{
        return reset->request->machine_stopped ? "the machine went down" : "the worker died";
}

static void explain(Reset *reset)
{
        static const char *const texts[] = {
                [VERDICT_UNVERIFIED] = "answers, and is what it was",
                [VERDICT_OK] = "answers, and is what it was",
                [VERDICT_DEGRADED] = "answers, and is not what it was",
                [VERDICT_DEAD] = "or another one of its set does not answer",
        };

        reset_add_message(reset,
                          "%s: %s while it was reset by %s; whether it was reset is unknown. The device %s",
                          reset_target_name(reset), what_happened(reset), reset->request->method,
                          texts[reset->result->verdict]);
}

static void run(Reset *reset, const WorkerRecord *record, ComeBack *state)
{
        WorkerResult *result = reset->result;

        open_devices(reset);
        rebind_recall(reset);
        follow_devices(reset, state);
        if (device_is_gone(&reset->members[0])) {
                (void) reset_end(reset, WORKER_GONE, "", ENODEV,
                                 "%s: %s while it was reset by %s, and the device is gone",
                                 reset_target_name(reset), what_happened(reset), reset->request->method);
                /* Something may have been, and of the other members nobody knows what it has done. */
                result->written = true;
                return;
        }
        restore_list(reset, record);
        reset->events->phase(WORKER_EVENT_VERIFYING, reset->events->userdata);
        sleep_usec(reset->request->settle_usec);
        look(reset);
        if (rebind_again(reset))
                look(reset);

        result->outcome = WORKER_FAILED;
        result->error = EPIPE;
        (void) snprintf(result->why, sizeof(result->why), "%s",
                        reset->request->machine_stopped ? WORKER_WHY_STOPPED : WORKER_WHY_DIED);
        result->written = true;
        explain(reset);
        /* That it is well is no proof of a reset. */
        if (result->verdict == VERDICT_OK)
                result->verdict = VERDICT_UNVERIFIED;
}

int mend_run(int devices_fd, const WorkerRequest *request, const WorkerRecord *record,
             const ResetEvents *events, WorkerResult **ret)
{
        _cleanup_(cleanup_come_back_free)
                ComeBack *state = come_back_recall(record->saved, record->n_saved, request->n_members);
        _cleanup_(reset_done) Reset reset;
        int r = reset_init(&reset, devices_fd, request, events);

        if (r < 0)
                return r;
        if (!state)
                return -ENOMEM;
        reset.bridge_sleeps = record->bridge_sleeps;

        run(&reset, record, state);

        *ret = steal_pointer(reset.result);
        return 0;
}
