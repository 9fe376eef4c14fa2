/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * One look at who uses devices, while it goes on: what the files holders-*.c share.
 *
 * First the members' directories in sysfs are walked for what can be used: device nodes and network
 * interfaces. Then each file asks one side of the machine who uses them.
 */

#include <net/if.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "worker/holders.h"

#define NODE_NONE SIZE_MAX

typedef enum NodeType {
        NODE_CHAR,
        NODE_BLOCK,
        NODE_VFIO, /* a character device too: VFIO's group, or the device's own */
} NodeType;

/* A device node below a member, or a block device that is stacked on one. */
typedef struct Node {
        size_t member;
        NodeType type;
        dev_t rdev;
        char name[64]; /* in sysfs */
        char path[WORKER_NODE_MAX]; /* below /dev, as it is called on a machine; empty: not there */
        char label[HOLDER_WHAT_MAX]; /* for people */
        dev_t file_system; /* of the node in /dev, */
        ino_t inode; /* and its number there, 0: not there */
        size_t below; /* the node it is a partition of or stacked on, or NODE_NONE */
        bool is_disk; /* neither partition nor stacked: claiming it claims all of it */
        bool is_stacked; /* device-mapper, md, loop: or a partition of such */
        bool is_known; /* that it is claimed is explained: something is mounted from it or stacked on it */
        bool is_mounted; /* a file system or swap is on it or above it */
} Node;

typedef struct Interface {
        size_t member;
        char name[IF_NAMESIZE];
} Interface;

typedef struct Member {
        const WorkerMember *expected;
        char name[PCI_ADDRESS_STRING_MAX];
        int fd; /* its directory */
        char driver[WORKER_DRIVER_MAX]; /* empty: none */
        uint32_t class;
        bool is_bridge; /* has no users of its own */
        bool has_interface;
        bool has_vfio_node;
        Holder *holders; /* room for HOLDERS_PER_DEVICE_MAX, or NULL: none yet */
        size_t n_holders;
        bool truncated;
        bool has_vfio_uid;
        uid_t vfio_uid;
        char owner[WORKER_OWNER_MAX];
} Member;

typedef struct Look {
        HoldersRoots roots;
        Member *members;
        size_t n_members;
        Node *nodes;
        size_t n_nodes, nodes_size;
        Interface *interfaces;
        size_t n_interfaces, interfaces_size;
        HoldersClaims *claims; /* NULL: none are kept */
        uint32_t fence; /* the job whose fence is raised, 0: none */

        pthread_mutex_t lock; /* for what follows, and the members' holders: processes are looked at by
                               * several threads */
        int error; /* positive errno */
        char message[sizeof(((WorkerScan *) NULL)->message)];
} Look;

/* These return 0 or a negative errno: -ENOMEM, or one that look_fail() has noted. The look ends there. */
int look_find_nodes(Look *look); /* holders-nodes.c */
int look_at_other_networks(Look *look); /* holders-netns.c: what is in other network namespaces */
int look_at_networks(Look *look);
int look_at_storage(Look *look);
int look_at_processes(Look *look);
int look_for_owners(Look *look);

/* Notes what could not be looked at, if it is the first thing, and returns -error. `error` is positive. */
int look_fail(Look *look, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Adds a holder unless it is known. `process` (pid, uid, command, unit, silent) is NULL for what is no
 * process and is announced when it ends. */
int look_add(Look *look, size_t member, HolderKind kind, const Holder *process, const char *what);

/* Who the process is, for look_add(): pid, uid, command, unit. `ret` is empty; what has gone with the
 * process stays so. */
void look_describe(const Look *look, uint32_t pid, Holder *ret);

/* Opens a path below one of the roots, following links. A descriptor or a negative errno. */
int look_open(const char *root, int flags, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* All of a small text file below one of the roots, ended with NUL. 0 or a negative errno. */
int look_read(const char *root, char **ret, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Adds the nodes of one directory in sysfs and of those below it, for which `fd` is taken over. `below` and
 * `is_stacked` are those of Node. */
int look_walk(Look *look, size_t member, int fd, const char *name, size_t below, bool is_stacked);

/* Adds a node, whose index goes to `ret` if that is not NULL. */
int look_add_node(Look *look, const Node *node, size_t *ret);

/* Opens a block device exclusively. A descriptor; -EBUSY if somebody has claimed it; or what else open()
 * said. */
int look_claim(const Look *look, const Node *node);

/* The kernel writes blanks and such in paths as a backslash and three octal digits. In place. */
void look_unescape(char *text);

/* Room for one more element. */
int look_grow(void **array, size_t *size, size_t n, size_t element);
