/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Which devices a rule is about: patterns, and that those which are wrong or could match nothing are
 * refused.
 */

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "daemon/domain/policy.h"
#include "shared/cleanup.h"
#include "shared/glob.h"
#include "unit.h"

#define TEN   "xxxxxxxxxx"
#define FIFTY TEN TEN TEN TEN TEN

/* ---- globs ---- */

static const struct {
        const char *pattern;
        bool valid;
} validities[] = {
        {"", true},       {"*", true},        {"a?b*", true},      {"[ab]", true},    {"[a-f0-9]", true},
        {"[!a]x", true},  {"]", true},        {"a-b!", true},      {"[a", false},     {"[", false},
        {"[]", false},    {"[]a]", false},    {"[!]", false},      {"[a-]", false},   {"[-a]", false},
        {"[b-a]", false}, {"[[a]", false},    {"[a-[]", false},    {"a b", false},    {"a\tb", false},
        {"[ ]", false},   {"\x7f", false},    {"\xc3\xa4", false}, {"[\xc3]", false}, {"[!", false},
        {"[a-", false},   {"[a-c-e]", false},
};

START_TEST(glob_validity)
{
        ck_assert_int_eq(glob_is_valid(validities[_i].pattern), validities[_i].valid);
}
END_TEST

/* A small alphabet, so that many match. The C library's own matcher is the judge. */
START_TEST(globs_are_the_shells)
{
        static const char *const parts[] = {"a", "b", "c", "*", "?", "[ab]", "[!a]", "[a-b]", "*"};
        unsigned state = 1, n_matches = 0;

        for (int round = 0; round < 40000; round++) {
                char pattern[64] = "", text[16];
                size_t n_text;

                for (unsigned n = rand_r(&state) % 7; n > 0; n--)
                        strcat(pattern, parts[(unsigned) rand_r(&state) % ELEMENTSOF(parts)]);
                n_text = (unsigned) rand_r(&state) % 8;
                for (size_t i = 0; i < n_text; i++)
                        text[i] = "abc"[(unsigned) rand_r(&state) % 3];
                text[n_text] = '\0';
                ck_assert(glob_is_valid(pattern));
                ck_assert_msg(glob_matches(pattern, text) == (fnmatch(pattern, text, FNM_NOESCAPE) == 0),
                              "%s on %s", pattern, text);
                n_matches += glob_matches(pattern, text);
        }
        ck_assert_uint_gt(n_matches, 4000);
        ck_assert_uint_lt(n_matches, 36000);
}
END_TEST

/* Would not end if each star multiplied the work. */
START_TEST(globs_end)
{
        char pattern[8192], text[4096];

        for (size_t i = 0; i < sizeof(pattern) - 3; i += 2)
                memcpy(pattern + i, "*a", 3);
        memset(text, 'a', sizeof(text));
        text[sizeof(text) - 1] = '\0';
        strcpy(pattern + 4000, "*b");
        ck_assert(!glob_matches(pattern, text));
}
END_TEST

/* Each text of a form that a pattern matches, tried one by one. */
static bool matches_some(const char *pattern, const char *form)
{
        static const char digits[] = "0123456789abcdef";
        char text[4] = "";

        for (unsigned i = 0; i < 16 * 16; i++) {
                unsigned left = i;

                for (size_t k = 0; k < 3; k++)
                        if (form[k] == 'x') {
                                text[k] = digits[left % 16];
                                left /= 16;
                        } else {
                                text[k] = form[k];
                        }
                if (glob_matches(pattern, text))
                        return true;
        }
        return false;
}

START_TEST(globs_could_match)
{
        static const char *const parts[] = {"a", "f", "0", "g", "*", "?", "[a-g]", "[!0-9a-f]", ":"};
        static const char *const forms[] = {"xx:", "x:x", "a:x", "::x"};
        unsigned state = 2, n_could = 0;

        for (int round = 0; round < 4000; round++) {
                const char *form = forms[(unsigned) rand_r(&state) % ELEMENTSOF(forms)];
                char pattern[64] = "";
                bool could;

                for (unsigned n = rand_r(&state) % 5; n > 0; n--)
                        strcat(pattern, parts[(unsigned) rand_r(&state) % ELEMENTSOF(parts)]);
                could = glob_could_match(pattern, form);
                ck_assert_msg(could == matches_some(pattern, form), "%s on %s", pattern, form);
                n_could += could;
        }
        ck_assert_uint_gt(n_could, 200);
        ck_assert_uint_lt(n_could, 3800);
}
END_TEST

/* ---- kernels ---- */

static const struct {
        const char *pattern, *kernel;
        bool matches;
} kernels[] = {
        {"6.6..6.12", "6.6.0", true},
        {"6.6..6.12", "6.5.99", false},
        {"6.6..6.12", "6.12.57", true},
        {"6.6..6.12", "6.13.0-rc1", false},
        {"6.6..6.12", "6.12", true},
        {"..6.5", "6.5.7+deb13-amd64", true},
        {"..6.5", "6.6", false},
        {"..6.5", "5.15.0", true},
        {"6.12..", "6.12.0-rc3", true},
        {"6.12..", "7.0.1", true},
        {"6.12..", "6.9.1", false},
        {"6.12.5..", "6.12.4", false},
        {"6.12.5..", "6.12", false},
        {"6.12.5..6.12", "6.12.60", true},
        {"6..6", "6.17.3", true},
        {"6..6", "7.0", false},
        {"..6.5", "unknown", false},
        {"6.6..", "v6.6", false},
        {"6.12.*", "6.12.57-amd64", true},
        {"6.12.*", "6.1.2", false},
        {"*-rt*", "6.12.57-rt-amd64", true},
        {"..6", "1234567.1", false},
        {"5.4..5.4.3", "5.4.3.1", true},
        {"5.4..5.4.3", "5.4.4", false},
};

START_TEST(kernel_matches)
{
        PolicyMatch match = {};
        const char *wanted;

        ck_assert_int_eq(policy_match_set(&match, POLICY_MATCH_KERNEL, kernels[_i].pattern, &wanted), 0);
        ck_assert_int_eq(policy_kernel_matches(kernels[_i].pattern, kernels[_i].kernel),
                         kernels[_i].matches);
}
END_TEST

/* ---- one key ---- */

static const DeviceFacts gpu = {
        .address = {.domain = 0, .bus = 1, .device = 0, .function = 0},
        .vendor = 0x10de,
        .device = 0x1b80,
        .subsystem_vendor = 0x1458,
        .subsystem_device = 0x3702,
        .class = 0x030000,
        .driver = "nouveau",
};

static const struct {
        PolicyMatchKey key;
        const char *pattern;
        bool valid, matches; /* the device above, on Linux 6.12.57 */
} patterns[] = {
        {POLICY_MATCH_ADDRESS, "0000:01:00.0", true, true},
        {POLICY_MATCH_ADDRESS, "0000:01:*", true, true},
        {POLICY_MATCH_ADDRESS, "0000:0[1-3]:00.?", true, true},
        {POLICY_MATCH_ADDRESS, "*", true, true},
        {POLICY_MATCH_ADDRESS, "0000:01:00.1", true, false},
        {POLICY_MATCH_ADDRESS, "10000:01:00.0", true, false},
        {POLICY_MATCH_ADDRESS, "", false, false},
        {POLICY_MATCH_ADDRESS, "01:00.0", false, false},
        {POLICY_MATCH_ADDRESS, "01:*", false, false},
        {POLICY_MATCH_ADDRESS, "0000:0A:00.*", false, false},
        {POLICY_MATCH_ADDRESS, "0000:01:00.0 ", false, false},
        {POLICY_MATCH_ADDRESS, "0000:01:00.[", false, false},
        {POLICY_MATCH_ADDRESS, "nvme*", false, false},
        {POLICY_MATCH_MODALIAS, "pci:v000010DEd00001B80sv00001458sd00003702bc03sc00i00", true, true},
        {POLICY_MATCH_MODALIAS, "pci:v000010DE*", true, true},
        {POLICY_MATCH_MODALIAS, "*bc03sc00i*", true, true},
        {POLICY_MATCH_MODALIAS, "*sv00001458*", true, true},
        {POLICY_MATCH_MODALIAS, "pci:v00008086*", true, false},
        {POLICY_MATCH_MODALIAS, "pci:v000010de*", false, false},
        {POLICY_MATCH_MODALIAS, "pci:v10DE*", false, false},
        {POLICY_MATCH_MODALIAS, "pci:v000010DEd00001B80", false, false},
        {POLICY_MATCH_MODALIAS, "v000010DE*", false, false},
        {POLICY_MATCH_MODALIAS, "usb:*", false, false},
        {POLICY_MATCH_MODALIAS, "", false, false},
        {POLICY_MATCH_DRIVER, "nouveau", true, true},
        {POLICY_MATCH_DRIVER, "n*", true, true},
        {POLICY_MATCH_DRIVER, "?*", true, true},
        {POLICY_MATCH_DRIVER, "nv", true, false},
        {POLICY_MATCH_DRIVER, "", true, false},
        {POLICY_MATCH_DRIVER, "[n", false, false},
        {POLICY_MATCH_DRIVER, "a b", false, false},
        {POLICY_MATCH_DRIVER, FIFTY FIFTY, false, false},
        {POLICY_MATCH_CLASS, "030000", true, true},
        {POLICY_MATCH_CLASS, "0x030000", true, true},
        {POLICY_MATCH_CLASS, "03*", true, true},
        {POLICY_MATCH_CLASS, "0x0300??", true, true},
        {POLICY_MATCH_CLASS, "030000/ff0000", true, true},
        {POLICY_MATCH_CLASS, "0x030000/0xff0000", true, true},
        {POLICY_MATCH_CLASS, "0/0", true, true},
        {POLICY_MATCH_CLASS, "020000/ff0000", true, false},
        {POLICY_MATCH_CLASS, "01*", true, false},
        {POLICY_MATCH_CLASS, "030000/00ff00", false, false},
        {POLICY_MATCH_CLASS, "0300", false, false},
        {POLICY_MATCH_CLASS, "0C*", false, false},
        {POLICY_MATCH_CLASS, "0300000*", false, false},
        {POLICY_MATCH_CLASS, "030000/", false, false},
        {POLICY_MATCH_CLASS, "/ff0000", false, false},
        {POLICY_MATCH_CLASS, "030000/ff0000/ff", false, false},
        {POLICY_MATCH_CLASS, "0030000/ff0000", false, false},
        {POLICY_MATCH_CLASS, "display", false, false},
        {POLICY_MATCH_CLASS, "", false, false},
        {POLICY_MATCH_ASSIGNED, "false", true, true},
        {POLICY_MATCH_ASSIGNED, "true", true, false},
        {POLICY_MATCH_ASSIGNED, "yes", false, false},
        {POLICY_MATCH_ASSIGNED, "", false, false},
        {POLICY_MATCH_KERNEL, "6.12.57", true, true},
        {POLICY_MATCH_KERNEL, "6.6..", true, true},
        {POLICY_MATCH_KERNEL, "..", false, false},
        {POLICY_MATCH_KERNEL, "", false, false},
        {POLICY_MATCH_KERNEL, "6.12..6.6", false, false},
        {POLICY_MATCH_KERNEL, "6.12..6.12.5", true, false},
        {POLICY_MATCH_KERNEL, "6.6..6.12.*", false, false},
        {POLICY_MATCH_KERNEL, "6.6...6.12", false, false},
        {POLICY_MATCH_KERNEL, "6.6..6.12-rc1", false, false},
        {POLICY_MATCH_KERNEL, "1.2.3.4.5..", false, false},
        {POLICY_MATCH_KERNEL, "1234567..", false, false},
        {POLICY_MATCH_KERNEL, "99999999999999999999..", false, false},
        {POLICY_MATCH_KERNEL, "[6", false, false},
};

START_TEST(key_matches)
{
        PolicyMatch match = {};
        PolicySubject subject;
        const char *wanted = NULL;
        int r = policy_match_set(&match, patterns[_i].key, patterns[_i].pattern, &wanted);

        ck_assert_msg(r == (patterns[_i].valid ? 0 : -EINVAL), "%s", patterns[_i].pattern);
        ck_assert_ptr_nonnull(wanted);
        if (r < 0) {
                ck_assert_uint_eq(match.set, 0);
                return;
        }
        policy_subject_init(&subject, &gpu, "6.12.57");
        ck_assert_msg(policy_match_applies(&match, &subject) == patterns[_i].matches, "%s",
                      patterns[_i].pattern);
        ck_assert_int_eq(policy_match_set(&match, patterns[_i].key, patterns[_i].pattern, &wanted), -EEXIST);
}
END_TEST

START_TEST(no_driver)
{
        PolicyMatch match = {};
        PolicySubject subject;
        DeviceFacts facts = gpu;
        const char *wanted;

        ck_assert_int_eq(policy_match_set(&match, POLICY_MATCH_DRIVER, "", &wanted), 0);
        facts.driver[0] = '\0';
        policy_subject_init(&subject, &facts, "6.12");
        ck_assert(policy_match_applies(&match, &subject) && !subject.assigned);
        match = (PolicyMatch){};
        ck_assert_int_eq(policy_match_set(&match, POLICY_MATCH_DRIVER, "?*", &wanted), 0);
        ck_assert(!policy_match_applies(&match, &subject));
}
END_TEST

static const struct {
        const char *driver;
        bool assigned;
} assignments[] = {
        {"vfio-pci", true},         {"mlx5_vfio_pci", true}, {"pci-stub", true}, {"pciback", true},
        {"uio_pci_generic", false}, {"nvme", false},         {"", false},
};

START_TEST(assigned)
{
        DeviceFacts facts = gpu;
        PolicySubject subject;

        (void) snprintf(facts.driver, sizeof(facts.driver), "%s", assignments[_i].driver);
        policy_subject_init(&subject, &facts, "6.12");
        ck_assert_int_eq(subject.assigned, assignments[_i].assigned);
}
END_TEST

/* Nothing of the facts is cut. */
START_TEST(longest_facts)
{
        DeviceFacts facts = {
                .address = {.domain = 0xffffffff, .bus = 0xff, .device = 31, .function = 7},
                .vendor = 0xffff,
                .device = 0xffff,
                .subsystem_vendor = 0xffff,
                .subsystem_device = 0xffff,
                .class = 0xffffff,
        };
        PolicySubject subject;

        memset(facts.driver, 'x', sizeof(facts.driver) - 1);
        policy_subject_init(&subject, &facts, FIFTY TEN "xxxx");
        ck_assert_str_eq(subject.address, "ffffffff:ff:1f.7");
        ck_assert_str_eq(subject.modalias, "pci:v0000FFFFd0000FFFFsv0000FFFFsd0000FFFFbcFFscFFiFF");
        ck_assert_uint_eq(strlen(subject.driver), DRIVER_NAME_MAX - 1);
        ck_assert_uint_eq(strlen(subject.kernel), 64);
}
END_TEST

/* ---- the text of SetPolicy ---- */

static const struct {
        const char *text;
        const char *again; /* NULL: refused */
        const char *wanted;
} texts[] = {
        {"0000:01:00.0", "address=0000:01:00.0", NULL},
        {"address=0000:01:*", "address=0000:01:*", NULL},
        {"driver=nvme", "driver=nvme", NULL},
        {"driver=", "driver=", NULL},
        {"  kernel=6.6..  driver=nvme class=0108* ", "driver=nvme class=0108* kernel=6.6..", NULL},
        {"assigned=true modalias=pci:v000010DE*", "modalias=pci:v000010DE* assigned=true", NULL},
        {"", NULL, "at least one"},
        {"   ", NULL, "at least one"},
        {"0000:01:*", NULL, "an address, or words"},
        {"01:00.0", NULL, "an address, or words"},
        {"0000:01:00.0 driver=nvme", NULL, "an address, or words"},
        {"driver=nvme nvme", NULL, "an address, or words"},
        {"owner=alice", NULL, "an address, or words"},
        {"=nvme", NULL, "an address, or words"},
        {"Driver=nvme", NULL, "an address, or words"},
        {FIFTY FIFTY "=x", NULL, "an address, or words"},
        {"driver=nvme driver=nvme", NULL, "each key once"},
        {"class=0300", NULL, "a class as in"},
        {"assigned=1", NULL, "true or false"},
        {"kernel=6.12..6.6", NULL, "a range"},
        {"address=", NULL, "an address as in"},
        {"driver=nvme\tassigned=true", NULL, "a driver's name"},
        {"driver=a=b", "driver=a=b", NULL},
        {"driver=" FIFTY FIFTY, NULL, "a driver's name"},
        {"driver=\xff", NULL, "a driver's name"},
        {FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY,
         NULL, "767 bytes"},
};

START_TEST(match_text)
{
        char buffer[POLICY_MATCH_TEXT_MAX];
        const char *wanted = NULL;
        PolicyMatch match, again;
        int r = policy_match_parse(texts[_i].text, &match, &wanted);

        if (!texts[_i].again) {
                ck_assert_int_eq(r, -EINVAL);
                ck_assert_msg(strstr(wanted, texts[_i].wanted), "%s: %s", texts[_i].text, wanted);
                return;
        }
        ck_assert_int_eq(r, 0);
        ck_assert_str_eq(policy_match_format(&match, buffer), texts[_i].again);
        ck_assert_int_eq(policy_match_parse(buffer, &again, &wanted), 0);
        ck_assert_mem_eq(&match, &again, sizeof(match));
}
END_TEST

START_TEST(longest_match_text)
{
        char buffer[POLICY_MATCH_TEXT_MAX], stars[POLICY_PATTERN_MAX];
        const char *wanted;
        PolicyMatch match = {}, again;

        memset(stars, '*', sizeof(stars) - 1);
        stars[sizeof(stars) - 1] = '\0';
        for (PolicyMatchKey key = 0; key < POLICY_MATCH_N; key++)
                ck_assert_int_eq(policy_match_set(&match, key,
                                                  key == POLICY_MATCH_ASSIGNED ? "false" : stars, &wanted),
                                 0);
        ck_assert_int_eq(policy_match_parse(policy_match_format(&match, buffer), &again, &wanted), 0);
        ck_assert_mem_eq(&match, &again, sizeof(match));
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("policy-match");

        unit_add_table(suite, glob_validity, validities);
        unit_add(suite, globs_are_the_shells);
        unit_add(suite, globs_end);
        unit_add(suite, globs_could_match);
        unit_add_table(suite, kernel_matches, kernels);
        unit_add_table(suite, key_matches, patterns);
        unit_add(suite, no_driver);
        unit_add_table(suite, assigned, assignments);
        unit_add(suite, longest_facts);
        unit_add_table(suite, match_text, texts);
        unit_add(suite, longest_match_text);
        return unit_run(suite);
}
