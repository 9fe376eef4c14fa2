/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * An administrator may write something else there at any time, which then stays. That it was not us the
 * file in WORKER_KEPT_OFF_DIR tells: it is there before the override is, so that the next daemon finds what
 * is to be put back, and has the device's inode number once that is written.
 */

#include "worker/keep-off.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "shared/write-all.h"
#include "worker/attribute.h"
#include "worker/health.h"

#define OVERRIDE "driver_override"
/* What the kernel shows for one that is not set (driver_override_show). */
#define OVERRIDE_NONE "(null)"

#define PREFIX WORKER_OVERRIDE_PREFIX

DEFINE_CLEANUP(WorkerResult *, worker_result_free);

static void cleanup_device(Device *device)
{
        device_close(device);
}

static int read_override(const Device *device, char override[static WORKER_DRIVER_MAX])
{
        ssize_t n = attribute_read(device->fd, OVERRIDE, override, WORKER_DRIVER_MAX);

        if (n < 0)
                return (int) n;
        if (strcmp(override, OVERRIDE_NONE) == 0)
                override[0] = '\0';
        return 0;
}

static int write_override(const Device *device, const char *override)
{
        _cleanup_close_ int fd = attribute_open_for_write(device->fd, OVERRIDE);

        if (fd < 0)
                return fd;
        /* Nothing at all would not reach the kernel. */
        return attribute_write(fd, override[0] != '\0' ? override : "\n");
}

static bool is_ours(const char *override)
{
        return strncmp(override, PREFIX, strlen(PREFIX)) == 0;
}

int keep_off_end(const Device *device)
{
        char override[WORKER_DRIVER_MAX], path[sizeof(WORKER_KEPT_OFF_DIR) + PCI_ADDRESS_STRING_MAX + 1];
        int r = read_override(device, override);

        if (r < 0 || !is_ours(override))
                return r == -ENOENT || r == -EMSGSIZE ? 0 : r;
        r = write_override(device, override + strlen(PREFIX));
        if (r < 0)
                return r;
        (void) snprintf(path, sizeof(path), WORKER_KEPT_OFF_DIR "/%s", device->name);
        (void) unlink(path);
        return 1;
}

/* ---- what was done in this boot ---- */

static bool is_room_short(int error)
{
        return error == -ENOSPC || error == -EDQUOT;
}

static bool was_done(int directory_fd, const Device *device)
{
        uint64_t inode;

        return attribute_read_unsigned(directory_fd, device->name, UINT64_MAX, &inode) == 0 &&
               inode == device->expected->inode;
}

/* 0: it is about to be. Where there is no room for a note, drivers are kept off without one; the next look
 * makes up for it. */
static int note_done(int directory_fd, const Device *device, uint64_t inode)
{
        _cleanup_close_ int fd = -EBADF;
        char text[32];
        int r;

        if (directory_fd < 0)
                return 0;
        (void) unlinkat(directory_fd, device->name, 0);
        fd = openat(directory_fd, device->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        (void) snprintf(text, sizeof(text), "%" PRIu64 "\n", inode);
        r = fd < 0 ? -errno : write_all(fd, text, strlen(text));
        return is_room_short(r) ? 0 : r;
}

/* ---- the operation ---- */

typedef struct Hold {
        const WorkerRequest *request;
        int directory_fd; /* negative: there was no room to make it */
        Device device;
        WorkerResult *result;
} Hold;

static void end(const Hold *hold, int error, const char *what)
{
        WorkerResult *result = hold->result;

        result->outcome = device_is_gone(&hold->device) ? WORKER_GONE : WORKER_FAILED;
        result->error = error;
        (void) snprintf(result->message, sizeof(result->message), "%s: %s: %s", hold->device.name, what,
                        strerror(error));
}

static void read_serial(const Hold *hold)
{
        WorkerSerial *serial = hold->result->serials;
        DeviceHealth health;

        health_read_device(&hold->device, &health);
        if (!health_answers(&health) || health.serial[0] == '\0')
                return;
        serial->device = hold->device.expected->address;
        memcpy(serial->serial, health.serial, sizeof(serial->serial));
        hold->result->n_serials = 1;
}

static bool is_another_card(const Hold *hold)
{
        const WorkerResult *result = hold->result;

        return hold->request->serial[0] != '\0' && result->n_serials > 0 &&
               strcmp(result->serials[0].serial, hold->request->serial) != 0;
}

static void keep(const Hold *hold)
{
        const uint64_t inode = hold->device.expected->inode;
        char now[WORKER_DRIVER_MAX], driver[WORKER_DRIVER_MAX], next[2 * WORKER_DRIVER_MAX];
        int r = device_read_driver(&hold->device, driver, sizeof(driver));

        if (r >= 0)
                r = read_override(&hold->device, now);
        if (r < 0) {
                end(hold, -r, "what is bound to it, or may be, cannot be read");
                return;
        }
        /* Put back by a worker after the device had gone and come. */
        if (is_ours(now) && !was_done(hold->directory_fd, &hold->device))
                (void) note_done(hold->directory_fd, &hold->device, inode);
        if (driver[0] != '\0' || is_ours(now) || is_another_card(hold) ||
            was_done(hold->directory_fd, &hold->device))
                return;
        (void) snprintf(next, sizeof(next), PREFIX "%s", now);
        r = strlen(next) < WORKER_DRIVER_MAX ? 0 : -EMSGSIZE;
        if (r >= 0)
                r = note_done(hold->directory_fd, &hold->device, 0);
        if (r >= 0)
                r = write_override(&hold->device, next);
        if (r >= 0)
                r = note_done(hold->directory_fd, &hold->device, inode);
        if (r < 0)
                end(hold, -r, "drivers cannot be kept off it");
        else
                hold->result->written = true;
}

static void release(const Hold *hold)
{
        int r = keep_off_end(&hold->device);

        if (r < 0) {
                end(hold, -r, "its " OVERRIDE " cannot be put back");
                return;
        }
        hold->result->written = r > 0;
        (void) unlinkat(hold->directory_fd, hold->device.name, 0);
}

static void carry_out(const Hold *hold)
{
        switch (hold->request->action) {
        case HOLD_LOOK:
                read_serial(hold);
                break;
        case HOLD_KEEP:
                read_serial(hold);
                keep(hold);
                break;
        case HOLD_RELEASE:
                release(hold);
                break;
        }
        if (read_override(&hold->device, hold->result->override) < 0)
                hold->result->override[0] = '\0';
}

static int open_directory(const char *path)
{
        int fd;

        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return -errno;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

int keep_off_run(int devices_fd, const char *directory, const WorkerRequest *request, WorkerResult **ret)
{
        _cleanup_(cleanup_worker_result_free) WorkerResult *result = calloc(1, sizeof(WorkerResult));
        _cleanup_close_ int directory_fd = open_directory(directory);
        _cleanup_(cleanup_device) Device device = {.fd = -EBADF};
        char name[PCI_ADDRESS_STRING_MAX];
        int r;

        if (result)
                result->serials = calloc(1, sizeof(WorkerSerial));
        if (!result || !result->serials)
                return -ENOMEM;
        if (directory_fd < 0 && !is_room_short(directory_fd))
                return directory_fd;
        r = device_open(devices_fd, &request->members[0], &device);
        if (r >= 0) {
                carry_out(&(Hold){.request = request,
                                  .directory_fd = directory_fd,
                                  .device = device,
                                  .result = result});
        } else {
                result->outcome = WORKER_GONE;
                result->error = -r;
                (void) snprintf(result->message, sizeof(result->message), "%s: the device cannot be opened",
                                pci_address_format(&request->members[0].address, name));
        }
        *ret = steal_pointer(result);
        return 0;
}
