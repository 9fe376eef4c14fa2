/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/system/policy-write.h"

#include <errno.h>
#include <string.h>

#include "daemon/system/dropins.h"
#include "shared/cleanup.h"
#include "shared/json.h"

/* Takes over the element, whether it comes to the array or not. */
static int append(json_object *array, json_object *element)
{
        if (element && json_object_array_add(array, element) == 0)
                return 0;
        json_object_put(element);
        return -ENOMEM;
}

static json_object *methods_to_json(const ResetMethodList *list)
{
        _cleanup_json_ json_object *array = json_object_new_array();

        for (size_t i = 0; array && i < list->n; i++)
                if (append(array, json_object_new_string(list->names[i])) < 0)
                        return NULL;
        return steal_pointer(array);
}

static json_object *piece_to_json(const PolicyKnown *known)
{
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();
        json_object *object;

        json_write_text(&writer, "method", known->method);
        json_write_text(&writer, "source", known->source);
        if (known->kernel[0] != '\0')
                json_write_text(&writer, "kernel", known->kernel);
        return json_writer_finish(&writer, &object) < 0 ? NULL : object;
}

static void write_known(JsonWriter *writer, const PolicyRule *rule, const char *key, bool bad)
{
        _cleanup_json_ json_object *array = json_object_new_array();

        for (size_t i = 0; array && i < rule->n_known; i++)
                if (rule->known[i].bad == bad && append(array, piece_to_json(&rule->known[i])) < 0) {
                        json_write_value(writer, key, NULL);
                        return;
                }
        if (!array || json_object_array_length(array) > 0)
                json_write_value(writer, key, steal_pointer(array));
}

static void write_key(JsonWriter *writer, const PolicySettings *settings, PolicyKey key)
{
        const char *name = policy_key_to_string(key);

        switch (key) {
        case POLICY_METHODS:
                json_write_value(writer, name, methods_to_json(&settings->methods));
                break;
        case POLICY_FORBID:
                json_write_value(writer, name, methods_to_json(&settings->forbid));
                break;
        case POLICY_ALLOW_LINK:
                json_write_boolean(writer, name, settings->allow_link);
                break;
        case POLICY_DRIVER:
                json_write_text(writer, name, policy_driver_to_string(settings->driver));
                break;
        case POLICY_KERNEL_ORDER:
                json_write_boolean(writer, name, settings->kernel_order);
                break;
        case POLICY_ON_RELEASE:
                json_write_text(writer, name, policy_on_release_to_string(settings->on_release));
                break;
        case POLICY_REQUIRE_CLEAN:
                json_write_boolean(writer, name, settings->require_clean);
                break;
        case POLICY_ON_ERROR:
                json_write_text(writer, name, policy_on_error_to_string(settings->on_error));
                break;
        case POLICY_SETTLE_USEC:
                json_write_unsigned(writer, name, settings->settle_usec);
                break;
        case POLICY_TIMEOUT_USEC:
                json_write_unsigned(writer, name, settings->timeout_usec);
                break;
        case POLICY_KEY_N:
                break;
        }
}

static json_object *settings_to_json(const PolicyRule *rule)
{
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();
        json_object *object;

        for (PolicyKey key = 0; key < POLICY_KEY_N; key++)
                if (rule->settings.set & 1U << key)
                        write_key(&writer, &rule->settings, key);
        write_known(&writer, rule, "known_bad", true);
        write_known(&writer, rule, "known_good", false);
        return json_writer_finish(&writer, &object) < 0 ? NULL : object;
}

static json_object *match_to_json(const PolicyMatch *match)
{
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();
        json_object *object;

        for (PolicyMatchKey key = 0; key < POLICY_MATCH_N; key++) {
                const char *name = policy_match_key_to_string(key), *pattern = match->patterns[key];

                if (!(match->set & 1U << key))
                        continue;
                if (key == POLICY_MATCH_ASSIGNED)
                        json_write_boolean(&writer, name, strcmp(pattern, "true") == 0);
                else
                        json_write_text(&writer, name, pattern);
        }
        return json_writer_finish(&writer, &object) < 0 ? NULL : object;
}

static json_object *rule_to_json(const PolicyRule *rule)
{
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();
        json_object *object;

        json_write_text(&writer, "id", rule->id);
        if (rule->reason[0] != '\0')
                json_write_text(&writer, "reason", rule->reason);
        json_write_value(&writer, "match", match_to_json(&rule->match));
        json_write_value(&writer, "settings", settings_to_json(rule));
        return json_writer_finish(&writer, &object) < 0 ? NULL : object;
}

int policy_write(const Policy *policy, const char *file, char **ret)
{
        _cleanup_json_ json_object *rules = json_object_new_array(), *object = json_object_new_object();

        if (!rules || !object)
                return -ENOMEM;
        for (size_t i = 0; i < policy_n_rules(policy); i++) {
                const PolicyRule *rule = policy_rule(policy, i);

                if (file && strcmp(rule->file, file) != 0)
                        continue;
                if (append(rules, rule_to_json(rule)) < 0)
                        return -ENOMEM;
        }
        if (json_object_object_add(object, "rules", json_object_get(rules)) < 0) {
                json_object_put(rules);
                return -ENOMEM;
        }
        return json_text_format(object, DROPIN_SIZE_MAX, ret);
}
