/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Each kind of object has one function that writes it and one that reads it, side by side. Readers fill
 * zeroed structs and let the JsonReader collect what was wrong, so a message is judged in one place: where
 * json_reader_finish() returns.
 */

#include "shared/worker-protocol.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "shared/cleanup.h"
#include "shared/json.h"
#include "shared/worker-wire.h"

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

const char *const check_result_names[CHECK_RESULTS] = {
        [CHECK_OK] = "ok",
        [CHECK_FAILED] = "failed",
        [CHECK_SKIPPED] = "skipped",
};

static const char *const list_restored_names[] = {
        [LIST_UNTOUCHED] = "untouched", [LIST_EXACT] = "exact", [LIST_REDUCED] = "reduced",
        [LIST_DEFAULT] = "default",     [LIST_LOST] = "lost",
};

static const char *const operation_names[] = {
        [WORKER_RESET] = "reset",   [WORKER_SCAN] = "scan", [WORKER_ORDER] = "order",
        [WORKER_HEALTH] = "health", [WORKER_MEND] = "mend", [WORKER_HOLD] = "hold"};

static const char *const action_names[] = {
        [HOLD_LOOK] = "look",
        [HOLD_KEEP] = "keep",
        [HOLD_RELEASE] = "release",
};

static const char *const driver_names[] = {
        [WORKER_DRIVER_KEEP] = "keep",
        [WORKER_DRIVER_REBIND] = "rebind",
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
        free(result->holders);
        free(result->serials);
        free(result);
        return NULL;
}

DEFINE_CLEANUP(WorkerRequest *, worker_request_free);
DEFINE_CLEANUP(WorkerResult *, worker_result_free);
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

static int write_member(const void *element, json_object **ret)
{
        const WorkerMember *member = element;
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();

        write_address(&writer, "address", &member->address);
        json_write_unsigned(&writer, "inode", member->inode);
        json_write_unsigned(&writer, "vendor", member->vendor);
        json_write_unsigned(&writer, "device", member->device);
        json_write_unsigned(&writer, "class", member->class);
        json_write_text(&writer, "driver", member->driver);
        json_write_boolean(&writer, "must_be_disabled", member->must_be_disabled);
        if (member->may_hand_back)
                json_write_text(&writer, "hand_back", member->hand_back);

        return json_writer_finish(&writer, ret);
}

static int read_member(json_object *object, void *element)
{
        WorkerMember *ret = element;
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
        ret->may_hand_back = json_reader_has(&reader, "hand_back");
        if (ret->may_hand_back) {
                json_read_text_to(&reader, "hand_back", ret->hand_back, sizeof(ret->hand_back));
                if (!driver_name_is_valid(ret->hand_back))
                        json_reader_fail(&reader, "hand_back");
        }

        return json_reader_finish(&reader);
}

static bool address_is_new(const WorkerRequest *request, size_t n, const PciAddress *address)
{
        for (size_t i = 0; i < n; i++)
                if (pci_address_equal(&request->members[i].address, address))
                        return false;
        return true;
}

/* Empty, or as lspci writes it. */
static bool serial_is_valid(const char *serial)
{
        size_t length = strlen(serial);

        for (size_t i = 0; i < length; i++)
                if (i % 3 == 2 ? serial[i] != '-' : !strchr("0123456789abcdef", serial[i]))
                        return false;
        return length == 0 || length == WORKER_SERIAL_MAX - 1;
}

/* What no single member shows, nor any single field. */
static bool method_is_valid(const WorkerRequest *request)
{
        bool is_slot = strcmp(request->method, "slot") == 0;

        if (request->operation == WORKER_SCAN)
                return strcmp(request->method, WORKER_SCAN_METHOD) == 0 && request->slot[0] == '\0' &&
                       request->n_fds == 0;
        if (request->operation == WORKER_HEALTH)
                return strcmp(request->method, WORKER_HEALTH_METHOD) == 0 && request->slot[0] == '\0' &&
                       request->n_fds == 0 && request->list.n == 0;
        if (request->operation == WORKER_HOLD)
                return strcmp(request->method, WORKER_HOLD_METHOD) == 0 && request->slot[0] == '\0' &&
                       request->n_fds == 0 && request->list.n == 0 && request->n_members == 1 &&
                       !request->has_bridge && serial_is_valid(request->serial);
        if (request->operation == WORKER_ORDER)
                return strcmp(request->method, WORKER_ORDER_METHOD) == 0 && request->slot[0] == '\0' &&
                       request->n_fds == 0 && request->n_members == 1 && !request->has_bridge;
        if (request->list.n > 0)
                return false;
        if (!reset_method_name_is_valid(request->method) ||
            reset_method_scope(request->method) == RESET_SCOPE_UNKNOWN)
                return false;
        /* The name of a slot is also the name of its directory. */
        if (is_slot != (request->slot[0] != '\0') || !driver_name_is_valid(request->slot))
                return false;
        return request->n_fds == 0 || strcmp(request->method, "vfio_hot") == 0;
}

static bool request_is_valid(const WorkerRequest *request)
{
        if (!method_is_valid(request))
                return false;
        if (request->settle_usec > WORKER_SETTLE_MAX_USEC || request->retry_usec > WORKER_RETRY_MAX_USEC ||
            request->n_fds > WORKER_FDS_MAX)
                return false;
        if (request->n_members == 0 || request->n_members > WORKER_MEMBERS_MAX)
                return false;

        for (size_t i = 0; i < request->n_members; i++)
                if (!address_is_new(request, i, &request->members[i].address))
                        return false;
        return !request->has_bridge || address_is_new(request, request->n_members, &request->bridge.address);
}

int worker_request_write(const WorkerRequest *request, json_object **ret)
{
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();
        char list[RESET_METHOD_LIST_STRING_MAX];
        json_object *object;
        int r;

        if (!request_is_valid(request))
                return -EINVAL;

        json_write_unsigned(&writer, "version", WORKER_PROTOCOL_VERSION);
        json_write_text(&writer, "operation", operation_names[request->operation]);
        json_write_unsigned(&writer, "job", request->job);
        json_write_unsigned(&writer, "uid", request->uid);
        json_write_text(&writer, "method", request->method);
        json_write_unsigned(&writer, "settle_usec", request->settle_usec);
        json_write_unsigned(&writer, "retry_usec", request->retry_usec);
        json_write_boolean(&writer, "allow_held", request->allow_held);
        json_write_text(&writer, "driver", driver_names[request->driver]);
        json_write_text(&writer, "slot", request->slot);
        json_write_unsigned(&writer, "n_fds", request->n_fds);
        json_write_boolean(&writer, "owners", request->owners);
        if (request->operation == WORKER_ORDER)
                json_write_text(&writer, "list", reset_method_list_format(&request->list, list));
        if (request->operation == WORKER_HOLD) {
                json_write_text(&writer, "action", action_names[request->action]);
                json_write_text(&writer, "serial", request->serial);
        }

        r = json_array_write(request->members, request->n_members, sizeof(WorkerMember), write_member,
                             &object);
        if (r < 0)
                return r;
        json_write_value(&writer, "members", object);
        if (request->has_bridge) {
                r = write_member(&request->bridge, &object);
                if (r < 0)
                        return r;
                json_write_value(&writer, "bridge", object);
        }

        return json_writer_finish(&writer, ret);
}

static void read_list(JsonReader *reader, ResetMethodList *ret)
{
        char text[RESET_METHOD_LIST_STRING_MAX], again[RESET_METHOD_LIST_STRING_MAX];

        json_read_text_to(reader, "list", text, sizeof(text));
        /* As it is written, and no other way. */
        if (reset_method_list_parse(text, ret) < 0 ||
            strcmp(reset_method_list_format(ret, again), text) != 0)
                json_reader_fail(reader, "list");
}

/* Its members and its bridge are left to the caller. */
static int read_request_fields(json_object *object, WorkerRequest *request, json_object **ret_members,
                               json_object **ret_bridge)
{
        JsonReader reader = json_reader_begin(object);

        (void) json_read_unsigned(&reader, "version", WORKER_PROTOCOL_VERSION, WORKER_PROTOCOL_VERSION);
        request->operation = (WorkerOperation) json_read_choice(&reader, "operation", operation_names,
                                                                ELEMENTSOF(operation_names));
        request->job = (uint32_t) json_read_unsigned(&reader, "job", 0, UINT32_MAX);
        request->uid = (uint32_t) json_read_unsigned(&reader, "uid", 0, UINT32_MAX);
        json_read_text_to(&reader, "method", request->method, sizeof(request->method));
        request->settle_usec = json_read_unsigned(&reader, "settle_usec", 0, WORKER_SETTLE_MAX_USEC);
        request->retry_usec = json_read_unsigned(&reader, "retry_usec", 0, WORKER_RETRY_MAX_USEC);
        request->allow_held = json_read_boolean(&reader, "allow_held");
        request->driver = (WorkerDriver) json_read_choice(&reader, "driver", driver_names,
                                                          ELEMENTSOF(driver_names));
        json_read_text_to(&reader, "slot", request->slot, sizeof(request->slot));
        request->n_fds = (unsigned) json_read_unsigned(&reader, "n_fds", 0, WORKER_FDS_MAX);
        request->owners = json_read_boolean(&reader, "owners");
        if (request->operation == WORKER_ORDER)
                read_list(&reader, &request->list);
        if (request->operation == WORKER_HOLD) {
                request->action = (WorkerHold) json_read_choice(&reader, "action", action_names,
                                                                ELEMENTSOF(action_names));
                json_read_text_to(&reader, "serial", request->serial, sizeof(request->serial));
        }
        *ret_members = json_read_array(&reader, "members", 1, WORKER_MEMBERS_MAX);
        request->has_bridge = json_reader_has(&reader, "bridge");
        *ret_bridge = request->has_bridge ? json_read_object(&reader, "bridge") : NULL;

        return json_reader_finish(&reader);
}

int worker_request_read(json_object *object, WorkerRequest **ret)
{
        _cleanup_(cleanup_worker_request_free) WorkerRequest *request = calloc(1, sizeof(*request));
        json_object *members, *bridge;
        void *array;
        int r;

        if (!request)
                return -ENOMEM;
        r = read_request_fields(object, request, &members, &bridge);
        if (r < 0)
                return r;
        r = json_array_read(members, sizeof(WorkerMember), read_member, &array, &request->n_members);
        request->members = array;
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

int worker_check_write(const void *element, json_object **ret)
{
        const WorkerCheck *check = element;
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();

        write_address(&writer, "device", &check->device);
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

        read_address(&reader, "device", &ret->device);
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

        write_address(&writer, "device", &serial->device);
        json_write_text(&writer, "serial", serial->serial);
        return json_writer_finish(&writer, ret);
}

static int read_serial(json_object *object, void *element)
{
        WorkerSerial *ret = element;
        JsonReader reader = json_reader_begin(object);

        read_address(&reader, "device", &ret->device);
        json_read_text_to(&reader, "serial", ret->serial, sizeof(ret->serial));
        if (ret->serial[0] == '\0' || !serial_is_valid(ret->serial))
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

        return json_writer_finish(&writer, ret);
}

int worker_result_read(json_object *object, WorkerResult **ret)
{
        static const char *const events[] = {"result"};
        _cleanup_(cleanup_worker_result_free) WorkerResult *result = calloc(1, sizeof(*result));
        JsonReader reader = json_reader_begin(object);
        json_object *checks, *holders, *serials = NULL;
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

        r = json_text_parse(line, length, WORKER_DEPTH_MAX, NULL, &object);
        if (r < 0)
                return r;
        return worker_request_read(object, ret);
}

int worker_request_format(const WorkerRequest *request, char **ret)
{
        _cleanup_json_ json_object *object = NULL;
        int r;

        r = worker_request_write(request, &object);
        if (r < 0)
                return r;
        return json_text_format(object, WORKER_REQUEST_MAX, ret);
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
