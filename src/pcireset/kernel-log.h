/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the kernel has said about a device since boot, from the journal.
 */

#include "pcireset/bus-json.h"
#include "pcireset/redact.h"

/* The newest ones, and no longer ones. */
#define KERNEL_LOG_LINES_MAX 200U
#define KERNEL_LOG_LINE_MAX  512U

/* True if the line has the address as a word of its own. */
bool kernel_log_names(const char *line, const char *address);

/* Reads the lines of the kernel's that name the device, oldest first, each with the seconds since boot in
 * front. Lines that quote the kernel's command line are left out unless the redactor is off. 1 and the
 * lines (`ret_more`: there are older ones); 0 if this user may not read the kernel's messages, or there are
 * none; -ENOMEM. */
int kernel_log_read(const char *address, const Redactor *redactor, json_object **ret, bool *ret_more);

/* The text of one line as it may be shown, or NULL with `*ret_dropped` if it may not at all, or NULL: out of
 * memory. */
char *kernel_log_clean(const char *line, const Redactor *redactor, bool *ret_dropped);
