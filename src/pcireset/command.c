/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * This process stays in between, because it keeps what is held while the command runs, whatever the command
 * does with its descriptors. For the rest it should not be felt: the command is in the same process group
 * and session, with the same signals blocked and ignored as this program found them.
 */

#include "pcireset/command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/cleanup.h"

#define STATUS_SIGNALLED 128

typedef struct Child {
        pid_t pid;
        sigset_t watched; /* what this process waits for */
        sigset_t old_mask;
} Child;

/* Blocks what is waited for: SIGCHLD, and what others may send. */
static int block_signals(Child *child)
{
        static const int passed_on[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};

        (void) sigemptyset(&child->watched);
        (void) sigaddset(&child->watched, SIGCHLD);
        for (size_t i = 0; i < ELEMENTSOF(passed_on); i++) {
                struct sigaction action;

                if (sigaction(passed_on[i], NULL, &action) < 0)
                        return -errno;
                /* Whoever had it ignored meant the command, too. */
                if (action.sa_handler != SIG_IGN)
                        (void) sigaddset(&child->watched, passed_on[i]);
        }

        /* With SIGCHLD ignored the kernel would throw the exit status away. */
        if (signal(SIGCHLD, SIG_DFL) == SIG_ERR ||
            sigprocmask(SIG_BLOCK, &child->watched, &child->old_mask) < 0)
                return -errno;
        return 0;
}

static _Noreturn void execute(const Child *child, char **command, int fd, int error_fd)
{
        int error;

        if (sigprocmask(SIG_SETMASK, &child->old_mask, NULL) >= 0 && (fd < 0 || fcntl(fd, F_SETFD, 0) >= 0))
                (void) execvp(command[0], command);
        error = errno;
        (void) !write(error_fd, &error, sizeof(error));
        _exit(EXIT_FAILURE);
}

/* 0 if the command runs, a positive errno if it could not be executed, or a negative one. */
static int start(Child *child, char **command, int fd)
{
        _cleanup_close_ int read_end = -EBADF, write_end = -EBADF;
        int fds[2], error;
        ssize_t n;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        read_end = fds[0];
        write_end = fds[1];

        child->pid = fork();
        if (child->pid < 0)
                return -errno;
        if (child->pid == 0)
                execute(child, command, fd, write_end);

        /* The pipe ends without a word when the command has taken over. */
        (void) close(steal_fd(write_end));
        do
                n = read(read_end, &error, sizeof(error));
        while (n < 0 && errno == EINTR);
        if (n < (ssize_t) sizeof(error))
                return 0;
        while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
                ;
        return error;
}

static bool has_ended(const Child *child, int *ret_status)
{
        int status;

        if (waitpid(child->pid, &status, WNOHANG) != child->pid)
                return false;
        *ret_status = WIFSIGNALED(status) ? STATUS_SIGNALLED + WTERMSIG(status) : WEXITSTATUS(status);
        return true;
}

int command_run(char **command, int fd, int *ret_status)
{
        Child child = {};
        int r;

        r = block_signals(&child);
        if (r < 0)
                return r;
        r = start(&child, command, fd);
        if (r != 0)
                return r;

        while (!has_ended(&child, ret_status)) {
                siginfo_t info;

                if (sigwaitinfo(&child.watched, &info) < 0) {
                        if (errno != EINTR)
                                return -errno;
                        continue;
                }
                /* si_code is positive for what comes from the kernel, such as Ctrl-C: that went to the whole
                 * group. */
                if (info.si_signo != SIGCHLD && info.si_code <= 0)
                        (void) kill(child.pid, info.si_signo);
        }
        return 0;
}
