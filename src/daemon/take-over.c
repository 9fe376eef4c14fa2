/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What an earlier daemon has left, and this one goes on with:
 *
 *      leases and inhibitors   whose descriptors systemd has kept (lease-store)
 *      quarantines             files under /var/lib (quarantine-store)
 *      resets                  whose worker runs, or ended while no daemon did (record), or that the machine
 *                              went down with (under-way)
 *      drivers kept off        settings of devices that workers have noted under /run (kept-off)
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-id128.h>
#include <time.h>

#include "daemon/daemon.h"
#include "daemon/domain/cleanliness.h"
#include "daemon/domain/keep-off.h"
#include "daemon/system/journal.h"
#include "daemon/system/kept-off.h"
#include "daemon/system/quarantine-log.h"
#include "daemon/system/release-store.h"
#include "daemon/system/sysfs.h"
#include "shared/cleanup.h"

/* ---- leases and inhibitors ---- */

static void on_claim_released(void *userdata, const char *id)
{
        Daemon *daemon = userdata;
        const Claim *claim = claims_find(daemon->claims, id);

        if (!claim)
                return;
        journal_claim_released(&claim->record);
        claims_remove(daemon->claims, id);
}

static int on_claim_found(void *userdata, const ClaimRecord *record)
{
        const Claim *claim;

        return claims_add(((Daemon *) userdata)->claims, record, &claim);
}

/* Its user had no note of his own if there was no room for one. */
static void on_claim_orphaned(void *userdata, const ClaimRecord *record)
{
        ReleaseRecord user = {.uid = record->uid};
        const Daemon *daemon = userdata;

        if (record->kind != CLAIM_LEASE)
                return;
        memcpy(user.lease, record->id, sizeof(user.lease));
        for (size_t i = 0; i < record->n_devices; i++) {
                const Device *device = registry_find(daemon->registry, &record->devices[i].address);

                user.device = record->devices[i];
                if (!device || cleanliness_applies(device))
                        release_store_missing(RELEASE_STORE_DIR, &user);
        }
}

int daemon_take_over_claims(Daemon *daemon)
{
        const LeaseHandler handler = {
                .released = on_claim_released,
                .found = on_claim_found,
                .orphaned = on_claim_orphaned,
                .userdata = daemon,
        };
        int r = lease_store_new(daemon->event, LEASE_STORE_DIR, &handler, &daemon->leases);

        return r < 0 ? r : lease_store_load(daemon->leases);
}

/* ---- quarantines ---- */

/* A file's name has the number, if it is known. */
static void forget_unnumbered(Daemon *daemon, const QuarantineRecord *record)
{
        QuarantineRecord unnumbered = *record;

        if (record->serial[0] == '\0')
                return;
        unnumbered.serial[0] = '\0';
        quarantine_store_remove(daemon->quarantine_store, &unnumbered);
}

static void on_quarantine(void *userdata, const QuarantineRecord *record, QuarantineEvent event)
{
        Daemon *daemon = userdata;

        /* Whoever releases one by hand says why. */
        if (event != QUARANTINE_RELEASED && event != QUARANTINE_IDENTIFIED && event != QUARANTINE_PINNED &&
            event != QUARANTINE_EVIDENCE)
                journal_quarantine(record, event);
        if (event != QUARANTINE_RELEASED)
                quarantine_log_event(daemon->log, daemon->registry, record, event);
        if (event == QUARANTINE_BEGUN || event == QUARANTINE_CHANGED)
                daemon_evidence_want(daemon);
        if (event == QUARANTINE_BEGUN || event == QUARANTINE_CHANGED || event == QUARANTINE_IDENTIFIED ||
            event == QUARANTINE_PINNED || event == QUARANTINE_EVIDENCE)
                quarantine_store_write(daemon->quarantine_store, record);
        else
                quarantine_store_remove(daemon->quarantine_store, record);
        if (event != QUARANTINE_BEGUN && event != QUARANTINE_CHANGED)
                forget_unnumbered(daemon, record);
}

static int on_quarantine_found(void *userdata, const QuarantineRecord *record)
{
        int r = quarantines_restore(((Daemon *) userdata)->quarantines, record);

        return r == -EEXIST ? 0 : r;
}

int daemon_take_over_quarantines(Daemon *daemon)
{
        const QuarantineListener listener = {.event = on_quarantine, .userdata = daemon};
        char boot_id[SD_ID128_STRING_MAX];
        sd_id128_t boot;
        int r = quarantine_store_new(daemon->event, QUARANTINE_STORE_DIR, &daemon->quarantine_store);

        if (r >= 0)
                r = quarantine_store_load(daemon->quarantine_store, on_quarantine_found, daemon);
        if (r < 0) {
                journal_quarantine_unreadable(QUARANTINE_STORE_DIR, r);
                return r;
        }
        quarantines_set_listener(daemon->quarantines, &listener);
        r = sd_id128_get_boot(&boot);
        if (r >= 0)
                quarantines_pin(daemon->quarantines, sd_id128_to_string(boot, boot_id));
        return r;
}

/* ---- resets ---- */

/* While a worker of an earlier daemon runs, the list in sysfs is not the device's own. */
static void take_over_methods(Daemon *daemon, const WorkerRecord *record)
{
        for (size_t i = 0; i < record->request->n_members; i++) {
                const WorkerMember *member = &record->request->members[i];
                Device *device = registry_find(daemon->registry, &member->address);

                if (!device || device->facts.inode != member->inode || sysfs_refresh(device) < 0)
                        continue;
                /* The first one is the target, whose list was changed. */
                if (i == 0 && record->has_saved_reset_method)
                        (void) reset_method_list_parse(record->saved_reset_method, &device->live.methods);
        }
}

static uint64_t now_monotonic(void)
{
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * 1000000U + (uint64_t) now.tv_nsec / 1000U;
}

static int on_record_running(void *userdata, const WorkerRecord *record, void **ret_job)
{
        Daemon *daemon = userdata;
        Job *job;
        int r;

        take_over_methods(daemon, record);
        r = jobs_adopt(daemon->jobs, record->request, &job);
        if (r < 0)
                return r;
        journal_adopted(job);
        job->watched_since = now_monotonic();
        under_way_begin(daemon->under_way, record->request);
        *ret_job = job;
        return 0;
}

static void on_record_ended(void *userdata, void *job, WorkerResult *result)
{
        Daemon *daemon = userdata;

        if (!result) {
                daemon_worker_died(daemon, job);
                return;
        }
        watch_drain(daemon->watch);
        job_worker_done(job, result);
}

/* One that ended while no daemon ran. Its job is taken up once more, so that it has a row in the history and
 * its devices are judged; and if it was killed, it has its lane until things are put right. */
static bool on_record_unheard(void *userdata, WorkerRecord *record)
{
        Daemon *daemon = userdata;
        Job *job;
        int r;

        if (!record->result)
                take_over_methods(daemon, record);
        r = jobs_adopt(daemon->jobs, record->request, &job);
        if (r < 0) {
                journal_record_unusable("of the last reset", r);
                return !record->result;
        }
        if (record->result)
                job_worker_done(job, steal_pointer(record->result));
        else
                daemon_mend(daemon, record->request);
        return true;
}

/* As it is known now, after a boot: numbers of inodes are others, and drivers may be. */
static bool find_again(const Daemon *daemon, WorkerMember *member)
{
        const Device *device = registry_find(daemon->registry, &member->address);

        if (!device || device->facts.vendor != member->vendor || device->facts.device != member->device)
                return false;
        member->inode = device->facts.inode;
        member->class = device->facts.class;
        member->driver[0] = '\0';
        member->must_be_disabled = false;
        return true;
}

/* The machine went down in the middle of it. What was changed is gone with the kernel, but somebody looks at
 * the devices, and says so. */
static void on_interrupted(void *userdata, const WorkerRequest *request)
{
        _cleanup_free_ WorkerMember *members = calloc(request->n_members, sizeof(WorkerMember));
        WorkerRequest again = *request;
        Daemon *daemon = userdata;
        Job *job;

        if (!members)
                return;
        again.members = members;
        again.n_members = 0;
        for (size_t i = 0; i < request->n_members; i++) {
                members[again.n_members] = request->members[i];
                if (find_again(daemon, &members[again.n_members]))
                        again.n_members++;
                else if (i == 0)
                        break;
        }
        journal_interrupted(request, again.n_members > 0);
        if (again.n_members == 0)
                return;
        again.has_bridge = request->has_bridge && find_again(daemon, &again.bridge);
        again.operation = WORKER_MEND;
        again.machine_stopped = true;
        again.driver = WORKER_DRIVER_KEEP;
        again.n_fds = 0;
        /* Of what an earlier boot has seen, and of devices that may be gone. */
        again.images = NULL;
        again.n_images = 0;
        again.job = records_new_job_id(daemon->records);
        if (jobs_adopt(daemon->jobs, &again, &job) >= 0)
                daemon_mend(daemon, &again);
}

int daemon_take_over_resets(Daemon *daemon)
{
        const RecordHandler records = {
                .running = on_record_running,
                .ended = on_record_ended,
                .unheard = on_record_unheard,
                .userdata = daemon,
        };
        int r = under_way_new(daemon->event, UNDER_WAY_FILE, &daemon->under_way);

        if (r >= 0)
                r = records_new(daemon->event, WORKER_RECORD_DIR, &records, &daemon->records);
        if (r >= 0)
                under_way_load(daemon->under_way, on_interrupted, daemon);
        return r;
}

/* ---- drivers kept off ---- */

/* Whether the device is in quarantine still, or was let out when nobody was there to let drivers at it. */
static void on_kept_off(void *userdata, const PciAddress *address)
{
        Device *device = registry_find(((Daemon *) userdata)->registry, address);

        if (device)
                device->hold.kept = device->hold.noted = true;
}

int daemon_take_over_kept_off(Daemon *daemon)
{
        int r = kept_off_load(WORKER_KEPT_OFF_DIR, on_kept_off, daemon);

        if (r >= 0)
                jobs_keep_off_all(daemon->jobs);
        return r;
}
