/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The tree of devices. umockdev builds it from its own text format, in which trees of real machines can be
 * recorded too. Its folder is then mounted over /sys, which is why umockdev's own preload library is not
 * needed: with a mount every access goes there, of whatever program and however it is made, below a
 * directory fd or not. tmpfs never gives an inode number to a second file, as kernfs does not.
 */

#include "sysfs.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <umockdev.h>

#include "kernel-model.h"
#include "model.h"
#include "sandbox.h"
#include "shared/cleanup.h"

#define ADDRESS_LENGTH 12U /* of the addresses that tests use */

static UMockdevTestbed *testbed;

/* What was not given is a network card, or a root port. */
static MockDevice with_defaults(const MockDevice *given)
{
        MockDevice d = *given;

        d.vendor = d.vendor ? d.vendor : 0x8086;
        d.device = d.device ? d.device : d.is_bridge ? 0x3420 : 0x10d3;
        d.subsystem_vendor = d.subsystem_vendor ? d.subsystem_vendor : d.vendor;
        d.subsystem_device = d.subsystem_device ? d.subsystem_device : d.device;
        d.class = d.class ? d.class : d.is_bridge ? 0x060400 : 0x020000;
        d.command = d.command ? d.command : 0x06;
        d.supported = d.supported ? d.supported : d.methods;
        return d;
}

void sysfs_init(void)
{
        _cleanup_free_ char *root = NULL, *sys = NULL;

        /* libudev, which umockdev uses: /sys is not going to be a sysfs. */
        ck_assert_int_eq(setenv("SYSTEMD_DEVICE_VERIFY_SYSFS", "0", 1), 0);
        /* The testbed is a folder in TMPDIR. */
        ck_assert_int_eq(setenv("TMPDIR", "/run/tmp", 1), 0);
        testbed = umockdev_testbed_new();
        ck_assert_ptr_nonnull(testbed);
        root = umockdev_testbed_get_root_dir(testbed);
        sys = textf("%s/sys", root);
        directory_make("%s/bus/pci/devices", sys);
        directory_make("%s/bus/pci/drivers", sys);
        directory_make("%s/bus/pci/slots", sys);
        directory_make("%s/kernel/iommu_groups", sys);
        ck_assert_msg(mount(sys, "/sys", NULL, MS_BIND, NULL) == 0, "/sys: %s", strerror(errno));
        directory_make("%s", KERNEL_MODEL_DIR);
        file_write(KERNEL_MODEL_LOG, "", 0);
}

/* ---- configuration space ---- */

static void put16(uint8_t *config, size_t offset, uint16_t value)
{
        config[offset] = (uint8_t) value;
        config[offset + 1] = (uint8_t) (value >> 8);
}

static void put32(uint8_t *config, size_t offset, uint32_t value)
{
        put16(config, offset, (uint16_t) value);
        put16(config, offset + 2, (uint16_t) (value >> 16));
}

static void put_capabilities(const MockDevice *d, uint8_t *config)
{
        put16(config, 0x06, 0x0010); /* status: there is a list of capabilities */
        config[0x34] = CONFIG_PM_CAP;
        config[CONFIG_PM_CAP] = 0x01;
        config[CONFIG_PM_CAP + 1] = d->conventional ? 0 : CONFIG_PCIE_CAP;
        put16(config, CONFIG_PM_CAP + 2, 0xc803);
        if (d->conventional)
                return;
        config[CONFIG_PCIE_CAP] = 0x10;
        put16(config, CONFIG_PCIE_CAP + 2, d->is_bridge ? 0x0042 : 0x0002); /* root port, endpoint */
        put32(config, CONFIG_PCIE_CAP + 4, 0x10008000U); /* can do FLR */
        put32(config, CONFIG_PCIE_CAP + 12, 0x00100c43U); /* x4, 8 GT/s, reports the link */
        put16(config, CONFIG_PCIE_CAP + 18, 0x2043); /* the link is up at x4, 8 GT/s */
        put32(config, CONFIG_AER_CAP, 0x00020001U);
        put32(config, CONFIG_AER_CAP + 12, 0x00462030U); /* which errors are fatal: the default */
}

static size_t make_config(const MockDevice *d, uint8_t config[static CONFIG_SIZE])
{
        memset(config, 0, CONFIG_SIZE);
        put16(config, 0x00, d->vendor);
        put16(config, 0x02, d->device);
        put16(config, CONFIG_COMMAND, d->command);
        config[0x08] = d->revision;
        put32(config, 0x08, d->class << 8 | d->revision);
        config[0x0e] = (uint8_t) ((d->is_bridge ? 1 : 0) | (d->multifunction ? 0x80 : 0));
        put32(config, CONFIG_BAR0, 0xfe800000U);
        if (!d->is_bridge) {
                put32(config, CONFIG_BAR0 + 4, 0xfe900000U);
                put16(config, 0x2c, d->subsystem_vendor);
                put16(config, 0x2e, d->subsystem_device);
        }
        put_capabilities(d, config);
        if (d->physfn) {
                /* Virtual functions have no ids and no BARs of their own (SR-IOV 3.4.1). */
                put32(config, 0x00, UINT32_MAX);
                put32(config, CONFIG_BAR0, 0);
                put32(config, CONFIG_BAR0 + 4, 0);
        }
        return d->conventional ? 256 : CONFIG_SIZE;
}

void sysfs_config_read(const char *address, uint8_t config[static CONFIG_SIZE], size_t *ret_size)
{
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        ssize_t n;

        path = textf("%s/config", sysfs_path(address));
        fd = open(path, O_RDONLY | O_CLOEXEC);
        ck_assert_int_ge(fd, 0);
        n = read(fd, config, CONFIG_SIZE);
        ck_assert_int_gt(n, 0);
        if (ret_size)
                *ret_size = (size_t) n;
}

void sysfs_config_write(const char *address, size_t offset, const void *data, size_t size)
{
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;

        path = textf("%s/config", sysfs_path(address));
        fd = open(path, O_WRONLY | O_CLOEXEC);
        ck_assert_int_eq(pwrite(fd, data, size, (off_t) offset), (ssize_t) size);
}

/* ---- the tree ---- */

const char *sysfs_path(const char *address)
{
        static char *path;
        _cleanup_free_ char *link = NULL;

        free(path);
        link = textf("/sys/bus/pci/devices/%s", address);
        path = realpath(link, NULL);
        ck_assert_msg(path, "there is no device %s", address);
        return path;
}

uint64_t sysfs_inode(const char *address)
{
        struct stat st;

        ck_assert_int_eq(stat(sysfs_path(address), &st), 0);
        return st.st_ino;
}

void sysfs_set(const char *address, const char *attribute, const char *format, ...)
{
        _cleanup_free_ char *path = NULL, *text = NULL;
        va_list arguments;
        int n;

        va_start(arguments, format);
        n = vasprintf(&text, format, arguments);
        va_end(arguments);
        ck_assert_int_ge(n, 0);
        path = textf("%s/%s", sysfs_path(address), attribute);
        file_print(path, "%s%s", text, n > 0 ? "\n" : "");
}

char *sysfs_get(const char *address, const char *attribute)
{
        _cleanup_free_ char *path = NULL;
        char *text;

        path = textf("%s/%s", sysfs_path(address), attribute);
        text = file_read(path, NULL);
        if (text)
                text[strcspn(text, "\n")] = '\0';
        return text;
}

static void link_make(const char *target, const char *link)
{
        ck_assert_msg(symlink(target, link) == 0 || errno == EEXIST, "%s: %s", link, strerror(errno));
}

static char *directory_of(const MockDevice *d)
{
        char *path;

        if (d->parent)
                path = textf("%s/%s", sysfs_path(d->parent), d->address);
        else
                path = textf("/sys/devices/pci%.7s/%s", d->address, d->address);
        return path;
}

/* The device in umockdev's format: path, properties, attributes, binary attribute. */
static char *describe(const MockDevice *d, const char *path)
{
        uint8_t config[CONFIG_SIZE];
        size_t config_size = make_config(d, config), size;
        char *text;
        FILE *out = open_memstream(&text, &size);

        (void) fprintf(out, "P: %s\n", path + strlen("/sys"));
        (void) fprintf(out, "E: SUBSYSTEM=pci\nE: PCI_CLASS=%X\nE: PCI_ID=%04X:%04X\n", d->class, d->vendor,
                       d->device);
        (void) fprintf(out, "E: PCI_SUBSYS_ID=%04X:%04X\nE: PCI_SLOT_NAME=%s\n", d->subsystem_vendor,
                       d->subsystem_device, d->address);
        (void) fprintf(
                out, "A: vendor=0x%04x\\n\nA: device=0x%04x\\n\nA: class=0x%06x\\n\nA: revision=0x%02x\\n\n",
                d->vendor, d->device, d->class, d->revision);
        (void) fprintf(out, "A: subsystem_vendor=0x%04x\\n\nA: subsystem_device=0x%04x\\n\n",
                       d->subsystem_vendor, d->subsystem_device);
        (void) fprintf(out, "A: modalias=pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X\\n\n", d->vendor,
                       d->device, d->subsystem_vendor, d->subsystem_device, d->class >> 16,
                       d->class >> 8 & 0xff, d->class & 0xff);
        (void) fprintf(out, "A: enable=%u\\n\nA: driver_override=(null)\\n\nA: power_state=D0\\n\n",
                       d->enable);
        (void) fprintf(out, "A: resource=0x00000000fe800000 0x00000000fe81ffff 0x0000000000040200\\n\n");
        (void) fprintf(out, "A: power/control=auto\\n\nA: power/runtime_status=active\\n\n");
        if (!d->conventional) {
                (void) fprintf(out, "A: current_link_speed=8.0 GT/s PCIe\\n\nA: current_link_width=4\\n\n");
                (void) fprintf(out, "A: max_link_speed=8.0 GT/s PCIe\\n\nA: max_link_width=4\\n\n");
                (void) fprintf(out, "A: aer_dev_fatal=Undefined 0\\nTOTAL_ERR_FATAL 0\\n\n");
                (void) fprintf(out, "A: aer_dev_nonfatal=Undefined 0\\nTOTAL_ERR_NONFATAL 0\\n\n");
                (void) fprintf(out, "A: aer_dev_correctable=RxErr 0\\nTOTAL_ERR_COR 0\\n\n");
        }
        if (d->removable)
                (void) fprintf(out, "A: remove=\nA: rescan=\n");
        if (d->subordinate)
                (void) fprintf(out, "A: reset_subordinate=\n");
        if (d->is_bridge)
                (void) fprintf(out, "A: secondary_bus_number=1\\n\nA: subordinate_bus_number=1\\n\n");
        if (d->methods)
                (void) fprintf(out, "A: reset=\nA: reset_method=%s%s\n", d->methods,
                               *d->methods ? "\\n" : "");
        (void) fprintf(out, "H: config=");
        for (size_t i = 0; i < config_size; i++)
                (void) fprintf(out, "%02X", config[i]);
        (void) fprintf(out, "\n");
        ck_assert_int_eq(fclose(out), 0);
        return text;
}

static void add_iommu_group(const char *address, const char *path, const char *group)
{
        _cleanup_free_ char *target = NULL, *link = NULL, *member = NULL;

        directory_make("/sys/kernel/iommu_groups/%s/devices", group);
        target = textf("/sys/kernel/iommu_groups/%s", group);
        link = textf("%s/iommu_group", path);
        member = textf("%s/devices/%s", target, address);
        link_make(target, link);
        link_make(path, member);
}

static void add_physical_function(const char *path, const char *physfn)
{
        _cleanup_free_ char *link = NULL, *target = strdup(sysfs_path(physfn));

        link = textf("%s/physfn", path);
        link_make(target, link);
        for (unsigned i = 0;; i++) {
                _cleanup_free_ char *back = NULL;
                struct stat st;

                back = textf("%s/virtfn%u", target, i);
                if (lstat(back, &st) < 0) {
                        link_make(path, back);
                        return;
                }
        }
}

void sysfs_add(const MockDevice *given)
{
        MockDevice d = with_defaults(given);
        _cleanup_free_ char *path = directory_of(&d), *text = describe(&d, path);
        GError *error = NULL;

        if (!d.parent)
                directory_make("/sys/devices/pci%.7s/pci_bus/%.7s", d.address, d.address);
        ck_assert_msg(umockdev_testbed_add_from_string(testbed, text, &error), "umockdev: %s",
                      error ? error->message : "");
        if (d.parent && !d.physfn)
                directory_make("%s/pci_bus/%.7s", sysfs_path(d.parent), d.address);
        if (d.iommu_group)
                add_iommu_group(d.address, path, d.iommu_group);
        if (d.physfn)
                add_physical_function(path, d.physfn);
        if (d.driver)
                sysfs_bind(d.address, d.driver);
        model_add(d.address, d.supported);
}

/* The names of the devices right below a folder, deepest first: none is left without its parent. */
static void remove_below(const char *path)
{
        DIR *directory = opendir(path);

        ck_assert_ptr_nonnull(directory);
        for (struct dirent *entry; (entry = readdir(directory));)
                if (strlen(entry->d_name) == ADDRESS_LENGTH && entry->d_name[4] == ':' &&
                    entry->d_name[10] == '.' && entry->d_type == DT_DIR)
                        sysfs_remove(entry->d_name);
        (void) closedir(directory);
}

static void remove_virtual_link(const char *path)
{
        _cleanup_free_ char *physfn = NULL, *pf = NULL;

        physfn = textf("%s/physfn", path);
        pf = realpath(physfn, NULL);
        for (unsigned i = 0; pf && i < 256; i++) {
                _cleanup_free_ char *link = NULL, *target = NULL;

                link = textf("%s/virtfn%u", pf, i);
                target = realpath(link, NULL);
                if (target && strcmp(target, path) == 0)
                        (void) unlink(link);
        }
}

void sysfs_remove(const char *address)
{
        _cleanup_free_ char *path = strdup(sysfs_path(address)), *link = NULL, *group = NULL, *member = NULL;

        remove_below(path);
        sysfs_unbind(address);
        remove_virtual_link(path);
        group = textf("%s/iommu_group", path);
        member = textf("%s/devices/%s", group, address);
        (void) unlink(member);
        link = textf("/sys/bus/pci/devices/%s", address);
        ck_assert_int_eq(unlink(link), 0);
        directory_remove(path);
}

void sysfs_driver(const char *driver)
{
        _cleanup_free_ char *bind = NULL, *unbind = NULL;

        directory_make("/sys/bus/pci/drivers/%s", driver);
        bind = textf("/sys/bus/pci/drivers/%s/bind", driver);
        unbind = textf("/sys/bus/pci/drivers/%s/unbind", driver);
        file_write(bind, "", 0);
        file_write(unbind, "", 0);
}

void sysfs_slot(const char *slot, const char *address, const char *bridge)
{
        _cleanup_free_ char *where = NULL, *power = NULL, *knob = NULL;

        directory_make("/sys/bus/pci/slots/%s", slot);
        where = textf("/sys/bus/pci/slots/%s/address", slot);
        power = textf("/sys/bus/pci/slots/%s/power", slot);
        file_print(where, "%s\n", address);
        file_print(power, "1\n");
        directory_make(KERNEL_MODEL_DIR "/%s", slot);
        knob = textf(KERNEL_MODEL_DIR "/%s/bridge", slot);
        file_print(knob, "%s\n", bridge);
        model_knob(slot, "gate", "");
}

void sysfs_hotplug(const char *port)
{
        _cleanup_free_ char *service = textf("%s/%s:pcie004", sysfs_path(port), port),
                            *link = textf("%s/driver", service);

        directory_make("/sys/bus/pci_express/drivers/pciehp");
        directory_make("%s", service);
        link_make("/sys/bus/pci_express/drivers/pciehp", link);
}

void sysfs_bind(const char *address, const char *driver)
{
        _cleanup_free_ char *path = strdup(sysfs_path(address)), *folder = NULL, *link = NULL, *back = NULL;

        sysfs_driver(driver);
        folder = textf("/sys/bus/pci/drivers/%s", driver);
        link = textf("%s/driver", path);
        back = textf("%s/%s", folder, address);
        link_make(folder, link);
        link_make(path, back);
}

void sysfs_unbind(const char *address)
{
        _cleanup_free_ char *link = NULL, *folder = NULL, *back = NULL;

        link = textf("%s/driver", sysfs_path(address));
        folder = realpath(link, NULL);
        if (!folder)
                return;
        back = textf("%s/%s", folder, address);
        (void) unlink(back);
        (void) unlink(link);
}
