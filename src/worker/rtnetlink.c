/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Two dumps of rtnetlink(7), links and, if any is of interest, addresses. A dump that was torn by a change
 * says so (NLM_F_DUMP_INTR), and both are made again.
 */

#include "worker/rtnetlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/rtnetlink.h>

#include "worker/clock.h"

#define LINKS_MAX   8192U
#define TRIES_MAX   3U
#define BUFFER_SIZE ((size_t) 65536)

#define SWITCH                                                                                              \
        "ovs-system" /* Open vSwitch: carries the ports of all bridges, which are ports themselves          \
                      */

int net_links_socket(int namespace)
{
        int fd;

        if (setns(namespace, CLONE_NEWNET) < 0)
                return -errno;
        fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
        return fd < 0 ? -errno : fd;
}

bool net_format_address(int family, const void *address, unsigned prefix, char ret[static NET_ADDRESS_MAX])
{
        char text[INET6_ADDRSTRLEN];

        if (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL((const struct in6_addr *) address))
                return false;
        if (!inet_ntop(family, address, text, sizeof(text)))
                return false;
        (void) snprintf(ret, NET_ADDRESS_MAX, "%s/%u", text, prefix);
        return true;
}

/* ---- what the kernel tells ---- */

static void copy_text(const struct rtattr *attribute, char *ret, size_t size)
{
        size_t n = strnlen(RTA_DATA(attribute), RTA_PAYLOAD(attribute));

        /* What is cut off would be another name. */
        if (n >= size)
                n = 0;
        memcpy(ret, RTA_DATA(attribute), n);
        ret[n] = '\0';
}

static uint32_t get_number(const struct rtattr *attribute)
{
        uint32_t number = 0;

        if (RTA_PAYLOAD(attribute) == sizeof(number))
                memcpy(&number, RTA_DATA(attribute), sizeof(number));
        return number;
}

static NetLink *add_link(NetLinks *links)
{
        if (links->n == links->size) {
                size_t size = links->size * 2 + 16;
                NetLink *bigger = reallocarray(links->all, size, sizeof(*bigger));

                if (!bigger)
                        return NULL;
                links->all = bigger;
                links->size = size;
        }
        return memset(&links->all[links->n++], 0, sizeof(NetLink));
}

static int take_link(NetLinks *links, const struct nlmsghdr *message)
{
        const struct ifinfomsg *info = NLMSG_DATA(message);
        int length = (int) IFLA_PAYLOAD(message);
        bool is_lower_elsewhere = false;
        NetLink *link;

        if (links->n == LINKS_MAX)
                return -E2BIG;
        link = add_link(links);
        if (!link)
                return -ENOMEM;
        link->index = (uint32_t) info->ifi_index;
        link->is_up = info->ifi_flags & IFF_UP;
        for (const struct rtattr *attribute = IFLA_RTA(info); RTA_OK(attribute, length);
             attribute = RTA_NEXT(attribute, length))
                switch (attribute->rta_type) {
                case IFLA_IFNAME:
                        copy_text(attribute, link->name, sizeof(link->name));
                        break;
                case IFLA_MASTER:
                        link->master = get_number(attribute);
                        break;
                case IFLA_LINK:
                        link->lower = get_number(attribute);
                        break;
                case IFLA_LINK_NETNSID:
                        is_lower_elsewhere = true;
                        break;
                case IFLA_PARENT_DEV_NAME:
                        copy_text(attribute, link->device, sizeof(link->device));
                        break;
                case IFLA_PARENT_DEV_BUS_NAME:
                        copy_text(attribute, link->bus, sizeof(link->bus));
                        break;
                }
        /* The number is one of that other namespace then. */
        if (is_lower_elsewhere)
                link->lower = 0;
        return 0;
}

static NetLink *find_link(const NetLinks *links, uint32_t index)
{
        for (size_t i = 0; i < links->n; i++)
                if (links->all[i].index == index)
                        return &links->all[i];
        return NULL;
}

static int take_address(NetLinks *links, const struct nlmsghdr *message)
{
        const struct ifaddrmsg *info = NLMSG_DATA(message);
        size_t size = info->ifa_family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
        int length = (int) IFA_PAYLOAD(message);
        NetLink *link = find_link(links, info->ifa_index);
        struct in6_addr address;
        bool found = false;

        if (!link || link->address[0] != '\0' ||
            (info->ifa_family != AF_INET && info->ifa_family != AF_INET6))
                return 0;
        for (const struct rtattr *attribute = IFA_RTA(info); RTA_OK(attribute, length);
             attribute = RTA_NEXT(attribute, length)) {
                /* Where there are both, as with a point-to-point link, IFA_ADDRESS is the other end. */
                bool is_better = attribute->rta_type == IFA_LOCAL;

                if ((!is_better && (found || attribute->rta_type != IFA_ADDRESS)) ||
                    RTA_PAYLOAD(attribute) != size)
                        continue;
                memcpy(&address, RTA_DATA(attribute), size);
                found = true;
        }
        if (found && !net_format_address(info->ifa_family, &address, info->ifa_prefixlen, link->address))
                link->address[0] = '\0';
        return 0;
}

/* ---- the dumps ---- */

/* 1 when the dump is over, 0 if there is more to come, or a negative errno. */
static int take_messages(NetLinks *links, const void *data, size_t size, bool *torn)
{
        for (const struct nlmsghdr *message = data; NLMSG_OK(message, size);
             message = NLMSG_NEXT(message, size)) {
                size_t room = NLMSG_PAYLOAD(message, 0);
                int r = 0;

                if (message->nlmsg_flags & NLM_F_DUMP_INTR)
                        *torn = true;
                if (message->nlmsg_type == NLMSG_DONE)
                        return 1;
                if (message->nlmsg_type == NLMSG_ERROR) {
                        const struct nlmsgerr *error = NLMSG_DATA(message);

                        return room >= sizeof(*error) && error->error < 0 ? error->error : -EBADMSG;
                }
                if (message->nlmsg_type == RTM_NEWLINK && room >= sizeof(struct ifinfomsg))
                        r = take_link(links, message);
                else if (message->nlmsg_type == RTM_NEWADDR && room >= sizeof(struct ifaddrmsg))
                        r = take_address(links, message);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int request_dump(int fd, uint16_t type)
{
        /* All families' headers begin with the family, and zeroes mean all of them. */
        struct {
                struct nlmsghdr header;
                struct ifinfomsg info;
        } request = {.header = {.nlmsg_len = sizeof(request),
                                .nlmsg_type = type,
                                .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};

        return send(fd, &request, sizeof(request), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int dump(int fd, uint64_t end_usec, uint16_t type, NetLinks *links, void *buffer, bool *torn)
{
        int r = request_dump(fd, type);

        while (r == 0) {
                ssize_t n;

                if (now_usec() >= end_usec)
                        return -ETIMEDOUT;
                n = recv(fd, buffer, BUFFER_SIZE, MSG_TRUNC);

                if (n < 0)
                        return -errno;
                if (n == 0)
                        return -EBADMSG;
                if ((size_t) n > BUFFER_SIZE)
                        return -EMSGSIZE;
                r = take_messages(links, buffer, (size_t) n, torn);
        }
        return r < 0 ? r : 0;
}

static bool any_of_interest(const NetLinks *links, NetLinkFilter filter, void *userdata)
{
        for (size_t i = 0; i < links->n; i++)
                if (filter(userdata, &links->all[i]))
                        return true;
        return false;
}

int net_links_read(int fd, uint64_t end_usec, NetLinkFilter filter, void *userdata, NetLinks *ret)
{
        _cleanup_free_ void *buffer = malloc(BUFFER_SIZE);
        bool torn = true;
        int r = 0;

        if (!buffer)
                return -ENOMEM;
        for (unsigned i = 0; torn && r >= 0 && i < TRIES_MAX; i++) {
                torn = false;
                ret->n = 0;
                r = dump(fd, end_usec, RTM_GETLINK, ret, buffer, &torn);
                if (r >= 0 && any_of_interest(ret, filter, userdata))
                        r = dump(fd, end_usec, RTM_GETADDR, ret, buffer, &torn);
        }
        return r < 0 ? r : torn ? -EAGAIN : 0;
}

void net_links_done(NetLinks *links)
{
        free(links->all);
        *links = (NetLinks){};
}

/* ---- what they mean ---- */

static bool is_switch(const NetLink *link)
{
        return strcmp(link->name, SWITCH) == 0;
}

/* Is `upper` built on `link`, or, if that is a switch, one of its ports? */
static bool is_above(const NetLink *upper, const NetLink *link)
{
        return is_switch(link) ? upper->master == link->index
                               : link->master == upper->index || upper->lower == link->index;
}

int net_links_find_address(NetLinks *links, const NetLink *link, const NetLink **ret)
{
        _cleanup_free_ const NetLink **queue = calloc(links->n, sizeof(*queue));
        size_t n = 0;

        if (!queue)
                return -ENOMEM;
        for (size_t i = 0; i < links->n; i++)
                links->all[i].is_seen = &links->all[i] == link;
        queue[n++] = link;
        for (size_t at = 0; at < n; at++) {
                const NetLink *here = queue[at];

                if (here->address[0] != '\0') {
                        *ret = here;
                        return 1;
                }
                for (size_t i = 0; i < links->n; i++) {
                        NetLink *upper = &links->all[i];

                        /* The switch itself is never up. */
                        if (upper->is_seen || !is_above(upper, here) || (!upper->is_up && !is_switch(upper)))
                                continue;
                        upper->is_seen = true;
                        queue[n++] = upper;
                }
        }
        return 0;
}
