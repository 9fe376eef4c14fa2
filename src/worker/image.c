/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "worker/image.h"

#include <stdio.h>
#include <string.h>

_Static_assert(WORKER_IMAGE_BARS == CONFIG_BARS_MAX, "an image has room for what is read");

/* The driver that the device had when its registers were read. */
static const char *driver_of(const DeviceHealth *health)
{
        return health->driver_is_off || !health->has_driver ? "" : health->driver;
}

static void recall_link(const WorkerImage *image, DeviceHealth *before)
{
        before->has_link = image->has_link;
        before->link = (ConfigLink){
                .speed = image->link_speed,
                .width = image->link_width,
                .reports_active = image->link_reports_active,
                .active = image->link_active,
        };
}

static void recall_setup(const WorkerImage *image, DeviceHealth *before)
{
        bool same_driver = strcmp(driver_of(before), image->driver) == 0;

        before->n_bars = image->n_bars;
        memcpy(before->bars, image->bars, sizeof(before->bars));
        if (!same_driver)
                return;
        before->command = image->command;
        if (image->probe[0] == '\0')
                return;
        before->probe = PROBE_WORKS;
        memcpy(before->probe_text, image->probe, sizeof(before->probe_text));
}

/* Of a device that does not answer nothing else was read. */
static bool can_be_recalled(const DeviceHealth *before, const WorkerImage *image)
{
        return !before->is_stranger && !before->is_limited && before->error == 0 &&
               (health_answers(before) || image->answers);
}

static void recall(const Reset *reset, const WorkerMember *expected, DeviceHealth *before)
{
        const WorkerImage *image = worker_image_find(reset->request->images, reset->request->n_images,
                                                     &expected->address);
        bool has_returned = image && image->inode != expected->inode;

        if (!image || !can_be_recalled(before, image))
                return;
        if (!image->answers) {
                /* What it answers now is what was saved when it did not. */
                if (!has_returned)
                        before->answer = CONFIG_ALL_ONES;
                return;
        }
        before->vendor = image->vendor;
        before->device = image->device;
        before->subsystem = image->subsystem;
        before->header_type = image->header_type;
        before->class_revision = image->class_revision;
        recall_link(image, before);
        /* How one that was found again and is dead since was set up, nobody has seen. */
        if (has_returned)
                return;
        recall_setup(image, before);
        before->answer = CONFIG_ANSWERS;
}

static void take(const WorkerMember *expected, const DeviceHealth *before, WorkerImage *image)
{
        *image = (WorkerImage){
                .address = expected->address,
                .inode = expected->inode,
                .answers = health_answers(before),
        };
        if (!image->answers)
                return;
        image->vendor = before->vendor;
        image->device = before->device;
        image->subsystem = before->subsystem;
        image->header_type = before->header_type;
        image->class_revision = before->class_revision;
        image->command = before->command;
        image->n_bars = before->n_bars;
        memcpy(image->bars, before->bars, sizeof(image->bars));
        image->has_link = before->has_link;
        image->link_speed = before->link.speed;
        image->link_width = before->link.width;
        image->link_reports_active = before->link.reports_active;
        image->link_active = before->link.active;
        (void) snprintf(image->driver, sizeof(image->driver), "%s", driver_of(before));
        if (before->probe == PROBE_WORKS)
                memcpy(image->probe, before->probe_text, sizeof(image->probe));
}

void image_renew(const Reset *reset, size_t member)
{
        const WorkerMember *expected = &reset->request->members[member];
        DeviceHealth *before = &reset->before->members[member];

        take(expected, before, &reset->result->images[member]);
        recall(reset, expected, before);
}

void image_begin(Reset *reset)
{
        const WorkerRequest *request = reset->request;

        for (size_t i = 0; i < reset->n_open; i++)
                image_renew(reset, i);
        reset->result->n_images = reset->n_open;
        if (!request->has_bridge)
                return;
        take(&request->bridge, &reset->before->bridge, &reset->result->images[reset->result->n_images++]);
        recall(reset, &request->bridge, &reset->before->bridge);
}
