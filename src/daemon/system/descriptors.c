/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/system/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#define VFIO_DIRECTORY "/dev/vfio/"

int descriptor_look(int fd, struct statx *ret)
{
        if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO,
                  ret) < 0)
                return -errno;
        return 0;
}

/* The number of the group in the path of its node, NULL if it is another node. */
static const char *group_in_path(const char *path)
{
        const char *group = path + strlen(VFIO_DIRECTORY);
        size_t n;

        if (strncmp(path, VFIO_DIRECTORY, strlen(VFIO_DIRECTORY)) != 0)
                return NULL;
        n = strspn(group, "0123456789");
        return n > 0 && n < IOMMU_GROUP_MAX && group[n] == '\0' ? group : NULL;
}

/* The caller's file system may call anything /dev/vfio/12: the device number has to be that of our node. */
int descriptor_vfio_group(int fd, char ret[static IOMMU_GROUP_MAX])
{
        char link[sizeof("/proc/self/fd/") + 12], path[PATH_MAX];
        int flags = fcntl(fd, F_GETFL);
        struct statx theirs;
        struct stat ours;
        const char *number;
        ssize_t n;

        if (flags < 0 || flags & O_PATH)
                return -EINVAL;
        if (descriptor_look(fd, &theirs) < 0 || !S_ISCHR(theirs.stx_mode))
                return -EINVAL;
        (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, path, sizeof(path) - 1);
        if (n < 0)
                return -EINVAL;
        path[n] = '\0';
        number = group_in_path(path);
        if (!number || stat(path, &ours) < 0 || !S_ISCHR(ours.st_mode) ||
            ours.st_rdev != makedev(theirs.stx_rdev_major, theirs.stx_rdev_minor))
                return -EINVAL;
        (void) stpcpy(ret, number);
        return 0;
}
