/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * libxenstore talks to a xenstored of our own, a child of the test that serves a table of nodes.
 */

#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "shared/holder.h"
#include "unit.h"
#include "worker/clock.h"
#include "worker/xen.h"

static const PciAddress nvme = {.bus = 2};
static char domain[HOLDER_WHAT_MAX];

#if HAVE_XENSTORE

#include <xen/io/xs_wire.h>

#define PATIENCE_USEC (30 * USEC_PER_SEC)

typedef struct Node {
        const char *path, *value;
} Node;

#define DOM0                                                                                                \
        {                                                                                                   \
                "/local/domain/0/domid", "0"                                                                \
        }
#define BACKEND "/local/domain/0/backend/pci/"

static char directory[] = "/tmp/test-xen-XXXXXX";
static char path[64];

static void answer(int fd, const struct xsd_sockmsg *request, uint32_t type, const char *body, size_t length)
{
        const struct xsd_sockmsg head = {
                .type = type, .req_id = request->req_id, .tx_id = request->tx_id, .len = (uint32_t) length};

        if (write(fd, &head, sizeof(head)) != sizeof(head) || write(fd, body, length) != (ssize_t) length)
                _exit(1);
}

static void serve_read(int fd, const struct xsd_sockmsg *request, const Node *nodes, const char *asked)
{
        for (; nodes->path; nodes++)
                if (strcmp(nodes->path, asked) == 0) {
                        /* A value that stands for an error of the store's. */
                        if (*nodes->value == '!')
                                answer(fd, request, XS_ERROR, nodes->value + 1, strlen(nodes->value));
                        else
                                answer(fd, request, XS_READ, nodes->value, strlen(nodes->value));
                        return;
                }
        answer(fd, request, XS_ERROR, "ENOENT", sizeof("ENOENT"));
}

static void serve_directory(int fd, const struct xsd_sockmsg *request, const Node *nodes, const char *asked)
{
        const size_t n = strlen(asked);
        char names[4096];
        size_t length = 0;

        for (; nodes->path; nodes++) {
                const char *name = nodes->path + n + 1;
                size_t size;

                if (strncmp(nodes->path, asked, n) != 0 || nodes->path[n] != '/')
                        continue;
                size = strcspn(name, "/");
                /* Those below one node stand together in the tables. */
                if (length > size && strncmp(names + length - size - 1, name, size) == 0)
                        continue;
                memcpy(names + length, name, size);
                names[length + size] = '\0';
                length += size + 1;
        }
        if (length == 0)
                answer(fd, request, XS_ERROR, "ENOENT", sizeof("ENOENT"));
        else
                answer(fd, request, XS_DIRECTORY, names, length);
}

static void serve(int fd, const Node *nodes)
{
        struct xsd_sockmsg request;
        uint32_t transaction = 0;

        while (recv(fd, &request, sizeof(request), MSG_WAITALL) == sizeof(request)) {
                char body[512] = "", asked[600];

                if (request.len >= sizeof(body) ||
                    (request.len > 0 && recv(fd, body, request.len, MSG_WAITALL) != (ssize_t) request.len))
                        _exit(1);
                (void) snprintf(asked, sizeof(asked), "%s%s", *body == '/' ? "" : "/local/domain/0/", body);

                if (request.type == XS_TRANSACTION_START && transaction == 0) {
                        transaction = 7;
                        answer(fd, &request, XS_TRANSACTION_START, "7", sizeof("7"));
                } else if (request.tx_id != transaction || transaction == 0) {
                        /* What is asked outside of the transaction may not fit together. */
                        _exit(1);
                } else if (request.type == XS_READ) {
                        serve_read(fd, &request, nodes, asked);
                } else if (request.type == XS_DIRECTORY) {
                        serve_directory(fd, &request, nodes, asked);
                } else {
                        _exit(1);
                }
        }
        _exit(0);
}

static int listen_at(void)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd;

        ck_assert_ptr_nonnull(mkdtemp(directory));
        (void) snprintf(path, sizeof(path), "%s/socket", directory);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(bind(fd, (const struct sockaddr *) &address, sizeof(address)), 0);
        ck_assert_int_eq(listen(fd, 1), 0);
        return fd;
}

static void forget_directory(void)
{
        (void) unlink(path);
        (void) rmdir(directory);
}

/* Asks a xenstored with these nodes. */
static int ask(const Node *nodes)
{
        _cleanup_close_ int fd = listen_at();
        pid_t pid = fork();
        int r;

        if (pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                serve(accept(fd, NULL, NULL), nodes);
        }
        memset(domain, 0, sizeof(domain));
        r = xen_ask(path, PATIENCE_USEC, &nvme, domain, sizeof(domain));
        (void) kill(pid, SIGKILL);
        forget_directory();
        return r;
}

static const struct {
        const char *title;
        int expected;
        const char *domain;
        Node nodes[12];
} stores[] = {
        {"an empty host", 0, "", {DOM0}},
        {"only assignable",
         0,
         "",
         {DOM0, {"/libxl/pci/0000-02-00-0/driver_path", "/sys/bus/pci/drivers/nvme"}}},
        {"libxl names the guest",
         1,
         "guest (domid 3)",
         {DOM0, {"/local/domain/3/name", "guest"}, {"/libxl/pci/0000-02-00-0/domid", "3"}}},
        {"another device's guest",
         0,
         "",
         {DOM0, {"/local/domain/3/name", "guest"}, {"/libxl/pci/0000-02-00-1/domid", "3"}}},
        {"a guest without a name", 1, "domid 3", {DOM0, {"/libxl/pci/0000-02-00-0/domid", "3"}}},
        {"a name for terminals",
         1,
         "a?[2Jb?? (domid 3)",
         {DOM0, {"/local/domain/3/name", "a\033[2Jb\xc3\xa4"}, {"/libxl/pci/0000-02-00-0/domid", "3"}}},
        {"a domid that is none", -EBADMSG, "", {DOM0, {"/libxl/pci/0000-02-00-0/domid", "../0"}}},
        {"an empty domid", -EBADMSG, "", {DOM0, {"/libxl/pci/0000-02-00-0/domid", ""}}},
        {"another toolstack's guest",
         1,
         "other (domid 12)",
         {DOM0,
          {BACKEND "3/0/num_devs", "1"},
          {BACKEND "3/0/dev-0", "0000:01:00.0"},
          {BACKEND "12/0/num_devs", "2"},
          {BACKEND "12/0/dev-0", "0000:01:00.1"},
          {BACKEND "12/0/dev-1", "0000:02:00.0"},
          {BACKEND "12/0/state-1", "4"},
          {"/local/domain/12/name", "other"}}},
        {"other guests' devices",
         0,
         "",
         {DOM0,
          {BACKEND "3/0/num_devs", "1"},
          {BACKEND "3/0/dev-0", "0000:01:00.0"},
          {BACKEND "3/0/state-0", "4"},
          {BACKEND "12/0/domain", "other"}}},
        {"given back", 0, "", {DOM0, {BACKEND "3/0/dev-0", "0000:02:00.0"}, {BACKEND "3/0/state-0", "6"}}},
        {"being given back",
         1,
         "domid 3",
         {DOM0, {BACKEND "3/0/dev-0", "0000:02:00.0"}, {BACKEND "3/0/state-0", "5"}}},
        {"no state yet", 1, "domid 3", {DOM0, {BACKEND "3/0/dev-0", "0000:02:00.0"}}},
        {"an unreadable device", -EBADMSG, "", {DOM0, {BACKEND "3/0/dev-0", "usb"}}},
        {"a guest and not dom0", -ENOENT, "", {{"/local/domain/0/domid", "5"}}},
        {"a dom0 that is not set up", -ENOENT, "", {{"/local/domain/0/name", "Domain-0"}}},
        {"forbidden", -EACCES, "", {DOM0, {"/libxl/pci/0000-02-00-0/domid", "!EACCES"}}},
        {"forbidden later",
         -EACCES,
         "",
         {DOM0, {BACKEND "3/0/dev-0", "0000:02:00.0"}, {BACKEND "3/0/state-0", "!EACCES"}}},
};

START_TEST(what_the_store_says)
{
        int r = ask(stores[_i].nodes);

        ck_assert_msg(r == stores[_i].expected, "%s: %d", stores[_i].title, r);
        ck_assert_msg(strcmp(domain, stores[_i].domain) == 0, "%s: %s", stores[_i].title, domain);
}
END_TEST

START_TEST(long_names_are_cut)
{
        char name[2000];
        const Node nodes[] = {
                DOM0, {"/local/domain/3/name", name}, {"/libxl/pci/0000-02-00-0/domid", "3"}, {}};

        memset(name, 'x', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        ck_assert_int_eq(ask(nodes), 1);
        ck_assert_ptr_nonnull(strstr(domain, "xxx (domid 3)"));
}
END_TEST

START_TEST(nobody_listens)
{
        ck_assert_int_eq(xen_ask("/nowhere/socket", PATIENCE_USEC, &nvme, domain, sizeof(domain)), -ENOENT);
}
END_TEST

/* Connects, because the kernel does that, but is never served: a xenstored that is stopped. */
START_TEST(nobody_answers)
{
        _cleanup_close_ int fd = listen_at();

        ck_assert_int_eq(xen_ask(path, USEC_PER_SEC / 5, &nvme, domain, sizeof(domain)), -ETIMEDOUT);
        forget_directory();
}
END_TEST

START_TEST(hangs_up)
{
        _cleanup_close_ int fd = listen_at();
        pid_t pid = fork();

        if (pid == 0) {
                (void) close(accept(fd, NULL, NULL));
                _exit(0);
        }
        ck_assert_int_lt(xen_ask(path, PATIENCE_USEC, &nvme, domain, sizeof(domain)), 0);
        (void) kill(pid, SIGKILL);
        forget_directory();
}
END_TEST

static int our_socket;

static void let_go(int signal_number)
{
        (void) signal_number;
        (void) close(our_socket);
}

/* The end of a worker's socket tells the daemon that it is gone, so the child must not hold it. Here
 * xenstored answers when the socket has ended: it makes us close our end when the child has connected. */
START_TEST(child_keeps_no_socket)
{
        static const Node nodes[] = {DOM0, {}};
        _cleanup_close_ int fd = listen_at();
        const pid_t us = getpid();
        int pair[2];
        pid_t pid;
        char c;

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        our_socket = pair[1];
        ck_assert_ptr_ne(signal(SIGUSR1, let_go), SIG_ERR);
        pid = fork();
        if (pid == 0) {
                int connection = accept(fd, NULL, NULL);

                (void) close(pair[1]);
                (void) kill(us, SIGUSR1);
                if (read(pair[0], &c, 1) != 0)
                        _exit(1);
                serve(connection, nodes);
        }
        ck_assert_int_eq(xen_ask(path, 2 * USEC_PER_SEC, &nvme, domain, sizeof(domain)), 0);
        (void) kill(pid, SIGKILL);
        forget_directory();
}
END_TEST

/* A worker that is killed leaves nobody behind. */
START_TEST(child_dies_with_the_worker)
{
        _cleanup_close_ int fd = listen_at(), connection = -EBADF;
        char chunk[64];
        ssize_t n;
        pid_t pid = fork();

        if (pid == 0) {
                (void) xen_ask(path, PATIENCE_USEC, &nvme, domain, sizeof(domain));
                _exit(0);
        }
        connection = accept(fd, NULL, NULL);
        ck_assert_int_ge(connection, 0);
        n = recv(connection, chunk, sizeof(chunk), 0);
        ck_assert_int_gt(n, 0);
        ck_assert_int_eq(kill(pid, SIGKILL), 0);
        while (n > 0)
                n = recv(connection, chunk, sizeof(chunk), 0);
        ck_assert_int_eq(n, 0);
        forget_directory();
}
END_TEST

#else

/* So a device that is bound to pciback counts as in use. */
START_TEST(built_without)
{
        ck_assert_int_eq(xen_guest_of(&nvme, domain, sizeof(domain)), -ENOSYS);
        ck_assert_int_eq(xen_ask(NULL, USEC_PER_SEC, &nvme, domain, sizeof(domain)), -ENOSYS);
}
END_TEST

#endif

int main(void)
{
        Suite *suite = suite_create("xen");

#if HAVE_XENSTORE
        unit_add_table(suite, what_the_store_says, stores);
        unit_add(suite, long_names_are_cut);
        unit_add(suite, nobody_listens);
        unit_add(suite, nobody_answers);
        unit_add(suite, hangs_up);
        unit_add(suite, child_keeps_no_socket);
        unit_add(suite, child_dies_with_the_worker);
#else
        unit_add(suite, built_without);
#endif
        return unit_run(suite);
}
