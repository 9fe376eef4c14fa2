/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "worker/firmware.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "shared/utf8.h"
#include "worker/attribute.h"

/* NVMe pads with blanks. */
static int read_text(int fd, const char *name, char *buffer, size_t size)
{
        char text[ATTRIBUTE_MAX];
        ssize_t n = attribute_read(fd, name, text, sizeof(text));

        if (n < 0)
                return (int) n;
        while (n > 0 && strchr(" \t\n", text[n - 1]))
                text[--n] = '\0';
        (void) utf8_quote(text, buffer, size);
        return 0;
}

/* From the first thing in a class directory of the device's that has the attribute. */
static int read_below(int device_fd, const char *class, const char *name, char *buffer, size_t size)
{
        int fd = openat(device_fd, class, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = -ENOENT;
        const struct dirent *entry;
        DIR *dir;

        if (fd < 0)
                return -errno;
        dir = fdopendir(fd);
        if (!dir) {
                (void) close(fd);
                return -errno;
        }
        while (r < 0 && (entry = readdir(dir))) {
                _cleanup_close_ int below = -EBADF;

                if (entry->d_name[0] == '.')
                        continue;
                below = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (below >= 0)
                        r = read_text(below, name, buffer, size);
        }
        (void) closedir(dir);
        return r;
}

void firmware_read(const Device *device, char *buffer, size_t size)
{
        static const struct {
                const char *class; /* NULL: the device's own */
                const char *attribute;
        } places[] = {
                {"nvme", "firmware_rev"}, /* drivers/nvme/host/sysfs.c */
                {"infiniband", "fw_ver"}, /* drivers/infiniband/core/sysfs.c */
                {NULL, "vbios_version"}, /* drivers/gpu/drm/amd/amdgpu/amdgpu_atombios.c */
        };

        buffer[0] = '\0';
        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                int r = places[i].class ? read_below(device->fd, places[i].class, places[i].attribute,
                                                     buffer, size)
                                        : read_text(device->fd, places[i].attribute, buffer, size);

                if (r >= 0 && buffer[0] != '\0')
                        return;
        }
}
