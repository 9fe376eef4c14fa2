/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The event loop and the processes of a test. As the first process of its namespace the test also inherits
 * what its children leave behind, so everything that ends is collected here, known or not.
 */

#include "loop.h"

#include <check.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "sandbox.h"

#define USEC_PER_SEC     UINT64_C(1000000)
#define PATIENCE_DEFAULT 30U
#define PROCESSES_MAX    64U

/* Not everything that a test waits for wakes its loop: processes, files. */
#define LOOK_AGAIN_USEC UINT64_C(20000)

static sd_event *event;
static Process *processes[PROCESSES_MAX];

uint64_t now_usec(void)
{
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / 1000;
}

uint64_t loop_deadline(void)
{
        const char *patience = getenv("PCIRESETD_TEST_PATIENCE");

        return now_usec() + (patience ? strtoul(patience, NULL, 10) : PATIENCE_DEFAULT) * USEC_PER_SEC;
}

static int on_child(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
        pid_t pid;
        int status;

        (void) source, (void) info, (void) data;
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
                for (size_t i = 0; i < PROCESSES_MAX; i++)
                        if (processes[i] && processes[i]->pid == pid) {
                                processes[i]->ended = true;
                                processes[i]->status = status;
                        }
        return 0;
}

void loop_init(void)
{
        sigset_t child;

        (void) sigemptyset(&child);
        (void) sigaddset(&child, SIGCHLD);
        ck_assert_int_eq(sigprocmask(SIG_BLOCK, &child, NULL), 0);
        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_ge(sd_event_add_signal(event, NULL, SIGCHLD, on_child, NULL), 0);
}

sd_event *loop_event(void)
{
        return event;
}

void loop_once(uint64_t deadline, const char *what, const char *file, int line)
{
        uint64_t now = now_usec();
        int r;

        ck_assert_msg(now < deadline, "%s:%d: waited in vain for: %s", file, line, what);
        r = sd_event_run(event, deadline - now < LOOK_AGAIN_USEC ? deadline - now : LOOK_AGAIN_USEC);
        ck_assert_msg(r >= 0, "sd_event_run: %s", strerror(-r));
}

void loop_drain(void)
{
        while (sd_event_run(event, 0) > 0)
                ;
}

static Process *process_remember(const char *name, pid_t pid)
{
        Process *process = calloc(1, sizeof(*process));

        ck_assert_ptr_nonnull(process);
        process->pid = pid;
        process->name = strdup(name);
        for (size_t i = 0; i < PROCESSES_MAX; i++)
                if (!processes[i]) {
                        processes[i] = process;
                        return process;
                }
        ck_abort_msg("Too many processes in one test.");
}

static void become(uid_t uid)
{
        sigset_t none;

        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
        if (uid != 0 &&
            (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0))
                _exit(126);
}

static void redirect_output(const char *name)
{
        _cleanup_free_ char *path = NULL;
        int fd;

        if (asprintf(&path, SANDBOX_LOG_DIR "/%s", name) < 0)
                _exit(126);
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
        if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
                _exit(126);
        (void) close(fd);
}

/* As CapabilityBoundingSet= in a unit: root keeps at the execve() that follows what is in the bounding set.
 */
static void bound_capabilities(uint64_t capabilities)
{
        for (unsigned capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
                if (!(capabilities >> capability & 1) && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
                        _exit(126);
}

static Process *start(const char *name, uid_t uid, uint64_t capabilities, const char *const argv[],
                      const char *const environment[])
{
        pid_t pid = fork();

        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
                redirect_output(name);
                for (; environment && *environment; environment++)
                        (void) putenv((char *) *environment);
                bound_capabilities(capabilities);
                become(uid);
                (void) execvp(argv[0], (char **) argv);
                (void) fprintf(stderr, "%s: %m\n", argv[0]);
                _exit(127);
        }
        return process_remember(name, pid);
}

Process *process_start(const char *name, uid_t uid, const char *const argv[],
                       const char *const environment[])
{
        return start(name, uid, UINT64_MAX, argv, environment);
}

Process *process_start_bounded(const char *name, uint64_t capabilities, const char *const argv[],
                               const char *const environment[])
{
        return start(name, 0, capabilities, argv, environment);
}

Process *process_fork(const char *name, uid_t uid, void (*function)(int fd), int fd)
{
        pid_t pid = fork();

        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
                become(uid);
                /* A copy of somebody else's connection would keep it alive. */
                if (dup2(fd, STDERR_FILENO + 1) < 0 || close_range(STDERR_FILENO + 2, ~0U, 0) < 0)
                        _exit(126);
                function(STDERR_FILENO + 1);
                _exit(EXIT_SUCCESS);
        }
        return process_remember(name, pid);
}

void process_signal(const Process *process, int signal)
{
        if (!process->ended)
                ck_assert_int_eq(kill(process->pid, signal), 0);
}

int process_wait(Process *process)
{
        wait_until(process->ended);
        return WIFEXITED(process->status) ? WEXITSTATUS(process->status) : -WTERMSIG(process->status);
}

Process *process_free(Process *process)
{
        if (!process)
                return NULL;
        process_signal(process, SIGKILL);
        (void) process_wait(process);
        for (size_t i = 0; i < PROCESSES_MAX; i++)
                if (processes[i] == process)
                        processes[i] = NULL;
        free(process->name);
        free(process);
        return NULL;
}

int process_run(uid_t uid, const char *const argv[], char **ret_output)
{
        static unsigned serial;
        _cleanup_free_ char *name = NULL, *path = NULL;
        Process *process;
        int status;

        name = textf("command-%u", ++serial);
        path = textf(SANDBOX_LOG_DIR "/%s", name);
        process = process_start(name, uid, argv, NULL);
        status = process_wait(process);
        process_free(process);
        if (ret_output)
                *ret_output = file_read(path, NULL);
        return status;
}
