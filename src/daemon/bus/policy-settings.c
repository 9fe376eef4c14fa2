/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/bus/policy-settings.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "daemon/bus/options.h"
#include "shared/cleanup.h"
#include "shared/utf8.h"

/* The type of each key's value. */
static const char *type_of(PolicyKey key)
{
        switch (key) {
        case POLICY_METHODS:
        case POLICY_FORBID:
                return "as";
        case POLICY_ALLOW_LINK:
        case POLICY_KERNEL_ORDER:
        case POLICY_REQUIRE_CLEAN:
                return "b";
        case POLICY_SETTLE_USEC:
        case POLICY_TIMEOUT_USEC:
                return "t";
        case POLICY_DRIVER:
        case POLICY_ON_RELEASE:
        case POLICY_ON_ERROR:
        case POLICY_KEY_N:
                break;
        }
        return "s";
}

/* ---- reading ---- */

static PolicyKey find_key(const char *name)
{
        PolicyKey key = 0;

        while (key < POLICY_KEY_N && strcmp(policy_key_to_string(key), name) != 0)
                key++;
        return key;
}

static int read_methods(sd_bus_message *message, PolicyKey key, ResetMethodList *list, sd_bus_error *error)
{
        char quoted[QUOTED_MAX];
        const char *name;
        int r;

        r = sd_bus_message_enter_container(message, 'a', "s");
        while (r >= 0 && (r = sd_bus_message_read(message, "s", &name)) > 0) {
                r = policy_list_add(list, name);
                utf8_quote(name, quoted, sizeof(quoted));
                if (r == -EEXIST)
                        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                                 "Setting '%s' names '%s' twice.", policy_key_to_string(key),
                                                 quoted);
                if (r < 0)
                        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                                 "Setting '%s': '%s' is no method that this version knows.",
                                                 policy_key_to_string(key), quoted);
        }
        return r < 0 ? r : sd_bus_message_exit_container(message);
}

static int read_boolean(sd_bus_message *message, bool *ret)
{
        int value, r = sd_bus_message_read(message, "b", &value);

        if (r >= 0)
                *ret = value;
        return r;
}

static int read_usec(sd_bus_message *message, PolicyKey key, uint64_t min, uint64_t max, uint64_t *ret,
                     sd_bus_error *error)
{
        int r = sd_bus_message_read(message, "t", ret);

        if (r < 0)
                return r;
        if ((*ret > 0 && *ret < min) || *ret > max)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                         "Setting '%s' is a number of microseconds, 0 or from %" PRIu64
                                         " to %" PRIu64 ".",
                                         policy_key_to_string(key), min, max);
        return 0;
}

static int read_choice(sd_bus_message *message, PolicyKey key, int (*from_string)(const char *name),
                       sd_bus_error *error)
{
        char quoted[QUOTED_MAX];
        const char *name;
        int r = sd_bus_message_read(message, "s", &name);

        if (r < 0)
                return r;
        r = from_string(name);
        if (r < 0)
                return sd_bus_error_setf(
                        error, SD_BUS_ERROR_INVALID_ARGS, "Setting '%s' cannot be '%s'. See pciresetd(8).",
                        policy_key_to_string(key), utf8_quote(name, quoted, sizeof(quoted)));
        return r;
}

static int read_key(sd_bus_message *message, PolicyKey key, PolicySettings *to, sd_bus_error *error)
{
        int r;

        switch (key) {
        case POLICY_METHODS:
                return read_methods(message, key, &to->methods, error);
        case POLICY_FORBID:
                return read_methods(message, key, &to->forbid, error);
        case POLICY_ALLOW_LINK:
                return read_boolean(message, &to->allow_link);
        case POLICY_KERNEL_ORDER:
                return read_boolean(message, &to->kernel_order);
        case POLICY_REQUIRE_CLEAN:
                return read_boolean(message, &to->require_clean);
        case POLICY_DRIVER:
                r = read_choice(message, key, policy_driver_from_string, error);
                to->driver = r < 0 ? 0 : (PolicyDriver) r;
                return r;
        case POLICY_ON_RELEASE:
                r = read_choice(message, key, policy_on_release_from_string, error);
                to->on_release = r < 0 ? 0 : (PolicyOnRelease) r;
                return r;
        case POLICY_ON_ERROR:
                r = read_choice(message, key, policy_on_error_from_string, error);
                to->on_error = r < 0 ? 0 : (PolicyOnError) r;
                return r;
        case POLICY_SETTLE_USEC:
                return read_usec(message, key, 1, POLICY_SETTLE_USEC_MAX, &to->settle_usec, error);
        case POLICY_TIMEOUT_USEC:
                return read_usec(message, key, POLICY_TIMEOUT_USEC_MIN, POLICY_TIMEOUT_USEC_MAX,
                                 &to->timeout_usec, error);
        case POLICY_KEY_N:
                break;
        }
        return -EINVAL;
}

static int check_key(const char *name, PolicyKey key, const PolicySettings *settings, sd_bus_error *error)
{
        char quoted[QUOTED_MAX];

        utf8_quote(name, quoted, sizeof(quoted));
        if (key == POLICY_KEY_N)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                         "Setting '%s' is not known. pciresetd(8) tells which there are.",
                                         quoted);
        if (settings->set & 1U << key)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "Setting '%s' is given twice.",
                                         quoted);
        return 0;
}

static int read_entry(sd_bus_message *message, PolicySettings *settings, sd_bus_error *error)
{
        const char *name, *contents;
        PolicyKey key;
        char type;
        int r;

        r = sd_bus_message_read(message, "s", &name);
        if (r < 0)
                return r;
        key = find_key(name);
        r = check_key(name, key, settings, error);
        if (r >= 0)
                r = sd_bus_message_peek_type(message, &type, &contents);
        if (r < 0)
                return r;
        if (!contents || strcmp(contents, type_of(key)) != 0)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                         "Setting '%s' has a value of type '%.16s', it must be '%s'.", name,
                                         contents ? contents : "", type_of(key));
        settings->set |= 1U << key;
        r = sd_bus_message_enter_container(message, 'v', contents);
        if (r >= 0)
                r = read_key(message, key, settings, error);
        return r < 0 ? r : sd_bus_message_exit_container(message);
}

int policy_settings_read(sd_bus_message *message, PolicySettings *ret, sd_bus_error *error)
{
        int r = sd_bus_message_enter_container(message, 'a', "{sv}");

        *ret = (PolicySettings){};
        while (r >= 0 && (r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
                r = read_entry(message, ret, error);
                if (r >= 0)
                        r = sd_bus_message_exit_container(message);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(message);
        if (r >= 0 && ret->set == 0)
                r = sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
                                     "There is no setting. A rule sets at least one.");
        return r;
}

/* ---- telling ---- */

static int append_methods(sd_bus_message *message, const ResetMethodList *list)
{
        int r = sd_bus_message_open_container(message, 'v', "as");

        if (r >= 0)
                r = sd_bus_message_open_container(message, 'a', "s");
        for (size_t i = 0; i < list->n && r >= 0; i++)
                r = sd_bus_message_append(message, "s", list->names[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(message);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

int append_setting_value(sd_bus_message *message, const PolicySettings *settings, PolicyKey key)
{
        switch (key) {
        case POLICY_METHODS:
                return append_methods(message, &settings->methods);
        case POLICY_FORBID:
                return append_methods(message, &settings->forbid);
        case POLICY_ALLOW_LINK:
                return sd_bus_message_append(message, "v", "b", (int) settings->allow_link);
        case POLICY_KERNEL_ORDER:
                return sd_bus_message_append(message, "v", "b", (int) settings->kernel_order);
        case POLICY_REQUIRE_CLEAN:
                return sd_bus_message_append(message, "v", "b", (int) settings->require_clean);
        case POLICY_DRIVER:
                return sd_bus_message_append(message, "v", "s", policy_driver_to_string(settings->driver));
        case POLICY_ON_RELEASE:
                return sd_bus_message_append(message, "v", "s",
                                             policy_on_release_to_string(settings->on_release));
        case POLICY_ON_ERROR:
                return sd_bus_message_append(message, "v", "s",
                                             policy_on_error_to_string(settings->on_error));
        case POLICY_SETTLE_USEC:
                return sd_bus_message_append(message, "v", "t", settings->settle_usec);
        case POLICY_TIMEOUT_USEC:
                return sd_bus_message_append(message, "v", "t", settings->timeout_usec);
        case POLICY_KEY_N:
                break;
        }
        return -EINVAL;
}

int append_settings(sd_bus_message *message, const PolicySettings *settings)
{
        int r = sd_bus_message_open_container(message, 'a', "{sv}");

        for (PolicyKey key = 0; key < POLICY_KEY_N && r >= 0; key++) {
                if (!(settings->set & 1U << key))
                        continue;
                r = sd_bus_message_open_container(message, 'e', "sv");
                if (r >= 0)
                        r = sd_bus_message_append(message, "s", policy_key_to_string(key));
                if (r >= 0)
                        r = append_setting_value(message, settings, key);
                if (r >= 0)
                        r = sd_bus_message_close_container(message);
        }
        return r < 0 ? r : sd_bus_message_close_container(message);
}
