/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Uevents as udevd sends them: real multicasts to the group of NETLINK_KOBJECT_UEVENT on which libudev
 * listens, in a network namespace where nobody else does. So a receiver that sleeps loses events and
 * gets ENOBUFS for it as on a real machine. The format is that of libudev's monitor (a header with hashes
 * for the socket filters, then NUL-terminated properties), which has not changed since 2009.
 */

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "sandbox.h"
#include "shared/cleanup.h"
#include "sysfs.h"

#define MONITOR_GROUP_UDEV 2U
#define MONITOR_MAGIC      0xfeedcafeU

struct monitor_header {
        char prefix[8];
        uint32_t magic, header_size, properties_offset, properties_size;
        uint32_t subsystem_hash, devtype_hash, tag_bloom_high, tag_bloom_low;
};

/* MurmurHash2 by Austin Appleby, in the public domain: what libudev's filters compare. */
static uint32_t murmur(const char *text)
{
        const uint32_t m = 0x5bd1e995;
        size_t n = strlen(text);
        uint32_t h = (uint32_t) n;
        uint32_t tail = 0;

        for (; n >= 4; n -= 4, text += 4) {
                uint32_t k;

                memcpy(&k, text, sizeof(k));
                k *= m;
                k ^= k >> 24;
                h = (h * m) ^ (k * m);
        }
        for (size_t i = 0; i < n; i++)
                tail |= (uint32_t) (unsigned char) text[i] << (8 * i);
        if (n > 0)
                h = (h ^ tail) * m;
        h = (h ^ h >> 13) * m;
        return h ^ h >> 15;
}

static void multicast(const char *subsystem, const char *properties, size_t size)
{
        struct monitor_header header = {
                .prefix = "libudev",
                .magic = htonl(MONITOR_MAGIC),
                .header_size = sizeof(header),
                .properties_offset = sizeof(header),
                .properties_size = (uint32_t) size,
                .subsystem_hash = htonl(murmur(subsystem)),
        };
        struct sockaddr_nl group = {.nl_family = AF_NETLINK, .nl_groups = MONITOR_GROUP_UDEV};
        struct iovec iov[2] = {{&header, sizeof(header)}, {(void *) properties, size}};
        struct msghdr message = {.msg_name = &group,
                                 .msg_namelen = sizeof(group),
                                 .msg_iov = iov,
                                 .msg_iovlen = ELEMENTSOF(iov)};
        static int fd = -EBADF;

        if (fd < 0)
                fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
        ck_assert_int_ge(fd, 0);
        /* ECONNREFUSED: nobody listens. */
        ck_assert_msg(sendmsg(fd, &message, 0) >= 0 || errno == ECONNREFUSED, "uevent: %s", strerror(errno));
}

void uevent_of(const char *subsystem, const char *action, const char *devpath, const char *properties)
{
        static unsigned long long sequence;
        char *text;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        (void) fprintf(out, "ACTION=%s\nDEVPATH=%s\nSUBSYSTEM=%s\nSEQNUM=%llu\n", action, devpath,
                       subsystem, ++sequence);
        if (strcmp(subsystem, "pci") == 0)
                (void) fprintf(out, "PCI_SLOT_NAME=%s\n", strrchr(devpath, '/') + 1);
        (void) fprintf(out, "USEC_INITIALIZED=1\n");
        if (properties)
                (void) fprintf(out, "%s%s", properties,
                               properties[strlen(properties) - 1] == '\n' ? "" : "\n");
        ck_assert_int_eq(fclose(out), 0);
        for (char *newline = strchr(text, '\n'); newline; newline = strchr(newline + 1, '\n'))
                *newline = '\0';
        multicast(subsystem, text, size);
        free(text);
}

void uevent_at(const char *action, const char *devpath, const char *properties)
{
        uevent_of("pci", action, devpath, properties);
}

/* The kernel counts per socket, in the column Drops. Only the daemon's is in this network namespace, and
 * ours. */
bool uevents_were_dropped(void)
{
        FILE *file = fopen("/proc/net/netlink", "re");
        bool dropped = false;
        char line[256];

        ck_assert_ptr_nonnull(file);
        while (fgets(line, sizeof(line), file)) {
                unsigned protocol;
                unsigned long drops;

                if (sscanf(line, "%*s %u %*s %*s %*s %*s %*s %*s %lu", &protocol, &drops) == 2)
                        dropped = dropped || (protocol == NETLINK_KOBJECT_UEVENT && drops > 0);
        }
        (void) fclose(file);
        return dropped;
}

void uevent(const char *action, const char *address, const char *properties)
{
        uevent_at(action, sysfs_path(address) + strlen("/sys"), properties);
}

void hotplug_add(const MockDevice *device)
{
        _cleanup_free_ char *properties = NULL;

        sysfs_add(device);
        if (device->driver)
                properties = textf("DRIVER=%s", device->driver);
        uevent("add", device->address, NULL);
        if (device->driver)
                uevent("bind", device->address, properties);
}

void hotplug_remove(const char *address)
{
        _cleanup_free_ char *devpath = strdup(sysfs_path(address) + strlen("/sys"));

        sysfs_remove(address);
        uevent_at("remove", devpath, NULL);
}

void hotplug_bind(const char *address, const char *driver)
{
        _cleanup_free_ char *properties = NULL;

        properties = textf("DRIVER=%s", driver);
        sysfs_bind(address, driver);
        uevent("bind", address, properties);
}

void hotplug_unbind(const char *address)
{
        sysfs_unbind(address);
        uevent("unbind", address, NULL);
}
