/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Speaks journald's native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL) itself: one datagram, a
 * line for each field. For this one entry libsystemd is not worth its price, which every single reset would
 * pay: with the libraries that come along, loading it takes longer than all that the worker does.
 */

#include "worker/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "shared/cleanup.h"
#include "shared/message-ids.h"

#define PRIORITY_ERR 3

void log_failure(uint32_t job, const char *what, int error)
{
        static const struct sockaddr_un journal = {.sun_family = AF_UNIX,
                                                   .sun_path = "/run/systemd/journal/socket"};
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        _cleanup_free_ char *entry = NULL;
        int n;

        /* Neither text has a newline in it, or a field would end there. */
        n = asprintf(&entry,
                     "MESSAGE=pcireset-worker: %s: %s\n"
                     "PRIORITY=%d\n"
                     "SYSLOG_IDENTIFIER=pcireset-worker\n"
                     "MESSAGE_ID=" MESSAGE_ID_WORKER_FAILED "\n"
                     "PCIRESETD_JOB=%" PRIu32 "\n"
                     "ERRNO=%d\n",
                     what, strerror(-error), PRIORITY_ERR, job, -error);
        if (n < 0) {
                entry = NULL;
                return;
        }
        /* Without a journal there is nobody else to tell, and a full one is not worth waiting for. */
        if (fd >= 0)
                (void) sendto(fd, entry, (size_t) n, MSG_NOSIGNAL | MSG_DONTWAIT,
                              (const struct sockaddr *) &journal, sizeof(journal));
}
