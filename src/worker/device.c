/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The inode number is what pins: kernfs gives none to a second node while the first is held open, and the
 * daemon holds it open from before it asked for authorisation. The ids are compared too, because they cost
 * nothing and a mistake here would be the worst one that this program can make.
 */

#include "worker/device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "worker/attribute.h"

#define CLASS_MAX 0xffffffU

#define CLASS_BRIDGE_PCI              0x0604U
#define CLASS_BRIDGE_CARDBUS          0x0607U
#define CLASS_BRIDGE_SEMI_TRANSPARENT 0x0609U

static int check_id(int fd, const char *name, uint64_t max, uint64_t expected)
{
        uint64_t value;
        int r;

        r = attribute_read_unsigned(fd, name, max, &value);
        if (r == -ENOENT || r == -ENODEV)
                return -ENODEV;
        if (r < 0)
                return r;
        return value == expected ? 0 : -ENODEV;
}

static int check_identity(int fd, const WorkerMember *expected)
{
        struct stat st;
        int r;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_ino != expected->inode)
                return -ENODEV;

        r = check_id(fd, "vendor", UINT16_MAX, expected->vendor);
        if (r < 0)
                return r;
        r = check_id(fd, "device", UINT16_MAX, expected->device);
        if (r < 0)
                return r;
        return check_id(fd, "class", CLASS_MAX, expected->class);
}

int device_open(int devices_fd, const WorkerMember *expected, Device *ret)
{
        Device device = {.expected = expected, .fd = -EBADF};
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        (void) pci_address_format(&expected->address, device.name);

        /* The name is a link into the tree of devices; this is the one time that it is followed. */
        fd = openat(devices_fd, device.name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? -ENODEV : -errno;

        r = check_identity(fd, expected);
        if (r < 0)
                return r;

        if (fstatat(fd, "physfn", &st, AT_SYMLINK_NOFOLLOW) == 0)
                device.is_virtual = true;
        else if (errno != ENOENT)
                return -errno;

        device.fd = steal_fd(fd);
        *ret = device;
        return 0;
}

void device_close(Device *device)
{
        cleanup_close(&device->fd);
        device->fd = -EBADF;
}

bool device_is_gone(const Device *device)
{
        struct stat st;

        return fstatat(device->fd, "vendor", &st, AT_SYMLINK_NOFOLLOW) < 0 &&
               (errno == ENOENT || errno == ENODEV);
}

bool device_has_bridge_class(const Device *device)
{
        uint32_t class = device->expected->class >> 8;

        return class == CLASS_BRIDGE_PCI || class == CLASS_BRIDGE_CARDBUS ||
               class == CLASS_BRIDGE_SEMI_TRANSPARENT;
}

int device_read_driver(const Device *device, char *buffer, size_t size)
{
        int r;

        r = attribute_read_link(device->fd, "driver", buffer, size);
        if (r == -ENOENT) {
                if (device_is_gone(device))
                        return -ENODEV;
                buffer[0] = '\0';
                return 0;
        }
        return r;
}

static int check_driver(const Device *device, const WorkerRequest *request)
{
        char driver[WORKER_DRIVER_MAX];
        int r;

        r = device_read_driver(device, driver, sizeof(driver));
        if (r == -EMSGSIZE) /* then it is not the expected one either, which fitted */
                return -EBUSY;
        if (r < 0)
                return r;
        return strcmp(driver, device->expected->driver) == 0 ? 0 : -EBUSY;
}

/* `enable` is the kernel's count of those who enabled the device: vfio-pci raises it for an open device. */
static int check_disabled(const Device *device, const WorkerRequest *request)
{
        uint64_t count;
        int r;

        if (!device->expected->must_be_disabled)
                return 0;

        r = attribute_read_unsigned(device->fd, "enable", UINT32_MAX, &count);
        if (r < 0)
                return r;
        return count == 0 ? 0 : -EBUSY;
}

/* The directory exists on devices with a security manager only, `bound` says to which guest it is assigned.
 */
static int check_tsm(const Device *device, const WorkerRequest *request)
{
        char bound[WORKER_VALUE_MAX];
        ssize_t n;

        n = attribute_read(device->fd, "tsm/bound", bound, sizeof(bound));
        if (n == -ENOENT)
                return 0;
        if (n == -EMSGSIZE)
                return -EBUSY;
        if (n < 0)
                return (int) n;
        return n == 0 ? 0 : -EBUSY;
}

static bool is_member(const WorkerRequest *request, const char *name)
{
        PciAddress address;

        if (pci_address_parse(name, &address) < 0)
                return false;
        for (size_t i = 0; i < request->n_members; i++)
                if (pci_address_equal(&request->members[i].address, &address))
                        return true;
        return false;
}

/* Virtual functions come and go at a word of the administrator, and with their physical one they are all
 * reset. The kernel numbers their links without gaps (pci_iov_sysfs_link). */
static int check_virtual_functions(const Device *device, const WorkerRequest *request)
{
        for (unsigned i = 0;; i++) {
                char link[sizeof("virtfn4294967295")], name[PCI_ADDRESS_STRING_MAX];
                int r;

                (void) snprintf(link, sizeof(link), "virtfn%u", i);
                r = attribute_read_link(device->fd, link, name, sizeof(name));
                if (r == -ENOENT)
                        return 0;
                if (r < 0)
                        return r;
                if (!is_member(request, name))
                        return -EBUSY;
        }
}

int device_check_use(const Device *device, const WorkerRequest *request, const char **ret_why)
{
        static const struct {
                int (*check)(const Device *device, const WorkerRequest *request);
                const char *why;
        } checks[] = {
                {check_driver, WORKER_WHY_DRIVER},
                {check_disabled, WORKER_WHY_ENABLED},
                {check_tsm, WORKER_WHY_TSM},
                {check_virtual_functions, WORKER_WHY_SET},
        };

        for (size_t i = 0; i < ELEMENTSOF(checks); i++) {
                int r = checks[i].check(device, request);

                if (r >= 0)
                        continue;
                if (r != -EBUSY && device_is_gone(device)) {
                        *ret_why = "";
                        return -ENODEV;
                }
                *ret_why = r == -EBUSY ? checks[i].why : WORKER_WHY_UNREADABLE;
                return r;
        }
        return 0;
}
