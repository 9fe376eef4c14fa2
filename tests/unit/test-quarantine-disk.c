/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Quarantines on a disk that fails: a crash at any step leaves the old record or the new one, a full disk is
 * told, and one that hangs keeps nobody from ending.
 */

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "quarantine-bed.h"

/* ---- the disk ---- */

/* Until the machine loses power: from then on nothing has any effect; negative: never. */
static int steps_left = -1;
static int full; /* errno of writes, 0: none */
static int hang_fd = -1; /* there is something to read from it when the disk answers again; -1: it does */
static volatile bool has_hung;

static bool is_powered(void)
{
        if (steps_left < 0)
                return true;
        if (steps_left == 0) {
                errno = EIO;
                return false;
        }
        steps_left--;
        return true;
}

ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size)
{
        char byte;

        if (hang_fd >= 0) {
                has_hung = true;
                while (read(hang_fd, &byte, 1) < 0)
                        ;
        }
        if (full) {
                errno = full;
                return -1;
        }
        if (steps_left == 0) {
                errno = EIO;
                return -1;
        }
        /* In two parts, between which there is an end, too. */
        if (!is_powered() || size < 2)
                return __real_write(fd, data, size);
        return __real_write(fd, data, size / 2);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
        return is_powered() ? __real_fsync(fd) : -1;
}

int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
        return is_powered() ? __real_renameat(from_fd, from, to_fd, to) : -1;
}

int __real_unlinkat(int fd, const char *name, int flags);
int __wrap_unlinkat(int fd, const char *name, int flags);
int __wrap_unlinkat(int fd, const char *name, int flags)
{
        return is_powered() ? __real_unlinkat(fd, name, flags) : -1;
}

/* Nobody has that much time. */
int __real_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                  const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                  const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
        struct timespec now;

        ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &now), 0);
        ck_assert_int_le(until->tv_sec - now.tv_sec, QUARANTINE_FLUSH_USEC / 1000000);
        return hang_fd >= 0 ? ETIMEDOUT : __real_pthread_cond_timedwait(cond, mutex, until);
}

/* Another daemon, with a disk that works. */
static void repair(void)
{
        stop();
        steps_left = -1;
        full = 0;
        start();
}

/* ---- crashes, full disks, and those that hang ---- */

START_TEST(a_crash_leaves_the_old_or_the_new_one)
{
        QuarantineRecord old = some_record("old"), new = some_record("new");
        bool was_old = false, was_new = false;

        for (int steps = 0; !was_new || steps < 20; steps++) {
                quarantine_store_write(store, &old);
                ck_assert_int_eq(wait_stored(), 0);
                steps_left = steps;
                quarantine_store_write(store, &new);
                repair();
                ck_assert_uint_eq(n_found, 1);
                if (strcmp(found[0].reason, "old") == 0) {
                        check_same(&found[0], &old);
                        /* Once the new one is there, it stays. */
                        ck_assert(!was_new);
                        was_old = true;
                } else {
                        check_same(&found[0], &new);
                        was_new = true;
                }
                /* Nothing is left lying about. */
                ck_assert_int_eq(count_files(), 1);
                ck_assert_int_lt(steps, 200);
        }
        ck_assert(was_old);
}
END_TEST

START_TEST(a_crash_while_it_is_removed)
{
        QuarantineRecord record = some_record("x");

        for (int steps = 0; steps < 3; steps++) {
                quarantine_store_write(store, &record);
                ck_assert_int_eq(wait_stored(), 0);
                steps_left = steps;
                quarantine_store_remove(store, &record);
                repair();
                ck_assert_uint_eq(n_found, steps == 0);
        }
}
END_TEST

START_TEST(a_full_disk_is_told)
{
        QuarantineRecord old = some_record("old"), new = some_record("new");

        quarantine_store_write(store, &old);
        ck_assert_int_eq(wait_stored(), 0);
        full = ENOSPC;
        quarantine_store_write(store, &new);
        ck_assert_int_eq(wait_stored(), -ENOSPC);
        ck_assert_uint_eq(n_unstored, 1);
        /* And then it goes on. */
        full = 0;
        quarantine_store_write(store, &new);
        ck_assert_int_eq(wait_stored(), 0);
        ck_assert_uint_eq(n_unstored, 1);
        full = ENOSPC;
        quarantine_store_write(store, &old);
        repair();
        ck_assert_uint_eq(n_unstored, 2);
        ck_assert_uint_eq(n_found, 1);
        ck_assert_str_eq(found[0].reason, "new");
}
END_TEST

/* The daemon ends all the same, and says what is not on the disk. */
START_TEST(the_disk_hangs)
{
        const QuarantineRecord first = some_record("x");
        QuarantineRecord record = first;
        char path[512];
        int fds[2];

        ck_assert_int_eq(pipe(fds), 0);
        hang_fd = fds[0];
        quarantine_store_write(store, &record);
        while (!has_hung)
                (void) usleep(1000);
        record.device.vendor++;
        quarantine_store_write(store, &record);
        store = quarantine_store_free(store);
        ck_assert_uint_eq(n_unstored, 2);
        /* The thread still has what it needs. */
        ck_assert_int_eq(close(fds[1]), 0);
        (void) snprintf(path, sizeof(path), "%s/" NAME, directory);
        while (access(path, F_OK) < 0)
                (void) usleep(1000);
        ck_assert_uint_eq(n_unstored, 2);
        start();
        ck_assert_uint_eq(n_found, 1);
        check_same(&found[0], &first);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("quarantine-disk");
        TCase *tcase = quarantine_case(suite);

        tcase_add_test(tcase, a_crash_leaves_the_old_or_the_new_one);
        tcase_add_test(tcase, a_crash_while_it_is_removed);
        tcase_add_test(tcase, a_full_disk_is_told);
        tcase_add_test(tcase, the_disk_hangs);
        return unit_run(suite);
}
