/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/system/udev.h"

#include <errno.h>
#include <libudev.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "daemon/system/journal.h"
#include "daemon/system/sysfs.h"
#include "shared/cleanup.h"

/* A limit, not an allocation. Beyond net.core.rmem_max it takes CAP_NET_ADMIN, which the daemon does
 * without. */
#define RECEIVE_BUFFER_SIZE (128 * 1024 * 1024)

/* A card with many functions that comes or goes is a few hundred events, a storm many thousands. */
#define EVENTS_PER_TURN 32U

struct UdevSource {
        struct udev *udev;
        struct udev_monitor *monitor;
        sd_event_source *io;
        Registry *registry;
        UdevErrorHandler error_handler;
        void *error_userdata;
        Slots *slots; /* as they were in this turn; NULL: nobody has asked */
        uint64_t rescans;
        bool lost; /* events were, since the socket was last empty */
};

DEFINE_CLEANUP(UdevSource *, udev_source_free);
DEFINE_CLEANUP(struct udev_device *, udev_device_unref);

/* Slots that come and go are announced by nobody. Those that come with a device are there before it. */
static void forget_slots(UdevSource *source)
{
        source->slots = slots_free(source->slots);
}

/* Brings one device up to date. */
static int refresh(void *userdata, const PciAddress *address)
{
        UdevSource *source = userdata;
        DeviceFacts facts;
        int r = source->slots ? 0 : slots_read(&source->slots);

        if (r < 0)
                return r;
        r = sysfs_read_facts(address, source->slots, &facts);
        if (r == -ENODEV) {
                registry_remove(source->registry, address, 0);
                return 0;
        }
        if (r < 0) {
                /* Unreadable is not gone, but it cannot be used either. One odd device must not hide the
                 * others. */
                journal_device_unreadable(address, r);
                registry_remove(source->registry, address, 0);
                return 0;
        }
        return registry_apply(source->registry, &facts);
}

static int scan(UdevSource *source)
{
        int r;

        forget_slots(source);
        registry_scan_begin(source->registry);
        r = sysfs_for_each_device(refresh, source);
        /* What a scan that broke off did not see may still be there. */
        if (r >= 0)
                registry_scan_end(source->registry);
        forget_slots(source);
        return r;
}

/* The counters at once, as evidence: those that have risen tell which error it was. */
static void handle_error(UdevSource *source, const PciAddress *address, struct udev_device *event)
{
        Device *device = registry_find(source->registry, address);
        ErrorEvent error;

        if (!device || !source->error_handler ||
            !error_event_parse(udev_device_get_property_value(event, "ERROR_EVENT"),
                               udev_device_get_property_value(event, "WEDGED"), &error))
                return;
        for (const Device *d = device; d && error.n_counters < ERROR_COUNTERS_MAX; d = d->parent)
                error.n_counters += sysfs_read_error_counts(&d->facts.address,
                                                            &error.counters[error.n_counters]);
        source->error_handler(source->error_userdata, device, &error);
}

/* The PCI function that a device of another subsystem belongs to is in its path, the last one of those.
 * Nothing is read, as libudev would to find it. */
static bool find_function(const char *devpath, PciAddress *ret)
{
        char path[PATH_MAX];
        bool found = false;
        char *rest = path;

        (void) snprintf(path, sizeof(path), "%s", devpath);
        for (const char *part; (part = strsep(&rest, "/"));)
                found |= pci_address_parse(part, ret) == 0;
        return found;
}

static int handle_drm_event(UdevSource *source, struct udev_device *event)
{
        const char *devpath = udev_device_get_devpath(event);
        PciAddress address;

        if (udev_device_get_property_value(event, "WEDGED") && devpath && find_function(devpath, &address))
                handle_error(source, &address, event);
        return 0;
}

static int handle_event(UdevSource *source, struct udev_device *event)
{
        const char *name = udev_device_get_sysname(event), *subsystem = udev_device_get_subsystem(event);
        PciAddress address;
        int r;

        if (subsystem && strcmp(subsystem, "drm") == 0)
                return handle_drm_event(source, event);
        if (!name || pci_address_parse(name, &address) < 0)
                return 0;
        r = refresh(source, &address);
        if (r >= 0 && udev_device_get_property_value(event, "ERROR_EVENT"))
                handle_error(source, &address, event);
        return r;
}

static int rescan(UdevSource *source)
{
        int r;

        source->rescans++;
        r = scan(source);
        journal_events_lost(r);
        return r;
}

/* The kernel says ENOBUFS once, at the first event that it drops, and drops silently from then on until the
 * socket has been read empty (netlink_overrun, netlink_rcv_wake). Only then everything can be read again for
 * good. */
static int handle_empty(UdevSource *source)
{
        if (!source->lost)
                return 0;
        source->lost = false;
        return rescan(source);
}

/* Takes one event. Returns 0 when the socket is empty. */
static int receive(UdevSource *source)
{
        _cleanup_(cleanup_udev_device_unref) struct udev_device *event = NULL;
        int r;

        errno = 0;
        event = udev_monitor_receive_device(source->monitor);
        if (event) {
                r = handle_event(source, event);
                return r < 0 ? r : 1;
        }
        if (errno == ENOBUFS)
                source->lost = true;
        else if (errno == EAGAIN)
                return handle_empty(source);
        else if (errno != EINTR && errno != 0)
                return -errno;
        return 1;
}

static int on_io(sd_event_source *io, int fd, uint32_t revents, void *userdata)
{
        UdevSource *source = userdata;
        int r = 1;

        /* What is left is ready again at the next turn, after those who wait on the bus have had theirs. */
        for (unsigned i = 0; i < EVENTS_PER_TURN && r > 0; i++)
                r = receive(source);
        if (r < 0)
                journal_udev_failed(r);
        forget_slots(source);
        return 0;
}

int udev_source_new(sd_event *event, Registry *registry, UdevSource **ret)
{
        _cleanup_(cleanup_udev_source_free) UdevSource *source = calloc(1, sizeof(UdevSource));
        int r;

        if (!source)
                return -ENOMEM;
        source->registry = registry;
        source->udev = udev_new();
        if (!source->udev)
                return -errno;
        source->monitor = udev_monitor_new_from_netlink(source->udev, "udev");
        if (!source->monitor)
                return errno > 0 ? -errno : -EIO;

        r = udev_monitor_filter_add_match_subsystem_devtype(source->monitor, "pci", NULL);
        if (r >= 0)
                r = udev_monitor_filter_add_match_subsystem_devtype(source->monitor, "drm", NULL);
        if (r < 0)
                return r;
        (void) udev_monitor_set_receive_buffer_size(source->monitor, RECEIVE_BUFFER_SIZE);
        r = udev_monitor_enable_receiving(source->monitor);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &source->io, udev_monitor_get_fd(source->monitor), EPOLLIN, on_io,
                            source);
        if (r < 0)
                return r;

        /* Only now: what changes during the scan is in the socket. */
        r = scan(source);
        if (r < 0)
                return r;
        *ret = steal_pointer(source);
        return 0;
}

void udev_source_set_error_handler(UdevSource *source, UdevErrorHandler handler, void *userdata)
{
        source->error_handler = handler;
        source->error_userdata = userdata;
}

void udev_source_refresh(UdevSource *source, const PciAddress *address)
{
        int r = refresh(source, address);

        if (r < 0)
                journal_udev_failed(r);
        forget_slots(source);
}

UdevSource *udev_source_free(UdevSource *source)
{
        if (!source)
                return NULL;
        sd_event_source_disable_unref(source->io);
        forget_slots(source);
        udev_monitor_unref(source->monitor);
        udev_unref(source->udev);
        free(source);
        return NULL;
}

uint64_t udev_source_rescans(const UdevSource *source)
{
        return source->rescans;
}
