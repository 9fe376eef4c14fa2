/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What is shipped as known of methods: the file is read by the loader that reads it in service, every piece
 * says where it can be read and for which kernels it holds, and nothing in it decides for a site. What it is
 * to say of each device stands here a second time, taken from the kernel's tables by their functions.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/system/policy-load.h"
#include "unit.h"

#define SHIPPED POLICY_SHIPPED_DIR "/50-known-methods.json"
#define VGA     0x030000U
#define NETWORK 0x020000U

static Policy *policy;

static void setup(void)
{
        static char text[256 * 1024];
        FILE *file = fopen(SHIPPED, "re");
        char *message = NULL;
        size_t n;
        int r;

        ck_assert_msg(file, SHIPPED);
        n = fread(text, 1, sizeof(text), file);
        ck_assert_uint_lt(n, sizeof(text));
        (void) fclose(file);

        policy = policy_new();
        ck_assert_ptr_nonnull(policy);
        r = policy_load_text(SHIPPED, text, n, NULL, policy, &message);
        ck_assert_msg(r >= 0, "%s", message);
        ck_assert_uint_gt(policy_n_rules(policy), 0);
}

static void teardown(void)
{
        policy_free(policy);
}

/* A function of the kernel's, or a thread that anybody can read. */
static bool is_source(const char *source)
{
        return strstr(source, "https://") ||
               (strncmp(source, "drivers/pci/quirks.c: ", 22) == 0 && strstr(source, "() in "));
}

START_TEST(every_entry_has_its_source_and_its_kernels)
{
        for (size_t i = 0; i < policy_n_rules(policy); i++) {
                const PolicyRule *rule = policy_rule(policy, i);

                ck_assert_msg(rule->reason[0] && rule->n_known > 0, "%s", rule->id);
                for (size_t j = 0; j < rule->n_known; j++) {
                        const PolicyKnown *known = &rule->known[j];

                        ck_assert_msg(is_source(known->source), "%s: %s", rule->id, known->source);
                        ck_assert_msg(strstr(known->kernel, ".."), "%s: %s", rule->id, known->kernel);
                }
        }
}
END_TEST

/* Knowledge may be overridden, and a time to settle harms nobody; all else is for the site to say. */
START_TEST(nothing_is_decided_for_a_site)
{
        for (size_t i = 0; i < policy_n_rules(policy); i++) {
                const PolicyRule *rule = policy_rule(policy, i);

                ck_assert_msg((rule->settings.set & ~(1U << POLICY_SETTLE_USEC)) == 0, "%s", rule->id);
                ck_assert_msg(rule->match.set == 1U << POLICY_MATCH_MODALIAS, "%s", rule->id);
                ck_assert_msg(strncmp(rule->match.patterns[POLICY_MATCH_MODALIAS], "pci:v0000", 9) == 0,
                              "%s", rule->id);
        }
}
END_TEST

typedef struct Expectation {
        uint16_t vendor, device;
        uint32_t class;
        const char *kernel;
        const char *bad, *good; /* methods with blanks around them */
        uint64_t settle_usec;
} Expectation;

#define LINK " bus subordinate vfio_hot "
#define FLR  " flr af_flr "

static const Expectation expectations[] = {
        /* quirk_no_bus_reset() */
        {0x168c, 0x0030, NETWORK, "6.1.0", LINK, ""},
        {0x168c, 0x0032, NETWORK, "6.1.0", LINK, ""},
        {0x168c, 0x0033, NETWORK, "6.1.0", LINK, ""},
        {0x168c, 0x0034, NETWORK, "6.1.0", LINK, ""},
        {0x168c, 0x003c, NETWORK, "6.1.0", LINK, ""},
        {0x168c, 0x003e, NETWORK, "6.1.0", LINK, ""},
        {0x168c, 0x0031, NETWORK, "6.1.0", "", ""},
        {0x17cb, 0x1103, NETWORK, "6.1.0-50-amd64", LINK, ""},
        {0x17cb, 0x1107, NETWORK, "7.1.3", LINK, ""},
        {0x17cb, 0x0308, NETWORK, "6.12.0", LINK, ""},
        {0x104c, 0xb005, 0x048000, "6.1.0", LINK, ""},
        {0x1b21, 0x1164, 0x010601, "6.6.87", LINK, ""},
        {0x1b21, 0x1164, 0x010601, "7.1.3", "", ""}, /* the kernel sees to it */
        /* quirk_nvidia_no_bus_reset() */
        {0x10de, 0x2340, VGA, "6.1.0", LINK, ""},
        {0x10de, 0x2350, VGA, "6.1.0", LINK, ""},
        {0x10de, 0x236a, VGA, "6.1.0", LINK, ""},
        {0x10de, 0x237f, VGA, "6.1.0", LINK, ""},
        {0x10de, 0x2380, VGA, "6.1.0", "", ""},
        {0x10de, 0x233f, VGA, "6.1.0", "", ""},
        /* quirk_no_flr() */
        {0x1022, 0x1487, 0x040300, "6.1.0", FLR, ""},
        {0x1022, 0x148c, 0x0c0330, "6.1.0", FLR, ""},
        {0x1022, 0x149c, 0x0c0330, "6.1.0", FLR, ""},
        {0x1022, 0x7901, 0x010601, "6.1.0", FLR, " bus "},
        {0x1022, 0x1502, 0x118000, "7.0.12", FLR, ""},
        {0x1022, 0x17f0, 0x118000, "6.12.57", FLR, ""},
        {0x8086, 0x1502, NETWORK, "6.1.0", FLR, ""},
        {0x8086, 0x1503, NETWORK, "6.1.0", FLR, ""},
        {0x14c3, 0x0616, 0x028000, "6.12.0", FLR, ""},
        {0x14c3, 0x7925, 0x028000, "7.1.3", FLR, " pm bus "},
        /* quirk_no_pm_reset() */
        {0x1002, 0x6613, VGA, "6.1.0", " pm ", ""},
        {0x1002, 0x6613, 0x038000, "6.1.0", "", ""}, /* no VGA */
        {0x15b3, 0xcb84, NETWORK, "6.1.0", " pm ", ""},
        {0x15b3, 0xcf6c, NETWORK, "6.1.0", " pm ", ""},
        {0x15b3, 0xcf70, NETWORK, "6.1.0", " pm ", ""},
        {0x15b3, 0xcf80, NETWORK, "6.1.0", " pm ", ""},
        /* pci_dev_reset_methods */
        {0x8086, 0x10ed, NETWORK, "6.1.0", "", " device_specific "},
        {0x8086, 0x0156, VGA, "6.1.0", "", " device_specific "},
        {0x8086, 0x0166, VGA, "6.1.0", "", " device_specific "},
        {0x144d, 0xa804, 0x010802, "6.1.0", " flr ", " device_specific "},
        {0x8086, 0x0953, 0x010802, "6.1.0", "", " device_specific ", 250000},
        {0x8086, 0x0a54, 0x010802, "6.1.0", "", " device_specific ", 250000},
        {0x025e, 0xf1ac, 0x010802, "6.1.0", "", " device_specific ", 250000},
        {0x1425, 0x4001, NETWORK, "6.1.0", " flr ", " device_specific "},
        {0x1425, 0x5001, NETWORK, "6.1.0", "", ""},
        {0x19e5, 0x375e, NETWORK, "6.1.0", "", " device_specific "},
        /* Devices of which nothing is known. */
        {0x8086, 0x10d3, NETWORK, "6.1.0", "", ""},
        {0x1b36, 0x0010, 0x010802, "6.1.0", "", ""},
};

/* Finds `method` among words with blanks around them. */
static bool lists(const char *words, const char *method)
{
        char word[RESET_METHOD_NAME_MAX + 2];

        (void) snprintf(word, sizeof(word), " %s ", method);
        return strstr(words, word);
}

START_TEST(devices)
{
        static const char *const methods[] = {
                "device_specific", "acpi", "flr",         "af_flr",   "pm",    "bus",
                "cxl_bus",         "slot", "subordinate", "vfio_hot", "rescan"};
        const Expectation *expectation = &expectations[_i];
        DeviceFacts facts = {
                .vendor = expectation->vendor, .device = expectation->device, .class = expectation->class};
        EffectivePolicy effective;
        PolicySubject subject;

        policy_subject_init(&subject, &facts, expectation->kernel);
        policy_merge(policy, &subject, &effective);
        for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
                const PolicyFinding *finding = policy_finding(&effective, methods[i]);
                const char *is = !finding ? "unknown" : finding->known->bad ? "bad" : "good";
                const char *wanted = lists(expectation->bad, methods[i])    ? "bad"
                                     : lists(expectation->good, methods[i]) ? "good"
                                                                            : "unknown";

                ck_assert_msg(strcmp(is, wanted) == 0, "%04x:%04x %s: %s, not %s", expectation->vendor,
                              expectation->device, methods[i], is, wanted);
        }
        ck_assert_uint_eq(effective.settings.settle_usec, expectation->settle_usec);
}
END_TEST

/* Each rule is about one of the devices above. */
START_TEST(no_rule_is_left_over)
{
        for (size_t i = 0; i < policy_n_rules(policy); i++) {
                bool met = false;

                for (size_t j = 0; j < sizeof(expectations) / sizeof(expectations[0]) && !met; j++) {
                        DeviceFacts facts = {.vendor = expectations[j].vendor,
                                             .device = expectations[j].device,
                                             .class = expectations[j].class};
                        PolicySubject subject;

                        policy_subject_init(&subject, &facts, expectations[j].kernel);
                        met = policy_match_applies(&policy_rule(policy, i)->match, &subject);
                }
                ck_assert_msg(met, "%s is about no device of the test", policy_rule(policy, i)->id);
        }
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("policy-shipped");
        TCase *cases = tcase_create("file");

        tcase_add_checked_fixture(cases, setup, teardown);
        tcase_add_test(cases, every_entry_has_its_source_and_its_kernels);
        tcase_add_test(cases, nothing_is_decided_for_a_site);
        tcase_add_test(cases, no_rule_is_left_over);
        tcase_add_loop_test(cases, devices, 0, sizeof(expectations) / sizeof(expectations[0]));
        suite_add_tcase(suite, cases);
        return unit_run(suite);
}
