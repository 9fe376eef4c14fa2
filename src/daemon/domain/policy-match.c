/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Which devices a rule is about.
 *
 * A pattern that could match nothing is refused when it is read. It would never be noticed otherwise: a rule
 * that forbids something and is about no device looks as good as any.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/domain/policy.h"
#include "shared/cleanup.h"
#include "shared/driver.h"
#include "shared/glob.h"

#define HEX_CHARACTERS "0123456789abcdef"
#define CLASS_DIGITS   6U
#define CLASS_MAX      0xffffffU

/* For glob_could_match(). Ids have 16 bits, and are written as if they had 32. */
#define CLASS_FORM    "xxxxxx"
#define MODALIAS_FORM "pci:v0000XXXXd0000XXXXsv0000XXXXsd0000XXXXbcXXscXXiXX"
static const char *const address_forms[] = {
        "xxxx:xx:xx.x", "xxxxx:xx:xx.x", "xxxxxx:xx:xx.x", "xxxxxxx:xx:xx.x", "xxxxxxxx:xx:xx.x",
};

/* Numbers of a kernel's version, and digits of each: more than any has. */
#define VERSION_PARTS  4U
#define VERSION_DIGITS 6U

static const struct {
        const char *name, *wanted;
} keys[] = {
        [POLICY_MATCH_ADDRESS] = {"address", "an address as in 0000:01:00.0, in lower case; * ? [] stand "
                                             "for parts of it"},
        [POLICY_MATCH_MODALIAS] = {"modalias", "a pattern for what the file `modalias` of a device reads, "
                                               "such as pci:v000010DE*"},
        [POLICY_MATCH_DRIVER] = {"driver", "a driver's name, in which * ? [] stand for parts of it; empty "
                                           "for devices without a driver"},
        [POLICY_MATCH_CLASS] = {"class", "a class as in 030000/ff0000, which is a value and its mask, or "
                                         "0300*; in lower case"},
        [POLICY_MATCH_ASSIGNED] = {"assigned", "true or false"},
        [POLICY_MATCH_KERNEL] = {"kernel", "a range as in 6.6..6.12, of which one end may be left out, or "
                                           "a pattern as in 6.12.*"},
};
_Static_assert(ELEMENTSOF(keys) == POLICY_MATCH_N, "each key has a name");

const char *policy_match_key_to_string(PolicyMatchKey key)
{
        return keys[key].name;
}

PolicyMatchKey policy_match_key_from_string(const char *name)
{
        for (PolicyMatchKey key = 0; key < POLICY_MATCH_N; key++)
                if (strcmp(keys[key].name, name) == 0)
                        return key;
        return POLICY_MATCH_N;
}

/* ---- kernels ---- */

typedef struct Version {
        unsigned parts[VERSION_PARTS];
        size_t n;
} Version;

/* Takes numbers with dots between them from the start of a text. Returns where they end. */
static const char *take_version(const char *text, Version *ret)
{
        const char *p = text;

        *ret = (Version){};
        while (ret->n < VERSION_PARTS) {
                size_t n = strspn(p, "0123456789");

                if (n == 0 || n > VERSION_DIGITS)
                        break;
                for (size_t i = 0; i < n; i++)
                        ret->parts[ret->n] = ret->parts[ret->n] * 10 + (unsigned) (p[i] - '0');
                ret->n++;
                p += n;
                if (p[0] != '.' || p[1] < '0' || p[1] > '9')
                        break;
                p++;
        }
        return p;
}

/* As far as both are written, or as the first `n` parts go. */
static int compare_versions(const Version *a, const Version *b, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (a->parts[i] != b->parts[i])
                        return a->parts[i] < b->parts[i] ? -1 : 1;
        return 0;
}

static bool take_range(const char *text, Version *ret_from, Version *ret_to)
{
        const char *p = take_version(text, ret_from);

        if (strncmp(p, "..", 2) != 0)
                return false;
        p = take_version(p + 2, ret_to);
        return *p == '\0' && ret_from->n + ret_to->n > 0;
}

static bool is_range(const char *pattern)
{
        return strstr(pattern, "..") != NULL;
}

static bool kernel_is_pattern(const char *pattern)
{
        Version from, to;

        if (!is_range(pattern))
                return pattern[0] != '\0' && glob_is_valid(pattern);
        return take_range(pattern, &from, &to) &&
               compare_versions(&from, &to, from.n < to.n ? from.n : to.n) <= 0;
}

bool policy_kernel_matches(const char *pattern, const char *kernel)
{
        Version from, to, version;

        if (!is_range(pattern))
                return glob_matches(pattern, kernel);
        (void) take_version(kernel, &version);
        return version.n > 0 && take_range(pattern, &from, &to) &&
               compare_versions(&version, &from, from.n) >= 0 && compare_versions(&version, &to, to.n) <= 0;
}

/* ---- classes ---- */

/* A number of at most six digits, with `0x` before it or not. Returns where it ends, NULL if there is none.
 */
static const char *take_hex(const char *text, uint32_t *ret)
{
        const char *p = strncmp(text, "0x", 2) == 0 ? text + 2 : text;
        size_t n = strspn(p, HEX_CHARACTERS);

        if (n == 0 || n > CLASS_DIGITS)
                return NULL;
        *ret = 0;
        for (size_t i = 0; i < n; i++)
                *ret = *ret << 4 | (uint32_t) (strchr(HEX_CHARACTERS, p[i]) - HEX_CHARACTERS);
        return p + n;
}

static bool take_masked(const char *text, uint32_t *ret_value, uint32_t *ret_mask)
{
        const char *p = take_hex(text, ret_value);

        if (!p || *p != '/')
                return false;
        p = take_hex(p + 1, ret_mask);
        return p && *p == '\0';
}

static const char *without_prefix(const char *pattern)
{
        return strncmp(pattern, "0x", 2) == 0 ? pattern + 2 : pattern;
}

static bool class_is_pattern(const char *pattern)
{
        uint32_t value, mask;

        if (strchr(pattern, '/'))
                return take_masked(pattern, &value, &mask) && (value & ~mask & CLASS_MAX) == 0;
        return glob_is_valid(pattern) && glob_could_match(without_prefix(pattern), CLASS_FORM);
}

static bool class_matches(const char *pattern, uint32_t class)
{
        uint32_t value, mask;
        char digits[CLASS_DIGITS + 1];

        if (strchr(pattern, '/'))
                return take_masked(pattern, &value, &mask) && (class & mask) == value;
        (void) snprintf(digits, sizeof(digits), "%06x", class & CLASS_MAX);
        return glob_matches(without_prefix(pattern), digits);
}

/* ---- reading ---- */

static bool address_is_pattern(const char *pattern)
{
        if (!glob_is_valid(pattern))
                return false;
        for (size_t i = 0; i < ELEMENTSOF(address_forms); i++)
                if (glob_could_match(pattern, address_forms[i]))
                        return true;
        return false;
}

static bool is_pattern(PolicyMatchKey key, const char *pattern)
{
        switch (key) {
        case POLICY_MATCH_ADDRESS:
                return address_is_pattern(pattern);
        case POLICY_MATCH_MODALIAS:
                return glob_is_valid(pattern) && glob_could_match(pattern, MODALIAS_FORM);
        case POLICY_MATCH_DRIVER:
                return glob_is_valid(pattern);
        case POLICY_MATCH_CLASS:
                return class_is_pattern(pattern);
        case POLICY_MATCH_ASSIGNED:
                return strcmp(pattern, "true") == 0 || strcmp(pattern, "false") == 0;
        case POLICY_MATCH_KERNEL:
                return kernel_is_pattern(pattern);
        case POLICY_MATCH_N:
                break;
        }
        return false;
}

int policy_match_set(PolicyMatch *match, PolicyMatchKey key, const char *pattern, const char **ret_wanted)
{
        size_t length = strlen(pattern);

        *ret_wanted = keys[key].wanted;
        if (match->set & 1U << key)
                return -EEXIST;
        if (length >= POLICY_PATTERN_MAX || !is_pattern(key, pattern))
                return -EINVAL;
        memcpy(match->patterns[key], pattern, length + 1);
        match->set |= 1U << key;
        return 0;
}

/* `key=pattern`, cut out of a longer text. */
static int read_word(PolicyMatch *match, const char *word, size_t length, const char **ret_wanted)
{
        const char *equals = memchr(word, '=', length);
        char name[POLICY_PATTERN_MAX], pattern[POLICY_PATTERN_MAX];
        size_t name_length, pattern_length;
        PolicyMatchKey key;
        int r;

        *ret_wanted =
                "an address, or words as in driver=nvme, of which the keys are address, modalias, driver, "
                "class, assigned and kernel";
        if (!equals)
                return -EINVAL;
        name_length = (size_t) (equals - word);
        pattern_length = length - name_length - 1;
        if (name_length >= sizeof(name))
                return -EINVAL;
        memcpy(name, word, name_length);
        name[name_length] = '\0';
        key = policy_match_key_from_string(name);
        if (key == POLICY_MATCH_N)
                return -EINVAL;
        *ret_wanted = keys[key].wanted;
        if (pattern_length >= sizeof(pattern))
                return -EINVAL;
        memcpy(pattern, equals + 1, pattern_length);
        pattern[pattern_length] = '\0';
        r = policy_match_set(match, key, pattern, ret_wanted);
        if (r == -EEXIST)
                *ret_wanted = "each key once";
        return r < 0 ? -EINVAL : 0;
}

int policy_match_parse(const char *text, PolicyMatch *ret, const char **ret_wanted)
{
        PciAddress address;
        const char *p = text;
        int r = 0;

        *ret = (PolicyMatch){};
        *ret_wanted = "an address or at least one word as in driver=nvme, and no more than 767 bytes";
        if (strnlen(text, POLICY_MATCH_TEXT_MAX) == POLICY_MATCH_TEXT_MAX)
                return -EINVAL;
        if (pci_address_parse(text, &address) == 0)
                return policy_match_set(ret, POLICY_MATCH_ADDRESS, text, ret_wanted);
        while (r >= 0 && *(p += strspn(p, " ")) != '\0') {
                size_t length = strcspn(p, " ");

                r = read_word(ret, p, length, ret_wanted);
                p += length;
        }
        return r < 0 || ret->set == 0 ? -EINVAL : 0;
}

const char *policy_match_format(const PolicyMatch *match, char buffer[static POLICY_MATCH_TEXT_MAX])
{
        size_t used = 0;

        buffer[0] = '\0';
        for (PolicyMatchKey key = 0; key < POLICY_MATCH_N; key++)
                if (match->set & 1U << key)
                        used += (size_t) snprintf(buffer + used, POLICY_MATCH_TEXT_MAX - used, "%s%s=%s",
                                                  used > 0 ? " " : "", keys[key].name, match->patterns[key]);
        return buffer;
}
_Static_assert(POLICY_MATCH_N *(POLICY_PATTERN_MAX + sizeof("modalias=")) <= POLICY_MATCH_TEXT_MAX,
               "each match can be written");

/* ---- matching ---- */

void policy_subject_init(PolicySubject *subject, const DeviceFacts *facts, const char *kernel)
{
        DriverKind kind = driver_kind(facts->driver);

        *subject = (PolicySubject){
                .class = facts->class,
                .assigned = kind == DRIVER_ASSIGNABLE || kind == DRIVER_PCIBACK,
        };
        (void) pci_address_format(&facts->address, subject->address);
        (void) snprintf(subject->modalias, sizeof(subject->modalias),
                        "pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X", (unsigned) facts->vendor,
                        (unsigned) facts->device, (unsigned) facts->subsystem_vendor,
                        (unsigned) facts->subsystem_device, facts->class >> 16 & 0xffU,
                        facts->class >> 8 & 0xffU, facts->class & 0xffU);
        (void) snprintf(subject->driver, sizeof(subject->driver), "%s", facts->driver);
        (void) snprintf(subject->kernel, sizeof(subject->kernel), "%s", kernel);
}

static bool key_applies(PolicyMatchKey key, const char *pattern, const PolicySubject *subject)
{
        switch (key) {
        case POLICY_MATCH_ADDRESS:
                return glob_matches(pattern, subject->address);
        case POLICY_MATCH_MODALIAS:
                return glob_matches(pattern, subject->modalias);
        case POLICY_MATCH_DRIVER:
                return glob_matches(pattern, subject->driver);
        case POLICY_MATCH_CLASS:
                return class_matches(pattern, subject->class);
        case POLICY_MATCH_ASSIGNED:
                return (strcmp(pattern, "true") == 0) == subject->assigned;
        case POLICY_MATCH_KERNEL:
                return policy_kernel_matches(pattern, subject->kernel);
        case POLICY_MATCH_N:
                break;
        }
        return false;
}

bool policy_match_applies(const PolicyMatch *match, const PolicySubject *subject)
{
        for (PolicyMatchKey key = 0; key < POLICY_MATCH_N; key++)
                if (match->set & 1U << key && !key_applies(key, match->patterns[key], subject))
                        return false;
        return true;
}
