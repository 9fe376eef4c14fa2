/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The connected stream socket to the daemon.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/worker-protocol.h"

/* Checks who is at the other end (SO_PEERCRED): root, the user of this process, or the user `pciresetd`. 0,
 * -EPERM, or -ENOTSOCK and the like if that cannot be known. Of a socketpair() the other end is who made it.
 */
int channel_check_peer(int fd);

/* Is anybody at the other end? False once it has been closed there, not when it was only closed for writing.
 */
bool channel_has_peer(int fd);

/* Descriptors that came along. Begin with {}. */
typedef struct ChannelFds {
        int fds[WORKER_FDS_MAX];
        size_t n;
} ChannelFds;

void channel_fds_done(ChannelFds *fds);

/* Reads one line of at most `max` bytes with its newline, all of which must have come within `timeout_usec`.
 * Returns it in a new string without the newline; bytes may be NUL. -EMSGSIZE if it is longer, -ETIMEDOUT,
 * -ENODATA if the peer closed before the newline, -EBADMSG if something came after it, -ENOMEM, or what
 * recvmsg() said. The descriptors that came with it are the caller's to close, whatever is returned; more
 * than WORKER_FDS_MAX are -EBADMSG. */
int channel_read_line(int fd, size_t max, uint64_t timeout_usec, char **ret, size_t *ret_length,
                      ChannelFds *ret_fds);

/* Sends a text, waiting up to `timeout_usec` for a peer that is slow to read, and with 0 not at all. 0,
 * -ETIMEDOUT, -EPIPE if the peer is gone, or what send() said. A text of which only a part could be
 * sent closes the connection for writing, so that the peer never takes what follows for the rest. */
int channel_send(int fd, const char *text, uint64_t timeout_usec);
