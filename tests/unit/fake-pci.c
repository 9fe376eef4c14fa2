/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "fake-pci.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "shared/cleanup.h"

#define CONFIG_SIZE 256U
#define EXP_OFFSET  0x40U

typedef char Path[256];

static void device_path(const FakePci *pci, const char *address, const char *name, Path path)
{
        (void) snprintf(path, sizeof(Path), "%s/devices/%s/%s", pci->root, address, name);
}

static void make_directory(const char *path)
{
        ck_assert_msg(mkdir(path, 0755) == 0 || errno == EEXIST, "%s", path);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        (void) st;
        (void) type;
        (void) ftw;
        return remove(path);
}

void fake_pci_begin(FakePci *pci)
{
        static const char *const directories[] = {"tree", "drivers", "slots", "devices"};
        Path path;

        (void) strcpy(pci->root, "/tmp/fake-pci-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(pci->root));
        for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
                (void) snprintf(path, sizeof(path), "%s/%s", pci->root, directories[i]);
                make_directory(path);
        }
        pci->devices_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ck_assert_int_ge(pci->devices_fd, 0);
}

void fake_pci_end(FakePci *pci)
{
        (void) close(pci->devices_fd);
        ck_assert_int_eq(nftw(pci->root, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void write_file(const char *path, const char *text)
{
        FILE *file = fopen(path, "w");

        ck_assert_msg(file, "%s", path);
        ck_assert_int_ge(fputs(text, file), 0);
        ck_assert_int_eq(fclose(file), 0);
}

void fake_attribute_set(const FakePci *pci, const char *address, const char *name, const char *text)
{
        Path path;

        device_path(pci, address, name, path);
        write_file(path, text);
}

void fake_directory_add(const FakePci *pci, const char *address, const char *name)
{
        Path path;

        device_path(pci, address, name, path);
        make_directory(path);
}

void fake_driver_add(const FakePci *pci, const char *driver)
{
        Path path;

        (void) snprintf(path, sizeof(path), "%s/drivers/%s", pci->root, driver);
        make_directory(path);
        (void) snprintf(path, sizeof(path), "%s/drivers/%s/bind", pci->root, driver);
        write_file(path, "");
        (void) snprintf(path, sizeof(path), "%s/drivers/%s/unbind", pci->root, driver);
        write_file(path, "");
}

void fake_driver_file_add(const FakePci *pci, const char *driver, const char *name)
{
        Path path;

        (void) snprintf(path, sizeof(path), "%s/drivers/%s/%s", pci->root, driver, name);
        write_file(path, "");
}

void fake_slot_add(const FakePci *pci, const char *slot, const char *address)
{
        Path path;

        (void) snprintf(path, sizeof(path), "%s/slots/%s", pci->root, slot);
        make_directory(path);
        (void) snprintf(path, sizeof(path), "%s/slots/%s/address", pci->root, slot);
        write_file(path, address);
        (void) snprintf(path, sizeof(path), "%s/slots/%s/power", pci->root, slot);
        write_file(path, "1\n");
}

void fake_slot_switch(const FakePci *pci, const char *slot, bool on)
{
        Path path;

        (void) snprintf(path, sizeof(path), "%s/slots/%s/power", pci->root, slot);
        write_file(path, on ? "1\n" : "0\n");
}

void fake_attribute_remove(const FakePci *pci, const char *address, const char *name)
{
        Path path;

        device_path(pci, address, name, path);
        ck_assert_int_eq(remove(path), 0);
}

const char *fake_attribute_get(const FakePci *pci, const char *address, const char *name)
{
        static char text[4096];
        FILE *file;
        Path path;

        device_path(pci, address, name, path);
        file = fopen(path, "r");
        ck_assert_ptr_nonnull(file);
        text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
        (void) fclose(file);
        return text;
}

void fake_link_set(const FakePci *pci, const char *address, const char *name, const char *target)
{
        Path path, to;

        device_path(pci, address, name, path);
        (void) unlink(path);
        if (!target)
                return;
        if (strcmp(name, "driver") == 0) {
                fake_driver_add(pci, target);
                (void) snprintf(to, sizeof(to), "%s/drivers/%s", pci->root, target);
        } else {
                (void) snprintf(to, sizeof(to), "../%s", target);
        }
        ck_assert_int_eq(symlink(to, path), 0);
}

void fake_config_set(const FakePci *pci, const char *address, size_t offset, const void *bytes, size_t size)
{
        _cleanup_close_ int fd = -EBADF;
        Path path;

        device_path(pci, address, "config", path);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(pwrite(fd, bytes, size, (off_t) offset), (ssize_t) size);
}

void fake_config_set16(const FakePci *pci, const char *address, size_t offset, uint16_t value)
{
        const uint8_t bytes[] = {(uint8_t) value, (uint8_t) (value >> 8)};

        fake_config_set(pci, address, offset, bytes, sizeof(bytes));
}

void fake_config_fill(const FakePci *pci, const char *address, uint8_t byte)
{
        uint8_t bytes[CONFIG_SIZE];

        memset(bytes, byte, sizeof(bytes));
        fake_config_set(pci, address, 0, bytes, sizeof(bytes));
}

static void add_express(const FakePci *pci, const char *address, unsigned type)
{
        const uint8_t header[] = {PCI_CAP_ID_EXP, 0, (uint8_t) (type << 4 | 2), 0};

        fake_config_set16(pci, address, PCI_STATUS, PCI_STATUS_CAP_LIST);
        fake_config_set(pci, address, PCI_CAPABILITY_LIST, &(uint8_t){EXP_OFFSET}, 1);
        fake_config_set(pci, address, EXP_OFFSET, header, sizeof(header));
        fake_config_set16(pci, address, EXP_OFFSET + PCI_EXP_LNKCAP, 4 << 4 | 3);
        fake_config_set16(pci, address, EXP_OFFSET + PCI_EXP_LNKSTA, 4 << 4 | 3);
}

/* As in sysfs the directory of a function is in that of the bridge above it, if there is one. */
static void add_directory(const FakePci *pci, const char *address, const char *bridge)
{
        Path path, target = "../tree";
        ssize_t n;

        if (bridge) {
                (void) snprintf(path, sizeof(path), "%s/devices/%s", pci->root, bridge);
                n = readlink(path, target, sizeof(target) - 1);
                ck_assert_int_gt(n, 0);
                target[n] = '\0';
        }
        (void) snprintf(target + strlen(target), sizeof(target) - strlen(target), "/%s", address);
        (void) snprintf(path, sizeof(path), "%s/%s", pci->root, target + strlen("../"));
        ck_assert_int_eq(mkdir(path, 0755), 0);
        (void) snprintf(path, sizeof(path), "%s/devices/%s", pci->root, address);
        ck_assert_int_eq(symlink(target, path), 0);
        fake_config_fill(pci, address, 0);
        fake_config_set16(pci, address, PCI_VENDOR_ID, 0x8086);
        fake_attribute_set(pci, address, "vendor", "0x8086\n");
        fake_attribute_set(pci, address, "enable", "0\n");
        fake_attribute_set(pci, address, "driver_override", "(null)\n");
        fake_attribute_set(pci, address, "remove", "");
        fake_attribute_set(pci, address, "rescan", "");
}

void fake_device_add(const FakePci *pci, const char *address)
{
        fake_device_add_below(pci, address, NULL);
}

void fake_device_add_below(const FakePci *pci, const char *address, const char *bridge)
{
        add_directory(pci, address, bridge);
        add_express(pci, address, PCI_EXP_TYPE_ENDPOINT);
        fake_config_set16(pci, address, PCI_DEVICE_ID, 0x10d3);
        fake_config_set16(pci, address, PCI_COMMAND, 0x0406);
        fake_config_set16(pci, address, PCI_CLASS_DEVICE, 0x0200);
        fake_config_set16(pci, address, PCI_BASE_ADDRESS_0 + 2, 0xfebc);
        fake_attribute_set(pci, address, "device", "0x10d3\n");
        fake_attribute_set(pci, address, "reset", "");
        fake_attribute_set(pci, address, "reset_method", "flr bus\n");
        /* Last: whoever looks meanwhile takes a device with a class for one that is all there. */
        fake_attribute_set(pci, address, "class", "0x020000\n");
}

void fake_bridge_add(const FakePci *pci, const char *address)
{
        add_directory(pci, address, NULL);
        add_express(pci, address, PCI_EXP_TYPE_ROOT_PORT);
        fake_config_set16(pci, address, PCI_DEVICE_ID, 0x3420);
        fake_config_set16(pci, address, PCI_CLASS_DEVICE, 0x0604);
        fake_config_set(pci, address, PCI_HEADER_TYPE, &(uint8_t){PCI_HEADER_TYPE_BRIDGE}, 1);
        fake_attribute_set(pci, address, "device", "0x3420\n");
        fake_attribute_set(pci, address, "class", "0x060400\n");
        fake_attribute_set(pci, address, "reset_subordinate", "");
        fake_directory_add(pci, address, "power");
        fake_attribute_set(pci, address, "power/control", "auto\n");
        fake_directory_add(pci, address, "pci_bus");
        fake_directory_add(pci, address, "pci_bus/0000:01");
        fake_link_set(pci, address, "driver", "pcieport");
}

/* With a device those below it have gone. */
static void remove_dangling_links(const FakePci *pci)
{
        DIR *dir = fdopendir(openat(pci->devices_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        const struct dirent *entry;

        ck_assert_ptr_nonnull(dir);
        while ((entry = readdir(dir)))
                if (faccessat(dirfd(dir), entry->d_name, F_OK, 0) < 0)
                        ck_assert_int_eq(unlinkat(dirfd(dir), entry->d_name, 0), 0);
        (void) closedir(dir);
}

void fake_device_remove(const FakePci *pci, const char *address)
{
        char directory[PATH_MAX];
        Path path;

        (void) snprintf(path, sizeof(path), "%s/devices/%s", pci->root, address);
        ck_assert_ptr_nonnull(realpath(path, directory));
        ck_assert_int_eq(nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
        remove_dangling_links(pci);
}

bool fake_device_exists(const FakePci *pci, const char *address)
{
        Path path;

        device_path(pci, address, "", path);
        return access(path, F_OK) == 0;
}

WorkerMember fake_device_member(const FakePci *pci, const char *address)
{
        WorkerMember member = {};
        struct stat st;
        ssize_t n;
        char driver[256];
        Path path;

        ck_assert_int_eq(pci_address_parse(address, &member.address), 0);
        device_path(pci, address, "", path);
        ck_assert_int_eq(stat(path, &st), 0);
        member.inode = st.st_ino;
        member.vendor = (uint16_t) strtoul(fake_attribute_get(pci, address, "vendor"), NULL, 16);
        member.device = (uint16_t) strtoul(fake_attribute_get(pci, address, "device"), NULL, 16);
        member.class = (uint32_t) strtoul(fake_attribute_get(pci, address, "class"), NULL, 16);

        device_path(pci, address, "driver", path);
        n = readlink(path, driver, sizeof(driver) - 1);
        if (n >= 0) {
                driver[n] = '\0';
                (void) snprintf(member.driver, sizeof(member.driver), "%s", strrchr(driver, '/') + 1);
        }
        return member;
}
