/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "worker/rebind.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "shared/cleanup.h"
#include "shared/driver.h"
#include "worker/attribute.h"
#include "worker/checkup.h"
#include "worker/image.h"
#include "worker/keep-off.h"

int driver_unbind(const Device *device)
{
        _cleanup_close_ int fd = -EBADF;
        char driver[WORKER_DRIVER_MAX];
        int r;

        /* Through the device's own link: whoever is bound now, and nobody if that has changed. */
        fd = attribute_open_for_write(device->fd, "driver/unbind");
        if (fd < 0)
                return fd == -ENOENT ? -ENODEV : fd;
        r = attribute_write(fd, device->name);
        if (r < 0)
                return r;

        r = device_read_driver(device, driver, sizeof(driver));
        if (r < 0)
                return r;
        return driver[0] == '\0' ? 0 : -EBUSY;
}

int driver_bind(int devices_fd, const Device *device, const char *driver)
{
        char path[WORKER_DRIVER_MAX + sizeof("../drivers//bind")], bound[WORKER_DRIVER_MAX];
        _cleanup_close_ int fd = -EBADF;
        int r;

        (void) snprintf(path, sizeof(path), "../drivers/%s/bind", driver);
        fd = attribute_open_for_write(devices_fd, path);
        if (fd < 0)
                return fd == -ENOENT ? -ENODEV : fd;
        r = attribute_write(fd, device->name);
        if (r < 0)
                return r;

        r = device_read_driver(device, bound, sizeof(bound));
        if (r < 0)
                return r;
        return strcmp(bound, driver) == 0 ? 0 : -ENODEV;
}

static bool needs_rebind(const Reset *reset, const Device *member)
{
        const char *driver = member->expected->driver;

        return reset->request->driver == WORKER_DRIVER_REBIND && !reset->way->removes_devices &&
               !device_has_bridge_class(member) && driver_kind(driver) == DRIVER_HOST &&
               !driver_is_reset_aware(driver);
}

/* Without its driver a physical function loses its virtual ones, whoever uses them, and nobody would make
 * them again. */
static bool refuse_virtual_functions(Reset *reset, const Device *member)
{
        char name[PCI_ADDRESS_STRING_MAX];

        if (attribute_read_link(member->fd, "virtfn0", name, sizeof(name)) == -ENOENT)
                return true;
        return reset_end(reset, WORKER_REFUSED, WORKER_WHY_UNBIND, 0,
                         "%s: it has virtual functions, and would lose them with its driver %s",
                         member->name, member->expected->driver);
}

/* What is to be found again after the reset is how the device is without its driver; only that it had one is
 * remembered. */
static void look_at_driverless(const Reset *reset, size_t i)
{
        DeviceHealth *before = &reset->before->members[i];

        health_read_device(&reset->members[i], before);
        (void) snprintf(before->driver, sizeof(before->driver), "%s", reset->members[i].expected->driver);
        before->has_driver = true;
        image_renew(reset, i);
}

static bool take_off(Reset *reset, size_t i)
{
        Device *member = &reset->members[i];
        int r;

        r = driver_unbind(member);
        if (r < 0 && device_is_gone(member))
                return reset_end_gone(reset, member);
        if (r < 0)
                return reset_end(reset, WORKER_REFUSED, WORKER_WHY_UNBIND, -r,
                                 "%s: its driver %s cannot be taken off: %s", member->name,
                                 member->expected->driver, strerror(-r));
        member->driver_is_off = true;
        look_at_driverless(reset, i);
        return true;
}

bool rebind_is_needed(const Reset *reset)
{
        for (size_t i = 0; i < reset->n_open; i++)
                if (needs_rebind(reset, &reset->members[i]))
                        return true;
        return false;
}

void rebind_recall(Reset *reset)
{
        for (size_t i = 0; i < reset->n_open; i++) {
                Device *member = &reset->members[i];
                char driver[WORKER_DRIVER_MAX];

                if (needs_rebind(reset, member) && !member->has_returned && !device_is_gone(member) &&
                    device_read_driver(member, driver, sizeof(driver)) == 0 && driver[0] == '\0')
                        member->driver_is_off = true;
        }
}

bool rebind_off(Reset *reset)
{
        if (!rebind_is_needed(reset))
                return true;
        for (size_t i = 0; i < reset->n_open; i++)
                if (needs_rebind(reset, &reset->members[i]) &&
                    !refuse_virtual_functions(reset, &reset->members[i]))
                        return false;
        for (size_t i = 0; i < reset->n_open; i++)
                if (needs_rebind(reset, &reset->members[i]) && !take_off(reset, i)) {
                        rebind_on(reset, false);
                        return false;
                }

        /* With its driver the device has lost its nodes, and members that kept theirs may have found users
         * meanwhile. */
        return reset_check_holders(reset, true);
}

/* A driver writes to its device as if it knew it. */
static bool is_trustworthy(const Reset *reset, const Device *member)
{
        static const char *const needed[] = {"answers", "ids", "serial", "header", "bars"};
        const WorkerResult *result = reset->result;

        for (size_t i = 0; i < result->n_checks; i++) {
                const WorkerCheck *check = &result->checks[i];

                if (check->result != CHECK_FAILED ||
                    !pci_address_equal(&check->device, &member->expected->address))
                        continue;
                for (size_t k = 0; k < ELEMENTSOF(needed); k++)
                        if (strcmp(check->check, needed[k]) == 0)
                                return false;
        }
        return true;
}

static void put_on(Reset *reset, Device *member, bool is_verified)
{
        const char *driver = member->expected->driver;
        int r;

        if (is_verified && !is_trustworthy(reset, member)) {
                reset_add_message(reset, "%s: its driver %s stays off", member->name, driver);
                return;
        }
        r = driver_bind(reset->devices_fd, member, driver);
        if (r < 0) {
                reset_add_message(reset, "%s: its driver %s cannot be bound again: %s", member->name, driver,
                                  strerror(-r));
                return;
        }
        member->driver_is_off = false;
}

bool rebind_again(Reset *reset)
{
        bool any = false;

        for (size_t i = 0; i < reset->n_open; i++) {
                if (!reset->members[i].driver_is_off)
                        continue;
                put_on(reset, &reset->members[i], true);
                any |= !reset->members[i].driver_is_off;
        }
        return any;
}

/* All that was reset is well: what was kept from its driver since an earlier reset gets it back. Whether it
 * did is a check of this one. */
static bool hand_back(Reset *reset, size_t i)
{
        DeviceHealth *before = &reset->before->members[i], *after = &reset->after->members[i];
        const WorkerMember *expected = &reset->request->members[i];
        Device *member = &reset->members[i];
        int r = keep_off_end(member);

        if (r < 0)
                reset_add_message(reset, "%s: drivers are still kept off it: %s", member->name,
                                  strerror(-r));
        if (expected->hand_back[0] == '\0')
                return false;
        r = driver_bind(reset->devices_fd, member, expected->hand_back);
        if (r < 0)
                reset_add_message(reset, "%s: its driver %s cannot be bound again: %s", member->name,
                                  expected->hand_back, strerror(-r));
        (void) snprintf(before->driver, sizeof(before->driver), "%s", expected->hand_back);
        before->has_driver = true;
        after->has_driver = device_read_driver(member, after->driver, sizeof(after->driver)) == 0;
        return true;
}

static void mark_failed(WorkerResult *result, const WorkerCheck *failed)
{
        for (size_t i = 0; i < result->n_checks; i++)
                if (pci_address_equal(&result->checks[i].device, &failed->device) &&
                    strcmp(result->checks[i].check, failed->check) == 0)
                        result->checks[i] = *failed;
        result->verdict = VERDICT_DEGRADED;
}

/* How it was before says nothing about a device that an earlier reset has left in doubt: what the kernel
 * knows of it does. Returns whether all is as the kernel knows it; with `mark` what is not is in the result.
 */
static bool is_as_found(const Reset *reset, size_t i, bool mark)
{
        static const char *const counts[] = {"ids", "header", "bars", "link"};
        WorkerCheck checks[HEALTH_CHECKS_PER_MEMBER];
        WorkerResult found = {.checks = checks};
        bool all = true;

        if (checkup_member(&reset->members[i], &found) < 0)
                return false;
        for (size_t k = 0; k < found.n_checks; k++)
                for (size_t n = 0; n < ELEMENTSOF(counts); n++) {
                        if (checks[k].result != CHECK_FAILED || strcmp(checks[k].check, counts[n]) != 0)
                                continue;
                        all = false;
                        if (mark)
                                mark_failed(reset->result, &checks[k]);
                }
        return all;
}

static bool is_proved(const Reset *reset)
{
        return reset->result->outcome == WORKER_DONE && reset->result->verdict == VERDICT_OK;
}

/* What was removed and found again the kernel has bound at once, before anybody could look at it. */
static bool take_off_doubtful(Reset *reset, size_t i)
{
        DeviceHealth *after = &reset->after->members[i];
        Device *member = &reset->members[i];
        int r;

        if (!member->has_returned || is_trustworthy(reset, member) || after->driver[0] == '\0' ||
            driver_kind(after->driver) != DRIVER_HOST || device_has_bridge_class(member))
                return false;
        r = driver_unbind(member);
        if (r < 0)
                reset_add_message(reset, "%s: %s cannot be taken off it: %s", member->name, after->driver,
                                  strerror(-r));
        else
                reset_add_message(reset, "%s: %s is taken off it", member->name, after->driver);
        after->has_driver = device_read_driver(member, after->driver, sizeof(after->driver)) == 0;
        return true;
}

void rebind_on(Reset *reset, bool is_verified)
{
        bool any = false, in_doubt = false, is_well = is_verified && is_proved(reset);

        for (size_t i = 0; i < reset->n_open; i++) {
                Device *member = &reset->members[i];
                DeviceHealth *after = &reset->after->members[i];

                if (is_well && reset->request->members[i].may_hand_back) {
                        if (is_as_found(reset, i, false))
                                any |= hand_back(reset, i);
                        else
                                in_doubt = true;
                } else if (is_verified) {
                        any |= take_off_doubtful(reset, i);
                }
                if (!member->driver_is_off)
                        continue;
                any = true;
                put_on(reset, member, is_verified);
                reset->before->members[i].driver_is_off = false;
                after->has_driver = device_read_driver(member, after->driver, sizeof(after->driver)) == 0;
        }
        if (any && is_verified)
                health_compare(reset->request, reset->before, reset->after, reset->result);
        for (size_t i = 0; in_doubt && i < reset->n_open; i++)
                if (reset->request->members[i].may_hand_back)
                        (void) is_as_found(reset, i, true);
}
