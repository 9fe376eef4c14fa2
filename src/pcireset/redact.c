/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A text is copied from left to right. At each place where a word begins, the patterns are tried in turn;
 * the first one that matches says how many characters go.
 */

#include "pcireset/redact.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/cleanup.h"

#define LITERAL_MIN 6U
/* A MAC address has six pairs of digits, a GUID eight. */
#define PAIRS_MIN 6U
/* InfiniBand's GUIDs, and MAC addresses as some write them: 0011.2233.4455. */
#define QUADS_MIN 3U

void redactor_done(Redactor *redactor)
{
        for (size_t i = 0; i < redactor->n_literals; i++)
                free(redactor->literals[i]);
        free(redactor->literals);
}

int redactor_add(Redactor *redactor, const char *literal)
{
        char **grown;

        if (strlen(literal) < LITERAL_MIN)
                return 0;
        grown = reallocarray(redactor->literals, redactor->n_literals + 1, sizeof(char *));
        if (!grown)
                return -ENOMEM;
        redactor->literals = grown;
        grown[redactor->n_literals] = strdup(literal);
        return grown[redactor->n_literals] ? (redactor->n_literals++, 0) : -ENOMEM;
}

static bool is_hex(char c)
{
        return isxdigit((unsigned char) c);
}

static bool is_word(char c)
{
        return isalnum((unsigned char) c) || c == '_';
}

static size_t hex_run(const char *text)
{
        size_t n = 0;

        while (is_hex(text[n]))
                n++;
        return n;
}

/* Groups of `digits` hexadecimal digits with the same separator between them, `min` groups at least. */
static size_t match_groups(const char *text, size_t digits, size_t min, const char *separators)
{
        size_t length = 0, n = 0;
        char separator;

        if (hex_run(text) != digits)
                return 0;
        separator = text[digits];
        if (!separator || !strchr(separators, separator))
                return 0;
        while (hex_run(text + length) == digits) {
                length += digits;
                n++;
                if (text[length] != separator)
                        break;
                length++;
        }
        if (n > 0 && text[length - 1] == separator)
                length--;
        return n >= min && !is_word(text[length]) ? length : 0;
}

/* 8-4-4-4-12, as of a GPU or a partition. */
static size_t match_uuid(const char *text)
{
        static const size_t groups[] = {8, 4, 4, 4, 12};
        size_t length = 0;

        for (size_t i = 0; i < ELEMENTSOF(groups); i++) {
                if (i > 0 && text[length++] != '-')
                        return 0;
                if (hex_run(text + length) != groups[i])
                        return 0;
                length += groups[i];
        }
        return length;
}

/* The next character that is no separator of digits. */
static const char *skip_separators(const char *text)
{
        while (*text == ':' || *text == '-' || *text == '.')
                text++;
        return text;
}

/* How much of the text is the literal, whatever separates its characters in either of them. */
static size_t match_literal(const char *text, const char *literal)
{
        const char *p = text;

        for (const char *l = skip_separators(literal); *l; l = skip_separators(l + 1)) {
                if (p != text)
                        p = skip_separators(p);
                if (tolower((unsigned char) *p) != tolower((unsigned char) *l))
                        return 0;
                p++;
        }
        return (size_t) (p - text);
}

/* Words behind which a value follows that is to go. `plain`: blanks are enough between them. */
static const struct {
        const char *word;
        bool plain;
} announcements[] = {
        {"serial number", true}, {"serial no", true},   {"serial", true},      {"serialnumber", true},
        {"s/n", true},           {"sn", false},         {"service tag", true}, {"asset tag", true},
        {"uuid", true},          {"guid", true},        {"wwn", true},         {"wwpn", true},
        {"wwnn", true},          {"wwid", true},        {"eui", true},         {"mac address", true},
        {"mac addr", true},      {"mac", false},        {"hwaddr", true},      {"password", false},
        {"passwd", false},       {"passphrase", false}, {"secret", false},     {"token", false},
        {"psk", false},          {"key", false},
};

/* What comes before the value: how long it is, 0 if there is no value. */
static size_t match_announcement(const char *text)
{
        for (size_t i = 0; i < ELEMENTSOF(announcements); i++) {
                size_t length = strlen(announcements[i].word), gap;

                if (strncasecmp(text, announcements[i].word, length) != 0)
                        continue;
                gap = strspn(text + length, " \t:=#.\"'([");
                if (gap == 0 || !text[length + gap] ||
                    (!announcements[i].plain && !memchr(text + length, '=', gap) &&
                     !memchr(text + length, ':', gap)))
                        continue;
                return length + gap;
        }
        return 0;
}

/* The value behind an announcement: the rest of the word. Without a digit it is an ordinary word of the
 * sentence, but for what is a secret by its form (`password=`). */
static size_t match_value(const char *text, bool assigned)
{
        size_t length = strcspn(text, " \t,;)]\"'");

        if (assigned)
                return length;
        for (size_t i = 0; i < length; i++)
                if (isdigit((unsigned char) text[i]))
                        return length;
        return 0;
}

static size_t match_pattern(const Redactor *redactor, const char *text)
{
        size_t length = match_groups(text, 2, PAIRS_MIN, ":-");

        if (length == 0)
                length = match_groups(text, 4, QUADS_MIN, ":.-");
        if (length == 0)
                length = match_uuid(text);
        for (size_t i = 0; i < redactor->n_literals && length == 0; i++)
                length = match_literal(text, redactor->literals[i]);
        return length;
}

/* Copies what is announced at this place, without the value. Returns how much of the text is done with. */
static size_t copy_announced(FILE *stream, const char *text)
{
        size_t before = match_announcement(text), value;

        if (before == 0)
                return 0;
        value = match_value(text + before, memchr(text, '=', before) != NULL);
        if (value == 0)
                return 0;
        (void) fwrite(text, 1, before, stream);
        (void) fputs(REDACTED, stream);
        return before + value;
}

static void copy_redacted(const Redactor *redactor, FILE *stream, const char *text)
{
        bool begins = true; /* a word does */

        while (*text) {
                size_t length;

                /* This is no part of the digits. */
                if (begins && strncasecmp(text, "0x", 2) == 0 && is_hex(text[2])) {
                        (void) fwrite(text, 1, 2, stream);
                        text += 2;
                }
                length = begins ? match_pattern(redactor, text) : 0;

                if (length > 0) {
                        (void) fputs(REDACTED, stream);
                } else if (!begins || (length = copy_announced(stream, text)) == 0) {
                        (void) fputc(*text, stream);
                        length = 1;
                }
                /* `0x` is no part of the word. */
                begins = !is_word(text[length - 1]);
                text += length;
        }
}

char *redact(const Redactor *redactor, const char *text)
{
        char *copy = NULL;
        size_t size;
        FILE *stream;

        if (redactor->off)
                return strdup(text);
        stream = open_memstream(&copy, &size);
        if (!stream)
                return NULL;
        copy_redacted(redactor, stream, text);
        if (fclose(stream) != 0) {
                free(copy);
                return NULL;
        }
        return copy;
}

bool redact_parameter_is_wanted(const char *parameter)
{
        static const char *const names[] = {
                "pci",          "pci=",       "pcie_",      "pciehp.", "pciback.",    "xen-pciback.",
                "xen_pciback.", "pci-stub.",  "pci_stub.",  "iommu",   "intel_iommu", "amd_iommu",
                "vfio",         "nvme_core.", "pcie_ports", "acpi=",   "acpi_osi",    "swiotlb"};

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                size_t length = strlen(names[i]);
                char last = names[i][length - 1];

                if (strncmp(parameter, names[i], length) != 0)
                        continue;
                /* A whole name, unless it is written as the beginning of many. */
                if (strchr("._=", last) || strcmp(names[i], "vfio") == 0 || !parameter[length] ||
                    strchr("=.", parameter[length]))
                        return true;
        }
        return false;
}
