/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/system/quarantine-record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared/cleanup.h"
#include "shared/json.h"
#include "shared/utf8.h"
#include "shared/worker-wire.h"

#define VERSION 1U
/* The record, its checks, a check, what is in there. */
#define DEPTH_MAX 4U

#define SUFFIX ".json"

/* ---- the name ---- */

const char *quarantine_name_format(const QuarantineRecord *record, char name[static QUARANTINE_NAME_MAX])
{
        char place[QUARANTINE_PORT_MAX];

        if (record->port[0] != '\0') {
                memcpy(place, record->port, sizeof(place));
                for (char *p = place; *p; p++)
                        if (*p == '/')
                                *p = '_';
        } else {
                place[0] = '@';
                pci_address_format(&record->device.address, place + 1);
        }
        (void) snprintf(name, QUARANTINE_NAME_MAX, "%s,%04x:%04x,%04x:%04x%s%s" SUFFIX, place,
                        record->device.vendor, record->device.device, record->device.subsystem_vendor,
                        record->device.subsystem_device, record->serial[0] != '\0' ? "," : "",
                        record->serial);
        return name;
}

int quarantine_name_parse(const char *name, QuarantineRecord *record)
{
        unsigned vendor, device, subsystem_vendor, subsystem_device;
        char place[QUARANTINE_PORT_MAX], again[QUARANTINE_NAME_MAX];
        QuarantineRecord parsed = {};

        _Static_assert(QUARANTINE_PORT_MAX == 160, "the width below is one less");
        _Static_assert(WORKER_SERIAL_MAX == 24, "and so is the last one");
        if (sscanf(name, "%159[^,],%4x:%4x,%4x:%4x,%23[0-9a-f-]", place, &vendor, &device, &subsystem_vendor,
                   &subsystem_device, parsed.serial) < 5)
                return -EBADMSG;
        if (parsed.serial[0] != '\0' && strlen(parsed.serial) != WORKER_SERIAL_MAX - 1)
                return -EBADMSG;
        parsed.device = (ClaimDevice){
                .vendor = (uint16_t) vendor,
                .device = (uint16_t) device,
                .subsystem_vendor = (uint16_t) subsystem_vendor,
                .subsystem_device = (uint16_t) subsystem_device,
        };
        if (place[0] == '@') {
                if (pci_address_parse(place + 1, &parsed.device.address) < 0)
                        return -EBADMSG;
        } else {
                memcpy(parsed.port, place, sizeof(place));
                for (char *p = parsed.port; *p; p++)
                        if (*p == '_')
                                *p = '/';
        }
        /* Whatever is written in another way than we write it was not written by us. */
        if (strcmp(quarantine_name_format(&parsed, again), name) != 0 || !utf8_is_valid(name))
                return -EBADMSG;
        *record = parsed;
        return 0;
}

/* ---- the contents ---- */

/* The device is the record's. */
static int write_check(const void *element, json_object **ret)
{
        const WorkerCheck *check = element;
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();

        json_write_text(&writer, "check", check->check);
        json_write_text(&writer, "result", check_result_to_string(check->result));
        json_write_text(&writer, "before", check->before);
        json_write_text(&writer, "after", check->after);
        return json_writer_finish(&writer, ret);
}

int quarantine_record_format(const QuarantineRecord *record, char **ret)
{
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();
        _cleanup_json_ json_object *object = NULL;
        char address[PCI_ADDRESS_STRING_MAX];
        json_object *checks;
        int r;

        json_write_unsigned(&writer, "version", VERSION);
        json_write_text(&writer, "address", pci_address_format(&record->device.address, address));
        json_write_text(&writer, "cause", quarantine_cause_to_string(record->cause));
        json_write_text(&writer, "reason", record->reason);
        json_write_text(&writer, "method", record->method);
        json_write_unsigned(&writer, "uid", record->uid);
        json_write_unsigned(&writer, "since", record->since);
        json_write_text(&writer, "driver", record->driver);
        json_write_text(&writer, "boot_id", record->boot_id);
        json_write_unsigned(&writer, "inode", record->inode);
        r = json_array_write(record->checks, record->n_checks, sizeof(WorkerCheck), write_check, &checks);
        if (r < 0)
                return r;
        json_write_value(&writer, "checks", checks);
        r = json_writer_finish(&writer, &object);
        if (r < 0)
                return r;
        return json_text_format(object, QUARANTINE_FILE_MAX, ret);
}

static int read_check(json_object *object, const PciAddress *device, WorkerCheck *check)
{
        JsonReader reader = json_reader_begin(object);

        check->device = *device;
        json_read_text_to(&reader, "check", check->check, sizeof(check->check));
        check->result = (CheckResult) json_read_choice(&reader, "result", check_result_names, CHECK_RESULTS);
        json_read_text_to(&reader, "before", check->before, sizeof(check->before));
        json_read_text_to(&reader, "after", check->after, sizeof(check->after));
        return json_reader_finish(&reader);
}

int quarantine_record_parse(const char *text, size_t length, QuarantineRecord *record)
{
        _cleanup_json_ json_object *object = NULL;
        QuarantineRecord read = *record;
        json_object *checks;
        JsonReader reader;
        PciAddress address;
        int r;

        r = length <= QUARANTINE_FILE_MAX ? json_text_parse(text, length, DEPTH_MAX, NULL, &object)
                                          : -EBADMSG;
        if (r < 0)
                return r;
        reader = json_reader_begin(object);
        (void) json_read_unsigned(&reader, "version", VERSION, VERSION);
        if (pci_address_parse(json_read_text(&reader, "address", PCI_ADDRESS_STRING_MAX), &address) < 0)
                json_reader_fail(&reader, "address");
        read.cause = (QuarantineCause) json_read_choice(&reader, "cause", quarantine_cause_names,
                                                        QUARANTINE_CAUSES);
        json_read_text_to(&reader, "reason", read.reason, sizeof(read.reason));
        json_read_text_to(&reader, "method", read.method, sizeof(read.method));
        read.uid = (uint32_t) json_read_unsigned(&reader, "uid", 0, UINT32_MAX);
        read.since = json_read_unsigned(&reader, "since", 0, UINT64_MAX - 1);
        if (json_reader_has(&reader, "driver"))
                json_read_text_to(&reader, "driver", read.driver, sizeof(read.driver));
        if (json_reader_has(&reader, "boot_id"))
                json_read_text_to(&reader, "boot_id", read.boot_id, sizeof(read.boot_id));
        if (json_reader_has(&reader, "inode"))
                read.inode = json_read_unsigned(&reader, "inode", 0, UINT64_MAX - 1);
        checks = json_read_array(&reader, "checks", 0, QUARANTINE_CHECKS_MAX);
        r = json_reader_finish(&reader);
        if (r < 0)
                return r;
        read.device.address = address;
        read.n_checks = json_object_array_length(checks);
        for (size_t i = 0; i < read.n_checks && r >= 0; i++)
                r = read_check(json_object_array_get_idx(checks, i), &address, &read.checks[i]);
        if (r >= 0)
                *record = read;
        return r;
}
