/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "worker/rebind.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "shared/cleanup.h"
#include "worker/attribute.h"

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
