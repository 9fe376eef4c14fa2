/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The policy's way into the daemon: at the start, when it has to be right, and again on SIGHUP, when what is
 * wrong changes nothing.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "daemon/daemon.h"
#include "daemon/domain/kernel-order.h"
#include "daemon/system/journal.h"
#include "shared/cleanup.h"

/* Nobody shall believe that a setting holds which nothing follows. */
static void tell_without_effect(const Policy *policy)
{
        for (size_t i = 0; i < policy_n_rules(policy); i++) {
                const PolicyRule *rule = policy_rule(policy, i);

                for (PolicyKey key = 0; key < POLICY_KEY_N; key++)
                        if (rule->settings.set & POLICY_KEYS_WITHOUT_EFFECT & 1U << key)
                                journal_policy_without_effect(rule, key);
        }
}

static void tell_loaded(Daemon *daemon, const PolicyLoaded *loaded)
{
        if (loaded->n_rules + loaded->n_pairs > 0)
                journal_policy_loaded(loaded->n_rules, loaded->n_pairs);
        tell_without_effect(registry_policy(daemon->registry));
}

/* What a rule would forbid must not become possible since a file is broken: then there is no daemon. */
/* What the kernel does by itself follows, too. */
static void on_policy(void *userdata)
{
        jobs_order_all(((Daemon *) userdata)->jobs);
}

int daemon_policy_load(Daemon *daemon)
{
        _cleanup_free_ char *message = NULL;
        PolicyLoaded loaded;
        int r = policy_store_new(daemon->event, daemon->registry, on_policy, daemon, &daemon->policies);

        if (r >= 0)
                r = policy_store_load(daemon->policies, &loaded, &message);
        if (r < 0) {
                journal_policy_refused(message ? message : strerror(-r), r);
                fprintf(stderr, "pciresetd: %s\n", message ? message : strerror(-r));
        } else {
                tell_loaded(daemon, &loaded);
        }
        return r;
}

static void on_reloaded(void *userdata, const PolicyOutcome *outcome)
{
        const char *message = outcome->message ? outcome->message : strerror(-outcome->error);

        if (outcome->error < 0)
                journal_policy_kept(message, outcome->error);
        else
                tell_loaded(userdata, outcome->loaded);
        (void) sd_notifyf(false, "READY=1\nSTATUS=%s", outcome->error < 0 ? message : "");
}

void daemon_policy_reload(Daemon *daemon)
{
        uint64_t now = 0;
        int r;

        (void) sd_event_now(daemon->event, CLOCK_MONOTONIC, &now);
        (void) sd_notifyf(false, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, now);
        r = policy_store_reload(daemon->policies, on_reloaded, daemon, NULL);
        if (r < 0)
                on_reloaded(daemon, &(PolicyOutcome){.error = r});
}

int daemon_policy_check(void)
{
        _cleanup_free_ char *message = NULL;
        PolicyLoaded loaded;
        Registry *registry;
        int r = policy_source_read(&registry, &loaded, &message);

        if (r < 0) {
                fprintf(stderr, "pciresetd: %s\n", message ? message : strerror(-r));
                return r;
        }
        registry_free(registry);
        printf("The policy has %zu rules and ties %zu pairs of devices together.\n", loaded.n_rules,
               loaded.n_pairs);
        return 0;
}
