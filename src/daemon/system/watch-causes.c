/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Device nodes through inotify, processes through pidfds, and the fences of workers, which come through the
 * same queue as the nodes.
 *
 * Nodes are watched themselves and not their directory: in /dev something is opened all the time. One node
 * may be about several devices, as a VFIO group is, and so may a process.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <utlist.h>

#include "daemon/system/descriptors.h"
#include "daemon/system/journal.h"
#include "daemon/system/watch-internal.h"
#include "shared/cleanup.h"

#define VFIO_NODES  "/dev/vfio/"
#define USE_EVENTS  (IN_OPEN | IN_CLOSE)
#define NODE_EVENTS (USE_EVENTS | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)

/* The first failure is told; it would be the same with each scan. */
static void complain(Watch *watch, const char *what, int error)
{
        if (watch->has_complained)
                return;
        watch->has_complained = true;
        journal_watch_failed(what, error);
}

static void link_free(Link *link)
{
        DL_DELETE2(link->cause->links, link, cause_prev, cause_next);
        DL_DELETE(link->device->links, link);
        free(link);
}

static void disarm(Cause *cause)
{
        if (cause->wd < 0)
                return;
        HASH_DELETE(hh_wd, cause->watch->causes_by_wd, cause);
        (void) inotify_rm_watch(cause->watch->inotify, cause->wd);
        cause->wd = -1;
}

static void cause_free(Cause *cause)
{
        Link *link, *next;

        DL_FOREACH_SAFE2 (cause->links, link, next, cause_next)
                link_free(link);
        disarm(cause);
        sd_event_source_disable_unref(cause->io);
        if (cause->is_process)
                cause->watch->n_processes--;
        else
                cause->watch->n_nodes--;
        HASH_DELETE(hh, cause->watch->causes, cause);
        free(cause);
}

static Cause *cause_new(Watch *watch, const char *path, bool is_process)
{
        Cause *cause = calloc(1, sizeof(Cause));

        if (!cause)
                return NULL;
        cause->watch = watch;
        cause->is_process = is_process;
        cause->wd = -1;
        memcpy(cause->path, path, strlen(path) + 1);
        HASH_ADD_STR(watch->causes, path, cause);
        if (is_process)
                watch->n_processes++;
        else
                watch->n_nodes++;
        return cause;
}

static Cause *find_cause(const Watch *watch, const char *path)
{
        Cause *cause;

        HASH_FIND_STR(watch->causes, path, cause);
        return cause;
}

static Cause *find_by_wd(const Watch *watch, int wd)
{
        Cause *cause;

        HASH_FIND(hh_wd, watch->causes_by_wd, &wd, sizeof(wd), cause);
        return cause;
}

/* 1 if the link is new, 0, or -ENOMEM. */
static int link_up(Watched *device, Cause *cause)
{
        Link *link;

        DL_FOREACH (device->links, link)
                if (link->cause == cause) {
                        link->is_fresh = true;
                        return 0;
                }
        link = calloc(1, sizeof(Link));
        if (!link)
                return -ENOMEM;
        *link = (Link){.device = device, .cause = cause, .is_fresh = true};
        DL_APPEND(device->links, link);
        DL_APPEND2(cause->links, link, cause_prev, cause_next);
        return 1;
}

/* What two paths lead to has one watch, and then one cause: `ret_same` is the other one, or NULL. */
static int listen_to(Cause *cause, Cause **ret_same)
{
        Watch *watch = cause->watch;
        int wd = inotify_add_watch(watch->inotify, cause->path, NODE_EVENTS);
        Cause *found = wd >= 0 ? find_by_wd(watch, wd) : NULL;

        cause->is_muted = false;
        *ret_same = found == cause ? NULL : found;
        if (found == cause)
                return 0;
        /* What was there before is another node. */
        disarm(cause);
        if (wd < 0)
                return -errno;
        if (found)
                return 0;
        cause->wd = wd;
        HASH_ADD(hh_wd, watch->causes_by_wd, wd, sizeof(cause->wd), cause);
        return 0;
}

/* Does not listen to use any more. */
static void mute(Cause *cause)
{
        int wd = inotify_add_watch(cause->watch->inotify, cause->path, NODE_EVENTS & ~USE_EVENTS);

        if (wd == cause->wd) {
                cause->is_muted = true;
                return;
        }
        /* The path leads elsewhere by now. */
        if (wd >= 0 && !find_by_wd(cause->watch, wd))
                (void) inotify_rm_watch(cause->watch->inotify, wd);
        disarm(cause);
}

static int set_node(Watch *watch, Watched *device, const char *path)
{
        Cause *cause = find_cause(watch, path), *same;
        bool was_deaf = !cause || cause->wd < 0;
        struct stat st;
        int r;

        if (stat(path, &st) >= 0 && S_ISBLK(st.st_mode))
                device->has_block = true;
        if (!cause && watch->n_nodes >= WATCH_NODES_MAX) {
                complain(watch, "All further device nodes", -ENOSPC);
                return 0;
        }
        if (!cause)
                cause = cause_new(watch, path, false);
        if (!cause)
                return -ENOMEM;
        if (!was_deaf)
                return link_up(device, cause);

        r = listen_to(cause, &same);
        if (r >= 0 && !same) {
                r = link_up(device, cause);
                return r < 0 ? r : 1;
        }
        if (!cause->links)
                cause_free(cause);
        if (r >= 0)
                return link_up(device, same);
        /* A node that has gone has told so, or udev has. */
        if (r != -ENOENT)
                complain(watch, path, r);
        return 0;
}

static int on_process_end(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Cause *cause = userdata;
        Link *link;

        DL_FOREACH2 (cause->links, link, cause_next)
                watch_touch(cause->watch, link->device, false);
        cause_free(cause);
        return 0;
}

static int open_process(Cause *cause, uint32_t pid)
{
        _cleanup_close_ int fd = (int) syscall(SYS_pidfd_open, (pid_t) pid, 0);
        int r;

        if (fd < 0)
                return -errno;
        if (!descriptor_leaves_room(fd))
                return -EMFILE;
        r = sd_event_add_io(cause->watch->event, &cause->io, fd, EPOLLIN, on_process_end, cause);
        if (r < 0)
                return r;
        (void) sd_event_source_set_io_fd_own(cause->io, true);
        (void) steal_fd(fd);
        return 0;
}

static int set_process(Watch *watch, Watched *device, uint32_t pid)
{
        char path[16];
        Cause *cause;
        int r;

        (void) snprintf(path, sizeof(path), "%u", pid);
        cause = find_cause(watch, path);
        if (cause)
                return link_up(device, cause);
        if (watch->n_processes >= WATCH_PROCESSES_MAX) {
                complain(watch, "All further processes", -ENOSPC);
                return 0;
        }
        cause = cause_new(watch, path, true);
        if (!cause)
                return -ENOMEM;
        r = open_process(cause, pid);
        if (r >= 0)
                return link_up(device, cause);
        cause_free(cause);
        /* It has ended since. */
        if (r == -ESRCH)
                return 1;
        complain(watch, "A process that uses a device", r);
        return r == -ENOMEM ? r : 0;
}

static void drop_links(Watched *device, bool all)
{
        Link *link, *next;

        DL_FOREACH_SAFE (device->links, link, next) {
                Cause *cause = link->cause;

                if (link->is_fresh && !all)
                        continue;
                link_free(link);
                if (!cause->links)
                        cause_free(cause);
        }
}

void watch_causes_drop(Watch *watch, Watched *device)
{
        drop_links(device, true);
}

/* Again only after it had fewer. */
static void complain_of_many(Watched *device, const WorkerUse *use)
{
        if (use->more_nodes && !device->is_partial)
                journal_watch_partial(&device->address, use->n_nodes);
        device->is_partial = use->more_nodes;
}

int watch_causes_set(Watch *watch, Watched *device, const WorkerUse *use, const WorkerScan *scan)
{
        bool is_new = false;
        Link *link;
        int r;

        complain_of_many(device, use);
        device->has_block = false;
        DL_FOREACH (device->links, link)
                link->is_fresh = false;
        for (size_t i = 0; i < use->n_nodes; i++) {
                r = set_node(watch, device, use->nodes[i]);
                if (r < 0)
                        return r;
                is_new = is_new || r > 0;
        }
        for (size_t i = 0; i < scan->n_holders; i++) {
                const Holder *holder = &scan->holders[i];

                if (holder->pid == 0 || !pci_address_equal(&holder->device, &device->address))
                        continue;
                r = set_process(watch, device, holder->pid);
                if (r < 0)
                        return r;
                is_new = is_new || r > 0;
        }
        drop_links(device, false);
        return is_new;
}

void watch_causes_rearm(Watch *watch, Watched *device)
{
        Link *link;
        Cause *same;

        DL_FOREACH (device->links, link)
                if (!link->cause->is_process && (link->cause->wd < 0 || link->cause->is_muted))
                        (void) listen_to(link->cause, &same);
}

/* The queue */

/* Scans open no nodes of VFIO's. */
static void tell_touched(Watch *watch, const Cause *cause, const Watched *device)
{
        bool is_vfio = strncmp(cause->path, VFIO_NODES, strlen(VFIO_NODES)) == 0;

        if (watch->touched && (is_vfio || device->n_looking == 0))
                watch->touched(watch->userdata, &device->address, is_vfio);
}

/* Whatever is about to be noticed anyway needs no further event. */
static void handle_node(Watch *watch, Cause *cause, uint32_t mask)
{
        bool is_use = mask & USE_EVENTS, all_pending = true, all_pending_owners = true;
        Link *link;

        DL_FOREACH2 (cause->links, link, cause_next) {
                Watched *device = link->device;

                if (is_use)
                        tell_touched(watch, cause, device);
                if (is_use && device->n_looking > 0)
                        device->skipped = true;
                else
                        watch_touch(watch, device, !is_use);
                all_pending = all_pending && device->is_pending;
                all_pending_owners = all_pending_owners && device->is_pending_owners;
        }
        /* If the node is gone the kernel does not listen any more either. */
        if (all_pending_owners)
                disarm(cause);
        else if (all_pending && !cause->is_muted)
                mute(cause);
}

static void handle_fence(Watch *watch, const char *name)
{
        unsigned long job;
        char *end;

        errno = 0;
        job = strtoul(name, &end, 10);
        if (errno == 0 && *end == '\0' && job <= UINT32_MAX)
                watch_fence(watch, (uint32_t) job);
}

static void handle_event(Watch *watch, const struct inotify_event *event)
{
        Cause *cause;

        if (event->mask & IN_Q_OVERFLOW) {
                watch_touch_kind(watch, WATCH_ALL, true);
                return;
        }
        if (event->wd == watch->fence_wd) {
                if (event->mask & IN_CREATE && event->len > 0)
                        handle_fence(watch, event->name);
                return;
        }
        cause = find_by_wd(watch, event->wd);
        if (cause)
                handle_node(watch, cause, event->mask);
}

/* How many bytes were handled: 0 if there are none. */
static size_t handle_some(Watch *watch)
{
        char buffer[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
        ssize_t n = read(watch->inotify, buffer, sizeof(buffer));

        for (ssize_t at = 0; at < n;) {
                const struct inotify_event *event = (const struct inotify_event *) (const void *) (buffer +
                                                                                                   at);

                handle_event(watch, event);
                at += (ssize_t) (sizeof(*event) + event->len);
        }
        return n > 0 ? (size_t) n : 0;
}

void watch_causes_drain(Watch *watch)
{
        int pending = 0;

        /* Not what comes meanwhile, which might never end. */
        if (ioctl(watch->inotify, FIONREAD, &pending) < 0)
                return;
        while (pending > 0) {
                size_t n = handle_some(watch);

                if (n == 0)
                        break;
                pending -= (int) n;
        }
}

static int on_inotify(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        (void) handle_some(userdata);
        return 0;
}

/* A worker that was killed may have left its own. */
static void clear_fences(const char *directory)
{
        DIR *dir = opendir(directory);
        struct dirent *entry;

        if (!dir)
                return;
        while ((entry = readdir(dir)))
                if (entry->d_name[0] != '.')
                        (void) unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
        (void) closedir(dir);
}

int watch_causes_new(Watch *watch, const char *fence_directory)
{
        watch->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (watch->inotify < 0)
                return -errno;
        if (mkdir(fence_directory, 0700) < 0 && errno != EEXIST)
                return -errno;
        clear_fences(fence_directory);
        watch->fence_wd = inotify_add_watch(watch->inotify, fence_directory, IN_CREATE | IN_ONLYDIR);
        if (watch->fence_wd < 0)
                return -errno;
        return sd_event_add_io(watch->event, &watch->inotify_io, watch->inotify, EPOLLIN, on_inotify, watch);
}

void watch_causes_free(Watch *watch)
{
        sd_event_source_disable_unref(watch->inotify_io);
        if (watch->inotify >= 0)
                (void) close(watch->inotify);
}
