/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A short name for all rules together (FNV-1a, 64 bits): whoever reads in the history by which policy
 * something was done can tell whether that is the one of today. It is no protection against anybody.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/domain/policy.h"

static void take(uint64_t *hash, const void *data, size_t size)
{
        const unsigned char *bytes = data;

        for (size_t i = 0; i < size; i++)
                *hash = (*hash ^ bytes[i]) * UINT64_C(0x100000001b3);
}

/* With its end, so that two texts are not one that is as long. */
static void take_text(uint64_t *hash, const char *text)
{
        take(hash, text, strlen(text) + 1);
}

static void take_number(uint64_t *hash, uint64_t number)
{
        take(hash, &number, sizeof(number));
}

static void take_settings(uint64_t *hash, const PolicySettings *settings)
{
        char list[RESET_METHOD_LIST_STRING_MAX];

        take_number(hash, settings->set);
        take_text(hash, reset_method_list_format(&settings->methods, list));
        take_text(hash, reset_method_list_format(&settings->forbid, list));
        take_number(hash, settings->allow_link);
        take_number(hash, settings->kernel_order);
        take_number(hash, settings->require_clean);
        take_number(hash, settings->driver);
        take_number(hash, settings->on_release);
        take_number(hash, settings->on_error);
        take_number(hash, settings->settle_usec);
        take_number(hash, settings->timeout_usec);
}

static void take_rule(uint64_t *hash, const PolicyRule *rule)
{
        char match[POLICY_MATCH_TEXT_MAX];

        take_text(hash, rule->file);
        take_text(hash, rule->id);
        take_text(hash, policy_match_format(&rule->match, match));
        take_settings(hash, &rule->settings);
        for (size_t i = 0; i < rule->n_known; i++) {
                take_number(hash, rule->known[i].bad);
                take_text(hash, rule->known[i].method);
                take_text(hash, rule->known[i].kernel);
        }
        take_number(hash, rule->n_known);
}

const char *policy_version(const Policy *policy, char buffer[static POLICY_VERSION_MAX])
{
        uint64_t hash = UINT64_C(0xcbf29ce484222325);

        buffer[0] = '\0';
        for (size_t i = 0; i < policy_n_rules(policy); i++)
                take_rule(&hash, policy_rule(policy, i));
        if (policy_n_rules(policy) > 0)
                (void) snprintf(buffer, POLICY_VERSION_MAX, "%016" PRIx64, hash);
        return buffer;
}
