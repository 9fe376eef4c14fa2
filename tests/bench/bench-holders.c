/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Who has a device node open, on a machine with many processes: the worker's scan against fuser and lsof,
 * which take turns. All three start as programs, and all three must find the same processes.
 */

#include "bench-holders.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "shared/worker-protocol.h"

#define PROCESSES   5000
#define DESCRIPTORS 40 /* of each process */
#define USERS       5 /* processes that have the node open */
#define ROUNDS      7

/* A node that nobody else has open. */
#define NODE      "/dev/full"
#define NODE_NAME "full"
#define NODE_DEV  "1:7"

static void open_one(unsigned kind)
{
        int pair[2], r;

        switch (kind) {
        case 0:
        case 1:
        case 2:
                r = socket(AF_UNIX, SOCK_STREAM, 0);
                break;
        case 3:
                r = eventfd(0, 0);
                break;
        case 4:
                r = epoll_create1(0);
                break;
        case 5:
                r = pipe(pair);
                break;
        case 6:
        case 7:
                r = open("/etc/passwd", O_RDONLY);
                break;
        default:
                r = open("/dev/null", O_RDWR);
        }
        if (r < 0)
                _exit(EXIT_FAILURE);
}

/* What a service has open, the same for all; and the node in a few. */
static void crowd(int fd)
{
        int last;

        for (unsigned i = 0; (last = dup(fd)) < DESCRIPTORS - 2; i++) {
                (void) close(last);
                open_one(i % 10);
        }
        (void) close(last);
        for (unsigned i = 0; i < PROCESSES; i++) {
                pid_t pid = fork();

                if (pid < 0)
                        _exit(EXIT_FAILURE);
                if (pid > 0)
                        continue;
                if (open(i % (PROCESSES / USERS) == 0 ? NODE : "/dev/null", O_RDWR) < 0 ||
                    (i == PROCESSES - 1 && write(fd, "r", 1) != 1))
                        _exit(EXIT_FAILURE);
                (void) close(fd);
                for (;;)
                        (void) pause();
        }
        for (;;)
                (void) pause();
}

static void start_crowd(void)
{
        int ends[2];
        char byte;

        ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        (void) process_fork("crowd", 0, crowd, ends[1]);
        (void) close(ends[1]);
        ck_assert_msg(read(ends[0], &byte, 1) == 1, "the crowd of processes could not be made");
        (void) close(ends[0]);
}

/* Runs a program with one socket as input and output: sends it the text, returns what it says until it ends,
 * and how long that took. */
static uint64_t run(const char *const argv[], const char *text, char **ret)
{
        uint64_t started = now_usec();
        char buffer[65536];
        size_t used = 0;
        int pair[2];
        ssize_t n;
        pid_t pid;

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
                if (dup2(pair[1], STDIN_FILENO) < 0 || dup2(pair[1], STDOUT_FILENO) < 0 ||
                    dup2(open("/dev/null", O_WRONLY), STDERR_FILENO) < 0)
                        _exit(EXIT_FAILURE);
                (void) execvp(argv[0], (char *const *) (uintptr_t) argv);
                _exit(127);
        }
        (void) close(pair[1]);
        ck_assert_int_eq(write(pair[0], text, strlen(text)), (ssize_t) strlen(text));
        while ((n = read(pair[0], buffer + used, sizeof(buffer) - 1 - used)) > 0)
                used += (size_t) n;
        ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
        started = now_usec() - started;
        (void) close(pair[0]);
        buffer[used] = '\0';
        *ret = strdup(buffer);
        return started;
}

static unsigned count(const char *text, const char *word)
{
        unsigned n = 0;

        for (const char *at = strstr(text, word); at; at = strstr(at + 1, word))
                n++;
        return n;
}

/* Numbers among blanks. */
static unsigned count_numbers(const char *text)
{
        unsigned n = 0;

        for (const char *c = text; *c; c++)
                n += *c >= '0' && *c <= '9' && (c == text || c[-1] < '0' || c[-1] > '9');
        return n;
}

static uint64_t scan(const char *request)
{
        const char *const argv[] = {tested_path("PCIRESET_WORKER"), NULL};
        _cleanup_free_ char *said = NULL;
        uint64_t usec = run(argv, request, &said);

        ck_assert_msg(count(said, "\"kind\":\"process\"") == USERS &&
                              count(said, "\"what\":\"" NODE "\"") == USERS,
                      "%s", said);
        return usec;
}

static uint64_t run_tool(const char *const argv[])
{
        _cleanup_free_ char *said = NULL;
        uint64_t usec = run(argv, "", &said);

        ck_assert_msg(count_numbers(said) == USERS, "%s found other processes: %s", argv[0], said);
        return usec;
}

static char *make_request(void)
{
        WorkerMember member = {.inode = sysfs_inode(CARD)};
        WorkerRequest request = {
                .operation = WORKER_SCAN, .method = WORKER_SCAN_METHOD, .members = &member, .n_members = 1};
        char *line;

        ck_assert_int_eq(pci_address_parse(CARD, &member.address), 0);
        ck_assert_int_eq(worker_request_format(&request, &line), 0);
        return line;
}

static void print_series(FILE *file, const char *name, const uint64_t values[static ROUNDS])
{
        fprintf(file, ",\"%s\":[", name);
        for (unsigned i = 0; i < ROUNDS; i++)
                fprintf(file, "%s%lu", i ? "," : "", (unsigned long) values[i]);
        fputs("]", file);
}

char *holders_measure(void)
{
        static const char *const fuser[] = {"fuser", NODE, NULL};
        static const char *const lsof[] = {"lsof", "-n", "-P", "-w", "-t", "--", NODE, NULL};
        uint64_t scans[ROUNDS], fusers[ROUNDS], lsofs[ROUNDS];
        _cleanup_free_ char *request = NULL;
        char *output;
        size_t size;
        FILE *file;

        directory_make("/sys/bus/pci/devices/" CARD "/misc");
        directory_make("/sys/bus/pci/devices/" CARD "/misc/" NODE_NAME);
        file_print("/sys/bus/pci/devices/" CARD "/misc/" NODE_NAME "/dev", "%s\n", NODE_DEV);
        request = make_request();
        start_crowd();

        (void) scan(request);
        for (unsigned i = 0; i < ROUNDS; i++) {
                scans[i] = scan(request);
                fusers[i] = run_tool(fuser);
                lsofs[i] = run_tool(lsof);
        }

        file = open_memstream(&output, &size);
        ck_assert_ptr_nonnull(file);
        fprintf(file, "{\"processes\":%d,\"descriptors\":%d", PROCESSES, PROCESSES * DESCRIPTORS);
        print_series(file, "scan", scans);
        print_series(file, "fuser", fusers);
        print_series(file, "lsof", lsofs);
        fputs("}\n", file);
        ck_assert_int_eq(fclose(file), 0);
        return output;
}
