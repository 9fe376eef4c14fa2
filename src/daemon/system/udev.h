/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Keeps the registry true to sysfs: a scan at the start, then udev's events, and a scan again when events
 * were lost.
 *
 * An event is only a hint to look: what counts is what sysfs shows afterwards. So a late event about a
 * device that was replaced meanwhile does no harm, and an event and a scan that tell the same make no
 * difference.
 */

#include <systemd/sd-event.h>

#include "daemon/domain/error-events.h"
#include "daemon/domain/registry.h"

typedef struct UdevSource UdevSource;

/* An error was announced: ERROR_EVENT of the device's own, or WEDGED of a DRM device of it. After the
 * registry was brought up to date, never for a device that is not there. */
typedef void (*UdevErrorHandler)(void *userdata, Device *device, const ErrorEvent *event);

/* Starts listening, then scans once. The registry must outlive the source. */
int udev_source_new(sd_event *event, Registry *registry, UdevSource **ret);
void udev_source_set_error_handler(UdevSource *source, UdevErrorHandler handler, void *userdata);

/* Looks at one device at once, before its events have come: a reset may have taken it away and brought it
 * back. */
void udev_source_refresh(UdevSource *source, const PciAddress *address);

UdevSource *udev_source_free(UdevSource *source);

/* How often everything was read again since events were lost. */
uint64_t udev_source_rescans(const UdevSource *source);
