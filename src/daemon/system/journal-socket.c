/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * libsystemd keeps its own socket and does not show it, so another one is connected for a moment: for a
 * datagram socket the kernel says by poll() whether the queue at the other end has room (unix_dgram_poll).
 * Only others who send in that very moment can still take the last place.
 */

#include "daemon/system/journal-socket.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <systemd/sd-journal.h>

#include "shared/cleanup.h"
#include "shared/message-ids.h"

static unsigned long n_left_out;

static bool has_room(const char *path)
{
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        struct pollfd wanted = {.fd = fd, .events = POLLOUT};

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                return true;
        return poll(&wanted, 1, 0) != 0;
}

bool journal_takes_entry(const char *path)
{
        if (!has_room(path)) {
                n_left_out++;
                return false;
        }
        if (n_left_out > 0) {
                unsigned long n = n_left_out;

                n_left_out = 0;
                (void) sd_journal_send("MESSAGE=The journal did not take entries for a while: %lu of them are left "
                                       "out here.",
                                       n, "PRIORITY=%i", LOG_WARNING, "MESSAGE_ID=" MESSAGE_ID_LEFT_OUT, NULL);
                return has_room(path);
        }
        return true;
}
