/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "pcireset/policy-check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/system/dropins.h"
#include "daemon/system/file-replace.h"
#include "daemon/system/policy-load.h"
#include "shared/cleanup.h"

_Static_assert(POLICY_FILE_MAX == DROPIN_SIZE_MAX, "what is edited can be read");

DEFINE_CLEANUP(Policy *, policy_free);

int policy_check(const char *path, PolicyChecked *ret)
{
        _cleanup_(cleanup_policy_free) Policy *policy = policy_new();
        int r;

        *ret = (PolicyChecked){};
        if (!policy)
                return -ENOMEM;
        r = policy_load_file(path, NULL, policy, &ret->message);
        if (r < 0)
                return r;
        ret->n_rules = policy_n_rules(policy);
        ret->n_pairs = (size_t) r;
        return 0;
}

void policy_checked_done(PolicyChecked *checked)
{
        free(checked->message);
}

/* The folders above it, as a package would make them. */
static int make_folders(const char *path)
{
        _cleanup_free_ char *copy = strdup(path);

        if (!copy)
                return -ENOMEM;
        for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                if (mkdir(copy, 0755) < 0 && errno != EEXIST)
                        return -errno;
                *slash = '/';
        }
        return 0;
}

int policy_put(const char *path, const char *text, size_t length)
{
        int r = make_folders(path);

        if (r >= 0)
                r = file_replace(path, text, length);
        return r >= 0 && chmod(path, 0644) < 0 ? -errno : r;
}

const char *policy_setting_name(size_t index)
{
        return index < POLICY_KEY_N ? policy_key_to_string((PolicyKey) index) : NULL;
}
