/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A reset is a row of steps. Each returns true to go on; one that returns false has written into the result
 * why it ends here. What differs from method to method stands in the ways (way.h). All memory is taken
 * before the first write, so that from then on nothing can keep the worker from putting things back and from
 * telling what happened.
 *
 * The order of the steps is the point of this file: everything is pinned before anything is judged,
 * everything is judged before anything is written, who uses the devices is looked at once more just before
 * each write, and what was changed is put back last, since that can make the kernel probe a device that may
 * need the time before.
 */

#include "worker/reset.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/cleanup.h"
#include "worker/checkup.h"
#include "worker/clock.h"
#include "worker/come-back.h"
#include "worker/firmware.h"
#include "worker/image.h"
#include "worker/rebind.h"
#include "worker/way.h"

/* How long a device may take to be as it was, after its settling time, and how often it is looked at. */
#define VERIFY_USEC (1 * USEC_PER_SEC)
/* And how long a driver that sets it up again: a controller tells itself how long it takes (CAP.TO), tens of
 * seconds maybe, and a link is negotiated for some. */
#define PROBE_USEC           (30 * USEC_PER_SEC)
#define VERIFY_STEP_USEC     UINT64_C(10000)
#define VERIFY_STEP_MAX_USEC UINT64_C(100000)

/* How long to wait before a try when locks were taken. */
#define RETRY_STEP_USEC     UINT64_C(10000)
#define RETRY_STEP_MAX_USEC UINT64_C(500000)

DEFINE_CLEANUP(WorkerResult *, worker_result_free);

const Way *way_find(const char *method)
{
        static const struct {
                const char *method;
                const Way *way;
        } ways[] = {
                {RESET_METHOD_SUBORDINATE, &way_subordinate},
                {RESET_METHOD_SLOT, &way_slot},
                {RESET_METHOD_RESCAN, &way_rescan},
                {RESET_METHOD_VFIO_HOT, &way_vfio_hot},
                {RESET_METHOD_THAW, &way_thaw},
                {RESET_METHOD_DO_FLR, &way_pciback},
                {RESET_METHOD_RESET_DEVICE, &way_pciback},
        };

        for (size_t i = 0; i < ELEMENTSOF(ways); i++)
                if (strcmp(ways[i].method, method) == 0)
                        return ways[i].way;
        return &way_kernel;
}

static void set_message(WorkerResult *result, const char *format, va_list arguments)
{
        (void) vsnprintf(result->message, sizeof(result->message), format, arguments);
}

bool reset_end(Reset *reset, WorkerOutcome outcome, const char *why, int error, const char *format, ...)
{
        WorkerResult *result = reset->result;
        va_list arguments;

        result->outcome = outcome;
        result->error = error;
        (void) snprintf(result->why, sizeof(result->why), "%s", why);

        va_start(arguments, format);
        set_message(result, format, arguments);
        va_end(arguments);
        return false;
}

bool reset_end_gone(Reset *reset, const Device *device)
{
        return reset_end(reset, WORKER_GONE, "", ENODEV,
                         "%s: the device is gone, or another one has taken its place; nothing was reset",
                         device->name);
}

bool reset_end_locked(Reset *reset)
{
        return reset_end(reset, WORKER_REFUSED, WORKER_WHY_LOCKED, EAGAIN,
                         "%s: somebody else, who resets or binds a device of the set, has kept it locked; "
                         "%s has done nothing, and can be tried again",
                         reset_target_name(reset), reset->request->method);
}

void reset_add_message(Reset *reset, const char *format, ...)
{
        WorkerResult *result = reset->result;
        size_t used = strlen(result->message);
        va_list arguments;

        if (used > 0)
                used += (size_t) snprintf(result->message + used, sizeof(result->message) - used, "; ");
        if (used >= sizeof(result->message))
                return;
        va_start(arguments, format);
        (void) vsnprintf(result->message + used, sizeof(result->message) - used, format, arguments);
        va_end(arguments);
}

const char *reset_target_name(const Reset *reset)
{
        return reset->members[0].name;
}

bool reset_allocate_state(Reset *reset, size_t size)
{
        reset->state = calloc(1, size);
        return reset->state || reset_end(reset, WORKER_REFUSED, WORKER_WHY_INTERNAL, ENOMEM,
                                         "%s: out of memory", reset_target_name(reset));
}

static bool open_device(Reset *reset, const WorkerMember *expected, Device *ret)
{
        char name[PCI_ADDRESS_STRING_MAX];
        int r;

        r = device_open(reset->devices_fd, expected, ret);
        if (r >= 0)
                return true;

        (void) pci_address_format(&expected->address, name);
        if (r == -ENODEV)
                return reset_end(
                        reset, WORKER_GONE, "", ENODEV,
                        "%s: the device is gone, or another one has taken its place; nothing was reset",
                        name);
        return reset_end(reset, WORKER_REFUSED, WORKER_WHY_UNREADABLE, -r,
                         "%s: the device cannot be opened: %s", name, strerror(-r));
}

static bool open_devices(Reset *reset)
{
        const WorkerRequest *request = reset->request;

        for (size_t i = 0; i < request->n_members; i++) {
                if (!open_device(reset, &request->members[i], &reset->members[i]))
                        return false;
                reset->n_open++;
        }
        return !request->has_bridge || open_device(reset, &request->bridge, &reset->bridge);
}

static void read_health(const Reset *reset, Health *health)
{
        for (size_t i = 0; i < reset->n_open; i++)
                health_read_device(&reset->members[i], &health->members[i]);

        health->has_bridge = reset->request->has_bridge;
        if (health->has_bridge)
                health_read_device(&reset->bridge, &health->bridge);
}

static bool look_before(Reset *reset)
{
        read_health(reset, reset->before);

        for (size_t i = 0; i < reset->n_open; i++) {
                int error = reset->before->members[i].error;

                if (error == -ENODEV)
                        return reset_end_gone(reset, &reset->members[i]);
                if (error < 0)
                        return reset_end(reset, WORKER_REFUSED, WORKER_WHY_UNREADABLE, -error,
                                         "%s: its configuration space cannot be read: %s",
                                         reset->members[i].name, strerror(-error));
        }
        if (reset->request->has_bridge && reset->before->bridge.error == -ENODEV)
                return reset_end_gone(reset, &reset->bridge);
        firmware_read(&reset->members[0], reset->result->firmware, sizeof(reset->result->firmware));
        return true;
}

/* The kernel would do it, and wipe the windows behind which all devices below the bridge live. */
static bool refuse_bridge(Reset *reset)
{
        const DeviceHealth *health = &reset->before->members[0];
        bool is_bridge = device_has_bridge_class(&reset->members[0]);

        if (health_answers(health) && (health->header_type & 0x7f) != PCI_HEADER_TYPE_NORMAL)
                is_bridge = true;
        return !is_bridge || reset_end(reset, WORKER_REFUSED, WORKER_WHY_BRIDGE, 0,
                                       "%s: the device is a bridge", reset_target_name(reset));
}

/* The kernel saves what a dead target reads and writes it back over whatever comes to life. A reset of the
 * link or of power may be tried all the same, it is the cure; and so may the reset of a physical function
 * whose virtual ones are dead, since of those nothing is saved. What is thawed does not answer before. */
static bool refuse_dead(Reset *reset)
{
        const DeviceHealth *health = &reset->before->members[0];
        const char *method = reset->request->method;

        if (health_answers(health) || reset_method_scope(method) != RESET_SCOPE_FUNCTION ||
            strcmp(method, RESET_METHOD_THAW) == 0)
                return true;

        health_add_check(reset->result, &reset->request->members[0].address, "answers", CHECK_FAILED,
                         health_answer_to_string(health), "");
        reset->result->verdict = VERDICT_DEAD;
        return reset_end(
                reset, WORKER_REFUSED, WORKER_WHY_DEAD, 0,
                "%s: the device does not answer (its configuration space reads %s), so %s cannot help it",
                reset_target_name(reset), health_answer_to_string(health), method);
}

/* From here on `before` is before the first method of the job. */
static bool recall_images(Reset *reset)
{
        image_begin(reset);
        return true;
}

static const char *describe_failure(int error)
{
        switch (error) {
        case ENOTTY:
                return "the method did not apply, or the device did not come back in time";
        case EINVAL:
                return "the device is not in a state in which the method works";
        default:
                return strerror(error);
        }
}

bool reset_retry(Reset *reset, int (*try)(Reset *reset), bool (*again)(Reset *reset), int *ret)
{
        uint64_t deadline = now_usec() + reset->request->retry_usec, step = RETRY_STEP_USEC;

        for (;;) {
                *ret = try(reset);
                if (*ret != -EAGAIN || now_usec() + step > deadline)
                        return true;
                sleep_usec(step);
                step = step * 2 < RETRY_STEP_MAX_USEC ? step * 2 : RETRY_STEP_MAX_USEC;
                if (again && !again(reset))
                        return false;
        }
}

static int write_and_measure(Reset *reset)
{
        int r;

        reset->result->n_tries++;
        reset->started_usec = now_usec();
        r = reset->way->write(reset);
        reset->finished_usec = now_usec();
        return r;
}

static bool write_reset(Reset *reset)
{
        const Way *way = reset->way;
        WorkerResult *result = reset->result;
        int r;

        if (!way->again)
                r = write_and_measure(reset);
        else if (!reset_retry(reset, write_and_measure, way->again, &r))
                return false;

        if (r == -EAGAIN && way->again)
                return reset_end_locked(reset);

        /* The kernel turns a write to a removed device away at the door (kernfs_get_active). A device that
         * is still there said -ENODEV for a reason of its own. */
        if (r == -ENODEV && way->written_to && device_is_gone(way->written_to(reset)))
                return reset_end_gone(reset, way->written_to(reset));

        result->written = true;
        result->started_usec = reset->started_usec;
        result->finished_usec = reset->finished_usec;
        result->outcome = WORKER_DONE;
        if (r < 0)
                (void) reset_end(reset, WORKER_FAILED, "", -r, "%s: reset by %s failed: %s",
                                 reset_target_name(reset), reset->request->method, describe_failure(-r));
        return true;
}

/* Says in the message what the worst failed check found. */
static void explain_checks(Reset *reset)
{
        WorkerResult *result = reset->result;
        const WorkerCheck *worst = NULL;
        char name[PCI_ADDRESS_STRING_MAX];

        for (size_t i = 0; i < result->n_checks; i++) {
                const WorkerCheck *check = &result->checks[i];

                if (check->result != CHECK_FAILED)
                        continue;
                if (!worst || (strcmp(check->check, "answers") == 0 && strcmp(worst->check, "answers") != 0))
                        worst = check;
        }
        if (!worst)
                return;

        (void) pci_address_format(&worst->device, name);
        if (strcmp(worst->check, "answers") == 0)
                reset_add_message(reset,
                                  "%s: the device does not answer after %s: its configuration space is %s",
                                  name, reset->request->method, worst->after);
        else
                reset_add_message(reset, "%s: the device is not as before %s: %s was '%s' and is '%s'", name,
                                  reset->request->method, worst->check, worst->before, worst->after);
}

static WorkerCheck *find_check(WorkerResult *result, const PciAddress *device, const char *check)
{
        for (size_t i = 0; i < result->n_checks; i++)
                if (pci_address_equal(&result->checks[i].device, device) &&
                    strcmp(result->checks[i].check, check) == 0)
                        return &result->checks[i];
        return NULL;
}

/* As before is not well if it was lost before. */
static void look_for_lost_bars(Reset *reset)
{
        WorkerResult *result = reset->result;

        for (size_t i = 0; i < reset->n_open; i++) {
                char expected[WORKER_VALUE_MAX], found[WORKER_VALUE_MAX];
                WorkerCheck *check = find_check(result, &reset->request->members[i].address, "bars");

                if (!check || check->result == CHECK_FAILED || device_has_bridge_class(&reset->members[i]) ||
                    !checkup_has_lost_bars(&reset->members[i], &reset->after->members[i], expected, found))
                        continue;
                check->result = CHECK_FAILED;
                memcpy(check->before, expected, sizeof(check->before));
                memcpy(check->after, found, sizeof(check->after));
                result->verdict = health_judge(result);
        }
}

static void verify(Reset *reset)
{
        WorkerResult *result = reset->result;
        uint64_t begun = now_usec(), step = VERIFY_STEP_USEC;

        for (;;) {
                uint64_t passed;
                bool pending;

                read_health(reset, reset->after);
                health_compare(reset->request, reset->before, reset->after, result);
                look_for_lost_bars(reset);
                pending = health_is_pending(reset->before, reset->after, result);
                passed = now_usec() - begun;
                if (result->verdict == VERDICT_OK || passed >= (pending ? PROBE_USEC : VERIFY_USEC))
                        break;
                sleep_usec(step);
                step = step * 2 < VERIFY_STEP_MAX_USEC ? step * 2 : VERIFY_STEP_MAX_USEC;
        }
}

/* The write has returned. */
static void finish(Reset *reset)
{
        WorkerResult *result = reset->result;

        reset->events->phase(WORKER_EVENT_VERIFYING, reset->events->userdata);
        sleep_usec(reset->request->settle_usec);
        if (reset->way->follow)
                reset->way->follow(reset);
        if (reset->come_back)
                come_back_watch(reset, reset->come_back);
        verify(reset);
        rebind_on(reset, true);

        /* A device that is as it was before may be so because nothing happened to it. */
        if (result->error == ENOTTY && result->verdict == VERDICT_OK)
                result->verdict = VERDICT_UNVERIFIED;
        explain_checks(reset);
}

/* Everything that is changed before the write itself, with a look before each. */
static bool begin(Reset *reset)
{
        return reset_check_use(reset) && rebind_off(reset) && reset_check_use(reset) &&
               (!reset->way->begin || reset->way->begin(reset));
}

/* The ways that remove devices themselves have their own. */
static bool prepare_for_hotplug(Reset *reset)
{
        return reset->way->removes_devices ||
               reset_method_scope(reset->request->method) != RESET_SCOPE_LINK ||
               come_back_prepare(reset, &reset->come_back);
}

static void run(Reset *reset)
{
        const Way *way = reset->way;

        if (!open_devices(reset) || !way->open(reset) || !reset_check_use(reset) || !look_before(reset) ||
            !refuse_bridge(reset) || !refuse_dead(reset) || !recall_images(reset) ||
            !prepare_for_hotplug(reset) || (way->prepare && !way->prepare(reset)) ||
            !reset_check_use(reset) ||
            !reset_check_holders(reset, !way->removes_devices && !rebind_is_needed(reset)))
                return;

        reset->events->phase(WORKER_EVENT_RESETTING, reset->events->userdata);
        if (begin(reset) && write_reset(reset))
                finish(reset);
        else
                rebind_on(reset, false);
        if (way->put_back)
                way->put_back(reset);
}

int reset_init(Reset *ret, int devices_fd, const WorkerRequest *request, const ResetEvents *events)
{
        *ret = (Reset){
                .request = request,
                .events = events,
                .way = way_find(request->method),
                .devices_fd = devices_fd,
                .bridge.fd = -EBADF,
                .members = calloc(request->n_members, sizeof(Device)),
                .before = health_new(request->n_members),
                .after = health_new(request->n_members),
                .result = calloc(1, sizeof(WorkerResult)),
        };
        if (!ret->members || !ret->before || !ret->after || !ret->result)
                return -ENOMEM;
        return health_prepare_result(request, ret->result);
}

void reset_done(Reset *reset)
{
        if (reset->state) {
                if (reset->way->done)
                        reset->way->done(reset);
                free(reset->state);
        }
        come_back_free(reset->come_back);
        holders_release(&reset->claims);
        for (size_t i = 0; i < reset->n_open; i++)
                device_close(&reset->members[i]);
        device_close(&reset->bridge);
        free(reset->members);
        health_free(reset->before);
        health_free(reset->after);
        worker_result_free(reset->result);
}

/* Which cards they were. Of one that did not answer before, which it is now. */
static void tell_serials(const Reset *reset)
{
        WorkerResult *result = reset->result;

        for (size_t i = 0; i < reset->n_open; i++) {
                const char *serial = reset->before->members[i].serial;
                WorkerSerial *told = &result->serials[result->n_serials];

                if (serial[0] == '\0')
                        serial = reset->after->members[i].serial;
                if (serial[0] == '\0')
                        continue;
                told->device = reset->request->members[i].address;
                memcpy(told->serial, serial, sizeof(told->serial));
                result->n_serials++;
        }
}

int reset_run(int devices_fd, const WorkerRequest *request, const int *group_fds, const ResetEvents *events,
              WorkerResult **ret)
{
        _cleanup_(reset_done) Reset reset;
        int r = reset_init(&reset, devices_fd, request, events);

        if (r < 0)
                return r;
        reset.group_fds = group_fds;
        reset.result->serials = calloc(request->n_members, sizeof(WorkerSerial));
        reset.result->images = calloc(request->n_members + 1, sizeof(WorkerImage));
        if (!reset.result->serials || !reset.result->images)
                return -ENOMEM;

        run(&reset);
        tell_serials(&reset);

        *ret = steal_pointer(reset.result);
        return 0;
}

WorkerResult *reset_refusal_new(const char *why, int error, const char *message)
{
        WorkerResult *result = calloc(1, sizeof(*result));

        if (!result)
                return NULL;

        result->outcome = WORKER_REFUSED;
        result->error = error;
        (void) snprintf(result->why, sizeof(result->why), "%s", why);
        (void) snprintf(result->message, sizeof(result->message), "%s", message);
        return result;
}
