/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Written and read at once, as claims are (lease-store.h): /run is memory.
 */

#include "daemon/system/release-store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/system/file-replace.h"
#include "daemon/system/journal.h"
#include "shared/cleanup.h"
#include "shared/json.h"

#define VERSION         1U
#define NAME_MAX_LENGTH 64U
#define TEXT_MAX        512U
#define DEPTH_MAX       2U
#define SUFFIX          ".json"

static const char *format_name(const ClaimDevice *device, char name[static NAME_MAX_LENGTH])
{
        char address[PCI_ADDRESS_STRING_MAX];

        (void) snprintf(name, NAME_MAX_LENGTH, "%s,%04x:%04x,%04x:%04x" SUFFIX,
                        pci_address_format(&device->address, address), device->vendor, device->device,
                        device->subsystem_vendor, device->subsystem_device);
        return name;
}

static int parse_name(const char *name, ClaimDevice *ret)
{
        char address[PCI_ADDRESS_STRING_MAX], again[NAME_MAX_LENGTH];
        unsigned vendor, device, subsystem_vendor, subsystem_device;

        _Static_assert(PCI_ADDRESS_STRING_MAX == 17, "the width below is one less");
        if (sscanf(name, "%16[^,],%4x:%4x,%4x:%4x", address, &vendor, &device, &subsystem_vendor,
                   &subsystem_device) != 5 ||
            pci_address_parse(address, &ret->address) < 0)
                return -EBADMSG;
        ret->vendor = (uint16_t) vendor;
        ret->device = (uint16_t) device;
        ret->subsystem_vendor = (uint16_t) subsystem_vendor;
        ret->subsystem_device = (uint16_t) subsystem_device;
        return strcmp(format_name(ret, again), name) == 0 ? 0 : -EBADMSG;
}

static int format_record(const ReleaseRecord *record, char **ret)
{
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();
        _cleanup_json_ json_object *object = NULL;
        int r;

        json_write_unsigned(&writer, "version", VERSION);
        json_write_unsigned(&writer, "uid", record->uid);
        json_write_text(&writer, "lease", record->lease);
        json_write_boolean(&writer, "pending", record->pending);
        r = json_writer_finish(&writer, &object);
        return r < 0 ? r : json_text_format(object, TEXT_MAX, ret);
}

static int parse_record(const char *text, size_t length, ReleaseRecord *ret)
{
        _cleanup_json_ json_object *object = NULL;
        JsonReader reader;
        int r = json_text_parse(text, length, DEPTH_MAX, NULL, &object);

        if (r < 0)
                return r;
        reader = json_reader_begin(object);
        (void) json_read_unsigned(&reader, "version", VERSION, VERSION);
        ret->uid = (uint32_t) json_read_unsigned(&reader, "uid", 0, UINT32_MAX);
        json_read_text_to(&reader, "lease", ret->lease, sizeof(ret->lease));
        ret->pending = json_read_boolean(&reader, "pending");
        return json_reader_finish(&reader);
}

static int print_path(const char *directory, const ReleaseRecord *record, char **ret)
{
        char name[NAME_MAX_LENGTH];

        return asprintf(ret, "%s/%s", directory, format_name(&record->device, name)) < 0 ? -ENOMEM : 0;
}

int release_store(const char *directory, const ReleaseRecord *record, bool keep)
{
        _cleanup_free_ char *text = NULL;
        char *path;
        int r = print_path(directory, record, &path);

        if (r < 0)
                return r;
        if (keep)
                r = format_record(record, &text);
        if (r >= 0)
                r = file_replace(path, text, text ? strlen(text) : 0);
        free(path);
        return r;
}

void release_store_missing(const char *directory, const ReleaseRecord *record)
{
        char address[PCI_ADDRESS_STRING_MAX];
        char *path;
        int r = print_path(directory, record, &path);

        if (r >= 0) {
                if (access(path, F_OK) < 0)
                        r = release_store(directory, record, true);
                free(path);
        }
        if (r < 0)
                journal_release_unstored(pci_address_format(&record->device.address, address), r);
}

static int read_record(int folder, const char *name, ReleaseRecord *ret)
{
        _cleanup_close_ int fd = openat(folder, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
        char text[TEXT_MAX];
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = read(fd, text, sizeof(text));
        return n < 0 ? -errno : parse_record(text, (size_t) n, ret);
}

static int take_up(int folder, const char *name, int (*found)(void *userdata, const ReleaseRecord *record),
                   void *userdata)
{
        ReleaseRecord record = {};
        ClaimDevice device;
        int r;

        /* What was not finished, and what is not ours. */
        if (parse_name(name, &device) < 0) {
                (void) unlinkat(folder, name, 0);
                return 0;
        }
        r = read_record(folder, name, &record);
        if (r < 0) {
                journal_release_unstored(name, r);
                record = (ReleaseRecord){.pending = true};
        }
        record.device = device;
        return found(userdata, &record);
}

int release_store_load(const char *directory, int (*found)(void *userdata, const ReleaseRecord *record),
                       void *userdata)
{
        struct dirent **names;
        int folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), n, r = 0;

        if (folder < 0)
                return errno == ENOENT ? 0 : -errno;
        n = scandirat(folder, ".", &names, NULL, alphasort);
        if (n < 0)
                r = -errno;
        for (int i = 0; i < n; i++) {
                if (r >= 0 && names[i]->d_name[0] != '.')
                        r = take_up(folder, names[i]->d_name, found, userdata);
                free(names[i]);
        }
        if (n >= 0)
                free(names);
        (void) close(folder);
        return r;
}
