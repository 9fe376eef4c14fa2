/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The part of the kernel model that changes the tree: drivers bound and unbound, devices removed and found
 * again, and the reset of all that is below a bridge.
 *
 * A device that is removed is copied aside and its directory deleted, so that whoever holds it open finds it
 * gone; one that is found is copied back, so that it has a new inode number as a new device has. No uevents
 * come of that: a test that wants them sends them.
 */

#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel-model-internal.h"
#include "kernel-model.h"
#include "shared/cleanup.h"

#define DEVICES "/sys/bus/pci/devices"
#define PARKED  KERNEL_MODEL_DIR "/parked"

typedef char Path[PATH_MAX];

/* What the kernel would have done by itself, without the hooks that watch the worker. */
static int run(const char *const argv[])
{
        static char *const environment[] = {(char *) "PATH=/usr/bin:/bin", NULL};
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                (void) execvpe(argv[0], (char *const *) argv, environment);
                _exit(127);
        }
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static bool is_address(const char *name)
{
        unsigned domain, bus, device, function;
        int n = 0;

        return sscanf(name, "%4x:%2x:%2x.%1x%n", &domain, &bus, &device, &function, &n) == 4 &&
               name[n] == '\0' && n == sizeof("0000:00:00.0") - 1;
}

/* The device at an address, as an attribute of it would be seen. False if there is none. */
static bool find_device(const char *address, ModelAttribute *a)
{
        Path link;
        struct stat st;

        *a = (ModelAttribute){.name = ""};
        (void) snprintf(link, sizeof(link), DEVICES "/%s", address);
        if (!realpath(link, a->path) || stat(a->path, &st) < 0)
                return false;
        a->address = strrchr(a->path, '/') + 1;
        a->inode = st.st_ino;
        return true;
}

/* ---- drivers ---- */

static bool bound_driver(const ModelAttribute *device, Path driver)
{
        Path link, folder;
        ssize_t n;

        (void) snprintf(link, sizeof(link), "%.*s/driver", (int) sizeof(link) - 16, device->path);
        n = readlink(link, folder, sizeof(folder) - 1);
        if (n < 0)
                return false;
        folder[n] = '\0';
        (void) snprintf(driver, sizeof(Path), "%s", strrchr(folder, '/') + 1);
        return true;
}

static void unlink_driver(const ModelAttribute *device)
{
        Path driver, link;

        if (!bound_driver(device, driver))
                return;
        (void) snprintf(link, sizeof(link), "/sys/bus/pci/drivers/%.200s/%s", driver, device->address);
        (void) unlink(link);
        (void) snprintf(link, sizeof(link), "%.*s/driver", (int) sizeof(link) - 16, device->path);
        (void) unlink(link);
}

static int link_driver(const ModelAttribute *device, const char *driver)
{
        Path folder, link;

        (void) snprintf(folder, sizeof(folder), "/sys/bus/pci/drivers/%.200s", driver);
        if (access(folder, F_OK) < 0)
                return -ENODEV;
        (void) snprintf(link, sizeof(link), "%.*s/driver", (int) sizeof(link) - 16, device->path);
        if (symlink(folder, link) < 0)
                return errno == EEXIST ? -EBUSY : -errno;
        (void) snprintf(link, sizeof(link), "/sys/bus/pci/drivers/%.200s/%s", driver, device->address);
        (void) symlink(device->path, link);
        return 0;
}

static void read_override(const ModelAttribute *device, char text[static 256])
{
        _cleanup_close_ int fd = -EBADF;
        Path path;
        ssize_t n;

        (void) snprintf(path, sizeof(path), "%.3000s/driver_override", device->path);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? 0 : read(fd, text, 255);
        text[n < 0 ? 0 : n] = '\0';
        text[strcspn(text, "\n")] = '\0';
}

/* It keeps drivers off, or puts back what was there before that. */
static bool is_quarantine(const ModelAttribute *device, const char *text)
{
        static const char prefix[] = "pciresetd-quarantine:";
        char old[256];

        read_override(device, old);
        return strncmp(text, prefix, strlen(prefix)) == 0 || strncmp(old, prefix, strlen(prefix)) == 0;
}

/* pci_match_device(): while an override is set, only the driver of that name matches. */
static bool is_kept_off(const ModelAttribute *device, const char *driver)
{
        char text[256];

        read_override(device, text);
        return text[0] != '\0' && strcmp(text, "(null)") != 0 && strcmp(text, driver) != 0;
}

/* unbind_store() and bind_store(): `a` is the file in the driver's folder, `address` was written. */
static int write_driver(const ModelAttribute *a, const char *address)
{
        bool is_unbind = strcmp(a->name, "unbind") == 0;
        const char *driver = a->address;
        ModelAttribute device;
        Path bound;
        int r;

        if (!is_address(address) || !find_device(address, &device))
                return -ENODEV;
        r = -model_knob_number(&device, is_unbind ? "unbind-errno" : "bind-errno");
        if (r == 0 && is_unbind) {
                if (!bound_driver(&device, bound) || strcmp(bound, driver) != 0)
                        r = -ENODEV;
                else
                        unlink_driver(&device);
        } else if (r == 0) {
                r = is_kept_off(&device, driver) ? -ENODEV : link_driver(&device, driver);
        }
        model_log(&device, a->name, "%s %d", driver, -r);
        return r;
}

/* ---- devices ---- */

static void park(const char *address, const char *method)
{
        ModelAttribute device;
        Path link, aside;

        if (!find_device(address, &device))
                return;
        unlink_driver(&device);
        model_log(&device, "removed", "%s", method);
        (void) mkdir(PARKED, 0755);
        (void) snprintf(aside, sizeof(aside), PARKED "/%s", address);
        (void) run((const char *const[]){"cp", "-a", device.path, aside, NULL});
        (void) snprintf(link, sizeof(link), PARKED "/%s.where", address);
        (void) unlink(link);
        (void) symlink(device.path, link);
        (void) snprintf(link, sizeof(link), DEVICES "/%s", address);
        (void) unlink(link);
        (void) run((const char *const[]){"rm", "-rf", device.path, NULL});
}

/* With all that is below it, deepest first. */
static void remove_below(const char *path, const char *method)
{
        DIR *directory = opendir(path);

        if (!directory)
                return;
        for (struct dirent *entry; (entry = readdir(directory));)
                if (entry->d_type == DT_DIR && is_address(entry->d_name)) {
                        Path below;

                        (void) snprintf(below, sizeof(below), "%.3000s/%s", path, entry->d_name);
                        remove_below(below, method);
                        park(entry->d_name, method);
                }
        (void) closedir(directory);
}

static void set_attribute(const ModelAttribute *device, const char *name, const char *text)
{
        Path path;
        int fd;

        (void) snprintf(path, sizeof(path), "%.3000s/%s", device->path, name);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd >= 0 && ftruncate(fd, 0) == 0)
                (void) dprintf(fd, "%s", text);
        (void) close(fd);
}

/* As the kernel finds a device: nothing is set on it, and whichever driver matches is bound. */
static void find_again(const char *address, const char *method)
{
        ModelAttribute device;
        Path aside, link, where;
        char text[256];
        ssize_t n;

        (void) snprintf(link, sizeof(link), PARKED "/%s.where", address);
        n = readlink(link, where, sizeof(where) - 1);
        if (n < 0)
                return;
        where[n] = '\0';
        (void) snprintf(aside, sizeof(aside), PARKED "/%s", address);
        (void) run((const char *const[]){"cp", "-a", aside, where, NULL});
        (void) run((const char *const[]){"rm", "-rf", aside, link, NULL});
        (void) snprintf(link, sizeof(link), DEVICES "/%s", address);
        (void) symlink(where, link);
        if (!find_device(address, &device))
                return;

        set_attribute(&device, "driver_override", "(null)\n");
        set_attribute(&device, "enable", "0\n");
        if (model_knob_text(&device, "supported", text, sizeof(text) - 1))
                set_attribute(&device, "reset_method", strcat(text, "\n"));
        model_apply_after(&device, method);
        if (model_knob_text(&device, "autoprobe", text, sizeof(text)) && text[0] != '\0')
                (void) link_driver(&device, text);
        model_log(&device, "found", "%s", method);
}

/* All that was removed below a folder and is not lost, highest first: sorted by the length of its path. */
static void find_all(const char *below, const char *method)
{
        struct dirent **entries;
        int n = scandir(PARKED, &entries, NULL, alphasort);

        for (int i = 0; i < n; i++) {
                ModelAttribute parked = {.name = "", .address = entries[i]->d_name};
                Path link, where;
                ssize_t length;

                if (is_address(entries[i]->d_name) && model_knob_number(&parked, "lost") == 0 &&
                    model_knob_countdown(&parked, "late", 1) == 0) {
                        (void) snprintf(link, sizeof(link), PARKED "/%.200s.where", entries[i]->d_name);
                        length = readlink(link, where, sizeof(where) - 1);
                        where[length < 0 ? 0 : length] = '\0';
                        if (strncmp(where, below, strlen(below)) == 0)
                                find_again(entries[i]->d_name, method);
                }
                free(entries[i]);
        }
        if (n >= 0)
                free(entries);
}

static int write_remove(const ModelAttribute *a)
{
        Path path;

        model_log(a, "removing", "%s", "");
        model_wait_at_gate(a);
        (void) snprintf(path, sizeof(path), "%.4000s", a->path);
        remove_below(path, "rescan");
        park(a->address, "rescan");
        return 0;
}

static int write_rescan(const ModelAttribute *a)
{
        int r = -model_knob_number(a, "rescan-errno");

        model_log(a, "rescan", "%d", -r);
        model_wait_at_gate(a);
        if (r == 0)
                find_all(a->path, "rescan");
        return r;
}

static int store(const ModelAttribute *a, const char *text)
{
        Path path;
        int fd, r;

        (void) snprintf(path, sizeof(path), "%.3000s/%s", a->path, a->name);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = ftruncate(fd, 0) == 0 && dprintf(fd, "%s\n", text) > 0 ? 0 : -EIO;
        (void) close(fd);
        return r;
}

/* The bridge whose bus a slot is: the knob `bridge` of the slot. */
static int write_slot_power(const ModelAttribute *a, const char *text)
{
        bool is_on = text[0] == '1';
        ModelAttribute bridge;
        char address[64];
        int r = -model_knob_number(a, is_on ? "on-errno" : "off-errno");

        /* The kernel takes anything else for a 0; here it is a mistake. */
        if (strcmp(text, "0") != 0 && strcmp(text, "1") != 0) {
                model_log(a, "bad", "%s", text);
                return -EINVAL;
        }
        model_log(a, "power", "%s %d", text, -r);
        if (r < 0)
                return r;
        if (!model_knob_text(a, "bridge", address, sizeof(address)) || !find_device(address, &bridge))
                return -ENODEV;
        if (is_on) {
                model_wait_at_gate(a);
                find_all(bridge.path, "slot");
        } else {
                remove_below(bridge.path, "slot");
        }
        return store(a, text);
}

static void apply_after_below(const char *path)
{
        DIR *directory = opendir(path);

        if (!directory)
                return;
        for (struct dirent *entry; (entry = readdir(directory));)
                if (entry->d_type == DT_DIR && is_address(entry->d_name)) {
                        ModelAttribute device;

                        if (!find_device(entry->d_name, &device))
                                continue;
                        apply_after_below(device.path);
                        model_apply_after(&device, "subordinate");
                }
        (void) closedir(directory);
}

/* pci_reset_bridge_secondary_bus() by way of reset_subordinate_store(). */
static int write_subordinate(const ModelAttribute *a)
{
        int r = -model_knob_countdown(a, "again", EAGAIN);

        if (r == 0)
                r = -model_knob_number(a, "errno.subordinate");
        model_log(a, "begin", "%s", "");
        if (r == 0) {
                model_wait_at_gate(a);
                apply_after_below(a->path);
        }
        /* The hotplug driver of the port takes it for an unplugging. */
        if (model_knob_number(a, "flaps") != 0) {
                remove_below(a->path, "subordinate");
                find_all(a->path, "subordinate");
        }
        model_log(a, "method", "subordinate %d", -r);
        model_log(a, "end", "%d", -r);
        return r;
}

/* The text of an attribute; false if there is none. */
static bool get_attribute(const ModelAttribute *device, const char *name, char *text, size_t size)
{
        Path path;
        FILE *file;
        bool found;

        (void) snprintf(path, sizeof(path), "%.3000s/%s", device->path, name);
        file = fopen(path, "re");
        found = file && fgets(text, (int) size, file);
        if (file)
                (void) fclose(file);
        return found;
}

/* EEH: whatever is written thaws the whole endpoint, if it is frozen (eeh_pe_state_store). */
static int write_endpoint(const ModelAttribute *a)
{
        char endpoint[32], other[32], state[64];
        unsigned firmware, kernel;
        struct dirent **entries;
        int n;

        if (!get_attribute(a, "eeh_pe_config_addr", endpoint, sizeof(endpoint)) ||
            !get_attribute(a, a->name, state, sizeof(state)))
                return -ENODEV;
        if (sscanf(state, "%x %x", &firmware, &kernel) != 2 || !(kernel & 1))
                return 0;
        n = scandir(DEVICES, &entries, NULL, alphasort);
        for (int i = 0; i < n; i++) {
                ModelAttribute device;

                if (is_address(entries[i]->d_name) && find_device(entries[i]->d_name, &device) &&
                    get_attribute(&device, "eeh_pe_config_addr", other, sizeof(other)) &&
                    strcmp(endpoint, other) == 0)
                        set_attribute(&device, "eeh_pe_state", "0x00000078 0x00000000\n");
                free(entries[i]);
        }
        if (n >= 0)
                free(entries);
        model_log(a, "method", "thaw 0");
        return 0;
}

static bool is_below(const ModelAttribute *a, const char *folder)
{
        return strncmp(a->path, folder, strlen(folder)) == 0;
}

bool kernel_write_tree(const ModelAttribute *a, const char *text, int *ret)
{
        if (is_below(a, "/sys/bus/pci/drivers/") &&
            (strcmp(a->name, "bind") == 0 || strcmp(a->name, "unbind") == 0)) {
                *ret = write_driver(a, text);
        } else if (is_below(a, "/sys/bus/pci/slots/") && strcmp(a->name, "power") == 0) {
                *ret = write_slot_power(a, text);
        } else if (strcmp(a->name, "driver_override") == 0) {
                model_log(a, is_quarantine(a, text) ? "keep-off" : "override", "%s", text);
                /* As driver_override_show() has it. */
                *ret = store(a, text[0] != '\0' ? text : "(null)");
        } else if (strcmp(a->name, "control") == 0 && strcmp(a->address, "power") == 0) {
                *ret = store(a, text);
        } else if (strcmp(text, "1") != 0) {
                return false;
        } else if (strcmp(a->name, "reset_subordinate") == 0) {
                *ret = write_subordinate(a);
        } else if (strcmp(a->name, "eeh_pe_state") == 0) {
                *ret = write_endpoint(a);
        } else if (strcmp(a->name, "remove") == 0) {
                *ret = write_remove(a);
        } else if (strcmp(a->name, "rescan") == 0) {
                *ret = write_rescan(a);
        } else {
                return false;
        }
        return true;
}
