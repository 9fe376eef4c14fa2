/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A worker that does what files in a directory ($SCRIPT) tell it. It says there, to the socket `events`,
 * when it begins ("begin 0000:01:00.0 0000:02:00.0", with " owners" at the end) and before it answers
 * ("end"). For each device that it is asked about:
 *   gate-ADDRESS      a FIFO: it waits until somebody opens it
 *   fail-ADDRESS      it says that it could not look
 *   die-ADDRESS       it ends without an answer
 *   nonsense-ADDRESS  it answers what nobody understands
 *   lie-ADDRESS       it answers about another device
 *   result-ADDRESS    it answers as if it had been asked for a reset
 * The holders that it tells are one process for each device, whose pid is the device's bus number.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "shared/cleanup.h"
#include "shared/worker-protocol.h"

static const char *directory;

static void tell(const char *text)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/events", directory);
        /* A test that has ended does not listen. */
        if (fd >= 0)
                (void) sendto(fd, text, strlen(text), 0, (struct sockaddr *) &address, sizeof(address));
        (void) close(fd);
}

static bool is_told(const char *what, const PciAddress *address, char path[static 256])
{
        char text[PCI_ADDRESS_STRING_MAX];

        (void) snprintf(path, 256, "%s/%s-%s", directory, what, pci_address_format(address, text));
        return access(path, F_OK) == 0;
}

static void send_line(const char *line)
{
        size_t n = strlen(line);

        if (send(STDIN_FILENO, line, n, 0) != (ssize_t) n)
                exit(EXIT_FAILURE);
}

static int receive(WorkerRequest **ret)
{
        static char line[WORKER_REQUEST_MAX];
        size_t n = 0;

        while (n < sizeof(line) && recv(STDIN_FILENO, line + n, 1, 0) == 1)
                if (line[n++] == '\n')
                        return worker_request_parse(line, n - 1, ret);
        return -EPIPE;
}

static void tell_begin(const WorkerRequest *request)
{
        static char text[32768];
        char address[PCI_ADDRESS_STRING_MAX];
        size_t n = (size_t) sprintf(text, "begin");

        for (size_t i = 0; i < request->n_members; i++)
                n += (size_t) sprintf(text + n, " %s",
                                      pci_address_format(&request->members[i].address, address));
        if (request->owners)
                (void) sprintf(text + n, " owners");
        tell(text);
}

int main(void)
{
        static WorkerUse uses[WORKER_MEMBERS_MAX];
        static Holder holders[WORKER_MEMBERS_MAX];
        WorkerScan scan = {.uses = uses, .holders = holders};
        WorkerResult result = {.outcome = WORKER_DONE};
        WorkerEvent event = {.type = WORKER_EVENT_SCAN, .scan = &scan};
        WorkerRequest *request;
        char path[256], *line;

        /* Whoever still stands at a gate goes with the test. */
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        directory = getenv("SCRIPT");
        if (!directory || receive(&request) < 0 || request->operation != WORKER_SCAN)
                return EXIT_FAILURE;
        tell_begin(request);

        scan.n_uses = scan.n_holders = request->n_members;
        for (size_t i = 0; i < request->n_members; i++) {
                const PciAddress *address = &request->members[i].address;

                uses[i].device = holders[i].device = *address;
                holders[i].kind = HOLDER_PROCESS;
                holders[i].pid = address->bus;
                if (is_told("gate", address, path))
                        (void) close(open(path, O_RDONLY));
                if (is_told("die", address, path))
                        _exit(EXIT_FAILURE);
                if (is_told("nonsense", address, path))
                        send_line("what?\n");
                if (is_told("lie", address, path))
                        uses[i].device.bus++;
                if (is_told("fail", address, path)) {
                        scan.error = EIO;
                        strcpy(scan.message, "on purpose");
                }
                if (is_told("result", address, path))
                        event = (WorkerEvent){.type = WORKER_EVENT_RESULT, .result = &result};
        }
        tell("end");
        if (worker_event_format(&event, &line) < 0)
                return EXIT_FAILURE;
        send_line(line);
        free(line);
        worker_request_free(request);
        return EXIT_SUCCESS;
}
