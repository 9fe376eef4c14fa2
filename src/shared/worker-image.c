/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * How a device was before a job has done anything to it, on its way from the worker of one method to that of
 * the next. Neither side trusts the other, so an image is read as strictly as all else.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/cleanup.h"
#include "shared/json.h"
#include "shared/worker-wire.h"

/* Eight words in hexadecimal, and what is between them. */
#define BARS_TEXT_MAX (WORKER_IMAGE_BARS * 9U)

static void write_bars(JsonWriter *writer, const WorkerImage *image)
{
        char text[BARS_TEXT_MAX] = "";
        size_t used = 0;

        for (size_t i = 0; i < image->n_bars && i < WORKER_IMAGE_BARS; i++)
                used += (size_t) snprintf(text + used, sizeof(text) - used, "%s%08x", i > 0 ? " " : "",
                                          image->bars[i]);
        json_write_text(writer, "bars", text);
}

static void read_bars(JsonReader *reader, WorkerImage *image)
{
        const char *text = json_read_text(reader, "bars", BARS_TEXT_MAX);

        while (*text != '\0' && image->n_bars < WORKER_IMAGE_BARS) {
                if (strspn(text, "0123456789abcdef") != 8 || (text[8] != '\0' && text[8] != ' ') ||
                    (text[8] == ' ' && text[9] == '\0'))
                        break;
                image->bars[image->n_bars++] = (uint32_t) strtoul(text, NULL, 16);
                text += text[8] == ' ' ? 9 : 8;
        }
        if (*text != '\0')
                json_reader_fail(reader, "bars");
}

int worker_image_write(const void *element, json_object **ret)
{
        const WorkerImage *image = element;
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();

        worker_address_write(&writer, "address", &image->address);
        json_write_unsigned(&writer, "inode", image->inode);
        json_write_boolean(&writer, "answers", image->answers);
        json_write_unsigned(&writer, "vendor", image->vendor);
        json_write_unsigned(&writer, "device", image->device);
        json_write_unsigned(&writer, "subsystem", image->subsystem);
        json_write_unsigned(&writer, "header_type", image->header_type);
        json_write_unsigned(&writer, "class_revision", image->class_revision);
        json_write_unsigned(&writer, "command", image->command);
        write_bars(&writer, image);
        json_write_boolean(&writer, "has_link", image->has_link);
        json_write_unsigned(&writer, "link_speed", image->link_speed);
        json_write_unsigned(&writer, "link_width", image->link_width);
        json_write_boolean(&writer, "link_reports_active", image->link_reports_active);
        json_write_boolean(&writer, "link_active", image->link_active);
        json_write_text(&writer, "driver", image->driver);
        json_write_text(&writer, "probe", image->probe);
        return json_writer_finish(&writer, ret);
}

int worker_image_read(json_object *object, void *element)
{
        WorkerImage *ret = element;
        JsonReader reader = json_reader_begin(object);

        worker_address_read(&reader, "address", &ret->address);
        ret->inode = json_read_unsigned(&reader, "inode", 1, UINT64_MAX - 1);
        ret->answers = json_read_boolean(&reader, "answers");
        ret->vendor = (uint16_t) json_read_unsigned(&reader, "vendor", 0, UINT16_MAX);
        ret->device = (uint16_t) json_read_unsigned(&reader, "device", 0, UINT16_MAX);
        ret->subsystem = (uint32_t) json_read_unsigned(&reader, "subsystem", 0, UINT32_MAX);
        ret->header_type = (uint8_t) json_read_unsigned(&reader, "header_type", 0, UINT8_MAX);
        ret->class_revision = (uint32_t) json_read_unsigned(&reader, "class_revision", 0, UINT32_MAX);
        ret->command = (uint16_t) json_read_unsigned(&reader, "command", 0, UINT16_MAX);
        read_bars(&reader, ret);
        ret->has_link = json_read_boolean(&reader, "has_link");
        ret->link_speed = (unsigned) json_read_unsigned(&reader, "link_speed", 0, UINT8_MAX);
        ret->link_width = (unsigned) json_read_unsigned(&reader, "link_width", 0, UINT8_MAX);
        ret->link_reports_active = json_read_boolean(&reader, "link_reports_active");
        ret->link_active = json_read_boolean(&reader, "link_active");
        json_read_text_to(&reader, "driver", ret->driver, sizeof(ret->driver));
        json_read_text_to(&reader, "probe", ret->probe, sizeof(ret->probe));
        return json_reader_finish(&reader);
}

const WorkerImage *worker_image_find(const WorkerImage *images, size_t n, const PciAddress *address)
{
        for (size_t i = 0; i < n; i++)
                if (pci_address_equal(&images[i].address, address))
                        return &images[i];
        return NULL;
}
