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

static void tell_loaded(Daemon *daemon, const PolicyLoaded *loaded)
{
        if (loaded->n_rules + loaded->n_pairs > 0)
                journal_policy_loaded(loaded->n_rules, loaded->n_pairs);
}

/* What the kernel does by itself follows, too, and what is done between two users. */
static void on_policy(void *userdata)
{
        Daemon *daemon = userdata;

        jobs_order_all(daemon->jobs);
        releases_policy_changed(daemon->releases);
}

/* What a rule would forbid must not become possible since a file is broken: then there is no daemon. */
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
