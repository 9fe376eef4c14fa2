/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Whether network interfaces are in use: up, and with an address of their own or of what stands above them
 * (bonds, bridges, VLANs: the links `upper_NAME` in sysfs). An address that comes by itself with the
 * interface, IPv6's link-local one, is none. Those in other network namespaces are in holders-netns.c.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "shared/cleanup.h"
#include "worker/attribute.h"
#include "worker/holders-look.h"
#include "worker/rtnetlink.h"

#define DEPTH_MAX 8U

#define SWITCH                                                                                              \
        "ovs-system" /* Open vSwitch: carries the ports of all bridges, which are ports themselves          \
                      */

typedef struct ifaddrs Addresses;

DEFINE_CLEANUP(Addresses *, freeifaddrs);

static unsigned count_bits(const uint8_t *bytes, size_t n)
{
        unsigned bits = 0;

        for (size_t i = 0; i < n; i++)
                bits += (unsigned) __builtin_popcount(bytes[i]);
        return bits;
}

static bool format_address(const Addresses *entry, char ret[static NET_ADDRESS_MAX])
{
        const void *address, *mask;
        size_t n;

        if (entry->ifa_addr->sa_family == AF_INET) {
                address = &((const struct sockaddr_in *) (const void *) entry->ifa_addr)->sin_addr;
                mask = &((const struct sockaddr_in *) (const void *) entry->ifa_netmask)->sin_addr;
                n = sizeof(struct in_addr);
        } else {
                address = &((const struct sockaddr_in6 *) (const void *) entry->ifa_addr)->sin6_addr;
                mask = &((const struct sockaddr_in6 *) (const void *) entry->ifa_netmask)->sin6_addr;
                n = sizeof(struct in6_addr);
        }
        return net_format_address(entry->ifa_addr->sa_family, address,
                                  entry->ifa_netmask ? count_bits(mask, n) : 0, ret);
}

/*
 * getifaddrs() gives the address's label in place of the interface's name, where it has one: `eth0:1`. What
 * stands before the colon is the interface, whose own name cannot hold one (dev_valid_name() in the kernel).
 * ip(8) and the old ioctls make only such labels. For one that begins otherwise, which a program can set
 * through netlink, the interface's index in RTM_GETADDR would have to be read instead.
 */
static bool is_name_or_label(const char *text, const char *name)
{
        size_t n = strlen(name);

        return strncmp(text, name, n) == 0 && (text[n] == '\0' || text[n] == ':');
}

static bool find_address(const Addresses *all, const char *name, char ret[static NET_ADDRESS_MAX])
{
        for (const Addresses *entry = all; entry; entry = entry->ifa_next)
                if (entry->ifa_addr && is_name_or_label(entry->ifa_name, name) &&
                    (entry->ifa_addr->sa_family == AF_INET || entry->ifa_addr->sa_family == AF_INET6) &&
                    format_address(entry, ret))
                        return true;
        return false;
}

/* 1 if it is up, 0 if not, or a negative errno. */
static int is_up(Look *look, int fd, const char *name)
{
        uint64_t flags;
        int r;

        r = attribute_read_unsigned(fd, "flags", UINT32_MAX, &flags);
        if (r < 0)
                return look_fail(look, -r, "whether %s is up cannot be read", name);
        return (flags & IFF_UP) != 0;
}

static int find_above(Look *look, const Addresses *all, const char *name, const char *prefix, unsigned depth,
                      char *upper, char *address);

/* Whether the interface, which is above or beside another, carries an address. As find_above(). */
static int look_above(Look *look, const Addresses *all, const char *name, unsigned depth, char *upper,
                      char *address)
{
        _cleanup_close_ int fd = look_open(look->roots.sys, O_RDONLY | O_DIRECTORY, "class/net/%s", name);
        bool is_switch = strcmp(name, SWITCH) == 0;
        int r;

        if (fd < 0)
                return look_fail(look, -fd, "the interface %s cannot be opened in sysfs", name);
        r = is_up(look, fd, name);
        if (r < 0)
                return r;
        /* The switch itself is never up. At its ports the search ends, or it would come back from each. */
        if (is_switch)
                return find_above(look, all, name, "lower_", DEPTH_MAX, upper, address);
        if (r == 0)
                return 0;
        if (find_address(all, name, address)) {
                (void) snprintf(upper, IF_NAMESIZE, "%s", name);
                return 1;
        }
        return find_above(look, all, name, "upper_", depth + 1, upper, address);
}

/* Looks for an address on the interfaces that are linked to this one. 1 with the interface and its address,
 * 0 if there is none, or a negative errno. */
static int find_above(Look *look, const Addresses *all, const char *name, const char *prefix, unsigned depth,
                      char *upper, char *address)
{
        struct dirent *entry;
        DIR *directory;
        int fd, r = 0;

        if (depth > DEPTH_MAX)
                return 0;
        fd = look_open(look->roots.sys, O_RDONLY | O_DIRECTORY, "class/net/%s", name);
        if (fd < 0)
                return look_fail(look, -fd, "the interface %s cannot be opened in sysfs", name);
        directory = fdopendir(fd);
        if (!directory) {
                (void) close(fd);
                return -ENOMEM;
        }
        while (r == 0 && (entry = readdir(directory)))
                if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
                        r = look_above(look, all, entry->d_name + strlen(prefix), depth, upper, address);
        (void) closedir(directory);
        return r;
}

static int look_at_interface(Look *look, const Interface *interface, const Addresses *all)
{
        char address[NET_ADDRESS_MAX], upper[IF_NAMESIZE], what[HOLDER_WHAT_MAX];
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = look_open(look->roots.sys, O_RDONLY | O_DIRECTORY, "class/net/%s", interface->name);
        if (fd < 0)
                return look_fail(look, -fd, "the interface %s cannot be opened in sysfs", interface->name);
        r = is_up(look, fd, interface->name);
        if (r <= 0)
                return r;

        if (find_address(all, interface->name, address)) {
                (void) snprintf(what, sizeof(what), "%s %s", interface->name, address);
                return look_add(look, interface->member, HOLDER_NETWORK, NULL, what);
        }
        r = find_above(look, all, interface->name, "upper_", 0, upper, address);
        if (r < 0)
                return r;
        if (r == 0)
                return look_add(look, interface->member, HOLDER_INTERFACE, NULL, interface->name);
        (void) snprintf(what, sizeof(what), "%s (in %s %s)", interface->name, upper, address);
        return look_add(look, interface->member, HOLDER_NETWORK, NULL, what);
}

int look_at_networks(Look *look)
{
        _cleanup_(cleanup_freeifaddrs) Addresses *all = NULL;

        if (look->n_interfaces == 0)
                return 0;
        if (getifaddrs(&all) < 0)
                return look_fail(look, errno, "the addresses of network interfaces cannot be read");
        for (size_t i = 0; i < look->n_interfaces; i++) {
                int r = look_at_interface(look, &look->interfaces[i], all);

                if (r < 0)
                        return r;
        }
        return 0;
}
