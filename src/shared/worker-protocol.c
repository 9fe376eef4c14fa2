/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Each kind of object has one function that writes it and one that reads it, side by side, and the record is
 * made of the same pieces as the messages. Readers fill zeroed structs and let the JsonReader collect what
 * was wrong, so a message is judged in one place: where json_reader_finish() returns.
 */

#include "shared/worker-protocol.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "shared/cleanup.h"
#include "shared/json.h"

/* record → request → members → member is the deepest; the record itself counts. */
#define DEPTH_MAX 5U

#define OPERATION "reset"
#define ERRNO_MAX 4095U
#define CLASS_MAX 0xffffffU

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

static const char *const check_result_names[] = {
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

WorkerRequest *worker_request_free(WorkerRequest *request)
{
        if (!request)
                return NULL;
        free(request->members);
        free(request);
        return NULL;
}

WorkerResult *worker_result_free(WorkerResult *result)
{
        if (!result)
                return NULL;
        free(result->checks);
        free(result);
        return NULL;
}

WorkerRecord *worker_record_free(WorkerRecord *record)
{
        if (!record)
                return NULL;
        worker_request_free(record->request);
        worker_result_free(record->result);
        free(record);
        return NULL;
}

DEFINE_CLEANUP(WorkerRequest *, worker_request_free);
DEFINE_CLEANUP(WorkerResult *, worker_result_free);
DEFINE_CLEANUP(WorkerRecord *, worker_record_free);

static void write_address(JsonWriter *writer, const char *key, const PciAddress *address)
{
        char text[PCI_ADDRESS_STRING_MAX];

        json_write_text(writer, key, pci_address_format(address, text));
}

static void read_address(JsonReader *reader, const char *key, PciAddress *ret)
{
        const char *text = json_read_text(reader, key, PCI_ADDRESS_STRING_MAX);

        if (pci_address_parse(text, ret) < 0)
                json_reader_fail(reader, key);
}

/* The name of a driver is also the name of its directory in sysfs. */
static bool driver_name_is_valid(const char *name)
{
        return !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int write_member(const WorkerMember *member, json_object **ret)
{
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();

        write_address(&writer, "address", &member->address);
        json_write_unsigned(&writer, "inode", member->inode);
        json_write_unsigned(&writer, "vendor", member->vendor);
        json_write_unsigned(&writer, "device", member->device);
        json_write_unsigned(&writer, "class", member->class);
        json_write_text(&writer, "driver", member->driver);
        json_write_boolean(&writer, "must_be_disabled", member->must_be_disabled);

        return json_writer_finish(&writer, ret);
}

static int read_member(json_object *object, WorkerMember *ret)
{
        JsonReader reader = json_reader_begin(object);

        read_address(&reader, "address", &ret->address);
        ret->inode = json_read_unsigned(&reader, "inode", 1, UINT64_MAX - 1);
        ret->vendor = (uint16_t) json_read_unsigned(&reader, "vendor", 0, UINT16_MAX);
        ret->device = (uint16_t) json_read_unsigned(&reader, "device", 0, UINT16_MAX);
        ret->class = (uint32_t) json_read_unsigned(&reader, "class", 0, CLASS_MAX);
        json_read_text_to(&reader, "driver", ret->driver, sizeof(ret->driver));
        if (!driver_name_is_valid(ret->driver))
                json_reader_fail(&reader, "driver");
        ret->must_be_disabled = json_read_boolean(&reader, "must_be_disabled");

        return json_reader_finish(&reader);
}

static bool address_is_new(const WorkerRequest *request, size_t n, const PciAddress *address)
{
        for (size_t i = 0; i < n; i++)
                if (pci_address_equal(&request->members[i].address, address))
                        return false;
        return true;
}

/* What no single member shows. The lengths of the texts are part of their types. */
static bool request_is_valid(const WorkerRequest *request)
{
        ResetScope scope;

        if (!reset_method_name_is_valid(request->method))
                return false;
        scope = reset_method_scope(request->method);
        if (scope != RESET_SCOPE_FUNCTION && scope != RESET_SCOPE_LINK)
                return false;

        if (request->settle_usec > WORKER_SETTLE_MAX_USEC)
                return false;
        if (request->n_members == 0 || request->n_members > WORKER_MEMBERS_MAX)
                return false;

        for (size_t i = 0; i < request->n_members; i++)
                if (!address_is_new(request, i, &request->members[i].address))
                        return false;
        return !request->has_bridge || address_is_new(request, request->n_members, &request->bridge.address);
}

static int write_request(const WorkerRequest *request, json_object **ret)
{
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();
        _cleanup_json_ json_object *members = json_object_new_array();
        json_object *object;
        int r;

        if (!request_is_valid(request))
                return -EINVAL;

        json_write_unsigned(&writer, "version", WORKER_PROTOCOL_VERSION);
        json_write_text(&writer, "operation", OPERATION);
        json_write_unsigned(&writer, "job", request->job);
        json_write_unsigned(&writer, "uid", request->uid);
        json_write_text(&writer, "method", request->method);
        json_write_unsigned(&writer, "settle_usec", request->settle_usec);

        for (size_t i = 0; members && i < request->n_members; i++) {
                r = write_member(&request->members[i], &object);
                if (r < 0)
                        return r;
                if (json_object_array_add(members, object) < 0) {
                        json_object_put(object);
                        return -ENOMEM;
                }
        }
        json_write_value(&writer, "members", steal_pointer(members));

        if (request->has_bridge) {
                r = write_member(&request->bridge, &object);
                if (r < 0)
                        return r;
                json_write_value(&writer, "bridge", object);
        }

        return json_writer_finish(&writer, ret);
}

static int read_members(json_object *array, WorkerRequest *request)
{
        int r;

        request->n_members = json_object_array_length(array);
        request->members = calloc(request->n_members, sizeof(WorkerMember));
        if (!request->members)
                return -ENOMEM;

        for (size_t i = 0; i < request->n_members; i++) {
                r = read_member(json_object_array_get_idx(array, i), &request->members[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_request(json_object *object, WorkerRequest **ret)
{
        static const char *const operations[] = {OPERATION};
        _cleanup_(cleanup_worker_request_free) WorkerRequest *request = calloc(1, sizeof(*request));
        JsonReader reader = json_reader_begin(object);
        json_object *members, *bridge = NULL;
        int r;

        if (!request)
                return -ENOMEM;

        (void) json_read_unsigned(&reader, "version", WORKER_PROTOCOL_VERSION, WORKER_PROTOCOL_VERSION);
        (void) json_read_choice(&reader, "operation", operations, ELEMENTSOF(operations));
        request->job = (uint32_t) json_read_unsigned(&reader, "job", 0, UINT32_MAX);
        request->uid = (uint32_t) json_read_unsigned(&reader, "uid", 0, UINT32_MAX);
        json_read_text_to(&reader, "method", request->method, sizeof(request->method));
        request->settle_usec = json_read_unsigned(&reader, "settle_usec", 0, WORKER_SETTLE_MAX_USEC);
        members = json_read_array(&reader, "members", 1, WORKER_MEMBERS_MAX);
        request->has_bridge = json_reader_has(&reader, "bridge");
        if (request->has_bridge)
                bridge = json_read_object(&reader, "bridge");

        r = json_reader_finish(&reader);
        if (r < 0)
                return r;

        r = read_members(members, request);
        if (r < 0)
                return r;
        if (bridge) {
                r = read_member(bridge, &request->bridge);
                if (r < 0)
                        return r;
        }
        if (!request_is_valid(request))
                return -EBADMSG;

        *ret = steal_pointer(request);
        return 0;
}

static int write_check(const WorkerCheck *check, json_object **ret)
{
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();

        write_address(&writer, "device", &check->device);
        json_write_text(&writer, "check", check->check);
        json_write_text(&writer, "result", check_result_to_string(check->result));
        json_write_text(&writer, "before", check->before);
        json_write_text(&writer, "after", check->after);

        return json_writer_finish(&writer, ret);
}

static int read_check(json_object *object, WorkerCheck *ret)
{
        JsonReader reader = json_reader_begin(object);

        read_address(&reader, "device", &ret->device);
        json_read_text_to(&reader, "check", ret->check, sizeof(ret->check));
        if (!reset_method_name_is_valid(ret->check))
                json_reader_fail(&reader, "check");
        ret->result = (CheckResult) json_read_choice(&reader, "result", check_result_names,
                                                     ELEMENTSOF(check_result_names));
        json_read_text_to(&reader, "before", ret->before, sizeof(ret->before));
        json_read_text_to(&reader, "after", ret->after, sizeof(ret->after));

        return json_reader_finish(&reader);
}

static int write_checks(const WorkerResult *result, json_object **ret)
{
        _cleanup_json_ json_object *checks = json_object_new_array();
        json_object *object;
        int r;

        if (!checks)
                return -ENOMEM;

        for (size_t i = 0; i < result->n_checks; i++) {
                r = write_check(&result->checks[i], &object);
                if (r < 0)
                        return r;
                if (json_object_array_add(checks, object) < 0) {
                        json_object_put(object);
                        return -ENOMEM;
                }
        }

        *ret = steal_pointer(checks);
        return 0;
}

static int read_checks(json_object *array, WorkerResult *result)
{
        int r;

        result->n_checks = json_object_array_length(array);
        if (result->n_checks == 0)
                return 0;

        result->checks = calloc(result->n_checks, sizeof(WorkerCheck));
        if (!result->checks)
                return -ENOMEM;

        for (size_t i = 0; i < result->n_checks; i++) {
                r = read_check(json_object_array_get_idx(array, i), &result->checks[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Reasons are written with dashes, everything else about them is as in the names of methods. */
static bool why_is_valid(const char *why)
{
        return strspn(why, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(why);
}

static int write_result(const WorkerResult *result, json_object **ret)
{
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();
        json_object *checks;
        int r;

        r = write_checks(result, &checks);
        if (r < 0)
                return r;

        json_write_text(&writer, "event", "result");
        json_write_text(&writer, "outcome", worker_outcome_to_string(result->outcome));
        json_write_text(&writer, "why", result->why);
        json_write_unsigned(&writer, "errno", (uint64_t) result->error);
        json_write_text(&writer, "verdict", verdict_to_string(result->verdict));
        json_write_boolean(&writer, "written", result->written);
        json_write_text(&writer, "reset_method", list_restored_to_string(result->reset_method));
        json_write_unsigned(&writer, "started_usec", result->started_usec);
        json_write_unsigned(&writer, "finished_usec", result->finished_usec);
        json_write_text(&writer, "message", result->message);
        json_write_value(&writer, "checks", checks);

        return json_writer_finish(&writer, ret);
}

static int read_result(json_object *object, WorkerResult **ret)
{
        static const char *const events[] = {"result"};
        _cleanup_(cleanup_worker_result_free) WorkerResult *result = calloc(1, sizeof(*result));
        JsonReader reader = json_reader_begin(object);
        json_object *checks;
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
        result->started_usec = json_read_unsigned(&reader, "started_usec", 0, UINT64_MAX - 1);
        result->finished_usec = json_read_unsigned(&reader, "finished_usec", 0, UINT64_MAX - 1);
        json_read_text_to(&reader, "message", result->message, sizeof(result->message));
        checks = json_read_array(&reader, "checks", 0, WORKER_CHECKS_MAX);

        r = json_reader_finish(&reader);
        if (r < 0)
                return r;
        r = read_checks(checks, result);
        if (r < 0)
                return r;

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

int worker_request_parse(const char *line, size_t length, WorkerRequest **ret)
{
        _cleanup_json_ json_object *object = NULL;
        int r;

        if (length >= WORKER_REQUEST_MAX)
                return -EBADMSG;

        r = json_text_parse(line, length, DEPTH_MAX, NULL, &object);
        if (r < 0)
                return r;
        return read_request(object, ret);
}

int worker_request_format(const WorkerRequest *request, char **ret)
{
        _cleanup_json_ json_object *object = NULL;
        int r;

        r = write_request(request, &object);
        if (r < 0)
                return r;
        return json_text_format(object, WORKER_REQUEST_MAX, ret);
}

int worker_event_parse(const char *line, size_t length, WorkerEventType *ret_type, WorkerResult **ret_result)
{
        _cleanup_json_ json_object *object = NULL;
        WorkerResult *result = NULL;
        WorkerEventType type = WORKER_EVENT_RESULT;
        int r;

        if (length >= WORKER_LINE_MAX)
                return -EBADMSG;

        r = json_text_parse(line, length, DEPTH_MAX, NULL, &object);
        if (r < 0)
                return r;

        /* Only phase events have this key; each reader then insists on its own keys and no others. */
        if (json_object_object_get_ex(object, "phase", NULL))
                r = read_phase(object, &type);
        else
                r = read_result(object, &result);
        if (r < 0)
                return r;

        *ret_type = type;
        *ret_result = result;
        return 0;
}

int worker_event_format(WorkerEventType type, const WorkerResult *result, char **ret)
{
        _cleanup_json_ json_object *object = NULL;
        int r;

        if (type == WORKER_EVENT_RESULT)
                r = write_result(result, &object);
        else
                r = write_phase(type, &object);
        if (r < 0)
                return r;
        return json_text_format(object, WORKER_LINE_MAX, ret);
}

static bool saved_list_is_valid(const char *text)
{
        ResetMethodList list;

        return reset_method_list_parse(text, &list) == 0;
}

int worker_record_parse(const char *text, size_t length, WorkerRecord **ret)
{
        _cleanup_(cleanup_worker_record_free) WorkerRecord *record = calloc(1, sizeof(*record));
        _cleanup_json_ json_object *object = NULL;
        json_object *request, *result = NULL;
        JsonReader reader;
        int r;

        if (!record)
                return -ENOMEM;
        if (length > WORKER_RECORD_MAX)
                return -EBADMSG;

        r = json_text_parse(text, length, DEPTH_MAX, NULL, &object);
        if (r < 0)
                return r;

        reader = json_reader_begin(object);
        (void) json_read_unsigned(&reader, "version", WORKER_PROTOCOL_VERSION, WORKER_PROTOCOL_VERSION);
        record->pid = (uint32_t) json_read_unsigned(&reader, "pid", 1, INT32_MAX);
        record->has_saved_reset_method = !json_read_null(&reader, "saved_reset_method");
        if (record->has_saved_reset_method) {
                json_read_text_to(&reader, "saved_reset_method", record->saved_reset_method,
                                  sizeof(record->saved_reset_method));
                if (!saved_list_is_valid(record->saved_reset_method))
                        json_reader_fail(&reader, "saved_reset_method");
        }
        request = json_read_object(&reader, "request");
        if (!json_read_null(&reader, "result"))
                result = json_read_object(&reader, "result");

        r = json_reader_finish(&reader);
        if (r < 0)
                return r;
        r = read_request(request, &record->request);
        if (r < 0)
                return r;
        if (result) {
                r = read_result(result, &record->result);
                if (r < 0)
                        return r;
        }

        *ret = steal_pointer(record);
        return 0;
}

int worker_record_format(const WorkerRecord *record, char **ret)
{
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();
        _cleanup_json_ json_object *object = NULL;
        json_object *part;
        int r;

        json_write_unsigned(&writer, "version", WORKER_PROTOCOL_VERSION);
        json_write_unsigned(&writer, "pid", record->pid);
        if (record->has_saved_reset_method)
                json_write_text(&writer, "saved_reset_method", record->saved_reset_method);
        else
                json_write_null(&writer, "saved_reset_method");

        r = write_request(record->request, &part);
        if (r < 0)
                return r;
        json_write_value(&writer, "request", part);

        if (record->result) {
                r = write_result(record->result, &part);
                if (r < 0)
                        return r;
                json_write_value(&writer, "result", part);
        } else {
                json_write_null(&writer, "result");
        }

        r = json_writer_finish(&writer, &object);
        if (r < 0)
                return r;
        return json_text_format(object, WORKER_RECORD_MAX, ret);
}
