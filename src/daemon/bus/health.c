/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * GetHealth: how a device was the last time that somebody has looked, which costs nothing; or, with the
 * option probe, how it is now. That starts a worker that reads configuration space, which wakes the device
 * and may hang, so polkit is asked whether the caller may have the device reset.
 *
 * One worker looks at a device at a time: calls that come meanwhile wait for its end, and share the next
 * one.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "daemon/bus/calls.h"
#include "daemon/bus/details.h"
#include "daemon/bus/job-facts.h"
#include "daemon/bus/message.h"
#include "daemon/bus/options.h"
#include "daemon/bus/path.h"
#include "daemon/bus/pending.h"
#include "daemon/domain/checkup.h"
#include "daemon/system/checkups.h"
#include "shared/cleanup.h"

typedef struct HealthCall {
        PendingCall pending;
        PciAddress address;
        uint64_t generation; /* of the device that the call named */
        bool waits; /* for a look to end that had begun before it came */
        bool looks; /* it is answered by the look that is under way */
} HealthCall;

static const PendingKind kind;

/* ---- the answer ---- */

static int append_checks(sd_bus_message *message, const Checkup *checkup)
{
        int r = open_array_entry(message, "checks", "a{sv}");

        for (size_t i = 0; i < checkup->n_checks && r >= 0; i++)
                r = append_check(message, &checkup->checks[i]);
        return r < 0 ? r : close_array_entry(message);
}

static int append_health(sd_bus_message *message, const Device *device)
{
        const Checkup *checkup = device->checkup;
        int r = sd_bus_message_open_container(message, 'a', "{sv}");

        if (r >= 0 && checkup) {
                r = sd_bus_message_append(message, "{sv}{sv}{sv}{sv}", "verdict", "s",
                                          verdict_to_string(checkup->verdict), "method", "s",
                                          checkup->method, "job", "u", checkup->job, "checked_at", "t",
                                          checkup->checked_at);
                if (r >= 0)
                        r = append_checks(message, checkup);
        }
        return r < 0 ? r : sd_bus_message_close_container(message);
}

DEFINE_CLEANUP(sd_bus_message *, sd_bus_message_unref);

static int reply(sd_bus_message *message, const Device *device)
{
        _cleanup_(cleanup_sd_bus_message_unref) sd_bus_message *answer = NULL;
        int r = sd_bus_message_new_method_return(message, &answer);

        if (r >= 0)
                r = append_health(answer, device);
        return r < 0 ? r : sd_bus_message_send(answer);
}

/* ---- the look ---- */

static Device *device_of(const HealthCall *call)
{
        Device *device = registry_find(call->pending.bus->registry, &call->address);

        return device && device->generation == call->generation ? device : NULL;
}

static void refuse(HealthCall *call, int error)
{
        char address[PCI_ADDRESS_STRING_MAX];

        pci_address_format(&call->address, address);
        if (error == -ENODEV)
                pending_refuse(&call->pending, BUS_ERROR_PREFIX "DeviceGone", "%s: " DEVICE_GONE_TEXT,
                               address);
        else if (error == -EBUSY)
                pending_refuse(
                        &call->pending, BUS_ERROR_PREFIX "NotUsable",
                        "%s: it is just being reset, or too many devices are being looked at. Ask again "
                        "when that is over.",
                        address);
        else if (error == -ETIMEDOUT)
                pending_refuse(
                        &call->pending, BUS_ERROR_PREFIX "TimedOut",
                        "%s: its configuration space could not be read in time, as when somebody resets "
                        "it past pciresetd. What is found in the end GetHealth tells without probe.",
                        address);
        else
                pending_refuse(
                        &call->pending, SD_BUS_ERROR_FAILED,
                        "%s: it could not be found out how it is: %s. See the journal of pciresetd and "
                        "ask again.",
                        address, strerror(-error));
}

static void answer(HealthCall *call, int error)
{
        const Device *device = device_of(call);
        int r;

        if (error >= 0 && !device)
                error = -ENODEV;
        if (error < 0) {
                refuse(call, error);
                return;
        }
        r = reply(call->pending.message, device);
        if (r < 0)
                pending_fail(&call->pending, NULL, r);
        else
                pending_end(&call->pending);
}

/* A call that waits for a look at this device, or is part of one. */
static HealthCall *find(const Bus *bus, uint64_t generation, bool looks)
{
        PendingCall *pending;

        DL_FOREACH (bus->calls, pending) {
                HealthCall *call = (HealthCall *) pending;

                if (pending->kind == &kind && call->generation == generation &&
                    (looks ? call->looks : call->waits))
                        return call;
        }
        return NULL;
}

static void look(Bus *bus, const Device *device, uint64_t generation);

static void on_looked(void *userdata, uint64_t generation, int error)
{
        HealthCall *call;
        Bus *bus = userdata;

        while ((call = find(bus, generation, true)))
                answer(call, error);
        call = find(bus, generation, false);
        if (call)
                look(bus, device_of(call), generation);
}

/* All that wait for it have it together. */
static void look(Bus *bus, const Device *device, uint64_t generation)
{
        HealthCall *call;
        int r;

        if (!device)
                r = -ENODEV;
        else if (device->n_resetting > 0)
                r = -EBUSY;
        else
                r = checkups_ask(bus->checkups, device, on_looked, bus);
        while ((call = find(bus, generation, false)))
                if (r < 0) {
                        refuse(call, r);
                } else {
                        call->waits = false;
                        call->looks = true;
                }
}

static void granted(PendingCall *pending)
{
        HealthCall *call = (HealthCall *) pending;

        call->waits = true;
        if (!find(pending->bus, call->generation, true))
                look(pending->bus, device_of(call), call->generation);
}

/* Whoever has taken the device for himself may look as he may reset. */
static const char *choose_action(const Device *device, uint32_t uid)
{
        return device->lease && device->lease->record.uid == uid ? ACTION_PREFIX "reset-owned"
                                                                 : ACTION_PREFIX "reset";
}

static void identified(PendingCall *pending)
{
        HealthCall *call = (HealthCall *) pending;
        PolkitDetail details[DEVICE_DETAILS + 2];
        const Device *device = device_of(call);
        char purpose[96], message[128];
        DeviceDetails texts;

        if (!device) {
                refuse(call, -ENODEV);
                return;
        }
        fill_device_details(device, &texts, details);
        (void) snprintf(purpose, sizeof(purpose), "look how PCI device %s is", texts.address);
        (void) snprintf(message, sizeof(message), "Authentication is required to %s", purpose);
        details[DEVICE_DETAILS] = (PolkitDetail){"verb", "probe"};
        details[DEVICE_DETAILS + 1] = (PolkitDetail){"polkit.message", message};
        pending_authorize(pending, choose_action(device, pending->uid), purpose, details,
                          ELEMENTSOF(details));
}

static const PendingKind kind = {
        .size = sizeof(HealthCall),
        .room = PENDING_LOOKS,
        .identified = identified,
        .granted = granted,
};

int handle_get_health(Bus *bus, sd_bus_message *message, const Device *device, sd_bus_error *error)
{
        bool probe = false;
        Option options[] = {{"probe", "b", &probe}};
        PendingCall *pending;
        HealthCall *call;
        int r = options_read(message, options, ELEMENTSOF(options), error);

        if (r < 0)
                return r;
        if (!probe)
                return reply(message, device);
        r = pending_new(bus, &kind, message, &pending, error);
        if (r < 0)
                return r;
        call = (HealthCall *) pending;
        call->address = device->facts.address;
        call->generation = device->generation;
        return pending_begin(pending);
}
