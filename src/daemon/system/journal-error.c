/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Errors that the kernel announces, in the journal. */

#include <stdio.h>
#include <syslog.h>
#include <systemd/sd-journal.h>

#include "daemon/system/journal.h"
#include "shared/message-ids.h"

/* Those that tell something: what failed, and the counters. */
static void describe_checks(const ErrorNote *note, char *buffer, size_t size)
{
        size_t used = 0;

        buffer[0] = '\0';
        for (size_t i = 0; i < note->n_checks && used < size; i++) {
                const WorkerCheck *check = &note->checks[i];
                char address[PCI_ADDRESS_STRING_MAX];
                bool is_counter = note->event && check->result == CHECK_SKIPPED;

                if (check->result != CHECK_FAILED && !is_counter)
                        continue;
                used += (size_t) snprintf(buffer + used, size - used, "%s%s %s '%.60s'%s%.60s%s",
                                          used > 0 ? "; " : "", pci_address_format(&check->device, address),
                                          check->check, check->after,
                                          check->before[0] ? " and is to be '" : "", check->before,
                                          check->before[0] ? "'" : "");
        }
}

static void tell_event(const char *address, const ErrorNote *note, const char *evidence)
{
        char left_out[64] = "";

        if (note->n_left_out > 0)
                (void) snprintf(left_out, sizeof(left_out), " (%u more before were not told)",
                                note->n_left_out);
        (void) sd_journal_send("MESSAGE=%s: the kernel has announced an error: %s%s", address, note->event,
                               left_out, "PRIORITY=%i",
                               note->state == ERROR_STATE_SUCCESSFUL_RECOVERY ? LOG_NOTICE : LOG_WARNING,
                               "MESSAGE_ID=" MESSAGE_ID_DEVICE_ERROR, "PCIRESETD_DEVICE=%s", address,
                               "PCIRESETD_EVENT=%s", note->event, "PCIRESETD_ERROR_STATE=%s",
                               error_state_to_string(note->state), "PCIRESETD_EVIDENCE=%s", evidence, NULL);
}

void journal_error(const Device *device, const ErrorNote *note)
{
        char address[PCI_ADDRESS_STRING_MAX], evidence[1024];
        bool is_well = note->verdict == VERDICT_OK;

        pci_address_format(&device->facts.address, address);
        describe_checks(note, evidence, sizeof(evidence));
        if (note->event) {
                tell_event(address, note, evidence);
                return;
        }
        (void) sd_journal_send("MESSAGE=%s: after the error (%s) the device is %s%s%s", address,
                               error_state_to_string(note->state), verdict_to_string(note->verdict),
                               evidence[0] ? ": " : "", evidence, "PRIORITY=%i",
                               is_well ? LOG_INFO : LOG_ERR, "MESSAGE_ID=" MESSAGE_ID_ERROR_LOOK,
                               "PCIRESETD_DEVICE=%s", address, "PCIRESETD_VERDICT=%s",
                               verdict_to_string(note->verdict), "PCIRESETD_ERROR_STATE=%s",
                               error_state_to_string(note->state), "PCIRESETD_EVIDENCE=%s", evidence, NULL);
}
