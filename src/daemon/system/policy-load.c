/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/system/policy-load.h"

#include <errno.h>

#include "daemon/system/dropins.h"
#include "daemon/system/edges.h"
#include "daemon/system/policy-rules.h"
#include "daemon/system/policy-text.h"
#include "shared/cleanup.h"
#include "shared/utf8.h"

typedef struct Loader {
        Registry *registry;
        Policy *policy;
        size_t n_pairs;
} Loader;

static int read_keys(const PolicyText *text, Loader *loader)
{
        static const char *const all[] = {"edges", "rules", NULL}, *const no_rules[] = {"edges", NULL};
        const char *key = policy_text_unknown_key(text->root, loader->policy ? all : no_rules);
        char quoted[POLICY_TEXT_QUOTE_MAX];
        json_object *value;
        int r = 0;

        if (key)
                return policy_text_refuse(text, at_key(text->root, key),
                                          "unknown key \"%s\"; this version knows %s",
                                          utf8_quote(key, quoted, sizeof(quoted)),
                                          loader->policy ? "\"edges\" and \"rules\"" : "\"edges\" only");
        if (json_object_object_get_ex(text->root, "edges", &value))
                r = edges_read(text, value, loader->registry, &loader->n_pairs);
        if (r >= 0 && json_object_object_get_ex(text->root, "rules", &value))
                r = policy_rules_read(text, value, loader->policy);
        return r;
}

static int read_text(void *userdata, const char *path, const char *bytes, size_t length, char **ret_message)
{
        _cleanup_(policy_text_done)
                PolicyText text = {.path = path, .text = bytes, .length = length, .message = ret_message};
        int r = policy_text_parse(&text);

        return r < 0 ? r : read_keys(&text, userdata);
}

int policy_load(const char *const directories[], Registry *registry, Policy *policy, char **ret_message)
{
        Loader loader = {.registry = registry, .policy = policy};
        int r = dropins_read(directories, read_text, &loader, ret_message);

        return r < 0 ? r : (int) loader.n_pairs;
}

int policy_load_file(const char *path, Registry *registry, Policy *policy, char **ret_message)
{
        Loader loader = {.registry = registry, .policy = policy};
        int r = dropin_read(path, read_text, &loader, ret_message);

        return r < 0 ? r : (int) loader.n_pairs;
}

int policy_load_text(const char *path, const char *text, size_t length, Registry *registry, Policy *policy,
                     char **ret_message)
{
        Loader loader = {.registry = registry, .policy = policy};
        int r;

        *ret_message = NULL;
        if (length > DROPIN_SIZE_MAX)
                return dropin_refuse(ret_message, -EFBIG, path, "is larger than %u bytes", DROPIN_SIZE_MAX);
        r = read_text(&loader, path, text, length, ret_message);
        return r < 0 ? r : (int) loader.n_pairs;
}
