/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/domain/error-events.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "daemon/domain/checkup.h"
#include "shared/cleanup.h"
#include "shared/utf8.h"

/* A device that a worker is to look at, or that one looks at. */
typedef struct Look {
        PciAddress address;
        uint64_t generation;
        uint32_t id; /* of the request; 0: it waits */
        bool again; /* something was announced meanwhile */
        struct Look *prev, *next;
} Look;

struct ErrorEvents {
        Registry *registry;
        Quarantines *quarantines;
        ErrorPorts ports;
        Look *looks;
        unsigned n_running;
};

/* ---- what is announced ---- */

bool error_event_parse(const char *error_event, const char *wedged, ErrorEvent *ret)
{
        static const struct {
                const char *name;
                ErrorEventType type;
        } types[] = {
                {"BEGIN_RECOVERY", ERROR_EVENT_BEGIN},
                {"SUCCESSFUL_RECOVERY", ERROR_EVENT_SUCCESS},
                {"FAILED_RECOVERY", ERROR_EVENT_FAILURE},
        };
        ErrorEvent event = {.type = ERROR_EVENT_WEDGED};
        char quoted[WORKER_VALUE_MAX - sizeof("ERROR_EVENT=") + 1];

        if (error_event) {
                size_t i = 0;

                while (i < ELEMENTSOF(types) && strcmp(types[i].name, error_event) != 0)
                        i++;
                if (i == ELEMENTSOF(types))
                        return false;
                event.type = types[i].type;
                (void) snprintf(event.text, sizeof(event.text), "ERROR_EVENT=%s", types[i].name);
        } else if (wedged) {
                /* `none`: the driver has put it right itself, and nothing has to be done
                 * (Documentation/gpu/drm-uapi.rst). */
                if (strcmp(wedged, "none") == 0)
                        event.type = ERROR_EVENT_SUCCESS;
                (void) snprintf(event.text, sizeof(event.text), "WEDGED=%s",
                                utf8_quote(wedged, quoted, sizeof(quoted)));
        } else {
                return false;
        }
        *ret = event;
        return true;
}

int error_events_new(Registry *registry, Quarantines *quarantines, const ErrorPorts *ports,
                     ErrorEvents **ret)
{
        ErrorEvents *events = calloc(1, sizeof(ErrorEvents));

        if (!events)
                return -ENOMEM;
        events->registry = registry;
        events->quarantines = quarantines;
        events->ports = *ports;
        *ret = events;
        return 0;
}

ErrorEvents *error_events_free(ErrorEvents *events)
{
        Look *look, *next;

        if (!events)
                return NULL;
        DL_FOREACH_SAFE (events->looks, look, next)
                free(look);
        free(events);
        return NULL;
}

static uint64_t now(const ErrorEvents *events)
{
        return events->ports.now_boottime(events->ports.userdata);
}

static void set_state(ErrorEvents *events, Device *device, ErrorState state)
{
        bool was_recovering = device->error_state == ERROR_STATE_BEGIN_RECOVERY;

        if (state == ERROR_STATE_BEGIN_RECOVERY && !was_recovering)
                device->recovering_since = now(events);
        if (device->error_state == state)
                return;
        device->error_state = state;
        registry_notify(events->registry, device, DEVICE_CHANGED_ERROR_STATE);
}

/* The time that is left for the recovery that has lasted the longest. */
static void wait_for_end(ErrorEvents *events)
{
        uint64_t time = now(events), next = 0;

        for (const Device *d = registry_next(events->registry, NULL); d;
             d = registry_next(events->registry, d)) {
                uint64_t end = d->recovering_since + RECOVERY_USEC_MAX;
                uint64_t left = end > time ? end - time : 1;

                if (d->error_state == ERROR_STATE_BEGIN_RECOVERY && (next == 0 || left < next))
                        next = left;
        }
        events->ports.wait(events->ports.userdata, next);
}

/* Whoever looks into the journal is to find more there than one device that fails all the time. */
static void note(ErrorEvents *events, Device *device, ErrorNote *note)
{
        uint64_t time = now(events);

        if (device->n_error_notes == 0 || time - device->error_notes_since >= ERROR_NOTES_USEC) {
                note->n_left_out = device->n_error_notes > ERROR_NOTES_MAX
                                           ? device->n_error_notes - ERROR_NOTES_MAX
                                           : 0;
                device->n_error_notes = 0;
                device->error_notes_since = time;
        }
        if (device->n_error_notes++ < ERROR_NOTES_MAX)
                events->ports.note(events->ports.userdata, device, note);
}

/* ---- looks ---- */

static Device *device_of(const ErrorEvents *events, const Look *look)
{
        Device *device = registry_find(events->registry, &look->address);

        return device && device->generation == look->generation ? device : NULL;
}

static int start(ErrorEvents *events, Look *look, const Device *device)
{
        const ErrorPorts *ports = &events->ports;
        WorkerMember member;
        WorkerRequest request = checkup_request(device, &member);
        int r;

        request.job = ports->new_id(ports->userdata);
        r = ports->look(ports->userdata, &request);
        if (r >= 0)
                look->id = request.job;
        return r;
}

static void look_free(ErrorEvents *events, Look *look)
{
        DL_DELETE(events->looks, look);
        free(look);
}

/* What cannot be looked at stays as it was announced, and the journal has the worker's failure. */
static void start_looks(ErrorEvents *events)
{
        Look *look, *next;

        DL_FOREACH_SAFE (events->looks, look, next) {
                const Device *device = device_of(events, look);

                if (look->id != 0)
                        continue;
                if (events->n_running == ERROR_LOOKS_MAX)
                        return;
                if (!device || start(events, look, device) < 0)
                        look_free(events, look);
                else
                        events->n_running++;
        }
}

static void look_at(ErrorEvents *events, const Device *device)
{
        Look *look;

        DL_FOREACH (events->looks, look)
                if (look->generation == device->generation) {
                        look->again = look->id != 0;
                        return;
                }
        look = calloc(1, sizeof(Look));
        if (!look)
                return;
        look->address = device->facts.address;
        look->generation = device->generation;
        DL_APPEND(events->looks, look);
        start_looks(events);
}

/* ---- what is done ---- */

/* What it went into quarantine for, as checks of it: the event, the counters, and what was found. */
static void put_aside(ErrorEvents *events, Device *device, const char *reason, const WorkerCheck *checks,
                      size_t n)
{
        QuarantineRecord record = {
                .cause = QUARANTINE_ERROR,
                .uid = 0,
                .since = events->ports.now_realtime(events->ports.userdata),
        };

        (void) snprintf(record.reason, sizeof(record.reason), "%s", reason);
        for (int failed = 1; failed >= 0; failed--)
                for (size_t i = 0; i < n && record.n_checks < QUARANTINE_CHECKS_MAX; i++)
                        if ((checks[i].result == CHECK_FAILED) == failed)
                                record.checks[record.n_checks++] = checks[i];
        (void) quarantines_begin(events->quarantines, device, &record, 0);
}

typedef struct Finding {
        const char *reason;
        bool is_broken; /* it was seen to be dead or changed */
        bool needs_help; /* that, or the kernel does not bring it back */
        const WorkerCheck *checks;
        size_t n_checks;
} Finding;

static void act(ErrorEvents *events, Device *device, const Finding *finding)
{
        const EffectivePolicy *policy = registry_policy_of(device);
        bool has_rule = policy && policy->settings.set & 1U << POLICY_ON_ERROR;
        PolicyOnError on_error = has_rule ? policy->settings.on_error : POLICY_ON_ERROR_NOTIFY;
        bool recover = has_rule && on_error == POLICY_ON_ERROR_RECOVER && finding->needs_help;

        if (device->facts.is_bridge || device->n_resetting > 0)
                return;
        /* What is broken is given to nobody until it is recovered, either; nor is what looks well and was
         * given up by the kernel. A recovery may come to nothing, or end with the daemon, and its proof is
         * all that lets the device out. */
        if ((on_error == POLICY_ON_ERROR_QUARANTINE && !device->quarantine) || recover ||
            (finding->is_broken && (!has_rule || on_error != POLICY_ON_ERROR_NOTIFY)))
                put_aside(events, device, finding->reason, finding->checks, finding->n_checks);
        if (recover &&
            events->ports.recover(events->ports.userdata, device, policy->origin[POLICY_ON_ERROR]) < 0)
                (void) quarantines_add_reason(events->quarantines, device, NOT_RECOVERED);
}

/* The event itself as evidence, before the counters. */
static size_t collect(const Device *device, const ErrorEvent *event,
                      WorkerCheck checks[static ERROR_COUNTERS_MAX + 1])
{
        checks[0] = (WorkerCheck){.device = device->facts.address, .check = "event", .result = CHECK_FAILED};
        (void) snprintf(checks[0].after, sizeof(checks[0].after), "%s", event->text);
        memcpy(checks + 1, event->counters, event->n_counters * sizeof(WorkerCheck));
        return event->n_counters + 1;
}

static const ErrorState states[] = {
        [ERROR_EVENT_BEGIN] = ERROR_STATE_BEGIN_RECOVERY,
        [ERROR_EVENT_SUCCESS] = ERROR_STATE_SUCCESSFUL_RECOVERY,
        [ERROR_EVENT_FAILURE] = ERROR_STATE_FAILED_RECOVERY,
        [ERROR_EVENT_WEDGED] = ERROR_STATE_WEDGED,
};

static void judge(ErrorEvents *events, Device *device, const ErrorEvent *event)
{
        WorkerCheck checks[ERROR_COUNTERS_MAX + 1];
        size_t n = collect(device, event, checks);
        ErrorNote told = {
                .state = states[event->type], .event = event->text, .checks = checks, .n_checks = n};
        char reason[QUARANTINE_REASON_MAX];
        const Finding finding = {.reason = reason, .checks = checks, .n_checks = n};

        (void) snprintf(reason, sizeof(reason), "the kernel has announced an error: %s", event->text);
        note(events, device, &told);
        act(events, device, &finding);
}

static void settle(ErrorEvents *events, Device *device, const ErrorEvent *event)
{
        if (event->type != ERROR_EVENT_BEGIN)
                look_at(events, device);
        set_state(events, device, states[event->type]);
}

/* A failure kernels before 6.18 tell of the port alone (pcie_do_recovery), and mean all that is below. */
static void take(ErrorEvents *events, Device *device, const ErrorEvent *event,
                 void (*step)(ErrorEvents *, Device *, const ErrorEvent *))
{
        Device *next;

        step(events, device, event);
        for (Device *d = event->type == ERROR_EVENT_FAILURE ? device->first_child : NULL; d; d = next) {
                next = d->next_sibling;
                take(events, d, event, step);
        }
}

/* All are judged first: whoever waits for the end of the recovery looks at quarantine and policy. */
void error_events_take(ErrorEvents *events, Device *device, const ErrorEvent *event)
{
        take(events, device, event, judge);
        take(events, device, event, settle);
        wait_for_end(events);
}

static bool has_failed(ErrorState state)
{
        return state == ERROR_STATE_FAILED_RECOVERY || state == ERROR_STATE_UNFINISHED_RECOVERY ||
               state == ERROR_STATE_WEDGED;
}

static bool is_frozen(const Device *device, const WorkerResult *result)
{
        for (size_t i = 0; i < result->n_checks; i++)
                if (pci_address_equal(&result->checks[i].device, &device->facts.address) &&
                    strcmp(result->checks[i].check, "eeh") == 0)
                        return result->checks[i].result == CHECK_FAILED;
        return false;
}

static ErrorState state_after(const Device *device, Verdict verdict)
{
        ErrorState state = device->error_state;

        if (device->frozen)
                return ERROR_STATE_FROZEN;
        if (state != ERROR_STATE_SUCCESSFUL_RECOVERY)
                return state;
        return verdict == VERDICT_DEAD       ? ERROR_STATE_RECOVERED_DEAD
               : verdict == VERDICT_DEGRADED ? ERROR_STATE_RECOVERED_DEGRADED
                                             : state;
}

static void describe(const Device *device, const WorkerResult *result, char *buffer, size_t size)
{
        const char *what = device->error_state == ERROR_STATE_SUCCESSFUL_RECOVERY
                                   ? "the kernel says that it has recovered it from an error, but"
                                   : "after an error";

        for (size_t i = 0; i < result->n_checks; i++) {
                const WorkerCheck *check = &result->checks[i];

                if (check->result != CHECK_FAILED)
                        continue;
                if (device->frozen)
                        (void) snprintf(buffer, size,
                                        "after an error its partitionable endpoint is frozen: %.60s",
                                        check->after);
                else if (result->verdict == VERDICT_DEAD)
                        (void) snprintf(buffer, size, "%s it does not answer: %.60s", what, check->after);
                else
                        (void) snprintf(buffer, size, "%s it is changed: %s is to be '%.60s' and is '%.60s'",
                                        what, check->check, check->before, check->after);
                return;
        }
        (void) snprintf(buffer, size, "the kernel could not recover it from an error");
}

static void take_finding(ErrorEvents *events, Device *device, const WorkerResult *result)
{
        ErrorNote told = {
                .verdict = result->verdict,
                .checks = result->checks,
                .n_checks = result->n_checks,
        };
        char reason[QUARANTINE_REASON_MAX];
        Finding finding = {
                .reason = reason,
                .is_broken = result->verdict == VERDICT_DEAD || result->verdict == VERDICT_DEGRADED,
                .checks = result->checks,
                .n_checks = result->n_checks,
        };

        device->frozen = is_frozen(device, result);
        told.state = state_after(device, result->verdict);
        finding.needs_help = finding.is_broken || has_failed(device->error_state);
        describe(device, result, reason, sizeof(reason));
        note(events, device, &told);
        /* `quarantine` was done at the word of the error; here it is made worse, or done by proof. */
        if (finding.needs_help)
                act(events, device, &finding);
        set_state(events, device, told.state);
}

void error_events_looked(ErrorEvents *events, uint32_t id, WorkerResult *result)
{
        Device *device;
        Look *look;

        DL_SEARCH_SCALAR(events->looks, look, id, id);
        if (look) {
                device = device_of(events, look);
                events->n_running--;
                look->id = 0;
                /* What was seen in the middle of the next recovery, or of a reset of ours, says nothing. */
                if (!look->again && device && device->error_state != ERROR_STATE_BEGIN_RECOVERY &&
                    device->error_state != ERROR_STATE_NONE && device->n_resetting == 0 && result &&
                    result->outcome == WORKER_DONE)
                        take_finding(events, device, result);
                if (!look->again)
                        look_free(events, look);
                else
                        look->again = false;
                start_looks(events);
        }
        worker_result_free(result);
}

void error_events_time_over(ErrorEvents *events)
{
        uint64_t time = now(events);

        for (Device *d = registry_next(events->registry, NULL); d; d = registry_next(events->registry, d)) {
                ErrorNote told = {.state = ERROR_STATE_UNFINISHED_RECOVERY, .event = "no end was told"};

                if (d->error_state != ERROR_STATE_BEGIN_RECOVERY ||
                    time < d->recovering_since + RECOVERY_USEC_MAX)
                        continue;
                note(events, d, &told);
                look_at(events, d);
                set_state(events, d, ERROR_STATE_UNFINISHED_RECOVERY);
        }
        wait_for_end(events);
}
