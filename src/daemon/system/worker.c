/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/system/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "daemon/system/journal.h"
#include "shared/cleanup.h"

struct WorkerCall {
        uint32_t job;
        WorkerHandler handler;
        sd_event_source *io;
        char *outgoing; /* the request */
        size_t n_outgoing, n_sent;
        char *incoming; /* what has come of the line at hand */
        size_t n_incoming, n_allocated;
        int fds[WORKER_FDS_MAX]; /* go with the first byte, ours until then */
        unsigned n_fds;
        WorkerEvent last; /* the result or the scan */
        bool disbelieved; /* it talked nonsense: only its end counts */
};

extern char **environ;

DEFINE_CLEANUP(WorkerCall *, worker_call_free);

/* The result comes through the socket; the exit status only matters to somebody who looks for a fault. */
static int on_worker_exit(sd_event_source *source, const siginfo_t *info, void *userdata)
{
        if (info->si_code != CLD_EXITED || info->si_status != 0)
                journal_worker_failed((uint32_t) (uintptr_t) userdata,
                                      info->si_code == CLD_EXITED ? "failed" : "was killed", -EPIPE);
        sd_event_source_unref(source);
        return 0;
}

/* Starts the program with the socket as its standard input and nothing else of ours. */
static int spawn(const char *program, int socket, pid_t *ret)
{
        char *argv[] = {(char *) program, NULL};
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t none, all;
        int r;

        sigemptyset(&none);
        sigfillset(&all);
        r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return -r;
        r = posix_spawnattr_init(&attributes);
        if (r != 0) {
                posix_spawn_file_actions_destroy(&actions);
                return -r;
        }
        /* Its own session: what is sent to the daemon's must not reach a worker in the middle of a reset. */
        r = posix_spawn_file_actions_adddup2(&actions, socket, STDIN_FILENO);
        if (r == 0)
                r = posix_spawnattr_setsigmask(&attributes, &none);
        if (r == 0)
                r = posix_spawnattr_setsigdefault(&attributes, &all);
        if (r == 0)
                r = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                                  POSIX_SPAWN_SETSID);
        if (r == 0)
                r = posix_spawn(ret, program, &actions, &attributes, argv, environ);

        posix_spawnattr_destroy(&attributes);
        posix_spawn_file_actions_destroy(&actions);
        return -r;
}

/* The seam: a stream socket at whose other end a fresh worker waits for a request. */
static int worker_connect(sd_event *event, const char *program, uint32_t job)
{
        _cleanup_close_ int ours = -EBADF, theirs = -EBADF;
        sd_event_source *child;
        int pair[2], r;
        pid_t pid;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        ours = pair[0];
        theirs = pair[1];
        if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
                return -errno;

        r = spawn(program, theirs, &pid);
        if (r < 0)
                return r;
        r = sd_event_add_child(event, &child, pid, WEXITED, on_worker_exit, (void *) (uintptr_t) job);
        if (r < 0)
                return r;
        return steal_fd(ours);
}

static bool is_answered(const WorkerCall *call)
{
        return call->last.result || call->last.scan;
}

static void drop_last(WorkerCall *call)
{
        worker_result_free(call->last.result);
        worker_scan_free(call->last.scan);
        call->last = (WorkerEvent){};
}

static void close_fds(WorkerCall *call)
{
        while (call->n_fds > 0)
                (void) close(call->fds[--call->n_fds]);
}

static void finish(WorkerCall *call, int error)
{
        _cleanup_(cleanup_worker_call_free) WorkerCall *freed = call;

        call->io = sd_event_source_disable_unref(call->io);
        if (error < 0)
                drop_last(call);
        call->handler.done(call->handler.userdata, &call->last, error);
}

/* Takes one whole line. */
static int handle_line(WorkerCall *call, const char *line, size_t length)
{
        WorkerEvent event;
        int r;

        /* The result is the last thing a worker may say. */
        if (is_answered(call))
                return -EBADMSG;
        r = worker_event_parse(line, length, &event);
        if (r < 0)
                return r;
        if (event.result || event.scan)
                call->last = event;
        else
                call->handler.phase(call->handler.userdata, event.type);
        return 0;
}

static int handle_lines(WorkerCall *call)
{
        char *start = call->incoming, *end;
        size_t rest = call->n_incoming;
        int r;

        while ((end = memchr(start, '\n', rest))) {
                r = handle_line(call, start, (size_t) (end - start));
                if (r < 0)
                        return r;
                rest -= (size_t) (end + 1 - start);
                start = end + 1;
        }
        memmove(call->incoming, start, rest);
        call->n_incoming = rest;
        return 0;
}

static int make_room(WorkerCall *call)
{
        size_t n = call->n_allocated ? call->n_allocated * 2 : 4096;
        char *incoming;

        if (call->n_incoming < call->n_allocated)
                return 0;
        if (n > WORKER_LINE_MAX * 2)
                return -EMSGSIZE;
        incoming = realloc(call->incoming, n);
        if (!incoming)
                return -ENOMEM;
        call->incoming = incoming;
        call->n_allocated = n;
        return 0;
}

/* Returns 0 when there is no more for now, 1 at the end of the connection. */
static int receive(WorkerCall *call, int fd)
{
        for (;;) {
                ssize_t n;
                int r = make_room(call);

                if (r < 0)
                        return r;
                n = recv(fd, call->incoming + call->n_incoming, call->n_allocated - call->n_incoming, 0);
                if (n == 0)
                        return 1;
                if (n < 0)
                        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
                call->n_incoming += (size_t) n;
                r = handle_lines(call);
                if (r < 0)
                        return r;
        }
}

static ssize_t send_some(WorkerCall *call, int fd)
{
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(sizeof(call->fds))];
        } control = {};
        struct iovec rest = {
                .iov_base = call->outgoing + call->n_sent,
                .iov_len = call->n_outgoing - call->n_sent,
        };
        struct msghdr message = {.msg_iov = &rest, .msg_iovlen = 1};
        ssize_t n;

        if (call->n_fds > 0) {
                size_t size = call->n_fds * sizeof(int);

                message.msg_control = &control;
                message.msg_controllen = CMSG_SPACE(size);
                control.header = (struct cmsghdr){
                        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(size)};
                memcpy(CMSG_DATA(&control.header), call->fds, size);
        }
        n = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (n > 0)
                close_fds(call);
        return n;
}

static int transmit(WorkerCall *call, int fd)
{
        while (call->n_sent < call->n_outgoing) {
                ssize_t n = send_some(call, fd);

                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        return 0;
                /* A worker that has gone may have said why. */
                if (n < 0)
                        break;
                call->n_sent += (size_t) n;
        }
        return sd_event_source_set_io_events(call->io, EPOLLIN);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        WorkerCall *call = userdata;
        int r = 0;

        if (call->disbelieved) {
                finish(call, -EBADMSG);
                return 0;
        }
        if (revents & EPOLLOUT)
                r = transmit(call, fd);
        if (r >= 0 && revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
                r = receive(call, fd);
        if (r == 0)
                return 0;
        if (r > 0) {
                finish(call, is_answered(call) ? 0 : -EPIPE);
                return 0;
        }

        /* The lane is free when the worker is gone, not when it is disbelieved: from here on only EPOLLHUP,
         * which cannot be turned off, wakes us. */
        journal_worker_failed(call->job, "cannot be understood", r);
        call->disbelieved = true;
        return sd_event_source_set_io_events(call->io, 0);
}

static int take_fds(WorkerCall *call, const int *fds, unsigned n_fds)
{
        while (call->n_fds < n_fds) {
                int fd = fcntl(fds[call->n_fds], F_DUPFD_CLOEXEC, 3);

                if (fd < 0)
                        return -errno;
                call->fds[call->n_fds++] = fd;
        }
        return 0;
}

int worker_call_start(sd_event *event, const char *program, const WorkerRequest *request, const int *fds,
                      const WorkerHandler *handler, WorkerCall **ret)
{
        _cleanup_(cleanup_worker_call_free) WorkerCall *call = calloc(1, sizeof(WorkerCall));
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!call)
                return -ENOMEM;
        call->job = request->job;
        call->handler = *handler;
        r = worker_request_format(request, &call->outgoing);
        if (r < 0)
                return r;
        call->n_outgoing = strlen(call->outgoing);
        r = take_fds(call, fds, request->n_fds);
        if (r < 0)
                return r;

        fd = worker_connect(event, program, request->job);
        if (fd < 0)
                return fd;
        r = sd_event_add_io(event, &call->io, fd, EPOLLIN | EPOLLOUT, on_io, call);
        if (r < 0)
                return r;
        r = sd_event_source_set_io_fd_own(call->io, true);
        if (r < 0)
                return r;
        (void) steal_fd(fd);
        *ret = steal_pointer(call);
        return 0;
}

WorkerCall *worker_call_free(WorkerCall *call)
{
        if (!call)
                return NULL;
        sd_event_source_disable_unref(call->io);
        drop_last(call);
        close_fds(call);
        free(call->outgoing);
        free(call->incoming);
        free(call);
        return NULL;
}
