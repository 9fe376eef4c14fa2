/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The journal is read backwards from now, so that what is bounded away is the oldest. An entry's text says
 * which device it is about; journald's own field for that has only what drivers say through dev_printk().
 */

#include "pcireset/kernel-log.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <systemd/sd-id128.h>
#include <systemd/sd-journal.h>

#include "pcireset/text.h"
#include "shared/utf8.h"

/* A machine that logs without end must not keep us for ever. */
#define ENTRIES_MAX 500000U

DEFINE_CLEANUP(sd_journal *, sd_journal_close);

bool kernel_log_names(const char *line, const char *address)
{
        size_t length = strlen(address);

        for (const char *p = line; (p = strstr(p, address)); p++)
                if ((p == line || !isalnum((unsigned char) p[-1])) && !isalnum((unsigned char) p[length]))
                        return true;
        return false;
}

char *kernel_log_clean(const char *line, const Redactor *redactor, bool *ret_dropped)
{
        char cut[KERNEL_LOG_LINE_MAX];

        *ret_dropped = !redactor->off && strcasestr(line, "command line");
        return *ret_dropped ? NULL : redact(redactor, utf8_quote(line, cut, sizeof(cut)));
}

/* Whatever else is in the journal; 0 or a negative errno. */
static int open_journal(sd_journal **ret)
{
        _cleanup_(cleanup_sd_journal_close) sd_journal *journal = NULL;
        char match[sizeof("_BOOT_ID=") + SD_ID128_STRING_MAX];
        sd_id128_t boot;
        int r;

        r = sd_id128_get_boot(&boot);
        if (r < 0)
                return r;
        (void) snprintf(match, sizeof(match), "_BOOT_ID=" SD_ID128_FORMAT_STR, SD_ID128_FORMAT_VAL(boot));
        r = sd_journal_open(&journal, SD_JOURNAL_LOCAL_ONLY);
        if (r >= 0)
                r = sd_journal_add_match(journal, "_TRANSPORT=kernel", 0);
        if (r >= 0)
                r = sd_journal_add_match(journal, match, 0);
        if (r >= 0)
                r = sd_journal_seek_tail(journal);
        if (r >= 0)
                *ret = steal_pointer(journal);
        return r;
}

/* Seconds since boot, as dmesg(1) shows them. */
static uint64_t monotonic_usec(sd_journal *journal)
{
        uint64_t usec = 0;
        sd_id128_t boot;

        return sd_journal_get_monotonic_usec(journal, &usec, &boot) < 0 ? 0 : usec;
}

/* Appends the entry at hand if it is about the device. 0 or -ENOMEM. */
static int take_entry(sd_journal *journal, const char *address, const Redactor *redactor, json_object *lines)
{
        _cleanup_free_ char *line = NULL, *clean = NULL, *text = NULL;
        uint64_t usec = monotonic_usec(journal);
        const char *message;
        const void *data;
        size_t size;
        bool dropped;

        if (sd_journal_get_data(journal, "MESSAGE", &data, &size) < 0 || size < strlen("MESSAGE="))
                return 0;
        line = strndup(data, size);
        if (!line)
                return -ENOMEM;
        message = line + strlen("MESSAGE=");
        if (!kernel_log_names(message, address))
                return 0;
        clean = kernel_log_clean(message, redactor, &dropped);
        if (!clean)
                return dropped ? 0 : -ENOMEM;
        if (asprintf(&text, "[%5" PRIu64 ".%06" PRIu64 "] %s", usec / USEC_PER_SEC, usec % USEC_PER_SEC,
                     clean) < 0)
                return -ENOMEM;
        return json_append(lines, json_object_new_string(text));
}

/* The same lines, the last one first. */
static int reverse(json_object *lines, json_object **ret)
{
        _cleanup_json_ json_object *reversed = json_object_new_array();

        if (!reversed)
                return -ENOMEM;
        for (size_t i = json_length(lines); i > 0; i--)
                if (json_append(reversed, json_object_get(json_object_array_get_idx(lines, i - 1))) < 0)
                        return -ENOMEM;
        *ret = steal_pointer(reversed);
        return 1;
}

int kernel_log_read(const char *address, const Redactor *redactor, json_object **ret, bool *ret_more)
{
        _cleanup_(cleanup_sd_journal_close) sd_journal *journal = NULL;
        _cleanup_json_ json_object *lines = json_object_new_array();
        size_t n = 0;

        *ret_more = false;
        if (!lines)
                return -ENOMEM;
        if (open_journal(&journal) < 0)
                return 0;
        for (; n < ENTRIES_MAX && sd_journal_previous(journal) > 0; n++) {
                if (json_length(lines) == KERNEL_LOG_LINES_MAX) {
                        *ret_more = true;
                        break;
                }
                if (take_entry(journal, address, redactor, lines) < 0)
                        return -ENOMEM;
        }
        *ret_more = *ret_more || n == ENTRIES_MAX;
        return n == 0 ? 0 : reverse(lines, ret);
}
