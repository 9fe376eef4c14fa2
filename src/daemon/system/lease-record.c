/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/system/lease-record.h"

#include <errno.h>
#include <string.h>

#include "shared/cleanup.h"
#include "shared/json.h"

#define VERSION 1U
/* The record, its devices, a device, what is in there. */
#define DEPTH_MAX 4U

static const char *const kind_names[] = {
        [CLAIM_LEASE] = "lease",
        [CLAIM_INHIBIT_BLOCK] = "inhibit-block",
        [CLAIM_INHIBIT_DELAY] = "inhibit-delay",
};

DEFINE_CLEANUP(ClaimRecord *, lease_record_free);

ClaimRecord *lease_record_free(ClaimRecord *record)
{
        if (!record)
                return NULL;
        free(record->devices);
        free(record);
        return NULL;
}

bool lease_id_is_valid(const char *id)
{
        return strlen(id) == LEASE_ID_LENGTH &&
               strspn(id, "abcdefghijklmnopqrstuvwxyz234567") == LEASE_ID_LENGTH;
}

static bool is_valid(const ClaimRecord *record)
{
        if (!lease_id_is_valid(record->id) || record->n_devices > CLAIM_DEVICES_MAX)
                return false;
        if (record->n_devices == 0 && record->kind == CLAIM_LEASE)
                return false;
        for (size_t i = 1; i < record->n_devices; i++)
                for (size_t j = 0; j < i; j++)
                        if (pci_address_equal(&record->devices[i].address, &record->devices[j].address))
                                return false;
        return true;
}

static int write_device(const void *element, json_object **ret)
{
        const ClaimDevice *device = element;
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();
        char address[PCI_ADDRESS_STRING_MAX];

        json_write_text(&writer, "address", pci_address_format(&device->address, address));
        json_write_unsigned(&writer, "vendor", device->vendor);
        json_write_unsigned(&writer, "device", device->device);
        json_write_unsigned(&writer, "subsystem_vendor", device->subsystem_vendor);
        json_write_unsigned(&writer, "subsystem_device", device->subsystem_device);
        return json_writer_finish(&writer, ret);
}

int lease_record_format(const ClaimRecord *record, char **ret)
{
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();
        _cleanup_json_ json_object *object = NULL;
        json_object *devices;
        int r;

        if (!is_valid(record))
                return -EINVAL;
        json_write_unsigned(&writer, "version", VERSION);
        json_write_text(&writer, "id", record->id);
        json_write_text(&writer, "kind", kind_names[record->kind]);
        json_write_unsigned(&writer, "uid", record->uid);
        json_write_text(&writer, "who", record->who);
        json_write_text(&writer, "why", record->why);
        json_write_unsigned(&writer, "since", record->since);
        r = json_array_write(record->devices, record->n_devices, sizeof(ClaimDevice), write_device,
                             &devices);
        if (r < 0)
                return r;
        json_write_value(&writer, "devices", devices);
        r = json_writer_finish(&writer, &object);
        if (r < 0)
                return r;
        return json_text_format(object, LEASE_RECORD_MAX, ret);
}

static int read_device(json_object *object, void *element)
{
        ClaimDevice *device = element;
        JsonReader reader = json_reader_begin(object);
        const char *text = json_read_text(&reader, "address", PCI_ADDRESS_STRING_MAX);

        if (pci_address_parse(text, &device->address) < 0)
                json_reader_fail(&reader, "address");
        device->vendor = (uint16_t) json_read_unsigned(&reader, "vendor", 0, UINT16_MAX);
        device->device = (uint16_t) json_read_unsigned(&reader, "device", 0, UINT16_MAX);
        device->subsystem_vendor = (uint16_t) json_read_unsigned(&reader, "subsystem_vendor", 0, UINT16_MAX);
        device->subsystem_device = (uint16_t) json_read_unsigned(&reader, "subsystem_device", 0, UINT16_MAX);
        return json_reader_finish(&reader);
}

int lease_record_parse(const char *text, size_t length, ClaimRecord **ret)
{
        _cleanup_(cleanup_lease_record_free) ClaimRecord *record = calloc(1, sizeof(ClaimRecord));
        _cleanup_json_ json_object *object = NULL;
        json_object *devices;
        JsonReader reader;
        void *array;
        int r;

        if (!record)
                return -ENOMEM;
        if (length > LEASE_RECORD_MAX)
                return -EBADMSG;
        r = json_text_parse(text, length, DEPTH_MAX, NULL, &object);
        if (r < 0)
                return r;
        reader = json_reader_begin(object);
        (void) json_read_unsigned(&reader, "version", VERSION, VERSION);
        json_read_text_to(&reader, "id", record->id, sizeof(record->id));
        record->kind = (ClaimKind) json_read_choice(&reader, "kind", kind_names, ELEMENTSOF(kind_names));
        record->uid = (uint32_t) json_read_unsigned(&reader, "uid", 0, UINT32_MAX);
        json_read_text_to(&reader, "who", record->who, sizeof(record->who));
        json_read_text_to(&reader, "why", record->why, sizeof(record->why));
        record->since = json_read_unsigned(&reader, "since", 0, UINT64_MAX - 1);
        devices = json_read_array(&reader, "devices", 0, CLAIM_DEVICES_MAX);
        r = json_reader_finish(&reader);
        if (r < 0)
                return r;
        r = json_array_read(devices, sizeof(ClaimDevice), read_device, &array, &record->n_devices);
        record->devices = array;
        if (r < 0)
                return r;
        if (!is_valid(record))
                return -EBADMSG;
        *ret = steal_pointer(record);
        return 0;
}
