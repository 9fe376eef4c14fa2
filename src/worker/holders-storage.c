/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Who uses the block devices: what is stacked on them, mounted and swapped to; and last, by claiming each
 * disk, whether anybody has claimed it whom none of that shows.
 *
 * An exclusive open of a disk (bd_may_claim) fails if anybody has claimed the disk or a partition of it, and
 * every mount, swap, device-mapper, md or btrfs device claims what it is on, in whichever namespace. One
 * claim of the whole disk is therefore proof for all of it. Only disks are claimed: what is stacked claims
 * them itself. Where that finds a claim, the mounts in other namespaces are searched for the one behind it.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "shared/cleanup.h"
#include "worker/attribute.h"
#include "worker/clock.h"
#include "worker/holders-look.h"
#include "worker/namespaces.h"

#define STACK_NODES_MAX 65536U

/* Another scan claims a disk too, for a moment. */
#define CLAIM_TRIES      5U
#define CLAIM_PAUSE_USEC (10 * USEC_PER_MSEC)

/* How long the mounts of others are searched. */
#define SEARCH_USEC (5 * USEC_PER_SEC)

static void mark(Look *look, size_t index, bool is_mounted)
{
        for (; index != NODE_NONE; index = look->nodes[index].below) {
                look->nodes[index].is_known = true;
                look->nodes[index].is_mounted |= is_mounted;
        }
}

/* ---- what is stacked ---- */

static bool has_node(const Look *look, size_t member, dev_t rdev)
{
        for (size_t i = 0; i < look->n_nodes; i++)
                if (look->nodes[i].type == NODE_BLOCK && look->nodes[i].member == member &&
                    look->nodes[i].rdev == rdev)
                        return true;
        return false;
}

/* Adds a block device, with its partitions, that stands on the node `below`. */
static int add_stacked(Look *look, size_t below, const char *name)
{
        size_t member = look->nodes[below].member, n = look->n_nodes;
        unsigned number_major, number_minor;
        char text[32];
        int fd, r;

        if (look->n_nodes > STACK_NODES_MAX)
                return look_fail(look, E2BIG, "too many block devices are stacked");
        fd = look_open(look->roots.sys, O_RDONLY | O_DIRECTORY, "class/block/%s", name);
        if (fd == -ENOENT)
                return 0;
        if (fd < 0)
                return look_fail(look, -fd, "%s cannot be opened in sysfs", name);
        /* It may stand on several of this device's partitions. */
        if (attribute_read(fd, "dev", text, sizeof(text)) > 0 &&
            sscanf(text, "%u:%u", &number_major, &number_minor) == 2 &&
            has_node(look, member, makedev(number_major, number_minor))) {
                (void) close(fd);
                mark(look, below, false);
                return 0;
        }
        r = look_walk(look, member, fd, name, below, true);
        /* What has gone meanwhile explains no claim. */
        if (look->n_nodes > n)
                mark(look, below, false);
        return r;
}

static int add_holders_of(Look *look, size_t index)
{
        char name[sizeof(look->nodes->name)];
        struct dirent *entry;
        DIR *directory;
        int fd, r = 0;

        memcpy(name, look->nodes[index].name, sizeof(name));
        fd = look_open(look->roots.sys, O_RDONLY | O_DIRECTORY, "class/block/%s/holders", name);
        if (fd == -ENOENT)
                return 0;
        if (fd < 0)
                return look_fail(look, -fd, "what is stacked on %s cannot be listed", name);
        directory = fdopendir(fd);
        if (!directory) {
                (void) close(fd);
                return -ENOMEM;
        }
        while (r >= 0 && (entry = readdir(directory)))
                if (entry->d_name[0] != '.')
                        r = add_stacked(look, index, entry->d_name);
        (void) closedir(directory);
        return r;
}

/* A name in somebody's words, mount's or the loop driver's, as the node it leads to. */
static bool path_is(const Look *look, const char *path, const Node *node)
{
        _cleanup_free_ char *below_root = NULL, *mine = NULL, *real = NULL, *real_mine = NULL;

        if (strncmp(path, "/dev/", strlen("/dev/")) != 0 || node->path[0] == '\0')
                return false;
        if (strcmp(path, node->path) == 0)
                return true;
        if (asprintf(&below_root, "%s%s", look->roots.dev, path + strlen("/dev")) < 0) {
                below_root = NULL;
                return false;
        }
        if (asprintf(&mine, "%s%s", look->roots.dev, node->path + strlen("/dev")) < 0) {
                mine = NULL;
                return false;
        }
        real = realpath(below_root, NULL);
        real_mine = realpath(mine, NULL);
        return real && real_mine && strcmp(real, real_mine) == 0;
}

/* Loop devices on a block device do not claim it. Those on a file need a mount. */
static int add_loops(Look *look)
{
        int fd = look_open(look->roots.sys, O_RDONLY | O_DIRECTORY, "class/block");
        struct dirent *entry;
        DIR *directory;
        int r = 0;

        if (fd < 0)
                return look_fail(look, -fd, "the list of block devices cannot be opened");
        directory = fdopendir(fd);
        if (!directory) {
                (void) close(fd);
                return -ENOMEM;
        }
        while (r >= 0 && (entry = readdir(directory))) {
                _cleanup_free_ char *file = NULL;

                if (strncmp(entry->d_name, "loop", 4) != 0 ||
                    look_read(look->roots.sys, &file, "class/block/%s/loop/backing_file", entry->d_name) < 0)
                        continue;
                file[strcspn(file, "\n")] = '\0';
                for (size_t i = 0, n = look->n_nodes; r >= 0 && i < n; i++)
                        if (look->nodes[i].type == NODE_BLOCK && path_is(look, file, &look->nodes[i]))
                                r = add_stacked(look, i, entry->d_name);
        }
        (void) closedir(directory);
        return r;
}

static int find_stacked(Look *look)
{
        int r;

        r = add_loops(look);
        /* What is added is looked at in its turn. */
        for (size_t i = 0; r >= 0 && i < look->n_nodes; i++)
                if (look->nodes[i].type == NODE_BLOCK)
                        r = add_holders_of(look, i);
        return r;
}

/* ---- mounts and swap ---- */

typedef struct Mount {
        dev_t device; /* major 0: the file system's own number, not that of what it is on */
        const char *where;
        const char *type;
        const char *source;
} Mount;

/* `36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/sda1 rw`: proc_pid_mountinfo(5). In place. */
static bool parse_mount(char *line, Mount *ret)
{
        unsigned number_major, number_minor;
        char *save = NULL, *field, *where = NULL, *type;
        unsigned n = 0;

        for (field = strtok_r(line, " ", &save); field; field = strtok_r(NULL, " ", &save), n++) {
                if (n == 2 && sscanf(field, "%u:%u", &number_major, &number_minor) != 2)
                        return false;
                if (n == 4)
                        where = field;
                if (n > 5 && strcmp(field, "-") == 0)
                        break;
        }
        type = field ? strtok_r(NULL, " ", &save) : NULL;
        field = type ? strtok_r(NULL, " ", &save) : NULL;
        if (!field)
                return false;
        look_unescape(where);
        look_unescape(field);
        *ret = (Mount){.device = makedev(number_major, number_minor),
                       .where = where,
                       .type = type,
                       .source = field};
        return true;
}

/* Without a number of a device, as with btrfs, the name tells. But what a FUSE file system calls its source
 * is any user's own invention (fusermount's option fsname); if it has a device open that is seen at its
 * process. */
static bool is_mount_of(const Look *look, const Mount *mount, const Node *node)
{
        if (major(mount->device) != 0)
                return mount->device == node->rdev;
        return strcmp(mount->type, "fuse") != 0 && strncmp(mount->type, "fuse.", strlen("fuse.")) != 0 &&
               path_is(look, mount->source, node);
}

/* `who` is a process that sees the mount in a namespace of its own; NULL: we see it. */
static int note_mount(Look *look, const Mount *mount, const Holder *who)
{
        for (size_t i = 0; i < look->n_nodes; i++) {
                const Node *node = &look->nodes[i];
                char what[HOLDER_WHAT_MAX + PATH_MAX];
                bool is_root = !who && strcmp(mount->where, "/") == 0;
                int r;

                if (node->type != NODE_BLOCK || !is_mount_of(look, mount, node))
                        continue;
                mark(look, i, true);
                (void) snprintf(what, sizeof(what), "%s on %s", node->label, mount->where);
                r = look_add(look, node->member, is_root ? HOLDER_ROOT : HOLDER_MOUNT, who,
                             is_root ? node->label : what);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int find_mounts(Look *look, const char *process)
{
        _cleanup_free_ char *text = NULL;
        char *save = NULL;
        int r;

        r = look_read(look->roots.proc, &text, "%s/mountinfo", process);
        if (r < 0)
                return look_fail(look, -r, "the mounts of process %s cannot be read", process);
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                Mount mount;

                if (!parse_mount(line, &mount))
                        return look_fail(look, EBADMSG, "the mounts of process %s make no sense", process);
                r = note_mount(look, &mount, NULL);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Swap files are on a file system, which is mounted. */
static int find_swap(Look *look)
{
        _cleanup_free_ char *text = NULL;
        char *save = NULL, *line;
        int r;

        r = look_read(look->roots.proc, &text, "swaps");
        if (r == -ENOENT) /* a kernel without swap */
                return 0;
        if (r < 0)
                return look_fail(look, -r, "the list of swaps cannot be read");
        (void) strtok_r(text, "\n", &save); /* the heading */
        while ((line = strtok_r(NULL, "\n", &save))) {
                line[strcspn(line, " \t")] = '\0';
                look_unescape(line);
                for (size_t i = 0; i < look->n_nodes; i++) {
                        if (look->nodes[i].type != NODE_BLOCK || !path_is(look, line, &look->nodes[i]))
                                continue;
                        mark(look, i, true);
                        r = look_add(look, look->nodes[i].member, HOLDER_SWAP, NULL, look->nodes[i].label);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

/* What carries something that carries neither a file system nor swap. */
static int tell_stacked(Look *look)
{
        for (size_t i = 0; i < look->n_nodes; i++) {
                const Node *top = &look->nodes[i], *below;
                char what[2 * HOLDER_WHAT_MAX];
                int r;

                if (!top->is_stacked || top->below == NODE_NONE)
                        continue;
                below = &look->nodes[top->below];
                if (below->is_stacked || below->is_mounted)
                        continue;
                (void) snprintf(what, sizeof(what), "%s (under /dev/%s)", below->label, top->name);
                r = look_add(look, below->member, HOLDER_BLOCK, NULL, what);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- claims ---- */

static int keep_claim(Look *look, int fd)
{
        HoldersClaims *claims = look->claims;
        int *bigger;

        if (!claims) {
                (void) close(fd);
                return 0;
        }
        bigger = reallocarray(claims->fds, claims->n_fds + 1, sizeof(*bigger));
        if (!bigger) {
                (void) close(fd);
                return -ENOMEM;
        }
        claims->fds = bigger;
        claims->fds[claims->n_fds++] = fd;
        return 0;
}

/* Nobody can hold what is not there. */
static bool is_empty(int r)
{
        return r == -ENXIO || r == -ENOMEDIUM || r == -ENODEV;
}

static bool is_claimed(Look *look, size_t index)
{
        int fd = look_claim(look, &look->nodes[index]);

        if (fd >= 0)
                (void) close(fd);
        return fd == -EBUSY;
}

/* What one process sees in a mount namespace of its own. Only by number: a name there may lead to another
 * node than here. */
static int find_mounts_of(Look *look, uint32_t pid)
{
        _cleanup_free_ char *text = NULL;
        Holder who = {.silent = true};
        char *save = NULL;
        int r = look_read(look->roots.proc, &text, "%" PRIu32 "/mountinfo", pid);

        /* It has gone, or we may not look: then there is a claim, and no more. */
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        look_describe(look, pid, &who);
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                Mount mount;

                if (!parse_mount(line, &mount) || major(mount.device) == 0)
                        continue;
                r = note_mount(look, &mount, &who);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* In the mount namespaces that processes live in. Who is behind a claim is good to know, and no more. */
static int find_mounts_elsewhere(Look *look)
{
        uint64_t end = now_usec() + SEARCH_USEC;
        Namespaces namespaces = {};
        int r = namespaces_find(&namespaces, look, "mnt");

        for (size_t i = 0; i < namespaces.n && r >= 0 && now_usec() < end; i++)
                r = find_mounts_of(look, namespaces.all[i].pid);
        namespaces_done(&namespaces);
        return r == -ENOENT ? 0 : r;
}

/* The disk is claimed, and nothing that was found explains it: says which of its partitions is. */
static int tell_claimed(Look *look, size_t disk)
{
        /* Another mount namespace, whose mounts nobody announces. */
        const Holder elsewhere = {.silent = true};
        bool is_partition = false;
        int r = find_mounts_elsewhere(look);

        if (r < 0 || look->nodes[disk].is_known)
                return r;
        for (size_t i = 0; i < look->n_nodes; i++) {
                const Node *node = &look->nodes[i];

                if (node->type != NODE_BLOCK || node->below != disk || node->is_stacked ||
                    !is_claimed(look, i))
                        continue;
                is_partition = true;
                r = look_add(look, node->member, HOLDER_BLOCK, &elsewhere, node->label);
                if (r < 0)
                        return r;
        }
        return is_partition ? 0
                            : look_add(look, look->nodes[disk].member, HOLDER_BLOCK, &elsewhere,
                                       look->nodes[disk].label);
}

static int claim_disk(Look *look, size_t disk)
{
        const Node *node = &look->nodes[disk];
        int fd = -EBUSY;

        /* It is in the way as it is, and claiming it would fail. */
        if (node->is_known)
                return 0;

        for (unsigned i = 0; fd == -EBUSY && i < CLAIM_TRIES; i++) {
                if (i > 0)
                        sleep_usec(CLAIM_PAUSE_USEC);
                fd = look_claim(look, node);
        }
        if (fd >= 0)
                return keep_claim(look, fd);
        if (fd == -EBUSY)
                return tell_claimed(look, disk);
        return is_empty(fd) ? 0
                            : look_fail(look, -fd, "whether %s is in use cannot be found out", node->label);
}

int look_at_storage(Look *look)
{
        bool has_blocks = false;
        int r;

        for (size_t i = 0; i < look->n_nodes; i++)
                has_blocks |= look->nodes[i].type == NODE_BLOCK;
        if (!has_blocks)
                return 0;

        r = find_stacked(look);
        /* The machine's mounts, and ours, should they differ. */
        if (r >= 0)
                r = find_mounts(look, "1");
        if (r >= 0)
                r = find_mounts(look, "self");
        if (r >= 0)
                r = find_swap(look);
        if (r >= 0)
                r = tell_stacked(look);
        for (size_t i = 0; r >= 0 && i < look->n_nodes; i++)
                if (look->nodes[i].is_disk)
                        r = claim_disk(look, i);
        return r;
}
