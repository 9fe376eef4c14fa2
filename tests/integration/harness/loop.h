/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The one event loop of a test, and the processes that it started.
 *
 * A test never sleeps and never blocks in a call: it says what it waits for, and all connections, the
 * mocks among them, are served until that is so. What does not come in time fails the test.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "shared/cleanup.h"

/* How long a test waits for what must come. Generous: a loaded machine must not fail a test, and a correct
 * daemon never makes a test wait that long. PCIRESETD_TEST_PATIENCE (seconds) replaces it. */
uint64_t loop_deadline(void);
uint64_t now_usec(void);

void loop_init(void);
sd_event *loop_event(void);

/* Serves what is ready, else waits for something, though not for long. Past the deadline the test fails,
 * naming `what`. */
void loop_once(uint64_t deadline, const char *what, const char *file, int line);

#define wait_until(condition)                                                                               \
        do {                                                                                                \
                uint64_t _deadline = loop_deadline();                                                       \
                                                                                                            \
                while (!(condition))                                                                        \
                        loop_once(_deadline, #condition, __FILE__, __LINE__);                               \
        } while (0)

/* Serves whatever is ready now and returns. */
void loop_drain(void);

typedef struct Process {
        pid_t pid;
        bool ended;
        int status; /* as of waitpid() */
        char *name;
} Process;

/* Starts argv[0] (found in PATH) as `uid` with all its output in SANDBOX_LOG_DIR/<name>. `environment` holds
 * VARIABLE=value pairs for it alone, NULL at the end; may be NULL. */
Process *process_start(const char *name, uid_t uid, const char *const argv[],
                       const char *const environment[]);

/* The same as root with no more capabilities than these (a mask of 1 << CAP_…), now and for ever. */
Process *process_start_bounded(const char *name, uint64_t capabilities, const char *const argv[],
                               const char *const environment[]);

/* Runs `function` in a new process of `uid` that ends with it, and in which nothing is open but `fd`. */
Process *process_fork(const char *name, uid_t uid, void (*function)(int fd), int fd);

void process_signal(const Process *process, int signal);
/* SIGKILLs what still runs, waits for the end, frees. NULL is fine. */
Process *process_free(Process *process);
DEFINE_CLEANUP(Process *, process_free);

/* Waits for the end. Returns the exit status, or minus the signal. */
int process_wait(Process *process);

/* Runs a command to its end while the loop goes on. Returns its exit status; `ret_output` gets what it
 * wrote, both outputs together. */
int process_run(uid_t uid, const char *const argv[], char **ret_output);
