/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/system/policy-source.h"

#include <errno.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "daemon/system/policy-load.h"
#include "shared/cleanup.h"

DEFINE_CLEANUP(Registry *, registry_free);
DEFINE_CLEANUP(Policy *, policy_free);

/* Highest rank first. */
static const char *const directories[] = {POLICY_ADMIN_DIR, POLICY_RUNTIME_DIR, POLICY_VENDOR_DIR, NULL};
static const char *const stored[] = {POLICY_STORED_FILE, POLICY_STORED_RUNTIME_FILE};

/* The number of pairs, or negative errno. */
static int read_all(Registry *registry, Policy *policy, char **ret_message)
{
        int r = policy_load(directories, registry, policy, ret_message), n = r;

        for (size_t i = 0; i < ELEMENTSOF(stored) && r >= 0; i++) {
                if (access(stored[i], F_OK) < 0 && errno == ENOENT)
                        continue;
                r = policy_load_file(stored[i], registry, policy, ret_message);
                n += r;
        }
        return r < 0 ? r : n;
}

int policy_source_read(Registry **ret_registry, PolicyLoaded *ret, char **ret_message)
{
        _cleanup_(cleanup_policy_free) Policy *policy = policy_new();
        _cleanup_(cleanup_registry_free) Registry *registry = NULL;
        struct utsname machine;
        int r;

        *ret_message = NULL;
        if (!policy)
                return -ENOMEM;
        if (uname(&machine) < 0)
                return -errno;
        r = registry_new(&registry);
        if (r >= 0)
                r = read_all(registry, policy, ret_message);
        if (r < 0)
                return r;
        *ret = (PolicyLoaded){.n_rules = policy_n_rules(policy), .n_pairs = (size_t) r};
        registry_set_policy(registry, steal_pointer(policy), machine.release);
        *ret_registry = steal_pointer(registry);
        return 0;
}
