/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * pkttyagent registers for its parent, this process, only if no other agent is there (--fallback), and
 * closes the descriptor that it is told when it has registered.
 */

#include "pcireset/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/cleanup.h"

#define AGENT            "pkttyagent"
#define READY_TIMEOUT_MS 5000

static _Noreturn void run_agent(int ready_fd, pid_t parent)
{
        char number[16];
        sigset_t none;

        /* It must not outlive us: nobody would be left to answer for. */
        if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
                _exit(EXIT_FAILURE);
        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
        if (fcntl(ready_fd, F_SETFD, 0) < 0)
                _exit(EXIT_FAILURE);

        (void) snprintf(number, sizeof(number), "%d", ready_fd);
        (void) execlp(AGENT, AGENT, "--notify-fd", number, "--fallback", (char *) NULL);
        /* Not installed: a byte tells so, where an agent only closes. */
        (void) !write(ready_fd, "", 1);
        _exit(EXIT_FAILURE);
}

pid_t agent_start(void)
{
        _cleanup_close_ int read_end = -EBADF, write_end = -EBADF;
        pid_t parent = getpid(), agent;
        struct pollfd ready;
        int fds[2];

        if (geteuid() == 0 || pipe2(fds, O_CLOEXEC) < 0)
                return 0;
        read_end = fds[0];
        write_end = fds[1];

        agent = fork();
        if (agent == 0)
                run_agent(write_end, parent);
        if (agent < 0)
                return 0;

        (void) close(steal_fd(write_end));
        ready = (struct pollfd){.fd = read_end, .events = POLLIN};
        while (poll(&ready, 1, READY_TIMEOUT_MS) < 0 && errno == EINTR)
                ;
        if (ready.revents & POLLIN) {
                agent_stop(agent);
                return 0;
        }
        return agent;
}

void agent_stop(pid_t agent)
{
        if (agent <= 0)
                return;
        (void) kill(agent, SIGTERM);
        (void) kill(agent, SIGCONT);
        while (waitpid(agent, NULL, 0) < 0 && errno == EINTR)
                ;
}
