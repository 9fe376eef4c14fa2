/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/bus/options.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "shared/cleanup.h"
#include "shared/utf8.h"

static Option *find(Option *options, size_t n, const char *key)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(options[i].key, key) == 0)
                        return &options[i];
        return NULL;
}

static int unknown(const char *key, const Option *options, size_t n, sd_bus_error *error)
{
        char known[256] = "none", quoted[QUOTED_MAX];
        char *p = known;

        for (size_t i = 0; i < n && p + strlen(options[i].key) + 3 < known + sizeof(known); i++) {
                if (i > 0)
                        p = stpcpy(p, ", ");
                p = stpcpy(p, options[i].key);
        }
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                 "Option '%s' is not known to this method. It knows: %s.",
                                 utf8_quote(key, quoted, sizeof(quoted)), known);
}

static int read_boolean(sd_bus_message *message, const Option *option)
{
        int value, r = sd_bus_message_read(message, "b", &value);

        if (r >= 0)
                *(bool *) option->target = value;
        return r;
}

static int read_number(sd_bus_message *message, const Option *option, sd_bus_error *error)
{
        uint64_t value;
        int r = sd_bus_message_read(message, "t", &value);

        if (r < 0)
                return r;
        if (value < option->min || value > option->max)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                         "Option '%s' is %" PRIu64 ", it must be from %" PRIu64
                                         " to %" PRIu64 ".",
                                         option->key, value, option->min, option->max);
        *(uint64_t *) option->target = value;
        return 0;
}

static int read_fds(sd_bus_message *message, const Option *option, sd_bus_error *error)
{
        OptionFds *fds = option->target;
        int fd, r;

        r = sd_bus_message_enter_container(message, 'a', "h");
        while (r >= 0 && (r = sd_bus_message_read(message, "h", &fd)) > 0) {
                if (fds->n == OPTION_FDS_MAX)
                        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                                 "Option '%s' has more than %u descriptors.", option->key,
                                                 OPTION_FDS_MAX);
                fds->fds[fds->n++] = fd;
        }
        return r < 0 ? r : sd_bus_message_exit_container(message);
}

static int read_value(sd_bus_message *message, const Option *option, sd_bus_error *error)
{
        int r = sd_bus_message_enter_container(message, 'v', option->type);

        if (r < 0)
                return r;
        switch (option->type[0]) {
        case 'b':
                r = read_boolean(message, option);
                break;
        case 't':
                r = read_number(message, option, error);
                break;
        case 'a':
                r = read_fds(message, option, error);
                break;
        default:
                r = sd_bus_message_read_basic(message, option->type[0], option->target);
        }
        return r < 0 ? r : sd_bus_message_exit_container(message);
}

static int read_entry(sd_bus_message *message, Option *options, size_t n, sd_bus_error *error)
{
        const char *key, *contents;
        Option *option;
        char type;
        int r;

        r = sd_bus_message_read(message, "s", &key);
        if (r < 0)
                return r;
        option = find(options, n, key);
        if (!option)
                return unknown(key, options, n, error);
        if (option->seen)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "Option '%s' is given twice.",
                                         key);
        option->seen = true;

        r = sd_bus_message_peek_type(message, &type, &contents);
        if (r < 0)
                return r;
        if (!contents || strcmp(contents, option->type) != 0)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                         "Option '%s' has a value of type '%.16s', it must be '%s'.", key,
                                         contents ? contents : "", option->type);
        return read_value(message, option, error);
}

int options_read(sd_bus_message *message, Option *options, size_t n_options, sd_bus_error *error)
{
        int r = sd_bus_message_enter_container(message, 'a', "{sv}");

        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
                r = read_entry(message, options, n_options, error);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(message);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        return sd_bus_message_exit_container(message);
}
