/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Claims on disk: they live as long as any copy of their descriptor, over restarts of the daemon. With real
 * FIFOs and real processes.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "daemon/system/lease-record.h"
#include "lease-bed.h"
#include "shared/cleanup.h"

START_TEST(a_claim_ends_with_its_descriptor)
{
        char id[CLAIM_ID_MAX];
        struct stat st;
        int fd = add(id);

        ck_assert(lease_id_is_valid(id));
        ck_assert_int_eq(stat(directory, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777U, 0700);
        ck_assert_int_eq(stat(path_of(id, ".fifo"), &st), 0);
        ck_assert(S_ISFIFO(st.st_mode));
        ck_assert_uint_eq(st.st_mode & 07777U, 0600);
        ck_assert_int_eq(access(path_of(id, ".json"), R_OK), 0);
        ck_assert_int_eq(count_files(), 2);
        settle();
        ck_assert_uint_eq(released.n, 0);

        ck_assert_int_eq(close(fd), 0);
        settle();
        ck_assert_uint_eq(released.n, 1);
        ck_assert_str_eq(released.ids[0], id);
        ck_assert_int_eq(count_files(), 0);
        ck_assert_uint_eq(found.n + orphaned.n, 0);
}
END_TEST

START_TEST(copies_keep_it)
{
        char id[CLAIM_ID_MAX];
        int fd = add(id), copy = dup(fd), ends[2];
        pid_t child;

        ck_assert_int_eq(pipe(ends), 0);
        child = fork();
        if (child == 0) {
                char byte;

                /* Until the parent says so. */
                (void) close(ends[1]);
                _exit(read(ends[0], &byte, 1) == 0 ? 0 : 1);
        }
        ck_assert_int_gt(child, 0);
        ck_assert_int_eq(close(fd), 0);
        settle();
        ck_assert_int_eq(close(copy), 0);
        settle();
        ck_assert_uint_eq(released.n, 0);
        (void) close(ends[1]);
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
        settle();
        ck_assert_uint_eq(released.n, 1);
}
END_TEST

/* The reply that carries the descriptor may still be on its way. */
START_TEST(a_message_keeps_it)
{
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(sizeof(int))];
        } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
        struct iovec byte = {.iov_base = (char[]){'x'}, .iov_len = 1};
        struct msghdr message = {.msg_iov = &byte,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof(control)};
        char id[CLAIM_ID_MAX];
        int pair[2], fd = add(id);

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
        ck_assert_int_eq(sendmsg(pair[0], &message, 0), 1);
        (void) close(fd);
        settle();
        ck_assert_uint_eq(released.n, 0);
        restart();
        ck_assert_uint_eq(found.n, 1);
        (void) close(pair[0]);
        (void) close(pair[1]);
        settle();
        ck_assert_uint_eq(released.n, 1);
}
END_TEST

START_TEST(it_survives_a_restart)
{
        ClaimRecord record = some_record();
        int fd;

        ck_assert_int_eq(lease_store_add(store, &record, &fd), 0);
        for (unsigned i = 1; i < 4; i++) {
                restart();
                ck_assert_uint_eq(found.n, i);
                ck_assert_str_eq(last_found.id, record.id);
                ck_assert_int_eq(last_found.kind, record.kind);
                ck_assert_uint_eq(last_found.uid, record.uid);
                ck_assert_str_eq(last_found.who, record.who);
                ck_assert_str_eq(last_found.why, record.why);
                ck_assert_uint_eq(last_found.since, record.since);
                ck_assert_uint_eq(last_found.n_devices, 2);
                ck_assert_mem_eq(last_found.devices, some_devices, sizeof(some_devices));
                ck_assert_str_eq(lease_store_identify(store, fd), record.id);
                settle();
        }
        ck_assert_uint_eq(released.n + orphaned.n, 0);
        (void) close(fd);
        settle();
        ck_assert_uint_eq(released.n, 1);
        ck_assert_str_eq(released.ids[0], record.id);
        ck_assert_int_eq(count_files(), 0);
        restart();
        ck_assert_uint_eq(found.n, 3);
}
END_TEST

START_TEST(inhibitors_are_kept_too)
{
        ClaimRecord record = some_record();
        int fd, other;

        record.kind = CLAIM_INHIBIT_DELAY;
        record.devices = NULL;
        record.n_devices = 0;
        ck_assert_int_eq(lease_store_add(store, &record, &fd), 0);
        restart();
        ck_assert_int_eq(last_found.kind, CLAIM_INHIBIT_DELAY);
        ck_assert_uint_eq(last_found.n_devices, 0);
        record.kind = CLAIM_INHIBIT_BLOCK;
        record.since++;
        ck_assert_int_eq(lease_store_add(store, &record, &other), 0);
        restart();
        ck_assert_int_eq(last_found.kind, CLAIM_INHIBIT_BLOCK);
        (void) close(fd);
        (void) close(other);
}
END_TEST

/* The holder dies while no daemon runs. */
START_TEST(an_orphan_is_released_at_the_start)
{
        char id[CLAIM_ID_MAX], kept_id[CLAIM_ID_MAX];
        int fd = add(id), kept;
        pid_t child = fork();

        if (child == 0) {
                (void) pause();
                _exit(0);
        }
        (void) close(fd);
        kept = add(kept_id);
        stop();
        ck_assert_int_eq(kill(child, SIGKILL), 0);
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
        start();
        ck_assert_uint_eq(orphaned.n, 1);
        ck_assert_str_eq(orphaned.ids[0], id);
        ck_assert_uint_eq(found.n, 1);
        ck_assert_str_eq(found.ids[0], kept_id);
        ck_assert_int_eq(count_files(), 2);
        settle();
        ck_assert_uint_eq(released.n, 0);
        (void) close(kept);
}
END_TEST

/* Between the look of the daemon that starts and its first turn. */
START_TEST(an_end_during_the_start_is_not_missed)
{
        char id[CLAIM_ID_MAX];
        int fd = add(id);

        restart();
        (void) close(fd);
        settle();
        ck_assert_uint_eq(found.n, 1);
        ck_assert_uint_eq(released.n, 1);
}
END_TEST

/* Nothing is to be written there, but it can be done. */
START_TEST(what_holders_write_does_no_harm)
{
        static char much[65536];
        char id[CLAIM_ID_MAX], other_id[CLAIM_ID_MAX];
        int fd = add(id), other = add(other_id);
        ssize_t n;

        n = write(fd, much, sizeof(much));
        ck_assert_int_gt(n, 0);
        ck_assert_int_le(n, sysconf(_SC_PAGESIZE));
        ck_assert_int_gt(write(other, much, 1), 0);
        ck_assert_int_eq(sd_event_run(event, 0), 0);
        restart();
        ck_assert_uint_eq(found.n, 2);
        ck_assert_int_eq(sd_event_run(event, 0), 0);
        (void) close(fd);
        settle();
        ck_assert_uint_eq(released.n, 1);
        ck_assert_str_eq(released.ids[0], id);
        stop();
        (void) close(other);
        start();
        ck_assert_uint_eq(orphaned.n, 1);
}
END_TEST

START_TEST(only_its_own_end_is_recognised)
{
        char id[CLAIM_ID_MAX], other_id[CLAIM_ID_MAX];
        int fd = add(id), other = add(other_id), copy = dup(fd), ends[2], path, in, foreign;

        ck_assert_str_eq(lease_store_identify(store, fd), id);
        ck_assert_str_eq(lease_store_identify(store, copy), id);
        ck_assert_str_eq(lease_store_identify(store, other), other_id);

        ck_assert_int_eq(pipe(ends), 0);
        ck_assert_ptr_null(lease_store_identify(store, ends[1]));
        in = open(path_of(id, ".fifo"), O_RDONLY | O_NONBLOCK);
        ck_assert_int_ge(in, 0);
        ck_assert_ptr_null(lease_store_identify(store, in));
        path = open(path_of(id, ".fifo"), O_PATH);
        ck_assert_int_ge(path, 0);
        ck_assert_ptr_null(lease_store_identify(store, path));
        foreign = open(path_of(id, ".json"), O_RDWR);
        ck_assert_int_ge(foreign, 0);
        ck_assert_ptr_null(lease_store_identify(store, foreign));
        ck_assert_ptr_null(lease_store_identify(store, -1));
        ck_assert_ptr_null(lease_store_identify(store, 1000));

        lease_store_remove(store, id);
        ck_assert_ptr_null(lease_store_identify(store, fd));
        ck_assert_str_eq(lease_store_identify(store, other), other_id);
        (void) close(fd);
        (void) close(copy);
        (void) close(other);
}
END_TEST

START_TEST(a_removed_claim_tells_nobody)
{
        char id[CLAIM_ID_MAX];
        int fd = add(id);

        lease_store_remove(store, id);
        lease_store_remove(store, id);
        lease_store_remove(store, "aaaaaaaaaaaa");
        ck_assert_int_eq(count_files(), 0);
        (void) close(fd);
        settle();
        restart();
        ck_assert_uint_eq(released.n + found.n + orphaned.n, 0);
}
END_TEST

START_TEST(the_oldest_is_found_first)
{
        int fds[20];

        for (unsigned i = 0; i < ELEMENTSOF(fds); i++) {
                ClaimRecord record = some_record();

                record.since = (i * 7) % ELEMENTSOF(fds);
                ck_assert_int_eq(lease_store_add(store, &record, &fds[i]), 0);
        }
        restart();
        ck_assert_uint_eq(found.n, ELEMENTSOF(fds));
        for (unsigned i = 0; i < ELEMENTSOF(fds); i++) {
                ck_assert_uint_eq(found.since[i], i);
                (void) close(fds[i]);
        }
        settle();
        ck_assert_uint_eq(released.n, ELEMENTSOF(fds));
}
END_TEST

START_TEST(an_unwanted_claim_is_none)
{
        char id[CLAIM_ID_MAX];
        int fd = add(id);

        found_returns = -EBUSY;
        restart();
        ck_assert_uint_eq(found.n, 1);
        ck_assert_ptr_null(lease_store_identify(store, fd));
        ck_assert_int_eq(count_files(), 2);
        (void) close(fd);
        settle();
        ck_assert_uint_eq(released.n, 0);
        ck_assert_int_eq(count_files(), 0);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("lease-store");
        TCase *tcase = lease_case(suite);

        tcase_add_test(tcase, a_claim_ends_with_its_descriptor);
        tcase_add_test(tcase, copies_keep_it);
        tcase_add_test(tcase, a_message_keeps_it);
        tcase_add_test(tcase, it_survives_a_restart);
        tcase_add_test(tcase, inhibitors_are_kept_too);
        tcase_add_test(tcase, an_orphan_is_released_at_the_start);
        tcase_add_test(tcase, an_end_during_the_start_is_not_missed);
        tcase_add_test(tcase, what_holders_write_does_no_harm);
        tcase_add_test(tcase, only_its_own_end_is_recognised);
        tcase_add_test(tcase, a_removed_claim_tells_nobody);
        tcase_add_test(tcase, the_oldest_is_found_first);
        tcase_add_test(tcase, an_unwanted_claim_is_none);
        return unit_run(suite);
}
