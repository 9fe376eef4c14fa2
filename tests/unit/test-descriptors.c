/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What clients' descriptors are taken for. /dev/null stands for a node of VFIO's: the names under which it
 * is found are made up here.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

#include "daemon/system/descriptors.h"
#include "shared/cleanup.h"
#include "unit.h"

#define NODE "/dev/null"

static const char *theirs, *ours; /* what the descriptor is called, and what there is */
static int statx_flags;

int __real_statx(int fd, const char *path, int flags, unsigned mask, struct statx *ret);
int __wrap_statx(int fd, const char *path, int flags, unsigned mask, struct statx *ret);
int __wrap_statx(int fd, const char *path, int flags, unsigned mask, struct statx *ret)
{
        statx_flags = flags;
        return __real_statx(fd, path, flags, mask, ret);
}

int __real_stat(const char *path, struct stat *ret);
int __wrap_stat(const char *path, struct stat *ret);
int __wrap_stat(const char *path, struct stat *ret)
{
        if (!ours || strcmp(path, theirs) != 0) {
                errno = ENOENT;
                return -1;
        }
        return __real_stat(ours, ret);
}

ssize_t __real_readlink(const char *path, char *buffer, size_t size);
ssize_t __wrap_readlink(const char *path, char *buffer, size_t size);
ssize_t __wrap_readlink(const char *path, char *buffer, size_t size)
{
        size_t n = strlen(theirs);

        if (strncmp(path, "/proc/self/fd/", strlen("/proc/self/fd/")) != 0)
                return __real_readlink(path, buffer, size);
        ck_assert_uint_lt(n, size);
        memcpy(buffer, theirs, n);
        return (ssize_t) n;
}

static const struct {
        const char *node;
        int flags;
        const char *theirs, *ours, *group; /* NULL: none */
} groups[] = {
        {NODE, O_RDWR, "/dev/vfio/12", NODE, "12"},
        {NODE, O_RDONLY, "/dev/vfio/0", NODE, "0"},
        /* Whoever may list the directory gets one like this. */
        {NODE, O_PATH, "/dev/vfio/12", NODE, NULL},
        {NODE, O_RDWR, "/dev/vfio/12", "/dev/zero", NULL},
        {NODE, O_RDWR, "/dev/vfio/12", "/proc/version", NULL},
        {NODE, O_RDWR, "/dev/vfio/12", NULL, NULL},
        {"/proc/version", O_RDONLY, "/dev/vfio/12", NODE, NULL},
        {NODE, O_RDWR, "/dev/vfio/vfio", NODE, NULL},
        {NODE, O_RDWR, "/dev/vfio/", NODE, NULL},
        {NODE, O_RDWR, "/dev/vfio/12 (deleted)", NODE, NULL},
        {NODE, O_RDWR, "/dev/vfio/1234567890123456", NODE, NULL},
        {NODE, O_RDWR, "/tmp/dev/vfio/12", NODE, NULL},
        {NODE, O_RDWR, "/dev/vfio/devices/vfio0", NODE, NULL},
};

START_TEST(groups_of_vfio)
{
        _cleanup_close_ int fd = open(groups[_i].node, groups[_i].flags | O_CLOEXEC);
        char group[IOMMU_GROUP_MAX] = "";

        ck_assert_int_ge(fd, 0);
        theirs = groups[_i].theirs;
        ours = groups[_i].ours;
        ck_assert_int_eq(descriptor_vfio_group(fd, group), groups[_i].group ? 0 : -EINVAL);
        ck_assert_str_eq(group, groups[_i].group ? groups[_i].group : "");
}
END_TEST

START_TEST(what_is_no_file)
{
        char group[IOMMU_GROUP_MAX];
        int pair[2];

        theirs = "socket:[1]";
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        ck_assert_int_eq(descriptor_vfio_group(pair[0], group), -EINVAL);
        (void) close(pair[0]);
        (void) close(pair[1]);
        ck_assert_int_eq(descriptor_vfio_group(pair[0], group), -EINVAL);
        ck_assert_int_eq(descriptor_vfio_group(-1, group), -EINVAL);
}
END_TEST

/* The loop would wait for whoever keeps the file. */
START_TEST(nobody_is_asked)
{
        _cleanup_close_ int fd = open(NODE, O_RDWR | O_CLOEXEC);
        struct statx st;

        ck_assert_int_eq(descriptor_look(fd, &st), 0);
        ck_assert_int_eq(statx_flags & AT_STATX_SYNC_TYPE, AT_STATX_DONT_SYNC);
        ck_assert(S_ISCHR(st.stx_mode));
        ck_assert_uint_eq(makedev(st.stx_rdev_major, st.stx_rdev_minor), makedev(1, 3));
        ck_assert_int_eq(descriptor_look(-1, &st), -EBADF);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("descriptors");

        unit_add_table(suite, groups_of_vfio, groups);
        unit_add(suite, what_is_no_file);
        unit_add(suite, nobody_is_asked);
        return unit_run(suite);
}
