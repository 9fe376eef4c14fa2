/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/system/policy-rules.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "shared/cleanup.h"
#include "shared/json.h"
#include "shared/utf8.h"

/* The rule that is being read. */
typedef struct Context {
        const PolicyText *text;
        size_t index;
        PolicyRule rule;
} Context;

static void context_done(Context *context)
{
        policy_rule_done(&context->rule);
}

static int __attribute__((format(printf, 3, 4)))
refuse(const Context *context, const JsonPlace *place, const char *format, ...)
{
        _cleanup_free_ char *rest = NULL;
        const char *id = context->rule.id;
        va_list arguments;
        int n;

        va_start(arguments, format);
        n = vasprintf(&rest, format, arguments);
        va_end(arguments);
        if (n < 0) {
                rest = NULL;
                return -ENOMEM;
        }
        if (id[0] == '\0')
                return policy_text_refuse(context->text, place, "rules[%zu]: %s", context->index, rest);
        return policy_text_refuse(context->text, place, "rules[%zu] \"%s\": %s", context->index, id, rest);
}

static int refuse_unknown(const Context *context, json_object *object, const char *key, const char *where,
                          const char *known)
{
        char quoted[POLICY_TEXT_QUOTE_MAX];

        return refuse(context, at_key(object, key), "%sunknown key \"%s\"; there are %s", where,
                      utf8_quote(key, quoted, sizeof(quoted)), known);
}

/* The text of a value that is one, NULL if it is none. The parser refuses a NUL in it. */
static const char *text_of(json_object *value)
{
        return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

/* ---- settings ---- */

static int read_boolean(const Context *context, json_object *settings, const char *key, bool *ret)
{
        json_object *value = json_object_object_get(settings, key);

        if (!json_object_is_type(value, json_type_boolean))
                return refuse(context, at_value(settings, key), "settings.%s must be true or false", key);
        *ret = json_object_get_boolean(value);
        return 0;
}

/* Numbers beyond what json-c holds are clamped by it to the ends of its range, which are out of ours. */
static int read_usec(const Context *context, json_object *settings, const char *key, uint64_t min,
                     uint64_t max, uint64_t *ret)
{
        json_object *value = json_object_object_get(settings, key);
        int64_t number = json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : -1;

        if (number < 0 || (number > 0 && (uint64_t) number < min) || (uint64_t) number > max)
                return refuse(context, at_value(settings, key),
                              "settings.%s must be a number of microseconds, 0 or from %llu to %llu", key,
                              (unsigned long long) min, (unsigned long long) max);
        *ret = (uint64_t) number;
        return 0;
}

static int read_choice(const Context *context, json_object *settings, const char *key,
                       int (*from_string)(const char *name), const char *choices)
{
        const char *name = text_of(json_object_object_get(settings, key));
        int r = name ? from_string(name) : -EINVAL;

        return r < 0 ? refuse(context, at_value(settings, key), "settings.%s must be %s", key, choices) : r;
}

static int read_methods(const Context *context, json_object *settings, const char *key, ResetMethodList *ret)
{
        json_object *array = json_object_object_get(settings, key);
        char quoted[POLICY_TEXT_QUOTE_MAX];

        if (!json_object_is_type(array, json_type_array))
                return refuse(context, at_value(settings, key), "settings.%s must be a list of methods",
                              key);
        for (size_t i = 0; i < json_object_array_length(array); i++) {
                const char *name = text_of(json_object_array_get_idx(array, i));
                int r = name ? policy_list_add(ret, name) : -EINVAL;

                if (!name)
                        return refuse(context, at_element(array, i),
                                      "settings.%s[%zu] is no text; methods are given by name", key, i);
                utf8_quote(name, quoted, sizeof(quoted));
                if (r == -EEXIST)
                        return refuse(context, at_element(array, i),
                                      "settings.%s[%zu]: \"%s\" is there twice", key, i, quoted);
                if (r < 0)
                        return refuse(context, at_element(array, i),
                                      "settings.%s[%zu]: \"%s\" is no method that this version knows", key,
                                      i, quoted);
        }
        return 0;
}

/* One piece of knowledge. */
static int read_piece(Context *context, const char *key, json_object *array, size_t index, bool bad)
{
        static const char *const known[] = {"method", "source", "kernel", NULL};
        json_object *piece = json_object_array_get_idx(array, index);
        JsonReader reader = json_reader_begin(piece);
        const char *method, *source, *kernel = NULL;
        int r;

        if (reader.error < 0 || policy_text_unknown_key(piece, known))
                return refuse(context, at_element(array, index),
                              "settings.%s[%zu] must be an object with \"method\", \"source\" and maybe "
                              "\"kernel\", and no other keys",
                              key, index);
        method = json_read_text(&reader, "method", RESET_METHOD_NAME_MAX);
        source = json_read_text(&reader, "source", POLICY_SOURCE_MAX);
        if (json_reader_has(&reader, "kernel"))
                kernel = json_read_text(&reader, "kernel", POLICY_PATTERN_MAX);
        r = json_reader_finish(&reader);
        if (r < 0)
                return refuse(context, at_value(piece, reader.culprit),
                              "settings.%s[%zu]: \"%s\" is missing, no text, too long, or has control "
                              "characters",
                              key, index, reader.culprit);
        r = policy_rule_add_known(&context->rule, method, bad, source, kernel);
        if (r == -E2BIG)
                return refuse(context, at_element(array, index),
                              "settings.%s[%zu]: more than %u pieces of knowledge in one rule", key, index,
                              POLICY_KNOWN_MAX);
        if (r == -EINVAL)
                return refuse(
                        context, at_itself(piece),
                        "settings.%s[%zu]: the method is not known, the source is empty, or the kernel "
                        "is neither a range as in 6.6..6.12 nor a pattern",
                        key, index);
        return r;
}

static int read_known(Context *context, json_object *settings, const char *key, bool bad)
{
        json_object *array = json_object_object_get(settings, key);
        int r = 0;

        if (!json_object_is_type(array, json_type_array))
                return refuse(context, at_value(settings, key), "settings.%s must be a list", key);
        for (size_t i = 0; i < json_object_array_length(array) && r >= 0; i++)
                r = read_piece(context, key, array, i, bad);
        return r;
}

static int read_key(Context *context, json_object *settings, PolicyKey key)
{
        PolicySettings *to = &context->rule.settings;
        const char *name = policy_key_to_string(key);
        int r;

        switch (key) {
        case POLICY_METHODS:
                return read_methods(context, settings, name, &to->methods);
        case POLICY_FORBID:
                return read_methods(context, settings, name, &to->forbid);
        case POLICY_ALLOW_LINK:
                return read_boolean(context, settings, name, &to->allow_link);
        case POLICY_KERNEL_ORDER:
                return read_boolean(context, settings, name, &to->kernel_order);
        case POLICY_REQUIRE_CLEAN:
                return read_boolean(context, settings, name, &to->require_clean);
        case POLICY_DRIVER:
                r = read_choice(context, settings, name, policy_driver_from_string,
                                "\"keep\", \"rebind\" or \"refuse\"");
                to->driver = r < 0 ? 0 : (PolicyDriver) r;
                return r;
        case POLICY_ON_RELEASE:
                r = read_choice(context, settings, name, policy_on_release_from_string,
                                "\"reset\" or \"none\"");
                to->on_release = r < 0 ? 0 : (PolicyOnRelease) r;
                return r;
        case POLICY_ON_ERROR:
                r = read_choice(context, settings, name, policy_on_error_from_string,
                                "\"notify\", \"quarantine\" or \"recover\"");
                to->on_error = r < 0 ? 0 : (PolicyOnError) r;
                return r;
        case POLICY_SETTLE_USEC:
                return read_usec(context, settings, name, 1, POLICY_SETTLE_USEC_MAX, &to->settle_usec);
        case POLICY_TIMEOUT_USEC:
                return read_usec(context, settings, name, POLICY_TIMEOUT_USEC_MIN, POLICY_TIMEOUT_USEC_MAX,
                                 &to->timeout_usec);
        case POLICY_KEY_N:
                break;
        }
        return 0;
}

/* In the order of the file, so that the first error that is told is the first in it. */
static int read_setting(Context *context, json_object *settings, const char *name)
{
        if (strcmp(name, "known_bad") == 0)
                return read_known(context, settings, name, true);
        if (strcmp(name, "known_good") == 0)
                return read_known(context, settings, name, false);
        for (PolicyKey key = 0; key < POLICY_KEY_N; key++)
                if (strcmp(name, policy_key_to_string(key)) == 0) {
                        context->rule.settings.set |= 1U << key;
                        return read_key(context, settings, key);
                }
        return refuse_unknown(
                context, settings, name, "settings: ",
                "methods, forbid, allow_link, driver, kernel_order, on_release, require_clean, "
                "on_error, settle_usec, timeout_usec, known_bad and known_good");
}

static int read_settings(Context *context, json_object *rule)
{
        json_object *settings = json_object_object_get(rule, "settings");

        if (!json_object_is_type(settings, json_type_object) || json_object_object_length(settings) == 0)
                return refuse(context, at_value(rule, "settings"),
                              "\"settings\" must be an object with at least one key");
        json_object_object_foreach(settings, key, value)
        {
                int r = read_setting(context, settings, key);

                (void) value;
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- the rest of a rule ---- */

static int read_pattern(Context *context, json_object *match, const char *name, json_object *value)
{
        PolicyMatchKey key = policy_match_key_from_string(name);
        char quoted[POLICY_TEXT_QUOTE_MAX];
        const char *pattern = text_of(value), *wanted;

        if (key == POLICY_MATCH_N)
                return refuse_unknown(context, match, name,
                                      "match: ", "address, modalias, driver, class, assigned and kernel");
        if (key == POLICY_MATCH_ASSIGNED) {
                if (!json_object_is_type(value, json_type_boolean))
                        return refuse(context, at_value(match, name), "match.%s must be true or false",
                                      name);
                pattern = json_object_get_boolean(value) ? "true" : "false";
        }
        if (!pattern)
                return refuse(context, at_value(match, name), "match.%s must be a text", name);
        if (policy_match_set(&context->rule.match, key, pattern, &wanted) < 0)
                return refuse(context, at_value(match, name), "match.%s: \"%s\" is not %s", name,
                              utf8_quote(pattern, quoted, sizeof(quoted)), wanted);
        return 0;
}

static int read_match(Context *context, json_object *rule)
{
        json_object *match = json_object_object_get(rule, "match");

        if (!json_object_is_type(match, json_type_object))
                return refuse(context, at_value(rule, "match"),
                              "\"match\" must be an object; an empty one is about all devices");
        json_object_object_foreach(match, key, value)
        {
                int r = read_pattern(context, match, key, value);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_id(Context *context, json_object *rule)
{
        const char *id = text_of(json_object_object_get(rule, "id"));

        if (!id || !policy_rule_id_is_valid(id))
                return refuse(
                        context, at_value(rule, "id"),
                        "\"id\" must be a text of 1 to %u letters, digits, dots, dashes and underscores",
                        POLICY_ID_MAX - 1);
        memcpy(context->rule.id, id, strlen(id) + 1);
        return 0;
}

static int read_reason(Context *context, json_object *rule)
{
        JsonReader reader = json_reader_begin(rule);

        if (!json_reader_has(&reader, "reason"))
                return 0;
        json_read_text_to(&reader, "reason", context->rule.reason, sizeof(context->rule.reason));
        if (reader.error < 0)
                return refuse(context, at_value(rule, "reason"),
                              "\"reason\" must be a text of at most %u bytes without control characters",
                              POLICY_REASON_MAX - 1);
        return 0;
}

static int read_members(Context *context, json_object *rule)
{
        static const char *const known[] = {"id", "reason", "match", "settings", NULL};
        const char *key;
        int r = read_id(context, rule);

        if (r < 0)
                return r;
        key = policy_text_unknown_key(rule, known);
        if (key)
                return refuse_unknown(context, rule, key, "", "id, reason, match and settings");
        r = read_reason(context, rule);
        if (r >= 0)
                r = read_match(context, rule);
        return r < 0 ? r : read_settings(context, rule);
}

static int read_rule(const PolicyText *text, json_object *array, size_t index, Policy *policy)
{
        _cleanup_(context_done) Context context = {.text = text, .index = index};
        json_object *rule = json_object_array_get_idx(array, index);
        int r;

        if (!json_object_is_type(rule, json_type_object))
                return refuse(&context, at_element(array, index), "a rule must be an object");
        context.rule.file = strdup(text->path);
        if (!context.rule.file)
                return -ENOMEM;
        /* It is told on the bus, which carries UTF-8 alone, and a file may be called anything. */
        (void) utf8_sanitize(context.rule.file);
        r = read_members(&context, rule);
        if (r < 0)
                return r;
        r = policy_add(policy, &context.rule);
        if (r == -EEXIST)
                return refuse(&context, at_value(rule, "id"), "another rule of this file has the same id");
        if (r == -E2BIG)
                return refuse(&context, at_itself(rule), "there are more than %u rules in all files",
                              POLICY_RULES_MAX);
        return r;
}

int policy_rules_read(const PolicyText *text, json_object *array, Policy *policy)
{
        int r = 0;

        if (!json_object_is_type(array, json_type_array))
                return policy_text_refuse(text, at_value(text->root, "rules"), "\"rules\" must be a list");
        for (size_t i = 0; i < json_object_array_length(array) && r >= 0; i++)
                r = read_rule(text, array, i, policy);
        return r;
}
