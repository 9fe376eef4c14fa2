/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A reset is a row of steps. Each returns true to go on; one that returns false has written into the result
 * why it ends here. All memory is taken before the first write, so that from then on nothing can keep the
 * worker from putting the method list back and from telling what happened.
 *
 * The order of the steps is the point of this file: everything is pinned before anything is judged,
 * everything is judged before anything is written, who uses the devices is looked at once more just before
 * each write, and the list is put back last, since writing it makes the kernel probe a device that may need
 * the time before.
 */

#include "worker/reset.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/cleanup.h"
#include "worker/attribute.h"
#include "worker/clock.h"
#include "worker/device.h"
#include "worker/health.h"
#include "worker/method-list.h"

/* How long a device may take to be as it was, after its settling time, and how often it is looked at. */
#define VERIFY_USEC          (1 * USEC_PER_SEC)
#define VERIFY_STEP_USEC     UINT64_C(10000)
#define VERIFY_STEP_MAX_USEC UINT64_C(100000)

DEFINE_CLEANUP(WorkerResult *, worker_result_free);

typedef struct Reset {
        const WorkerRequest *request;
        const ResetEvents *events;
        Device *members; /* in the order of the request, the target first */
        size_t n_open;
        Device bridge;
        int reset_fd; /* of the target's `reset` */
        Health *before;
        Health *after;
        ResetMethodList old_list;
        bool list_changed;
        WorkerResult *result;
} Reset;

/* Ends the reset where it is. Returns false, so that a step can return it. */
__attribute__((format(printf, 5, 6))) static bool end(Reset *reset, WorkerOutcome outcome, const char *why,
                                                      int error, const char *format, ...)
{
        WorkerResult *result = reset->result;
        va_list arguments;

        result->outcome = outcome;
        result->error = error;
        (void) snprintf(result->why, sizeof(result->why), "%s", why);

        va_start(arguments, format);
        (void) vsnprintf(result->message, sizeof(result->message), format, arguments);
        va_end(arguments);
        return false;
}

static bool end_gone(Reset *reset, const Device *device)
{
        return end(reset, WORKER_GONE, "", ENODEV,
                   "%s: the device is gone, or another one has taken its place; nothing was reset",
                   device->name);
}

static const char *target_name(const Reset *reset)
{
        return reset->members[0].name;
}

static bool open_device(Reset *reset, int devices_fd, const WorkerMember *expected, Device *ret)
{
        char name[PCI_ADDRESS_STRING_MAX];
        int r;

        r = device_open(devices_fd, expected, ret);
        if (r >= 0)
                return true;

        (void) pci_address_format(&expected->address, name);
        if (r == -ENODEV)
                return end(reset, WORKER_GONE, "", ENODEV,
                           "%s: the device is gone, or another one has taken its place; nothing was reset",
                           name);
        return end(reset, WORKER_REFUSED, WORKER_WHY_UNREADABLE, -r, "%s: the device cannot be opened: %s",
                   name, strerror(-r));
}

static bool open_devices(Reset *reset, int devices_fd)
{
        const WorkerRequest *request = reset->request;

        for (size_t i = 0; i < request->n_members; i++) {
                if (!open_device(reset, devices_fd, &request->members[i], &reset->members[i]))
                        return false;
                reset->n_open++;
        }
        return !request->has_bridge || open_device(reset, devices_fd, &request->bridge, &reset->bridge);
}

/* Opened this early, a device that cannot be reset is refused before its method list is touched. */
static bool open_reset(Reset *reset)
{
        const Device *target = &reset->members[0];

        reset->reset_fd = attribute_open_for_write(target->fd, "reset");
        if (reset->reset_fd >= 0)
                return true;
        if (device_is_gone(target))
                return end_gone(reset, target);
        return end(reset, WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, -reset->reset_fd,
                   "%s: its reset file cannot be opened: %s", target->name, strerror(-reset->reset_fd));
}

static bool check_use(Reset *reset)
{
        for (size_t i = 0; i < reset->n_open; i++) {
                const Device *member = &reset->members[i];
                const char *why;
                int r;

                r = device_check_use(member, reset->request, &why);
                if (r == 0)
                        continue;
                if (r == -ENODEV)
                        return end_gone(reset, member);

                if (strcmp(why, WORKER_WHY_DRIVER) == 0)
                        return end(reset, WORKER_REFUSED, why, -r, "%s: another driver is bound than before",
                                   member->name);
                if (strcmp(why, WORKER_WHY_ENABLED) == 0)
                        return end(reset, WORKER_REFUSED, why, -r, "%s: the device is in use", member->name);
                if (strcmp(why, WORKER_WHY_TSM) == 0)
                        return end(reset, WORKER_REFUSED, why, -r,
                                   "%s: the device is assigned to a confidential guest", member->name);
                if (strcmp(why, WORKER_WHY_SET) == 0)
                        return end(reset, WORKER_REFUSED, why, -r,
                                   "%s: the device has other virtual functions than before", member->name);
                return end(reset, WORKER_REFUSED, why, -r, "%s: cannot find out who uses the device: %s",
                           member->name, strerror(-r));
        }
        return true;
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
                        return end_gone(reset, &reset->members[i]);
                if (error < 0)
                        return end(reset, WORKER_REFUSED, WORKER_WHY_UNREADABLE, -error,
                                   "%s: its configuration space cannot be read: %s", reset->members[i].name,
                                   strerror(-error));
        }
        if (reset->request->has_bridge && reset->before->bridge.error == -ENODEV)
                return end_gone(reset, &reset->bridge);
        return true;
}

/* The kernel would do it, and wipe the windows behind which all devices below the bridge live. */
static bool refuse_bridge(Reset *reset)
{
        const DeviceHealth *health = &reset->before->members[0];
        bool is_bridge = device_has_bridge_class(&reset->members[0]);

        if (health_answers(health) && (health->header_type & 0x7f) != PCI_HEADER_TYPE_NORMAL)
                is_bridge = true;
        if (!is_bridge)
                return true;
        return end(reset, WORKER_REFUSED, WORKER_WHY_BRIDGE, 0, "%s: the device is a bridge",
                   target_name(reset));
}

/* The kernel saves what a dead target reads and writes it back over whatever comes to life. A link reset may
 * be tried all the same, it is the cure; and so may the reset of a physical function whose virtual ones are
 * dead, since of those nothing is saved. */
static bool refuse_dead(Reset *reset)
{
        const DeviceHealth *health = &reset->before->members[0];

        if (health_answers(health) || reset_method_scope(reset->request->method) == RESET_SCOPE_LINK)
                return true;

        health_add_check(reset->result, &reset->request->members[0].address, "answers", CHECK_FAILED,
                         health_answer_to_string(health), "");
        reset->result->verdict = VERDICT_DEAD;
        return end(reset, WORKER_REFUSED, WORKER_WHY_DEAD, 0,
                   "%s: the device does not answer (its configuration space reads %s), so %s cannot help it",
                   target_name(reset), health_answer_to_string(health), reset->request->method);
}

static bool save_list(Reset *reset)
{
        char text[RESET_METHOD_LIST_STRING_MAX];
        int r;

        r = method_list_read(&reset->members[0], &reset->old_list);
        if (r < 0 && device_is_gone(&reset->members[0]))
                return end_gone(reset, &reset->members[0]);
        if (r < 0)
                return end(reset, WORKER_REFUSED,
                           r == -ENOENT ? WORKER_WHY_UNSUPPORTED : WORKER_WHY_UNREADABLE, -r,
                           "%s: its list of reset methods cannot be read: %s", target_name(reset),
                           strerror(-r));

        /* The daemon has seen it there, but the list is the administrator's: what he has taken out meanwhile
         * is not put in again to be run. */
        if (!reset_method_list_contains(&reset->old_list, reset->request->method))
                return end(reset, WORKER_REFUSED, WORKER_WHY_METHOD_REFUSED, 0,
                           "%s: %s is not in its list of reset methods", target_name(reset),
                           reset->request->method);
        if (method_list_is_only(&reset->old_list, reset->request->method))
                return true;

        r = reset->events->save_list(reset_method_list_format(&reset->old_list, text),
                                     reset->events->userdata);
        if (r < 0)
                return end(reset, WORKER_REFUSED, WORKER_WHY_RECORD, -r,
                           "%s: its list of reset methods cannot be saved: %s", target_name(reset),
                           strerror(-r));
        return true;
}

/* Leaves the requested method alone in the list. */
static bool select_method(Reset *reset)
{
        const char *method = reset->request->method;
        int r;

        if (method_list_is_only(&reset->old_list, method))
                return true;

        r = method_list_select(&reset->members[0], method);
        if (r >= 0) {
                reset->list_changed = true;
                return true;
        }
        if (device_is_gone(&reset->members[0]))
                return end_gone(reset, &reset->members[0]);
        return end(reset, WORKER_REFUSED, WORKER_WHY_METHOD_REFUSED, -r,
                   "%s: the kernel does not accept %s: %s", target_name(reset), method,
                   r == -EINVAL ? "the device does not support it" : strerror(-r));
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

static bool write_reset(Reset *reset)
{
        WorkerResult *result = reset->result;
        uint64_t started, finished;
        int r;

        started = now_usec();
        r = attribute_write(reset->reset_fd, "1");
        finished = now_usec();

        /* The kernel turns a write to a removed device away at the door (kernfs_get_active). A device that
         * is still there said -ENODEV for a reason of its own. */
        if (r == -ENODEV && device_is_gone(&reset->members[0]))
                return end_gone(reset, &reset->members[0]);

        result->written = true;
        result->started_usec = started;
        result->finished_usec = finished;
        result->outcome = WORKER_DONE;
        if (r < 0)
                (void) end(reset, WORKER_FAILED, "", -r, "%s: reset by %s failed: %s", target_name(reset),
                           reset->request->method, describe_failure(-r));
        return true;
}

/* Says in the message what the worst failed check found, after what the message says already. */
static void explain_checks(Reset *reset)
{
        WorkerResult *result = reset->result;
        const WorkerCheck *worst = NULL;
        char name[PCI_ADDRESS_STRING_MAX];
        size_t used;

        for (size_t i = 0; i < result->n_checks; i++) {
                const WorkerCheck *check = &result->checks[i];

                if (check->result != CHECK_FAILED)
                        continue;
                if (!worst || (strcmp(check->check, "answers") == 0 && strcmp(worst->check, "answers") != 0))
                        worst = check;
        }
        if (!worst)
                return;

        used = strlen(result->message);
        (void) pci_address_format(&worst->device, name);
        if (strcmp(worst->check, "answers") == 0)
                (void) snprintf(result->message + used, sizeof(result->message) - used,
                                "%s%s: the device does not answer after %s: its configuration space is %s",
                                used > 0 ? "; " : "", name, reset->request->method, worst->after);
        else
                (void) snprintf(result->message + used, sizeof(result->message) - used,
                                "%s%s: the device is not as before %s: %s was '%s' and is '%s'",
                                used > 0 ? "; " : "", name, reset->request->method, worst->check,
                                worst->before, worst->after);
}

static void verify(Reset *reset)
{
        WorkerResult *result = reset->result;
        uint64_t deadline, step = VERIFY_STEP_USEC;

        reset->events->phase(WORKER_EVENT_VERIFYING, reset->events->userdata);
        sleep_usec(reset->request->settle_usec);

        for (deadline = now_usec() + VERIFY_USEC;;) {
                read_health(reset, reset->after);
                health_compare(reset->request, reset->before, reset->after, result);
                if (result->verdict == VERDICT_OK || now_usec() >= deadline)
                        break;
                sleep_usec(step);
                step = step * 2 < VERIFY_STEP_MAX_USEC ? step * 2 : VERIFY_STEP_MAX_USEC;
        }

        /* A device that is as it was before may be so because nothing happened to it. */
        if (result->error == ENOTTY && result->verdict == VERDICT_OK)
                result->verdict = VERDICT_UNVERIFIED;
        explain_checks(reset);
}

static void restore_list(Reset *reset)
{
        if (reset->list_changed)
                reset->result->reset_method = method_list_restore(&reset->members[0], reset->request->method,
                                                                  &reset->old_list);
}

static void run(Reset *reset, int devices_fd)
{
        if (!open_devices(reset, devices_fd) || !open_reset(reset) || !check_use(reset) ||
            !look_before(reset) || !refuse_bridge(reset) || !refuse_dead(reset) || !save_list(reset))
                return;

        reset->events->phase(WORKER_EVENT_RESETTING, reset->events->userdata);
        if (check_use(reset) && select_method(reset) && check_use(reset) && write_reset(reset))
                verify(reset);
        restore_list(reset);
}

static void reset_done(Reset *reset)
{
        for (size_t i = 0; i < reset->n_open; i++)
                device_close(&reset->members[i]);
        device_close(&reset->bridge);
        cleanup_close(&reset->reset_fd);
        free(reset->members);
        health_free(reset->before);
        health_free(reset->after);
        worker_result_free(reset->result);
}

int reset_run(int devices_fd, const WorkerRequest *request, const ResetEvents *events, WorkerResult **ret)
{
        _cleanup_(reset_done) Reset reset = {
                .request = request,
                .events = events,
                .bridge.fd = -EBADF,
                .reset_fd = -EBADF,
                .members = calloc(request->n_members, sizeof(Device)),
                .before = health_new(request->n_members),
                .after = health_new(request->n_members),
                .result = calloc(1, sizeof(WorkerResult)),
        };

        if (!reset.members || !reset.before || !reset.after || !reset.result ||
            health_prepare_result(request, reset.result) < 0)
                return -ENOMEM;

        run(&reset, devices_fd);

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
