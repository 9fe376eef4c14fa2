/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What happens between two users, tied to the loop, the journal and the disk.
 */

#include "daemon/daemon.h"
#include "daemon/system/journal.h"
#include "daemon/system/release-store.h"

static int on_releases_due(sd_event_source *source, void *userdata)
{
        releases_run(((Daemon *) userdata)->releases);
        return 0;
}

static void on_release_wake(void *userdata)
{
        (void) sd_event_source_set_enabled(((Daemon *) userdata)->releasing, SD_EVENT_ONESHOT);
}

static int on_release_stored(void *userdata, const ReleaseRecord *record, bool keep)
{
        Daemon *daemon = userdata;
        char address[PCI_ADDRESS_STRING_MAX];
        int r = release_store(RELEASE_STORE_DIR, record, keep);

        /* It is tried again and again. */
        if (r < 0 && !daemon->releases_unstored)
                journal_release_unstored(pci_address_format(&record->device.address, address), r);
        daemon->releases_unstored = r < 0;
        return r;
}

static void on_release_waiting(void *userdata, const Release *release)
{
        journal_release_waits(release);
}

int daemon_releases_new(Daemon *daemon)
{
        const ReleasePorts ports = {
                .wake = on_release_wake,
                .store = on_release_stored,
                .waiting = on_release_waiting,
                .userdata = daemon,
        };
        int r = sd_event_add_defer(daemon->event, &daemon->releasing, on_releases_due, daemon);

        if (r >= 0)
                r = sd_event_source_set_enabled(daemon->releasing, SD_EVENT_OFF);
        if (r >= 0)
                r = releases_new(daemon->registry, daemon->jobs, daemon->quarantines, &ports,
                                 &daemon->releases);
        return r;
}

static int on_release_found(void *userdata, const ReleaseRecord *record)
{
        return releases_restore(((Daemon *) userdata)->releases, record);
}

int daemon_releases_load(Daemon *daemon)
{
        return release_store_load(RELEASE_STORE_DIR, on_release_found, daemon);
}

void daemon_releases_done(Daemon *daemon)
{
        daemon->releasing = sd_event_source_disable_unref(daemon->releasing);
        daemon->releases = releases_free(daemon->releases);
}
