/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "shared/method.h"

#include <errno.h>
#include <string.h>

#include "shared/cleanup.h"

#define MSEC_IN_USEC UINT64_C(1000)

static const struct {
        const char *name;
        ResetScope scope;
        uint64_t expected_usec;
        bool is_ours;
} known_methods[] = {
        {"device_specific", RESET_SCOPE_FUNCTION, 350 * MSEC_IN_USEC},
        {"acpi", RESET_SCOPE_FUNCTION, 0},
        {"flr", RESET_SCOPE_FUNCTION, 100 * MSEC_IN_USEC},
        {"af_flr", RESET_SCOPE_FUNCTION, 100 * MSEC_IN_USEC},
        {"pm", RESET_SCOPE_FUNCTION, 20 * MSEC_IN_USEC},
        {"bus", RESET_SCOPE_LINK, 1100 * MSEC_IN_USEC},
        {"cxl_bus", RESET_SCOPE_LINK, 1100 * MSEC_IN_USEC},
        {RESET_METHOD_SUBORDINATE, RESET_SCOPE_LINK, 1100 * MSEC_IN_USEC, .is_ours = true},
        {RESET_METHOD_VFIO_HOT, RESET_SCOPE_LINK, 1200 * MSEC_IN_USEC, .is_ours = true},
        {RESET_METHOD_SLOT, RESET_SCOPE_LINK, 2500 * MSEC_IN_USEC, .is_ours = true},
        {RESET_METHOD_RESCAN, RESET_SCOPE_POWER, 500 * MSEC_IN_USEC, .is_ours = true},
        {RESET_METHOD_THAW, RESET_SCOPE_FUNCTION, 10 * MSEC_IN_USEC, .is_ours = true},
        {RESET_METHOD_DO_FLR, RESET_SCOPE_FUNCTION, 100 * MSEC_IN_USEC, .is_ours = true},
        {RESET_METHOD_RESET_DEVICE, RESET_SCOPE_LINK, 1100 * MSEC_IN_USEC, .is_ours = true},
};

static const char *const scope_names[] = {
        [RESET_SCOPE_UNKNOWN] = "unknown",
        [RESET_SCOPE_FUNCTION] = "function",
        [RESET_SCOPE_LINK] = "link",
        [RESET_SCOPE_POWER] = "power",
};

bool reset_method_name_is_valid(const char *name)
{
        size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

        return n > 0 && n < RESET_METHOD_NAME_MAX && name[n] == '\0' && !(name[0] >= '0' && name[0] <= '9');
}

ResetScope reset_method_scope(const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(known_methods); i++)
                if (strcmp(known_methods[i].name, name) == 0)
                        return known_methods[i].scope;
        return RESET_SCOPE_UNKNOWN;
}

bool reset_method_is_ours(const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(known_methods); i++)
                if (strcmp(known_methods[i].name, name) == 0)
                        return known_methods[i].is_ours;
        return false;
}

bool reset_method_is_pciback(const char *name)
{
        return strcmp(name, RESET_METHOD_DO_FLR) == 0 || strcmp(name, RESET_METHOD_RESET_DEVICE) == 0;
}

bool reset_method_is_doubtful(const char *name)
{
        return strcmp(name, "pm") == 0;
}

bool reset_method_resets(const char *name)
{
        return strcmp(name, RESET_METHOD_RESCAN) != 0 && strcmp(name, RESET_METHOD_THAW) != 0;
}

const char *reset_scope_to_string(ResetScope scope)
{
        return scope_names[scope];
}

ResetAlias reset_alias_from_string(const char *text)
{
        if (strcmp(text, "any") == 0)
                return RESET_ALIAS_ANY;
        if (strcmp(text, "function") == 0)
                return RESET_ALIAS_FUNCTION;
        if (strcmp(text, "link") == 0)
                return RESET_ALIAS_LINK;
        if (strcmp(text, "recover") == 0)
                return RESET_ALIAS_RECOVER;
        return RESET_ALIAS_NONE;
}

uint64_t reset_method_expected_usec(const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(known_methods); i++)
                if (strcmp(known_methods[i].name, name) == 0)
                        return known_methods[i].expected_usec;
        return 0;
}

int reset_method_list_parse(const char *text, ResetMethodList *ret)
{
        *ret = (ResetMethodList){};

        for (const char *p = text + strspn(text, " \n"); *p; p += strspn(p, " \n")) {
                size_t length = strcspn(p, " \n");

                if (length >= RESET_METHOD_NAME_MAX || ret->n >= RESET_METHODS_MAX)
                        goto bad;
                memcpy(ret->names[ret->n], p, length);
                ret->names[ret->n][length] = '\0';
                if (!reset_method_name_is_valid(ret->names[ret->n]))
                        goto bad;
                ret->n++;
                p += length;
        }
        return 0;

bad:
        *ret = (ResetMethodList){};
        return -EBADMSG;
}

const char *reset_method_list_format(const ResetMethodList *list, char *buffer)
{
        char *p = buffer;

        *p = '\0';
        for (size_t i = 0; i < list->n; i++) {
                if (i > 0)
                        *p++ = ' ';
                p = stpcpy(p, list->names[i]);
        }
        return buffer;
}

bool reset_method_list_contains(const ResetMethodList *list, const char *name)
{
        for (size_t i = 0; i < list->n; i++)
                if (strcmp(list->names[i], name) == 0)
                        return true;
        return false;
}
