/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A namespace is known by the inode number of its file in /proc/PID/ns.
 */

#include "worker/namespaces.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/cleanup.h"

static Namespace *find_namespace(const Namespaces *namespaces, uint64_t inode)
{
        for (size_t i = 0; i < namespaces->n; i++)
                if (namespaces->all[i].inode == inode)
                        return &namespaces->all[i];
        return NULL;
}

int namespaces_add(Namespaces *namespaces, const Look *look, uint64_t inode, const char *path,
                   Namespace **ret)
{
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        if (inode == namespaces->own)
                return 0;
        *ret = find_namespace(namespaces, inode);
        if (*ret)
                return 1;
        if (namespaces->n == NAMESPACES_MAX)
                return 0;
        fd = look_open(look->roots.proc, O_RDONLY | O_NONBLOCK, "%s", path);
        if (fd < 0)
                return fd == -ENOMEM ? fd : 0;
        if (fstat(fd, &st) < 0 || st.st_ino != inode)
                return 0;
        r = look_grow((void **) &namespaces->all, &namespaces->size, namespaces->n,
                      sizeof(*namespaces->all));
        if (r < 0)
                return r;
        *ret = &namespaces->all[namespaces->n++];
        **ret = (Namespace){.inode = inode, .fd = steal_fd(fd)};
        return 1;
}

static int note_process(Namespaces *namespaces, const Look *look, int proc_fd, uint32_t pid,
                        const char *type)
{
        Namespace *namespace;
        char path[32];
        struct stat st;
        int r;

        (void) snprintf(path, sizeof(path), "%" PRIu32 "/ns/%s", pid, type);
        if (fstatat(proc_fd, path, &st, 0) < 0)
                return 0;
        r = namespaces_add(namespaces, look, st.st_ino, path, &namespace);
        if (r > 0 && (namespace->pid == 0 || pid < namespace->pid))
        namespace->pid = pid;
        return r < 0 ? r : 0;
}

int namespaces_find(Namespaces *namespaces, const Look *look, const char *type)
{
        _cleanup_close_ int own = look_open(look->roots.proc, O_PATH, "self/ns/%s", type);
        struct dirent *entry;
        DIR *directory;
        struct stat st;
        int fd, r = 0;

        if (own < 0 || fstat(own, &st) < 0)
                return -ENOENT;
        namespaces->own = st.st_ino;
        fd = look_open(look->roots.proc, O_RDONLY | O_DIRECTORY, ".");
        if (fd < 0)
                return -ENOENT;
        directory = fdopendir(fd);
        if (!directory) {
                (void) close(fd);
                return -ENOMEM;
        }
        while (r >= 0 && (entry = readdir(directory))) {
                char *end;
                unsigned long pid = strtoul(entry->d_name, &end, 10);

                if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && *end == '\0' && pid <= INT32_MAX)
                        r = note_process(namespaces, look, fd, (uint32_t) pid, type);
        }
        (void) closedir(directory);
        return r;
}

void namespaces_done(Namespaces *namespaces)
{
        for (size_t i = 0; i < namespaces->n; i++) {
                (void) close(namespaces->all[i].fd);
                free(namespaces->all[i].path);
        }
        free(namespaces->all);
        *namespaces = (Namespaces){};
}
