/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What is in the directory of claims: nothing is left behind by claims that have ended, whatever happens in
 * between, and what does not belong there does no harm.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lease-bed.h"

START_TEST(leftovers_are_cleared_away)
{
        char id[CLAIM_ID_MAX];
        int fd = add(id);

        stop();
        ck_assert_int_eq(mkfifo(path_of("aaaaaaaaaaaa", ".fifo"), 0600), 0);
        put_file("bbbbbbbbbbbb", ".json", "{}");
        put_file("cccccccccccc", ".new", "{\"vers");
        ck_assert_int_eq(mkfifo(path_of("cccccccccccc", ".fifo"), 0600), 0);
        ck_assert_int_eq(mkfifo(path_of("dddddddddddd", ".fifo"), 0600), 0);
        put_file("dddddddddddd", ".json", "{}");
        put_file("not-ours", "", "");
        put_file("eeeeeeeeeeee", ".fifo", "a file");
        put_file("eeeeeeeeeeee", ".json", "{}");
        ck_assert_int_eq(mkfifo(path_of("ffffffffffff", ".json"), 0600), 0);
        ck_assert_int_eq(symlink("/etc/passwd", path_of("gggggggggggg", ".json")), 0);
        start();
        ck_assert_uint_eq(found.n, 1);
        ck_assert_uint_eq(orphaned.n, 0);
        /* The claim, the stranger, and the pair that makes no sense. */
        ck_assert_int_eq(access(path_of("not-ours", ""), F_OK), 0);
        ck_assert_int_eq(count_files(), 2 + 1 + 2);
        (void) close(fd);
}
END_TEST

/* What is claimed cannot be said any more, but somebody still relies on it. */
START_TEST(a_damaged_record_stays_while_it_is_held)
{
        char id[CLAIM_ID_MAX], other_id[CLAIM_ID_MAX], text[4096] = "";
        int fd = add(id), other = add(other_id);
        FILE *file;

        stop();
        file = fopen(path_of(other_id, ".json"), "re");
        ck_assert_ptr_nonnull(file);
        ck_assert_ptr_nonnull(fgets(text, sizeof(text), file));
        (void) fclose(file);
        /* The one of somebody else. */
        put_file(id, ".json", text);
        put_file(other_id, ".json", "");
        start();
        ck_assert_uint_eq(found.n + orphaned.n, 0);
        ck_assert_ptr_null(lease_store_identify(store, fd));
        ck_assert_int_eq(count_files(), 4);
        (void) close(fd);
        (void) close(other);
        settle();
        ck_assert_uint_eq(released.n, 0);
        ck_assert_int_eq(count_files(), 0);
}
END_TEST

START_TEST(a_failure_leaves_nothing)
{
        const struct rlimit nothing = {0, RLIM_INFINITY}, all = {RLIM_INFINITY, RLIM_INFINITY};
        ClaimRecord record = some_record();
        int fd = -1;

        record.n_devices = 0;
        ck_assert_int_eq(lease_store_add(store, &record, &fd), -EINVAL);
        record.n_devices = 2;
        (void) signal(SIGXFSZ, SIG_IGN);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &nothing), 0);
        ck_assert_int_eq(lease_store_add(store, &record, &fd), -EFBIG);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &all), 0);
        ck_assert_int_eq(fd, -1);
        ck_assert_int_eq(count_files(), 0);
        settle();
        ck_assert_uint_eq(released.n, 0);
        ck_assert_int_eq(lease_store_add(store, &record, &fd), 0);
        (void) close(fd);
}
END_TEST

START_TEST(descriptors_are_left_for_others)
{
        const struct rlimit few = {100, 100};
        ClaimRecord record = some_record();
        int fds[100];
        unsigned n = 0;
        int r;

        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
        while ((r = lease_store_add(store, &record, &fds[n])) == 0)
                n++;
        ck_assert_int_eq(r, -EMFILE);
        ck_assert_uint_gt(n, 0);
        ck_assert_int_eq(count_files(), (int) n * 2);
        ck_assert_int_lt(dup(0), 100 - 60);
        while (n > 0)
                (void) close(fds[--n]);
}
END_TEST

/* The daemon and the holders at once, at any moment: they are one process here. */
START_TEST(a_crash_leaves_nothing_but_claims)
{
        for (unsigned i = 0; i < 40; i++) {
                char bytes[64], id[CLAIM_ID_MAX];
                int ends[2];
                pid_t child;

                ck_assert_int_eq(pipe(ends), 0);
                child = fork();
                if (child == 0) {
                        /* An event loop is not for a child. */
                        if (sd_event_new(&event) < 0)
                                _exit(1);
                        start();
                        for (;;) {
                                int fd = add(id);

                                if (write(ends[1], "x", 1) != 1)
                                        _exit(1);
                                if (i % 2 == 0) {
                                        (void) close(fd);
                                        settle();
                                        released.n = 0;
                                }
                        }
                }
                (void) close(ends[1]);
                for (unsigned n = 0; n < 1 + i % 7; n++)
                        ck_assert_int_eq(read(ends[0], bytes, 1), 1);
                ck_assert_int_eq(kill(child, SIGKILL), 0);
                ck_assert_int_eq(waitpid(child, NULL, 0), child);
                (void) close(ends[0]);
                restart();
                ck_assert_uint_eq(found.n, 0);
                ck_assert_int_eq(count_files(), 0);
                orphaned.n = 0;
        }
}
END_TEST

START_TEST(the_directory_must_be_ours)
{
        const LeaseHandler handler = {.released = on_released, .found = on_found};
        LeaseStore *other;
        struct stat st;

        stop();
        ck_assert_int_eq(chmod(directory, 0777), 0);
        start();
        ck_assert_int_eq(stat(directory, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777U, 0700);
        stop();
        if (geteuid() == 0) {
                ck_assert_int_eq(chown(directory, 65534, 65534), 0);
                ck_assert_int_eq(lease_store_new(event, directory, &handler, &other), -EPERM);
        }
        ck_assert_int_eq(rmdir(directory), 0);
        ck_assert_int_eq(symlink("/tmp", directory), 0);
        ck_assert_int_lt(lease_store_new(event, directory, &handler, &other), 0);
        ck_assert_int_eq(unlink(directory), 0);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("lease-leftovers");
        TCase *tcase = lease_case(suite);

        tcase_add_test(tcase, leftovers_are_cleared_away);
        tcase_add_test(tcase, a_damaged_record_stays_while_it_is_held);
        tcase_add_test(tcase, a_failure_leaves_nothing);
        tcase_add_test(tcase, descriptors_are_left_for_others);
        tcase_add_test(tcase, a_crash_leaves_nothing_but_claims);
        tcase_add_test(tcase, the_directory_must_be_ours);
        return unit_run(suite);
}
