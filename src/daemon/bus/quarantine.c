/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Quarantine and ReleaseQuarantine: polkit decides, and the device that was named is looked up again when it
 * has answered. The reply comes when it is on disk.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/bus/calls.h"
#include "daemon/bus/details.h"
#include "daemon/bus/job-facts.h"
#include "daemon/bus/message.h"
#include "daemon/bus/options.h"
#include "daemon/bus/path.h"
#include "daemon/bus/pending.h"
#include "daemon/domain/quarantine.h"
#include "daemon/system/journal.h"
#include "daemon/system/quarantine-log.h"
#include "shared/cleanup.h"
#include "shared/utf8.h"

#define ACTION ACTION_PREFIX "quarantine"

typedef struct QuarantineCall {
        PendingCall pending;
        PciAddress address;
        uint64_t generation; /* of the device that the call named */
        bool releases;
        char reason[QUARANTINE_REASON_MAX];
        QuarantineWait *wait; /* for the disk */
} QuarantineCall;

static void release(PendingCall *pending)
{
        QuarantineCall *call = (QuarantineCall *) pending;

        call->wait = quarantine_store_forget(call->wait);
}

/* The device that was named; else the call is refused, and NULL. */
static Device *find(QuarantineCall *call)
{
        Device *device = registry_find(call->pending.bus->registry, &call->address);
        char address[PCI_ADDRESS_STRING_MAX];

        if (device && device->generation == call->generation)
                return device;
        pending_refuse(&call->pending, BUS_ERROR_PREFIX "DeviceGone", "%s: " DEVICE_GONE_TEXT,
                       pci_address_format(&call->address, address));
        return NULL;
}

/* Is there anything to do? Else the call is refused. */
static bool makes_sense(QuarantineCall *call, const Device *device)
{
        char address[PCI_ADDRESS_STRING_MAX];

        pci_address_format(&call->address, address);
        if (call->releases && !device->quarantine)
                pending_refuse(&call->pending, BUS_ERROR_PREFIX "NotUsable",
                               "%s is not in quarantine: there is nothing to release it from.", address);
        else if (!call->releases && device->quarantine)
                pending_refuse(&call->pending, BUS_ERROR_PREFIX "Quarantined",
                               "%s is in quarantine already: %s. Release it first to give another reason.",
                               address, device->quarantine->record.reason);
        else
                return true;
        return false;
}

static uint64_t now_realtime(void)
{
        struct timespec ts;

        (void) clock_gettime(CLOCK_REALTIME, &ts);
        return (uint64_t) ts.tv_sec * 1000000U + (uint64_t) ts.tv_nsec / 1000U;
}

static void on_stored(void *userdata, int error)
{
        QuarantineCall *call = userdata;
        char address[PCI_ADDRESS_STRING_MAX];

        call->wait = NULL;
        if (error >= 0) {
                (void) sd_bus_reply_method_return(call->pending.message, "");
                pending_end(&call->pending);
                return;
        }
        pending_refuse(
                &call->pending, SD_BUS_ERROR_FAILED,
                "%s is %s, but only until pciresetd ends: that could not be brought to the disk (%s). "
                "Put the disk right and ask again.",
                pci_address_format(&call->address, address),
                call->releases ? "released from quarantine" : "in quarantine", strerror(-error));
}

static int carry_out(QuarantineCall *call, Device *device)
{
        Bus *bus = call->pending.bus;
        QuarantineRecord record = {
                .cause = QUARANTINE_REQUESTED,
                .uid = call->pending.uid,
                .since = now_realtime(),
        };

        if (call->releases) {
                journal_quarantine_released(&device->quarantine->record, call->pending.uid, call->reason);
                quarantine_log_release(bus->log, bus->registry, &device->quarantine->record,
                                       call->pending.uid, call->reason);
                return quarantines_end(bus->quarantines, device, QUARANTINE_RELEASED);
        }
        memcpy(record.reason, call->reason, sizeof(record.reason));
        return quarantines_begin(bus->quarantines, device, &record, 0);
}

static void granted(PendingCall *pending)
{
        QuarantineCall *call = (QuarantineCall *) pending;
        Device *device = find(call);
        int r;

        if (!device || !makes_sense(call, device))
                return;
        r = carry_out(call, device);
        if (r >= 0)
                r = quarantine_store_wait(pending->bus->quarantine_store, on_stored, call, &call->wait);
        if (r < 0)
                pending_fail(pending, NULL, r);
}

static void identified(PendingCall *pending)
{
        QuarantineCall *call = (QuarantineCall *) pending;
        PolkitDetail details[DEVICE_DETAILS + 2];
        const Device *device = find(call);
        char purpose[96], message[128];
        DeviceDetails texts;

        if (!device)
                return;
        fill_device_details(device, &texts, details);
        (void) snprintf(purpose, sizeof(purpose), "%s PCI device %s %s quarantine",
                        call->releases ? "release" : "put", texts.address, call->releases ? "from" : "into");
        (void) snprintf(message, sizeof(message), "Authentication is required to %s", purpose);
        details[DEVICE_DETAILS] = (PolkitDetail){"verb", call->releases ? "release" : "quarantine"};
        details[DEVICE_DETAILS + 1] = (PolkitDetail){"polkit.message", message};
        pending_authorize(pending, ACTION, purpose, details, ELEMENTSOF(details));
}

/* It is for people, who read it in tables and in the journal, years later maybe. */
static int take_reason(const char *text, char reason[static QUARANTINE_REASON_MAX], sd_bus_error *error)
{
        if (!text || text[0] == '\0')
                return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
                                        "No reason is given. Say why, for others to read.");
        if (strcmp(utf8_quote(text, reason, QUARANTINE_REASON_MAX), text) != 0)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                         "The reason is one line of at most %u bytes, without control "
                                         "characters.",
                                         QUARANTINE_REASON_MAX - 1);
        return 0;
}

static int handle(Bus *bus, sd_bus_message *message, const Device *device, bool releases, const char *text,
                  sd_bus_error *error)
{
        static const PendingKind kind = {
                .size = sizeof(QuarantineCall),
                .room = PENDING_CHANGES,
                .identified = identified,
                .granted = granted,
                .release = release,
        };
        char reason[QUARANTINE_REASON_MAX];
        QuarantineCall *call;
        PendingCall *pending;
        int r;

        r = take_reason(text, reason, error);
        if (r >= 0)
                r = pending_new(bus, &kind, message, &pending, error);
        if (r < 0)
                return r;
        call = (QuarantineCall *) pending;
        call->address = device->facts.address;
        call->generation = device->generation;
        call->releases = releases;
        memcpy(call->reason, reason, sizeof(call->reason));
        return pending_begin(pending);
}

int handle_quarantine(Bus *bus, sd_bus_message *message, const Device *device, sd_bus_error *error)
{
        const char *reason;
        int r = sd_bus_message_read(message, "s", &reason);

        if (r >= 0)
                r = options_read(message, NULL, 0, error);
        return r < 0 ? r : handle(bus, message, device, false, reason, error);
}

int handle_release_quarantine(Bus *bus, sd_bus_message *message, const Device *device, sd_bus_error *error)
{
        const char *reason = NULL;
        Option options[] = {{"reason", "s", &reason}};
        int r = options_read(message, options, ELEMENTSOF(options), error);

        return r < 0 ? r : handle(bus, message, device, true, reason, error);
}

/* ---- the property ---- */

/* What the kernel has said is for root, from the history. */
static int append_checks(sd_bus_message *message, const QuarantineRecord *record)
{
        int r = open_array_entry(message, "checks", "a{sv}");

        for (size_t i = 0; i < record->n_checks && r >= 0; i++)
                if (strcmp(record->checks[i].check, WORKER_LOG_CHECK) != 0)
                        r = append_check(message, &record->checks[i]);
        return r < 0 ? r : close_array_entry(message);
}

int append_quarantine(sd_bus_message *message, const Device *device)
{
        const QuarantineRecord *record = device->quarantine ? &device->quarantine->record : NULL;
        int r = sd_bus_message_open_container(message, 'a', "{sv}");

        if (r >= 0 && record) {
                r = sd_bus_message_append(message, "{sv}{sv}{sv}{sv}", "cause", "s",
                                          quarantine_cause_to_string(record->cause), "reason", "s",
                                          record->reason, "method", "s", record->method, "since", "t",
                                          record->since);
                if (r >= 0)
                        r = sd_bus_message_append(message, "{sv}{sv}", "known_by", "s",
                                                  record->serial[0] != '\0' ? "serial-number" : "place",
                                                  "kept_off", "b", (int) device->hold.kept);
                if (r >= 0)
                        r = append_checks(message, record);
        }
        return r < 0 ? r : sd_bus_message_close_container(message);
}
