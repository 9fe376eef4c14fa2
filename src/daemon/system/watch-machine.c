/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What happens to the machine as a whole: mounts, swap, the network, udev's events, seats.
 *
 * mountinfo and swaps report a change to poll() once, and by being polled again have it acknowledged. Our
 * own mountinfo will do, since mounts of the host reach our namespace. What others mount in theirs is told
 * by nobody; the look before a reset finds it.
 *
 * Router advertisements make the kernel repeat addresses every few minutes or seconds. So what is known of
 * links and addresses is kept, and only what differs is news.
 */

#include <errno.h>
#include <fcntl.h>
#include <libudev.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <systemd/sd-login.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "daemon/system/journal.h"
#include "daemon/system/watch-internal.h"
#include "shared/cleanup.h"

/* As in udev.c. */
#define EVENTS_PER_TURN     32U
#define RECEIVE_BUFFER_SIZE (16 * 1024 * 1024)

/* Links and addresses that are remembered; what is beyond is news each time. */
#define FACTS_MAX 8192U

/* What was last heard about a link, or an address of it. */
typedef struct Fact {
        struct FactKey {
                uint32_t ifindex;
                uint8_t family; /* 0: the link itself */
                uint8_t prefix;
                uint8_t address[16];
        } key;
        uint64_t value;
        UT_hash_handle hh;
} Fact;

struct WatchMachine {
        Watch *watch;
        int mounts, swaps, network;
        sd_event_source *mounts_io, *swaps_io, *network_io, *udev_io, *seats_io;
        Fact *facts;
        struct udev *udev;
        struct udev_monitor *monitor;
        sd_login_monitor *seats;
};

DEFINE_CLEANUP(WatchMachine *, watch_machine_free);
DEFINE_CLEANUP(struct udev_device *, udev_device_unref);

bool watch_path_device(const char *path, PciAddress *ret)
{
        bool found = false;

        for (const char *part = path; part; part = strchr(part, '/')) {
                char name[PCI_ADDRESS_STRING_MAX];
                size_t n;

                part += *part == '/';
                n = strcspn(part, "/");
                if (n >= sizeof(name))
                        continue;
                memcpy(name, part, n);
                name[n] = '\0';
                found |= pci_address_parse(name, ret) >= 0;
        }
        return found;
}

/* Mounts and swap */

static int on_blocks(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        WatchMachine *machine = userdata;

        watch_touch_kind(machine->watch, WATCH_BLOCK, false);
        return 0;
}

static int listen_to_file(WatchMachine *machine, const char *path, int *ret_fd, sd_event_source **ret_io)
{
        *ret_fd = open(path, O_RDONLY | O_CLOEXEC);
        if (*ret_fd < 0)
                return errno == ENOENT ? 0 : -errno;
        return sd_event_add_io(machine->watch->event, ret_io, *ret_fd, EPOLLPRI, on_blocks, machine);
}

/* Network */

static Fact *find_fact(const WatchMachine *machine, const struct FactKey *key)
{
        Fact *fact;

        HASH_FIND(hh, machine->facts, key, sizeof(*key), fact);
        return fact;
}

/* Whether this was not known. */
static bool learn(WatchMachine *machine, const struct FactKey *key, uint64_t value)
{
        Fact *fact = find_fact(machine, key);
        bool is_news = !fact || fact->value != value;

        if (!fact && HASH_COUNT(machine->facts) < FACTS_MAX) {
                fact = calloc(1, sizeof(Fact));
                if (fact) {
                        fact->key = *key;
                        HASH_ADD(hh, machine->facts, key, sizeof(fact->key), fact);
                }
        }
        if (fact)
                fact->value = value;
        return is_news;
}

static bool forget(WatchMachine *machine, const struct FactKey *key)
{
        Fact *fact = find_fact(machine, key);

        if (fact) {
                HASH_DEL(machine->facts, fact);
                free(fact);
        }
        return true;
}

/* A link or an address of this interface changed. */
static void touch_interface(WatchMachine *machine, const char *name)
{
        char path[64], target[512];
        Watched *device = NULL;
        PciAddress address;
        ssize_t n;

        (void) snprintf(path, sizeof(path), "/sys/class/net/%s", name);
        n = name[0] != '\0' ? readlink(path, target, sizeof(target) - 1) : -1;
        if (n > 0) {
                target[n] = '\0';
                if (watch_path_device(target, &address))
                        device = watch_get(machine->watch, &address);
        }
        if (!device) {
                watch_touch_kind(machine->watch, WATCH_NETWORK, false);
                return;
        }
        device->has_network = true;
        watch_touch(machine->watch, device, false);
}

static void handle_link(WatchMachine *machine, const struct nlmsghdr *message)
{
        const struct ifinfomsg *info = NLMSG_DATA(message);
        struct FactKey key = {.ifindex = (uint32_t) info->ifi_index};
        int length = (int) IFLA_PAYLOAD(message);
        char name[IF_NAMESIZE] = "";
        uint32_t master = 0;
        bool is_news;

        for (const struct rtattr *attribute = IFLA_RTA(info); RTA_OK(attribute, length);
             attribute = RTA_NEXT(attribute, length)) {
                size_t n = RTA_PAYLOAD(attribute);

                if (attribute->rta_type == IFLA_IFNAME && n <= sizeof(name))
                        memcpy(name, RTA_DATA(attribute), n);
                else if (attribute->rta_type == IFLA_MASTER && n == sizeof(master))
                        memcpy(&master, RTA_DATA(attribute), sizeof(master));
        }
        name[sizeof(name) - 1] = '\0';
        is_news = message->nlmsg_type == RTM_DELLINK
                          ? forget(machine, &key)
                          : learn(machine, &key, (uint64_t) master << 1 | !!(info->ifi_flags & IFF_UP));
        if (is_news)
                touch_interface(machine, name);
}

static void handle_address(WatchMachine *machine, const struct nlmsghdr *message)
{
        const struct ifaddrmsg *info = NLMSG_DATA(message);
        struct FactKey key = {
                .ifindex = info->ifa_index,
                .family = info->ifa_family,
                .prefix = info->ifa_prefixlen,
        };
        int length = (int) IFA_PAYLOAD(message);
        char name[IF_NAMESIZE] = "";
        bool is_news;

        for (const struct rtattr *attribute = IFA_RTA(info); RTA_OK(attribute, length);
             attribute = RTA_NEXT(attribute, length)) {
                size_t n = RTA_PAYLOAD(attribute);
                /* Of a point-to-point link IFA_ADDRESS is the other end. */
                bool is_ours = attribute->rta_type == IFA_LOCAL ||
                               (attribute->rta_type == IFA_ADDRESS && info->ifa_family == AF_INET6);

                if (is_ours && n <= sizeof(key.address))
                        memcpy(key.address, RTA_DATA(attribute), n);
        }
        is_news = message->nlmsg_type == RTM_DELADDR ? forget(machine, &key) : learn(machine, &key, 0);
        if (!is_news)
                return;
        if (!if_indextoname(info->ifa_index, name))
                name[0] = '\0';
        touch_interface(machine, name);
}

static void handle_messages(WatchMachine *machine, const void *data, size_t size)
{
        for (const struct nlmsghdr *message = data; NLMSG_OK(message, size);
             message = NLMSG_NEXT(message, size))
                switch (message->nlmsg_type) {
                case RTM_NEWLINK:
                case RTM_DELLINK:
                        if (message->nlmsg_len >= NLMSG_LENGTH(sizeof(struct ifinfomsg)))
                                handle_link(machine, message);
                        break;
                case RTM_NEWADDR:
                case RTM_DELADDR:
                        if (message->nlmsg_len >= NLMSG_LENGTH(sizeof(struct ifaddrmsg)))
                                handle_address(machine, message);
                        break;
                }
}

/* False when there is no more for now. */
static bool receive_network(WatchMachine *machine)
{
        static union {
                struct nlmsghdr header;
                char room[32768];
        } buffer;
        struct sockaddr_nl from = {};
        socklen_t size = sizeof(from);
        ssize_t n = recvfrom(machine->network, &buffer, sizeof(buffer), 0, (struct sockaddr *) &from, &size);

        if (n < 0) {
                /* Some were lost, and what they said is not known. */
                if (errno == ENOBUFS)
                        watch_touch_kind(machine->watch, WATCH_NETWORK, false);
                return errno == ENOBUFS || errno == EINTR;
        }
        if (from.nl_pid == 0)
                handle_messages(machine, &buffer, (size_t) n);
        return true;
}

static int on_network(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        for (unsigned i = 0; i < EVENTS_PER_TURN && receive_network(userdata); i++)
                ;
        return 0;
}

static int listen_to_network(WatchMachine *machine)
{
        const struct sockaddr_nl groups = {
                .nl_family = AF_NETLINK,
                .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
        };

        machine->network = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
        if (machine->network < 0 ||
            bind(machine->network, (const struct sockaddr *) &groups, sizeof(groups)) < 0)
                return -errno;
        return sd_event_add_io(machine->watch->event, &machine->network_io, machine->network, EPOLLIN,
                               on_network, machine);
}

/* udev */

static void handle_uevent(WatchMachine *machine, struct udev_device *event)
{
        const char *path = udev_device_get_devpath(event), *subsystem = udev_device_get_subsystem(event);
        PciAddress address;
        Watched *device;

        if (path && watch_path_device(path, &address)) {
                device = watch_get(machine->watch, &address);
                if (device)
                        watch_touch(machine->watch, device, true);
        } else if (subsystem && strcmp(subsystem, "block") == 0)
                /* Device-mapper, md, loop: stacked on whatever. */
                watch_touch_kind(machine->watch, WATCH_BLOCK, false);
}

static bool receive_uevent(WatchMachine *machine)
{
        _cleanup_(cleanup_udev_device_unref) struct udev_device *event = NULL;

        errno = 0;
        event = udev_monitor_receive_device(machine->monitor);
        if (event)
                handle_uevent(machine, event);
        else if (errno == ENOBUFS)
                watch_touch_kind(machine->watch, WATCH_ALL, true);
        else if (errno != EINTR && errno != 0)
                return false;
        return true;
}

static int on_uevent(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        for (unsigned i = 0; i < EVENTS_PER_TURN && receive_uevent(userdata); i++)
                ;
        return 0;
}

static int listen_to_udev(WatchMachine *machine)
{
        int r;

        machine->udev = udev_new();
        if (!machine->udev)
                return -ENOMEM;
        machine->monitor = udev_monitor_new_from_netlink(machine->udev, "udev");
        if (!machine->monitor)
                return -EIO;
        (void) udev_monitor_set_receive_buffer_size(machine->monitor, RECEIVE_BUFFER_SIZE);
        r = udev_monitor_enable_receiving(machine->monitor);
        if (r < 0)
                return r;
        return sd_event_add_io(machine->watch->event, &machine->udev_io,
                               udev_monitor_get_fd(machine->monitor), EPOLLIN, on_uevent, machine);
}

/* Seats */

static int on_seats(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        WatchMachine *machine = userdata;

        (void) sd_login_monitor_flush(machine->seats);
        watch_touch_kind(machine->watch, WATCH_WITH_NODES, true);
        return 0;
}

static int listen_to_seats(WatchMachine *machine)
{
        int fd, r;

        /* Without logind there are none. What it does to the nodes is seen at the nodes too. */
        r = sd_login_monitor_new("seat", &machine->seats);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        fd = sd_login_monitor_get_fd(machine->seats);
        if (fd < 0)
                return fd;
        return sd_event_add_io(machine->watch->event, &machine->seats_io, fd, EPOLLIN, on_seats, machine);
}

int watch_machine_new(Watch *watch, WatchMachine **ret)
{
        _cleanup_(cleanup_watch_machine_free) WatchMachine *machine = calloc(1, sizeof(WatchMachine));
        int r;

        if (!machine)
                return -ENOMEM;
        machine->watch = watch;
        machine->mounts = machine->swaps = machine->network = -EBADF;
        r = listen_to_file(machine, "/proc/self/mountinfo", &machine->mounts, &machine->mounts_io);
        if (r >= 0)
                r = listen_to_file(machine, "/proc/swaps", &machine->swaps, &machine->swaps_io);
        if (r >= 0)
                r = listen_to_network(machine);
        if (r >= 0)
                r = listen_to_udev(machine);
        if (r >= 0)
                r = listen_to_seats(machine);
        if (r < 0)
                return r;
        *ret = steal_pointer(machine);
        return 0;
}

static void close_source(sd_event_source *source, int fd)
{
        sd_event_source_disable_unref(source);
        if (fd >= 0)
                (void) close(fd);
}

WatchMachine *watch_machine_free(WatchMachine *machine)
{
        Fact *fact, *next;

        if (!machine)
                return NULL;
        close_source(machine->mounts_io, machine->mounts);
        close_source(machine->swaps_io, machine->swaps);
        close_source(machine->network_io, machine->network);
        sd_event_source_disable_unref(machine->udev_io);
        udev_monitor_unref(machine->monitor);
        udev_unref(machine->udev);
        sd_event_source_disable_unref(machine->seats_io);
        sd_login_monitor_unref(machine->seats);
        HASH_ITER (hh, machine->facts, fact, next) {
                HASH_DEL(machine->facts, fact);
                free(fact);
        }
        free(machine);
        return NULL;
}
