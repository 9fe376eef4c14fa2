/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "worker/vfio.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Where sysfs keeps the groups: /sys/dev/char/MAJOR:MINOR leads to …/virtual/vfio/NUMBER. The nodes of
 * single devices are below …/vfio-dev. */
#define GROUPS_DIRECTORY "/virtual/vfio/"

int vfio_open(const char *path)
{
        int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

int vfio_ioctl(int fd, unsigned long request, unsigned long argument)
{
        int r = ioctl(fd, request, argument);

        return r < 0 ? -errno : r;
}

int vfio_group_of(int fd, char ret[static VFIO_GROUP_MAX])
{
        char link[64], target[PATH_MAX];
        const char *group;
        struct stat st;
        ssize_t n;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISCHR(st.st_mode))
                return -ENODEV;
        (void) snprintf(link, sizeof(link), "/sys/dev/char/%u:%u", major(st.st_rdev), minor(st.st_rdev));
        n = readlink(link, target, sizeof(target) - 1);
        if (n < 0)
                return -ENODEV;
        target[n] = '\0';

        group = strstr(target, GROUPS_DIRECTORY);
        if (!group)
                return -ENODEV;
        group += strlen(GROUPS_DIRECTORY);
        if (*group == '\0' || strlen(group) >= VFIO_GROUP_MAX ||
            strspn(group, "0123456789") != strlen(group))
                return -ENODEV;
        memcpy(ret, group, strlen(group) + 1);
        return 0;
}
