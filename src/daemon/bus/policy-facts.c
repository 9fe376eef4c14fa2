/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/bus/policy-facts.h"

#include <errno.h>

#include "daemon/bus/message.h"
#include "daemon/bus/policy-settings.h"
#include "daemon/system/policy-store.h"

static int append_key(sd_bus_message *message, const EffectivePolicy *policy, PolicyKey key)
{
        const PolicyRule *rule = policy->origin[key];
        int r = sd_bus_message_open_container(message, 'e', "sv");

        if (r >= 0)
                r = sd_bus_message_append(message, "s", policy_key_to_string(key));
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'v', "(vss)");
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'r', "vss");
        if (r >= 0)
                r = append_setting_value(message, &policy->settings, key);
        if (r >= 0)
                r = sd_bus_message_append(message, "ss", rule ? rule->id : "", rule ? rule->file : "");
        for (int i = 0; i < 3 && r >= 0; i++)
                r = sd_bus_message_close_container(message);
        return r;
}

/* What `reset_method` is to read, and what of it the kernel does not take. */
static int append_order(sd_bus_message *message, const Device *device)
{
        const ResetMethodList refused = device_order_refused(device);
        const DeviceOrder *order = device->order;
        int r = open_array_entry(message, "kernel_wanted", "s");

        for (size_t i = 0; order && order->written && i < order->wanted.n && r >= 0; i++)
                r = sd_bus_message_append(message, "s", order->wanted.names[i]);
        if (r >= 0)
                r = close_array_entry(message);
        if (r >= 0)
                r = open_array_entry(message, "kernel_refused", "s");
        for (size_t i = 0; i < refused.n && r >= 0; i++)
                r = sd_bus_message_append(message, "s", refused.names[i]);
        return r < 0 ? r : close_array_entry(message);
}

static int append_known(sd_bus_message *message, const PolicyKnown *known, const PolicyRule *rule)
{
        int r = sd_bus_message_open_container(message, 'a', "{sv}");

        if (r >= 0)
                r = append_entry(message, "method", "s", known->method);
        if (r >= 0)
                r = append_entry(message, "known", "s", known->bad ? "bad" : "good");
        if (r >= 0)
                r = append_entry(message, "source", "s", known->source);
        if (r >= 0)
                r = append_entry(message, "kernel", "s", known->kernel);
        if (r >= 0)
                r = append_entry(message, "rule", "s", rule->id);
        if (r >= 0)
                r = append_entry(message, "file", "s", rule->file);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

int append_effective_policy(sd_bus_message *message, Device *device)
{
        const EffectivePolicy *policy = registry_policy_of(device);
        int r;

        if (!policy)
                return -ENOMEM;
        r = sd_bus_message_open_container(message, 'a', "{sv}");
        for (PolicyKey key = 0; key < POLICY_KEY_N && r >= 0; key++)
                r = append_key(message, policy, key);
        if (r >= 0)
                r = append_order(message, device);
        if (r >= 0)
                r = open_array_entry(message, "known", "a{sv}");
        for (size_t i = 0; i < policy->n_findings && r >= 0; i++)
                r = append_known(message, policy->findings[i].known, policy->findings[i].rule);
        if (r >= 0)
                r = close_array_entry(message);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

static int append_rule_settings(sd_bus_message *message, const PolicyRule *rule)
{
        int r = sd_bus_message_open_container(message, 'e', "sv");

        if (r >= 0)
                r = sd_bus_message_append(message, "s", "settings");
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'v', "a{sv}");
        if (r >= 0)
                r = append_settings(message, &rule->settings);
        for (int i = 0; i < 2 && r >= 0; i++)
                r = sd_bus_message_close_container(message);
        return r;
}

int append_policy_rule(sd_bus_message *message, const PolicyRule *rule)
{
        char match[POLICY_MATCH_TEXT_MAX];
        bool runtime, stored = policy_rule_is_stored(rule, &runtime);
        int r = sd_bus_message_open_container(message, 'a', "{sv}");

        if (r >= 0)
                r = append_entry(message, "id", "s", rule->id);
        if (r >= 0)
                r = append_entry(message, "file", "s", rule->file);
        if (r >= 0)
                r = append_entry(message, "reason", "s", rule->reason);
        if (r >= 0)
                r = append_entry(message, "match", "s", policy_match_format(&rule->match, match));
        if (r >= 0)
                r = append_entry(message, "stored", "b", (int) stored);
        if (r >= 0)
                r = append_entry(message, "runtime", "b", (int) runtime);
        if (r >= 0)
                r = append_rule_settings(message, rule);
        if (r >= 0)
                r = open_array_entry(message, "known", "a{sv}");
        for (size_t i = 0; i < rule->n_known && r >= 0; i++)
                r = append_known(message, &rule->known[i], rule);
        if (r >= 0)
                r = close_array_entry(message);
        return r < 0 ? r : sd_bus_message_close_container(message);
}
