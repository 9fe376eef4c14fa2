/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The worker's look at real processes, those that hide among them. The device is made of files, and its node
 * has the number of /dev/full, which nobody else has open.
 */

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "shared/cleanup.h"
#include "unit.h"
#include "worker/holders.h"

#define DEVICE "0000:01:00.0"
#define NODE   "/dev/full"

#define UID_NOBODY 65534

static char root[] = "/tmp/test-processes-XXXXXX";
static char sys[64], dev[64], run[64];
static WorkerMember member;
static pid_t child;

static void make_directory(const char *name)
{
        char path[128];

        (void) snprintf(path, sizeof(path), "%s/%s", root, name);
        ck_assert_int_eq(mkdir(path, 0755), 0);
}

static void put(const char *name, const char *text)
{
        char path[128];
        FILE *file;

        (void) snprintf(path, sizeof(path), "%s/%s", root, name);
        file = fopen(path, "we");
        ck_assert_ptr_nonnull(file);
        ck_assert_int_ge(fputs(text, file), 0);
        ck_assert_int_eq(fclose(file), 0);
}

static void setup(void)
{
        static const char *const directories[] = {
                "sys",         "dev",
                "run",         "sys/bus",
                "sys/bus/pci", "sys/bus/pci/devices",
                "sys/" DEVICE, "sys/" DEVICE "/card0",
        };
        char link[128], path[128];
        struct stat st;

        ck_assert_ptr_nonnull(mkdtemp(root));
        for (size_t i = 0; i < ELEMENTSOF(directories); i++)
                make_directory(directories[i]);
        put("sys/" DEVICE "/class", "0x030000\n");
        put("sys/" DEVICE "/card0/dev", "1:7\n");
        (void) snprintf(link, sizeof(link), "%s/sys/bus/pci/devices/%s", root, DEVICE);
        ck_assert_int_eq(symlink("../../../" DEVICE, link), 0);
        (void) snprintf(path, sizeof(path), "%s/sys/%s", root, DEVICE);
        ck_assert_int_eq(stat(path, &st), 0);
        member = (WorkerMember){.inode = st.st_ino};
        ck_assert_int_eq(pci_address_parse(DEVICE, &member.address), 0);
        (void) snprintf(sys, sizeof(sys), "%s/sys", root);
        (void) snprintf(dev, sizeof(dev), "%s/dev", root);
        (void) snprintf(run, sizeof(run), "%s/run", root);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
        return remove(path);
}

static void teardown(void)
{
        if (child > 0) {
                (void) kill(child, SIGKILL);
                (void) waitpid(child, NULL, 0);
        }
        (void) nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Whether the child is told as one who has the node open, and nobody else. */
static bool is_found(void)
{
        const HoldersRoots roots = {.proc = "/proc", .sys = sys, .dev = dev, .run = run};
        const WorkerRequest request = {.operation = WORKER_SCAN, .members = &member, .n_members = 1};
        WorkerScan *scan;
        bool found;

        ck_assert_int_eq(holders_scan(&roots, &request, NULL, &scan), 0);
        ck_assert_msg(scan->error == 0, "%s: %s", strerror(scan->error), scan->message);
        found = scan->n_holders > 0;
        ck_assert_uint_le(scan->n_holders, 1);
        if (found) {
                ck_assert_int_eq(scan->holders[0].kind, HOLDER_PROCESS);
                ck_assert_int_eq((pid_t) scan->holders[0].pid, child);
                ck_assert_uint_eq(scan->holders[0].uid, UID_NOBODY);
        }
        worker_scan_free(scan);
        return found;
}

/* ---- what children do ---- */

static int ready = -EBADF;

static void must(bool success)
{
        if (!success)
                _exit(EXIT_FAILURE);
}

static void hold(void)
{
        must(open(NODE, O_RDONLY | O_CLOEXEC) >= 0);
        must(write(ready, "", 1) == 1);
        for (;;)
                (void) pause();
}

static void *thread_with_its_own(void *data)
{
        must(unshare(CLONE_FILES) == 0);
        hold();
        return NULL;
}

static void *thread_that_stays(void *data)
{
        const pthread_t *first = data;

        must(pthread_join(*first, NULL) == 0);
        hold();
        return NULL;
}

static void *thread_that_waits(void *data)
{
        for (;;)
                (void) pause();
        return NULL;
}

static void in_a_thread(void)
{
        pthread_t threads[3];

        must(pthread_create(&threads[0], NULL, thread_that_waits, NULL) == 0);
        must(pthread_create(&threads[1], NULL, thread_with_its_own, NULL) == 0);
        must(pthread_create(&threads[2], NULL, thread_that_waits, NULL) == 0);
        (void) thread_that_waits(NULL);
}

static void after_the_first_thread(void)
{
        static pthread_t first;
        pthread_t thread;

        first = pthread_self();
        must(pthread_create(&thread, NULL, thread_that_stays, &first) == 0);
        pthread_exit(NULL);
}

/* Starts one, who is somebody else or this user, and waits until it has the node open. */
static void start(void (*what)(void), uid_t uid)
{
        int pair[2];
        char byte;

        ck_assert_int_eq(pipe2(pair, O_CLOEXEC), 0);
        child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0) {
                ready = pair[1];
                must(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && setresuid(uid, uid, uid) == 0);
                what();
                _exit(EXIT_FAILURE);
        }
        (void) close(pair[1]);
        ck_assert_int_eq(read(pair[0], &byte, 1), 1);
        (void) close(pair[0]);
}

START_TEST(nobody)
{
        ck_assert(!is_found());
}
END_TEST

static const struct {
        void (*what)(void);
        uid_t uid;
        bool is_found;
} cases[] = {
        /* It runs the program that looks, as anybody can; but only those that run as this user are workers.
         */
        {hold, UID_NOBODY, true},
        {hold, 0, false},
        {in_a_thread, UID_NOBODY, true},
        {after_the_first_thread, UID_NOBODY, true},
};

START_TEST(processes)
{
        start(cases[_i].what, cases[_i].uid);
        ck_assert_int_eq(is_found(), cases[_i].is_found);
}
END_TEST

static int run_suite(void)
{
        Suite *suite = suite_create("processes");
        TCase *tcase = tcase_create("processes");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, nobody);
        tcase_add_loop_test(tcase, processes, 0, ELEMENTSOF(cases));
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}

/* In a process namespace of its own: the machine's own processes may not all be there to be looked at. */
int main(void)
{
        int status;
        pid_t pid;

        if (unshare(CLONE_NEWPID | CLONE_NEWNS) < 0) {
                perror("Bail out! No namespaces can be made, is this root?");
                return EXIT_FAILURE;
        }
        pid = fork();
        if (pid == 0) {
                if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
                    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) {
                        perror("Bail out! /proc cannot be mounted");
                        return EXIT_FAILURE;
                }
                return run_suite();
        }
        if (pid < 0 || waitpid(pid, &status, 0) < 0)
                return EXIT_FAILURE;
        /* The namespace has ended, and the leak sanitizer could make no process any more. */
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
}
