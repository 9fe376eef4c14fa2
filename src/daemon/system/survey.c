/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A question is split into as many queries as it takes and answered after the last of them. Hints are
 * gathered until the loop has nothing else to do, so that a card with hundreds of functions is one scan and
 * not hundreds.
 *
 * Each question is a look with a number of its own: an answer that is older than what is known of a device,
 * or than its driver, is not taken over. Where it leaves the use of a device unknown to somebody who waits,
 * the question is asked again, a few times: drivers do not change for long.
 */

#include "daemon/system/survey.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "daemon/domain/plan.h"
#include "daemon/system/journal.h"
#include "daemon/system/sysfs.h"
#include "shared/cleanup.h"

/* After so many the use of a device whose driver changes all the time stays unknown. */
#define REPEATS_MAX 3U

typedef struct Hint {
        uint64_t key; /* pci_address_key() */
        PciAddress address;
        bool owners;
        UT_hash_handle hh;
} Hint;

struct Survey {
        Registry *registry;
        Scans *scans;
        sd_event_source *defer;
        SurveyListener listener;
        Hint *hints;
        SurveyQuestion *questions;
};

/* One query of a question. */
typedef struct Part {
        SurveyQuestion *question;
        ScanQuery *query; /* NULL once it is answered */
        ScanTarget *targets;
        size_t n_targets;
} Part;

struct SurveyQuestion {
        Survey *survey;
        uint64_t look; /* registry_begin_look(), before its queries */
        bool owners;
        unsigned n_repeats;
        int error;
        SurveyHandler handler; /* NULL: nobody waits for the answer any more */
        void *userdata;
        Part *parts;
        size_t n_parts, n_open;
        SurveyQuestion *prev, *next;
};

static void drop_parts(SurveyQuestion *question)
{
        for (size_t i = 0; i < question->n_parts; i++) {
                scan_query_cancel(question->parts[i].query);
                free(question->parts[i].targets);
        }
        free(question->parts);
        question->parts = NULL;
        question->n_parts = question->n_open = 0;
}

static void question_free(SurveyQuestion *question)
{
        DL_DELETE(question->survey->questions, question);
        drop_parts(question);
        free(question);
}

static void take_owner(Registry *registry, Device *device, const WorkerScan *scan)
{
        for (size_t i = 0; i < scan->n_uses; i++) {
                const WorkerUse *use = &scan->uses[i];

                if (!pci_address_equal(&use->device, &device->facts.address) ||
                    strcmp(use->owner, device->owner) == 0)
                        continue;
                memcpy(device->owner, use->owner, sizeof(device->owner));
                registry_notify(registry, device, DEVICE_CHANGED_OWNER);
        }
}

static Device *find_target(const Survey *survey, const ScanTarget *target)
{
        Device *device = registry_find(survey->registry, &target->address);

        return device && device->facts.inode == target->inode ? device : NULL;
}

/* Takes over what was found out about one device; without a scan nothing is known of it. */
static void apply(const SurveyQuestion *question, const ScanTarget *target, const WorkerScan *scan)
{
        const Survey *survey = question->survey;
        Device *device = find_target(survey, target);
        bool was_in_use;
        int news = 1;

        if (!device)
                return;
        /* Another driver makes nobody else its owner. */
        if (scan && question->owners)
                take_owner(survey->registry, device, scan);
        if (!device_take_look(device, question->look))
                return;
        was_in_use = device_is_in_use(device);
        /* Whether VFIO has it open is told by its live facts as well, and what they were is old. */
        (void) sysfs_refresh_use(device);
        if (!scan)
                device_forget_use(device);
        else
                news = device_set_use(device, scan);
        if (scan && device_follow_endpoint(device))
                registry_notify(survey->registry, device, DEVICE_CHANGED_ERROR_STATE);
        if (scan && survey->listener.looked)
                survey->listener.looked(survey->listener.userdata, device, scan);
        if (news != 0 || device_is_in_use(device) != was_in_use)
                registry_notify(survey->registry, device, DEVICE_CHANGED_USE);
}

static ScanTarget target_of(const Device *device)
{
        return (ScanTarget){
                .address = device->facts.address,
                .inode = device->facts.inode,
                .vendor = device->facts.vendor,
                .device = device->facts.device,
                .class = device->facts.class,
        };
}

/* Fills the parts with those devices that have to be looked at. */
static int divide(SurveyQuestion *question, Device **devices, size_t n)
{
        question->parts = calloc(n / WORKER_MEMBERS_MAX + 1, sizeof(Part));
        if (!question->parts)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                Part *part = question->n_parts > 0 ? &question->parts[question->n_parts - 1] : NULL;

                if (!plan_needs_scan(devices[i]) && !question->owners)
                        continue;
                if (!part || part->n_targets == WORKER_MEMBERS_MAX) {
                        part = &question->parts[question->n_parts++];
                        part->question = question;
                        part->targets = calloc(WORKER_MEMBERS_MAX < n ? WORKER_MEMBERS_MAX : n,
                                               sizeof(ScanTarget));
                        if (!part->targets)
                                return -ENOMEM;
                }
                part->targets[part->n_targets++] = target_of(devices[i]);
        }
        return 0;
}

static void on_scan(void *userdata, const WorkerScan *scan, int error);

/* Asks for as many scans as it takes. The number of them, or a negative errno. */
static int send_out(SurveyQuestion *question, Device **devices, size_t n)
{
        int r;

        question->look = registry_begin_look(question->survey->registry);
        r = divide(question, devices, n);
        for (size_t i = 0; i < question->n_parts && r >= 0; i++) {
                Part *part = &question->parts[i];

                r = scans_query(question->survey->scans, part->targets, part->n_targets, question->owners,
                                on_scan, part, &part->query);
                if (r >= 0)
                        question->n_open++;
        }
        return r < 0 ? r : (int) question->n_open;
}

/* Those of which the answers tell nothing because they are about another driver. */
static int find_missed(const SurveyQuestion *question, Device ***ret, size_t *ret_n)
{
        Device **missed = calloc(question->n_parts * WORKER_MEMBERS_MAX, sizeof(Device *));
        size_t n = 0;

        if (!missed)
                return -ENOMEM;
        for (size_t i = 0; i < question->n_parts; i++)
                for (size_t k = 0; k < question->parts[i].n_targets; k++) {
                        Device *device = find_target(question->survey, &question->parts[i].targets[k]);

                        if (device && device->look > question->look && !device->use.known)
                                missed[n++] = device;
                }
        *ret = missed;
        *ret_n = n;
        return 0;
}

/* True if it goes on. */
static bool ask_again(SurveyQuestion *question)
{
        _cleanup_free_ Device **missed = NULL;
        size_t n;
        int r;

        if (!question->handler || question->error < 0 || question->n_repeats == REPEATS_MAX)
                return false;
        r = find_missed(question, &missed, &n);
        if (r >= 0 && n > 0) {
                question->n_repeats++;
                drop_parts(question);
                r = send_out(question, missed, n);
        }
        if (r < 0) {
                drop_parts(question);
                question->error = r;
        }
        return question->n_open > 0;
}

static void on_scan(void *userdata, const WorkerScan *scan, int error)
{
        Part *part = userdata;
        SurveyQuestion *question = part->question;

        part->query = NULL;
        for (size_t i = 0; i < part->n_targets; i++)
                apply(question, &part->targets[i], scan);
        if (error < 0)
                question->error = error;
        if (--question->n_open > 0 || ask_again(question))
                return;
        if (question->handler)
                question->handler(question->userdata, question->error);
        question_free(question);
}

static int ask(Survey *survey, Device **devices, size_t n, bool owners, SurveyHandler handler,
               void *userdata, SurveyQuestion **ret)
{
        SurveyQuestion *question = calloc(1, sizeof(SurveyQuestion));
        int r;

        if (!question)
                return -ENOMEM;
        question->survey = survey;
        question->owners = owners;
        question->handler = handler;
        question->userdata = userdata;
        DL_APPEND(survey->questions, question);

        r = send_out(question, devices, n);
        if (r <= 0) {
                question_free(question);
                return r;
        }
        if (ret)
                *ret = question;
        return 1;
}

int survey_ask(Survey *survey, Device **devices, size_t n, SurveyHandler handler, void *userdata,
               SurveyQuestion **ret)
{
        int r = ask(survey, devices, n, false, handler, userdata, ret);

        for (size_t i = 0; r < 0 && i < n; i++)
                device_forget_use(devices[i]);
        return r;
}

SurveyQuestion *survey_cancel(SurveyQuestion *question)
{
        if (!question)
                return NULL;
        /* Whoever asks and goes, again and again, must not fill the queue. But what a worker that has begun
         * finds out is worth having all the same. */
        question->handler = NULL;
        for (size_t i = 0; i < question->n_parts; i++) {
                Part *part = &question->parts[i];

                if (!part->query || !scan_query_waits(part->query))
                        continue;
                part->query = scan_query_cancel(part->query);
                question->n_open--;
        }
        if (question->n_open == 0)
                question_free(question);
        return NULL;
}

static void drop_hints(Survey *survey)
{
        Hint *hint, *next;

        HASH_ITER (hh, survey->hints, hint, next) {
                HASH_DEL(survey->hints, hint);
                free(hint);
        }
}

static void ask_hinted(Survey *survey, Device **devices, bool owners)
{
        size_t n = 0;
        int r;

        for (const Hint *hint = survey->hints; hint; hint = hint->hh.next) {
                Device *device = registry_find(survey->registry, &hint->address);

                if (!device || (owners && !hint->owners))
                        continue;
                devices[n++] = device;
        }
        if (n == 0)
                return;
        r = ask(survey, devices, n, owners, NULL, NULL, NULL);
        if (r < 0)
                journal_survey_failed(r);
}

static int on_defer(sd_event_source *source, void *userdata)
{
        Survey *survey = userdata;
        _cleanup_free_ Device **devices = calloc(HASH_COUNT(survey->hints) + 1, sizeof(Device *));

        if (devices) {
                ask_hinted(survey, devices, false);
                ask_hinted(survey, devices, true);
        }
        drop_hints(survey);
        return 0;
}

void survey_hint(Survey *survey, const PciAddress *address, bool owners)
{
        uint64_t key = pci_address_key(address);
        Hint *hint;

        HASH_FIND(hh, survey->hints, &key, sizeof(key), hint);
        if (!hint) {
                hint = calloc(1, sizeof(Hint));
                if (!hint)
                        return;
                hint->key = key;
                hint->address = *address;
                HASH_ADD(hh, survey->hints, key, sizeof(hint->key), hint);
        }
        hint->owners = hint->owners || owners;
        (void) sd_event_source_set_enabled(survey->defer, SD_EVENT_ONESHOT);
}

int survey_new(sd_event *event, Registry *registry, Scans *scans, Survey **ret)
{
        Survey *survey = calloc(1, sizeof(Survey));
        int r;

        if (!survey)
                return -ENOMEM;
        survey->registry = registry;
        survey->scans = scans;
        r = sd_event_add_defer(event, &survey->defer, on_defer, survey);
        if (r >= 0)
                r = sd_event_source_set_priority(survey->defer, SD_EVENT_PRIORITY_IDLE);
        if (r >= 0)
                r = sd_event_source_set_enabled(survey->defer, SD_EVENT_OFF);
        if (r < 0) {
                survey_free(survey);
                return r;
        }
        *ret = survey;
        return 0;
}

void survey_set_listener(Survey *survey, const SurveyListener *listener)
{
        survey->listener = listener ? *listener : (SurveyListener){};
}

Survey *survey_free(Survey *survey)
{
        SurveyQuestion *question, *next;

        if (!survey)
                return NULL;
        DL_FOREACH_SAFE (survey->questions, question, next)
                question_free(question);
        drop_hints(survey);
        sd_event_source_disable_unref(survey->defer);
        free(survey);
        return NULL;
}
