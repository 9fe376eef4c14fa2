/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The inode number is what pins: kernfs gives none to a second node while the first is held open, and the
 * daemon holds it open from before it asked for authorisation. The ids are compared too, because they cost
 * nothing and a mistake here would be the worst one that this program can make.
 */

#include "worker/device.h"

#include <dirent.h>
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

/* A bridge may have bridges below it, and so on; deeper than this no tree has buses for. */
#define DEPTH_MAX 256

/* -ENODEV if there is nobody, -EADDRINUSE if it is somebody else. */
static int check_id(int fd, const char *name, uint64_t max, uint64_t expected)
{
        uint64_t value;
        int r;

        r = attribute_read_unsigned(fd, name, max, &value);
        if (r == -ENOENT || r == -ENODEV)
                return -ENODEV;
        if (r < 0)
                return r;
        return value == expected ? 0 : -EADDRINUSE;
}

/* The class first: the kernel makes the files in an order in which it is the last of these. */
static int check_ids(int fd, const WorkerMember *expected)
{
        int r;

        r = check_id(fd, "class", CLASS_MAX, expected->class);
        if (r < 0 && r != -EADDRINUSE)
                return r;
        if (r == 0)
                r = check_id(fd, "vendor", UINT16_MAX, expected->vendor);
        if (r < 0)
                return r;
        return check_id(fd, "device", UINT16_MAX, expected->device);
}

static int check_identity(int fd, const WorkerMember *expected)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_ino != expected->inode)
                return -EADDRINUSE;
        return check_ids(fd, expected);
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
                return r == -EADDRINUSE ? -ENODEV : r;

        if (fstatat(fd, "physfn", &st, AT_SYMLINK_NOFOLLOW) == 0)
                device.is_virtual = true;
        else if (errno != ENOENT)
                return -errno;

        device.fd = steal_fd(fd);
        *ret = device;
        return 0;
}

static uint16_t read_id(int fd, const char *name)
{
        uint64_t value;

        return attribute_read_unsigned(fd, name, UINT16_MAX, &value) == 0 ? (uint16_t) value : UINT16_MAX;
}

static bool read_subsystem(int fd, uint16_t *ret_vendor, uint16_t *ret_device)
{
        uint64_t vendor, device;

        if (attribute_read_unsigned(fd, "subsystem_vendor", UINT16_MAX, &vendor) < 0 ||
            attribute_read_unsigned(fd, "subsystem_device", UINT16_MAX, &device) < 0)
                return false;
        *ret_vendor = (uint16_t) vendor;
        *ret_device = (uint16_t) device;
        return true;
}

void device_read_subsystem(Device *device)
{
        device->has_subsystem = read_subsystem(device->fd, &device->subsystem_vendor,
                                               &device->subsystem_device);
}

static int check_subsystem(int fd, const Device *device)
{
        uint16_t subsystem_vendor, subsystem_device;

        if (!device->has_subsystem || !read_subsystem(fd, &subsystem_vendor, &subsystem_device))
                return 0;
        return subsystem_vendor == device->subsystem_vendor && subsystem_device == device->subsystem_device
                       ? 0
                       : -EADDRINUSE;
}

int device_reopen(int devices_fd, Device *device)
{
        _cleanup_close_ int fd = -EBADF;
        struct stat old, new;
        int r;

        fd = openat(devices_fd, device->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? -ENODEV : -errno;
        /* One whose directory was never opened is known by its ids alone. */
        if (device->fd >= 0) {
                if (fstat(fd, &new) < 0 || fstat(device->fd, &old) < 0)
                        return -errno;
                if (new.st_ino == old.st_ino)
                        return -EALREADY;
        }

        r = check_ids(fd, device->expected);
        if (r == 0)
                r = check_subsystem(fd, device);
        /* Only one whose ids can be read is a stranger: they appear some moments after the directory. */
        if (r == -EADDRINUSE) {
                device->stranger_vendor = read_id(fd, "vendor");
                device->stranger_device = read_id(fd, "device");
                device->is_stranger = true;
        }
        if (r < 0)
                return r;

        device_close(device);
        device->fd = steal_fd(fd);
        device->has_returned = true;
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

        if (device->fd < 0)
                return true;
        return fstatat(device->fd, "vendor", &st, AT_SYMLINK_NOFOLLOW) < 0 &&
               (errno == ENOENT || errno == ENODEV);
}

bool device_has_bridge_class(const Device *device)
{
        uint32_t class = device->expected->class >> 8;

        return class == CLASS_BRIDGE_PCI || class == CLASS_BRIDGE_CARDBUS ||
               class == CLASS_BRIDGE_SEMI_TRANSPARENT;
}

bool device_is_hotplug_port(const Device *device)
{
        /* The service of a root port, or of a switch's port (get_descriptor_id in
         * drivers/pci/pcie/portdrv.c). */
        static const char *const ids[] = {"004", "204"};
        char path[sizeof(device->name) + sizeof(":pcie004/driver")], driver[WORKER_DRIVER_MAX];

        for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
                (void) snprintf(path, sizeof(path), "%s:pcie%s/driver", device->name, ids[i]);
                if (attribute_read_link(device->fd, path, driver, sizeof(driver)) == 0 &&
                    strcmp(driver, "pciehp") == 0)
                        return true;
        }
        return false;
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
        return strcmp(driver, device->driver_is_off ? "" : device->expected->driver) == 0 ? 0 : -EBUSY;
}

/* `enable` is the kernel's count of those who enabled the device: vfio-pci raises it for an open device. */
static int check_disabled(const Device *device, const WorkerRequest *request)
{
        uint64_t count;
        int r;

        /* Whoever presents the VFIO groups of a whole set may well have its devices open. */
        if (!device->expected->must_be_disabled || request->n_fds > 0)
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

bool device_is_directly_below(const Device *device, const Device *bridge)
{
        struct stat above, st;

        return fstatat(device->fd, "..", &above, 0) == 0 && fstat(bridge->fd, &st) == 0 &&
               above.st_dev == st.st_dev && above.st_ino == st.st_ino;
}

/* Goes through the directory of a bridge, in which its functions have theirs, and through those below. */
static int check_below(int bridge_fd, const WorkerRequest *request, int depth, PciAddress *ret)
{
        _cleanup_close_ int fd = -EBADF;
        const struct dirent *entry;
        PciAddress address;
        int r = 0;
        DIR *dir;

        if (depth == DEPTH_MAX)
                return -ELOOP;
        fd = openat(bridge_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        dir = fdopendir(fd);
        if (!dir)
                return -errno;
        fd = -EBADF; /* the stream's now */

        while (r == 0 && (errno = 0, entry = readdir(dir))) {
                _cleanup_close_ int below = -EBADF;

                if (pci_address_parse(entry->d_name, &address) < 0)
                        continue;
                if (!is_member(request, entry->d_name)) {
                        *ret = address;
                        r = -EBUSY;
                        break;
                }
                below = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                r = below < 0 ? -errno : check_below(below, request, depth + 1, ret);
        }
        if (r == 0 && !entry)
                r = -errno;
        (void) closedir(dir);
        return r;
}

int device_check_below(const Device *bridge, const WorkerRequest *request, PciAddress *ret)
{
        return check_below(bridge->fd, request, 0, ret);
}

int device_check_subordinate_bus(const Device *bridge)
{
        _cleanup_close_ int fd = -EBADF;
        const struct dirent *entry;
        bool found = false;
        DIR *dir;

        fd = openat(bridge->fd, "pci_bus", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        dir = fdopendir(fd);
        if (!dir)
                return -errno;
        fd = -EBADF;
        while (!found && (entry = readdir(dir)))
                found = entry->d_name[0] != '.';
        (void) closedir(dir);
        return found ? 0 : -ENOENT;
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
