/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A file is replaced as a whole, wherever the way there ends: by death before or after each of its steps,
 * and by a failure of each. The steps are calls that this program defines itself, and so comes before the C
 * library.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/system/file-replace.h"
#include "unit.h"

#define OLD "old text\n"

/* Longer than one write takes here. */
static char new_text[3000];

typedef enum What { GO_ON, DIE_BEFORE, DIE_AFTER, FAIL } What;

static struct {
        bool armed;
        What what;
        int at, n;
} fault;

static bool step(void)
{
        if (!fault.armed || fault.n++ != fault.at)
                return true;
        if (fault.what == DIE_BEFORE)
                (void) raise(SIGKILL);
        return fault.what != FAIL;
}

static long leave(long result)
{
        if (fault.armed && fault.n - 1 == fault.at && fault.what == DIE_AFTER)
                (void) raise(SIGKILL);
        return result;
}

static int io_error(void)
{
        errno = EIO;
        return -1;
}

ssize_t write(int fd, const void *data, size_t n)
{
        if (fault.armed && n > 1000)
                n = 1000;
        return step() ? leave(syscall(SYS_write, fd, data, n)) : io_error();
}

int fsync(int fd)
{
        return step() ? (int) leave(syscall(SYS_fsync, fd)) : io_error();
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
        return step() ? (int) leave(syscall(SYS_renameat2, from_fd, from, to_fd, to, 0)) : io_error();
}

int openat(int fd, const char *path, int flags, ...)
{
        return step() ? (int) leave(syscall(SYS_openat, fd, path, flags, 0600)) : io_error();
}

/* ---- the bed ---- */

static char folder[] = "/tmp/file-replace.XXXXXX", path[64], beside[70];

static void setup(void)
{
        (void) snprintf(folder, sizeof(folder), "/tmp/file-replace.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(folder));
        (void) snprintf(path, sizeof(path), "%s/state/file", folder);
        (void) snprintf(beside, sizeof(beside), "%s.new", path);
        memset(new_text, 'n', sizeof(new_text));
        fault.armed = false;
        ck_assert_int_eq(file_replace(path, OLD, strlen(OLD)), 0);
}

static void teardown(void)
{
        char state[64];

        (void) snprintf(state, sizeof(state), "%s/state", folder);
        (void) unlink(path);
        (void) unlink(beside);
        (void) rmdir(state);
        ck_assert_int_eq(rmdir(folder), 0);
}

/* 'o', 'n', or '?' for what is neither whole. */
static char what_is_there(void)
{
        char text[sizeof(new_text) + 1];
        FILE *f = fopen(path, "re");
        size_t n;

        if (!f)
                return '-';
        n = fread(text, 1, sizeof(text), f);
        (void) fclose(f);
        if (n == strlen(OLD) && memcmp(text, OLD, n) == 0)
                return 'o';
        return n == sizeof(new_text) && memcmp(text, new_text, n) == 0 ? 'n' : '?';
}

static int replace_with(What what, int at)
{
        fault.what = what;
        fault.at = at;
        fault.n = 0;
        fault.armed = true;
        return file_replace(path, new_text, sizeof(new_text));
}

/* Returns false once the end comes after the last step. */
static bool die(What what, int at)
{
        pid_t pid = fork();
        int status;

        ck_assert_int_ge(pid, 0);
        if (pid == 0)
                _exit(replace_with(what, at) == 0 ? 0 : 1);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        if (WIFSIGNALED(status))
                return true;
        ck_assert_int_eq(WEXITSTATUS(status), 0);
        return false;
}

START_TEST(dies_at_each_step)
{
        static const What ways[] = {DIE_BEFORE, DIE_AFTER};
        unsigned n_old = 0, n_new = 0;
        int at = 0;

        while (die(ways[_i], at)) {
                char there = what_is_there();

                ck_assert_msg(there == 'o' || there == 'n', "at step %d there is %c", at, there);
                n_old += there == 'o';
                n_new += there == 'n';
                /* What it left behind is in nobody's way. */
                fault.armed = false;
                ck_assert_int_eq(file_replace(path, OLD, strlen(OLD)), 0);
                ck_assert_int_eq(what_is_there(), 'o');
                at++;
        }
        ck_assert_int_eq(what_is_there(), 'n');
        /* Open, three writes, sync, rename; then the sync of the folder. */
        ck_assert_uint_ge(n_old, 5);
        ck_assert_uint_ge(n_new, 1);
}
END_TEST

START_TEST(fails_at_each_step)
{
        int at = 0, r;

        while ((r = replace_with(FAIL, at)) != 0) {
                char there = what_is_there();

                fault.armed = false;
                ck_assert_int_eq(there, r < 0 ? 'o' : 'n');
                ck_assert_int_eq(r < 0 ? -r : r, EIO);
                ck_assert_int_ne(access(beside, F_OK), 0);
                ck_assert_int_eq(file_replace(path, OLD, strlen(OLD)), 0);
                at++;
        }
        ck_assert_int_ge(at, 7);
        ck_assert_int_eq(what_is_there(), 'n');
}
END_TEST

START_TEST(is_removed)
{
        ck_assert_int_eq(file_replace(path, NULL, 0), 0);
        ck_assert_int_eq(what_is_there(), '-');
        ck_assert_int_eq(file_replace(path, NULL, 0), 0);
}
END_TEST

/* A name that somebody has laid there is not followed. */
START_TEST(links_are_not_followed)
{
        char target[64];

        (void) snprintf(target, sizeof(target), "%s/victim", folder);
        ck_assert_int_eq(symlink(target, beside), 0);
        ck_assert_int_eq(file_replace(path, new_text, sizeof(new_text)), -ELOOP);
        ck_assert_int_ne(access(target, F_OK), 0);
        ck_assert_int_eq(what_is_there(), 'o');
}
END_TEST

START_TEST(is_for_its_owner)
{
        struct stat st;

        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 0777, 0600);
        ck_assert_int_eq(file_replace("relative", OLD, 1), -EINVAL);
        ck_assert_int_eq(file_replace("/nowhere/at/all", OLD, 1), -ENOENT);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("file-replace");
        TCase *cases = tcase_create("replace");

        tcase_add_checked_fixture(cases, setup, teardown);
        tcase_add_loop_test(cases, dies_at_each_step, 0, 2);
        tcase_add_test(cases, fails_at_each_step);
        tcase_add_test(cases, is_removed);
        tcase_add_test(cases, links_are_not_followed);
        tcase_add_test(cases, is_for_its_owner);
        suite_add_tcase(suite, cases);
        return unit_run(suite);
}
