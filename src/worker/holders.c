/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The look as a whole: its members, its time and its bounds.
 *
 * Looking can take longer than anybody wants to wait: opening a disk whose driver is in trouble, or asking
 * what a descriptor of some process is when that lies on a file server that is gone. So all of it happens in
 * a thread that is left behind when the time is over. The scan then says that it proves nothing.
 *
 * What is not seen: a device node that is mapped into memory and closed, a descriptor on its way through a
 * socket or registered with io_uring only, block devices that the kernel exports over a network without
 * claiming them (nvmet), and everything that began to use a device after it was looked at.
 */

#include "worker/holders.h"
#include "worker/eeh.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "shared/cleanup.h"
#include "shared/driver.h"
#include "worker/attribute.h"
#include "worker/holders-look.h"
#include "worker/xen.h"

#define LOOK_SECONDS 30

#define CLASS_MAX     0xffffffU
#define CLASS_BRIDGE  0x0604U
#define CLASS_NETWORK 0x02U

static const HoldersRoots machine = {.proc = "/proc", .sys = "/sys", .dev = "/dev", .run = "/run"};

/* No process, and nobody tells when it ends. */
static const Holder silent = {.silent = true};

DEFINE_CLEANUP(WorkerScan *, worker_scan_free);

int look_fail(Look *look, int error, const char *format, ...)
{
        va_list arguments;

        (void) pthread_mutex_lock(&look->lock);
        if (look->error == 0) {
                look->error = error;
                va_start(arguments, format);
                (void) vsnprintf(look->message, sizeof(look->message), format, arguments);
                va_end(arguments);
        }
        (void) pthread_mutex_unlock(&look->lock);
        return -error;
}

/* What is kept if there is no room for all: what no option lifts, then VFIO, then the others. */
static unsigned holder_rank(const Holder *holder)
{
        if (holder_kind_is_hard(holder->kind))
                return 0;
        return holder->kind == HOLDER_VFIO ? 1 : 2;
}

static bool holder_is_same(const Holder *a, const Holder *b)
{
        return a->kind == b->kind && a->pid == b->pid && strcmp(a->what, b->what) == 0;
}

/* Where the new holder goes: NULL if it is there already or has to be left out. */
static Holder *find_room(Member *member, const Holder *holder)
{
        Holder *least = NULL;

        for (size_t i = 0; i < member->n_holders; i++) {
                if (holder_is_same(&member->holders[i], holder)) {
                        member->holders[i].silent |= holder->silent;
                        return NULL;
                }
                if (!least || holder_rank(&member->holders[i]) > holder_rank(least))
                        least = &member->holders[i];
        }
        if (member->n_holders < HOLDERS_PER_DEVICE_MAX)
                return &member->holders[member->n_holders++];
        member->truncated = true;
        return holder_rank(holder) < holder_rank(least) ? least : NULL;
}

int look_add(Look *look, size_t index, HolderKind kind, const Holder *process, const char *what)
{
        Member *member = &look->members[index];
        Holder holder = process ? *process : (Holder){};
        Holder *room;
        int r = 0;

        holder.device = member->expected->address;
        holder.kind = kind;
        (void) snprintf(holder.what, sizeof(holder.what), "%s", what);

        (void) pthread_mutex_lock(&look->lock);
        if (!member->holders)
                member->holders = calloc(HOLDERS_PER_DEVICE_MAX, sizeof(*member->holders));
        if (member->holders) {
                room = find_room(member, &holder);
                if (room)
                        *room = holder;
        } else
                r = -ENOMEM;
        (void) pthread_mutex_unlock(&look->lock);
        return r;
}

static int open_below(const char *root, int flags, const char *format, va_list arguments)
{
        _cleanup_free_ char *name = NULL, *path = NULL;
        int fd;

        if (vasprintf(&name, format, arguments) < 0) {
                name = NULL;
                return -ENOMEM;
        }
        if (asprintf(&path, "%s/%s", root, name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        fd = open(path, flags | O_CLOEXEC | O_NOCTTY);
        return fd < 0 ? -errno : fd;
}

int look_open(const char *root, int flags, const char *format, ...)
{
        va_list arguments;
        int fd;

        va_start(arguments, format);
        fd = open_below(root, flags, format, arguments);
        va_end(arguments);
        return fd;
}

int look_read(const char *root, char **ret, const char *format, ...)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_close_ int fd = -EBADF;
        size_t used = 0, size = 0;
        va_list arguments;
        ssize_t n;

        va_start(arguments, format);
        fd = open_below(root, O_RDONLY, format, arguments);
        va_end(arguments);
        if (fd < 0)
                return fd;

        do {
                if (size - used < 2048) {
                        char *bigger = realloc(text, size + 32768);

                        if (!bigger)
                                return -ENOMEM;
                        text = bigger;
                        size += 32768;
                }
                n = read(fd, text + used, size - used - 1);
                if (n < 0)
                        return -errno;
                used += (size_t) n;
        } while (n > 0);

        text[used] = '\0';
        *ret = steal_pointer(text);
        return 0;
}

void look_unescape(char *text)
{
        char *to = text;

        for (const char *from = text; *from; to++) {
                unsigned value;

                if (from[0] == '\\' && from[1] && from[2] && from[3] &&
                    sscanf(from + 1, "%3o", &value) == 1) {
                        *to = (char) value;
                        from += 4;
                } else
                        *to = *from++;
        }
        *to = '\0';
}

int look_grow(void **array, size_t *size, size_t n, size_t element)
{
        void *bigger;

        if (n < *size)
                return 0;
        bigger = reallocarray(*array, *size * 2 + 16, element);
        if (!bigger)
                return -ENOMEM;
        *array = bigger;
        *size = *size * 2 + 16;
        return 0;
}

/* A member that is gone, or another device by now, must not look idle. */
static int open_member(Look *look, Member *member)
{
        uint64_t class;
        struct stat st;
        int r;

        (void) pci_address_format(&member->expected->address, member->name);
        member->fd = look_open(look->roots.sys, O_RDONLY | O_DIRECTORY, "bus/pci/devices/%s", member->name);
        if (member->fd == -ENOENT)
                return look_fail(look, ENODEV, "%s is gone", member->name);
        if (member->fd < 0)
                return look_fail(look, -member->fd, "%s cannot be opened in sysfs", member->name);
        if (fstat(member->fd, &st) < 0)
                return look_fail(look, errno, "%s cannot be looked at in sysfs", member->name);
        if (st.st_ino != member->expected->inode)
                return look_fail(look, ENODEV, "%s is another device now", member->name);

        r = attribute_read_unsigned(member->fd, "class", CLASS_MAX, &class);
        if (r < 0)
                return look_fail(look, -r, "the class of %s cannot be read", member->name);
        member->class = (uint32_t) class;
        member->is_bridge = member->class >> 8 == CLASS_BRIDGE;

        r = attribute_read_link(member->fd, "driver", member->driver, sizeof(member->driver));
        if (r < 0 && r != -ENOENT)
                return look_fail(look, -r, "the driver of %s cannot be read", member->name);
        return 0;
}

/* Xenstore knows which guest has a device of pciback's, and where nobody can be asked it counts as taken. */
static int look_at_guest(Look *look, size_t member)
{
        char domain[HOLDER_WHAT_MAX];
        int r;

        r = xen_guest_of(&look->members[member].expected->address, domain, sizeof(domain));
        if (r == 0)
                return 0;
        return look_add(look, member, HOLDER_GUEST, &silent, r > 0 ? domain : HOLDER_GUEST_UNKNOWN);
}

/* What a device's binding alone says. */
static int look_at_bindings(Look *look)
{
        for (size_t i = 0; i < look->n_members; i++) {
                const Member *member = &look->members[i];
                DriverKind kind = driver_kind(member->driver);
                int r = 0;

                if (kind == DRIVER_PCIBACK)
                        r = look_at_guest(look, i);
                else if (kind == DRIVER_HOST && member->class >> 16 == CLASS_NETWORK &&
                         !member->has_interface)
                        r = look_add(look, i, HOLDER_HIDDEN, &silent, member->driver);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* VFIO's users are found through their descriptors. Where none was found and the device is open all the
 * same, its descriptor has been handed to somebody who does not hold the group, which kernels before 6.18
 * do not show. */
static int look_at_vfio_counts(Look *look)
{
        for (size_t i = 0; i < look->n_members; i++) {
                const Member *member = &look->members[i];
                bool found = false;
                uint64_t count;
                int r;

                if (driver_kind(member->driver) != DRIVER_ASSIGNABLE)
                        continue;
                for (size_t k = 0; k < member->n_holders; k++)
                        found |= member->holders[k].kind == HOLDER_VFIO;
                if (found)
                        continue;
                r = attribute_read_unsigned(member->fd, "enable", UINT32_MAX, &count);
                if (r < 0)
                        return look_fail(look, -r, "whether %s is enabled cannot be read", member->name);
                if (count > 0)
                        r = look_add(look, i, HOLDER_VFIO, &silent, "unknown");
                if (r < 0)
                        return r;
        }
        return 0;
}

/* From here on no block device is opened any more (shared/worker-scan.h). */
static int raise_fence(Look *look)
{
        char path[256];

        if (look->fence == 0)
                return 0;
        (void) snprintf(path, sizeof(path), "%s/pciresetd/scans/%u", look->roots.run, look->fence);
        /* Where nobody listens there is no directory. */
        if (mkdir(path, 0700) >= 0)
                (void) rmdir(path);
        return 0;
}

static int look_at_all(Look *look, bool owners)
{
        static int (*const steps[])(Look *) = {
                look_find_nodes,   look_at_other_networks, look_at_bindings,
                look_at_networks,  look_at_storage,        raise_fence,
                look_at_processes, look_at_vfio_counts,
        };

        for (size_t i = 0; i < look->n_members; i++) {
                int r = open_member(look, &look->members[i]);

                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                int r = steps[i](look);

                if (r < 0)
                        return r;
        }
        return owners ? look_for_owners(look) : 0;
}

static int compare_holders(const void *a, const void *b)
{
        const Holder *x = a, *y = b;

        if (holder_rank(x) != holder_rank(y))
                return holder_rank(x) < holder_rank(y) ? -1 : 1;
        if (x->kind != y->kind)
                return x->kind < y->kind ? -1 : 1;
        if (x->pid != y->pid)
                return x->pid < y->pid ? -1 : 1;
        return strcmp(x->what, y->what);
}

static int tell_nodes(const Look *look, size_t member, WorkerUse *use)
{
        use->nodes = calloc(WORKER_NODES_MAX, sizeof(*use->nodes));
        if (!use->nodes)
                return -ENOMEM;
        for (size_t i = 0; i < look->n_nodes; i++) {
                const Node *node = &look->nodes[i];

                if (node->member != member || node->path[0] == '\0' || node->is_stacked)
                        continue;
                if (use->n_nodes == WORKER_NODES_MAX) {
                        use->more_nodes = true;
                        break;
                }
                memcpy(use->nodes[use->n_nodes++], node->path, sizeof(node->path));
        }
        return 0;
}

static int tell_members(Look *look, WorkerScan *scan)
{
        size_t total = 0, limit = HOLDERS_PER_DEVICE_MAX;

        for (size_t i = 0; i < look->n_members; i++)
                total += look->members[i].n_holders;
        if (total > HOLDERS_MAX)
                limit = HOLDERS_MAX / look->n_members;
        scan->holders = calloc(total + 1, sizeof(*scan->holders));
        if (!scan->holders)
                return -ENOMEM;

        for (size_t i = 0; i < look->n_members; i++) {
                Member *member = &look->members[i];
                WorkerUse *use = &scan->uses[i];
                char state[WORKER_VALUE_MAX];
                size_t n = member->n_holders;
                int r;

                if (n > limit) {
                        member->truncated = true;
                        n = limit;
                }
                if (n > 0) {
                        qsort(member->holders, member->n_holders, sizeof(Holder), compare_holders);
                        for (size_t k = 0; k < n; k++)
                                member->holders[k].truncated = member->truncated;
                        memcpy(&scan->holders[scan->n_holders], member->holders, n * sizeof(Holder));
                        scan->n_holders += n;
                }
                use->frozen = member->fd >= 0 && eeh_read(member->fd, state) > 0;
                use->has_vfio_uid = member->has_vfio_uid;
                use->vfio_uid = member->vfio_uid;
                memcpy(use->owner, member->owner, sizeof(use->owner));
                r = tell_nodes(look, i, use);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* What the thread works with. */
typedef struct Job {
        Look look;
        WorkerMember *expected;
        HoldersClaims claims;
        bool owners;
        int result;
} Job;

static void job_free(Job *job)
{
        for (size_t i = 0; i < job->look.n_members && job->look.members; i++) {
                cleanup_close(&job->look.members[i].fd);
                free(job->look.members[i].holders);
        }
        holders_release(&job->claims);
        free(job->look.members);
        free(job->look.nodes);
        free(job->look.interfaces);
        free(job->expected);
        free(job);
}

static Job *job_new(const HoldersRoots *roots, const WorkerRequest *request, bool keep_claims)
{
        Job *job = calloc(1, sizeof(*job));
        size_t n = request->n_members;

        if (!job)
                return NULL;
        /* The thread may outlive the request. */
        job->expected = calloc(n, sizeof(*job->expected));
        job->look.members = calloc(n, sizeof(*job->look.members));
        if (!job->expected || !job->look.members) {
                job_free(job);
                return NULL;
        }
        memcpy(job->expected, request->members, n * sizeof(*job->expected));
        for (size_t i = 0; i < n; i++)
                job->look.members[i] = (Member){.expected = &job->expected[i], .fd = -EBADF};
        job->look.n_members = n;
        job->look.roots = roots ? *roots : machine;
        job->look.claims = keep_claims ? &job->claims : NULL;
        job->look.fence = request->operation == WORKER_SCAN ? request->job : 0;
        job->owners = request->owners;
        (void) pthread_mutex_init(&job->look.lock, NULL);
        return job;
}

static void *job_main(void *data)
{
        Job *job = data;

        job->result = look_at_all(&job->look, job->owners);
        return NULL;
}

/* 0 when the look has ended, -ETIMEDOUT when it goes on without us. */
static int job_run(Job *job)
{
        struct timespec deadline;
        pthread_t thread;
        int r;

        r = pthread_create(&thread, NULL, job_main, job);
        if (r != 0) {
                job->result = look_fail(&job->look, r, "no thread to look for holders");
                return 0;
        }
        (void) clock_gettime(CLOCK_MONOTONIC, &deadline);
        deadline.tv_sec += LOOK_SECONDS;
        return -pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &deadline);
}

int holders_scan_new(const WorkerRequest *request, WorkerScan **ret)
{
        _cleanup_(cleanup_worker_scan_free) WorkerScan *scan = calloc(1, sizeof(*scan));

        if (!scan)
                return -ENOMEM;
        scan->uses = calloc(request->n_members, sizeof(*scan->uses));
        if (!scan->uses)
                return -ENOMEM;
        scan->n_uses = request->n_members;
        for (size_t i = 0; i < request->n_members; i++)
                scan->uses[i].device = request->members[i].address;
        *ret = steal_pointer(scan);
        return 0;
}

int holders_scan(const HoldersRoots *roots, const WorkerRequest *request, HoldersClaims *claims,
                 WorkerScan **ret)
{
        _cleanup_(cleanup_worker_scan_free) WorkerScan *scan = NULL;
        Job *job;
        int r;

        r = holders_scan_new(request, &scan);
        if (r < 0)
                return r;
        job = job_new(roots, request, claims != NULL);
        if (!job)
                return -ENOMEM;

        if (job_run(job) < 0) {
                /* The thread still uses it, and ends with the process at the latest. */
                scan->error = ETIMEDOUT;
                (void) snprintf(scan->message, sizeof(scan->message),
                                "looking for holders takes too long: a disk or a file server hangs");
                *ret = steal_pointer(scan);
                return 0;
        }

        r = job->result;
        if (r >= 0)
                r = tell_members(&job->look, scan);
        else if (job->look.error != 0) {
                scan->error = job->look.error;
                memcpy(scan->message, job->look.message, sizeof(scan->message));
                r = 0;
        }
        if (r >= 0 && claims && scan->error == 0) {
                *claims = job->claims;
                job->claims = (HoldersClaims){};
        }
        job_free(job);
        if (r < 0)
                return r;
        *ret = steal_pointer(scan);
        return 0;
}

void holders_release(HoldersClaims *claims)
{
        for (size_t i = 0; i < claims->n_fds; i++)
                (void) close(claims->fds[i]);
        free(claims->fds);
        *claims = (HoldersClaims){};
}

bool holder_is_allowed(const Holder *holder, const HoldersAllowed *allowed)
{
        if (holder_kind_is_hard(holder->kind))
                return false;
        return holder->kind == HOLDER_VFIO ? allowed->vfio : allowed->soft;
}

size_t holders_keep_refusing(WorkerScan *scan, const HoldersAllowed *allowed)
{
        size_t n = 0;

        for (size_t i = 0; i < scan->n_holders; i++)
                if (!holder_is_allowed(&scan->holders[i], allowed))
                        scan->holders[n++] = scan->holders[i];
        scan->n_holders = n;
        return n;
}
