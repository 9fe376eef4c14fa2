/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Which processes have the nodes open: one pass over the descriptors of all processes.
 *
 * What counts is the number of the device behind a descriptor, whatever name it was opened by: a container
 * has its nodes in a /dev of its own, and a node may be unlinked. That takes one statx() for each
 * descriptor, which is what the pass spends its time with; reading the link first, to leave out sockets and
 * such, would take as long for each of those as the statx(). Large machines are shared out among threads.
 *
 * Threads share their descriptors with the process, as a rule. One may have a table of its own (unshare(2)),
 * and where the first thread has ended only the others show what the process has open.
 *
 * VFIO's device descriptors are anonymous. Which device they are is told by `vfio-device-syspath` in their
 * fdinfo since Linux 6.18; before, only the group's descriptor gives the user away.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <linux/kcmp.h>

#include "shared/cleanup.h"
#include "worker/attribute.h"
#include "worker/holders-look.h"

#define THREADS_MAX          4U
#define PROCESSES_PER_THREAD 256U
#define PROCESSES_AT_ONCE    32U

#define VFIO_DEVICE  "anon_inode:[vfio-device]"
#define VFIO_SYSPATH "vfio-device-syspath:"

typedef struct Target {
        dev_t rdev;
        bool is_block;
        size_t node;
} Target;

typedef struct Pass {
        Look *look;
        int proc_fd;
        Target *targets; /* in order */
        size_t n_targets;
        bool has_vfio;
        uint32_t anonymous_major, anonymous_minor; /* the file system of anonymous descriptors */
        uint32_t *pids;
        size_t n_pids;
        atomic_size_t next;
        uint32_t self; /* never a holder */
} Pass;

/* A process that is being looked at. */
typedef struct Subject {
        Pass *pass;
        uint32_t pid;
        char name[16]; /* its directory */
        char task[40]; /* that of the process or thread whose descriptors are looked at */
        int fd; /* the directory of these descriptors */
        bool is_described, is_worker;
        Holder description;
} Subject;

static int compare_targets(const void *a, const void *b)
{
        const Target *x = a, *y = b;

        if (x->is_block != y->is_block)
                return x->is_block ? 1 : -1;
        if (x->rdev != y->rdev)
                return x->rdev < y->rdev ? -1 : 1;
        return 0;
}

/* ---- who it is ---- */

/* The last part of the control group that is a unit: what is below it is the unit's own business. */
static void find_unit(char *groups, char ret[static HOLDER_UNIT_MAX])
{
        char *save_line = NULL, *save_part = NULL;

        ret[0] = '\0';
        for (char *line = strtok_r(groups, "\n", &save_line); line;
             line = strtok_r(NULL, "\n", &save_line)) {
                const char *path = strstr(line, ":/");

                if (!path || (strncmp(line, "0::", 3) != 0 && !strstr(line, ":name=systemd:")))
                        continue;
                for (char *part = strtok_r(line + (path - line) + 1, "/", &save_part); part;
                     part = strtok_r(NULL, "/", &save_part)) {
                        const char *dot = strrchr(part, '.');

                        if (dot && (strcmp(dot, ".service") == 0 || strcmp(dot, ".scope") == 0))
                                (void) snprintf(ret, HOLDER_UNIT_MAX, "%s", part);
                }
                if (ret[0] != '\0')
                        return;
        }
}

/* The real user: whoever started it, also if it runs with the rights of another. */
static uint32_t find_uid(const char *status)
{
        const char *line = strstr(status, "\nUid:");
        uint32_t uid;

        return line && sscanf(line + strlen("\nUid:"), "%" SCNu32, &uid) == 1 ? uid : 0;
}

static bool same_program(const Pass *pass, const char *a, const char *b)
{
        const int flags = AT_NO_AUTOMOUNT |
                          AT_STATX_DONT_SYNC; /* a user's program may lie in his own FUSE */
        struct statx x, y;

        return statx(pass->proc_fd, a, flags, STATX_INO, &x) == 0 &&
               statx(pass->proc_fd, b, flags, STATX_INO, &y) == 0 && x.stx_dev_major == y.stx_dev_major &&
               x.stx_dev_minor == y.stx_dev_minor && x.stx_ino == y.stx_ino;
}

/* A worker of ours that scans the same device has its disks open for a moment. Anybody can run the program,
 * to hide behind it, but not as us. */
static bool is_worker(const Subject *subject, uint32_t uid)
{
        char path[sizeof(subject->name) + sizeof("/exe")];

        (void) snprintf(path, sizeof(path), "%s/exe", subject->name);
        return subject->pass->self != 0 && uid == geteuid() && same_program(subject->pass, path, "self/exe");
}

void look_describe(const Look *look, uint32_t pid, Holder *ret)
{
        const char *root = look->roots.proc;
        char *text;

        ret->pid = pid;
        if (look_read(root, &text, "%" PRIu32 "/comm", pid) >= 0) {
                text[strcspn(text, "\n")] = '\0';
                (void) snprintf(ret->command, sizeof(ret->command), "%.63s", text);
                free(text);
        }
        if (look_read(root, &text, "%" PRIu32 "/status", pid) >= 0) {
                ret->uid = find_uid(text);
                free(text);
        }
        if (look_read(root, &text, "%" PRIu32 "/cgroup", pid) >= 0) {
                find_unit(text, ret->unit);
                free(text);
        }
}

static void describe(Subject *subject)
{
        if (subject->is_described)
                return;
        subject->is_described = true;
        look_describe(subject->pass->look, subject->pid, &subject->description);
        subject->is_worker = is_worker(subject, subject->description.uid);
}

/* ---- its descriptors ---- */

/* What is closed is announced by the node through which it was opened (daemon/system/watch.h), and only the
 * one in our /dev is listened to. */
static bool is_our_node(const Node *node, const struct statx *st)
{
        return node->inode == st->stx_ino &&
               node->file_system == makedev(st->stx_dev_major, st->stx_dev_minor);
}

static int add_user(Subject *subject, const Node *node, const struct statx *st)
{
        Holder holder;

        describe(subject);
        if (subject->is_worker)
                return 0;
        holder = subject->description;
        holder.silent = !is_our_node(node, st);
        return look_add(subject->pass->look, node->member,
                        node->type == NODE_VFIO ? HOLDER_VFIO : HOLDER_PROCESS, &holder, node->label);
}

static int match_number(Subject *subject, const struct statx *st)
{
        const Pass *pass = subject->pass;
        const Target key = {.rdev = makedev(st->stx_rdev_major, st->stx_rdev_minor),
                            .is_block = S_ISBLK(st->stx_mode)};
        const Target *found = bsearch(&key, pass->targets, pass->n_targets, sizeof(*pass->targets),
                                      compare_targets);
        int r = 0;

        if (!found)
                return 0;
        /* Several members may share one: VFIO's group, a volume over two disks. */
        while (found > pass->targets && compare_targets(found - 1, &key) == 0)
                found--;
        for (; r >= 0 && found < pass->targets + pass->n_targets && compare_targets(found, &key) == 0;
             found++)
                r = add_user(subject, &pass->look->nodes[found->node], st);
        return r;
}

static int match_vfio_device(Subject *subject, const char *descriptor)
{
        Look *look = subject->pass->look;
        _cleanup_free_ char *info = NULL;
        char target[sizeof(VFIO_DEVICE) + 1], *path, *name;
        Holder holder;
        ssize_t n;
        int r;

        n = readlinkat(subject->fd, descriptor, target, sizeof(target) - 1);
        if (n < 0)
                return 0; /* closed meanwhile */
        target[n] = '\0';
        if (strcmp(target, VFIO_DEVICE) != 0 ||
            look_read(look->roots.proc, &info, "%s/fdinfo/%s", subject->task, descriptor) < 0)
                return 0;

        path = strstr(info, VFIO_SYSPATH);
        if (!path)
                return 0;
        path[strcspn(path, "\n")] = '\0';
        name = strrchr(path, '/');
        for (size_t i = 0; name && i < look->n_members; i++) {
                if (strcmp(name + 1, look->members[i].name) != 0)
                        continue;
                describe(subject);
                holder = subject->description;
                holder.silent = true;
                r = look_add(look, i, HOLDER_VFIO, &holder, VFIO_DEVICE);
                if (r < 0)
                        return r;
        }
        return 0;
}

static bool is_anonymous(const Pass *pass, const struct statx *st)
{
        return (st->stx_mode & S_IFMT) == 0 ||
               (st->stx_dev_major == pass->anonymous_major && st->stx_dev_minor == pass->anonymous_minor);
}

/* What the process has ended or closed meanwhile is no failure; what we may not see is. */
static bool has_gone(int error)
{
        return error == ENOENT || error == ESRCH;
}

static bool is_forbidden(int error)
{
        return error == EACCES || error == EPERM;
}

static int look_at_descriptor(Subject *subject, const char *name)
{
        struct statx st;

        /* No file server is asked what its file is like now. */
        if (statx(subject->fd, name, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE | STATX_INO, &st) <
            0) {
                /* A file can have troubles of its own, on a file server or a user's own FUSE, which lets not
                 * even root look. Device nodes have none. But a link that we may not even read is one that
                 * we may not follow; what else is wrong with it, such as a path that is too long, is the
                 * file's. */
                char target;

                if (!is_forbidden(errno) || readlinkat(subject->fd, name, &target, 1) >= 0 ||
                    !is_forbidden(errno))
                        return 0;
                return look_fail(subject->pass->look, errno, "cannot look into process %s", subject->name);
        }
        if (S_ISCHR(st.stx_mode) || S_ISBLK(st.stx_mode))
                return match_number(subject, &st);
        if (subject->pass->has_vfio && is_anonymous(subject->pass, &st))
                return match_vfio_device(subject, name);
        return 0;
}

static int cannot_look(const Subject *subject, int error)
{
        return has_gone(error)
                       ? 0
                       : look_fail(subject->pass->look, error, "cannot look into process %s", subject->name);
}

/* The descriptors of the process or thread `task`. */
static int look_at_table(Subject *subject)
{
        _cleanup_close_ int fd = -EBADF;
        char path[sizeof(subject->task) + sizeof("/fd")];
        char buffer[16384] __attribute__((aligned(8)));
        ssize_t n;
        int r = 0;

        (void) snprintf(path, sizeof(path), "%s/fd", subject->task);
        fd = openat(subject->pass->proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return cannot_look(subject, errno);
        subject->fd = fd;
        while (r >= 0 && (n = getdents64(fd, buffer, sizeof(buffer))) != 0) {
                if (n < 0)
                        return cannot_look(subject, errno);
                for (ssize_t at = 0; r >= 0 && at < n;) {
                        const struct dirent64 *entry = (const void *) (buffer + at);

                        at += entry->d_reclen;
                        if (entry->d_name[0] != '.')
                                r = look_at_descriptor(subject, entry->d_name);
                }
        }
        return r;
}

/* Whether two threads have the same descriptors. If that cannot be found out they may not. */
static bool same_table(const Pass *pass, uint32_t a, uint32_t b)
{
        return pass->self != 0 && syscall(SYS_kcmp, (pid_t) a, (pid_t) b, KCMP_FILES, 0L, 0L) == 0;
}

static int look_at_threads(Subject *subject)
{
        char path[sizeof(subject->name) + sizeof("/task")];
        uint32_t last = subject->pid;
        struct dirent *entry;
        DIR *directory;
        int fd, r = 0;

        (void) snprintf(path, sizeof(path), "%s/task", subject->name);
        fd = openat(subject->pass->proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return cannot_look(subject, errno);
        directory = fdopendir(fd);
        if (!directory) {
                (void) close(fd);
                return -ENOMEM;
        }
        while (r >= 0 && (entry = readdir(directory))) {
                uint32_t thread = (uint32_t) strtoul(entry->d_name, NULL, 10);

                if (thread == 0 || thread == subject->pid ||
                    same_table(subject->pass, thread, subject->pid) ||
                    (last != subject->pid && same_table(subject->pass, thread, last)))
                        continue;
                last = thread;
                (void) snprintf(subject->task, sizeof(subject->task), "%s/task/%" PRIu32, subject->name,
                                thread);
                r = look_at_table(subject);
        }
        (void) closedir(directory);
        return r;
}

/* The links of its directory tell how many threads a process has, without making a list of them. */
static bool has_threads(const Subject *subject)
{
        char path[sizeof(subject->name) + sizeof("/task")];
        struct stat st;

        (void) snprintf(path, sizeof(path), "%s/task", subject->name);
        return fstatat(subject->pass->proc_fd, path, &st, 0) == 0 && st.st_nlink > 3;
}

static int look_at_process(Pass *pass, uint32_t pid)
{
        Subject subject = {.pass = pass, .pid = pid};
        int r;

        (void) snprintf(subject.name, sizeof(subject.name), "%" PRIu32, pid);
        (void) strcpy(subject.task, subject.name);
        r = look_at_table(&subject);
        return r >= 0 && has_threads(&subject) ? look_at_threads(&subject) : r;
}

/* ---- all of them ---- */

static bool has_failed(Look *look)
{
        bool failed;

        (void) pthread_mutex_lock(&look->lock);
        failed = look->error != 0;
        (void) pthread_mutex_unlock(&look->lock);
        return failed;
}

static void *look_at_share(void *data)
{
        Pass *pass = data;
        size_t first;

        while ((first = atomic_fetch_add(&pass->next, PROCESSES_AT_ONCE)) < pass->n_pids &&
               !has_failed(pass->look))
                for (size_t i = first; i < pass->n_pids && i < first + PROCESSES_AT_ONCE; i++) {
                        int r = look_at_process(pass, pass->pids[i]);

                        if (r < 0) {
                                (void) look_fail(pass->look, -r, "looking at processes has failed");
                                return NULL;
                        }
                }
        return NULL;
}

static int list_processes(Pass *pass)
{
        struct dirent *entry;
        size_t size = 0;
        DIR *directory;
        int fd, r = 0;

        fd = openat(pass->proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return look_fail(pass->look, errno, "the list of processes cannot be opened");
        directory = fdopendir(fd);
        if (!directory) {
                (void) close(fd);
                return -ENOMEM;
        }
        while (r >= 0 && (entry = readdir(directory))) {
                unsigned long pid;
                char *end;

                if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
                        continue;
                pid = strtoul(entry->d_name, &end, 10);
                if (*end != '\0' || pid > INT32_MAX || pid == pass->self)
                        continue;
                r = look_grow((void **) &pass->pids, &size, pass->n_pids, sizeof(*pass->pids));
                if (r >= 0)
                        pass->pids[pass->n_pids++] = (uint32_t) pid;
        }
        (void) closedir(directory);
        return r;
}

/* A /proc that hides other users' processes from us looks like one where nobody is: the first process is
 * always there to be seen. */
static int check_visibility(Pass *pass)
{
        struct stat st;

        if (fstatat(pass->proc_fd, "1/fd", &st, 0) < 0)
                return look_fail(pass->look, errno == ENOENT ? EACCES : errno,
                                 "other users' processes are hidden in %s", pass->look->roots.proc);
        return 0;
}

static int prepare_targets(Pass *pass)
{
        const Look *look = pass->look;

        pass->targets = calloc(look->n_nodes + 1, sizeof(*pass->targets));
        if (!pass->targets)
                return -ENOMEM;
        for (size_t i = 0; i < look->n_nodes; i++) {
                pass->targets[pass->n_targets++] = (Target){.rdev = look->nodes[i].rdev,
                                                            .is_block = look->nodes[i].type == NODE_BLOCK,
                                                            .node = i};
                pass->has_vfio |= look->nodes[i].type == NODE_VFIO;
        }
        qsort(pass->targets, pass->n_targets, sizeof(*pass->targets), compare_targets);
        return 0;
}

/* Anonymous descriptors share a file system, which one of our own shows. */
static int find_anonymous(Pass *pass)
{
        _cleanup_close_ int fd = eventfd(0, EFD_CLOEXEC);
        struct statx st;

        if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &st) < 0)
                return look_fail(pass->look, errno, "anonymous descriptors cannot be told from others");
        pass->anonymous_major = st.stx_dev_major;
        pass->anonymous_minor = st.stx_dev_minor;
        return 0;
}

static void run_threads(Pass *pass)
{
        pthread_t threads[THREADS_MAX];
        size_t n = 0, wanted = pass->n_pids / PROCESSES_PER_THREAD;
        cpu_set_t processors;

        if (sched_getaffinity(0, sizeof(processors), &processors) < 0)
                wanted = 0;
        else if (wanted > (size_t) CPU_COUNT(&processors))
                wanted = (size_t) CPU_COUNT(&processors);
        /* This thread works too, and alone if there can be no others. */
        while (n + 1 < wanted && n < THREADS_MAX &&
               pthread_create(&threads[n], NULL, look_at_share, pass) == 0)
                n++;
        (void) look_at_share(pass);
        while (n > 0)
                (void) pthread_join(threads[--n], NULL);
}

int look_at_processes(Look *look)
{
        Pass pass = {.look = look};
        int r;

        if (look->n_nodes == 0)
                return 0;
        if (strcmp(look->roots.proc, "/proc") == 0)
                pass.self = (uint32_t) getpid();
        pass.proc_fd = look_open(look->roots.proc, O_RDONLY | O_DIRECTORY, ".");
        if (pass.proc_fd < 0)
                return look_fail(look, -pass.proc_fd, "the list of processes cannot be opened");

        r = check_visibility(&pass);
        if (r >= 0)
                r = prepare_targets(&pass);
        if (r >= 0 && pass.has_vfio)
                r = find_anonymous(&pass);
        if (r >= 0)
                r = list_processes(&pass);
        if (r >= 0)
                run_threads(&pass);
        if (r >= 0 && has_failed(look))
                r = -look->error;

        free(pass.targets);
        free(pass.pids);
        (void) close(pass.proc_fd);
        return r;
}
