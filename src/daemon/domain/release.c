/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What is heard of users only changes notes, here; all that is done is done by releases_run(), in a moment
 * of its own (release-run.c): the end of a lease is told device by device, and a reset must not begin before
 * it is known of all of them.
 */

#include "daemon/domain/release.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "daemon/domain/claims.h"
#include "daemon/domain/cleanliness.h"
#include "daemon/domain/release-internal.h"
#include "shared/cleanup.h"

int releases_new(Registry *registry, Jobs *jobs, Quarantines *quarantines, const ReleasePorts *ports,
                 Releases **ret)
{
        Releases *releases = calloc(1, sizeof(Releases));

        if (!releases)
                return -ENOMEM;
        releases->registry = registry;
        releases->jobs = jobs;
        releases->quarantines = quarantines;
        releases->ports = *ports;
        *ret = releases;
        return 0;
}

Releases *releases_free(Releases *releases)
{
        Release *release, *next;

        if (!releases)
                return NULL;
        DL_FOREACH_SAFE (releases->list, release, next)
                free(release);
        free(releases);
        return NULL;
}

const Release *releases_next(const Releases *releases, const Release *release)
{
        return release ? release->next : releases->list;
}

void releases_wake(Releases *releases)
{
        releases->ports.wake(releases->ports.userdata);
}

static void store(Releases *releases, Release *release, bool keep)
{
        release->is_unstored = releases->ports.store(releases->ports.userdata, &release->record, keep) < 0;
}

static void store_late(Releases *releases, Device *device)
{
        if (device->release && device->release->is_unstored)
                store(releases, device->release, true);
}

void release_set_state(Releases *releases, Release *release, ReleaseState state)
{
        release->state = state;
        if (state == RELEASE_READY)
                releases_wake(releases);
}

/* ---- which device? ---- */

static Release *find(Releases *releases, const Device *device)
{
        Release *release;

        DL_FOREACH (releases->list, release)
                if (!release->device && claim_device_is(&release->record.device, device))
                        return release;
        return NULL;
}

/* ---- notes ---- */

void release_end(Releases *releases, Release *release)
{
        store(releases, release, false);
        if (release->device)
                release->device->release = NULL;
        DL_DELETE(releases->list, release);
        free(release);
}

static void make_room(Releases *releases)
{
        Release *release, *oldest = NULL;
        size_t n = 0;

        DL_FOREACH (releases->list, release) {
                if (release->device)
                        continue;
                n++;
                oldest = oldest ? oldest : release;
        }
        if (n >= RELEASES_ABSENT_MAX)
                release_end(releases, oldest);
}

static Release *add(Releases *releases, Device *device)
{
        Release *release = calloc(1, sizeof(Release));

        if (!release)
                return NULL;
        make_room(releases);
        release->device = device;
        if (device) {
                release->record.device = claim_device(device);
                device->release = release;
        }
        DL_APPEND(releases->list, release);
        return release;
}

/* With another driver the rule may be about it no more, and has still been the one. */
void release_note_rule(Release *release)
{
        const EffectivePolicy *policy = registry_policy_of(release->device);

        if (policy && policy->origin[POLICY_ON_RELEASE])
                policy_rule_text(policy->origin[POLICY_ON_RELEASE], release->rule);
}

static bool wants_reset(Device *device)
{
        const EffectivePolicy *policy = registry_policy_of(device);

        /* Without memory to know it, it is wanted. */
        return !policy || policy->settings.on_release == POLICY_ON_RELEASE_RESET;
}

bool release_is_owed(Device *device, uint32_t uid)
{
        const Release *release = device->release;

        return release && release->is_given && !release->is_leased && release->record.uid != uid &&
               wants_reset(device);
}

/* Whoever opens a device is known by his process. */
static uint32_t opener(const Device *device)
{
        for (size_t i = 0; i < device->use.n_holders; i++)
                if (device->use.holders[i].kind == HOLDER_VFIO && device->use.holders[i].pid != 0)
                        return device->use.holders[i].uid;
        return 0;
}

/* The user has let go. What is clean by now is done at once, with the others of its lease. */
static void let_go(Releases *releases, Release *release)
{
        release->device->released = wants_reset(release->device);
        if (!release->device->released || release->device->quarantine) {
                if (!release->is_given)
                        release_end(releases, release);
                return;
        }
        release->record.pending = true;
        release->n_tries = 0;
        release_note_rule(release);
        store(releases, release, true);
        release_set_state(releases, release, RELEASE_READY);
}

static bool is_same_user(const ReleaseRecord *a, const ReleaseRecord *b)
{
        return a->uid == b->uid && a->pending == b->pending && strcmp(a->lease, b->lease) == 0;
}

/* He has it, be it still or from now on. */
static void note_user(Releases *releases, Device *device, bool is_given)
{
        Release *release = device->release ? device->release : add(releases, device);
        bool is_new_lease = device->lease && (!release || !release->is_leased);
        ReleaseRecord before;

        if (!release)
                return;
        before = release->record;
        device->released = false;
        if (is_new_lease) {
                release->record.uid = device->lease->record.uid;
                memcpy(release->record.lease, device->lease->record.id, sizeof(release->record.lease));
                /* Nobody is given what is pending; it was taken before, and this is who had it. */
                release->record.pending = false;
        } else if (!device->lease && (!release->is_given || release->record.uid == 0)) {
                /* Of a node that was opened just now it is known with the next look. */
                release->record.uid = opener(device);
                release->record.lease[0] = '\0';
        }
        if (!is_same_user(&before, &release->record) || (is_given && !release->is_given))
                store(releases, release, true);
        release->is_leased = device->lease != NULL;
        release->is_given = is_given;
}

/* Somebody may still have it open while nobody knows. */
static bool is_use_known(const Device *device)
{
        return device->use.known || !plan_needs_scan(device);
}

static void follow_user(Releases *releases, Device *device)
{
        bool is_given = cleanliness_is_given(device);
        Release *release = device->release;

        /* Then the host has it. */
        if (driver_kind(device->facts.driver) == DRIVER_HOST && !release_is_pending(device))
                device->released = false;
        if (release && release->is_leased && !device->lease) {
                release->is_leased = false;
                release->is_given = is_given;
                let_go(releases, release);
        } else if (device->lease || (is_given && !release_is_pending(device))) {
                note_user(releases, device, is_given);
        } else if (release && release->is_given && !is_given && is_use_known(device)) {
                release->is_given = false;
                if (!release->record.pending)
                        let_go(releases, release);
        }
}

/* Might the change of the one let the reset of the other be? */
static bool is_concerned(const Release *release, const Device *device)
{
        _cleanup_free_ Device **devices = NULL;
        size_t n = 0;

        if (release->device == device || plan_concerned(release->device, &devices, &n) < 0)
                return true;
        for (size_t i = 0; i < n; i++)
                if (devices[i] == device)
                        return true;
        return false;
}

static void try_again(Releases *releases, Release *release)
{
        release->n_tries = 0;
        release_set_state(releases, release, RELEASE_READY);
}

void releases_follow(Releases *releases, Device *device)
{
        Release *release;

        if (!cleanliness_applies(device))
                return;
        release = device->release ? NULL : find(releases, device);
        if (release) {
                release->device = device;
                device->release = release;
                cleanliness_set(device, CLEANLINESS_DIRTY);
                device->released = release->record.pending;
        }
        follow_user(releases, device);
        if (device->touched_in_reset)
                releases_touched(releases, device);
        store_late(releases, device);
        if (device->release)
                releases_wake(releases);
        DL_FOREACH (releases->list, release)
                if (release->record.pending && release->device && release->state == RELEASE_WAITS &&
                    is_concerned(release, device))
                        try_again(releases, release);
}

void releases_touched(Releases *releases, Device *device)
{
        if (cleanliness_applies(device) && device->cleanliness == CLEANLINESS_DIRTY && !device->lease &&
            !release_is_pending(device))
                note_user(releases, device, true);
}

void releases_looked(Releases *releases, Device *device)
{
        if (!cleanliness_applies(device))
                return;
        follow_user(releases, device);
        store_late(releases, device);
}

void releases_device_removed(Releases *releases, Device *device)
{
        Release *release = device->release;

        if (!release)
                return;
        if (!release->record.pending && !wants_reset(device)) {
                release_end(releases, release);
                return;
        }
        device->release = NULL;
        release->device = NULL;
        /* Whoever had it has it no more, and the lease may end before it is back. */
        if (!release->record.pending) {
                release->record.pending = true;
                store(releases, release, true);
        }
        release->is_leased = release->is_given = false;
        release_set_state(releases, release, RELEASE_READY);
}

void releases_policy_changed(Releases *releases)
{
        Release *release;

        /* What was let go by rules that hold no more is reset for nobody else's sake. */
        for (Device *d = registry_next(releases->registry, NULL); d;
             d = registry_next(releases->registry, d))
                d->released = d->released && release_is_pending(d);
        DL_FOREACH (releases->list, release) {
                if (!release->record.pending || !release->device)
                        continue;
                release->is_unwanted = !wants_reset(release->device);
                if (release->state == RELEASE_WAITS)
                        try_again(releases, release);
        }
        releases_wake(releases);
}

int releases_restore(Releases *releases, const ReleaseRecord *record)
{
        Device *device = registry_find(releases->registry, &record->device.address);
        Release *release;

        if (device &&
            (!claim_device_is(&record->device, device) || device->release || !cleanliness_applies(device)))
                device = NULL;
        release = add(releases, device);
        if (!release)
                return -ENOMEM;
        release->record = *record;
        if (!device) {
                release->record.pending = true;
                if (!record->pending)
                        store(releases, release, true);
                return 0;
        }
        cleanliness_set(device, CLEANLINESS_DIRTY);
        device->released = record->pending;
        /* As the last daemon knew it; what is different now is news. */
        if (device->lease)
                release->is_leased = strcmp(device->lease->record.id, record->lease) == 0;
        else
                release->is_leased = record->lease[0] != '\0' && !record->pending;
        release->is_given = !release->is_leased && !device->lease;
        releases_follow(releases, device);
        return 0;
}
