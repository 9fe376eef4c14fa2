/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Takes out of a text what names one piece of hardware, or is a secret, before it goes to strangers.
 *
 * What a text has is not known beforehand, so two ways are gone at once: whatever looks like an identity of
 * hardware (a MAC address, a GUID, a UUID) or stands behind a word that announces one (`serial`, `S/N`,
 * `password=`) goes; and so does each literal that is known to be one of this device, however its
 * hexadecimal digits are grouped. Addresses of PCI, of memory and of ports stay.
 */

#include <stdbool.h>
#include <stddef.h>

#define REDACTED "[left out]"

typedef struct Redactor {
        char **literals; /* owned */
        size_t n_literals;
        bool off; /* everything stays */
} Redactor;

void redactor_done(Redactor *redactor);

/* A text that is to go wherever it occurs. Shorter ones than six characters are ignored, since they would
 * occur by chance. 0 or -ENOMEM. */
int redactor_add(Redactor *redactor, const char *literal);

/* A copy of the text without all that. NULL: out of memory. The caller frees it. */
char *redact(const Redactor *redactor, const char *text);

/* True for a parameter of the kernel's command line (`name` or `name=value`) that is about PCI, IOMMUs or
 * device assignment, and for no other. */
bool redact_parameter_is_wanted(const char *parameter);
