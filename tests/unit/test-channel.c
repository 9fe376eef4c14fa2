/* SPDX-License-Identifier: GPL-2.0-or-later */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "unit.h"
#include "worker/channel.h"
#include "worker/clock.h"

static int worker_end, daemon_end;
static ChannelFds passed;

static void setup(void)
{
        int pair[2];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        worker_end = pair[0];
        daemon_end = pair[1];
}

static void teardown(void)
{
        channel_fds_done(&passed);
        (void) close(worker_end);
        (void) close(daemon_end);
}

static void say(const char *bytes, size_t n)
{
        ck_assert_int_eq(send(daemon_end, bytes, n, MSG_NOSIGNAL), (ssize_t) n);
}

static int hear(size_t max, uint64_t timeout_usec, char **ret, size_t *ret_length)
{
        *ret = NULL;
        return channel_read_line(worker_end, max, timeout_usec, ret, ret_length, &passed);
}

START_TEST(one_line)
{
        _cleanup_free_ char *line = NULL;
        size_t length;

        say("{}\n", 3);
        ck_assert_int_eq(hear(3, USEC_PER_SEC, &line, &length), 0);
        ck_assert_uint_eq(length, 2);
        ck_assert_str_eq(line, "{}");
}
END_TEST

START_TEST(one_line_in_pieces)
{
        _cleanup_free_ char *line = NULL;
        pid_t pid = fork();
        size_t length;

        if (pid == 0) {
                for (int i = 0; i < 20; i++) {
                        say("ab", 2);
                        (void) usleep(2000);
                }
                say("\n", 1);
                _exit(0);
        }
        ck_assert_int_eq(hear(100, 5 * USEC_PER_SEC, &line, &length), 0);
        ck_assert_uint_eq(length, 40);
        ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

START_TEST(nul_bytes_are_kept)
{
        _cleanup_free_ char *line = NULL;
        size_t length;

        say("a\0b\n", 4);
        ck_assert_int_eq(hear(100, USEC_PER_SEC, &line, &length), 0);
        ck_assert_uint_eq(length, 3);
        ck_assert_mem_eq(line, "a\0b", 3);
}
END_TEST

/* Says something and hands over `n` copies of `fd`. */
static void say_with_fds(const char *text, int fd, size_t n)
{
        struct iovec part = {.iov_base = (void *) text, .iov_len = strlen(text)};
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int) * 2 * WORKER_FDS_MAX)];
        } control = {};
        struct msghdr message = {.msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = CMSG_SPACE(sizeof(int) * n)};
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);

        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n);
        for (size_t i = 0; i < n; i++)
                memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(int));
        ck_assert_int_eq(sendmsg(daemon_end, &message, MSG_NOSIGNAL), (ssize_t) strlen(text));
}

static unsigned count_open_fds(void)
{
        unsigned n = 0;

        for (int fd = 0; fd < 1000; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

START_TEST(descriptors)
{
        _cleanup_free_ char *line = NULL;
        struct stat null, st;
        int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        size_t length;

        ck_assert_int_eq(fstat(fd, &null), 0);
        say_with_fds("{", fd, 2);
        say_with_fds("}\n", fd, WORKER_FDS_MAX - 2);
        ck_assert_int_eq(hear(100, USEC_PER_SEC, &line, &length), 0);
        ck_assert_str_eq(line, "{}");
        ck_assert_uint_eq(passed.n, WORKER_FDS_MAX);
        for (size_t i = 0; i < passed.n; i++) {
                ck_assert_int_eq(fstat(passed.fds[i], &st), 0);
                ck_assert_uint_eq(st.st_rdev, null.st_rdev);
                ck_assert_int_eq(fcntl(passed.fds[i], F_GETFD), FD_CLOEXEC);
        }
        (void) close(fd);
}
END_TEST

/* However they come: refused, and none is left open. */
START_TEST(too_many_descriptors)
{
        _cleanup_free_ char *line = NULL;
        int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        unsigned before = count_open_fds();
        size_t length;

        say_with_fds("{}\n", fd, WORKER_FDS_MAX + 1);
        ck_assert_int_eq(hear(100, USEC_PER_SEC, &line, &length), -EBADMSG);
        channel_fds_done(&passed);
        ck_assert_uint_eq(count_open_fds(), before);

        say_with_fds("{", fd, WORKER_FDS_MAX);
        say_with_fds("}\n", fd, 1);
        ck_assert_int_eq(hear(100, USEC_PER_SEC, &line, &length), -EBADMSG);
        channel_fds_done(&passed);
        ck_assert_uint_eq(count_open_fds(), before);
        (void) close(fd);
}
END_TEST

START_TEST(descriptors_with_a_bad_line)
{
        _cleanup_free_ char *line = NULL;
        int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        unsigned before = count_open_fds();
        size_t length;

        say_with_fds("12345", fd, 3);
        ck_assert_int_eq(hear(5, USEC_PER_SEC, &line, &length), -EMSGSIZE);
        ck_assert_uint_eq(passed.n, 3);
        channel_fds_done(&passed);
        ck_assert_uint_eq(count_open_fds(), before);
        (void) close(fd);
}
END_TEST

START_TEST(bounds)
{
        _cleanup_free_ char *line = NULL;
        size_t length;

        say("12345\n", 6);
        ck_assert_int_eq(hear(5, USEC_PER_SEC, &line, &length), -EMSGSIZE);
        ck_assert_ptr_null(line);
}
END_TEST

/* Without end and as fast as it can: the worker reads no more than it must. */
START_TEST(flood)
{
        _cleanup_free_ char *line = NULL;
        char chunk[4096];
        pid_t pid = fork();
        size_t length;

        memset(chunk, 'x', sizeof(chunk));
        if (pid == 0) {
                (void) close(worker_end);
                while (send(daemon_end, chunk, sizeof(chunk), MSG_NOSIGNAL) > 0)
                        ;
                _exit(0);
        }
        ck_assert_int_eq(hear(256 * 1024, 5 * USEC_PER_SEC, &line, &length), -EMSGSIZE);
        (void) close(worker_end);
        worker_end = -EBADF;
        ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

START_TEST(two_lines)
{
        _cleanup_free_ char *line = NULL;
        size_t length;

        say("{}\n{}\n", 6);
        ck_assert_int_eq(hear(100, USEC_PER_SEC, &line, &length), -EBADMSG);
}
END_TEST

START_TEST(silence)
{
        _cleanup_free_ char *line = NULL;
        uint64_t started = now_usec();
        size_t length;

        say("{", 1);
        ck_assert_int_eq(hear(100, 200000, &line, &length), -ETIMEDOUT);
        ck_assert_uint_ge(now_usec() - started, 200000);
        ck_assert_uint_lt(now_usec() - started, 2 * USEC_PER_SEC);
}
END_TEST

/* The limit is on the whole line, so nobody keeps a worker by a byte now and then. */
START_TEST(trickle)
{
        _cleanup_free_ char *line = NULL;
        uint64_t started = now_usec();
        pid_t pid = fork();
        size_t length;

        if (pid == 0) {
                (void) close(worker_end);
                while (send(daemon_end, "x", 1, MSG_NOSIGNAL) > 0)
                        (void) usleep(20000);
                _exit(0);
        }
        ck_assert_int_eq(hear(1000, 300000, &line, &length), -ETIMEDOUT);
        ck_assert_uint_lt(now_usec() - started, 2 * USEC_PER_SEC);
        (void) close(worker_end);
        worker_end = -EBADF;
        ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

START_TEST(hangs_up)
{
        _cleanup_free_ char *line = NULL;
        size_t length;

        say("{}", 2);
        (void) close(daemon_end);
        daemon_end = -EBADF;
        ck_assert_int_eq(hear(100, USEC_PER_SEC, &line, &length), -ENODATA);
        /* and is then told something: no signal, an error */
        ck_assert_int_eq(channel_send(worker_end, "x\n", 0), -EPIPE);
}
END_TEST

START_TEST(sends)
{
        char text[8] = "";

        ck_assert_int_eq(channel_send(worker_end, "hello\n", 0), 0);
        ck_assert_int_eq(recv(daemon_end, text, sizeof(text), 0), 6);
        ck_assert_str_eq(text, "hello\n");
}
END_TEST

/* Fills the socket with what cannot be sent, and says with what channel_send() ended. */
static int fill(size_t size, uint64_t timeout_usec)
{
        _cleanup_free_ char *text = malloc(size + 1);
        int r;

        memset(text, 'x', size);
        text[size] = '\0';
        do
                r = channel_send(worker_end, text, timeout_usec);
        while (r == 0);
        return r;
}

START_TEST(nobody_reads)
{
        uint64_t started = now_usec();

        /* Small texts go or do not go: the next one may. */
        ck_assert_int_eq(fill(40, 0), -ETIMEDOUT);
        ck_assert_int_eq(fill(40, 100000), -ETIMEDOUT);
        ck_assert_uint_ge(now_usec() - started, 100000);
        ck_assert_uint_lt(now_usec() - started, 2 * USEC_PER_SEC);

        for (char text[4096]; recv(daemon_end, text, sizeof(text), MSG_DONTWAIT) > 0;)
                ;
        ck_assert_int_eq(channel_send(worker_end, "last\n", 0), 0);

        /* A large one of which a part went closes the connection. */
        ck_assert_int_eq(fill(16 << 20, 100000), -ETIMEDOUT);
        ck_assert_int_eq(channel_send(worker_end, "more\n", 0), -EPIPE);
}
END_TEST

START_TEST(somebody_reads_slowly)
{
        size_t size = 4 << 20, received = 0;
        _cleanup_free_ char *text = malloc(size + 1);
        pid_t pid;
        int status;

        memset(text, 'x', size);
        text[size] = '\0';
        pid = fork();
        if (pid == 0)
                _exit(channel_send(worker_end, text, 20 * USEC_PER_SEC) == 0 ? 0 : 1);

        while (received < size) {
                char chunk[65536];
                ssize_t n = recv(daemon_end, chunk, sizeof(chunk), 0);

                ck_assert_int_gt(n, 0);
                received += (size_t) n;
                (void) usleep(1000);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(peers)
{
        int pipes[2];

        ck_assert_int_eq(channel_check_peer(worker_end), 0);
        ck_assert_int_eq(pipe(pipes), 0);
        ck_assert_int_eq(channel_check_peer(pipes[0]), -ENOTSOCK);
        ck_assert_int_eq(channel_check_peer(-1), -EBADF);
}
END_TEST

/* Who made the pair of sockets is asked, not who holds the other end now. */
START_TEST(notices_a_peer_that_has_gone)
{
        ck_assert(channel_has_peer(worker_end));
        say("{}\n", 3);
        ck_assert(channel_has_peer(worker_end));
        ck_assert_int_eq(shutdown(daemon_end, SHUT_WR), 0);
        ck_assert(channel_has_peer(worker_end));
        (void) close(daemon_end);
        ck_assert(!channel_has_peer(worker_end));
        daemon_end = -EBADF;
}
END_TEST

START_TEST(peers_of_other_users)
{
        int status;
        pid_t pid;

        if (geteuid() != 0)
                return; /* nobody else to be */

        pid = fork();
        if (pid == 0) {
                int pair[2];

                if (setresuid(65534, 65534, 0) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
                        _exit(9);
                /* the user's own worker serves it, root's does not */
                if (channel_check_peer(pair[0]) != 0)
                        _exit(1);
                if (setresuid(0, 0, 0) < 0)
                        _exit(9);
                _exit(channel_check_peer(pair[0]) == -EPERM ? 0 : 2);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
        const TTest *const tests[] = {
                one_line,
                one_line_in_pieces,
                nul_bytes_are_kept,
                descriptors,
                too_many_descriptors,
                descriptors_with_a_bad_line,
                bounds,
                flood,
                two_lines,
                silence,
                trickle,
                hangs_up,
                sends,
                nobody_reads,
                somebody_reads_slowly,
                notices_a_peer_that_has_gone,
                peers,
                peers_of_other_users,
        };
        Suite *suite = suite_create("channel");
        TCase *pair = tcase_create("socket");

        tcase_add_checked_fixture(pair, setup, teardown);
        tcase_set_timeout(pair, 60);
        for (size_t i = 0; i < ELEMENTSOF(tests); i++)
                tcase_add_test(pair, tests[i]);
        suite_add_tcase(suite, pair);
        return unit_run(suite);
}
