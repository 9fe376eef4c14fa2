/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Answers lie ready in a socket before they are asked for. The far end stays open, so that a test can count
 * what was asked, and nobody finds the connection closed.
 */

#include "fake-rtnetlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/rtnetlink.h>

#include "unit.h"
#include "worker/rtnetlink.h"

Answer answers[ANSWERS_MAX];
size_t n_answers;
int peers[ANSWERS_MAX];
size_t n_peers;
unsigned n_visits;
int visit_error;

static pthread_t tester;

void send_all(int fd, const Buffer *buffer, uint16_t flags, int error)
{
        Buffer sent = *buffer;
        struct {
                struct nlmsghdr header;
                struct nlmsgerr error;
        } failure = {.header = {.nlmsg_len = sizeof(failure), .nlmsg_type = NLMSG_ERROR},
                     .error = {.error = -error}};
        struct nlmsghdr done = {.nlmsg_len = sizeof(done), .nlmsg_type = NLMSG_DONE};

        sent.data.header.nlmsg_flags |= flags;
        if (sent.n > 0)
                ck_assert_int_gt(send(fd, &sent.data, sent.n, 0), 0);
        if (error != 0)
                ck_assert_int_gt(send(fd, &failure, sizeof(failure), 0), 0);
        else
                ck_assert_int_gt(send(fd, &done, sizeof(done), 0), 0);
}

int __wrap_net_links_socket(int namespace);
int __wrap_net_links_socket(int namespace)
{
        struct stat st;
        int fds[2];

        /* This thread stays in the namespace. */
        ck_assert(!pthread_equal(pthread_self(), tester));
        n_visits++;
        if (visit_error != 0)
                return -visit_error;
        ck_assert_int_eq(fstat(namespace, &st), 0);
        for (size_t i = 0; i < n_answers; i++) {
                const Answer *answer = &answers[i];

                if (answer->inode != st.st_ino)
                        continue;
                ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
                for (unsigned torn = answer->n_torn; torn > 0; torn--) {
                        send_all(fds[1], &answer->links, NLM_F_DUMP_INTR, 0);
                        send_all(fds[1], &answer->addresses, 0, 0);
                }
                send_all(fds[1], &answer->links, 0, answer->error);
                send_all(fds[1], &answer->addresses, 0, 0);
                peers[n_peers++] = fds[1];
                return fds[0];
        }
        return -ENOSYS;
}

static struct nlmsghdr *begin(Buffer *buffer, uint16_t type, const void *body, size_t n)
{
        struct nlmsghdr *message = (void *) (buffer->data.room + buffer->n);

        *message = (struct nlmsghdr){.nlmsg_type = type, .nlmsg_len = (uint32_t) NLMSG_LENGTH(n)};
        memcpy(NLMSG_DATA(message), body, n);
        buffer->n += NLMSG_SPACE(n);
        ck_assert_uint_lt(buffer->n, sizeof(buffer->data) - 512);
        return message;
}

static void attach(Buffer *buffer, struct nlmsghdr *message, uint16_t type, const void *value, size_t n)
{
        struct rtattr *attribute = (void *) (buffer->data.room + buffer->n);

        *attribute = (struct rtattr){.rta_type = type, .rta_len = (uint16_t) RTA_LENGTH(n)};
        memcpy(RTA_DATA(attribute), value, n);
        buffer->n += RTA_SPACE(n);
        message->nlmsg_len = (uint32_t) (buffer->data.room + buffer->n - (char *) message);
}

void add_link(Answer *answer, const Link *link)
{
        const struct ifinfomsg info = {.ifi_index = (int) link->index,
                                       .ifi_flags = link->is_up ? IFF_UP | IFF_BROADCAST : IFF_BROADCAST};
        struct nlmsghdr *message = begin(&answer->links, RTM_NEWLINK, &info, sizeof(info));
        const uint32_t nsid = 0;

        attach(&answer->links, message, IFLA_IFNAME, link->name, strlen(link->name) + 1);
        if (link->master)
                attach(&answer->links, message, IFLA_MASTER, &link->master, sizeof(link->master));
        if (link->lower)
                attach(&answer->links, message, IFLA_LINK, &link->lower, sizeof(link->lower));
        if (link->is_lower_elsewhere)
                attach(&answer->links, message, IFLA_LINK_NETNSID, &nsid, sizeof(nsid));
        if (link->device)
                attach(&answer->links, message, IFLA_PARENT_DEV_NAME, link->device,
                       strlen(link->device) + 1);
        if (link->bus)
                attach(&answer->links, message, IFLA_PARENT_DEV_BUS_NAME, link->bus, strlen(link->bus) + 1);
}

static void attach_address(Answer *answer, struct nlmsghdr *message, uint16_t type, const char *text)
{
        bool is_six = strchr(text, ':') != NULL;
        struct in6_addr value;

        ck_assert_int_eq(inet_pton(is_six ? AF_INET6 : AF_INET, text, &value), 1);
        attach(&answer->addresses, message, type, &value, is_six ? 16 : 4);
}

void add_address(Answer *answer, const Address *address)
{
        const struct ifaddrmsg info = {.ifa_index = address->index,
                                       .ifa_prefixlen = address->prefix,
                                       .ifa_family = strchr(address->text, ':') ? AF_INET6 : AF_INET};
        struct nlmsghdr *message = begin(&answer->addresses, RTM_NEWADDR, &info, sizeof(info));

        if (address->other_end) {
                attach_address(answer, message, IFA_ADDRESS, address->other_end);
                attach_address(answer, message, IFA_LOCAL, address->text);
        } else
                attach_address(answer, message, IFA_ADDRESS, address->text);
}

void rtnetlink_begin(void)
{
        tester = pthread_self();
        n_answers = n_peers = 0;
        n_visits = 0;
        visit_error = 0;
}

void rtnetlink_hang_up(void)
{
        while (n_peers > 0)
                (void) close(peers[--n_peers]);
}

Answer *answer_of(ino_t inode)
{
        ck_assert_uint_lt(n_answers, ANSWERS_MAX);
        answers[n_answers] = (Answer){.inode = inode};
        return &answers[n_answers++];
}

unsigned count_requests(int peer)
{
        char request[256];
        unsigned n = 0;
        ssize_t length;

        /* ECONNRESET, once: the answer was not read to its end. */
        while ((length = recv(peer, request, sizeof(request), MSG_DONTWAIT)) > 0 ||
               (length < 0 && errno == ECONNRESET))
                n += length > 0;
        return n;
}
