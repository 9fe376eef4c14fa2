/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "worker/kernel-lines.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-id128.h>
#include <systemd/sd-journal.h>

#include "shared/cleanup.h"
#include "shared/utf8.h"

#define USEC_PER_SEC UINT64_C(1000000)
DEFINE_CLEANUP(WorkerResult *, worker_result_free);
DEFINE_CLEANUP(sd_journal *, sd_journal_close);

/* The field has what dev_printk() was called for. Several of one field mean any of them. */
static int match_device(sd_journal *journal, const PciAddress *device)
{
        char address[PCI_ADDRESS_STRING_MAX], match[sizeof("_KERNEL_DEVICE=+pci:") + sizeof(address)];

        (void) snprintf(match, sizeof(match), "_KERNEL_DEVICE=+pci:%s", pci_address_format(device, address));
        return sd_journal_add_match(journal, match, 0);
}

static int match_this_boot(sd_journal *journal)
{
        char match[sizeof("_BOOT_ID=") + SD_ID128_STRING_MAX];
        sd_id128_t boot;
        int r = sd_id128_get_boot(&boot);

        if (r < 0)
                return r;
        (void) snprintf(match, sizeof(match), "_BOOT_ID=" SD_ID128_FORMAT_STR, SD_ID128_FORMAT_VAL(boot));
        return sd_journal_add_match(journal, match, 0);
}

static int open_journal(const WorkerRequest *request, sd_journal **ret)
{
        _cleanup_(cleanup_sd_journal_close) sd_journal *journal = NULL;
        int r = sd_journal_open(&journal, SD_JOURNAL_LOCAL_ONLY);

        if (r >= 0)
                r = sd_journal_add_match(journal, "_TRANSPORT=kernel", 0);
        if (r >= 0)
                r = match_this_boot(journal);
        if (r >= 0)
                r = match_device(journal, &request->members[0].address);
        if (r >= 0 && request->has_bridge)
                r = match_device(journal, &request->bridge.address);
        if (r >= 0)
                r = sd_journal_seek_tail(journal);
        if (r >= 0)
                *ret = steal_pointer(journal);
        return r;
}

/* The entry at hand. 1, 0 if it has no text, or -ENOMEM. */
static int take_entry(sd_journal *journal, const PciAddress *device, WorkerCheck *ret)
{
        _cleanup_free_ char *line = NULL;
        const void *data;
        uint64_t usec = 0;
        sd_id128_t boot;
        size_t size;

        if (sd_journal_get_data(journal, "MESSAGE", &data, &size) < 0 || size < strlen("MESSAGE="))
                return 0;
        line = strndup(data, size);
        if (!line)
                return -ENOMEM;
        (void) sd_journal_get_monotonic_usec(journal, &usec, &boot);
        *ret = (WorkerCheck){.device = *device, .check = WORKER_LOG_CHECK, .result = CHECK_SKIPPED};
        (void) snprintf(ret->before, sizeof(ret->before), "%" PRIu64 ".%06" PRIu64, usec / USEC_PER_SEC,
                        usec % USEC_PER_SEC);
        (void) utf8_quote(line + strlen("MESSAGE="), ret->after, sizeof(ret->after));
        return 1;
}

/* Backwards from now, into the list from its end. */
static int read_lines(sd_journal *journal, const PciAddress *device, WorkerResult *result)
{
        WorkerCheck newest[WORKER_LOG_LINES_MAX];
        size_t first = WORKER_LOG_LINES_MAX;
        int r;

        while (first > 0 && sd_journal_previous(journal) > 0) {
                r = take_entry(journal, device, &newest[first - 1]);
                if (r < 0)
                        return r;
                first -= (size_t) r;
        }
        result->n_checks = WORKER_LOG_LINES_MAX - first;
        result->checks = calloc(WORKER_LOG_LINES_MAX, sizeof(WorkerCheck));
        if (!result->checks)
                return -ENOMEM;
        memcpy(result->checks, &newest[first], result->n_checks * sizeof(WorkerCheck));
        return 0;
}

int kernel_lines_run(int devices_fd, const WorkerRequest *request, WorkerResult **ret)
{
        _cleanup_(cleanup_worker_result_free) WorkerResult *result = calloc(1, sizeof(WorkerResult));
        _cleanup_(cleanup_sd_journal_close) sd_journal *journal = NULL;
        int r;

        (void) devices_fd;
        if (!result)
                return -ENOMEM;
        result->outcome = WORKER_DONE;
        r = open_journal(request, &journal);
        if (r < 0) {
                result->outcome = WORKER_FAILED;
                result->error = -r;
                (void) snprintf(result->message, sizeof(result->message), "the journal cannot be opened: %s",
                                strerror(-r));
        } else {
                r = read_lines(journal, &request->members[0].address, result);
                if (r < 0)
                        return r;
        }
        *ret = steal_pointer(result);
        return 0;
}
