/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What can be used of a device: the device nodes and network interfaces below its directory in sysfs.
 *
 * The walk goes down real directories only, follows no link and stops at other PCI functions, which are
 * members of their own or no business of ours. Of the files it reads nothing but `dev`: the device's own
 * `uevent`, `config` and others wait for a reset that is going on.
 *
 * Two things are elsewhere. VFIO's group belongs to a whole IOMMU group. And an NVMe namespace that can be
 * reached over several controllers is one block device of the subsystem; below the controller there is only
 * a hidden one, without a number.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "shared/cleanup.h"
#include "worker/attribute.h"
#include "worker/holders-look.h"

#define DEPTH_MAX 32U

/* Directories without devices in them, some of them large. */
static const char *const dull_directories[] = {"power",   "msi_irqs", "statistics", "queues",
                                               "holders", "slaves",   "mq",         "integrity",
                                               "trace",   "link",     "tsm"};

static bool is_dull(const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(dull_directories); i++)
                if (strcmp(name, dull_directories[i]) == 0)
                        return true;
        return false;
}

/* Another function, or a host bridge that a function is (`pci10000:e0`, VMD). */
static bool is_pci(const char *name)
{
        PciAddress address;

        return pci_address_parse(name, &address) == 0 ||
               (strncmp(name, "pci", 3) == 0 && strchr(name, ':') != NULL);
}

int look_add_node(Look *look, const Node *node, size_t *ret)
{
        int r;

        r = look_grow((void **) &look->nodes, &look->nodes_size, look->n_nodes, sizeof(*look->nodes));
        if (r < 0)
                return r;
        if (ret)
                *ret = look->n_nodes;
        look->nodes[look->n_nodes++] = *node;
        return 0;
}

static bool node_is(const Look *look, const char *path, const Node *node)
{
        _cleanup_close_ int fd = look_open(look->roots.dev, O_PATH, "%s", path);
        struct stat st;

        return fd >= 0 && fstat(fd, &st) == 0 && st.st_rdev == node->rdev &&
               (node->type == NODE_BLOCK ? S_ISBLK(st.st_mode) : S_ISCHR(st.st_mode));
}

/* udev keeps a link for every number, whatever its rules have called the node. */
static bool find_path_by_number(const Look *look, Node *node)
{
        _cleanup_close_ int fd = -EBADF;
        char number[32], target[PATH_MAX];
        ssize_t n;

        fd = look_open(look->roots.dev, O_PATH | O_DIRECTORY, "%s",
                       node->type == NODE_BLOCK ? "block" : "char");
        if (fd < 0)
                return false;
        (void) snprintf(number, sizeof(number), "%u:%u", major(node->rdev), minor(node->rdev));
        n = readlinkat(fd, number, target, sizeof(target) - 1);
        if (n < 0)
                return false;
        target[n] = '\0';
        return strncmp(target, "../", 3) == 0 && target[3] != '\0' && !strstr(target + 3, "../") &&
               snprintf(node->path, sizeof(node->path), "/dev/%s", target + 3) < (int) sizeof(node->path);
}

/* Without udev the kernel's own name is worth a try, if it is this device. */
static void find_path_by_name(const Look *look, Node *node)
{
        char name[sizeof(node->name)];

        (void) snprintf(name, sizeof(name), "%s", node->name);
        for (char *c = strchr(name, '!'); c; c = strchr(c, '!'))
                *c = '/';
        if (node_is(look, name, node))
                (void) snprintf(node->path, sizeof(node->path), "/dev/%.80s", name);
}

/* Device-mapper's devices are known by the name that was given to them. */
static void find_label(const Look *look, int fd, Node *node)
{
        char name[128];

        if (attribute_read(fd, "dm/name", name, sizeof(name)) > 0)
                (void) snprintf(node->label, sizeof(node->label), "/dev/mapper/%.60s", name);
        else if (node->path[0] != '\0')
                (void) snprintf(node->label, sizeof(node->label), "%s", node->path);
        else
                (void) snprintf(node->label, sizeof(node->label), "%s (%s %u:%u)", node->name,
                                node->type == NODE_BLOCK ? "block" : "char", major(node->rdev),
                                minor(node->rdev));
        if (node->is_stacked && node->below != NODE_NONE) {
                size_t n = strlen(node->label);
                const Node *disk = &look->nodes[node->below];

                (void) snprintf(node->label + n, sizeof(node->label) - n, " (on %.70s)", disk->label);
        }
}

/* By which it is known again when somebody has it open. */
static void identify_node(const Look *look, Node *node)
{
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        if (node->path[0] == '\0')
                return;
        fd = look_open(look->roots.dev, O_PATH, "%s", node->path + strlen("/dev/"));
        if (fd < 0 || fstat(fd, &st) < 0)
                return;
        node->file_system = st.st_dev;
        node->inode = st.st_ino;
}

static void name_node(const Look *look, int fd, Node *node)
{
        if (node->type == NODE_VFIO)
                return;
        if (!find_path_by_number(look, node)) {
                node->path[0] = '\0';
                find_path_by_name(look, node);
        }
        identify_node(look, node);
        find_label(look, fd, node);
}

int look_claim(const Look *look, const Node *node)
{
        struct stat st;
        int fd;

        if (node->path[0] == '\0')
                return -ENOENT;
        fd = look_open(look->roots.dev, O_RDONLY | O_EXCL | O_NONBLOCK, "%s", node->path + strlen("/dev/"));
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode) || st.st_rdev != node->rdev) {
                (void) close(fd);
                return -EXDEV;
        }
        return fd;
}

static int note_vfio_owner(Look *look, Node *node)
{
        Member *member = &look->members[node->member];
        _cleanup_close_ int fd = look_open(look->roots.dev, O_PATH, "%s", node->path + strlen("/dev/"));
        struct stat st;

        member->has_vfio_node = true;
        /* Nobody owns a node that is not there. */
        if (fd < 0)
                return 0;
        if (fstat(fd, &st) < 0)
                return look_fail(look, errno, "%s cannot be looked at", node->path);
        member->has_vfio_uid = true;
        member->vfio_uid = st.st_uid;
        node->file_system = st.st_dev;
        node->inode = st.st_ino;
        return 0;
}

static int add_vfio_node(Look *look, size_t member, dev_t rdev, const char *directory, const char *name)
{
        Node node = {.member = member, .type = NODE_VFIO, .rdev = rdev, .below = NODE_NONE};
        int r;

        (void) snprintf(node.name, sizeof(node.name), "%s", name);
        (void) snprintf(node.path, sizeof(node.path), "/dev/vfio/%s%.60s", directory, name);
        (void) snprintf(node.label, sizeof(node.label), "%s", node.path);
        r = note_vfio_owner(look, &node);
        return r < 0 ? r : look_add_node(look, &node, NULL);
}

/* `dev` reads `major:minor`. 0, -ENOENT if the directory is no device, or what reading said. */
static int read_number(int fd, dev_t *ret)
{
        unsigned number_major, number_minor;
        char text[32];
        ssize_t n;

        n = attribute_read(fd, "dev", text, sizeof(text));
        if (n < 0)
                return (int) n;
        if (sscanf(text, "%u:%u", &number_major, &number_minor) != 2)
                return -EBADMSG;
        *ret = makedev(number_major, number_minor);
        return 0;
}

/* If the directory is a device with a node, adds it. `*below` becomes the new node if it is a block device.
 */
static int add_own_node(Look *look, size_t member, int fd, const char *name, size_t *below, bool is_stacked)
{
        Node node = {.member = member, .below = *below, .is_stacked = is_stacked};
        char subsystem[32];
        struct stat st;
        int r;

        r = read_number(fd, &node.rdev);
        if (r == -ENOENT || r == -ENODEV)
                return 0;
        if (r < 0)
                return look_fail(look, -r, "the number of %s cannot be read", name);
        r = attribute_read_link(fd, "subsystem", subsystem, sizeof(subsystem));
        if (r == -ENOENT || r == -EMSGSIZE)
                subsystem[0] = '\0';
        else if (r < 0)
                return look_fail(look, -r, "the subsystem of %s cannot be read", name);

        if (strcmp(subsystem, "vfio-dev") == 0)
                return add_vfio_node(look, member, node.rdev, "devices/", name);
        (void) snprintf(node.name, sizeof(node.name), "%s", name);
        node.type = strcmp(subsystem, "block") == 0 ? NODE_BLOCK : NODE_CHAR;
        if (node.type == NODE_BLOCK)
                node.is_disk = !is_stacked && fstatat(fd, "partition", &st, AT_SYMLINK_NOFOLLOW) < 0;
        name_node(look, fd, &node);
        return look_add_node(look, &node, node.type == NODE_BLOCK ? below : NULL);
}

static int add_interface(Look *look, size_t member, const char *name)
{
        Interface interface = {.member = member};
        int r;

        r = look_grow((void **) &look->interfaces, &look->interfaces_size, look->n_interfaces,
                      sizeof(*look->interfaces));
        if (r < 0)
                return r;
        if (strlen(name) >= sizeof(interface.name))
                return look_fail(look, EMSGSIZE, "the interface %s has too long a name", name);
        memcpy(interface.name, name, strlen(name) + 1);
        look->interfaces[look->n_interfaces++] = interface;
        look->members[member].has_interface = true;
        return 0;
}

/* `nvme0c1n2`, hidden below its controller, is a way to `nvme0n2` of the subsystem. */
static int walk_nvme_head(Look *look, size_t member, const char *name)
{
        unsigned subsystem, controller, namespace;
        char head[32];
        int fd, end = 0;

        if (sscanf(name, "nvme%uc%un%u%n", &subsystem, &controller, &namespace, &end) != 3 ||
            name[end] != '\0')
                return 0;
        for (unsigned is_char = 0; is_char < 2; is_char++) {
                (void) snprintf(head, sizeof(head), "%s%un%u", is_char ? "ng" : "nvme", subsystem,
                                namespace);
                fd = look_open(look->roots.sys, O_RDONLY | O_DIRECTORY, "class/%s/%s",
                               is_char ? "nvme-generic" : "block", head);
                if (fd == -ENOENT)
                        continue;
                if (fd < 0)
                        return look_fail(look, -fd, "%s cannot be opened in sysfs", head);
                fd = look_walk(look, member, fd, head, NODE_NONE, false);
                if (fd < 0)
                        return fd;
        }
        return 0;
}

typedef struct Walk {
        Look *look;
        size_t member;
        bool is_stacked;
} Walk;

static int walk_directory(const Walk *walk, int fd, const char *name, size_t below, unsigned depth);

static int walk_child(const Walk *walk, int fd, const struct dirent *entry, bool are_interfaces,
                      size_t below, unsigned depth)
{
        const char *name = entry->d_name;
        int child, r;

        if (entry->d_type != DT_DIR || name[0] == '.')
                return 0;
        if (are_interfaces)
                return add_interface(walk->look, walk->member, name);
        if (is_dull(name) || is_pci(name))
                return 0;
        r = walk_nvme_head(walk->look, walk->member, name);
        if (r < 0)
                return r;

        child = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (child < 0)
                return errno == ENOENT || errno == ENODEV
                               ? 0
                               : look_fail(walk->look, errno, "%s cannot be opened in sysfs", name);
        return walk_directory(walk, child, name, below, depth + 1);
}

/* Takes `fd` over. */
static int walk_directory(const Walk *walk, int fd, const char *name, size_t below, unsigned depth)
{
        bool are_interfaces = strcmp(name, "net") == 0;
        struct dirent *entry;
        DIR *directory;
        int r;

        directory = fdopendir(fd);
        if (!directory) {
                (void) close(fd);
                return -ENOMEM;
        }
        r = depth > DEPTH_MAX ? look_fail(walk->look, ELOOP, "%s lies too deep in sysfs", name) : 0;
        if (r >= 0 && depth > 0)
                r = add_own_node(walk->look, walk->member, fd, name, &below, walk->is_stacked);
        while (r >= 0) {
                errno = 0;
                entry = readdir(directory);
                if (!entry) {
                        if (errno != 0 && errno != ENOENT)
                                r = look_fail(walk->look, errno, "%s cannot be listed in sysfs", name);
                        break;
                }
                r = walk_child(walk, fd, entry, are_interfaces, below, depth);
        }
        (void) closedir(directory);
        return r;
}

int look_walk(Look *look, size_t member, int fd, const char *name, size_t below, bool is_stacked)
{
        const Walk walk = {.look = look, .member = member, .is_stacked = is_stacked};

        return walk_directory(&walk, fd, name, below, 1);
}

/* There is a node for the group as long as one of its devices is bound to a VFIO driver. */
static int add_vfio_group(Look *look, size_t member)
{
        static const char *const prefixes[] = {"", "noiommu-"};
        char group[32], name[48];
        dev_t rdev;
        int r;

        r = attribute_read_link(look->members[member].fd, "iommu_group", group, sizeof(group));
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return look_fail(look, -r, "the IOMMU group of %s cannot be read",
                                 look->members[member].name);
        for (size_t i = 0; i < ELEMENTSOF(prefixes); i++) {
                _cleanup_close_ int fd = -EBADF;

                (void) snprintf(name, sizeof(name), "%s%s", prefixes[i], group);
                fd = look_open(look->roots.sys, O_RDONLY | O_DIRECTORY, "class/vfio/%s", name);
                if (fd == -ENOENT)
                        continue;
                r = fd < 0 ? fd : read_number(fd, &rdev);
                if (r < 0)
                        return look_fail(look, -r, "the number of VFIO's group %s cannot be read", group);
                return add_vfio_node(look, member, rdev, "", name);
        }
        return 0;
}

int look_find_nodes(Look *look)
{
        for (size_t i = 0; i < look->n_members; i++) {
                const Member *member = &look->members[i];
                const Walk walk = {.look = look, .member = i};
                int fd, r;

                if (member->is_bridge)
                        continue;
                fd = openat(member->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (fd < 0)
                        return look_fail(look, errno, "%s cannot be opened in sysfs", member->name);
                r = walk_directory(&walk, fd, member->name, NODE_NONE, 0);
                if (r >= 0)
                        r = add_vfio_group(look, i);
                if (r < 0)
                        return r;
                /* A directory whose device is removed lists nothing. */
                if (faccessat(member->fd, "class", F_OK, 0) < 0)
                        return look_fail(look, ENODEV, "%s is gone", member->name);
        }
        return 0;
}
