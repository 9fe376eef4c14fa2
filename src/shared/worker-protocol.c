/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What a worker answers: its events, the last of them the result. Requests are in worker-request.c.
 *
 * Each kind of object has one function that writes it and one that reads it, side by side. Readers fill
 * zeroed structs and let the JsonReader collect what was wrong, so a message is judged in one place: where
 * json_reader_finish() returns.
 */

#include "shared/worker-protocol.h"

#include <errno.h>
#include <string.h>

#include "shared/cleanup.h"
#include "shared/json.h"
#include "shared/worker-wire.h"

#define ERRNO_MAX 4095U

static const char *const outcome_names[] = {
        [WORKER_DONE] = "done",
        [WORKER_FAILED] = "failed",
        [WORKER_REFUSED] = "refused",
        [WORKER_GONE] = "gone",
};

static const char *const verdict_names[] = {
        [VERDICT_UNVERIFIED] = "unverified",
        [VERDICT_OK] = "ok",
        [VERDICT_DEGRADED] = "degraded",
        [VERDICT_DEAD] = "dead",
};

const char *const check_result_names[CHECK_RESULTS] = {
        [CHECK_OK] = "ok",
        [CHECK_FAILED] = "failed",
        [CHECK_SKIPPED] = "skipped",
};

static const char *const list_restored_names[] = {
        [LIST_UNTOUCHED] = "untouched", [LIST_EXACT] = "exact", [LIST_REDUCED] = "reduced",
        [LIST_DEFAULT] = "default",     [LIST_LOST] = "lost",
};

/* Of the events that say no more than that a phase begins. */
static const char *const phase_names[] = {
        [WORKER_EVENT_RESETTING] = "resetting",
        [WORKER_EVENT_VERIFYING] = "verifying",
};

const char *worker_outcome_to_string(WorkerOutcome outcome)
{
        return outcome_names[outcome];
}

const char *verdict_to_string(Verdict verdict)
{
        return verdict_names[verdict];
}

const char *check_result_to_string(CheckResult result)
{
        return check_result_names[result];
}

const char *list_restored_to_string(ListRestored restored)
{
        return list_restored_names[restored];
}

WorkerResult *worker_result_free(WorkerResult *result)
{
        if (!result)
                return NULL;
        free(result->checks);
        free(result->holders);
        free(result->serials);
        free(result->images);
        free(result);
        return NULL;
}

DEFINE_CLEANUP(WorkerResult *, worker_result_free);

void worker_address_write(JsonWriter *writer, const char *key, const PciAddress *address)
{
        char text[PCI_ADDRESS_STRING_MAX];

        json_write_text(writer, key, pci_address_format(address, text));
}

void worker_address_read(JsonReader *reader, const char *key, PciAddress *ret)
{
        const char *text = json_read_text(reader, key, PCI_ADDRESS_STRING_MAX);

        if (pci_address_parse(text, ret) < 0)
                json_reader_fail(reader, key);
}

bool worker_serial_is_valid(const char *serial)
{
        size_t length = strlen(serial);

        for (size_t i = 0; i < length; i++)
                if (i % 3 == 2 ? serial[i] != '-' : !strchr("0123456789abcdef", serial[i]))
                        return false;
        return length == 0 || length == WORKER_SERIAL_MAX - 1;
}

int worker_check_write(const void *element, json_object **ret)
{
        const WorkerCheck *check = element;
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();

        worker_address_write(&writer, "device", &check->device);
        json_write_text(&writer, "check", check->check);
        json_write_text(&writer, "result", check_result_to_string(check->result));
        json_write_text(&writer, "before", check->before);
        json_write_text(&writer, "after", check->after);

        return json_writer_finish(&writer, ret);
}

int worker_check_read(json_object *object, void *element)
{
        WorkerCheck *ret = element;
        JsonReader reader = json_reader_begin(object);

        worker_address_read(&reader, "device", &ret->device);
        json_read_text_to(&reader, "check", ret->check, sizeof(ret->check));
        if (!reset_method_name_is_valid(ret->check))
                json_reader_fail(&reader, "check");
        ret->result = (CheckResult) json_read_choice(&reader, "result", check_result_names, CHECK_RESULTS);
        json_read_text_to(&reader, "before", ret->before, sizeof(ret->before));
        json_read_text_to(&reader, "after", ret->after, sizeof(ret->after));

        return json_reader_finish(&reader);
}

static int write_holder(const void *element, json_object **ret)
{
        return holder_write(element, ret);
}

static int read_holder(json_object *object, void *element)
{
        return holder_read(object, element);
}

static int write_serial(const void *element, json_object **ret)
{
        const WorkerSerial *serial = element;
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();

        worker_address_write(&writer, "device", &serial->device);
        json_write_text(&writer, "serial", serial->serial);
        return json_writer_finish(&writer, ret);
}

static int read_serial(json_object *object, void *element)
{
        WorkerSerial *ret = element;
        JsonReader reader = json_reader_begin(object);

        worker_address_read(&reader, "device", &ret->device);
        json_read_text_to(&reader, "serial", ret->serial, sizeof(ret->serial));
        if (ret->serial[0] == '\0' || !worker_serial_is_valid(ret->serial))
                json_reader_fail(&reader, "serial");
        return json_reader_finish(&reader);
}

/* Reasons are written with dashes, everything else about them is as in the names of methods. */
static bool why_is_valid(const char *why)
{
        return strspn(why, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(why);
}

int worker_result_write(const WorkerResult *result, json_object **ret)
{
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();
        json_object *array;
        int r;

        json_write_text(&writer, "event", "result");
        json_write_text(&writer, "outcome", worker_outcome_to_string(result->outcome));
        json_write_text(&writer, "why", result->why);
        json_write_unsigned(&writer, "errno", (uint64_t) result->error);
        json_write_text(&writer, "verdict", verdict_to_string(result->verdict));
        json_write_boolean(&writer, "written", result->written);
        json_write_text(&writer, "reset_method", list_restored_to_string(result->reset_method));
        json_write_unsigned(&writer, "tries", result->n_tries);
        json_write_unsigned(&writer, "started_usec", result->started_usec);
        json_write_unsigned(&writer, "finished_usec", result->finished_usec);
        json_write_text(&writer, "message", result->message);
        json_write_text(&writer, "firmware", result->firmware);
        r = json_array_write(result->checks, result->n_checks, sizeof(WorkerCheck), worker_check_write,
                             &array);
        if (r < 0)
                return r;
        json_write_value(&writer, "checks", array);
        r = json_array_write(result->holders, result->n_holders, sizeof(Holder), write_holder, &array);
        if (r < 0)
                return r;
        json_write_value(&writer, "holders", array);
        if (result->n_serials > 0) {
                r = json_array_write(result->serials, result->n_serials, sizeof(WorkerSerial), write_serial,
                                     &array);
                if (r < 0)
                        return r;
                json_write_value(&writer, "serials", array);
        }
        if (result->override[0] != '\0')
                json_write_text(&writer, "override", result->override);
        if (result->n_images > 0) {
                r = json_array_write(result->images, result->n_images, sizeof(WorkerImage),
                                     worker_image_write, &array);
                if (r < 0)
                        return r;
                json_write_value(&writer, "images", array);
        }

        return json_writer_finish(&writer, ret);
}

int worker_result_read(json_object *object, WorkerResult **ret)
{
        static const char *const events[] = {"result"};
        _cleanup_(cleanup_worker_result_free) WorkerResult *result = calloc(1, sizeof(*result));
        JsonReader reader = json_reader_begin(object);
        json_object *checks, *holders, *serials = NULL, *images = NULL;
        void *array;
        int r;

        if (!result)
                return -ENOMEM;

        (void) json_read_choice(&reader, "event", events, ELEMENTSOF(events));
        result->outcome = (WorkerOutcome) json_read_choice(&reader, "outcome", outcome_names,
                                                           ELEMENTSOF(outcome_names));
        json_read_text_to(&reader, "why", result->why, sizeof(result->why));
        if (!why_is_valid(result->why))
                json_reader_fail(&reader, "why");
        result->error = (int) json_read_unsigned(&reader, "errno", 0, ERRNO_MAX);
        result->verdict = (Verdict) json_read_choice(&reader, "verdict", verdict_names,
                                                     ELEMENTSOF(verdict_names));
        result->written = json_read_boolean(&reader, "written");
        result->reset_method = (ListRestored) json_read_choice(&reader, "reset_method", list_restored_names,
                                                               ELEMENTSOF(list_restored_names));
        result->n_tries = (unsigned) json_read_unsigned(&reader, "tries", 0, UINT32_MAX);
        result->started_usec = json_read_unsigned(&reader, "started_usec", 0, UINT64_MAX - 1);
        result->finished_usec = json_read_unsigned(&reader, "finished_usec", 0, UINT64_MAX - 1);
        json_read_text_to(&reader, "message", result->message, sizeof(result->message));
        /* Workers of an earlier version say nothing about it. */
        if (json_reader_has(&reader, "firmware"))
                json_read_text_to(&reader, "firmware", result->firmware, sizeof(result->firmware));
        checks = json_read_array(&reader, "checks", 0, WORKER_CHECKS_MAX);
        holders = json_read_array(&reader, "holders", 0, HOLDERS_MAX);
        if (json_reader_has(&reader, "serials"))
                serials = json_read_array(&reader, "serials", 1, WORKER_MEMBERS_MAX);
        if (json_reader_has(&reader, "override"))
                json_read_text_to(&reader, "override", result->override, sizeof(result->override));
        if (json_reader_has(&reader, "images"))
                images = json_read_array(&reader, "images", 1, WORKER_MEMBERS_MAX + 1);

        r = json_reader_finish(&reader);
        if (r < 0)
                return r;
        r = json_array_read(checks, sizeof(WorkerCheck), worker_check_read, &array, &result->n_checks);
        result->checks = array;
        if (r < 0)
                return r;
        r = json_array_read(holders, sizeof(Holder), read_holder, &array, &result->n_holders);
        result->holders = array;
        if (r < 0)
                return r;
        if (serials) {
                r = json_array_read(serials, sizeof(WorkerSerial), read_serial, &array, &result->n_serials);
                result->serials = array;
                if (r < 0)
                        return r;
        }
        if (images) {
                r = json_array_read(images, sizeof(WorkerImage), worker_image_read, &array,
                                    &result->n_images);
                result->images = array;
                if (r < 0)
                        return r;
        }

        *ret = steal_pointer(result);
        return 0;
}

static int read_phase(json_object *object, WorkerEventType *ret)
{
        static const char *const events[] = {"phase"};
        JsonReader reader = json_reader_begin(object);
        size_t phase;
        int r;

        (void) json_read_choice(&reader, "event", events, ELEMENTSOF(events));
        phase = json_read_choice(&reader, "phase", phase_names, ELEMENTSOF(phase_names));
        r = json_reader_finish(&reader);
        if (r < 0)
                return r;

        *ret = (WorkerEventType) phase;
        return 0;
}

static int write_phase(WorkerEventType type, json_object **ret)
{
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();

        json_write_text(&writer, "event", "phase");
        json_write_text(&writer, "phase", phase_names[type]);

        return json_writer_finish(&writer, ret);
}

int worker_event_parse(const char *line, size_t length, WorkerEvent *ret)
{
        _cleanup_json_ json_object *object = NULL;
        WorkerEvent event = {};
        json_object *name;
        int r;

        if (length >= WORKER_LINE_MAX)
                return -EBADMSG;

        r = json_text_parse(line, length, WORKER_DEPTH_MAX, NULL, &object);
        if (r < 0)
                return r;

        /* Each reader insists on its own name, its own keys and no others. */
        name = json_object_object_get(object, "event");
        if (json_object_object_get_ex(object, "phase", NULL)) {
                r = read_phase(object, &event.type);
        } else if (name && json_object_is_type(name, json_type_string) &&
                   strcmp(json_object_get_string(name), "scan") == 0) {
                event.type = WORKER_EVENT_SCAN;
                r = worker_scan_read(object, &event.scan);
        } else {
                event.type = WORKER_EVENT_RESULT;
                r = worker_result_read(object, &event.result);
        }
        if (r < 0)
                return r;

        *ret = event;
        return 0;
}

int worker_event_format(const WorkerEvent *event, char **ret)
{
        _cleanup_json_ json_object *object = NULL;
        int r;

        switch (event->type) {
        case WORKER_EVENT_RESULT:
                r = worker_result_write(event->result, &object);
                break;
        case WORKER_EVENT_SCAN:
                r = worker_scan_write(event->scan, &object);
                break;
        default:
                r = write_phase(event->type, &object);
        }
        if (r < 0)
                return r;
        return json_text_format(object, WORKER_LINE_MAX, ret);
}
