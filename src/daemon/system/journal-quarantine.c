/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Quarantine in the journal: who goes in, who comes out, and what becomes of the records. */

#include <string.h>
#include <syslog.h>
#include <systemd/sd-journal.h>

#include "daemon/system/journal.h"
#include "shared/message-ids.h"

static const char *quarantine_event_text(QuarantineEvent event)
{
        switch (event) {
        case QUARANTINE_BEGUN:
                return "goes into quarantine";
        case QUARANTINE_CHANGED:
                return "stays in quarantine";
        case QUARANTINE_PROVED_WELL:
                return "comes out of quarantine, since a reset is proved to have put it right; it was in "
                       "because";
        case QUARANTINE_RELEASED:
        case QUARANTINE_IDENTIFIED:
        case QUARANTINE_EVIDENCE:
        case QUARANTINE_PINNED:
                break;
        case QUARANTINE_DROPPED:
                return "has not been seen for long, and its quarantine makes room for others; it was in "
                       "because";
        }
        return "comes out of quarantine; it was in because";
}

void journal_quarantine(const QuarantineRecord *record, QuarantineEvent event)
{
        bool begins = event == QUARANTINE_BEGUN || event == QUARANTINE_CHANGED;
        char device[PCI_ADDRESS_STRING_MAX];

        pci_address_format(&record->device.address, device);
        (void) sd_journal_send("MESSAGE=%s %s: %s", device, quarantine_event_text(event), record->reason,
                               "PRIORITY=%i", begins ? LOG_ERR : LOG_NOTICE, "MESSAGE_ID=%s",
                               begins ? MESSAGE_ID_QUARANTINED : MESSAGE_ID_UNQUARANTINED,
                               "PCIRESETD_DEVICE=%s", device, "PCIRESETD_UID=%u", record->uid,
                               "PCIRESETD_CAUSE=%s", quarantine_cause_to_string(record->cause),
                               "PCIRESETD_METHOD=%s", record->method, "PCIRESETD_REASON=%s", record->reason,
                               NULL);
}

void journal_kept_off(const Device *device, bool kept, bool failed, const char *message)
{
        char address[PCI_ADDRESS_STRING_MAX];

        pci_address_format(&device->facts.address, address);
        (void) sd_journal_send(
                "MESSAGE=%s %s%s%s", address,
                !failed ? kept ? "is in quarantine: by driver_override drivers are kept off it"
                               : "is out of quarantine: drivers are not kept off it any more"
                : kept  ? "is in quarantine, and drivers cannot be kept off it: "
                        : "is out of quarantine, and its driver_override cannot be put back: ",
                failed ? message : "", failed ? "" : ".", "PRIORITY=%i", failed ? LOG_WARNING : LOG_INFO,
                "MESSAGE_ID=" MESSAGE_ID_KEPT_OFF, "PCIRESETD_DEVICE=%s", address, NULL);
}

void journal_quarantine_released(const QuarantineRecord *record, uint32_t uid, const char *reason)
{
        char device[PCI_ADDRESS_STRING_MAX];

        pci_address_format(&record->device.address, device);
        (void) sd_journal_send(
                "MESSAGE=%s is released from quarantine by uid %u: %s. It was in because: %s", device, uid,
                reason, record->reason, "PRIORITY=%i", LOG_NOTICE, "MESSAGE_ID=" MESSAGE_ID_UNQUARANTINED,
                "PCIRESETD_DEVICE=%s", device, "PCIRESETD_UID=%u", uid, "PCIRESETD_CAUSE=%s",
                quarantine_cause_to_string(record->cause), "PCIRESETD_REASON=%s", reason, NULL);
}

void journal_quarantine_unstored(const char *name, int error)
{
        (void) sd_journal_send("MESSAGE=The quarantine %s cannot be brought to the disk, so the next start "
                               "will not know how it is: %s",
                               name, strerror(-error), "PRIORITY=%i", LOG_ERR,
                               "MESSAGE_ID=" MESSAGE_ID_QUARANTINE_STORE, "ERRNO=%i", -error, NULL);
}

void journal_quarantine_unreadable(const char *name, int error)
{
        (void) sd_journal_send(
                "MESSAGE=%s among the stored quarantines is damaged. If its name is that of a "
                "device, that one stays in quarantine: %s",
                name, strerror(-error), "PRIORITY=%i", LOG_ERR, "MESSAGE_ID=" MESSAGE_ID_QUARANTINE_STORE,
                "ERRNO=%i", -error, NULL);
}
