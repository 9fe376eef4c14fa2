/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Nothing here waits without a limit: a peer that sends no request must not keep a worker, and one that does
 * not read must not keep it from its work. A peer that is gone is an error return, never a signal.
 */

#include "worker/channel.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "shared/cleanup.h"
#include "worker/clock.h"

#define DAEMON_USER "pciresetd"

#define CHUNK_SIZE 4096U

static bool is_daemon_user(uid_t uid)
{
        char buffer[4096];
        struct passwd entry, *found = NULL;

        return getpwnam_r(DAEMON_USER, &entry, buffer, sizeof(buffer), &found) == 0 && found &&
               found->pw_uid == uid;
}

int channel_check_peer(int fd)
{
        struct ucred peer;
        socklen_t size = sizeof(peer);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
                return -errno;
        /* A socket that has no peer process, such as one of the network, names nobody. */
        if (size != sizeof(peer) || peer.uid == (uid_t) -1)
                return -EPERM;

        if (peer.uid == 0 || peer.uid == geteuid() || is_daemon_user(peer.uid))
                return 0;
        return -EPERM;
}

bool channel_has_peer(int fd)
{
        struct pollfd p = {.fd = fd};

        /* Of a stream socket POLLHUP says that both directions are closed. */
        return poll(&p, 1, 0) <= 0 || !(p.revents & (POLLHUP | POLLERR | POLLNVAL));
}

/* Waits until the socket is ready for `events` or has failed, which the next call on it then says. */
static int wait_ready(int fd, short events, uint64_t deadline)
{
        for (;;) {
                struct pollfd p = {.fd = fd, .events = events};
                uint64_t now = now_usec(), msec;
                int r;

                if (now >= deadline)
                        return -ETIMEDOUT;

                /* Rounded up, or the last fraction would be spent in a loop of empty waits. */
                msec = (deadline - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC;
                r = poll(&p, 1, msec < INT_MAX ? (int) msec : INT_MAX);
                if (r > 0)
                        return 0;
                if (r < 0 && errno != EINTR)
                        return -errno;
        }
}

void channel_fds_done(ChannelFds *fds)
{
        for (size_t i = 0; i < fds->n; i++)
                (void) close(fds->fds[i]);
        fds->n = 0;
}

/* Takes the descriptors that came with a part of the stream. All of them are in our table by now, so all of
 * them are kept or closed. -EBADMSG for too many, or if the kernel had to leave some out. */
static int take_fds(struct msghdr *message, ChannelFds *ret)
{
        int r = message->msg_flags & MSG_CTRUNC ? -EBADMSG : 0;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
                size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                for (size_t i = 0; i < n; i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
                        if (ret->n < ELEMENTSOF(ret->fds)) {
                                ret->fds[ret->n++] = fd;
                        } else {
                                (void) close(fd);
                                r = -EBADMSG;
                        }
                }
        }
        return r;
}

/* Receives what there is. 0 at the end of the stream. */
static ssize_t receive_some(int fd, char *buffer, size_t size, ChannelFds *fds, uint64_t deadline)
{
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int) * WORKER_FDS_MAX)];
        } control;

        for (;;) {
                ssize_t n;
                int r;

                r = wait_ready(fd, POLLIN, deadline);
                if (r < 0)
                        return r;

                struct iovec part = {.iov_base = buffer, .iov_len = size};
                struct msghdr message = {.msg_iov = &part,
                                         .msg_iovlen = 1,
                                         .msg_control = &control,
                                         .msg_controllen = sizeof(control)};

                n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
                if (n >= 0) {
                        r = take_fds(&message, fds);
                        return r < 0 ? r : n;
                }
                if (errno != EAGAIN && errno != EINTR)
                        return -errno;
        }
}

int channel_read_line(int fd, size_t max, uint64_t timeout_usec, char **ret, size_t *ret_length,
                      ChannelFds *ret_fds)
{
        _cleanup_free_ char *line = NULL;
        uint64_t deadline = now_usec() + timeout_usec;
        size_t used = 0, size = 0;

        for (;;) {
                const char *newline;
                ssize_t n;

                if (used == max)
                        return -EMSGSIZE;
                if (used == size) {
                        size_t bigger = size + CHUNK_SIZE < max ? (size + CHUNK_SIZE) * 2 : max;
                        char *moved;

                        if (bigger > max)
                                bigger = max;
                        moved = realloc(line, bigger);
                        if (!moved)
                                return -ENOMEM;
                        line = moved;
                        size = bigger;
                }

                n = receive_some(fd, line + used, size - used, ret_fds, deadline);
                if (n < 0)
                        return (int) n;
                if (n == 0)
                        return -ENODATA;

                newline = memchr(line + used, '\n', (size_t) n);
                used += (size_t) n;
                if (newline) {
                        *ret_length = (size_t) (newline - line);
                        if (*ret_length + 1 != used)
                                return -EBADMSG;
                        line[*ret_length] = '\0';
                        *ret = steal_pointer(line);
                        return 0;
                }
        }
}

int channel_send(int fd, const char *text, uint64_t timeout_usec)
{
        uint64_t deadline = now_usec() + timeout_usec;
        size_t length = strlen(text), sent = 0;
        int r = 0;

        while (sent < length) {
                ssize_t n = send(fd, text + sent, length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n >= 0) {
                        sent += (size_t) n;
                        continue;
                }
                if (errno != EAGAIN && errno != EINTR)
                        r = -errno;
                else
                        r = wait_ready(fd, POLLOUT, deadline);
                if (r < 0)
                        break;
        }

        if (r < 0 && sent > 0)
                (void) shutdown(fd, SHUT_WR);
        return r;
}
