/* SPDX-License-Identifier: GPL-2.0-or-later */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "unit.h"
#include "worker/record.h"

DEFINE_CLEANUP(Record *, record_close);
DEFINE_CLEANUP(WorkerRecord *, worker_record_free);

static WorkerMember member = {.address.bus = 1, .inode = 4711, .vendor = 0x8086, .device = 0x10d3};
static const WorkerRequest request = {
        .job = 7, .uid = 1001, .method = "flr", .members = &member, .n_members = 1};

static char directory[64];

static const char *in_directory(const char *name)
{
        static char path[128];

        (void) snprintf(path, sizeof(path), "%s/%s", directory, name);
        return path;
}

static void setup(void)
{
        (void) strcpy(directory, "/tmp/record-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void teardown(void)
{
        static const char *const names[] = {"7.json", "7.lock", "7.tmp", "target"};

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                (void) unlink(in_directory(names[i]));
        ck_assert_int_eq(rmdir(directory), 0);
}

static WorkerRecord *read_record(void)
{
        FILE *file = fopen(in_directory("7.json"), "r");
        WorkerRecord *record;
        char text[8192];
        size_t n;

        ck_assert_ptr_nonnull(file);
        n = fread(text, 1, sizeof(text), file);
        (void) fclose(file);
        ck_assert_int_eq(worker_record_parse(text, n, &record), 0);
        return record;
}

START_TEST(from_first_to_last)
{
        const WorkerResult result = {.outcome = WORKER_FAILED, .error = ENOTTY};
        _cleanup_(cleanup_record_close) Record *record = NULL;
        WorkerRecord *read;

        ck_assert_int_eq(record_open(directory, &request, &record), 0);
        read = read_record();
        ck_assert_uint_eq(read->pid, (uint32_t) getpid());
        ck_assert_uint_eq(read->request->members[0].inode, 4711);
        ck_assert(!read->has_saved_reset_method);
        ck_assert_ptr_null(read->result);
        worker_record_free(read);

        ck_assert_int_eq(record_save_list(record, "flr bus"), 0);
        read = read_record();
        ck_assert(read->has_saved_reset_method);
        ck_assert_str_eq(read->saved_reset_method, "flr bus");
        ck_assert_ptr_null(read->result);
        worker_record_free(read);

        ck_assert_int_eq(record_finish(record, &result), 0);
        read = read_record();
        ck_assert_str_eq(read->saved_reset_method, "flr bus");
        ck_assert_int_eq(read->result->error, ENOTTY);
        worker_record_free(read);

        ck_assert_int_lt(access(in_directory("7.tmp"), F_OK), 0);
}
END_TEST

/* What a worker that is gone has saved goes from hand to hand until somebody has a result. */
START_TEST(taken_over)
{
        const WorkerRequest mend = {
                .operation = WORKER_MEND, .job = 7, .method = "flr", .members = &member, .n_members = 1};
        WorkerSaved saved = {.driver_override = "vfio-pci", .has_list = true};
        const WorkerResult result = {.outcome = WORKER_FAILED, .error = EPIPE};
        Record *record = NULL;
        WorkerRecord *read;

        ck_assert_int_eq(reset_method_list_parse("pm bus", &saved.list), 0);
        ck_assert_int_eq(record_open(directory, &request, &record), 0);
        ck_assert_int_eq(record_save_list(record, "flr bus"), 0);
        ck_assert_int_eq(record_save_settings(record, &saved, 1), 0);
        if (_i == 1)
                ck_assert_int_eq(record_save_power(record), 0);
        record = record_close(record);

        for (int i = 0; i < 2; i++) {
                ck_assert_int_eq(record_take_over(directory, &mend, &record), 0);
                ck_assert_str_eq(record_content(record)->saved_reset_method, "flr bus");
                ck_assert_int_eq(record_content(record)->bridge_sleeps, _i == 1);
                if (i == 1)
                        ck_assert_int_eq(record_finish(record, &result), 0);
                record = record_close(record);
                read = read_record();
                ck_assert_uint_eq(read->pid, (uint32_t) getpid());
                ck_assert_int_eq(read->request->operation, WORKER_RESET);
                ck_assert_uint_eq(read->request->uid, 1001);
                ck_assert_str_eq(read->saved_reset_method, "flr bus");
                ck_assert_uint_eq(read->n_saved, 1);
                ck_assert_str_eq(read->saved[0].driver_override, "vfio-pci");
                ck_assert(reset_method_list_contains(&read->saved[0].list, "pm"));
                ck_assert_int_eq(read->bridge_sleeps, _i == 1);
                ck_assert_int_eq(read->result != NULL, i == 1);
                worker_record_free(read);
        }
}
END_TEST

/* After the machine was started anew nothing is there. */
START_TEST(nothing_to_take_over)
{
        _cleanup_(cleanup_record_close) Record *record = NULL;
        WorkerRecord *read;

        ck_assert_int_eq(record_take_over(directory, &request, &record), 0);
        read = read_record();
        ck_assert(!read->has_saved_reset_method);
        ck_assert_ptr_null(read->saved);
        worker_record_free(read);
}
END_TEST

START_TEST(without_a_directory)
{
        Record *record = NULL;

        ck_assert_int_eq(record_open("/nonexistent/jobs", &request, &record), -ENOENT);
        ck_assert_ptr_null(record);
}
END_TEST

static int open_and_lock(void)
{
        int fd = open(in_directory("7.lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
        return fd;
}

START_TEST(one_worker_for_a_job)
{
        _cleanup_close_ int held = open_and_lock();
        Record *record = NULL;

        ck_assert_int_eq(record_open(directory, &request, &record), -EBUSY);
        ck_assert_int_lt(access(in_directory("7.json"), F_OK), 0);
}
END_TEST

START_TEST(lock_lives_as_long_as_the_record)
{
        _cleanup_close_ int other = -EBADF;
        Record *record = NULL;

        ck_assert_int_eq(record_open(directory, &request, &record), 0);
        other = open(in_directory("7.lock"), O_RDONLY | O_CLOEXEC);
        ck_assert_int_lt(flock(other, LOCK_SH | LOCK_NB), 0);
        record = record_close(record);
        ck_assert_int_eq(flock(other, LOCK_SH | LOCK_NB), 0);
}
END_TEST

/* The lock is let go a little later, by a worker that has said its last word. */
START_TEST(lock_that_is_about_to_be_free)
{
        _cleanup_(cleanup_record_close) Record *record = NULL;
        int held = open_and_lock();
        pid_t pid = fork();

        if (pid == 0) {
                (void) usleep(60000);
                _exit(0);
        }
        (void) close(held);
        ck_assert_int_eq(record_open(directory, &request, &record), 0);
        ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

/* The daemon removes the lock file while it holds the lock; whoever opened it before must not be content. */
START_TEST(lock_file_that_is_removed)
{
        _cleanup_(cleanup_record_close) Record *record = NULL;
        int held = open_and_lock();
        pid_t pid = fork();

        if (pid == 0) {
                (void) usleep(60000);
                (void) unlink(in_directory("7.lock"));
                (void) usleep(60000);
                _exit(0);
        }
        (void) close(held);
        ck_assert_int_eq(record_open(directory, &request, &record), 0);
        ck_assert_int_eq(access(in_directory("7.lock"), F_OK), 0);
        ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

/* Killed at a random point, hundreds of times: there is always a whole record, and the lock is free. */
START_TEST(killed)
{
        for (int i = 0; i < 200; i++) {
                _cleanup_close_ int lock = -EBADF;
                pid_t pid = fork();

                if (pid == 0) {
                        Record *record;

                        if (record_open(directory, &request, &record) < 0)
                                _exit(1);
                        for (;;)
                                (void) record_save_list(record, "flr bus pm");
                }
                while (access(in_directory("7.json"), F_OK) < 0)
                        ;
                (void) usleep((useconds_t) (i * 7 % 1000));
                ck_assert_int_eq(kill(pid, SIGKILL), 0);
                ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
                worker_record_free(read_record());
                lock = open(in_directory("7.lock"), O_RDONLY | O_CLOEXEC);
                ck_assert_int_eq(flock(lock, LOCK_SH | LOCK_NB), 0);
        }
}
END_TEST

/* The directory may belong to somebody with fewer rights: nothing in it leads the worker astray. */
START_TEST(traps)
{
        _cleanup_(cleanup_record_close) Record *record = NULL;
        struct stat st;

        ck_assert_int_eq(close(open(in_directory("target"), O_WRONLY | O_CREAT, 0600)), 0);
        ck_assert_int_eq(symlink("target", in_directory("7.lock")), 0);
        ck_assert_int_eq(record_open(directory, &request, &record), -ELOOP);
        ck_assert_int_eq(unlink(in_directory("7.lock")), 0);

        ck_assert_int_eq(symlink("target", in_directory("7.tmp")), 0);
        ck_assert_int_eq(symlink("target", in_directory("7.json")), 0);
        ck_assert_int_eq(record_open(directory, &request, &record), 0);
        ck_assert_int_eq(stat(in_directory("target"), &st), 0);
        ck_assert_int_eq(st.st_size, 0);
        ck_assert_int_eq(lstat(in_directory("7.json"), &st), 0);
        ck_assert(S_ISREG(st.st_mode));
        ck_assert_uint_eq(st.st_mode & 0007, 0);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("record");
        TCase *files = tcase_create("files");

        tcase_add_checked_fixture(files, setup, teardown);
        tcase_set_timeout(files, 60);
        tcase_add_test(files, from_first_to_last);
        tcase_add_loop_test(files, taken_over, 0, 2);
        tcase_add_test(files, nothing_to_take_over);
        tcase_add_test(files, without_a_directory);
        tcase_add_test(files, one_worker_for_a_job);
        tcase_add_test(files, lock_lives_as_long_as_the_record);
        tcase_add_test(files, lock_that_is_about_to_be_free);
        tcase_add_test(files, lock_file_that_is_removed);
        tcase_add_test(files, killed);
        tcase_add_test(files, traps);
        suite_add_tcase(suite, files);
        return unit_run(suite);
}
