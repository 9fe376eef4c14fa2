/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "nodes.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "sandbox.h"
#include "sysfs.h"

/* Of the range for local use: opening it fails, as it does for a drive without a medium. */
#define NO_DISK 240U, 7U

static void add(const char *path, mode_t type, unsigned major, unsigned minor, uid_t owner)
{
        _cleanup_free_ char *full = textf("/dev/%s", path);
        char *slash = strrchr(full, '/');

        *slash = '\0';
        directory_make("%s", full);
        *slash = '/';
        (void) unlink(full);
        ck_assert_msg(mknod(full, type | 0666, makedev(major, minor)) == 0, "%s: %s", full, strerror(errno));
        ck_assert_int_eq(chmod(full, 0666), 0);
        ck_assert_int_eq(chown(full, owner, 0), 0);
}

void node_add(const char *path, unsigned major, unsigned minor, uid_t owner)
{
        add(path, S_IFCHR, major, minor, owner);
}

void nodes_init(void)
{
        ck_assert_msg(mount("tmpfs", "/dev", "tmpfs", MS_NOSUID, "mode=755") == 0, "/dev: %s",
                      strerror(errno));
        node_add("null", 1, 3, 0);
        node_add("random", 1, 8, 0);
        node_add("urandom", 1, 9, 0);
        ck_assert_int_eq(symlink("/proc/self/fd", "/dev/fd"), 0);
}

void node_of(const char *address, const char *place, unsigned major, unsigned minor)
{
        _cleanup_free_ char *attribute = textf("%s/dev", place);

        directory_make("%s/%s", sysfs_path(address), place);
        sysfs_set(address, attribute, "%u:%u\n", major, minor);
        node_add(strrchr(place, '/') + 1, major, minor, 0);
}

void disk_of(const char *address, const char *name)
{
        _cleanup_free_ char *directory = textf("%s/block/%s", sysfs_path(address), name),
                            *attribute = textf("block/%s/dev", name),
                            *subsystem = textf("%s/subsystem", directory);

        directory_make("%s", directory);
        directory_make("/sys/class/block");
        sysfs_set(address, attribute, "%u:%u", NO_DISK);
        ck_assert_int_eq(symlink("/sys/class/block", subsystem), 0);
        add(name, S_IFBLK, NO_DISK, 0);
}

void interface_of(const char *address, const char *name)
{
        _cleanup_free_ char *directory = textf("%s/net/%s", sysfs_path(address), name),
                            *link = textf("/sys/class/net/%s", name);

        directory_make("%s", directory);
        directory_make("/sys/class/net");
        ck_assert_int_eq(symlink(directory, link), 0);
        interface_set(address, name, false);
}

void interface_set(const char *address, const char *name, bool up)
{
        _cleanup_free_ char *attribute = textf("net/%s/flags", name);
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct ifreq request = {};

        sysfs_set(address, attribute, "0x%x", up ? IFF_UP : 0);
        (void) snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
        ck_assert_int_eq(ioctl(fd, SIOCGIFFLAGS, &request), 0);
        request.ifr_flags = (short) (up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP);
        ck_assert_int_eq(ioctl(fd, SIOCSIFFLAGS, &request), 0);
}

void vfio_group_add(const char *group, unsigned major, unsigned minor, uid_t owner)
{
        _cleanup_free_ char *directory = textf("/sys/class/vfio/%s", group),
                            *number = textf("%s/dev", directory), *path = textf("vfio/%s", group);

        directory_make("%s", directory);
        file_print(number, "%u:%u\n", major, minor);
        node_add(path, major, minor, owner);
}

int node_open(const char *path)
{
        _cleanup_free_ char *full = textf("/dev/%s", path);
        int fd = open(full, O_RDWR | O_CLOEXEC);

        ck_assert_msg(fd >= 0, "%s: %s", full, strerror(errno));
        return fd;
}

static const char *node_to_keep;

static void keep(int unused)
{
        _cleanup_free_ char *full = textf("/dev/%s", node_to_keep);

        (void) unused;
        if (open(full, O_RDWR | O_CLOEXEC) < 0)
                _exit(EXIT_FAILURE);
        for (;;)
                (void) pause();
}

static bool has_open(const Process *process, const char *node)
{
        _cleanup_free_ char *path = textf("/proc/%d/fd", process->pid), *full = textf("/dev/%s", node);
        DIR *directory = opendir(path);
        bool found = false;

        ck_assert_msg(directory && !process->ended, "%s cannot be kept open", full);
        for (struct dirent *entry; !found && (entry = readdir(directory));) {
                char target[PATH_MAX];
                ssize_t n = readlinkat(dirfd(directory), entry->d_name, target, sizeof(target));

                found = n == (ssize_t) strlen(full) && memcmp(target, full, (size_t) n) == 0;
        }
        (void) closedir(directory);
        return found;
}

Process *node_hold(const char *path, uid_t uid)
{
        Process *process;

        node_to_keep = path;
        process = process_fork("holder", uid, keep, STDERR_FILENO);
        wait_until(has_open(process, path));
        return process;
}
