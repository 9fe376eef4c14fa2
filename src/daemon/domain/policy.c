/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The rules, and their merge for one device: one walk over all of them from the first to the last, in which
 * each rule that matches overwrites the keys that it sets. The effective policy points to the rules for
 * everything that only explains, so it costs no memory of its own.
 */

#include "daemon/domain/policy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared/cleanup.h"
#include "shared/utf8.h"

struct Policy {
        PolicyRule **rules; /* each by itself: their addresses are handed out */
        size_t n, n_allocated;
        unsigned set; /* the keys that any of them sets */
};

static const char *const key_names[] = {
        [POLICY_METHODS] = "methods",
        [POLICY_FORBID] = "forbid",
        [POLICY_ALLOW_LINK] = "allow_link",
        [POLICY_DRIVER] = "driver",
        [POLICY_KERNEL_ORDER] = "kernel_order",
        [POLICY_ON_RELEASE] = "on_release",
        [POLICY_REQUIRE_CLEAN] = "require_clean",
        [POLICY_ON_ERROR] = "on_error",
        [POLICY_SETTLE_USEC] = "settle_usec",
        [POLICY_TIMEOUT_USEC] = "timeout_usec",
};
_Static_assert(ELEMENTSOF(key_names) == POLICY_KEY_N, "each key has a name");

static const char *const driver_names[] = {
        [POLICY_DRIVER_REFUSE] = "refuse",
        [POLICY_DRIVER_KEEP] = "keep",
        [POLICY_DRIVER_REBIND] = "rebind",
};

static const char *const on_release_names[] = {
        [POLICY_ON_RELEASE_NONE] = "none",
        [POLICY_ON_RELEASE_RESET] = "reset",
};

static const char *const on_error_names[] = {
        [POLICY_ON_ERROR_NOTIFY] = "notify",
        [POLICY_ON_ERROR_QUARANTINE] = "quarantine",
        [POLICY_ON_ERROR_RECOVER] = "recover",
};

static int find_name(const char *const *names, size_t n, const char *name)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(names[i], name) == 0)
                        return (int) i;
        return -EINVAL;
}

const char *policy_key_to_string(PolicyKey key)
{
        return key_names[key];
}

const char *policy_driver_to_string(PolicyDriver value)
{
        return driver_names[value];
}

const char *policy_on_release_to_string(PolicyOnRelease value)
{
        return on_release_names[value];
}

const char *policy_on_error_to_string(PolicyOnError value)
{
        return on_error_names[value];
}

int policy_driver_from_string(const char *name)
{
        return find_name(driver_names, ELEMENTSOF(driver_names), name);
}

int policy_on_release_from_string(const char *name)
{
        return find_name(on_release_names, ELEMENTSOF(on_release_names), name);
}

int policy_on_error_from_string(const char *name)
{
        return find_name(on_error_names, ELEMENTSOF(on_error_names), name);
}

/* ---- one rule ---- */

void policy_rule_done(PolicyRule *rule)
{
        free(rule->file);
        free(rule->known);
        *rule = (PolicyRule){};
}

const char *policy_rule_text(const PolicyRule *rule, char buffer[static POLICY_RULE_TEXT_MAX])
{
        char file[POLICY_RULE_TEXT_MAX - POLICY_ID_MAX - sizeof(" ()")];

        buffer[0] = '\0';
        /* The name of a file may be longer, and is not cut within a character. */
        if (rule)
                (void) snprintf(buffer, POLICY_RULE_TEXT_MAX, "%s (%s)", rule->id,
                                utf8_quote(rule->file, file, sizeof(file)));
        return buffer;
}

bool policy_rule_id_is_valid(const char *id)
{
        size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

        return n > 0 && n < POLICY_ID_MAX && id[n] == '\0';
}

int policy_list_add(ResetMethodList *list, const char *method)
{
        if (reset_method_scope(method) == RESET_SCOPE_UNKNOWN)
                return -EINVAL;
        if (reset_method_list_contains(list, method))
                return -EEXIST;
        if (list->n == RESET_METHODS_MAX)
                return -E2BIG;
        memcpy(list->names[list->n++], method, strlen(method) + 1);
        return 0;
}

int policy_rule_add_known(PolicyRule *rule, const char *method, bool bad, const char *source,
                          const char *kernel)
{
        PolicyMatch pattern = {};
        const char *wanted;
        PolicyKnown *known;

        if (reset_method_scope(method) == RESET_SCOPE_UNKNOWN || source[0] == '\0' ||
            strlen(source) >= POLICY_SOURCE_MAX)
                return -EINVAL;
        if (kernel && policy_match_set(&pattern, POLICY_MATCH_KERNEL, kernel, &wanted) < 0)
                return -EINVAL;
        if (rule->n_known == POLICY_KNOWN_MAX)
                return -E2BIG;
        known = reallocarray(rule->known, rule->n_known + 1, sizeof(PolicyKnown));
        if (!known)
                return -ENOMEM;
        rule->known = known;
        known += rule->n_known++;
        *known = (PolicyKnown){.bad = bad};
        memcpy(known->method, method, strlen(method) + 1);
        memcpy(known->source, source, strlen(source) + 1);
        if (kernel)
                memcpy(known->kernel, kernel, strlen(kernel) + 1);
        return 0;
}

/* ---- all rules ---- */

Policy *policy_new(void)
{
        return calloc(1, sizeof(Policy));
}

Policy *policy_free(Policy *policy)
{
        if (!policy)
                return NULL;
        for (size_t i = 0; i < policy->n; i++) {
                policy_rule_done(policy->rules[i]);
                free(policy->rules[i]);
        }
        free(policy->rules);
        free(policy);
        return NULL;
}

/* Those of one file are together, and so are at the end while it is read. */
static bool file_has(const Policy *policy, const char *file, const char *id)
{
        for (size_t i = policy->n; i > 0 && strcmp(policy->rules[i - 1]->file, file) == 0; i--)
                if (strcmp(policy->rules[i - 1]->id, id) == 0)
                        return true;
        return false;
}

static int make_room(Policy *policy)
{
        size_t n = policy->n_allocated > 0 ? policy->n_allocated * 2 : 16;
        PolicyRule **rules;

        if (policy->n < policy->n_allocated)
                return 0;
        rules = reallocarray(policy->rules, n, sizeof(PolicyRule *));
        if (!rules)
                return -ENOMEM;
        policy->rules = rules;
        policy->n_allocated = n;
        return 0;
}

int policy_add(Policy *policy, PolicyRule *rule)
{
        PolicyRule *copy;

        if (!rule->file || !policy_rule_id_is_valid(rule->id))
                return -EINVAL;
        if (file_has(policy, rule->file, rule->id))
                return -EEXIST;
        if (policy->n == POLICY_RULES_MAX)
                return -E2BIG;
        if (make_room(policy) < 0)
                return -ENOMEM;
        copy = malloc(sizeof(PolicyRule));
        if (!copy)
                return -ENOMEM;
        *copy = *rule;
        *rule = (PolicyRule){};
        policy->rules[policy->n++] = copy;
        policy->set |= copy->settings.set;
        return 0;
}

size_t policy_n_rules(const Policy *policy)
{
        return policy->n;
}

bool policy_sets(const Policy *policy, PolicyKey key)
{
        return policy->set & 1U << key;
}

const PolicyRule *policy_rule(const Policy *policy, size_t index)
{
        return policy->rules[index];
}

/* ---- the merge ---- */

void policy_settings_take(PolicySettings *to, const PolicySettings *from, PolicyKey key)
{
        switch (key) {
        case POLICY_METHODS:
                to->methods = from->methods;
                break;
        case POLICY_FORBID:
                to->forbid = from->forbid;
                break;
        case POLICY_ALLOW_LINK:
                to->allow_link = from->allow_link;
                break;
        case POLICY_DRIVER:
                to->driver = from->driver;
                break;
        case POLICY_KERNEL_ORDER:
                to->kernel_order = from->kernel_order;
                break;
        case POLICY_ON_RELEASE:
                to->on_release = from->on_release;
                break;
        case POLICY_REQUIRE_CLEAN:
                to->require_clean = from->require_clean;
                break;
        case POLICY_ON_ERROR:
                to->on_error = from->on_error;
                break;
        case POLICY_SETTLE_USEC:
                to->settle_usec = from->settle_usec;
                break;
        case POLICY_TIMEOUT_USEC:
                to->timeout_usec = from->timeout_usec;
                break;
        case POLICY_KEY_N:
                break;
        }
}

static void take_known(EffectivePolicy *effective, const PolicyRule *rule, const PolicyKnown *known)
{
        size_t i = 0;
        PolicyFinding *finding;

        while (i < effective->n_findings && strcmp(effective->findings[i].known->method, known->method) != 0)
                i++;
        /* There is room for more than the known methods, and no rule has others. */
        if (i == ELEMENTSOF(effective->findings))
                return;
        finding = &effective->findings[i];
        if (i < effective->n_findings && finding->rule == rule && (finding->known->bad || !known->bad))
                return;
        *finding = (PolicyFinding){.known = known, .rule = rule};
        if (i == effective->n_findings)
                effective->n_findings++;
}

static void take_rule(EffectivePolicy *effective, const PolicyRule *rule, const char *kernel)
{
        for (PolicyKey key = 0; key < POLICY_KEY_N; key++)
                if (rule->settings.set & 1U << key) {
                        policy_settings_take(&effective->settings, &rule->settings, key);
                        effective->settings.set |= 1U << key;
                        effective->origin[key] = rule;
                }
        for (size_t i = 0; i < rule->n_known; i++) {
                const PolicyKnown *known = &rule->known[i];

                if (known->kernel[0] == '\0' || policy_kernel_matches(known->kernel, kernel))
                        take_known(effective, rule, known);
        }
}

void policy_merge(const Policy *policy, const PolicySubject *subject, EffectivePolicy *ret)
{
        *ret = (EffectivePolicy){.settings = {.allow_link = true}};
        for (size_t i = 0; i < policy->n; i++)
                if (policy_match_applies(&policy->rules[i]->match, subject))
                        take_rule(ret, policy->rules[i], subject->kernel);
}

const PolicyFinding *policy_finding(const EffectivePolicy *effective, const char *method)
{
        for (size_t i = 0; i < effective->n_findings; i++)
                if (strcmp(effective->findings[i].known->method, method) == 0)
                        return &effective->findings[i];
        return NULL;
}
