/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/system/policy-source.h"

#include <errno.h>
#include <sys/utsname.h>

#include "daemon/system/policy-load.h"
#include "shared/cleanup.h"

DEFINE_CLEANUP(Registry *, registry_free);
DEFINE_CLEANUP(Policy *, policy_free);

/* Highest rank first. */
static const char *const directories[] = {POLICY_ADMIN_DIR, POLICY_RUNTIME_DIR, POLICY_VENDOR_DIR, NULL};

int policy_source_load(Registry *registry, PolicyLoaded *ret, char **ret_message)
{
        _cleanup_(cleanup_policy_free) Policy *policy = policy_new();
        _cleanup_(cleanup_registry_free) Registry *read = NULL;
        struct utsname machine;
        int r;

        *ret_message = NULL;
        if (!policy)
                return -ENOMEM;
        if (uname(&machine) < 0)
                return -errno;
        r = registry_new(&read);
        if (r >= 0)
                r = policy_load(directories, read, policy, ret_message);
        if (r < 0)
                return r;
        *ret = (PolicyLoaded){.n_rules = policy_n_rules(policy), .n_pairs = (size_t) r};
        registry_set_policy(read, steal_pointer(policy), machine.release);
        registry_take_policy(registry, read);
        return 0;
}
