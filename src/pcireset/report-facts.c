/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Attributes are taken as they are. None of those read here takes a lock that a reset holds, but for
 * `config`, which the caller reads only when no reset runs.
 */

#include "pcireset/report-facts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <limits.h>
#include <pci/header.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "shared/address.h"
#include "shared/utf8.h"

#define DEVICES_PATH "/sys/bus/pci/devices/"
#define SLOTS_PATH   "/sys/bus/pci/slots"
#define DMI_PATH     "/sys/class/dmi/id/"
/* Of a file that is read; none of them has more. */
#define TEXT_MAX 4096U
/* Bridges above each other, and files that one pattern finds. */
#define BRIDGES_MAX 32U
#define FILES_MAX   64U

/* A small file without the newline at its end; empty if it cannot be read. */
static void read_text(const char *path, char text[static TEXT_MAX])
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        ssize_t n = fd < 0 ? 0 : read(fd, text, TEXT_MAX - 1);

        text[n > 0 ? n : 0] = '\0';
        while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
                text[--n] = '\0';
}

/* Adds a text in well-formed UTF-8; an empty one is left out. 0 or -ENOMEM. */
static int add_text(json_object *object, const char *key, char *text)
{
        return *text ? json_add(object, key, json_object_new_string(utf8_sanitize(text))) : 0;
}

static int add_attribute(json_object *object, const char *address, const char *name)
{
        char path[PATH_MAX], text[TEXT_MAX];

        (void) snprintf(path, sizeof(path), DEVICES_PATH "%s/%s", address, name);
        read_text(path, text);
        for (char *p = text; *p; p++)
                if (*p == '\n')
                        *p = ',';
        return add_text(object, name, text);
}

/* Where a link points to, its last part. */
static int add_link(json_object *object, const char *address, const char *name)
{
        char path[PATH_MAX], target[PATH_MAX];
        ssize_t n;

        (void) snprintf(path, sizeof(path), DEVICES_PATH "%s/%s", address, name);
        n = readlink(path, target, sizeof(target) - 1);
        if (n <= 0)
                return 0;
        target[n] = '\0';
        return add_text(object, name, strrchr(target, '/') ? strrchr(target, '/') + 1 : target);
}

static bool has_file(const char *address, const char *name)
{
        char path[PATH_MAX];

        (void) snprintf(path, sizeof(path), DEVICES_PATH "%s/%s", address, name);
        return access(path, F_OK) == 0;
}

/* The slot whose address is the function's without the number of the function. */
static int add_slot(json_object *object, const char *address)
{
        DIR *directory = opendir(SLOTS_PATH);
        const struct dirent *entry;
        int r = 0;

        while (directory && r >= 0 && (entry = readdir(directory))) {
                char path[PATH_MAX], text[TEXT_MAX], name[NAME_MAX + 1];
                size_t length;

                (void) snprintf(path, sizeof(path), SLOTS_PATH "/%s/address", entry->d_name);
                read_text(path, text);
                length = strlen(text);
                if (length == 0 || strncmp(address, text, length) != 0 || address[length] != '.')
                        continue;
                (void) snprintf(path, sizeof(path), SLOTS_PATH "/%s/power", entry->d_name);
                (void) snprintf(name, sizeof(name), "%s", entry->d_name);
                r = add_text(object, "slot", name);
                if (r >= 0)
                        r = json_add(object, "slot_power", json_object_new_boolean(access(path, F_OK) == 0));
        }
        if (directory)
                (void) closedir(directory);
        return r;
}

int report_function(const char *address, json_object **ret)
{
        static const char *const attributes[] = {"vendor",
                                                 "device",
                                                 "subsystem_vendor",
                                                 "subsystem_device",
                                                 "class",
                                                 "revision",
                                                 "reset_method",
                                                 "enable",
                                                 "power_state",
                                                 "power/control",
                                                 "power/runtime_status",
                                                 "d3cold_allowed",
                                                 "current_link_speed",
                                                 "current_link_width",
                                                 "max_link_speed",
                                                 "max_link_width",
                                                 "secondary_bus_number",
                                                 "subordinate_bus_number",
                                                 "sriov_totalvfs",
                                                 "aer_dev_correctable",
                                                 "aer_dev_nonfatal",
                                                 "aer_dev_fatal",
                                                 "numa_node"};
        static const char *const links[] = {"driver", "iommu_group", "physfn"};
        _cleanup_json_ json_object *object = json_object_new_object();
        int r;

        if (!object)
                return -ENOMEM;
        r = json_add(object, "address", json_object_new_string(address));
        for (size_t i = 0; i < ELEMENTSOF(attributes) && r >= 0; i++)
                r = add_attribute(object, address, attributes[i]);
        for (size_t i = 0; i < ELEMENTSOF(links) && r >= 0; i++)
                r = add_link(object, address, links[i]);
        if (r >= 0)
                r = json_add(object, "reset_subordinate",
                             json_object_new_boolean(has_file(address, "reset_subordinate")));
        if (r >= 0)
                r = add_slot(object, address);
        if (r >= 0)
                *ret = steal_pointer(object);
        return r;
}

int report_bridges(const char *address, json_object **ret)
{
        _cleanup_json_ json_object *list = json_object_new_array();
        char path[PATH_MAX], real[PATH_MAX];

        if (!list)
                return -ENOMEM;
        (void) snprintf(path, sizeof(path), DEVICES_PATH "%s", address);
        if (!realpath(path, real))
                *real = '\0';
        for (size_t i = 0; i < BRIDGES_MAX; i++) {
                PciAddress parsed;
                char *slash = strrchr(real, '/');

                if (!slash)
                        break;
                *slash = '\0';
                slash = strrchr(real, '/');
                if (!slash || pci_address_parse(slash + 1, &parsed) < 0)
                        break;
                if (json_append(list, json_object_new_string(slash + 1)) < 0)
                        return -ENOMEM;
        }
        *ret = steal_pointer(list);
        return 0;
}

/* Appends what is wanted of the command line to the stream. Returns how much is not. */
static int64_t write_parameters(FILE *stream, char *line, const Redactor *redactor)
{
        int64_t left_out = 0;
        char *rest = line;

        for (const char *word; (word = strsep(&rest, " "));) {
                _cleanup_free_ char *clean = NULL;

                if (!*word)
                        continue;
                if (!redactor->off && !redact_parameter_is_wanted(word)) {
                        left_out++;
                        continue;
                }
                clean = redact(redactor, word);
                (void) fprintf(stream, "%s%s", ftell(stream) > 0 ? " " : "", clean ? clean : REDACTED);
        }
        return left_out;
}

static int add_command_line(json_object *object, const Redactor *redactor)
{
        char line[TEXT_MAX], *text = NULL;
        int64_t left_out;
        size_t size;
        FILE *stream;
        int r;

        read_text("/proc/cmdline", line);
        stream = open_memstream(&text, &size);
        if (!stream)
                return -ENOMEM;
        left_out = write_parameters(stream, line, redactor);
        r = fclose(stream) == 0
                    ? json_add(object, "command_line", json_object_new_string(utf8_sanitize(text)))
                    : -ENOMEM;
        free(text);
        return r < 0 ? r : json_add(object, "parameters_left_out", json_object_new_int64(left_out));
}

/* Texts of the firmware's that are about the model and not about the piece. */
static int add_dmi(json_object *object, const char *key, const char *const names[])
{
        char all[TEXT_MAX] = "";

        for (size_t i = 0; names[i]; i++) {
                char path[PATH_MAX], text[TEXT_MAX];
                size_t length = strlen(all);

                (void) snprintf(path, sizeof(path), DMI_PATH "%s", names[i]);
                read_text(path, text);
                (void) snprintf(all + length, sizeof(all) - length, "%s%s", length > 0 && *text ? " " : "",
                                text);
        }
        return add_text(object, key, all);
}

int report_system(const Redactor *redactor, json_object **ret)
{
        static const char *const machine[] = {"sys_vendor", "product_name", "board_vendor", "board_name",
                                              NULL};
        static const char *const firmware[] = {"bios_vendor", "bios_version", "bios_date", NULL};
        _cleanup_json_ json_object *object = json_object_new_object();
        struct utsname kernel;
        int r;

        if (!object)
                return -ENOMEM;
        if (uname(&kernel) < 0)
                return -errno;
        r = json_add(object, "kernel", json_object_new_string(utf8_sanitize(kernel.release)));
        if (r >= 0)
                r = json_add(object, "architecture", json_object_new_string(utf8_sanitize(kernel.machine)));
        if (r >= 0)
                r = add_dmi(object, "machine", machine);
        if (r >= 0)
                r = add_dmi(object, "firmware", firmware);
        if (r >= 0)
                r = add_command_line(object, redactor);
        if (r >= 0)
                *ret = steal_pointer(object);
        return r;
}

int report_config(const PciConfig *config, json_object **ret)
{
        _cleanup_json_ json_object *object = json_object_new_object();
        const char *note = "";
        int r;

        if (!object)
                return -ENOMEM;
        if (pci_config_is_gone(config))
                note = "the device does not answer: all bits are one";
        else if (config->size == 0)
                note = "it could not be read";
        else if (config->size < config->full_size)
                note = "the kernel shows the rest, and with it the capabilities, to root only";
        r = json_add(object, "bytes", json_object_new_int64((int64_t) config->size));
        if (r >= 0)
                r = json_add(object, "of", json_object_new_int64((int64_t) config->full_size));
        if (r >= 0)
                r = json_add(object, "note", json_object_new_string(note));
        if (r >= 0)
                r = json_add(object, "immediate_readiness",
                             json_object_new_boolean(!pci_config_is_gone(config) &&
                                                     pci_config_word(config, PCI_STATUS) & 1));
        if (r >= 0)
                r = json_add(object, "hex", pci_config_to_hex(config));
        if (r >= 0)
                *ret = steal_pointer(object);
        return r;
}

/* Files with what identifies the device, below its folder. */
static const char *const serial_files[] = {
        "serial_number",
        "net/*/address",
        "net/*/phys_port_id",
        "net/*/phys_switch_id",
        "nvme/*/serial",
        "nvme/*/subsysnqn",
        "nvme/*/nvme*n*/wwid",
        "nvme/*/nvme*n*/nguid",
        "nvme/*/nvme*n*/eui",
        "nvme/*/nvme*n*/uuid",
        "infiniband/*/node_guid",
        "infiniband/*/sys_image_guid",
        "host*/fc_host/host*/port_name",
        "host*/fc_host/host*/node_name",
        "host*/scsi_host/host*/host_sas_address",
        "unique_id", /* amdgpu's */
};

/* Calls `take` with each of them, its text and its name below the folder. Stops at the first negative return
 * and hands it on. */
static int for_each_serial(const char *address, int (*take)(void *userdata, const char *name, char *text),
                           void *userdata)
{
        size_t prefix = strlen(DEVICES_PATH) + strlen(address) + 1;
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(serial_files) && r >= 0; i++) {
                char pattern[PATH_MAX], text[TEXT_MAX];
                glob_t found = {};

                (void) snprintf(pattern, sizeof(pattern), DEVICES_PATH "%s/%s", address, serial_files[i]);
                if (glob(pattern, GLOB_NOSORT, NULL, &found) == 0)
                        for (size_t j = 0; j < found.gl_pathc && j < FILES_MAX && r >= 0; j++) {
                                read_text(found.gl_pathv[j], text);
                                if (*text)
                                        r = take(userdata, found.gl_pathv[j] + prefix, text);
                        }
                globfree(&found);
        }
        return r;
}

static int collect(void *userdata, const char *name, char *text)
{
        return redactor_add(userdata, utf8_sanitize(text));
}

int report_collect_secrets(const char *address, const PciConfig *config, Redactor *redactor)
{
        char serial[24];

        if (pci_config_serial(config, serial) && redactor_add(redactor, serial) < 0)
                return -ENOMEM;
        return for_each_serial(address, collect, redactor);
}

static int list_serial(void *userdata, const char *name, char *text)
{
        return json_add(userdata, name, json_object_new_string(utf8_sanitize(text)));
}

/* The texts in the Vital Product Data, whose format is left alone: runs of printable characters. */
static int add_vpd(json_object *object, const char *address)
{
        char path[PATH_MAX], text[TEXT_MAX];
        _cleanup_close_ int fd = -EBADF;
        ssize_t n;

        (void) snprintf(path, sizeof(path), DEVICES_PATH "%s/vpd", address);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
        if (n <= 0)
                return 0;
        for (ssize_t i = 0; i < n; i++)
                if (text[i] < ' ' || text[i] > '~')
                        text[i] = '.';
        text[n] = '\0';
        return json_add(object, "vpd", json_object_new_string(text));
}

int report_serials(const char *address, const PciConfig *config, json_object **ret)
{
        _cleanup_json_ json_object *object = json_object_new_object();
        char serial[24];
        int r = object ? 0 : -ENOMEM;

        if (r >= 0 && pci_config_serial(config, serial))
                r = json_add(object, "Device Serial Number", json_object_new_string(serial));
        if (r >= 0)
                r = for_each_serial(address, list_serial, object);
        if (r >= 0)
                r = add_vpd(object, address);
        if (r >= 0)
                *ret = steal_pointer(object);
        return r;
}
