/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Wires the parts together and runs the loop.
 *
 *      bus ──► jobs ──► lanes, log   bus: calls in, replies and signals out
 *       ▲       │ ▲                  jobs, lanes, registry, claims, plan: the domain, which asks for
 *       │       │ └── workers        what it needs through its ports (ports.c)
 *       │       ▼                    udev, sysfs, survey, watch, workers, records, lease store: the
 *    registry ◄── udev, survey       edges to the machine; log: what became of each attempt, on disk
 */

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "config.h"
#include "daemon/daemon.h"
#include "daemon/domain/cleanliness.h"
#include "daemon/domain/keep-off.h"
#include "daemon/domain/kernel-order.h"
#include "daemon/system/journal.h"
#include "daemon/system/kept-off.h"
#include "shared/cleanup.h"

/* How long the start waits for the history. */
#define HISTORY_WAIT_USEC UINT64_C(2000000)

static void on_device_added(void *userdata, Device *device)
{
        Daemon *daemon = userdata;

        claims_device_added(daemon->claims, device);
        quarantines_device_added(daemon->quarantines, device);
        jobs_device_added(daemon->jobs, device);
        cleanliness_follow(device);
        releases_follow(daemon->releases, device);
        jobs_order(daemon->jobs, device);
        device->hold.kept = device->hold.noted = kept_off_is_noted(WORKER_KEPT_OFF_DIR,
                                                                   &device->facts.address);
        jobs_keep_off(daemon->jobs, device);
        survey_hint(daemon->survey, &device->facts.address, true);
        daemon->published.added(daemon->published.userdata, device);
}

/* Somebody may have begun or ceased to use devices. */
static void on_watch(void *userdata, const PciAddress *devices, size_t n, bool owners)
{
        Daemon *daemon = userdata;

        for (size_t i = 0; i < n; i++)
                if (registry_find(daemon->registry, &devices[i]))
                        survey_hint(daemon->survey, &devices[i], owners);
}

/* What the reset of a job does is drained before it ends. */
static void on_touched(void *userdata, const PciAddress *address, bool is_vfio)
{
        Daemon *daemon = userdata;
        Device *device = registry_find(daemon->registry, address);

        if (!device)
                return;
        cleanliness_touched(device, is_vfio);
        if (is_vfio && device->n_resetting == 0)
                releases_touched(daemon->releases, device);
}

static void on_looked(void *userdata, Device *device, const WorkerScan *scan)
{
        Daemon *daemon = userdata;

        releases_looked(daemon->releases, device);

        (void) watch_set(daemon->watch, &device->facts.address, scan);
}

static void on_scan_begun(void *userdata, uint32_t job, const WorkerMember *members, size_t n)
{
        watch_scan_begun(((Daemon *) userdata)->watch, job, members, n);
}

static void on_scan_ended(void *userdata, uint32_t job)
{
        watch_scan_ended(((Daemon *) userdata)->watch, job);
}

static void on_device_removed(void *userdata, Device *device)
{
        Daemon *daemon = userdata;

        releases_device_removed(daemon->releases, device);
        watch_forget(daemon->watch, &device->facts.address);
        daemon->published.removed(daemon->published.userdata, device);
        jobs_wake(daemon->jobs, device);
}

static void on_device_changed(void *userdata, Device *device, unsigned changes)
{
        Daemon *daemon = userdata;

        if (changes & DEVICE_CHANGED_DRIVER)
                survey_hint(daemon->survey, &device->facts.address, false);
        if (changes & (DEVICE_CHANGED_USE | DEVICE_CHANGED_CLAIMS | DEVICE_CHANGED_DRIVER))
                cleanliness_follow(device);
        if (changes & (DEVICE_CHANGED_USE | DEVICE_CHANGED_CLAIMS | DEVICE_CHANGED_DRIVER |
                       DEVICE_CHANGED_QUARANTINE | DEVICE_CHANGED_CLEANLINESS | DEVICE_CHANGED_ERROR_STATE))
                releases_follow(daemon->releases, device);
        /* Is whoever has touched it there still? */
        if (changes & DEVICE_CHANGED_CLEANLINESS && device->touched_in_reset)
                survey_hint(daemon->survey, &device->facts.address, false);
        daemon->published.changed(daemon->published.userdata, device, changes);
        if (changes & (DEVICE_CHANGED_USE | DEVICE_CHANGED_CLAIMS | DEVICE_CHANGED_DRIVER |
                       DEVICE_CHANGED_ERROR_STATE))
                jobs_wake(daemon->jobs, device);
        if (changes & DEVICE_CHANGED_DRIVER)
                jobs_order(daemon->jobs, device);
        if (changes & DEVICE_CHANGED_DRIVER)
                device->hold.left = false;
        if (changes & (DEVICE_CHANGED_DRIVER | DEVICE_CHANGED_QUARANTINE))
                jobs_keep_off(daemon->jobs, device);
}

static void daemon_done(Daemon *daemon)
{
        /* From the outside in: nobody may call into what is gone. Workers that run go on by themselves, and
         * their records tell the next daemon. */
        daemon->bus = bus_free(daemon->bus);
        daemon->leases = lease_store_free(daemon->leases);
        daemon->policies = policy_store_free(daemon->policies);
        daemon->udev = udev_source_free(daemon->udev);
        daemon->survey = survey_free(daemon->survey);
        daemon->checkups = checkups_free(daemon->checkups);
        if (daemon->scans)
                scans_set_listener(daemon->scans, NULL);
        daemon->scans = scans_free(daemon->scans);
        daemon->watch = watch_free(daemon->watch);
        daemon_errors_done(daemon);
        daemon_evidence_done(daemon);
        daemon_ports_done(daemon);
        if (daemon->registry)
                registry_set_listener(daemon->registry, NULL);
        if (daemon->log)
                attempt_log_set_settled(daemon->log, NULL, NULL);
        daemon->records = records_free(daemon->records);
        daemon->under_way = under_way_free(daemon->under_way);
        daemon_releases_done(daemon);
        daemon->jobs = jobs_free(daemon->jobs);
        daemon->claims = claims_free(daemon->claims);
        daemon->log = attempt_log_free(daemon->log);
        daemon->quarantine_store = quarantine_store_free(daemon->quarantine_store);
        daemon->quarantines = quarantines_free(daemon->quarantines);
        daemon->registry = registry_free(daemon->registry);
        daemon->proven = proven_free(daemon->proven);
        daemon->names = names_free(daemon->names);
        daemon->event = sd_event_unref(daemon->event);
}

static int set_up_domain(Daemon *daemon)
{
        const JobPorts ports = daemon_ports(daemon);
        int r;

        r = registry_new(&daemon->registry);
        if (r >= 0)
                r = claims_new(daemon->registry, &daemon->claims);
        if (r >= 0)
                r = quarantines_new(daemon->registry, &daemon->quarantines);
        if (r >= 0)
                r = proven_new(&daemon->proven);
        if (r >= 0)
                r = jobs_new(daemon->registry, daemon->proven, daemon->quarantines, &ports, &daemon->jobs);
        return r;
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        daemon_policy_reload(userdata);
        return 0;
}

/* Nobody can ask yet, so all of the past may as well be known before somebody does. Then comes what no
 * history is needed for: a disk that hangs delays the start, and nothing else. */
static int set_up_history(Daemon *daemon)
{
        const HistoryConfig config = {.directory = HISTORY_DIR};
        int r = attempt_log_new(daemon->event, &config, daemon->proven, daemon->registry, &daemon->log);

        if (r < 0)
                return r;
        attempt_log_set_settled(daemon->log, daemon_forget_record, daemon);
        return attempt_log_wait(daemon->log, HISTORY_WAIT_USEC);
}

/* Signals end the loop; SIGCHLD is blocked for the event sources of workers. */
static int set_up_event(Daemon *daemon)
{
        sigset_t mask;
        int r;

        sigemptyset(&mask);
        sigaddset(&mask, SIGCHLD);
        sigaddset(&mask, SIGTERM);
        sigaddset(&mask, SIGINT);
        sigaddset(&mask, SIGHUP);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;

        r = sd_event_default(&daemon->event);
        if (r >= 0)
                r = sd_event_add_signal(daemon->event, NULL, SIGTERM, NULL, NULL);
        if (r >= 0)
                r = sd_event_add_signal(daemon->event, NULL, SIGINT, NULL, NULL);
        if (r >= 0)
                r = sd_event_add_signal(daemon->event, NULL, SIGHUP, on_hangup, daemon);
        return r;
}

static int set_up_survey(Daemon *daemon)
{
        const ScansListener scans = {.begun = on_scan_begun, .ended = on_scan_ended, .userdata = daemon};
        const SurveyListener survey = {.looked = on_looked, .userdata = daemon};
        int r = survey_new(daemon->event, daemon->registry, daemon->scans, &daemon->survey);

        if (r < 0)
                return r;
        scans_set_listener(daemon->scans, &scans);
        survey_set_listener(daemon->survey, &survey);
        return 0;
}

/* The registry is full and earlier workers are known before the name is taken. */
static int set_up(Daemon *daemon)
{
        const RegistryListener listener = {
                .added = on_device_added,
                .removed = on_device_removed,
                .changed = on_device_changed,
                .userdata = daemon,
        };
        BusParts parts;
        Bus *bus = NULL;
        int r;

        r = set_up_event(daemon);
        if (r >= 0)
                r = set_up_domain(daemon);
        if (r >= 0)
                r = daemon_releases_new(daemon);
        if (r >= 0)
                r = set_up_history(daemon);
        if (r >= 0)
                r = daemon_policy_load(daemon);
        if (r >= 0)
                r = scans_new(daemon->event, daemon->worker_program, &daemon->scans);
        if (r >= 0)
                r = watch_new(daemon->event, WORKER_FENCE_DIR, on_watch, daemon, &daemon->watch);
        if (r >= 0)
                watch_set_touched(daemon->watch, on_touched);
        if (r >= 0)
                r = set_up_survey(daemon);
        if (r >= 0)
                r = checkups_new(daemon->event, daemon->registry, daemon->worker_program, &daemon->checkups);
        if (r >= 0)
                r = names_new(&daemon->names);
        if (r >= 0)
                r = bus_new(daemon->event, daemon->names, &bus);
        if (r >= 0)
                r = udev_source_new(daemon->event, daemon->registry, &daemon->udev);
        if (r >= 0)
                r = daemon_take_over_claims(daemon);
        if (r >= 0)
                r = daemon_take_over_quarantines(daemon);
        if (r >= 0)
                r = daemon_releases_load(daemon);
        if (r >= 0)
                r = daemon_take_over_resets(daemon);
        if (r >= 0)
                r = daemon_errors_begin(daemon);
        daemon->bus = bus;
        if (r < 0)
                return r;

        daemon->published = bus_registry_listener(bus);
        registry_set_listener(daemon->registry, &listener);
        for (Device *d = registry_next(daemon->registry, NULL); d; d = registry_next(daemon->registry, d)) {
                cleanliness_follow(d);
                releases_follow(daemon->releases, d);
                survey_hint(daemon->survey, &d->facts.address, true);
        }
        parts = (BusParts){
                .registry = daemon->registry,
                .proven = daemon->proven,
                .jobs = daemon->jobs,
                .claims = daemon->claims,
                .survey = daemon->survey,
                .leases = daemon->leases,
                .policies = daemon->policies,
                .log = daemon->log,
                .quarantines = daemon->quarantines,
                .quarantine_store = daemon->quarantine_store,
                .checkups = daemon->checkups,
        };
        r = bus_publish(bus, &parts);
        if (r >= 0)
                jobs_order_all(daemon->jobs);
        if (r >= 0)
                r = daemon_take_over_kept_off(daemon);
        return r;
}

static int run(const char *worker_program)
{
        _cleanup_(daemon_done) Daemon daemon = {.worker_program = worker_program};
        int r;

        r = set_up(&daemon);
        if (r < 0) {
                fprintf(stderr, "pciresetd: cannot start: %s\n", strerror(-r));
                return r;
        }
        journal_started(PACKAGE_VERSION, registry_count(daemon.registry));
        (void) sd_notify(false, "READY=1");
        r = sd_event_loop(daemon.event);
        (void) sd_notify(false, "STOPPING=1");
        return r;
}

static int parse_arguments(int argc, char **argv, const char **worker_program)
{
        enum {
                OPTION_WORKER = 0x100,
                OPTION_CHECK_POLICY,
        };
        static const struct option options[] = {
                {"help", no_argument, NULL, 'h'},
                {"version", no_argument, NULL, 'V'},
                {"worker", required_argument, NULL, OPTION_WORKER},
                {"check-policy", no_argument, NULL, OPTION_CHECK_POLICY},
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        puts("pciresetd: resets PCI devices for unprivileged programs, over D-Bus.\n"
                             "It is started by systemd: see pciresetd(8).\n\n"
                             "  -h, --help         show this\n"
                             "      --version      show the version\n"
                             "      --check-policy read the policy, say whether it is right, and end\n"
                             "      --worker=PATH  run this program as worker instead of the installed one");
                        return 0;
                case 'V':
                        puts(PACKAGE_STRING);
                        return 0;
                case OPTION_CHECK_POLICY:
                        return daemon_policy_check();
                case OPTION_WORKER:
                        *worker_program = optarg;
                        break;
                default:
                        return -EINVAL;
                }
        if (optind < argc) {
                fprintf(stderr, "pciresetd: '%s' is one argument too many. See pciresetd --help.\n",
                        argv[optind]);
                return -EINVAL;
        }
        return 1;
}

int main(int argc, char **argv)
{
        const char *worker_program = WORKER_PROGRAM;
        int r;

        /* An answer of megabytes goes back to the system, however many there have been: by itself the bound
         * grows with what is freed. */
        (void) mallopt(M_MMAP_THRESHOLD, 256 * 1024);
        r = parse_arguments(argc, argv, &worker_program);
        if (r > 0)
                r = run(worker_program);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
