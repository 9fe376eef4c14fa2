/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Asks xenstore, through libxenstore, in a child process that is given three seconds.
 *
 * pciback keeps to itself whether a guest uses a device: the driver is bound before, during and after. The
 * toolstack writes it into xenstore, the only place to ask.
 *
 * A child, because libxenstore waits for ever: its reads have no time limit, go on after signals, and do
 * not give out the descriptor to set one on. A xenstored that is stopped must not make a worker hang, which
 * holds lanes. The child can be killed. It closes whatever it inherits, so that it holds neither the
 * worker's socket nor the lock of its record. (It is made by the one thread of the worker that is at work;
 * the others only wait, and hold no lock that it could miss.)
 *
 * The library and not the few messages of its protocol, because it knows where xenstored is: behind a
 * socket, or behind /dev/xen/xenbus where it has a domain of its own. Loaded only when it is needed,
 * because a worker is started for each reset and few machines are dom0s; so the package need not depend on
 * it either.
 */

#include "worker/xen.h"

#include "config.h"

#include <errno.h>

#if HAVE_XENSTORE

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xenstore.h>

#include "shared/cleanup.h"
#include "shared/holder.h"
#include "worker/clock.h"

#define TIMEOUT_USEC (3 * USEC_PER_SEC)

/* Room for "/local/domain/0/backend/pci/", two numbers and a key. */
#define PATH_SIZE 256U

/* XenbusStateClosed (xen/include/public/io/xenbus.h): pciback has taken the device back. */
#define STATE_CLOSED "6"

#define ANSWER_FD (STDERR_FILENO + 1)

/* What the child writes into the pipe, in one piece (it is shorter than PIPE_BUF). */
typedef struct Answer {
        int result; /* 0, 1 or a negative errno, as xen_guest_of() */
        char domain[HOLDER_WHAT_MAX];
} Answer;

/* The library, and a look at the store that does not change while it lasts. */
typedef struct Store {
        struct xs_handle *handle;
        xs_transaction_t transaction;
        __typeof__(xs_open) *open;
        __typeof__(xs_read) *read;
        __typeof__(xs_directory) *directory;
        __typeof__(xs_transaction_start) *start;
} Store;

static int store_load(Store *store)
{
        /* The ABIs of Xen 4.15 and later, and of those before; what is used here is the same in both. */
        static const char *const names[] = {"libxenstore.so.4", "libxenstore.so.3.0"};
        void *library = NULL;

        for (size_t i = 0; i < ELEMENTSOF(names) && !library; i++)
                library = dlopen(names[i], RTLD_NOW);
        if (!library)
                return -ELIBACC;

        store->open = (__typeof__(store->open)) dlsym(library, "xs_open");
        store->read = (__typeof__(store->read)) dlsym(library, "xs_read");
        store->directory = (__typeof__(store->directory)) dlsym(library, "xs_directory");
        store->start = (__typeof__(store->start)) dlsym(library, "xs_transaction_start");
        return store->open && store->read && store->directory && store->start ? 0 : -ELIBACC;
}

/* 1 and the value, 0 if there is no such node. Relative paths begin at the caller's own domain. */
static int store_read(const Store *store, const char *path, char **ret)
{
        *ret = (char *) store->read(store->handle, store->transaction, path, NULL);
        if (*ret)
                return 1;
        return errno == ENOENT ? 0 : -errno;
}

/* The names below a node, in one allocation; none if there is no such node. */
static int store_list(const Store *store, const char *path, char ***ret, unsigned int *ret_n)
{
        *ret_n = 0;
        *ret = store->directory(store->handle, store->transaction, path, ret_n);
        return *ret || errno == ENOENT ? 0 : -errno;
}

__attribute__((format(printf, 2, 3))) static int path_format(char path[static PATH_SIZE], const char *format,
                                                             ...)
{
        va_list arguments;
        int n;

        va_start(arguments, format);
        n = vsnprintf(path, PATH_SIZE, format, arguments);
        va_end(arguments);
        return n >= 0 && (size_t) n < PATH_SIZE ? 0 : -EBADMSG;
}

/* In a guest there is a xenstore too, in which nothing can be seen of this: no entry would look like no
 * guest. */
static int check_domain(const Store *store)
{
        _cleanup_free_ char *domid = NULL;
        int r;

        r = store_read(store, "domid", &domid);
        if (r < 0)
                return r;
        return r > 0 && strcmp(domid, "0") == 0 ? 0 : -ENOENT;
}

/* The name is the toolstack's, but it was a user's once, and it goes into messages. */
static int describe(const Store *store, const char *domid, char *domain, size_t size)
{
        _cleanup_free_ char *name = NULL;
        char path[PATH_SIZE];
        int r;

        if (strspn(domid, "0123456789") != strlen(domid) || *domid == '\0')
                return -EBADMSG;
        r = path_format(path, "/local/domain/%s/name", domid);
        if (r < 0)
                return r;
        r = store_read(store, path, &name);
        if (r < 0)
                return r;

        for (char *c = name; c && *c != '\0'; c++)
                if (*c < ' ' || *c > '~')
                        *c = '?';
        if (name && *name != '\0')
                (void) snprintf(domain, size, "%.100s (domid %.20s)", name, domid);
        else
                (void) snprintf(domain, size, "domid %.20s", domid);
        return 1;
}

static int ask_libxl(const Store *store, const PciAddress *address, char *domain, size_t size)
{
        _cleanup_free_ char *domid = NULL;
        char path[PATH_SIZE];
        int r;

        r = path_format(path, "/libxl/pci/%04x-%02x-%02x-%x/domid", address->domain, address->bus,
                        address->device, address->function);
        if (r < 0)
                return r;
        r = store_read(store, path, &domid);
        return r > 0 ? describe(store, domid, domain, size) : r;
}

/* Whether `key` of this backend, if it is one of its dev-N, is our device and not given back yet: 1, 0, or
 * -EBADMSG if it cannot be understood. */
static int is_our_device(const Store *store, const char *backend, const char *key, const PciAddress *address)
{
        _cleanup_free_ char *device = NULL, *state = NULL;
        char path[PATH_SIZE];
        PciAddress found;
        int r;

        if (strncmp(key, "dev-", 4) != 0)
                return 0;
        r = path_format(path, "%s/%s", backend, key);
        if (r < 0)
                return r;
        r = store_read(store, path, &device);
        if (r <= 0)
                return r;
        if (pci_address_parse_typed(device, &found) < 0)
                return -EBADMSG;
        if (!pci_address_equal(&found, address))
                return 0;

        r = path_format(path, "%s/state-%s", backend, key + 4);
        if (r < 0)
                return r;
        r = store_read(store, path, &state);
        if (r < 0)
                return r;
        return r == 0 || strcmp(state, STATE_CLOSED) != 0;
}

/* One guest's virtual PCI bus. */
static int ask_bus(const Store *store, const char *backend, const PciAddress *address)
{
        _cleanup_free_ char **keys = NULL;
        unsigned int n;
        int r;

        r = store_list(store, backend, &keys, &n);
        for (unsigned int i = 0; r == 0 && i < n; i++)
                r = is_our_device(store, backend, keys[i], address);
        return r;
}

static int ask_guest(const Store *store, const char *domid, const PciAddress *address)
{
        _cleanup_free_ char **buses = NULL;
        char path[PATH_SIZE];
        unsigned int n;
        int r;

        r = path_format(path, "/local/domain/0/backend/pci/%s", domid);
        if (r < 0)
                return r;
        r = store_list(store, path, &buses, &n);
        for (unsigned int i = 0; r == 0 && i < n; i++) {
                r = path_format(path, "/local/domain/0/backend/pci/%s/%s", domid, buses[i]);
                if (r == 0)
                        r = ask_bus(store, path, address);
        }
        return r;
}

static int ask_backends(const Store *store, const PciAddress *address, char *domain, size_t size)
{
        _cleanup_free_ char **domids = NULL;
        unsigned int n;
        int r;

        r = store_list(store, "/local/domain/0/backend/pci", &domids, &n);
        for (unsigned int i = 0; r == 0 && i < n; i++) {
                r = ask_guest(store, domids[i], address);
                if (r > 0)
                        return describe(store, domids[i], domain, size);
        }
        return r;
}

static int ask_store(const char *socket, const PciAddress *address, char *domain, size_t size)
{
        Store store = {};
        int r;

        /* Where it looks for xenstored is not for our environment to say. */
        (void) unsetenv("XENSTORED_RUNDIR");
        (void) unsetenv("XENSTORED_PATH");
        if (socket && setenv("XENSTORED_PATH", socket, 1) < 0)
                return -errno;

        r = store_load(&store);
        if (r < 0)
                return r;
        store.handle = store.open(socket ? XS_OPEN_SOCKETONLY : 0);
        if (!store.handle)
                return -ENOENT;
        store.transaction = store.start(store.handle);
        if (store.transaction == XBT_NULL)
                return errno > 0 ? -errno : -EIO;

        r = check_domain(&store);
        if (r == 0)
                r = ask_libxl(&store, address, domain, size);
        if (r == 0)
                r = ask_backends(&store, address, domain, size);
        /* The transaction ends with the connection, and that with the process. */
        return r;
}

_Noreturn static void child_main(pid_t worker, int pipe_fd, const char *socket, const PciAddress *address)
{
        Answer answer = {};

        /* If the worker dies, nobody waits for the answer any more. */
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != worker || dup2(pipe_fd, ANSWER_FD) < 0 || close_range(ANSWER_FD + 1, ~0U, 0) < 0)
                _exit(EXIT_FAILURE);
        for (int fd = STDIN_FILENO; fd < ANSWER_FD; fd++) {
                (void) close(fd);
                (void) open("/dev/null", O_RDWR);
        }

        answer.result = ask_store(socket, address, answer.domain, sizeof(answer.domain));
        _exit(write(ANSWER_FD, &answer, sizeof(answer)) == sizeof(answer) ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* -ETIMEDOUT, or -EIO if the child ended without a word. */
static int read_answer(int fd, uint64_t deadline, Answer *ret)
{
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        ssize_t n;
        int r;

        do {
                const uint64_t now = now_usec();

                r = poll(&wait, 1, now < deadline ? (int) ((deadline - now) / USEC_PER_MSEC) + 1 : 0);
        } while (r < 0 && errno == EINTR);
        if (r < 0)
                return -errno;
        if (r == 0)
                return -ETIMEDOUT;

        n = read(fd, ret, sizeof(*ret));
        if (n < 0)
                return -errno;
        if (n != sizeof(*ret))
                return -EIO;
        ret->domain[sizeof(ret->domain) - 1] = '\0';
        return 0;
}

int xen_ask(const char *socket, uint64_t timeout_usec, const PciAddress *address, char *domain, size_t size)
{
        _cleanup_close_ int read_end = -EBADF, write_end = -EBADF;
        const uint64_t deadline = now_usec() + timeout_usec;
        const pid_t worker = getpid();
        Answer answer;
        int pair[2], r;
        pid_t pid;

        if (pipe2(pair, O_CLOEXEC) < 0)
                return -errno;
        read_end = pair[0];
        write_end = pair[1];

        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                child_main(worker, write_end, socket, address);
        (void) close(steal_fd(write_end));

        r = read_answer(read_end, deadline, &answer);
        /* Whatever it waits for, this ends it: none of the places where the library waits keeps signals out.
         */
        (void) kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        if (r < 0)
                return r;
        if (answer.result > 0)
                (void) snprintf(domain, size, "%s", answer.domain);
        return answer.result;
}

int xen_guest_of(const PciAddress *address, char *domain, size_t size)
{
        static bool silent;
        int r;

        if (silent)
                return -ETIMEDOUT;
        r = xen_ask(NULL, TIMEOUT_USEC, address, domain, size);
        silent = r == -ETIMEDOUT;
        return r;
}

#else

int xen_ask(const char *socket, uint64_t timeout_usec, const PciAddress *address, char *domain, size_t size)
{
        return -ENOSYS;
}

int xen_guest_of(const PciAddress *address, char *domain, size_t size)
{
        return -ENOSYS;
}

#endif
