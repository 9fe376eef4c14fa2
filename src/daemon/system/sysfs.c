/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/system/sysfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/system/descriptors.h"
#include "shared/cleanup.h"
#include "shared/driver.h"
#include "shared/method.h"
#include "shared/utf8.h"

#define PCI_DEVICES "/sys/bus/pci/devices"
/* sysfs gives an attribute out in one page at most; those read here are far shorter. */
#define ATTRIBUTE_MAX   1024U
#define ERROR_TABLE_MAX 4097U

static void cleanup_closedir(DIR **d)
{
        if (*d)
                (void) closedir(*d);
}

static void sysfs_path(const PciAddress *address, char path[static PATH_MAX])
{
        char name[PCI_ADDRESS_STRING_MAX];

        (void) snprintf(path, PATH_MAX, PCI_DEVICES "/%s", pci_address_format(address, name));
}

/* Reads a whole attribute as text. -ENOENT if there is none. */
static int read_attribute(int dirfd, const char *name, char buffer[static ATTRIBUTE_MAX])
{
        _cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = read(fd, buffer, ATTRIBUTE_MAX - 1);
        if (n < 0)
                return -errno;
        buffer[n] = '\0';
        return 0;
}

static int read_number(int dirfd, const char *name, unsigned long max, unsigned long *ret)
{
        char text[ATTRIBUTE_MAX], *end;
        unsigned long value;
        int r = read_attribute(dirfd, name, text);

        if (r < 0)
                return r;
        errno = 0;
        value = strtoul(text, &end, 0);
        if (errno != 0 || end == text || (*end != '\0' && *end != '\n') || value > max)
                return -EBADMSG;
        *ret = value;
        return 0;
}

/* The last part of what a link points to, cut to `size`; "" if there is no such link. */
static void read_link_name(int dirfd, const char *name, char *buffer, size_t size)
{
        char target[PATH_MAX];
        const char *last;
        ssize_t n = readlinkat(dirfd, name, target, sizeof(target) - 1);

        buffer[0] = '\0';
        if (n < 0)
                return;
        target[n] = '\0';
        last = strrchr(target, '/');
        (void) snprintf(buffer, size, "%s", last ? last + 1 : target);
        (void) utf8_sanitize(buffer);
}

/* The devices' directories are nested like the devices: the one above ours is the bridge, or the root bus.
 */
static void read_parent(const char *path, DeviceFacts *facts)
{
        char target[PATH_MAX];
        char *slash;
        ssize_t n = readlink(path, target, sizeof(target) - 1);

        if (n < 0)
                return;
        target[n] = '\0';
        slash = strrchr(target, '/');
        if (!slash)
                return;
        *slash = '\0';
        slash = strrchr(target, '/');
        facts->has_parent = slash && pci_address_parse(slash + 1, &facts->parent) == 0;
}

static bool has_attribute(int dirfd, const char *name)
{
        return faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool is_bridge(int dirfd, uint32_t class)
{
        uint32_t base_and_sub = class >> 8;

        /* PCI-PCI, CardBus and semi-transparent bridges by class; `secondary_bus_number` is there for
         * whatever has the header of a bridge (pci_is_bridge), even if its class lies. */
        return base_and_sub == 0x0604 || base_and_sub == 0x0607 || base_and_sub == 0x0609 ||
               has_attribute(dirfd, "secondary_bus_number");
}

static int open_device(const PciAddress *address, int flags, uint64_t *ret_inode)
{
        _cleanup_close_ int fd = -EBADF;
        char path[PATH_MAX];
        struct stat st;

        sysfs_path(address, path);
        fd = open(path, flags | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? -ENODEV : -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        *ret_inode = st.st_ino;
        return steal_fd(fd);
}

/* The directory of this very device, or -ENODEV where another has its address. */
static int open_this(const PciAddress *address, uint64_t inode)
{
        _cleanup_close_ int fd = -EBADF;
        uint64_t found;

        fd = open_device(address, O_PATH, &found);
        if (fd < 0)
                return fd;
        if (found != inode)
                return -ENODEV;
        return steal_fd(fd);
}

/* A device that goes away while it is read takes its attributes along. */
static int gone_if_missing(int r)
{
        return r == -ENOENT ? -ENODEV : r;
}

/* One file instead of five: pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00 (modalias_show() in
 * drivers/pci/pci-sysfs.c, which takes no lock either). A scan of a large machine lives from this. */
static int read_ids(int dirfd, DeviceFacts *facts)
{
        unsigned vendor, device, subsystem_vendor, subsystem_device, base, sub, interface;
        char text[ATTRIBUTE_MAX];
        int r = read_attribute(dirfd, "modalias", text);

        if (r < 0)
                return gone_if_missing(r);
        if (sscanf(text, "pci:v%8xd%8xsv%8xsd%8xbc%2xsc%2xi%2x", &vendor, &device, &subsystem_vendor,
                   &subsystem_device, &base, &sub, &interface) != 7 ||
            vendor > UINT16_MAX || device > UINT16_MAX || subsystem_vendor > UINT16_MAX ||
            subsystem_device > UINT16_MAX)
                return -EBADMSG;
        facts->vendor = (uint16_t) vendor;
        facts->device = (uint16_t) device;
        facts->subsystem_vendor = (uint16_t) subsystem_vendor;
        facts->subsystem_device = (uint16_t) subsystem_device;
        facts->class = base << 16 | sub << 8 | interface;
        return 0;
}

/* Its state is asked of the firmware, which may take its time: that is a worker's affair. */
static void read_endpoint(int dirfd, DeviceFacts *facts)
{
        unsigned long value;

        if (read_number(dirfd, "eeh_pe_config_addr", UINT32_MAX, &value) < 0 || value == UINT32_MAX)
                return;
        facts->has_endpoint = true;
        facts->endpoint = (uint32_t) value;
}

int sysfs_read_facts(const PciAddress *address, const Slots *slots, DeviceFacts *ret)
{
        DeviceFacts facts = {.address = *address};
        _cleanup_close_ int fd = -EBADF;
        char path[PATH_MAX], physfn[PCI_ADDRESS_STRING_MAX];
        unsigned long revision;
        int r;

        fd = open_device(address, O_PATH, &facts.inode);
        if (fd < 0)
                return fd;
        r = read_ids(fd, &facts);
        if (r >= 0)
                r = gone_if_missing(read_number(fd, "revision", UINT8_MAX, &revision));
        if (r < 0)
                return r;
        facts.revision = (uint8_t) revision;

        sysfs_path(address, path);
        read_parent(path, &facts);
        facts.is_bridge = is_bridge(fd, facts.class);
        read_link_name(fd, "driver", facts.driver, sizeof(facts.driver));
        read_link_name(fd, "iommu_group", facts.iommu_group, sizeof(facts.iommu_group));
        read_link_name(fd, "physfn", physfn, sizeof(physfn));
        facts.has_physfn = pci_address_parse(physfn, &facts.physfn) == 0;
        facts.can_reset_subordinate = facts.is_bridge && has_attribute(fd, "reset_subordinate");
        facts.can_be_removed = has_attribute(fd, "remove");
        read_endpoint(fd, &facts);
        if (driver_kind(facts.driver) == DRIVER_PCIBACK) {
                facts.has_do_flr = has_attribute(fd, "driver/" RESET_METHOD_DO_FLR);
                facts.has_reset_device = has_attribute(fd, "driver/" RESET_METHOD_RESET_DEVICE);
        }
        if (!facts.has_physfn && facts.has_parent)
                slots_find(slots, address, facts.slot);

        *ret = facts;
        return 0;
}

/* Without any method at enumeration the kernel leaves the file out (pci_dev_reset_attr_is_visible). */
static int read_methods(int dirfd, ResetMethodList *ret)
{
        char text[ATTRIBUTE_MAX];
        int r = read_attribute(dirfd, "reset_method", text);

        *ret = (ResetMethodList){};
        /* Or the whole device has just gone, with this file that each has. */
        if (r == -ENOENT)
                return has_attribute(dirfd, "vendor") ? 0 : -ENODEV;
        return r < 0 ? r : reset_method_list_parse(text, ret);
}

static int read_enable_count(int dirfd, uint32_t *ret)
{
        unsigned long count;
        int r = read_number(dirfd, "enable", UINT32_MAX, &count);

        if (r >= 0)
                *ret = (uint32_t) count;
        return gone_if_missing(r);
}

static int read_tsm_bound(int dirfd, bool *ret)
{
        char text[ATTRIBUTE_MAX];
        int r = read_attribute(dirfd, "tsm/bound", text);

        *ret = r >= 0 && strspn(text, " \n") < strlen(text);
        return r == -ENOENT ? 0 : r;
}

/* Every call that asks what could be done comes through here, so nothing is opened of which nobody would
 * look at the content. */
static int refresh(Device *device, bool methods)
{
        _cleanup_close_ int fd = open_this(&device->facts.address, device->facts.inode);
        DeviceLive live = {.methods = device->live.methods};
        int r = 0;

        if (fd < 0)
                return fd;
        if (methods && device->n_resetting == 0)
                r = read_methods(fd, &live.methods);
        if (r >= 0 && driver_kind(device->facts.driver) == DRIVER_ASSIGNABLE)
                r = read_enable_count(fd, &live.enable_count);
        if (r >= 0)
                r = read_tsm_bound(fd, &live.tsm_bound);
        if (r >= 0)
                device->live = live;
        return r;
}

int sysfs_refresh(Device *device)
{
        return refresh(device, true);
}

int sysfs_refresh_use(Device *device)
{
        return refresh(device, false);
}

int sysfs_read_driver(const PciAddress *address, uint64_t inode, char driver[static DRIVER_NAME_MAX])
{
        _cleanup_close_ int fd = open_this(address, inode);

        if (fd < 0)
                return fd;
        read_link_name(fd, "driver", driver, DRIVER_NAME_MAX);
        return 0;
}

/* Tables of counters end in their sum (aer_stats_dev_attr in drivers/pci/pcie/aer.c); those of root ports
 * are it. */
static bool read_error_count(int dirfd, const char *name, const char *sum, unsigned long long *ret)
{
        char text[ERROR_TABLE_MAX];
        const char *at = text;
        _cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

        if (n <= 0)
                return false;
        text[n] = '\0';
        if (sum) {
                at = strstr(text, sum);
                at = at ? at + strlen(sum) : "";
        }
        return sscanf(at, "%llu", ret) == 1;
}

bool sysfs_read_error_counts(const PciAddress *address, WorkerCheck *ret)
{
        static const struct {
                const char *name, *sum, *text;
        } counters[] = {
                {"aer_dev_correctable", "TOTAL_ERR_COR", "correctable"},
                {"aer_dev_nonfatal", "TOTAL_ERR_NONFATAL", "nonfatal"},
                {"aer_dev_fatal", "TOTAL_ERR_FATAL", "fatal"},
                {"aer_rootport_total_err_cor", NULL, "below correctable"},
                {"aer_rootport_total_err_nonfatal", NULL, "below nonfatal"},
                {"aer_rootport_total_err_fatal", NULL, "below fatal"},
        };
        WorkerCheck check = {.device = *address, .check = "aer", .result = CHECK_SKIPPED};
        _cleanup_close_ int fd = -EBADF;
        uint64_t inode;
        size_t used = 0;

        fd = open_device(address, O_RDONLY, &inode);
        if (fd < 0)
                return false;
        for (size_t i = 0; i < ELEMENTSOF(counters) && used < sizeof(check.after); i++) {
                unsigned long long count;

                if (read_error_count(fd, counters[i].name, counters[i].sum, &count))
                        used += (size_t) snprintf(check.after + used, sizeof(check.after) - used,
                                                  "%s%s %llu", used > 0 ? ", " : "", counters[i].text,
                                                  count);
        }
        *ret = check;
        return used > 0;
}

typedef struct AddressList {
        PciAddress *addresses;
        size_t n, n_allocated;
} AddressList;

static void address_list_done(AddressList *list)
{
        free(list->addresses);
}

static int add_address(AddressList *list, const PciAddress *address)
{
        if (list->n == list->n_allocated) {
                size_t n = list->n_allocated ? list->n_allocated * 2 : 64;
                PciAddress *addresses = reallocarray(list->addresses, n, sizeof(PciAddress));

                if (!addresses)
                        return -ENOMEM;
                list->addresses = addresses;
                list->n_allocated = n;
        }
        list->addresses[list->n++] = *address;
        return 0;
}

static int list_addresses(AddressList *list)
{
        _cleanup_(cleanup_closedir) DIR *dir = opendir(PCI_DEVICES);
        int r = 0;

        /* A machine without PCI is no failure. */
        if (!dir)
                return errno == ENOENT ? 0 : -errno;

        while (r >= 0) {
                PciAddress address;
                struct dirent *entry;

                errno = 0;
                entry = readdir(dir);
                if (!entry)
                        return -errno;
                if (pci_address_parse(entry->d_name, &address) >= 0)
                        r = add_address(list, &address);
        }
        return r;
}

static int compare_addresses(const void *a, const void *b)
{
        uint64_t x = pci_address_key(a), y = pci_address_key(b);

        return x < y ? -1 : x > y;
}

int sysfs_for_each_device(int (*callback)(void *userdata, const PciAddress *address), void *userdata)
{
        _cleanup_(address_list_done) AddressList list = {};
        int r = list_addresses(&list);

        if (r >= 0 && list.n > 0)
                qsort(list.addresses, list.n, sizeof(PciAddress), compare_addresses);
        for (size_t i = 0; i < list.n && r >= 0; i++)
                r = callback(userdata, &list.addresses[i]);
        return r;
}

int sysfs_pin(const PciAddress *address, uint64_t inode)
{
        _cleanup_close_ int fd = open_this(address, inode);

        if (fd < 0)
                return fd;
        if (!descriptor_leaves_room(fd))
                return -EMFILE;
        return steal_fd(fd);
}
